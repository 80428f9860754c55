/* runtime/worker_take.c - a record is taken with all that is owed to it, and a step is committed. */
#include <errno.h>
#include <stdio.h>
#include "runtime/log.h"
#include "runtime/loop.h"
#include "runtime/worker_private.h"
#include "shm/link.h"

bool worker_dirty(const struct worker *w)
{
	return w->step.moved || arena_dirty(w->step.arena);
}

/* After a strike each step takes one record, until all links are past the furthest position of the dead batch: the second
 * strike then names the record. */
static unsigned batch_limit(struct worker *w)
{
	w->careful = false;
	for (unsigned l = 0; l < STEP_LINKS; l++) {
		if (w->link[l].generation && w->step.link[l].in.at < w->link[l].until)
			w->careful = true;
		else
			w->link[l].until = 0;
	}
	return w->careful ? 1 : WORKER_BATCH;
}

/* Nothing more comes or goes there.  Our supervisor makes a new link; the others go on. */
void worker_lost_link(struct worker *w, unsigned l, const char *why)
{
	Detach m = CONTROL_INIT(DETACH);
	Frame f = CONTROL_FRAME(DETACH, detach, &m);

	if (l == LINK_SUPERVISOR)
		worker_fail(w, -EPROTO, "ring of our supervisor is corrupt");
	worker_commit(w);
	m.link = l;
	m.generation = w->link[l].generation;
	m.why = CONTROL_STR(why);
	log_warn("link detached", LOG_UINT("link", l), LOG_UINT("generation", m.generation), LOG_WHY(why));
	loop_unwatch(w->loop, w->link[l].watch);
	step_detach(&w->step, l);
	recorder_detach(w->recorder, &w->step, l);
	w->link[l].watch = -1;
	w->link[l].generation = 0;
	if (control_send(&w->control, &f, NULL, 0))
		worker_fail(w, -EPIPE, "supervisor does not hear");
}

#define A_SECOND 1000000000ull

/* A neighbour owes us room.  One whose head lies, or which takes next to nothing for so long, is as good as gone: others would
 * wait for it through us.  Who is at the end of the pipeline is patient for longer: the one in the middle may wait itself. */
bool worker_watch_room(struct worker *w, unsigned l)
{
	struct worker_link *k = &w->link[l];
	struct ring *out = &w->step.link[l].out;
	const char *why = NULL;

	if (!k->full_ns && !k->want_room)
		return false;
	if (ring_head_lies(out))
		why = DETACH_LIED;
	else if (!k->full_ns || ring_room(out, out->size / 2) >= out->size / 2 || out->peer - k->full_head >= out->size / 2) {
		k->full_ns = k->want_room ? w->step.now_ns : 0;
		k->full_head = out->peer;
	} else if (w->step.now_ns - k->full_ns >= worker_patience(w) + A_SECOND) {
		/* We should have looked before: the machine, or all of us, stood still.  The other side has not run yet, either. */
		k->full_ns = w->step.now_ns - worker_patience(w) + A_SECOND;
	} else if (w->step.now_ns - k->full_ns >= worker_patience(w))
		why = DETACH_STILL;
	if (why)
		worker_lost_link(w, l, why);
	return why != NULL;
}

/* The record in quarantine: skipped in a step of its own, its payload not looked at. */
static void skip(struct worker *w, unsigned l, const struct record *r)
{
	if (w->p->core->on_poison)
		w->p->core->on_poison(&w->step, l, r, w->skip_rung);
	w->skip_link = 0;
	worker_commit(w);
	log_warn("record skipped", LOG_UINT("link", l), LOG_UINT("position", w->skip_position), LOG_UINT("kind", r->kind),
	    LOG_UINT("len", r->len));
}

int worker_take(struct worker *w, unsigned l, struct record *ret, struct bytes *payload)
{
	struct worker_link *k = &w->link[l];
	uint64_t at = w->step.link[l].in.at;
	bool poison = w->skip_link == l + 1 && w->skip_position == at;
	unsigned fresh;
	int r;

	if (!w->taken)
		w->limit = batch_limit(w);
	if (w->taken >= w->limit || (poison && worker_dirty(w)))
		return WORKER_E_BATCH;
	fresh = w->step.fresh;
	r = step_take(&w->step, l, ret, w->buf, w->buf_cap);
	if (w->recorder)
		recorder_taken(w->recorder, &w->step, fresh, r ? NULL : &(struct recorder_record){ poison ? ENTRY_SKIP : ENTRY_TAKE, l,
		    w->skip_rung, at, *ret, { w->buf, ret->len } });
	k->blocked = r == STEP_FULL;
	if (r == STEP_FULL && step_full_link(&w->step) < STEP_LINKS)
		w->link[step_full_link(&w->step)].want_room = true;
	else if (r == STEP_FULL) {	/* the log is full: only a commit empties it */
		if (!worker_dirty(w))
			worker_fail(w, -EOVERFLOW, "the core's largest undo does not fit the arena's log");
		return WORKER_E_BATCH;
	}
	if (r == RING_CORRUPT) {
		worker_lost_link(w, l, DETACH_LIED);
		return STEP_ABSENT;
	}
	if (r)
		return r;
	stats_flight(w->stats, l, at, *ret, w->step.link[l].in.at);
	w->taken++;
	k->records++;
	if (poison) {
		skip(w, l, ret);
		return worker_take(w, l, ret, payload);
	}
	*payload = (struct bytes){ w->buf, ret->len };
	return 0;
}

static void kick(struct worker *w, unsigned l)
{
	struct worker_link *k = &w->link[l];

	if (!w->step.link[l].kick || !k->generation)
		return;
	w->step.link[l].kick = false;
	if (loop_kick(w->loop, k->peer_bell))
		worker_fail(w, -EIO, "a doorbell cannot be rung");
	stats_add(w->stats, SHELL_kicks, 1);
}

void worker_commit(struct worker *w)
{
	uint64_t records = 0;

	if (!worker_dirty(w))
		return;
	if (w->recorder)
		recorder_committing(w->recorder, &w->step);
	step_commit(&w->step);
	if (w->recorder)
		recorder_committed(w->recorder, &w->step);
	stats_flight_none(w->stats);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		kick(w, l);
	for (unsigned l = 0; l < STEP_LINKS; l++) {
		records += w->link[l].records;
		stats_add(w->stats, SHELL_records_sup + l, w->link[l].records);
		w->link[l].records = 0;
	}
	stats_add(w->stats, SHELL_steps, 1);
	stats_add(w->stats, SHELL_records, records);
	stats_add(w->stats, SHELL_acts, w->acts);
	stats_show(w->stats, &w->step);
	w->taken = 0;
	w->acts = 0;
}
