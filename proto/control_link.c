/* proto/control_link.c - frames through a socket: sending, queueing, receiving. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "proto/control.h"

union rights {
	struct cmsghdr align;
	char at[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))];
};

void control_close_fds(int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

int control_open(struct control_link *c, int fd)
{
	int type = 0, flags = fcntl(fd, F_GETFL), r = 0;
	socklen_t len = sizeof type;

	*c = (struct control_link)CONTROL_LINK_NONE;
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		r = -errno;
	else if (type != SOCK_SEQPACKET)
		r = -EPROTOTYPE;
	if (r) {
		close(fd);
		return r;
	}
	c->fd = fd;
	c->last = &c->first;
	return 0;
}

static void drop_first(struct control_link *c)
{
	struct control_out *o = c->first;

	c->first = o->next;
	if (c->first == NULL)
		c->last = &c->first;
	c->queued -= o->len;
	c->frames--;
	control_close_fds(o->fds, o->fd_count);
	free(o);
}

void control_close(struct control_link *c)
{
	while (c->first)
		drop_first(c);
	if (c->fd >= 0)
		close(c->fd);
	*c = (struct control_link)CONTROL_LINK_NONE;
}

static int send_now(int fd, struct bytes raw, const int *fds, unsigned fd_count)
{
	union rights rights = { .at = { 0 } };
	struct iovec io = { (void *)(uintptr_t)raw.at, raw.len };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t n;

	if (fd_count) {
		m.msg_control = rights.at;
		m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
	}
	do
		n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int queue(struct control_link *c, struct bytes raw, const int *fds, unsigned fd_count)
{
	struct control_out *o;

	if (c->frames >= CONTROL_QUEUE_FRAMES || c->queued + raw.len > CONTROL_QUEUE_OCTETS)
		return -ENOBUFS;
	o = malloc(sizeof *o + raw.len);
	if (o == NULL)
		return -ENOMEM;
	o->next = NULL;
	o->len = raw.len;
	o->fd_count = 0;
	memcpy(o->at, raw.at, raw.len);
	for (; o->fd_count < fd_count; o->fd_count++) {
		o->fds[o->fd_count] = fcntl(fds[o->fd_count], F_DUPFD_CLOEXEC, 3);
		if (o->fds[o->fd_count] < 0) {
			int r = -errno;

			control_close_fds(o->fds, o->fd_count);
			free(o);
			return r;
		}
	}
	*c->last = o;
	c->last = &o->next;
	c->queued += o->len;
	c->frames++;
	return 0;
}

int control_send(struct control_link *c, const Frame *f, const int *fds, unsigned fd_count)
{
	uint8_t raw[CONTROL_FRAME_MAX];
	Frame stamped = *f;
	struct bytes b;
	int r;

	if (c->fd < 0)
		return -EPIPE;
	if (fd_count > CONTROL_FDS_MAX || !control_frame_ok(f, fd_count))
		return -EINVAL;
	if (stamped.serial == 0)
		stamped.serial = ++c->serial;
	if (trefoil__control__v1__frame__get_packed_size(&stamped) > sizeof raw)
		return -EMSGSIZE;
	b = (struct bytes){ raw, trefoil__control__v1__frame__pack(&stamped, raw) };
	r = c->first ? -EAGAIN : send_now(c->fd, b, fds, fd_count);
	if (r == -EAGAIN)
		r = queue(c, b, fds, fd_count);
	if (r == 0)
		c->sent++;
	return r;
}

int control_flush(struct control_link *c)
{
	int r = 0;

	while (c->first && r == 0) {
		r = send_now(c->fd, (struct bytes){ c->first->at, c->first->len }, c->first->fds, c->first->fd_count);
		if (r == 0)
			drop_first(c);
	}
	return r == -EAGAIN ? 0 : r;
}

/* Every descriptor that came, whatever else is wrong: the caller closes them. */
static void collect(struct msghdr *m, struct control_in *in)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (in->fd_count < CONTROL_FDS_MAX)
				in->fds[in->fd_count++] = fd;
			else
				close(fd);
		}
	}
}

int control_receive(struct control_link *c, const struct control_handlers *h, void *self)
{
	uint8_t raw[CONTROL_FRAME_MAX];
	union rights rights;
	struct iovec io = { raw, sizeof raw };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = rights.at, .msg_controllen = sizeof rights.at };
	struct control_in in = { .link = c };
	ssize_t n;
	int r;

	if (c->fd < 0)
		return CONTROL_CLOSED;
	do
		n = recvmsg(c->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? CONTROL_EMPTY : errno == ECONNRESET ? CONTROL_CLOSED : -errno;
	collect(&m, &in);
	/* An empty datagram looks like the end and is no frame: the link is over either way. */
	r = n == 0 ? CONTROL_CLOSED : m.msg_flags & MSG_TRUNC ? -EMSGSIZE : m.msg_flags & MSG_CTRUNC ? -EPROTO : 0;
	if (r) {
		control_close_fds(in.fds, in.fd_count);
		c->refused += r < 0;
		return r;
	}
	c->received++;
	r = on_control_frame(h, self, &in, (struct bytes){ raw, (size_t)n });
	if (r == -EMSGSIZE || r == -EBADMSG || r == -EPROTO)
		c->refused++;
	return r;
}

int control_receive_all(struct control_link *c, const struct control_handlers *h, void *self)
{
	int r = 0;

	for (unsigned n = 0; r == 0 && n < CONTROL_TURN; n++)
		r = control_receive(c, h, self);
	return r == CONTROL_EMPTY ? 0 : r;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int control_wait(struct control_link *c, int timeout_ms)
{
	int64_t until = now_ms() + timeout_ms, left;
	struct pollfd p = { .fd = c->fd };
	int r;

	for (;;) {
		left = timeout_ms < 0 ? -1 : until - now_ms();
		if (timeout_ms >= 0 && left < 0)
			left = 0;
		p.events = (short)(POLLIN | (control_pending(c) ? POLLOUT : 0));
		r = poll(&p, 1, (int)left);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0)
			return -ETIMEDOUT;
		if (r > 0 && p.revents & POLLOUT) {
			r = control_flush(c);
			if (r)
				return r;
		}
		if (r >= 0 && p.revents & (POLLIN | POLLHUP | POLLERR))
			return 0;
	}
}
