/* shm/stats.c */
#include "shm/stats.h"

void stats_show(struct stats *st, struct step *s)
{
	const struct counters *c = counters_only(s->arena);

	for (; s->counted; s->counted &= s->counted - 1) {
		unsigned i = (unsigned)__builtin_ctzll(s->counted);

		if (i < COUNTERS)
			atomic_store_explicit(&st->core[i], c->at[i], memory_order_relaxed);
	}
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
