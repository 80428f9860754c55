/* Listening sockets.  airsim/listen_port.h says what holds. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "airsim/listen_port.h"

enum { LISTEN_BACKLOG = 512, LISTEN_FD_FIRST = 3, PROBES = 6, PROBE_PAUSE_NS = 50000000 };

static bool is_refused(const struct sockaddr_un *at)
{
	int fd, r;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	r = connect(fd, (const struct sockaddr *)at, sizeof *at) ? errno : 0;
	close(fd);
	return r == ECONNREFUSED;
}

/* Is the file at this address a socket that nobody serves any more?  The kernel closes the io_uring of a killed process, and
 * with it the socket, a moment after its death: so it is asked more than once. */
static bool is_stale(const struct sockaddr_un *at)
{
	const struct timespec pause = { 0, PROBE_PAUSE_NS };
	struct stat st;

	if (lstat(at->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	for (int i = 0; i < PROBES; i++) {
		if (is_refused(at))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static int open_unix(const char *path, struct air_listen *l, char *why, size_t cap)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	mode_t mask;
	int r;

	if (!*path || strlen(path) >= sizeof at.sun_path) {
		snprintf(why, cap, "a path of 1 to %zu octets is expected", sizeof at.sun_path - 1);
		return -EINVAL;
	}
	memcpy(at.sun_path, path, strlen(path));
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		goto fail;
	mask = umask(0117);		/* CONTRACT: 0660 */
	r = bind(l->fd, (struct sockaddr *)&at, sizeof at);
	if (r && errno == EADDRINUSE && is_stale(&at) && !unlink(at.sun_path))
		r = bind(l->fd, (struct sockaddr *)&at, sizeof at);
	umask(mask);
	if (r)
		goto fail;
	memcpy(l->path, path, strlen(path) + 1);
	if (listen(l->fd, LISTEN_BACKLOG))
		goto fail;
	return 0;
fail:
	r = -errno;
	snprintf(why, cap, "%s", strerror(-r));
	return r;
}

static int tcp_address(const char *text, struct sockaddr_in *ret, char *why, size_t cap)
{
	const char *colon = strrchr(text, ':');
	char host[32], *end;
	unsigned long port;

	if (!colon || (size_t)(colon - text) >= sizeof host) {
		snprintf(why, cap, "tcp:ADDRESS:PORT is expected");
		return -EINVAL;
	}
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	port = strtoul(colon + 1, &end, 10);
	if (end == colon + 1 || *end || port > 65535 || colon[1] == '-' || colon[1] == '+') {
		snprintf(why, cap, "port \"%s\" is not a number from 0 to 65535", colon + 1);
		return -EINVAL;
	}
	*ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	if (!strcmp(host, "_"))
		ret->sin_addr.s_addr = htonl(INADDR_ANY);
	else if (inet_pton(AF_INET, host, &ret->sin_addr) != 1) {
		snprintf(why, cap, "address \"%s\" is not a numeric IPv4 address", host);
		return -EINVAL;
	}
	return 0;
}

static int open_tcp(const char *text, struct air_listen *l, char *why, size_t cap)
{
	struct sockaddr_in at;
	socklen_t len = sizeof at;
	char host[INET_ADDRSTRLEN];
	int one = 1, r = tcp_address(text, &at, why, cap);

	if (r)
		return r;
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
	    bind(l->fd, (struct sockaddr *)&at, sizeof at) || listen(l->fd, LISTEN_BACKLOG) ||
	    getsockname(l->fd, (struct sockaddr *)&at, &len)) {
		r = -errno;
		snprintf(why, cap, "%s", strerror(-r));
		return r;
	}
	inet_ntop(AF_INET, &at.sin_addr, host, sizeof host);
	snprintf(l->name, sizeof l->name, "tcp:%s:%u", host, ntohs(at.sin_port));
	return 0;
}

int air_listen_open(const char *spec, struct air_listen *ret, char *ret_why, size_t cap)
{
	struct air_listen l = AIR_LISTEN_NONE;
	int r;

	snprintf(l.name, sizeof l.name, "%s", spec);
	if (!strncmp(spec, "unix:", 5)) {
		r = open_unix(spec + 5, &l, ret_why, cap);
	} else if (!strncmp(spec, "tcp:", 4)) {
		r = open_tcp(spec + 4, &l, ret_why, cap);
	} else {
		snprintf(ret_why, cap, "unix:PATH or tcp:ADDRESS:PORT is expected");
		r = -EINVAL;
	}
	if (!r) {
		*ret = l;
		return 0;
	}
	air_listen_remove(&l);
	if (l.fd >= 0)
		close(l.fd);
	return r;
}

int air_listen_inherited(const char *name)
{
	const char *fds = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES"), *pid = getenv("LISTEN_PID");
	int count = fds ? atoi(fds) : 0, found = -1;

	if (pid && strtol(pid, NULL, 10) != getpid())
		return -1;			/* meant for somebody else */
	for (int i = 0; i < count && i < 64; i++) {
		size_t len = names ? strcspn(names, ":") : 0;

		fcntl(LISTEN_FD_FIRST + i, F_SETFD, FD_CLOEXEC);
		if (names ? len == strlen(name) && !strncmp(names, name, len) : count == 1)
			found = LISTEN_FD_FIRST + i;
		if (names)
			names += len + (names[len] == ':');
	}
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv("LISTEN_PID");
	return found;
}

void air_listen_remove(const struct air_listen *l)
{
	if (l->path[0])
		unlink(l->path);
}
