/* tests/hostile/evil_arena.c - lies drawn, and told in the committed state. */
#include <string.h>
#include "runtime/loop.h"
#include "tests/hostile/evil_arena.h"

enum { LIES = 6, SECOND = 1000000000 };

/* ---- what a lie may say ---- */
static struct lie say(size_t where, uint64_t value, uint32_t len)
{
	struct lie l = { .where = (uint32_t)where, .len = len };

	memcpy(l.says, &value, len);
	return l;
}

static uint64_t odd_number(struct owned *o, uint64_t is)
{
	const uint64_t list[] = { 0, 1, is - 1, is + 1, 2 * is, is + 8, is - 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000,
		0xFFFFFFFF, 0xFFFFFFFE, 1ull << 63, ~0ull, owned_below(o, 64), owned_below(o, 4096), owned_draw(o) };

	return list[owned_below(o, ARRAY_LEN(list))];
}
static uint64_t odd_deadline(struct owned *o)
{
	const uint64_t now = loop_now();
	const uint64_t list[] = { 0, 1, now, now - SECOND, now + SECOND, now + 1000, 1ull << 63, ~0ull - 1, ~0ull, owned_draw(o) };

	return list[owned_below(o, ARRAY_LEN(list))];
}

/* ---- where ---- */
static unsigned pools_of(const struct arena *a)
{
	unsigned n = 0;

	while (n < ARENA_POOLS && a->pool[n].is.name)
		n++;
	return n;
}
/* ARENA_POOLS: there is none of that name. */
static unsigned pool_named(const struct arena *a, const char *name)
{
	for (unsigned p = 0; p < pools_of(a); p++)
		if (!strcmp(a->pool[p].is.name, name))
			return p;
	return ARENA_POOLS;
}
static size_t slot_at(const struct arena *a, unsigned p, uint64_t i) { return a->pool[p].slots + i * a->pool[p].stride; }
static const struct arena_slot *slot_is(const struct arena *a, unsigned p, uint64_t i) { return (const void *)(a->at + slot_at(a, p, i)); }
static const struct pool_head *head_is(const struct arena *a, unsigned p) { return (const void *)(a->at + a->pool[p].head); }

/* A slot of that pool: one that is live, if there is one, but for every eighth time. */
static uint64_t some_slot(struct owned *o, unsigned p)
{
	const struct arena *a = &o->w->arena;
	uint64_t from = owned_below(o, a->pool[p].count);

	if (!owned_below(o, 8))
		return from;
	for (uint64_t n = 0; n < a->pool[p].count; n++)
		if (slot_is(a, p, (from + n) % a->pool[p].count)->generation & 1)
			return (from + n) % a->pool[p].count;
	return from;
}
static unsigned some_pool(struct owned *o)
{
	unsigned p;

	do
		p = (unsigned)owned_below(o, pools_of(&o->w->arena));
	while (!o->w->arena.pool[p].count);
	return p;
}
static uint32_t id_of(const struct arena *a, unsigned p, uint64_t i) { return slot_is(a, p, i)->generation | (uint32_t)i << 16; }

static uint64_t odd_id(struct owned *o, const char *of)
{
	const struct arena *a = &o->w->arena;
	unsigned p = pool_named(a, of);
	uint64_t i = p < ARENA_POOLS ? some_slot(o, p) : 0;
	uint32_t id = p < ARENA_POOLS ? id_of(a, p, i) : 1;
	const uint32_t list[] = { id, id, id, id | 1, id + 2, id ^ 1, 0, 1, ~0u, 0xFFFF0001, (a->pool[p % ARENA_POOLS].count << 16) + 1,
		(uint32_t)owned_draw(o) };

	return list[owned_below(o, ARRAY_LEN(list))];
}

/* ---- what every arena has ---- */
struct lie lie_heads(struct owned *o)
{
	unsigned p = some_pool(o);
	const struct pool_head *h = head_is(&o->w->arena, p);
	bool live = owned_below(o, 2);

	return say(o->w->arena.pool[p].head + (live ? offsetof(struct pool_head, live) : 0), odd_number(o, live ? h->live : h->free), 4);
}
struct lie lie_slots(struct owned *o)
{
	unsigned p = some_pool(o);
	uint64_t i = some_slot(o, p);
	const struct arena_slot *s = slot_is(&o->w->arena, p, i);
	size_t at = slot_at(&o->w->arena, p, i);

	switch (owned_below(o, 3)) {
	case 0:
		return say(at + offsetof(struct arena_slot, generation), odd_number(o, s->generation), 2);
	case 1:
		return say(at + offsetof(struct arena_slot, number), odd_number(o, s->number), 2);
	default:
		return say(at + offsetof(struct arena_slot, next), odd_number(o, s->next), 4);
	}
}
struct lie lie_free_lists(struct owned *o)
{
	const struct arena *a = &o->w->arena;
	unsigned p = some_pool(o);
	uint32_t first = head_is(a, p)->free, live = (uint32_t)some_slot(o, p) + 1;
	size_t at;

	if (!first || first > a->pool[p].count)
		return say(a->pool[p].head, live, 4);			/* the next object is one that is in use */
	at = slot_at(a, p, first - 1) + offsetof(struct arena_slot, next);
	switch (owned_below(o, 4)) {
	case 0:
		return say(at, first, 4);				/* the same slot for ever */
	case 1:
		return say(at, live, 4);
	case 2:
		return say(a->pool[p].head, live, 4);
	default:
		return say(at, odd_number(o, a->pool[p].count), 4);
	}
}
struct lie lie_fifos(struct owned *o)
{
	const struct arena *a = &o->w->arena;
	const struct arena_fifo *f;
	unsigned p, n = 0;
	uint32_t is;
	size_t at;

	do
		p = some_pool(o);
	while (!a->pool[p].is.fifo[0].cap);
	while (n < ARENA_FIFOS && a->pool[p].is.fifo[n].cap)
		n++;
	f = &a->pool[p].is.fifo[owned_below(o, n)];
	at = slot_at(a, p, some_slot(o, p)) + sizeof(struct arena_slot) + f->at + 4 * owned_below(o, 2);
	memcpy(&is, a->at + at, 4);
	return say(at, odd_number(o, owned_below(o, 2) ? is : f->cap), 4);
}
static size_t only_at(const struct owned *o, unsigned p) { return slot_at(&o->w->arena, p, 0) + sizeof(struct arena_slot); }

struct lie lie_positions(struct owned *o)
{
	unsigned l = (unsigned)owned_below(o, STEP_LINKS), what = (unsigned)owned_below(o, 5);
	size_t at = only_at(o, POOL_positions);
	uint64_t is;

	if (what == 0)
		return say(at + offsetof(struct positions, generation) + 4 * l, odd_number(o, o->w->link[l].generation), 4);
	at += (what & 1 ? offsetof(struct positions, in_head) : offsetof(struct positions, out_tail)) + 8 * l;
	memcpy(&is, o->w->arena.at + at, 8);
	return say(at, owned_below(o, 2) ? is - 8 * owned_below(o, 64) : odd_number(o, is), 8);
}
struct lie lie_entropy(struct owned *o)
{
	return say(only_at(o, POOL_entropy) + 4 * owned_below(o, 2), odd_number(o, ENTROPY_OCTETS), 4);
}
struct lie lie_header(struct owned *o)
{
	const struct arena *a = &o->w->arena;
	size_t at = ARENA_HEADER_AT + 4 * owned_below(o, sizeof(struct arena_header) / 4);
	uint32_t is;

	if (!owned_below(o, 3))		/* what a migration goes by */
		at = a->pool[some_pool(o)].head + sizeof(struct pool_head) + 4 * owned_below(o, sizeof(struct pool_said) / 4);
	memcpy(&is, a->at + at, 4);
	return say(at, odd_number(o, is), 4);
}

/* ---- what the core's objects are ---- */
static const struct arena_field *fields_of(const struct owned *o)
{
	static const struct { const char *name; const struct arena_field *fields; } all[] = {
		{ "transportd", fields_transportd }, { "hostd", fields_hostd }, { "gattd", fields_gattd },
	};

	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		if (!strcmp(all[i].name, o->w->p->core->name))
			return all[i].fields;
	return all[0].fields;
}

static struct lie lie_in_queue(struct owned *o, size_t at, const char *of)
{
	uint32_t len;

	memcpy(&len, o->w->arena.at + at + offsetof(struct queue, len), 4);
	switch (owned_below(o, 3)) {
	case 0:
		return say(at + offsetof(struct queue, first), odd_id(o, of), 4);
	case 1:
		return say(at + offsetof(struct queue, last), odd_id(o, of), 4);
	default:
		return say(at + offsetof(struct queue, len), odd_number(o, len), 4);
	}
}
static struct lie lie_in(struct owned *o, const struct arena_field *f)
{
	const struct arena *a = &o->w->arena;
	unsigned p = pool_named(a, f->pool);
	size_t at = slot_at(a, p, some_slot(o, p)) + sizeof(struct arena_slot) + f->at + f->each * owned_below(o, f->octets / f->each);
	uint64_t is = 0;

	if (f->kind == FIELD_QUEUE)
		return lie_in_queue(o, at, f->of);
	memcpy(&is, a->at + at, f->each);
	switch (f->kind) {
	case FIELD_DEADLINE:
		return say(at, odd_deadline(o), f->each);
	case FIELD_STATE:
		return say(at, owned_below(o, 2) ? owned_below(o, 8) : owned_draw(o), f->each);
	case FIELD_MASK:
		return say(at, owned_below(o, 2) ? ~0ull : owned_draw(o), f->each);
	case FIELD_ID:
		return say(at, odd_id(o, f->of), f->each);
	default:
		return say(at, odd_number(o, is), f->each);
	}
}
/* A field of that kind; of any kind, where the core has none of it. */
static struct lie lie_in_kind(struct owned *o, enum field_kind kind)
{
	const struct arena_field *all = fields_of(o);
	unsigned n = 0, of_kind = 0, skip;

	for (; all[n].pool; n++)
		of_kind += all[n].kind == kind;
	if (!of_kind)
		return lie_in(o, &all[owned_below(o, n)]);
	skip = (unsigned)owned_below(o, of_kind);
	for (n = 0; all[n].kind != kind || skip; n++)
		skip -= all[n].kind == kind;
	return lie_in(o, &all[n]);
}
struct lie lie_deadlines(struct owned *o) { return lie_in_kind(o, FIELD_DEADLINE); }
struct lie lie_ids(struct owned *o) { return lie_in_kind(o, owned_below(o, 2) ? FIELD_ID : FIELD_QUEUE); }
struct lie lie_fields(struct owned *o)
{
	const struct arena_field *all = fields_of(o);
	unsigned n = 0;

	while (all[n].pool)
		n++;
	return lie_in(o, &all[owned_below(o, n)]);
}
struct lie lie_anywhere(struct owned *o)
{
	static struct lie (*const any[])(struct owned *o) = { lie_heads, lie_slots, lie_free_lists, lie_fifos, lie_positions, lie_entropy,
		lie_deadlines, lie_ids, lie_fields, lie_fields };

	return any[owned_below(o, ARRAY_LEN(any))](o);
}

bool lie_cycle(struct owned *o, struct lie ret[4])
{
	const struct arena *a = &o->w->arena;
	const struct arena_field *all = fields_of(o), *f;
	unsigned queues = 0, skip, p, chunks = pool_named(a, "chunk");
	struct queue q = { .len = 64 + (uint32_t)owned_below(o, 512) };
	uint64_t c, holder;

	for (f = all; f->pool; f++)
		queues += f->kind == FIELD_QUEUE;
	if (!queues)
		return false;
	skip = (unsigned)owned_below(o, queues);
	for (f = all; f->kind != FIELD_QUEUE || skip; f++)
		skip -= f->kind == FIELD_QUEUE;
	p = pool_named(a, f->pool);
	holder = some_slot(o, p);
	c = some_slot(o, chunks);
	q.first.v = q.last.v = id_of(a, chunks, c) | 1;
	ret[0] = say(slot_at(a, chunks, c), (uint16_t)(slot_is(a, chunks, c)->generation | 1), 2);
	ret[1] = say(slot_at(a, chunks, c) + sizeof(struct arena_slot) + offsetof(struct chunk, next), q.first.v, 4);
	ret[2] = say(slot_at(a, chunks, c) + sizeof(struct arena_slot) + offsetof(struct chunk, in), 0, 8);
	ret[3] = (struct lie){ .where = (uint32_t)(slot_at(a, p, holder) + sizeof(struct arena_slot) + f->at), .len = sizeof q };
	memcpy(ret[3].says, &q, sizeof q);
	return true;
}

/* ---- told in the committed state ---- */
static void tell(struct owned *o, struct lie l)
{
	owned_say("owned: lie at %u: %u octets", l.where, l.len);
	memcpy(o->w->arena.at + l.where, l.says, l.len);
}
static void tell_some(struct owned *o, struct lie (*draw)(struct owned *o))
{
	uint64_t n = 1 + owned_below(o, LIES);

	for (uint64_t i = 0; i < n; i++)
		tell(o, draw(o));
}
#define TOLD(what) static void arena_##what(struct owned *o) { tell_some(o, lie_##what); }
TOLD(heads)
TOLD(slots)
TOLD(free_lists)
TOLD(fifos)
TOLD(positions)
TOLD(entropy)
TOLD(deadlines)
TOLD(ids)
TOLD(fields)
TOLD(header)
TOLD(anywhere)

static void arena_cycles(struct owned *o)
{
	struct lie l[4];

	for (unsigned n = 0; n < 4; n++)		/* more than one, so that one is walked soon */
		for (unsigned i = 0; lie_cycle(o, l) && i < 4; i++)
			tell(o, l[i]);
	for (unsigned i = 0; i < LIES; i++)
		tell(o, lie_in_kind(o, FIELD_MASK));
}
/* Not a slot is left, and no object. */
static void arena_zeroed(struct owned *o)
{
	struct arena *a = &o->w->arena;

	memset(a->at + ARENA_HEADS_AT, owned_below(o, 2) ? 0 : 0xFF, a->log_at - ARENA_HEADS_AT);
}
/* Never made, so it says. */
static void arena_blank_again(struct owned *o) { tell(o, say(ARENA_HEADER_AT, 0, 8)); }

#define ROW(n) { .name = "arena_" #n, .once = arena_##n, .single = true },
const struct evil evils_arena[] = {
	ROW(heads) ROW(slots) ROW(free_lists) ROW(fifos) ROW(positions) ROW(entropy) ROW(deadlines) ROW(ids) ROW(fields) ROW(header)
	ROW(anywhere) ROW(cycles) ROW(zeroed) ROW(blank_again)
	{ 0 }
};
