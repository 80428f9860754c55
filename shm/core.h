/* shm/core.h - what a worker's shell has to know of a protocol core.
 *
 * A core is sans-I/O and deterministic: (state, input record) -> (state', output records).  It makes no system call, reads no
 * clock, draws no randomness: `now` is s->now_ns, deadlines are absolute and live in the arena, entropy is a committed pool. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/bytes.h"
#include "base/record.h"

struct arena;
struct arena_migration;
struct arena_pool;
struct step;

/* The links of a worker.  Up is towards the controller, down towards the services. */
enum step_link_role { LINK_SUPERVISOR, LINK_UP, LINK_DOWN, STEP_LINKS };

/* How far the ladder is climbed for a record that killed its worker twice (docs/ARCHITECTURE.md, strikes). */
enum core_rung { RUNG_SKIP_RECORD, RUNG_RESET_CONNECTION };

#define DEADLINE_NONE UINT64_MAX

struct core {
	const char *name;
	const struct arena_pool *pools;		/* positions, entropy, counters first */
	uint32_t version;			/* of the meaning of its state */
	const char *const *counter_names;	/* ends at NULL; at most COUNTERS */

	/* Octets that one record from link [in] may put into the ring of link [out], headers included; for time, `act`.
	 * Each at most three sixteenths of a ring: step_fits(). */
	uint32_t reserve[STEP_LINKS][STEP_LINKS];
	uint32_t act[STEP_LINKS];
	uint32_t undo;				/* octets that one record may put into the log at worst */

	/* Layouts whose arenas it can take over (shm/migrate.h); ends at `from` 0.  NULL: its own alone. */
	const struct arena_migration *migrations;
	/* First state: step_format, then the core's own objects. */
	void (*fill)(struct arena *a);
	/* One record.  Checks first, then edits; answers first, then announces. */
	void (*on_record)(struct step *s, unsigned link, const struct record *r, struct bytes payload);
	/* Link `link` is attached with a new generation: nothing given to it before counts, nothing of its former life will come. */
	void (*on_link)(struct step *s, unsigned link);
	/* Deadlines at or before s->now_ns, and work left over from earlier records: a bounded piece of it. */
	void (*on_time)(struct step *s);
	/* When on_time has something to do: absolute ns; 0: at once; DEADLINE_NONE: not until a record comes. */
	uint64_t (*deadline)(const struct step *s);
	/* This record killed its worker twice and is skipped: end its connection, and on the second rung forget its state.  The
	 * payload is not to be looked at. */
	void (*on_poison)(struct step *s, unsigned link, const struct record *r, enum core_rung rung);
};

/* What a core tells its supervisor in RECORD_NOTICE (wire/local.def: what, value, detail). */
enum core_notice {
	NOTICE_READY = 1,	/* service is there: hostd, controller up and advertising where asked for; gattd, configured and linked */
	NOTICE_FAILED = 2,	/* service cannot be given; value: which step or status; detail: text for a person */
	NOTICE_EVENT = 3,	/* worth a line in the log; detail: text of "key=value" words, no payload, no keys */
};
