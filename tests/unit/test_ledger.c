/* The ledger over a supervisor's death. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <fcntl.h>
#include <unistd.h>
#include <cmocka.h>
#include "runtime/ledger.h"

static void what_was_written_is_there_again(void **state)
{
	struct segment s, t;
	struct ledger *l, *m;
	int fd;

	(void)state;
	assert_int_equal(ledger_create(&s, &l), 0);
	assert_int_equal(ledger_restarts(l), 0);
	l->starts = 3;
	l->restarts = 4;
	ledger_link_open(l, LINK_UP, 7, 65536);
	l->formed = 1;
	fd = fcntl(s.fd, F_DUPFD_CLOEXEC, 0);
	segment_close(&s);
	assert_int_equal(ledger_open(fd, &t, &m), 0);
	assert_int_equal(ledger_restarts(m), 6);	/* four workers, and two supervisors */
	assert_int_equal(m->link[LINK_UP].generation, 7);
	assert_int_equal(m->link[LINK_UP].size, 65536);
	ledger_link_drop(m, LINK_UP);
	assert_int_equal(m->link[LINK_UP].generation, 0);
	assert_int_equal(m->link[LINK_UP].highest, 7);	/* so that no generation is used twice */
	segment_close(&t);
}

static void a_foreign_segment_is_refused(void **state)
{
	struct segment s, t;
	struct ledger *l;

	(void)state;
	assert_int_equal(segment_create("other", sizeof *l, &s), 0);
	assert_int_equal(ledger_open(fcntl(s.fd, F_DUPFD_CLOEXEC, 0), &t, &l), LEDGER_E_FOREIGN);
	segment_close(&s);
	assert_int_equal(segment_create("other", 1 << 20, &s), 0);
	assert_int_equal(ledger_open(fcntl(s.fd, F_DUPFD_CLOEXEC, 0), &t, &l), LEDGER_E_FOREIGN);
	segment_close(&s);
	assert_int_equal(ledger_create(&s, &l), 0);
	l->version++;
	assert_int_equal(ledger_open(fcntl(s.fd, F_DUPFD_CLOEXEC, 0), &t, &l), LEDGER_E_FOREIGN);
	segment_close(&s);
	assert_true(ledger_open(open("/dev/null", O_RDWR | O_CLOEXEC), &t, &l) != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_there_again),
		cmocka_unit_test(a_foreign_segment_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
