/* runtime/replay_own.c - a program's own part of a replay: it asks, and the entries answer. */
#include <stdio.h>
#include <unistd.h>
#include "runtime/replay_private.h"
#include "shm/arena_image.h"

bool replay_is_own(const struct replay *r, const struct recording_entry *e)
{
	return r->p->replay && (e->kind == ENTRY_OWN || (e->kind == ENTRY_TAKE && e->link < STEP_LINKS && r->p->own_links & 1u << e->link));
}

int replay_run_own(struct replay *r)
{
	uint64_t at = r->at_entry;

	if (setjmp(r->life_ended)) {
		arena_rollback(&r->arena);	/* of what it died in nothing was committed */
		step_recover(&r->step);
		return 0;
	}
	r->p->replay(r);
	return r->at_entry != at ? 0 : replay_differ(r, "an entry for which there was no reason");
}

struct step *replay_step(struct replay *r) { return &r->step; }
uint64_t replay_life(const struct replay *r) { return r->lives; }

_Noreturn static void end(struct replay *r, int err)
{
	int code = replay_report(r, err);

	fflush(stdout);
	_exit(code);
}

_Noreturn void replay_stop(struct replay *r, const char *why)
{
	end(r, replay_differ(r, "%s", why));
}

static const char *name_of(const struct replay *r, unsigned what) { return r->p->own_entries[what]; }

static struct recorder_own own_of(const struct recording_entry *e, const uint8_t *octets)
{
	return (struct recorder_own){ e->flags, (int64_t)e->word, e->position, e->past, { octets, e->len } };
}

unsigned replay_next(const struct replay *r, struct recorder_own *ret)
{
	struct recording_entry e;
	const uint8_t *octets;

	if (!replay_look(r, &e, &octets) || e.kind != ENTRY_OWN)
		return 0;
	if (ret)
		*ret = own_of(&e, octets);
	return e.flags;
}

/* What comes next, where something must: behind the end of a life its worker did nothing more that counts. */
static struct recording_entry must_come(struct replay *r)
{
	struct recording_entry e;

	if (!replay_look(r, &e, NULL) || e.kind == ENTRY_LIFE)
		longjmp(r->life_ended, 1);
	return e;
}

static const uint8_t *take_entry(struct replay *r, struct recording_entry *ret)
{
	const uint8_t *payload;
	int err = replay_entry(r, ret, &payload);

	if (err)
		end(r, err);
	return payload;
}

static void do_entry(struct replay *r)
{
	struct recording_entry e;
	const uint8_t *payload = take_entry(r, &e);
	int err = replay_do(r, &e, payload);

	if (err)
		end(r, err);
}

struct recorder_own replay_own(struct replay *r, unsigned what)
{
	struct recording_entry e = must_come(r);
	const uint8_t *payload;

	if (e.kind != ENTRY_OWN || e.flags != what) {
		replay_differ(r, "it comes to \"%s\", which its worker did not do then", name_of(r, what));
		end(r, DIFFERS);
	}
	payload = take_entry(r, &e);
	return own_of(&e, payload);
}

int replay_take(struct replay *r, unsigned l, struct record *ret, struct bytes *payload)
{
	struct recording_entry e;
	const uint8_t *octets;
	int err;

	/* What worker_take does before it: links settled, a record skipped in a step of its own, a link that lied let go. */
	while (replay_look(r, &e, NULL) && (e.kind == ENTRY_SETTLE || e.kind == ENTRY_COMMIT || (e.kind == ENTRY_SKIP && e.link == l)))
		do_entry(r);
	if (!replay_look(r, &e, NULL) || e.kind != ENTRY_TAKE || e.link != l)
		return RING_EMPTY;
	octets = take_entry(r, &e);
	err = replay_take_record(r, &e);
	if (err)
		end(r, err);
	*ret = record_from(e.word, e.time_ns);
	*payload = (struct bytes){ octets, e.len };
	return 0;
}

void replay_commit(struct replay *r)
{
	if (!r->step.moved && !arena_dirty(&r->arena))
		return;
	if (must_come(r).kind != ENTRY_COMMIT)
		replay_stop(r, "it commits where its worker did not");
	do_entry(r);
}
