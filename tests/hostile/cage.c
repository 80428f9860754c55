/* tests/hostile/cage.c - the worker in its cage, or in an open one. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/types.h"
#include "runtime/sandbox.h"
#include "shm/migrate.h"
#include "tests/hostile/cage.h"
#include "tests/hostile/owned.h"

static struct cage cage;
static const struct program *honest;
static char way[16], what[64];
static const char *when = "turn";
static struct segment shut[2 * STEP_LINKS + 3];		/* what is out of reach until the walls are up, and how it was mapped */
static bool writable[ARRAY_LEN(shut)];
static unsigned shut_count;

int __real_sandbox_enter(const struct sandbox_plan *p, const char **ret_wall);
int __wrap_sandbox_enter(const struct sandbox_plan *p, const char **ret_wall);
int __real_io_uring_register(unsigned int fd, unsigned int opcode, const void *arg, unsigned int count);
int __wrap_io_uring_register(unsigned int fd, unsigned int opcode, const void *arg, unsigned int count);

int __real_segment_attach(int fd, size_t len, bool write, struct segment *ret);
int __wrap_segment_attach(int fd, size_t len, bool write, struct segment *ret);
void __real_step_recover(struct step *s);
void __wrap_step_recover(struct step *s);

static int enter(const struct sandbox_plan *p, const char **ret_wall)
{
	if (!cage.open)
		return __real_sandbox_enter(p, ret_wall);
	if (p->uid == 0)
		return 0;
	return setgroups(0, NULL) < 0 || setresgid(p->gid, p->gid, p->gid) < 0 || setresuid(p->uid, p->uid, p->uid) < 0 ? -errno : 0;
}
int __wrap_sandbox_enter(const struct sandbox_plan *p, const char **ret_wall)
{
	int r = enter(p, ret_wall);

	for (; !r && shut_count; shut_count--) {
		struct segment *s = &shut[shut_count - 1];

		if (mprotect(s->at, s->len, writable[shut_count - 1] ? PROT_READ | PROT_WRITE : PROT_READ) < 0)
			r = -errno;
	}
	return r;
}
int __wrap_segment_attach(int fd, size_t len, bool write, struct segment *ret)
{
	int r = __real_segment_attach(fd, len, write, ret);

	if (r || strcmp(when, "shut"))
		return r;
	if (shut_count == ARRAY_LEN(shut) || mprotect(ret->at, ret->len, PROT_NONE) < 0)
		return -ENOSPC;
	writable[shut_count] = write;
	shut[shut_count++] = *ret;
	return 0;
}
int __wrap_io_uring_register(unsigned int fd, unsigned int opcode, const void *arg, unsigned int count)
{
	return cage.open && opcode == IORING_REGISTER_RESTRICTIONS ? 0 : __real_io_uring_register(fd, opcode, arg, count);
}

static const struct attempt *find(const struct attempt *in)
{
	while (in->name && strcmp(in->name, what))
		in++;
	return in->name ? in : NULL;
}

static long attempt(struct cage *c)
{
	const struct attempt *a = NULL;

	if (!strcmp(way, "number"))
		return syscall(atol(what), -1, -1, -1, -1, -1, -1) < 0 ? -errno : 0;
	if (!strcmp(way, "opcodes"))
		return cage_opcodes(c);
	a = find(!strcmp(way, "ring") ? cage_ring_ops : cage_calls);
	if (!a) {
		owned_say("cage: no attempt \"%s %s\"", way, what);
		_exit(CAGE_BROKEN);
	}
	return a->make(c);
}

/* The moment has come, if it is this one. */
static void at(const char *moment)
{
	long r;

	if (strcmp(when, moment))
		return;
	r = attempt(&cage);
	if (r < 0)
		owned_say("cage: %s %s: %s", way, what, strerror((int)-r));
	_exit(r < 0 ? CAGE_REFUSED : CAGE_DONE);
}
static int cage_turn(struct worker *w)
{
	(void)w;
	at("turn");
	if (!strcmp(when, "shut"))
		_exit(CAGE_DONE);
	owned_say("cage: its first turn has come, and no %s", when);
	_exit(CAGE_BROKEN);
}
void __wrap_step_recover(struct step *s)
{
	at("recovery");
	__real_step_recover(s);
}
static void cage_fill(struct arena *a)
{
	at("fill");
	honest->core->fill(a);
}
static void cage_finish(struct arena *a)
{
	(void)a;
	at("migration");
}

/* What needs to be at hand is made while nothing is refused yet. */
static int cage_prepare(struct worker *w)
{
	struct cage *c = &cage;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int waiting, victim;
	unsigned l = w->link[LINK_UP].generation ? LINK_UP : LINK_DOWN;
	int r = honest->worker_prepare ? honest->worker_prepare(w) : 0;

	c->w = w;
	c->region = w->link[l].theirs.fd;
	c->theirs = w->link[l].theirs.at;
	c->plain = open(c->file, O_RDWR | O_CLOEXEC);
	c->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	c->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(at.sun_path, sizeof at.sun_path, "%.90s/own.sock", c->dir);
	unlink(at.sun_path);			/* of the life before */
	c->pidfd = (int)syscall(SYS_pidfd_open, c->neighbour, 0);
	c->low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (c->plain < 0 || c->socket < 0 || c->listening < 0 || c->pidfd < 0 || pipe2(c->pipe, O_CLOEXEC | O_NONBLOCK) < 0 ||
	    c->low == MAP_FAILED || bind(c->listening, (struct sockaddr *)&at, sizeof at) < 0 || listen(c->listening, 1) < 0)
		return -EBADF;
	strcpy(c->low, c->file);
	waiting = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);	/* somebody who would be let in */
	snprintf(c->victim, sizeof c->victim, "%.127s/victim", c->dir);
	victim = open(c->victim, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (connect(waiting, (struct sockaddr *)&at, sizeof at) < 0 || victim < 0)
		return -EBADF;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, c->pair) < 0 || write(c->pair[1], "x", 1) != 1)
		return -EBADF;
	/* A file system of this process alone: what is mounted is gone with it. */
	if (!strcmp(what, "mount") && c->open && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
		owned_say("cage: %s", strerror(errno));
	return r;
}

int cage_main(const struct program *p, const char *plan)
{
	static const struct arena_migration migrations[] = { { CAGE_OLD_VERSION, NULL, cage_finish }, { 0 } };
	static struct program caged;
	static struct core core;
	const char *rest = getenv("TREFOIL_CAGE_AT");
	long long pid;

	cage.open = getenv("TREFOIL_CAGE_OPEN") != NULL;
	if (sscanf(plan, "%15s %63s", way, what) != 2 || !rest ||
	    sscanf(rest, "%lld %p %127s %127s %127s", &pid, &cage.secret, cage.file, cage.dir, cage.listener) != 5) {
		owned_say("cage: not told what to do: %s", plan);
		return CAGE_BROKEN;
	}
	cage.neighbour = (pid_t)pid;
	if (getenv("TREFOIL_CAGE_WHEN"))
		when = getenv("TREFOIL_CAGE_WHEN");
	honest = p;
	core = *p->core;
	core.fill = cage_fill;
	core.migrations = migrations;
	caged = *p;
	caged.core = &core;
	caged.worker_prepare = cage_prepare;
	caged.worker_turn = cage_turn;
	return worker_main(&caged);
}
