/* runtime/recording.h - what a core saw, so that it can be seen again: recordings and quarantine files have this one format.
 *
 * A worker's core sees nothing but its arena, the records, the time of each step, and when it is called.  So an image of the
 * arena as of a commit, and everything that came after it, gives the same arena again, octet by octet, at any address.
 *
 *   0               struct recording_head    whose it is: written once, when the file is made
 *   512, 1024       struct recording_half    the two halves; the higher generation counts, once `ready` says so
 *   4096            half 0: image | log | entries ...        each `half_octets` long
 *   + half_octets   half 1: the same
 *
 * A half is filled with entries until it is full; then the other one is begun anew with an image of the arena as it is, so a
 * recording is bounded and always has an image to start from.  All numbers are this machine's; all sizes are octets.
 *
 *   image    the arena from its word to the end of its slots, as it lay in memory
 *   log      of a step that was open: only a quarantine file has one.  Taken back before anything else
 *   entries  struct recording_entry and its payload, 8-aligned, one after the other
 *
 *   LIFE     a worker has started, or goes on in this half:    LINK     it has attached this link (position: generation;
 *            it has no links                                            past: octets of the ring out, word: of the ring in)
 *   DETACH   it has let go of link
 *   SETTLE   the core has heard of the fresh links in `link` (a bit each: core.on_link)
 *   TAKE     a record: position, past, word and time as its ring had them; the payload.  core.on_record
 *   SKIP     a record in quarantine, likewise; flags: the rung.  core.on_poison
 *   ACT      core.on_time                                      ENTROPY  octets for the core to draw from
 *   COMMIT   the end of a step: struct recording_commit, by which a replay is compared
 *   OWN      what a program that has more than links (transportd) heard from there; flags: which call.  struct recorder_own
 *
 * Kills.  `tail` counts the entries of committed steps.  COMMIT is written before the arena's commit, tail after it; the next
 * worker looks whether the entries behind the tail end in the COMMIT of the arena's epoch, which they do if the kill came
 * between the two, and else forgets them: the arena's word decides, as always, so a step that was killed and done again is in
 * the recording once.
 *
 * Damage.  Everything that counts carries a hash.  What does not fit its hash before the tail is damage, and said; behind the
 * tail it is a step that was never finished.
 *
 * A recording holds packets, keys that are in use, and entropy: its files have mode 0600, in a directory that nobody else
 * may look into, and exist only where they were asked for. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/bytes.h"
#include "base/record.h"
#include "shm/step.h"

enum { RECORDING_VERSION = 2, RECORDING_HALVES_AT = 512, RECORDING_DATA_AT = 4096 };
enum recording_kind { RECORDING_RUN = 1, RECORDING_QUARANTINE = 2 };
enum recording_entry_kind {
	ENTRY_LIFE = 1, ENTRY_LINK, ENTRY_DETACH, ENTRY_SETTLE, ENTRY_TAKE, ENTRY_SKIP, ENTRY_ACT, ENTRY_ENTROPY, ENTRY_COMMIT,
	ENTRY_OWN, ENTRY_KINDS
};
enum { LIFE_GOES_ON = 1 };		/* flags of a LIFE: the half begins in the middle of one, with the links that it has */
#define RECORDING_FD "recording"	/* the file's name among what a worker is given */
#define RECORDING_MAGIC 0x314365526c666554ull	/* "TeflReC1" */

struct recording_head {
	uint64_t magic;
	uint32_t version, kind;
	char core[16];			/* name, zero-ended */
	uint32_t core_version, halves;
	struct arena_limits limits;
	uint64_t layout_hash, config_hash;
	uint64_t half_octets;
	uint64_t check;			/* hash of all before it */
};
struct recording_end { uint64_t epoch, state, check; };	/* hash of the arena's state as of that epoch; check 0: not known */
struct recording_half {
	uint64_t generation;		/* odd, even: in half 1, half 0.  0: never used */
	uint64_t image_octets, log_octets, image_hash;
	uint64_t mapped_at;		/* where the arena was: a replay maps it elsewhere */
	uint64_t check;			/* hash of all before it */
	_Atomic uint64_t ready;		/* the generation, once the image is whole */
	_Atomic uint64_t tail;		/* entries of committed steps, as recording_tail() packs it */
	struct recording_end end;	/* written when the half is left, or the worker ends cleanly */
};
struct recording_entry {
	uint64_t check;			/* hash of all after it, of the payload, of the half's generation and the entry's place */
	uint32_t len;			/* of the payload */
	uint8_t kind, link;
	uint16_t flags;
	uint64_t now_ns;
	uint64_t position, past, word, time_ns;
};
struct recording_commit {
	uint64_t epoch;			/* the one that it begins */
	uint64_t undo_octets, changed;	/* of the step's log; hash of what the logged objects hold */
	uint64_t given;			/* hash of the records that were given */
	uint64_t tail[STEP_LINKS];	/* of the rings out */
};

/* ---- both sides ---- */
uint64_t recording_head_check(const struct recording_head *h);
uint64_t recording_half_check(const struct recording_half *h);
uint64_t recording_end_check(const struct recording_end *e, uint64_t generation);
uint64_t recording_entry_check(const struct recording_entry *e, const uint8_t *payload, uint64_t generation, uint64_t at);
static inline uint64_t recording_entry_octets(uint64_t len) { return sizeof(struct recording_entry) + ((len + 7) & ~7ull); }
/* A tail that was damaged is not believed: the length in 8 octets, and 32 bits of a hash. */
uint64_t recording_tail(uint64_t octets, uint64_t generation);
bool recording_tail_read(uint64_t word, uint64_t generation, uint64_t *ret_octets);
/* Where the entries of a half begin, from its beginning. */
static inline uint64_t recording_entries_at(const struct recording_half *h)
{
	return (h->image_octets + h->log_octets + 63) & ~63ull;
}
/* What a step that is about to commit has done; `from`: the tails of its rings at the last commit. */
struct recording_commit recording_sum_up(const struct step *s, const uint64_t from[STEP_LINKS]);

/* ---- the worker's side.  `r` may be NULL, and then nothing happens: taking and committing look at it before they call ---- */
struct recorder;

/* Map the file behind `fd` (borrowed), before the sandbox; its content is not looked at.
 *
 * Returns 0; -EINVAL: it is too short; -ENOMEM; -errno. */
int recorder_map(int fd, struct recorder **ret);
/* Go on where the committed steps of the file end; where those are not the arena's, or there are none, begin a half.  Call when the
 * links are attached.  After an error recorder_close is all that may follow.
 *
 * Returns 0; -EINVAL: it was made for another program; -ENOMEM. */
int recorder_begin(struct recorder *r, const struct step *s);
void recorder_close(struct recorder *r);	/* as if it had been killed; a worker just exits */
void recorder_detach(struct recorder *r, const struct step *s, unsigned l);
/* Fresh links that were so (`before`: step.fresh) and are no more. */
void recorder_settled(struct recorder *r, const struct step *s, unsigned before);
void recorder_act(struct recorder *r, const struct step *s);
void recorder_entropy(struct recorder *r, const struct step *s, struct bytes octets);
/* @kind  ENTRY_TAKE, ENTRY_SKIP (rung: which)   @position  where the record began; s says where it ended */
struct recorder_record {
	enum recording_entry_kind kind;
	unsigned link, rung;
	uint64_t position;
	struct record is;
	struct bytes payload;
};
void recorder_record(struct recorder *r, const struct step *s, const struct recorder_record *what);
/* After step_take: what it settled (fresh: step.fresh before it), and the record that it took, NULL where there was none. */
void recorder_taken(struct recorder *r, const struct step *s, unsigned fresh, const struct recorder_record *what);
/* What a program has heard from where its links do not lead: a system call's outcome, as it was.  In order with all else; before
 * the commit that depends on it.
 *
 * @what    a number of the program's, from 1 on; its name is program->own_entries[what]
 * @octets  no more than RECORD_LEN_MAX */
struct recorder_own {
	unsigned what;
	int64_t result;
	uint64_t more, also;
	struct bytes octets;
};
void recorder_own(struct recorder *r, const struct step *s, const struct recorder_own *what);
/* For such a program, before recorder_begin: halves begin between its turns alone (recorder_turned), where its state beside the
 * arena can be told.  recorder_generation: of the half in use; another one: it has begun anew, and that state has to be told. */
void recorder_by_turns(struct recorder *r);
void recorder_turned(struct recorder *r, const struct step *s);
uint64_t recorder_generation(const struct recorder *r);
/* Around step_commit: the first with all edits done, the second with none. */
void recorder_committing(struct recorder *r, const struct step *s);
void recorder_committed(struct recorder *r, const struct step *s);
/* A clean end: leave what a replay is compared with. */
void recorder_end(struct recorder *r, const struct step *s);

/* The arena that a file is for.  Its worker may be another binary than the one that makes the file: then these are its words. */
struct recording_layout {
	uint32_t version;
	uint64_t hash, image_octets;	/* arena_layout_hash, arena_image_octets */
	struct arena_limits limits;
	uint64_t config_hash;
};
struct recording_layout recording_layout_of(const struct arena_plan *plan);
/* Fills in head and check. */
struct recording_head recording_head_for(const char *core, const struct recording_layout *of, enum recording_kind kind,
    uint64_t half_octets);
/* The least that a half must have. */
uint64_t recording_half_least(const struct recording_layout *of);
