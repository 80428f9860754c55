/* runtime/program.c - main() of each daemon: which life, and its options. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include "runtime/log.h"
#include "runtime/supervisor_private.h"
#include "runtime/worker.h"

enum { EXIT_USAGE = 2 };

static void usage(FILE *to, const char *name)
{
	fprintf(to, "usage: %s [--run-dir DIR] [--config FILE] [--transport NAME] [--log LEVEL] [--cold]\n"
	    "  --run-dir DIR     where the sockets are (default $TREFOIL_RUN_DIR, $XDG_RUNTIME_DIR/trefoil, /run/trefoil)\n"
	    "  --config FILE     device file (JSON)\n"
	    "  --transport NAME  the controller, for transportd (default: sim)\n"
	    "  --log LEVEL       error, warn, info, debug\n"
	    "  --cold            make everything anew: ends the connections that a former life left\n", name);
}

static int bad_usage(const char *name)
{
	usage(stderr, name);
	return EXIT_USAGE;
}

int program_main(const struct program *p, int argc, char **argv)
{
	static const struct option options[] = {
		{ "run-dir", required_argument, NULL, 'r' }, { "config", required_argument, NULL, 'c' },
		{ "transport", required_argument, NULL, 't' }, { "log", required_argument, NULL, 'l' },
		{ "cold", no_argument, NULL, 'C' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	struct sup_options o = { .log = LOG_INFO };
	int c;

	if (argc == 2 && !strcmp(argv[1], "--worker"))
		return worker_main(p);
	log_open(p->name);
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (c) {
		case 'r':
			o.run_dir = optarg;
			break;
		case 'c':
			o.config = optarg;
			break;
		case 't':
			o.transport = optarg;
			break;
		case 'l':
			if (!log_level_from_text(optarg, &o.log))
				return bad_usage(p->name);
			o.log_given = true;
			break;
		case 'C':
			o.cold = true;
			break;
		case 'h':
			usage(stdout, p->name);
			return 0;
		default:
			return bad_usage(p->name);
		}
	if (optind != argc)
		return bad_usage(p->name);
	return supervisor_run(p, &o);
}
