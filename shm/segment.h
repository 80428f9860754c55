/* shm/segment.h - a sealed memfd, mapped once.
 *
 * The owner creates it (its size is final: F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL; its pages are there: no SIGBUS later)
 * and hands others a descriptor that can only read (segment_reader_fd).  Both ends check size and seals before they map.
 *
 * Guarantees: a mapping never shrinks under its user; a page before and one after it are there and cannot be touched, so that what
 * runs over an end dies there (SIGSEGV) instead of reaching other memory.  Refuses: a size or seals that were not agreed.
 * F_SEAL_FUTURE_WRITE is not used on purpose: it would refuse the restarted owner too. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct segment { int fd; void *at; size_t len; };
#define SEGMENT_NONE { -1, NULL, 0 }
enum { SEGMENT_E_MISSHAPEN = 1 };

/* Create a sealed segment of `len` octets, zeroed, mode 0600, and map it read-write.
 *
 * @name  shown in /proc; copied
 * @len   octets; rounded up to whole pages
 * @ret   set on success only; owns its fd
 *
 * Returns 0, -errno. */
int segment_create(const char *name, size_t len, struct segment *ret);

/* Map fd's first `len` octets (rounded up to whole pages).
 *
 * @fd        taken: closed by segment_close, and on failure too
 * @writable  map read-write; else read-only
 * @ret       set on success only
 *
 * Returns 0; SEGMENT_E_MISSHAPEN if the other side sized or sealed it wrongly; -errno. */
int segment_attach(int fd, size_t len, bool writable, struct segment *ret);

/* Open the same memory again, for reading only: what a neighbour is given.
 * Returns a new descriptor (the caller's, close-on-exec), -errno. */
int segment_reader_fd(const struct segment *s);

/* Octets that a segment for `len` octets has: whole pages. */
size_t segment_round(size_t len);

void segment_close(struct segment *s);		/* unmaps and closes; SEGMENT_NONE is fine; may be repeated */
