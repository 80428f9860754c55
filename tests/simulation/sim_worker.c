/* tests/simulation/sim_worker.c - the shared block, the links in it, and the lives of the three workers.
 *
 * What supervisors do for links is done here as runtime/supervisor_links.c does it: hostd hears when transportd's worker goes and
 * comes (NEIGHBOUR_AWAY, NEIGHBOUR_BACK); a neighbour that is absent for 10 s is given
 * up (NEIGHBOUR_LOST, then the link is detached); once both sides are there again a link of a new generation, with blank
 * memory, is given to two new workers. */
#include <stdlib.h>
#include "tests/simulation/sim.h"
#include "transportd/line.h"
#include "transportd/worker.h"

enum { ABSENT_S = 10, LOG_TINY = 1024 };

extern const struct core gatt_core, hostd_core;
static const struct program programs[SIM_WORKERS] = {
	[TRANSPORTD] = { .name = "transportd", .core = &transportd_core, .worker_prepare = transportd_worker_prepare,
		.worker_start = transportd_worker_start, .worker_turn = transportd_worker_turn, .own_links = 1u << LINK_DOWN },
	[HOSTD] = { .name = "hostd", .core = &hostd_core },
	[GATTD] = { .name = "gattd", .core = &gatt_core },
};
static uint8_t heaps[SIM_WORKERS][PRIVATE_OCTETS] __attribute__((aligned(64)));
static struct ring small_out[SIM_WORKERS], small_in[SIM_WORKERS];

void *sim_share(size_t n)
{
	uint8_t *at = sim.top;

	sim.top += (n + 4095) & ~(size_t)4095;
	if (sim.top > sim.end)
		sim_fail(INVARIANT_arena, "the shared block is too small");
	memset(at, 0, n);
	return at;
}

struct ring *sim_small_out(enum sim_who who) { return &small_out[who]; }
struct ring *sim_small_in(enum sim_who who) { return &small_in[who]; }

/* The smallest ring that a core's reserves allow, or a larger one. */
static uint64_t ring_size(const struct core *core, unsigned l, uint64_t least, bool tiny)
{
	uint64_t size = least;

	while (!step_fits(core, l, size))
		size *= 2;
	while (!tiny && size < RING_SIZE_DEFAULT && sim_chance(600))
		size *= 2;
	return size;
}

static void link_make(struct sim_link *k)
{
	for (unsigned side = 0; side < 2; side++) {
		if (!k->region[side])
			k->region[side] = sim_share(ring_region_size(k->size[side]));
		memset(k->region[side], 0, ring_region_size(k->size[side]));
	}
	k->generation++;
	k->absent_ns = 0;
	k->lost = k->lied = k->refused = false;
}

static void links_open(bool tiny)
{
	sim.link[0].size[0] = (uint64_t)RING_SIZE_MIN << sim_below(tiny ? 1 : 7);
	sim.link[0].size[1] = ring_size(&hostd_core, LINK_UP, RING_SIZE_MIN, tiny);
	sim.link[1].size[0] = ring_size(&hostd_core, LINK_DOWN, RING_SIZE_MIN, tiny);
	sim.link[1].size[1] = ring_size(&gatt_core, LINK_UP, RING_SIZE_MIN, tiny);
	for (unsigned l = 0; l < 2; l++)
		link_make(&sim.link[l]);
	for (unsigned i = 0; i < SIM_WORKERS; i++) {
		struct sim_link *s = &sim.small[i];

		s->size[0] = (uint64_t)RING_SIZE_MIN << sim_below(tiny ? 1 : 4);
		s->size[1] = ring_size(programs[i].core, LINK_SUPERVISOR, RING_SIZE_MIN, tiny);
		link_make(s);
		small_out[i] = ring_producer(s->region[0], s->region[1], s->size[0], 0);
		small_in[i] = ring_consumer(s->region[0], s->region[1], s->size[1], 0);
	}
}

void sim_small_inherit(enum sim_who who, bool anew)
{
	struct sim_link *s = &sim.small[who];

	if (anew) {
		sim_hit(FAULT_small_link_new);
		link_make(s);
	}
	small_out[who] = ring_producer(s->region[0], s->region[1], s->size[0], s->region[0]->tail.pos);
	small_in[who] = ring_consumer(s->region[0], s->region[1], s->size[1], s->region[0]->head.pos);
}

void sim_workers_open(void)
{
	const struct arena_limits limits = { .of = { [LIMIT_CONNECTIONS] = sim.connections, [LIMIT_ATTRIBUTES] = 40 } };
	bool tiny = sim_chance(300);

	if (tiny)
		sim_hit(FAULT_rings_tiny);
	links_open(tiny);
	for (unsigned i = 0; i < SIM_WORKERS; i++) {
		struct sim_worker *k = &sim.worker[i];

		*k = (struct sim_worker){ .who = (enum sim_who)i, .lies = NEIGHBOUR_LIES, .program = &programs[i],
			.heap = heaps[i], .target = PLACE_NONE,
			.bell_ns = NEVER, .due_ns = NEVER, .revive_ns = 1 + sim_below(MS) };
		k->plan = step_plan(programs[i].core, &limits, 0);
		if (tiny)
			k->plan.log = programs[i].core->undo + LOG_TINY;
		k->arena = sim_share(arena_size(&k->plan));
		k->stats = sim_share(stats_size());
	}
	sim_shared_at = sim.base;
	sim_shared_octets = (size_t)(sim.top - sim.base);
}

/* ---- a worker's life ---- */
/* Side `side` of a link goes to a new worker as its link `l`. */
static void hand_over(struct worker *w, unsigned l, const struct sim_link *k, unsigned side, int bell, int peer_bell)
{
	if (k->lost)
		return;
	w->link[l].mine.at = k->region[side];
	w->link[l].theirs.at = k->region[!side];
	w->link[l].size_out = k->size[side];
	w->link[l].size_in = k->size[!side];
	w->link[l].generation = k->generation;
	w->link[l].bell = bell;
	w->link[l].peer_bell = peer_bell;
}

static int bell_of(enum sim_who who, unsigned l) { return FD_BELLS + 4 * (int)who + (int)l; }

static void named(struct worker *w, const char *name, int fd)
{
	struct named_fd *at = &w->fds.at[w->fds.count++];

	snprintf(at->name, sizeof at->name, "%s", name);
	at->fd = fd;
}

static void worker_new(struct sim_worker *k)
{
	struct worker *w;

	k->heap_used = 0;
	w = k->w = sim_heap(sizeof *w);
	memset(w, 0, sizeof *w);
	w->p = k->program;
	w->stats = k->stats;
	for (unsigned l = 0; l < STEP_LINKS; l++)
		w->link[l] = (struct worker_link){ .bell = -1, .peer_bell = -1, .watch = -1 };
	hand_over(w, LINK_SUPERVISOR, &sim.small[k->who], 1, bell_of(k->who, LINK_SUPERVISOR), bell_of(SIM_WORKERS, k->who));
	if (k->who == TRANSPORTD) {
		named(w, "controller", FD_SOCKET);
		named(w, "pipe.r", FD_PIPE_R);
		named(w, "pipe.w", FD_PIPE_W);
	} else {
		hand_over(w, LINK_UP, &sim.link[k->who - 1], 1, bell_of(k->who, LINK_UP), bell_of(k->who - 1, LINK_DOWN));
	}
	if (k->who != GATTD)
		hand_over(w, LINK_DOWN, &sim.link[k->who], 0, bell_of(k->who, LINK_DOWN), bell_of(k->who + 1, LINK_UP));
	sim_shell_start(k);
}

void sim_worker_ended(struct sim_worker *k)
{
	static const struct { unsigned permille; uint64_t most; } delays[] = {
		{ 700, 5 * MS }, { 930, 500 * MS }, { 980, 5 * SECOND }, { 1000, 14 * SECOND },
	};
	unsigned dice = (unsigned)sim_below(1000), i = 0;

	while (dice >= delays[i].permille)
		i++;
	if (i == 3 && !sim.long_absence)
		i = 0;
	sim_worker_kill(k, i == 3 ? 10 * SECOND + sim_below(4 * SECOND) : sim_spread(delays[i].most));
}

void sim_worker_kill(struct sim_worker *k, uint64_t away_ns)
{
	k->alive = k->starting = k->owned = false;
	k->revive_ns = sim.now_ns + away_ns;
	k->bell_ns = k->due_ns = NEVER;
	if (k->w && away_ns > SECOND)
		sim_hit(FAULT_death_long);
	sim_os_worker_gone(k);
	sim.totals->deaths++;
	if (k->who == TRANSPORTD)
		sim_operator_tell_there(false);
	sim_tell("%s is away for %llu us", sim_who_name(k->who), (unsigned long long)away_ns / 1000);
	/* A peer's death drains its ring as if it had kicked. */
	if (k->who > TRANSPORTD)
		sim_bell(k->who - 1, sim_spread(MS));
	if (k->who < GATTD)
		sim_bell(k->who + 1, sim_spread(MS));
}

void sim_worker_orphaned(struct sim_worker *k, uint64_t until_ns)
{
	uint64_t away_ns = until_ns - sim.now_ns + sim_spread(5 * MS);

	if (k->alive)
		sim_worker_kill(k, away_ns);
	else
		k->revive_ns = max64(k->revive_ns, sim.now_ns + away_ns);
}

static void run(struct sim_worker *k, void (*what)(struct sim_worker *k))
{
	sim.running = k;
	if (!setjmp(sim.death)) {
		what(k);
		sim.running = NULL;
	} else {
		sim.running = NULL;
		sim_worker_ended(k);
	}
}

static void start(struct sim_worker *k)
{
	k->alive = k->starting = true;
	k->due_ns = sim.now_ns;
	k->bell_ns = NEVER;
	worker_new(k);
	k->starting = false;
	if (!sim.link[1].refused && !sim.worker[HOSTD].owned && !sim.worker[GATTD].owned)
		sim.link[1].lied = false;	/* an honest one shows its own positions again */
	if (k->who == TRANSPORTD)
		sim_operator_tell_there(true);
	sim_tell("%s is there%s", sim_who_name(k->who), k->w->rolled_back ? ", a step was rolled back" : "");
}

static void turn(struct sim_worker *k)
{
	k->steps++;
	k->due_ns = NEVER;
	if (k->bell_ns <= sim.now_ns)
		k->bell_ns = NEVER;
	sim_neighbour_speak(k);
	if (!k->owned)
		sim_shell_turn(k);
	if (sim.shadow)		/* each commit of it was compared with its rollback */
		sim_judge(INVARIANT_arena);
	if (k->due_ns <= sim.now_ns)		/* it goes on at once: a turn takes its time */
		k->due_ns = sim.now_ns + 1 + sim_below(5 * US);
}

void sim_workers_run(void)
{
	for (unsigned i = 0; i < SIM_WORKERS; i++) {
		struct sim_worker *k = &sim.worker[i];

		if (k->target != PLACE_NONE && k->armed_until_ns < sim.now_ns)
			k->target = PLACE_NONE;
		if (!k->alive && k->revive_ns <= sim.now_ns)
			run(k, start);
		else if (k->alive && k->owned)
			k->due_ns = k->bell_ns = NEVER;
		else if (k->alive && min64(k->due_ns, k->bell_ns) <= sim.now_ns) {
			if (sim_chance(sim.stall_permille)) {
				sim_hit(FAULT_worker_stalls);
				k->bell_ns = sim.now_ns + sim_spread(200 * MS);
				k->due_ns = NEVER;
				continue;
			}
			run(k, turn);
		}
	}
}

uint64_t sim_workers_next(void)
{
	uint64_t next = NEVER;

	for (unsigned i = 0; i < SIM_WORKERS; i++) {
		const struct sim_worker *k = &sim.worker[i];

		next = min64(next, k->alive ? min64(k->due_ns, k->bell_ns) : k->revive_ns);
	}
	return next;
}

void sim_bell(enum sim_who who, uint64_t after_ns)
{
	struct sim_worker *k = &sim.worker[who];

	if (k->alive)
		k->bell_ns = min64(k->bell_ns, sim.now_ns + after_ns);
}

bool sim_all_alive(void)
{
	return sim.worker[TRANSPORTD].alive && sim.worker[HOSTD].alive && sim.worker[GATTD].alive;
}

/* ---- links ---- */
static bool both_alive(unsigned l) { return sim.worker[l].alive && sim.worker[l + 1].alive; }

/* NEIGHBOUR_LOST is in the small ring of whoever is there: now its worker lets go. */
static void detach(struct sim_worker *k, unsigned l)
{
	if (!k->alive || !k->w->link[l].generation)
		return;
	step_detach(&k->w->step, l);
	k->w->link[l].generation = 0;
}

void sim_link_lost_told(unsigned l)
{
	detach(&sim.worker[l], LINK_DOWN);
	detach(&sim.worker[l + 1], LINK_UP);
}

static void give_up(unsigned l)
{
	struct sim_link *k = &sim.link[l];

	k->lost = true;
	sim_hit(FAULT_link_given_up);
	sim_tell("link %u is given up", l);
	sim_operator_tell_lost((enum sim_who)l, LINK_DOWN, k->generation);
	sim_operator_tell_lost((enum sim_who)(l + 1), LINK_UP, k->generation);
}

/* runtime/supervisor_links.c, sup_link_refuse: nothing is repaired in place. */
static void renew(unsigned l)
{
	sim_hit(FAULT_link_refused);
	for (unsigned i = l; i <= l + 1; i++)
		if (sim.worker[i].alive)
			sim_worker_kill(&sim.worker[i], sim_spread(5 * MS));
	link_make(&sim.link[l]);
	sim_tap_renewed(l);
	sim.excuse_all_ns = max64(sim.excuse_all_ns, sim.now_ns + 500 * MS);
}

void sim_links_run(void)
{
	for (unsigned l = 0; l < 2; l++) {
		struct sim_link *k = &sim.link[l];

		if (k->refused)
			renew(l);
		if (k->lost)		/* who comes now is refused, or hears of its end in a while */
			sim.excuse_all_ns = max64(sim.excuse_all_ns, sim.now_ns + 100 * MS);
		if (!both_alive(l)) {
			k->absent_ns = k->absent_ns ? k->absent_ns : sim.now_ns;
			if (!k->lost && sim.now_ns - k->absent_ns >= ABSENT_S * SECOND)
				give_up(l);
			continue;
		}
		k->absent_ns = 0;
		if (!k->lost)
			continue;
		sim_worker_kill(&sim.worker[l], sim_spread(5 * MS));
		sim_worker_kill(&sim.worker[l + 1], sim_spread(5 * MS));
		link_make(k);
		sim_tap_renewed(l);
	}
}

uint64_t sim_links_next(void)
{
	uint64_t next = NEVER;

	for (unsigned l = 0; l < 2; l++)
		if (sim.link[l].refused)
			next = sim.now_ns;
		else if (sim.link[l].absent_ns && !sim.link[l].lost)
			next = min64(next, sim.link[l].absent_ns + ABSENT_S * SECOND);
	return next;
}
