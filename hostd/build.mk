PROGS += hostd
hostd.src := $(wildcard hostd/*.c)

# Its tests lean on the core alone.
$(foreach t,unit/test_hostd_bringup unit/test_hostd_acl unit/test_hostd_connection unit/test_hostd_windows \
	unit/test_hostd_request unit/test_hostd_shortage scripts/test_hostd_signalling scripts/test_hostd_hostile \
	scripts/test_hostd_advertising, \
	$(eval tests/$t.use := hostd/core shm wire base))
