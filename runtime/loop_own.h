/* runtime/loop_own.h - inside of the loop: loop.c and loop_watch.c only. */
#pragma once
#include <liburing.h>
#include "runtime/loop.h"

/* What a completion says whom it is for: index | kind << 16 | life << 32. */
enum { LOOP_DATA_IGNORE = 0, LOOP_DATA_POLL = 1 };

struct loop_watch {
	loop_fn *fn;			/* NULL: free */
	void *ctx;
	int fd;
	uint32_t events;
	uint32_t life;			/* grows with each use of this place: a late completion finds nobody */
	enum loop_how how;
	bool armed;			/* a poll is in the kernel */
};
struct loop {
	struct io_uring ring;
	bool worker, sealed;
	unsigned watches;		/* places ever used: the rest need no look */
	unsigned files;
	int file[LOOP_FILES];		/* registered, by their places */
	struct loop_watch watch[LOOP_WATCHES];
};

static inline uint64_t loop_data(unsigned kind, unsigned index, uint32_t life)
{
	return index | kind << 16 | (uint64_t)life << 32;
}
struct io_uring_sqe *loop_sqe(struct loop *l);
int loop_arm_all(struct loop *l);
