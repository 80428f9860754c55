/* runtime/worker.h - the worker half of a daemon: a shell around a core, in a sandbox.
 *
 * A worker is started by its supervisor with one socket as descriptor 3 and gets everything else over it: the arena, the
 * stats segment, one Attach for each link, and descriptors by name.  Then, in this order: map, program->worker_prepare, sandbox,
 * step_recover, step_attach, program->worker_start, Ready, loop.
 *
 * A turn of the loop: one `now`; entropy refilled when low; up to WORKER_BATCH records from the links, round-robin;
 * on_time if the core's deadline has come, and up to WORKER_ACTS times as long as something is left over (input first: after a
 * restart what waits there is taken before any timer fires); one commit; kicks; counters shown; program->worker_turn.  Where no
 * input is left after that, each ring is asked to wake us, looked at once more, and the loop sleeps until the deadline.  An idle
 * worker makes no wake-up at all.
 *
 * Guarantees: a record is handled in exactly one committed step; the flight words (shm/stats.h) name it before it is.
 * Refuses: a ring that lies: that link is detached and reported, the others go on.  A frame that does not parse ends the
 * worker, and its supervisor brings it back.
 *
 * What follows is for programs whose worker has more than links (transportd).  All is borrowed and lives as long as `w`. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/bytes.h"
#include "base/record.h"
#include "shm/stats.h"
#include "shm/step.h"

struct loop;
struct program;
struct worker;

enum { WORKER_BATCH = 64, WORKER_ACTS = 16, WORKER_E_BATCH = 8 };

struct step *worker_step(struct worker *w);
struct loop *worker_loop(struct worker *w);
struct stats *worker_stats(struct worker *w);
/* For program->worker_start and worker_turn: one pointer of theirs. */
void worker_set_own(struct worker *w, void *own);
void *worker_own(struct worker *w);

/* The descriptor that the supervisor keeps under `name` (supervisor_keep_fd); -1 if there is none.  Borrowed. */
int worker_fd(const struct worker *w, const char *name);

/* CLOCK_BOOTTIME now, also set as the step's now_ns.  Only between steps: a step has one `now`. */
uint64_t worker_now(struct worker *w);

/* The next record of link `l`, for links in program->own_links; step_take with everything that the shell owes it: the
 * flight words, the batch limit (one record a step after a strike), quarantine, a report of a ring that lies.
 *
 * @payload  borrowed until the next call
 *
 * Returns 0; RING_EMPTY; STEP_FULL; STEP_ABSENT (also after the ring lied: the link is detached); WORKER_E_BATCH: this step has
 * taken what it may, worker_commit first. */
int worker_take(struct worker *w, unsigned l, struct record *ret, struct bytes *payload);

/* Commit the step under way, kick whom it concerns, show the counters.  Does nothing where nothing was done. */
void worker_commit(struct worker *w);

/* step_may_act, for a worker_turn that acts of itself. */
bool worker_may_act(struct worker *w);
/* Where a recording is made: what worker_turn heard from elsewhere than its links, each before the commit that depends on it, so that
 * program->replay can give it again.
 * worker_recording: 0: none is made; else another number than before: it has begun anew, so that what worker_turn keeps beside the
 * arena has to be noted first.  Ask at the start of a turn.  worker_note: only where one is made; runtime/recording.h. */
uint64_t worker_recording(const struct worker *w);
struct recorder_own;
void worker_note(struct worker *w, const struct recorder_own *what);

/* For links in own_links: may a record there wake us?  True at start.  Set false while nothing can be taken (the controller's
 * side is full) and true again when it can; a worker that leaves it true and takes nothing never sleeps. */
void worker_want_input(struct worker *w, unsigned l, bool want);
/* Room was missing in the output ring of link `l`: wake us when half of it is free.  Holds for one sleep. */
void worker_want_room(struct worker *w, unsigned l);

/* Why this worker cannot go on: a line in the log, a Failed frame to the supervisor, exit.  `why`: for a person. */
_Noreturn void worker_fail(struct worker *w, int error, const char *why);

/* What program_main runs for --worker.  Returns the exit code; in practice it exits by itself. */
int worker_main(const struct program *p);
