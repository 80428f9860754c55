/* transportd/stream_in.c - from the controller's socket to hostd's ring.  stream.h has the order, and why no other holds. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "base/types.h"
#include "transportd/host_port.h"
#include "transportd/stream.h"

/* One batch: what was peeked, and how far it was understood. */
struct batch {
	uint32_t len;			/* octets in t->in: the partial packet and what was peeked */
	uint32_t pos;			/* of them, in whole packets that are dealt with */
	int end;			/* why framing stopped: H4_MORE, H4_BAD_TYPE, H4_TOO_LONG, HOST_PORT_FULL */
	struct h4_packet last;		/* the packet it stopped at */
	struct host_port_tally tally;
};

/* Take `n` octets that are known to be there out of the socket.  Returns 0; -errno: the socket is dead. */
static int discard(struct stream *t, uint32_t n)
{
	while (n) {
		/* The scratch behind the partial packet is free: its content is framed, or will be peeked again. */
		ssize_t r = t->os->discard(t, t->in + t->have, MIN(n, (uint32_t)STREAM_PEEK));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -EPIPE;
		n -= (uint32_t)r;
	}
	return 0;
}

/* The packets are in the ring, committed with the window: now out of the socket with them. */
static void close_window(struct stream *t, uint32_t left)
{
	int r = discard(t, left);

	if (r < 0) {
		stream_gone(t, -r, false);
		return;
	}
	line_change(t->step)->in_pending = 0;
	line_change(t->step)->snoop_at = t->snoop.at;
	t->host.commit(t->host.ctx);
}

static void unresolved(struct stream *t)
{
	struct line *l = line_change(t->step);

	l->in_unknown = l->in_pending;
	step_count(t->step, LINE_windows_unknown, 1);
	step_count(t->step, LINE_unknown_octets, l->in_pending);
	line_end(t->step, "the kernel cannot tell which octets the last worker had read: framing is lost");
	t->host.commit(t->host.ctx);
	shutdown(t->fd, SHUT_RDWR);
}

int stream_in_recover(struct stream *t)
{
	const struct line *l = line_of(t->step);
	uint32_t left;
	int r;

	if (l->state != LINE_UP)
		return 0;
	r = t->os->left(t, &left);
	if (r > 0)
		unresolved(t);
	else if (r < 0)
		stream_gone(t, -r, t->have != 0);
	if (r || !l->in_pending)
		return 0;
	t->resumed_in = l->in_pending;
	step_count(t->step, LINE_windows_resumed, 1);
	close_window(t, left);
	return 0;
}

/* Packets into the ring, until something stops it.  Peeked octets that make no whole packet are taken as well. */
static void frame(struct stream *t, struct batch *b)
{
	struct host_port port = host_port_of(t->step, t->os->lacks, t);
	uint64_t time_us = snoop_on(&t->snoop) ? stream_realtime_us() : 0;

	for (;;) {
		b->end = h4_next((struct bytes){ t->in + b->pos, b->len - b->pos }, MIN(port.body_max, (uint32_t)LINE_BODY_MAX), &b->last);
		if (b->end)
			return;
		b->end = host_port_give(&port, b->last.kind, b->last.body, &b->tally);
		if (b->end)
			return;
		snoop_add(&t->snoop, SNOOP_RECEIVED, b->last.kind, b->last.body, time_us);
		b->pos += b->last.octets;
	}
}

/* The stream is not H4, or not one that can be carried.  After enter_window. */
static void misframed(struct stream *t, const struct batch *b)
{
	char why[LINE_WHY_MAX];
	uint64_t at = line_of(t->step)->in_octets - (b->pos ? 0 : t->have);

	if (b->end == H4_BAD_TYPE)
		snprintf(why, sizeof why, "controller sent no H4: type octet 0x%02X at octet %llu of its stream (wanted 02, 03, 04 or 05)",
		    b->last.kind, (unsigned long long)at);
	else
		snprintf(why, sizeof why, "controller sent a packet of type 0x%02X and %u octets at octet %llu: longest is %u",
		    b->last.kind, b->last.octets, (unsigned long long)at, LINE_BODY_MAX + 1u);
	step_count(t->step, LINE_bad_stream, 1);
	line_end(t->step, why);
}

/* What was framed, what remains of it, and the window, for the commit.  Returns octets of the window. */
static uint32_t enter_window(struct stream *t, const struct batch *b)
{
	struct line *l = line_change(t->step);
	/* The start of a packet is ours; what stopped for want of room, or is no packet, stays in the socket. */
	uint32_t taken = b->end == H4_MORE ? b->len : MAX(b->pos, t->have), old = b->pos ? 0 : t->have, window = taken - t->have;

	if (b->pos)
		fifo_pop(l, partial, NULL, t->have);
	fifo_push(t->step->arena, l, partial, t->in + b->pos + old, taken - b->pos - old);
	l->in_octets += window;
	l->in_pending = window;
	host_port_count(t->step, &b->tally, LINE_in_event_packets, LINE_in_event_octets);
	step_count(t->step, LINE_in_batches, 1);
	return window;
}

/* Octets peeked behind the partial packet.  0: nothing to be had now.
 *
 * Less than was asked for: no more octets are there, and what comes later rings the loop (LOOP_EDGE), so nobody asks only to hear
 * EAGAIN.  Two things are no octets and may have rung already: the end of the stream (ending), and descriptors that somebody
 * passes along, behind which there may be more (MSG_CTRUNC). */
static uint32_t peek(struct stream *t)
{
	struct iovec at = { t->in + t->have, STREAM_PEEK };
	struct msghdr m = { .msg_iov = &at, .msg_iovlen = 1 };
	ssize_t n;

	do
		n = t->os->peek(t, &m);
	while (n < 0 && errno == EINTR);
	t->readable = t->ending || n == STREAM_PEEK || (n > 0 && m.msg_flags & MSG_CTRUNC);
	if (n > 0)
		return (uint32_t)n;
	t->readable = t->ending = false;	/* it has come to its end, or there was none after all */
	if (n == 0 || errno != EAGAIN)
		stream_gone(t, n ? errno : 0, t->have != 0);
	return 0;
}

/* The packet at the front finds no room: note how much it needs, so that the socket is not looked at before. */
static void stop_full(struct stream *t, const struct batch *b)
{
	t->ring_full = true;
	t->in_need = host_port_need(t->step, b->last.kind, b->last.octets - 1);
}

/* Is there a reason to look at the socket? */
static bool may_read(struct stream *t)
{
	if (line_of(t->step)->state != LINE_UP || !t->readable)
		return false;
	if (t->ring_full && host_port_open(t->step) && host_port_room(t->step, t->in_need) < t->in_need)
		return false;
	t->ring_full = false;
	return true;
}

int stream_in(struct stream *t)
{
	struct batch b = { 0 };
	uint32_t window;
	int r;

	if (!may_read(t))
		return 0;
	b.len = peek(t);
	if (!b.len)
		return line_of(t->step)->state == LINE_UP ? 0 : 1;
	if (!host_port_open(t->step) && t->ending) {	/* nobody to give it to, and its sender is gone */
		stream_gone(t, 0, false);
		return 1;
	}
	if (!host_port_open(t->step)) {
		t->readable = true;
		return t->os->mark(t, 0);
	}
	b.len += t->have;
	frame(t, &b);
	if (b.end == HOST_PORT_FULL) {
		stop_full(t, &b);
		t->readable = true;		/* what is left there rings no more */
		r = t->os->mark(t, b.pos ? b.pos - t->have : 0);
		if (r < 0 || !b.pos)
			return r;
	}
	window = enter_window(t, &b);
	if (b.end == H4_BAD_TYPE || b.end == H4_TOO_LONG)
		misframed(t, &b);
	t->host.commit(t->host.ctx);
	stream_capture_end(t);
	if (line_of(t->step)->state == LINE_DOWN) {
		shutdown(t->fd, SHUT_RDWR);
		return 1;
	}
	t->have = b.end == H4_MORE ? b.len - b.pos : 0;
	memmove(t->in, t->in + b.pos, t->have);
	close_window(t, window);
	return 1;
}
