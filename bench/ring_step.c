/* bench/ring_step.c - what the step costs on top of the ring: a relay between two processes, with and without it.
 *
 *   left: feeds and drains  ── ring ──►  right: takes, gives back the same, every `batch`: commits, shows its positions
 *                           ◄── ring ──
 *
 * The bare relay copies out of one ring and into the other; the relay with the step is a core: step_take, step_reserve, step_give,
 * a counter, step_commit.  medium_step is one way: the receiver is a core that takes and counts. */
#include <stdlib.h>
#include "base/types.h"
#include "bench/duel.h"
#include "shm/step.h"

enum { FLIGHT = 128 };		/* most messages under way: two batches on either side of the relay, and more */

static const struct arena_pool pools[] = { STEP_STATE(ARENA_ROW) { 0 } };
static const char *const counter_names[] = { "relayed", NULL };

static void relay_record(struct step *s, unsigned link, const struct record *r, struct bytes payload)
{
	memcpy(step_reserve(s, link, (uint32_t)payload.len), payload.at, payload.len);
	step_give(s, link, (struct record){ .len = (uint32_t)payload.len, .kind = r->kind, .time_ns = r->time_ns });
	step_count(s, 0, 1);
}
static void count_record(struct step *s, unsigned link, const struct record *r, struct bytes payload)
{
	(void)link, (void)r, (void)payload;
	step_count(s, 0, 1);
}
static uint64_t no_deadline(const struct step *s) { (void)s; return DEADLINE_NONE; }

static const struct core relay_core = { .name = "relay", .pools = pools, .version = 1, .counter_names = counter_names,
	.reserve = { [LINK_UP] = { [LINK_UP] = RECORD_HEADER + DUEL_SIZE_MAX } }, .undo = 1024, .fill = step_format,
	.on_record = relay_record, .deadline = no_deadline };
static const struct core count_core = { .name = "count", .pools = pools, .version = 1, .counter_names = counter_names,
	.undo = 1024, .fill = step_format, .on_record = count_record, .deadline = no_deadline };

static bool relay_open(struct duel *d) { (void)d; return true; }
static struct ring_region *region(struct duel *d, unsigned side) { return (void *)(d->shared->memory + side * (DUEL_MEMORY / 2)); }

/* ---- left ---- */
static void feed_and_drain(struct duel *d)
{
	struct ring out = ring_producer(region(d, 0), region(d, 1), RING_SIZE_DEFAULT, 0);
	struct ring in = ring_consumer(region(d, 0), region(d, 1), RING_SIZE_DEFAULT, 0);
	static uint8_t message[DUEL_SIZE_MAX];
	uint8_t buf[DUEL_SIZE_MAX], *at;
	struct record h;

	for (uint64_t fed = 0, back = 0; back < d->messages; ) {
		uint64_t from = back, most = MIN(d->messages, back + FLIGHT), stop = MIN(fed + d->batch, most);

		for (; fed < stop && (at = ring_reserve(&out, d->size)); fed++) {
			memcpy(at, message, d->size);
			duel_stamp(at, fed);
			ring_push(&out, (struct record){ .len = d->size, .kind = RECORD_HCI_ACL });
		}
		ring_publish(&out);
		while (back - from < d->batch && !ring_take(&in, &h, buf, sizeof buf))
			duel_check(d, buf, back++);
		ring_publish(&in);
	}
	duel_ended(d);
}
static void feed(struct duel *d)
{
	struct ring out = ring_producer(region(d, 0), region(d, 1), RING_SIZE_DEFAULT, 0);
	static uint8_t message[DUEL_SIZE_MAX];
	uint8_t *at;

	for (uint64_t n = 0; n < d->messages; ) {
		for (uint64_t stop = MIN(n + d->batch, d->messages); n < stop && (at = ring_reserve(&out, d->size)); n++) {
			memcpy(at, message, d->size);
			duel_stamp(at, n);
			ring_push(&out, (struct record){ .len = d->size, .kind = RECORD_HCI_ACL });
		}
		ring_publish(&out);
	}
}

/* ---- right ---- */
static void relay_bare(struct duel *d)
{
	struct ring out = ring_producer(region(d, 1), region(d, 0), RING_SIZE_DEFAULT, 0);
	struct ring in = ring_consumer(region(d, 1), region(d, 0), RING_SIZE_DEFAULT, 0);
	uint8_t buf[DUEL_SIZE_MAX], *at;
	struct record h;

	for (uint64_t n = 0; n < d->messages; ) {
		for (uint64_t from = n; n - from < d->batch && !ring_take(&in, &h, buf, sizeof buf); n++) {
			while (!(at = ring_reserve(&out, h.len)))
				duel_relax();
			memcpy(at, buf, h.len);
			ring_push(&out, h);
		}
		ring_publish(&out);
		ring_publish(&in);
	}
}

static void work(struct duel *d, const struct core *core)
{
	struct arena_plan plan = step_plan(core, &(struct arena_limits){ { 0 } }, 0);
	size_t octets = (arena_size(&plan) + 4095) & ~(size_t)4095;
	uint8_t buf[DUEL_SIZE_MAX];
	struct record h;
	struct arena a;
	struct step s;
	void *memory = aligned_alloc(4096, octets);

	if (!memory)
		abort();
	memset(memory, 0, octets);
	if (arena_open(&a, &plan, memory, false) != ARENA_E_BLANK)
		abort();
	arena_format(&a, &plan, core->fill);
	step_open(&s, &a, core);
	step_recover(&s);
	step_attach(&s, LINK_UP, 1, region(d, 1), RING_SIZE_DEFAULT, region(d, 0), RING_SIZE_DEFAULT);
	s.now_ns = 1;
	for (uint64_t n = 0; n < d->messages; ) {
		uint64_t from = n;

		for (; n - from < d->batch && !step_take(&s, LINK_UP, &h, buf, sizeof buf); n++) {
			duel_check(d, buf, n);
			core->on_record(&s, LINK_UP, &h, (struct bytes){ buf, h.len });
		}
		if (n > from)
			step_commit(&s);
	}
	duel_ended(d);
	arena_close(&a);
	free(memory);
}
static void relay_step(struct duel *d) { work(d, &relay_core); }
static void count_step(struct duel *d) { work(d, &count_core); }

const struct medium medium_relay = { "relay", relay_open, feed_and_drain, relay_bare, NULL };
const struct medium medium_relay_step = { "relay with the step", relay_open, feed_and_drain, relay_step, NULL };
const struct medium medium_step = { "ring with the step", relay_open, feed, count_step, NULL };
