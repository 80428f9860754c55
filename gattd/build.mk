PROGS += gattd
gattd.src := $(wildcard gattd/*.c)

# The core's tests lean on the core alone.
$(foreach t,$(notdir $(basename $(wildcard tests/scripts/test_gattd_*.c))),$(eval tests/scripts/$t.use := gattd/core shm wire base))
$(foreach t,$(filter-out test_gattd_build,$(notdir $(basename $(wildcard tests/unit/test_gattd*.c)))), \
	$(eval tests/unit/$t.use := gattd/core shm wire base))
tests/unit/test_gattd_build.use := gattd/program gattd/core runtime proto shm wire base
