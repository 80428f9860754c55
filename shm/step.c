/* shm/step.c - the step: rings and arena under one commit. */
#include "base/types.h"
#include "shm/step.h"

enum {
	WRAP_FACTOR = 2,		/* a wrap wastes less than one record, and no record is larger than its reserve */
	LOGGED_BY_COMMIT = sizeof(struct positions) + 32,	/* beside what the core does; 32: more than an entry's frame */
};

static const struct positions *positions(const struct step *s) { return positions_only(s->arena); }

void step_format(struct arena *a)
{
	positions_new(a);
	entropy_new(a);
	counters_new(a);
}

void step_open(struct step *s, struct arena *a, const struct core *core)
{
	*s = (struct step){ .arena = a, .core = core };
	if (strcmp(core->pools[POOL_positions].name, "positions") || strcmp(core->pools[POOL_counters].name, "counters"))
		arena_panic("a core's pools begin with STEP_STATE");
}

void step_recover(struct step *s)
{
	arena_rollback(s->arena);
	s->moved = false;
	s->counted = ~0ull;
}

static void publish(struct step_link *k)
{
	bool out = ring_publish(&k->out), in = ring_publish(&k->in);

	k->kick = k->kick || out || in;
}

bool step_fits(const struct core *core, unsigned l, uint64_t size)
{
	bool fits = WRAP_FACTOR * (uint64_t)core->act[l] <= size / 2;

	for (unsigned in = 0; in < STEP_LINKS; in++)
		fits = fits && WRAP_FACTOR * (uint64_t)core->reserve[in][l] + (core->reserve[in][l] ? size / 8 : 0) <= size / 2;
	return fits;
}

void step_attach(struct step *s, unsigned l, uint32_t generation, struct ring_region *mine, uint64_t size_out,
    const struct ring_region *theirs, uint64_t size_in)
{
	const struct positions *p = positions(s);
	bool same = p->generation[l] == generation;

	if (!step_fits(s->core, l, size_out))
		arena_panic("a ring too small for what its core reserves");
	s->link[l] = (struct step_link){
		.out = ring_producer(mine, theirs, size_out, same ? p->out_tail[l] : 0),
		.in = ring_consumer(mine, theirs, size_in, same ? p->in_head[l] : 0),
		.generation = generation,
	};
	if (!same)
		s->fresh |= 1u << l;
	publish(&s->link[l]);		/* shown again, whether or not the last worker came to it */
	s->link[l].kick = true;
}

void step_detach(struct step *s, unsigned l)
{
	s->link[l] = (struct step_link){ 0 };
	s->fresh &= ~(1u << l);
}

bool step_linked(const struct step *s, unsigned l) { return s->link[l].generation != 0; }
bool step_renewed(const struct step *s, unsigned l, uint16_t generation)
{
	return (int16_t)(positions(s)->generation[l] - generation) > 0;
}
unsigned step_full_link(const struct step *s) { return s->full; }

/* Does each output ring have room for `octets` of its own, and as much again for a wrap?  One that was never attached has none:
 * it is waited for.  One that was given up asks for none, or its core could not even end what went over it: step_linked tells. */
static bool has_room(struct step *s, const uint32_t octets[STEP_LINKS], bool keep_eighth)
{
	for (unsigned o = 0; o < STEP_LINKS; o++) {
		struct ring *r = &s->link[o].out;
		uint64_t want = WRAP_FACTOR * (uint64_t)octets[o] + (keep_eighth ? r->size / 8 : 0);

		if (!octets[o] || (!s->link[o].generation && positions(s)->generation[o]))
			continue;
		if (!s->link[o].generation || ring_room(r, want) < want) {
			s->full = o;
			return false;
		}
	}
	s->full = STEP_LINKS;
	return arena_log_room(s->arena) >= s->core->undo + LOGGED_BY_COMMIT;
}

void step_settle(struct step *s, unsigned l)
{
	struct positions *p = positions_edit(s->arena, positions(s));

	p->generation[l] = s->link[l].generation;
	p->in_head[l] = p->out_tail[l] = 0;
	s->fresh &= ~(1u << l);
	s->moved = true;
	if (s->core->on_link)
		s->core->on_link(s, l);
}

/* Tell the core of links that began anew. */
static bool settle(struct step *s)
{
	for (unsigned l = 0; l < STEP_LINKS && s->fresh; l++) {
		if (!(s->fresh & 1u << l))
			continue;
		if (!has_room(s, s->core->act, false))
			return false;
		step_settle(s, l);
	}
	return true;
}

int step_take(struct step *s, unsigned l, struct record *ret, uint8_t *buf, uint32_t cap)
{
	struct step_link *k = &s->link[l];
	int r;

	if (!k->generation)
		return STEP_ABSENT;
	if (k->corrupt)
		return RING_CORRUPT;
	if (s->fresh && !settle(s))
		return STEP_FULL;
	if (!has_room(s, s->core->reserve[l], true))
		return STEP_FULL;
	r = ring_take(&k->in, ret, buf, cap);
	if (r == RING_CORRUPT)
		k->corrupt = true;
	if (!r)
		s->moved = true;
	return r;
}

bool step_may_act(struct step *s)
{
	return (!s->fresh || settle(s)) && has_room(s, s->core->act, false);
}

uint8_t *step_reserve(struct step *s, unsigned l, uint32_t cap)
{
	uint8_t *p;

	if (!s->link[l].generation)
		arena_panic("output to a link that is not there");
	p = ring_reserve(&s->link[l].out, cap);
	if (!p)
		arena_panic("one record gave more than its reserve");
	return p;
}

void step_give(struct step *s, unsigned l, struct record h)
{
	if (!h.time_ns)
		h.time_ns = s->now_ns;
	ring_push(&s->link[l].out, h);
	s->moved = true;
}

void step_commit(struct step *s)
{
	struct positions *p;

	if (!s->moved && !arena_dirty(s->arena))
		return;
	p = positions_edit(s->arena, positions(s));
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (s->link[l].generation && !(s->fresh & 1u << l)) {
			p->in_head[l] = s->link[l].in.at;
			p->out_tail[l] = s->link[l].out.at;
		}
	arena_commit(s->arena);
	s->moved = false;
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (s->link[l].generation && !(s->fresh & 1u << l))	/* of a fresh one nothing is committed yet */
			publish(&s->link[l]);
}

/* Entropy, in the arena: what a killed step drew is there again for its repetition. */
bool entropy_take(struct arena *a, void *dst, uint32_t n)
{
	struct entropy *e = entropy_edit(a, entropy_only(a));

	return fifo_pop(e, pool, dst, n);
}
uint32_t entropy_room(const struct arena *a)
{
	const struct entropy *e = entropy_only(a);

	if (fifo_len(e, pool) > ENTROPY_OCTETS)		/* inherited from a worker that was owned: our caller has a buffer of that size */
		arena_panic("more entropy than there is room for");
	return fifo_room(e, pool);
}
void entropy_refill(struct arena *a, const void *src, uint32_t n)
{
	struct entropy *e = entropy_edit(a, entropy_only(a));

	fifo_push(a, e, pool, src, MIN(n, fifo_room(e, pool)));
}
