/* transportd/worker.h - the worker's own part: the controller's socket beside the links, and when to sleep. */
#pragma once

#include "runtime/sandbox.h"

struct worker;

int transportd_worker_prepare(struct worker *w);	/* struct program: worker_prepare ... */
int transportd_worker_start(struct worker *w);		/* ... worker_start */
int transportd_worker_turn(struct worker *w);		/* struct program: worker_turn */
extern const struct sandbox_call transportd_syscalls[];	/* more that the sandbox allows, ended by number -1 */
