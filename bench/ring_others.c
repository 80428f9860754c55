/* bench/ring_others.c - what ours is measured against: a pipe, a unix seqpacket socket (one call a message, sleeping), ck_ring
 * of Concurrency Kit (spinning), and a ring of slots with a futex (sleeping), which is the least that a wake-up can cost. */
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "bench/duel.h"
#if __has_include(<ck_ring.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wcast-qual"
#include <ck_ring.h>
#pragma GCC diagnostic pop
#define HAVE_CK 1
#else
#define HAVE_CK 0
#endif

enum { HALF = DUEL_MEMORY / 2 };

/* As many slots as our ring would hold of such messages, rounded to a power of two. */
static uint32_t slots_for(uint32_t size) { return size <= 32 ? 4096 : size <= 256 ? 1024 : 256; }

/* ---- sockets and pipes: left writes fd[0], reads fd[2]; right reads fd[1], writes fd[3] ---- */
static bool seqpacket_open(struct duel *d)
{
	int there[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, there))
		return false;
	d->fd[0] = d->fd[2] = there[0];
	d->fd[1] = d->fd[3] = there[1];
	return true;
}
static bool pipe_open(struct duel *d)
{
	int there[2], back[2];

	if (pipe2(there, O_CLOEXEC) || pipe2(back, O_CLOEXEC))
		return false;
	d->fd[0] = there[1];
	d->fd[1] = there[0];
	d->fd[2] = back[0];
	d->fd[3] = back[1];
	return true;
}
static void fd_close(struct duel *d)
{
	for (unsigned i = 0; i < 4; i++)
		if (i < 2 || d->fd[i] != d->fd[i - 2])
			close(d->fd[i]);
}
static void fd_read(struct duel *d, int fd, uint8_t *buf, uint64_t number)
{
	for (uint32_t have = 0; have < d->size; ) {
		ssize_t n = read(fd, buf + have, d->size - have);

		if (n <= 0)
			_exit(1);
		have += (uint32_t)n;
	}
	duel_check(d, buf, number);
}
static void fd_write(struct duel *d, int fd, uint8_t *message, uint64_t number)
{
	duel_stamp(message, number);
	if (write(fd, message, d->size) != (ssize_t)d->size)
		_exit(1);
}
static void fd_produce(struct duel *d)
{
	uint8_t message[DUEL_SIZE_MAX] = { 0 };

	for (uint64_t n = 0; n < d->messages; n++)
		fd_write(d, d->fd[0], message, n);
}
static void fd_consume(struct duel *d)
{
	uint8_t buf[DUEL_SIZE_MAX];

	for (uint64_t n = 0; n < d->messages; n++)
		fd_read(d, d->fd[1], buf, n);
	duel_ended(d);
}
static void fd_ping(struct duel *d)
{
	uint8_t message[DUEL_SIZE_MAX] = { 0 };

	for (uint64_t n = 0; n < d->messages; n++) {
		uint64_t start = duel_now_ns();

		fd_write(d, d->fd[0], message, n);
		fd_read(d, d->fd[2], message, n);
		d->trip_ns[n] = (uint32_t)(duel_now_ns() - start);
	}
}
static void fd_pong(struct duel *d)
{
	uint8_t message[DUEL_SIZE_MAX];

	for (uint64_t n = 0; n < d->messages; n++) {
		fd_read(d, d->fd[1], message, n);
		fd_write(d, d->fd[3], message, n);
	}
	duel_ended(d);
}
const struct medium medium_pipe = { "pipe", pipe_open, fd_produce, fd_consume, fd_close };
const struct medium medium_pipe_trip = { "pipe", pipe_open, fd_ping, fd_pong, fd_close };
const struct medium medium_seqpacket = { "seqpacket", seqpacket_open, fd_produce, fd_consume, fd_close };
const struct medium medium_seqpacket_trip = { "seqpacket", seqpacket_open, fd_ping, fd_pong, fd_close };

/* ---- a ring of slots with a futex; one each way ---- */
struct futex_ring {
	_Alignas(128) _Atomic uint64_t tail;
	_Alignas(128) _Atomic uint64_t head;
	_Alignas(128) _Atomic uint32_t hungry;		/* the consumer sleeps */
	_Alignas(128) _Atomic uint32_t stuffed;		/* the producer sleeps */
	uint8_t slot[];
};
static struct futex_ring *futex_ring_of(struct duel *d, unsigned way) { return (void *)(d->shared->memory + way * HALF); }

static void sleep_on(_Atomic uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAIT, 1, NULL, NULL, 0); }
static void wake(_Atomic uint32_t *word)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(word, memory_order_relaxed)) {
		atomic_store(word, 0);
		syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
}
static void futex_put(struct duel *d, struct futex_ring *r, const uint8_t *message, uint64_t number)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint32_t slots = slots_for(d->size);
	uint8_t *at = r->slot + (tail & (slots - 1)) * d->size;

	while (tail - atomic_load_explicit(&r->head, memory_order_acquire) == slots) {
		atomic_store(&r->stuffed, 1);
		if (tail - atomic_load(&r->head) == slots)
			sleep_on(&r->stuffed);
	}
	memcpy(at, message, d->size);
	duel_stamp(at, number);
	atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
	wake(&r->hungry);
}
static void futex_get(struct duel *d, struct futex_ring *r, uint8_t *buf, uint64_t number)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	while (atomic_load_explicit(&r->tail, memory_order_acquire) == head) {
		atomic_store(&r->hungry, 1);
		if (atomic_load(&r->tail) == head)
			sleep_on(&r->hungry);
	}
	memcpy(buf, r->slot + (head & (slots_for(d->size) - 1)) * d->size, d->size);
	atomic_store_explicit(&r->head, head + 1, memory_order_release);
	wake(&r->stuffed);
	duel_check(d, buf, number);
}
static bool futex_open(struct duel *d) { return sizeof(struct futex_ring) + slots_for(d->size) * d->size <= HALF; }
static void futex_produce(struct duel *d)
{
	static uint8_t message[DUEL_SIZE_MAX];

	for (uint64_t n = 0; n < d->messages; n++)
		futex_put(d, futex_ring_of(d, 0), message, n);
}
static void futex_consume(struct duel *d)
{
	uint8_t buf[DUEL_SIZE_MAX];

	for (uint64_t n = 0; n < d->messages; n++)
		futex_get(d, futex_ring_of(d, 0), buf, n);
	duel_ended(d);
}
static void futex_ping(struct duel *d)
{
	uint8_t message[DUEL_SIZE_MAX] = { 0 };

	for (uint64_t n = 0; n < d->messages; n++) {
		uint64_t start = duel_now_ns();

		futex_put(d, futex_ring_of(d, 0), message, n);
		futex_get(d, futex_ring_of(d, 1), message, n);
		d->trip_ns[n] = (uint32_t)(duel_now_ns() - start);
	}
}
static void futex_pong(struct duel *d)
{
	uint8_t message[DUEL_SIZE_MAX];

	for (uint64_t n = 0; n < d->messages; n++) {
		futex_get(d, futex_ring_of(d, 0), message, n);
		futex_put(d, futex_ring_of(d, 1), message, n);
	}
	duel_ended(d);
}
const struct medium medium_futex = { "futex", futex_open, futex_produce, futex_consume, NULL };
const struct medium medium_futex_trip = { "futex", futex_open, futex_ping, futex_pong, NULL };

/* ---- ck_ring: pointers in the ring, messages in twice as many slots beside it, so that none is written while it is read ---- */
#if HAVE_CK
struct ck_way { struct ck_ring ring; _Alignas(128) uint64_t next; _Alignas(128) struct ck_ring_buffer buffer[4096]; uint8_t slot[]; };
static struct ck_way *ck_way_of(struct duel *d, unsigned way) { return (void *)(d->shared->memory + way * HALF); }

static bool ck_open(struct duel *d)
{
	ck_ring_init(&ck_way_of(d, 0)->ring, slots_for(d->size));
	ck_ring_init(&ck_way_of(d, 1)->ring, slots_for(d->size));
	return sizeof(struct ck_way) + 2 * slots_for(d->size) * d->size <= HALF;
}
static inline void ck_put(struct duel *d, struct ck_way *w, const uint8_t *message, uint64_t number)
{
	uint8_t *at = w->slot + (number & (2 * slots_for(d->size) - 1)) * d->size;

	memcpy(at, message, d->size);
	duel_stamp(at, number);
	while (!ck_ring_enqueue_spsc(&w->ring, w->buffer, at))
		duel_relax();
}
static inline void ck_get(struct duel *d, struct ck_way *w, uint8_t *buf, uint64_t number)
{
	void *at;

	while (!ck_ring_dequeue_spsc(&w->ring, w->buffer, &at))
		duel_relax();
	memcpy(buf, at, d->size);
	duel_check(d, buf, number);
}
#else
struct ck_way { int none; };
static struct ck_way *ck_way_of(struct duel *d, unsigned way) { (void)d, (void)way; return NULL; }
static bool ck_open(struct duel *d) { (void)d; return false; }
static void ck_put(struct duel *d, struct ck_way *w, const uint8_t *m, uint64_t n) { (void)d, (void)w, (void)m, (void)n; }
static void ck_get(struct duel *d, struct ck_way *w, uint8_t *m, uint64_t n) { (void)d, (void)w, (void)m, (void)n; }
#endif
static void ck_produce(struct duel *d)
{
	static uint8_t message[DUEL_SIZE_MAX];

	for (uint64_t n = 0; n < d->messages; n++)
		ck_put(d, ck_way_of(d, 0), message, n);
}
static void ck_consume(struct duel *d)
{
	uint8_t buf[DUEL_SIZE_MAX];

	for (uint64_t n = 0; n < d->messages; n++)
		ck_get(d, ck_way_of(d, 0), buf, n);
	duel_ended(d);
}
static void ck_ping(struct duel *d)
{
	uint8_t message[DUEL_SIZE_MAX] = { 0 };

	for (uint64_t n = 0; n < d->messages; n++) {
		uint64_t start = duel_now_ns();

		ck_put(d, ck_way_of(d, 0), message, n);
		ck_get(d, ck_way_of(d, 1), message, n);
		d->trip_ns[n] = (uint32_t)(duel_now_ns() - start);
	}
}
static void ck_pong(struct duel *d)
{
	uint8_t message[DUEL_SIZE_MAX];

	for (uint64_t n = 0; n < d->messages; n++) {
		ck_get(d, ck_way_of(d, 0), message, n);
		ck_put(d, ck_way_of(d, 1), message, n);
	}
	duel_ended(d);
}
const struct medium medium_ck = { "ck_ring", ck_open, ck_produce, ck_consume, NULL };
const struct medium medium_ck_trip = { "ck_ring", ck_open, ck_ping, ck_pong, NULL };
