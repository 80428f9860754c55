/* transportd/worker.c */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include "runtime/log.h"
#include "runtime/loop.h"
#include "runtime/recording.h"
#include "runtime/sandbox.h"
#include "runtime/worker.h"
#include "transportd/host_port.h"
#include "transportd/stream.h"
#include "transportd/worker.h"

enum { SNOOP_BATCH = 1024 * 1024 };

struct own {
	struct stream stream;
	int write_watch;		/* < 0: the controller takes what we have */
	bool end_told;			/* that the line has ended was logged */
	uint64_t recorded;		/* worker_recording, as it was last */
};
static struct own own_storage;		/* one worker, one line */

/* Beside what every worker may.  All are about descriptors that are there: what the socket and the pipe hold and how far they have
 * come; a capture that a kill or a full disk has cut is read to its last whole record, and cut there. */
const struct sandbox_call transportd_syscalls[] = {
	{ .number = SYS_setsockopt }, { .number = SYS_getsockopt }, { .number = SYS_splice },
	{ .number = SYS_ioctl, .only = true, .second = FIONREAD }, { .number = SYS_fcntl, .only = true, .second = F_GETPIPE_SZ },
	{ .number = SYS_lseek }, { .number = SYS_pread64 }, { .number = SYS_ftruncate }, { .number = -1 },
};

static int host_take(void *ctx, struct record *ret, struct bytes *payload) { return worker_take(ctx, LINK_DOWN, ret, payload); }
static void host_commit(void *ctx) { worker_commit(ctx); }

static void host_note(void *ctx, const struct stream_heard *h)
{
	worker_note(ctx, &(struct recorder_own){ h->call, h->result, h->more, h->also, h->octets });
}

static int on_readable(void *ctx, uint32_t revents)
{
	struct own *o = ctx;

	o->stream.readable = true;
	if (revents & (POLLRDHUP | POLLHUP | POLLERR))
		o->stream.ending = true;
	if (revents & POLLPRI)
		o->stream.urgent = true;
	return 0;
}

static int on_writable(void *ctx, uint32_t revents)
{
	struct worker *w = ctx;
	struct own *o = worker_own(w);

	(void)revents;
	loop_unwatch(worker_loop(w), o->write_watch);
	o->write_watch = -1;
	o->stream.writable = true;
	return 0;
}

/* Capture goes on where the last worker stopped; that it cannot is no reason not to work.  The first one finds what the supervisor
 * has just looked through, and notes its end before it writes: no worker walks over a large file, for which the watchdog would end it. */
static void start_capture(struct own *o, struct worker *w, int fd)
{
	struct step *s = worker_step(w);
	uint64_t from = line_of(s)->snoop_at ? line_of(s)->snoop_at : SNOOP_WHOLE;
	int r = snoop_start(&o->stream.snoop, fd, from, SNOOP_BATCH);

	if (r) {
		log_warn("capture has ended", LOG_WHY(r > 0 ? "the file is no btsnoop of H4" : strerror(-r)));
		return;
	}
	stream_capture_end(&o->stream);
}

static void say_resumed(const struct stream *t)
{
	if (t->resumed_in || t->resumed_out)
		log_info("controller windows resumed", LOG_UINT("in", t->resumed_in), LOG_UINT("out", t->resumed_out));
}

int transportd_worker_prepare(struct worker *w) { return loop_add_file(worker_loop(w), worker_fd(w, "controller")); }

int transportd_worker_start(struct worker *w)
{
	struct own *o = &own_storage;
	struct step *s = worker_step(w);
	struct loop *l = worker_loop(w);
	int fd = worker_fd(w, "controller"), snoop = worker_fd(w, "btsnoop"), r;

	*o = (struct own){ .write_watch = -1, .recorded = worker_recording(w) };
	worker_set_own(w, o);
	worker_now(w);
	r = stream_open(&o->stream, s, (struct stream_host){ w, host_take, host_commit, o->recorded ? host_note : NULL }, fd,
	    worker_fd(w, "pipe.r"), worker_fd(w, "pipe.w"));
	if (r < 0)
		return r;
	say_resumed(&o->stream);
	if (snoop >= 0)
		start_capture(o, w, snoop);
	r = loop_watch(l, fd, POLLIN | POLLPRI | POLLRDHUP, LOOP_EDGE, on_readable, o);
	return r < 0 ? r : 0;
}

/* Say once what has come to an end. */
static void say_ends(struct worker *w, struct own *o)
{
	const struct line *line = line_of(worker_step(w));

	if (o->stream.snoop_error) {
		log_warn("capture has ended", LOG_ERRNO(o->stream.snoop_error));
		o->stream.snoop_error = 0;
	}
	if (line->state != LINE_DOWN || o->end_told)
		return;
	o->end_told = true;
	log_info("transport has ended", LOG_TEXT("why", line->why, strnlen(line->why, sizeof line->why)),
	    LOG_UINT("in_octets", line->in_octets), LOG_UINT("out_octets", line->out_octets));
}

/* What has to happen for the next turn to be of use. */
static int prepare_sleep(struct worker *w, struct own *o)
{
	struct stream *t = &o->stream;
	struct step *s = worker_step(w);
	const struct line *line = line_of(s);
	bool blocked = line->state == LINE_UP && t->out_left && !t->writable;
	int r;

	worker_want_input(w, LINK_DOWN, !blocked);
	if (host_port_open(s) && (t->ring_full || line->owed & LINE_TELL_HOSTD))
		worker_want_room(w, LINK_DOWN);
	if (s->fresh || line->owed & LINE_TELL_SUPERVISOR)	/* the core hears of a link once it may answer its supervisor */
		worker_want_room(w, LINK_SUPERVISOR);
	if (!blocked || o->write_watch >= 0)
		return 0;
	r = loop_watch(worker_loop(w), t->fd, POLLOUT, LOOP_LEVEL, on_writable, w);
	if (r < 0)
		return r;
	o->write_watch = r;
	return 0;
}

/* A recording has begun in the middle of our life: what of the stream is not in the arena. */
static void note_stream(struct worker *w, struct own *o)
{
	struct stream *t = &o->stream;

	o->recorded = worker_recording(w);
	host_note(w, &(struct stream_heard){ .call = CALL_RESUME, .result = t->out_left, .more = t->out_cap, .also = t->snoop.at });
}

/* Returns whether something was told. */
static bool tell(struct worker *w, const struct own *o)
{
	struct step *s = worker_step(w);
	uint32_t owed = line_of(s)->owed;

	if (!owed || !line_tell(s))
		return false;
	if (o->recorded)
		host_note(w, &(struct stream_heard){ .call = CALL_TELL, .result = owed & ~line_of(s)->owed });
	return true;
}

int transportd_worker_turn(struct worker *w)
{
	struct own *o = worker_own(w);
	struct step *s = worker_step(w);
	uint32_t was = line_of(s)->state;
	int out, in, r, told;

	if (o->recorded != worker_recording(w))
		note_stream(w, o);
	worker_may_act(w);			/* tells the core of a link that began anew */
	told = tell(w, o);
	worker_commit(w);
	out = stream_out(&o->stream);
	if (out < 0)
		worker_fail(w, out, "pipe to the controller");
	in = stream_in(&o->stream);
	if (in < 0)
		worker_fail(w, in, "socket of the controller");
	told |= tell(w, o);			/* the line may have ended just now */
	worker_commit(w);
	say_ends(w, o);
	r = prepare_sleep(w, o);
	if (r < 0)
		return r;
	return told || line_of(s)->state != was || ((o->stream.readable || o->stream.unframed) && !o->stream.ring_full && host_port_open(s) &&
	    line_of(s)->state == LINE_UP);
}
