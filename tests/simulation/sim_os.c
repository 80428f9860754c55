/* tests/simulation/sim_os.c - what the product asks of the kernel, as models that outlive a worker.
 *
 *   unix stream socket   two byte queues, and a peek offset as the kernel's sk_peek_off has it: a read moves it back by what it takes
 *   pipe, splice         a byte queue; splice moves octets from it to the socket, at once or not at all
 *   the loop             a turn ends in loop_run_once: what it waits for is noted, and the world goes on
 *   doorbells            loop_kick queues; loop_run_once and loop_submit ring: the worker that the number names wakes a while later
 *
 * Each call is a point at which its worker may die, before it has any effect.  The functions come in place of the C library's by
 * the linker's --wrap, so that transportd's sources are the product's. */
#include <asm-generic/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include "runtime/log.h"
#include "runtime/watchdog.h"
#include "shm/link.h"
#include "tests/simulation/sim.h"

static struct {
	struct sim_queue in, out, pipe;		/* towards transportd, from it; what waits for the socket */
	int64_t peek_offset;			/* -1: off */
	bool shut;
} os;

void sim_queue_put(struct sim_queue *q, const uint8_t *at, uint32_t n)
{
	if (q->len + n > q->cap)
		sim_fail(INVARIANT_arena, "a model queue overflows");
	for (uint32_t i = 0; i < n; i++)
		q->at[(q->head + q->len + i) % q->cap] = at[i];
	q->len += n;
}

void sim_queue_peek(const struct sim_queue *q, uint32_t skip, uint8_t *to, uint32_t n)
{
	uint32_t from = (q->head + skip) % q->cap, first = MIN(n, q->cap - from);

	memcpy(to, q->at + from, first);
	memcpy(to + first, q->at, n - first);
}

void sim_queue_drop(struct sim_queue *q, uint32_t n)
{
	q->head = (q->head + n) % q->cap;
	q->len -= n;
}

void sim_os_open(uint8_t *socket_in, uint8_t *socket_out, uint8_t *pipe)
{
	uint32_t cap = sim_chance(300) ? 2048u << sim_below(3) : SOCKET_OCTETS;

	memset(&os, 0, sizeof os);
	if (cap < SOCKET_OCTETS)
		sim_hit(FAULT_socket_full);
	os.in = (struct sim_queue){ .at = socket_in, .cap = cap };
	os.out = (struct sim_queue){ .at = socket_out, .cap = cap };
	os.pipe = (struct sim_queue){ .at = pipe, .cap = PIPE_OCTETS };
	os.peek_offset = -1;
}

bool sim_os_empty(void) { return !os.in.len && !os.out.len && !os.pipe.len; }
uint32_t sim_socket_room(void) { return os.in.cap - os.in.len; }

static void ready(int fd, uint32_t events)
{
	struct sim_worker *k = &sim.worker[TRANSPORTD];

	for (unsigned i = 0; i < ARRAY_LEN(k->watch); i++)
		if (k->watch[i].used && k->watch[i].fd == fd && k->watch[i].events & events) {
			k->watch[i].pending = true;
			sim_bell(TRANSPORTD, sim_spread(20 * US));
		}
}

void sim_socket_put(const uint8_t *at, uint32_t n)
{
	sim_queue_put(&os.in, at, n);
	ready(FD_SOCKET, POLLIN);
}

uint32_t sim_socket_peek(uint8_t *to, uint32_t n)
{
	n = MIN(n, os.out.len);
	sim_queue_peek(&os.out, 0, to, n);
	return n;
}

void sim_socket_drop(uint32_t n)
{
	sim_queue_drop(&os.out, n);
	ready(FD_SOCKET, POLLOUT);
}

/* A kernel may give or take less than it was asked. */
static uint32_t some(uint32_t n)
{
	if (n < 2 || !sim_chance(sim.short_permille))
		return n;
	sim_hit(FAULT_short_io);
	return 1 + (uint32_t)sim_below(n - 1);
}

static int refuse(int error)
{
	errno = error;
	return -1;
}

/* ---- the socket and the pipe ---- */
/* A read gives less than it was asked for where no more is there, or where somebody passes descriptors along with his octets. */
ssize_t __wrap_recvmsg(int fd, struct msghdr *m, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *m, int flags)
{
	uint32_t there, n;

	sim_point_call();
	if (fd != FD_SOCKET || flags & MSG_PEEK || m->msg_iovlen != 1)
		return refuse(EBADF);
	if (!os.in.len)
		return os.shut ? 0 : refuse(EAGAIN);
	there = MIN((uint32_t)m->msg_iov->iov_len, os.in.len);
	n = some(there);
	sim_queue_peek(&os.in, 0, m->msg_iov->iov_base, n);
	sim_queue_drop(&os.in, n);
	m->msg_flags = n < there ? MSG_CTRUNC : 0;
	if (os.peek_offset > 0)
		os.peek_offset = MAX(os.peek_offset - (int64_t)n, (int64_t)0);
	sim_line_kick(sim_spread(5 * US));
	return n;
}

/* To ask how a socket ended whose octets nobody reads: nothing is ever at an offset set so high. */
ssize_t __wrap_recv(int fd, void *to, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *to, size_t n, int flags)
{
	(void)to;
	(void)n;
	sim_point_call();
	if (fd != FD_SOCKET || !(flags & MSG_PEEK) || os.peek_offset < SOCKET_OCTETS)
		return refuse(EBADF);
	return os.shut ? 0 : refuse(EAGAIN);
}

ssize_t __wrap_read(int fd, void *to, size_t n);
ssize_t __wrap_read(int fd, void *to, size_t n)
{
	sim_point_call();
	if (fd != FD_PIPE_R)
		return refuse(EBADF);
	if (!os.pipe.len)
		return refuse(EAGAIN);
	n = some(MIN((uint32_t)n, os.pipe.len));
	sim_queue_peek(&os.pipe, 0, to, (uint32_t)n);
	sim_queue_drop(&os.pipe, (uint32_t)n);
	return (ssize_t)n;
}

ssize_t __wrap_write(int fd, const void *from, size_t n);
ssize_t __wrap_write(int fd, const void *from, size_t n)
{
	sim_point_call();
	if (fd != FD_PIPE_W || n > os.pipe.cap - os.pipe.len)
		return refuse(fd == FD_PIPE_W ? EAGAIN : EBADF);
	sim_queue_put(&os.pipe, from, (uint32_t)n);
	return (ssize_t)n;
}

ssize_t __wrap_splice(int in, void *in_at, int out, void *out_at, size_t n, unsigned flags);
ssize_t __wrap_splice(int in, void *in_at, int out, void *out_at, size_t n, unsigned flags)
{
	uint8_t piece[4096];
	uint32_t m = min32(min32((uint32_t)n, os.pipe.len), min32(os.out.cap - os.out.len, (uint32_t)sizeof piece));

	(void)in_at;
	(void)out_at;
	(void)flags;
	sim_point_call();
	if (in != FD_PIPE_R || out != FD_SOCKET)
		return refuse(EBADF);
	if (os.shut)
		return refuse(EPIPE);
	if (!m)
		return refuse(EAGAIN);
	m = some(m);
	sim_queue_peek(&os.pipe, 0, piece, m);
	sim_queue_drop(&os.pipe, m);
	sim_queue_put(&os.out, piece, m);
	sim_line_kick(sim_spread(5 * US));
	return m;
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;

	sim_point_call();
	if (fd != FD_PIPE_R || request != FIONREAD)
		return refuse(EBADF);
	va_start(ap, request);
	*va_arg(ap, int *) = (int)os.pipe.len;
	va_end(ap);
	return 0;
}

int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
	return fd == FD_PIPE_W && command == F_GETPIPE_SZ ? (int)os.pipe.cap : refuse(EINVAL);
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	int v = name == SO_DOMAIN ? AF_UNIX : name == SO_TYPE ? SOCK_STREAM : (int)os.peek_offset;

	if (fd != FD_SOCKET || level != SOL_SOCKET || (name != SO_DOMAIN && name != SO_TYPE && name != SO_PEEK_OFF))
		return refuse(EINVAL);
	memcpy(value, &v, sizeof v);
	*len = sizeof v;
	return 0;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	int v;

	sim_point_call();
	if (fd != FD_SOCKET || level != SOL_SOCKET || name != SO_PEEK_OFF || len != sizeof v)
		return refuse(EINVAL);
	memcpy(&v, value, sizeof v);
	os.peek_offset = v;
	return 0;
}

int __wrap_shutdown(int fd, int how);
int __wrap_shutdown(int fd, int how)
{
	(void)how;
	os.shut = fd == FD_SOCKET || os.shut;
	return 0;
}

ssize_t __wrap_getrandom(void *to, size_t n, unsigned flags);
ssize_t __wrap_getrandom(void *to, size_t n, unsigned flags)
{
	(void)flags;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)to)[i] = (uint8_t)sim_random();
	return (ssize_t)n;
}

/* ---- doorbells and the loop ---- */
/* FD_BELLS + 4 * worker + link, or the supervisors' beyond. */
static void ring_bell(int fd)
{
	unsigned n = (unsigned)(fd - FD_BELLS);
	bool late = sim_chance(sim.late_kick_permille);

	if (sim_plant_kick_lost())
		return;
	if (late)
		sim_hit(FAULT_kick_late);
	if (n < 4 * SIM_WORKERS)
		sim_bell((enum sim_who)(n / 4), sim_spread(late ? 20 * MS : sim.kick_most_ns));
	else
		sim_operator_kick(sim_spread(sim.kick_most_ns));
}

/* The system call that they leave with: who dies before it has rung nobody. */
int loop_submit(struct loop *l)
{
	struct sim_worker *k = sim.running;

	(void)l;
	if (k->kicks)
		sim_point_call();
	for (unsigned i = 0; i < k->kicks; i++)
		ring_bell(k->kick[i]);
	k->kicks = 0;
	return 0;
}

int loop_kick(struct loop *l, int fd)
{
	struct sim_worker *k = sim.running;

	if (k->starting && (unsigned)(fd - FD_BELLS) < 4 * SIM_WORKERS && sim_plant_attach_unkicked())
		return 0;			/* neighbours': an operator that sleeps shows late, as something never heard */
	if (k->kicks == ARRAY_LEN(k->kick))
		loop_submit(l);
	k->kick[k->kicks++] = fd;
	return 0;
}

uint64_t loop_now(void) { return sim.now_ns; }

int loop_run_once(struct loop *l, uint64_t deadline_ns)
{
	loop_submit(l);
	sim.running->due_ns = deadline_ns ? deadline_ns : sim.now_ns;
	return 0;
}

/* What is so already is told at once. */
static bool is_ready(uint32_t events) { return events & POLLIN ? os.in.len != 0 : os.out.len < os.out.cap; }

int loop_add_file(struct loop *l, int fd) { (void)l; (void)fd; return 0; }

int loop_watch(struct loop *l, int fd, uint32_t events, enum loop_how how, loop_fn *fn, void *ctx)
{
	struct sim_worker *k = sim.running;

	(void)l;
	(void)how;
	for (unsigned i = 0; i < ARRAY_LEN(k->watch); i++) {
		if (k->watch[i].used)
			continue;
		k->watch[i] = (struct sim_watch){ fd, events, fn, ctx, fd == FD_SOCKET && is_ready(events), true };
		if (k->watch[i].pending)
			sim_bell(k->who, 1);
		return (int)i;
	}
	return -ENOSPC;
}

void loop_unwatch(struct loop *l, int id)
{
	(void)l;
	if (id >= 0)
		sim.running->watch[id].used = false;
}

void sim_os_callbacks(struct sim_worker *k)
{
	for (unsigned i = 0; i < ARRAY_LEN(k->watch); i++)
		if (k->watch[i].used && k->watch[i].pending) {
			k->watch[i].pending = false;
			/* What it came for, and not all that was asked for: the far side never hangs up. */
			k->watch[i].fn(k->watch[i].ctx, k->watch[i].events & (POLLIN | POLLOUT));
		}
}

void sim_os_worker_gone(struct sim_worker *k)
{
	memset(k->watch, 0, sizeof k->watch);
	k->kicks = 0;
}

/* ---- what is left of a shell's surroundings ---- */
void watchdog_rest(void) { }

void log_fields(enum log_level level, const char *event, const struct log_field *f, size_t count)
{
	(void)level;
	(void)f;
	(void)count;
	sim_tell("%s says: %s", sim.running ? sim_who_name(sim.running->who) : "?", event);
}

int control_fail(struct control_link *l, uint64_t request, int error, const char *why)
{
	(void)l;
	(void)request;
	sim_fail(INVARIANT_arena, "%s cannot go on: %s (%d)", sim_who_name(sim.running->who), why, error);
}

int control_flush(struct control_link *l) { (void)l; return 0; }

/* The one frame that a worker sends on its own: a ring that lied. */
int control_send(struct control_link *l, const Frame *f, const int *fds, unsigned count)
{
	(void)l;
	(void)fds;
	(void)count;
	if (f->body_case != TREFOIL__CONTROL__V1__FRAME__BODY_DETACH || !sim.link[1].lied ||
	    f->detach->link != (sim.running->who == GATTD ? LINK_UP : LINK_DOWN))
		sim_fail(INVARIANT_arena, "%s calls a ring corrupt", sim_who_name(sim.running->who));
	sim_tell("%s lets go of the link: its ring lies", sim_who_name(sim.running->who));
	sim.link[1].refused = true;
	return 0;
}
