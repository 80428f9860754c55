/* transportd/worker.h - the worker's own part: the controller's socket beside the links, and when to sleep. */
#pragma once

struct worker;

int transportd_worker_start(struct worker *w);		/* struct program: worker_start */
int transportd_worker_turn(struct worker *w);		/* struct program: worker_turn */
extern const int transportd_syscalls[];			/* more that the sandbox allows, ended by -1 */
