/* shm/queue.h - byte queues that share their memory: chunks of one pool, linked.
 *
 *   struct queue { first, last, len }  ->  chunk  ->  chunk  ->  chunk
 *                                          popped|octets  octets  octets|free
 *
 * A queue that is rarely deep costs nothing while it is empty.  n octets take at most queue_chunks(n) chunks, so a core that
 * keeps that many free for whatever it has promised never meets an empty pool.
 *
 * A core that has queues has a pool of this row, and passes its place in the table (POOL_chunk):
 *
 *	ROW(chunk, ARENA_SLOTS(each, besides), LIMIT_CONNECTIONS, offsetof(struct chunk, in_octets), FIFO(chunk, in))
 *
 * Guarantees: what a step pushed and popped is taken back with it, also where a chunk is emptied and used again within the step.
 * As with struct fifo, pushed octets are logged only where a rollback needs what lies beneath them.
 *
 * Windows: whoever promises room to its neighbour (credits) backs it with chunks.  Each has a base; beyond it there is a shared
 * rest, in chunks, of which a window may have as many as are left free: one alone gets half of it, n busy ones an n+1-th each.
 * It grows and shrinks as it is handed back, so nobody is looked at but the one that was used. */
#pragma once
#include "shm/arena.h"

enum { CHUNK_OCTETS = 236 };		/* with its slot's head four lines of a cache */

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct chunk_id { uint32_t v; };
struct chunk {
	struct chunk_id next;
	struct fifo in;			/* head <= tail <= CHUNK_OCTETS: it is filled once, from its begin, and emptied once */
	uint8_t in_octets[CHUNK_OCTETS];
};
struct queue {
	struct chunk_id first, last;
	uint32_t len;			/* octets in all */
};
#pragma GCC diagnostic pop

/* The most chunks that a queue of `octets` takes: its first may be all but emptied. */
#define QUEUE_CHUNKS(octets) (((octets) + CHUNK_OCTETS - 1) / CHUNK_OCTETS + 1)
/* Octets of undo log that a push or a pop of n octets may take. */
#define QUEUE_UNDO(n) (((n) / CHUNK_OCTETS + 2) * (CHUNK_OCTETS + 120))
/* ... and emptying one of so many chunks at once. */
#define QUEUE_UNDO_CLEAR(chunks) ((chunks) * 56)

/* Append n octets.  q is in an object under edit.  Panics when the pool is empty: the core promised more than it had. */
void queue_push(struct arena *a, unsigned pool, struct queue *q, const void *src, uint32_t n);
/* Take n octets into dst (NULL: drop them); false: it holds less, nothing done.  q is in an object under edit. */
bool queue_pop(struct arena *a, unsigned pool, struct queue *q, void *dst, uint32_t n);
/* Copy n octets from `skip` octets behind its begin; false: it holds less. */
bool queue_peek(const struct arena *a, unsigned pool, const struct queue *q, uint32_t skip, void *dst, uint32_t n);

/* `owed` octets of a window are to be handed back.
 *
 * @extra  chunks that this window has beyond its base
 * @most   that it may have
 * @spare  chunks of the shared rest that are nobody's now
 *
 * Both are in objects under edit, and change together.  Returns the octets to hand back: more than owed where the window grows,
 * less where it shrinks, maybe 0. */
uint32_t window_renew(uint32_t *extra, uint32_t most, uint32_t *spare, uint32_t owed);
