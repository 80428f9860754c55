/* transportd/sock_tcp.c - tcp-client:<host>:<port>. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "transportd/transport.h"

enum { HOST_MAX = 254 };
struct target { char host[HOST_MAX]; char port[8]; };

/* host:port, the host of IPv6 in brackets. */
static int parse(const char *rest, struct target *ret, struct transport_why *why)
{
	const char *colon = strrchr(rest, ':');
	size_t n = colon ? (size_t)(colon - rest) : 0;
	char *end;
	long port;

	if (!colon)
		return transport_explain(why, -EINVAL, "the port is missing; expected tcp-client:<host>:<port>");
	if (n && rest[0] == '[' && rest[n - 1] == ']') {
		rest++;
		n -= 2;
	}
	if (!n || n >= sizeof ret->host)
		return transport_explain(why, -EINVAL, "the host is %s; expected tcp-client:<host>:<port>", n ? "too long" : "missing");
	errno = 0;
	port = strtol(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || *end || errno || port < 1 || port > 65535)
		return transport_explain(why, -EINVAL, "port \"%.20s\": expected 1 to 65535", colon + 1);
	memset(ret, 0, sizeof *ret);
	memcpy(ret->host, rest, n);
	memcpy(ret->port, colon + 1, strlen(colon + 1) < sizeof ret->port ? strlen(colon + 1) : sizeof ret->port - 1);
	return 0;
}

static int connect_one(const struct addrinfo *a, int *ret_fd)
{
	struct pollfd p = { .events = POLLOUT };
	int r = 0, on = 1;
	socklen_t len = sizeof r;

	p.fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p.fd < 0)
		return -errno;
	/* Buffers before the connect: the window is scaled by it. */
	r = sock_prepare(p.fd);
	if (!r && connect(p.fd, a->ai_addr, a->ai_addrlen) < 0)
		r = -errno;
	if (r == -EINPROGRESS) {
		r = poll(&p, 1, TRANSPORT_WAIT_MS);
		if (r < 0)
			r = -errno;
		else if (r == 0)
			r = -ETIMEDOUT;
		else if (getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &r, &len) < 0)
			r = -errno;
		else
			r = -r;
	}
	if (r < 0) {
		close(p.fd);
		return r;
	}
	setsockopt(p.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);	/* H4 packets are small and waited for */
	*ret_fd = p.fd;
	return 0;
}

int sock_open_tcp_client(const char *rest, const char *run_dir, int *ret_fd, struct transport_why *why)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list;
	struct target t;
	int r;

	(void)run_dir;
	r = parse(rest, &t, why);
	if (r < 0)
		return r;
	r = getaddrinfo(t.host, t.port, &hints, &list);
	if (r)
		return transport_explain(why, -EHOSTUNREACH, "host \"%s\": %s", t.host, gai_strerror(r));
	r = -EHOSTUNREACH;
	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		r = connect_one(a, ret_fd);
		if (!r)
			break;
	}
	freeaddrinfo(list);
	return r < 0 ? transport_explain(why, r, "cannot connect to %s port %s: %s", t.host, t.port, strerror(-r)) : 0;
}
