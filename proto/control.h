/* proto/control.h - control frames with descriptors over SOCK_SEQPACKET.
 *
 * One datagram is one Frame (proto/control.proto) of at most CONTROL_FRAME_MAX octets.  A link owns its socket, stamps
 * serials, and keeps what the socket does not take at once in a bounded queue.  Nothing here blocks.
 *
 *   Hello m = CONTROL_INIT(HELLO);
 *   m.role = "hostd"; ...
 *   Frame f = CONTROL_FRAME(HELLO, hello, &m);
 *   r = control_send(&link, &f, NULL, 0);
 *
 * Strings that are handed in are only read; protobuf-c has no const for them: CONTROL_STR().
 *
 * Guarantees: a datagram's size and its descriptors are checked before it is unpacked; received descriptors are close-on-exec,
 * and each one that its handler did not take is closed; a link that was refused something can be closed and leaks nothing.
 * Refuses: frames that are too long, cut, no protobuf, without body; descriptors in another number than the message has; a
 * reader that does not read (its queue is full: -ENOBUFS, close it).
 * Does not log, does not look into the fields: strings are the other side's and unchecked. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/bytes.h"
#include "proto/control.pb-c.h"

enum {
	CONTROL_PROTOCOL = 1,
	/* What a supervisor and its worker agree on, who may be of two builds: their frames, the records of all links, stats.h. */
#ifndef TREFOIL_TEST_PROTOCOL
	CONTROL_WORKER_PROTOCOL = 2,
#else
	CONTROL_WORKER_PROTOCOL = TREFOIL_TEST_PROTOCOL,	/* a build that tests a refusal */
#endif
	CONTROL_FRAME_MAX = 64 * 1024,
	CONTROL_FDS_MAX = 16,
	CONTROL_QUEUE_FRAMES = 64, CONTROL_QUEUE_OCTETS = 1024 * 1024,
	CONTROL_PART_MAX = 32 * 1024,		/* octets of text and body in a part of a reply */
	CONTROL_ID_LEN = 16,
	CONTROL_TURN = 64,			/* frames that control_receive_all handles in one go */
};

/* One row a message: name of the oneof case, field, handler slot, type, init prefix, least and most descriptors. */
#define CONTROL_MESSAGES(ROW) \
	ROW(HELLO, hello, Hello, HELLO, 0, 0) \
	ROW(LINK_OFFER, link_offer, LinkOffer, LINK_OFFER, 0, 2) \
	ROW(ATTACH, attach, Attach, ATTACH, 4, 4) \
	ROW(DETACH, detach, Detach, DETACH, 0, 0) \
	ROW(START, start, Start, START, 0, CONTROL_FDS_MAX) \
	ROW(READY, ready, Ready, READY, 0, 0) \
	ROW(WORKER_DIED, worker_died, WorkerDied, WORKER_DIED, 0, 0) \
	ROW(WORKER_RESTARTED, worker_restarted, WorkerRestarted, WORKER_RESTARTED, 0, 0) \
	ROW(DRAIN, drain, Drain, DRAIN, 0, 0) \
	ROW(RESTART, restart, Restart, RESTART, 0, 0) \
	ROW(FD_STORED, fd_stored, FdStored, FD_STORED, 0, 0) \
	ROW(CONFIGURATION, configuration, Configuration, CONFIGURATION, 0, 0) \
	ROW(STATUS_REQUEST, status_request, StatusRequest, STATUS_REQUEST, 0, 0) \
	ROW(STATUS, status, Status, STATUS, 0, 0) \
	ROW(STATISTICS_REQUEST, statistics_request, StatisticsRequest, STATISTICS_REQUEST, 0, 0) \
	ROW(STATISTICS, statistics, Statistics, STATISTICS, 1, 1) \
	ROW(OPERATOR_REQUEST, operator_request, OperatorRequest, OPERATOR_REQUEST, 0, 0) \
	ROW(OPERATOR_REPLY, operator_reply, OperatorReply, OPERATOR_REPLY, 0, 0) \
	ROW(FAILED, failed, Failed, FAILED, 0, 0) \
	ROW(DONE, done, Done, DONE, 0, 0) \
	ROW(PROBE, probe, Probe, PROBE, 1, 1) \
	ROW(PROBED, probed, Probed, PROBED, 0, 0) \
	ROW(MIGRATED, migrated, Migrated, MIGRATED, 0, 0) \
	ROW(SWITCHED, switched, Switched, SWITCHED, 0, 0)

typedef Trefoil__Control__V1__Frame Frame;
#define ROW(CASE, field, type, INIT, least, most) typedef Trefoil__Control__V1__##type type;
CONTROL_MESSAGES(ROW)
#undef ROW
typedef Trefoil__Control__V1__Skip Skip;
typedef Trefoil__Control__V1__LinkStatus LinkStatus;

/* A frame around message *msg (borrowed); CASE and field as in CONTROL_MESSAGES. */
#define CONTROL_FRAME(CASE, f_, msg) (Frame){ \
	.base = PROTOBUF_C_MESSAGE_INIT(&trefoil__control__v1__frame__descriptor), \
	.body_case = TREFOIL__CONTROL__V1__FRAME__BODY_##CASE, .f_ = (msg) }
#define CONTROL_INIT(NAME) TREFOIL__CONTROL__V1__##NAME##__INIT	/* Hello m = CONTROL_INIT(HELLO); LINK_STATUS, too */
#define CONTROL_CASE(CASE) TREFOIL__CONTROL__V1__FRAME__BODY_##CASE
#define CONTROL_STR(s) ((char *)(uintptr_t)(s))
/* Detach.why, of a worker to its supervisor. */
#define DETACH_LIED "its ring lied"
#define DETACH_STILL "it takes nothing"

struct control_out {			/* a frame that waits for room in the socket */
	struct control_out *next;
	size_t len;
	unsigned fd_count;
	int fds[CONTROL_FDS_MAX];	/* duplicates */
	uint8_t at[];
};
struct control_link {
	int fd;				/* owned; poll it for reading, and for writing while control_pending() */
	uint64_t serial;		/* of the last frame that we sent of our own */
	struct control_out *first, **last;
	size_t queued;			/* octets */
	unsigned frames;
	uint64_t sent, received, refused;
};
#define CONTROL_LINK_NONE { .fd = -1 }

/* What a handler is given. */
struct control_in {
	struct control_link *link;	/* where to answer */
	const Frame *frame;		/* lives until the handler returns */
	int fds[CONTROL_FDS_MAX];
	unsigned fd_count;		/* as many as the message has to have */
};
/* Take descriptor i: the handler's from now on. */
static inline int control_take_fd(struct control_in *in, unsigned i)
{
	int fd = in->fds[i];

	in->fds[i] = -1;
	return fd;
}

/* Handlers are per process and per kind of peer.  A slot left NULL answers Failed with -EOPNOTSUPP; so does a handler that
 * returns that.  Else a handler returns 0: done; < 0 -errno: the link is to be dropped (control_receive passes it on). */
struct control_handlers {
#define ROW(CASE, field, type, INIT, least, most) int (*on_##field)(void *self, struct control_in *in, const type *m);
	CONTROL_MESSAGES(ROW)
#undef ROW
};
enum { CONTROL_EMPTY = 1, CONTROL_CLOSED = 2 };

/* @fd  taken: a connected SOCK_SEQPACKET socket; it is made non-blocking.  Returns 0, -errno (fd closed). */
int control_open(struct control_link *c, int fd);
void control_close(struct control_link *c);		/* CONTROL_LINK_NONE is fine; may be repeated */

/* Send a frame, or queue it.
 *
 * @f    serial 0: stamped with the link's next one
 * @fds  borrowed; the caller may close them at once
 *
 * Returns 0; -EMSGSIZE (a frame over CONTROL_FRAME_MAX), -EINVAL (too many descriptors or not this message's number):
 * nothing was sent, the link is well; -ENOBUFS (the other side does not read), -EPIPE, other -errno: close the link. */
int control_send(struct control_link *c, const Frame *f, const int *fds, unsigned fd_count);
/* Send what is queued.  Returns 0 (all, or as much as goes now), -errno: close the link. */
int control_flush(struct control_link *c);
static inline bool control_pending(const struct control_link *c) { return c->first != NULL; }

/* Receive and handle one frame.
 *
 * Returns 0; CONTROL_EMPTY: none there; CONTROL_CLOSED: the other side has closed; -EMSGSIZE, -EBADMSG, -EPROTO (size, protobuf,
 * descriptors: the frame was refused, all of its descriptors closed) or the handler's -errno: drop the link. */
int control_receive(struct control_link *c, const struct control_handlers *h, void *self);
/* control_receive until CONTROL_EMPTY, or CONTROL_TURN frames: who polls for readiness (not for edges) is called again, and
 * has looked at others in between.  Returns 0, CONTROL_CLOSED, -errno. */
int control_receive_all(struct control_link *c, const struct control_handlers *h, void *self);
/* For programs without a loop (cli): wait until there is something to receive, sending what is queued meanwhile.
 * Returns 0, -ETIMEDOUT, -errno. */
int control_wait(struct control_link *c, int timeout_ms);

/* The datagram's octets and descriptors to its handler; for tests and fuzzers.  @in: link may be NULL (then nothing is
 * answered, and -EOPNOTSUPP comes back); descriptors in it are taken.  Returns 0, -EMSGSIZE, -EBADMSG, -EPROTO, the handler's. */
int on_control_frame(const struct control_handlers *h, void *self, struct control_in *in, struct bytes raw);

/* Underneath: is this the message's number of descriptors?  Close what is not -1. */
bool control_frame_ok(const Frame *f, unsigned fd_count);
void control_close_fds(int *fds, unsigned count);

/* Answers.  @serial: the request's (in->frame->serial).  Return as control_send. */
int control_fail(struct control_link *c, uint64_t serial, int error, const char *why);
int control_done(struct control_link *c, uint64_t serial, const char *text);
int control_hello(struct control_link *c, const char *role, uint32_t generation);
/* Is this a Hello that we can talk to?  0; -EPROTO: answered with Failed that names both numbers: close. */
int control_check_hello(struct control_link *c, uint64_t serial, const Hello *m);
/* An OperatorReply in as many parts as its body needs.  @id: 16 octets.  @text: NULL: none; in the first part. */
int control_reply(struct control_link *c, uint64_t serial, struct bytes id, uint32_t result, const char *text, struct bytes body);
