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
	int r = t->kind->begin(t->fd, &count);

	if (r < 0)
		return r;
	l = line_change(t->step);
	l->state = LINE_UP;
	l->in_base = 0 - count;
	t->host.commit(t->host.ctx);
	return 0;
}

int stream_open(struct stream *ret, struct step *step, struct stream_host host, int fd, int pipe_r, int pipe_w)
{
	int cap = fcntl(pipe_w, F_GETPIPE_SZ), r;

	*ret = (struct stream){ .kind = stream_kind_of(fd), .step = step, .host = host, .fd = fd, .pipe_r = pipe_r, .pipe_w = pipe_w,
		.readable = true, .writable = true, .snoop = SNOOP_NONE };
	if (!ret->kind || cap < STREAM_PIPE_MIN)
		return -EPROTOTYPE;
	ret->out_cap = MIN((uint32_t)cap, (uint32_t)STREAM_BATCH);
	ret->out = malloc(ret->out_cap);
	if (!ret->out)
		return -ENOMEM;
	if (line_of(step)->state == LINE_NEW) {
		r = begin(ret);
		if (r < 0)
			return r;
	}
	if (line_of(step)->state == LINE_DOWN)
		return 0;
	r = stream_out_recover(ret);
	return r < 0 ? r : stream_in_recover(ret);
}

void stream_close(struct stream *t)
{
	snoop_stop(&t->snoop);
	free(t->out);
	t->out = NULL;
}
