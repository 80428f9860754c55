/* The step over rings: reserves, links that begin anew, positions after a restart, lies, counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/types.h"
#include "shm/stats.h"
#include "tests/lib/mill.h"

enum { RING = 4096, BUF = 1024 };
struct bench {
	struct arena arena;
	struct step step;
	uint8_t *at;
	struct ring_region *ours[STEP_LINKS], *theirs[STEP_LINKS];
	struct ring feed, drain;		/* the far end of LINK_UP */
};

static struct ring_region *region(void)
{
	size_t n = ring_region_size(RING);
	struct ring_region *r = aligned_alloc(128, n);

	assert_non_null(r);
	memset(r, 0, n);
	return r;
}
static void begin(struct bench *b, uint32_t up, uint32_t down)
{
	int r = arena_open(&b->arena, &mill_plan, b->at, true);

	if (r == ARENA_E_BLANK)
		arena_format(&b->arena, &mill_plan, mill_core.fill);
	step_open(&b->step, &b->arena, &mill_core);
	step_recover(&b->step);
	if (up)
		step_attach(&b->step, LINK_UP, up, b->ours[LINK_UP], RING, b->theirs[LINK_UP], RING);
	if (down)
		step_attach(&b->step, LINK_DOWN, down, b->ours[LINK_DOWN], RING, b->theirs[LINK_DOWN], RING);
}
static void open_bench(struct bench *b)
{
	size_t n = (arena_size(&mill_plan) + 63) / 64 * 64;

	memset(b, 0, sizeof *b);
	b->at = aligned_alloc(64, n);
	memset(b->at, 0, n);
	for (unsigned l = 0; l < STEP_LINKS; l++) {
		b->ours[l] = region();
		b->theirs[l] = region();
	}
	b->feed = ring_producer(b->theirs[LINK_UP], b->ours[LINK_UP], RING, 0);
	b->drain = ring_consumer(b->theirs[LINK_UP], b->ours[LINK_UP], RING, 0);
}
static void close_bench(struct bench *b)
{
	arena_close(&b->arena);
	for (unsigned l = 0; l < STEP_LINKS; l++) {
		free(b->ours[l]);
		free(b->theirs[l]);
	}
	free(b->at);
}
static void feed(struct bench *b, uint8_t kind, uint32_t len)
{
	uint8_t *p = ring_reserve(&b->feed, len);

	assert_non_null(p);
	memset(p, 'x', len);
	ring_push(&b->feed, (struct record){ .len = len, .kind = kind, .generation = 1 });
	ring_publish(&b->feed);
}
static int take_one(struct bench *b)
{
	struct record h;
	uint8_t body[BUF];
	int r = step_take(&b->step, LINK_UP, &h, body, sizeof body);

	if (!r)
		mill_core.on_record(&b->step, LINK_UP, &h, (struct bytes){ body, h.len });
	return r;
}

static void test_absent_links(void **state)
{
	struct bench b;
	struct record h;
	uint8_t body[BUF];

	(void)state;
	open_bench(&b);
	begin(&b, 0, 0);
	assert_int_equal(step_take(&b.step, LINK_UP, &h, body, BUF), STEP_ABSENT);
	assert_false(step_may_act(&b.step));
	step_attach(&b.step, LINK_UP, 4, b.ours[LINK_UP], RING, b.theirs[LINK_UP], RING);
	feed(&b, RECORD_CONNECTED, 4);
	assert_int_equal(take_one(&b), STEP_FULL);		/* its answers would go to a link that is not there */
	assert_int_equal(step_full_link(&b.step), LINK_DOWN);
	close_bench(&b);
}
static void test_full_output_stops_the_input(void **state)
{
	struct bench b;
	struct record h;
	uint8_t body[BUF];
	unsigned n = 0;

	(void)state;
	open_bench(&b);
	begin(&b, 1, 1);
	feed(&b, RECORD_CONNECTED, 4);
	assert_int_equal(take_one(&b), 0);
	step_commit(&b.step);
	for (;; n++) {
		int r;

		if (ring_room(&b.feed, 200) >= 200)
			feed(&b, RECORD_L2CAP_PDU, 60);
		r = take_one(&b);
		step_commit(&b.step);
		if (r == STEP_FULL)
			break;
		assert_int_equal(r, 0);
	}
	assert_int_equal(step_full_link(&b.step), LINK_UP);
	assert_true(n > 20);
	assert_true(step_may_act(&b.step));			/* the last eighth is left for what must be said */
	while (!ring_take(&b.drain, &h, body, BUF))
		;
	ring_publish(&b.drain);
	assert_int_equal(take_one(&b), 0);
	close_bench(&b);
}
static void test_positions_come_back(void **state)
{
	struct bench b;
	struct record h;
	uint8_t body[BUF];
	uint64_t tail, head;

	(void)state;
	open_bench(&b);
	begin(&b, 1, 1);
	feed(&b, RECORD_CONNECTED, 4);
	for (unsigned i = 0; i < 8; i++)
		feed(&b, RECORD_L2CAP_PDU, 20);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(take_one(&b), 0);
	step_commit(&b.step);
	tail = atomic_load(&b.ours[LINK_UP]->tail.pos);
	head = atomic_load(&b.ours[LINK_UP]->head.pos);
	assert_true(tail > 0 && head > 0);
	assert_int_equal(take_one(&b), 0);			/* taken, answered, not committed: killed */
	arena_close(&b.arena);
	atomic_store(&b.ours[LINK_UP]->tail.pos, 0);		/* and had the last publishing not come to it */
	atomic_store(&b.ours[LINK_UP]->head.pos, 0);
	begin(&b, 1, 1);
	assert_int_equal(atomic_load(&b.ours[LINK_UP]->tail.pos), tail);
	assert_int_equal(atomic_load(&b.ours[LINK_UP]->head.pos), head);
	assert_true(b.step.link[LINK_UP].kick && b.step.link[LINK_DOWN].kick);
	assert_int_equal(miller_next(&b.arena, NULL)->records, 6);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(take_one(&b), 0);
	assert_int_equal(take_one(&b), RING_EMPTY);
	step_commit(&b.step);
	assert_int_equal(miller_next(&b.arena, NULL)->records, 9);
	assert_int_equal(counters_next(&b.arena, NULL)->at[0], 9);
	assert_int_equal(ring_take(&b.drain, &h, body, BUF), 0);
	assert_int_equal(h.len, 60);				/* three PDUs, at the fourth */
	assert_int_equal(ring_take(&b.drain, &h, body, BUF), 0);
	assert_int_equal(h.len, 80);
	assert_int_equal(ring_take(&b.drain, &h, body, BUF), RING_EMPTY);
	close_bench(&b);
}
static void test_new_generation_begins_at_zero_and_is_told(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b);
	begin(&b, 1, 1);
	feed(&b, RECORD_CONNECTED, 4);
	take_one(&b);
	step_commit(&b.step);
	assert_int_equal(miller_next(&b.arena, NULL)->now_ns, 2);	/* on_link, once for each */
	arena_close(&b.arena);
	begin(&b, 1, 1);
	take_one(&b);
	step_commit(&b.step);
	assert_int_equal(miller_next(&b.arena, NULL)->now_ns, 2);	/* the same generation: nothing new */
	arena_close(&b.arena);
	memset(b.ours[LINK_UP], 0, ring_region_size(RING));
	memset(b.theirs[LINK_UP], 0, ring_region_size(RING));
	b.feed = ring_producer(b.theirs[LINK_UP], b.ours[LINK_UP], RING, 0);
	begin(&b, 2, 1);
	feed(&b, RECORD_L2CAP_PDU, 4);
	assert_int_equal(take_one(&b), 0);
	step_commit(&b.step);
	assert_int_equal(miller_next(&b.arena, NULL)->now_ns, 3);
	assert_int_equal(positions_next(&b.arena, NULL)->generation[LINK_UP], 2);
	assert_int_equal(positions_next(&b.arena, NULL)->in_head[LINK_UP], record_octets(4));
	close_bench(&b);
}
/* A link that was given up stops nobody; one that never was there does: its records would be lost unsaid. */
static void test_a_link_given_up_stops_nobody(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b);
	begin(&b, 1, 1);
	feed(&b, RECORD_CONNECTED, 4);
	assert_int_equal(take_one(&b), 0);
	step_commit(&b.step);
	feed(&b, RECORD_L2CAP_PDU, 4);
	step_detach(&b.step, LINK_DOWN);
	assert_int_equal(take_one(&b), 0);
	assert_true(step_may_act(&b.step));
	step_commit(&b.step);
	close_bench(&b);
}
static void test_renewed(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b);
	begin(&b, 0x1FFFF, 1);
	feed(&b, RECORD_CONNECTED, 4);
	take_one(&b);
	step_commit(&b.step);
	assert_false(step_renewed(&b.step, LINK_UP, 0xFFFF));	/* it is the one that was named */
	assert_true(step_renewed(&b.step, LINK_UP, 0xFFFE));
	assert_false(step_renewed(&b.step, LINK_UP, 0));	/* 0x20000 is still to come */
	assert_true(step_renewed(&b.step, LINK_DOWN, 0xFFFF));
	close_bench(&b);
}
/* Half of a ring is enough for any reserve: a producer that was woken finds room. */
static void test_what_fits_a_ring(void **state)
{
	struct core c = mill_core;

	(void)state;
	memset(c.reserve, 0, sizeof c.reserve);
	memset(c.act, 0, sizeof c.act);
	c.reserve[LINK_DOWN][LINK_UP] = RING * 3 / 16;
	assert_true(step_fits(&c, LINK_UP, RING));
	c.reserve[LINK_DOWN][LINK_UP]++;
	assert_false(step_fits(&c, LINK_UP, RING));
	assert_true(step_fits(&c, LINK_DOWN, RING));
	c.act[LINK_DOWN] = RING / 4;
	assert_true(step_fits(&c, LINK_DOWN, RING));
	c.act[LINK_DOWN]++;
	assert_false(step_fits(&c, LINK_DOWN, RING));
}
/* The log has to take what the commit itself puts into it, too. */
static void test_the_log_takes_the_positions_too(void **state)
{
	struct core c = mill_core;
	struct bench b;

	(void)state;
	open_bench(&b);
	begin(&b, 1, 1);
	assert_true(step_may_act(&b.step));
	step_commit(&b.step);
	b.step.core = &c;
	c.undo = arena_log_room(&b.arena);
	assert_false(step_may_act(&b.step));
	assert_int_equal(step_full_link(&b.step), STEP_LINKS);
	c.undo -= (uint32_t)sizeof(struct positions) + 32;
	assert_true(step_may_act(&b.step));
	close_bench(&b);
}
/* What a producer waits for that is told lies: sleep, not look again for ever. */
static void test_a_head_that_lies_lets_sleep(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b);
	while (ring_reserve(&b.feed, 100))
		ring_push(&b.feed, (struct record){ .len = 100, .kind = RECORD_CREDIT });
	ring_publish(&b.feed);
	atomic_store(&b.ours[LINK_UP]->head.pos, b.feed.at - 1);
	assert_true(ring_sleep_full(&b.feed));
	atomic_store(&b.ours[LINK_UP]->head.pos, b.feed.at);
	assert_false(ring_sleep_full(&b.feed));
	close_bench(&b);
}
/* A link of which the core has not heard is not shown: nothing of it is committed. */
static void test_a_fresh_link_is_not_published(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b);
	begin(&b, 1, 1);
	b.step.link[LINK_UP].out.at += 64;
	step_count(&b.step, 1, 1);
	step_commit(&b.step);
	assert_int_equal(atomic_load(&b.ours[LINK_UP]->tail.pos), 0);
	close_bench(&b);
}
static void test_a_ring_that_lies_is_used_no_more(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b);
	begin(&b, 1, 1);
	feed(&b, RECORD_CONNECTED, 4);
	assert_int_equal(take_one(&b), 0);
	atomic_store(&b.theirs[LINK_UP]->tail.pos, 7);
	assert_int_equal(take_one(&b), RING_CORRUPT);
	atomic_store(&b.theirs[LINK_UP]->tail.pos, b.feed.at);
	assert_int_equal(take_one(&b), RING_CORRUPT);		/* truth comes too late */
	step_detach(&b.step, LINK_UP);
	assert_int_equal(take_one(&b), STEP_ABSENT);
	step_commit(&b.step);
	close_bench(&b);
}
static void test_counters_are_shown(void **state)
{
	struct stats *st = aligned_alloc(64, (stats_size() + 63) / 64 * 64);
	struct bench b;

	(void)state;
	memset(st, 0, stats_size());
	open_bench(&b);
	begin(&b, 1, 1);
	step_count(&b.step, 1, 42);
	step_commit(&b.step);
	stats_show(st, &b.step);
	assert_int_equal(atomic_load(&st->core[1]), 42);
	stats_add(st, SHELL_kicks, 2);
	assert_int_equal(atomic_load(&st->shell[SHELL_kicks]), 2);
	assert_string_equal(stats_shell_name(SHELL_kicks), "kicks");
	assert_null(stats_shell_name(SHELL_COUNTER_COUNT));
	free(st);
	close_bench(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_absent_links),
		cmocka_unit_test(test_full_output_stops_the_input),
		cmocka_unit_test(test_positions_come_back),
		cmocka_unit_test(test_new_generation_begins_at_zero_and_is_told),
		cmocka_unit_test(test_a_link_given_up_stops_nobody),
		cmocka_unit_test(test_renewed),
		cmocka_unit_test(test_what_fits_a_ring),
		cmocka_unit_test(test_the_log_takes_the_positions_too),
		cmocka_unit_test(test_a_head_that_lies_lets_sleep),
		cmocka_unit_test(test_a_fresh_link_is_not_published),
		cmocka_unit_test(test_a_ring_that_lies_is_used_no_more),
		cmocka_unit_test(test_counters_are_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
