/* bench/ring_ours.c - shm/ring.h between two processes: spinning, or sleeping as our workers do (an eventfd that is never read,
 * a multishot poll of the loop's io_uring, and a kick only when the other side has said that it sleeps). */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/types.h"
#include "bench/duel.h"
#include "runtime/loop.h"
#include "shm/ring.h"

struct end {
	struct ring in, out;
	struct loop *loop;
	struct duel *d;
	int peer_bell;
	uint64_t kicks;
};

static int on_bell(void *ctx, uint32_t revents) { (void)ctx, (void)revents; return 0; }

static bool ring_open(struct duel *d)
{
	d->fd[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->fd[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return d->fd[0] >= 0 && d->fd[1] >= 0;
}
static void ring_close(struct duel *d)
{
	close(d->fd[0]);
	close(d->fd[1]);
}

/* side 0: left. */
static void end_open(struct duel *d, unsigned side, struct end *e)
{
	uint64_t size = RING_SIZE_DEFAULT;
	struct ring_region *region[2] = { (void *)d->shared->memory, (void *)(d->shared->memory + DUEL_MEMORY / 2) };

	*e = (struct end){ .in = ring_consumer(region[side], region[!side], size, 0),
		.out = ring_producer(region[side], region[!side], size, 0), .d = d, .peer_bell = d->fd[!side] };
	if (d->sleeping && (loop_open(0, &e->loop) || loop_watch(e->loop, d->fd[side], POLLIN, LOOP_EDGE, on_bell, NULL) < 0))
		abort();
}
/* The kick leaves with the next wait, as our workers' do, or with hurry(). */
static inline void show(struct end *e, struct ring *r)
{
	if (ring_publish(r) && e->loop) {
		e->kicks++;
		if (loop_kick(e->loop, e->peer_bell))
			abort();
	}
}
static inline void hurry(struct end *e)
{
	if (e->loop)
		loop_submit(e->loop);
}
static void end_close(struct end *e)
{
	hurry(e);
	atomic_fetch_add(&e->d->shared->kicks, e->kicks);
	loop_close(e->loop);
}

static void wait_data(struct end *e)
{
	if (!e->loop)
		duel_relax();
	else if (ring_sleep_empty(&e->in))
		loop_run_once(e->loop, LOOP_FOREVER);
}
static void wait_room(struct end *e)
{
	if (!e->loop)
		duel_relax();
	else if (ring_sleep_full(&e->out))
		loop_run_once(e->loop, LOOP_FOREVER);
}

static inline bool give(struct end *e, const uint8_t *message, uint64_t number)
{
	uint8_t *at = ring_reserve(&e->out, e->d->size);

	if (!at)
		return false;
	memcpy(at, message, e->d->size);
	duel_stamp(at, number);
	ring_push(&e->out, (struct record){ .len = e->d->size, .kind = RECORD_HCI_ACL });
	return true;
}

static void produce(struct duel *d)
{
	static uint8_t message[DUEL_SIZE_MAX];
	uint64_t kicks = 0;
	struct end e;

	end_open(d, 0, &e);
	for (uint64_t n = 0; n < d->messages; ) {
		uint64_t stop = MIN(n + d->batch, d->messages);

		while (n < stop && give(&e, message, n))
			n++;
		show(&e, &e.out);
		if (n < stop)
			wait_room(&e);
		else if (e.kicks != kicks)
			hurry(&e);
		kicks = e.kicks;
	}
	end_close(&e);
}
static void consume(struct duel *d)
{
	uint8_t buf[DUEL_SIZE_MAX];
	uint64_t kicks = 0;
	struct record h;
	struct end e;

	end_open(d, 1, &e);
	for (uint64_t n = 0; n < d->messages; ) {
		uint64_t from = n;

		while (n - from < d->batch && !ring_take(&e.in, &h, buf, sizeof buf))
			duel_check(d, buf, n++);
		if (n > from)
			show(&e, &e.in);
		else
			wait_data(&e);
		if (e.kicks != kicks)
			hurry(&e);
		kicks = e.kicks;
	}
	duel_ended(d);
	end_close(&e);
}

static void take_one(struct end *e, uint64_t number)
{
	uint8_t buf[DUEL_SIZE_MAX];
	struct record h;

	while (ring_take(&e->in, &h, buf, sizeof buf))
		wait_data(e);
	duel_check(e->d, buf, number);
	show(e, &e->in);
}
static void ping(struct duel *d)
{
	static uint8_t message[DUEL_SIZE_MAX];
	struct end e;

	end_open(d, 0, &e);
	for (uint64_t n = 0; n < d->messages; n++) {
		uint64_t start = duel_now_ns();

		give(&e, message, n);
		show(&e, &e.out);
		take_one(&e, n);
		d->trip_ns[n] = (uint32_t)(duel_now_ns() - start);
	}
	end_close(&e);
}
static void pong(struct duel *d)
{
	static uint8_t message[DUEL_SIZE_MAX];
	struct end e;

	end_open(d, 1, &e);
	for (uint64_t n = 0; n < d->messages; n++) {
		take_one(&e, n);
		give(&e, message, n);
		show(&e, &e.out);
	}
	duel_ended(d);
	end_close(&e);
}

const struct medium medium_ring = { "ring", ring_open, produce, consume, ring_close };
const struct medium medium_ring_trip = { "ring", ring_open, ping, pong, ring_close };
