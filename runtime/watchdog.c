/* runtime/watchdog.c */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/time.h>
#include "runtime/watchdog.h"

static const _Atomic uint64_t *watched;
static _Atomic uint64_t rests;
static uint64_t last_epoch, last_rests;		/* the handler's alone */

/* The upper half of the arena's word is its epoch; the lower moves within a step too. */
static uint64_t epoch(void) { return atomic_load_explicit(watched, memory_order_relaxed) >> 32; }

static void on_tick(int signo)
{
	uint64_t e = epoch(), r = atomic_load_explicit(&rests, memory_order_relaxed);

	(void)signo;
	if (e == last_epoch && r == last_rests)
		abort();
	last_epoch = e;
	last_rests = r;
}

int watchdog_start(const _Atomic uint64_t *word)
{
	struct sigaction on = { .sa_handler = on_tick, .sa_flags = SA_RESTART };
	struct itimerval second = { { 1, 0 }, { 1, 0 } };

	watched = word;
	last_epoch = ~0ull;		/* the first tick always passes: what came before was starting up */
	last_rests = 0;
	if (sigaction(SIGPROF, &on, NULL) < 0 || setitimer(ITIMER_PROF, &second, NULL) < 0)
		return -errno;
	return 0;
}

void watchdog_rest(void)
{
	atomic_store_explicit(&rests, atomic_load_explicit(&rests, memory_order_relaxed) + 1, memory_order_relaxed);
}
