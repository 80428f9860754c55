/* transportd/main.c - the daemon that holds the controller.
 *
 *   transportd --run-dir DIR [--config FILE] [--transport NAME] [--btsnoop FILE]
 *
 * The supervisor opens the transport and keeps its socket, and a pipe beside it; they outlive every worker. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "transportd/program.h"

/* Takes our own option out of what the runtime sees.  Returns 0; -EINVAL: it has no value. */
static int take_options(int *argc, char **argv)
{
	int kept = 1;

	for (int i = 1; i < *argc; i++) {
		if (strcmp(argv[i], "--btsnoop")) {
			argv[kept++] = argv[i];
			continue;
		}
		if (++i >= *argc)
			return -EINVAL;
		transportd_btsnoop = argv[i];
	}
	argv[kept] = NULL;
	*argc = kept;
	return 0;
}

int main(int argc, char **argv)
{
	if (take_options(&argc, argv) < 0) {
		fprintf(stderr, "transportd: --btsnoop: a file name is missing\n");
		return 2;
	}
	return program_main(&transportd_program, argc, argv);
}
