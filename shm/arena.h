/* shm/arena.h - all state of a worker that outlives one step.
 *
 *   0        word        { epoch : 32 | undo length : 32 }       the one word that decides
 *   64       header      magic, hashes of layout and configuration, limits, where the slots begin
 *   256      pool heads  { first free, live }                    64 octets each
 *   ...      slots       { generation, number, next free } object | loose octets      64-aligned
 *   log_at   undo log    [old octets | where, length, kind] [old octets | where, length, kind] ...
 *
 * Undo length 0: the arena is whole, and what was logged before means nothing.  Not 0: a step is under way; its edits are
 * taken back by walking the log from its end.  arena_commit stores { epoch + 1, 0 }: this ends the step, and empties the
 * log, at once.  The log is never changed by taking back, so that may be killed and repeated.
 *
 * Guarantees: after SIGKILL at any instruction, arena_rollback gives the state of the last commit.
 * Refuses: another layout or configuration than it was formatted for, pointers in objects (each worker maps elsewhere),
 * growth, two workers.
 *
 * What has been logged in this step is remembered in private memory (`stamp`, 4 octets for each 64), never in the arena: a
 * stamp that survived its step would be a lie that loses an edit.  A stamp says where in the log the old octets are, counted
 * from `since`, which each step begins beyond all stamps of the former ones.
 *
 * Order.  Old octets before the length: release.  The length before the change: a release store does not say so (later plain
 * stores may move up over it), hence the signal fence.  A kill is precise, so no CPU fence is needed.
 *
 * How a core uses it: objects come from the pools of a table, as `const` views found by typed ids; x_edit takes the view,
 * logs the object once a step, and returns the same address, writable.  See gattd/core/state.h for a table. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { ARENA_POOLS = 16, ARENA_FIFOS = 4 };

/* What a capacity is multiplied by; set from the configuration when the arena is made. */
enum arena_limit { LIMIT_NONE, LIMIT_CONNECTIONS, LIMIT_ATTRIBUTES, LIMIT_CONTROLLERS, LIMITS };
struct arena_limits { uint32_t of[LIMITS]; };		/* of[LIMIT_NONE] is taken as 1 */

struct arena_fifo { uint32_t at, octets, cap; };
struct arena_pool {
	const char *name;		/* NULL ends a table */
	uint32_t slots;			/* objects for each unit of `by`; ARENA_SLOTS: and some besides */
	enum arena_limit by;
	uint32_t size, logged;		/* octets of an object; those from `logged` on are loose: queue octets */
	struct arena_fifo fifo[ARENA_FIFOS];
};
#define FIFO(n, q) { offsetof(struct n, q), offsetof(struct n, q##_octets), sizeof ((struct n *)0)->q##_octets }	/* in the row of n */

#define ARENA_SLOTS(each, besides) ((uint32_t)(each) | (uint32_t)(besides) << 16)

struct arena_slot { uint16_t generation, number; uint32_t next; };	/* odd generation: live */
struct arena {
	uint8_t *at;			/* this mapping: borrowed */
	_Atomic uint64_t *word;
	uint32_t epoch, log_len, log_cap, log_at;
	uint32_t since;			/* stamps below it are of former steps; a multiple of 8, never 0 */
	uint32_t *stamp;		/* owned: since + place in the log; odd: made in this step, nothing of it is in the log */
	struct { struct arena_pool is; uint32_t head, slots, stride, count; } pool[ARENA_POOLS];
	uint8_t *shadow, *trial;	/* debug: state of the last commit; scratch.  NULL in release */
};
enum { ARENA_E_BLANK = 1, ARENA_E_LAYOUT = 2, ARENA_E_CONFIG = 3 };

/* What an arena is for: the table, its version and the configuration that it depends on. */
struct arena_plan {
	const struct arena_pool *pools;	/* borrowed, static */
	struct arena_limits limits;
	uint32_t version;		/* grows with each change of meaning that the table does not show */
	uint32_t log;			/* octets of undo log that a step may fill: it is a part of the layout */
	uint64_t config_hash;		/* of the cold keys */
};

/* Octets to map for a plan: header, slots and log.  All of them are real memory from the start (shm/segment.h). */
size_t arena_size(const struct arena_plan *plan);
/* Hash of names, sizes, counts and queues of a plan. */
uint64_t arena_layout_hash(const struct arena_plan *plan);

/* Use what is mapped at `at`.
 *
 * @at      arena_size() octets, 64-aligned; borrowed until arena_close
 * @shadow  debug: compare each commit with its simulated rollback (costs a copy of the arena a step)
 *
 * Returns 0; ARENA_E_BLANK (never formatted: call arena_format); ARENA_E_LAYOUT, ARENA_E_CONFIG (another plan's); -ENOMEM. */
int arena_open(struct arena *a, const struct arena_plan *plan, void *at, bool shadow);
/* Make all slots free and empty, whatever was there.  Objects that `fill` makes are there from the start; only the last store
 * makes the arena valid, so a kill on the way leaves it blank. */
void arena_format(struct arena *a, const struct arena_plan *plan, void (*fill)(struct arena *a));
void arena_close(struct arena *a);

void arena_rollback(struct arena *a);		/* to the last commit; may be repeated */
void arena_commit(struct arena *a);		/* the one store */
static inline bool arena_dirty(const struct arena *a) { return a->log_len != 0; }
/* Octets that the log still takes in this step. */
static inline uint32_t arena_log_room(const struct arena *a) { return a->log_cap - a->log_len; }
/* What an observer reads from the word at `at`: is a step open? */
static inline bool arena_step_open(const void *at) { return (uint32_t)atomic_load_explicit((const _Atomic uint64_t *)at, memory_order_acquire) != 0; }

/* ... and how many commits there have been. */
static inline uint32_t arena_shown_epoch(const void *at) { return (uint32_t)(atomic_load_explicit((const _Atomic uint64_t *)at, memory_order_acquire) >> 32); }

/* Where and how the arena differs from what taking back should give; "" if it does not.  Needs the shadow. */
const char *arena_check(const struct arena *a);
/* Where and how it differs from the image of another arena of the same plan, loose octets only where they are queued. */
const char *arena_compare(const struct arena *a, const uint8_t *image);

/* Underneath ARENA_POOL and the queues; not for cores. */
void arena_log(struct arena *a, size_t off, uint32_t logged);
void *arena_new(struct arena *a, unsigned pool);
void arena_free(struct arena *a, unsigned pool, const void *obj);
static inline const void *arena_find(const struct arena *a, unsigned pool, uint32_t id)
{
	const struct arena_slot *s = (const void *)(a->at + a->pool[pool].slots + (size_t)(id >> 16) * a->pool[pool].stride);

	return id >> 16 < a->pool[pool].count && s->generation == (uint16_t)id && id & 1 ? s + 1 : NULL;
}
const void *arena_next(const struct arena *a, unsigned pool, const void *after);
uint32_t arena_live(const struct arena *a, unsigned pool);		/* objects in use */
_Noreturn void arena_panic(const char *what);	/* our own mistake: says so and aborts; the supervisor brings us back */
/* The object of slot 0, which must be there. */
static inline const void *arena_only(const struct arena *a, unsigned pool)
{
	return a->at + a->pool[pool].slots + sizeof(struct arena_slot);
}
static inline const struct arena_slot *arena_slot_of(const void *obj) { return (const struct arena_slot *)obj - 1; }

static inline void *arena_edit(struct arena *a, const void *obj, uint32_t logged)
{
	size_t off = (size_t)((const uint8_t *)obj - a->at);

	if (off >= a->log_at)
		arena_panic("edit of what is not in the arena");
#ifndef ARENA_PLAIN
	if (a->stamp[off / 64] < a->since)
		arena_log(a, off, logged);
#else
	(void)logged;
#endif
	return a->at + off;
}

/* One row of a state table makes, for struct n:
 *   n_view  by id; NULL if that object is gone          n_edit  log it, then change it
 *   n_next  the live ones, in slot order; NULL starts   n_new   zeroed, NULL when full      n_free
 *   n_id_of its id                                      n_number  its slot, 0 .. slots - 1
 *   n_only  the one object of a pool that is made with the arena and never freed
 * POOL_n, its place in the table, comes from an enum made of the same rows. */
#define ARENA_POOL(n, slots, by, logged, ...) \
static inline const struct n *n##_view(const struct arena *a, struct n##_id id) { return arena_find(a, POOL_##n, id.v); } \
static inline const struct n *n##_next(const struct arena *a, const struct n *after) { return arena_next(a, POOL_##n, after); } \
static inline const struct n *n##_only(const struct arena *a) { return arena_only(a, POOL_##n); } \
static inline struct n##_id n##_id_of(const struct n *o) { return (struct n##_id){ arena_slot_of(o)->generation | (uint32_t)arena_slot_of(o)->number << 16 }; } \
static inline uint16_t n##_number(const struct n *o) { return arena_slot_of(o)->number; } \
static inline struct n *n##_edit(struct arena *a, const struct n *o) { return arena_edit(a, o, logged); } \
static inline struct n *n##_new(struct arena *a) { return arena_new(a, POOL_##n); } \
static inline void n##_free(struct arena *a, const struct n *o) { arena_free(a, POOL_##n, o); }
#define ARENA_ENUM(n, slots, by, logged, ...) POOL_##n,
#define ARENA_ROW(n, slots, by, logged, ...) { #n, slots, by, sizeof(struct n), logged, { __VA_ARGS__ } },

/* A byte queue in an object: `struct fifo q` among its logged fields, `uint8_t q_octets[2^n]` among its loose ones.
 * Pushed octets are not logged: before this step nobody owned them.  Those that a rollback would need again (popped in this
 * step, then overwritten) are: the queue looks after that, and nothing else may write q_octets. */
struct fifo { uint32_t head, tail; };	/* octets ever popped, ever pushed */
#define fifo_len(o, q) ((o)->q.tail - (o)->q.head)
#define fifo_room(o, q) ((uint32_t)sizeof (o)->q##_octets - fifo_len(o, q))
/* Append n octets to queue q of object o, which must be under edit in this step; false: no room, nothing done. */
#define fifo_push(a, o, q, src, n) arena_fifo_push((a), (o), &(o)->q, (o)->q##_octets, sizeof (o)->q##_octets, (src), (n))
/* Take n octets into dst (NULL: drop them); false: it holds less, nothing done.  o must be under edit. */
#define fifo_pop(o, q, dst, n) arena_fifo_pop(&(o)->q, (o)->q##_octets, sizeof (o)->q##_octets, (dst), (n))
/* Copy n octets from `skip` octets behind the head, leaving them there; false: it holds less. */
#define fifo_peek(o, q, skip, dst, n) arena_fifo_peek(&(o)->q, (o)->q##_octets, sizeof (o)->q##_octets, (skip), (dst), (n))
bool arena_fifo_push(struct arena *a, void *obj, struct fifo *q, uint8_t *octets, uint32_t cap, const void *src, uint32_t n);
bool arena_fifo_pop(struct fifo *q, const uint8_t *octets, uint32_t cap, void *dst, uint32_t n);
bool arena_fifo_peek(const struct fifo *q, const uint8_t *octets, uint32_t cap, uint32_t skip, void *dst, uint32_t n);
