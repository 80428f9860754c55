/* shm/stats.h - what a worker shows to observers: its counters, and where it is.
 *
 * One segment, written by the worker alone, mapped read-only by its supervisor and by whoever is given the descriptor.
 * The core's counters are copied from the arena after each commit, so they survive restarts and count no step twice.  The
 * shell's are the worker's own doings and count on over restarts as well.  Reading costs the worker nothing.
 *
 * The flight words say what the worker was at when it died.  They are hints for the ledger of strikes, not state: written
 * before each record, never rolled back. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>
#include "shm/step.h"

#define SHELL_COUNTERS(ROW) \
	ROW(steps) ROW(records) ROW(acts) ROW(sleeps) ROW(kicks) ROW(full) ROW(recoveries) ROW(rolled_back) \
	ROW(records_sup) ROW(records_up) ROW(records_down)	/* by enum step_link_role */
enum shell_counter {
#define ROW(n) SHELL_##n,
	SHELL_COUNTERS(ROW)
#undef ROW
	SHELL_COUNTER_COUNT
};

enum { FLIGHT_NONE = 0, FLIGHT_ACT = 0xFF };	/* what: link + 1, or no record, or on_time */
struct stats {
	_Alignas(64) _Atomic uint64_t core[COUNTERS];
	_Alignas(64) _Atomic uint64_t shell[SHELL_COUNTER_COUNT];
	_Alignas(64) _Atomic uint64_t what;			/* FLIGHT_NONE, FLIGHT_ACT, link + 1 */
	_Atomic uint64_t position;				/* of the record that is being handled */
	_Atomic uint64_t header;				/* its first word */
	_Atomic uint64_t furthest[STEP_LINKS];			/* past the last record that this step has taken */
	_Atomic uint64_t now_ns;				/* its time: step.now_ns */
};

/* Bytes to create a stats segment with. */
static inline size_t stats_size(void) { return sizeof(struct stats); }
/* Copy those of the core's counters that have changed, as committed. */
void stats_show(struct stats *st, struct step *s);
static inline void stats_add(struct stats *st, enum shell_counter c, uint64_t n)
{
	atomic_store_explicit(&st->shell[c], atomic_load_explicit(&st->shell[c], memory_order_relaxed) + n, memory_order_relaxed);
}
/* About to handle a record; position: where it begins in the ring of link l. */
static inline void stats_flight(struct stats *st, unsigned l, uint64_t position, struct record h, uint64_t past)
{
	atomic_store_explicit(&st->position, position, memory_order_relaxed);
	atomic_store_explicit(&st->header, record_word(h), memory_order_relaxed);
	atomic_store_explicit(&st->furthest[l], past, memory_order_relaxed);
	atomic_store_explicit(&st->what, l + 1, memory_order_release);
}
static inline void stats_flight_none(struct stats *st) { atomic_store_explicit(&st->what, FLIGHT_NONE, memory_order_release); }
const char *stats_shell_name(unsigned c);	/* NULL past the end */
