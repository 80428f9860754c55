/* runtime/worker_private.h - the worker's parts, for worker*.c only.
 *
 *   worker.c        turn, sleep, and what programs may ask
 *   worker_take.c   one record: flight words, batch limit, quarantine; the commit
 *   worker_start.c  descriptors in, sandbox, recovery, Ready; frames later
 *   worker_probe.c  could this binary take over? */
#pragma once
#include "proto/control.h"
#include "runtime/fdstore.h"
#include "runtime/program.h"
#include "runtime/recording.h"
#include "runtime/worker.h"
#include "shm/segment.h"

struct worker_link {
	struct segment mine, theirs;
	int bell, peer_bell, watch;
	uint32_t generation;		/* 0: not there */
	uint64_t size_out, size_in;
	uint64_t until;			/* one record a step until the input position is past this */
	bool want_input;		/* own links: may a record wake us? */
	bool want_room;			/* room in the output ring shall wake us */
	bool blocked;			/* its input waits for room somewhere */
	uint64_t full_ns, full_head;	/* since when its output ring is short of room, and its head then; 0: it is not */
	uint64_t former;		/* input up to here was there when this worker began */
	uint64_t records;		/* taken since the last commit */
};
struct worker {
	const struct program *p;
	void *own;
	struct loop *loop;
	struct control_link control;
	struct arena arena;
	struct segment arena_segment, stats_segment;
	struct stats *stats;
	struct recorder *recorder;	/* NULL: nothing is recorded */
	struct step step;
	struct worker_link link[STEP_LINKS];
	struct fd_set_named fds;	/* what program->open kept */
	uint8_t *buf;			/* a record's payload, copied out */
	uint32_t buf_cap;
	unsigned next;			/* link whose turn it is */
	unsigned taken, limit;		/* records in this step, and how many it may have */
	bool careful;			/* after a strike: one record a step, and nothing beside it */
	uint64_t acts;			/* on_time in this step */
	bool drained;			/* all input of the former life is taken: timers may fire */
	bool acting;			/* on_time waits for room */
	bool ending;			/* Drain was asked for */
	unsigned skip_link;		/* link + 1 of the record in quarantine */
	uint64_t skip_position;
	enum core_rung skip_rung;
	/* From the Start frame, until it has been acted on. */
	bool started, shadow, rolled_back;
	struct arena_plan plan;
	uint64_t recover_ns;
	uint32_t uid, gid, parent, attempt;
	struct segment old_arena;	/* to be migrated from; SEGMENT_NONE */
	bool switched;			/* the new one is the one that counts */
};

/* A link that was given up, and has been replaced before its core came to read so: the new one is not lost. */
static inline bool worker_of_former_link(const struct step *s, unsigned l, const struct record *r)
{
	if (l != LINK_SUPERVISOR || r->kind != RECORD_NEIGHBOUR_LOST || r->index >= STEP_LINKS)
		return false;
	return step_renewed(s, r->index, r->generation);
}

/* worker_start.c: everything up to Ready, on descriptor 3.  Returns 0, -errno after it has said why. */
int worker_open(struct worker *w, const struct program *p);
/* worker_probe.c */
struct arena_plan worker_plan(const struct core *core, const uint32_t *limits, size_t count, uint64_t config_hash);
int worker_on_probe(void *self, struct control_in *in, const Probe *m);
/* Places in a takeover where a test build stops itself (TREFOIL_TAKEOVER_STOP=n), so that a test can kill it there. */
enum { TAKEOVER_STOP_PROBED = 1, TAKEOVER_STOP_START, TAKEOVER_STOP_COPY, TAKEOVER_STOP_WHOLE, TAKEOVER_STOP_TOLD,
	TAKEOVER_STOP_SWITCHED };
#ifdef TREFOIL_TEST_LAYOUT
void takeover_stop(int place);
void takeover_on_pool(unsigned pool);
#else
static inline void takeover_stop(int place) { (void)place; }
#define takeover_on_pool NULL
#endif
/* worker_take.c */
bool worker_dirty(const struct worker *w);
void worker_lost_link(struct worker *w, unsigned l, const char *why);
bool worker_watch_room(struct worker *w, unsigned l);	/* true: the link was given up */
static inline uint64_t worker_patience(const struct worker *w)	/* ns */
{
	return (w->p->up && w->p->down ? 10ull : 15ull) * 1000000000;
}
/* worker.c: rings and doorbells of the links that are there; after step_recover.  Returns 0, -errno. */
int worker_attach(struct worker *w);
/* A bell rang; the turn that follows looks. */
int worker_on_bell(void *ctx, uint32_t revents);
int worker_on_control(void *ctx, uint32_t revents);
