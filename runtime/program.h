/* runtime/program.h - what makes one daemon out of the runtime: its core, its neighbours, and its few own parts.
 *
 * Each daemon is one binary with two lives: `hostd --run-dir DIR --config FILE` is the supervisor; it starts itself again as
 * `hostd --worker` with descriptors over a socket pair.  program_main is the whole of main(). */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/bytes.h"
#include "shm/step.h"

struct sandbox_call;		/* runtime/sandbox.h */
struct device;			/* runtime/device.h: the parsed device file */
struct worker;			/* runtime/worker.h */
struct replay;			/* runtime/replay.h */
struct supervisor;		/* runtime/supervisor.h */
struct config_sink;		/* takes (key, value) pairs for RECORD_CONFIG; config_emit() */

struct program {
	const char *name;		/* "hostd": also NAME.sock, the role in Hello, and its row in status */
	const struct core *core;
	const char *up, *down;		/* the neighbours' names; NULL: none.  Downstream dials upstream's NAME.sock */
	bool ready_when_attached;	/* its core gives no NOTICE_READY: it is ready once its worker and links are there */
	unsigned hears_of;		/* bit l: its core is told when the neighbour's worker on link l goes and comes */
	uint64_t ring_size;		/* octets of ring data on the link upstream, a power of two; 0: RING_SIZE_DEFAULT */

	/* Supervisor side. */
	int (*configure)(const struct device *d, struct config_sink *sink);	/* every RECORD_CONFIG of this daemon but DONE */
	int (*open)(struct supervisor *s, const struct device *d);		/* cold start only: transportd opens the controller and
										 * hands the fds to supervisor_keep_fd(); NULL: nothing */
	/* Worker side: for a worker that has more than links (transportd).  NULL where there is nothing. */
	int (*worker_prepare)(struct worker *w);	/* before the sandbox: all that the loop shall ever watch is added here
							 * (worker_fd(), loop_add_file); no state is there yet */
	int (*worker_start)(struct worker *w);		/* in the sandbox: arena recovered, links attached */
	int (*worker_turn)(struct worker *w);		/* each turn of the loop: > 0 work was done, 0 none, < 0 -errno: the worker ends */
	unsigned own_links;				/* bit l: link l's input is drained by worker_turn, not by on_record */
	/* In a replay, wherever an entry of its own (worker_note) or a record of own_links comes next: does what worker_turn or
	 * worker_start did then, out of replay_own, replay_take and replay_commit (runtime/replay.h) instead of the world. */
	void (*replay)(struct replay *r);
	const char *const *own_entries;			/* what such entries are called, by their numbers; ended by NULL */
	const struct sandbox_call *syscalls;		/* more that the sandbox allows; NULL: none */
};

/* Runs the supervisor, or with --worker the worker.  Returns the exit code: 0 done, 1 failed (one line says why), 2 usage.
 *
 * Options: --run-dir DIR, --config FILE, --transport NAME (transportd), --log LEVEL, --cold, --help; --record DIR, --record-size
 * MIB, --quarantine DIR (runtime/recording.h: files that hold packets and keys); --replay FILE (runtime/replay.h).
 * SIGTERM, SIGINT: clean end.  SIGHUP: the device file is read again, its live keys apply.
 * $NOTIFY_SOCKET, $LISTEN_FDS: runtime/fdstore.h.  TREFOIL_SHADOW=1: each commit is checked (slow). */
int program_main(const struct program *p, int argc, char **argv);

/* One piece of configuration for the worker; value is copied.  0, -EMSGSIZE. */
int config_emit(struct config_sink *sink, uint8_t key, struct bytes value);
