/* tests/process/test_transportd_step.c - SIGKILL to transportd's worker on `unix:` between its system calls: after each instruction
 * at which the shared memory has changed, and after the return of each call, for what the kernel holds (socket, peek offset, pipe)
 * counts too.  A new worker goes on each time; both streams are exact.
 *
 * Life by life the place of death moves on: n changes after the j-th system call, for all n there are, then j + 1; it includes
 * recovery, which is how each life begins.  $TREFOIL_DEPTH=1 (make soak) goes round more often, and kills after every 3rd
 * instruction whatsoever, too.  (timeout: 1800 s) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "base/types.h"
#include "tests/lib/kill_depth.h"
#include "tests/lib/line_trial.h"
#include "tests/lib/stepper.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { SANITIZED = 1, LESS = 5 };	/* many times the instructions: fewer lives, longer strides */
#else
enum { SANITIZED = 0, LESS = 1 };
#endif
enum { MOST_CALLS = 40, FIRST_CALL = 12, BLANK_LIVES = 3 };		/* FIRST: behind the formatting of a blank arena */
struct place { unsigned call, n, round; };	/* of death */
struct stride { unsigned changes, instructions; };	/* from one place to the next behind the same call; instructions 0: by changes */
struct told { unsigned long lives, at_calls, at_changes, at_instructions, instructions; };

static uint8_t *map(void *ctx) { return ((struct trial *)ctx)->w.memory; }
static void life(uint8_t *at, void *ctx)
{
	(void)at;
	stepper_kernel_writes(line_world_held(&((struct trial *)ctx)->w), LINE_HELD);
	trial_child(ctx, 3, false, stepper_ready);
}

/* To the j-th return of a system call.  False: it gave up. */
static bool run_to_call(struct trial *t, struct stepper *p, unsigned calls)
{
	while (calls--) {
		if (stepper_to_call(p) != STEPPED_CALL) {
			trial_broken(t, "the worker gave up by itself", 0);
			return false;
		}
		if (calls % 2)
			trial_pump(t);
	}
	return true;
}

/* Behind the next call; each round begins elsewhere within the first stride. */
static struct place behind_next(const struct place *at, unsigned stride)
{
	bool wrap = at->call + 1 == MOST_CALLS;
	unsigned round = at->round + wrap;

	return (struct place){ wrap ? 0 : at->call + 1, (round + at->call) % stride, round };
}

/* From there on n changes, or instructions; the next place is then a stride further, or behind the next call. */
static void run_to_place(struct trial *t, struct stepper *p, struct place *at, struct stride stride, struct told *told)
{
	unsigned changes = 0, by = stride.instructions ? stride.instructions : stride.changes;

	for (unsigned i = 0; (stride.instructions ? i : changes) < at->n; i++) {
		switch (stepper_step(p)) {
		case STEPPED_CALL:
			*at = behind_next(at, by);
			told->at_calls++;
			return;
		case STEPPED_CHANGE:
			changes++;
			break;
		case STEPPED_NOTHING:
			break;
		default:
			trial_broken(t, "the worker gave up by itself", 1);
			return;
		}
	}
	at->n += by;
	told->at_changes += !stride.instructions;
	told->at_instructions += stride.instructions != 0;
}

static void exact(unsigned seed, unsigned lives, struct stride stride)
{
	struct trial *t = trial_new(LINE_UNIX, seed, seed & 1);
	struct place at = { .call = stride.instructions ? FIRST_CALL : 0 };
	struct told told = { 0 };
	/* Lives that may find a blank arena: to clear it is a hundred thousand steps. */
	unsigned blank = kill_deep() ? lives : BLANK_LIVES;

	t->ahead = 7;			/* short batches: few instructions between two calls */
	stepper_pin();
	for (told.lives = 0; told.lives < lives && !t->broken; told.lives++) {
		struct stepper p = { .calls = true };

		if (told.lives == blank)
			trial_count(t, LINE_in_batches);	/* makes it */
		trial_pump(t);
		stepper_start(&p, t->w.memory, t->w.octets, map, life, t);
		if (run_to_call(t, &p, at.call))
			run_to_place(t, &p, &at, stride, &told);
		told.instructions += p.instructions;
		stepper_stop(&p);		/* SIGKILL */
		trial_pump(t);
	}
	if (!t->broken)
		trial_end_of_story(t);
	if (t->broken)
		fail_msg("after %lu kills: %s", told.lives, t->why);
	printf("told: transportd on unix: %lu SIGKILLs: %lu after a change of shared memory, %lu at the return of a call, "
	    "%lu at instructions; %lu instructions; %u packets in, %u out, %u windows resumed\n", told.lives, told.at_changes,
	    told.at_calls, told.at_instructions, told.instructions, t->in.seen, t->out.seen, trial_count(t, LINE_windows_resumed));
	assert_true(t->in.seen > 10 / LESS && t->out.seen > 10 / LESS && told.at_calls > 10 / LESS);
	assert_true(SANITIZED || trial_count(t, LINE_windows_resumed) >= 5);		/* else the kills fell beside what is tested */
	assert_int_equal(trial_count(t, LINE_windows_unknown), 0);
	assert_int_equal(t->states_told, 1);
	trial_free(t);
}

static void at_each_change(void **state)
{
	const struct stride all = { 1, 0 }, some = { SANITIZED ? 17 : 3, 0 };

	(void)state;
	exact(3, kill_deep() ? 6000 : 120 / LESS, kill_deep() ? all : some);
	exact(2, kill_deep() ? 12000 : 250 / LESS, kill_deep() ? all : some);
}
static void at_instructions(void **state)
{
	(void)state;
	exact(4, kill_deep() ? 12000 : 80 / LESS, (struct stride){ 0, SANITIZED ? 5003 : kill_deep() ? 3 : 307 });
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(at_each_change), cmocka_unit_test(at_instructions) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
