/* tests/lib/kill_walk.h - death of a worker at each instruction of a story, and of the recovery from each such death.
 *
 * One life of a worker plays a tape under single-step.  What the shared memory holds after an instruction that changed it is
 * what a SIGKILL there would leave; no copy of it is made: a judge maps the memory privately.  Each image is judged:
 *
 *   - nothing is shown that was not committed
 *   - after recovery, the arena is that of the undisturbed run at that commit
 *   - the rest of the story, in other batch sizes, gives what the undisturbed run gave, and ends in its arena
 *
 * Recovery and attaching are walked in the same way, from the images with a new undo length, and from images of walked
 * recoveries too.  kill_often does the same with real SIGKILLs and new processes. */
#pragma once
#include "tests/lib/stage.h"

struct walk_how {
	unsigned batch;			/* records a step of the life that is walked */
	uint32_t from, to;		/* scenes: those before are played without stepping */
	unsigned ahead;			/* scenes that a judge plays on; 0: to the end.  Each 64th plays to the end in any case */
	unsigned recoveries;		/* of so many images with a new undo length, the recovery of one is walked */
	unsigned each;			/* of so many images judge one; 1: all */
};
struct walk_told { unsigned long lives, instructions, images, recoveries, recovery_images, twice, kills; };

/* Fails the test at the first image that is not as it should be. */
void kill_walk(const struct tape *t, const struct walk_how *how, struct walk_told *told);

/* Scenes [from, to) of the story in lives that are killed after i * stride instructions, in turn up to `span`, until they are over;
 * what each death leaves is judged to the end. */
void kill_often(const struct tape *t, const struct walk_how *how, unsigned stride, unsigned span, struct walk_told *told);

/* A line that the summary of the run shows. */
void walk_tell(const char *what, unsigned batch, const struct walk_told *told);
