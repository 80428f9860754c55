/* transportd/stream_out.c - from hostd's ring to the controller's socket.  stream.h has the order, and why no other holds. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "base/types.h"
#include "transportd/host_port.h"
#include "transportd/stream.h"

/* What lies in the pipe was never committed: away with it, its records come again. */
static int pipe_empty(struct stream *t)
{
	int64_t n;
	ssize_t r;

	while ((n = t->os->holds(t)) > 0) {
		r = t->os->drain(t);
		if (r < 0 && errno != EINTR)
			return -errno;
	}
	return (int)n;
}

static void window_close(struct stream *t)
{
	line_change(t->step)->out_pending = 0;
	t->host.commit(t->host.ctx);
}

int stream_out_recover(struct stream *t)
{
	const struct line *l = line_of(t->step);
	int64_t n;

	if (!l->out_pending)
		return pipe_empty(t);
	n = t->os->holds(t);
	if (n < 0)
		return (int)n;
	if (n > l->out_pending) {		/* nobody but us writes into it */
		line_change(t->step)->out_unknown = l->out_pending;
		step_count(t->step, LINE_windows_unknown, 1);
		step_count(t->step, LINE_unknown_octets, l->out_pending);
		line_end(t->step, "the pipe to the controller holds octets that nobody sent: framing is lost");
		window_close(t);
		shutdown(t->fd, SHUT_RDWR);
		return 0;
	}
	t->resumed_out = l->out_pending;
	step_count(t->step, LINE_windows_resumed, 1);
	t->out_left = (uint32_t)n;
	if (!n)
		window_close(t);
	else
		t->host.commit(t->host.ctx);
	return 0;
}

/* From the pipe into the socket, as far as it goes.  Returns 0: blocked or gone; 1: the pipe is empty and the window closed. */
static int flush(struct stream *t)
{
	while (t->out_left) {
		ssize_t n = t->os->splice(t);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			t->writable = false;
			return 0;
		}
		if (n <= 0) {
			t->out_left = 0;
			stream_gone(t, n ? errno : EPIPE, false);
			return 0;
		}
		t->out_left -= (uint32_t)n;
	}
	window_close(t);
	return 1;
}

/* Records into t->out as H4, as many as this step may take.  Returns octets. */
static uint32_t gather(struct stream *t, struct host_port_tally *tally)
{
	uint64_t time_us = snoop_on(&t->snoop) ? stream_realtime_us() : 0;
	struct bytes body;
	struct record h;
	uint32_t used = 0;

	while (t->out_cap - used > LINE_BODY_MAX && !t->host.take(t->host.ctx, &h, &body)) {
		if (body.len > LINE_BODY_MAX || !h4_from_host(h.kind, body)) {
			step_count(t->step, LINE_bad_records, 1);
			continue;
		}
		t->out[used] = h.kind;
		memcpy(t->out + used + 1, body.at, body.len);
		used += 1 + (uint32_t)body.len;
		tally->packets[h.kind]++;
		tally->octets[h.kind] += body.len;
		snoop_add(&t->snoop, SNOOP_SENT, h.kind, body, time_us);
	}
	return used;
}

/* The line has ended: what hostd still sends goes nowhere, so that its ring does not stand. */
static int swallow(struct stream *t)
{
	struct bytes body;
	struct record h;
	int n = 0;

	while (!t->host.take(t->host.ctx, &h, &body)) {
		step_count(t->step, LINE_discarded_line_down, 1);
		n = 1;
	}
	t->host.commit(t->host.ctx);
	return n;
}

int stream_out(struct stream *t)
{
	struct host_port_tally tally = { 0 };
	uint32_t used;
	ssize_t n;
	bool moved;

	if (line_of(t->step)->state == LINE_DOWN)
		return swallow(t);
	if (t->out_left)
		return t->writable ? flush(t) || line_of(t->step)->state == LINE_DOWN : 0;
	used = gather(t, &tally);
	if (!used) {
		moved = t->step->moved;		/* nothing but records that are dropped */
		t->host.commit(t->host.ctx);
		return moved;
	}
	/* Into an empty pipe, no more than it has pages: all or, by a kill, nothing that counts. */
	n = t->os->fill(t, used);
	if (n != (ssize_t)used)
		return n < 0 ? -errno : -EPROTO;
	line_change(t->step)->out_pending = used;
	line_change(t->step)->out_octets += used;
	host_port_count(t->step, &tally, LINE_out_command_packets, LINE_out_command_octets);
	step_count(t->step, LINE_out_batches, 1);
	t->host.commit(t->host.ctx);
	t->out_left = used;
	stream_capture_end(t);
	flush(t);
	return 1;
}
