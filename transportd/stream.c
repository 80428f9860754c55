/* transportd/stream.c - begin, end and what both directions share. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include "base/types.h"
#include "transportd/stream.h"

uint64_t stream_realtime_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

void stream_capture_end(struct stream *t)
{
	uint32_t missed = t->snoop.missed;
	bool on = snoop_on(&t->snoop);
	int r = snoop_flush(&t->snoop);

	if (t->os->captured)
		on = t->os->captured(t, on, &r, &missed);
	if (r) {
		t->snoop_error = -r;
		step_count(t->step, LINE_capture_missed, missed + 1u);
	}
	if (!on)
		return;
	line_change(t->step)->snoop_at = t->snoop.at;
	t->host.commit(t->host.ctx);
}

void stream_gone(struct stream *t, int error, bool mid_packet)
{
	char why[LINE_WHY_MAX];

	snprintf(why, sizeof why, "controller gone: %s%s", error ? strerror(error) : "it closed its socket",
	    mid_packet ? ", in the middle of a packet" : "");
	line_end(t->step, why);
	t->host.commit(t->host.ctx);
	shutdown(t->fd, SHUT_RDWR);
}

/* The first worker of this line. */
static int begin(struct stream *t)
{
	uint64_t count = 0;
	struct line *l;
	int r = t->os->begin(t, &count);

	if (r < 0)
		return r;
	l = line_change(t->step);
	l->state = LINE_UP;
	l->in_base = 0 - count;
	t->host.commit(t->host.ctx);
	return 0;
}

int stream_buffers(struct stream *t, uint32_t out_cap)
{
	t->out_cap = out_cap;
	t->out = malloc(out_cap);
	return t->out ? 0 : -ENOMEM;
}

int stream_begin(struct stream *t, int cap)
{
	int r = stream_buffers(t, MIN((uint32_t)cap, (uint32_t)STREAM_BATCH));

	if (r < 0)
		return r;
	if (line_of(t->step)->state == LINE_NEW) {
		r = begin(t);
		if (r < 0)
			return r;
	}
	if (line_of(t->step)->state == LINE_DOWN)
		return 0;
	r = stream_out_recover(t);
	return r < 0 ? r : stream_in_recover(t);
}

int stream_open(struct stream *ret, struct step *step, struct stream_host host, int fd, int pipe_r, int pipe_w)
{
	int cap = fcntl(pipe_w, F_GETPIPE_SZ);

	*ret = (struct stream){ .kind = stream_kind_of(fd), .os = host.note ? &stream_os_recorded : &stream_os_system, .step = step,
		.host = host, .fd = fd, .pipe_r = pipe_r, .pipe_w = pipe_w, .readable = true, .writable = true, .snoop = SNOOP_NONE };
	if (!ret->kind || cap < STREAM_PIPE_MIN)
		return -EPROTOTYPE;
	if (host.note)
		host.note(host.ctx, &(struct stream_heard){ .call = CALL_OPEN, .result = cap });
	return stream_begin(ret, cap);
}

void stream_close(struct stream *t)
{
	snoop_stop(&t->snoop);
	free(t->out);
	t->out = NULL;
}
