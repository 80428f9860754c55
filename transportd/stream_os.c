/* transportd/stream_os.c - the system's calls; and the same, noted. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/hash.h"
#include "base/types.h"
#include "transportd/stream.h"

/* ---- the system ---- */

static int os_begin(struct stream *t, uint64_t *ret_count) { return t->kind->begin(t->fd, ret_count); }
static int os_count(struct stream *t, uint64_t *ret_count) { return t->kind->count(t->fd, ret_count); }
static bool os_anew(struct stream *t, bool due) { (void)t; return due; }
static void os_told(struct stream *t, enum stream_call call) { (void)t, (void)call; }
static ssize_t os_read(struct stream *t, struct msghdr *m) { return recvmsg(t->fd, m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); }
static ssize_t os_look(struct stream *t, uint8_t *scratch) { return recv(t->fd, scratch, 1, MSG_PEEK | MSG_DONTWAIT); }

static ssize_t os_drain(struct stream *t) { return read(t->pipe_r, t->out, t->out_cap); }
static ssize_t os_fill(struct stream *t, uint32_t n) { return write(t->pipe_w, t->out, n); }

static ssize_t os_splice(struct stream *t)
{
	return splice(t->pipe_r, NULL, t->fd, NULL, t->out_left, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
}

static int64_t os_holds(struct stream *t)
{
	int n;

	return ioctl(t->pipe_r, FIONREAD, &n) < 0 ? -errno : n;
}

const struct stream_os stream_os_system = {
	.begin = os_begin, .count = os_count, .anew = os_anew, .told = os_told, .read = os_read, .look = os_look, .drain = os_drain,
	.fill = os_fill, .splice = os_splice, .holds = os_holds,
};

/* ---- the system, noted ---- */

static void note(struct stream *t, struct stream_heard h) { t->host.note(t->host.ctx, &h); }

/* A call's outcome; what only asks to try again has changed nothing. */
static ssize_t said(struct stream *t, ssize_t n, struct stream_heard h)
{
	int error = errno;

	if (n < 0 && (error == EINTR || error == EAGAIN))
		return n;
	h.result = n < 0 ? -error : n;
	note(t, h);
	errno = error;
	return n;
}

static int noted_begin(struct stream *t, uint64_t *ret_count)
{
	int r = os_begin(t, ret_count);

	note(t, (struct stream_heard){ .call = CALL_BEGIN, .result = r, .more = *ret_count });
	return r;
}

/* What the last worker read and did not commit was noted by nobody, or in part: it is noted here. */
static int noted_count(struct stream *t, uint64_t *ret_count)
{
	const struct line *l = line_of(t->step);
	struct stream_heard h = { .call = CALL_COUNT };
	int r;

	*ret_count = 0;
	r = os_count(t, ret_count);
	h.result = r;
	h.more = *ret_count;
	if (!r && *ret_count - (l->in_octets - l->in_base) <= stream_room(t))
		h.octets = (struct bytes){ stream_held(t) + l->held.tail, *ret_count - (l->in_octets - l->in_base) };
	note(t, h);
	return r;
}

static void noted_told(struct stream *t, enum stream_call call) { note(t, (struct stream_heard){ .call = call }); }

static ssize_t noted_read(struct stream *t, struct msghdr *m)
{
	ssize_t n = os_read(t, m);

	return said(t, n, (struct stream_heard){ .call = CALL_READ, .more = n > 0 && m->msg_flags & MSG_CTRUNC, .also = t->ending,
	    .octets = { m->msg_iov->iov_base, n > 0 ? (size_t)n : 0 } });
}

static ssize_t noted_look(struct stream *t, uint8_t *scratch)
{
	ssize_t n = os_look(t, scratch);
	int error = errno;

	note(t, (struct stream_heard){ .call = CALL_LOOK, .result = n < 0 ? -error : n });
	errno = error;
	return n;
}

static ssize_t noted_drain(struct stream *t) { return said(t, os_drain(t), (struct stream_heard){ .call = CALL_DRAIN }); }

static ssize_t noted_fill(struct stream *t, uint32_t n)
{
	return said(t, os_fill(t, n), (struct stream_heard){ .call = CALL_FILL, .more = hash_octets(HASH_START, t->out, n), .also = n });
}

static ssize_t noted_splice(struct stream *t) { return said(t, os_splice(t), (struct stream_heard){ .call = CALL_SPLICE }); }

static int64_t noted_holds(struct stream *t)
{
	int64_t n = os_holds(t);

	note(t, (struct stream_heard){ .call = CALL_HOLDS, .result = n });
	return n;
}

static bool noted_lacks(void *stream, bool lacks)
{
	struct stream *t = stream;

	t->asked++;
	if (lacks)
		note(t, (struct stream_heard){ .call = CALL_SHORT, .result = t->asked });
	return lacks;
}

static bool noted_captured(struct stream *t, bool on, int *r, uint32_t *missed)
{
	if (on)
		note(t, (struct stream_heard){ .call = CALL_CAPTURE, .result = *r, .more = t->snoop.at, .also = *missed });
	return on;
}

const struct stream_os stream_os_recorded = {
	.begin = noted_begin, .count = noted_count, .anew = os_anew, .told = noted_told, .read = noted_read, .look = noted_look,
	.drain = noted_drain, .fill = noted_fill, .splice = noted_splice, .holds = noted_holds, .lacks = noted_lacks, .captured = noted_captured,
};
