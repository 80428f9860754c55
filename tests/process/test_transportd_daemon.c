/* tests/process/test_transportd_daemon.c - the daemon whole, without a hostd: what it says and leaves when it cannot start,
 * and that its workers come and go while the controller's socket stays.
 *
 * This program is the daemon: it starts itself again as supervisor and as worker, as the real one does. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "transportd/program.h"

enum { WAIT_MS = 10000 };
struct rig { char dir[64], run[80], socket[80], log[80], transport[100]; int listener, far; pid_t pid; };

static void rest_ms(long ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL); }

static int rig_make(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct rig *g = calloc(1, sizeof *g);

	*state = g;
	snprintf(g->dir, sizeof g->dir, "%s/trefoil-td-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(g->dir))
		return -1;
	snprintf(g->run, sizeof g->run, "%s/run", g->dir);
	snprintf(g->socket, sizeof g->socket, "%s/c", g->dir);
	snprintf(g->log, sizeof g->log, "%s/log", g->dir);
	snprintf(g->transport, sizeof g->transport, "unix:%s", g->socket);
	snprintf(at.sun_path, sizeof at.sun_path, "%s", g->socket);
	g->far = -1;
	g->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return bind(g->listener, (struct sockaddr *)&at, sizeof at) || listen(g->listener, 4);
}
static int rig_end(void **state)
{
	struct rig *g = *state;

	close(g->listener);
	close(g->far);
	unlink(g->socket);
	unlink(g->log);
	rmdir(g->run);
	rmdir(g->dir);			/* fails the test if anything was left there */
	if (!access(g->dir, F_OK))
		return -1;
	free(g);
	return 0;
}

static void start(struct rig *g, const char *transport)
{
	char *argv[] = { (char[]){ "transportd" }, (char[]){ "--run-dir" }, g->run, (char[]){ "--transport" },
		(char *)(uintptr_t)transport, NULL };
	int log;

	fflush(NULL);
	g->pid = fork();
	if (g->pid)
		return;
	log = open(g->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
	dup2(log, 2);
	unsetenv("NOTIFY_SOCKET");
	_exit(program_main(&transportd_program, 5, argv));
}
static int ended(struct rig *g)
{
	int status, waited = 0;

	while (waitpid(g->pid, &status, WNOHANG) == 0) {
		if (waited++ > WAIT_MS / 10) {
			kill(g->pid, SIGKILL);
			waitpid(g->pid, &status, 0);
			fail_msg("the daemon does not end");
		}
		rest_ms(10);
	}
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}
static unsigned log_has(struct rig *g, const char *what)
{
	char line[2048];
	FILE *f = fopen(g->log, "r");
	unsigned n = 0;

	while (f && fgets(line, sizeof line, f))
		n += strstr(line, what) != NULL;
	if (f)
		fclose(f);
	return n;
}
static void await_log(struct rig *g, const char *what, unsigned times)
{
	for (int i = 0; i < WAIT_MS / 10; i++) {
		if (log_has(g, what) >= times)
			return;
		rest_ms(10);
	}
	fail_msg("the log never had %u times: %s", times, what);
}
/* The worker: the only child of the supervisor. */
static pid_t worker_of(pid_t supervisor)
{
	char path[80];
	FILE *f;
	int pid = 0;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", supervisor, supervisor);
	f = fopen(path, "r");
	assert_non_null(f);
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	return pid;
}
static void connected(struct rig *g)
{
	struct pollfd p = { .fd = g->listener, .events = POLLIN };

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	g->far = accept(g->listener, NULL, NULL);
	assert_true(g->far >= 0);
	await_log(g, "worker ready", 1);
}
/* The far end sees neither an end nor an octet. */
static void assert_line_stands(struct rig *g)
{
	char c;

	assert_int_equal(recv(g->far, &c, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static void a_transport_that_cannot_be_opened_is_named_and_nothing_is_left(void **state)
{
	struct rig *g = *state;

	start(g, "bogus:1");
	assert_int_equal(ended(g), 1);
	assert_int_equal(log_has(g, "transport \\\"bogus:1\\\": \\\"bogus\\\" is no kind of transport"), 1);
	start(g, "bogus:1\ntransportd: error forged");	/* what a user names is never a line of its own */
	assert_int_equal(ended(g), 1);
	assert_int_equal(log_has(g, "bogus:1\\x0Atransportd: error forged"), 1);
	start(g, "unix:/nowhere/at/all");
	assert_int_equal(ended(g), 1);
	assert_int_equal(log_has(g, "cannot connect to /nowhere/at/all: No such file or directory"), 1);
	start(g, "usb:0");
	assert_int_equal(ended(g), 1);
	assert_int_equal(log_has(g, "not built in yet"), 1);
}

static void a_controller_that_goes_ends_the_daemon_with_a_reason(void **state)
{
	struct rig *g = *state;

	start(g, g->transport);
	connected(g);
	close(g->far);
	g->far = -1;
	assert_int_equal(ended(g), 1);
	assert_true(log_has(g, "controller gone: it closed its socket") >= 1);
}

/* Its last octets and its end come before one and the same wake-up: both are seen. */
static void a_controller_that_writes_and_goes_ends_it_too(void **state)
{
	struct rig *g = *state;
	pid_t worker;

	start(g, g->transport);
	connected(g);
	rest_ms(100);
	worker = worker_of(g->pid);
	assert_return_code(kill(worker, SIGSTOP), errno);
	rest_ms(20);
	assert_int_equal(write(g->far, "\x04\x0e", 2), 2);
	close(g->far);
	g->far = -1;
	assert_return_code(kill(worker, SIGCONT), errno);
	assert_int_equal(ended(g), 1);
	assert_true(log_has(g, "controller gone: it closed its socket") >= 1);
}

static void sigterm_ends_it_cleanly(void **state)
{
	struct rig *g = *state;
	char c;

	start(g, g->transport);
	connected(g);
	assert_line_stands(g);
	kill(g->pid, SIGTERM);
	assert_int_equal(ended(g), 0);
	assert_int_equal(recv(g->far, &c, 1, 0), 0);
}

static void a_killed_worker_comes_back_and_the_controller_is_not_let_go(void **state)
{
	struct rig *g = *state;
	pid_t worker, before = 0;

	start(g, g->transport);
	connected(g);
	for (unsigned i = 0; i < 5; i++) {
		worker = worker_of(g->pid);
		assert_true(worker > 0 && worker != before);
		before = worker;
		assert_int_equal(kill(worker, SIGKILL), 0);
		await_log(g, "worker ready", i + 2);
		assert_line_stands(g);
	}
	assert_int_equal(send(g->far, (const uint8_t[]){ 4, 0x0E, 0 }, 3, 0), 3);	/* nobody to take it yet: it waits */
	rest_ms(50);
	assert_true(worker_of(g->pid) > 0);
	kill(g->pid, SIGTERM);
	assert_int_equal(ended(g), 0);
}

static unsigned long switches_of(pid_t pid)
{
	char path[64], line[256];
	unsigned long n, sum = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1 || sscanf(line, "nonvoluntary_ctxt_switches: %lu", &n) == 1)
			sum += n;
	fclose(f);
	return sum;
}

/* Also with octets in the socket that nobody can be given: they are looked at once, not again and again. */
static void an_idle_worker_is_never_woken(void **state)
{
	struct rig *g = *state;
	unsigned long before, worker;

	start(g, g->transport);
	connected(g);
	for (int octets = 0; octets < 2; octets++) {
		if (octets)
			assert_int_equal(send(g->far, (const uint8_t[]){ 4, 0x0E, 0 }, 3, 0), 3);
		rest_ms(200);
		worker = (unsigned long)worker_of(g->pid);
		before = switches_of((pid_t)worker);
		rest_ms(1000);
		assert_int_equal(switches_of((pid_t)worker), before);
	}
	kill(g->pid, SIGTERM);
	assert_int_equal(ended(g), 0);
}

int main(int argc, char **argv)
{
#define RIG(f) cmocka_unit_test_setup_teardown(f, rig_make, rig_end)
	const struct CMUnitTest tests[] = {
		RIG(a_transport_that_cannot_be_opened_is_named_and_nothing_is_left),
		RIG(a_controller_that_goes_ends_the_daemon_with_a_reason),
		RIG(a_controller_that_writes_and_goes_ends_it_too),
		RIG(sigterm_ends_it_cleanly),
		RIG(a_killed_worker_comes_back_and_the_controller_is_not_let_go),
		RIG(an_idle_worker_is_never_woken),
	};

	if (argc == 2 && !strcmp(argv[1], "--worker"))
		return program_main(&transportd_program, argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
