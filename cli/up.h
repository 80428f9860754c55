/* cli/up.h - inside of `trefoil up`: the children and what is kept for them. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "cli/cli.h"
#include "runtime/fdstore.h"
#include "runtime/loop.h"

enum { UP_AIRS = 8, UP_ARGS = 40, UP_BACKOFFS = 5 };
enum child_kind { CHILD_AIRSIM, CHILD_TRANSPORTD, CHILD_HOSTD, CHILD_GATTD, CHILDREN };

struct up;
struct child {
	struct up *up;
	const char *name;
	struct fdshelf shelf;		/* keeps a supervisor's descriptors over its deaths; open where `wanted` */
	bool wanted, running;
	pid_t pid;
	int pidfd, watch_pid, watch_shelf;
	uint64_t started_ns, again_ns;	/* again_ns: start it then; 0: not waiting */
	unsigned deaths;		/* in a row, for the backoff */
	const char *argv[UP_ARGS];
	char path[4096];
};
struct up {
	struct cli *cli;
	struct loop *loop;
	const char *config, *transport, *btsnoop, *log;
	const char *record, *record_size, *quarantine;	/* for the daemons, as they are */
	const char *air[UP_AIRS];
	unsigned airs;
	struct child child[CHILDREN];
	int signals;
	bool told_ready, ending;
	int exit_code;
};

/* up_children.c: fill in names and arguments; start those that are wanted, airsim first. */
int up_children_open(struct up *u);
int up_children_start(struct up *u);
/* Start again whoever is due.  Returns when the next one is: absolute ns, LOOP_FOREVER. */
uint64_t up_children_again(struct up *u);
/* End them all, downstream first; those that do not end in time are killed.  Closes everything. */
void up_children_end(struct up *u);
bool up_all_ready(const struct up *u);
void up_signal_all(struct up *u, int sig);
