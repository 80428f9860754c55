/* runtime/replay.h - `DAEMON --replay FILE`: what a recording or a quarantine file holds is done again, by this binary's core.
 *
 * The file is taken as hostile until it has been checked (runtime/recording_file.h); then the arena is mapped at another
 * address than it had, and the process goes into the worker's sandbox and under its watchdog before the core sees anything.
 * The hashes are against damage: octets that somebody has forged, hashes and all, meet the core there, and nothing else.
 *
 *   recording    every step again.  Compared at each commit: the length of the undo log, what the changed objects hold, the
 *                records that were given, the positions; where the recording has it, the whole last state.  The first
 *                difference is named
 *   quarantine   the step in which the worker died.  It says which record, then does it: it dies again, by the same signal,
 *                or says that the record was handled
 *
 * A program whose worker has more than links (transportd) does its part out of the recording too: program->replay is called where
 * an entry of its own comes next, or a record of its own links, and calls the same functions that its worker ran, with what
 * stands in the recording in place of the world. */
#pragma once
#include <stdint.h>
#include "base/bytes.h"
#include "base/record.h"

struct program;
struct recorder_own;
struct replay;
struct step;

/* @list  tell each entry
 * Returns the exit code: 0 the same, or handled; 1 different, or a file that cannot be used. */
int replay_main(const struct program *p, const char *path, int list);

/* ---- for program->replay; what they return is borrowed until the next call.  Where the recording shows that its worker died at this
 * point, they do not return: program->replay has ended.  Where it shows something else, the replay ends and says so ---- */
struct step *replay_step(struct replay *r);		/* the arena is at the same place all the time; a life gives it a new step */
/* Which worker's life this is, from 1 on: what a former one kept in memory is gone. */
uint64_t replay_life(const struct replay *r);
/* The number of the entry of its own that comes next, and what it says; 0: something else comes.  @ret: may be NULL */
unsigned replay_next(const struct replay *r, struct recorder_own *ret);
/* That entry, which must be number `what`. */
struct recorder_own replay_own(struct replay *r, unsigned what);
/* As worker_take, worker_commit. */
int replay_take(struct replay *r, unsigned l, struct record *ret, struct bytes *payload);
void replay_commit(struct replay *r);
/* It is another one than was recorded.  @why: for a person. */
_Noreturn void replay_stop(struct replay *r, const char *why);
