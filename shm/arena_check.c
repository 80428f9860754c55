/* shm/arena_check.c - does taking back give the state of the last commit?  For debug builds and tests. */
#include <stdio.h>
#include "shm/undo.h"

/* Is this loose octet of an object in one of its queues? */
static bool queued(const struct arena_pool *pool, const uint8_t *obj, uint32_t in)
{
	for (const struct arena_fifo *f = pool->fifo; f < pool->fifo + ARENA_FIFOS && f->cap; f++) {
		struct fifo q;

		memcpy(&q, obj + f->at, sizeof q);
		if (fifo_holds(f, q, in))
			return true;
	}
	return false;
}

/* Does octet i differ in a way that matters?  Says so in `say`. */
static bool differs(const struct arena *a, const uint8_t *is, const uint8_t *should, uint32_t i, char say[128])
{
	unsigned p = arena_pool_of(a, i);
	uint32_t slot, stride = a->pool[p].stride;
	int32_t in;

	if (i < a->pool[0].slots) {
		unsigned head = i < ARENA_HEADS_AT ? ARENA_POOLS : (i - ARENA_HEADS_AT) / ARENA_LINE;

		snprintf(say, 128, "pool head of %s", head < ARENA_POOLS && a->pool[head].is.name ? a->pool[head].is.name : "(header)");
		return true;
	}
	slot = (i - a->pool[p].slots) / stride;
	in = (int32_t)((i - a->pool[p].slots) % stride) - (int32_t)sizeof(struct arena_slot);
	if (in >= (int32_t)a->pool[p].is.logged &&
	    !queued(&a->pool[p].is, should + a->pool[p].slots + slot * stride + sizeof(struct arena_slot), (uint32_t)in))
		return false;
	snprintf(say, 128, "%s slot %u octet %d: %02x, not %02x", a->pool[p].is.name, slot, (int)in, is[i], should[i]);
	return true;
}

static const char *first_difference(const struct arena *a, const uint8_t *is, const uint8_t *should)
{
	static _Thread_local char say[128];

	for (uint32_t i = ARENA_LINE; i < a->log_at; i++) {
		if (i % 64 == 0 && a->log_at - i >= 64 && !memcmp(is + i, should + i, 64)) {
			i += 63;
			continue;
		}
		if (is[i] != should[i] && differs(a, is, should, i, say))
			return say;
	}
	return "";
}

const char *arena_compare(const struct arena *a, const uint8_t *image) { return first_difference(a, a->at, image); }

const char *arena_check(const struct arena *a)
{
	memcpy(a->trial, a->at, a->log_at);
	undo_take_back(a->trial, a->at + a->log_at, a->log_len);
	return first_difference(a, a->trial, a->shadow);
}
