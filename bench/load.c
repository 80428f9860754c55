/* bench/load.c */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>
#include "bench/load.h"
#include "bench/load_setup.h"
#include "base/types.h"
#include "wire/wire.h"

enum { QUIET_MS = 10000, WAIT_MS = 100, READ_GRACE_MS = 2000, FIRST_WINDOW = 2 };

/* While a load runs it is the context of far.on_att. */
struct running {
	struct far *f;
	struct load *l;
	uint8_t value[FAR_VALUE];		/* fill, copied into each PDU */
	uint64_t notifications, reads, writes;
	uint64_t answer_ns;			/* LOAD_READ: when the answer came; 0: not yet */
	bool stop;
	unsigned first;				/* who may send first in this turn */
	unsigned most;				/* what l->window grows to */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static uint32_t number_of(const uint8_t *at) { return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24; }
static void number_put(uint8_t *at, uint32_t n)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(n >> 8 * i);
}

/* ---- what comes ---- */
/* A window begins small and grows with each answer, as a stack that gives windows out of a shared store expects of its peers. */
static void grow(struct running *r) { r->l->window = MIN(r->l->window + 1, r->most); }

static void on_notification(struct running *r, struct far_link *l, struct bytes pdu)
{
	uint32_t n = pdu.len >= 7 ? number_of(pdu.at + 3) : 0;

	if (pdu.len != 3u + r->l->size || (pdu.at[1] | pdu.at[2] << 8) != r->l->echo)
		return far_break(r->f, "a notification of %zu octets, or of another handle", pdu.len);
	if (n != l->heard + 1)
		return far_break(r->f, "connection %u: number %u after %u", l->index, n, l->heard);
	if (r->l->size > 4 && pdu.at[pdu.len - 1] != (uint8_t)n)
		return far_break(r->f, "connection %u: number %u has another's octets", l->index, n);
	l->heard = n;
	l->done++;
	if (!l->index)
		grow(r);
	r->notifications++;
}

static void on_read_response(struct running *r, struct far_link *l)
{
	if (!l->reading)
		return far_break(r->f, "connection %u: an answer that nobody asked for", l->index);
	l->reading = false;
	l->done += l->covers - l->acked;
	l->acked = l->covers;
	grow(r);
	r->answer_ns = r->l->kind == LOAD_READ ? now_ns() : 0;
}

static void on_att(void *ctx, struct far_link *l, struct bytes pdu)
{
	struct running *r = ctx;

	if (pdu.at[0] == ATT_HANDLE_VALUE_NOTIFICATION)
		on_notification(r, l, pdu);
	else if (pdu.at[0] == ATT_READ_RESPONSE)
		on_read_response(r, l);
	else
		far_break(r->f, "connection %u: opcode 0x%02X", l->index, pdu.at[0]);
}

/* ---- what goes ---- */
static void send_write(struct running *r, struct far_link *l)
{
	uint8_t *at = far_att(r->f, l, 3u + r->l->size);

	at[0] = ATT_WRITE_COMMAND;
	at[1] = (uint8_t)r->l->write;
	at[2] = (uint8_t)(r->l->write >> 8);
	memcpy(at + 3, r->value, r->l->size);
	number_put(at + 3, ++l->sent);
	if (r->l->size > 4)
		at[2 + r->l->size] = (uint8_t)l->sent;
	r->writes++;
}

static void send_read(struct running *r, struct far_link *l, uint16_t handle)
{
	uint8_t *at = far_att(r->f, l, 3);

	at[0] = ATT_READ_REQUEST;
	at[1] = (uint8_t)handle;
	at[2] = (uint8_t)(handle >> 8);
	l->reading = true;
	l->covers = l->sent;
	r->reads++;
}

/* One request at a time is under way on a bearer: Core 5.4, Vol 3, Part F, 3.3.2. */
static void push_writes(struct running *r, struct far_link *l)
{
	unsigned every = MIN(r->l->every, r->l->window);

	while (!r->stop && l->sent - l->acked < r->l->window && far_may_send(r->f)) {
		send_write(r, l);
		if (!l->reading && l->sent - l->covers >= every)
			send_read(r, l, r->l->pace);
	}
	if (!l->reading && l->sent != l->covers && (r->stop || l->sent - l->covers >= every))
		send_read(r, l, r->l->pace);
}

static uint32_t heard_by_all(const struct running *r)
{
	uint32_t least = UINT32_MAX;

	for (unsigned i = 0; i < r->l->connections; i++)
		if ((int)i != r->l->stalled)
			least = MIN(least, r->f->link[i].heard);
	return least;
}

static void push(struct running *r)
{
	struct far_link *first = &r->f->link[0];

	if (r->l->kind == LOAD_NOTIFY) {
		uint32_t heard = heard_by_all(r);

		/* In bursts: what is measured is what comes of a write, not how the writes come. */
		if (2 * (first->sent - heard) > r->l->window)
			return;
		while (!r->stop && first->sent - heard < r->l->window && far_may_send(r->f))
			send_write(r, first);
		return;
	}
	for (unsigned n = 0; n < r->l->connections; n++)
		push_writes(r, &r->f->link[(r->first + n) % r->l->connections]);
	r->first++;
}

/* Has everything that was sent come back? */
static bool settled(const struct running *r)
{
	if (r->l->kind == LOAD_NOTIFY)
		return heard_by_all(r) == r->f->link[0].sent;
	for (unsigned i = 0; i < r->l->connections; i++)
		if ((int)i != r->l->stalled && r->f->link[i].acked != r->f->link[i].sent)
			return false;
	return true;
}

/* ---- marks ---- */
static void judge_shares(struct running *r)
{
	double sum = 0, squares = 0, n = 0;

	r->l->least = UINT64_MAX;
	for (unsigned i = 0; i < r->l->connections; i++) {
		uint64_t done = r->f->link[i].done;

		if ((int)i == r->l->stalled)
			continue;
		sum += (double)done;
		squares += (double)done * (double)done;
		n++;
		r->l->least = MIN(r->l->least, done);
		r->l->most = MAX(r->l->most, done);
	}
	r->l->jain = squares > 0 ? sum * sum / (n * squares) : 0;	/* Jain, Chiu, Hawe 1984 */
}

/* What is counted at a mark; at the second it is what lay between. */
static void mark(struct running *r, const struct marks *m, bool second)
{
	struct load *l = r->l;
	struct counted now[MARKS_MAX];
	uint64_t numbers[] = { r->writes, r->notifications, r->reads, r->f->reads };
	uint64_t *at[] = { &l->writes, &l->notifications, &l->reads, &l->far_reads };

	marks_read(m, now);
	for (unsigned i = 0; i < m->count; i++) {
		l->counted[i].cpu_ns = now[i].cpu_ns - l->counted[i].cpu_ns;
		l->counted[i].switches = now[i].switches - l->counted[i].switches;
		l->counted[i].calls = now[i].calls - l->counted[i].calls;
	}
	for (unsigned i = 0; i < ARRAY_LEN(at); i++)
		*at[i] = numbers[i] - *at[i];
	for (unsigned i = 0; !second && i < l->connections; i++)
		r->f->link[i].done = 0;
	if (second)
		judge_shares(r);
}

/* Push and turn until `until_ns`, or (settle) until all is back. */
static int work(struct running *r, uint64_t until_ns, bool settle)
{
	int e = 0;

	while (!e && (settle ? !settled(r) : now_ns() < until_ns)) {
		push(r);
		e = far_turn(r->f, WAIT_MS);
		r->l->turns++;
		if (settle && now_ns() > until_ns) {
			far_break(r->f, "something outstanding never came");
			e = -ETIMEDOUT;
		}
	}
	return e;
}

static int flood(struct running *r)
{
	struct load *l = r->l;
	uint64_t start;
	struct marks m;
	int e;

	marks_open(&m, l->pid, l->pids, l->calls);
	l->has_calls = m.has_calls;
	e = work(r, now_ns() + (uint64_t)(l->warm_s * 1e9), false);
	start = now_ns();
	mark(r, &m, false);
	if (!e)
		e = work(r, start + (uint64_t)(l->seconds * 1e9), false);
	mark(r, &m, true);
	l->took_s = (double)(now_ns() - start) / 1e9;
	marks_close(&m);
	r->stop = true;
	return e ? e : work(r, now_ns() + QUIET_MS * 1000000ull, true);
}

/* One read at a time.  The pause is slept, so everybody sleeps when the next one comes. */
static int read_slowly(struct running *r)
{
	struct far_link *first = &r->f->link[0];
	struct timespec pause = { 0, (long)r->l->pause_us * 1000 };
	struct marks m;
	int e = 0;

	marks_open(&m, r->l->pid, r->l->pids, r->l->calls);
	r->l->has_calls = m.has_calls;
	mark(r, &m, false);
	for (unsigned i = 0; !e && i < r->l->trips; i++) {
		uint64_t sent, end;

		nanosleep(&pause, NULL);
		sent = now_ns();
		r->answer_ns = 0;
		send_read(r, first, r->l->pace);
		end = sent + READ_GRACE_MS * 1000000ull;
		while (!e && !r->answer_ns && now_ns() < end)
			e = far_turn(r->f, WAIT_MS);
		if (!e && !r->answer_ns) {
			far_break(r->f, "a read was not answered in %d ms", READ_GRACE_MS);
			e = -ETIMEDOUT;
		}
		r->l->trip_ns[i] = (uint32_t)(r->answer_ns - sent);
		if (!e)
			e = far_turn(r->f, 0);		/* the completion of the answer leaves here */
	}
	mark(r, &m, true);
	marks_close(&m);
	return e;
}

static int run(struct far *f, struct load *l)
{
	struct running r = { .f = f, .l = l, .most = l->window };
	int e;

	e = load_connect(f, l);
	if (e)
		return e;
	for (unsigned i = 0; i < l->connections; i++)
		f->link[i].sent = f->link[i].acked = f->link[i].covers = f->link[i].heard = 0;
	l->window = MIN(l->window, (unsigned)FIRST_WINDOW);
	f->on_att = on_att;
	f->ctx = &r;
	if (l->stalled >= 0)
		f->link[l->stalled].stalled = true;
	e = l->kind == LOAD_READ ? read_slowly(&r) : flood(&r);
	if (l->stalled >= 0)
		f->link[l->stalled].stalled = false;
	f->on_att = NULL;
	if (!e && l->kind == LOAD_WRITE && l->connections == 1)
		e = load_read_back(f, l, f->link[0].sent);
	return e;
}

int load_run(struct far *f, struct load *l)
{
	int e;

	l->acl_to_host = f->acl_out;
	l->acl_from_host = f->acl_in;
	e = run(f, l);
	l->acl_to_host = f->acl_out - l->acl_to_host;
	l->acl_from_host = f->acl_in - l->acl_from_host;
	return e;
}
