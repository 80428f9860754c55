/* tests/hostile/cage.h - one attempt to get out, made by a worker from inside of its sandbox.
 *
 * $TREFOIL_CAGE is "WAY ATTEMPT" (tests/process/test_cage.c sets it).  WAY: `call`, the attempt is a system call; `ring`, the
 * same through the worker's own sealed io_uring; `number`, the system call of that number, with arguments that mean nothing;
 * `opcodes`, each opcode of io_uring in turn.  The worker starts as the daemon's worker does, and makes the attempt in its first
 * turn; or, with $TREFOIL_CAGE_WHEN set, before it is ready, while it deals with what the worker before it has left:
 *
 *   fill        the arena is blank, and the core makes its first objects
 *   recovery    the arena is about to be rolled back
 *   migration   another layout's arena (version CAGE_OLD_VERSION, else the same) has been copied
 *   shut        in its first turn; but all that it was handed to map is out of reach until sandbox_enter has done its work, so
 *               who looks at an octet of it before dies by SIGSEGV.  The attempt is none: it works
 *
 * With $TREFOIL_CAGE_OPEN set, sandbox_enter and the ring's restrictions do nothing, but for the change of uid where one is
 * given (both are wrapped at link time: no program that is installed has such a switch): the attempt then succeeds, or the test
 * would say nothing.
 *
 * The process ends by SIGSYS, or exits: CAGE_DONE it worked, CAGE_REFUSED it did not (standard error says why), else a fault. */
#pragma once
#include "runtime/loop_own.h"
#include "runtime/worker_private.h"

enum { CAGE_OLD_VERSION = 999983, CAGE_DONE = 40, CAGE_REFUSED = 41, CAGE_BROKEN = 42, CAGE_SECRET = 0x5EC7E7 };

struct cage {
	struct worker *w;
	bool open;			/* the walls are not there */
	pid_t neighbour;		/* a process that is not our business */
	void *secret;			/* where it keeps one, in its memory */
	char file[128], dir[128], listener[128];	/* may be opened, written, connected to by anybody */
	char victim[160];		/* a file of this life's own, to be removed or renamed */
	/* Made before the walls, for what needs a descriptor at hand; they are gone behind them. */
	int region;			/* the neighbour's region, as it was given to us: read only */
	int plain, socket, pidfd, pipe[2], pair[2], listening;
	const void *theirs;		/* where that region is mapped */
	char *low;			/* path of `file`, below 4 GiB */
};
struct attempt {
	const char *name;
	long (*make)(struct cage *c);	/* >= 0: it worked; -errno: refused */
};
extern const struct attempt cage_calls[], cage_ring_ops[];	/* end at a name of NULL */

/* 0: every opcode but the worker's own three is refused, and those with any flag but the one that they need; -1: told which. */
long cage_opcodes(struct cage *c);
int cage_main(const struct program *p, const char *plan);
