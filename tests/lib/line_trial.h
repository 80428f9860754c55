/* tests/lib/line_trial.h - controller and hostd around a transportd worker that is killed again and again: both directions carry
 * numbered packets, so each octet that arrives is known in advance.
 *
 * The hands (trial_pump and those it is made of) rest often and take odd amounts: sockets and rings run full and empty. */
#pragma once
#include <sys/types.h>
#include "tests/lib/line_world.h"

enum { TRIAL_RING = 64 * 1024, TRIAL_BODY_MAX = 6000, TRIAL_PIECE = 24 * 1024 };

/* One direction: what is to be sent next, and what has to arrive next. */
struct flow {
	uint32_t made, seen;			/* packets */
	uint32_t limit;				/* that are made at all */
	uint8_t octets[TRIAL_PIECE + TRIAL_BODY_MAX + 8];	/* controller's side: H4 that waits to be written, or that is no packet yet */
	uint32_t from, to;
};
struct trial {
	struct line_world w;
	struct flow in, out;			/* in: controller to hostd */
	unsigned seed, states_told;
	uint32_t ahead;				/* packets of a direction that are under way, at most; UINT32_MAX unless set */
	bool broken;
	char why[160];
	_Atomic bool *quit;			/* shared */
	const struct line_tap *tap;		/* of each worker; NULL */
	void (*at_end)(struct line_worker *k);	/* a worker that was told to end; NULL */
};

/* Fails the test if it cannot.  @small  the socket's send buffer is small: splice stops in the middle of a batch */
struct trial *trial_new(enum line_socket kind, unsigned seed, bool small);
void trial_free(struct trial *t);
unsigned trial_dice(struct trial *t, unsigned n);
void trial_broken(struct trial *t, const char *what, uint32_t packet);
void trial_pump(struct trial *t);
void trial_controller_writes(struct trial *t);
void trial_controller_reads(struct trial *t);
void trial_host_takes(struct trial *t);
/* The worker's life, in a child: turns until t->quit; exits.  @ready  called once before it starts, or NULL */
_Noreturn void trial_child(struct trial *t, unsigned batch, bool mutant, void (*ready)(void));
/* Nothing new is made; one more life, left alone, until all has arrived. */
void trial_end_of_story(struct trial *t);
/* A counter of the line, or UINT32_MAX. */
unsigned trial_count(const struct trial *t, enum line_counter c);
int64_t trial_now_us(void);
