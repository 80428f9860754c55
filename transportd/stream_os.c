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

static int os_begin(struct stream *t, uint64_t *ret_base) { return t->kind->begin(t->fd, ret_base); }
static int os_left(struct stream *t, uint32_t *ret_left) { return t->kind->left(t->fd, line_of(t->step), ret_left); }
static int os_mark(struct stream *t, uint32_t n) { return t->kind->mark(t->fd, n); }

static ssize_t os_peek(struct stream *t, struct msghdr *m)
{
	return recvmsg(t->fd, m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
}

static ssize_t os_discard(struct stream *t, uint8_t *scratch, uint32_t n)
{
	return recv(t->fd, scratch, n, MSG_DONTWAIT | t->kind->discard);
}

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
	.begin = os_begin, .left = os_left, .mark = os_mark, .peek = os_peek, .discard = os_discard, .drain = os_drain, .fill = os_fill,
	.splice = os_splice, .holds = os_holds,
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

static int noted_begin(struct stream *t, uint64_t *ret_base)
{
	int r = os_begin(t, ret_base);

	note(t, (struct stream_heard){ .call = CALL_BEGIN, .result = r, .more = *ret_base });
	return r;
}

static int noted_left(struct stream *t, uint32_t *ret_left)
{
	int r;

	*ret_left = 0;
	r = os_left(t, ret_left);
	note(t, (struct stream_heard){ .call = CALL_LEFT, .result = r, .more = *ret_left });
	return r;
}

static int noted_mark(struct stream *t, uint32_t n)
{
	int r = os_mark(t, n);

	note(t, (struct stream_heard){ .call = CALL_MARK, .result = r });
	return r;
}

static ssize_t noted_peek(struct stream *t, struct msghdr *m)
{
	ssize_t n = os_peek(t, m);

	t->asked = 0;
	return said(t, n, (struct stream_heard){ .call = CALL_PEEK, .more = n > 0 && m->msg_flags & MSG_CTRUNC, .also = t->ending,
	    .octets = { m->msg_iov->iov_base, n > 0 ? (size_t)n : 0 } });
}

static ssize_t noted_discard(struct stream *t, uint8_t *scratch, uint32_t n)
{
	return said(t, os_discard(t, scratch, n), (struct stream_heard){ .call = CALL_DISCARD });
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

static int noted_captured(struct stream *t, int r, uint32_t *missed)
{
	if (r || t->snoop.at != t->capture_at)
		note(t, (struct stream_heard){ .call = CALL_CAPTURE, .result = r, .more = t->snoop.at, .also = *missed });
	t->capture_at = t->snoop.at;
	return r;
}

const struct stream_os stream_os_recorded = {
	.begin = noted_begin, .left = noted_left, .mark = noted_mark, .peek = noted_peek, .discard = noted_discard, .drain = noted_drain,
	.fill = noted_fill, .splice = noted_splice, .holds = noted_holds, .lacks = noted_lacks, .captured = noted_captured,
};
