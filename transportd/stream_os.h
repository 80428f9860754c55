/* transportd/stream_os.h - all that the stream hears from outside its arena and its links, in one place.
 *
 * stream_in.c, stream_out.c and stream.c ask the world through `struct stream_os` alone.  There are three of it:
 *
 *   stream_os_system     the system's calls, and nothing else
 *   stream_os_recorded   the same, and what each said goes to stream_host.note, in order with the records that were taken; before
 *                        the commit that depends on it
 *   replay.c             none of the calls: what was noted is given back
 *
 * An answer that changes nothing - there is nothing to read, no room to write, a signal came - is not noted: where a replay finds
 * no answer, that was it.  Capture writes a file and is told back only by where the file ends. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/bytes.h"

struct msghdr;
struct stream;

/* Numbers of a recording: a new one comes last. */
#define STREAM_CALLS(ROW) \
	ROW(OPEN, "open")		/* a worker's life has begun; result: octets of the pipe */ \
	ROW(RESUME, "go on")		/* a recording begins in the middle of one: out_left; more: out_cap; also: snoop.at */ \
	ROW(TELL, "tell")		/* line_say: which */ \
	ROW(BEGIN, "begin")		/* kind->begin; more: the count */ \
	ROW(COUNT, "count")		/* kind->count; more: the count; octets: those that the last worker read and did not commit */ \
	ROW(MOVE, "move")		/* what is held goes to the front */ \
	ROW(READ, "read")		/* recvmsg and its octets; more: MSG_CTRUNC came; also: ending */ \
	ROW(FRAME, "frame")		/* nothing is read: what is held is framed */ \
	ROW(LOOK, "look")		/* recv with MSG_PEEK: how has it ended? */ \
	ROW(SHORT, "no room")		/* for packet number `result` of the batch */ \
	ROW(HOLDS, "pipe holds")	/* FIONREAD */ \
	ROW(DRAIN, "drain")		/* read from the pipe */ \
	ROW(FILL, "fill")		/* write to the pipe; more: hash of the octets; also: how many */ \
	ROW(SPLICE, "splice") \
	ROW(CAPTURE, "capture")		/* snoop_flush, where capture is on; more: snoop.at; also: packets missed before */
enum stream_call {
	CALL_NONE,
#define ROW(n, name) CALL_##n,
	STREAM_CALLS(ROW)
#undef ROW
	CALL_KINDS
};
/* What was said: result (< 0: -errno) and, by call, more. */
struct stream_heard {
	enum stream_call call;
	int64_t result;
	uint64_t more, also;
	struct bytes octets;		/* borrowed */
};

struct stream_os {
	/* As struct stream_kind has them. */
	int (*begin)(struct stream *t, uint64_t *ret_count);
	int (*count)(struct stream *t, uint64_t *ret_count);
	/* Is it time to count anew?  `due` is what the socket's kind says. */
	bool (*anew)(struct stream *t, bool due);
	/* What comes now changes the arena, and has no call that would tell so. */
	void (*told)(struct stream *t, enum stream_call call);
	/* As the system call: -1 and errno. */
	ssize_t (*read)(struct stream *t, struct msghdr *m);		/* one iovec; msg_flags: MSG_CTRUNC */
	ssize_t (*look)(struct stream *t, uint8_t *scratch);
	ssize_t (*drain)(struct stream *t);				/* from the pipe to t->out */
	ssize_t (*fill)(struct stream *t, uint32_t n);			/* from t->out to the pipe */
	ssize_t (*splice)(struct stream *t);				/* up to out_left octets, from the pipe to the socket */
	int64_t (*holds)(struct stream *t);				/* octets in the pipe, or -errno */
	/* May be NULL.  Room in hostd's ring for the next packet: is there none?  `lacks` is what the ring says. */
	bool (*lacks)(void *stream, bool lacks);
	/* May be NULL.  After snoop_flush, which said *r; what had been missed before.  Returns whether capture is, or was, on. */
	bool (*captured)(struct stream *t, bool on, int *r, uint32_t *missed);
};
extern const struct stream_os stream_os_system, stream_os_recorded;
