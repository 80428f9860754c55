/* runtime/replay_private.h - the replay's parts, for replay*.c only.
 *
 *   replay.c       the file, the arena, and each entry
 *   replay_own.c   what a program with more than links does, out of the entries instead of the world */
#pragma once
#include <setjmp.h>
#include "runtime/program.h"
#include "runtime/recording_file.h"
#include "runtime/replay.h"

enum { DIFFERS = 1, WAY_OUT = 160 };

struct replay {
	const struct program *p;
	struct recording file;
	struct arena_plan plan;
	struct arena arena;
	struct step step;
	uint8_t *at, *scratch;
	struct ring_region *mine[STEP_LINKS], *theirs[STEP_LINKS];
	uint64_t from[STEP_LINKS];	/* tails at the last commit */
	uint64_t steps, records, acts, lives;	/* one that goes on in a later half is counted once */
	bool compared;				/* a whole state, as of the epoch compared_epoch */
	uint32_t compared_epoch;
	const struct recording_part *part;
	uint64_t begin, at_entry;	/* of its entries: the step under way, and past the one that is done */
	bool list;
	jmp_buf life_ended;			/* replay_own.c: out of what a worker did when it died */
	char why[WAY_OUT];
};

/* Why this replay differs; always DIFFERS. */
int replay_differ(struct replay *r, const char *form, ...) __attribute__((format(printf, 2, 3)));
/* The entry that comes next, without taking it.  @octets: may be NULL.  False: that was all. */
bool replay_look(const struct replay *r, struct recording_entry *ret, const uint8_t **octets);
/* Take it: it is sound, it is told where that was asked for, and its time is now.  Returns 0; DIFFERS: it says what cannot be. */
int replay_entry(struct replay *r, struct recording_entry *ret, const uint8_t **payload);
/* Do it, compared where it is a COMMIT.  Returns 0, DIFFERS. */
int replay_do(struct replay *r, const struct recording_entry *e, const uint8_t *payload);
/* A record is taken: position and room.  The core does not see it. */
int replay_take_record(struct replay *r, const struct recording_entry *e);
/* The outcome, for a person; ends in the exit code. */
int replay_report(struct replay *r, int err);

/* replay_own.c.  Is this an entry that program->replay has to take? */
bool replay_is_own(const struct replay *r, const struct recording_entry *e);
/* Let it.  Returns 0, DIFFERS: it took none. */
int replay_run_own(struct replay *r);
