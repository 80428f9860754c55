/* tests/lib/core_harness.h - a core on a real arena and real rings, in ordinary memory, with the far ends in a test's hands.
 *
 *	struct rig rig;
 *
 *	rig_open(&rig, &hostd_core, (struct arena_limits){ .of = { [LIMIT_CONNECTIONS] = 4 } });
 *	rig_attach(&rig, LINK_UP, 1);
 *	rig_put(&rig, LINK_UP, (struct record){ .kind = RECORD_HCI_EVENT }, bytes);
 *	rig_run(&rig);				// until nothing is left to do now
 *	while (rig_get(&rig, LINK_UP, &rec, &payload))
 *		...
 *
 * The arena is open with its shadow: each commit proves that the undo log would have taken it back.  What a record takes of
 * rings and log is compared with what the core declares.  rig_restart is a warm start; rig_crash kills the step that handles
 * the next records before its commit, then starts warm. */
#pragma once
#include "shm/step.h"
#include "tests/lib/tape.h"

enum { RIG_RING = 256 * 1024, RIG_SMALL_RING = 64 * 1024, RIG_BUF = 32768 };

struct rig {
	struct arena arena;
	struct step step;
	const struct core *core;
	struct arena_plan plan;
	void *memory;
	struct ring_region *ours[STEP_LINKS], *theirs[STEP_LINKS];
	struct ring in[STEP_LINKS], out[STEP_LINKS];	/* far ends: what the core takes, what it gives */
	uint32_t generation[STEP_LINKS];
	uint64_t now_ns;
	unsigned batch;			/* records a commit; 16 unless set */
	unsigned steps;			/* commits so far */
	bool skip_next;			/* the next record that is put goes into quarantine */
	struct rig_skip { unsigned link; uint64_t at; enum core_rung rung; bool is; } skip;	/* the one that is there */
	uint8_t buf[RIG_BUF];
};

extern bool rig_bare;		/* rigs that are opened from now on have no shadow: for measuring */
/* From now on all that is given to rigs goes to that tape too, and what it needs to be played again; NULL: no more. */
void rig_record(struct tape *t);
void rig_open(struct rig *g, const struct core *core, struct arena_limits limits);
void rig_close(struct rig *g);
/* Attach link l; the far end begins anew.  on_link comes with the next rig_run. */
void rig_attach(struct rig *g, unsigned l, uint32_t generation);
void rig_detach(struct rig *g, unsigned l);

void rig_put(struct rig *g, unsigned l, struct record h, struct bytes payload);	/* h.len is set */
/* The record that is put next is in quarantine: skipped in a step of its own, not handled.  One at a time. */
void rig_skip_next(struct rig *g, enum core_rung rung);
/* The next record that the core gave to link l; payload borrowed until the next call.  False: none. */
bool rig_get(struct rig *g, unsigned l, struct record *ret, struct bytes *payload);

/* Take all input, then act on time, and commit, until the core has nothing to do at this `now`. */
void rig_run(struct rig *g);
void rig_sleep(struct rig *g, uint64_t ns);	/* time passes; then rig_run */

void rig_restart(struct rig *g);		/* the worker is killed between two steps */
void rig_crash(struct rig *g);			/* ... within one: up to `batch` records are handled, and taken back */
uint64_t rig_counter(const struct rig *g, const char *name);
