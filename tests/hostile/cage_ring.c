/* tests/hostile/cage_ring.c - the same by io_uring, on the worker's own ring: seccomp does not see what goes through it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/types.h"
#include "tests/hostile/cage.h"
#include "tests/hostile/owned.h"

enum { MARK = 0xCA6E };
static char buf[4096];

static struct io_uring_sqe *request(struct cage *c) { return io_uring_get_sqe(&c->w->loop->ring); }

/* Submit what was prepared last, and its result.  Doorbells that ring meanwhile are not what we wait for. */
static long result(struct cage *c, struct io_uring_sqe *e)
{
	struct io_uring *ring = &c->w->loop->ring;
	struct io_uring_cqe *got;
	long r;

	e->user_data = MARK;
	for (;;) {
		r = io_uring_submit_and_wait(ring, 1);
		if (r < 0 && r != -EINTR)
			return r;
		while (io_uring_peek_cqe(ring, &got) == 0) {
			bool ours = got->user_data == MARK;

			r = got->res;
			io_uring_cqe_seen(ring, got);
			if (ours)
				return r;
		}
	}
}
#define RING(name, op, ...) static long ring_##name(struct cage *c) \
	{ struct io_uring_sqe *e = request(c); io_uring_prep_##op(e, __VA_ARGS__); return result(c, e); }

static const char *beside(const struct cage *c, const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/ring-%s-%d", c->dir, name, getpid());
	return path;
}
static struct sockaddr *listener(const struct cage *c)
{
	static struct sockaddr_un at = { .sun_family = AF_UNIX };

	strncpy(at.sun_path, c->listener, sizeof at.sun_path - 1);
	return (struct sockaddr *)&at;
}
static struct msghdr *one_octet(void)
{
	static struct iovec io = { buf, 1 };
	static struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };

	return &m;
}

RING(openat, openat, AT_FDCWD, c->file, O_RDWR, 0)
RING(openat_direct, openat_direct, AT_FDCWD, c->file, O_RDWR, 0, 0)
static struct open_how how = { .flags = O_RDONLY };
RING(openat2, openat2, AT_FDCWD, c->file, &how)
static long ring_memory_of_neighbour(struct cage *c)
{
	struct io_uring_sqe *e = request(c);

	snprintf(buf, sizeof buf, "/proc/%d/mem", c->neighbour);
	io_uring_prep_openat(e, AT_FDCWD, buf, O_RDWR, 0);
	return result(c, e);
}
static long ring_region_reopened(struct cage *c)
{
	struct io_uring_sqe *e = request(c);

	snprintf(buf, sizeof buf, "/proc/self/fd/%d", c->region);
	io_uring_prep_openat(e, AT_FDCWD, buf, O_RDWR, 0);
	return result(c, e);
}
static struct statx found;
RING(stat, statx, AT_FDCWD, c->file, 0, STATX_SIZE, &found)
RING(unlink, unlinkat, AT_FDCWD, c->victim, 0)
RING(rename, renameat, AT_FDCWD, c->victim, AT_FDCWD, beside(c, "renamed"), 0)
RING(mkdir, mkdirat, AT_FDCWD, beside(c, "dir"), 0700)
RING(symlink, symlinkat, "/", AT_FDCWD, beside(c, "symlink"))
RING(link, linkat, AT_FDCWD, c->file, AT_FDCWD, beside(c, "link"), 0)
RING(fallocate, fallocate, c->plain, 0, 0, 4096)
RING(fsync, fsync, c->plain, 0)
static long ring_socket(struct cage *c)			/* liburing 2.3 has no helper for it */
{
	struct io_uring_sqe *e = request(c);

	io_uring_prep_rw(45 /* IORING_OP_SOCKET */, e, AF_UNIX, NULL, 0, SOCK_STREAM);
	return result(c, e);
}
RING(connect, connect, c->socket, listener(c), sizeof(struct sockaddr_un))
static long ring_accept(struct cage *c)		/* somebody is waiting: it would be let in */
{
	struct io_uring_sqe *e = request(c);

	io_uring_prep_accept(e, c->listening, NULL, NULL, 0);
	return result(c, e);
}
RING(write_unregistered, write, 2, "", 0, 0)
RING(read_unregistered, read, c->plain, buf, 1, 0)
RING(readv, readv, c->plain, (&(struct iovec){ buf, 1 }), 1, 0)
RING(writev, writev, c->plain, (&(struct iovec){ buf, 1 }), 1, 0)
RING(region_written, write, c->region, "x", 1, 0)
RING(sendmsg, sendmsg, c->pair[0], one_octet(), 0)
RING(send, send, c->pair[0], "", 1, 0)
RING(recv, recv, c->pair[0], buf, 1, 0)
RING(recvmsg, recvmsg, c->pair[0], one_octet(), 0)
/* The control socket is a registered file: with its place in the table the descriptor's number is not the obstacle. */
static int place_of_control(const struct cage *c)
{
	for (unsigned i = 0; i < c->w->loop->files; i++)
		if (c->w->loop->file[i] == c->w->control.fd)
			return (int)i;
	return -1;
}
static long ring_sendmsg_registered(struct cage *c)
{
	struct io_uring_sqe *e = request(c);

	io_uring_prep_sendmsg(e, place_of_control(c), one_octet(), MSG_DONTWAIT);
	e->flags |= IOSQE_FIXED_FILE;
	return result(c, e);
}
static long ring_close_registered(struct cage *c)
{
	struct io_uring_sqe *e = request(c);

	io_uring_prep_close_direct(e, 0);
	return result(c, e);
}
static long ring_write_async(struct cage *c)		/* the one opcode that there is, with a flag that it does not need */
{
	static const uint64_t one = 1;
	struct io_uring_sqe *e = request(c);

	for (unsigned i = 0; i < c->w->loop->files; i++)
		if (c->w->loop->file[i] == c->w->link[LINK_SUPERVISOR].bell)
			io_uring_prep_write(e, (int)i, &one, sizeof one, 0);
	e->flags |= IOSQE_FIXED_FILE | IOSQE_ASYNC;
	return result(c, e);
}
static long ring_splice(struct cage *c)
{
	struct io_uring_sqe *e = request(c);

	io_uring_prep_splice(e, c->plain, 0, c->pipe[1], -1, 1, 0);
	return result(c, e);
}
RING(close, close, c->plain)
RING(shutdown, shutdown, c->w->control.fd, SHUT_WR)
RING(madvise, madvise, c->low, 4096, MADV_COLD)
RING(files_update, files_update, (int[1]){ -1 }, 1, 0)
RING(provide_buffers, provide_buffers, buf, 64, 1, 1, 0)
static long ring_epoll(struct cage *c)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct io_uring_sqe *e = request(c);

	/* No epoll is there: what tells is that it is not refused before that is seen (EINVAL). */
	io_uring_prep_epoll_ctl(e, c->pipe[0], c->socket, EPOLL_CTL_ADD, &event);
	return result(c, e) == -EINVAL ? 0 : -EACCES;
}
static long ring_timeout(struct cage *c)
{
	static struct __kernel_timespec soon = { 0, 1000 };
	struct io_uring_sqe *e = request(c);
	long r;

	io_uring_prep_timeout(e, &soon, 0, 0);
	r = result(c, e);
	return r == -ETIME ? 0 : r;
}
static long ring_nop(struct cage *c)
{
	struct io_uring_sqe *e = request(c);

	io_uring_prep_nop(e);
	return result(c, e);
}
RING(poll_unregistered, poll_add, c->pipe[1], POLLOUT)

#define ROW(n) { #n, ring_##n },
const struct attempt cage_ring_ops[] = {
	ROW(openat) ROW(openat_direct) ROW(openat2) ROW(memory_of_neighbour) ROW(region_reopened) ROW(stat) ROW(unlink) ROW(rename)
	ROW(mkdir) ROW(symlink) ROW(link) ROW(fallocate) ROW(fsync) ROW(socket) ROW(connect) ROW(accept) ROW(write_unregistered)
	ROW(read_unregistered) ROW(readv) ROW(writev) ROW(region_written) ROW(sendmsg) ROW(send) ROW(recv) ROW(recvmsg)
	ROW(sendmsg_registered) ROW(close_registered) ROW(write_async) ROW(splice) ROW(close) ROW(shutdown)
	ROW(madvise) ROW(files_update) ROW(provide_buffers) ROW(epoll) ROW(timeout) ROW(nop) ROW(poll_unregistered)
	{ 0 }
};

long cage_opcodes(struct cage *c)
{
	for (unsigned op = 0; op < 256; op++)
		for (unsigned flags = 0; flags < 128; flags++) {
			bool ours = op == IORING_OP_POLL_ADD || op == IORING_OP_POLL_REMOVE || op == IORING_OP_WRITE;
			struct io_uring_sqe *e = request(c);
			long r;

			if (ours && (flags & ~(unsigned)IOSQE_CQE_SKIP_SUCCESS) == IOSQE_FIXED_FILE)
				continue;
			memset(e, 0, sizeof *e);
			e->opcode = (uint8_t)op;
			e->flags = (uint8_t)flags;
			r = result(c, e);
			if (r != -EACCES && r != -EINVAL && r != -EOPNOTSUPP) {
				owned_say("cage: opcode %u with flags 0x%x: %ld", op, flags, r);
				return 0;
			}
		}
	return -EACCES;
}
