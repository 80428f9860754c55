# The simulation: the product's sources once more, with a call before each store (sim_death.c has the functions that are
# called), and the C library's calls in place of which the models stand.  Optimised in every mode: it runs thousands of seeds.
SIM := $O/tests/simulation/sim
sim.product := $(wildcard airsim/core/*.c hostd/core/*.c gattd/core/*.c wire/*.c base/*.c) shm/arena.c shm/arena_check.c shm/fifo.c \
	shm/queue.c shm/step.c shm/undo.c shm/stats.c runtime/worker_take.c runtime/worker_own.c \
	runtime/recorder.c runtime/recording.c shm/arena_image.c shm/migrate.c transportd/core.c transportd/h4.c transportd/host_port.c transportd/snoop.c \
	transportd/stream.c transportd/stream_in.c transportd/stream_out.c transportd/stream_kind.c transportd/stream_os.c transportd/worker.c
sim.seen := $(sim.product) tests/simulation/sim_shell.c
sim.own := $(filter-out tests/simulation/sim_shell.c,$(wildcard tests/simulation/sim_*.c))
# An air has no worker that dies, and gives no record: it need not be seen.
sim.unseen := $(sim.own) $(filter airsim/% wire/% base/%,$(sim.product)) $(GEN_C)
sim.seen := $(filter-out $(sim.unseen),$(sim.seen))
SIM_CFLAGS := $(BASE_CFLAGS) -O2 -g -DTREFOIL_DEBUG $(WARN) $(if $(IS_CLANG),,-Wno-tsan -Wno-clobbered)
SIM_SEEN := -fsanitize=thread -fno-builtin-memcpy -fno-builtin-memmove -fno-builtin-memset
SIM_WRAPS := memcpy memmove memset malloc calloc free abort _exit recv recvmsg read write splice ioctl fcntl getsockopt setsockopt shutdown \
	getrandom arena_panic change_note gatt_owe acl_release connection_free_now gatt_on_pdu \
	gatt_on_request bearer_set_ready window_renew
sim_obj = $(patsubst %.c,$O/sim/%.o,$(patsubst build/gen/%,gen/%,$1))

$O/sim/gen/%.o: $(GEN)/%.c $O/flags | $(GEN_H)
	@mkdir -p $(@D)
	@echo "  CC    $< (simulation)"
	$(Q)$(CC) $(SIM_CFLAGS) $(PKG_CFLAGS) -w -c -o $@ $<
$(call sim_obj,$(sim.seen)): $O/sim/%.o: %.c $O/flags | $(GEN_H)
	@mkdir -p $(@D)
	@echo "  CC    $< (simulation, seen)"
	$(Q)$(CC) $(SIM_CFLAGS) $(SIM_SEEN) $(PKG_CFLAGS) $(CFLAGS) -c -o $@ $<
$(call sim_obj,$(filter-out $(GEN)/%,$(sim.unseen))): $O/sim/%.o: %.c $O/flags | $(GEN_H)
	@mkdir -p $(@D)
	@echo "  CC    $< (simulation)"
	$(Q)$(CC) $(SIM_CFLAGS) $(PKG_CFLAGS) $(CFLAGS) -c -o $@ $<
# Never with the sanitizer's own library: the functions are ours.
$(SIM): $(call sim_obj,$(sim.seen) $(sim.unseen))
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) -pie -pthread -o $@ $^ $(SIM_WRAPS:%=-Wl,--wrap=%) $(PKG_LIBS)
simulation: $(SIM)
