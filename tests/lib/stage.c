/* tests/lib/stage.c - see stage.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/lib/stage.h"

enum { STREAM = 1 << 20, EPOCHS = 4000, FIRST_GENERATION = 5, PAGE = 4096 };
enum { OURS, THEIRS, SIDES };

static size_t pages(size_t n) { return (n + PAGE - 1) & ~(size_t)(PAGE - 1); }
/* The first page says what time it is; then the arena, then the regions. */
static uint8_t *arena_at(uint8_t *at) { return at + PAGE; }
static uint64_t *now_at(uint8_t *at) { return (void *)at; }
static struct ring_region *region(const struct stage *s, uint8_t *at, unsigned l, unsigned side)
{
	return (void *)(at + PAGE + s->arena + (l * SIDES + side) * pages(ring_region_size(s->ring)));
}
static bool linked(const struct tape *t, unsigned l) { return t->links & 1u << l; }

uint8_t *stage_map(const struct stage *s, bool private, void *hint)
{
	void *p = mmap(hint, s->octets, PROT_READ | PROT_WRITE, private ? MAP_PRIVATE : MAP_SHARED, s->fd, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* As shm/ring.h places them: a record never straddles the end. */
static void find_skips(struct stage *s)
{
	uint64_t at[STEP_LINKS] = { 0 };

	for (uint32_t i = 0; i < s->tape->entries; i++) {
		const struct tape_entry *e = &s->tape->entry[i];
		uint64_t need = record_octets(e->h.len), left = s->ring - (at[e->link] & (s->ring - 1));

		if (e->skip) {
			assert_true(s->skips < STAGE_SKIPS);
			s->skip[s->skips++] = (struct stage_skip){ e->link, at[e->link], e->rung };
		}
		at[e->link] += need + (left < need ? left : 0);
	}
}

void stage_open(struct stage *s, const struct tape *tape)
{
	*s = (struct stage){ .tape = tape, .ring = RING_SIZE_DEFAULT, .arena = pages(arena_size(&tape->plan)) };
	find_skips(s);
	s->octets = PAGE + s->arena + STEP_LINKS * SIDES * pages(ring_region_size(s->ring));
	s->fd = memfd_create("stage", MFD_CLOEXEC);
	assert_true(s->fd >= 0);
	assert_int_equal(ftruncate(s->fd, (off_t)s->octets), 0);
	s->at = stage_map(s, false, NULL);
}

void stage_close(struct stage *s)
{
	munmap(s->at, s->octets);
	close(s->fd);
}

uint64_t stage_word(const struct stage *s) { return atomic_load((_Atomic uint64_t *)(void *)arena_at(s->at)); }

void stage_shown(const struct stage *s, uint8_t *at, unsigned l, uint64_t ret[2])
{
	const struct ring_region *ours = region(s, at, l, OURS);

	ret[0] = atomic_load(&ours->tail.pos);
	ret[1] = atomic_load(&ours->head.pos);
}

/* ---- a worker ---- */
void actor_map(struct actor *k, const struct stage *s, uint8_t *at, bool shadow)
{
	int r = arena_open(&k->arena, &s->tape->plan, arena_at(at), shadow);

	k->stage = s;
	k->at = at;
	k->skipped = 0;
	if (r == ARENA_E_BLANK)
		arena_format(&k->arena, &s->tape->plan, s->tape->core->fill);
	else
		assert_int_equal(r, 0);
}

void actor_begin(struct actor *k)
{
	const struct stage *s = k->stage;

	step_open(&k->step, &k->arena, s->tape->core);
	step_recover(&k->step);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (linked(s->tape, l))
			step_attach(&k->step, l, FIRST_GENERATION + l, region(s, k->at, l, OURS), s->ring, region(s, k->at, l, THEIRS), s->ring);
}

/* At rest only, so that no batch size has a say in it. */
static bool refill(struct actor *k)
{
	uint8_t octets[ENTROPY_OCTETS];

	if (entropy_room(&k->arena) < ENTROPY_OCTETS / 2)
		return false;
	for (unsigned i = 0; i < sizeof octets; i++)
		octets[i] = (uint8_t)(i * 31 + 7);
	entropy_refill(&k->arena, octets, entropy_room(&k->arena));
	return true;
}

/* The next record of link l is in quarantine; NULL: it is not. */
static const struct stage_skip *skip_of(const struct actor *k, unsigned l)
{
	for (unsigned i = 0; i < k->stage->skips; i++)
		if (k->stage->skip[i].link == l && k->stage->skip[i].at == k->step.link[l].in.at)
			return &k->stage->skip[i];
	return NULL;
}

/* A record from the first link that has one.  False: there is none, or a commit is due: the log is full, or a record in quarantine
 * comes next or was just skipped, which is a step of its own. */
static bool take_one(struct actor *k, bool *ret_commit)
{
	const struct core *core = k->stage->tape->core;
	struct record h;
	int r;

	for (unsigned l = 0; l < STEP_LINKS; l++) {
		const struct stage_skip *skip = skip_of(k, l);

		*ret_commit = skip && (k->step.moved || arena_dirty(k->step.arena)) && ring_more(&k->step.link[l].in);
		if (*ret_commit)
			return false;
		r = step_take(&k->step, l, &h, k->body, sizeof k->body);
		if (!r && skip) {
			core->on_poison(&k->step, l, &h, skip->rung);
			k->skipped++;
			*ret_commit = true;
			return false;
		}
		if (!r) {
			core->on_record(&k->step, l, &h, (struct bytes){ k->body, h.len });
			return true;
		}
		if (r == STEP_FULL) {
			if (step_full_link(&k->step) < STEP_LINKS)
				arena_panic("a scene fills a ring");
			*ret_commit = true;
			return false;
		}
	}
	return false;
}

bool actor_step(struct actor *k, unsigned batch)
{
	const struct core *core = k->stage->tape->core;
	unsigned n = 0;
	bool commit = false, worked;

	k->step.now_ns = *now_at(k->at);
	while (n < batch && take_one(k, &commit))
		n++;
	if (!n && !commit && core->deadline(&k->step) <= k->step.now_ns && step_may_act(&k->step)) {
		core->on_time(&k->step);
		n++;
	}
	worked = n || commit || k->step.moved || refill(k);
	step_commit(&k->step);
	return worked;
}

void actor_end(struct actor *k) { arena_close(&k->arena); }

/* ---- the far ends ---- */
void player_open(struct player *p, const struct stage *s, uint8_t *at)
{
	*p = (struct player){ .tape = s->tape };
	for (unsigned l = 0; l < STEP_LINKS; l++) {
		p->in[l] = ring_producer(region(s, at, l, THEIRS), region(s, at, l, OURS), s->ring, 0);
		p->out[l] = ring_consumer(region(s, at, l, THEIRS), region(s, at, l, OURS), s->ring, 0);
	}
}

void player_move(struct player *p, const struct stage *s, uint8_t *at)
{
	for (unsigned l = 0; l < STEP_LINKS; l++) {
		p->in[l].out = region(s, at, l, THEIRS)->words;
		p->in[l].mine = &region(s, at, l, THEIRS)->tail;
		p->in[l].theirs = &region(s, at, l, OURS)->head;
		p->out[l].in = region(s, at, l, OURS)->words;
		p->out[l].mine = &region(s, at, l, THEIRS)->head;
		p->out[l].theirs = &region(s, at, l, OURS)->tail;
	}
}

bool player_feed(struct player *p, const struct stage *s, uint8_t *at)
{
	const struct tape *t = p->tape;
	const struct tape_scene *scene = &t->scene[p->scene];

	if (p->scene == t->scenes)
		return false;
	p->scene++;
	*now_at(at) = scene->now_ns;
	for (uint32_t i = scene->first; i < scene->first + scene->count; i++) {
		const struct tape_entry *e = &t->entry[i];
		uint8_t *to = ring_reserve(&p->in[e->link], e->h.len);

		assert_non_null(to);
		memcpy(to, t->octets + e->at, e->h.len);
		ring_push(&p->in[e->link], e->h);
	}
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (linked(s->tape, l))
			ring_publish(&p->in[l]);
	return true;
}

const char *player_hear(struct player *p, const struct reference *ref, struct reference *grow)
{
	static uint8_t said[16 + STAGE_BUF];
	static char why[80];

	for (unsigned l = 0; l < STEP_LINKS; l++) {
		struct record h;
		uint64_t word;
		size_t n;
		int r = RING_EMPTY;

		while (linked(p->tape, l) && !(r = ring_take(&p->out[l], &h, said + 16, STAGE_BUF))) {
			word = record_word(h);
			memcpy(said, &word, 8);
			memcpy(said + 8, &h.time_ns, 8);
			n = 16 + h.len;
			if (grow) {
				assert_true(p->heard[l] + n <= STREAM);
				memcpy(grow->stream[l] + p->heard[l], said, n);
				grow->len[l] += n;
				grow->records++;
			} else if (p->heard[l] + n > ref->len[l] || memcmp(ref->stream[l] + p->heard[l], said, n)) {
				snprintf(why, sizeof why, "output doubled or torn, link %u at octet %zu", l, p->heard[l]);
				return why;
			}
			p->heard[l] += n;
		}
		if (linked(p->tape, l) && r == RING_CORRUPT)
			return "output ring corrupt";
		if (linked(p->tape, l))
			ring_publish(&p->out[l]);
	}
	return NULL;
}

/* ---- the run that is never killed ---- */
static uint8_t *image_of(const struct actor *k)
{
	uint8_t *p = malloc(k->arena.log_at);

	assert_non_null(p);
	return memcpy(p, k->arena.at, k->arena.log_at);
}

void reference_make(struct reference *r, const struct tape *tape, unsigned batch)
{
	static struct actor k;
	struct stage s;
	struct player p;

	stage_open(&s, tape);
	*r = (struct reference){ .rest = calloc(tape->scenes, sizeof *r->rest), .heard = calloc(tape->scenes, sizeof *r->heard),
		.epoch = calloc(EPOCHS, sizeof *r->epoch) };
	assert_true(r->rest && r->heard && r->epoch);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		assert_non_null(r->stream[l] = malloc(STREAM));
	actor_map(&k, &s, s.at, true);
	r->first_epoch = k.arena.epoch;
	r->arena = k.arena.log_at;
	r->epoch[r->epochs++] = image_of(&k);
	actor_begin(&k);
	player_open(&p, &s, s.at);
	while (player_feed(&p, &s, s.at)) {
		while (actor_step(&k, batch)) {
			uint32_t n = k.arena.epoch - r->first_epoch;

			assert_true(n < EPOCHS);
			if (!r->epoch[n])
				r->epoch[n] = image_of(&k);
			r->epochs = n + 1;
			r->steps++;
		}
		assert_null(player_hear(&p, NULL, r));
		r->rest[p.scene - 1] = image_of(&k);
		memcpy(r->heard[p.scene - 1], p.heard, sizeof p.heard);
	}
	assert_int_equal(k.skipped, s.skips);
	actor_end(&k);
	stage_close(&s);
}

void reference_free(struct reference *r, const struct tape *tape)
{
	for (uint32_t i = 0; i < r->epochs; i++)
		free(r->epoch[i]);
	for (uint32_t i = 0; i < tape->scenes; i++)
		free(r->rest[i]);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		free(r->stream[l]);
	free(r->epoch);
	free(r->rest);
	free(r->heard);
}
