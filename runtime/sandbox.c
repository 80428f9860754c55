/* runtime/sandbox.c - the walls, one after the other. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "runtime/sandbox_own.h"

static char description[96];

const char *sandbox_describe(void) { return description; }

static int lower(int resource, rlim_t to)
{
	struct rlimit now;

	if (getrlimit((__rlimit_resource_t)resource, &now) < 0)
		return -errno;
	if (now.rlim_max != RLIM_INFINITY && now.rlim_max < to)
		to = now.rlim_max;
	return setrlimit((__rlimit_resource_t)resource, &(struct rlimit){ to, to }) < 0 ? -errno : 0;
}

/* A file that grows by write: a log or a capture.  Sealed memory is S_ISREG too, and does not grow. */
static bool grows(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);		/* -1: no memory file */
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (seals < 0 || !(seals & F_SEAL_GROW));
}

/* No file may grow, unless one that stays is there to grow: the limit would kill its writer. */
static int wall_fsize(const struct sandbox_plan *p)
{
	for (unsigned i = 0; i < p->keep_count; i++)
		if (grows(p->keep[i]))
			return 0;
	return grows(STDOUT_FILENO) || grows(STDERR_FILENO) ? 0 : lower(RLIMIT_FSIZE, 0);
}

static int wall_rlimits(const struct sandbox_plan *p)
{
	static const struct { int what; rlim_t to; } limits[] = {
		{ RLIMIT_CORE, 0 }, { RLIMIT_MSGQUEUE, 0 }, { RLIMIT_LOCKS, 0 }, { RLIMIT_NICE, 0 },
		{ RLIMIT_RTPRIO, 0 }, { RLIMIT_SIGPENDING, 16 }, { RLIMIT_NPROC, 0 },
	};

	(void)p;
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		int r = lower(limits[i].what, limits[i].to);

		if (r)
			return r;
	}
	return 0;
}

/* Received descriptors take the lowest free numbers, so a limit just above the highest one that stays refuses all others. */
static int wall_nofile(const struct sandbox_plan *p)
{
	rlim_t most = 3;

	for (unsigned i = 0; i < p->keep_count; i++)
		if (p->keep[i] >= 0 && (rlim_t)p->keep[i] + 1 > most)
			most = (rlim_t)p->keep[i] + 1;
	return lower(RLIMIT_NOFILE, most);
}

static int wall_ids(const struct sandbox_plan *p)
{
	if (p->uid == 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(p->gid, p->gid, p->gid) < 0 || setresuid(p->uid, p->uid, p->uid) < 0)
		return -errno;
	return 0;
}

static int wall_parent(const struct sandbox_plan *p)
{
	if (p->parent == 0)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	return getppid() == p->parent ? 0 : -ESRCH;	/* it died before the call: no signal will come */
}

static int wall_secrets(const struct sandbox_plan *p)
{
	(void)p;
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

/* Before the ids: it needs CAP_SETPCAP, which goes with uid 0.  Who never had it is bounded by no_new_privs alone. */
static int wall_bounds(const struct sandbox_plan *p)
{
	(void)p;
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL && errno != EPERM)
			return -errno;
	return 0;
}

static int wall_privilege(const struct sandbox_plan *p)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { { 0 } };

	(void)p;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	if (syscall(SYS_capset, &head, none) < 0)
		return -errno;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int by_number(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Everything between the descriptors that stay. */
static int wall_descriptors(const struct sandbox_plan *p)
{
	int sorted[256], from = 3, r = 0;

	if (p->keep_count > sizeof sorted / sizeof *sorted)
		return -E2BIG;
	for (unsigned i = 0; i < p->keep_count; i++)
		sorted[i] = p->keep[i];
	qsort(sorted, p->keep_count, sizeof *sorted, by_number);
	for (unsigned i = 0; r == 0 && i < p->keep_count; i++) {
		if (sorted[i] > from)
			r = close_range((unsigned)from, (unsigned)sorted[i] - 1, 0) < 0 ? -errno : 0;
		if (sorted[i] >= from)
			from = sorted[i] + 1;
	}
	return r ? r : close_range((unsigned)from, ~0u, 0) < 0 ? -errno : 0;
}

static void describe(const struct sandbox_plan *p)
{
	int n = snprintf(description, sizeof description, "seccomp rlimits nodump nocaps noprivs%s",
	    SANDBOX_LOOSE ? " sanitizer" : "");

	if (p->parent)
		n += snprintf(description + n, sizeof description - (size_t)n, " pdeath");
	snprintf(description + n, sizeof description - (size_t)n, " uid=%u", (unsigned)geteuid());
}

int sandbox_enter(const struct sandbox_plan *p, const char **ret_wall)
{
	static const struct { const char *name; int (*raise)(const struct sandbox_plan *p); } walls[] = {
		{ "descriptors", wall_descriptors },
		{ "bounds", wall_bounds },
		{ "ids", wall_ids },
		{ "rlimits", wall_rlimits },	/* after the ids: setresuid looks at RLIMIT_NPROC */
		{ "fsize", wall_fsize },
		{ "nofile", wall_nofile },
		{ "parent", wall_parent },
		{ "secrets", wall_secrets },
		{ "privilege", wall_privilege },
		{ "seccomp", sandbox_seccomp },
	};
	int r = 0;

	describe(p);
	for (size_t i = 0; r == 0 && i < sizeof walls / sizeof *walls; i++) {
		if (ret_wall)
			*ret_wall = walls[i].name;
		r = walls[i].raise(p);
	}
	if (r)
		description[0] = '\0';
	else if (p->uid)	/* geteuid() was still the former one */
		snprintf(strstr(description, " uid="), 24, " uid=%u", (unsigned)p->uid);
	return r;
}
