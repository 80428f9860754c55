/* tests/process/test_transportd_kill.c - SIGKILL to transportd's worker at every system call, and at random moments: not one
 * octet between controller and hostd is lost, doubled or torn, in either direction.
 *
 * The worker's streams run in a child; memory, socket and pipe are the parent's, which plays controller and hostd.  Both
 * streams are numbered packets, so each octet that arrives is known in advance.  A kill falls at the entry or the exit of the
 * k-th system call of a life (k counts up over the lives, so all of them are met, in recovery too), or at a random moment.
 * A mutant that forgets its windows shows that the test can fail. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/types.h"
#include "tests/lib/line_world.h"

enum { RING = 64 * 1024, BODY_MAX = 6000, PIECE = 24 * 1024, STOPS = 90 };
enum how { AT_CALLS, AT_RANDOM };

/* One direction: what is to be sent next, and what has to arrive next. */
struct flow {
	uint32_t made, seen;			/* packets */
	uint32_t limit;				/* that are made at all */
	uint8_t octets[PIECE + BODY_MAX + 8];	/* controller's side: H4 that waits to be written, or that is no packet yet */
	uint32_t from, to;
};
struct trial {
	struct line_world w;
	struct flow in, out;			/* in: controller to hostd */
	unsigned seed, states_told;
	bool broken;
	char why[160];
	_Atomic bool *quit;			/* shared */
};
static unsigned long lives_begun;

static unsigned dice(struct trial *t, unsigned n) { return (unsigned)rand_r(&t->seed) % n; }

static void broken(struct trial *t, const char *what, uint32_t packet)
{
	if (!t->broken)
		snprintf(t->why, sizeof t->why, "%s at packet %u", what, packet);
	t->broken = true;
}

/* Packet number n of a direction: kind, length and content follow from n.  Returns octets with the type octet. */
static uint32_t packet_make(uint32_t n, bool in, uint8_t *at)
{
	const uint32_t kinds[4] = { in ? 4 : 1, 3, 5, 2 };
	uint32_t h = (n + 1) * 2654435761u + in, len = h >> 8 & 63, kind = kinds[n % 4];

	if (kind == 2)
		len = n % 32 == 3 ? h % BODY_MAX : h % 400;
	at[0] = (uint8_t)kind;
	if (kind == 4) {
		at[1] = 0x0E;
		at[2] = (uint8_t)len;
	} else {
		at[1] = (uint8_t)n;
		at[2] = 0;
		at[3] = (uint8_t)len;
		at[4] = (uint8_t)(len >> 8);		/* of one-octet lengths: the first octet of the body */
	}
	at += kind == 4 ? 3 : kind == 2 || kind == 5 ? 5 : 4;
	for (uint32_t i = 0; i < len; i++)
		at[i] = (uint8_t)(h + i * 11 + n);
	return (uint32_t)(kind == 4 ? 3 : kind == 2 || kind == 5 ? 5 : 4) + len;
}

static void packet_check(struct trial *t, struct flow *f, bool in, uint8_t kind, struct bytes body)
{
	static uint8_t want[BODY_MAX + 8];
	uint32_t n = packet_make(f->seen, in, want);

	if (f->seen >= f->made)
		return broken(t, in ? "in: a packet that was never sent" : "out: a packet that was never sent", f->seen);
	if (want[0] != kind || n != body.len + 1 || memcmp(want + 1, body.at, body.len))
		return broken(t, in ? "in: lost, doubled or torn" : "out: lost, doubled or torn", f->seen);
	f->seen++;
}

/* ---- the parent's four hands ---- */

static void controller_writes(struct trial *t)
{
	struct flow *f = &t->in;
	ssize_t n;

	while (f->to < PIECE && f->made < f->limit) {
		f->to += packet_make(f->made, true, f->octets + f->to);
		f->made++;
	}
	if (f->from == f->to)
		return;
	n = send(t->w.far, f->octets + f->from, MIN(f->to - f->from, 1 + dice(t, dice(t, 4) ? 9000 : 7)), MSG_NOSIGNAL);
	if (n > 0)
		f->from += (uint32_t)n;
	else if (errno != EAGAIN)
		broken(t, "the socket was closed", f->made);
	if (f->from == f->to)
		f->from = f->to = 0;
}

static uint32_t body_header(uint8_t kind) { return kind == 2 || kind == 5 ? 4 : 3; }

static void controller_reads(struct trial *t)
{
	struct flow *f = &t->out;
	uint32_t at = 0, len;
	ssize_t n = recv(t->w.far, f->octets + f->to, MIN((uint32_t)sizeof f->octets - f->to, 1 + dice(t, 20000)), 0);

	if (n <= 0)
		return;
	f->to += (uint32_t)n;
	while (!t->broken && at < f->to) {
		uint8_t *p = f->octets + at, kind = p[0];

		if (f->to - at < 1 + body_header(kind))
			break;
		len = 1 + body_header(kind) + (kind == 2 || kind == 5 ? p[3] | (uint32_t)p[4] << 8 : p[3]);
		if (kind < 1 || kind == 4 || kind > 5 || len > BODY_MAX + 8)
			return broken(t, "out: framing is lost", f->seen);
		if (f->to - at < len)
			break;
		packet_check(t, f, false, kind, (struct bytes){ p + 1, len - 1 });
		at += len;
	}
	memmove(f->octets, f->octets + at, f->to - at);
	f->to -= at;
}

static void host_pushes(struct trial *t)
{
	static uint8_t packet[BODY_MAX + 8];
	struct flow *f = &t->out;

	for (unsigned i = 1 + dice(t, 40); i-- && f->made < f->limit; f->made++) {
		uint32_t n = packet_make(f->made, false, packet);

		if (!line_host_push(&t->w, packet[0], (struct bytes){ packet + 1, n - 1 }))
			return;
	}
}

static void host_takes(struct trial *t)
{
	static uint8_t buf[1 << 16];
	struct record h;

	for (unsigned i = 1 + dice(t, 200); i-- && line_host_take(&t->w, &h, buf, sizeof buf); ) {
		if (h.kind == RECORD_TRANSPORT_STATE && h.len == 9 && buf[0] == TRANSPORT_UP)
			t->states_told++;
		else
			packet_check(t, &t->in, true, h.kind, (struct bytes){ buf, h.len });
	}
}

/* Each hand rests often: sockets and rings run full and empty. */
static void pump(struct trial *t)
{
	if (dice(t, 3))
		controller_writes(t);
	if (dice(t, 3) == 0)
		controller_reads(t);
	if (dice(t, 3))
		host_pushes(t);
	if (dice(t, 4) == 0)
		host_takes(t);
}

/* ---- the child ---- */

_Noreturn static void child(struct trial *t, unsigned batch, bool mutant, bool traced)
{
	static struct line_worker k;
	struct pollfd p = { .fd = t->w.near, .events = POLLIN };
	int r;

	signal(SIGPIPE, SIG_IGN);
	k.batch = batch;
	k.forget_windows = mutant;
	if (traced) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
	}
	if (line_worker_start(&k, &t->w) < 0)
		_exit(10);
	while (!*t->quit) {
		r = line_worker_turn(&k);
		if (r < 0)
			_exit(11);
		p.events = (short)(POLLIN | (k.stream.out_left ? POLLOUT : 0));
		if (!r)
			poll(&p, 1, 1);
	}
	_exit(0);
}

static pid_t child_start(struct trial *t, bool mutant, bool traced)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		child(t, 1 + (unsigned)(lives_begun % 64), mutant, traced);
	lives_begun++;
	return pid;
}

static void child_kill(struct trial *t, pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, __WALL), pid);
	if (WIFEXITED(status))
		broken(t, "the worker gave up by itself", (uint32_t)WEXITSTATUS(status));
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
			return broken(t, "the worker gave up by itself", (uint32_t)status);
		if (stops % 3 == 0)
			pump(t);
	}
	child_kill(t, pid);
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* A random time after its first commit, however busy the machine is. */
static void life_to_moment(struct trial *t, bool mutant)
{
	const _Atomic uint64_t *word = (const void *)t->w.memory;
	uint64_t before = *word;
	int64_t end, give_up = now_us() + 10 * 1000000;
	pid_t pid = child_start(t, mutant, false);

	while (*word == before && now_us() < give_up)
		pump(t);
	for (end = now_us() + dice(t, 2000); now_us() < end; )
		pump(t);
	child_kill(t, pid);
}

/* The last life is left alone until all has arrived. */
static void life_to_end(struct trial *t)
{
	int64_t give_up = now_us() + 60 * 1000000;
	pid_t pid;
	int status;

	t->in.limit = t->in.made;
	t->out.limit = t->out.made;
	pid = child_start(t, false, false);
	while (now_us() < give_up && !t->broken && (t->in.seen < t->in.limit || t->out.seen < t->out.limit)) {
		controller_writes(t);
		controller_reads(t);
		host_takes(t);
		if (waitpid(pid, &status, WNOHANG) == pid)
			return broken(t, "the worker gave up by itself", (uint32_t)status);
	}
	*t->quit = true;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (t->in.seen < t->in.limit)
		broken(t, "in: something never came", t->in.seen);
	if (t->out.seen < t->out.limit || t->out.to)
		broken(t, "out: something never came", t->out.seen);
}

static struct trial *trial_run(enum line_socket kind, enum how how, unsigned lives, bool mutant)
{
	struct trial *t = calloc(1, sizeof *t);
	int small = 8192;

	assert_non_null(t);
	line_world_open(&t->w, kind, RING);
	if (lives & 1)			/* small buffers: splice stops in the middle of a batch */
		setsockopt(t->w.near, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	t->quit = mmap(NULL, sizeof *t->quit, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	t->seed = (unsigned)kind * 7 + (unsigned)how + lives;
	t->in.limit = t->out.limit = UINT32_MAX;
	for (unsigned i = 0; i < lives && !t->broken; i++) {
		if (how == AT_CALLS)
			life_to_call(t, 1 + i % STOPS, mutant);
		else
			life_to_moment(t, mutant);
	}
	if (!t->broken)
		life_to_end(t);
	return t;
}

static unsigned count_of(const struct trial *t, enum line_counter c)
{
	static struct line_worker k;
	unsigned n = UINT32_MAX;

	k.batch = 1;
	if (!line_worker_start(&k, (struct line_world *)(uintptr_t)&t->w))
		n = (unsigned)line_worker_count(&k, c);
	line_worker_end(&k);
	return n;
}

static void trial_end(struct trial *t)
{
	munmap(t->quit, sizeof *t->quit);
	line_world_close(&t->w);
	free(t);
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
	assert_int_equal(count_of(t, LINE_windows_unknown), 0);
	resumed = count_of(t, LINE_windows_resumed);
	assert_true(how == AT_RANDOM || resumed > lives / 20);		/* else the kills fell beside what is tested */
	print_message("           %s: %u kills, %u packets in, %u out, %u windows resumed\n", what, lives, t->in.seen,
	    t->out.seen, resumed);
	trial_end(t);
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
		trial_end(t);
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
