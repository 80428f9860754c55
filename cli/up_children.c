/* cli/up_children.c - starting, keeping and ending the processes of a pipeline. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/types.h"
#include "cli/up.h"
#include "runtime/log.h"

enum { END_MS = 3000, WORKER_GONE_MS = 2000, WELL_NS = 1000000000, EXIT_GAVE_UP = 1, DEATHS_MAX = 16 };
static const uint64_t backoff_ms[UP_BACKOFFS] = { 0, 10, 50, 100, 250 };

static int on_child_gone(void *ctx, uint32_t revents);

static int on_shelf(void *ctx, uint32_t revents)
{
	struct child *c = ctx;

	(void)revents;
	return fdshelf_receive(&c->shelf);
}

static void add(struct child *c, const char *word)
{
	unsigned n = 0;

	while (c->argv[n])
		n++;
	if (n + 1 < UP_ARGS)
		c->argv[n] = word;
}

/* An option that is passed on if it was given. */
static void add_value(struct child *c, const char *option, const char *value)
{
	if (!value)
		return;
	add(c, option);
	add(c, value);
}

static void arguments(struct up *u, enum child_kind k)
{
	struct child *c = &u->child[k];

	add(c, c->name);
	add(c, "--run-dir");
	add(c, u->cli->dir.path);
	if (k == CHILD_AIRSIM) {
		for (unsigned i = 0; i < u->airs; i++) {
			add(c, "--air");
			add(c, u->air[i]);
		}
		return;
	}
	add_value(c, "--log", u->log);
	add_value(c, "--config", u->config);
	add_value(c, "--record", u->record);
	add_value(c, "--record-size", u->record_size);
	add_value(c, "--quarantine", u->quarantine);
	if (k != CHILD_TRANSPORTD)
		return;
	add(c, "--transport");
	add(c, u->transport);
	add_value(c, "--btsnoop", u->btsnoop);
}

/* In the run dir, where nobody else can send to it; under an abstract name where that path would be too long. */
static int open_shelf(struct child *c)
{
	char dir[PATH_MAX], path[PATH_MAX + RUN_DIR_NAME + 16];
	int r = -EINVAL;

	if (realpath(c->up->cli->dir.path, dir)) {
		snprintf(path, sizeof path, "%s/notify-%s.sock", dir, c->name);
		r = fdshelf_open_at(&c->shelf, path);
	}
	return r == -EINVAL ? fdshelf_open(&c->shelf) : r;
}

int up_children_open(struct up *u)
{
	static const char *const names[CHILDREN] = { "airsim", "transportd", "hostd", "gattd" };
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	int r;

	if (n < 0)
		return -errno;
	self[n] = 0;
	*strrchr(self, '/') = 0;
	for (unsigned k = 0; k < CHILDREN; k++) {
		struct child *c = &u->child[k];

		c->up = u;
		c->name = names[k];
		c->pidfd = c->watch_pid = c->watch_shelf = c->shelf.fd = -1;
		c->wanted = k != CHILD_AIRSIM || u->airs || !strcmp(u->transport, "sim");
		if (!c->wanted)
			continue;
		snprintf(c->path, sizeof c->path, "%.*s/%s", (int)sizeof c->path - 32, self, c->name);
		arguments(u, k);
		r = open_shelf(c);
		if (r)
			return r;
		c->watch_shelf = loop_watch(u->loop, c->shelf.fd, POLLIN, LOOP_LEVEL, on_shelf, c);
		if (c->watch_shelf < 0)
			return c->watch_shelf;
	}
	return 0;
}

static int start(struct child *c)
{
	char notify[sizeof "NOTIFY_SOCKET=" + sizeof c->shelf.address];
	char *env[] = { notify, NULL };
	struct spawn s = { .path = c->path, .argv = (char *const *)(uintptr_t)c->argv, .env = env, .listen = &c->shelf.held,
		.death_signal = SIGTERM };
	int r;

	snprintf(notify, sizeof notify, "NOTIFY_SOCKET=%s", c->shelf.address);
	r = spawn_child(&s, &c->pid, &c->pidfd);
	if (r) {
		log_error("cannot start", LOG_STR("program", c->path), LOG_ERRNO(r));
		return r;
	}
	fdshelf_expect(&c->shelf, c->pid);
	c->running = true;
	c->started_ns = loop_now();
	c->again_ns = 0;
	c->watch_pid = loop_watch(c->up->loop, c->pidfd, POLLIN, LOOP_LEVEL, on_child_gone, c);
	return c->watch_pid < 0 ? c->watch_pid : 0;
}

/* airsim first, and listening, so that a transport `sim` finds it; then from the controller downwards. */
int up_children_start(struct up *u)
{
	int r = 0;

	for (unsigned k = 0; k < CHILDREN && !r && !u->ending; k++) {
		struct child *c = &u->child[k];

		if (!c->wanted)
			continue;
		r = start(c);
		while (!r && k == CHILD_AIRSIM && !c->shelf.ready && !u->ending) {
			r = loop_run_once(u->loop, LOOP_FOREVER);
			r = r < 0 && r != -EINTR ? r : 0;
		}
	}
	return r;
}

static int give_up(struct child *c, const char *why)
{
	log_error("pipeline ends", LOG_STR("because_of", c->name), LOG_WHY(why));
	c->up->exit_code = EXIT_FAILED;
	c->up->ending = true;
	return 0;
}

/* It has given up, and has said why: no second complaint. */
static int end_quietly(struct child *c)
{
	log_info("pipeline ends", LOG_STR("because_of", c->name));
	c->up->exit_code = EXIT_FAILED;
	c->up->ending = true;
	return 0;
}

/* Start it again after its backoff; too many times in a row end the pipeline. */
static int again_later(struct child *c)
{
	uint64_t now = loop_now();

	if (c->started_ns && now - c->started_ns > WELL_NS)
		c->deaths = 0;
	if (c->deaths > DEATHS_MAX)
		return give_up(c, "it dies again and again, or cannot be started");
	c->again_ns = now + backoff_ms[MIN(c->deaths, (unsigned)UP_BACKOFFS - 1)] * 1000000;
	c->started_ns = 0;
	c->deaths++;
	return 0;
}

/* A death is an order: hear what it still said, wait for its worker to be gone, start it again with what it stored. */
static int on_child_gone(void *ctx, uint32_t revents)
{
	struct child *c = ctx;
	siginfo_t how = { 0 };
	int r;

	(void)revents;
	if (waitid(P_PIDFD, (id_t)c->pidfd, &how, WEXITED | WNOHANG) < 0 || !how.si_pid)
		return 0;
	loop_unwatch(c->up->loop, c->watch_pid);
	close(c->pidfd);
	c->pidfd = c->watch_pid = -1;
	c->running = false;
	r = fdshelf_receive(&c->shelf);
	if (r || c->up->ending)
		return r;
	if (how.si_code == CLD_EXITED && how.si_status == EXIT_GAVE_UP)
		return end_quietly(c);
	if (c == &c->up->child[CHILD_AIRSIM])
		return give_up(c, "the simulated air is gone");
	if (how.si_code == CLD_EXITED && how.si_status == EXIT_USAGE)
		return give_up(c, "it does not take these options");
	log_warn("supervisor died", LOG_STR("name", c->name), LOG_INT("pid", how.si_pid),
	    LOG_INT(how.si_code == CLD_EXITED ? "code" : "signal", how.si_status));
	if (how.si_code == CLD_KILLED && how.si_status == SIGKILL && c->shelf.ready)
		c->deaths = 0;			/* from outside: nothing of its own making, so it is back at once */
	return again_later(c);
}

uint64_t up_children_again(struct up *u)
{
	uint64_t next = LOOP_FOREVER, now = loop_now();

	for (unsigned k = 0; k < CHILDREN && !u->ending; k++) {
		struct child *c = &u->child[k];

		if (!c->again_ns || c->running)
			continue;
		if (c->again_ns > now) {
			next = MIN(next, c->again_ns);
			continue;
		}
		c->again_ns = 0;
		if (fdshelf_end_worker(&c->shelf, WORKER_GONE_MS))
			give_up(c, "its worker cannot be ended");
		else if (start(c))
			again_later(c);		/* its file is being replaced, perhaps */
		if (c->again_ns)
			next = MIN(next, c->again_ns);
	}
	return next;
}

bool up_all_ready(const struct up *u)
{
	for (unsigned k = 0; k < CHILDREN; k++)
		if (u->child[k].wanted && !u->child[k].shelf.ready)
			return false;
	return true;
}

void up_signal_all(struct up *u, int sig)
{
	for (unsigned k = CHILD_TRANSPORTD; k < CHILDREN; k++)
		if (u->child[k].running)
			syscall(SYS_pidfd_send_signal, u->child[k].pidfd, sig, NULL, 0);
}

/* Serve everybody until `c` is gone or END_MS have passed: others may be waiting for their barrier. */
static void await_end(struct child *c)
{
	uint64_t until = loop_now() + END_MS * 1000000ull;

	while (c->running && loop_now() < until)
		if (loop_run_once(c->up->loop, until) < 0)
			break;
}

static void end_child(struct child *c)
{
	if (c->running) {
		syscall(SYS_pidfd_send_signal, c->pidfd, SIGTERM, NULL, 0);
		await_end(c);
	}
	if (c->running) {
		log_warn("does not end: killed", LOG_STR("name", c->name), LOG_INT("pid", c->pid));
		syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0);
		await_end(c);
	}
	if (!c->wanted)
		return;
	fdshelf_end_worker(&c->shelf, WORKER_GONE_MS);
	loop_unwatch(c->up->loop, c->watch_shelf);
	fdshelf_close(&c->shelf);
	c->watch_shelf = -1;
}

void up_children_end(struct up *u)
{
	u->ending = true;
	for (unsigned k = CHILDREN; k-- > 0;)
		end_child(&u->child[k]);
}
