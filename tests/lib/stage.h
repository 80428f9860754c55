/* tests/lib/stage.h - where a tape is played to its core: arena and rings in memory that outlives a worker, and the far ends.
 *
 *   stage      the memory: a memfd, mapped by the test, by workers in children, and privately by who judges what a death left
 *   player     the far ends of all links: feeds scene by scene, and compares each record that comes out with those of the run
 *              that was never killed
 *   actor      a worker: opens the arena, recovers, attaches, steps
 *
 * An actor looks at its links always in the same order, and at the time only when no input is left: so what its core does does
 * not hang on where the commits are, and any batch size gives the same records and the same final arena. */
#pragma once
#include "shm/step.h"
#include "tests/lib/tape.h"

enum { STAGE_BUF = 32768, STAGE_SKIPS = 16 };

struct stage {
	const struct tape *tape;
	uint8_t *at;			/* this mapping */
	size_t octets;			/* whole pages */
	int fd;
	uint64_t ring;			/* octets of each ring */
	size_t arena;			/* octets of the arena, whole pages */
	/* Where the records in quarantine lie: workers are told so, as by their supervisor. */
	struct stage_skip { unsigned link; uint64_t at; enum core_rung rung; } skip[STAGE_SKIPS];
	unsigned skips;
};
struct actor {
	struct arena arena;
	struct step step;
	const struct stage *stage;
	uint8_t *at;			/* its own mapping */
	unsigned skipped;		/* records in quarantine, in its life */
	uint8_t body[STAGE_BUF];
};
struct player {
	const struct tape *tape;
	uint32_t scene;			/* that is fed next */
	struct ring in[STEP_LINKS], out[STEP_LINKS];	/* what the core takes, what it gives */
	size_t heard[STEP_LINKS];	/* octets of its streams that were heard */
};
/* The run that was never killed. */
struct reference {
	uint8_t *stream[STEP_LINKS];	/* what it gave to each link: header words and payload */
	size_t len[STEP_LINKS];
	uint8_t **epoch;		/* the arena after each step: [epoch - first_epoch]; NULL: no step ended there */
	uint32_t first_epoch, epochs;
	uint8_t **rest;			/* the arena at the end of each scene */
	size_t (*heard)[STEP_LINKS];	/* ... and how much had been said */
	uint32_t steps, records;
	size_t arena;			/* octets of each image */
};

/* A memory for that tape, all zero.  Fails the test if it cannot. */
void stage_open(struct stage *s, const struct tape *tape);
void stage_close(struct stage *s);
/* One more mapping of it.  @private: it sees the memory as it is, and keeps its own changes to itself (madvise DONTNEED forgets
 * them); @hint: where, NULL: anywhere. */
uint8_t *stage_map(const struct stage *s, bool private, void *hint);

/* The word that decides, of its arena.  What a worker shows on link l at that mapping: its tail, its head. */
uint64_t stage_word(const struct stage *s);
void stage_shown(const struct stage *s, uint8_t *at, unsigned l, uint64_t ret[2]);

/* @at  mapping that the actor uses; a blank arena is formatted.  @shadow  as arena_open */
void actor_map(struct actor *k, const struct stage *s, uint8_t *at, bool shadow);
void actor_begin(struct actor *k);		/* recover, attach all links */
/* One step of up to `batch` records, or one turn on time, or what is to be done at rest.  False: at rest, nothing was done. */
bool actor_step(struct actor *k, unsigned batch);
void actor_end(struct actor *k);

/* At the beginning of its tape. */
void player_open(struct player *p, const struct stage *s, uint8_t *at);
/* The same player, at another mapping. */
void player_move(struct player *p, const struct stage *s, uint8_t *at);
/* Give the next scene.  False: the story is over. */
bool player_feed(struct player *p, const struct stage *s, uint8_t *at);
/* Hear all there is.  @ref: compared with it; @grow: added to it instead.  Returns NULL, or what is wrong. */
const char *player_hear(struct player *p, const struct reference *ref, struct reference *grow);

/* Play the tape once, undisturbed, with shadow: ends on a stage of its own, so that `s` stays as it is. */
void reference_make(struct reference *r, const struct tape *tape, unsigned batch);
void reference_free(struct reference *r, const struct tape *tape);
