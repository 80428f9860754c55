/* A supervisor's doorbells: rung at once, and a supervisor that cannot ring one ends, so that its end wakes who sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>
#include "runtime/supervisor_private.h"

static struct supervisor *open_one(int *ret_bell)
{
	static struct supervisor s;

	memset(&s, 0, sizeof s);
	assert_int_equal(loop_open(0, &s.loop), 0);
	*ret_bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(*ret_bell >= 0);
	return &s;
}
static void close_one(struct supervisor *s, int bell)
{
	loop_close(s->loop);
	close(bell);
}
static uint64_t rung(int bell)
{
	uint64_t n = 0;

	return read(bell, &n, sizeof n) == sizeof n ? n : 0;
}
/* The kernel takes nothing from this loop any more. */
static void break_loop(struct supervisor *s)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_true(null >= 0);
	assert_int_equal(dup2(null, loop_fd(s->loop)), loop_fd(s->loop));
	close(null);
}

/* The worker may be gone, and the descriptor closed, before the loop turns again. */
static void a_bell_is_rung_before_the_next_turn(void **state)
{
	int bell;
	struct supervisor *s = open_one(&bell);

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		sup_kick(s, bell);
		assert_int_equal(rung(bell), 1);
	}
	assert_false(s->ending);
	close_one(s, bell);
}

static void who_cannot_ring_ends(void **state)
{
	int bell;
	struct supervisor *s = open_one(&bell);

	(void)state;
	break_loop(s);
	for (unsigned i = 0; i < 300; i++) {		/* until the queue is full of what does not leave, and beyond */
		s->ending = false;
		s->exit_code = 0;
		sup_kick(s, bell);
		assert_true(s->ending);
		assert_int_equal(s->exit_code, 1);
	}
	assert_int_equal(rung(bell), 0);
	close_one(s, bell);
}

static void an_end_that_is_under_way_stays_a_clean_one(void **state)
{
	int bell;
	struct supervisor *s = open_one(&bell);

	(void)state;
	sup_end(s, 0);
	break_loop(s);
	sup_kick(s, bell);
	assert_true(s->ending);
	assert_int_equal(s->exit_code, 0);
	close_one(s, bell);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bell_is_rung_before_the_next_turn),
		cmocka_unit_test(who_cannot_ring_ends),
		cmocka_unit_test(an_end_that_is_under_way_stays_a_clean_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
