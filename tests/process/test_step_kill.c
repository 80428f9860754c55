/* Death at every change of shared memory that a step makes, and that its recovery makes.
 *
 * One single-stepped walk through a worker's life; whenever an instruction has changed shared memory, what it holds is what a
 * SIGKILL there would leave.  Each such image is judged: nothing is shown that was not committed; after recovery the arena is
 * that of the undisturbed run at that epoch; the rest of the life, in other batch sizes, gives the same output and the same
 * final arena.  A recovery from each new undo length is walked and judged in the same way.
 *
 * `make check` walks the lives that begin at some steps, $TREFOIL_DEPTH=1 (make soak) those at all of them; each is of three steps,
 * so that each step is walked as the first, the second and the third of a life.  (timeout: 1800 s) */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/types.h"
#include "tests/lib/kill_depth.h"
#include "tests/lib/mill.h"
#include "tests/lib/stepper.h"

enum { RING = 8192, NOTES = 160, STEPS = 200, STREAM = 1 << 17, LIFE = 3, BUF = 1024 };
struct note { struct record h; uint8_t body[64]; };
struct world { int fd; uint8_t *at; size_t size; };
struct worker { struct arena arena; struct step step; };
struct peer { unsigned fed; struct ring feed, up, down; size_t len; };	/* the far ends of both links */

static struct note notes[NOTES];
static struct world world, scratch;
static struct peer peer, peer_at[STEPS], peer_end;
static uint8_t *image[STEPS], *final, stream[STREAM], stream_ref[STREAM];
static unsigned steps, batch_of_reference;
static unsigned long instructions, images, walked;
static const char *where = "";

enum { OUR_UP, PEER_UP, OUR_DOWN, PEER_DOWN, REGIONS };

static size_t arena_octets(void) { return (arena_size(&mill_plan) + 4095) & ~4095ul; }
static size_t region_octets(void) { return (ring_region_size(RING) + 4095) & ~4095ul; }
static struct ring_region *region(uint8_t *at, unsigned n) { return (void *)(at + arena_octets() + n * region_octets()); }

static void *map(const struct world *w, void *hint)
{
	void *p = mmap(hint, w->size, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);

	assert_true(p != MAP_FAILED);
	return p;
}
static struct world world_new(void)
{
	struct world w = { memfd_create("world", MFD_CLOEXEC), NULL, arena_octets() + REGIONS * region_octets() };

	assert_int_equal(ftruncate(w.fd, (off_t)w.size), 0);
	w.at = map(&w, NULL);
	return w;
}
static void worker_map(struct worker *k, uint8_t *at, bool shadow)	/* changes no arena that is one */
{
	int r = arena_open(&k->arena, &mill_plan, at, shadow);

	if (r == ARENA_E_BLANK)
		arena_format(&k->arena, &mill_plan, mill_core.fill);
	else
		assert_int_equal(r, 0);
}
static void worker_begin(struct worker *k, uint8_t *at)
{
	step_open(&k->step, &k->arena, &mill_core);
	step_recover(&k->step);
	step_attach(&k->step, LINK_UP, 5, region(at, OUR_UP), RING, region(at, PEER_UP), RING);
	step_attach(&k->step, LINK_DOWN, 6, region(at, OUR_DOWN), RING, region(at, PEER_DOWN), RING);
}
static void worker_open(struct worker *k, uint8_t *at, bool shadow)
{
	worker_map(k, at, shadow);
	worker_begin(k, at);
}
/* One step of up to `batch` records, then what is due on time; how much it did. */
static unsigned worker_step(struct worker *k, unsigned batch)
{
	struct record h;
	uint8_t body[BUF];
	unsigned n = 0;

	k->step.now_ns = 1000;
	while (n < batch && !step_take(&k->step, LINK_UP, &h, body, sizeof body)) {
		mill_core.on_record(&k->step, LINK_UP, &h, (struct bytes){ body, h.len });
		n++;
	}
	if (!n && mill_core.deadline(&k->step) == 0 && step_may_act(&k->step)) {
		mill_core.on_time(&k->step);
		n++;
	}
	step_commit(&k->step);
	return n;
}

static void write_notes(uint32_t seed)
{
	for (unsigned i = 0; i < NOTES; i++) {
		static const uint8_t kinds[] = { RECORD_CONNECTED, RECORD_L2CAP_PDU, RECORD_L2CAP_PDU, RECORD_L2CAP_PDU, RECORD_CREDIT,
			RECORD_CREDIT, RECORD_L2CAP_PDU, RECORD_CONNECTED };

		seed = seed * 1664525 + 1013904223;
		notes[i].h = (struct record){ .len = 1 + (seed >> 8) % 60, .kind = kinds[seed >> 29], .index = (uint16_t)((seed >> 24) % 3),
			.generation = 1, .time_ns = 1000 + i };
		if (i % 23 == 22)
			notes[i].h.kind = RECORD_DISCONNECTED;
		memset(notes[i].body, (int)(seed >> 16), sizeof notes[i].body);
	}
}
static void feed(void)
{
	uint8_t *p;

	for (; peer.fed < NOTES && (p = ring_reserve(&peer.feed, notes[peer.fed].h.len)); peer.fed++) {
		memcpy(p, notes[peer.fed].body, notes[peer.fed].h.len);
		ring_push(&peer.feed, notes[peer.fed].h);
	}
	ring_publish(&peer.feed);
}
static void drain_ring(struct ring *r)
{
	struct record h;
	int e;

	while (!(e = ring_take(r, &h, stream + peer.len + 16, BUF))) {
		memcpy(stream + peer.len, &h.len, 4);
		memcpy(stream + peer.len + 4, &h.index, 2);
		memset(stream + peer.len + 6, h.kind, 10);
		peer.len += 16 + h.len;
		assert_true(peer.len < STREAM - BUF);
	}
	assert_int_equal(e, RING_EMPTY);
	ring_publish(r);
}
/* Streams of the two links: kept apart by draining the first to its end, whatever the batches, only at the end of a life. */
static void drain(void) { drain_ring(&peer.up); }
static void drain_all(void) { drain_ring(&peer.up); drain_ring(&peer.down); }

static void peer_at_world(uint8_t *at)
{
	peer.feed.out = region(at, PEER_UP)->words;
	peer.feed.mine = &region(at, PEER_UP)->tail;
	peer.feed.theirs = &region(at, OUR_UP)->head;
	peer.up.in = region(at, OUR_UP)->words;
	peer.up.mine = &region(at, PEER_UP)->head;
	peer.up.theirs = &region(at, OUR_UP)->tail;
	peer.down.in = region(at, OUR_DOWN)->words;
	peer.down.mine = &region(at, PEER_DOWN)->head;
	peer.down.theirs = &region(at, OUR_DOWN)->tail;
}
static void refill_entropy(struct arena *a)
{
	uint8_t octets[ENTROPY_OCTETS];

	for (unsigned i = 0; i < sizeof octets; i++)
		octets[i] = (uint8_t)(i * 31 + 7);
	entropy_refill(a, octets, entropy_room(a));
	arena_commit(a);
}
static void start(bool shadow)
{
	struct worker k;
	struct ring_region *ours_up, *ours_down;

	memset(world.at, 0, world.size);
	worker_open(&k, world.at, shadow);
	refill_entropy(&k.arena);
	arena_close(&k.arena);
	ours_up = region(world.at, OUR_UP);
	ours_down = region(world.at, OUR_DOWN);
	peer = (struct peer){ .feed = ring_producer(region(world.at, PEER_UP), ours_up, RING, 0),
		.up = ring_consumer(region(world.at, PEER_UP), ours_up, RING, 0),
		.down = ring_consumer(region(world.at, PEER_DOWN), ours_down, RING, 0) };
}
static void reference(unsigned batch)
{
	struct worker k;

	start(true);
	worker_open(&k, world.at, true);
	batch_of_reference = batch;
	for (steps = 0;; steps++) {
		assert_true(steps < STEPS);
		feed();
		image[steps] = realloc(image[steps], world.size);
		memcpy(image[steps], world.at, world.size);
		peer_at[steps] = peer;
		if (!worker_step(&k, batch))
			break;
		drain();
	}
	drain_all();
	final = realloc(final, arena_octets());
	memcpy(final, world.at, k.arena.log_at);
	memcpy(stream_ref, stream, peer.len);
	peer_end = peer;
	print_message("  reference: %lu octets in, %zu out, %u steps\n", k.step.link[LINK_UP].in.at, peer.len, steps);
	assert_true(k.step.link[LINK_UP].in.at > 2000 && peer.len > 1000);
	arena_close(&k.arena);
}

/* A worker in a child, stopped before its first instruction. */
static pid_t child(bool whole)
{
	pid_t p = fork();
	int st;

	assert_true(p >= 0);
	if (!p) {
		static struct worker k;
		uint8_t *at = map(&world, (void *)(0x10000000ul + (unsigned long)rand() % 4096 * 0x100000));

		worker_map(&k, at, false);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		worker_begin(&k, at);
		/* three steps in one life: what a worker remembers of a step may harm the next */
		for (unsigned i = 0; whole && i < LIFE; i++)
			worker_step(&k, batch_of_reference);
		_exit(0);
	}
	assert_int_equal(waitpid(p, &st, 0), p);
	return p;
}
static bool one_instruction(pid_t p)	/* false: it has ended */
{
	int st;

	ptrace(PTRACE_SINGLESTEP, p, NULL, NULL);
	waitpid(p, &st, 0);
	instructions++;
	if (WIFSTOPPED(st) && WSTOPSIG(st) == SIGTRAP)
		return true;
	if (!WIFEXITED(st) || WEXITSTATUS(st))
		fail_msg("worker aborted");
	return false;
}

/* What a death that leaves the world of `w` in step s means. */
static void judge(unsigned s, const struct world *w)
{
	static struct worker k;
	const struct positions *p;
	uint64_t tail = atomic_load(&region(w->at, OUR_UP)->tail.pos), head = atomic_load(&region(w->at, OUR_UP)->head.pos);
	uint64_t told = atomic_load(&region(w->at, OUR_DOWN)->tail.pos);
	uint32_t epoch_of_image;
	const char *d;

	images++;
	peer = peer_at[s];
	peer_at_world(w->at);
	worker_open(&k, w->at, false);
	p = positions_next(&k.arena, NULL);
	if (tail > p->out_tail[LINK_UP] || head > p->in_head[LINK_UP] || told > p->out_tail[LINK_DOWN])
		fail_msg("step %u%s: shown before it was committed", s, where);
	if (atomic_load(&region(w->at, OUR_UP)->tail.pos) != p->out_tail[LINK_UP] ||
	    atomic_load(&region(w->at, OUR_UP)->head.pos) != p->in_head[LINK_UP])
		fail_msg("step %u%s: not shown again", s, where);
	epoch_of_image = (uint32_t)(atomic_load((_Atomic uint64_t *)(void *)image[s]) >> 32);
	assert_true(k.arena.epoch >= epoch_of_image && k.arena.epoch <= epoch_of_image + LIFE);
	d = arena_compare(&k.arena, image[MIN(s + k.arena.epoch - epoch_of_image, steps)]);
	if (*d)
		fail_msg("step %u%s: after recovery: %s", s, where, d);
	do {
		feed();
		drain();
	} while (worker_step(&k, 1 + (unsigned)(images % 7)));
	drain_all();
	if (peer.len != peer_end.len || memcmp(stream, stream_ref, peer.len))
		fail_msg("step %u%s: output %s", s, where, peer.len < peer_end.len ? "lost" : peer.len > peer_end.len ? "doubled" : "torn");
	d = arena_compare(&k.arena, final);
	if (*d)
		fail_msg("step %u%s: final arena: %s", s, where, d);
	arena_close(&k.arena);
}

/* Walk p to its end.  Each image that is new is judged; with `deeper`, a recovery from each new undo length is walked too. */
static void walk(pid_t p, unsigned s, bool deeper)
{
	static uint8_t *last[2], *kept;
	uint8_t **mine = &last[deeper];
	uint32_t undo_seen = 0, undo;

	*mine = *mine ? *mine : malloc(world.size);
	kept = kept ? kept : malloc(world.size);
	memcpy(*mine, world.at, world.size);
	while (one_instruction(p)) {
		if (!memcmp(*mine, world.at, world.size))
			continue;
		memcpy(*mine, world.at, world.size);
		memcpy(scratch.at, world.at, world.size);
		judge(s, &scratch);
		undo = (uint32_t)atomic_load((_Atomic uint64_t *)(void *)world.at);
		if (!deeper || undo == undo_seen)
			continue;
		undo_seen = undo;
		if (!undo)
			continue;
		memcpy(kept, world.at, world.size);	/* what follows belongs to a recovery: give it the world, then put it back */
		where = " (in a recovery)";
		walked++;
		walk(child(false), s, false);
		where = "";
		memcpy(world.at, kept, world.size);
	}
}

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { LESS = 4 };	/* a sanitized step has many times the instructions; the plain build has the breadth */
#else
enum { LESS = 1 };
#endif
static void die_everywhere(uint32_t seed, unsigned batch, unsigned from, unsigned to)
{
	images = walked = instructions = 0;
	write_notes(seed);
	reference(batch);
	if (kill_deep()) {
		from = 0;
		to = steps;
	}
	for (unsigned s = from; s < MIN(to, steps - LIFE); s++) {
		memcpy(world.at, image[s], world.size);
		walk(child(true), s, true);
	}
	print_message("told: mill, seed %u, batch %u: lives from step %u to %u of %u, %lu images judged, %lu recoveries walked, %lu instructions\n",
	    seed, batch, from, MIN(to, steps - LIFE) - 1, steps, images, walked, instructions);
	assert_true(images > 500 / LESS && walked > 20 / LESS);
}
static void test_batches_of_one(void **state) { (void)state; die_everywhere(1, 1, 8, 8 + 12 / LESS); }
static void test_batches_of_three(void **state) { (void)state; die_everywhere(2, 3, 6, 6 + 8 / LESS); }
static void test_batches_of_sixteen(void **state) { (void)state; die_everywhere(3, 16, 1, LESS > 1 ? 2 : 4); }

static int open_worlds(void **state)
{
	(void)state;
	stepper_pin();			/* parent and child on one processor: a step then costs a quarter */
	world = world_new();
	scratch = world_new();
	return 0;
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches_of_one),
		cmocka_unit_test(test_batches_of_three),
		cmocka_unit_test(test_batches_of_sixteen),
	};

	return cmocka_run_group_tests(tests, open_worlds, NULL);
}
