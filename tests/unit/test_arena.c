/* The arena: pools, generations, rollback, byte queues, the shadow check that names a planted bug, refusal of other layouts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/types.h"
#include "shm/arena_image.h"
#include "shm/undo.h"
#include "tests/lib/mill.h"

struct bench { struct arena a; uint8_t *at; };

static void open_bench(struct bench *b)
{
	size_t n = (arena_size(&mill_plan) + 63) / 64 * 64;

	b->at = aligned_alloc(64, n);
	assert_non_null(b->at);
	memset(b->at, 0, n);
	assert_int_equal(arena_open(&b->a, &mill_plan, b->at, true), ARENA_E_BLANK);
	arena_format(&b->a, &mill_plan, mill_core.fill);
}
static void close_bench(struct bench *b)
{
	arena_close(&b->a);
	free(b->at);
}
/* As a worker that was killed comes back: another mapping of the same octets would do as well. */
static void come_back(struct bench *b)
{
	arena_close(&b->a);
	assert_int_equal(arena_open(&b->a, &mill_plan, b->at, true), 0);
	arena_rollback(&b->a);
}

static void test_blank_until_the_last_store(void **state)
{
	struct bench b;
	struct arena again;

	(void)state;
	open_bench(&b);
	assert_int_equal(arena_live(&b.a, POOL_miller), 1);
	assert_int_equal(arena_open(&again, &mill_plan, b.at, false), 0);
	arena_close(&again);
	memset(b.at + 64, 0, 8);		/* the magic: as if the kill had come before it */
	assert_int_equal(arena_open(&again, &mill_plan, b.at, false), ARENA_E_BLANK);
	arena_close(&again);
	close_bench(&b);
}
static void test_other_layout_and_configuration_are_refused(void **state)
{
	struct arena_plan other = mill_plan;
	struct arena again;
	struct bench b;

	(void)state;
	open_bench(&b);
	other.config_hash ^= 1;
	assert_int_equal(arena_open(&again, &other, b.at, false), ARENA_E_CONFIG);
	arena_close(&again);
	other = mill_plan;
	other.version++;
	assert_int_equal(arena_open(&again, &other, b.at, false), ARENA_E_LAYOUT);
	arena_close(&again);
	assert_int_not_equal(arena_layout_hash(&other), arena_layout_hash(&mill_plan));
	other = mill_plan;
	other.log += 64;		/* a log of another size is another layout: it may end where this one goes on */
	assert_int_equal(arena_size(&other), arena_size(&mill_plan) + 64);
	assert_int_equal(arena_open(&again, &other, b.at, false), ARENA_E_LAYOUT);
	arena_close(&again);
	close_bench(&b);
}
static void test_slots_run_out_and_come_back(void **state)
{
	const struct sack *k[MILL_SACKS];
	struct sack_id old;
	struct bench b;

	(void)state;
	open_bench(&b);
	for (unsigned i = 0; i < MILL_SACKS; i++) {
		k[i] = sack_new(&b.a);
		assert_non_null(k[i]);
	}
	assert_null(sack_new(&b.a));
	old = sack_id_of(k[2]);
	assert_ptr_equal(sack_view(&b.a, old), k[2]);
	sack_free(&b.a, k[2]);
	assert_null(sack_view(&b.a, old));		/* a stale id finds nothing */
	assert_non_null(sack_new(&b.a));
	assert_null(sack_view(&b.a, old));		/* nor the stranger in its slot */
	assert_null(sack_view(&b.a, (struct sack_id){ 0 }));
	assert_null(sack_view(&b.a, (struct sack_id){ 0xFFFF0001 }));
	arena_commit(&b.a);
	assert_int_equal(arena_live(&b.a, POOL_sack), MILL_SACKS);
	for (const struct sack *s = sack_next(&b.a, NULL), *n; s; s = n) {
		n = sack_next(&b.a, s);
		sack_free(&b.a, s);
	}
	arena_commit(&b.a);
	assert_int_equal(arena_live(&b.a, POOL_sack), 0);
	close_bench(&b);
}
static void test_rollback_takes_everything_back(void **state)
{
	struct bench b;
	const struct sack *k;
	struct sack *e;
	uint8_t got[8];

	(void)state;
	open_bench(&b);
	e = sack_new(&b.a);
	e->puts = 7;
	assert_true(fifo_push(&b.a, e, grain, "oldgrain", 8));
	arena_commit(&b.a);
	k = sack_next(&b.a, NULL);
	e = sack_edit(&b.a, k);
	e->puts = 8;
	assert_true(fifo_pop(e, grain, got, 8));
	assert_true(fifo_push(&b.a, e, grain, "newgrain", 8));
	assert_non_null(sack_new(&b.a));
	step_count(&(struct step){ .arena = &b.a }, 0, 5);
	come_back(&b);
	k = sack_next(&b.a, NULL);
	assert_int_equal(k->puts, 7);
	assert_null(sack_next(&b.a, k));
	assert_int_equal(fifo_len(k, grain), 8);
	assert_true(fifo_peek(k, grain, 0, got, 8));
	assert_memory_equal(got, "oldgrain", 8);
	assert_int_equal(counters_next(&b.a, NULL)->at[0], 0);
	close_bench(&b);
}
/* A connection goes and another comes, in one step, in the same slot: the old one's queue is still there after a rollback. */
/* A log of one entry, with `behind` octets of old ones before its footer. */
static bool sound(struct undo_footer f, uint32_t behind)
{
	enum { IMAGE = 4096 };
	uint8_t log[256] = { 0 };

	memcpy(log + behind, &f, sizeof f);
	return arena_log_sound(log, behind + (uint32_t)sizeof f, IMAGE);
}

/* What a step leaves is taken for sound at each length that the word may have; what leads elsewhere is not. */
static void test_a_log_that_leads_elsewhere_is_named(void **state)
{
	static const struct { const char *what; struct undo_footer f; uint32_t behind; bool sound; } rows[] = {
		{ "one that is kept whole",		{ ARENA_HEADS_AT, 16, UNDO_OLD }, 16, true },
		{ "rounded up to eight",		{ ARENA_HEADS_AT, 13, UNDO_OLD }, 16, true },
		{ "cleared: nothing is kept",		{ 4096 - 64, 64, UNDO_ZERO }, 0, true },
		{ "up to the end",			{ 4096 - 16, 16, UNDO_OLD }, 16, true },
		{ "one octet beyond the end",		{ 4096 - 15, 16, UNDO_OLD }, 16, false },
		{ "cleared beyond the end",		{ 4096 - 15, 16, UNDO_ZERO }, 0, false },
		{ "begins behind the end",		{ 4097, 0, UNDO_ZERO }, 0, false },
		{ "far outside",			{ UINT32_MAX - 7, 16, UNDO_OLD }, 16, false },
		{ "its sum wraps",			{ UINT32_MAX, 1, UNDO_ZERO }, 0, false },
		{ "over the word",			{ 0, 8, UNDO_OLD }, 8, false },
		{ "over the header",			{ ARENA_HEADS_AT - 1, 8, UNDO_OLD }, 8, false },
		{ "more old octets than there are",	{ ARENA_HEADS_AT, 24, UNDO_OLD }, 16, false },
		{ "old octets of all lengths there are", { ARENA_HEADS_AT, (1u << 30) - 1, UNDO_OLD }, 16, false },
		{ "no such kind",			{ ARENA_HEADS_AT, 8, 2 }, 0, false },
		{ "something before the first one",	{ ARENA_HEADS_AT, 8, UNDO_ZERO }, 4, false },
	};
	const struct miller *m;
	struct bench b;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (sound(rows[i].f, rows[i].behind) != rows[i].sound)
			fail_msg("%s", rows[i].what);
	open_bench(&b);
	m = miller_only(&b.a);
	miller_edit(&b.a, m);
	sack_new(&b.a);
	assert_true(b.a.log_len > 2 * sizeof(struct undo_footer));
	assert_true(arena_log_sound(b.at + b.a.log_at, b.a.log_len, b.a.log_at));
	assert_false(arena_log_sound(b.at + b.a.log_at, 4, b.a.log_at));
	assert_true(arena_log_sound(b.at + b.a.log_at, 0, b.a.log_at));
	arena_rollback(&b.a);
	close_bench(&b);
}

static void test_slot_used_again_in_one_step(void **state)
{
	struct bench b;
	struct sack *e;
	uint8_t got[8];

	(void)state;
	open_bench(&b);
	e = sack_new(&b.a);
	fifo_push(&b.a, e, grain, "indicate", 8);
	arena_commit(&b.a);
	sack_free(&b.a, sack_next(&b.a, NULL));
	e = sack_new(&b.a);
	fifo_push(&b.a, e, grain, "stranger", 8);
	assert_string_equal(arena_check(&b.a), "");
	come_back(&b);
	assert_true(fifo_peek(sack_next(&b.a, NULL), grain, 0, got, 8));
	assert_memory_equal(got, "indicate", 8);
	close_bench(&b);
}
static void test_queue_wraps_and_refuses_too_much(void **state)
{
	struct bench b;
	struct sack *e;
	uint8_t in[128], out[128];

	(void)state;
	open_bench(&b);
	e = sack_new(&b.a);
	for (unsigned i = 0; i < sizeof in; i++)
		in[i] = (uint8_t)(i * 3);
	for (unsigned round = 0; round < 50; round++) {
		e = sack_edit(&b.a, sack_next(&b.a, NULL));
		assert_true(fifo_push(&b.a, e, grain, in, 100));
		assert_false(fifo_push(&b.a, e, grain, in, 29));
		assert_true(fifo_push(&b.a, e, grain, in, 28));
		assert_false(fifo_pop(e, grain, out, 129));
		assert_true(fifo_peek(e, grain, 100, out, 28));
		assert_memory_equal(out, in, 28);
		assert_false(fifo_peek(e, grain, 100, out, 29));
		assert_true(fifo_pop(e, grain, out, 100));
		assert_memory_equal(out, in, 100);
		assert_true(fifo_pop(e, grain, NULL, 28));
		if (round % 3 == 0)
			arena_commit(&b.a);	/* the shadow check is on */
	}
	close_bench(&b);
}

/* Planted bugs, and the words in which the shadow check names them. */
static void test_shadow_names_an_unlogged_edit(void **state)
{
	struct bench b;
	struct sack *e;

	(void)state;
	open_bench(&b);
	e = sack_new(&b.a);
	arena_commit(&b.a);
	e->puts = 9;				/* a pointer kept over the commit */
	assert_non_null(strstr(arena_check(&b.a), "sack slot 0 octet 0: 09, not 00"));
	e->puts = 0;
	assert_string_equal(arena_check(&b.a), "");
	close_bench(&b);
}
static void test_shadow_names_a_queue_written_by_hand(void **state)
{
	struct bench b;
	struct sack *e;

	(void)state;
	open_bench(&b);
	e = sack_new(&b.a);
	fifo_push(&b.a, e, grain, "abcd", 4);
	arena_commit(&b.a);
	e = sack_edit(&b.a, sack_next(&b.a, NULL));
	e->grain_octets[1] = 'x';
	assert_non_null(strstr(arena_check(&b.a), "sack slot 0"));
	e->grain_octets[1] = 'b';
	e->grain_octets[100] = 'x';		/* nobody's octet: not a difference */
	assert_string_equal(arena_check(&b.a), "");
	close_bench(&b);
}
static void test_entropy_is_drawn_again_after_a_kill(void **state)
{
	uint8_t octets[64], first[16], again[16];
	struct bench b;

	(void)state;
	open_bench(&b);
	for (unsigned i = 0; i < sizeof octets; i++)
		octets[i] = (uint8_t)(200 - i);
	assert_int_equal(entropy_room(&b.a), ENTROPY_OCTETS);
	assert_false(entropy_take(&b.a, first, 1));
	entropy_refill(&b.a, octets, sizeof octets);
	arena_commit(&b.a);
	assert_true(entropy_take(&b.a, first, 16));
	come_back(&b);
	assert_true(entropy_take(&b.a, again, 16));
	assert_memory_equal(first, again, 16);
	arena_commit(&b.a);
	assert_true(entropy_take(&b.a, again, 16));
	assert_memory_not_equal(first, again, 16);
	close_bench(&b);
}

/* Stamps are counted in 32 bits: once round, one that is left from before must not pass for one of this step. */
static void test_stamps_go_round(void **state)
{
	const struct miller *m;
	struct bench b;
	uint32_t last;
	bool round = false;

	(void)state;
	open_bench(&b);
	arena_close(&b.a);
	assert_int_equal(arena_open(&b.a, &mill_plan, b.at, false), 0);
	m = miller_only(&b.a);
	for (unsigned n = 0; n < 700000; n++) {
		last = b.a.since;
		assert_int_equal(arena_log_room(&b.a), b.a.log_cap);
		miller_edit(&b.a, m)->due = n;
		assert_true(arena_dirty(&b.a));
		if (n % 1000)
			arena_commit(&b.a);
		else
			arena_rollback(&b.a);
		round |= b.a.since < last;
		assert_false(arena_dirty(&b.a));
	}
	assert_true(round);
	close_bench(&b);
}
/* An object that was logged in the first step of a round is logged again in the first of the next. */
static void test_a_stamp_of_the_last_round_is_forgotten(void **state)
{
	struct bench b;
	uint32_t first;

	(void)state;
	open_bench(&b);
	arena_close(&b.a);
	assert_int_equal(arena_open(&b.a, &mill_plan, b.at, false), 0);
	first = b.a.since;
	miller_edit(&b.a, miller_only(&b.a))->due = 1;
	do
		arena_commit(&b.a);
	while (b.a.since != first);
	assert_false(arena_dirty(&b.a));
	miller_edit(&b.a, miller_only(&b.a))->due = 2;
	assert_true(arena_dirty(&b.a));
	arena_rollback(&b.a);
	assert_int_equal(miller_only(&b.a)->due, 1);
	close_bench(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blank_until_the_last_store),
		cmocka_unit_test(test_other_layout_and_configuration_are_refused),
		cmocka_unit_test(test_slots_run_out_and_come_back),
		cmocka_unit_test(test_rollback_takes_everything_back),
		cmocka_unit_test(test_a_log_that_leads_elsewhere_is_named),
		cmocka_unit_test(test_slot_used_again_in_one_step),
		cmocka_unit_test(test_queue_wraps_and_refuses_too_much),
		cmocka_unit_test(test_shadow_names_an_unlogged_edit),
		cmocka_unit_test(test_shadow_names_a_queue_written_by_hand),
		cmocka_unit_test(test_entropy_is_drawn_again_after_a_kill),
		cmocka_unit_test(test_stamps_go_round),
		cmocka_unit_test(test_a_stamp_of_the_last_round_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
