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

/* ---- unix: the peek offset, which nobody peeks with ---- */

enum { OFFSET_HIGH = INT32_MAX };

static int unix_begin(int fd, uint64_t *ret_count)
{
	const int offset = OFFSET_HIGH;
	int r;

	*ret_count = 0;
	do
		r = setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* Each octet that is read takes one off; it never falls below 0, so it is set high again in time. */
static int unix_count(int fd, uint64_t *ret_count)
{
	int offset;
	socklen_t len = sizeof offset;

	if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, &len) < 0)
		return -errno;
	if (offset <= 0)
		return 1;
	*ret_count = (uint64_t)OFFSET_HIGH - (uint64_t)offset;
	return 0;
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

/* Octets that have ever been read from this socket. */
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

static int tcp_begin(int fd, uint64_t *ret_count)
{
	int r = tcp_octets_read(fd, ret_count);

	return MIN(r, 0);		/* a kernel that does not count: found out, and said, once it matters */
}

static const struct stream_kind kinds[] = {
	{ AF_UNIX, unix_begin, unix_count, OFFSET_HIGH },
	{ AF_INET, tcp_begin, tcp_octets_read, 0 },
	{ AF_INET6, tcp_begin, tcp_octets_read, 0 },
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
