/* tests/simulation/sim_main.c - many seeds on all cores, one seed told packet by packet, or planted mistakes that must be caught.
 *
 *   sim [--seeds N] [--from SEED] [--jobs N] [--zeros]     N seeds; --zeros: a place that nothing struck fails
 *   sim --seed SEED [--verbose]                            one of them; --plant NAME with a mistake planted
 *   sim --plant NAME --seeds N                             fails unless that mistake is caught by its invariant
 *   sim --plants                                           their names
 *   sim --twice N                                          N seeds at two addresses each: the same octets?
 *
 * Exit: 0 all held; 1 something is wrong; 2 usage. */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tests/simulation/sim.h"
#include "tests/simulation/sim_report.h"

enum { JOBS_MAX = 16, FAILURES_MAX = 8 };

struct failure { uint64_t seed; enum sim_invariant broken; char why[256]; };
struct job {
	struct sim_totals totals;
	uint64_t at;			/* the seed under way */
	unsigned failures;
	struct failure failure[FAILURES_MAX];
	double cpu_s;
};
struct options {
	uint64_t seeds, from, seed, twice;
	unsigned jobs;
	int plant;
	bool one, verbose, zeros;
};

static const char *own_name;

static void tell_failure(const struct failure *f, int plant)
{
	enum sim_invariant by;
	const char *name = sim_plant_name(plant, &by);

	printf("seed %llu: %s: %s\n", (unsigned long long)f->seed, sim_invariant_name(f->broken), f->why);
	printf("again: %s --seed %llu --verbose%s%s\n", own_name, (unsigned long long)f->seed, name ? " --plant " : "",
	    name ? name : "");
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double wall_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Seeds `first`, first + stride ..: as one job of several. */
static void work(struct job *j, const struct options *o, unsigned first)
{
	sim_totals = &j->totals;
	for (uint64_t i = first; i < o->seeds && j->failures < FAILURES_MAX; i += o->jobs) {
		j->at = o->from + i;
		if (sim_run_seed(j->at, o->plant, false, 0))
			continue;
		j->failure[j->failures].seed = j->at;
		j->failure[j->failures].broken = sim.broken;
		memcpy(j->failure[j->failures++].why, sim.why, sizeof sim.why);
		if (o->plant)
			break;
	}
	j->cpu_s = cpu_seconds();
}

static struct job *jobs_run(const struct options *o, unsigned *ret_crashed)
{
	struct job *jobs = mmap(NULL, o->jobs * sizeof *jobs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid[JOBS_MAX];

	fflush(stdout);
	for (unsigned i = 0; i < o->jobs; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			work(&jobs[i], o, i);
			exit(0);
		}
	}
	for (unsigned i = 0; i < o->jobs; i++) {
		int status;

		waitpid(pid[i], &status, 0);
		if (!status)
			continue;
		(*ret_crashed)++;
		printf("seed %llu: the program ended by %s %d\n", (unsigned long long)jobs[i].at, WIFSIGNALED(status) ? "signal" : "exit",
		    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		printf("again: %s --seed %llu --verbose\n", own_name, (unsigned long long)jobs[i].at);
	}
	return jobs;
}

static void add_up(struct sim_totals *sum, const struct sim_totals *more)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)more;

	for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
		to[i] += from[i];
}

static int run_many(const struct options *o)
{
	static struct sim_totals sum;
	unsigned bad = 0;
	double began = wall_seconds(), cpu = 0;
	struct job *jobs = jobs_run(o, &bad);

	for (unsigned i = 0; i < o->jobs; i++) {
		add_up(&sum, &jobs[i].totals);
		cpu += jobs[i].cpu_s;
		for (unsigned f = 0; f < jobs[i].failures; f++, bad++)
			tell_failure(&jobs[i].failure[f], 0);
	}
	report_tables(&sum);
	report_pace(&sum, wall_seconds() - began, cpu);
	if (o->zeros && !bad)
		bad += report_zeros(&sum);
	return bad != 0;
}

/* Caught, and by the invariant that it is for, in the first seed that fails of each job. */
static int run_plant(const struct options *o)
{
	enum sim_invariant by;
	const char *name = sim_plant_name(o->plant, &by);
	unsigned crashed = 0, caught = 0, wrong = 0;
	struct job *jobs = jobs_run(o, &crashed);

	for (unsigned i = 0; i < o->jobs; i++)
		for (unsigned f = 0; f < jobs[i].failures; f++) {
			bool right = jobs[i].failure[f].broken == by;

			caught += right;
			wrong += !right;
			tell_failure(&jobs[i].failure[f], o->plant);
		}
	printf("planted %s: %s by %s\n", name, caught && !wrong && !crashed ? "caught" : "NOT caught", sim_invariant_name(by));
	return !caught || wrong || crashed;
}

static int run_one(const struct options *o)
{
	static struct sim_totals totals;
	struct failure f = { .seed = o->seed };
	bool held;

	sim_totals = &totals;
	held = sim_run_seed(o->seed, o->plant, o->verbose, 0);
	printf("seed %llu: %.3f s, %llu events, %llu deaths, digest %016llx\n", (unsigned long long)o->seed,
	    (double)totals.virtual_ns / 1e9, (unsigned long long)totals.events, (unsigned long long)totals.deaths,
	    (unsigned long long)sim.digest);
	if (held)
		return 0;
	f.broken = sim.broken;
	memcpy(f.why, sim.why, sizeof f.why);
	tell_failure(&f, o->plant);
	return 1;
}

static int run_twice(const struct options *o)
{
	static struct sim_totals totals;
	uint64_t digest, bad = 0;

	sim_totals = &totals;
	for (uint64_t s = o->from; s < o->from + o->twice; s++) {
		sim_run_seed(s, 0, false, 0);
		digest = sim.digest;
		sim_run_seed(s, 0, false, 5 * 4096);
		if (sim.digest != digest) {
			printf("seed %llu: %016llx, and elsewhere %016llx\n", (unsigned long long)s, (unsigned long long)digest,
			    (unsigned long long)sim.digest);
			bad++;
		}
	}
	printf("%llu seeds at two addresses: %llu differ\n", (unsigned long long)o->twice, (unsigned long long)bad);
	return bad != 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: sim [--seeds N] [--from SEED] [--jobs N] [--zeros] [--plant NAME]\n"
	    "       sim --seed SEED [--verbose] [--plant NAME] | --twice N | --plants\n");
	return 2;
}

static void list_plants(void)
{
	enum sim_invariant by;

	for (int i = 1; sim_plant_name(i, &by); i++)
		printf("%s\n", sim_plant_name(i, &by));
}

/* Returns false if it is none of ours, or lacks its value. */
static bool take(struct options *o, const char *name, const char *value, int *at)
{
	if (!strcmp(name, "--verbose"))
		return o->verbose = true;
	if (!strcmp(name, "--zeros"))
		return o->zeros = true;
	if (!value)
		return false;
	++*at;
	if (!strcmp(name, "--plant"))
		return (o->plant = sim_plant_find(value)) != 0;
	if (!strcmp(name, "--seed")) {
		o->one = true;
		o->seed = strtoull(value, NULL, 10);
	} else if (!strcmp(name, "--seeds")) {
		o->seeds = strtoull(value, NULL, 10);
	} else if (!strcmp(name, "--from")) {
		o->from = strtoull(value, NULL, 10);
	} else if (!strcmp(name, "--twice")) {
		o->twice = strtoull(value, NULL, 10);
	} else if (!strcmp(name, "--jobs")) {
		o->jobs = (unsigned)strtoul(value, NULL, 10);
	} else {
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct options o = { .seeds = 100, .from = 1, .jobs = (unsigned)MAX(cores, 1L) };

	own_name = argv[0];
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--plants"))
			return list_plants(), 0;
		if (!take(&o, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &i))
			return usage();
	}
	o.jobs = MAX(1u, min32(o.jobs, (unsigned)JOBS_MAX));
	if (o.one)
		return run_one(&o);
	if (o.twice)
		return run_twice(&o);
	return o.plant ? run_plant(&o) : run_many(&o);
}
