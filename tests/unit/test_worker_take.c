/* tests/unit/test_worker_take.c - what a worker owes to a record that it takes, and to a link that it attaches: a record in quarantine
 * is skipped in a step of its own, and whoever is at the other side of a link is woken. */
#include "tests/unit/worker_rig.h"

enum { POISON = 0xEE, SEEN = 32, IS_POISON = 1000 };

/* What the core saw, in order, and in which step: the epoch counts commits. */
static struct { unsigned what; uint32_t epoch; } seen[SEEN];
static unsigned count;

static void saw(struct step *s, unsigned what)
{
	assert_in_range(count, 0, SEEN - 1);
	seen[count].what = what;
	seen[count++].epoch = s->arena->epoch;
	step_count(s, 0, 1);
}
static void on_record(struct step *s, unsigned link, const struct record *r, struct bytes payload)
{
	(void)link, (void)r;
	assert_int_not_equal(payload.at[0], POISON);
	saw(s, payload.at[0]);
}
static void on_poison(struct step *s, unsigned link, const struct record *r, enum core_rung rung)
{
	(void)r;
	assert_int_equal(link, LINK_UP);
	saw(s, IS_POISON + rung);
}

static const struct arena_pool pools[] = { STEP_STATE(ARENA_ROW) { 0 } };
static const char *const names[] = { "records", NULL };
static const struct core core = { .name = "taker", .pools = pools, .version = 1, .counter_names = names, .undo = 1024,
	.fill = step_format, .on_record = on_record, .on_poison = on_poison };
static const struct program taker = { .name = "taker", .core = &core };

/* `before` records, one in quarantine, `behind` more; all lie there when the worker begins. */
static void skipped(unsigned before, unsigned behind, enum core_rung rung)
{
	struct rig g = { 0 };
	unsigned i;

	count = 0;
	rig_open(&g, &taker);
	g.w.step.now_ns = 1;
	run_to_rest(&g);			/* entropy, and what else a first turn brings */
	for (i = 0; i < before; i++)
		put(&g, LINK_UP, (uint8_t)i);
	g.w.skip_link = LINK_UP + 1;
	g.w.skip_position = g.out[LINK_UP].at;
	g.w.skip_rung = rung;
	put(&g, LINK_UP, POISON);
	for (i = 0; i < behind; i++)
		put(&g, LINK_UP, (uint8_t)(100 + i));
	run_to_rest(&g);
	assert_int_equal(count, before + 1 + behind);
	for (i = 0; i < before; i++) {
		assert_int_equal(seen[i].what, i);
		assert_int_equal(seen[i].epoch, seen[0].epoch);		/* they are one step: the batch has room for all */
		assert_true(seen[i].epoch < seen[before].epoch);	/* ... and the skipping another */
	}
	assert_int_equal(seen[before].what, IS_POISON + rung);
	for (i = before + 1; i < count; i++) {
		assert_int_equal(seen[i].what, 100 + i - before - 1);
		assert_true(seen[i].epoch > seen[before].epoch);
	}
	assert_int_equal(g.w.skip_link, 0);
	assert_false(worker_dirty(&g.w));
	assert_int_equal(atomic_load(&((struct ring_region *)g.memory[2 * LINK_UP])->head.pos), g.out[LINK_UP].at);
	rig_close(&g);
}
static void test_skipping_is_a_step_of_its_own(void **state)
{
	(void)state;
	skipped(3, 3, RUNG_SKIP_RECORD);
	skipped(3, 3, RUNG_RESET_CONNECTION);
	skipped(0, 3, RUNG_SKIP_RECORD);
	skipped(3, 0, RUNG_SKIP_RECORD);
	skipped(0, 0, RUNG_SKIP_RECORD);
}

/* It is the record at that position of that link, whatever else is there. */
static void test_other_links_are_not_skipped(void **state)
{
	struct rig g = { 0 };

	(void)state;
	count = 0;
	rig_open(&g, &taker);
	run_to_rest(&g);
	g.w.skip_link = LINK_UP + 1;
	g.w.skip_position = g.out[LINK_DOWN].at;
	put(&g, LINK_DOWN, 7);
	run_to_rest(&g);
	assert_int_equal(count, 1);
	assert_int_equal(seen[0].what, 7);
	put(&g, LINK_UP, POISON);
	run_to_rest(&g);
	assert_int_equal(seen[1].what, IS_POISON);
	rig_close(&g);
}

/* The other side may have published and slept, or wait for room, while nobody was here to kick it: once each way. */
static void test_attach_kicks_each_link_that_is_there(void **state)
{
	struct rig g = { 0 };

	(void)state;
	rig_open(&g, &taker);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		assert_int_equal(kicks[l], 1);
	memset(kicks, 0, sizeof kicks);
	free(g.w.buf);
	g.w.link[LINK_UP].generation = 0;
	assert_int_equal(worker_attach(&g.w), 0);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		assert_int_equal(kicks[l], l != LINK_UP);
	rig_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_skipping_is_a_step_of_its_own),
		cmocka_unit_test(test_other_links_are_not_skipped), cmocka_unit_test(test_attach_kicks_each_link_that_is_there) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
