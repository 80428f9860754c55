/* shm/migrate.h - an arena of another layout, taken over.
 *
 * An arena says of itself how it is laid out: version, pools by name, the size and the number of their objects.  A core
 * registers from which versions it can take over, and how each pool differed there:
 *
 *   static const struct arena_change from_1[] = {
 *   	{ "bearer", sizeof(struct bearer_1), offsetof(struct bearer_1, rx_octets), NULL },
 *   	{ .pool = NULL } };
 *   static const struct arena_migration migrations[] = { { 1, from_1, NULL }, { .from = 0 } };
 *
 * Pools are found by name.  One that is not among the changes has to be as it was: the same sizes, no fewer slots.  One that is,
 * and has no `convert`, has its fields where they lay; fields that were added at the end of the logged part are zero, and the
 * loose octets (queues), as many as they were, follow.  Slots keep their numbers and generations, so ids stay true; the
 * positions in the rings are a pool like any other and come along.
 *
 * Guarantees: the old arena is only read; a step that was open in it is taken back in a copy.  The new one is valid by its
 * last store, and what was in it before does not count: a migration that was killed is begun again.
 * Refuses: what no row describes, another configuration, an arena that contradicts itself.  The old octets are ours, but
 * of another program: each index is checked before it is used. */
#pragma once
#include "base/bytes.h"
#include "shm/arena.h"

struct arena_change {
	const char *pool;		/* NULL ends a list */
	uint32_t size, logged;		/* of its objects in the old layout; size 0: there was no such pool */
	/* Makes the object `now` (zeroed) of `was`, for slots in use; for a pool that is no more it is not called.  NULL: as above. */
	void (*convert)(void *now, const void *was);
};
struct arena_migration {
	uint32_t from;			/* version of the old layout; 0 ends a list */
	const struct arena_change *changes;
	void (*finish)(struct arena *a);	/* when all pools are there: what is beyond one object; NULL: nothing */
};

enum arena_verdict {
	ARENA_EQUAL = 1,		/* it can be gone on with as it is */
	ARENA_MIGRATES = 2,
	ARENA_REFUSED = 3,		/* a layout that no row describes, or another configuration */
	ARENA_GARBLED = 4,		/* no arena, or one that contradicts itself */
};
enum { ARENA_WHY = 120 };

/* Can a program with this plan take over the arena whose first octets these are?  Looks at what never changes in a living arena
 * alone, so it may be asked while a worker runs on it.
 *
 * @list  the core's migrations; NULL: none
 * @old   the whole arena; borrowed
 * @why   ARENA_WHY octets: what stands against it, for a person; "" if nothing does */
enum arena_verdict arena_judge(const struct arena_plan *plan, const struct arena_migration *list, struct bytes old, char *why);

/* Make the arena in `a` (arena_open over new memory, whatever it said) of the old one, which nobody works on any more.
 *
 * @on_pool  for tests: called before each pool is copied; NULL
 *
 * Returns 0: valid, at the old one's last commit and in its epoch; ARENA_REFUSED, ARENA_GARBLED: it stays blank; -ENOMEM. */
int arena_migrate(struct arena *a, const struct arena_plan *plan, const struct arena_migration *list, struct bytes old,
    void (*on_pool)(unsigned pool));
