/* runtime/ledger.h - the little that a supervisor must remember over its own death.
 *
 * One sealed segment, written by the supervisor alone, handed to nobody but its next life (fd store name "ledger").  Each
 * word is meaningful on its own; what belongs together is guarded: `formed` is set last when everything was made and stored,
 * and a link's `generation` is 0 while its descriptors change.
 *
 * Refuses: a segment of another version (LEDGER_E_FOREIGN): the caller then starts cold. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "runtime/strikes.h"
#include "shm/arena.h"
#include "shm/segment.h"

enum { LEDGER_E_FOREIGN = 1, LEDGER_VERSION = 5 };

struct ledger_link {
	_Atomic uint32_t generation;	/* of the descriptors in store; 0: there is no link */
	_Atomic uint32_t highest;	/* generation ever used */
	_Atomic uint64_t size;		/* octets of data of either ring */
	_Atomic uint32_t lost;		/* the neighbour was given up: a new link when it comes back */
	uint32_t pad;
};
/* What the binary that works on an arena says of it: octets to map, octets up to the end of its slots. */
struct arena_said {
	uint64_t size, image_octets, layout_hash;
	uint32_t version, pad;
};
struct ledger {
	uint32_t magic, version;
	_Atomic uint32_t formed;	/* everything exists and is stored */
	_Atomic uint32_t ready;		/* the core has said so since the cold start */
	_Atomic uint32_t starts;	/* lives of the supervisor */
	_Atomic uint32_t restarts;	/* of the worker alone */
	_Atomic uint32_t colds;		/* cold starts after the first */
	_Atomic uint32_t worker_uid;	/* under which the worker runs where we are root; as the cold start found it */
	_Atomic uint64_t since_ns;	/* CLOCK_BOOTTIME of the first start */
	_Atomic uint64_t config_hash;	/* what the arena was made for */
	/* Two places for an arena (bit 0) and for the binary that works on it (bit 1), and which of them count: a takeover fills the
	 * others, has them held above, and then stores this word. */
	_Atomic uint32_t place;
	_Atomic uint32_t takeovers, takeovers_refused;
	uint32_t pad;
	struct arena_said arena[2];	/* of either place; changed only where it does not count */
	struct arena_limits limits;
	struct ledger_link link[STEP_LINKS];
	struct strikes strikes;
};

/* Make a new one.  *ret_segment owns it.  Returns 0, -errno. */
int ledger_create(struct segment *ret_segment, struct ledger **ret);
/* Take back the one behind `fd` (taken, on failure too).  Returns 0, LEDGER_E_FOREIGN, -errno. */
int ledger_open(int fd, struct segment *ret_segment, struct ledger **ret);

static inline uint32_t ledger_add(_Atomic uint32_t *word) { return atomic_fetch_add_explicit(word, 1, memory_order_relaxed) + 1; }
/* Restarts as `status` counts them: each time this daemon was brought back, by its supervisor or from above. */
static inline uint32_t ledger_restarts(const struct ledger *l) { return l->restarts + (l->starts ? l->starts - 1 : 0); }
/* The descriptors of a link are in store: they count from now on.  And: they no longer do (before they change). */
void ledger_link_open(struct ledger *l, unsigned link, uint32_t generation, uint64_t size);
void ledger_link_drop(struct ledger *l, unsigned link);
