/* runtime/supervisor_takeover.c - which binary the worker is, and how another one takes over from it.
 *
 * The worker is started through a held descriptor of its binary (`image`), so that a crash, or a new life of this supervisor,
 * never changes what runs.  Asked to restart, we look at the file that lies in our own place now.  Is it another one:
 *
 *   ASKING   it is started beside the worker, gets the arena to read and is asked whether it could take over; no: it is ended
 *   AGREED   yes: its memory and its image are stored above; the worker is asked to end
 *   STARTED  the worker is gone, the new one is given everything.  Ready, or Migrated where the arena changes: one store in
 *            the ledger makes it the one that counts.  Dies it before: once more if it was killed, else the old one again
 *
 * The old arena is not written from AGREED on, so going back loses nothing. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "runtime/supervisor_private.h"
#include "shm/migrate.h"

enum { IMAGE_FD_FLOOR = 64 };	/* above whatever a child is given: it is named by number in the child */

static const char *const arena_names[2] = { "arena", "arena.1" }, *const image_names[2] = { "image", "image.1" };
static const char *const recording_names[2] = { "recording", "recording.1" };

const char *sup_arena_name(const struct supervisor *s, bool other) { return arena_names[(s->ledger->place & 1) ^ other]; }
const char *sup_image_name(const struct supervisor *s, bool other) { return image_names[(s->ledger->place >> 1 & 1) ^ other]; }
const char *sup_recording_name(const struct supervisor *s, bool other) { return recording_names[(s->ledger->place & 1) ^ other]; }

/* ---- images ---- */
static int image_open(const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC), high;

	if (fd < 0)
		return -errno;
	high = fcntl(fd, F_DUPFD_CLOEXEC, IMAGE_FD_FLOOR);
	if (high < 0)
		high = -errno;
	close(fd);
	return high;
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool is_own(int image)
{
	int own = image_open("/proc/self/exe");
	bool same = own >= 0 && same_file(own, image);

	if (own >= 0)
		close(own);
	return same;
}

/* Where the next binary will lie: as we were called, so that a link in that place may be turned. */
void sup_image_find(struct supervisor *s)
{
	const char *called = (const char *)getauxval(AT_EXECFN);
	ssize_t n;

	if (called && *called == '/' && strlen(called) < sizeof s->image_path && strncmp(called, "/proc/", 6)) {
		strcpy(s->image_path, called);
		return;
	}
	n = readlink("/proc/self/exe", s->image_path, sizeof s->image_path - 1);
	s->image_path[n > 0 ? n : 0] = 0;
}

int sup_image_take(struct supervisor *s, int stored)
{
	int fd = stored >= 0 ? fcntl(stored, F_DUPFD_CLOEXEC, IMAGE_FD_FLOOR) : image_open("/proc/self/exe");

	if (stored >= 0) {
		if (fd < 0)
			fd = -errno;
		close(stored);
	}
	if (fd < 0)
		return fd;
	if (s->image >= 0)
		close(s->image);
	s->image = fd;
	s->image_own = is_own(fd);
	return 0;
}

static int image_spawn(const struct supervisor *s, int image, int socket, pid_t *ret_pid, int *ret_pidfd)
{
	char *const argv[] = { CONTROL_STR(s->p->name), CONTROL_STR("--worker"), NULL };
	char path[32];

	snprintf(path, sizeof path, "/proc/self/fd/%d", image);
	return spawn_child(&(struct spawn){ .path = path, .argv = argv, .fds = &socket, .fd_count = 1,
	    .death_signal = SIGKILL, .no_terminal = true }, ret_pid, ret_pidfd);
}

/* ---- the one that is asked ---- */
static void candidate_let_go(struct supervisor *s)
{
	struct sup_takeover *t = &s->takeover;

	loop_unwatch(s->loop, t->watch);
	loop_unwatch(s->loop, t->control_watch);
	t->watch = t->control_watch = -1;
	s->timer[TIMER_PROBE] = 0;
}

static void candidate_end(struct supervisor *s)
{
	struct sup_takeover *t = &s->takeover;
	siginfo_t info;

	candidate_let_go(s);
	control_close(&t->control);
	t->control = (struct control_link)CONTROL_LINK_NONE;
	if (t->pidfd < 0)
		return;
	syscall(SYS_pidfd_send_signal, t->pidfd, SIGKILL, NULL, 0);
	waitid(P_PIDFD, (id_t)t->pidfd, &info, WEXITED);
	close(t->pidfd);
	t->pidfd = -1;
}

void sup_takeover_drop(struct supervisor *s)
{
	struct sup_takeover *t = &s->takeover;

	candidate_end(s);
	segment_close(&t->arena);
	if (t->image >= 0)
		close(t->image);
	t->image = -1;
	if (t->recording >= 0)
		close(t->recording);
	t->recording = -1;
	s->timer[TIMER_CLEAN] = 0;
	if (t->state != TAKEOVER_NONE) {
		fdstore_remove(&s->store, sup_arena_name(s, true));
		fdstore_remove(&s->store, sup_image_name(s, true));
		fdstore_remove(&s->store, sup_recording_name(s, true));
		sup_files_decided(s);
	}
	t->state = TAKEOVER_NONE;
}

/* One error for all of it: a client would take some (ENOENT, EPIPE) for what its own connection met. */
static void refuse(struct supervisor *s, const char *why)
{
	struct sup_conn *c = sup_conn_find(s, s->restart_conn);
	bool alone = s->takeover.must;
	char text[256];

	snprintf(text, sizeof text, "not taken over by the new binary: %.160s; %s", why,
	    alone ? "and there is no other" : "the worker of before goes on");
	log_error("takeover refused", LOG_STR("file", s->image_path), LOG_WHY(why));
	ledger_add(&s->ledger->takeovers_refused);
	sup_takeover_drop(s);
	if (c)
		sup_conn_sent(c, control_fail(&c->link, s->restart_serial, -EPROTOTYPE, text));
	s->restart_conn = 0;
	if (alone)
		sup_end(s, 1);
}

/* The other place: filled and held above before anybody is given it. */
static int prepare(struct supervisor *s)
{
	struct sup_takeover *t = &s->takeover;
	int r = 0;

	if (t->migrates) {
		s->ledger->arena[~s->ledger->place & 1] = t->said;
		r = segment_create("trefoil-arena", t->said.size, &t->arena);
	}
	if (!r && t->migrates)
		r = fdstore_put(&s->store, sup_arena_name(s, true), t->arena.fd);
	if (!r && t->migrates)
		r = sup_files_migrating(s);
	if (!r)
		r = fdstore_put(&s->store, sup_image_name(s, true), t->image);
	if (!r)
		r = sup_store_sync(s);
	return r;
}

/* Connections are ended while the old one can still say so to its peers: to hostd it looks as if gattd were lost. */
static void end_connections(struct supervisor *s)
{
	if (s->link[LINK_DOWN].name && s->p->up && s->link[LINK_DOWN].end.generation && s->worker.state == WORKER_RUNNING) {
		sup_link_tell_lost(s, LINK_DOWN);
		sup_timer_in(s, TIMER_CLEAN, SUP_CLEAN_MS);
	} else {
		sup_takeover_go(s);
	}
}

void sup_takeover_go(struct supervisor *s)
{
	if (s->takeover.state == TAKEOVER_AGREED)
		sup_worker_replace(s, true, s->takeover.cold ? "cold start asked for" : "a new binary takes over");
}

static bool said_is_sound(const struct arena_said *a)
{
	return a->size && a->size <= SUP_ARENA_MAX && a->image_octets && a->image_octets <= a->size && a->image_octets % 64 == 0;
}

static bool said_is_same(const struct arena_said *a, const struct arena_said *b)
{
	return a->size == b->size && a->image_octets == b->image_octets && a->layout_hash == b->layout_hash && a->version == b->version;
}

static int on_probed(void *self, struct control_in *in, const Probed *m)
{
	struct supervisor *s = self;
	struct sup_takeover *t = &s->takeover;
	char why[200];
	bool same;
	int r;

	(void)in;
	if (t->state != TAKEOVER_ASKING)
		return -EPROTO;
	s->timer[TIMER_PROBE] = 0;
	if (m->protocol != CONTROL_WORKER_PROTOCOL || (m->verdict != ARENA_EQUAL && m->verdict != ARENA_MIGRATES)) {
		snprintf(why, sizeof why, "layout version %u (%016" PRIx64 "): %.110s", m->version, m->layout_hash,
		    m->protocol == CONTROL_WORKER_PROTOCOL ? m->why : "it speaks to supervisors otherwise");
		refuse(s, why);
		return 0;
	}
	t->migrates = m->verdict == ARENA_MIGRATES;
	t->said = (struct arena_said){ .size = m->arena_size, .image_octets = m->image_octets, .layout_hash = m->layout_hash,
		.version = m->version };
	same = said_is_same(&t->said, &s->ledger->arena[s->ledger->place & 1]);
	if (!said_is_sound(&t->said) || (m->verdict == ARENA_EQUAL && !t->cold && !same)) {
		refuse(s, "what it says of its layout is not sound");
		return 0;
	}
	r = t->cold ? 0 : prepare(s);
	if (r) {
		refuse(s, "no memory for its arena, or nobody to hold it");
		return 0;
	}
	t->state = TAKEOVER_AGREED;
	if (t->cold)
		end_connections(s);
	else
		sup_takeover_go(s);
	return 0;
}

static int on_failed(void *self, struct control_in *in, const Failed *m)
{
	struct supervisor *s = self;

	(void)in;
	snprintf(s->takeover.why, sizeof s->takeover.why, "%s", m->why);
	return 0;
}

static const struct control_handlers handlers = { .on_probed = on_probed, .on_failed = on_failed };

static int on_candidate_frame(void *ctx, uint32_t revents)
{
	struct supervisor *s = ctx;
	struct sup_takeover *t = &s->takeover;
	int r = control_receive_all(&t->control, &handlers, s);

	(void)revents;
	if (r == 0 || r == CONTROL_EMPTY || t->control_watch < 0)
		return 0;
	loop_unwatch(s->loop, t->control_watch);	/* closed: its pidfd says the rest */
	t->control_watch = -1;
	if (r < 0 && r != -EPIPE && r != -ECONNRESET && t->state == TAKEOVER_ASKING)
		refuse(s, "its answer is no frame of ours");
	return 0;
}

static int on_candidate_gone(void *ctx, uint32_t revents)
{
	struct supervisor *s = ctx;
	struct sup_takeover *t = &s->takeover;
	char why[sizeof t->why + 48];

	(void)revents;
	while (t->control.fd >= 0 && !control_receive(&t->control, &handlers, s))
		;	/* its last words */
	if (t->pidfd < 0)
		return 0;
	candidate_end(s);
	if (t->state != TAKEOVER_ASKING)
		return 0;		/* it had agreed: another one is started in its place when its turn comes */
	snprintf(why, sizeof why, "it ended before it answered%s%s", *t->why ? ": " : "", t->why);
	refuse(s, why);
	return 0;
}

void sup_takeover_timeout(struct supervisor *s)
{
	if (s->takeover.state == TAKEOVER_ASKING)
		refuse(s, "it does not answer");
}

static int ask(struct supervisor *s)
{
	struct sup_takeover *t = &s->takeover;
	struct arena_limits limits = device_limits(s->device);
	Probe m = CONTROL_INIT(PROBE);
	Frame f = CONTROL_FRAME(PROBE, probe, &m);
	int fd = segment_reader_fd(&s->arena), r;

	if (fd < 0)
		return fd;
	m.name = CONTROL_STR(s->p->name);
	m.protocol = CONTROL_WORKER_PROTOCOL;
	m.limits = t->cold ? limits.of : s->plan.limits.of;
	m.n_limits = LIMITS;
	m.config_hash = t->cold ? device_cold_hash(s->device) : s->plan.config_hash;
	m.arena_size = s->ledger->arena[s->ledger->place & 1].size;
	m.cold = t->cold;
	r = control_send(&t->control, &f, &fd, 1);
	close(fd);
	return r;
}

static int candidate_start(struct supervisor *s)
{
	struct sup_takeover *t = &s->takeover;
	int pair[2], r;

	r = control_pair(pair);
	if (r)
		return r;
	r = image_spawn(s, t->image, pair[1], &t->pid, &t->pidfd);
	close(pair[1]);
	if (r) {
		close(pair[0]);
		return r;
	}
	r = control_open(&t->control, pair[0]);
	if (r) {
		t->control = (struct control_link)CONTROL_LINK_NONE;
		return r;
	}
	t->watch = loop_watch(s->loop, t->pidfd, POLLIN, LOOP_LEVEL, on_candidate_gone, s);
	t->control_watch = loop_watch(s->loop, t->control.fd, POLLIN, LOOP_LEVEL, on_candidate_frame, s);
	r = t->watch < 0 ? t->watch : t->control_watch < 0 ? t->control_watch : ask(s);
	return r;
}

void sup_takeover(struct supervisor *s, bool cold, bool must)
{
	struct sup_takeover *t = &s->takeover;
	int r;

	*t = (struct sup_takeover){ .state = TAKEOVER_ASKING, .cold = cold, .must = must, .pidfd = -1, .watch = -1,
	    .control_watch = -1, .control = CONTROL_LINK_NONE, .arena = SEGMENT_NONE, .recording = -1 };
	t->image = image_open(must ? "/proc/self/exe" : s->image_path);
	if (t->image < 0) {
		refuse(s, strerror(-t->image));
		return;
	}
	if (!cold && !must && same_file(t->image, s->image)) {
		sup_takeover_drop(s);
		sup_worker_replace(s, true, "restart asked for");
		return;
	}
	sup_timer_in(s, TIMER_PROBE, SUP_PROBE_MS);
	r = candidate_start(s);
	if (r && r != -EPIPE && r != -ECONNRESET)	/* then it has ended already: its pidfd says so */
		refuse(s, strerror(-r));
}

/* ---- the one that starts ---- */
int sup_takeover_launch(struct supervisor *s)
{
	struct sup_takeover *t = &s->takeover;
	struct sup_worker *w = &s->worker;
	bool ready = t->pidfd >= 0 && t->state != TAKEOVER_ASKING;
	int pair[2], r;

	if (t->state == TAKEOVER_AGREED)
		t->state = TAKEOVER_STARTED;
	t->tries += t->state == TAKEOVER_STARTED;
	if (ready) {			/* it waits already */
		candidate_let_go(s);
		w->pid = t->pid;
		w->pidfd = t->pidfd;
		w->control = t->control;
		t->pidfd = -1;
		t->control = (struct control_link)CONTROL_LINK_NONE;
		return 0;
	}
	r = control_pair(pair);
	if (r)
		return r;
	r = image_spawn(s, t->state == TAKEOVER_STARTED ? t->image : s->image, pair[1], &w->pid, &w->pidfd);
	close(pair[1]);
	if (r) {
		close(pair[0]);
		return r;
	}
	r = control_open(&w->control, pair[0]);
	if (r)
		w->control = (struct control_link)CONTROL_LINK_NONE;
	return r;
}

bool sup_takeover_migrates(const struct supervisor *s) { return s->takeover.state == TAKEOVER_STARTED && s->takeover.migrates; }

/* The one store that decides.  Both places are whole and held above at this moment. */
static void settle(struct supervisor *s)
{
	struct sup_takeover *t = &s->takeover;

	s->ledger->place ^= t->migrates ? 3 : 2;
	if (t->migrates) {
		segment_close(&s->arena);
		s->arena = t->arena;
		t->arena = (struct segment)SEGMENT_NONE;
		if (s->recording >= 0)
			close(s->recording);
		s->recording = t->recording;
		t->recording = -1;
	}
	log_info("a new binary has taken over", LOG_UINT("pid", s->worker.pid), LOG_UINT("version", t->said.version),
	    LOG_STR("arena", t->migrates ? "migrated" : "as it was"), LOG_UINT("tries", t->tries));
	ledger_add(&s->ledger->takeovers);
	close(s->image);
	s->image = t->image;
	s->image_own = is_own(s->image);
	t->image = -1;
	sup_takeover_drop(s);		/* the other place is the old one now */
}

void sup_takeover_ready(struct supervisor *s)
{
	if (s->takeover.state == TAKEOVER_STARTED && !s->takeover.migrates)
		settle(s);
}

int sup_takeover_migrated(struct supervisor *s)
{
	Switched m = CONTROL_INIT(SWITCHED);
	Frame f = CONTROL_FRAME(SWITCHED, switched, &m);

	if (!sup_takeover_migrates(s))
		return -EPROTO;
	settle(s);
	return control_send(&s->worker.control, &f, NULL, 0);
}

/* Nothing of the old one is kept but the ledger and the sockets that we listen on. */
static void start_cold(struct supervisor *s)
{
	struct sup_takeover *t = &s->takeover;

	s->cold_said = t->said;
	close(s->image);
	s->image = t->image;
	s->image_own = is_own(s->image);
	t->image = -1;
	t->state = TAKEOVER_NONE;
	strikes_cold(&s->ledger->strikes, loop_now());
	ledger_add(&s->ledger->colds);
	if (sup_cold(s)) {
		sup_takeover_drop(s);
		log_error("given up: no cold start");
		sup_end(s, 1);
		return;
	}
	sup_requests_again(s);
	sup_worker_start(s);
}

bool sup_takeover_cold(struct supervisor *s)
{
	if (s->takeover.state != TAKEOVER_AGREED || !s->takeover.cold)
		return false;
	start_cold(s);
	return true;
}

bool sup_takeover_died(struct supervisor *s, int signal)
{
	struct sup_takeover *t = &s->takeover;
	char why[sizeof s->worker.fail_why + 64];

	if (t->state == TAKEOVER_AGREED) {
		s->worker.outage_from_ns = s->worker.died_ns;
		if (t->cold)
			start_cold(s);
		else
			sup_worker_start(s);
		return true;
	}
	if (t->state != TAKEOVER_STARTED)
		return false;
	if (signal != SIGKILL || s->worker.lied || t->tries >= SUP_TRIES) {
		snprintf(why, sizeof why, "it did not come up in %u starts%s%s", t->tries, s->worker.failed ? ": " : "",
		    s->worker.failed ? s->worker.fail_why : "");
		refuse(s, why);
	} else {
		log_warn("the new binary was killed before it had taken over: once more", LOG_UINT("tries", t->tries));
	}
	if (!s->ending)
		sup_worker_start(s);
	return true;
}
