PROGS += transportd
transportd.src := $(wildcard transportd/*.c)
# Its tests lean on its own parts alone.
$(foreach t,unit/test_h4 unit/test_snoop unit/test_transport unit/test_transportd process/test_transportd_kill process/test_transportd_pipeline \
	process/test_transportd_daemon process/test_transportd_step process/test_transportd_replay fuzz/fuzz_h4,$(eval tests/$t.use := transportd/program runtime proto shm wire base))
