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
 * transportd's state moves with its sockets and not in its core alone: its recording is read and told, not repeated. */
#pragma once
struct program;

/* @list  tell each entry
 * Returns the exit code: 0 the same, or handled; 1 different, or a file that cannot be used. */
int replay_main(const struct program *p, const char *path, int list);
