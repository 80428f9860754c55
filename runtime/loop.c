/* runtime/loop.c - the ring, and its turns. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include "base/types.h"
#include "runtime/loop_own.h"

enum { ENTRIES = 256 };

uint64_t loop_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int loop_open(unsigned flags, struct loop **ret)
{
	struct io_uring_params p = { .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
	    IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE, .cq_entries = 4 * ENTRIES };
	struct loop *l = calloc(1, sizeof *l);
	int r;

	if (l == NULL)
		return -ENOMEM;
	l->worker = flags & LOOP_WORKER;
	if (l->worker)
		p.flags |= IORING_SETUP_R_DISABLED;
	r = io_uring_queue_init_params(ENTRIES, &l->ring, &p);
	if (r) {
		free(l);
		return r;
	}
	if (!(p.features & IORING_FEAT_EXT_ARG) || !(p.features & IORING_FEAT_NODROP)) {
		io_uring_queue_exit(&l->ring);
		free(l);
		return -EINVAL;
	}
	*ret = l;
	return 0;
}

const char *loop_refusal(int r)
{
	switch (r) {
	case -EPERM: case -EACCES:
		return "io_uring is refused here (kernel.io_uring_disabled, or a container's seccomp profile): "
		    "Trefoil needs it allowed";
	case -ENOSYS:
		return "io_uring is not in this kernel, or hidden by a seccomp profile: Trefoil needs Linux 6.1 or later with it";
	case -EINVAL:
		return "io_uring lacks SINGLE_ISSUER or DEFER_TASKRUN here: Trefoil needs Linux 6.1 or later";
	case -ENOMEM:
		return "io_uring could not be set up: no memory, or RLIMIT_MEMLOCK too small";
	default:
		return "io_uring could not be set up";
	}
}

int loop_fd(const struct loop *l) { return l->ring.ring_fd; }

void loop_close(struct loop *l)
{
	if (l == NULL)
		return;
	io_uring_queue_exit(&l->ring);
	free(l);
}

/* A place for one more request; what is there is submitted first where the queue is full. */
struct io_uring_sqe *loop_sqe(struct loop *l)
{
	struct io_uring_sqe *e = io_uring_get_sqe(&l->ring);

	if (e == NULL && io_uring_submit(&l->ring) >= 0)
		e = io_uring_get_sqe(&l->ring);
	return e;
}

/* The kernel ends a batch early at a request that it refuses, or where it lacks memory: what is left is told it again. */
int loop_submit(struct loop *l)
{
	int r = 1;

	if (l->worker && !l->sealed)
		return 0;
	while (io_uring_sq_ready(&l->ring) && (r > 0 || r == -EINTR))
		r = io_uring_submit(&l->ring);
	if (!io_uring_sq_ready(&l->ring))
		return 0;
	return r < 0 ? r : -EAGAIN;
}

/* One completion.  Returns 1 if a callback was called, 0, -errno. */
static int on_completion(struct loop *l, uint64_t data, int res, uint32_t flags)
{
	unsigned index = (uint32_t)data & 0xFFFF, kind = (uint32_t)data >> 16;
	struct loop_watch *w = &l->watch[index];
	uint32_t life = (uint32_t)(data >> 32);
	int r;

	if (kind != LOOP_DATA_POLL || index >= LOOP_WATCHES || w->fn == NULL || w->life != life)
		return 0;		/* it was unwatched meanwhile */
	if (!(flags & IORING_CQE_F_MORE))
		w->armed = false;
	if (res == -ECANCELED)
		return 0;
	r = w->fn(w->ctx, res < 0 ? POLLERR : (uint32_t)res);
	return r < 0 ? r : 1;
}

/* All completions that are there now; what a callback starts comes with the next turn, so nobody is starved. */
static int drain(struct loop *l)
{
	unsigned ready = io_uring_cq_ready(&l->ring);
	struct io_uring_cqe *e;
	int calls = 0, r;

	for (; ready && io_uring_peek_cqe(&l->ring, &e) == 0; ready--) {
		uint64_t data = e->user_data;
		uint32_t flags = e->flags;
		int res = e->res;

		io_uring_cqe_seen(&l->ring, e);	/* before the call: it may run the loop's other functions */
		r = on_completion(l, data, res, flags);
		if (r < 0)
			return r;
		calls += r;
	}
	return calls;
}

static int wait_until(struct loop *l, uint64_t deadline_ns)
{
	struct __kernel_timespec ts, *until = NULL;
	struct io_uring_cqe *e;
	uint64_t now;
	int r;

	if (deadline_ns != LOOP_FOREVER) {
		now = loop_now();
		ts.tv_sec = (int64_t)(deadline_ns > now ? (deadline_ns - now) / 1000000000u : 0);
		ts.tv_nsec = (long long)(deadline_ns > now ? (deadline_ns - now) % 1000000000u : 0);
		until = &ts;
	}
	r = io_uring_submit_and_wait_timeout(&l->ring, &e, 1, until, NULL);
	return r < 0 && r != -ETIME && r != -EINTR && r != -EBUSY && r != -EAGAIN ? r : 0;
}

/* Without waiting: the kernel is entered only if it has, or is to have, something for us. */
static int glance(struct loop *l)
{
	int r = 0;

	if (io_uring_sq_ready(&l->ring))
		r = io_uring_submit(&l->ring);
	if (r >= 0 && *l->ring.sq.kflags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))
		r = io_uring_get_events(&l->ring);
	return r < 0 && r != -EINTR && r != -EBUSY && r != -EAGAIN ? r : 0;
}

int loop_run_once(struct loop *l, uint64_t deadline_ns)
{
	int r, calls;

	if (l->worker && !l->sealed)
		return -EBADFD;
	r = loop_arm_all(l);
	if (r == 0 && deadline_ns == 0)
		r = glance(l);
	if (r)
		return r;
	calls = drain(l);
	if (calls || deadline_ns == 0)
		return calls;
	r = loop_arm_all(l);
	if (r == 0)
		r = wait_until(l, deadline_ns);
	return r ? r : drain(l);
}

int loop_signal_fd(const int *signals)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (; *signals; signals++)
		sigaddset(&set, *signals);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int loop_signal_take(int fd)
{
	struct signalfd_siginfo si;
	ssize_t n = read(fd, &si, sizeof si);

	if (n == (ssize_t)sizeof si)
		return (int)si.ssi_signo;
	return n < 0 && errno != EAGAIN && errno != EINTR ? -errno : 0;
}
