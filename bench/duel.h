/* bench/duel.h - two processes, each on a processor of its own, that exchange messages over some medium.
 *
 *   left (this process)  ── messages ──►  right (a child)
 *                        ◄── answers ───  in a round trip
 *
 * A message is `size` octets; its first eight are its number, which the receiver checks.  Both sides copy the whole of it. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DUEL_SIZE_MAX = 1024, DUEL_MEMORY = 4 * 1024 * 1024 };

struct duel_shared {			/* seen by both */
	_Alignas(128) _Atomic uint32_t ready;
	_Alignas(128) _Atomic uint64_t end_ns, wrong, kicks;
	_Alignas(4096) uint8_t memory[DUEL_MEMORY];	/* the medium's; zero at the start */
};
struct duel {
	uint64_t messages;
	uint32_t size, batch;
	bool sleeping;				/* wait without spinning, where the medium has both */
	bool one_core;				/* both on one processor (the spinning media need two) */
	struct duel_shared *shared;
	int fd[4];				/* the medium's */
	uint32_t *trip_ns;			/* of each round trip, by left; NULL: one way */
	/* what came of it */
	double seconds;				/* from go to the last message */
	uint64_t kicks;
};
struct medium {
	const char *name;
	bool (*open)(struct duel *d);		/* before the two part; false: not here */
	void (*left)(struct duel *d), (*right)(struct duel *d);
	void (*close)(struct duel *d);		/* NULL: nothing to close */
};

/* Returns 0; -ENOTSUP: open refused; -EPROTO: a message was wrong. */
int duel_run(const struct medium *m, struct duel *d);

uint64_t duel_now_ns(void);
static inline void duel_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}
/* What every producer does with a message, and every consumer. */
static inline void duel_stamp(uint8_t *message, uint64_t number) { __builtin_memcpy(message, &number, sizeof number); }
static inline void duel_check(struct duel *d, const uint8_t *message, uint64_t number)
{
	uint64_t got;

	__builtin_memcpy(&got, message, sizeof got);
	if (got != number)
		atomic_fetch_add_explicit(&d->shared->wrong, 1, memory_order_relaxed);
}
static inline void duel_ended(struct duel *d) { atomic_store(&d->shared->end_ns, duel_now_ns()); }

extern const struct medium medium_ring, medium_ring_trip, medium_ck, medium_ck_trip, medium_pipe, medium_pipe_trip,
	medium_seqpacket, medium_seqpacket_trip, medium_futex, medium_futex_trip, medium_relay, medium_relay_step, medium_step;
