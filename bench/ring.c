/* bench/ring.c - `hammer ring`: one medium, one size, one batch, as often as asked; or its round trips.
 *
 *   hammer ring MEDIUM [--trip] [--size N] [--batch N] [--messages N] [--runs N] [--sleep] [--one-core]
 *
 * MEDIUM: ring, ck_ring, pipe, seqpacket, futex, relay, relay-step, step.  Prints one JSON object: messages a second and kicks
 * of each run, or percentiles of all round trips, in ns.  "absent" if the medium was not built in or is not here. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/types.h"
#include "bench/duel.h"
#include "bench/parts.h"

static const struct { const char *name; const struct medium *one_way, *trip; } media[] = {
	{ "ring", &medium_ring, &medium_ring_trip }, { "ck_ring", &medium_ck, &medium_ck_trip },
	{ "pipe", &medium_pipe, &medium_pipe_trip }, { "seqpacket", &medium_seqpacket, &medium_seqpacket_trip },
	{ "futex", &medium_futex, &medium_futex_trip }, { "relay", &medium_relay, NULL },
	{ "relay-step", &medium_relay_step, NULL }, { "step", &medium_step, NULL },
};

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static json_t *percentiles(uint32_t *ns, size_t n)
{
	qsort(ns, n, sizeof *ns, by_size);
	return json_pack("{s:I, s:I, s:I, s:I}", "p50", (json_int_t)ns[n / 2], "p99", (json_int_t)ns[n * 99 / 100], "p999",
	    (json_int_t)ns[n * 999 / 1000], "max", (json_int_t)ns[n - 1]);
}

static int measure(const struct medium *m, struct duel *d, unsigned runs, bool trip)
{
	json_t *rates = json_array(), *kicks = json_array(), *o;
	uint32_t *all = trip ? calloc(d->messages * runs, sizeof *all) : NULL;
	int r = trip && !all ? -ENOMEM : 0;

	for (unsigned i = 0; !r && i < runs; i++) {
		d->trip_ns = all ? all + i * d->messages : NULL;
		r = duel_run(m, d);
		json_array_append_new(rates, json_real((double)d->messages / d->seconds));
		json_array_append_new(kicks, json_integer(0));
		if (!r)
			json_array_set_new(kicks, i, json_integer((json_int_t)d->kicks));
	}
	o = json_pack("{s:s, s:b, s:i, s:i, s:o, s:o}", "medium", m->name, "absent", r == -ENOTSUP, "size", (int)d->size, "batch",
	    (int)d->batch, "per_second", rates, "kicks", kicks);
	if (all && !r)
		json_object_set_new(o, "trip_ns", percentiles(all, d->messages * runs));
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
	free(all);
	return r && r != -ENOTSUP ? 1 : 0;
}

static bool parse(struct duel *d, unsigned *ret_runs, bool *ret_trip, int argc, char **argv)
{
	static const struct option options[] = {
		{ "trip", 0, NULL, 't' }, { "size", 1, NULL, 's' }, { "batch", 1, NULL, 'b' }, { "messages", 1, NULL, 'm' },
		{ "runs", 1, NULL, 'r' }, { "sleep", 0, NULL, 'S' }, { "one-core", 0, NULL, '1' }, { NULL, 0, NULL, 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (o) {
		case 't': *ret_trip = true; break;
		case 's': d->size = (uint32_t)atoi(optarg); break;
		case 'b': d->batch = (uint32_t)atoi(optarg); break;
		case 'm': d->messages = strtoull(optarg, NULL, 0); break;
		case 'r': *ret_runs = (unsigned)atoi(optarg); break;
		case 'S': d->sleeping = true; break;
		case '1': d->one_core = true; break;
		default: return false;
		}
	return optind + 1 == argc && d->size >= 8 && d->size <= DUEL_SIZE_MAX && d->batch && d->messages && *ret_runs;
}

int ring_main(int argc, char **argv)
{
	struct duel d = { .messages = 100000, .size = 32, .batch = 32 };
	unsigned runs = 1;
	bool trip = false;

	if (parse(&d, &runs, &trip, argc, argv))
		for (unsigned i = 0; i < ARRAY_LEN(media); i++)
			if (!strcmp(argv[optind], media[i].name) && (!trip || media[i].trip))
				return measure(trip ? media[i].trip : media[i].one_way, &d, runs, trip);
	fprintf(stderr, "usage: hammer ring ring|ck_ring|pipe|seqpacket|futex|relay|relay-step|step [--trip] [--size N] [--batch N]\n"
	    "                   [--messages N] [--runs N] [--sleep] [--one-core]\n");
	return 2;
}
