/* bench/chain.c - `hammer chain`: the least that a read through as many processes as ours can take.
 *
 *   hammer chain [--trips N] [--pause-us N] [--loop]
 *
 *   far ──► 1 ──► 2 ──► 3      as far, transportd, hostd, gattd; each only wakes the next by an eventfd and sleeps: six
 *    └──◄── 1 ◄── 2 ◄──┘       wake-ups a trip.  A pause is slept before each, so that all sleep when it begins.
 *
 * The chain waits in read(2).  With --loop it waits as our workers do, in io_uring (runtime/loop.h), which says how much of our
 * time that costs.  Prints one JSON object: ns of every trip, and ns of CPU a trip of all processes but the first. */
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/types.h"
#include "bench/duel.h"
#include "bench/parts.h"
#include "runtime/loop.h"

enum { LINKS = 3, TRIPS_MAX = 1000000 };

/* bell[i][0] wakes process i + 1 (from i), bell[i][1] wakes process i (from i + 1). */
struct chain { int bell[LINKS][2]; bool by_loop; struct loop *loop; unsigned heard[2]; };

static int on_bell(void *ctx, uint32_t revents) { (void)revents; ++*(unsigned *)ctx; return 0; }

static void ring(int bell)
{
	if (write(bell, &(uint64_t){ 1 }, 8) != 8)
		_exit(1);
}
/* @which: 0 the bell from the left, 1 from the right. */
static void await(struct chain *c, int bell, unsigned which)
{
	uint64_t n;

	if (!c->by_loop) {
		if (read(bell, &n, 8) != 8)
			_exit(1);
		return;
	}
	while (!c->heard[which])
		if (loop_run_once(c->loop, LOOP_FOREVER) < 0)
			_exit(1);
	c->heard[which]--;
}

static void watch(struct chain *c, int bell, unsigned which)
{
	if (c->by_loop && loop_watch(c->loop, bell, POLLIN, LOOP_EDGE, on_bell, &c->heard[which]) < 0)
		_exit(1);
}

/* Process number `me`: passes on what comes from the left, then what comes back from the right. */
static void pass_on(struct chain *c, unsigned me)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (c->by_loop && loop_open(0, &c->loop))
		_exit(1);
	watch(c, c->bell[me - 1][0], 0);
	if (me < LINKS)
		watch(c, c->bell[me][1], 1);
	for (;;) {
		await(c, c->bell[me - 1][0], 0);
		if (me < LINKS) {
			ring(c->bell[me][0]);
			await(c, c->bell[me][1], 1);
		}
		ring(c->bell[me - 1][1]);
	}
}

static json_t *run(struct chain *c, unsigned trips, unsigned pause_us)
{
	struct timespec pause = { 0, (long)pause_us * 1000 };
	json_t *all = json_array();

	for (unsigned i = 0; i < trips; i++) {
		uint64_t start;

		nanosleep(&pause, NULL);
		start = duel_now_ns();
		ring(c->bell[0][0]);
		await(c, c->bell[0][1], 1);
		json_array_append_new(all, json_integer((json_int_t)(duel_now_ns() - start)));
	}
	return all;
}

static uint64_t children_cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_CHILDREN, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000u + (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000u;
}

static bool open_bells(struct chain *c)
{
	for (unsigned i = 0; i < 2 * LINKS; i++)
		if ((c->bell[i / 2][i % 2] = eventfd(0, EFD_CLOEXEC)) < 0)
			return false;
	return true;
}

int chain_main(int argc, char **argv)
{
	static const struct option options[] = { { "trips", 1, NULL, 't' }, { "pause-us", 1, NULL, 'p' }, { "loop", 0, NULL, 'l' },
		{ NULL, 0, NULL, 0 } };
	unsigned trips = 1000, pause_us = 2000;
	struct chain c = { 0 };
	pid_t child[LINKS];
	json_t *all, *o;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (opt) {
		case 't': trips = (unsigned)atoi(optarg); break;
		case 'p': pause_us = (unsigned)atoi(optarg); break;
		case 'l': c.by_loop = true; break;
		default: trips = 0;
		}
	if (!trips || trips > TRIPS_MAX || pause_us > 999999 || !open_bells(&c)) {
		fprintf(stderr, "usage: hammer chain [--trips N] [--pause-us N] [--loop]\n");
		return 2;
	}
	for (unsigned i = 0; i < LINKS; i++)
		if (!(child[i] = fork()))
			pass_on(&c, i + 1);
	if (c.by_loop && loop_open(0, &c.loop))
		return 1;
	watch(&c, c.bell[0][1], 1);
	all = run(&c, trips, pause_us);
	for (unsigned i = 0; i < LINKS; i++) {
		kill(child[i], SIGKILL);
		waitpid(child[i], NULL, 0);
	}
	o = json_pack("{s:f, s:o}", "cpu_ns", (double)children_cpu_ns() / trips, "trips_ns", all);
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
	loop_close(c.loop);
	return 0;
}
