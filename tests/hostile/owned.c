/* tests/hostile/owned.c - the plan, the turn, the words. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "base/types.h"
#include "runtime/loop.h"
#include "runtime/watchdog.h"
#include "tests/hostile/cage.h"
#include "tests/hostile/owned.h"

enum { HONEST_NS = 30000000 };

int __real_program_main(const struct program *p, int argc, char **argv);
int __wrap_program_main(const struct program *p, int argc, char **argv);

static struct owned owned;
static const struct program *honest;

uint64_t owned_draw(struct owned *o)
{
	uint64_t z = o->random += 0x9E3779B97F4A7C15u;	/* splitmix64 */

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}
uint64_t owned_below(struct owned *o, uint64_t n) { return owned_draw(o) % n; }

/* A futex that nobody wakes: of all that sleeps, the sandbox leaves this. */
static void sleep_for(const struct timespec *t)
{
	static uint32_t nobody;

	syscall(SYS_futex, &nobody, FUTEX_WAIT_PRIVATE, 0, t, NULL, 0);
}
void owned_rest_us(unsigned us) { sleep_for(&(struct timespec){ us / 1000000, us % 1000000 * 1000l }); }

void owned_ring_bell(struct owned *o)
{
	static const uint64_t one = 1;

	if (write(o->w->link[o->link].peer_bell, &one, sizeof one) < 0 && errno != EAGAIN)
		owned_say("owned: cannot kick: %s", strerror(errno));
}

static const struct evil *evil_find(const char *name)
{
	static const struct evil *const all[] = { evils_memory, evils_socket, evils_arena, evils_log };

	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		for (const struct evil *e = all[i]; e->name; e++)
			if (!strcmp(e->name, name))
				return e;
	return NULL;
}

/* The link that this seed is about: the supervisor's, or one of the neighbours'; of two it is bit 20 that says which. */
static void choose_link(struct owned *o)
{
	const struct worker *w = o->w;

	o->link = LINK_SUPERVISOR;
	if (!o->evil->small) {
		o->link = o->seed >> 20 & 1 ? LINK_UP : LINK_DOWN;
		if (!w->link[o->link].generation)
			o->link = o->link == LINK_UP ? LINK_DOWN : LINK_UP;
	}
	if (!w->link[o->link].generation) {
		owned_say("owned: no link to abuse");
		_exit(3);
	}
	o->mine = w->link[o->link].mine.at;
	o->size = w->link[o->link].size_out;
	o->at = w->step.link[o->link].out.at;
}

static _Noreturn void fall_silent(const struct owned *o)
{
	owned_say("owned: done %s seed=%llu", o->evil->name, (unsigned long long)o->seed);
	if (o->evil->single && o->seed & 1)
		__builtin_trap();
	for (;;)
		sleep_for(NULL);
}

static void begin(struct owned *o)
{
	choose_link(o);
	o->until_ns = loop_now() + o->ms * 1000000;
	owned_say("owned: begins %s seed=%llu pid=%d link=%u at=%llu", o->evil->name, (unsigned long long)o->seed, getpid(), o->link,
	    (unsigned long long)o->at);
}

static int owned_turn(struct worker *w)
{
	struct owned *o = &owned;
	int worked = honest->worker_turn ? honest->worker_turn(w) : 0;

	if (!o->began_ns)
		o->began_ns = loop_now();
	if (!o->until_ns && loop_now() - o->began_ns < HONEST_NS)
		return 1;			/* awake until then, whether or not there is work */
	if (!o->until_ns)
		begin(o);
	do {
		o->at = w->step.link[o->link].out.at;
		o->evil->once(o);
		watchdog_rest();		/* an owned worker keeps its own watchdog quiet */
	} while (!o->evil->works && !o->evil->single && loop_now() < o->until_ns);
	if (o->evil->single || loop_now() >= o->until_ns)
		fall_silent(o);
	return worked < 0 ? worked : 1;
}

static int owned_prepare(struct worker *w)
{
	int r = honest->worker_prepare ? honest->worker_prepare(w) : 0;

	owned.w = w;
	if (r >= 0 && owned.evil->before)
		owned.evil->before(&owned);
	return r;
}

/* The plan for this worker life; NULL: it is an honest one. */
static const struct evil *take_plan(const char *name)
{
	const char *dir = getenv("TREFOIL_OWNED");
	unsigned long long seed, ms;
	char path[256], text[128], evil[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "%s/%s.plan", dir ? dir : "", name);
	fd = dir ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return NULL;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	unlink(path);
	text[n > 0 ? n : 0] = 0;
	if (sscanf(text, "%63s %llu %llu", evil, &seed, &ms) != 3 || !evil_find(evil)) {
		owned_say("owned: a plan that is none: %s", text);
		exit(3);
	}
	owned.seed = owned.random = seed;
	owned.ms = ms;
	return evil_find(evil);
}

int __wrap_program_main(const struct program *p, int argc, char **argv)
{
	static struct program owned_program;

	if (argc != 2 || strcmp(argv[1], "--worker"))
		return __real_program_main(p, argc, argv);
	honest = p;
	if (getenv("TREFOIL_CAGE"))
		return cage_main(p, getenv("TREFOIL_CAGE"));
	owned.evil = take_plan(p->name);
	if (!owned.evil)
		return __real_program_main(p, argc, argv);
	owned_program = *p;
	owned_program.worker_prepare = owned_prepare;
	owned_program.worker_turn = owned_turn;
	return worker_main(&owned_program);
}
