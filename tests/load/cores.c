/* What the cores cost: ns of CPU for each packet, on real arenas and rings, without shells.
 *
 *	cores [CONNECTIONS [BATCH [PACKETS]]]
 *
 * Prints a line a case: name, connections, packets a commit, ns a packet; what looking at the clock costs is taken off.  The far
 * ends (controller, hostd or gattd's other side) are played between the measured pieces and are not counted.  A packet is one
 * PDU with 244 octets of value; the credits and completions that belong to it are in its price.  Built twice (make cores):
 * bin/cores, and bin/cores-plain, which has no undo log (ARENA_PLAIN).  For instruction counts:
 * valgrind --tool=callgrind --toggle-collect=core_turn bin/cores 1 32 10000. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>
#include "tests/load/cores_own.h"

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What lies between two looks at the clock with nothing in between: half a microsecond, which would be a good part of a batch. */
static uint64_t clock_ns(void)
{
	enum { LOOKS = 20000 };
	static uint64_t one;
	uint64_t from = cpu_ns();

	for (unsigned i = 0; !one && i < LOOKS; i++)
		cpu_ns();
	if (!one)
		one = (cpu_ns() - from) / (LOOKS + 1);
	return one;
}

/* One turn of a worker: what is there, up to WORK_MOST records, what is left over, one commit. */
void core_turn(struct rig *g)
{
	static uint8_t body[RIG_BUF];
	struct record h;
	unsigned n = 0;

	for (unsigned l = LINK_UP; l <= LINK_DOWN; l++)
		while (n < WORK_MOST && !step_take(&g->step, l, &h, body, sizeof body)) {
			g->core->on_record(&g->step, l, &h, (struct bytes){ body, h.len });
			n++;
		}
	for (n = 0; n < WORK_MOST && step_may_act(&g->step) && g->core->deadline(&g->step) <= g->now_ns; n++)
		g->core->on_time(&g->step);
	step_commit(&g->step);
}

/* The turns, and their time, until nothing is left to do. */
uint64_t core_measured(struct rig *g)
{
	uint64_t looking = clock_ns(), from = cpu_ns(), took;

	do {
		g->step.now_ns = g->now_ns;
		core_turn(g);
	} while (step_may_act(&g->step) && g->core->deadline(&g->step) <= g->now_ns);
	took = cpu_ns() - from;
	return took > looking ? took - looking : 0;
}

struct bytes core_att(uint8_t buf[VALUE + 3], uint8_t opcode, uint16_t handle, unsigned n)
{
	memset(buf, (int)n, VALUE + 3);
	buf[0] = opcode;
	buf[1] = (uint8_t)handle;
	buf[2] = (uint8_t)(handle >> 8);
	return (struct bytes){ buf, VALUE + 3 };
}

double core_ns(enum core_case which, const struct core_load *l)
{
	switch (which) {
	case CORE_HOST_IN: return host_ns(true, l);
	case CORE_HOST_OUT: return host_ns(false, l);
	case CORE_GATT_WRITE: return gatt_ns(false, l);
	default: return gatt_ns(true, l);
	}
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "hostd_in", "hostd_out", "gattd_write", "gattd_echo" };
	struct core_load l = { .connections = 1, .batch = 32, .packets = 200000 };

	if (argc > 1)
		l.connections = (unsigned)atoi(argv[1]);
	if (argc > 2)
		l.batch = (unsigned)atoi(argv[2]);
	if (argc > 3)
		l.packets = (unsigned)atoi(argv[3]);
	if (!l.connections || l.connections > 256 || !l.batch || l.batch > WORK_MOST / 2) {
		fprintf(stderr, "usage: cores [CONNECTIONS (1-256) [BATCH (1-32) [PACKETS]]]\n");
		return 2;
	}
	rig_bare = true;
	for (enum core_case c = 0; c < CORE_CASES; c++)
		if (argc < 5 || !strcmp(argv[4], names[c]))
			printf("%-12s %3u %3u %8.1f\n", names[c], l.connections, l.batch, core_ns(c, &l));
	return 0;
}
