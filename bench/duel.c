/* bench/duel.c */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "bench/duel.h"

uint64_t duel_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* To the n-th of the processors that we may use.  A machine with one has both sides there. */
static void pin(const cpu_set_t *may, unsigned n)
{
	cpu_set_t one;

	for (unsigned c = 0; c < CPU_SETSIZE; c++)
		if (CPU_ISSET(c, may) && !n--) {
			CPU_ZERO(&one);
			CPU_SET(c, &one);
			sched_setaffinity(0, sizeof one, &one);
			return;
		}
}

static void meet(struct duel *d)
{
	atomic_fetch_add(&d->shared->ready, 1);
	while (atomic_load(&d->shared->ready) < 2)
		sched_yield();
}

int duel_run(const struct medium *m, struct duel *d)
{
	cpu_set_t may;
	uint64_t start;
	int r = 0, status = 0;
	pid_t child;

	sched_getaffinity(0, sizeof may, &may);
	d->shared = mmap(NULL, sizeof *d->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (d->shared == MAP_FAILED)
		return -ENOMEM;
	if (!m->open(d)) {
		r = -ENOTSUP;
		goto out;
	}
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(&may, d->one_core ? 0 : 1);
		meet(d);
		m->right(d);
		_exit(0);
	}
	pin(&may, 0);
	meet(d);
	start = duel_now_ns();
	m->left(d);
	if (waitpid(child, &status, 0) != child || status)
		r = -EPROTO;
	d->seconds = (double)(atomic_load(&d->shared->end_ns) - start) / 1e9;
	d->kicks = atomic_load(&d->shared->kicks);
	sched_setaffinity(0, sizeof may, &may);
	if (atomic_load(&d->shared->wrong))
		r = -EPROTO;
	if (m->close)
		m->close(d);
out:
	munmap(d->shared, sizeof *d->shared);
	return r;
}
