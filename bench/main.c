/* bench/main.c - `hammer`: the programs of the load tests and of `make bench`.
 *
 *   hammer counter|flood ...   a central on the pipeline's air that judges every octet (hammer.c)
 *   hammer far ...             a controller with all its peers, and the loads on them (far_main.c)
 *   hammer ring ...            shm/ring.h and what it is measured against (ring.c)
 *   hammer chain ...           bare processes that wake each other, as many as ours (chain.c)
 *   hammer yardstick           what a write and a read on a socket pair cost here; no pipeline */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "base/types.h"
#include "bench/parts.h"
#include "bench/yardstick.h"

static int yardstick_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	printf("{\"socketpair_us\": %.4f}\n", yardstick_us());
	return 0;
}

static const struct { const char *name; int (*run)(int argc, char **argv); } parts[] = {
	{ "far", far_main },
	{ "ring", ring_main },
	{ "chain", chain_main },
	{ "yardstick", yardstick_main },
};

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; argc > 1 && i < ARRAY_LEN(parts); i++)
		if (!strcmp(argv[1], parts[i].name))
			return parts[i].run(argc - 1, argv + 1);
	return hammer_main(argc, argv);
}
