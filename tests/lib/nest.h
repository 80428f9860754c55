/* tests/lib/nest.h - what `trefoil up` is to the daemons, for tests: keeps descriptors, brings supervisors back.
 *
 * One thread of its own starts and watches the programs (this very binary under another argv[0]), so that a test may kill and
 * ask at will.  Every function asserts its own success unless it says otherwise. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>
#include "base/bytes.h"
#include "runtime/fdstore.h"

enum { NEST_CHILDREN = 2 };
struct nest_child {
	const char *name;
	struct fdshelf shelf;
	_Atomic pid_t pid;		/* 0: not there */
	_Atomic bool ready, wanted, gone;	/* a killed one that is wanted again comes back, with what is held for it */
	_Atomic int code;		/* of its last exit; -1: none yet */
	_Atomic unsigned starts;
	int pidfd;
};
struct nest {
	char dir[64];
	struct nest_child child[NEST_CHILDREN];
	pthread_t thread;
	pthread_mutex_t shelves;
	_Atomic bool stop;
	bool no_store;			/* by hand: nobody keeps descriptors */
	const char *config;		/* device file, or NULL */
};
struct nest_status {
	unsigned pid, worker_pid, restarts, strikes, quarantined, generation;
	char state[16];
	uint64_t outage_us;
	struct bytes core;		/* in core_octets */
	uint8_t core_octets[4096];
};

void nest_open(struct nest *n, const char *const names[NEST_CHILDREN]);	/* makes a run dir and starts all */
void nest_wait_ready(struct nest *n);
/* SIGTERM to all, wait, exit codes 0 expected; asserts that nothing is left behind. */
void nest_close(struct nest *n);
/* A copy of a descriptor that is held for a child, by name; the caller's. */
int nest_held_fd(struct nest *n, unsigned child, const char *name);
/* Ask a supervisor; tries again (same id) until the deadline where it dies meanwhile.  False: no answer, or a refusal. */
bool nest_status(struct nest *n, unsigned child, struct nest_status *ret);
bool nest_order(struct nest *n, unsigned child, const void *value, size_t len);
bool nest_restart(struct nest *n, unsigned child);
void nest_sleep_ms(unsigned ms);
