/* tests/unit/test_worker_rest.c - a worker does not rest while a record could be taken, and timers fire in time: its own turn(), over links in ordinary memory.
 *
 * The loop is a stand-in that notes whether it was asked to sleep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include "runtime/worker.c"

enum { BIG = 4096, RING = 64 * 1024, RECORDS = 20, TURNS = 100 };

static bool asleep;
static unsigned got[STEP_LINKS];

int worker_open(struct worker *w, const struct program *p) { (void)w, (void)p; return -ENOSYS; }
uint64_t loop_now(void) { return 1000; }
int loop_run_once(struct loop *l, uint64_t deadline_ns) { (void)l; asleep = deadline_ns == LOOP_FOREVER; return 0; }
int loop_kick(struct loop *l, int fd) { (void)l, (void)fd; return 0; }
void loop_unwatch(struct loop *l, int id) { (void)l, (void)id; }
void watchdog_rest(void) { }

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

struct rig { struct worker w; struct ring out[STEP_LINKS], in[STEP_LINKS]; void *memory[2 * STEP_LINKS + 1]; };

static void *blank(size_t n)
{
	void *at = aligned_alloc(4096, (n + 4095) & ~(size_t)4095);

	assert_non_null(at);
	return memset(at, 0, n);
}

static void rig_open(struct rig *g)
{
	struct arena_plan plan = { .pools = pools, .version = 1, .log = 16384 };
	struct worker *w = &g->w;

	memset(got, 0, sizeof got);
	w->p = &relay;
	w->stats = blank(stats_size());
	g->memory[2 * STEP_LINKS] = blank(arena_size(&plan));
	assert_int_equal(arena_open(&w->arena, &plan, g->memory[2 * STEP_LINKS], false), ARENA_E_BLANK);
	arena_format(&w->arena, &plan, step_format);
	step_open(&w->step, &w->arena, &core);
	step_recover(&w->step);
	for (unsigned l = 0; l < STEP_LINKS; l++) {
		struct ring_region *mine = g->memory[2 * l] = blank(ring_region_size(RING));
		struct ring_region *theirs = g->memory[2 * l + 1] = blank(ring_region_size(RING));

		w->link[l] = (struct worker_link){ .generation = 1, .size_out = RING, .size_in = RING, .watch = -1, .bell = -1, .peer_bell = -1 };
		w->link[l].mine.at = mine;
		w->link[l].theirs.at = theirs;
		g->out[l] = ring_producer(theirs, mine, RING, 0);
		g->in[l] = ring_consumer(theirs, mine, RING, 0);
	}
	assert_int_equal(worker_attach(w), 0);
}

static void rig_close(struct rig *g)
{
	for (unsigned i = 0; i <= 2 * STEP_LINKS; i++)
		free(g->memory[i]);
	arena_close(&g->w.arena);
	free(g->w.stats);
	free(g->w.buf);
}

static void put(struct rig *g, unsigned l)
{
	memset(ring_reserve(&g->out[l], 16), 1, 16);
	ring_push(&g->out[l], (struct record){ .len = 16, .kind = RECORD_HCI_ACL });
	ring_publish(&g->out[l]);
}

static void run_to_rest(struct rig *g)
{
	asleep = false;
	for (unsigned i = 0; i < TURNS && !asleep; i++)
		assert_int_equal(turn(&g->w), 0);
	assert_true(asleep);
}

/* DOWN waits for room in UP; then there is room, and one record on UP that the reader gave as it made it.  One bell for both. */
static void blocked_behind_a_batch(bool careful)
{
	static uint8_t buf[RING];
	struct rig g = { 0 };
	struct record h;

	rig_open(&g);
	run_to_rest(&g);
	if (careful)			/* after a strike: one record a step */
		g.w.link[LINK_UP].until = g.w.link[LINK_DOWN].until = 1 << 20;
	for (unsigned i = 0; i < RECORDS; i++)
		put(&g, LINK_DOWN);
	for (unsigned rounds = 0; got[LINK_DOWN] < RECORDS; rounds++) {
		assert_in_range(rounds, 0, RECORDS);
		run_to_rest(&g);
		/* It rests, and there is more from DOWN: only where UP is full. */
		if (got[LINK_DOWN] < RECORDS)
			assert_true(g.w.step.link[LINK_UP].out.at - g.in[LINK_UP].at > RING / 2);
		while (!ring_take(&g.in[LINK_UP], &h, buf, sizeof buf))
			;
		ring_publish(&g.in[LINK_UP]);
		put(&g, LINK_UP);
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
	rig_open(&g);
	run_to_rest(&g);
	for (unsigned i = 0; i < 3; i++)
		put(&g, LINK_UP);
	free(g.w.buf);
	g.w.drained = false;			/* a worker that has just begun */
	assert_int_equal(worker_attach(&g.w), 0);
	g.w.link[LINK_UP].until = 1 << 20;	/* one record a turn */
	due = acted = 0;
	asleep = false;
	for (unsigned i = 0; i < RECORDS; i++) {
		put(&g, LINK_UP);
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
