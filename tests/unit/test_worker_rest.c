/* tests/unit/test_worker_rest.c - a worker does not rest while a record could be taken, and timers fire in time: its own turn(), over links in ordinary memory.
 * tests/unit/worker_rig.h has the worker. */
#include "tests/unit/worker_rig.h"

enum { BIG = 4096, RECORDS = 20 };

static unsigned got[STEP_LINKS];

/* A record from DOWN gives BIG octets to UP; one from UP gives nothing. */
static void on_record(struct step *s, unsigned link, const struct record *r, struct bytes payload)
{
	(void)r, (void)payload;
	got[link]++;
	step_count(s, 0, 1);
	if (link != LINK_DOWN)
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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_full_batches), cmocka_unit_test(test_one_record_a_step),
		cmocka_unit_test(test_never_idle) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
