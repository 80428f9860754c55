/* tests/simulation/sim_world.c - one seed: the clock, chance, and the loop that gives each its turn. */
#include <stdlib.h>
#include <sys/mman.h>
#include "tests/simulation/sim_story.h"

enum { BLOCK = 32 << 20, STILL_S = 130, REST_S = 200, EVENTS_MOST = 3000000, AIR_OCTETS = 1 << 20 };

struct sim sim;
struct sim_totals *sim_totals;
static uint8_t *block;
static uint8_t air_memory[AIR_OCTETS] __attribute__((aligned(64)));
static uint8_t socket_in[SOCKET_OCTETS], socket_out[SOCKET_OCTETS], pipe_octets[PIPE_OCTETS];

/* ---- chance (splitmix64: Steele, Lea, Flood, OOPSLA 2014) ---- */
uint64_t sim_random(void)
{
	uint64_t z = sim.random += 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

uint64_t sim_below(uint64_t n) { return n ? sim_random() % n : 0; }
bool sim_chance(unsigned permille) { return sim_below(1000) < permille; }

uint64_t sim_spread(uint64_t most)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(most | 1);

	return 1 + sim_below(MIN(most, 1ull << (1 + sim_below(bits))));
}

void sim_hit(enum sim_fault f) { sim.totals->fault[f]++; }

void sim_digest(const void *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sim.digest = (sim.digest ^ ((const uint8_t *)at)[i]) * 1099511628211u;
}

/* ---- telling ---- */
_Noreturn void sim_fail(enum sim_invariant i, const char *fmt, ...)
{
	va_list ap;

	sim.broken = i;
	sim.failed = true;
	va_start(ap, fmt);
	vsnprintf(sim.why, sizeof sim.why, fmt, ap);
	va_end(ap);
	sim.running = NULL;
	longjmp(sim.failure, 1);
}

static void say_time(void) { printf("%12.6f  ", (double)sim.now_ns / 1e9); }

void sim_tell(const char *fmt, ...)
{
	va_list ap;

	if (!sim.verbose)
		return;
	say_time();
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void sim_tell_bytes(const char *what, unsigned who, const uint8_t *at, size_t n)
{
	if (!sim.verbose)
		return;
	say_time();
	printf("%s %u:", what, who);
	for (size_t i = 0; i < MIN(n, (size_t)40); i++)
		printf(" %02X", at[i]);
	printf(n > 40 ? " .. %zu octets\n" : "\n", n);
}

/* ---- a world by its seed ---- */
static void choose(void)
{
	static const uint64_t kicks[] = { 20 * US, 200 * US, 5 * MS };

	sim.connections = sim_chance(400) ? 1 + (unsigned)sim_below(2) : 3 + (unsigned)sim_below(6);
	if (sim.connections <= 2)
		sim_hit(FAULT_limits_tiny);
	sim.shadow = sim_chance(100);
	sim.kick_most_ns = kicks[sim_below(ARRAY_LEN(kicks))];
	sim.packet_most_ns = sim_chance(500) ? 100 * US : 2 * MS;
	sim.late_kick_permille = sim_chance(300) ? 20 : 0;
	sim.stall_permille = sim_chance(300) ? 3 : 0;
	sim.short_permille = sim_chance(300) ? 100 : 0;
	sim.deaths_left = (unsigned)sim_below(60);
	sim.lies_left = sim_chance(400) ? (unsigned)sim_below(12) : 0;
	sim.radio_faults_left = sim_chance(500) ? (unsigned)sim_below(6) : 0;
	sim.neighbour_lies_left = sim_chance(300) ? (unsigned)sim_below(8) : 0;
	sim.next_neighbour_ns = sim_spread(300 * MS);
	sim.long_absence = sim_chance(400);
	sim.storm_end_ns = 3 * SECOND + sim_below(12 * SECOND);
	sim.next_death_ns = sim_spread(50 * MS);
	sim.next_lie_ns = sim_spread(300 * MS);
	sim.next_radio_ns = sim_spread(SECOND);
	sim.storm = true;
	if (sim.plant) {		/* a planted mistake has to show by itself */
		sim.connections = 8;
		sim.shadow = true;
		sim.deaths_left = sim_plant_needs_deaths() ? sim.deaths_left : 0;
		sim.lies_left = sim.radio_faults_left = sim.neighbour_lies_left = 0;
		sim.long_absence = false;
	}
}

static void open_air(void)
{
	bool tiny = sim_chance(300);
	struct air_config config = { .controllers = 1 + SIM_CENTRALS, .connections = 9, .seed = sim_random(),
		.acl_length = (uint16_t)(tiny ? 27 : 27 + sim_below(225)), .acl_packets = (uint16_t)(tiny ? 1 : 1 + sim_below(12)) };

	if (tiny)
		sim_hit(FAULT_buffers_tiny);
	if (air_size(&config) > sizeof air_memory)
		sim_fail(INVARIANT_arena, "the air is too large");
	memset(air_memory, 0, air_size(&config));
	sim_air = air_init(air_memory, &config, (struct air_faults){ .advertisements_lost_permille = 100 });
	if (air_attach(sim_air) != OUR_CONTROLLER)
		sim_fail(INVARIANT_arena, "our controller is not the first");
}

static void open_world(uint64_t seed, int plant, bool verbose, size_t shift)
{
	if (!block)
		block = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(&sim, 0, sizeof sim);
	sim.seed = seed;
	sim.random = seed * 0x9E3779B97F4A7C15u + 1;
	sim.verbose = verbose;
	sim.plant = plant;
	sim.totals = sim_totals;
	sim.base = sim.top = block + shift;
	sim.end = block + BLOCK;
	sim.digest = 14695981039346656037u;
}

static void fill_world(void)
{
	choose();
	open_air();
	sim_os_open(socket_in, socket_out, pipe_octets);
	sim_line_open();
	sim_lies_open();
	sim_neighbour_open();
	sim_tap_open();
	sim_workers_open();
	sim_centrals_open();
	sim_operator_open();
}

/* ---- the loop ---- */
static void deaths(void)
{
	if (!sim.storm || !sim.deaths_left || sim.next_death_ns > sim.now_ns)
		return;
	sim.deaths_left--;
	sim.next_death_ns = sim.now_ns + sim_spread(10 * MS);
	if (sim_chance(60))
		sim_operator_arm();
	else
		sim_arm(&sim.worker[sim_below(SIM_WORKERS)]);
}

/* It comes with some turn of the liar's: nobody is woken for it. */
static void neighbour_lies(void)
{
	if (!sim.storm || !sim.ready || !sim.neighbour_lies_left || sim.next_neighbour_ns > sim.now_ns)
		return;
	sim.neighbour_lies_left--;
	sim.next_neighbour_ns = sim.now_ns + sim_spread(500 * MS);
	sim_neighbour_arm();
}

static uint64_t next_event(void)
{
	uint64_t next = min64(min64(sim_workers_next(), sim_line_next()), min64(sim_centrals_next(), sim_lies_next()));

	next = min64(next, min64(sim_operator_next(), sim_links_next()));
	return sim.storm && sim.deaths_left ? min64(next, max64(sim.next_death_ns, sim.now_ns)) : next;
}

static void event(void)
{
	if (sim.now_ns >= sim.storm_end_ns)
		sim.storm = false;
	deaths();
	neighbour_lies();
	sim_links_run();
	sim_workers_run();
	sim_tap_run();
	sim_centrals_run();
	sim_lies_run();
	sim_operator_run();
	sim_line_run();		/* the last: who has something to read by now is told */
	sim_invariants_event();
	sim.totals->events++;
}

static void run_world(void)
{
	uint64_t over_ns = NEVER;

	for (unsigned n = 0; ; n++) {
		uint64_t next = next_event();

		if (!sim.over && sim_centrals_done() && sim_operator_idle()) {
			sim.over = true;
			sim.storm = false;
			over_ns = sim.now_ns;
			continue;
		}
		if (next == NEVER && sim.over)
			return;
		sim_judge(INVARIANT_progress);
		if (next == NEVER)
			sim_fail(INVARIANT_progress, "everybody sleeps, and there is work");
		sim_invariants_waits(max64(next, sim.now_ns));
		sim.now_ns = max64(next, sim.now_ns);
		event();
		if (!sim.ready && sim_operator_ready() && sim_all_alive()) {
			sim.ready = true;
			sim_invariants_idle();
		}
		if (sim.now_ns - sim.moved_ns > STILL_S * SECOND && !sim.over)
			sim_fail(INVARIANT_progress, "no story went on for %u s", STILL_S);
		if ((sim.over && sim.now_ns - over_ns > REST_S * SECOND) || n > EVENTS_MOST)
			sim_fail(INVARIANT_progress, "the pipeline does not come to rest");
	}
}

bool sim_run_seed(uint64_t seed, int plant, bool verbose, size_t shift)
{
	open_world(seed, plant, verbose, shift);
	if (!setjmp(sim.failure)) {
		fill_world();
		run_world();
		if (!sim_line_idle())
			sim_fail(INVARIANT_progress, "octets are left on the way");
		sim_invariants_end();
	}
	sim.running = NULL;
	sim.totals->seeds++;
	sim.totals->virtual_ns += sim.now_ns;
	return !sim.failed;
}
