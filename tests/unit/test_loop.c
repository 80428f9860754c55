/* The loop: doorbells, sockets, pidfds, signals, the deadline; what a sealed ring refuses; and that sleeping costs nothing. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/types.h"
#include "runtime/loop_own.h"
#include "shm/link.h"

enum { MS = 1000000 };
struct count { struct loop *l; unsigned calls; uint32_t last; int id; int fd; };
static int on_any(void *ctx, uint32_t revents)
{
	struct count *c = ctx;

	c->calls++;
	c->last = revents;
	return 0;
}
static int on_once(void *ctx, uint32_t revents)
{
	struct count *c = ctx;

	loop_unwatch(c->l, c->id);
	return on_any(ctx, revents);
}
static int on_socket(void *ctx, uint32_t revents)
{
	char c;

	if (revents & POLLIN && !(revents & POLLHUP))
		/* one octet of several: level, so it comes again */
		assert_int_equal(recv(((struct count *)ctx)->fd, &c, 1, MSG_DONTWAIT), 1);
	return on_any(ctx, revents);
}
static void on_alarm(int signal) { (void)signal; }
static int on_error(void *ctx, uint32_t revents)
{
	(void)ctx; (void)revents;
	return -EPROTO;
}

static struct loop *opened(unsigned flags)
{
	struct loop *l = NULL;
	int r = loop_open(flags, &l);

	if (r)
		fail_msg("%s", loop_refusal(r));
	return l;
}
static unsigned long switches(void)
{
	unsigned long n = 0, v;
	char line[128];
	FILE *f = fopen("/proc/self/status", "r");

	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "voluntary_ctxt_switches: %lu", &v) == 1)
			n = v;
	fclose(f);
	return n;
}
static uint64_t in_ms(unsigned ms) { return loop_now() + (uint64_t)ms * MS; }

static void doorbell(unsigned flags)
{
	struct loop *l = opened(flags);
	struct count c = { 0 };
	int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(loop_watch(l, bell, POLLIN, LOOP_EDGE, on_any, &c) >= 0);
	if (flags & LOOP_WORKER)
		assert_int_equal(loop_seal(l), 0);
	assert_int_equal(loop_run_once(l, 0), 0);
	assert_int_equal(loop_run_once(l, in_ms(5)), 0);
	assert_int_equal(c.calls, 0);
	for (unsigned i = 1; i <= 5; i++) {		/* never read, and each write is heard */
		assert_int_equal(eventfd_write(bell, 1), 0);
		assert_true(loop_run_once(l, in_ms(1000)) > 0);
		assert_int_equal(c.calls, i);
		assert_int_equal(loop_run_once(l, in_ms(2)), 0);
	}
	assert_int_equal(c.last, POLLIN);
	assert_int_equal(eventfd_write(bell, 1), 0);
	assert_true(loop_run_once(l, 0) > 0);		/* without waiting too */
	close(bell);
	loop_close(l);
}
static void test_doorbell(void **state) { (void)state; doorbell(0); }
static void test_doorbell_in_a_worker(void **state) { (void)state; doorbell(LOOP_WORKER); }

static void test_bell_that_rang_before(void **state)
{
	struct loop *l = opened(0);
	struct count c = { 0 };
	int bell = eventfd(3, EFD_CLOEXEC | EFD_NONBLOCK);

	(void)state;
	loop_watch(l, bell, POLLIN, LOOP_EDGE, on_any, &c);
	assert_true(loop_run_once(l, in_ms(1000)) > 0);
	assert_int_equal(c.calls, 1);
	close(bell);
	loop_close(l);
}

static void test_deadline(void **state)
{
	struct loop *l = opened(0);
	uint64_t before = loop_now(), took;

	(void)state;
	assert_int_equal(loop_run_once(l, before + 30 * MS), 0);
	took = loop_now() - before;
	assert_in_range(took, 30 * MS, 500 * MS);
	assert_int_equal(loop_run_once(l, 1), 0);		/* long past */
	assert_true(loop_now() - before < 1000ull * MS);
	loop_close(l);
}

static void test_level_comes_again(void **state)
{
	struct loop *l = opened(0);
	struct count c = { 0 };
	int s[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	c.fd = s[0];
	c.id = loop_watch(l, s[0], POLLIN, LOOP_LEVEL, on_socket, &c);
	assert_int_equal(write(s[1], "abc", 3), 3);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(loop_run_once(l, in_ms(1000)), 1);
		assert_int_equal(c.calls, i);
	}
	assert_int_equal(loop_run_once(l, in_ms(5)), 0);
	assert_int_equal(loop_modify(l, c.id, POLLIN | POLLOUT), 0);
	assert_int_equal(loop_run_once(l, in_ms(1000)), 1);
	assert_int_equal(c.last & POLLOUT, POLLOUT);
	assert_int_equal(loop_modify(l, c.id, POLLIN), 0);
	assert_int_equal(loop_run_once(l, in_ms(5)), 0);
	close(s[1]);
	assert_int_equal(loop_run_once(l, in_ms(1000)) , 1);
	loop_unwatch(l, c.id);
	assert_int_equal(loop_run_once(l, in_ms(5)), 0);
	assert_int_equal(loop_modify(l, c.id, POLLIN), -ENOENT);
	close(s[0]);
	loop_close(l);
}

static void test_unwatch_lets_go_of_the_file(void **state)
{
	struct loop *l = opened(0);
	struct count c = { .l = l };
	int s[2];
	char b;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	c.id = loop_watch(l, s[0], POLLIN, LOOP_EDGE, on_once, &c);
	assert_int_equal(loop_run_once(l, 0), 0);
	assert_int_equal(write(s[1], "abc", 3), 3);
	assert_true(loop_run_once(l, in_ms(1000)) > 0);		/* unwatches itself */
	assert_int_equal(write(s[1], "d", 1), 1);
	assert_int_equal(loop_run_once(l, in_ms(5)), 0);
	assert_int_equal(c.calls, 1);
	assert_int_equal(read(s[0], (char[8]){ 0 }, 8), 4);
	c.id = loop_watch(l, s[0], POLLIN, LOOP_EDGE, on_any, &c);
	assert_int_equal(loop_run_once(l, 0), 0);
	loop_unwatch(l, c.id);
	close(s[0]);
	assert_int_equal(recv(s[1], &b, 1, MSG_DONTWAIT), 0);	/* the end is seen at once: nobody holds the other side */
	close(s[1]);
	loop_close(l);
}

static void test_places_run_out_and_come_back(void **state)
{
	struct loop *l = opened(0);
	struct count c = { 0 };
	int bell = eventfd(0, EFD_CLOEXEC);

	(void)state;
	for (int i = 0; i < LOOP_WATCHES; i++)
		assert_int_equal(loop_watch(l, bell, POLLIN, LOOP_EDGE, on_any, &c), i);
	assert_int_equal(loop_watch(l, bell, POLLIN, LOOP_EDGE, on_any, &c), -ENOSPC);
	assert_int_equal(eventfd_write(bell, 1), 0);
	while (c.calls < LOOP_WATCHES)
		assert_true(loop_run_once(l, in_ms(1000)) > 0);
	loop_unwatch(l, 7);
	assert_int_equal(loop_watch(l, bell, POLLIN, LOOP_EDGE, on_any, &c), 7);
	close(bell);
	loop_close(l);
}

static void test_pidfd(void **state)
{
	struct loop *l = opened(0);
	struct count c = { 0 };
	pid_t child = fork();
	int fd;

	(void)state;
	if (child == 0) {
		pause();
		_exit(0);
	}
	fd = (int)syscall(SYS_pidfd_open, child, 0);
	assert_true(fd >= 0);
	c.id = loop_watch(l, fd, POLLIN, LOOP_LEVEL, on_any, &c);
	assert_int_equal(loop_run_once(l, in_ms(5)), 0);
	kill(child, SIGKILL);
	assert_int_equal(loop_run_once(l, in_ms(1000)), 1);
	assert_int_equal(waitpid(child, NULL, 0), child);
	loop_unwatch(l, c.id);
	close(fd);
	loop_close(l);
}

static void test_signal(void **state)
{
	struct loop *l = opened(0);
	struct count c = { 0 };
	int fd = loop_signal_fd((const int[]){ SIGUSR1, SIGUSR2, 0 });

	(void)state;
	assert_true(fd >= 0);
	loop_watch(l, fd, POLLIN, LOOP_LEVEL, on_any, &c);
	assert_int_equal(loop_signal_take(fd), 0);
	raise(SIGUSR2);
	assert_int_equal(loop_run_once(l, in_ms(1000)), 1);
	assert_int_equal(loop_signal_take(fd), SIGUSR2);
	assert_int_equal(loop_signal_take(fd), 0);
	assert_int_equal(loop_run_once(l, in_ms(5)), 0);
	close(fd);
	loop_close(l);
}

static void test_error_of_a_callback(void **state)
{
	struct loop *l = opened(0);
	int bell = eventfd(1, EFD_CLOEXEC);

	(void)state;
	loop_watch(l, bell, POLLIN, LOOP_EDGE, on_error, NULL);
	assert_int_equal(loop_run_once(l, in_ms(1000)), -EPROTO);
	close(bell);
	loop_close(l);
}

static void kick(unsigned flags)
{
	struct loop *l = opened(flags);
	int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t before, v;

	assert_int_equal(loop_add_file(l, bell), 0);
	if (flags & LOOP_WORKER)
		assert_int_equal(loop_seal(l), 0);
	assert_int_equal(loop_kick(l, bell), 0);
	assert_int_equal(loop_kick(l, bell), 0);
	before = loop_now();
	assert_int_equal(loop_run_once(l, in_ms(30)), 0);	/* its completion is no event: the wait goes on */
	assert_true(loop_now() - before >= 30 * MS);
	assert_int_equal(read(bell, &v, sizeof v), sizeof v);
	assert_int_equal(v, 2);
	assert_int_equal(loop_kick(l, bell), 0);
	assert_int_equal(loop_submit(l), 0);
	assert_int_equal(read(bell, &v, sizeof v), sizeof v);
	/* Whatever has left does not stand for a later one. */
	assert_int_equal(loop_kick(l, bell), 0);
	assert_int_equal(loop_run_once(l, in_ms(20)), 0);
	assert_int_equal(read(bell, &v, sizeof v), sizeof v);
	assert_int_equal(v, 1);
	/* A peer that fills its bell and makes it blocking: we go on. */
	assert_int_equal(loop_run_once(l, 0), 0);
	assert_int_equal(eventfd_write(bell, UINT64_MAX - 1), 0);
	assert_int_equal(fcntl(bell, F_SETFL, 0), 0);
	before = loop_now();
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(loop_kick(l, bell), 0);
		assert_int_equal(loop_run_once(l, 0), 0);
	}
	assert_true(loop_now() - before < 500ull * MS);
	/* Its counter was never waited for; put right again, the bell rings again. */
	link_bell_restore(bell);
	assert_int_equal(loop_kick(l, bell), 0);
	assert_int_equal(loop_run_once(l, in_ms(20)), 0);
	assert_int_equal(read(bell, &v, sizeof v), sizeof v);
	assert_int_equal(v, 1);
	close(bell);
	loop_close(l);
}
static void test_kick(void **state) { (void)state; kick(0); }
static void test_kick_from_a_worker(void **state) { (void)state; kick(LOOP_WORKER); }

/* A request that the kernel refuses ends its batch: what stands behind it is left for the next one. */
static void refused_request(struct loop *l)
{
	struct io_uring_sqe *e = io_uring_get_sqe(&l->ring);

	assert_non_null(e);
	io_uring_prep_rw(IORING_OP_LAST, e, -1, NULL, 0, 0);
	e->user_data = LOOP_DATA_IGNORE;
}
static void no_kick_is_lost(unsigned flags)
{
	struct itimerval soon = { .it_value.tv_usec = 10000 };
	struct loop *l = opened(flags);
	int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), full = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t v;

	assert_int_equal(loop_add_file(l, bell), 0);
	assert_int_equal(loop_add_file(l, full), 0);
	if (flags & LOOP_WORKER)
		assert_int_equal(loop_seal(l), 0);
	for (unsigned i = 0; i < 1000; i++)		/* far more than the submission queue holds */
		assert_int_equal(loop_kick(l, bell), 0);
	assert_int_equal(loop_submit(l), 0);
	assert_int_equal(read(bell, &v, sizeof v), sizeof v);
	assert_int_equal(v, 1000);
	refused_request(l);
	refused_request(l);
	assert_int_equal(loop_kick(l, bell), 0);
	assert_int_equal(loop_submit(l), 0);
	assert_int_equal(read(bell, &v, sizeof v), sizeof v);
	refused_request(l);
	assert_int_equal(loop_kick(l, bell), 0);
	for (unsigned i = 0; i < 2; i++)		/* a turn that ends early leaves the rest to the next one */
		assert_int_equal(loop_run_once(l, in_ms(5)), 0);
	assert_int_equal(read(bell, &v, sizeof v), sizeof v);
	refused_request(l);
	assert_int_equal(loop_kick(l, bell), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(loop_run_once(l, 0), 0);
	assert_int_equal(read(bell, &v, sizeof v), sizeof v);
	/* More refused kicks than the completion queue holds: the next one leaves all the same, with a wait and without. */
	assert_int_equal(eventfd_write(full, UINT64_MAX - 1), 0);
	for (unsigned wait = 0; wait < 2; wait++) {
		for (unsigned i = 0; i < 3000; i++)
			assert_int_equal(loop_kick(l, full), 0);
		assert_int_equal(loop_kick(l, bell), 0);
		assert_int_equal(loop_run_once(l, wait ? in_ms(5) : 0), 0);
		assert_int_equal(read(bell, &v, sizeof v), sizeof v);
	}
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(loop_run_once(l, 0), 0);
	/* A wait that a signal ends has submitted. */
	signal(SIGALRM, on_alarm);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	assert_int_equal(loop_kick(l, bell), 0);
	assert_int_equal(loop_run_once(l, in_ms(60000)), 0);
	assert_int_equal(read(bell, &v, sizeof v), sizeof v);
	close(bell);
	close(full);
	loop_close(l);
}
static void test_no_kick_is_lost(void **state) { (void)state; no_kick_is_lost(0); }
static void test_no_kick_of_a_worker_is_lost(void **state) { (void)state; no_kick_is_lost(LOOP_WORKER); }

static void test_sealed_takes_no_new_file(void **state)
{
	struct loop *l = opened(LOOP_WORKER);
	struct count c = { 0 };
	int known = eventfd(0, EFD_CLOEXEC), other = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_int_equal(loop_add_file(l, known), 0);
	assert_int_equal(loop_run_once(l, 0), -EBADFD);
	assert_int_equal(loop_seal(l), 0);
	assert_int_equal(loop_seal(l), -EINVAL);
	assert_int_equal(loop_watch(l, other, POLLIN, LOOP_EDGE, on_any, &c), -EPERM);
	assert_int_equal(loop_add_file(l, other), -EPERM);
	assert_int_equal(loop_kick(l, other), -EPERM);
	c.id = loop_watch(l, known, POLLIN, LOOP_LEVEL, on_any, &c);	/* a known one may come and go */
	assert_true(c.id >= 0);
	assert_int_equal(eventfd_write(known, 1), 0);
	assert_int_equal(loop_run_once(l, in_ms(1000)), 1);
	loop_unwatch(l, c.id);
	assert_int_equal(loop_run_once(l, in_ms(5)), 0);
	close(known);
	close(other);
	loop_close(l);
}

/* What the ring says to a request that the loop would never make. */
static int odd_request(struct loop *l, unsigned op, int fd, unsigned flags, const void *addr)
{
	struct io_uring_sqe *e = io_uring_get_sqe(&l->ring);
	struct io_uring_cqe *cqe = NULL;
	struct __kernel_timespec second = { 1, 0 };
	int r;

	assert_non_null(e);
	io_uring_prep_rw((int)op, e, fd, addr, 0, 0);
	e->flags = (uint8_t)flags;
	e->user_data = 77;
	assert_true(io_uring_submit_and_wait_timeout(&l->ring, &cqe, 1, &second, NULL) >= 0);
	assert_non_null(cqe);
	r = cqe->res;
	io_uring_cqe_seen(&l->ring, cqe);
	return r;
}

static void test_sealed_ring_refuses(void **state)
{
	static const unsigned ops[] = {
		IORING_OP_OPENAT, IORING_OP_OPENAT2, IORING_OP_SOCKET, IORING_OP_CONNECT, IORING_OP_ACCEPT,
		    IORING_OP_READ, IORING_OP_READV,
		IORING_OP_SENDMSG, IORING_OP_RECVMSG, IORING_OP_SPLICE, IORING_OP_UNLINKAT, IORING_OP_FILES_UPDATE,
		    IORING_OP_CLOSE,
		IORING_OP_STATX, IORING_OP_EPOLL_CTL, IORING_OP_TIMEOUT, IORING_OP_MSG_RING, IORING_OP_URING_CMD, IORING_OP_NOP,
	};
	struct loop *l = opened(LOOP_WORKER), *free_ring = opened(0);
	int bell = eventfd(0, EFD_CLOEXEC), fd;

	(void)state;
	assert_int_equal(loop_add_file(l, bell), 0);
	assert_int_equal(loop_seal(l), 0);
	fd = odd_request(free_ring, IORING_OP_OPENAT, AT_FDCWD, 0, "/");	/* before: it does open files */
	assert_true(fd >= 0);
	close(fd);
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (odd_request(l, ops[i], 0, IOSQE_FIXED_FILE, "/") != -EACCES)
			fail_msg("operation %u is not refused", ops[i]);
	/* Allowed operations on a descriptor that is not a registered file. */
	assert_int_equal(odd_request(l, IORING_OP_POLL_ADD, bell, 0, NULL), -EACCES);
	assert_int_equal(odd_request(l, IORING_OP_WRITE, STDERR_FILENO, 0, "x"), -EACCES);
	assert_int_equal(odd_request(l, IORING_OP_WRITE, 1, IOSQE_FIXED_FILE, "x"), -EBADF);
	/* And it cannot be changed. */
	assert_int_equal(io_uring_register((unsigned)l->ring.ring_fd, IORING_REGISTER_FILES_UPDATE,
	    &(struct io_uring_files_update){ .fds = (uintptr_t)&bell }, 1), -EACCES);
	assert_int_equal(io_uring_register((unsigned)l->ring.ring_fd, IORING_UNREGISTER_FILES, NULL, 0), -EACCES);
	close(bell);
	loop_close(l);
	loop_close(free_ring);
}

static void test_sleep_costs_nothing(void **state)
{
	struct loop *l = opened(0);
	struct count c = { 0 };
	int bell = eventfd(0, EFD_CLOEXEC), s[2];
	unsigned long before;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
	loop_watch(l, bell, POLLIN, LOOP_EDGE, on_any, &c);
	loop_watch(l, s[0], POLLIN, LOOP_LEVEL, on_any, &c);
	assert_int_equal(loop_run_once(l, 0), 0);
	assert_int_equal(loop_run_once(l, in_ms(20)), 0);	/* the first sleep of a process settles other things too */
	before = switches();
	assert_int_equal(loop_run_once(l, in_ms(1000)), 0);
	/* To sleep, and the deadline; 3 were seen on a busy machine, a timer of ours would make ten and more. */
	assert_in_range(switches() - before, 1, 8);
	close(bell);
	close(s[0]);
	close(s[1]);
	loop_close(l);
}

static void test_glance_makes_no_system_call(void **state)
{
	enum { ROUNDS = 100000 };
	struct loop *l = opened(0);
	struct count c = { 0 };
	int bell = eventfd(0, EFD_CLOEXEC);
	struct timespec a, b;

	(void)state;
	loop_watch(l, bell, POLLIN, LOOP_EDGE, on_any, &c);
	assert_int_equal(loop_run_once(l, 0), 0);
	syscall(SYS_close, l->ring.ring_fd);			/* any io_uring_enter would fail now */
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	for (unsigned i = 0; i < ROUNDS; i++)
		assert_int_equal(loop_run_once(l, 0), 0);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	print_message("a glance: %lld ns\n", ((b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec) / ROUNDS);
	assert_int_equal(loop_run_once(l, in_ms(5)), -EBADF);
	close(bell);
	loop_close(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_doorbell),
		cmocka_unit_test(test_doorbell_in_a_worker),
		cmocka_unit_test(test_bell_that_rang_before),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_level_comes_again),
		cmocka_unit_test(test_unwatch_lets_go_of_the_file),
		cmocka_unit_test(test_places_run_out_and_come_back),
		cmocka_unit_test(test_pidfd),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_error_of_a_callback),
		cmocka_unit_test(test_kick),
		cmocka_unit_test(test_kick_from_a_worker), cmocka_unit_test(test_no_kick_is_lost),
		cmocka_unit_test(test_no_kick_of_a_worker_is_lost),
		cmocka_unit_test(test_sealed_takes_no_new_file),
		cmocka_unit_test(test_sealed_ring_refuses),
		cmocka_unit_test(test_sleep_costs_nothing),
		cmocka_unit_test(test_glance_makes_no_system_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
