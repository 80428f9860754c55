/* tests/unit/test_worker_rest.c - a worker does not rest while a record could be taken, timers fire in time, and nobody waits for
 * ever for a neighbour that takes nothing: its own turn(), over links in ordinary memory.
 * tests/unit/worker_rig.h has the worker. */
#include "base/types.h"
#include "tests/unit/worker_rig.h"

enum { BIG = 4096, RECORDS = 20 };

static unsigned got[STEP_LINKS];

/* A record from DOWN gives BIG octets to UP; one from UP gives nothing. */
static void on_record(struct step *s, unsigned link, const struct record *r, struct bytes payload)
{
	(void)r, (void)payload;
	got[link]++;
	step_count(s, 0, 1);
	if (link != LINK_DOWN || !step_linked(s, LINK_UP))
		return;
	memset(step_reserve(s, LINK_UP, BIG), 0, BIG);
	step_give(s, LINK_UP, (struct record){ .len = BIG, .kind = RECORD_HCI_ACL });
}
static uint64_t due = DEADLINE_NONE;
static unsigned acted, got_before;

static uint64_t deadline(const struct step *s) { (void)s; return due; }
static void on_time(struct step *s)
{
	step_count(s, 0, 1);
	due = DEADLINE_NONE;
	acted++;
	got_before = got[LINK_UP];
}

static const struct arena_pool pools[] = { STEP_STATE(ARENA_ROW) { 0 } };
static const char *const names[] = { "records", NULL };
static const struct core core = {
	.name = "relay", .pools = pools, .version = 1, .counter_names = names,
	.reserve = { [LINK_DOWN] = { [LINK_UP] = RECORD_HEADER + BIG } },
	.undo = 1024, .fill = step_format, .on_record = on_record, .on_time = on_time, .deadline = deadline,
};
static const struct program relay = { .name = "relay", .core = &core };

static void relay_open(struct rig *g)
{
	memset(got, 0, sizeof got);
	rig_open(g, &relay);
}

/* DOWN waits for room in UP; then there is room, and one record on UP that the reader gave as it made it.  One bell for both. */
static void blocked_behind_a_batch(bool careful)
{
	static uint8_t buf[RING];
	struct rig g = { 0 };
	struct record h;

	relay_open(&g);
	run_to_rest(&g);
	if (careful)			/* after a strike: one record a step */
		g.w.link[LINK_UP].until = g.w.link[LINK_DOWN].until = 1 << 20;
	for (unsigned i = 0; i < RECORDS; i++)
		put(&g, LINK_DOWN, 1);
	for (unsigned rounds = 0; got[LINK_DOWN] < RECORDS; rounds++) {
		assert_in_range(rounds, 0, RECORDS);
		run_to_rest(&g);
		/* It rests, and there is more from DOWN: only where UP is full. */
		if (got[LINK_DOWN] < RECORDS)
			assert_true(g.w.step.link[LINK_UP].out.at - g.in[LINK_UP].at > RING / 2);
		while (!ring_take(&g.in[LINK_UP], &h, buf, sizeof buf))
			;
		ring_publish(&g.in[LINK_UP]);
		put(&g, LINK_UP, 1);
	}
	rig_close(&g);
}
static void test_full_batches(void **state) { (void)state; blocked_behind_a_batch(false); }
static void test_one_record_a_step(void **state) { (void)state; blocked_behind_a_batch(true); }

/* A timer is late, and what came before it lies in the ring; more comes all the time.  It fires behind the former, not never. */
static void test_never_idle(void **state)
{
	struct rig g = { 0 };

	(void)state;
	relay_open(&g);
	run_to_rest(&g);
	for (unsigned i = 0; i < 3; i++)
		put(&g, LINK_UP, 1);
	free(g.w.buf);
	g.w.drained = false;			/* a worker that has just begun */
	assert_int_equal(worker_attach(&g.w), 0);
	g.w.link[LINK_UP].until = 1 << 20;	/* one record a turn */
	due = acted = 0;
	asleep = false;
	for (unsigned i = 0; i < RECORDS; i++) {
		put(&g, LINK_UP, 1);
		assert_int_equal(turn(&g.w), 0);
		assert_false(asleep);
	}
	assert_int_equal(acted, 1);
	assert_int_equal(got_before, 3);
	rig_close(&g);
}

/* ---- a neighbour that gives no room ---- */

/* DOWN's records give BIG octets to UP each, and nobody takes them there: UP is full and DOWN waits. */
static void fill_up(struct rig *g)
{
	due = DEADLINE_NONE;
	for (unsigned i = 0; i < RECORDS; i++)
		put(g, LINK_DOWN, 1);
	run_to_rest(g);
	assert_in_range(got[LINK_DOWN], 1, RECORDS - 1);
	assert_true(step_linked(&g->w.step, LINK_UP));
}
static void all_taken(struct rig *g)
{
	run_to_rest(g);
	assert_int_equal(got[LINK_DOWN], RECORDS);
	assert_int_equal(woken_at, LOOP_FOREVER);
}

static void test_one_that_takes_nothing_is_given_up(void **state)
{
	struct rig g = { 0 };

	(void)state;
	relay_open(&g);
	fill_up(&g);
	assert_int_equal(woken_at, now + worker_patience(&g.w));
	now += worker_patience(&g.w) - 1;
	run_to_rest(&g);
	assert_true(step_linked(&g.w.step, LINK_UP));
	now++;
	assert_int_equal(turn(&g.w), 0);
	assert_false(step_linked(&g.w.step, LINK_UP));
	assert_false(asleep);
	all_taken(&g);
	rig_close(&g);
}
/* It takes a record now and then: too few to live with. */
static void test_one_that_drips_is_given_up(void **state)
{
	static uint8_t buf[RING];
	struct rig g = { 0 };
	struct record h;

	(void)state;
	relay_open(&g);
	fill_up(&g);
	for (unsigned i = 0; i < 4 && step_linked(&g.w.step, LINK_UP); i++) {
		now += worker_patience(&g.w) / 3 + 1;
		assert_int_equal(ring_take(&g.in[LINK_UP], &h, buf, sizeof buf), 0);
		ring_publish(&g.in[LINK_UP]);
		assert_int_equal(turn(&g.w), 0);
	}
	assert_false(step_linked(&g.w.step, LINK_UP));
	all_taken(&g);
	rig_close(&g);
}
/* Slow, but it works: each time, half of what there is. */
static void test_one_that_is_slow_is_waited_for(void **state)
{
	static uint8_t buf[RING];
	struct rig g = { 0 };
	struct record h;

	(void)state;
	relay_open(&g);
	fill_up(&g);
	while (got[LINK_DOWN] < RECORDS) {
		uint64_t half = g.in[LINK_UP].at + RING / 2;

		now += worker_patience(&g.w) - 1;
		while (g.in[LINK_UP].at < half && !ring_take(&g.in[LINK_UP], &h, buf, sizeof buf))
			;
		ring_publish(&g.in[LINK_UP]);
		run_to_rest(&g);
	}
	assert_true(step_linked(&g.w.step, LINK_UP));
	while (!ring_take(&g.in[LINK_UP], &h, buf, sizeof buf))
		;
	ring_publish(&g.in[LINK_UP]);
	all_taken(&g);
	rig_close(&g);
}
/* A neighbour floods us, so that we never rest, and takes nothing itself. */
static void test_a_flood_hides_nothing(void **state)
{
	struct rig g = { 0 };

	(void)state;
	relay_open(&g);
	fill_up(&g);
	for (unsigned i = 0; i < 2; i++) {
		now += worker_patience(&g.w) / 2 + 1;
		put(&g, LINK_UP, 1);
		assert_int_equal(turn(&g.w), 0);
	}
	assert_false(step_linked(&g.w.step, LINK_UP));
	rig_close(&g);
}
static void test_a_head_that_lies_is_refused(void **state)
{
	static const uint64_t lies[] = { 1, 4, 8 * RING, UINT64_MAX - 7, BIG - 8 };	/* the last: behind where it was */

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(lies); i++) {
		struct rig g = { 0 };
		struct ring_region *theirs;

		relay_open(&g);
		theirs = g.memory[2 * LINK_UP + 1];
		put(&g, LINK_DOWN, 1);
		run_to_rest(&g);
		atomic_store(&theirs->head.pos, g.w.step.link[LINK_UP].out.at);	/* all taken */
		ring_room(&g.w.step.link[LINK_UP].out, RING);
		run_to_rest(&g);
		assert_true(step_linked(&g.w.step, LINK_UP));
		atomic_store(&theirs->head.pos, lies[i]);
		put(&g, LINK_DOWN, 1);
		run_to_rest(&g);
		assert_false(step_linked(&g.w.step, LINK_UP));
		assert_true(step_linked(&g.w.step, LINK_DOWN));
		rig_close(&g);
	}
}

/* All stood still for an hour (a suspended machine): the neighbour has not run again yet, and gets a second for it. */
static void test_an_hour_of_standstill_is_nobodys_fault(void **state)
{
	struct rig g = { 0 };

	(void)state;
	relay_open(&g);
	fill_up(&g);
	now += 3600ull * 1000000000;
	run_to_rest(&g);
	assert_true(step_linked(&g.w.step, LINK_UP));
	assert_int_equal(woken_at, now + 1000000000);
	now += 1000000000;
	assert_int_equal(turn(&g.w), 0);
	assert_false(step_linked(&g.w.step, LINK_UP));
	rig_close(&g);
}
/* More than half is full, but nobody waits for room any more: no wake-up for that. */
static void test_nobody_waits_nobody_wakes(void **state)
{
	static uint8_t buf[RING];
	struct rig g = { 0 };
	struct record h;

	(void)state;
	relay_open(&g);
	for (unsigned i = 0; i < RECORDS && !g.w.link[LINK_UP].want_room; i++) {
		put(&g, LINK_DOWN, 1);
		run_to_rest(&g);
	}
	assert_true(g.w.link[LINK_UP].full_ns != 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ring_take(&g.in[LINK_UP], &h, buf, sizeof buf), 0);
	ring_publish(&g.in[LINK_UP]);
	now += 1000;
	run_to_rest(&g);
	assert_false(g.w.link[LINK_UP].want_room);
	assert_int_equal(woken_at, LOOP_FOREVER);
	rig_close(&g);
}
/* A tail that was shown when we began, and is taken back: nothing comes, and timers fire all the same. */
static void test_a_tail_that_is_taken_back(void **state)
{
	struct rig g = { 0 };
	struct ring_region *theirs;

	(void)state;
	relay_open(&g);
	run_to_rest(&g);
	theirs = g.memory[2 * LINK_UP + 1];
	atomic_store(&theirs->tail.pos, 8);
	free(g.w.buf);
	g.w.drained = false;
	assert_int_equal(worker_attach(&g.w), 0);
	atomic_store(&theirs->tail.pos, 0);
	due = 1;
	acted = 0;
	run_to_rest(&g);
	assert_int_equal(acted, 1);
	rig_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_full_batches), cmocka_unit_test(test_one_record_a_step),
		cmocka_unit_test(test_never_idle), cmocka_unit_test(test_one_that_takes_nothing_is_given_up),
		cmocka_unit_test(test_one_that_drips_is_given_up), cmocka_unit_test(test_one_that_is_slow_is_waited_for),
		cmocka_unit_test(test_a_flood_hides_nothing), cmocka_unit_test(test_a_head_that_lies_is_refused),
		cmocka_unit_test(test_an_hour_of_standstill_is_nobodys_fault), cmocka_unit_test(test_nobody_waits_nobody_wakes),
		cmocka_unit_test(test_a_tail_that_is_taken_back) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
