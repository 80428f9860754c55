/* runtime/loop_watch.c - who is watched and kicked; the worker's seal. */
#include <errno.h>
#include "base/types.h"
#include "runtime/loop_own.h"

static int file_find(const struct loop *l, int fd)
{
	for (unsigned i = 0; i < l->files; i++)
		if (l->file[i] == fd)
			return (int)i;
	return -EPERM;
}

int loop_add_file(struct loop *l, int fd)
{
	if (file_find(l, fd) >= 0)
		return 0;
	if (l->sealed)
		return -EPERM;
	if (l->files == LOOP_FILES)
		return -ENOSPC;
	l->file[l->files++] = fd;
	return 0;
}

/* The descriptor as the ring is to be told it: in a worker always a registered file. */
static void set_file(const struct loop *l, struct io_uring_sqe *e, int fd)
{
	if (!l->worker)
		return;
	e->flags |= IOSQE_FIXED_FILE;
	if (fd >= 0)
		e->fd = file_find(l, fd);
}

static int arm(struct loop *l, unsigned index)
{
	struct loop_watch *w = &l->watch[index];
	struct io_uring_sqe *e = loop_sqe(l);

	if (e == NULL)
		return -EBUSY;
	if (w->how == LOOP_EDGE)
		io_uring_prep_poll_multishot(e, w->fd, w->events);
	else
		io_uring_prep_poll_add(e, w->fd, w->events);
	set_file(l, e, w->fd);
	e->user_data = loop_data(LOOP_DATA_POLL, index, w->life);
	w->armed = true;
	return 0;
}

int loop_arm_all(struct loop *l)
{
	for (unsigned i = 0; i < l->watches; i++) {
		int r = l->watch[i].fn && !l->watch[i].armed ? arm(l, i) : 0;

		if (r)
			return r;
	}
	return 0;
}

int loop_watch(struct loop *l, int fd, uint32_t events, enum loop_how how, loop_fn *fn, void *ctx)
{
	struct loop_watch *w;
	unsigned i = 0;
	int r;

	if (l->worker) {
		r = loop_add_file(l, fd);
		if (r)
			return r;
	}
	while (i < l->watches && l->watch[i].fn)
		i++;
	if (i == LOOP_WATCHES)
		return -ENOSPC;
	if (i == l->watches)
		l->watches++;
	w = &l->watch[i];
	*w = (struct loop_watch){ .fn = fn, .ctx = ctx, .fd = fd, .events = events, .how = how, .life = w->life + 1 };
	return (int)i;
}

/* The poll of this place, if there is one, is taken out of the kernel now: it holds the file open. */
static void disarm(struct loop *l, unsigned index)
{
	struct loop_watch *w = &l->watch[index];
	struct io_uring_sqe *e;

	if (!w->armed)
		return;
	w->armed = false;
	e = loop_sqe(l);
	if (e == NULL)
		return;
	io_uring_prep_poll_remove(e, loop_data(LOOP_DATA_POLL, index, w->life));
	set_file(l, e, -1);
	e->user_data = LOOP_DATA_IGNORE;
	if (loop_submit(l) == 0 && (!l->worker || l->sealed))
		io_uring_get_events(&l->ring);	/* deferred work: only now the poll lets go */
}

int loop_modify(struct loop *l, int id, uint32_t events)
{
	struct loop_watch *w = id >= 0 && (unsigned)id < l->watches ? &l->watch[id] : NULL;

	if (w == NULL || w->fn == NULL)
		return -ENOENT;
	if (w->events == events)
		return 0;
	disarm(l, (unsigned)id);
	w->life++;
	w->events = events;
	return 0;
}

void loop_unwatch(struct loop *l, int id)
{
	if (id < 0 || (unsigned)id >= l->watches || l->watch[id].fn == NULL)
		return;
	disarm(l, (unsigned)id);
	l->watch[id].fn = NULL;
}

/* A kick that would have to wait fails instead, so none is ever under way for longer than its submission, and each is a write
 * of its own: it cannot be taken for one that left too early.  A bell that is full, or made blocking, is rung no more; whoever
 * does that to his own bell sleeps.  No completion: it would end the wait that a kick is submitted with. */
int loop_kick(struct loop *l, int fd)
{
	static const uint64_t one = 1;
	struct io_uring_sqe *e;
	int r;

	if (l->worker) {
		r = loop_add_file(l, fd);
		if (r)
			return r;
	}
	e = loop_sqe(l);
	if (e == NULL)
		return -EBUSY;
	io_uring_prep_write(e, fd, &one, sizeof one, 0);
	e->rw_flags = RWF_NOWAIT;
	e->flags |= IOSQE_CQE_SKIP_SUCCESS;
	set_file(l, e, fd);
	e->user_data = LOOP_DATA_IGNORE;
	return 0;
}

/* liburing 2.3 does not export its restriction helpers: the system call by hand. */
static int restrict_ring(struct loop *l)
{
	struct io_uring_restriction r[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_POLL_ADD },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_POLL_REMOVE },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITE },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS },
	};
	unsigned ring = (unsigned)l->ring.ring_fd;
	int fds[LOOP_FILES], n;

	for (unsigned i = 0; i < l->files; i++)
		fds[i] = l->file[i];
	n = l->files ? io_uring_register(ring, IORING_REGISTER_FILES, fds, l->files) : 0;
	if (n >= 0)
		n = io_uring_register(ring, IORING_REGISTER_RESTRICTIONS, r, ARRAY_LEN(r));
	if (n >= 0)	/* no register opcode is in the list: from here on the ring cannot be changed again */
		n = io_uring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	return n < 0 ? n : 0;
}

int loop_seal(struct loop *l)
{
	int r;

	if (!l->worker || l->sealed)
		return -EINVAL;
	r = restrict_ring(l);
	if (r)
		return r;
	l->sealed = true;
	return 0;
}
