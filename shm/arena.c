/* shm/arena.c - layout, opening, and the slots of the pools. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "shm/undo.h"

_Noreturn void arena_panic(const char *what)
{
	fprintf(stderr, "arena: %s\n", what);
	abort();
}

uint32_t arena_lay_out(struct arena *a, const struct arena_plan *plan)
{
	const struct arena_pool *p = plan->pools;
	uint32_t at = ARENA_HEADS_AT;
	unsigned n = 0;

	a->log_cap = round_up(plan->log, ARENA_LINE);
	memset(a->pool, 0, sizeof a->pool);
	for (; n < ARENA_POOLS && p[n].name; n++, at += ARENA_LINE) {
		a->pool[n].is = p[n];
		a->pool[n].head = at;
	}
	for (unsigned i = 0; i < n; i++) {
		a->pool[i].slots = at;
		a->pool[i].count = (uint32_t)pool_slots(&p[i], plan);
		a->pool[i].stride = round_up((uint32_t)sizeof(struct arena_slot) + p[i].size, ARENA_LINE);
		at += a->pool[i].stride * a->pool[i].count;
	}
	return at;
}

size_t arena_size(const struct arena_plan *plan)
{
	struct arena a;

	return (size_t)arena_lay_out(&a, plan) + a.log_cap;
}

static uint64_t mix(uint64_t h, const void *at, size_t n)	/* FNV-1a */
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const uint8_t *)at)[i]) * 1099511628211u;
	return h;
}

uint64_t arena_layout_hash(const struct arena_plan *plan)
{
	struct arena a;
	uint32_t end = arena_lay_out(&a, plan);
	uint64_t h = mix(14695981039346656037u, &end, sizeof end);

	h = mix(h, &plan->version, sizeof plan->version);
	h = mix(h, &a.log_cap, sizeof a.log_cap);
	for (unsigned i = 0; i < ARENA_POOLS && a.pool[i].is.name; i++) {
		const struct arena_pool *p = &a.pool[i].is;
		const uint32_t facts[] = { a.pool[i].count, p->size, p->logged };

		h = mix(h, p->name, strlen(p->name));
		h = mix(h, facts, sizeof facts);
		h = mix(h, p->fifo, sizeof p->fifo);
	}
	return h;
}

int arena_open(struct arena *a, const struct arena_plan *plan, void *at, bool shadow)
{
	const struct arena_header *h = (const void *)((const uint8_t *)at + ARENA_HEADER_AT);

	*a = (struct arena){ .at = at, .word = at };
	a->log_at = arena_lay_out(a, plan);
	a->stamp = calloc(a->log_at / ARENA_LINE, sizeof *a->stamp);
	if (shadow) {
		a->shadow = calloc(1, a->log_at);
		a->trial = malloc(a->log_at);
	}
	if (!a->stamp || (shadow && (!a->shadow || !a->trial))) {
		arena_close(a);
		return -ENOMEM;
	}
	undo_begin(a);
	if (h->magic != ARENA_MAGIC)
		return ARENA_E_BLANK;
	if (h->layout_hash != arena_layout_hash(plan))
		return ARENA_E_LAYOUT;
	return h->config_hash == plan->config_hash ? 0 : ARENA_E_CONFIG;
}

static struct pool_said *said_at(struct arena *a, unsigned pool)
{
	return (void *)(a->at + a->pool[pool].head + sizeof(struct pool_head));
}

_Static_assert(sizeof(struct pool_head) + sizeof(struct pool_said) <= ARENA_LINE && sizeof(struct arena_header) <=
    ARENA_HEADS_AT - ARENA_HEADER_AT, "their places");

void arena_blank(struct arena *a)
{
	struct arena_header *h = (void *)(a->at + ARENA_HEADER_AT);

	*(volatile uint64_t *)&h->magic = 0;		/* from here on: blank, whatever happens */
	atomic_signal_fence(memory_order_seq_cst);
	memset(a->at + sizeof h->magic + ARENA_HEADER_AT, 0, a->log_at - ARENA_HEADER_AT - sizeof h->magic);
	a->epoch = a->log_len = 0;
	undo_tell(a);
	for (unsigned p = 0; p < ARENA_POOLS && a->pool[p].is.name; p++) {
		*(struct pool_head *)(void *)(a->at + a->pool[p].head) = (struct pool_head){ a->pool[p].count ? 1 : 0, 0 };
		for (uint32_t i = 0; i < a->pool[p].count; i++)
			*(struct arena_slot *)(void *)(a->at + a->pool[p].slots + i * a->pool[p].stride) =
			    (struct arena_slot){ 0, (uint16_t)i, i + 1 < a->pool[p].count ? i + 2 : 0 };
		*said_at(a, p) = (struct pool_said){ .slots = a->pool[p].slots, .stride = a->pool[p].stride, .count = a->pool[p].count,
		    .size = a->pool[p].is.size, .logged = a->pool[p].is.logged };
		if (strlen(a->pool[p].is.name) >= POOL_NAME)
			arena_panic("a pool's name is too long");
		strcpy(said_at(a, p)->name, a->pool[p].is.name);
		h->pools = p + 1;
	}
	if (a->shadow)
		memcpy(a->shadow, a->at, a->log_at);
}

void arena_seal(struct arena *a, const struct arena_plan *plan)
{
	struct arena_header *h = (void *)(a->at + ARENA_HEADER_AT);

	h->version = plan->version;
	h->end = a->log_at;
	h->layout_hash = arena_layout_hash(plan);
	h->config_hash = plan->config_hash;
	memcpy(h->limit, plan->limits.of, sizeof h->limit);
	h->slots_at = a->pool[0].slots;
	if (a->shadow)		/* the header is no object: show it to the check as it is */
		memcpy(a->shadow + ARENA_HEADER_AT, h, sizeof *h);
	arena_commit(a);
	atomic_signal_fence(memory_order_seq_cst);
	*(volatile uint64_t *)&h->magic = ARENA_MAGIC;
	if (a->shadow)
		memcpy(a->shadow, a->at, a->log_at);
}

void arena_format(struct arena *a, const struct arena_plan *plan, void (*fill)(struct arena *a))
{
	arena_blank(a);
	fill(a);
	arena_seal(a, plan);
}

void arena_close(struct arena *a)
{
	free(a->stamp);
	free(a->shadow);
	free(a->trial);
	*a = (struct arena){ 0 };
}

unsigned arena_pool_of(const struct arena *a, size_t off)
{
	unsigned p = 0;

	while (p + 1 < ARENA_POOLS && a->pool[p + 1].is.name && off >= a->pool[p + 1].slots)
		p++;
	return p;
}

/* A free slot is all zero but for its header and its loose octets, so a new one needs no old octets in the log. */
void *arena_new(struct arena *a, unsigned pool)
{
	struct pool_head *h = (void *)(a->at + a->pool[pool].head);
	size_t off = a->pool[pool].slots + (size_t)(h->free - 1) * a->pool[pool].stride;
	struct arena_slot *s = (void *)(a->at + off);

	if (!h->free)
		return NULL;
	undo_put(a, UNDO_OLD, a->pool[pool].head, sizeof *h);
	if (a->stamp[off / ARENA_LINE] < a->since) {	/* else freed in this very step: the older entry serves */
		undo_put(a, UNDO_OLD, off, sizeof *s);
		undo_put(a, UNDO_ZERO, off + sizeof *s, a->pool[pool].is.logged);
		a->stamp[off / ARENA_LINE] = a->since + 1;
	}
	undo_tell(a);
	*h = (struct pool_head){ s->next, h->live + 1 };
	s->next = 0;
	s->generation++;
	return s + 1;
}

void arena_free(struct arena *a, unsigned pool, const void *obj)
{
	struct pool_head *h = (void *)(a->at + a->pool[pool].head);
	struct arena_slot *s;

	undo_put(a, UNDO_OLD, a->pool[pool].head, sizeof *h);
	undo_tell(a);
	s = (struct arena_slot *)arena_edit(a, obj, a->pool[pool].is.logged) - 1;
	if (!(s->generation & 1))
		arena_panic("freed twice");
	memset(s + 1, 0, a->pool[pool].is.logged);
	s->generation++;
	s->next = h->free;
	*h = (struct pool_head){ s->number + 1u, h->live - 1 };
}

const void *arena_next(const struct arena *a, unsigned pool, const void *after)
{
	uint32_t i = after ? arena_slot_of(after)->number + 1u : 0;

	for (; i < a->pool[pool].count; i++) {
		const struct arena_slot *s = (const void *)(a->at + a->pool[pool].slots + (size_t)i * a->pool[pool].stride);

		if (s->generation & 1)
			return s + 1;
	}
	return NULL;
}

uint32_t arena_live(const struct arena *a, unsigned pool)
{
	return ((const struct pool_head *)(const void *)(a->at + a->pool[pool].head))->live;
}
