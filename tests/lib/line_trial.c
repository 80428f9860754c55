/* tests/lib/line_trial.c - see line_trial.h. */
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
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/types.h"
#include "tests/lib/line_trial.h"

enum { RING = TRIAL_RING, BODY_MAX = TRIAL_BODY_MAX, PIECE = TRIAL_PIECE, END_PATIENCE_US = 20 * 1000000 };

struct trial *trial_new(enum line_socket kind, unsigned seed, bool small)
{
	struct trial *t = calloc(1, sizeof *t);
	int octets = 8192;

	assert_non_null(t);
	line_world_open(&t->w, kind, RING);
	if (small)
		setsockopt(t->w.near, SOL_SOCKET, SO_SNDBUF, &octets, sizeof octets);
	t->quit = mmap(NULL, sizeof *t->quit, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	t->seed = seed;
	t->in.limit = t->out.limit = t->ahead = UINT32_MAX;
	return t;
}

void trial_free(struct trial *t)
{
	munmap(t->quit, sizeof *t->quit);
	line_world_close(&t->w);
	free(t);
}

unsigned trial_dice(struct trial *t, unsigned n) { return (unsigned)rand_r(&t->seed) % n; }

void trial_broken(struct trial *t, const char *what, uint32_t packet)
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
		return trial_broken(t, in ? "in: a packet that was never sent" : "out: a packet that was never sent", f->seen);
	if (want[0] != kind || n != body.len + 1 || memcmp(want + 1, body.at, body.len))
		return trial_broken(t, in ? "in: lost, doubled or torn" : "out: lost, doubled or torn", f->seen);
	f->seen++;
}

/* ---- the parent's four hands ---- */

void trial_controller_writes(struct trial *t)
{
	struct flow *f = &t->in;
	ssize_t n;

	while (f->to < PIECE && f->made < f->limit && f->made - f->seen < t->ahead) {
		f->to += packet_make(f->made, true, f->octets + f->to);
		f->made++;
	}
	if (f->from == f->to)
		return;
	n = send(t->w.far, f->octets + f->from, MIN(f->to - f->from, 1 + trial_dice(t, trial_dice(t, 4) ? 9000 : 7)), MSG_NOSIGNAL);
	if (n > 0)
		f->from += (uint32_t)n;
	else if (errno != EAGAIN)
		trial_broken(t, "the socket was closed", f->made);
	if (f->from == f->to)
		f->from = f->to = 0;
}

static uint32_t body_header(uint8_t kind) { return kind == 2 || kind == 5 ? 4 : 3; }

void trial_controller_reads(struct trial *t)
{
	struct flow *f = &t->out;
	uint32_t at = 0, len;
	ssize_t n = recv(t->w.far, f->octets + f->to, MIN((uint32_t)sizeof f->octets - f->to, 1 + trial_dice(t, 20000)), 0);

	if (n <= 0)
		return;
	f->to += (uint32_t)n;
	while (!t->broken && at < f->to) {
		uint8_t *p = f->octets + at, kind = p[0];

		if (f->to - at < 1 + body_header(kind))
			break;
		len = 1 + body_header(kind) + (kind == 2 || kind == 5 ? p[3] | (uint32_t)p[4] << 8 : p[3]);
		if (kind < 1 || kind == 4 || kind > 5 || len > BODY_MAX + 8)
			return trial_broken(t, "out: framing is lost", f->seen);
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

	for (unsigned i = 1 + trial_dice(t, 40); i-- && f->made < f->limit && f->made - f->seen < t->ahead; f->made++) {
		uint32_t n = packet_make(f->made, false, packet);

		if (!line_host_push(&t->w, packet[0], (struct bytes){ packet + 1, n - 1 }))
			return;
	}
}

void trial_host_takes(struct trial *t)
{
	static uint8_t buf[1 << 16];
	struct record h;

	for (unsigned i = 1 + trial_dice(t, 200); i-- && line_host_take(&t->w, &h, buf, sizeof buf); ) {
		if (h.kind == RECORD_TRANSPORT_STATE && h.len == 9 && buf[0] == TRANSPORT_UP)
			t->states_told++;
		else
			packet_check(t, &t->in, true, h.kind, (struct bytes){ buf, h.len });
	}
}

/* Each hand rests often: sockets and rings run full and empty. */
void trial_pump(struct trial *t)
{
	if (trial_dice(t, 3))
		trial_controller_writes(t);
	if (trial_dice(t, 3) == 0)
		trial_controller_reads(t);
	if (trial_dice(t, 3))
		host_pushes(t);
	if (trial_dice(t, 4) == 0)
		trial_host_takes(t);
}

/* ---- the child ---- */

_Noreturn void trial_child(struct trial *t, unsigned batch, bool mutant, void (*ready)(void))
{
	static struct line_worker k;
	struct pollfd p = { .fd = t->w.near, .events = POLLIN };
	int r;

	signal(SIGPIPE, SIG_IGN);
	k.batch = batch;
	k.tap = t->tap;
	k.plain = ready || t->tap;
	k.forget_windows = mutant;
	if (ready)
		ready();
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
	if (t->at_end)
		t->at_end(&k);
	_exit(0);
}

int64_t trial_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* The last life is left alone until all has arrived, or nothing does any more. */
void trial_end_of_story(struct trial *t)
{
	int64_t give_up = trial_now_us() + END_PATIENCE_US;
	uint32_t seen = 0;
	pid_t pid;
	int status;

	t->in.limit = t->in.made;
	t->out.limit = t->out.made;
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		trial_child(t, 64, false, NULL);
	while (trial_now_us() < give_up && !t->broken && (t->in.seen < t->in.limit || t->out.seen < t->out.limit)) {
		trial_controller_writes(t);
		trial_controller_reads(t);
		trial_host_takes(t);
		if (t->in.seen + t->out.seen + t->out.to != seen)
			give_up = trial_now_us() + END_PATIENCE_US;
		seen = t->in.seen + t->out.seen + t->out.to;
		if (waitpid(pid, &status, WNOHANG) == pid)
			return trial_broken(t, "the worker gave up by itself", (uint32_t)status);
	}
	*t->quit = true;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (t->in.seen < t->in.limit)
		trial_broken(t, "in: something never came", t->in.seen);
	if (t->out.seen < t->out.limit || t->out.to)
		trial_broken(t, "out: something never came", t->out.seen);
}

unsigned trial_count(const struct trial *t, enum line_counter c)
{
	static struct line_worker k;
	unsigned n = UINT32_MAX;

	k.batch = 1;
	if (!line_worker_start(&k, (struct line_world *)(uintptr_t)&t->w))
		n = (unsigned)line_worker_count(&k, c);
	line_worker_end(&k);
	return n;
}

