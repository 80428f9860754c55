/* tests/unit/worker_rig.h - a worker's own turn() and worker_take(), over links in ordinary memory: for tests of the shell.
 *
 * Includes runtime/worker.c.  The loop is a stand-in that notes whether and until when it was asked to sleep, and whom it was asked to kick. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <cmocka.h>
#include "runtime/worker.c"

enum { RING = 64 * 1024, TURNS = 100, BELL = 100 };	/* BELL + l: the peer's, of link l */

static bool asleep;
static uint64_t now = 1000, woken_at;
static unsigned kicks[STEP_LINKS];

int worker_open(struct worker *w, const struct program *p) { (void)w, (void)p; return -ENOSYS; }
uint64_t loop_now(void) { return now; }
int loop_run_once(struct loop *l, uint64_t deadline_ns)
{
	(void)l;
	asleep = deadline_ns > now;
	woken_at = deadline_ns;
	return 0;
}
int loop_kick(struct loop *l, int fd)
{
	(void)l;
	assert_in_range(fd, BELL, BELL + STEP_LINKS - 1);
	kicks[fd - BELL]++;
	return 0;
}
void loop_unwatch(struct loop *l, int id) { (void)l, (void)id; }
void watchdog_rest(void) { }

struct rig { struct worker w; int supervisor[2]; struct ring out[STEP_LINKS], in[STEP_LINKS]; void *memory[2 * STEP_LINKS + 1]; };

static void *blank(size_t n)
{
	void *at = aligned_alloc(4096, (n + 4095) & ~(size_t)4095);

	assert_non_null(at);
	return memset(at, 0, n);
}

/* A worker of `p` that has just attached all links, each of generation 1. */
static void rig_open(struct rig *g, const struct program *p)
{
	struct arena_plan plan = { .pools = p->core->pools, .version = p->core->version, .log = 16384 };
	struct worker *w = &g->w;

	memset(kicks, 0, sizeof kicks);
	w->p = p;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, g->supervisor), 0);
	w->control = (struct control_link){ .fd = g->supervisor[0] };
	w->stats = blank(stats_size());
	g->memory[2 * STEP_LINKS] = blank(arena_size(&plan));
	assert_int_equal(arena_open(&w->arena, &plan, g->memory[2 * STEP_LINKS], false), ARENA_E_BLANK);
	arena_format(&w->arena, &plan, p->core->fill);
	step_open(&w->step, &w->arena, p->core);
	step_recover(&w->step);
	for (unsigned l = 0; l < STEP_LINKS; l++) {
		struct ring_region *mine = g->memory[2 * l] = blank(ring_region_size(RING));
		struct ring_region *theirs = g->memory[2 * l + 1] = blank(ring_region_size(RING));

		w->link[l] = (struct worker_link){ .generation = 1, .size_out = RING, .size_in = RING, .watch = -1, .bell = -1,
			.peer_bell = BELL + (int)l };
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
	control_close(&g->w.control);
	close(g->supervisor[1]);
	arena_close(&g->w.arena);
	free(g->w.stats);
	free(g->w.buf);
}

/* A record of 16 octets `fill` comes in on link l. */
static void put(struct rig *g, unsigned l, uint8_t fill)
{
	memset(ring_reserve(&g->out[l], 16), fill, 16);
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
