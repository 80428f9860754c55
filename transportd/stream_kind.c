/* transportd/stream_kind.c - how each kind of socket tells what has been read from it. */
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "base/types.h"
#include "transportd/stream.h"

/* ---- unix: the peek offset ---- */

static int peek_offset_set(int fd, int offset)
{
	int r;

	do
		r = setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int unix_mark(int fd, uint32_t n) { return peek_offset_set(fd, (int)n); }

static int unix_begin(int fd, uint64_t *ret_base)
{
	*ret_base = 0;
	return peek_offset_set(fd, 0);
}

/* With an open window it was n at the commit and has fallen with each octet read.  Without one, nothing was read. */
static int unix_left(int fd, const struct line *l, uint32_t *ret_left)
{
	int offset;
	socklen_t len = sizeof offset;

	if (l->in_pending) {
		if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, &len) < 0)
			return -errno;
		if (offset < 0 || (uint32_t)offset > l->in_pending)
			return 1;
		*ret_left = (uint32_t)offset;
		return 0;
	}
	*ret_left = 0;
	return peek_offset_set(fd, 0);
}

/* ---- tcp: what the kernel has received in order, less what waits to be read ---- */

/* The values of tcpi_state, as Linux numbers them; its header for applications has no names for them. */
enum { STATE_ESTABLISHED = 1, STATE_FIN_WAIT1 = 4, STATE_FIN_WAIT2 = 5, STATE_CLOSE = 7 };
enum { TCP_TRIES = 1000 };

static int tcp_counts(int fd, uint64_t *ret_received, unsigned *ret_state)
{
	struct tcp_info i;
	socklen_t len = sizeof i;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &len) < 0)
		return -errno;
	if (len < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof i.tcpi_bytes_received)
		return 1;			/* an old kernel */
	*ret_received = i.tcpi_bytes_received;
	*ret_state = i.tcpi_state;
	return 0;
}

/* Octets that have ever been read from this socket.  Returns 0; 1: cannot be told; -errno. */
static int tcp_octets_read(int fd, uint64_t *ret)
{
	uint64_t before, after;
	unsigned state, state_after;
	int waiting, r;

	for (int i = 0; i < TCP_TRIES; i++) {
		r = tcp_counts(fd, &before, &state);
		if (r)
			return r;
		if (ioctl(fd, SIOCINQ, &waiting) < 0)
			return -errno;
		r = tcp_counts(fd, &after, &state_after);
		if (r)
			return r;
		if (state_after == STATE_CLOSE)
			return -ECONNRESET;
		if (before != after || state != state_after)
			continue;		/* something came in between */
		/* The other side's FIN is counted as an octet received, but not as one that waits. */
		if (state != STATE_ESTABLISHED && state != STATE_FIN_WAIT1 && state != STATE_FIN_WAIT2)
			after--;
		*ret = after - (uint64_t)waiting;
		return 0;
	}
	return 1;
}

static int tcp_begin(int fd, uint64_t *ret_base)
{
	int r = tcp_octets_read(fd, ret_base);

	return MIN(r, 0);		/* a kernel that does not count: found out, and said, once it matters */
}

/* in_octets has the window in it: so much will have been read once it is closed. */
static int tcp_left(int fd, const struct line *l, uint32_t *ret_left)
{
	uint64_t octets, left;
	int r;

	*ret_left = 0;
	if (!l->in_pending)
		return 0;
	r = tcp_octets_read(fd, &octets);
	if (r)
		return r;
	left = l->in_base + l->in_octets - octets;
	if (left > l->in_pending)
		return 1;
	*ret_left = (uint32_t)left;
	return 0;
}

static int tcp_mark(int fd, uint32_t n) { (void)fd, (void)n; return 0; }	/* a peek there moves nothing */

static const struct stream_kind kinds[] = {
	{ AF_UNIX, unix_begin, unix_left, unix_mark, 0 },
	{ AF_INET, tcp_begin, tcp_left, tcp_mark, MSG_TRUNC },		/* MSG_TRUNC on tcp: not even copied */
	{ AF_INET6, tcp_begin, tcp_left, tcp_mark, MSG_TRUNC },
};

const struct stream_kind *stream_kind_of(int fd)
{
	int domain, type;
	socklen_t len = sizeof domain, type_len = sizeof type;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0 ||
	    type != SOCK_STREAM)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].domain == domain)
			return &kinds[i];
	return NULL;
}
