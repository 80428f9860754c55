/* shm/stats.c */
#include "shm/stats.h"

void stats_show(struct stats *st, const struct arena *a)
{
	const struct counters *c = counters_next(a, NULL);

	for (unsigned i = 0; c && i < COUNTERS; i++)
		atomic_store_explicit(&st->core[i], c->at[i], memory_order_relaxed);
}

const char *stats_shell_name(unsigned c)
{
	static const char *const names[] = {
#define ROW(n) #n,
		SHELL_COUNTERS(ROW)
#undef ROW
	};

	return c < SHELL_COUNTER_COUNT ? names[c] : NULL;
}
