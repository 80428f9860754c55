/* tests/hostile/evil_memory.c - lies in the one region that a worker may write: positions, wait words, headers, payloads.
 *
 * The neighbour reads the tail line and the data (as consumer of our ring) and the head line (as producer of its own). */
#include <string.h>
#include "base/types.h"
#include "tests/hostile/owned.h"
#include "wire/wire.h"

enum { UNKNOWN_KIND = 0x77, HAMMERED = 2000, PAUSE_US = 300 };

static void show_tail(struct owned *o, uint64_t v)
{
	atomic_store_explicit(&o->mine->tail.pos, v, memory_order_release);
	owned_ring_bell(o);
}
static void show_head(struct owned *o, uint64_t v)
{
	atomic_store_explicit(&o->mine->head.pos, v, memory_order_release);
	owned_ring_bell(o);
}
static void store_word(struct owned *o, uint64_t at, uint64_t v)
{
	atomic_store_explicit(&o->mine->words[(at & (o->size - 1)) / 8], v, memory_order_relaxed);
}
static void store_header(struct owned *o, uint64_t at, struct record r) { store_word(o, at, record_word(r)); }
static uint64_t to_end(const struct owned *o, uint64_t at) { return o->size - (at & (o->size - 1)); }
static struct record nonsense(uint32_t len) { return (struct record){ .kind = UNKNOWN_KIND, .len = len }; }

/* ---- positions ---- */
static void tail_misaligned(struct owned *o) { show_tail(o, o->at + 8 * owned_below(o, 64) + 1 + owned_below(o, 7)); owned_rest_us(PAUSE_US); }
static void tail_behind(struct owned *o) { show_tail(o, o->at - 8 - 8 * owned_below(o, o->size / 8)); owned_rest_us(PAUSE_US); }
static void tail_beyond(struct owned *o)
{
	const uint64_t far[] = { o->size + 8, 2 * o->size, 1ull << 40, 1ull << 63, ~7ull - o->at, o->size + 8 * owned_below(o, 1 << 20) + 8 };

	show_tail(o, o->at + far[owned_below(o, ARRAY_LEN(far))]);
	owned_rest_us(PAUSE_US);
}
static void tail_random(struct owned *o) { show_tail(o, owned_draw(o)); owned_rest_us(PAUSE_US); }

static void head_lies(struct owned *o)
{
	const uint64_t head = o->w->step.link[o->link].in.at;
	const uint64_t lies[] = { head + 1 + owned_below(o, 7), head - 8 - 8 * owned_below(o, o->size), head + 8 * o->size, ~0ull, 0,
		owned_draw(o) | 1, head + (1ull << 40) };

	show_head(o, lies[owned_below(o, ARRAY_LEN(lies))]);
	owned_rest_us(PAUSE_US);
}
/* Works on and hands credits back, but its head stays where it is: what it publishes of it goes elsewhere. */
static void head_still(struct owned *o)
{
	static struct ring_line elsewhere;

	o->w->step.link[o->link].in.mine = &elsewhere;
}
static void waits_lie(struct owned *o)
{
	atomic_store_explicit(&o->mine->tail.wait, owned_draw(o), memory_order_relaxed);
	atomic_store_explicit(&o->mine->head.wait, owned_below(o, 2) ? owned_draw(o) : o->w->step.link[o->link].in.at, memory_order_relaxed);
	owned_ring_bell(o);
	owned_rest_us(PAUSE_US / 10);
}

/* ---- headers ---- */
static void header_past_tail(struct owned *o)
{
	store_header(o, o->at, nonsense(1 + (uint32_t)owned_below(o, o->size / 8 - 64)));
	show_tail(o, o->at + 16);
	owned_rest_us(PAUSE_US);
}
/* Longer than any record may be; the ring itself would hold it. */
static void header_too_long(struct owned *o)
{
	store_header(o, o->at, nonsense((uint32_t)(o->size / 8 - RECORD_HEADER + 8 + 8 * owned_below(o, 4096))));
	show_tail(o, o->at + o->size);
	owned_rest_us(PAUSE_US);
}
static void header_huge(struct owned *o)
{
	store_header(o, o->at, nonsense((uint32_t)(o->size + owned_below(o, RECORD_LEN_MAX - o->size))));
	show_tail(o, o->at + o->size);
	owned_rest_us(PAUSE_US);
}
static void header_cut(struct owned *o)
{
	store_header(o, o->at, nonsense(0));
	show_tail(o, o->at + 8);
	owned_rest_us(PAUSE_US);
}
/* Records of no known kind up to shortly before the end of the ring, and one that runs far over it: well past what the last page
 * of the segment has left. */
static void header_over_end(struct owned *o)
{
	struct ring *out = &o->w->step.link[o->link].out;
	uint64_t most = o->size / 8, at = o->at;

	if (o->size - to_end(o, at) < most) {	/* no room for both: on into the ring first */
		if (ring_reserve(out, (uint32_t)most - RECORD_HEADER))
			ring_push(out, nonsense((uint32_t)most - RECORD_HEADER));
		ring_publish(out);
		owned_ring_bell(o);
		owned_rest_us(PAUSE_US);
		return;
	}
	while (to_end(o, at) > 64) {
		uint64_t octets = to_end(o, at) - 64 < most ? to_end(o, at) - 64 : most;

		store_header(o, at, nonsense((uint32_t)octets - RECORD_HEADER));
		at += octets;
	}
	store_header(o, at, nonsense((uint32_t)(most - RECORD_HEADER - 8 * owned_below(o, most / 16))));
	show_tail(o, o->at + o->size);
	owned_rest_us(PAUSE_US);
}
static void header_random(struct owned *o)
{
	store_word(o, o->at, owned_draw(o));
	store_word(o, o->at + 8, owned_draw(o));
	show_tail(o, o->at + 8 * (1 + owned_below(o, o->size / 8)));
	owned_rest_us(PAUSE_US);
}
static void pad_alone(struct owned *o)
{
	store_header(o, o->at, (struct record){ .kind = RECORD_PAD });
	show_tail(o, o->at + to_end(o, o->at));
	owned_rest_us(PAUSE_US);
}
static void pad_cut(struct owned *o)
{
	uint64_t words = to_end(o, o->at) / 8;

	store_header(o, o->at, (struct record){ .kind = RECORD_PAD, .len = (uint32_t)owned_below(o, RECORD_LEN_MAX) });
	show_tail(o, o->at + 8 * (1 + owned_below(o, words)));
	owned_rest_us(PAUSE_US);
}
static void pad_after_pad(struct owned *o)
{
	uint64_t wrap = to_end(o, o->at);

	store_header(o, o->at, (struct record){ .kind = RECORD_PAD });
	store_header(o, o->at + wrap, (struct record){ .kind = RECORD_PAD });
	show_tail(o, o->at + (wrap == o->size ? wrap : wrap + 8 * (1 + owned_below(o, (o->size - wrap) / 8))));
	owned_rest_us(PAUSE_US);
}

/* ---- scribbled while it is read ---- */
static void tail_flips(struct owned *o)
{
	store_header(o, o->at, nonsense(40));
	owned_ring_bell(o);
	for (unsigned i = 0; i < HAMMERED; i++)
		atomic_store_explicit(&o->mine->tail.pos, i & 1 ? o->at + 56 : owned_draw(o), memory_order_release);
}
static void headers_flip(struct owned *o)
{
	uint64_t records = owned_below(o, 200) + 1;

	for (uint64_t i = 0; i < records; i++)
		store_header(o, o->at + 64 * i, nonsense(48));
	show_tail(o, o->at + 64 * records);
	for (unsigned i = 0; i < HAMMERED; i++) {
		uint64_t at = o->at + 64 * owned_below(o, records);

		store_word(o, at, owned_draw(o));
		store_header(o, at, nonsense(48));
	}
}
static void everything_scribbled(struct owned *o)
{
	_Atomic uint64_t *all = (_Atomic uint64_t *)(void *)o->mine;
	uint64_t words = (sizeof *o->mine + o->size) / 8;

	owned_ring_bell(o);
	for (unsigned i = 0; i < HAMMERED; i++)
		atomic_store_explicit(&all[owned_below(o, 4) ? owned_below(o, words) : owned_below(o, sizeof *o->mine / 8)],
		    owned_draw(o), memory_order_relaxed);
}
/* The honest worker goes on meanwhile: some of what it says is true. */
static void data_scribbled(struct owned *o)
{
	for (unsigned i = 0; i < 64; i++)
		store_word(o, o->at - 8 * owned_below(o, 512), owned_draw(o));
}

/* ---- well-formed records that say nonsense ---- */
static void payloads_random(struct owned *o)
{
	static const uint8_t kinds[] = { RECORD_HCI_COMMAND, RECORD_HCI_ACL, RECORD_HCI_EVENT, RECORD_HCI_ISO, RECORD_TRANSPORT_STATE,
		RECORD_CONNECTED, RECORD_DISCONNECTED, RECORD_L2CAP_PDU, RECORD_CREDIT, RECORD_DISCONNECT, RECORD_CONFIG, RECORD_REQUEST,
		RECORD_NEIGHBOUR_LOST, RECORD_NEIGHBOUR_AWAY, RECORD_NEIGHBOUR_BACK, 0 };
	struct ring *out = &o->w->step.link[o->link].out;

	for (unsigned i = 0; i < 16; i++) {
		uint32_t len = (uint32_t)owned_below(o, owned_below(o, 8) ? 64 : 1024);
		struct record r = { .kind = kinds[owned_below(o, ARRAY_LEN(kinds))], .len = len, .index = (uint16_t)owned_below(o, 6),
			.generation = (uint16_t)owned_below(o, 8), .flags = (uint8_t)owned_below(o, 16), .time_ns = owned_draw(o) };
		uint8_t *p = ring_reserve(out, len);

		if (!p)
			break;
		for (uint32_t n = 0; n < len; n++)
			p[n] = (uint8_t)(owned_below(o, 3) ? owned_draw(o) : owned_below(o, 16));
		ring_push(out, r);
	}
	if (ring_publish(out))
		owned_ring_bell(o);
	owned_rest_us(PAUSE_US);
}

/* Our own state: the next worker, an honest one, begins with it. */
static void arena_scribbled(struct owned *o)
{
	_Atomic uint64_t *words = (_Atomic uint64_t *)o->w->arena_segment.at;

	for (unsigned i = 0; i < 2 * HAMMERED; i++)
		atomic_store_explicit(&words[owned_below(o, o->w->arena_segment.len / 8)], owned_draw(o), memory_order_relaxed);
}

/* What observers read of us: counters, and where we are. */
static void stats_scribbled(struct owned *o)
{
	_Atomic uint64_t *words = (_Atomic uint64_t *)(void *)o->w->stats;

	for (unsigned i = 0; i < HAMMERED; i++)
		atomic_store_explicit(&words[owned_below(o, sizeof *o->w->stats / 8)], owned_draw(o), memory_order_relaxed);
	atomic_store_explicit(&o->w->stats->what, FLIGHT_NONE, memory_order_relaxed);
}

/* ---- too much, or nothing ---- */
static void kicks_flood(struct owned *o)
{
	for (unsigned i = 0; i < HAMMERED / 10; i++)
		owned_ring_bell(o);
}
static void never_reads(struct owned *o)
{
	(void)o;
	owned_rest_us(1000);
}

const struct evil evils_memory[] = {
	{ .name = "tail_misaligned", .once = tail_misaligned }, { .name = "tail_behind", .once = tail_behind },
	{ .name = "tail_beyond", .once = tail_beyond }, { .name = "tail_random", .once = tail_random },
	{ .name = "head_lies", .once = head_lies }, { .name = "head_still", .once = head_still, .works = true },
	{ .name = "waits_lie", .once = waits_lie },
	{ .name = "header_past_tail", .once = header_past_tail }, { .name = "header_too_long", .once = header_too_long },
	{ .name = "header_huge", .once = header_huge },
	{ .name = "header_cut", .once = header_cut }, { .name = "header_over_end", .once = header_over_end },
	{ .name = "header_random", .once = header_random },
	{ .name = "pad_alone", .once = pad_alone }, { .name = "pad_cut", .once = pad_cut }, { .name = "pad_after_pad", .once = pad_after_pad },
	{ .name = "tail_flips", .once = tail_flips }, { .name = "headers_flip", .once = headers_flip },
	{ .name = "everything_scribbled", .once = everything_scribbled },
	{ .name = "data_scribbled", .once = data_scribbled, .works = true },
	{ .name = "payloads_random", .once = payloads_random },
	{ .name = "arena_scribbled", .once = arena_scribbled },
	{ .name = "stats_scribbled", .once = stats_scribbled },
	{ .name = "kicks_flood", .once = kicks_flood }, { .name = "never_reads", .once = never_reads },
	{ .name = "small_tail_lies", .once = tail_random, .small = true },
	{ .name = "small_header_lies", .once = header_too_long, .small = true },
	{ .name = "small_head_lies", .once = head_lies, .small = true },
	{ .name = "small_scribbled", .once = everything_scribbled, .small = true },
	{ 0 }
};
