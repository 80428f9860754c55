# One make, one graph: each folder says in its build.mk what it is, this file says once how it is built.
#
#   make                 release programs, into build/bin/
#   make MODE=debug      the same with our checks on, into build/debug/bin/ (also: asan tsan norecovery cov; MODES, below)
#   make cores           bin/cores and bin/cores-plain: what the cores cost (tests/load/cores.c)
#   make MODE=debug tests            every test program;  make test T=unit/test_x  builds and runs one
#   make model           searches the models with spin, fully
#   make check           installs what is missing, builds, runs every test (CONTRIBUTING.md has the rest)
#
# A build.mk adds its folder to LIBS (an archive) or to PROGS (a program with a main.c), names its sources in
# FOLDER.src and, for a program, the name of its binary in FOLDER.bin and its archives in FOLDER.use.
# Nothing here asks pkg-config before a recipe runs, so that `make check` can install it first.
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL := /bin/bash

MODE ?= release
MODES := release debug asan tsan norecovery planted migrating planted-migrating foreign stranger cov fuzz
ifeq ($(filter $(MODE),$(MODES)),)
$(error MODE=$(MODE) is none of: $(MODES))
endif
V ?= 0
Q := $(if $(filter 1,$V),,@)
# The environment has no say in these two: a stray O=1 there would build into 1/.
O := $(if $(filter command line,$(origin O)),$O,build/$(MODE))
B := $(if $(filter build/release,$O),build,$O)/bin
GEN := build/gen

ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(MODE)),clang,gcc)
endif
IS_CLANG := $(findstring clang,$(notdir $(CC)))

# ---- flags -----------------------------------------------------------------------------------------------------
# gcc is quiet about casts that come from the macros protobuf-c generates, clang is not: only gcc gets -Wcast-qual.
# clang calls a static inline of a .c unused that a pool's macro has made; a static that nobody calls is gcc's to find.
WARN := -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wno-override-init $(if $(IS_CLANG),-Wno-unused-function,-Wcast-qual)
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
CFLAGS_debug := -O1 -g -DTREFOIL_DEBUG
# A worker of another layout, with and without a migration from that of a plain build (shm/test_layout.h).
CFLAGS_migrating := $(CFLAGS_release) -DTREFOIL_TEST_LAYOUT=1
CFLAGS_foreign := $(CFLAGS_release) -DTREFOIL_TEST_LAYOUT=2
# One that speaks to its supervisor otherwise (proto/control.h).
CFLAGS_stranger := $(CFLAGS_release) -DTREFOIL_TEST_PROTOCOL=99
CFLAGS_norecovery := -O2 -g -DTREFOIL_DEBUG -DTREFOIL_NO_RECOVERY
# Mistakes made on purpose (base/planted.h): for the tests of strikes, and for nobody else.
CFLAGS_planted := $(CFLAGS_release) -DTREFOIL_PLANTED
CFLAGS_planted-migrating := $(CFLAGS_migrating) -DTREFOIL_PLANTED
CFLAGS_asan := -O1 -g -DTREFOIL_DEBUG -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# The ring's fences order its wait words, not its data: that the sanitizer does not see them costs nothing.
CFLAGS_tsan := -O1 -g -DTREFOIL_DEBUG -fsanitize=thread $(if $(IS_CLANG),,-Wno-tsan)
CFLAGS_cov := -O0 -g -DTREFOIL_DEBUG --coverage
CFLAGS_fuzz := -O1 -g -DTREFOIL_DEBUG -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LDFLAGS_release := -Wl,-z,relro,-z,now
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_tsan := -fsanitize=thread
LDFLAGS_cov := --coverage
LDFLAGS_fuzz := -fsanitize=address,undefined

# $(shell) on first use and never before; the answer is kept.
PKGS := liburing libprotobuf-c jansson libseccomp
later = $(eval $1 := $$(shell $2))$($1)
PKG_CFLAGS = $(call later,PKG_CFLAGS,pkg-config --cflags $(PKGS) cmocka)
PKG_LIBS = $(call later,PKG_LIBS,pkg-config --libs $(PKGS))
TEST_LIBS = $(call later,TEST_LIBS,pkg-config --libs cmocka)

BASE_CFLAGS := -std=gnu11 -D_GNU_SOURCE -I. -isystem $(GEN) -fPIE -MD -MP -pthread
ALL_CFLAGS = $(BASE_CFLAGS) $(CFLAGS_$(MODE)) $(PKG_CFLAGS) $(WARN) $(CFLAGS)
ALL_LDFLAGS = -pie -pthread -Wl,--as-needed $(LDFLAGS_$(MODE)) $(LDFLAGS)

# ---- what there is ---------------------------------------------------------------------------------------------
LIBS :=
PROGS :=
include $(sort $(wildcard */build.mk) $(wildcard */core/build.mk))

# A folder's core is a library of its own, found by its being there.
CORES := $(patsubst %/,%,$(sort $(dir $(wildcard */core/*.c))))
LIBS := $(sort $(LIBS) $(CORES))
$(foreach c,$(CORES),$(if $($c.src),,$(eval $c.src := $(wildcard $c/*.c))))
# A program is one as soon as it has a main.c.
PARTS := $(sort $(PROGS:%=%/program))
PROGS := $(foreach p,$(sort $(PROGS)),$(if $(wildcard $p/main.c),$p))

# Archives in the order in which they lean on each other.
LOW := runtime proto crypto shm wire base
LOW_LIBS := $(filter $(LIBS),$(LOW))
archive = $(patsubst %,$O/%.a,$1)
obj = $(patsubst %.c,$O/%.o,$(patsubst build/gen/%,gen/%,$1))
bin = $B/$(or $($1.bin),$1)

PROTO := $(wildcard proto/*.proto)
GEN_C := $(PROTO:%.proto=$(GEN)/%.pb-c.c)
GEN_H := $(GEN_C:.c=.h)
proto.src += $(GEN_C)

TESTS := $(if $(wildcard tests),$(patsubst ./%,%,$(shell find tests -name 'test_*.c' -not -path 'tests/fuzz/*')))
TEST_BINS := $(patsubst %.c,$O/%,$(TESTS))
FUZZ := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BINS := $(patsubst %.c,$O/%,$(FUZZ))
ifneq ($(TESTS)$(FUZZ),)
$(shell mkdir -p $O; tools/test-uses $(TESTS) $(FUZZ) >$O/uses.$$PPID && mv $O/uses.$$PPID $O/uses.mk)
include $O/uses.mk
endif

# Daemons whose worker is owned by an attacker (tests/hostile/owned.h): the daemon's own objects, and what takes over.
OWNED := $(patsubst %,$O/tests/hostile/%,transportd hostd gattd)
OWNED_OBJS := $(patsubst %.c,$O/%.o,$(wildcard tests/hostile/*.c))
OWNED_WRAP := program_main sandbox_enter io_uring_register segment_attach step_recover

all: $(call archive,$(LIBS)) $(foreach p,$(PROGS),$(call bin,$p)) $(CORES:%=$O/%.checked)
tests: all $(TEST_BINS) $(OWNED)
daemons: $(foreach p,transportd hostd gattd,$(call bin,$p))

# ---- how it is made --------------------------------------------------------------------------------------------
# A changed compiler or flag rebuilds.  The stamp is made of what is known without pkg-config.
STAMP := $(CC) $(BASE_CFLAGS) $(CFLAGS_$(MODE)) $(WARN) $(CFLAGS) $(LDFLAGS_$(MODE)) $(LDFLAGS)
$O/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(STAMP)' | cmp -s - $@ || echo '$(STAMP)' >$@

$(GEN)/%.pb-c.c $(GEN)/%.pb-c.h: %.proto
	@mkdir -p $(GEN)
	@command -v protoc-c >/dev/null || { echo "make: no protoc-c; tools/install-deps installs what the build needs" >&2; exit 1; }
	@echo "  PROTO $<"
	$(Q)protoc-c --c_out=$(GEN) $<

$O/gen/%.o: $(GEN)/%.c $O/flags | $(GEN_H)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(ALL_CFLAGS) -w -c -o $@ $<

$O/%.o: %.c $O/flags | $(GEN_H)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

# A source that went away leaves its archive too: the list of members is a prerequisite.
$O/%.members: FORCE
	@mkdir -p $(@D)
	@echo '$(MEMBERS)' | cmp -s - $@ || echo '$(MEMBERS)' >$@

define LIB
$O/$1.members: MEMBERS := $(sort $($1.src))
$(call archive,$1): $(call obj,$($1.src)) $O/$1.members
	@mkdir -p $$(@D)
	@echo "  AR    $$@"
	$(Q)rm -f $$@; ar rcs $$@ $$(filter %.o,$$^)
endef

# What main.c leans on goes into an archive too, so that a test can reach it.
define PART
$O/$1/program.members: MEMBERS := $(sort $($1.src))
$O/$1/program.a: $(call obj,$(filter-out $1/main.c,$($1.src))) $O/$1/program.members
	@echo "  AR    $$@"
	$(Q)rm -f $$@; ar rcs $$@ $$(filter %.o,$$^)
endef
define PROG
$1.use ?= $(filter $1/core,$(LIBS)) $(LOW_LIBS)
$(call bin,$1): $O/$1/main.o $O/$1/program.a $$(call archive,$$($1.use)) | $(patsubst %,$O/%.checked,$(filter $1/core,$(CORES)))
	@mkdir -p $$(@D)
	@echo "  LD    $$@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $$@ $O/$1/main.o -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(PKG_LIBS)
endef
$(foreach l,$(LIBS),$(eval $(call LIB,$l)))
$(foreach p,$(PARTS:/program=),$(eval $(call PART,$p)))
$(foreach p,$(PROGS),$(eval $(call PROG,$p)))

# What the cores cost, without shells; once as they are and once without an undo log.
CORES_C := $(wildcard tests/load/*.c) tests/lib/core_harness.c tests/lib/tape.c tests/lib/host_world.c tests/lib/gatt_world.c \
	$(foreach l,hostd/core gattd/core shm wire base,$($l.src))
cores: $B/cores $B/cores-plain
$B/cores $B/cores-plain: $(CORES_C) $(wildcard hostd/core/*.h gattd/core/*.h shm/*.h base/*.h wire/* tests/lib/*.h tests/load/*.h)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(filter-out -MD -MP,$(ALL_CFLAGS)) $(if $(findstring plain,$@),-DARENA_PLAIN) $(ALL_LDFLAGS) -o $@ $(CORES_C) $(TEST_LIBS)

# A core: no state of its own, no system call (ARCHITECTURE.md, decisions 1 and 2).
$(CORES:%=$O/%.checked): $O/%.checked: $O/%.a $(call archive,$(filter-out runtime proto,$(LOW_LIBS))) tools/check-core
	@echo "  CORE  $*"
	$(Q)$(if $(filter release debug norecovery,$(MODE)),tools/check-core $(filter %.a,$^))
	@touch $@

# A test sees everything that is not a main.c, but is linked with what it, or a helper it includes, asks for only: what
# does not compile elsewhere is not its failure.  A build.mk may say it otherwise (TEST.use, TEST.help).
.SECONDEXPANSION:
$(TEST_BINS) $(FUZZ_BINS): $O/%: $O/%.o $$(addprefix $O/,$$(addsuffix .o,$$($$*.help))) $$(call archive,$$(filter $(PARTS) $(LIBS),$$($$*.use)))
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_LDFLAGS) $(if $(filter tests/fuzz/%,$*),-fsanitize=fuzzer) -o $@ $(filter %.o,$^) \
		-Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(PKG_LIBS) $(TEST_LIBS)

$(OWNED): $O/tests/hostile/%: $O/%/main.o $O/%/program.a $(OWNED_OBJS) $$(call archive,$$($$*.use))
	@echo "  LD    $@"
	$(Q)$(CC) $(ALL_LDFLAGS) $(OWNED_WRAP:%=-Wl,--wrap=%) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(PKG_LIBS)

include $(wildcard tests/simulation/build.mk)

-include $(if $(wildcard $O),$(shell find $O -name '*.d'))

# ---- running -------------------------------------------------------------------------------------------------
T ?=
test:
	$(Q)$(MAKE) MODE=$(if $(filter command line environment,$(origin MODE)),$(MODE),debug) run-one T=$T
run-one: $O/tests/$T
	$(Q)$<

floors:
	$(Q)tools/check-floors
budgets:
	$(Q)tools/check-budgets

# Installing comes first and in a make of its own, for a machine that has nothing but make.
check:
	$(Q)tools/install-deps
	$(Q)python3 tests/run.py check
asan tsan:
	$(Q)tools/install-deps
	$(Q)python3 tests/run.py $@

KILLS ?= 200
SEEDS ?= 20000
soak:
	$(Q)tools/install-deps
	$(Q)TREFOIL_KILLS=$(KILLS) TREFOIL_SEEDS=$(SEEDS) python3 tests/run.py soak

# All configurations of all models; `make check` runs the bounded ones (tests/model/models.py).
model:
	$(Q)tools/install-deps
	$(Q)python3 tests/model/run.py full

# BENCH="--quick ring latency": short runs, some parts.
BENCH ?=
bench:
	$(Q)tools/install-deps
	$(Q)$(MAKE) MODE=release all $(if $(wildcard tests/load/cores.c),cores)
	$(Q)TREFOIL_BIN=$(CURDIR)/build/bin bench/run $(BENCH)

demo:
	$(Q)tools/install-deps
	$(Q)$(MAKE) MODE=release all
	$(Q)tools/install-venv || [ $$? -eq 3 ]
	$(Q)TREFOIL_BIN=$(CURDIR)/build/bin tools/demo

FUZZ_SECONDS ?= 30
fuzz:
	$(Q)command -v clang >/dev/null || { echo "make fuzz: needs clang (apt-get install clang): libFuzzer is part of it" >&2; exit 1; }
	$(Q)$(MAKE) MODE=fuzz build-fuzz
	$(Q)tools/run-fuzz $(FUZZ_SECONDS) $(patsubst %.c,build/fuzz/%,$(FUZZ))
build-fuzz: $(FUZZ_BINS)

PREFIX ?= /usr/local
DESTDIR ?=
install:
	$(Q)$(MAKE) MODE=release all
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/share/doc/trefoil"
	install -m 755 $(foreach p,$(filter-out bench,$(PROGS)),build/bin/$(or $($p.bin),$p)) "$(DESTDIR)$(PREFIX)/bin/"
	install -m 644 LICENSE $(wildcard README.md) "$(DESTDIR)$(PREFIX)/share/doc/trefoil/"
	$(Q)for page in $(wildcard docs/*.[1-8]); do \
		install -D -m 644 $$page "$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}"; done

clean:
	rm -rf build

FORCE:
.SECONDARY:
.PHONY: FORCE all cores daemons simulation tests test run-one floors budgets check asan tsan soak model bench demo fuzz build-fuzz install clean
