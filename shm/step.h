/* shm/step.h - take input records, change the arena, give output records; all of it happens, or nothing does.
 *
 *   step_recover                              once, when a worker starts
 *   step_take ... core ... step_give          as often as the batch allows
 *   step_commit                               one store; then heads and tails are shown
 *   step_kicks                                whose neighbours asked to be woken
 *
 * The ring positions are an object of the arena (pool 0), logged and taken back like any other; the rings' shared head and
 * tail are copies of it, shown after the commit and again by step_recover.
 *
 * step_take takes a record only if the worst output of one record from that link fits each of its output rings, and its worst
 * undo fits the log: a core never meets a full ring.  What a core does on time (step_may_act) may use the last eighth of a
 * ring too, which records never do: a disconnection can always be pushed, behind its data. */
#pragma once
#include "shm/arena.h"
#include "shm/core.h"
#include "shm/ring.h"

enum {
	STEP_FULL = 3, STEP_ABSENT = 4, ENTROPY_OCTETS = 256, COUNTERS = 48,
	STEP_LOG = 64 * 1024,		/* octets of log for a batch, beside the largest undo of one record */
};

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct positions_id { uint32_t v; };
struct entropy_id { uint32_t v; };
struct counters_id { uint32_t v; };
struct positions {
	uint64_t in_head[STEP_LINKS], out_tail[STEP_LINKS];
	uint32_t generation[STEP_LINKS + 1];	/* of the link that they count in; 0: never attached.  One more: no padding */
};
struct entropy { struct fifo pool; uint8_t pool_octets[ENTROPY_OCTETS]; };
struct counters { uint64_t at[COUNTERS]; };
#pragma GCC diagnostic pop

/* The first rows of every core's table, in this order. */
#define STEP_STATE(ROW) \
	ROW(positions, 1, LIMIT_NONE, sizeof(struct positions)) \
	ROW(entropy,   1, LIMIT_NONE, offsetof(struct entropy, pool_octets), FIFO(entropy, pool)) \
	ROW(counters,  1, LIMIT_NONE, sizeof(struct counters))
enum { POOL_positions, POOL_entropy, POOL_counters, STEP_POOLS };
STEP_STATE(ARENA_POOL)

struct step_link {
	struct ring in, out;			/* in.at: past the record that was taken last */
	uint32_t generation;			/* 0: absent */
	bool kick;				/* its neighbour asked to be woken */
	bool corrupt;				/* its ring lied; nothing more is taken from it */
};
struct step {
	struct arena *arena;
	const struct core *core;
	uint64_t now_ns;			/* CLOCK_BOOTTIME, one value a step: the shell sets it */
	struct step_link link[STEP_LINKS];
	unsigned fresh;				/* bit l: on_link is still to be called */
	unsigned full;				/* link whose ring lacked room */
	bool moved;				/* something was taken or given since the last commit */
	uint64_t counted;			/* bit c: counter c has changed since stats_show */
};

/* What a core's arena is for.  Its log takes what a batch logs, at about 1 KiB a record (measured: under a third of that), and
 * the largest undo of one record more: so a record is only put off in a batch of unusual ones, and never for good. */
static inline struct arena_plan step_plan(const struct core *core, const struct arena_limits *limits, uint64_t config_hash)
{
	return (struct arena_plan){ .pools = core->pools, .limits = *limits, .version = core->version, .log = core->undo + STEP_LOG,
	    .config_hash = config_hash };
}
/* A step over an arena that is open; no links yet.  Refuses (panics on) a core whose first pools are not STEP_STATE. */
void step_open(struct step *s, struct arena *a, const struct core *core);
/* The first objects: positions, entropy, counters; from a core's fill function, first thing. */
void step_format(struct arena *a);

/* May the ring that a core writes on link `l` have `size` octets?  Half of it must be enough for any reserve: a producer that is
 * woken sees half of it free, and must not find that too little, or it would never sleep again. */
bool step_fits(const struct core *core, unsigned l, uint64_t size);

/* Attach link `l`: rings over the two mapped regions, at the committed positions, which are shown again.  If `generation` is not
 * the one that the arena counts in, both positions start at 0, and the core hears of it (on_link) in the next step, once it has
 * room to act; so attach all that there is before the first step_take.
 *
 * @mine, @theirs  mapped regions; borrowed until step_detach
 * @size_out, @size_in  octets of data of either ring, agreed by the supervisors; powers of two >= RING_SIZE_MIN.  step_fits holds
 * for size_out: else this panics */
void step_attach(struct step *s, unsigned l, uint32_t generation, struct ring_region *mine, uint64_t size_out,
    const struct ring_region *theirs, uint64_t size_in);
void step_detach(struct step *s, unsigned l);

/* Take back an uncommitted step.  Call once, before the first step_attach; each attach shows the committed positions again. */
void step_recover(struct step *s);

/* The next record of link `l`.
 *
 * @buf, @cap  where its payload goes
 *
 * Returns 0; RING_EMPTY; RING_CORRUPT (the link is useless from now on); STEP_ABSENT; STEP_FULL: step_full_link says which output
 * ring lacks room, or STEP_LINKS where the log does: commit, and ask again. */
int step_take(struct step *s, unsigned l, struct record *ret, uint8_t *buf, uint32_t cap);
/* Is there room for what the core does on time, or of itself?  Records leave an eighth of each ring to it. */
bool step_may_act(struct step *s);
/* Tell the core of a fresh link `l` now: for a replay, which knows when that was; step_take and step_may_act do it by themselves. */
void step_settle(struct step *s, unsigned l);
/* Why the last step_take or step_may_act said no: a link, or STEP_LINKS for the log. */
unsigned step_full_link(const struct step *s);

/* Where the payload of the next record to link `l` goes: `cap` octets in the ring itself.  More than the core's reserve panics.
 * Until step_give moves on, it may be asked for again: the former place is then forgotten. */
uint8_t *step_reserve(struct step *s, unsigned l, uint32_t cap);
void step_give(struct step *s, unsigned l, struct record h);		/* h.len <= cap of them; h.time_ns 0: now */
bool step_linked(const struct step *s, unsigned l);
/* Has link `l` begun anew since it had `generation` (its low 16 bits)? */
bool step_renewed(const struct step *s, unsigned l, uint16_t generation);

/* Commit, then show positions; link[].kick says whom to wake. */
void step_commit(struct step *s);

/* Add to a counter of the core's table. */
static inline void step_count(struct step *s, unsigned counter, uint64_t n)
{
	counters_edit(s->arena, counters_only(s->arena))->at[counter] += n;
	s->counted |= 1ull << counter;
}

/* Entropy: octets from the committed pool; false if it holds less (the shell refills it before each batch). */
bool entropy_take(struct arena *a, void *dst, uint32_t n);
uint32_t entropy_room(const struct arena *a);
void entropy_refill(struct arena *a, const void *src, uint32_t n);
