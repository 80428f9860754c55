/* shm/link.h - one end of a link: our region, the other side's region (read only), and a doorbell each way.
 *
 * Each side creates its own region and its own bell and hands the other a read-only descriptor of the one and a descriptor of
 * the other.  A bell is an eventfd that is never read: each write wakes the multishot poll of its owner's loop.
 *
 * Guarantees: what is adopted from a peer is of the agreed size, sealed, mapped read-only, and the bell is an eventfd.
 * Refuses: anything else (LINK_E_PEER); the caller then drops the peer, not itself. */
#pragma once
#include <stdint.h>
#include "shm/ring.h"
#include "shm/segment.h"

enum { LINK_E_PEER = 1 };
struct link_end {
	struct segment mine, theirs;
	int bell;			/* wakes us */
	int peer_bell;			/* wakes the other side */
	uint64_t size;			/* octets of data of either ring, a power of two */
	uint32_t generation;		/* 0: none yet */
};
#define LINK_END_NONE { SEGMENT_NONE, SEGMENT_NONE, -1, -1, 0, 0 }

/* Make our half: a region for `size` octets of ring data, and our bell.
 * @name  of the memfd, copied    @ret  set on success only    Returns 0, -EINVAL (size), -errno. */
int link_end_create(const char *name, uint64_t size, struct link_end *ret);

/* Take our half from descriptors that we were given back (a restart).
 * @region, @bell  taken, on failure too    Returns 0, LINK_E_PEER (not what was made), -errno. */
int link_end_restore(int region, int bell, uint64_t size, struct link_end *ret);

/* Take the other side's half.  @region, @bell  taken, on failure too; an older half is let go.  Returns 0, LINK_E_PEER, -errno. */
int link_end_adopt(struct link_end *l, int region, int bell);

/* A holder can fill an eventfd and clear its O_NONBLOCK: then it wakes nobody any more, and a write to it may block (so it is
 * rung through the loop, loop_kick).  Once the worker that held it is gone, this makes it a bell again. */
void link_bell_restore(int bell);

/* The agreed sizes: a power of two from RING_SIZE_MIN to 16 MiB. */
bool link_size_ok(uint64_t size);
static inline struct ring_region *link_mine(const struct link_end *l) { return l->mine.at; }
static inline const struct ring_region *link_theirs(const struct link_end *l) { return l->theirs.at; }
void link_end_close(struct link_end *l);	/* LINK_END_NONE is fine; may be repeated */
