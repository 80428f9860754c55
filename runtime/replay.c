/* runtime/replay.c */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "base/types.h"
#include "runtime/replay_private.h"
#include "runtime/sandbox.h"
#include "runtime/watchdog.h"
#include "runtime/worker_private.h"
#include "shm/arena_image.h"
#include "shm/link.h"

#define ARENA_MOST (1ull << 30)
static const char *const link_names[STEP_LINKS] = { "supervisor", "up", "down" };
static const char *const entry_names[ENTRY_KINDS] = { "?", "life", "link", "detach", "settle", "record", "skipped record", "time",
	"entropy", "commit", "own" };

int replay_differ(struct replay *r, const char *form, ...)
{
	va_list more;

	va_start(more, form);
	vsnprintf(r->why, sizeof r->why, form, more);
	va_end(more);
	return DIFFERS;
}

/* NULL: it has none of that number. */
static const char *own_name(const struct program *p, unsigned what)
{
	for (unsigned i = 0; p->own_entries && p->own_entries[i]; i++)
		if (i == what)
			return p->own_entries[i];
	return NULL;
}
/* The rest of a life of which something has been seen. */
static bool goes_on(const struct replay *r, const struct recording_entry *e) { return r->lives && e->flags & LIFE_GOES_ON; }

static void tell_entry(const struct replay *r, const char *before, const struct recording_entry *e)
{
	struct record rec = record_from(e->word, e->time_ns);

	if (e->kind == ENTRY_TAKE || e->kind == ENTRY_SKIP)
		printf("%s: %s%s link=%s position=%llu kind=0x%02x len=%u connection=%u/%u\n", r->p->name, before, entry_names[e->kind],
		    link_names[e->link], (unsigned long long)e->position, rec.kind, rec.len, rec.index, rec.generation);
	else if (e->kind == ENTRY_OWN)
		printf("%s: %s%s result=%lld more=%llu octets=%u\n", r->p->name, before, own_name(r->p, e->flags) ? own_name(r->p, e->flags) : "?", (long long)e->word,
		    (unsigned long long)e->position, e->len);
	else
		printf("%s: %s%s%s\n", r->p->name, before, e->kind ? entry_names[e->kind] : "start",
		    e->kind == ENTRY_LIFE && e->flags & LIFE_GOES_ON ? " goes on" : "");
}

/* What an entry says must be possible before anything acts on it. */
static bool entry_sound(const struct replay *r, const struct recording_entry *e)
{
	const struct step *s = &r->step;
	bool record = e->kind == ENTRY_TAKE || e->kind == ENTRY_SKIP;

	if (!e->kind || e->kind >= ENTRY_KINDS || (!r->lives && e->kind != ENTRY_LIFE) ||
	    (e->kind != ENTRY_SETTLE && e->link >= STEP_LINKS))
		return false;
	if (e->kind == ENTRY_LINK)
		return e->position && e->position <= UINT32_MAX && link_size_ok(e->past) && link_size_ok(e->word) &&
		    step_fits(s->core, e->link, e->past) && !s->link[e->link].generation;
	if (e->kind == ENTRY_SETTLE)
		return !(e->link & ~s->fresh);
	if (e->kind == ENTRY_OWN)
		return e->flags && own_name(r->p, e->flags);
	if (e->kind == ENTRY_ENTROPY)
		return e->len <= ENTROPY_OCTETS;
	if (e->kind == ENTRY_COMMIT)
		return e->len == sizeof(struct recording_commit);
	if (!record)
		return true;
	return s->link[e->link].generation && (e->word & 0xFFFFF) == e->len && e->len <= ring_payload_max(s->link[e->link].in.size) &&
	    record_from(e->word, 0).kind != RECORD_PAD && e->past > e->position && e->past - e->position <= s->link[e->link].in.size;
}

static int on_link(struct replay *r, const struct recording_entry *e)
{
	const struct positions *p = positions_next(&r->arena, NULL);
	unsigned l = e->link;

	if (p->out_tail[l] & 7 || p->in_head[l] & 7)
		return replay_differ(r, "its arena has positions that cannot be");
	free(r->mine[l]);
	free(r->theirs[l]);
	r->mine[l] = aligned_alloc(128, (ring_region_size(e->past) + 127) & ~127ull);
	r->theirs[l] = aligned_alloc(128, (ring_region_size(e->word) + 127) & ~127ull);
	if (!r->mine[l] || !r->theirs[l])
		return replay_differ(r, "out of memory");
	memset(r->mine[l], 0, ring_region_size(e->past));
	memset(r->theirs[l], 0, sizeof(struct ring_region));
	r->from[l] = p->generation[l] == (uint32_t)e->position ? p->out_tail[l] : 0;
	r->theirs[l]->head.pos = r->from[l];	/* who reads what we give has read it all: a ring here is never full */
	step_attach(&r->step, l, (uint32_t)e->position, r->mine[l], e->past, r->theirs[l], e->word);
	return 0;
}

static void settle(struct replay *r, unsigned links)
{
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (links & 1u << l) {
			step_settle(&r->step, l);
			r->from[l] = 0;
		}
}

/* What step_take and step_may_act see to: a core never meets a full ring, nor a full log. */
static bool has_room(struct replay *r, const uint32_t octets[STEP_LINKS])
{
	const struct positions *p = positions_next(&r->arena, NULL);

	for (unsigned o = 0; o < STEP_LINKS; o++) {
		struct step_link *k = &r->step.link[o];

		if (octets[o] && (k->generation ? ring_room(&k->out, 2 * octets[o]) < 2 * octets[o] : !p->generation[o]))
			return false;
	}
	return arena_log_room(&r->arena) >= r->step.core->undo + 2 * sizeof(struct positions);
}

int replay_take_record(struct replay *r, const struct recording_entry *e)
{
	struct step *s = &r->step;
	unsigned l = e->link;

	if (s->link[l].in.at != e->position)
		return replay_differ(r, "link %s stands at %llu, its record at %llu", link_names[l],
		    (unsigned long long)s->link[l].in.at, (unsigned long long)e->position);
	if (!has_room(r, s->core->reserve[l]))
		return replay_differ(r, "a record for which there is no room");
	s->link[l].in.at = e->past;
	s->moved = true;
	r->records++;
	return 0;
}

static int on_record(struct replay *r, const struct recording_entry *e, const uint8_t *payload)
{
	struct record rec = record_from(e->word, e->time_ns);
	struct step *s = &r->step;
	unsigned l = e->link;
	int err = replay_take_record(r, e);

	if (err)
		return err;
	if (e->kind == ENTRY_SKIP) {
		if (s->core->on_poison)
			s->core->on_poison(s, l, &rec, e->flags ? RUNG_RESET_CONNECTION : RUNG_SKIP_RECORD);
	} else if (!worker_of_former_link(s, l, &rec)) {
		s->core->on_record(s, l, &rec, (struct bytes){ payload, rec.len });
	}
	return 0;
}

/* The whole state, where the recording has its hash. */
static int compare_end(struct replay *r)
{
	const struct recording_part *part = r->part;

	if (!part->is.end.check || part->is.end.epoch != r->arena.epoch)
		return 0;
	r->compared = true;
	r->compared_epoch = r->arena.epoch;
	if (arena_state_hash(&r->arena, r->scratch) != part->is.end.state)
		return replay_differ(r, "the state as of epoch %u is another one than was recorded", r->arena.epoch);
	return 0;
}

static int on_commit(struct replay *r, const uint8_t *payload)
{
	struct recording_commit was, is = recording_sum_up(&r->step, r->from);
	struct step *s = &r->step;

	memcpy(&was, payload, sizeof was);
	r->steps++;
	if (is.epoch != was.epoch)
		return replay_differ(r, "epoch %llu, not %llu", (unsigned long long)is.epoch, (unsigned long long)was.epoch);
	if (memcmp(is.tail, was.tail, sizeof is.tail) || is.given != was.given)
		return replay_differ(r, "the records given are others");
	if (is.undo_octets != was.undo_octets)
		return replay_differ(r, "its undo log has %llu octets, not %llu", (unsigned long long)is.undo_octets,
		    (unsigned long long)was.undo_octets);
	if (is.changed != was.changed)
		return replay_differ(r, "the objects that it changed hold something else");
	if (!s->moved && !arena_dirty(s->arena))
		return replay_differ(r, "nothing was done");
	step_commit(s);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (s->link[l].generation) {
			r->from[l] = s->link[l].out.at;
			r->theirs[l]->head.pos = r->from[l];
		}
	r->begin = r->at_entry;
	return compare_end(r);
}

int replay_do(struct replay *r, const struct recording_entry *e, const uint8_t *payload)
{
	struct step *s = &r->step;

	switch ((enum recording_entry_kind)e->kind) {
	case ENTRY_LIFE:
		arena_rollback(&r->arena);
		step_open(s, &r->arena, r->p->core);
		s->now_ns = e->now_ns;
		r->lives += !goes_on(r, e);
		return 0;
	case ENTRY_LINK:
		return on_link(r, e);
	case ENTRY_DETACH:
		step_detach(s, e->link);
		return 0;
	case ENTRY_SETTLE:
		if (!has_room(r, s->core->act))
			return replay_differ(r, "no room for what is done for a link");
		settle(r, e->link);
		return 0;
	case ENTRY_TAKE:
	case ENTRY_SKIP:
		return on_record(r, e, payload);
	case ENTRY_ACT:
		if (!s->core->on_time || !has_room(r, s->core->act))
			return replay_differ(r, "no room for what is done on time");
		r->acts++;
		s->core->on_time(s);
		return 0;
	case ENTRY_ENTROPY:
		if (e->len > entropy_room(&r->arena) || arena_log_room(&r->arena) < s->core->undo)
			return replay_differ(r, "entropy for which there is no room");
		entropy_refill(&r->arena, payload, e->len);
		return 0;
	case ENTRY_COMMIT:
		return on_commit(r, payload);
	case ENTRY_OWN:			/* program->replay takes these */
	case ENTRY_KINDS:
		break;
	}
	return 0;
}

bool replay_look(const struct replay *r, struct recording_entry *ret, const uint8_t **octets)
{
	const uint8_t *payload;
	uint64_t at = r->at_entry;

	return recording_next(r->part, &at, ret, octets ? octets : &payload);
}

int replay_entry(struct replay *r, struct recording_entry *ret, const uint8_t **payload)
{
	bool quarantine = r->file.head.kind == RECORDING_QUARANTINE, input;

	recording_next(r->part, &r->at_entry, ret, payload);
	if (!entry_sound(r, ret))
		return replay_differ(r, "an entry of kind %u says what cannot be", ret->kind);
	input = (ret->kind >= ENTRY_TAKE && ret->kind <= ENTRY_ACT) || (quarantine && ret->kind == ENTRY_SETTLE);
	if (quarantine && input && has_room(r, r->step.core->act))
		settle(r, r->step.fresh);	/* as the worker did in the same step */
	if (quarantine && input)
		tell_entry(r, "it died at this: ", ret);
	else if (r->list)
		tell_entry(r, "", ret);
	fflush(stdout);
	r->step.now_ns = ret->now_ns;
	return 0;
}

static int run_part(struct replay *r, const struct recording_part *part)
{
	struct recording_entry e;
	const uint8_t *payload;
	int err;

	r->part = part;
	r->begin = r->at_entry = 0;
	err = compare_end(r);
	while (!err && replay_look(r, &e, NULL)) {
		if (replay_is_own(r, &e)) {
			err = replay_run_own(r);
			continue;
		}
		err = replay_entry(r, &e, &payload);
		if (!err)
			err = replay_do(r, &e, payload);
	}
	return err;
}

/* At an address that the recorded arena did not have. */
static int map_arena(struct replay *r)
{
	const struct recording_part *p = &r->file.part[0];
	size_t size = arena_size(&r->plan);
	void *first = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (first == MAP_FAILED)
		return replay_differ(r, "out of memory");
	r->at = first;
	if ((uint64_t)(uintptr_t)first == p->is.mapped_at) {
		r->at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		munmap(first, size);
		if (r->at == MAP_FAILED)
			return replay_differ(r, "out of memory");
	}
	memcpy(r->at, p->image, p->is.image_octets);
	memcpy(r->at + p->is.image_octets, p->log, p->is.log_octets);
	r->scratch = malloc(p->is.image_octets);
	return r->scratch ? 0 : replay_differ(r, "out of memory");
}

static int check_plan(struct replay *r)
{
	const struct recording_head *h = &r->file.head;
	const struct core *core = r->p->core;

	r->plan = step_plan(core, &h->limits, h->config_hash);
	if (strcmp(h->core, core->name))
		return replay_differ(r, "it is one of %s, not of %s", h->core, core->name);
	if (h->core_version != core->version)
		return replay_differ(r, "it is of version %u of this core's state; this binary has version %u", h->core_version, core->version);
	if (arena_image_octets(&r->plan) > ARENA_MOST || arena_layout_hash(&r->plan) != h->layout_hash)
		return replay_differ(r, "its arena is laid out in another way than this binary's");
	for (unsigned n = 0; n < r->file.parts; n++)
		if (r->file.part[n].is.image_octets != arena_image_octets(&r->plan) ||
		    r->file.part[n].is.log_octets > arena_size(&r->plan) - arena_image_octets(&r->plan))
			return replay_differ(r, "its image has another size than its arena");
	return 0;
}

static int open_arena(struct replay *r)
{
	const struct recording_part *p = &r->file.part[0];
	uint32_t len;
	int err;

	err = map_arena(r);
	if (err)
		return err;
	memcpy(&len, r->at, sizeof len);	/* the word's lower half */
	if (len > p->is.log_octets || !arena_log_sound(p->log, len, (uint32_t)p->is.image_octets))
		return replay_differ(r, "the undo log of its arena is not sound");
	err = arena_open(&r->arena, &r->plan, r->at, false);
	if (err)
		return replay_differ(r, err < 0 ? "out of memory" : "its image is no arena of this plan");
	arena_rollback(&r->arena);
	return *arena_whole(&r->arena) ? replay_differ(r, "its arena is not sound: %s", arena_whole(&r->arena)) : 0;
}

static int wall_in(struct replay *r)
{
	struct sandbox_plan s = { .keep_count = 0 };
	const char *wall = "";
	int err = watchdog_start(r->arena.word);

	if (!err)
		err = sandbox_enter(&s, &wall);
	return err ? replay_differ(r, "sandbox: %s: %s", wall, strerror(-err)) : 0;
}

static int run(struct replay *r)
{
	int err = 0;

	step_open(&r->step, &r->arena, r->p->core);
	for (unsigned n = 0; n < r->file.parts && !err; n++) {
		if (n && *arena_compare(&r->arena, r->file.part[n].image))
			err = replay_differ(r, "between its halves: %s", arena_compare(&r->arena, r->file.part[n].image));
		if (!err)
			err = run_part(r, &r->file.part[n]);
	}
	return err;
}

/* What came in the step that differs: one of these the core has treated in another way. */
static void tell_step(const struct replay *r)
{
	struct recording_entry e;
	const uint8_t *payload;

	for (uint64_t at = r->begin; r->part && at < r->at_entry && recording_next(r->part, &at, &e, &payload);)
		if (e.kind < ENTRY_KINDS && (e.link < STEP_LINKS || (e.kind != ENTRY_TAKE && e.kind != ENTRY_SKIP)))
			tell_entry(r, "in that step: ", &e);
}

int replay_report(struct replay *r, int err)
{
	const char *name = r->p->name;

	if (err) {
		printf("%s: differs at step %llu: %s\n", name, (unsigned long long)r->steps, r->why);
		tell_step(r);
		return 1;
	}
	if (r->file.head.kind == RECORDING_QUARANTINE) {
		printf("%s: handled\n", name);
		return 0;
	}
	printf("%s: %llu steps, %llu records, %llu times on time, %llu lives of a worker\n", name, (unsigned long long)r->steps,
	    (unsigned long long)r->records, (unsigned long long)r->acts, (unsigned long long)r->lives);
	printf("%s: the same at each step%s; epoch %u, arena at %p, recorded at %#llx, state %016llx\n", name,
	    r->compared && r->compared_epoch == r->arena.epoch ? ", and the last state whole" : " (no last state is recorded: its worker did not end cleanly)",
	    r->arena.epoch, (void *)r->at, (unsigned long long)r->file.part[0].is.mapped_at,
	    (unsigned long long)arena_state_hash(&r->arena, r->scratch));
	return 0;
}

int replay_main(const struct program *p, const char *path, int list)
{
	static char buffer[BUFSIZ];
	char why[RECORDING_WHY];
	struct replay *r = calloc(1, sizeof *r);
	int err;

	if (!r)
		return 1;
	r->p = p;
	r->list = list;
	setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
	if (recording_load(path, &r->file, why)) {
		fprintf(stderr, "%s: %s cannot be replayed: %s\n", p->name, path, why);
		return 1;
	}
	err = check_plan(r);
	if (!err)
		err = open_arena(r);
	if (!err) {
		printf("%s: replay of %s\n", p->name, path);
		fflush(stdout);
		err = wall_in(r);
	}
	if (err) {
		fprintf(stderr, "%s: %s cannot be replayed: %s\n", p->name, path, r->why);
		return 1;
	}
	err = replay_report(r, run(r));
	fflush(stdout);
	return err;
}
