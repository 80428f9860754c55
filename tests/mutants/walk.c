/* tests/mutants/walk.c - a catcher: the kill walk over the mill, which meets every store of shm/.  Ends at the first image
 * that is not as it should be.  Linked with tests/lib/octet_memcpy.c too, it is walk_octets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/kill_walk.h"
#include "tests/lib/story_mill.h"

static void walk(unsigned seed, unsigned batch, uint32_t scenes)
{
	struct tape *t = story_mill(seed);
	struct walk_told told = { 0 };
	const struct walk_how how = { .batch = batch, .to = scenes, .recoveries = 12 };

	kill_walk(t, &how, &told);
	walk_tell(t->name, batch, &told);
	assert_true(told.images > 100);
	tape_free(t);
}
static void walk_small(void **state) { (void)state; walk(1, 2, 6); }
static void walk_large(void **state) { (void)state; walk(3, 16, 5); }

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(walk_small), cmocka_unit_test(walk_large) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
