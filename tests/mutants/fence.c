/* tests/mutants/fence.c - a catcher: publishing and going to sleep at the same moment, on two processors, again and again.
 *
 * In each round the ring is empty; one thread pushes a record and publishes it, the other asks to be woken and looks once more.
 * Whoever comes first, either the publisher is told to kick or the other one sees the record.  If neither, both sides sleep, and
 * for good: that is what the fences of shm/ring.h are for, and what the store buffer of an x86 processor does without one.
 * Ends with 1 at the first such round, with 0 after ROUNDS; with 3 where there are no two processors to try it on. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "shm/ring.h"

enum { ROUNDS = 300000, RING = 4096, LEN = 480, SPIN_MOST = 512, PATIENCE = 4096 };

static struct ring_region *region[2];	/* publisher's, sleeper's */
static _Alignas(128) _Atomic unsigned begun, done;
static _Alignas(128) _Atomic bool kicked;

static void *region_new(void)
{
	size_t n = (ring_region_size(RING) + 127) / 128 * 128;
	void *at = aligned_alloc(128, n);

	if (!at)
		abort();
	return memset(at, 0, n);
}

/* The other one may have to share its processor: then it gets ours. */
static void wait_for(_Atomic unsigned *word, unsigned value)
{
	for (unsigned i = 0; atomic_load_explicit(word, memory_order_acquire) != value; i++)
		if (i % PATIENCE == PATIENCE - 1)
			sched_yield();
}

static void stay_on(unsigned which)
{
	cpu_set_t all, one;
	size_t cpu = 0;

	sched_getaffinity(0, sizeof all, &all);
	while (!CPU_ISSET(cpu, &all) || which--)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (pthread_setaffinity_np(pthread_self(), sizeof one, &one))
		abort();
}

static void *publisher(void *arg)
{
	struct ring out = ring_producer(region[0], region[1], RING, 0);

	stay_on(0);
	for (unsigned n = 1; n <= ROUNDS; n++) {
		uint8_t *at = ring_reserve(&out, LEN);

		if (!at)
			abort();
		wait_for(&begun, n);
		memset(at, (int)n, LEN);	/* in lines that the other one has: what is stored behind them waits long in the store buffer */
		ring_push(&out, (struct record){ .len = LEN, .kind = RECORD_HCI_ACL });
		atomic_store_explicit(&kicked, ring_publish(&out), memory_order_relaxed);
		atomic_store_explicit(&done, n, memory_order_release);
	}
	return arg;
}

static int sleeper(void)
{
	struct ring in = ring_consumer(region[1], region[0], RING, 0);
	uint8_t body[LEN];
	struct record h;
	uint32_t dice = 1;

	stay_on(1);
	for (unsigned n = 1; n <= ROUNDS; n++) {
		bool sleeps;

		dice = dice * 1664525 + 1013904223;
		atomic_store_explicit(&begun, n, memory_order_release);
		for (volatile unsigned spin = (dice >> 16) % SPIN_MOST; spin; spin--)
			;
		sleeps = ring_sleep_empty(&in);
		wait_for(&done, n);
		if (sleeps && !atomic_load_explicit(&kicked, memory_order_relaxed)) {
			printf("both sides sleep, in round %u\n", n);
			return 1;
		}
		if (ring_take(&in, &h, body, sizeof body))
			abort();
		ring_publish(&in);
	}
	printf("told: %d times published and gone to sleep at once, and somebody was awake\n", ROUNDS);
	return 0;
}

int main(void)
{
	cpu_set_t all;
	pthread_t other;

	sched_getaffinity(0, sizeof all, &all);
	if (CPU_COUNT(&all) < 2) {
		printf("no two processors\n");
		return 3;
	}
	for (unsigned i = 0; i < 2; i++)
		region[i] = region_new();
	if (pthread_create(&other, NULL, publisher, NULL))
		abort();
	exit(sleeper());
}
