/* transportd/sock.c - unix:<path> and sim. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "transportd/transport.h"

enum { BUFFER_WISH = 1024 * 1024, RETRY_MS = 20 };

int sock_prepare(int fd)
{
	int wish = BUFFER_WISH, on = 1;

	/* As far as the system lets us; credits bound what is under way, not these. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wish, sizeof wish);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &wish, sizeof wish);
	return setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on) < 0 ? -errno : 0;
}

/* One try.  A full backlog of a non-blocking socket is EAGAIN. */
static int connect_once(const struct sockaddr_un *to, int *ret_fd)
{
	int fd, r;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = connect(fd, (const struct sockaddr *)to, sizeof *to) < 0 ? -errno : sock_prepare(fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* @patient  wait for a socket that is not there yet, or that nobody listens on yet */
static int connect_path(const char *path, int patient, int *ret_fd, struct transport_why *why)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int r;

	if (strlen(path) >= sizeof to.sun_path)
		return transport_explain(why, -ENAMETOOLONG, "the path has %zu octets, a socket's may have %zu", strlen(path),
		    sizeof to.sun_path - 1);
	memcpy(to.sun_path, path, strlen(path));
	for (int waited = 0;; waited += RETRY_MS) {
		r = connect_once(&to, ret_fd);
		if (r != -EAGAIN && !(patient && (r == -ENOENT || r == -ECONNREFUSED)))
			break;
		if (waited >= TRANSPORT_WAIT_MS)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = RETRY_MS * 1000000L }, NULL);
	}
	return r < 0 ? transport_explain(why, r, "cannot connect to %s: %s", path, strerror(-r)) : 0;
}

int sock_open_unix(const char *rest, const char *run_dir, int *ret_fd, struct transport_why *why)
{
	(void)run_dir;
	if (!*rest)
		return transport_explain(why, -EINVAL, "the path is missing; expected unix:<path>");
	return connect_path(rest, 0, ret_fd, why);
}

int sock_open_sim(const char *rest, const char *run_dir, int *ret_fd, struct transport_why *why)
{
	char path[256];

	if (*rest)
		return transport_explain(why, -EINVAL, "\"%.40s\" behind \"sim\"; expected sim and nothing else", rest);
	if (snprintf(path, sizeof path, "%s/air.sock", run_dir) >= (int)sizeof path)
		return transport_explain(why, -ENAMETOOLONG, "the run dir's path is too long");
	return connect_path(path, 1, ret_fd, why);
}
