/* runtime/supervisor_strikes.c - what the death of our worker means: the evidence, the verdict, the words for it. */
#include <string.h>
#include "runtime/supervisor_private.h"

static uint64_t shown(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

/* The worker is dead: nothing of this moves any more. */
static struct flight gather(const struct supervisor *s)
{
	uint64_t tail[STEP_LINKS] = { 0 }, size[STEP_LINKS] = { 0 };
	struct flight f = { .what = shown(&s->stats->what), .position = shown(&s->stats->position),
	    .header = shown(&s->stats->header), .now_ns = loop_now(), .step_ns = shown(&s->stats->now_ns) };

	for (unsigned l = 0; l < STEP_LINKS; l++)
		f.furthest[l] = shown(&s->stats->furthest[l]);
	if (s->small.generation) {
		f.consumed[LINK_SUPERVISOR] = shown(&link_theirs(&s->small.end)->head.pos);
		tail[LINK_SUPERVISOR] = shown(&link_mine(&s->small.end)->tail.pos);
		size[LINK_SUPERVISOR] = s->small.end.size;
	}
	for (unsigned l = LINK_UP; l < STEP_LINKS; l++)
		if (s->link[l].end.generation) {
			f.consumed[l] = shown(&link_mine(&s->link[l].end)->head.pos);
			tail[l] = shown(&link_theirs(&s->link[l].end)->tail.pos);
			size[l] = s->link[l].end.size;
		}
	flight_check(&f, tail, size);
	return f;
}

enum strike_verdict sup_judge(struct supervisor *s, int signal)
{
	static const char *const words[] = { "none", "retry, one record a step", "quarantine the record", "reset its connection",
		"cold start", "give up" };
	struct flight f = gather(s);
	/* A record in flight is an open step too, even if nothing has been changed yet: most parsers die before their first edit.  Who
	 * has not committed anything yet has died of what it found: the next one will find the same. */
	bool at_work = arena_step_open(s->arena.at) || f.what != FLIGHT_NONE || arena_shown_epoch(s->arena.at) == s->worker.first_epoch;
	struct record h = record_from(f.header, 0);
	const struct strikes *k = &s->ledger->strikes;
	bool skipping = k->skip_link && k->skip_link == f.what && k->skip_position == f.position;
	enum strike_verdict v;

	if (!strike_counts(signal, at_work))
		return STRIKE_NONE;
	v = strikes_add(&s->ledger->strikes, &f);
	if (v != STRIKE_RETRY)
		sup_files_quarantine(s, &f, skipping);
	if (f.what >= 1 && f.what <= STEP_LINKS)
		log_error("strike", LOG_INT("signal", signal), LOG_UINT("count", s->ledger->strikes.count), LOG_UINT("link", f.what - 1),
		    LOG_UINT("position", f.position), LOG_UINT("kind", h.kind), LOG_UINT("len", h.len), LOG_STR("verdict", words[v]));
	else
		log_error("strike", LOG_INT("signal", signal), LOG_UINT("count", s->ledger->strikes.count),
		    LOG_STR("at", f.what == FLIGHT_ACT ? "time" : "no record"), LOG_STR("verdict", words[v]));
	return v;
}
