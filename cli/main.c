/* cli/main.c - `trefoil`: global options and the table of commands. */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/types.h"
#include "cli/cli.h"
#include "runtime/recording_file.h"

static const struct command {
	const char *name, *args, *summary;
	int (*run)(struct cli *c, int argc, char **argv);
} commands[] = {
	{ "up", "[--config FILE] [--transport NAME] [--air LISTEN]... [--btsnoop FILE] [--log LEVEL]\n"
	    "           [--record DIR [--record-size MIB]] [--quarantine DIR]",
	    "start the pipeline in the foreground and hold its descriptors", cli_up },
	{ "status", "", "processes, controller, links, connections", cli_status },
	{ "restart", "[--cold] transportd|hostd|gattd", "replace that worker now, without loss", cli_restart },
	{ "gatt", "set UUID|HANDLE HEX|-", "change a value of our own database and tell its subscribers", cli_gatt },
};

int cli_say(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("trefoil: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

static void usage(FILE *to)
{
	fputs("usage: trefoil [--run-dir DIR] [--json] COMMAND ...\n\n", to);
	for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(to, "  %-8s %s\n           %s\n", commands[i].name, commands[i].args, commands[i].summary);
	fputs("\n  --run-dir DIR  default $TREFOIL_RUN_DIR, else $XDG_RUNTIME_DIR/trefoil, else /run/trefoil\n"
	      "  --json         one JSON object, or one a line\n"
	      "  --log LEVEL    error, warn, info or debug\n", to);
	fprintf(to, "  --record-size  MiB, default %d\n"
	      "exit: 0 done, 1 failed, 2 usage, 3 no daemon there\n", RECORDING_MIB);
}

/* --run-dir and --json may stand before or behind the command: take them out wherever they are.  Returns the new argc, < 0. */
static int take_globals(int argc, char **argv, struct cli *c, const char **ret_dir)
{
	int kept = 1;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json")) {
			c->json = true;
		} else if (!strncmp(argv[i], "--run-dir=", 10)) {
			*ret_dir = argv[i] + 10;
		} else if (!strcmp(argv[i], "--run-dir")) {
			if (++i == argc)
				return -1;
			*ret_dir = argv[i];
		} else {
			argv[kept++] = argv[i];
		}
	}
	argv[kept] = NULL;
	return kept;
}

int main(int argc, char **argv)
{
	struct cli c = { .dir = RUN_DIR_NONE };
	const char *dir = NULL;

	argc = take_globals(argc, argv, &c, &dir);
	if (argc < 0)
		return cli_say(EXIT_USAGE, "--run-dir needs a directory");
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return EXIT_DONE;
	}
	for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		if (run_dir_resolve(&c.dir, dir))
			return cli_say(EXIT_FAILED, "run dir: the path is too long for its sockets (%d octets at most)", RUN_DIR_PATH - 1);
		return commands[i].run(&c, argc - 1, argv + 1);
	}
	return cli_say(EXIT_USAGE, "unknown command \"%s\": see trefoil --help", argv[1]);
}
