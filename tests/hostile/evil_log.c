/* tests/hostile/evil_log.c - an undo log that was never written by a step, and a step left open: the heir's rollback acts on it. */
#include <string.h>
#include "tests/hostile/evil_arena.h"

enum { ENTRIES = 24 };

static uint8_t *log_of(const struct owned *o) { return o->w->arena.at + o->w->arena.log_at; }

/* The worker believes it from here on, too, if it is asked to commit: it is silent afterwards. */
static void leave_open(struct owned *o, uint32_t len)
{
	owned_say("owned: a step is left open with %u octets of log", len);
	atomic_store_explicit(o->w->arena.word, (uint64_t)o->w->arena.epoch << 32 | len, memory_order_release);
}

/* One entry behind `len` octets of log.  Returns how long the log is then. */
static uint32_t put(struct owned *o, uint32_t len, struct undo_footer f, const void *octets, uint32_t n)
{
	if (n)
		memcpy(log_of(o) + len, octets, n);
	memcpy(log_of(o) + len + round_up(n, 8), &f, sizeof f);
	return len + round_up(n, 8) + (uint32_t)sizeof f;
}
static uint32_t put_lie(struct owned *o, uint32_t len, struct lie l)
{
	return put(o, len, (struct undo_footer){ l.where, l.len & 0x3FFFFFFF, UNDO_OLD }, l.says, l.len);
}

/* ---- well-formed: each entry whole, within the slots ---- */
static void roll_back(struct owned *o, struct lie (*draw)(struct owned *o))
{
	uint64_t n = 1 + owned_below(o, ENTRIES);
	uint32_t len = 0;

	for (uint64_t i = 0; i < n; i++)
		len = put_lie(o, len, draw(o));
	leave_open(o, len);
}
#define ROLLED_BACK(what) static void log_##what(struct owned *o) { roll_back(o, lie_##what); }
ROLLED_BACK(heads)
ROLLED_BACK(slots)
ROLLED_BACK(free_lists)
ROLLED_BACK(fifos)
ROLLED_BACK(positions)
ROLLED_BACK(fields)
ROLLED_BACK(anywhere)

static void log_cycles(struct owned *o)
{
	struct lie l[4];
	uint32_t len = 0;

	for (unsigned n = 0; n < 4; n++)
		for (unsigned i = 0; lie_cycle(o, l) && i < 4; i++)
			len = put_lie(o, len, l[i]);
	if (!len)
		len = put_lie(o, len, lie_fields(o));
	leave_open(o, len);
}
/* Whole pools are cleared, or all of them. */
static void log_clears(struct owned *o)
{
	const struct arena *a = &o->w->arena;
	uint32_t from = ARENA_HEADS_AT, octets = a->log_at - from;

	if (owned_below(o, 2)) {
		from += (uint32_t)owned_below(o, octets);
		octets = 1 + (uint32_t)owned_below(o, a->log_at - from);
	}
	leave_open(o, put(o, 0, (struct undo_footer){ from, octets & 0x3FFFFFFF, UNDO_ZERO }, NULL, 0));
}
/* As many entries as the log takes, each of which clears all there is: work for minutes. */
static void log_toils(struct owned *o)
{
	const struct arena *a = &o->w->arena;
	uint32_t octets = a->log_at - ARENA_HEADS_AT, len = 0;

	while (a->log_cap - len >= sizeof(struct undo_footer))
		len = put(o, len, (struct undo_footer){ ARENA_HEADS_AT, octets & 0x3FFFFFFF, UNDO_ZERO }, NULL, 0);
	leave_open(o, len);
}

/* ---- leading outside ---- */
static void log_outside(struct owned *o)
{
	const struct arena *a = &o->w->arena;
	static const uint8_t said[64] = "this must not be written outside";
	const uint32_t all = a->log_at + a->log_cap;
	const struct { uint32_t where, len; } list[] = {
		{ a->log_at, 8 }, { a->log_at - 4, 8 }, { a->log_at - 63, 64 }, { all, 8 }, { all - 4, 64 }, { all + 4096, 64 },
		{ UINT32_MAX - 7, 8 }, { UINT32_MAX - 3, 64 }, { 0x80000000, 64 }, { (uint32_t)owned_draw(o) | 0x40000000, 64 },
		{ 0, 8 }, { 0, 64 }, { 4, 4 }, { 56, 16 }, { ARENA_HEADER_AT, 8 }, { ARENA_HEADER_AT + 8, 16 }, { ARENA_HEADS_AT - 8, 16 },
	};
	uint64_t which = owned_below(o, ARRAY_LEN(list));
	uint32_t len = put_lie(o, 0, lie_anywhere(o));

	if (owned_below(o, 2))
		len = put(o, len, (struct undo_footer){ list[which].where, list[which].len & 0x3FFFFFFF, UNDO_OLD }, said, list[which].len);
	else
		len = put(o, len, (struct undo_footer){ list[which].where, list[which].len & 0x3FFFFFFF, UNDO_ZERO }, NULL, 0);
	if (owned_below(o, 2))			/* hidden behind what is sound */
		len = put_lie(o, len, lie_anywhere(o));
	leave_open(o, len);
}
/* Clears, or restores, more than there is. */
static void log_overlong(struct owned *o)
{
	const struct arena *a = &o->w->arena;
	const uint32_t lens[] = { 0x3FFFFFFF, a->log_at, a->log_at + a->log_cap, a->log_at - ARENA_HEADS_AT + 1, 0x3FFFFFF9, 0x20000000 };
	struct undo_footer f = { .where = owned_below(o, 2) ? ARENA_HEADS_AT : a->log_at - 8, .kind = owned_below(o, 4) & 3 };

	f.len = lens[owned_below(o, ARRAY_LEN(lens))] & 0x3FFFFFFF;
	leave_open(o, put(o, put_lie(o, 0, lie_anywhere(o)), f, NULL, 0));
}
/* Entries that begin before the log does, or have no footer, or are of no kind; lengths that lie. */
static void log_cut(struct owned *o)
{
	const struct arena *a = &o->w->arena;
	static const uint8_t said[64];
	uint32_t len = put_lie(o, 0, lie_anywhere(o)), whole;
	const uint32_t too_long[] = { a->log_cap + 8, a->log_cap + 1, UINT32_MAX, UINT32_MAX - 7, 0x80000000, 2 * a->log_cap };

	whole = put(o, len, (struct undo_footer){ a->pool[0].slots, 64, UNDO_OLD }, said, 64);
	switch (owned_below(o, 5)) {
	case 0:
		leave_open(o, whole - 1 - (uint32_t)owned_below(o, sizeof(struct undo_footer) + 63));
		return;
	case 1:
		leave_open(o, 1 + (uint32_t)owned_below(o, sizeof(struct undo_footer) - 1));
		return;
	case 2:				/* its octets would begin before the log */
		leave_open(o, put(o, 0, (struct undo_footer){ a->pool[0].slots, (8 + 8 * owned_below(o, 64)) & 0x3FFFFFFF, UNDO_OLD }, NULL, 0));
		return;
	case 3:
		leave_open(o, put(o, len, (struct undo_footer){ a->pool[0].slots, 64, 2 + (owned_below(o, 2) & 1) }, said, 64));
		return;
	default:
		leave_open(o, too_long[owned_below(o, ARRAY_LEN(too_long))]);
	}
}
static void log_random(struct owned *o)
{
	uint32_t len = 8 * (1 + (uint32_t)owned_below(o, o->w->arena.log_cap / 8));

	for (uint32_t i = 0; i < len; i += 8) {
		uint64_t v = owned_draw(o);

		memcpy(log_of(o) + i, &v, sizeof v);
	}
	leave_open(o, len);
}

#define ROW(n) { .name = "log_" #n, .once = log_##n, .single = true },
const struct evil evils_log[] = {
	ROW(heads) ROW(slots) ROW(free_lists) ROW(fifos) ROW(positions) ROW(fields) ROW(anywhere) ROW(cycles) ROW(clears) ROW(toils)
	ROW(outside) ROW(overlong) ROW(cut) ROW(random)
	{ 0 }
};
