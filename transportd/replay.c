/* transportd/replay.c - a third world for the stream: the recording of one. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "base/hash.h"
#include "base/types.h"
#include "runtime/recording.h"
#include "runtime/replay.h"
#include "transportd/replay.h"
#include "transportd/stream.h"

const char *const transportd_own_entries[] = {
	"none",
#define ROW(n, name) name,
	STREAM_CALLS(ROW)
#undef ROW
	NULL
};

static struct stream stream;
static uint64_t life;			/* that the stream belongs to */
static struct replay *from;

static int refused(int64_t error)
{
	errno = (int)-error;
	return -1;
}

/* What the call said, as the system says it.  Where it said nothing that counts: try again later. */
static ssize_t said(enum stream_call call)
{
	struct recorder_own h;

	if (replay_next(from, NULL) != call)
		return refused(-EAGAIN);
	h = replay_own(from, call);
	return h.result < 0 ? refused(h.result) : h.result;
}

static int given_begin(struct stream *t, uint64_t *ret_count)
{
	struct recorder_own h = replay_own(from, CALL_BEGIN);

	(void)t;
	*ret_count = h.more;
	return (int)h.result;
}

static int given_count(struct stream *t, uint64_t *ret_count)
{
	struct recorder_own h = replay_own(from, CALL_COUNT);

	if (h.octets.len > stream_room(t))
		replay_stop(from, "more was read than there was room for");
	if (h.octets.len)
		memcpy(stream_held(t) + line_of(t->step)->held.tail, h.octets.at, h.octets.len);
	*ret_count = h.more;
	return (int)h.result;
}

static bool given_anew(struct stream *t, bool due)
{
	(void)t, (void)due;
	return replay_next(from, NULL) == CALL_BEGIN;
}

static void given_told(struct stream *t, enum stream_call call)
{
	(void)t;
	replay_own(from, call);
}

static ssize_t given_read(struct stream *t, struct msghdr *m)
{
	struct recorder_own h;

	(void)t;
	m->msg_flags = 0;
	if (replay_next(from, NULL) != CALL_READ)	/* there was nothing */
		return refused(-EAGAIN);
	h = replay_own(from, CALL_READ);
	m->msg_flags = h.more ? MSG_CTRUNC : 0;
	if (h.result < 0)
		return refused(h.result);
	if ((uint64_t)h.result != h.octets.len || h.octets.len > m->msg_iov->iov_len)
		replay_stop(from, "more was read than was asked for");
	if (h.octets.len)
		memcpy(m->msg_iov->iov_base, h.octets.at, h.octets.len);
	return h.result;
}

static ssize_t given_look(struct stream *t, uint8_t *scratch)
{
	struct recorder_own h = replay_own(from, CALL_LOOK);

	(void)t, (void)scratch;
	return h.result < 0 ? refused(h.result) : h.result;
}

/* Each takes some of `most`, once it has been found that there is something. */
static ssize_t part_of(enum stream_call call, uint32_t most)
{
	ssize_t n = (ssize_t)replay_own(from, call).result;

	if (n > (ssize_t)most)
		replay_stop(from, "a call took more than was there");
	return n < 0 ? refused(n) : n;
}

static ssize_t given_drain(struct stream *t) { return part_of(CALL_DRAIN, t->out_cap); }

static ssize_t given_fill(struct stream *t, uint32_t n)
{
	struct recorder_own h = replay_own(from, CALL_FILL);

	if (h.also != n || h.more != hash_octets(HASH_START, t->out, n))
		replay_stop(from, "the octets for the controller are others");
	return h.result < 0 ? refused(h.result) : h.result;
}

static ssize_t given_splice(struct stream *t)
{
	ssize_t n = said(CALL_SPLICE);

	if (n > (ssize_t)t->out_left)
		replay_stop(from, "a call took more than was there");
	return n;
}

static int64_t given_holds(struct stream *t)
{
	(void)t;
	return replay_own(from, CALL_HOLDS).result;
}

/* The ring of a replay is emptied at each commit: only the recording knows when there was no room. */
static bool given_lacks(void *ctx, bool lacks)
{
	struct stream *t = ctx;
	struct recorder_own h;

	t->asked++;
	if (replay_next(from, &h) != CALL_SHORT || h.result != t->asked)
		return lacks;
	replay_own(from, CALL_SHORT);
	return true;
}

static bool given_captured(struct stream *t, bool on, int *r, uint32_t *missed)
{
	struct recorder_own h;

	(void)on;
	if (replay_next(from, NULL) != CALL_CAPTURE)
		return false;
	h = replay_own(from, CALL_CAPTURE);
	t->snoop.at = h.more;
	*missed = (uint32_t)h.also;
	*r = (int)h.result;
	return true;
}

static const struct stream_os stream_os_given = {
	.begin = given_begin, .count = given_count, .anew = given_anew, .told = given_told, .read = given_read, .look = given_look,
	.drain = given_drain, .fill = given_fill, .splice = given_splice, .holds = given_holds, .lacks = given_lacks, .captured = given_captured,
};

static int host_take(void *ctx, struct record *ret, struct bytes *payload) { return replay_take(ctx, LINK_DOWN, ret, payload); }
static void host_commit(void *ctx) { replay_commit(ctx); }

/* A stream of this life, with no descriptors. */
static void new_stream(struct replay *r)
{
	stream_close(&stream);
	stream = (struct stream){ .os = &stream_os_given, .step = replay_step(r), .host = { r, host_take, host_commit, NULL },
		.fd = -1, .pipe_r = -1, .pipe_w = -1, .snoop = SNOOP_NONE };
	from = r;
	life = replay_life(r);
}

static void on_open(struct replay *r)
{
	struct recorder_own h = replay_own(r, CALL_OPEN);

	new_stream(r);
	if (h.result < STREAM_PIPE_MIN || h.result > INT32_MAX)
		replay_stop(r, "its pipe cannot have had that size");
	if (stream_begin(&stream, (int)h.result) < 0)
		replay_stop(r, "the stream cannot be opened");
}

/* In the middle of a life. */
static void go_on(struct replay *r, const struct recorder_own *h)
{
	new_stream(r);
	if (h->more <= LINE_BODY_MAX || h->more > STREAM_BATCH || h->result < 0 || (uint64_t)h->result > h->more)
		replay_stop(r, "its pipe cannot have held that");
	if (stream_buffers(&stream, (uint32_t)h->more) < 0)
		replay_stop(r, "what it has of a packet cannot be");
	stream.out_left = (uint32_t)h->result;
	stream.snoop.at = h->also;
}

static void on_tell(struct replay *r)
{
	struct recorder_own h = replay_own(r, CALL_TELL);
	struct step *s = replay_step(r);
	uint32_t which = (uint32_t)h.result;

	if (!which || which & ~line_of(s)->owed || (which & LINE_TELL_HOSTD && !step_linked(s, LINK_DOWN)) ||
	    (which & LINE_TELL_SUPERVISOR && !step_linked(s, LINK_SUPERVISOR)))
		replay_stop(r, "it told what it did not owe");
	line_say(s, which);
	replay_commit(r);
}

static void on_in(unsigned next, const struct recorder_own *h)
{
	stream.readable = true;
	stream.unframed = next == CALL_FRAME;
	stream.ring_full = false;
	stream.ending = next == CALL_LOOK || (next == CALL_READ && h->also);
	if (stream_in(&stream) < 0)
		replay_stop(from, "the socket of the controller fails");
}

static void on_out(void)
{
	stream.writable = true;
	if (stream_out(&stream) < 0)
		replay_stop(from, "the pipe to the controller fails");
}

void transportd_replay(struct replay *r)
{
	struct recorder_own h;
	unsigned next = replay_next(r, &h);

	if (next == CALL_OPEN) {
		on_open(r);
		return;
	}
	if (next == CALL_TELL) {
		on_tell(r);
		return;
	}
	if (next == CALL_RESUME) {
		replay_own(r, CALL_RESUME);
		go_on(r, &h);
		return;
	}
	if (life != replay_life(r))	/* a quarantine file: nothing but the record */
		go_on(r, &(struct recorder_own){ .more = STREAM_BATCH });
	if (next == CALL_READ || next == CALL_FRAME || next == CALL_MOVE || next == CALL_LOOK)
		on_in(next, &h);
	else if (next == CALL_CAPTURE)
		stream_capture_end(&stream);
	else
		on_out();
}
