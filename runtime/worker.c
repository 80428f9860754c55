/* runtime/worker.c - turn by turn. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>
#include "base/types.h"
#include "runtime/log.h"
#include "runtime/loop.h"
#include "runtime/watchdog.h"
#include "runtime/worker_private.h"

struct step *worker_step(struct worker *w) { return &w->step; }
struct loop *worker_loop(struct worker *w) { return w->loop; }
struct stats *worker_stats(struct worker *w) { return w->stats; }
void worker_set_own(struct worker *w, void *own) { w->own = own; }
void *worker_own(struct worker *w) { return w->own; }
void worker_want_input(struct worker *w, unsigned l, bool want) { w->link[l].want_input = want; }
void worker_want_room(struct worker *w, unsigned l) { w->link[l].want_room = true; }

int worker_fd(const struct worker *w, const char *name)
{
	for (unsigned i = 0; i < w->fds.count; i++)
		if (!strcmp(w->fds.at[i].name, name))
			return w->fds.at[i].fd;
	return -1;
}

uint64_t worker_now(struct worker *w)
{
	w->step.now_ns = loop_now();
	atomic_store_explicit(&w->stats->now_ns, w->step.now_ns, memory_order_relaxed);
	return w->step.now_ns;
}

_Noreturn void worker_fail(struct worker *w, int error, const char *why)
{
	control_fail(&w->control, 0, error, why);
	control_flush(&w->control);
	_exit(1);	/* no step is committed on the way out, and no handler runs */
}

int worker_on_bell(void *ctx, uint32_t revents)
{
	(void)ctx;
	(void)revents;
	return 0;
}

/* What a core may draw lies in the arena: a killed step finds the same octets again. */
static void refill_entropy(struct worker *w)
{
	uint8_t octets[ENTROPY_OCTETS];
	uint32_t n = entropy_room(w->step.arena);

	if (n < ENTROPY_OCTETS / 2)
		return;
	if (getrandom(octets, n, 0) != (ssize_t)n)
		worker_fail(w, -EIO, "no randomness to be had");
	entropy_refill(w->step.arena, octets, n);
	recorder_entropy(w->recorder, &w->step, (struct bytes){ octets, n });
	worker_commit(w);
}

int worker_attach(struct worker *w)
{
	const struct positions *p = positions_next(&w->arena, NULL);

	for (unsigned l = 0; l < STEP_LINKS; l++) {
		struct worker_link *k = &w->link[l];
		uint32_t cap = ring_payload_max(k->size_in);

		if (!k->generation)
			continue;
		if (p->generation[l] != k->generation)	/* positions of another life name nothing here */
			atomic_store_explicit(&w->stats->furthest[l], 0, memory_order_relaxed);
		step_attach(&w->step, l, k->generation, k->mine.at, k->size_out, k->theirs.at, k->size_in);
		k->former = ring_shown(&w->step.link[l].in);
		w->buf_cap = cap > w->buf_cap ? cap : w->buf_cap;
		/* The other side may have published and slept while nobody was here to kick it; ours may sleep for room. */
		if (loop_kick(w->loop, k->peer_bell))	/* leaves with the first turn */
			return -EBUSY;
		w->step.link[l].kick = false;
	}
	w->buf = malloc(w->buf_cap ? w->buf_cap : 1);
	return w->buf ? 0 : -ENOMEM;
}

/* Records of all links, round-robin, until the batch is full or all are empty or blocked.
 *
 * @ret_cut  it was full: of the links behind it nobody knows whether they are empty or blocked now, so this is no time to rest
 *
 * Returns how many. */
static unsigned take_batch(struct worker *w, bool *ret_cut)
{
	unsigned n = 0, idle = 0;
	struct bytes payload;
	struct record rec;
	int r;

	while (idle < STEP_LINKS) {
		unsigned l = w->next;

		w->next = (l + 1) % STEP_LINKS;
		if (w->p->own_links & 1u << l) {
			idle++;
			continue;
		}
		r = worker_take(w, l, &rec, &payload);
		if (r == WORKER_E_BATCH) {
			*ret_cut = true;
			w->next = l;		/* it was its turn */
			break;
		}
		if (r) {
			idle++;
			continue;
		}
		if (!worker_of_former_link(&w->step, l, &rec))
			w->p->core->on_record(&w->step, l, &rec, payload);
		idle = 0;
		n++;
	}
	return n;
}

/* Has all been taken that waited when we began?  What came in time is not late, so until then no timer fires.  Who is never idle
 * is past it, too; and so is who was shown more than is there now. */
static bool drained(struct worker *w)
{
	if (w->drained)
		return true;
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (w->link[l].generation && !(w->p->own_links & 1u << l) && ring_more(&w->step.link[l].in) &&
		    (int64_t)(w->link[l].former - w->step.link[l].in.at) > 0)
			return false;
	w->drained = true;
	return true;
}

/* One piece of what is left over, or due.  Returns whether there was one; the next may want a commit first (*ret_full). */
static bool act_once(struct worker *w, bool *ret_full)
{
	const struct core *core = w->p->core;
	unsigned fresh = w->step.fresh;
	bool may;

	if (core->deadline(&w->step) > w->step.now_ns)
		return false;
	may = step_may_act(&w->step);
	if (w->recorder)
		recorder_settled(w->recorder, &w->step, fresh);
	if (!may) {
		unsigned full = step_full_link(&w->step);

		w->acting = full < STEP_LINKS;
		if (full < STEP_LINKS)
			w->link[full].want_room = true;
		*ret_full = full >= STEP_LINKS && worker_dirty(w);	/* the log is full: commit, then again */
		return false;
	}
	atomic_store_explicit(&w->stats->what, FLIGHT_ACT, memory_order_release);
	recorder_act(w->recorder, &w->step);
	core->on_time(&w->step);
	w->acts++;
	if (!worker_dirty(w))
		stats_flight_none(w->stats);
	return true;
}

/* Several pieces are one step, so its commit and its kicks are paid once. */
static bool act(struct worker *w)
{
	unsigned n = 0, most = w->careful ? 1 : WORKER_ACTS;
	bool full = false;

	w->acting = false;
	if (!w->p->core->on_time || !drained(w) || w->p->core->deadline(&w->step) > w->step.now_ns)
		return false;
	if (w->careful)
		worker_commit(w);
	while (n < most && act_once(w, &full))
		n++;
	return n || full;
}

/* May a record on link l be taken, if there is one? */
static bool awaits_input(const struct worker *w, unsigned l)
{
	const struct worker_link *k = &w->link[l];

	return k->generation && (w->p->own_links & 1u << l ? k->want_input : !k->blocked);
}

/* Is there more to do already?  A look only: nobody is asked to wake us, so nobody rings without need. */
static bool input_waits(const struct worker *w)
{
	bool waits = false;

	for (unsigned l = 0; l < STEP_LINKS; l++)
		waits |= awaits_input(w, l) && ring_more(&w->step.link[l].in);
	return waits;
}

/* Ask to be woken, then look once more.  False: there is something to do. */
static bool may_sleep(struct worker *w)
{
	bool sleep = true;

	for (unsigned l = 0; l < STEP_LINKS; l++) {
		struct worker_link *k = &w->link[l];

		if (!k->generation)
			continue;
		if (l != LINK_SUPERVISOR && ring_head_lies(&w->step.link[l].out)) {
			worker_lost_link(w, l, DETACH_LIED);
			sleep = false;
			continue;
		}
		if (k->want_room && !ring_sleep_full(&w->step.link[l].out))
			sleep = false;
		if (awaits_input(w, l) && !ring_sleep_empty(&w->step.link[l].in))
			sleep = false;
		if (k->want_room)
			stats_add(w->stats, SHELL_full, 1);
		else
			k->full_ns = 0;		/* nobody waits for it */
	}
	return sleep;
}

/* When a neighbour that gives no room has to be given up, if it goes on so. */
static uint64_t patience_ends(const struct worker *w)
{
	uint64_t first = DEADLINE_NONE;

	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (w->link[l].generation && w->link[l].full_ns)
			first = MIN(first, w->link[l].full_ns + worker_patience(w));
	return first;
}

static int rest(struct worker *w)
{
	const struct core *core = w->p->core;
	uint64_t deadline;

	if (!may_sleep(w))
		return loop_run_once(w->loop, 0);
	deadline = patience_ends(w);
	if (core->on_time && drained(w) && !w->acting)
		deadline = MIN(deadline, core->deadline(&w->step));
	if (deadline <= w->step.now_ns)
		return loop_run_once(w->loop, 0);
	stats_add(w->stats, SHELL_sleeps, 1);
	watchdog_rest();
	return loop_run_once(w->loop, deadline == DEADLINE_NONE ? LOOP_FOREVER : deadline);
}

static int turn(struct worker *w)
{
	unsigned records;
	bool worked, more = false, cut = false;
	int r;

	worker_now(w);
	refill_entropy(w);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		w->link[l].want_room = false;	/* this turn's takes find anew which rings block us */
	records = take_batch(w, &cut);
	worked = act(w) || records;
	worked |= worker_dirty(w);
	worker_commit(w);
	if (w->p->worker_turn) {
		r = w->p->worker_turn(w);
		if (r < 0)
			worker_fail(w, r, "its turn failed");
		more = r > 0;
		worked |= more;
		worker_commit(w);
		if (w->recorder)
			recorder_turned(w->recorder, &w->step);
	}
	for (unsigned l = LINK_UP; l < STEP_LINKS; l++)
		cut |= w->link[l].generation && worker_watch_room(w, l);	/* given up: what waited for its room can go on */
	worked |= cut;
	/* Kicks leave with the wait where there is nothing more to do: no system call of their own. */
	if (worked && (more || cut || input_waits(w)))
		return loop_run_once(w->loop, 0);
	return rest(w);
}

int worker_main(const struct program *p)
{
	struct worker *w = calloc(1, sizeof *w);
	int r;

	if (!w)
		return 1;
	prctl(PR_SET_NAME, p->name);	/* else it is "exe" for ps, by the link it was started through */
	r = worker_open(w, p);
	if (r)
		return 1;
	while (!w->ending) {
		r = turn(w);
		if (r < 0 && r != -EINTR)
			worker_fail(w, r, "the loop failed");
	}
	worker_commit(w);
	recorder_end(w->recorder, &w->step);
	control_flush(&w->control);
	_exit(0);
}
