/* runtime/worker_start.c - a worker's first moments: descriptors in, recovery, walls up, Ready. */
#include <errno.h>
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
	worker_commit(w);
	loop_unwatch(w->loop, w->link[m->link].watch);
	step_detach(&w->step, m->link);
	recorder_detach(w->recorder, &w->step, m->link);
	w->link[m->link].watch = -1;
	w->link[m->link].generation = 0;
	return 0;
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
			w->recording = fd;
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

/* Another layout's arena is made ours; it counts once our supervisor has stored so.  Nothing may be done in it before. */
static int migrate(struct worker *w)
{
	struct bytes old = { w->old_arena.at, w->old_arena.len };
	Migrated m = CONTROL_INIT(MIGRATED);
	Frame f = CONTROL_FRAME(MIGRATED, migrated, &m);
	int r;

	takeover_stop(TAKEOVER_STOP_START);
	r = arena_migrate(&w->arena, &w->plan, w->p->core->migrations, old, takeover_on_pool);
	segment_close(&w->old_arena);
	if (r)
		return r < 0 ? r : -EPROTOTYPE;
	takeover_stop(TAKEOVER_STOP_WHOLE);
	m.epoch = w->arena.epoch;
	r = control_send(&w->control, &f, NULL, 0);
	takeover_stop(TAKEOVER_STOP_TOLD);
	if (!r)
		r = receive_until(w, &w->switched);
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
	/* We are not in the sandbox yet, and who wrote this log may have been owned: it is believed as little as a ring.  To abort is
	 * a strike with a step open; the ladder leads to a cold start. */
	if (w->rolled_back && !log_is_sound(w))
		arena_panic("its undo log is none that a step leaves");
	step_open(&w->step, &w->arena, w->p->core);
	worker_now(w);
	step_recover(&w->step);
	w->recover_ns = loop_now() - from;
	stats_flight_none(w->stats);
	stats_add(w->stats, SHELL_recoveries, 1);
	stats_add(w->stats, SHELL_rolled_back, w->rolled_back);
	return 0;
}

static int attach(struct worker *w)
{
	const struct positions *p = positions_next(&w->arena, NULL);

	for (unsigned l = 0; l < STEP_LINKS; l++) {
		struct worker_link *k = &w->link[l];
		uint32_t cap;

		if (!k->generation)
			continue;
		if (p->generation[l] != k->generation)	/* positions of another life name nothing here */
			atomic_store_explicit(&w->stats->furthest[l], 0, memory_order_relaxed);
		step_attach(&w->step, l, k->generation, k->mine.at, k->size_out, k->theirs.at, k->size_in);
		k->want_input = true;
		k->watch = loop_watch(w->loop, k->bell, POLLIN, LOOP_EDGE, worker_on_bell, w);
		if (k->watch < 0)
			return k->watch;
		if (loop_add_file(w->loop, k->peer_bell))
			return -ENOSPC;
		cap = ring_payload_max(k->size_in);
		w->buf_cap = cap > w->buf_cap ? cap : w->buf_cap;
		/* The other side may have published and slept while nobody was here to kick it; ours may sleep for room. */
		if (loop_kick(w->loop, k->peer_bell))	/* leaves with the first turn */
			return -EBUSY;
		w->step.link[l].kick = false;
	}
	w->buf = malloc(w->buf_cap ? w->buf_cap : 1);
	return w->buf ? 0 : -ENOMEM;
}

/* The file is mapped, and its descriptor goes.  That nothing can be recorded is no reason not to work. */
static void start_recording(struct worker *w)
{
	int r = w->recording < 0 ? 0 : recorder_open(w->recording, &w->step, &w->recorder);

	if (r)
		log_warn("nothing is recorded", LOG_ERRNO(r));
	if (w->recording >= 0)
		close(w->recording);
	w->recording = -1;
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
	w->arena_segment.fd = w->stats_segment.fd = -1;
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
		.old_arena = SEGMENT_NONE, .recording = -1 };
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
	r = recover(w);
	if (r)
		return fail(w, r, r == -EPROTOTYPE ? "arena is laid out for another program or configuration" : "arena");
	r = attach(w);
	if (r)
		return fail(w, r, "links");
	start_recording(w);
	r = loop_watch(w->loop, w->control.fd, POLLIN, LOOP_LEVEL, worker_on_control, w);
	if (r >= 0 && p->worker_start)
		r = p->worker_start(w);
	if (r < 0)
		return fail(w, r, "start of its own parts");
	r = loop_seal(w->loop);
	if (r)
		return fail(w, r, "io_uring could not be restricted");
	r = watchdog_start(w->arena.word);
	if (r)
		return fail(w, r, "watchdog");
	r = wall_in(w, &wall);
	if (r)
		return fail(w, r, wall);
	r = say_ready(w);
	return r ? r : 0;
}
