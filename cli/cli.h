/* cli/cli.h - what the commands of `trefoil` share.
 *
 * A command is a row in main.c and a function; it gets its own words and the global options.  Exit codes: 0 done, 1 the
 * operation failed (reason on stderr), 2 usage, 3 no daemon there. */
#pragma once
#include <stdbool.h>
#include "runtime/run_dir.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NO_DAEMON = 3 };

struct cli {
	struct run_dir dir;		/* resolved; nothing in it is touched */
	bool json;			/* --json: one object, or one a line */
};

/* Each is given argv from its own name on; options of getopt_long where it has any. */
int cli_up(struct cli *c, int argc, char **argv);
int cli_status(struct cli *c, int argc, char **argv);
int cli_restart(struct cli *c, int argc, char **argv);
int cli_gatt(struct cli *c, int argc, char **argv);

/* Print "trefoil: " and the text to stderr; return `code`. */
int cli_say(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
