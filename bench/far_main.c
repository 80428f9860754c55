/* bench/far_main.c - `hammer far`: the far side, driven by lines on standard input.
 *
 *   hammer far --listen PATH [--buffers N] [--octets N]
 *
 * A line is a load (bench/load.h) and what differs from its defaults; one JSON object answers it.
 *
 *	write connections=1 seconds=5 pids=101,102,103
 *	notify connections=8 window=40
 *	read trips=1000 pause_us=2000
 *	yardstick
 *
 * Ends at the end of input.  After a load that failed it exits 1. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/types.h"
#include "bench/load.h"
#include "bench/parts.h"
#include "bench/yardstick.h"

enum { TRIPS_MAX = 1000000 };

static bool set_pids(struct load *l, const char *text)
{
	char *end;

	for (l->pids = 0; *text && l->pids < MARKS_MAX; text = *end ? end + 1 : end) {
		l->pid[l->pids++] = (pid_t)strtol(text, &end, 10);
		if (end == text)
			return false;
	}
	return !*text;
}

static bool set(struct load *l, const char *key, const char *value)
{
	const struct { const char *key; unsigned *at; unsigned max; } rows[] = {
		{ "connections", &l->connections, FAR_LINKS }, { "window", &l->window, LOAD_WINDOW_MAX }, { "every", &l->every, 1000 },
		{ "size", &l->size, FAR_VALUE }, { "pause_us", &l->pause_us, 999999 }, { "trips", &l->trips, TRIPS_MAX },
	};
	const struct { const char *key; uint16_t *at; } handles[] = {
		{ "write", &l->write }, { "echo", &l->echo }, { "cccd", &l->cccd }, { "pace", &l->pace },
	};
	unsigned long n = strtoul(value, NULL, 0);

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (!strcmp(key, rows[i].key))
			return (*rows[i].at = (unsigned)n) <= rows[i].max && n;
	for (unsigned i = 0; i < ARRAY_LEN(handles); i++)
		if (!strcmp(key, handles[i].key))
			return (*handles[i].at = (uint16_t)n) == n;
	if (!strcmp(key, "warm"))
		return (l->warm_s = atof(value)) >= 0;
	if (!strcmp(key, "seconds"))
		return (l->seconds = atof(value)) > 0;
	if (!strcmp(key, "stalled"))
		return (l->stalled = atoi(value)) >= 0;
	if (!strcmp(key, "calls"))
		return (l->calls = n), true;
	return !strcmp(key, "pids") && set_pids(l, value);
}

static bool parse_line(struct load *l, char *line)
{
	static const char *const kinds[] = { "write", "notify", "read" };
	char *save, *word = strtok_r(line, " \n", &save);
	unsigned kind = 0;

	while (word && kind < ARRAY_LEN(kinds) && strcmp(word, kinds[kind]))
		kind++;
	if (!word || kind == ARRAY_LEN(kinds))
		return false;
	l->kind = (enum load_kind)kind;
	if (l->kind == LOAD_NOTIFY)
		l->write = 0x111;
	while ((word = strtok_r(NULL, " \n", &save))) {
		char *value = strchr(word, '=');

		if (!value)
			return false;
		*value = '\0';
		if (!set(l, word, value + 1))
			return false;
	}
	return l->connections && l->every <= l->window && l->stalled < (int)l->connections && l->size >= 4;
}

static json_t *trips_report(const struct load *l)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < l->trips; i++)
		json_array_append_new(a, json_integer(l->trip_ns[i]));
	return a;
}

static void report(const struct far *f, const struct load *l, int e)
{
	json_t *cpu = json_array(), *switches = json_array(), *calls = l->has_calls ? json_array() : json_null(), *o;

	for (unsigned i = 0; i < l->pids; i++) {
		json_array_append_new(cpu, json_real((double)l->counted[i].cpu_ns / 1e3));
		json_array_append_new(switches, json_integer((json_int_t)l->counted[i].switches));
		json_array_append_new(calls, json_integer((json_int_t)l->counted[i].calls));
	}
	o = json_pack("{s:b, s:s, s:i, s:f, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:f}", "good", !e && !*f->broken,
	    "why", e && !*f->broken ? strerror(-e) : f->broken, "connections", (int)l->connections, "seconds", l->took_s, "writes", (json_int_t)l->writes,
	    "notifications", (json_int_t)l->notifications, "reads", (json_int_t)l->reads, "far_reads", (json_int_t)l->far_reads,
	    "cpu_us", cpu, "switches", switches, "calls", calls, "least", (json_int_t)l->least, "most", (json_int_t)l->most,
	    "jain", l->jain);
	json_object_set_new(o, "acl_to_host", json_integer((json_int_t)l->acl_to_host));
	json_object_set_new(o, "acl_from_host", json_integer((json_int_t)l->acl_from_host));
	if (l->kind == LOAD_READ)
		json_object_set_new(o, "trips_ns", trips_report(l));
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

/* Returns an exit code. */
static int run_line(struct far *f, char *line)
{
	struct load l = { .connections = 1, .window = 48, .every = 32, .size = FAR_VALUE, .pause_us = 2000, .trips = 1000,
		.write = 0x101, .echo = 0x121, .cccd = 0x122, .pace = 0x131, .warm_s = 0.5, .seconds = 5, .stalled = -1 };
	int e;

	if (!strcmp(line, "yardstick\n")) {
		printf("{\"socketpair_us\": %.4f}\n", yardstick_us());
		fflush(stdout);
		return 0;
	}
	if (!parse_line(&l, line)) {
		fprintf(stderr, "far: not a load: %s\n", line);
		return 2;
	}
	l.trip_ns = l.kind == LOAD_READ ? calloc(l.trips, sizeof *l.trip_ns) : NULL;
	if (l.kind == LOAD_READ && !l.trip_ns)
		return 1;
	e = load_run(f, &l);
	report(f, &l, e);
	fflush(stdout);
	free(l.trip_ns);
	return e || *f->broken ? 1 : 0;
}

static int serve(struct far *f)
{
	char line[1024];
	int r = 0;

	setvbuf(stdin, NULL, _IONBF, 0);	/* poll has to see what is there */
	while (!r) {
		struct pollfd p[] = { { STDIN_FILENO, POLLIN, 0 }, { f->fd >= 0 ? f->fd : f->listener,
			(short)(POLLIN | (f->out_len ? POLLOUT : 0)), 0 } };

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (p[1].revents)
			r = far_turn(f, 0) ? 1 : 0;
		if (!r && p[0].revents) {
			if (!fgets(line, sizeof line, stdin))
				return 0;
			r = run_line(f, line);
		}
	}
	if (*f->broken)
		fprintf(stderr, "far: %s\n", f->broken);
	return r;
}

int far_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "listen", 1, NULL, 'l' }, { "buffers", 1, NULL, 'b' }, { "octets", 1, NULL, 'o' }, { NULL, 0, NULL, 0 },
	};
	static struct far f = { .listener = -1, .fd = -1, .buffers = 8, .buffer_octets = FAR_MTU + 4 };
	const char *path = NULL;
	bool good = true;
	int o, r;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (o) {
		case 'l': path = optarg; break;
		case 'b': f.buffers = (uint16_t)atoi(optarg); break;
		case 'o': f.buffer_octets = (uint16_t)atoi(optarg); break;
		default: good = false;
		}
	if (!good || !path || !f.buffers || f.buffers > 255 || f.buffer_octets < FAR_MTU + 4) {
		fprintf(stderr, "usage: hammer far --listen PATH [--buffers N] [--octets N]\n");
		return 2;
	}
	r = far_open(&f, path);
	if (r) {
		fprintf(stderr, "far: %s: %s\n", path, strerror(-r));
		return 1;
	}
	puts("listening");
	fflush(stdout);
	r = serve(&f);
	far_close(&f);
	return r;
}
