/* runtime/run_dir.c */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "runtime/run_dir.h"

static const char LOCK[] = "lock";

static int fail(struct run_dir *d, int r, const char *what)
{
	snprintf(d->why, sizeof d->why, "run dir %s: %s%s%s", d->path, what, r < 0 ? ": " : "", r < 0 ? strerror(-r) : "");
	return r;
}

int run_dir_resolve(struct run_dir *d, const char *option)
{
	const char *own = getenv("TREFOIL_RUN_DIR"), *xdg = getenv("XDG_RUNTIME_DIR");
	int n;

	*d = (struct run_dir)RUN_DIR_NONE;
	if (option && *option)
		n = snprintf(d->path, sizeof d->path, "%s", option);
	else if (own && *own)
		n = snprintf(d->path, sizeof d->path, "%s", own);
	else if (xdg && *xdg)
		n = snprintf(d->path, sizeof d->path, "%s/trefoil", xdg);
	else
		n = snprintf(d->path, sizeof d->path, "/run/trefoil");
	if (n < 0 || (size_t)n >= sizeof d->path) {
		snprintf(d->why, sizeof d->why,
		    "run dir %.60s...: its path is longer than the %d octets that leave room for socket names",
		    d->path, RUN_DIR_PATH - 1);
		return -ENAMETOOLONG;
	}
	while (n > 1 && d->path[n - 1] == '/')
		d->path[--n] = '\0';
	return 0;
}

int run_dir_make(struct run_dir *d, gid_t group)
{
	struct stat st;

	if (mkdir(d->path, 0700) == 0)
		d->made = true;
	else if (errno != EEXIST)
		return fail(d, -errno, "cannot be made");
	if (stat(d->path, &st) < 0)
		return fail(d, -errno, "cannot be looked at");
	if (!S_ISDIR(st.st_mode))
		return fail(d, -ENOTDIR, "expected a directory");
	if (st.st_uid != geteuid()) {
		snprintf(d->why, sizeof d->why, "run dir %s: belongs to uid %u, expected uid %u", d->path, st.st_uid, geteuid());
		return RUN_DIR_E_FOREIGN;
	}
	if (!d->made && st.st_mode & S_IWOTH)
		return fail(d, RUN_DIR_E_FOREIGN, "anybody may write to it, expected mode 0750");
	if (!d->made && st.st_mode & S_IWGRP)
		return fail(d, RUN_DIR_E_FOREIGN, "its group may write to it, expected mode 0750");
	if (d->made && ((group != (gid_t)-1 && chown(d->path, (uid_t)-1, group) < 0) || chmod(d->path, 0750) < 0))
		return fail(d, -errno, "its group or mode cannot be set");
	return 0;
}

const char *run_dir_file(const struct run_dir *d, const char *name, char *buf, size_t cap)
{
	int n = snprintf(buf, cap, "%s/%s", d->path, name);

	return n < 0 || (size_t)n >= cap ? NULL : buf;
}

static pid_t holder_of(int fd)
{
	char text[16] = "";
	ssize_t n = pread(fd, text, sizeof text - 1, 0);

	return n > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

/* Is what we have locked still what the path names?  A former holder removes the file when it ends. */
static bool lock_is_current(const struct run_dir *d, const char *path)
{
	struct stat a, b;

	return fstat(d->lock, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int lock_once(struct run_dir *d, const char *path)
{
	d->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (d->lock < 0)
		return fail(d, -errno, "its lock cannot be opened");
	if (flock(d->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return fail(d, -errno, "cannot be locked");
	snprintf(d->why, sizeof d->why, "run dir %s: holds a live pipeline (pid %d)", d->path, (int)holder_of(d->lock));
	return RUN_DIR_E_HELD;
}

static void unlock(struct run_dir *d)
{
	if (d->lock >= 0)
		close(d->lock);
	d->lock = -1;
}

int run_dir_lock(struct run_dir *d)
{
	char path[RUN_DIR_PATH + RUN_DIR_NAME], text[16];
	int r, n;

	run_dir_file(d, LOCK, path, sizeof path);
	for (;;) {
		r = lock_once(d, path);
		if (r || lock_is_current(d, path))
			break;
		unlock(d);
	}
	if (r) {
		unlock(d);
		return r;
	}
	n = snprintf(text, sizeof text, "%d\n", (int)getpid());
	if (ftruncate(d->lock, 0) < 0 || pwrite(d->lock, text, (size_t)n, 0) != n) {
		r = fail(d, errno ? -errno : -EIO, "its lock cannot be written");
		unlock(d);
	}
	return r;
}

int run_dir_own(struct run_dir *d, const char *name)
{
	for (unsigned i = 0; i < d->files; i++)
		if (strcmp(d->file[i], name) == 0)
			return 0;
	if (d->files == RUN_DIR_FILES || strlen(name) >= RUN_DIR_NAME)
		return -ENOSPC;
	strcpy(d->file[d->files++], name);
	return 0;
}

void run_dir_end(struct run_dir *d)
{
	char path[RUN_DIR_PATH + RUN_DIR_NAME];

	while (d->files)
		unlink(run_dir_file(d, d->file[--d->files], path, sizeof path));
	if (d->lock >= 0)		/* while it is held: who waits for it looks whether it is still the current one */
		unlink(run_dir_file(d, LOCK, path, sizeof path));
	unlock(d);
	if (d->made)
		rmdir(d->path);		/* stays if somebody else put something there */
	d->made = false;
}
