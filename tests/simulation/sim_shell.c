/* tests/simulation/sim_shell.c - the worker's shell as it is (runtime/worker.c, its static turn included), for the simulation.
 *
 * Only its start is written again: watch_all() and recover() of runtime/worker_start.c, in the same order, without descriptors,
 * sandbox and Ready frame.  This file is instrumented like the product, for the wait words of the rings are stored from here. */
#include "runtime/worker.c"
#include "shm/link.h"
#include "tests/simulation/sim.h"

int worker_open(struct worker *w, const struct program *p) { (void)w; (void)p; return -ENOSYS; }	/* worker_main is not run */

static void recover(struct sim_worker *k, struct worker *w)
{
	int r;

	w->rolled_back = arena_step_open(k->arena);
	r = arena_open(&w->arena, &k->plan, k->arena, sim.shadow);
	if (r == ARENA_E_BLANK)
		arena_format(&w->arena, &k->plan, w->p->core->fill);
	else if (r)
		sim_fail(INVARIANT_arena, "the arena of %s cannot be opened: %d", sim_who_name(k->who), r);
	step_open(&w->step, &w->arena, w->p->core);
	worker_now(w);
	step_recover(&w->step);
	stats_flight_none(w->stats);
	stats_add(w->stats, SHELL_recoveries, 1);
	stats_add(w->stats, SHELL_rolled_back, w->rolled_back);
}

static void watch_all(struct worker *w)
{
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (w->link[l].generation) {
			w->link[l].want_input = true;
			w->link[l].watch = loop_watch(w->loop, w->link[l].bell, POLLIN, LOOP_EDGE, worker_on_bell, w);
		}
	if (w->p->worker_prepare && w->p->worker_prepare(w))
		sim_fail(INVARIANT_arena, "%s cannot prepare its own parts", w->p->name);
}

void sim_shell_start(struct sim_worker *k)
{
	struct worker *w = k->w;

	watch_all(w);
	recover(k, w);
	if (worker_attach(w))
		sim_fail(INVARIANT_arena, "%s cannot attach its links", sim_who_name(k->who));
	if (w->p->worker_start && w->p->worker_start(w) < 0)
		sim_fail(INVARIANT_arena, "%s cannot start its own parts", sim_who_name(k->who));
}

bool sim_shell_awaits(const struct sim_worker *k, unsigned l) { return awaits_input(k->w, l); }

void sim_shell_turn(struct sim_worker *k)
{
	int r;

	sim_os_callbacks(k);
	r = turn(k->w);
	if (r < 0 && r != -EINTR)
		worker_fail(k->w, r, "the loop failed");
}
