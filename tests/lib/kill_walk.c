/* tests/lib/kill_walk.c - see kill_walk.h. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "base/types.h"
#include "tests/lib/kill_walk.h"
#include "tests/lib/stepper.h"

enum { TO_THE_END = 64, BATCHES = 7 };
enum depth { LIFE, RECOVERY, SECOND_RECOVERY };

struct walk {
	const struct tape *tape;
	const struct walk_how *how;
	struct walk_told *told;
	struct reference ref;
	struct stage stage, aside;	/* aside: where recoveries are walked */
	struct player player;
	bool recovery_only;		/* what the child does */
	uint8_t *judge_at;		/* private mapping of judge_of; owned */
	const struct stage *judge_of;
	unsigned long changes;
};

/* ---- the child ---- */
static uint8_t *child_map(void *ctx)
{
	struct walk *w = ctx;

	return stage_map(w->recovery_only ? &w->aside : &w->stage, false,
	    (void *)(0x10000000ul + (unsigned long)rand() % 4096 * 0x100000));
}
static void child_life(uint8_t *at, void *ctx)
{
	static struct actor k;
	struct walk *w = ctx;

	actor_map(&k, &w->stage, at, false);
	stepper_ready();
	actor_begin(&k);
	while (!w->recovery_only) {
		while (actor_step(&k, w->how->batch))
			;
		stepper_pause();		/* the far ends' turn */
	}
}

/* ---- what a death means ---- */
static void judge_recovered(struct walk *w, struct actor *k, const uint64_t shown[STEP_LINKS][2])
{
	const struct positions *p = positions_next(&k->arena, NULL);
	uint32_t epoch = k->arena.epoch - w->ref.first_epoch;
	const char *d;

	for (unsigned l = 0; l < STEP_LINKS; l++) {
		if (!k->step.link[l].generation || k->step.fresh & 1u << l)
			continue;
		if (shown[l][0] > p->out_tail[l] || shown[l][1] > p->in_head[l])
			fail_msg("shown before it was committed, link %u", l);
		if (atomic_load(&k->step.link[l].out.mine->pos) != p->out_tail[l] ||
		    atomic_load(&k->step.link[l].in.mine->pos) != p->in_head[l])
			fail_msg("not shown again, link %u", l);
	}
	if (epoch >= w->ref.epochs || !w->ref.epoch[epoch])
		fail_msg("after recovery: epoch %u, where no step ends", epoch);
	d = arena_compare(&k->arena, w->ref.epoch[epoch]);
	if (*d)
		fail_msg("after recovery: %s", d);
}

/* Play on: `ahead` scenes, 0: all. */
static void judge_rest(struct walk *w, struct actor *k, uint8_t *at, unsigned ahead)
{
	struct player p = w->player;
	unsigned batch = 1 + (unsigned)(w->told->images % BATCHES), scenes = 0;
	const char *d;

	player_move(&p, &w->stage, at);
	do {
		while (actor_step(k, batch))
			;
		d = player_hear(&p, &w->ref, NULL);
		if (d)
			fail_msg("%s", d);
		if (p.scene && memcmp(p.heard, w->ref.heard[p.scene - 1], sizeof p.heard))
			fail_msg("output lost");
	} while (!(ahead && ++scenes > ahead) && player_feed(&p, &w->stage, at));
	d = p.scene ? arena_compare(&k->arena, w->ref.rest[p.scene - 1]) : "";
	if (*d)
		fail_msg("%s arena: %s", p.scene == w->tape->scenes ? "final" : "later", d);
}

/* @s  whose memory was left by a death */
static void judge(struct walk *w, const struct stage *s)
{
	static struct actor k;
	uint64_t shown[STEP_LINKS][2] = { { 0 } };
	unsigned ahead = w->told->images % TO_THE_END ? w->how->ahead : 0;
	uint8_t *at;

	if (w->judge_of != s) {
		if (w->judge_of)
			munmap(w->judge_at, s->octets);
		w->judge_at = stage_map(s, true, NULL);
		w->judge_of = s;
	}
	at = w->judge_at;
	w->told->images++;
	actor_map(&k, s, at, false);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		stage_shown(s, at, l, shown[l]);
	actor_begin(&k);
	judge_recovered(w, &k, (const uint64_t (*)[2])shown);
	judge_rest(w, &k, at, ahead);
	actor_end(&k);
	madvise(at, s->octets, MADV_DONTNEED);
}

/* ---- the walks ---- */
static uint32_t undo_of(const struct stage *s) { return (uint32_t)stage_word(s); }

/* From the memory of `from`: recover, attach, and judge each image of it. */
static void walk_recovery(struct walk *w, const uint8_t *from, enum depth depth)
{
	struct stepper p = { 0 };
	uint8_t *left = NULL;
	enum stepped e;

	memcpy(w->aside.at, from, w->aside.octets);
	w->recovery_only = true;
	stepper_start(&p, w->aside.at, w->aside.octets, child_map, child_life, w);
	while ((e = stepper_step(&p)) != STEPPED_END) {
		if (e == STEPPED_ABORT)
			fail_msg("a recovering worker aborted");
		if (e != STEPPED_CHANGE)
			continue;
		w->told->recovery_images++;
		judge(w, &w->aside);
		/* half way through the taking back: a recovery from there, too */
		if (depth == RECOVERY && !left && undo_of(&w->aside) && w->told->recovery_images % 16 == 0) {
			left = malloc(w->aside.octets);
			memcpy(left, w->aside.at, w->aside.octets);
		}
	}
	w->told->instructions += p.instructions;
	w->told->recoveries++;
	stepper_stop(&p);
	w->recovery_only = false;
	if (left) {
		w->told->twice++;
		walk_recovery(w, left, SECOND_RECOVERY);
		free(left);
	}
}

static void on_change(struct walk *w, uint32_t *undo_seen, unsigned *news)
{
	uint32_t undo = undo_of(&w->stage);

	if (w->how->each < 2 || w->changes++ % w->how->each == 0)
		judge(w, &w->stage);
	if (undo == *undo_seen)
		return;
	*undo_seen = undo;
	if (undo && w->how->recoveries && ++*news % w->how->recoveries == 0)
		walk_recovery(w, w->stage.at, RECOVERY);
}

/* The far ends' turn.  False: the walk is over. */
static bool between_scenes(struct walk *w)
{
	const char *d = player_hear(&w->player, &w->ref, NULL);

	if (d)
		fail_msg("in the life itself: %s", d);
	return w->player.scene < w->how->to && player_feed(&w->player, &w->stage, w->stage.at);
}

static void walk_life(struct walk *w)
{
	struct stepper p = { 0 };
	uint32_t undo_seen = 0;
	unsigned news = 0;

	stepper_start(&p, w->stage.at, w->stage.octets, child_map, child_life, w);
	for (bool on = true; on; ) {
		switch (stepper_step(&p)) {
		case STEPPED_CHANGE:
			on_change(w, &undo_seen, &news);
			break;
		case STEPPED_PAUSE:
			on = between_scenes(w);
			stepper_look(&p);
			break;
		case STEPPED_NOTHING:
			break;
		default:
			fail_msg("the worker aborted");
		}
	}
	w->told->instructions += p.instructions;
	w->told->lives++;
	stepper_stop(&p);
}

static void walk_open(struct walk *w, const struct tape *t, const struct walk_how *how, struct walk_told *told)
{
	static struct actor k;

	*w = (struct walk){ .tape = t, .how = how, .told = told };
	reference_make(&w->ref, t, how->batch);
	stage_open(&w->stage, t);
	stage_open(&w->aside, t);
	actor_map(&k, &w->stage, w->stage.at, false);
	actor_begin(&k);
	player_open(&w->player, &w->stage, w->stage.at);
	while (w->player.scene < how->from) {
		player_feed(&w->player, &w->stage, w->stage.at);
		while (actor_step(&k, how->batch))
			;
		assert_null(player_hear(&w->player, &w->ref, NULL));
	}
	actor_end(&k);
	player_feed(&w->player, &w->stage, w->stage.at);
	stepper_pin();
}

static void walk_close(struct walk *w)
{
	if (w->judge_of)
		munmap(w->judge_at, w->stage.octets);
	stage_close(&w->stage);
	stage_close(&w->aside);
	reference_free(&w->ref, w->tape);
}

void kill_walk(const struct tape *t, const struct walk_how *how, struct walk_told *told)
{
	struct walk w;

	walk_open(&w, t, how, told);
	walk_life(&w);
	walk_close(&w);
}

void kill_often(const struct tape *t, const struct walk_how *how, unsigned stride, unsigned span, struct walk_told *told)
{
	bool over = false;
	struct walk w;

	walk_open(&w, t, how, told);
	for (unsigned long life = 1; !over; life++) {
		unsigned long left = life * stride % span + 1;
		struct stepper p = { 0 };
		enum stepped e = STEPPED_NOTHING;

		stepper_start(&p, w.stage.at, w.stage.octets, child_map, child_life, &w);
		while (left-- && !over) {
			e = stepper_step(&p);
			if (e == STEPPED_ABORT || e == STEPPED_END)
				fail_msg("the worker aborted");
			if (e == STEPPED_PAUSE) {
				over = !between_scenes(&w);
				stepper_look(&p);
			}
		}
		told->instructions += p.instructions;
		told->lives++;
		stepper_stop(&p);		/* SIGKILL */
		told->kills++;
		judge(&w, &w.stage);
	}
	walk_close(&w);
}

void walk_tell(const char *what, unsigned batch, const struct walk_told *n)
{
	printf("told: %s, batch %u: %lu instructions, %lu images judged, %lu recoveries walked (%lu images; %lu of them of a killed one)",
	    what, batch, n->instructions, n->images, n->recoveries, n->recovery_images, n->twice);
	printf(", %lu SIGKILLs\n", n->kills);
	fflush(stdout);
}
