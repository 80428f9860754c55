/* runtime/recorder.c - the worker's side of a recording: entries written into a file that is mapped. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "base/hash.h"
#include "runtime/recording.h"
#include "shm/arena_image.h"

/* With less than this left a half is full: a step's entries fit, or a turn's, but for rare ones. */
enum { ROOM_AT_LEAST = 256 * 1024, ROOM_FOR_TURN = 512 * 1024 };

struct recorder {
	uint8_t *at;			/* the file */
	uint64_t size;
	struct recording_half *half;	/* the one in use */
	uint64_t half_octets, generation;
	uint8_t *entries;
	uint64_t cap, len, tail;	/* octets of entries: room, written, of committed steps */
	uint64_t from[STEP_LINKS];	/* tails of the rings out at the last commit */
	uint8_t *scratch;
	bool by_turns;			/* a half ends between two turns, not at a commit */
	bool lost;			/* an entry did not fit: this half ends at its tail */
};

static struct recording_half *half_of(const struct recorder *r, uint64_t generation)
{
	return (void *)(r->at + RECORDING_HALVES_AT * (1 + (generation & 1)));
}

static void put(struct recorder *r, const struct recording_entry *e, const void *payload)
{
	struct recording_entry *to = (void *)(r->entries + r->len);
	uint64_t octets = recording_entry_octets(e->len);

	if (r->lost || octets > r->cap - r->len) {
		r->lost = true;
		return;
	}
	*to = *e;
	if (e->len)
		memcpy(to + 1, payload, e->len);
	to->check = recording_entry_check(to, (const uint8_t *)(to + 1), r->generation, r->len);
	r->len += octets;
}

static void show_tail(struct recorder *r)
{
	r->tail = r->len;
	atomic_store_explicit(&r->half->tail, recording_tail(r->tail, r->generation), memory_order_release);
}

static void put_link(struct recorder *r, const struct step *s, unsigned l)
{
	put(r, &(struct recording_entry){ .kind = ENTRY_LINK, .link = (uint8_t)l, .now_ns = s->now_ns, .position = s->link[l].generation,
	    .past = s->link[l].out.size, .word = s->link[l].in.size }, NULL);
}

/* A worker's life begins, or a half begins in the middle of one. */
static void put_life(struct recorder *r, const struct step *s, uint16_t flags)
{
	put(r, &(struct recording_entry){ .kind = ENTRY_LIFE, .flags = flags, .now_ns = s->now_ns }, NULL);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (s->link[l].generation) {
			put_link(r, s, l);
			r->from[l] = s->link[l].out.at;
		}
}

static void use_half(struct recorder *r, uint64_t generation)
{
	r->generation = generation;
	r->half = half_of(r, generation);
	r->entries = r->at + RECORDING_DATA_AT + (generation & 1) * r->half_octets + recording_entries_at(r->half);
	r->cap = r->half_octets - recording_entries_at(r->half);
	r->len = r->tail = 0;
	r->lost = false;
}

/* The other half, from the arena as it is committed.  Until its `ready` is stored the half before it counts. */
static void begin_half(struct recorder *r, const struct step *s, uint64_t generation, uint16_t flags)
{
	struct recording_half *h = half_of(r, generation);
	uint8_t *image = r->at + RECORDING_DATA_AT + (generation & 1) * r->half_octets;

	atomic_store_explicit(&h->ready, 0, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
	memcpy(image, s->arena->at, s->arena->log_at);
	h->generation = generation;
	h->image_octets = s->arena->log_at;
	h->log_octets = 0;
	h->image_hash = hash_octets(HASH_START, image, s->arena->log_at);
	h->mapped_at = (uint64_t)(uintptr_t)s->arena->at;
	h->check = recording_half_check(h);
	h->end = (struct recording_end){ 0 };
	use_half(r, generation);
	put_life(r, s, flags);
	show_tail(r);
	atomic_store_explicit(&h->ready, generation, memory_order_release);
}

static void leave_half(struct recorder *r, const struct step *s)
{
	struct recording_end e = { s->arena->epoch, arena_state_hash(s->arena, r->scratch), 0 };

	e.check = recording_end_check(&e, r->generation);
	r->half->end.check = 0;			/* a kill in between leaves no end at all, rather than a damaged one */
	atomic_signal_fence(memory_order_seq_cst);
	r->half->end.epoch = e.epoch;
	r->half->end.state = e.state;
	atomic_signal_fence(memory_order_seq_cst);
	r->half->end.check = e.check;
}

/* Is there a whole COMMIT at `at`?  Its epoch. */
static bool commit_at(const struct recorder *r, uint64_t at, uint64_t *ret_epoch)
{
	const struct recording_entry *e = (const void *)(r->entries + at);
	struct recording_commit c;

	if (e->kind != ENTRY_COMMIT || e->len != sizeof c ||
	    e->check != recording_entry_check(e, (const uint8_t *)(e + 1), r->generation, at))
		return false;
	memcpy(&c, e + 1, sizeof c);
	*ret_epoch = c.epoch;
	return true;
}

/* From the tail on: where does the first whole step end, and what epoch did it begin?  False: nothing whole is there. */
static bool step_behind_tail(const struct recorder *r, uint64_t *ret_end, uint64_t *ret_epoch)
{
	uint64_t at = r->tail;

	while (r->cap - at >= sizeof(struct recording_entry)) {
		const struct recording_entry *e = (const void *)(r->entries + at);
		bool end;

		if (e->len > r->cap || recording_entry_octets(e->len) > r->cap - at ||
		    e->check != recording_entry_check(e, (const uint8_t *)(e + 1), r->generation, at))
			return false;
		end = commit_at(r, at, ret_epoch);
		at += recording_entry_octets(e->len);
		if (end) {
			*ret_end = at;
			return true;
		}
	}
	return false;
}

/* The half that was in use, up to the last committed step.  False: there is none that fits the arena. */
static bool resume(struct recorder *r, const struct step *s)
{
	uint64_t a = half_of(r, 0)->ready, b = half_of(r, 1)->ready, g = a > b ? a : b;
	uint64_t commit = recording_entry_octets(sizeof(struct recording_commit)), epoch;

	if (!g || half_of(r, g)->check != recording_half_check(half_of(r, g)) || half_of(r, g)->generation != g ||
	    recording_entries_at(half_of(r, g)) > r->half_octets)
		return false;
	use_half(r, g);
	if (!recording_tail_read(r->half->tail, g, &r->tail) || r->tail > r->cap)
		return false;
	r->len = r->tail;
	if (r->tail < commit || !commit_at(r, r->tail - commit, &epoch)) {	/* the half has just begun: its image is the state */
		memcpy(&epoch, r->at + RECORDING_DATA_AT + (g & 1) * r->half_octets, sizeof epoch);
		epoch >>= 32;
	}
	if (epoch == s->arena->epoch)
		return true;
	if (!step_behind_tail(r, &r->len, &epoch) || epoch != s->arena->epoch)
		return false;
	show_tail(r);
	return true;
}

static int map_file(int fd, struct recorder *r)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	r->size = (uint64_t)st.st_size;
	if (r->size < RECORDING_DATA_AT)
		return -EINVAL;
	r->at = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return r->at == MAP_FAILED ? -errno : 0;
}

int recorder_map(int fd, struct recorder **ret)
{
	struct recorder *r = calloc(1, sizeof *r);
	int err;

	if (!r)
		return -ENOMEM;
	err = map_file(fd, r);
	if (err) {
		free(r);
		return err;
	}
	*ret = r;
	return 0;
}

static bool made_for(const struct recorder *r, const struct step *s)
{
	const struct recording_head *h = (const void *)r->at;

	return h->magic == RECORDING_MAGIC && h->version == RECORDING_VERSION && h->check == recording_head_check(h) &&
	    h->kind == RECORDING_RUN && !strncmp(h->core, s->core->name, sizeof h->core) && h->core_version == s->core->version &&
	    h->layout_hash == arena_formatted_for(s->arena) && h->half_octets <= r->size &&
	    RECORDING_DATA_AT + 2 * h->half_octets <= r->size &&
	    ((s->arena->log_at + 63) & ~63ull) + ROOM_AT_LEAST <= h->half_octets;
}

int recorder_begin(struct recorder *r, const struct step *s)
{
	if (!made_for(r, s))
		return -EINVAL;
	r->half_octets = ((const struct recording_head *)(const void *)r->at)->half_octets;
	r->scratch = malloc(s->arena->log_at);
	if (!r->scratch)
		return -ENOMEM;
	if (resume(r, s)) {
		r->half->end.check = 0;		/* this half goes on: it does not end there any more */
		atomic_signal_fence(memory_order_seq_cst);
		put_life(r, s, 0);
	} else {
		uint64_t a = half_of(r, 0)->ready, b = half_of(r, 1)->ready;

		begin_half(r, s, (a > b ? a : b) + 1, 0);
	}
	return 0;
}

void recorder_close(struct recorder *r)
{
	if (!r)
		return;
	munmap(r->at, r->size);
	free(r->scratch);
	free(r);
}

void recorder_detach(struct recorder *r, const struct step *s, unsigned l)
{
	if (r)
		put(r, &(struct recording_entry){ .kind = ENTRY_DETACH, .link = (uint8_t)l, .now_ns = s->now_ns }, NULL);
}

void recorder_settled(struct recorder *r, const struct step *s, unsigned before)
{
	unsigned links = before & ~s->fresh;

	if (!r || !links)
		return;
	put(r, &(struct recording_entry){ .kind = ENTRY_SETTLE, .link = (uint8_t)links, .now_ns = s->now_ns }, NULL);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (links & 1u << l)
			r->from[l] = 0;
}

void recorder_act(struct recorder *r, const struct step *s)
{
	if (r)
		put(r, &(struct recording_entry){ .kind = ENTRY_ACT, .now_ns = s->now_ns }, NULL);
}

void recorder_entropy(struct recorder *r, const struct step *s, struct bytes octets)
{
	if (r)
		put(r, &(struct recording_entry){ .kind = ENTRY_ENTROPY, .len = (uint32_t)octets.len, .now_ns = s->now_ns }, octets.at);
}

void recorder_record(struct recorder *r, const struct step *s, const struct recorder_record *what)
{
	if (!r)
		return;
	put(r, &(struct recording_entry){ .kind = (uint8_t)what->kind, .link = (uint8_t)what->link, .flags = (uint16_t)what->rung,
	    .len = (uint32_t)what->payload.len, .now_ns = s->now_ns, .position = what->position, .past = s->link[what->link].in.at,
	    .word = record_word(what->is), .time_ns = what->is.time_ns }, what->payload.at);
}

void recorder_taken(struct recorder *r, const struct step *s, unsigned fresh, const struct recorder_record *what)
{
	recorder_settled(r, s, fresh);
	if (r && what)
		recorder_record(r, s, what);
}

void recorder_committing(struct recorder *r, const struct step *s)
{
	struct recording_commit c;

	if (!r)
		return;
	c = recording_sum_up(s, r->from);
	put(r, &(struct recording_entry){ .kind = ENTRY_COMMIT, .len = sizeof c, .now_ns = s->now_ns }, &c);
	atomic_signal_fence(memory_order_seq_cst);	/* whole before the arena's commit */
}

/* Into the other half, where less than `least` octets are left in this one.  Between two steps. */
static void go_over(struct recorder *r, const struct step *s, uint64_t least)
{
	if (!r->lost && r->cap - r->len >= least)
		return;
	if (!r->lost)		/* else this half ends at an earlier epoch than the arena's */
		leave_half(r, s);
	begin_half(r, s, r->generation + 1, LIFE_GOES_ON);
}

void recorder_committed(struct recorder *r, const struct step *s)
{
	if (!r)
		return;
	atomic_signal_fence(memory_order_seq_cst);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (s->link[l].generation)
			r->from[l] = s->link[l].out.at;
	if (!r->lost)
		show_tail(r);
	if (!r->by_turns)
		go_over(r, s, ROOM_AT_LEAST);
}

void recorder_own(struct recorder *r, const struct step *s, const struct recorder_own *what)
{
	put(r, &(struct recording_entry){ .kind = ENTRY_OWN, .flags = (uint16_t)what->what, .len = (uint32_t)what->octets.len,
	    .now_ns = s->now_ns, .position = what->more, .past = what->also, .word = (uint64_t)what->result }, what->octets.at);
}

void recorder_by_turns(struct recorder *r) { r->by_turns = true; }
uint64_t recorder_generation(const struct recorder *r) { return r->generation; }
void recorder_turned(struct recorder *r, const struct step *s) { go_over(r, s, ROOM_FOR_TURN); }

void recorder_end(struct recorder *r, const struct step *s)
{
	if (r && !r->lost)
		leave_half(r, s);
}
