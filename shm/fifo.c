/* shm/fifo.c - byte queues in objects of the arena. */
#include "shm/undo.h"

struct fifo fifo_was(const struct arena *a, const void *obj, const struct fifo *q)
{
	size_t off = (size_t)((const uint8_t *)obj - a->at);
	uint32_t stamp = a->stamp[(off - sizeof(struct arena_slot)) / ARENA_LINE];
	struct fifo was;

#ifdef ARENA_PLAIN
	return *q;
#endif
	if (stamp < a->since)
		arena_panic("push into an object that is not under edit");
	if (stamp & 1)		/* made in this step */
		return (struct fifo){ 0 };
	memcpy(&was, a->at + a->log_at + (stamp - a->since) + sizeof(struct arena_slot) + ((const uint8_t *)q - (const uint8_t *)obj), sizeof was);
	return was;
}

bool arena_fifo_push(struct arena *a, void *obj, struct fifo *q, uint8_t *octets, uint32_t cap, const void *src, uint32_t n)
{
	uint32_t from = q->tail & (cap - 1), first = n < cap - from ? n : cap - from, ahead, needed;
	size_t off = (size_t)(octets - a->at);
	struct fifo was;

	if (cap - (q->tail - q->head) < n)
		return false;
	was = fifo_was(a, obj, q);
	/* By place, not by position: the queue of a slot that was used again counts from 0. */
	ahead = (q->tail - was.head) & (cap - 1);
	needed = was.tail - was.head;
	if (needed && (ahead < needed || ahead + n > cap)) {
		undo_put(a, UNDO_OLD, off + from, first);
		undo_put(a, UNDO_OLD, off, n - first);
		undo_tell(a);
	}
	memcpy(octets + from, src, first);
	memcpy(octets, (const uint8_t *)src + first, n - first);
	q->tail += n;
	return true;
}

bool arena_fifo_peek(const struct fifo *q, const uint8_t *octets, uint32_t cap, uint32_t skip, void *dst, uint32_t n)
{
	uint32_t from = (q->head + skip) & (cap - 1), first = n < cap - from ? n : cap - from, held = q->tail - q->head;

	if (held < skip || held - skip < n)
		return false;
	memcpy(dst, octets + from, first);
	memcpy((uint8_t *)dst + first, octets, n - first);
	return true;
}

bool arena_fifo_pop(struct fifo *q, const uint8_t *octets, uint32_t cap, void *dst, uint32_t n)
{
	if (q->tail - q->head < n || (dst && !arena_fifo_peek(q, octets, cap, 0, dst, n)))
		return false;
	q->head += n;
	return true;
}
