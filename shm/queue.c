/* shm/queue.c - see queue.h. */
#include "shm/queue.h"
#include "shm/undo.h"

_Static_assert(sizeof(struct arena_slot) + sizeof(struct chunk) == 4 * ARENA_LINE, "said in the header");

static const char broken[] = "a queue lacks a chunk";

static struct chunk *chunk_edit_(struct arena *a, const void *c) { return arena_edit(a, c, offsetof(struct chunk, in_octets)); }

static uint32_t id_of(const struct chunk *c)
{
	return arena_slot_of(c)->generation | (uint32_t)arena_slot_of(c)->number << 16;
}

/* A chunk that can take more, at the end of q. */
static struct chunk *with_room(struct arena *a, unsigned pool, struct queue *q)
{
	const struct chunk *last = arena_find(a, pool, q->last.v);
	struct chunk *c;

	if (last && last->in.tail < CHUNK_OCTETS)
		return chunk_edit_(a, last);
	c = arena_new(a, pool);
	if (!c)
		arena_panic("no chunk for what was promised");
	if (last)
		chunk_edit_(a, last)->next.v = id_of(c);
	else
		q->first.v = id_of(c);
	q->last.v = id_of(c);
	return c;
}

/* A chunk that was emptied in this step and is used again covers octets that a rollback would need. */
static void keep_old(struct arena *a, const struct chunk *c, uint32_t from, uint32_t n)
{
	struct fifo was = fifo_was(a, c, &c->in);
	uint32_t lo = from > was.head ? from : was.head, hi = from + n < was.tail ? from + n : was.tail;

	if (lo >= hi)
		return;
	undo_put(a, UNDO_OLD, (size_t)(c->in_octets + lo - a->at), hi - lo);
	undo_tell(a);
}

void queue_push(struct arena *a, unsigned pool, struct queue *q, const void *src, uint32_t n)
{
	q->len += n;
	while (n) {
		struct chunk *c = with_room(a, pool, q);
		uint32_t part = CHUNK_OCTETS - c->in.tail < n ? CHUNK_OCTETS - c->in.tail : n;

		keep_old(a, c, c->in.tail, part);
		memcpy(c->in_octets + c->in.tail, src, part);
		c->in.tail += part;
		src = (const uint8_t *)src + part;
		n -= part;
	}
}

bool queue_pop(struct arena *a, unsigned pool, struct queue *q, void *dst, uint32_t n)
{
	if (q->len < n)
		return false;
	q->len -= n;
	while (n) {
		const struct chunk *c = arena_find(a, pool, q->first.v);
		uint32_t part;

		if (!c)
			arena_panic(broken);
		part = c->in.tail - c->in.head < n ? c->in.tail - c->in.head : n;
		if (dst) {
			memcpy(dst, c->in_octets + c->in.head, part);
			dst = (uint8_t *)dst + part;
		}
		n -= part;
		if (part < c->in.tail - c->in.head) {
			chunk_edit_(a, c)->in.head += part;
			continue;
		}
		q->first = c->next;
		arena_free(a, pool, c);
	}
	if (!q->len)
		q->last.v = 0;
	return true;
}

bool queue_peek(const struct arena *a, unsigned pool, const struct queue *q, uint32_t skip, void *dst, uint32_t n)
{
	const struct chunk *c = arena_find(a, pool, q->first.v);

	if (q->len < skip || q->len - skip < n)
		return false;
	while (n) {
		uint32_t held, part;

		if (!c)
			arena_panic(broken);
		held = c->in.tail - c->in.head;
		if (skip >= held) {
			skip -= held;
		} else {
			part = held - skip < n ? held - skip : n;
			memcpy(dst, c->in_octets + c->in.head + skip, part);
			dst = (uint8_t *)dst + part;
			n -= part;
			skip = 0;
		}
		c = arena_find(a, pool, c->next.v);
	}
	return true;
}

uint32_t window_renew(uint32_t *extra, uint32_t most, uint32_t *spare, uint32_t owed)
{
	uint32_t n;

	if (*extra < *spare && *extra < most) {
		n = (*spare - *extra) / 2;
		n = n < most - *extra ? n : most - *extra;
		*extra += n;
		*spare -= n;
		return owed + n * CHUNK_OCTETS;
	}
	if (*extra > *spare) {
		n = (*extra - *spare) / 2;
		n = n < owed / CHUNK_OCTETS ? n : owed / CHUNK_OCTETS;
		*extra -= n;
		*spare += n;
		return owed - n * CHUNK_OCTETS;
	}
	return owed;
}
