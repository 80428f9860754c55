/* Queues of chunks: against a plain copy, with a kill after any operation; and windows that share a rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/types.h"
#include "shm/queue.h"
#include "shm/arena_image.h"
#include "shm/undo.h"

enum { QUEUES = 3, CHUNKS = 12, MOST = 900, ROUNDS = 200000 };

struct shelf_id { uint32_t v; };
struct shelf { struct queue q[QUEUES]; uint32_t zero; };
#define STATE(ROW) \
	ROW(shelf, 1, LIMIT_NONE, sizeof(struct shelf)) \
	ROW(chunk, ARENA_SLOTS(2, CHUNKS - 2), LIMIT_CONNECTIONS, offsetof(struct chunk, in_octets), FIFO(chunk, in))
enum { STATE(ARENA_ENUM) POOLS };
STATE(ARENA_POOL)

static const struct arena_pool pools[] = { STATE(ARENA_ROW) { 0 } };
static const struct arena_plan plan = { .pools = pools, .limits = { .of = { [LIMIT_CONNECTIONS] = 1 } }, .version = 1, .log = 65536 };

/* What the queues should hold. */
struct oracle { struct { uint8_t at[MOST]; uint32_t len; } q[QUEUES]; };
struct bench { struct arena a; uint8_t *at, *scratch; uint64_t hash; uint32_t seed; struct oracle now, committed; };

static void fill(struct arena *a) { shelf_new(a); }

static void open_bench(struct bench *b)
{
	size_t n = (arena_size(&plan) + 63) / 64 * 64;

	memset(b, 0, sizeof *b);
	b->at = aligned_alloc(64, n);
	assert_non_null(b->at);
	memset(b->at, 0, n);
	assert_int_equal(arena_open(&b->a, &plan, b->at, true), ARENA_E_BLANK);
	arena_format(&b->a, &plan, fill);
	b->scratch = malloc(b->a.log_at);
	assert_non_null(b->scratch);
	b->hash = arena_state_hash(&b->a, b->scratch);
	b->seed = 1;
}
static void close_bench(struct bench *b)
{
	arena_close(&b->a);
	free(b->at);
	free(b->scratch);
}

static uint32_t dice(struct bench *b, uint32_t sides)
{
	b->seed = b->seed * 1664525u + 1013904223u;
	return (b->seed >> 8) % sides;
}
static struct shelf *shelf(struct bench *b) { return shelf_edit(&b->a, shelf_only(&b->a)); }

/* Chunks that all queues may have taken at most. */
static uint32_t promised(const struct oracle *o)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < QUEUES; i++)
		n += o->q[i].len ? QUEUE_CHUNKS(o->q[i].len) : 0;
	return n;
}

static void push(struct bench *b, unsigned i, uint32_t n)
{
	struct oracle then = b->now;

	if (then.q[i].len + n > MOST)
		return;
	for (uint32_t k = 0; k < n; k++)
		then.q[i].at[then.q[i].len + k] = (uint8_t)dice(b, 256);
	then.q[i].len += n;
	if (promised(&then) > CHUNKS)
		return;
	queue_push(&b->a, POOL_chunk, &shelf(b)->q[i], then.q[i].at + b->now.q[i].len, n);
	b->now = then;
}

static void pop(struct bench *b, unsigned i, uint32_t n)
{
	uint8_t out[MOST];
	bool there = n <= b->now.q[i].len, drop = !dice(b, 4);

	assert_int_equal(queue_pop(&b->a, POOL_chunk, &shelf(b)->q[i], drop ? NULL : out, n), there);
	if (!there)
		return;
	if (!drop)
		assert_memory_equal(out, b->now.q[i].at, n);
	b->now.q[i].len -= n;
	memmove(b->now.q[i].at, b->now.q[i].at + n, b->now.q[i].len);
}

static void judge(struct bench *b)
{
	const struct shelf *s = shelf_only(&b->a);
	uint8_t out[MOST];

	for (unsigned i = 0; i < QUEUES; i++) {
		uint32_t skip = dice(b, b->now.q[i].len + 1), n = b->now.q[i].len - skip;

		assert_int_equal(s->q[i].len, b->now.q[i].len);
		assert_true(queue_peek(&b->a, POOL_chunk, &s->q[i], skip, out, n));
		assert_false(queue_peek(&b->a, POOL_chunk, &s->q[i], skip, out, n + 1));
		assert_memory_equal(out, b->now.q[i].at + skip, n);
	}
	assert_true(arena_live(&b->a, POOL_chunk) <= promised(&b->now));
}

/* The worker is killed here: what the last commit had is there again. */
static void kill_here(struct bench *b)
{
	arena_close(&b->a);
	assert_int_equal(arena_open(&b->a, &plan, b->at, true), 0);
	arena_rollback(&b->a);
	b->now = b->committed;
	assert_int_equal(arena_state_hash(&b->a, b->scratch), b->hash);
}

static void commit(struct bench *b)
{
	arena_commit(&b->a);
	b->committed = b->now;
	b->hash = arena_state_hash(&b->a, b->scratch);
}

static void test_against_a_copy(void **state)
{
	unsigned kills = 0;
	struct bench b;

	(void)state;
	open_bench(&b);
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned i = dice(&b, QUEUES);
		uint32_t n = dice(&b, dice(&b, 3) ? 60 : 500);

		if (dice(&b, 2))
			push(&b, i, n);
		else
			pop(&b, i, dice(&b, 5) ? n : b.now.q[i].len);
		if (round % 8 == 0)
			assert_string_equal(arena_check(&b.a), "");
		if (!dice(&b, 12)) {
			kill_here(&b);
			kills++;
		}
		judge(&b);
		if (!dice(&b, 6))
			commit(&b);
	}
	assert_true(kills > 1000);
	arena_commit(&b.a);

	assert_int_equal(arena_image_octets(&plan), b.a.log_at);
	for (unsigned i = 0; i < QUEUES; i++)
		pop(&b, i, b.now.q[i].len);
	assert_int_equal(arena_live(&b.a, POOL_chunk), 0);
	arena_commit(&b.a);
	close_bench(&b);
}

/* A full pool's queue is emptied and filled with other octets in one step, in which the worker dies. */
static void test_used_again_in_one_step(void **state)
{
	struct bench b;

	(void)state;
	open_bench(&b);
	push(&b, 0, MOST);
	commit(&b);
	for (unsigned n = 0; n < 3; n++) {
		pop(&b, 0, MOST);
		push(&b, 1, MOST);
		pop(&b, 1, MOST - 100);
		push(&b, 2, 700);
		assert_string_equal(arena_check(&b.a), "");
		if (n == 1)
			pop(&b, 2, 700), pop(&b, 1, 100), push(&b, 0, MOST);
		kill_here(&b);
		judge(&b);
	}
	close_bench(&b);
}

/* ---- windows ---- */
enum { SPARE = 256, MEMBERS = 64 };
struct windows { uint32_t extra[MEMBERS], spare; };

/* Member i has used `octets` of its window, and gets them back. */
static uint32_t use(struct windows *w, unsigned i, uint32_t octets)
{
	uint32_t was = w->extra[i], sum = w->spare, back = window_renew(&w->extra[i], 128, &w->spare, octets);

	assert_int_equal((int64_t)back - octets, ((int64_t)w->extra[i] - was) * CHUNK_OCTETS);	/* what it may send in all is kept */
	for (unsigned k = 0; k < MEMBERS; k++)
		sum += k == i ? was : w->extra[k];
	for (unsigned k = 0; k < MEMBERS; k++)
		sum -= w->extra[k];
	assert_int_equal(sum, w->spare);
	return back;
}

static void test_windows_share(void **state)
{
	struct windows w = { .spare = SPARE };

	(void)state;
	use(&w, 0, 300);
	assert_in_range(w.extra[0], SPARE / 2 - 1, SPARE / 2);		/* alone: half of it, at once */
	for (unsigned n = 2; n <= MEMBERS; n *= 2) {
		for (unsigned round = 0; round < 400; round++)
			for (unsigned i = 0; i < n; i++)
				use(&w, i, 600);
		for (unsigned i = 0; i < n; i++)
			assert_in_range(w.extra[i], SPARE / (n + 1) - 2, SPARE / (n + 1) + 2);
	}
	for (unsigned round = 0; round < 400; round++)		/* the others are idle: they keep what they have, and no more */
		use(&w, 0, 600);
	assert_in_range(w.extra[0], SPARE / (MEMBERS + 1), 2 * SPARE / (MEMBERS + 1) + 2);
	for (unsigned i = 0; i < MEMBERS; i++)
		assert_true(w.extra[i] + w.spare <= SPARE);
}

/* A window shrinks by what it hands back, never by more. */
static void test_window_shrinks(void **state)
{
	uint32_t extra = 100, spare = 0;

	(void)state;
	assert_int_equal(window_renew(&extra, 128, &spare, 300), 300 - CHUNK_OCTETS);
	assert_int_equal(extra, 99);
	assert_int_equal(spare, 1);
	assert_int_equal(window_renew(&extra, 128, &spare, CHUNK_OCTETS), 0);
	assert_int_equal(window_renew(&extra, 128, &spare, CHUNK_OCTETS - 1), CHUNK_OCTETS - 1);
	assert_int_equal(extra, 98);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_a_copy),
		cmocka_unit_test(test_used_again_in_one_step),
		cmocka_unit_test(test_windows_share),
		cmocka_unit_test(test_window_shrinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
