/* The ring against a FIFO oracle, a peer that lies, and the doorbell handshake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/types.h"
#include "shm/ring.h"

enum { SIZE = 512 };		/* tiny: every place a record can begin at comes up, wraps and pads included */
struct world {
	struct ring_region *a, *b;	/* producer's, consumer's */
	struct ring out, in;
};

static struct ring_region *region(void)
{
	size_t n = (ring_region_size(SIZE) + 127) / 128 * 128;
	struct ring_region *r = aligned_alloc(128, n);

	assert_non_null(r);
	memset(r, 0, n);
	return r;
}
static void open_world(struct world *w)
{
	w->a = region();
	w->b = region();
	w->out = ring_producer(w->a, w->b, SIZE, 0);
	w->in = ring_consumer(w->b, w->a, SIZE, 0);
}
static void close_world(struct world *w)
{
	free(w->a);
	free(w->b);
}

/* What a FIFO of records would hold. */
struct oracle { struct { uint32_t len; uint8_t fill; uint16_t index; } item[4096]; unsigned head, tail; };

static bool push(struct world *w, struct oracle *o, uint32_t len)
{
	uint8_t fill = (uint8_t)(o->tail * 7 + 1), *p = ring_reserve(&w->out, len);

	if (!p)
		return false;
	memset(p, fill, len);
	ring_push(&w->out, (struct record){ .len = len, .kind = RECORD_HCI_ACL, .flags = 0, .index = (uint16_t)o->tail, .generation = 3,
	    .time_ns = o->tail * 1000ull });
	o->item[o->tail].len = len;
	o->item[o->tail].fill = fill;
	o->item[o->tail].index = (uint16_t)o->tail;
	o->tail++;
	return true;
}
static bool take(struct world *w, struct oracle *o)
{
	uint8_t buf[SIZE];
	struct record h;
	int r = ring_take(&w->in, &h, buf, ring_payload_max(SIZE));

	assert_int_not_equal(r, RING_CORRUPT);
	if (r == RING_EMPTY)
		return false;
	assert_true(o->head < o->tail);
	assert_int_equal(h.len, o->item[o->head].len);
	assert_int_equal(h.index, o->item[o->head].index);
	assert_int_equal(h.kind, RECORD_HCI_ACL);
	assert_int_equal(h.generation, 3);
	assert_int_equal(h.time_ns, o->head * 1000ull);
	for (uint32_t i = 0; i < h.len; i++)
		assert_int_equal(buf[i], o->item[o->head].fill);
	o->head++;
	return true;
}

/* A take gives the next record if one was published, and nothing otherwise. */
static void expect_take(struct world *w, struct oracle *o, unsigned shown)
{
	bool due = o->head < shown;

	assert_true(take(w, o) == due);
}

/* Every order of six operations out of {push short, push odd, push longest, publish, take, release}, from every place in the ring. */
static void test_every_order_at_every_place(void **state)
{
	static const uint32_t lens[] = { 0, 13, 48 };
	unsigned orders = 6 * 6 * 6 * 6 * 6 * 6;

	(void)state;
	assert_int_equal(ring_payload_max(SIZE), 48);
	for (unsigned start = 0; start < SIZE / 8; start += 3)
		for (unsigned order = 0; order < orders; order++) {
			static struct oracle o;
			static struct world w;
			unsigned shown = 0, ops = order;

			o.head = o.tail = 0;
			if (!w.a)
				open_world(&w);
			memset(w.a, 0, sizeof *w.a);
			memset(w.b, 0, sizeof *w.b);
			atomic_store(&w.a->tail.pos, start * 8);
			atomic_store(&w.b->head.pos, start * 8);
			w.out = ring_producer(w.a, w.b, SIZE, start * 8);
			w.in = ring_consumer(w.b, w.a, SIZE, start * 8);
			w.out.pub = w.in.pub = start * 8;
			for (unsigned i = 0; i < 6; i++, ops /= 6) {
				unsigned op = ops % 6;

				if (op < 3)
					push(&w, &o, lens[op]);
				else if (op == 3)
					ring_publish(&w.out), shown = o.tail;
				else if (op == 4)
					expect_take(&w, &o, shown);
				else
					ring_publish(&w.in);
				assert_true(o.head <= shown);	/* nothing unpublished is ever seen */
			}
			ring_publish(&w.out);
			while (take(&w, &o))
				;
			assert_int_equal(o.head, o.tail);	/* nothing lost */
		}
}

static void test_random_traffic(void **state)
{
	struct world w;
	static struct oracle o;
	uint32_t seed = 1;

	(void)state;
	open_world(&w);
	for (unsigned round = 0; round < 200; round++) {
		o.head = o.tail = 0;
		while (o.head < 4000) {
			seed = seed * 1664525 + 1013904223;
			if (seed >> 30 && o.tail < 4000)
				push(&w, &o, (seed >> 8) % 49);
			if (seed >> 28 & 1)
				ring_publish(&w.out);
			if (seed >> 27 & 1)
				take(&w, &o);
			if (seed >> 26 & 1)
				ring_publish(&w.in);
			if (o.tail == 4000)
				ring_publish(&w.out);
		}
	}
	close_world(&w);
}

static void test_full_says_so_and_recovers(void **state)
{
	struct world w;
	static struct oracle o;
	unsigned n = 0;

	(void)state;
	open_world(&w);
	while (push(&w, &o, 48))
		n++;
	assert_int_equal(n, SIZE / 64);
	ring_publish(&w.out);
	assert_true(ring_sleep_full(&w.out));
	assert_true(take(&w, &o));
	assert_false(ring_publish(&w.in));	/* less than half is free: the producer is let sleep */
	for (unsigned i = 0; i < 3; i++)
		assert_true(take(&w, &o));
	assert_true(ring_publish(&w.in));	/* half is free: kick */
	assert_true(push(&w, &o, 48));
	assert_false(ring_publish(&w.in));	/* and only once */
	close_world(&w);
}

static void test_doorbell_rings_once(void **state)
{
	struct world w;
	static struct oracle o;

	(void)state;
	open_world(&w);
	assert_true(ring_sleep_empty(&w.in));
	push(&w, &o, 8);
	assert_true(ring_publish(&w.out));	/* asleep: kick */
	push(&w, &o, 8);
	assert_false(ring_publish(&w.out));	/* nobody asked again */
	assert_false(ring_sleep_empty(&w.in));	/* something came: do not sleep */
	assert_true(take(&w, &o));
	assert_true(take(&w, &o));
	assert_true(ring_sleep_empty(&w.in));
	push(&w, &o, 8);
	assert_true(ring_publish(&w.out));
	close_world(&w);
}

/* A new worker shows its positions again; the other side goes on in the middle. */
static void test_handles_begin_in_the_middle(void **state)
{
	struct world w;
	static struct oracle o;

	(void)state;
	open_world(&w);
	for (unsigned i = 0; i < 5; i++)
		push(&w, &o, 40);
	ring_publish(&w.out);
	take(&w, &o);
	ring_publish(&w.in);
	push(&w, &o, 40);			/* pushed, not published: its producer dies */
	w.out = ring_producer(w.a, w.b, SIZE, atomic_load(&w.a->tail.pos));
	w.in = ring_consumer(w.b, w.a, SIZE, atomic_load(&w.b->head.pos));
	o.tail--;
	push(&w, &o, 16);
	ring_publish(&w.out);
	while (take(&w, &o))
		;
	assert_int_equal(o.head, o.tail);
	assert_int_equal(o.tail, 6);
	close_world(&w);
}

/* What a peer may write over its own region, and what we make of it. */
static void test_lies_are_corrupt(void **state)
{
	static const struct { const char *why; uint64_t tail, word0, word1_at, word1; } lies[] = {
		{ "a tail beyond the ring",               SIZE + 8, 0, 0, 0 },
		{ "a tail behind what was seen",          (uint64_t)-8, 0, 0, 0 },
		{ "a tail that is not aligned",           12, 0, 0, 0 },
		{ "a record longer than what is there",   24, 40 | 2ull << 20, 0, 0 },
		{ "a record longer than an eighth",       256, 200 | 2ull << 20, 0, 0 },
		{ "the longest length there is",          SIZE, 0xFFFFF | 2ull << 20, 0, 0 },
		{ "a pad with nothing behind it",         SIZE, 255ull << 20, 0, 0 },
		{ "half a header",                        8, 0 | 2ull << 20, 0, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(lies); i++) {
		struct world w;
		uint8_t buf[SIZE];
		struct record h = { .len = 77 };

		open_world(&w);
		atomic_store(&w.a->words[0], lies[i].word0);
		atomic_store(&w.a->tail.pos, lies[i].tail);
		if (ring_take(&w.in, &h, buf, ring_payload_max(SIZE)) != RING_CORRUPT)
			fail_msg("not refused: %s", lies[i].why);
		assert_int_equal(w.in.at, 0);		/* nothing was taken */
		assert_int_equal(h.len, 77);
		close_world(&w);
	}
}
static void test_two_pads_are_corrupt(void **state)
{
	struct world w;
	uint8_t buf[SIZE];
	struct record h;

	(void)state;
	open_world(&w);
	w.in = ring_consumer(w.b, w.a, SIZE, SIZE - 32);
	atomic_store(&w.a->words[(SIZE - 32) / 8], 255ull << 20);
	atomic_store(&w.a->words[0], 255ull << 20);
	atomic_store(&w.a->tail.pos, SIZE + 64);
	assert_int_equal(ring_take(&w.in, &h, buf, 48), RING_CORRUPT);
	close_world(&w);
}
/* A consumer that lies about its head gets no room, and the producer no harm. */
static void test_lying_head_gives_no_room(void **state)
{
	static const uint64_t heads[] = { 8, 1, (uint64_t)-8, SIZE * 4, ~0ull, 1ull << 63 };
	struct world w;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(heads); i++) {
		static struct oracle o;

		o.head = o.tail = 0;
		open_world(&w);
		while (push(&w, &o, 48))
			;
		atomic_store(&w.b->head.pos, heads[i] + (heads[i] == 8 ? SIZE : 0));
		assert_null(ring_reserve(&w.out, 48));
		close_world(&w);
	}
}
/* Random scribbling over the whole region of the peer: refused or a lawful record, never out of bounds (ASan watches). */
static void test_scribbled_region(void **state)
{
	uint32_t seed = 7;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		struct world w;
		uint8_t *buf = malloc(ring_payload_max(SIZE));
		struct record h;

		open_world(&w);
		for (size_t i = 0; i < SIZE / 8; i++) {
			seed = seed * 1664525 + 1013904223;
			atomic_store(&w.a->words[i], (uint64_t)(seed >> 26) | (seed & 8 ? 255ull : 2ull) << 20);
		}
		atomic_store(&w.a->tail.pos, seed >> 22 & ~7u);
		for (unsigned i = 0; i < 80 && !ring_take(&w.in, &h, buf, ring_payload_max(SIZE)); i++) {
			assert_true(h.len <= ring_payload_max(SIZE));
			if (i & 1)
				ring_publish(&w.in);
		}
		free(buf);
		close_world(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_order_at_every_place),
		cmocka_unit_test(test_random_traffic),
		cmocka_unit_test(test_full_says_so_and_recovers),
		cmocka_unit_test(test_doorbell_rings_once),
		cmocka_unit_test(test_handles_begin_in_the_middle),
		cmocka_unit_test(test_lies_are_corrupt),
		cmocka_unit_test(test_two_pads_are_corrupt),
		cmocka_unit_test(test_lying_head_gives_no_room),
		cmocka_unit_test(test_scribbled_region),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
