/* tests/hostile/owned.h - a daemon whose worker is owned by an attacker, for the tests of hostile workers.
 *
 * build/MODE/tests/hostile/{transportd,hostd,gattd} are the daemons as they are, linked with these files and with program_main
 * wrapped: supervisor, start, recovery, descriptors, uid and sandbox are the daemon's own.  Only a worker that finds a plan does
 * something else: $TREFOIL_OWNED/NAME.plan holds one line, "EVIL SEED MS", and is removed as it is read, so that one worker life
 * is owned and the next one is honest.
 *
 *   before the walls   owned_before: what needs a system call that the sandbox refuses (a stronger attacker than it leaves)
 *   inside, honest     the worker works as it should for a moment, so that links carry something
 *   inside, evil       the plan's evil, again and again for MS milliseconds
 *   inside, silent     nothing is read or answered any more, until somebody ends it; or a death of its own (SIGILL), where the
 *                      evil is `single` and the seed is odd
 *
 * Standard error says "owned: begins EVIL ..." and "owned: done ...".  Each evil is drawn from SEED alone. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "runtime/worker_private.h"

struct owned {
	struct worker *w;
	const struct evil *evil;
	uint64_t random;		/* state of the generator */
	uint64_t seed, ms;
	unsigned link;			/* the link that is abused */
	struct ring_region *mine;	/* our region of it: all that we may write */
	uint64_t size, at;		/* of our ring; where the honest worker would write next */
	uint64_t began_ns, until_ns;
};
struct evil {
	const char *name;
	void (*once)(struct owned *o);	/* again and again until the time is over */
	void (*before)(struct owned *o);	/* without the walls; NULL: nothing */
	bool small;			/* against our supervisor's small link, not a neighbour's */
	bool works;			/* once a turn, between the turns of an honest worker */
	bool single;			/* once is all: what it leaves is for the heir */
};

extern const struct evil evils_memory[], evils_socket[], evils_arena[], evils_log[];	/* end at a name of NULL */

uint64_t owned_draw(struct owned *o);				/* 64 random bits */
uint64_t owned_below(struct owned *o, uint64_t n);		/* 0 .. n - 1 */
void owned_say(const char *format, ...) __attribute__((format(printf, 1, 2)));	/* a line on standard error */
void owned_rest_us(unsigned us);				/* lets the victim run */
void owned_ring_bell(struct owned *o);				/* kick the neighbour */

