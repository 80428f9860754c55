PROGS += airsim
airsim.src := $(wildcard airsim/*.c)
airsim.use := airsim/core wire base
$(foreach t,$(basename $(wildcard tests/unit/test_airsim*.c)),$(eval $t.use := airsim/core wire base))
