/* shm/ring.h - one-way queue of records between two processes: single producer, single consumer, no lock.
 *
 * Each side of a link owns one region, writable by it alone; the other side maps it read-only:
 *
 *   region of A    | tail, wait   | head, wait   | data ...      |
 *                    ring A to B    ring B to A    ring A to B
 *
 * so the ring A to B is made of A's tail and data, and of B's head.  Lines of different writers are 128 octets apart.
 * Positions count octets since the ring was made and never wrap: a position is a sequence number.  A record is a header
 * (base/record.h) and its payload, 8-aligned; it never straddles the end: a pad record fills up.
 *
 * `wait` of the tail line: the producer sleeps until the consumer's head is past it; of the head line: the consumer sleeps
 * until the producer's tail is past it.  The other side kicks if its publishing passes that position (event index: one
 * writer a word, disarmed by itself).
 *
 * Guarantees: everything read from the other side is read once, checked, then used; geometry comes from the private handle.
 * Refuses: a position or a header that lies (RING_CORRUPT): stop using the ring; nothing is repaired in place. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "base/record.h"

struct ring_line { _Alignas(128) _Atomic uint64_t pos; _Atomic uint64_t wait; };
struct ring_region {			/* shared; one side's */
	struct ring_line tail;		/* of the ring that this side produces */
	struct ring_line head;		/* of the ring that this side consumes */
	_Alignas(128) _Atomic uint64_t words[];
};
struct ring {				/* private handle */
	_Atomic uint64_t *out;		/* data, as its producer; NULL in a consumer */
	const _Atomic uint64_t *in;	/* data, as its consumer; NULL in a producer */
	struct ring_line *mine;		/* what we write */
	const struct ring_line *theirs;	/* what the other side writes */
	uint64_t size;			/* octets of data, a power of two */
	uint64_t at;			/* where we write or read next; runs ahead of what is published */
	uint64_t peer;			/* the other side's position when last looked at */
	uint64_t pub;			/* our position as last published */
};
enum { RING_EMPTY = 1, RING_CORRUPT = 2 };
enum { RING_SIZE_MIN = 4096, RING_SIZE_DEFAULT = 256 * 1024 };

/* The longest payload that a ring of `size` octets carries: an eighth of it, header included. */
static inline uint32_t ring_payload_max(uint64_t size) { return (uint32_t)(size / 8) - RECORD_HEADER; }
/* Octets of a region whose own ring has `size` octets of data. */
static inline size_t ring_region_size(uint64_t size) { return sizeof(struct ring_region) + size; }

/* A producer's handle on its own region and the other side's, at position `at`; `at` must be this side's committed one. */
static inline struct ring ring_producer(struct ring_region *mine, const struct ring_region *theirs, uint64_t size, uint64_t at)
{
	uint64_t head = atomic_load_explicit(&theirs->head.pos, memory_order_acquire);

	if (at - head > size || (head & 7))	/* a lie: see nothing free until it tells the truth */
		head = at - size;
	return (struct ring){ mine->words, NULL, &mine->tail, &theirs->head, size, at, head, ~at };
}
static inline struct ring ring_consumer(struct ring_region *mine, const struct ring_region *theirs, uint64_t size, uint64_t at)
{
	return (struct ring){ NULL, theirs->words, &mine->head, &theirs->tail, size, at, at, ~at };
}

/* Is the other side's head one that it cannot have: between two records, past what we wrote, or behind where it was? */
static inline bool ring_head_lies(const struct ring *r)
{
	uint64_t head = atomic_load_explicit(&r->theirs->pos, memory_order_acquire);

	return (head & 7) || r->at - head > r->size || (int64_t)(head - r->peer) < 0;
}

/* Octets that may still be written; the other side's head is looked at again only when `want` is not met. */
static inline uint64_t ring_room(struct ring *r, uint64_t want)
{
	uint64_t head;

	if (r->size - (r->at - r->peer) < want) {
		head = atomic_load_explicit(&r->theirs->pos, memory_order_acquire);
		if (r->at - head <= r->size && !(head & 7) && (int64_t)(head - r->peer) >= 0)
			r->peer = head;
	}
	return r->size - (r->at - r->peer);
}

/* Room for a payload of up to `cap` octets at the next record; NULL when full.  Nothing is visible yet. */
static inline uint8_t *ring_reserve(struct ring *r, uint32_t cap)
{
	uint64_t need = record_octets(cap), off = r->at & (r->size - 1), pad = r->size - off < need ? r->size - off : 0;

	if (ring_room(r, need + pad) < need + pad)
		return NULL;
	if (pad) {
		atomic_store_explicit(&r->out[off / 8], record_word((struct record){ .kind = RECORD_PAD }), memory_order_relaxed);
		r->at += pad;
	}
	return (uint8_t *)(uintptr_t)r->out + (r->at & (r->size - 1)) + RECORD_HEADER;
}
/* The payload of h.len <= cap octets is in place: write its header and move on. */
static inline void ring_push(struct ring *r, struct record h)
{
	uint64_t word = (r->at & (r->size - 1)) / 8;

	atomic_store_explicit(&r->out[word], record_word(h), memory_order_relaxed);
	atomic_store_explicit(&r->out[word + 1], h.time_ns, memory_order_relaxed);
	r->at += record_octets(h.len);
}

/* The header at offset `off`, checked against `avail` octets and `cap`; RING_CORRUPT if it lies. */
static inline int ring_header(const struct ring *r, uint64_t off, uint64_t avail, uint32_t cap, struct record *ret)
{
	uint64_t word = atomic_load_explicit(&r->in[off / 8], memory_order_relaxed);
	struct record h = record_from(word, 0);

	if (h.kind == RECORD_PAD || h.len > cap || record_octets(h.len) > avail || record_octets(h.len) > r->size - off)
		return RING_CORRUPT;
	h.time_ns = atomic_load_explicit(&r->in[off / 8 + 1], memory_order_relaxed);
	*ret = h;
	return 0;
}

/* Copies the next record out.
 *
 * @buf, @cap  where its payload goes; a longer one is corrupt
 *
 * Returns 0, RING_EMPTY, RING_CORRUPT (and then changes nothing). */
static inline int ring_take(struct ring *r, struct record *ret, uint8_t *buf, uint32_t cap)
{
	uint64_t avail, off, tail, pad = 0;

	if (r->at == r->peer) {
		tail = atomic_load_explicit(&r->theirs->pos, memory_order_acquire);
		if (tail - r->at > r->size || (tail & 7))
			return RING_CORRUPT;
		r->peer = tail;
		if (tail == r->at)
			return RING_EMPTY;
	}
	avail = r->peer - r->at;
	off = r->at & (r->size - 1);
	if (record_from(atomic_load_explicit(&r->in[off / 8], memory_order_relaxed), 0).kind == RECORD_PAD) {
		pad = r->size - off;
		if (pad >= avail)	/* a pad alone is never published */
			return RING_CORRUPT;
		off = 0;
	}
	if (avail - pad < RECORD_HEADER || ring_header(r, off, avail - pad, cap, ret))
		return RING_CORRUPT;
	memcpy(buf, (const uint8_t *)(uintptr_t)r->in + off + RECORD_HEADER, ret->len);
	r->at += pad + record_octets(ret->len);
	return 0;
}

/* Shows `at` to the other side.  True: it asked to be woken for a position in between, so kick it. */
static inline bool ring_publish(struct ring *r)
{
	uint64_t old = r->pub;

	if (r->at == old)
		return false;
	atomic_store_explicit(&r->mine->pos, r->at, memory_order_release);
	r->pub = r->at;
	atomic_thread_fence(memory_order_seq_cst);	/* our position before its wait word: else both sides sleep; see RINGS in docs */
	return r->at - atomic_load_explicit(&r->theirs->wait, memory_order_relaxed) - 1 < r->at - old;
}

/* Up to where the other side says that it has published; unchecked, so good for nothing but to wait for. */
static inline uint64_t ring_shown(const struct ring *r) { return atomic_load_explicit(&r->theirs->pos, memory_order_acquire); }
/* Is there more to take, or a lie to be found out by taking? */
static inline bool ring_more(const struct ring *r)
{
	return atomic_load_explicit(&r->theirs->pos, memory_order_acquire) != r->at;
}
/* About to sleep as a consumer: ask for a kick at the next record.  True: there is none, sleep; false: look again.
 * What was taken must have been published. */
static inline bool ring_sleep_empty(struct ring *r)
{
	atomic_store_explicit(&r->mine->wait, r->at, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);	/* our wait word before its tail */
	return atomic_load_explicit(&r->theirs->pos, memory_order_acquire) == r->at;
}
/* About to sleep as a producer that lacks room: ask for a kick when half of the ring is free.  True: sleep; false: look again. */
static inline bool ring_sleep_full(struct ring *r)
{
	uint64_t head;

	atomic_store_explicit(&r->mine->wait, r->at - r->size / 2 - 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	head = atomic_load_explicit(&r->theirs->pos, memory_order_acquire);
	return r->at - head > r->size / 2 || (head & 7);	/* a lie: ring_room does not believe it either */
}
