/* runtime/supervisor_worker.c - the worker: spawned, given what it needs, watched, brought back. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "runtime/recording.h"
#include "runtime/supervisor_private.h"

const char *sup_state(const struct supervisor *s)
{
	if (s->ending)
		return s->exit_code ? "failed" : "stopping";
	if (s->worker.state != WORKER_RUNNING)
		return s->worker.attempt > 1 || s->ledger->starts > 1 ? "restarting" : "starting";
	for (unsigned l = LINK_UP; l < STEP_LINKS; l++)
		if (s->link[l].name && !s->link[l].conn)
			return "waiting";
	return s->told_ready ? "running" : "starting";
}

/* ---- what it is given ---- */
void sup_kick(struct supervisor *s, int bell)
{
	int r = loop_kick(s->loop, bell);

	if (!r)
		r = loop_submit(s->loop);	/* now: the descriptor may be closed before the next turn */
	if (!r || s->ending)
		return;
	log_error("a doorbell cannot be rung", LOG_ERRNO(r));
	sup_end(s, 1);		/* who sleeps behind it is woken by our end */
}

static int send_attach(struct supervisor *s, unsigned l, const struct link_end *e, const int fd[4])
{
	Attach m = CONTROL_INIT(ATTACH);
	Frame f = CONTROL_FRAME(ATTACH, attach, &m);

	m.link = l;
	m.generation = e->generation;
	m.ring_size_out = m.ring_size_in = e->size;
	return control_send(&s->worker.control, &f, fd, 4);
}

static int give_links(struct supervisor *s)
{
	const struct sup_small *m = &s->small;
	int fd[4] = { m->worker_region, segment_reader_fd(&m->end.mine), m->end.peer_bell, m->end.bell };
	int r;

	if (fd[1] < 0)
		return fd[1];
	link_bell_restore(m->end.peer_bell);
	link_bell_restore(m->end.bell);
	r = send_attach(s, LINK_SUPERVISOR, &m->end, fd);
	close(fd[1]);
	for (unsigned l = LINK_UP; l < STEP_LINKS && !r; l++) {
		const struct link_end *e = &s->link[l].end;
		const int theirs[4] = { e->mine.fd, e->theirs.fd, e->bell, e->peer_bell };

		s->link[l].given = e->generation != 0 && !s->link[l].lost;	/* nobody would empty that ring */
		s->link[l].attached = s->link[l].given;
		if (!s->link[l].given)
			continue;
		link_bell_restore(e->bell);		/* whatever the worker before did to them; both sides look when it attaches */
		link_bell_restore(e->peer_bell);
		r = send_attach(s, l, e, theirs);
	}
	return r;
}

static int give_start(struct supervisor *s)
{
	struct strikes *k = &s->ledger->strikes;
	Start m = CONTROL_INIT(START);
	Frame f = CONTROL_FRAME(START, start, &m);
	Skip skip = CONTROL_INIT(SKIP);
	bool migrates = sup_takeover_migrates(s);
	uint64_t size = s->ledger->arena[s->ledger->place & 1].size;
	int recording = migrates ? s->takeover.recording : s->recording;
	char *names[4 + SUP_KEPT] = { CONTROL_STR("arena"), CONTROL_STR("stats") };
	int fd[4 + SUP_KEPT] = { migrates ? s->takeover.arena.fd : s->arena.fd, s->stats_segment.fd }, old = -1, r;
	unsigned n = 2;

	if (migrates) {
		old = segment_reader_fd(&s->arena);
		if (old < 0)
			return old;
		names[n] = CONTROL_STR("arena.old");
		fd[n++] = old;
	}
	if (recording >= 0) {
		names[n] = CONTROL_STR(RECORDING_FD);
		fd[n++] = recording;
	}
	for (unsigned i = 0; i < s->kept.count && i < SUP_KEPT; i++, n++) {
		names[n] = s->kept.at[i].name;
		fd[n] = s->kept.at[i].fd;
	}
	m.name = CONTROL_STR(s->p->name);
	m.limits = s->plan.limits.of;
	m.n_limits = LIMITS;
	m.config_hash = s->plan.config_hash;
	m.protocol = CONTROL_WORKER_PROTOCOL;
	m.migrate = migrates;
	m.arena_size = migrates ? s->takeover.said.size : size;
	m.old_size = migrates ? size : 0;
	m.stats_size = stats_size();
	m.uid = m.gid = geteuid() ? 0 : s->ledger->worker_uid;
	m.parent = (uint32_t)getpid();
	m.careful = strikes_pending(k);
	m.until = k->careful;
	m.n_until = STEP_LINKS;
	if (k->skip_link) {
		skip.link = k->skip_link - 1;
		skip.position = k->skip_position;
		skip.rung = k->skip_rung;
		m.skip = &skip;
	}
	m.fd_names = names;
	m.n_fd_names = n;
	m.log_level = CONTROL_STR(log_level_text(log_get_level()));
	m.attempt = s->worker.attempt;
	m.step_check = getenv("TREFOIL_SHADOW") && !strcmp(getenv("TREFOIL_SHADOW"), "1");
	r = control_send(&s->worker.control, &f, fd, n);
	if (old >= 0)
		close(old);
	return r;
}

/* What is in their rings they hear of by the doorbell; this is for their cores' deadlines, and their logs. */
static void tell_neighbours(struct supervisor *s, const Frame *f)
{
	for (unsigned l = LINK_UP; l < STEP_LINKS; l++)
		if (s->link[l].conn && s->link[l].settled)
			sup_conn_sent(s->link[l].conn, control_send(&s->link[l].conn->link, f, NULL, 0));
}

static void tell_died(struct supervisor *s, int signal, int code, bool step_open)
{
	WorkerDied m = CONTROL_INIT(WORKER_DIED);
	Frame f = CONTROL_FRAME(WORKER_DIED, worker_died, &m);

	m.name = CONTROL_STR(s->p->name);
	m.pid = (uint32_t)s->worker.pid;
	m.signal = signal;
	m.code = code;
	m.step_open = step_open;
	tell_neighbours(s, &f);
}

void sup_worker_tell(struct supervisor *s, struct sup_conn *c)
{
	WorkerRestarted m = CONTROL_INIT(WORKER_RESTARTED);
	Frame f = CONTROL_FRAME(WORKER_RESTARTED, worker_restarted, &m);

	m.name = CONTROL_STR(s->p->name);
	m.pid = (uint32_t)s->worker.pid;
	m.restarts = ledger_restarts(s->ledger);
	m.outage_us = s->worker.outage_us;
	if (!s->worker.ready_ns || s->worker.state != WORKER_RUNNING)
		return;
	if (c)
		sup_conn_sent(c, control_send(&c->link, &f, NULL, 0));
	else
		tell_neighbours(s, &f);
}

/* ---- what it says ---- */
static int on_ready(void *self, struct control_in *in, const Ready *m)
{
	struct supervisor *s = self;
	struct sup_worker *w = &s->worker;
	struct sup_conn *c;

	(void)in;
	if (w->ready_ns)		/* once a life: each one is told to the log and to the neighbours */
		return -EPROTO;
	sup_takeover_ready(s);
	if (w->state == WORKER_STARTING)
		w->state = WORKER_RUNNING;
	w->ready_ns = loop_now();
	w->outage_us = w->outage_from_ns ? (w->ready_ns - w->outage_from_ns) / 1000 : 0;
	snprintf(w->sandbox, sizeof w->sandbox, "%s", m->sandbox);
	log_info("worker ready", LOG_UINT("pid", w->pid), LOG_UINT("attempt", w->attempt), LOG_UINT("outage_us", w->outage_us),
	    LOG_UINT("recover_ns", m->recover_ns),
	    LOG_STR("rolled_back", m->rolled_back ? "yes" : "no"), LOG_STR("sandbox", w->sandbox));
	c = sup_conn_find(s, s->restart_conn);
	if (c && w->state == WORKER_RUNNING) {
		sup_conn_sent(c, control_done(&c->link, s->restart_serial, "restarted"));
		s->restart_conn = 0;
	}
	sup_worker_tell(s, NULL);
	sup_check_ready(s);
	return 0;
}

static int on_failed(void *self, struct control_in *in, const Failed *m)
{
	struct supervisor *s = self;

	(void)in;
	log_error("worker failed", LOG_UINT("pid", s->worker.pid), LOG_INT("error", m->error), LOG_WHY(m->why));
	s->worker.failed = true;
	s->worker.fail_error = m->error;
	snprintf(s->worker.fail_why, sizeof s->worker.fail_why, "%s", m->why);
	return 0;
}

static int on_detach(void *self, struct control_in *in, const Detach *m)
{
	struct supervisor *s = self;

	(void)in;
	if (m->link < STEP_LINKS && m->link != LINK_SUPERVISOR && m->generation == s->link[m->link].end.generation)
		sup_link_refuse(s, m->link, strcmp(m->why, DETACH_STILL) ? DETACH_LIED : DETACH_STILL);
	return 0;
}

static int on_migrated(void *self, struct control_in *in, const Migrated *m)
{
	(void)in;
	(void)m;
	return sup_takeover_migrated(self);
}

static const struct control_handlers handlers = {
	.on_ready = on_ready, .on_failed = on_failed, .on_detach = on_detach, .on_migrated = on_migrated,
};

/* A worker's frames are taken as hostile: one that does not parse ends it. */
static int on_worker_frame(void *ctx, uint32_t revents)
{
	struct supervisor *s = ctx;
	int r;

	r = revents & POLLOUT ? control_flush(&s->worker.control) : 0;
	if (!r)
		r = control_receive_all(&s->worker.control, &handlers, s);
	if (r == 0 || r == CONTROL_EMPTY) {
		loop_modify(s->loop, s->worker.control_watch, POLLIN | (control_pending(&s->worker.control) ? POLLOUT : 0));
		return 0;
	}
	loop_unwatch(s->loop, s->worker.control_watch);	/* closed: its pidfd says the rest */
	s->worker.control_watch = -1;
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		sup_worker_lied(s);
	return 0;
}

/* ---- start ---- */
static int on_worker_gone(void *ctx, uint32_t revents);

static int launch(struct supervisor *s)
{
	struct sup_worker *w = &s->worker;
	int r = sup_takeover_launch(s);

	if (w->pidfd < 0)
		return r;
	w->state = WORKER_STARTING;
	w->watch = loop_watch(s->loop, w->pidfd, POLLIN, LOOP_LEVEL, on_worker_gone, s);
	if (!r && w->watch < 0)
		r = w->watch;
	if (!r) {
		w->control_watch = loop_watch(s->loop, w->control.fd, POLLIN, LOOP_LEVEL, on_worker_frame, s);
		r = w->control_watch < 0 ? w->control_watch : 0;
	}
	return r;
}

void sup_worker_start(struct supervisor *s)
{
	struct sup_worker *w = &s->worker;
	int r = 0;

	s->timer[TIMER_GATHER] = s->timer[TIMER_WORKER] = 0;
	if (w->state != WORKER_NONE || s->ending || sup_takeover_cold(s))
		return;
	w->attempt++;
	w->failed = w->replaced = w->lied = false;
	w->ready_ns = 0;
	w->started_ns = loop_now();
	w->first_epoch = arena_shown_epoch(s->arena.at);
	stats_flight_none(s->stats);	/* the former one's record: this one is not at it */
	if (s->small.broken) {
		r = sup_make_small(s);
		if (!r)
			r = sup_configure(s, false);
		for (unsigned l = LINK_UP; !r && l < STEP_LINKS; l++)
			if (s->link[l].lost)
				sup_link_tell_lost(s, l);	/* it may have been in what was thrown away */
			else
				sup_link_tell_there(s, l);
		sup_requests_again(s);
	}
	if (!r)
		r = launch(s);
	if (!r)		/* whoever comes after us must be able to see this worker's end: stored before it is given anything */
		r = fdstore_put(&s->store, "worker", w->pidfd);
	if (!r)
		r = sup_store_sync(s);
	if (!r)
		r = give_links(s);
	if (!r)
		r = give_start(s);
	if (!r)
		return;
	log_error("worker cannot be started", LOG_ERRNO(r));
	if (w->state == WORKER_NONE)
		sup_end(s, 1);
	else
		sup_worker_kill(s);
}

/* Start now if all that it needs is there; a first one waits a moment for its links, so that it need not be replaced at once. */
void sup_worker_want(struct supervisor *s)
{
	if (s->worker.state != WORKER_NONE || s->timer[TIMER_WORKER])
		return;
	if (sup_links_there(s) || s->worker.attempt)
		sup_worker_start(s);
	else if (!s->timer[TIMER_GATHER])
		sup_timer_in(s, TIMER_GATHER, SUP_GATHER_MS);
}

/* ---- end ---- */
static void send_drain(struct supervisor *s, const char *why)
{
	Drain m = CONTROL_INIT(DRAIN);
	Frame f = CONTROL_FRAME(DRAIN, drain, &m);

	m.why = CONTROL_STR(why);
	if (control_send(&s->worker.control, &f, NULL, 0))
		sup_worker_kill(s);
}

void sup_worker_kill(struct supervisor *s)
{
	if (s->worker.state != WORKER_NONE && s->worker.pidfd >= 0)
		syscall(SYS_pidfd_send_signal, s->worker.pidfd, SIGKILL, NULL, 0);
}

void sup_worker_lied(struct supervisor *s)
{
	s->worker.lied = true;
	sup_worker_kill(s);
}

void sup_worker_replace(struct supervisor *s, bool counted, const char *why)
{
	struct sup_worker *w = &s->worker;

	if (w->state == WORKER_NONE) {
		sup_worker_start(s);
		return;
	}
	w->counted = (w->state == WORKER_ENDING && w->counted) || counted;
	if (w->state == WORKER_ENDING)
		return;
	log_info("worker is replaced", LOG_UINT("pid", w->pid), LOG_WHY(why));
	w->replaced = true;
	w->state = WORKER_ENDING;
	sup_timer_in(s, TIMER_KILL, SUP_DRAIN_MS);
	send_drain(s, why);
}

/* What ended it, as a signal; 0: it exited with *ret_code. */
static int reap(struct sup_worker *w, int *ret_code)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)w->pidfd, &info, WEXITED) < 0)
		return SIGKILL;
	*ret_code = info.si_code == CLD_EXITED ? info.si_status : -1;
	return info.si_code == CLD_EXITED ? 0 : info.si_status;
}

static void let_go(struct supervisor *s)
{
	struct sup_worker *w = &s->worker;

	loop_unwatch(s->loop, w->watch);
	loop_unwatch(s->loop, w->control_watch);
	control_close(&w->control);
	w->control = (struct control_link)CONTROL_LINK_NONE;
	close(w->pidfd);
	w->pidfd = w->watch = w->control_watch = -1;
	w->state = WORKER_NONE;
	s->timer[TIMER_KILL] = 0;
	for (unsigned l = LINK_UP; l < STEP_LINKS; l++)
		s->link[l].attached = false;
	fdstore_remove(&s->store, "worker");
}

static bool go_cold(struct supervisor *s)
{
	strikes_cold(&s->ledger->strikes, loop_now());
	ledger_add(&s->ledger->colds);
	if (sup_cold(s))
		return false;
	sup_requests_again(s);
	return true;
}

/* With what there is no worker stays: once, before we give up, without it. */
static bool start_anew(struct supervisor *s)
{
	struct sup_worker *w = &s->worker;

	if (w->anew)
		return false;
	log_error("cold start: no worker stays with the state that is there", LOG_UINT("attempts", w->attempt));
	w->anew = true;
	w->backoff = 0;
	w->delay_ms = 0;
	w->outage_from_ns = w->died_ns;
	return go_cold(s);
}

/* When the next one may start.  A worker that ran and was killed from outside comes back at once; one that dies of itself comes
 * back later each time.  Neither goes on for ever: delays of its own making, and time without any worker, are both bounded. */
static void schedule(struct supervisor *s, int signal, bool was_ready)
{
	static const uint16_t delays_ms[] = { 0, 10, 50, 100, 250 };
	struct sup_worker *w = &s->worker;
	bool from_outside = signal == SIGKILL && !w->lied, spent;
	uint64_t lived_ms = was_ready ? (w->died_ns - w->ready_ns) / 1000000 : 0, delay = 0;

	if (was_ready || !w->outage_from_ns)
		w->outage_from_ns = w->died_ns;
	if (lived_ms >= SUP_LIFE_MS) {
		w->backoff = 0;
		w->delay_ms = 0;
		w->anew = false;
	}
	if (!w->replaced && !(was_ready && from_outside)) {
		delay = delays_ms[w->backoff];
		if (w->backoff + 1 < sizeof delays_ms / sizeof *delays_ms)
			w->backoff++;
		w->delay_ms += from_outside ? 0 : delay;
	}
	spent = w->delay_ms > SUP_BUDGET_MS || (w->died_ns - w->outage_from_ns) / 1000000 > SUP_BUDGET_MS;
	if (spent && start_anew(s)) {
		sup_worker_start(s);
	} else if (spent) {
		log_error("given up: the worker does not stay", LOG_UINT("attempts", w->attempt), LOG_UINT("backoff_ms", w->delay_ms));
		sup_end(s, 1);
	} else if (delay)
		sup_timer_in(s, TIMER_WORKER, delay);
	else
		sup_worker_start(s);
}

/* It has said itself why it cannot run here, and another one could not either; unless one could, and it was what that left that
 * speaks out of this one: then a cold start comes first. */
static bool hopeless(const struct sup_worker *w, bool was_ready)
{
	return w->failed && !was_ready && (w->fail_error == -EPERM || w->fail_error == -ENOSYS || w->fail_error == -EINVAL ||
	    w->fail_error == -EPROTOTYPE || w->fail_error == -EACCES || w->fail_error == -EPROTONOSUPPORT);
}

/* Does as the ladder of strikes says.  False: it says that this is the end. */
static bool climb(struct supervisor *s, int signal)
{
	enum strike_verdict v = sup_judge(s, signal);

	if (v == STRIKE_COLD && !go_cold(s))
		v = STRIKE_GIVE_UP;
	if (v == STRIKE_GIVE_UP) {
		log_error("given up: a cold start did not help either");
		sup_end(s, 1);
	}
	return v != STRIKE_GIVE_UP;
}

static int on_worker_gone(void *ctx, uint32_t revents)
{
	struct supervisor *s = ctx;
	struct sup_worker *w = &s->worker;
	bool was_ready = w->ready_ns != 0;
	int signal, code = 0;

	(void)revents;
	while (w->control.fd >= 0 && !control_receive(&w->control, &handlers, s))
		;	/* its last words: as many as its socket holds, there will be no more */
	signal = reap(w, &code);
	w->died_ns = loop_now();
	log_info("worker ended", LOG_UINT("pid", w->pid), LOG_INT("signal", signal), LOG_INT("code", code),
	    LOG_STR("replaced", w->replaced ? "yes" : "no"));
	let_go(s);
	for (unsigned l = LINK_UP; l < STEP_LINKS; l++)
		if (s->link[l].end.generation)
			sup_kick(s, s->link[l].end.peer_bell);	/* killed between its tail and its kick */
	sup_small_pump(s);
	if (s->ending)
		return 0;
	tell_died(s, signal, code, arena_step_open(s->arena.at));
	if (!w->replaced || w->counted)
		ledger_add(&s->ledger->restarts);
	w->counted = false;
	if (sup_takeover_died(s, signal))
		return 0;
	if (w->failed && !was_ready && w->fail_error == -EPROTONOSUPPORT && !s->image_own && s->takeover.state == TAKEOVER_NONE) {
		sup_takeover(s, false, true);	/* we are of another build than it: ours has to do */
	} else if (hopeless(w, was_ready) && !((w->fail_error == -EPROTOTYPE || s->ledger->ready) && start_anew(s))) {
		log_error("the worker cannot run here", LOG_WHY(w->fail_why));
		sup_end(s, 1);
	} else if (climb(s, signal))
		schedule(s, signal, was_ready);
	return 0;
}

/* For good.  What it committed stays committed; what it did not is nobody's any more. */
void sup_worker_end(struct supervisor *s)
{
	struct sup_worker *w = &s->worker;
	struct pollfd p = { .fd = w->pidfd, .events = POLLIN };
	int code;

	s->ending = true;
	sup_takeover_drop(s);
	if (w->state == WORKER_NONE)
		return;
	if (w->state != WORKER_ENDING)
		send_drain(s, "end");
	if (poll(&p, 1, SUP_DRAIN_MS) <= 0) {
		sup_worker_kill(s);
		poll(&p, 1, -1);
	}
	reap(w, &code);
	let_go(s);
}
