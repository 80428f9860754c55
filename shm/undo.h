/* shm/undo.h - inside of the arena: its shared layout and its log.  Only shm/ includes it. */
#pragma once
#include "shm/arena.h"

enum undo_kind { UNDO_OLD, UNDO_ZERO };		/* put the old octets back; clear */
/* Slots of a pool of a plan. */
static inline uint64_t pool_slots(const struct arena_pool *p, const struct arena_plan *plan)
{
	return (uint64_t)(p->slots & 0xFFFF) * (p->by == LIMIT_NONE ? 1 : plan->limits.of[p->by]) + (p->slots >> 16);	/* ARENA_SLOTS */
}
struct undo_footer { uint32_t where, len : 30, kind : 2; };
struct pool_head { uint32_t free, live; };	/* free: slot number + 1, 0: none */
struct arena_header {				/* at ARENA_HEADER_AT; never changed once the arena is made */
	uint64_t magic, layout_hash, config_hash;
	uint32_t limit[LIMITS];
	uint32_t slots_at;			/* of pool 0: where an observer finds the positions */
	uint32_t version, end, pools;		/* of the plan; where the slots end and the log begins; how many pools */
};
enum { POOL_NAME = 24 };
/* Behind each pool head: what a program with another layout has to know of this one (shm/migrate.h). */
struct pool_said { char name[POOL_NAME]; uint32_t slots, stride, count, size, logged; };
enum { ARENA_LINE = 64, ARENA_HEADER_AT = 64, ARENA_HEADS_AT = 256 };
#define ARENA_MAGIC 0x32416c696f666572ull	/* "refoilA2" */

/* Fill a->pool and the rest of the geometry from the plan; returns where the slots end. */
uint32_t arena_lay_out(struct arena *a, const struct arena_plan *plan);
/* The two halves of arena_format: blank, with all slots free and empty; and valid, by the last store.  Between them objects are made. */
void arena_blank(struct arena *a);
void arena_seal(struct arena *a, const struct arena_plan *plan);
unsigned arena_pool_of(const struct arena *a, size_t off);
/* Append to the log; not yet valid until undo_tell. */
void undo_put(struct arena *a, enum undo_kind kind, size_t off, uint32_t len);
/* Nothing is logged yet: the stamps of the step that ends count no more. */
void undo_begin(struct arena *a);
/* Store the word: what was put so far is valid. */
void undo_tell(struct arena *a);
/* Take `len` octets of log back in an image of the arena, from the last entry to the first. */
void undo_take_back(uint8_t *image, const uint8_t *log, uint32_t len);
/* What q, in an object under edit, was at the last commit: octets from its head on are still needed, should this step be taken back. */
struct fifo fifo_was(const struct arena *a, const void *obj, const struct fifo *q);
/* Is octet `in` of an object in that queue of it?  One whose capacity is no power of two does not go round (a chunk's). */
static inline bool fifo_holds(const struct arena_fifo *f, struct fifo q, uint32_t in)
{
	uint32_t at = in - f->octets;

	if (in < f->octets || at >= f->cap)
		return false;
	if (f->cap & (f->cap - 1))
		return at >= q.head && at < q.tail;
	return ((at - q.head) & (f->cap - 1)) < q.tail - q.head;
}
static inline bool fifo_sound(const struct arena_fifo *f, struct fifo q)
{
	return f->cap & (f->cap - 1) ? q.head <= q.tail && q.tail <= f->cap : q.tail - q.head <= f->cap;
}
static inline uint32_t round_up(uint32_t n, uint32_t to) { return (n + to - 1) / to * to; }
