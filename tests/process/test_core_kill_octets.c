/* tests/process/test_core_kill_octets.c - as test_core_kill.c, with a memcpy that a kill may interrupt after any octet: a log entry,
 * a record in a ring and an object's old octets are then torn in every way.  $TREFOIL_DEPTH=1: whole stories.  (timeout: 1800 s) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "base/types.h"
#include "tests/lib/kill_depth.h"
#include "tests/lib/kill_walk.h"
#include "tests/lib/octet_memcpy.h"
#include "tests/lib/story_gattd.h"
#include "tests/lib/story_hostd.h"

static void walk(struct tape *t, unsigned batch, uint32_t from, uint32_t scenes)
{
	struct walk_how how = { .batch = batch, .from = from, .to = from + scenes, .ahead = 2, .recoveries = 9 };
	struct walk_told told = { 0 };

	if (kill_deep())
		how = (struct walk_how){ .batch = batch, .to = t->scenes, .ahead = 4, .recoveries = 20 };
	else if (!octet_memcpy_there())
		how.from = how.to - 1;
	kill_walk(t, &how, &told);
	walk_tell(t->name, batch, &told);
	assert_true(told.images > (octet_memcpy_there() ? 1000 : 10));
	tape_free(t);
}
static void hostd_octets(void **state) { (void)state; walk(story_hostd(), 4, 27, 8); }
static void gattd_octets(void **state) { (void)state; walk(story_gattd(), 4, 15, 4); }

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(hostd_octets), cmocka_unit_test(gattd_octets) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
