/* tests/process/test_transportd_kill.c - SIGKILL to transportd's worker at every system call, and at random moments: not one
 * octet between controller and hostd is lost, doubled or torn, in either direction.
 *
 * The worker's streams run in a child; memory, socket and pipe are the parent's, which plays controller and hostd.  Both
 * streams are numbered packets, so each octet that arrives is known in advance.  A kill falls at the entry or the exit of the
 * k-th system call of a life (k counts up over the lives, so all of them are met, in recovery too), or at a random moment.
 * A mutant that forgets its windows shows that the test can fail. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/types.h"
#include "tests/lib/line_trial.h"

enum { STOPS = 90 };
enum how { AT_CALLS, AT_RANDOM };
static unsigned long lives_begun;

static void traced(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
}

static pid_t child_start(struct trial *t, bool mutant, bool stopped)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		trial_child(t, 1 + (unsigned)(lives_begun % 64), mutant, stopped ? traced : NULL);
	lives_begun++;
	return pid;
}

static void child_kill(struct trial *t, pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, __WALL), pid);
	if (WIFEXITED(status))
		trial_broken(t, "the worker gave up by itself", (uint32_t)WEXITSTATUS(status));
}

/* Runs it to its `stops`-th stop at a system call, entry or exit, and kills it there. */
static void life_to_call(struct trial *t, unsigned stops, bool mutant)
{
	pid_t pid = child_start(t, mutant, true);
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	while (stops--) {
		ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			return trial_broken(t, "the worker gave up by itself", (uint32_t)status);
		if (stops % 3 == 0)
			trial_pump(t);
	}
	child_kill(t, pid);
}

/* A random time after its first commit, however busy the machine is. */
static void life_to_moment(struct trial *t, bool mutant)
{
	const _Atomic uint64_t *word = (const void *)t->w.memory;
	uint64_t before = *word;
	int64_t end, give_up = trial_now_us() + 10 * 1000000;
	pid_t pid = child_start(t, mutant, false);

	while (*word == before && trial_now_us() < give_up)
		trial_pump(t);
	for (end = trial_now_us() + trial_dice(t, 2000); trial_now_us() < end; )
		trial_pump(t);
	child_kill(t, pid);
}

static struct trial *trial_run(enum line_socket kind, enum how how, unsigned lives, bool mutant)
{
	/* small buffers: splice stops in the middle of a batch */
	struct trial *t = trial_new(kind, (unsigned)kind * 7 + (unsigned)how + lives, lives & 1);

	for (unsigned i = 0; i < lives && !t->broken; i++) {
		if (how == AT_CALLS)
			life_to_call(t, 1 + i % STOPS, mutant);
		else
			life_to_moment(t, mutant);
	}
	if (!t->broken)
		trial_end_of_story(t);
	return t;
}

static void exact(enum line_socket kind, enum how how, unsigned lives, const char *what)
{
	struct trial *t = trial_run(kind, how, lives, false);
	unsigned resumed;

	if (t->broken)
		print_error("%s: %s\n", what, t->why);
	assert_false(t->broken);
	assert_int_equal(t->states_told, 1);
	assert_true(t->in.seen > lives && t->out.seen > lives);
	assert_int_equal(trial_count(t, LINE_windows_unknown), 0);
	resumed = trial_count(t, LINE_windows_resumed);
	assert_true(how == AT_RANDOM || resumed > lives / 20);		/* else the kills fell beside what is tested */
	print_message("           %s: %u kills, %u packets in, %u out, %u windows resumed\n", what, lives, t->in.seen,
	    t->out.seen, resumed);
	trial_free(t);
}

static void unix_killed_at_every_system_call(void **state)
{
	(void)state;
	exact(LINE_UNIX, AT_CALLS, 10 * STOPS, "unix");
	exact(LINE_UNIX, AT_CALLS, 4 * STOPS + 1, "unix, small buffers");
}
static void tcp_killed_at_every_system_call(void **state)
{
	(void)state;
	exact(LINE_TCP, AT_CALLS, 6 * STOPS, "tcp");
	exact(LINE_TCP, AT_CALLS, 4 * STOPS + 1, "tcp, small buffers");
}
static void unix_killed_at_random(void **state)
{
	(void)state;
	exact(LINE_UNIX, AT_RANDOM, 400, "unix");
	exact(LINE_UNIX, AT_RANDOM, 201, "unix, small buffers");
}
static void tcp_killed_at_random(void **state)
{
	(void)state;
	exact(LINE_TCP, AT_RANDOM, 300, "tcp");
	exact(LINE_TCP, AT_RANDOM, 201, "tcp, small buffers");
}

/* Without what recovery knows of the windows, the same kills tear both streams. */
static void a_worker_that_forgets_its_windows_is_caught(void **state)
{
	(void)state;
	for (int kind = LINE_UNIX; kind <= LINE_TCP; kind++) {
		struct trial *t = trial_run((enum line_socket)kind, AT_CALLS, 2 * STOPS, true);

		assert_true(t->broken);
		trial_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unix_killed_at_every_system_call),
		cmocka_unit_test(tcp_killed_at_every_system_call),
		cmocka_unit_test(unix_killed_at_random),
		cmocka_unit_test(tcp_killed_at_random),
		cmocka_unit_test(a_worker_that_forgets_its_windows_is_caught),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
