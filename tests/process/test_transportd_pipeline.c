/* tests/process/test_transportd_pipeline.c - transportd as it runs (io_uring, sandbox, ring to a neighbour), its worker
 * killed under load.
 *
 *   this test, as controller ── unix socket ── transportd ── ring ── a hostd that sends each packet back
 *
 * Numbered packets go out and have to come back: each once, in order, whole, over kills of either worker, and while this
 * end rests so long that socket, pipe and both rings run full.  This program is both daemons as well; $TREFOIL_TEST_ROLE says which. */
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
#include "base/types.h"
#include "shm/step.h"
#include "transportd/program.h"

enum { WAIT_MS = 20000, KILLS = 60, BODY_MAX = 4000 };

/* ---- a hostd that only sends back ---- */

static const struct arena_pool pools[] = { STEP_STATE(ARENA_ROW) { 0 } };
static const char *const counter_names[] = { "sent_back", NULL };

static void echo_record(struct step *s, unsigned link, const struct record *r, struct bytes payload)
{
	if (link != LINK_UP || r->kind != RECORD_HCI_ACL)
		return;
	memcpy(step_reserve(s, LINK_UP, (uint32_t)payload.len), payload.at, payload.len);
	step_give(s, LINK_UP, (struct record){ .len = (uint32_t)payload.len, .kind = RECORD_HCI_ACL });
	step_count(s, 0, 1);
}
static uint64_t echo_deadline(const struct step *s) { (void)s; return DEADLINE_NONE; }

static const struct core echo_core = {
	.name = "echo", .pools = pools, .version = 1, .counter_names = counter_names,
	.reserve = { [LINK_UP] = { [LINK_UP] = RECORD_HEADER + BODY_MAX + 16 } }, .undo = 1024,
	.fill = step_format, .on_record = echo_record, .deadline = echo_deadline,
};
static int configure_nothing(const struct device *d, struct config_sink *sink) { (void)d, (void)sink; return 0; }
static const struct program echo_program = {
	.name = "hostd", .core = &echo_core, .up = "transportd", .configure = configure_nothing,
};

static const struct program *role(void)
{
	const char *r = getenv("TREFOIL_TEST_ROLE");

	return r && !strcmp(r, "hostd") ? &echo_program : &transportd_program;
}

/* ---- the controller ---- */

struct rig { char dir[64], run[80], socket[80], log[80]; int listener, far; pid_t pid[2]; };
struct flow { uint32_t made, seen; uint8_t out[BODY_MAX + 8], in[1 << 16]; uint32_t from, to, held; };

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
static void rest_ms(long ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL); }

static uint32_t packet_make(uint32_t n, uint8_t *at)
{
	uint32_t h = (n + 1) * 2654435761u, len = n % 64 == 0 ? h % BODY_MAX : 4 + (h >> 20) % 250;

	if (len < 4)
		len = 4;
	memcpy(at, (const uint8_t[]){ 2, 0x40, 0x20, (uint8_t)len, (uint8_t)(len >> 8) }, 5);
	memcpy(at + 5, &n, 4);
	for (uint32_t i = 4; i < len; i++)
		at[5 + i] = (uint8_t)(h + i * 5);
	return 5 + len;
}

static void flow_write(struct rig *g, struct flow *f)
{
	ssize_t n;

	for (int burst = 0; burst < 50; burst++) {
		if (f->from == f->to) {
			f->to = packet_make(f->made++, f->out);
			f->from = 0;
		}
		n = send(g->far, f->out + f->from, f->to - f->from, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			fail_msg("the controller's socket was closed: %s", strerror(errno));
		if (n <= 0)
			return;
		f->from += (uint32_t)n;
	}
}

static void flow_read(struct rig *g, struct flow *f)
{
	static uint8_t want[BODY_MAX + 8];
	ssize_t n = recv(g->far, f->in + f->held, sizeof f->in - f->held, MSG_DONTWAIT);
	uint32_t at = 0, len;

	if (n == 0)
		fail_msg("the controller's socket was closed");
	if (n < 0)
		return;
	f->held += (uint32_t)n;
	for (; f->held - at >= 5; at += len) {
		len = 5 + (uint32_t)(f->in[at + 3] | f->in[at + 4] << 8);
		if (f->held - at < len)
			break;
		if (packet_make(f->seen, want) != len || memcmp(want, f->in + at, len))
			fail_msg("packet %u came back lost, doubled or torn", f->seen);
		f->seen++;
	}
	memmove(f->in, f->in + at, f->held - at);
	f->held -= at;
}

/* Write for so long that nothing more goes, reading nothing. */
static void fill_up(struct rig *g, struct flow *f)
{
	for (int idle = 0; idle < 20; idle++) {
		uint32_t made = f->made;

		flow_write(g, f);
		if (f->made != made)
			idle = 0;
		rest_ms(2);
	}
}

static void drain(struct rig *g, struct flow *f)
{
	int64_t end = now_ms() + WAIT_MS;

	while ((f->seen < f->made - (f->from < f->to)) && now_ms() < end) {
		struct pollfd p = { .fd = g->far, .events = POLLIN };

		poll(&p, 1, 10);
		flow_read(g, f);
	}
	while (f->from < f->to && now_ms() < end) {		/* the packet that was begun */
		ssize_t n = send(g->far, f->out + f->from, f->to - f->from, MSG_NOSIGNAL | MSG_DONTWAIT);

		f->from += n > 0 ? (uint32_t)n : 0;
	}
	while (f->seen < f->made && now_ms() < end)
		flow_read(g, f);
	assert_int_equal(f->seen, f->made);
}

/* ---- the daemons ---- */

static pid_t start(struct rig *g, const char *name)
{
	char transport[100];
	char *argv[] = { (char *)(uintptr_t)name, (char[]){ "--run-dir" }, g->run, (char[]){ "--transport" }, transport, NULL };
	pid_t pid;
	int log;

	snprintf(transport, sizeof transport, "unix:%s", g->socket);
	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	log = open(g->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(log, 2);
	unsetenv("NOTIFY_SOCKET");
	setenv("TREFOIL_TEST_ROLE", name, 1);
	_exit(program_main(role(), 5, argv));
}
static pid_t worker_of(pid_t supervisor)
{
	char path[80];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", supervisor, supervisor);
	f = fopen(path, "r");
	if (f && fscanf(f, "%d", &pid) != 1)
		pid = 0;
	if (f)
		fclose(f);
	return pid;
}
static void show_log(struct rig *g)
{
	char line[1024];
	FILE *f = fopen(g->log, "r");

	while (f && fgets(line, sizeof line, f))
		print_error("%s", line);
	if (f)
		fclose(f);
}

static int rig_make(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct rig *g = calloc(1, sizeof *g);

	*state = g;
	snprintf(g->dir, sizeof g->dir, "%s/trefoil-tp-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(g->dir))
		return -1;
	snprintf(g->run, sizeof g->run, "%s/run", g->dir);
	snprintf(g->log, sizeof g->log, "%s/log", g->dir);
	snprintf(g->socket, sizeof g->socket, "%s/c", g->dir);
	snprintf(at.sun_path, sizeof at.sun_path, "%s", g->socket);
	mkdir(g->run, 0700);
	g->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(g->listener, (struct sockaddr *)&at, sizeof at) || listen(g->listener, 1))
		return -1;
	g->pid[0] = start(g, "transportd");
	g->far = accept(g->listener, NULL, NULL);
	g->pid[1] = start(g, "hostd");
	return g->far < 0;
}
static int rig_end(void **state)
{
	struct rig *g = *state;
	int status, r = 0;

	for (int i = 0; i < 2; i++) {
		kill(g->pid[i], SIGTERM);
		waitpid(g->pid[i], &status, 0);
		r |= !WIFEXITED(status) || WEXITSTATUS(status);
	}
	close(g->listener);
	close(g->far);
	if (r)
		show_log(g);
	unlink(g->socket);
	unlink(g->log);
	rmdir(g->run);
	r |= rmdir(g->dir);
	free(g);
	return r;
}

static void run_ms(struct rig *g, struct flow *f, int ms)
{
	int64_t end = now_ms() + ms;

	do {
		flow_write(g, f);
		flow_read(g, f);
	} while (now_ms() < end);
}

/* Until the first packet is back: both daemons have found each other. */
static void await_echo(struct rig *g, struct flow *f)
{
	int64_t end = now_ms() + WAIT_MS;

	for (flow_write(g, f); !f->seen && now_ms() < end; rest_ms(1))
		flow_read(g, f);
	if (!f->seen)
		show_log(g);
	assert_true(f->seen > 0);
}

static void packets_come_back_over_kills_of_either_worker(void **state)
{
	static struct flow f;
	struct rig *g = *state;
	unsigned kills[2] = { 0 }, seed = 1;
	uint32_t seen = 0;
	pid_t worker;

	f = (struct flow){ 0 };
	await_echo(g, &f);
	for (int i = 0; i < KILLS; i++) {
		int who = i % 3 == 2, ms = (int)((unsigned)rand_r(&seed) % 25);

		run_ms(g, &f, ms);
		worker = worker_of(g->pid[who]);
		if (worker > 0 && !kill(worker, SIGKILL))
			kills[who]++;
		for (int64_t end = now_ms() + WAIT_MS; f.seen < seen + 200 && now_ms() < end; )
			run_ms(g, &f, 1);		/* it is back, and what was under way as well */
		if (f.seen < seen + 200)
			show_log(g);
		assert_true(f.seen >= seen + 200);
		seen = f.seen;
	}
	drain(g, &f);
	print_message("           %u packets, %u kills of transportd's worker, %u of its neighbour's\n", f.seen, kills[0], kills[1]);
	assert_true(kills[0] >= KILLS / 3);
}

static void full_rings_and_sockets_hold_everybody_back_and_lose_nothing(void **state)
{
	static struct flow f;
	struct rig *g = *state;

	f = (struct flow){ 0 };
	await_echo(g, &f);
	for (int i = 0; i < 4; i++) {
		fill_up(g, &f);
		if (i & 1)
			kill(worker_of(g->pid[0]), SIGKILL);
		drain(g, &f);
	}
	assert_true(f.seen > 4000);
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
		if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
			sum += n;
	fclose(f);
	return sum;
}

/* Idle, and blocked with everything full: neither is a reason to wake up.  A packet is. */
static void neither_an_idle_nor_a_blocked_worker_wakes_up(void **state)
{
	static struct flow f;
	struct rig *g = *state;
	unsigned long before;

	f = (struct flow){ 0 };
	await_echo(g, &f);
	for (int blocked = 0; blocked < 2; blocked++) {
		if (blocked)
			fill_up(g, &f);
		else
			drain(g, &f);
		rest_ms(300);
		before = switches_of(worker_of(g->pid[0]));
		rest_ms(1000);
		assert_int_equal(switches_of(worker_of(g->pid[0])), before);
	}
	drain(g, &f);
	assert_true(switches_of(worker_of(g->pid[0])) > before);
}

int main(int argc, char **argv)
{
#define RIG(f) cmocka_unit_test_setup_teardown(f, rig_make, rig_end)
	const struct CMUnitTest tests[] = {
		RIG(packets_come_back_over_kills_of_either_worker),
		RIG(full_rings_and_sockets_hold_everybody_back_and_lose_nothing),
		RIG(neither_an_idle_nor_a_blocked_worker_wakes_up),
	};

	if (argc == 2 && !strcmp(argv[1], "--worker"))
		return program_main(role(), argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
