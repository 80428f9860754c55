/* shm/arena_image.c */
#include "base/hash.h"
#include "shm/arena_image.h"
#include "shm/undo.h"

/* Steps over the last entry of a log of `len` octets.  False: there is no whole one. */
static bool last_entry(const uint8_t *log, uint32_t *len, struct undo_footer *ret)
{
	if (*len < sizeof *ret)
		return false;
	*len -= (uint32_t)sizeof *ret;
	memcpy(ret, log + *len, sizeof *ret);
	if (ret->kind != UNDO_OLD)
		return ret->kind == UNDO_ZERO;
	if (round_up(ret->len, 8) > *len)
		return false;
	*len -= round_up(ret->len, 8);
	return true;
}

bool arena_log_sound(const uint8_t *log, uint32_t len, uint32_t image_len)
{
	struct undo_footer f;

	while (len)
		if (!last_entry(log, &len, &f) || f.where < ARENA_HEADS_AT || f.where > image_len || f.len > image_len - f.where)
			return false;
	return true;
}

uint64_t arena_formatted_for(const struct arena *a)
{
	return ((const struct arena_header *)(const void *)(a->at + ARENA_HEADER_AT))->layout_hash;
}

uint64_t arena_image_octets(const struct arena_plan *plan)
{
	const struct arena_pool *p = plan->pools;
	uint64_t octets = ARENA_HEADS_AT;

	for (unsigned n = 0; n < ARENA_POOLS && p[n].name; n++) {
		uint64_t count = pool_slots(&p[n], plan);
		uint64_t stride = round_up((uint32_t)sizeof(struct arena_slot) + p[n].size, ARENA_LINE);

		if (count > UINT16_MAX + 1u)		/* a slot's number has 16 bits */
			return UINT64_MAX;
		octets += ARENA_LINE + count * stride;
	}
	return octets;
}

static const struct arena_slot *slot_at(const struct arena *a, const uint8_t *image, unsigned p, uint32_t i)
{
	return (const void *)(image + a->pool[p].slots + (size_t)i * a->pool[p].stride);
}

static bool queues_sound(const struct arena_pool *pool, const uint8_t *obj)
{
	for (const struct arena_fifo *f = pool->fifo; f < pool->fifo + ARENA_FIFOS && f->cap; f++) {
		struct fifo q;

		memcpy(&q, obj + f->at, sizeof q);
		if (!fifo_sound(f, q))
			return false;
	}
	return true;
}

static const char *pool_whole(const struct arena *a, unsigned p)
{
	const struct pool_head *h = (const void *)(a->at + a->pool[p].head);
	uint32_t live = 0, chained = 0, next = h->free;

	for (uint32_t i = 0; i < a->pool[p].count; i++) {
		const struct arena_slot *s = slot_at(a, a->at, p, i);

		if (s->number != i)
			return "a slot has another's number";
		live += s->generation & 1;
		if (s->generation & 1 && !queues_sound(&a->pool[p].is, (const uint8_t *)(s + 1)))
			return "a queue holds more than it can";
	}
	for (; next; chained++) {
		if (next > a->pool[p].count || chained >= a->pool[p].count || slot_at(a, a->at, p, next - 1)->generation & 1)
			return "a list of free slots is broken";
		next = slot_at(a, a->at, p, next - 1)->next;
	}
	return live == h->live && live + chained == a->pool[p].count ? "" : "slots are neither live nor free";
}

const char *arena_whole(const struct arena *a)
{
	const char *why = "";

	for (unsigned p = 0; p < ARENA_POOLS && a->pool[p].is.name && !*why; p++)
		why = pool_whole(a, p);
	for (unsigned p = 0; p < 3 && !*why; p++)	/* positions, entropy, counters: every core takes them for granted */
		if (a->pool[p].count != 1 || !arena_next(a, p, NULL))
			why = "the objects of every core are not there";
	return why;
}

/* Clear what no queue holds. */
static void clear_unowned(const struct arena_pool *pool, uint8_t *obj)
{
	bool live = ((const struct arena_slot *)(const void *)obj - 1)->generation & 1;

	for (uint32_t i = pool->logged; i < pool->size; i++) {
		bool held = false;

		for (const struct arena_fifo *f = pool->fifo; live && f < pool->fifo + ARENA_FIFOS && f->cap; f++) {
			struct fifo q;

			memcpy(&q, obj + f->at, sizeof q);
			held |= fifo_holds(f, q, i);
		}
		if (!held)
			obj[i] = 0;
	}
}

uint64_t arena_state_hash(const struct arena *a, uint8_t *scratch)
{
	memcpy(scratch, a->at, a->log_at);
	for (unsigned p = 0; p < ARENA_POOLS && a->pool[p].is.name; p++)
		for (uint32_t i = 0; i < a->pool[p].count && a->pool[p].is.logged < a->pool[p].is.size; i++)
			clear_unowned(&a->pool[p].is, scratch + a->pool[p].slots + (size_t)i * a->pool[p].stride + sizeof(struct arena_slot));
	return hash_octets(HASH_START, scratch + ARENA_HEADER_AT, a->log_at - ARENA_HEADER_AT);
}

uint64_t arena_changed_hash(const struct arena *a)
{
	const uint8_t *log = a->at + a->log_at;
	uint32_t len = a->log_len;
	uint64_t h = HASH_START;
	struct undo_footer f;

	while (len && last_entry(log, &len, &f)) {
		h = hash_word(h, f.where);
		h = hash_octets(h, a->at + f.where, f.len);
	}
	return h;
}
