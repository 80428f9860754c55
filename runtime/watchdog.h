/* runtime/watchdog.h - a worker that burns a second of CPU without a commit aborts (SIGABRT: it counts as a strike).
 *
 * ITIMER_PROF counts only CPU time, so an idle worker is never woken by it.  A commit or a rest (the worker went to sleep: it
 * had nothing left to do) between two ticks says that all is well. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

/* Start it; before the sandbox.  @word: the arena's word; read in the signal handler, must stay mapped.  Returns 0, -errno. */
int watchdog_start(const _Atomic uint64_t *word);
/* About to sleep with nothing left to do. */
void watchdog_rest(void);
