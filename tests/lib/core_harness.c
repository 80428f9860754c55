/* tests/lib/core_harness.c - see core_harness.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/lib/core_harness.h"

enum { TURNS_MOST = 100000 };

bool rig_bare;
static struct tape *recording;

void rig_record(struct tape *t) { recording = t; }

static uint64_t ring_octets(unsigned l) { return l == LINK_SUPERVISOR ? RIG_SMALL_RING : RIG_RING; }

static void start(struct rig *g)
{
	int r = arena_open(&g->arena, &g->plan, g->memory, !rig_bare);

	if (r == ARENA_E_BLANK)
		arena_format(&g->arena, &g->plan, g->core->fill);
	else
		assert_int_equal(r, 0);
	step_open(&g->step, &g->arena, g->core);
	step_recover(&g->step);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (g->generation[l])
			step_attach(&g->step, l, g->generation[l], g->ours[l], ring_octets(l), g->theirs[l], ring_octets(l));
}

static void *region_new(unsigned l)
{
	size_t octets = (ring_region_size(ring_octets(l)) + 127) & ~(size_t)127;
	void *p = aligned_alloc(128, octets);

	assert_non_null(p);
	memset(p, 0, octets);
	return p;
}

void rig_open(struct rig *g, const struct core *core, struct arena_limits limits)
{
	size_t octets;

	memset(g, 0, sizeof *g);
	g->core = core;
	g->plan = step_plan(core, &limits, 0);
	g->now_ns = 1000000;
	g->batch = 16;
	octets = (arena_size(&g->plan) + 4095) & ~(size_t)4095;
	g->memory = aligned_alloc(4096, octets);
	assert_non_null(g->memory);
	memset(g->memory, 0, octets);
	if (recording) {
		recording->core = core;
		recording->plan = g->plan;
	}
	start(g);
}

void rig_close(struct rig *g)
{
	arena_close(&g->arena);
	free(g->memory);
	for (unsigned l = 0; l < STEP_LINKS; l++) {
		free(g->ours[l]);
		free(g->theirs[l]);
	}
}

void rig_attach(struct rig *g, unsigned l, uint32_t generation)
{
	free(g->ours[l]);
	free(g->theirs[l]);
	g->ours[l] = region_new(l);
	g->theirs[l] = region_new(l);
	g->generation[l] = generation;
	if (recording)
		recording->links |= 1u << l;
	g->in[l] = ring_producer(g->theirs[l], g->ours[l], ring_octets(l), 0);
	g->out[l] = ring_consumer(g->theirs[l], g->ours[l], ring_octets(l), 0);
	step_attach(&g->step, l, generation, g->ours[l], ring_octets(l), g->theirs[l], ring_octets(l));
}

void rig_detach(struct rig *g, unsigned l)
{
	step_detach(&g->step, l);
	g->generation[l] = 0;
}

void rig_skip_next(struct rig *g, enum core_rung rung)
{
	assert_false(g->skip.is || g->skip_next);
	g->skip_next = true;
	g->skip.rung = rung;
}

void rig_put(struct rig *g, unsigned l, struct record h, struct bytes payload)
{
	uint64_t at = g->in[l].at;
	uint8_t *to = ring_reserve(&g->in[l], (uint32_t)payload.len);

	assert_non_null(to);
	if (payload.len)
		memcpy(to, payload.at, payload.len);
	h.len = (uint32_t)payload.len;
	h.time_ns = g->now_ns;
	if (recording)
		tape_put(recording, l, h, payload);
	if (g->skip_next && recording)
		tape_skip(recording, g->skip.rung);
	if (g->skip_next)
		g->skip = (struct rig_skip){ l, at, g->skip.rung, true };
	g->skip_next = false;
	ring_push(&g->in[l], h);
	ring_publish(&g->in[l]);
}

bool rig_get(struct rig *g, unsigned l, struct record *ret, struct bytes *payload)
{
	int r = g->generation[l] ? ring_take(&g->out[l], ret, g->buf, sizeof g->buf) : RING_EMPTY;

	assert_int_not_equal(r, RING_CORRUPT);
	if (r)
		return false;
	ring_publish(&g->out[l]);
	*payload = (struct bytes){ g->buf, ret->len };
	return true;
}

/* What a record or a turn took of the rings and of the log is what the core said that it would need, at most. */
struct before { uint64_t at[STEP_LINKS]; uint32_t log; };

static struct before before(const struct rig *g)
{
	struct before b = { .log = g->arena.log_len };

	for (unsigned l = 0; l < STEP_LINKS; l++)
		b.at[l] = g->step.link[l].out.at;
	return b;
}
static void check_bounds(const struct rig *g, const struct before *b, const uint32_t may[STEP_LINKS])
{
	for (unsigned l = 0; l < STEP_LINKS; l++) {
		uint64_t gave = g->step.link[l].out.at - b->at[l];

		if (gave > 2 * (uint64_t)may[l])	/* a wrap may waste as much */
			fail_msg("%llu octets to link %u, its reserve is %u", (unsigned long long)gave, l, may[l]);
	}
	if (g->arena.log_len - b->log > g->core->undo)
		fail_msg("%u octets of log, the core said %u", g->arena.log_len - b->log, g->core->undo);
}

/* Up to `batch` records, round-robin over the links, into the step under way. */
static unsigned take_batch(struct rig *g)
{
	uint8_t body[RIG_BUF];
	struct before b;
	struct record h;
	unsigned n = 0, idle = 0;

	for (unsigned l = 0; n < g->batch && idle < STEP_LINKS; l = (l + 1) % STEP_LINKS) {
		/* As runtime/worker_take.c does it: nothing of the records before and behind is in that step. */
		bool poison = g->skip.is && g->skip.link == l && g->skip.at == g->step.link[l].in.at;

		if (poison)
			step_commit(&g->step);
		if (step_take(&g->step, l, &h, body, sizeof body)) {
			idle++;
			continue;
		}
		b = before(g);
		if (poison)
			g->core->on_poison(&g->step, l, &h, g->skip.rung);
		else
			g->core->on_record(&g->step, l, &h, (struct bytes){ body, h.len });
		check_bounds(g, &b, g->core->reserve[l]);
		if (poison)
			step_commit(&g->step);
		g->skip.is &= !poison;
		idle = 0;
		n++;
	}
	return n;
}

static void refill(struct rig *g)
{
	uint8_t octets[ENTROPY_OCTETS];

	for (unsigned i = 0; i < sizeof octets; i++)
		octets[i] = (uint8_t)(i * 7 + 3);
	if (entropy_room(&g->arena) >= ENTROPY_OCTETS / 2)
		entropy_refill(&g->arena, octets, entropy_room(&g->arena));
}

void rig_run(struct rig *g)
{
	if (recording)
		tape_rest(recording, g->now_ns);
	for (unsigned turn = 0; turn < TURNS_MOST; turn++) {
		unsigned n;

		g->step.now_ns = g->now_ns;
		refill(g);
		step_commit(&g->step);
		n = take_batch(g);
		step_commit(&g->step);
		if (step_may_act(&g->step) && g->core->deadline(&g->step) <= g->now_ns) {
			struct before b = before(g);

			g->core->on_time(&g->step);
			check_bounds(g, &b, g->core->act);
			n++;
		}
		step_commit(&g->step);
		g->steps++;
		if (!n)
			return;
	}
	fail_msg("the core never comes to rest");
}

void rig_sleep(struct rig *g, uint64_t ns)
{
	g->now_ns += ns;
	rig_run(g);
}

void rig_restart(struct rig *g)
{
	arena_close(&g->arena);
	start(g);
}

void rig_crash(struct rig *g)
{
	g->step.now_ns = g->now_ns;
	if (!take_batch(g) && step_may_act(&g->step))
		g->core->on_time(&g->step);
	rig_restart(g);
}

uint64_t rig_counter(const struct rig *g, const char *name)
{
	for (unsigned i = 0; g->core->counter_names[i]; i++)
		if (!strcmp(g->core->counter_names[i], name))
			return counters_next(&g->arena, NULL)->at[i];
	fail_msg("no counter %s", name);
	return 0;
}
