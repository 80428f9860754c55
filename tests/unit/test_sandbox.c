/* The sandbox and the watchdog, in forked children: what worked before does not work after. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <liburing.h>
#include <seccomp.h>
#include "base/types.h"
#include "proto/control.h"
#include "proto/control_socket.h"
#include "runtime/log.h"
#include "runtime/loop.h"
#include "runtime/sandbox_own.h"
#include "runtime/watchdog.h"

/* Runs fn in a child; returns its wait status. */
static int in_child(int (*fn)(void))
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct itimerval off = { 0 };

		setitimer(ITIMER_PROF, &off, NULL);
		_exit(fn());
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}
static bool exited(int status, int code) { return WIFEXITED(status) && WEXITSTATUS(status) == code; }
static bool killed(int status, int sig) { return WIFSIGNALED(status) && WTERMSIG(status) == sig; }

#define CALL(name) { .number = SCMP_SYS(name) }
#define END { .number = -1 }

static int enter(const int *keep, unsigned count, const struct sandbox_call *syscalls)
{
	struct sandbox_plan p = { .parent = getppid(), .keep = keep, .keep_count = count, .syscalls = syscalls };
	const char *wall = NULL;
	int r = sandbox_enter(&p, &wall);

	if (r)
		fprintf(stderr, "sandbox_enter: %s: %s\n", wall, strerror(-r));
	return r;
}

/* ---- each attempt: 0 it worked, 1 it did not; a forbidden one does not come back at all ---- */
static int try_open(void) { return syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY) < 0; }
static int try_socket(void) { return syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0) < 0; }
static int try_kill(void) { return syscall(SYS_kill, getppid(), 0) < 0; }
static int try_tgkill(void) { return syscall(SYS_tgkill, getppid(), getppid(), 0) < 0; }
static int try_ptrace(void) { return syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) < 0; }
static int try_fork(void)
{
	pid_t p = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (p == 0)
		_exit(0);
	return p < 0;
}
static int try_exec(void) { return syscall(SYS_execve, "/proc/self/exe/none", NULL, NULL) < 0 && errno != ENOTDIR; }
static int try_ring(void)
{
	struct io_uring_params p = { 0 };

	return syscall(SYS_io_uring_setup, 4, &p) < 0;
}
static int try_register(void) { return syscall(SYS_io_uring_register, -1, IORING_REGISTER_PROBE, NULL, 0) < 0 && errno == EPERM; }
static int try_exec_memory(void)
{
	return (void *)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}
static int try_make_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return syscall(SYS_mprotect, p, 4096, PROT_READ | PROT_EXEC) < 0;
}
static int try_setuid(void) { return syscall(SYS_setresuid, -1, -1, -1) < 0; }
static int try_handler(void)
{
	struct sigaction on = { .sa_handler = SIG_IGN };

	return sigaction(SIGSEGV, &on, NULL) < 0;
}
static int try_unlink(void) { return syscall(SYS_unlinkat, AT_FDCWD, "/proc/none", 0) < 0 && errno != ENOENT; }

struct attempt { const char *name; int (*fn)(void); bool loose; /* sanitizers need it */ };
static const struct attempt attempts[] = {
	{ "open", try_open, false }, { "socket", try_socket, false }, { "kill", try_kill, false },
	{ "tgkill another", try_tgkill, false }, { "ptrace", try_ptrace, false }, { "fork", try_fork, false },
	{ "exec", try_exec, false }, { "io_uring_setup", try_ring, false }, { "io_uring_register", try_register, false },
	{ "executable memory", try_exec_memory, true }, { "memory made executable", try_make_exec, true },
	{ "setresuid", try_setuid, false }, { "another handler", try_handler, true }, { "unlink", try_unlink, false },
};
static const struct attempt *now_trying;

static int attempt_free(void) { return now_trying->fn(); }
static int attempt_inside(void)
{
	if (enter(NULL, 0, NULL))
		return 3;
	now_trying->fn();
	return 0;
}

static void test_attempts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		now_trying = &attempts[i];
		if (!exited(in_child(attempt_free), 0))
			fail_msg("%s does not work outside of the sandbox: the test says nothing", now_trying->name);
		if (SANDBOX_LOOSE && now_trying->loose)
			continue;
		if (!killed(in_child(attempt_inside), SIGSYS))
			fail_msg("%s is not refused in the sandbox", now_trying->name);
	}
}

/* What a worker does all the time. */
static const struct control_handlers none;
static int everyday(void)
{
	struct loop *l;
	struct control_link c;
	struct timespec t;
	int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), pair[2], keep[4];
	uint8_t random[16];
	void *p;

	if (control_pair(pair) || control_open(&c, pair[0]) || loop_open(LOOP_WORKER, &l) || loop_add_file(l, bell) ||
	    loop_seal(l))
		return 2;
	memcpy(keep, (int[]){ bell, pair[0], pair[1], loop_fd(l) }, sizeof keep);
	if (enter(keep, 4, NULL))
		return 3;
	log_info("from inside", LOG_UINT("pid", getpid()));
	clock_gettime(CLOCK_BOOTTIME, &t);
	if (syscall(SYS_getrandom, random, sizeof random, 0) != sizeof random)
		return 4;
	p = malloc(4 * 1024 * 1024);
	if (p == NULL)
		return 5;
	memset(p, 1, 4 * 1024 * 1024);
	free(p);
	if (control_hello(&c, "x", 0) || loop_kick(l, bell) || loop_run_once(l, loop_now() + 1000000) < 0)
		return 6;
	if (control_receive(&c, &none, NULL) != CONTROL_EMPTY || strlen(sandbox_describe()) < 10)
		return 7;
	return eventfd_write(bell, 1) ? 8 : 0;
}
static void test_everyday_work_goes_on(void **state)
{
	(void)state;
	assert_true(exited(in_child(everyday), 0));
}

static int ring_tries(void)
{
	struct loop *l;
	int fd;

	if (loop_open(LOOP_WORKER, &l) || loop_seal(l))
		return 2;
	fd = loop_fd(l);
	if (enter(&fd, 1, NULL))
		return 3;
	/* An owned worker speaks to the ring itself: it may enter it, and that is all (test_loop.c has what it refuses). */
	return syscall(SYS_io_uring_enter, fd, 0, 0, 0, NULL, 0) == 0 ? 0 : 4;
}
static int aborts(void)
{
	if (enter(NULL, 0, NULL))
		return 3;
	abort();
}
static void test_ring_and_abort(void **state)
{
	(void)state;
	assert_true(exited(in_child(ring_tries), 0));
	assert_true(killed(in_child(aborts), SIGABRT));		/* a strike, and not a breach: SIGABRT, not SIGSYS */
}

static int own_list(void)
{
	static const struct sandbox_call more[] = { CALL(unlinkat), END };

	return enter(NULL, 0, more) ? 3 : try_unlink();
}
static int list_that_repeats(void)	/* what everybody may is no end of the list */
{
	static const struct sandbox_call more[] = { CALL(mmap), CALL(read), CALL(read), CALL(unlinkat), END };

	return enter(NULL, 0, more) ? 3 : try_unlink();
}
static int list_that_undoes(void)
{
	static const struct sandbox_call more[] = { CALL(io_uring_register), END };
	struct sandbox_plan p = { .syscalls = more };

	return sandbox_enter(&p, NULL) == -EINVAL ? 0 : 1;
}
static int one_argument(void)		/* the end of a pipe is asked for its size, and that is all that it is asked for */
{
	static const struct sandbox_call more[] = { { SCMP_SYS(fcntl), true, F_GETPIPE_SZ }, END };
	int pair[2];

	if (pipe(pair) || enter(pair, 2, more) || fcntl(pair[0], F_GETPIPE_SZ) < 4096)
		return 3;
	return fcntl(pair[0], F_GETFL) < 0;
}
static int other_list(void)	/* one is given, others are still not */
{
	static const struct sandbox_call more[] = { CALL(unlinkat), END };

	return enter(NULL, 0, more) ? 3 : try_open();
}
static void test_own_list(void **state)
{
	(void)state;
	assert_true(exited(in_child(own_list), 0));
	assert_true(exited(in_child(list_that_repeats), 0));
	assert_true(exited(in_child(list_that_undoes), 0));
	assert_true(killed(in_child(other_list), SIGSYS));
	if (!SANDBOX_LOOSE)
		assert_true(killed(in_child(one_argument), SIGSYS));
}

static int descriptors(void)
{
	int a = eventfd(0, 0), b = eventfd(0, 0), c = eventfd(0, 0), keep[] = { c, a };

	if (enter(keep, 2, NULL))
		return 3;
	if (eventfd_write(a, 1) || eventfd_write(c, 1))
		return 4;
	return eventfd_write(b, 1) == 0 || errno != EBADF;
}
static int received_ones(void)	/* no descriptor can come in any more: the limit is at those that are there */
{
	static const struct sandbox_call more[] = { CALL(fcntl), CALL(prlimit64), END };
	int pair[2];
	struct rlimit files;

	if (control_pair(pair) || enter(pair, 2, more) || getrlimit(RLIMIT_NOFILE, &files))
		return 3;
	return files.rlim_max != (rlim_t)(pair[1] + 1) || fcntl(pair[0], F_DUPFD_CLOEXEC, pair[1] + 1) >= 0;
}
static void test_descriptors(void **state)
{
	(void)state;
	assert_true(exited(in_child(descriptors), 0));
	assert_true(exited(in_child(received_ones), 0));
}

static int walls_seen(void)
{
	static const struct sandbox_call more[] = { CALL(prctl), CALL(prlimit64), CALL(capget), CALL(getresuid), CALL(getgroups), END };
	struct sandbox_plan p = { .parent = getppid(), .syscalls = more };
	struct rlimit l;
	uid_t r, e, s;

	if (geteuid() == 0) {
		p.uid = 61877;
		p.gid = 61877;
	}
	if (sandbox_enter(&p, NULL))
		return 3;
	if (prctl(PR_GET_DUMPABLE) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_SECCOMP) != 2)
		return 4;
	if (getrlimit(RLIMIT_CORE, &l) || l.rlim_max != 0 || getrlimit(RLIMIT_NPROC, &l) || l.rlim_max != 0)
		return 5;
	if (p.uid && (getresuid(&r, &e, &s) || r != p.uid || e != p.uid || s != p.uid || getgroups(0, NULL) != 0))
		return 6;
	if (p.uid && strstr(sandbox_describe(), "uid=61877") == NULL)
		return 7;
	return prctl(PR_CAPBSET_READ, 0) == 1 && p.uid ? 8 : 0;
}
static void test_walls(void **state)
{
	(void)state;
	assert_true(exited(in_child(walls_seen), 0));
}

static int orphan(void)
{
	struct sandbox_plan p = { .parent = getpid() };	/* nobody is his own */

	return sandbox_enter(&p, NULL) == -ESRCH && *sandbox_describe() == '\0' ? 0 : 1;
}
static void test_parent_is_gone(void **state)
{
	(void)state;
	assert_true(exited(in_child(orphan), 0));
}

/* Parent, worker: the parent is killed, and the worker goes with it. */
static void test_dies_with_its_parent(void **state)
{
	int told[2];
	pid_t parent;
	char c;

	(void)state;
	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	parent = fork();
	if (parent == 0) {
		pid_t worker = fork();

		if (worker == 0) {
			struct sandbox_plan p = { .parent = getppid(), .keep = &told[1], .keep_count = 1 };

			if (geteuid() == 0)
				p.uid = p.gid = 61877;
			if (sandbox_enter(&p, NULL) || write(told[1], "r", 1) != 1)
				_exit(1);
			for (;;)
				sched_yield();
		}
		close(told[1]);
		pause();
		_exit(0);
	}
	close(told[1]);
	assert_int_equal(read(told[0], &c, 1), 1);
	kill(parent, SIGKILL);
	waitpid(parent, NULL, 0);
	assert_int_equal(read(told[0], &c, 1), 0);	/* the worker's end is closed: it is gone */
	close(told[0]);
}

static void burn_ms(long ms)
{
	struct timespec t;

	do
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	while (t.tv_sec * 1000 + t.tv_nsec / 1000000 < ms);
}
static _Atomic uint64_t word = 5ull << 32;
static int burns(void)
{
	if (watchdog_start(&word) || enter(NULL, 0, NULL))
		return 3;
	for (;;)
		atomic_fetch_add(&word, 1);	/* an undo length that moves is no commit */
}
static int commits(void)
{
	if (watchdog_start(&word) || enter(NULL, 0, NULL))
		return 3;
	for (int i = 1; i < 25; i++) {
		burn_ms(i * 100);
		atomic_fetch_add(&word, 1ull << 32);
	}
	return 0;
}
static int rests(void)
{
	if (watchdog_start(&word) || enter(NULL, 0, NULL))
		return 3;
	for (int i = 1; i < 25; i++) {
		burn_ms(i * 100);
		watchdog_rest();
	}
	return 0;
}
static void test_watchdog(void **state)
{
	(void)state;
	assert_true(killed(in_child(burns), SIGABRT));
	assert_true(exited(in_child(commits), 0));
	assert_true(exited(in_child(rests), 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attempts),
		cmocka_unit_test(test_everyday_work_goes_on),
		cmocka_unit_test(test_ring_and_abort),
		cmocka_unit_test(test_own_list),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_walls),
		cmocka_unit_test(test_parent_is_gone),
		cmocka_unit_test(test_dies_with_its_parent),
		cmocka_unit_test(test_watchdog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
