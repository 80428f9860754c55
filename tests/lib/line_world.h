/* tests/lib/line_world.h - all that surrounds transportd's worker: a controller's socket, hostd's end of the ring, and
 * memory that outlives the worker.  The worker itself (struct line_worker) may live in this process or in a child that is killed. */
#pragma once
#include "shm/arena.h"
#include "transportd/stream.h"

enum line_socket { LINE_UNIX, LINE_TCP };

struct line_world {
	uint8_t *memory;			/* shared with children: arena, regions */
	size_t octets;
	uint64_t ring;				/* octets of each ring */
	int far;				/* the controller's end, non-blocking */
	int near, pipe_r, pipe_w;		/* what the supervisor keeps for the worker */
	struct ring host_out, host_in;		/* hostd's ends: records to transportd, records from it */
	struct ring sup_out, sup_in;
};
/* Who looks on, as a recorder does; each is called where runtime/worker*.c calls it.  `k` is a struct line_worker. */
struct line_tap {
	void (*begin)(void *k);						/* links are attached, the stream is not open */
	void (*turn)(void *k);						/* between two turns */
	void (*settled)(void *k, unsigned fresh);
	/* @rec  NULL: there was none   @at  where it began */
	void (*taken)(void *k, unsigned fresh, unsigned link, uint64_t at, const struct record *rec);
	void (*heard)(void *k, const struct stream_heard *h);
	void (*committing)(void *k);
	void (*committed)(void *k);
};
struct line_worker {
	const struct line_tap *tap;		/* NULL: nobody */
	struct arena arena;
	struct step step;
	struct stream stream;
	unsigned batch, taken;			/* records a step; taken in this one */
	bool plain;				/* no shadow: a step takes fewer instructions */
	bool forget_windows;			/* a mutant: forgets what was pending when it starts */
	uint8_t payload[1 << 16];
};

const struct arena_plan *line_plan(void);	/* of the worker's arena */
/* @ring  octets, a power of two.  Fails the test if it cannot. */
void line_world_open(struct line_world *w, enum line_socket kind, uint64_t ring);
void line_world_close(struct line_world *w);
/* Where the kernel reads octets into (line.held_octets). */
uint8_t *line_world_held(const struct line_world *w);

/* As runtime/worker.h says: recover, attach, stream_open.  `batch` and `forget_windows` are set before.  Returns what stream_open
 * returned. */
int line_worker_start(struct line_worker *k, struct line_world *w);
/* A turn of the loop: > 0 something was done, 0 nothing, < 0 -errno.  Looks at the socket whether or not a poll would say so. */
int line_worker_turn(struct line_worker *k);
/* Turns until one does nothing. */
void line_worker_settle(struct line_worker *k);
void line_worker_end(struct line_worker *k);
uint64_t line_worker_count(const struct line_worker *k, enum line_counter c);

/* hostd's side.  push: false if there is no room.  take: false if there is nothing. */
bool line_host_push(struct line_world *w, uint8_t kind, struct bytes body);
bool line_host_take(struct line_world *w, struct record *ret, uint8_t *buf, uint32_t cap);
