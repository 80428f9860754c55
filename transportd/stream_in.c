/* transportd/stream_in.c - from the controller's socket to hostd's ring.  stream.h has the order, and why no other holds. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "base/types.h"
#include "transportd/host_port.h"
#include "transportd/stream.h"

/* One batch: what is held, what was read behind it, and how far both were understood.  Places in line.held_octets. */
struct batch {
	uint32_t at, tail;		/* what is before `at` is dealt with, in whole packets */
	uint32_t octets;		/* that were read */
	int end;			/* why framing stopped: H4_MORE, H4_BAD_TYPE, H4_TOO_LONG, HOST_PORT_FULL */
	struct h4_packet last;		/* the packet it stopped at */
	struct host_port_tally tally;
};

uint8_t *stream_held(struct stream *t) { return (uint8_t *)(uintptr_t)line_of(t->step)->held_octets; }
uint32_t stream_room(const struct stream *t) { return MIN(LINE_HELD - line_of(t->step)->held.tail, (uint32_t)LINE_READ); }

/* Nothing was read since the last commit.  The kernel counts from 0 again; killed before the commit, it has counted 0, and
 * the next worker says so of in_base. */
static int count_anew(struct stream *t)
{
	uint64_t count;
	int r = t->os->begin(t, &count);

	if (r < 0)
		return r;
	line_change(t->step)->in_base = line_of(t->step)->in_octets - count;
	t->host.commit(t->host.ctx);
	return 0;
}

static void unresolved(struct stream *t)
{
	line_change(t->step)->in_unknown = LINE_READ;
	step_count(t->step, LINE_windows_unknown, 1);
	step_count(t->step, LINE_unknown_octets, LINE_READ);
	line_end(t->step, "the kernel cannot tell which octets the last worker had read: framing is lost");
	t->host.commit(t->host.ctx);
	shutdown(t->fd, SHUT_RDWR);
}

int stream_in_recover(struct stream *t)
{
	const struct line *l = line_of(t->step);
	uint64_t count, known = l->in_octets - l->in_base, more;
	int r;

	if (l->state != LINE_UP)
		return 0;
	t->unframed = fifo_len(l, held) != 0;
	r = t->os->count(t, &count);
	if (r < 0) {
		stream_gone(t, -r, t->unframed);
		return 0;
	}
	if (t->os->anew(t, !r && !count && known && t->kind && t->kind->span))
		return count_anew(t);
	more = count - known;
	if (r || more > stream_room(t)) {
		unresolved(t);
		return 0;
	}
	if (!more)
		return 0;
	line_change(t->step)->held.tail += (uint32_t)more;
	line_change(t->step)->in_octets += more;
	step_count(t->step, LINE_windows_resumed, 1);
	t->host.commit(t->host.ctx);
	t->resumed_in = (uint32_t)more;
	t->unframed = true;
	return 0;
}

/* Packets into the ring, until something stops it. */
static void frame(struct stream *t, struct batch *b)
{
	struct host_port port = host_port_of(t->step, t->os->lacks, t);
	uint64_t time_us = snoop_on(&t->snoop) ? stream_realtime_us() : 0;
	const uint8_t *octets = stream_held(t);

	t->asked = 0;
	for (;;) {
		b->end = h4_next((struct bytes){ octets + b->at, b->tail - b->at }, MIN(port.body_max, (uint32_t)LINE_BODY_MAX), &b->last);
		if (b->end)
			return;
		b->end = host_port_give(&port, b->last.kind, b->last.body, &b->tally);
		if (b->end)
			return;
		snoop_add(&t->snoop, SNOOP_RECEIVED, b->last.kind, b->last.body, time_us);
		b->at += b->last.octets;
	}
}

/* The stream is not H4, or not one that can be carried.  After keep. */
static void misframed(struct stream *t, const struct batch *b)
{
	char why[LINE_WHY_MAX];
	uint64_t at = line_of(t->step)->in_octets - (b->tail - b->at);

	if (b->end == H4_BAD_TYPE)
		snprintf(why, sizeof why, "controller sent no H4: type octet 0x%02X at octet %llu of its stream (wanted 02, 03, 04 or 05)",
		    b->last.kind, (unsigned long long)at);
	else
		snprintf(why, sizeof why, "controller sent a packet of type 0x%02X and %u octets at octet %llu: longest is %u",
		    b->last.kind, b->last.octets, (unsigned long long)at, LINE_BODY_MAX + 1u);
	step_count(t->step, LINE_bad_stream, 1);
	line_end(t->step, why);
}

/* What was read, and what of it is in no record yet, for the commit. */
static void keep(struct stream *t, const struct batch *b)
{
	struct line *l = line_change(t->step);

	l->in_octets += b->octets;
	l->held = b->at == b->tail ? (struct fifo){ 0 } : (struct fifo){ b->at, b->tail };
	host_port_count(t->step, &b->tally, LINE_in_event_packets, LINE_in_event_octets);
	step_count(t->step, LINE_in_batches, 1);
}

/* The start of a packet goes to the front, if it is no longer than what lies before it: both are there until the commit.  A longer one
 * stays, and there is room enough behind it. */
static void make_room(struct stream *t)
{
	struct fifo q = line_of(t->step)->held;
	uint32_t n = q.tail - q.head;

	if (!q.head || n > q.head)
		return;
	t->os->told(t, CALL_MOVE);
	memcpy(stream_held(t), stream_held(t) + q.head, n);
	line_change(t->step)->held = (struct fifo){ 0, n };
	t->host.commit(t->host.ctx);
}
_Static_assert(LINE_HELD - 2 * (LINE_BODY_MAX + 1) >= LINE_READ / 2, "room enough");

/* Octets read behind what is held.  0: nothing to be had now.
 *
 * Less than was asked for: no more octets are there, and what comes later rings the loop (LOOP_EDGE), so nobody asks only to hear
 * EAGAIN.  Two things are no octets and may have rung already: the end of the stream (ending), and descriptors that somebody
 * passes along, behind which there may be more (MSG_CTRUNC). */
static uint32_t read_some(struct stream *t)
{
	const struct line *l = line_of(t->step);
	struct iovec at = { stream_held(t) + l->held.tail, stream_room(t) };
	struct msghdr m = { .msg_iov = &at, .msg_iovlen = 1 };
	ssize_t n;

	do
		n = t->os->read(t, &m);
	while (n < 0 && errno == EINTR);
	t->readable = t->ending || t->urgent || n == (ssize_t)at.iov_len || (n > 0 && m.msg_flags & MSG_CTRUNC);
	if (n > 0)
		return (uint32_t)n;
	t->readable = t->ending = t->urgent = false;	/* it has come to its end, or there was none after all */
	if (n == 0 || errno != EAGAIN)
		stream_gone(t, n ? errno : 0, fifo_len(l, held) != 0);
	return 0;
}

/* hostd is not there.  Nothing is read, unless its sender is gone as well: then the line ends, and how is asked for. */
static int nobody_takes_it(struct stream *t)
{
	uint8_t octet;
	ssize_t n;

	if (!t->ending)
		return 0;
	n = t->os->look(t, &octet);
	stream_gone(t, n < 0 && errno != EAGAIN ? errno : 0, false);
	return 1;
}

/* The packet at the front finds no room: note how much it needs, so that the socket is not looked at before. */
static void stop_full(struct stream *t, const struct batch *b)
{
	t->ring_full = true;
	t->in_need = host_port_need(t->step, b->last.kind, b->last.octets - 1);
}

/* Is there a reason to look at what is held, or at the socket? */
static bool may_read(struct stream *t)
{
	if (line_of(t->step)->state != LINE_UP || (!t->readable && !t->unframed))
		return false;
	if (t->ring_full && host_port_open(t->step) && host_port_room(t->step, t->in_need) < t->in_need)
		return false;
	t->ring_full = false;
	return true;
}

int stream_in(struct stream *t)
{
	const struct line *l = line_of(t->step);
	struct batch b = { 0 };
	int r = 0;

	if (!may_read(t))
		return 0;
	if (!host_port_open(t->step))
		return nobody_takes_it(t);
	if (t->unframed) {
		t->os->told(t, CALL_FRAME);
	} else {
		make_room(t);
		b.octets = read_some(t);
		if (!b.octets)
			return l->state == LINE_UP ? 0 : 1;
	}
	b.at = l->held.head;
	b.tail = l->held.tail + b.octets;
	frame(t, &b);
	t->unframed = b.end == HOST_PORT_FULL;
	if (t->unframed)
		stop_full(t, &b);
	keep(t, &b);
	if (b.end == H4_BAD_TYPE || b.end == H4_TOO_LONG)
		misframed(t, &b);
	t->host.commit(t->host.ctx);
	stream_capture_end(t);
	if (l->state == LINE_DOWN)
		shutdown(t->fd, SHUT_RDWR);
	else if (t->os->anew(t, t->kind && t->kind->span && l->in_octets - l->in_base > t->kind->span / 2))
		r = count_anew(t);
	return r < 0 ? r : 1;
}
