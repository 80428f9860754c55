/* runtime/fdstore.c - the sender's side. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/fdstore.h"

int fdstore_open(struct fdstore *f)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;
	int fd;

	*f = (struct fdstore)FDSTORE_NONE;
	if (!n)
		return 0;
	if ((path[0] != '/' && path[0] != '@') || n >= sizeof to.sun_path)
		return -EINVAL;
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')		/* abstract: a zero octet takes the place of the sign */
		to.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	*f = (struct fdstore){ fd, to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n) };
	return 0;
}

static int send_with_fd(struct fdstore *f, const char *text, int fd)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr m = { .msg_name = &f->to, .msg_namelen = f->to_len, .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (!fdstore_there(f))
		return 0;
	if (fd >= 0) {
		memset(&control, 0, sizeof control);
		m.msg_control = control.room;
		m.msg_controllen = sizeof control.room;
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	while (sendmsg(f->fd, &m, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int fdstore_put(struct fdstore *f, const char *name, int fd)
{
	char text[80];

	snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%s\nFDPOLL=0\n", name);
	return send_with_fd(f, text, fd);
}

int fdstore_remove(struct fdstore *f, const char *name)
{
	char text[80];

	snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=%s\n", name);
	return send_with_fd(f, text, -1);
}

int fdstore_barrier(struct fdstore *f, int timeout_ms)
{
	struct pollfd p;
	int ends[2], r;

	if (!fdstore_there(f))
		return 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	r = send_with_fd(f, "BARRIER=1", ends[1]);
	close(ends[1]);		/* ours: only the receiver's copy keeps the pipe open now */
	if (r)
		goto out;
	p = (struct pollfd){ .fd = ends[0] };
	do
		r = poll(&p, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	r = r < 0 ? -errno : r ? 0 : -ETIMEDOUT;
out:
	close(ends[0]);
	return r;
}

int fdstore_tell(struct fdstore *f, const char *text)
{
	return send_with_fd(f, text, -1);
}

void fdstore_close(struct fdstore *f)
{
	if (f->fd >= 0)
		close(f->fd);
	*f = (struct fdstore)FDSTORE_NONE;
}

static bool number_in(const char *text, long lo, long hi, long *ret)
{
	char *end;
	long v;

	if (!text || !*text)
		return false;
	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || *end || v < lo || v > hi)
		return false;
	*ret = v;
	return true;
}

static void take_names(struct fd_set_named *s, const char *names)
{
	for (unsigned i = 0; names && i < s->count; i++) {
		size_t n = strcspn(names, ":");

		snprintf(s->at[i].name, sizeof s->at[i].name, "%.*s", (int)n, names);
		names = names[n] ? names + n + 1 : NULL;
	}
}

int fds_inherited(struct fd_set_named *ret)
{
	long pid, count = 0;
	int r = 0;

	*ret = (struct fd_set_named){ .count = 0 };
	if (getenv("LISTEN_PID") && getenv("LISTEN_FDS")) {
		if (!number_in(getenv("LISTEN_PID"), 1, INT32_MAX, &pid) ||
		    !number_in(getenv("LISTEN_FDS"), 0, FDSHELF_MAX, &count))
			r = -EINVAL;
		else if (pid != (long)getpid())
			count = 0;	/* meant for another process, which is none of our business */
	}
	if (!r) {
		ret->count = (unsigned)count;
		for (unsigned i = 0; i < ret->count; i++) {
			ret->at[i] = (struct named_fd){ .fd = 3 + (int)i };
			if (fcntl(ret->at[i].fd, F_SETFD, FD_CLOEXEC) < 0)
				r = -EINVAL;
		}
		take_names(ret, getenv("LISTEN_FDNAMES"));
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return r;
}

bool fds_has(const struct fd_set_named *s, const char *name)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!strcmp(s->at[i].name, name))
			return true;
	return false;
}

int fds_take(struct fd_set_named *s, const char *name)
{
	for (unsigned i = s->count; i-- > 0; )
		if (!strcmp(s->at[i].name, name)) {
			int fd = s->at[i].fd;

			s->at[i] = s->at[--s->count];
			return fd;
		}
	return -1;
}

void fds_close(struct fd_set_named *s)
{
	while (s->count)
		close(s->at[--s->count].fd);
}
