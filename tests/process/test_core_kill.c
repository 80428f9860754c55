/* tests/process/test_core_kill.c - death at each instruction of the real cores: hostd and gattd play a whole day, one worker life
 * of many steps, single-stepped; each image that a SIGKILL would leave is judged, recoveries are walked, and recoveries of killed
 * recoveries; then the same with real SIGKILLs.  tests/lib/kill_walk.h has how.
 *
 * `make check` walks each story whole in batches of one and of 32, slices of it in others; $TREFOIL_DEPTH=1 (make soak) walks all
 * of it in each, judges every image to the end of the story, and walks more recoveries.  (timeout: 1800 s) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "base/types.h"
#include "tests/lib/kill_depth.h"
#include "tests/lib/kill_walk.h"
#include "tests/lib/story_gattd.h"
#include "tests/lib/story_hostd.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { SANITIZED = 1, IMAGES = 20 };	/* a sanitized step has many times the instructions; the plain build has the breadth */
#else
enum { SANITIZED = 0, IMAGES = 300 };
#endif
enum { WHOLE = 0 };

/* A slice: `scenes` of the story from `from` on; WHOLE: all. */
static void walk(struct tape *t, unsigned batch, uint32_t from, uint32_t scenes)
{
	struct walk_how how = { .batch = batch, .from = from, .to = scenes ? MIN(from + scenes, t->scenes) : t->scenes, .ahead = 2,
		.recoveries = 15 };
	struct walk_told told = { 0 };

	if (kill_deep())
		how = (struct walk_how){ .batch = batch, .to = t->scenes, .recoveries = 3 };
	else if (SANITIZED)
		how = (struct walk_how){ .batch = batch, .from = t->scenes / 2, .to = t->scenes / 2 + 2, .ahead = 1, .recoveries = 40 };
	kill_walk(t, &how, &told);
	walk_tell(t->name, batch, &told);
	assert_true(told.images > IMAGES);
	assert_true(SANITIZED || told.recoveries > 0);
	tape_free(t);
}
static void hostd_batch_1(void **state) { (void)state; walk(story_hostd(), 1, 0, WHOLE); }
static void hostd_batch_3(void **state) { (void)state; walk(story_hostd(), 3, 26, 14); }
static void hostd_batch_32(void **state) { (void)state; walk(story_hostd(), 32, 22, 12); }
static void gattd_batch_1(void **state) { (void)state; walk(story_gattd(), 1, 8, 12); }
static void gattd_batch_3(void **state) { (void)state; walk(story_gattd(), 3, 14, 6); }
static void gattd_batch_32(void **state) { (void)state; walk(story_gattd(), 32, 0, WHOLE); }

/* The strides have no factor in common with the span: each round falls on other instructions. */
static void often(struct tape *t)
{
	static const unsigned strides[] = { 5003, 61, 127, 509, 997, 2011, 7001, 9973 };
	const struct walk_how how = { .batch = 4, .from = SANITIZED ? t->scenes - 3 : kill_deep() ? 0 : t->scenes / 2, .to = t->scenes };
	struct walk_told told = { 0 };

	for (unsigned i = 0; i < (kill_deep() ? ARRAY_LEN(strides) : 1); i++)
		kill_often(t, &how, SANITIZED ? 15013 : strides[i], SANITIZED ? 60013 : 20011, &told);
	walk_tell(t->name, 4, &told);
	assert_true(told.kills > (SANITIZED ? 0 : 5));
	tape_free(t);
}
static void hostd_sigkill(void **state) { (void)state; often(story_hostd()); }
static void gattd_sigkill(void **state) { (void)state; often(story_gattd()); }

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostd_batch_1),
		cmocka_unit_test(hostd_batch_3),
		cmocka_unit_test(hostd_batch_32),
		cmocka_unit_test(gattd_batch_1),
		cmocka_unit_test(gattd_batch_3),
		cmocka_unit_test(gattd_batch_32),
		cmocka_unit_test(hostd_sigkill),
		cmocka_unit_test(gattd_sigkill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
