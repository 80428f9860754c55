/* runtime/program.c - main() of each daemon: which life, and its options. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/log.h"
#include "runtime/recording_file.h"
#include "runtime/replay.h"
#include "runtime/supervisor_private.h"
#include "runtime/worker.h"

enum { EXIT_USAGE = 2 };

static void usage(FILE *to, const char *name)
{
	fprintf(to, "usage: %s [--run-dir DIR] [--config FILE] [--transport NAME] [--log LEVEL] [--cold]\n"
	    "       %s --replay FILE [--log debug]\n"
	    "  --run-dir DIR     where the sockets are (default $TREFOIL_RUN_DIR, $XDG_RUNTIME_DIR/trefoil, /run/trefoil)\n"
	    "  --config FILE     device file (JSON)\n"
	    "  --transport NAME  the controller, for transportd (default: sim)\n"
	    "  --log LEVEL       error, warn, info, debug\n"
	    "  --cold            make everything anew: ends the connections that a former life left\n"
	    "  --record DIR      keep what the worker sees, packets and keys too, in DIR (mode 0700)\n"
	    "  --record-size MIB room for it (default %d)\n"
	    "  --quarantine DIR  keep a file in DIR (mode 0700) of each record that killed the worker twice, packets and keys too\n"
	    "  --replay FILE     do again what such a file holds, and compare (--log debug: tell each entry)\n",
	    name, name, RECORDING_MIB);
}

static int bad_usage(const char *name)
{
	usage(stderr, name);
	return EXIT_USAGE;
}

/* One option.  False: its value is none. */
static bool take_option(struct sup_options *o, int c, char *value)
{
	char *end = value;

	switch (c) {
	case 'r':
		o->run_dir = value;
		break;
	case 'c':
		o->config = value;
		break;
	case 't':
		o->transport = value;
		break;
	case 'l':
		o->log_given = true;
		return log_level_from_text(value, &o->log);
	case 'C':
		o->cold = true;
		break;
	case 'R':
		o->record = value;
		break;
	case 'S':
		o->record_mib = (unsigned)strtoul(value, &end, 10);
		return end != value && !*end && o->record_mib && o->record_mib <= RECORDING_MIB_MAX;
	case 'Q':
		o->quarantine = value;
		break;
	default:
		return false;
	}
	return true;
}

int program_main(const struct program *p, int argc, char **argv)
{
	static const struct option options[] = {
		{ "run-dir", required_argument, NULL, 'r' }, { "config", required_argument, NULL, 'c' },
		{ "transport", required_argument, NULL, 't' }, { "log", required_argument, NULL, 'l' },
		{ "cold", no_argument, NULL, 'C' }, { "record", required_argument, NULL, 'R' },
		{ "record-size", required_argument, NULL, 'S' }, { "quarantine", required_argument, NULL, 'Q' },
		{ "replay", required_argument, NULL, 'P' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	struct sup_options o = { .log = LOG_INFO };
	const char *replay = NULL;
	int c;

	if (argc == 2 && !strcmp(argv[1], "--worker"))
		return worker_main(p);
	log_open(p->name);
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout, p->name);
			return 0;
		}
		if (c == 'P')
			replay = optarg;
		else if (!take_option(&o, c, optarg))
			return bad_usage(p->name);
	}
	if (optind != argc)
		return bad_usage(p->name);
	return replay ? replay_main(p, replay, o.log == LOG_DEBUG) : supervisor_run(p, &o);
}
