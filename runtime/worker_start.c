/* runtime/worker_start.c - a worker's first moments: descriptors in, walls up, recovery, Ready.
 *
 * What the worker before us has written - its arena, its rings - is first read behind the walls: it may have been owned, and
 * whatever it can talk its heir into is then no more than it could do itself. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/log.h"
#include "runtime/loop.h"
#include "runtime/sandbox.h"
#include "runtime/watchdog.h"
#include "runtime/worker_private.h"
#include "shm/arena_image.h"
#include "shm/link.h"
#include "shm/migrate.h"

#ifdef __SANITIZE_ADDRESS__
/* What a sanitizer finds is this worker's own death, as SIGSEGV would be: it counts as a strike. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "abort_on_error=1"; }
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) { return "abort_on_error=1:print_stacktrace=1"; }
#endif

enum { CONTROL_FD = 3, START_WAIT_MS = 10000 };

static int on_attach(void *self, struct control_in *in, const Attach *m)
{
	struct worker *w = self;
	struct worker_link *k;
	int r;

	if (w->started || m->link >= STEP_LINKS || !m->generation || !link_size_ok(m->ring_size_out) || !link_size_ok(m->ring_size_in))
		return -EPROTO;
	k = &w->link[m->link];
	if (k->generation)
		return -EPROTO;
	r = segment_attach(control_take_fd(in, 0), ring_region_size(m->ring_size_out), true, &k->mine);
	if (!r)
		r = segment_attach(control_take_fd(in, 1), ring_region_size(m->ring_size_in), false, &k->theirs);
	if (r)
		return r < 0 ? r : -EPROTO;
	k->bell = control_take_fd(in, 2);
	k->peer_bell = control_take_fd(in, 3);
	k->size_out = m->ring_size_out;
	k->size_in = m->ring_size_in;
	k->generation = m->generation;
	return 0;
}

/* A link that its supervisor gives up: it may come back with other memory, in another worker. */
static int on_detach(void *self, struct control_in *in, const Detach *m)
{
	struct worker *w = self;

	(void)in;
	if (!w->started || m->link == LINK_SUPERVISOR || m->link >= STEP_LINKS || w->link[m->link].generation != m->generation)
		return 0;
	loop_unwatch(w->loop, w->link[m->link].watch);
	w->link[m->link].watch = -1;
	w->link[m->link].generation = 0;
	if (!w->step.arena)		/* it was never attached: we wait for Switched */
		return 0;
	worker_commit(w);
	step_detach(&w->step, m->link);
	recorder_detach(w->recorder, &w->step, m->link);
	return 0;
}

/* The file is mapped, and its descriptor goes.  That nothing can be recorded is no reason not to work. */
static void map_recording(struct worker *w, int fd)
{
	int r = w->recorder ? -EEXIST : recorder_map(fd, &w->recorder);

	if (r)
		log_warn("nothing is recorded", LOG_ERRNO(r));
	close(fd);
}

static void begin_recording(struct worker *w)
{
	int r;

	if (w->recorder && w->p->worker_turn)
		recorder_by_turns(w->recorder);
	r = w->recorder ? recorder_begin(w->recorder, &w->step) : 0;
	if (!r)
		return;
	log_warn("nothing is recorded", LOG_ERRNO(r));
	recorder_close(w->recorder);
	w->recorder = NULL;
}

static int take_named_fds(struct worker *w, struct control_in *in, const Start *m)
{
	int r = 0;

	if (m->n_fd_names != in->fd_count || in->fd_count > FDSHELF_MAX)
		return -EPROTO;
	for (unsigned i = 0; !r && i < in->fd_count; i++) {
		const char *name = m->fd_names[i];
		int fd = control_take_fd(in, i);

		if (!strcmp(name, "arena"))
			r = segment_attach(fd, m->arena_size, true, &w->arena_segment);
		else if (!strcmp(name, "arena.old"))
			r = m->migrate ? segment_attach(fd, m->old_size, false, &w->old_arena) : -EPROTO;
		else if (!strcmp(name, "stats"))
			r = segment_attach(fd, m->stats_size, true, &w->stats_segment);
		else if (!strcmp(name, RECORDING_FD))
			map_recording(w, fd);
		else {
			struct named_fd *at = &w->fds.at[w->fds.count++];

			snprintf(at->name, sizeof at->name, "%s", name);
			at->fd = fd;
		}
	}
	return r < 0 ? r : r ? -EPROTO : 0;
}

static int on_start(void *self, struct control_in *in, const Start *m)
{
	struct worker *w = self;
	enum log_level level;
	int r;

	if (w->started)
		return -EPROTO;
	if (m->protocol != CONTROL_WORKER_PROTOCOL)
		return -EPROTONOSUPPORT;
	r = take_named_fds(w, in, m);
	if (r)
		return r;
	w->plan = worker_plan(w->p->core, m->limits, m->n_limits, m->config_hash);
	if (m->migrate != (w->old_arena.at != NULL))
		return -EPROTO;
	if (!w->arena_segment.at || m->arena_size != arena_size(&w->plan) || !w->stats_segment.at || m->stats_size != stats_size())
		return -EPROTOTYPE;
	w->stats = w->stats_segment.at;
	w->shadow = m->step_check;
	w->uid = m->uid;
	w->gid = m->gid;
	w->parent = m->parent;
	w->attempt = m->attempt;
	for (size_t i = 0; m->careful && i < m->n_until && i < STEP_LINKS; i++)
		w->link[i].until = m->until[i];
	if (m->skip && m->skip->link < STEP_LINKS) {
		w->skip_link = m->skip->link + 1;
		w->skip_position = m->skip->position;
		w->skip_rung = m->skip->rung ? RUNG_RESET_CONNECTION : RUNG_SKIP_RECORD;
	}
	if (m->log_level && log_level_from_text(m->log_level, &level))
		log_set_level(level);
	w->started = true;
	return 0;
}

static int on_switched(void *self, struct control_in *in, const Switched *m)
{
	(void)in;
	(void)m;
	((struct worker *)self)->switched = true;
	return 0;
}

static int on_drain(void *self, struct control_in *in, const Drain *m)
{
	struct worker *w = self;

	(void)in;
	(void)m;
	w->ending = true;
	return 0;
}

static const struct control_handlers handlers = {
	.on_attach = on_attach, .on_detach = on_detach, .on_start = on_start, .on_drain = on_drain, .on_probe = worker_on_probe,
	.on_switched = on_switched,
};

/* Our supervisor is the only one we trust, and without it we are nobody. */
int worker_on_control(void *ctx, uint32_t revents)
{
	struct worker *w = ctx;
	int r;

	(void)revents;
	r = control_receive_all(&w->control, &handlers, w);
	if (r && r != CONTROL_EMPTY)
		_exit(1);
	if (control_pending(&w->control) && control_flush(&w->control))
		_exit(1);
	return 0;
}

static int receive_until(struct worker *w, const bool *done)
{
	int r = 0;

	while (!*done) {
		r = control_wait(&w->control, START_WAIT_MS);
		if (!r)
			r = control_receive(&w->control, &handlers, w);
		if (r == CONTROL_CLOSED)
			return -EPIPE;
		if (r < 0)
			return r;
	}
	return 0;
}

/* Behind the walls the loop is all there is to wait with; worker_on_control hears what comes. */
static int wait_in_loop(struct worker *w, uint64_t deadline)
{
	int r;

	watchdog_rest();
	r = loop_run_once(w->loop, deadline);
	if (r == -EINTR)
		return 0;
	return r < 0 ? r : loop_now() < deadline ? 0 : -ETIMEDOUT;
}

/* Another layout's arena is made ours; it counts once our supervisor has stored so.  Nothing may be done in it before. */
static int migrate(struct worker *w)
{
	struct bytes old = { w->old_arena.at, w->old_arena.len };
	Migrated m = CONTROL_INIT(MIGRATED);
	Frame f = CONTROL_FRAME(MIGRATED, migrated, &m);
	uint64_t deadline;
	int r;

	takeover_stop(TAKEOVER_STOP_START);
	r = arena_migrate(&w->arena, &w->plan, w->p->core->migrations, old, takeover_on_pool);
	segment_close(&w->old_arena);
	if (r)
		return r < 0 ? r : -EPROTOTYPE;
	takeover_stop(TAKEOVER_STOP_WHOLE);
	m.epoch = w->arena.epoch;
	deadline = loop_now() + START_WAIT_MS * 1000000ull;
	r = control_send(&w->control, &f, NULL, 0);
	takeover_stop(TAKEOVER_STOP_TOLD);
	while (!r && !w->switched)
		r = wait_in_loop(w, deadline);
	takeover_stop(TAKEOVER_STOP_SWITCHED);
	return r;
}

static bool log_is_sound(const struct worker *w)
{
	uint32_t len = (uint32_t)atomic_load_explicit(w->arena.word, memory_order_acquire);

	return len <= w->arena.log_cap && arena_log_sound(w->arena.at + w->arena.log_at, len, w->arena.log_at);
}

/* The arena as the last commit left it, whoever was killed in between. */
static int recover(struct worker *w)
{
	uint64_t from = loop_now();
	const char *wrong;
	int r;

	w->rolled_back = arena_step_open(w->arena_segment.at);
	r = arena_open(&w->arena, &w->plan, w->arena_segment.at, w->shadow);
	if (r < 0)
		return r;
	if (w->old_arena.at) {
		r = migrate(w);
		if (r)
			return r;
	}
	if (r == ARENA_E_LAYOUT || r == ARENA_E_CONFIG)
		return -EPROTOTYPE;
	if (r == ARENA_E_BLANK)
		arena_format(&w->arena, &w->plan, w->p->core->fill);
	/* Who wrote this log may have been owned: it is believed as little as a ring.  To abort is a strike with a step open; the
	 * ladder leads to a cold start. */
	if (w->rolled_back && !log_is_sound(w))
		arena_panic("its undo log is none that a step leaves");
	step_open(&w->step, &w->arena, w->p->core);
	worker_now(w);
	step_recover(&w->step);
	wrong = arena_whole(&w->arena);		/* the cores take its lists for sound */
	if (*wrong)
		arena_panic(wrong);
	w->recover_ns = loop_now() - from;
	stats_flight_none(w->stats);
	stats_add(w->stats, SHELL_recoveries, 1);
	stats_add(w->stats, SHELL_rolled_back, w->rolled_back);
	return 0;
}

/* All that may ever be watched or kicked: the sealed loop takes no more. */
static int watch_all(struct worker *w)
{
	int r = loop_watch(w->loop, w->control.fd, POLLIN, LOOP_LEVEL, worker_on_control, w);

	for (unsigned l = 0; r >= 0 && l < STEP_LINKS; l++) {
		struct worker_link *k = &w->link[l];

		if (!k->generation)
			continue;
		k->want_input = true;
		k->watch = r = loop_watch(w->loop, k->bell, POLLIN, LOOP_EDGE, worker_on_bell, w);
		if (r >= 0)
			r = loop_add_file(w->loop, k->peer_bell);
	}
	if (r >= 0 && w->p->worker_prepare)
		r = w->p->worker_prepare(w);
	return r < 0 ? r : 0;
}

static int wall_in(struct worker *w, const char **wall)
{
	int keep[3 + 2 * STEP_LINKS + FDSHELF_MAX];
	struct sandbox_plan s = { .uid = w->uid, .gid = w->gid, .parent = (pid_t)w->parent, .keep = keep, .syscalls = w->p->syscalls };
	unsigned n = 0;

	keep[n++] = w->control.fd;
	keep[n++] = loop_fd(w->loop);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (w->link[l].generation) {
			keep[n++] = w->link[l].bell;
			keep[n++] = w->link[l].peer_bell;
		}
	for (unsigned i = 0; i < w->fds.count; i++)
		keep[n++] = w->fds.at[i].fd;
	s.keep_count = n;
	/* Mapped memory needs no descriptor any more; what is closed here must not be closed again by number. */
	w->arena_segment.fd = w->stats_segment.fd = w->old_arena.fd = -1;
	for (unsigned l = 0; l < STEP_LINKS; l++)
		w->link[l].mine.fd = w->link[l].theirs.fd = -1;
	return sandbox_enter(&s, wall);
}

static int say_ready(struct worker *w)
{
	Ready m = CONTROL_INIT(READY);
	Frame f = CONTROL_FRAME(READY, ready, &m);

	m.attempt = w->attempt;
	m.epoch = w->arena.epoch;
	m.rolled_back = w->rolled_back;
	m.recover_ns = w->recover_ns;
	m.sandbox = CONTROL_STR(sandbox_describe());
	return control_send(&w->control, &f, NULL, 0);
}

static int fail(struct worker *w, int r, const char *what)
{
	char why[160];

	snprintf(why, sizeof why, "%s: %s", what, strerror(-r));
	control_fail(&w->control, 0, r, why);
	return r;
}

int worker_open(struct worker *w, const struct program *p)
{
	const char *wall = "sandbox";
	int r;

	*w = (struct worker){ .p = p, .control = CONTROL_LINK_NONE, .arena_segment = SEGMENT_NONE, .stats_segment = SEGMENT_NONE,
		.old_arena = SEGMENT_NONE };
	for (unsigned l = 0; l < STEP_LINKS; l++)
		w->link[l] = (struct worker_link){ .mine = SEGMENT_NONE, .theirs = SEGMENT_NONE, .bell = -1, .peer_bell = -1, .watch = -1 };
	log_open(p->name);
	r = control_open(&w->control, CONTROL_FD);
	if (r)
		return r;
	r = receive_until(w, &w->started);
	if (r)
		return fail(w, r, r == -EPROTOTYPE ? "arena is laid out for another program or configuration" :
		    r == -EPROTONOSUPPORT ? "its supervisor is of another build, and speaks to workers otherwise" : "start refused");
	r = loop_open(LOOP_WORKER, &w->loop);
	if (r)
		return fail(w, r, loop_refusal(r));
	signal(SIGPIPE, SIG_IGN);		/* a socket that is gone is told by EPIPE */
	r = watch_all(w);
	if (r)
		return fail(w, r, "descriptors");
	r = loop_seal(w->loop);
	if (r)
		return fail(w, r, "io_uring could not be restricted");
	r = watchdog_start(w->arena_segment.at);
	if (r)
		return fail(w, r, "watchdog");
	r = wall_in(w, &wall);
	if (r)
		return fail(w, r, wall);
	/* Nothing that the worker before us has written was looked at so far. */
	r = recover(w);
	if (r)
		return fail(w, r, r == -EPROTOTYPE ? "arena is laid out for another program or configuration" : "arena");
	r = worker_attach(w);
	if (r)
		return fail(w, r, "links");
	begin_recording(w);
	r = p->worker_start ? p->worker_start(w) : 0;
	if (r < 0)
		return fail(w, r, "start of its own parts");
	r = say_ready(w);
	return r ? r : 0;
}
