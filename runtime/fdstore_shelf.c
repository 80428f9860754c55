/* runtime/fdstore_shelf.c - the receiver's side, as systemd does it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "runtime/fdstore.h"

enum { TEXT_MAX = 4096, FDS_MAX = 8 };

struct notice {			/* one datagram */
	char text[TEXT_MAX];
	size_t len;
	pid_t from;
	int fd[FDS_MAX];
	unsigned fds;
	bool cut;		/* more octets or descriptors than we take */
};

static int shelf_socket(struct fdshelf *s)
{
	int on = 1, r;

	*s = (struct fdshelf){ .fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
	if (s->fd >= 0 && setsockopt(s->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0)
		return 0;
	r = -errno;
	fdshelf_close(s);
	return r;
}

int fdshelf_open(struct fdshelf *s)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	socklen_t len = sizeof at;
	int r = shelf_socket(s);

	if (r)
		return r;
	/* An address of two octets asks the kernel for a free abstract name (unix(7), autobind). */
	if (bind(s->fd, (struct sockaddr *)&at, sizeof at.sun_family) < 0 || getsockname(s->fd, (struct sockaddr *)&at, &len) < 0) {
		r = -errno;
		fdshelf_close(s);
		return r;
	}
	snprintf(s->address, sizeof s->address, "@%.*s", (int)(len - offsetof(struct sockaddr_un, sun_path) - 1), at.sun_path + 1);
	return 0;
}

int fdshelf_open_at(struct fdshelf *s, const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct stat st;
	mode_t mask;
	int r = shelf_socket(s);

	if (r)
		return r;
	r = *path != '/' || strlen(path) >= sizeof at.sun_path ? -EINVAL : 0;
	if (!r && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && unlink(path) < 0)	/* what a killed one left */
		r = -errno;
	if (!r) {
		strcpy(at.sun_path, path);
		mask = umask(0177);
		r = bind(s->fd, (struct sockaddr *)&at, sizeof at) < 0 ? -errno : 0;
		umask(mask);
	}
	if (r)
		fdshelf_close(s);
	else
		strcpy(s->address, path);
	return r;
}

void fdshelf_expect(struct fdshelf *s, pid_t pid)
{
	s->from = pid;
	s->ready = s->stopping = false;
	s->status[0] = 0;
}

/* Only what the kernel says of it: text is looked at once it is known to be from the right one. */
static int receive_one(int fd, struct notice *n)
{
	union { char room[CMSG_SPACE(sizeof(int) * FDS_MAX) + CMSG_SPACE(sizeof(struct ucred))]; struct cmsghdr align; } control;
	struct iovec iov = { n->text, sizeof n->text - 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room };
	struct ucred who;
	ssize_t len;

	len = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (len < 0)
		return -errno;
	n->from = 0;
	n->fds = 0;
	n->len = (size_t)len;
	n->text[len] = 0;
	n->cut = m.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&who, CMSG_DATA(c), sizeof who);
			n->from = who.pid;
		} else if (c->cmsg_type == SCM_RIGHTS) {
			n->fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(n->fd, CMSG_DATA(c), n->fds * sizeof(int));
		}
	}
	return 0;
}

static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == ':')
			return false;
	return n >= 1 && n <= FDNAME_MAX;
}

static bool shelf_put(struct fdshelf *s, const char *name, struct notice *n)
{
	if (!name_ok(name) || !n->fds || s->held.count + n->fds > FDSHELF_MAX)
		return false;
	for (unsigned i = 0; i < n->fds; i++) {
		struct named_fd *at = &s->held.at[s->held.count++];

		snprintf(at->name, sizeof at->name, "%s", name);
		at->fd = n->fd[i];
	}
	n->fds = 0;		/* taken */
	return true;
}

static void shelf_forget(struct fdshelf *s, const char *name)
{
	int fd;

	while ((fd = fds_take(&s->held, name)) >= 0)
		close(fd);
}

/* Returns whether the datagram made sense. */
static bool on_notice(struct fdshelf *s, struct notice *n)
{
	bool put = false, forget = false, known = false;
	const char *name = "stored";	/* as systemd calls what has no name */
	char *save = NULL;

	for (char *line = strtok_r(n->text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		put |= !strcmp(line, "FDSTORE=1");
		forget |= !strcmp(line, "FDSTOREREMOVE=1");
		if (!strncmp(line, "FDNAME=", 7))
			name = line + 7;
		else if (!strcmp(line, "READY=1"))
			known = s->ready = true;
		else if (!strcmp(line, "STOPPING=1"))
			known = s->stopping = true;
		else if (!strncmp(line, "STATUS=", 7)) {
			known = true;
			snprintf(s->status, sizeof s->status, "%s", line + 7);
		} else if (!strcmp(line, "BARRIER=1"))
			known = n->fds == 1;	/* closed by our caller: all before it has been handled, datagrams keep their order */
	}
	if (put)
		return shelf_put(s, name, n);
	if (forget && !name_ok(name))
		return false;
	if (forget)
		shelf_forget(s, name);
	return known || forget;
}

int fdshelf_receive(struct fdshelf *s)
{
	struct notice n;
	int r;

	for (unsigned turn = 0; turn < FDSHELF_TURN; turn++) {
		r = receive_one(s->fd, &n);
		if (r == -EINTR)
			continue;
		if (r)
			return r == -EAGAIN ? 0 : r;
		if (!s->from || n.from != s->from || n.cut || strlen(n.text) != n.len || !on_notice(s, &n))
			s->refused++;
		for (unsigned i = 0; i < n.fds; i++)
			close(n.fd[i]);
	}
	return 0;
}

int fdshelf_end_worker(struct fdshelf *s, int timeout_ms)
{
	struct pollfd p = { .events = POLLIN };
	int r;

	while ((p.fd = fds_take(&s->held, "worker")) >= 0) {
		/* ESRCH: it is gone already, or was waited for by nobody but init: both are what we want. */
		syscall(SYS_pidfd_send_signal, p.fd, SIGKILL, NULL, 0);
		do
			r = poll(&p, 1, timeout_ms);
		while (r < 0 && errno == EINTR);
		close(p.fd);
		if (r <= 0)
			return r ? -errno : -ETIMEDOUT;
	}
	return 0;
}

void fdshelf_close(struct fdshelf *s)
{
	fds_close(&s->held);
	if (s->address[0] == '/')
		unlink(s->address);
	s->address[0] = 0;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}
