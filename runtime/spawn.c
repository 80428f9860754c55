/* runtime/spawn.c - start a child with descriptors in place. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "runtime/fdstore.h"

extern char **environ;

enum { ENV_MAX = 512, NAMES_MAX = FDSHELF_MAX * (FDNAME_MAX + 1) };

/* All that the child needs is ready before it exists: it shares our memory until it execs. */
struct plan {
	const struct spawn *s;
	char *env[ENV_MAX];
	unsigned env_count;
	char pid[32], fds[32], names[sizeof "LISTEN_FDNAMES=" + NAMES_MAX];
	int from[FDSHELF_MAX], high[FDSHELF_MAX];
	unsigned count;
	pid_t parent;
	volatile int error;
};

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return !strncmp(a, b, n) && b[n] == '=';
}

static int plan_env(struct plan *p)
{
	static const char *const ours[] = { "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=" };
	char *const *more = p->s->env;
	bool skip;

	for (char **e = environ; e && *e; e++) {
		skip = false;
		for (unsigned i = 0; i < 3; i++)
			skip |= !strncmp(*e, ours[i], strlen(ours[i]));
		for (unsigned i = 0; more && more[i]; i++)
			skip |= same_name(more[i], *e);
		if (skip)
			continue;
		if (p->env_count >= ENV_MAX - 16)
			return -E2BIG;
		p->env[p->env_count++] = *e;
	}
	for (unsigned i = 0; more && more[i]; i++) {
		if (p->env_count >= ENV_MAX - 4)
			return -E2BIG;
		p->env[p->env_count++] = more[i];
	}
	return 0;
}

static int plan_fds(struct plan *p)
{
	const struct fd_set_named *l = p->s->listen;
	size_t at;

	p->count = l ? l->count : p->s->fd_count;
	if (p->count > FDSHELF_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < p->count; i++)
		p->from[i] = l ? l->at[i].fd : p->s->fds[i];
	if (!l)
		return 0;
	snprintf(p->fds, sizeof p->fds, "LISTEN_FDS=%u", l->count);
	at = (size_t)snprintf(p->names, sizeof p->names, "LISTEN_FDNAMES=");
	for (unsigned i = 0; i < l->count; i++)
		at += (size_t)snprintf(p->names + at, sizeof p->names - at, "%s%s", i ? ":" : "", l->at[i].name);
	p->env[p->env_count++] = p->pid;	/* filled in by the child: only it knows */
	p->env[p->env_count++] = p->fds;
	p->env[p->env_count++] = p->names;
	return 0;
}

/* Decimal without stdio: the child of a vfork must not touch the parent's locks. */
static void write_pid(char *at, pid_t pid)
{
	static const char name[] = "LISTEN_PID=";
	char digits[12];
	unsigned n = 0;

	for (unsigned long v = (unsigned long)pid; v || !n; v /= 10)
		digits[n++] = (char)('0' + v % 10);
	memcpy(at, name, sizeof name - 1);
	at += sizeof name - 1;
	while (n)
		*at++ = digits[--n];
	*at = 0;
}

/* Standard input and output of whoever started us are nothing to a child that only logs. */
static bool leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		return false;
	if (null > 2)
		close(null);
	return true;
}

/* In the child.  Sources may lie where targets go, so they move out of the way first. */
static _Noreturn void become(struct plan *p)
{
	sigset_t none;
	int floor = 3 + (int)p->count;

	for (unsigned i = 0; i < p->count; i++) {
		p->high[i] = fcntl(p->from[i], F_DUPFD_CLOEXEC, floor);
		if (p->high[i] < 0)
			goto fail;
	}
	if (p->s->no_terminal && !leave_terminal())
		goto fail;
	for (unsigned i = 0; i < p->count; i++)
		if (dup2(p->high[i], 3 + (int)i) < 0)
			goto fail;
	if (p->s->listen)
		write_pid(p->pid, getpid());
	if (p->s->death_signal && (prctl(PR_SET_PDEATHSIG, p->s->death_signal) < 0 || getppid() != p->parent))
		goto fail;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(p->s->path, p->s->argv, p->env);
fail:
	p->error = errno;
	_exit(127);
}

int spawn_child(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd)
{
	struct plan *p = calloc(1, sizeof *p);
	sigset_t all, old;
	pid_t pid;
	int r, fd;

	if (!p)
		return -ENOMEM;
	p->s = s;
	p->parent = getpid();
	r = plan_env(p);
	if (!r)
		r = plan_fds(p);
	if (r)
		goto out;
	sigfillset(&all);	/* no handler of ours may run in the child on our stack */
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = vfork();
	if (pid == 0)
		become(p);
	r = pid < 0 ? -errno : -p->error;
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		goto out;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (!r && fd < 0)
		r = -errno;
	if (r) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		if (fd >= 0)
			close(fd);
		goto out;
	}
	*ret_pid = pid;
	*ret_pidfd = fd;
out:
	free(p);
	return r;
}
