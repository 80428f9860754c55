/* tests/hostile/evil_arena.h - lies in an owned worker's own arena, aimed at what its heir will act on.
 *
 * A lie is a few octets and the place where they go.  It is told at once, in the committed state (evil_arena.c), or as an entry of
 * the undo log of a step that is left open, so that the heir's own rollback writes it (evil_log.c).  What every arena has (pool
 * heads, slots, free lists, queues, positions, entropy, the header) is known here; what a core's objects mean is said by a table of
 * its fields (fields_DAEMON.c), made from its own header. */
#pragma once
#include "base/types.h"
#include "shm/queue.h"
#include "shm/undo.h"
#include "tests/hostile/owned.h"

enum field_kind {
	FIELD_COUNT,		/* a number, a length, an index */
	FIELD_DEADLINE,		/* absolute ns */
	FIELD_STATE,		/* an enum or a flag */
	FIELD_MASK,
	FIELD_ID,		/* of an object in the pool `of` */
	FIELD_QUEUE,		/* a struct queue, of chunks in the pool `of` */
};
struct arena_field {
	const char *pool;	/* NULL ends a table */
	uint32_t at, octets;	/* in the object; of all of it */
	uint32_t each;		/* octets of one, 1 to 8; a queue's are its own */
	enum field_kind kind;
	const char *of;
};
#define FIELD(n, f, kind) { #n, offsetof(struct n, f), sizeof ((struct n *)0)->f, sizeof ((struct n *)0)->f, FIELD_##kind, NULL },
#define FIELDS(n, f, kind) { #n, offsetof(struct n, f), sizeof ((struct n *)0)->f, sizeof ((struct n *)0)->f[0], FIELD_##kind, NULL },
#define FIELD_OF(n, f, kind, of) { #n, offsetof(struct n, f), sizeof ((struct n *)0)->f, sizeof ((struct n *)0)->f, FIELD_##kind, #of },
#define FIELDS_OF(n, f, kind, of) { #n, offsetof(struct n, f), sizeof ((struct n *)0)->f, sizeof ((struct n *)0)->f[0], FIELD_##kind, #of },

extern const struct arena_field fields_transportd[], fields_hostd[], fields_gattd[];

enum { LIE_OCTETS = 16 };
struct lie { uint32_t where, len; uint8_t says[LIE_OCTETS]; };		/* where: offset in the arena */

/* One lie of that sort.  Those about the header lie where no undo log may reach. */
struct lie lie_heads(struct owned *o);		/* first free slot, live count */
struct lie lie_slots(struct owned *o);		/* generation, number, next free slot */
struct lie lie_free_lists(struct owned *o);	/* a cycle, a slot twice, one that is live, one that is none */
struct lie lie_fifos(struct owned *o);		/* head or tail of a queue in an object */
struct lie lie_positions(struct owned *o);	/* where the links stand, and in which generation */
struct lie lie_entropy(struct owned *o);
struct lie lie_deadlines(struct owned *o);
struct lie lie_ids(struct owned *o);
struct lie lie_fields(struct owned *o);		/* any field of the core's own objects */
struct lie lie_header(struct owned *o);
struct lie lie_anywhere(struct owned *o);	/* any of the above but the header's */

/* A queue whose only chunk follows itself, and is empty: who walks it never comes to an end.  False: this core has no queues.
 *
 * @ret  four lies */
bool lie_cycle(struct owned *o, struct lie ret[4]);
