/* Supervisors and workers under load and under fire: each number sent down comes back once, in order, whoever dies. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/lib/nest.h"
#include "tests/lib/toy.h"

enum { UP, DOWN };
static const char *const both[] = { "toyup", "toydown" };

static struct toy_report report(struct nest *n, unsigned child)
{
	struct nest_status st;
	struct toy_report r;

	for (unsigned i = 0; i < 200; i++) {	/* while a worker is away its part of the status is missing */
		assert_true(nest_status(n, child, &st));
		if (toy_report_decode(st.core, &r))
			return r;
		nest_sleep_ms(5);
	}
	fail_msg("no core answers in %s", n->child[child].name);
	abort();
}

static void load_until(struct nest *n, uint64_t number)
{
	uint8_t order[9] = { 'L' };

	for (unsigned i = 0; i < 8; i++)
		order[1 + i] = (uint8_t)(number >> 8 * i);
	assert_true(nest_order(n, UP, order, sizeof order));
}

static void expect_all(struct nest *n, uint64_t number)
{
	struct toy_report up, down;

	for (unsigned i = 0; i < 4000; i++) {
		up = report(n, UP);
		if (up.back == number || up.errors)
			break;
		nest_sleep_ms(5);
	}
	down = report(n, DOWN);
	assert_int_equal(up.errors, 0);
	assert_int_equal(down.errors, 0);
	assert_int_equal(up.sent, number);
	assert_int_equal(up.back, number);
	assert_int_equal(down.back, number);
}

static unsigned worker_of(struct nest *n, unsigned child)
{
	struct nest_status st;

	for (unsigned i = 0; i < 1000; i++) {
		assert_true(nest_status(n, child, &st));
		if (st.worker_pid)
			return st.worker_pid;
		nest_sleep_ms(1);
	}
	fail_msg("no worker");
	abort();
}

static void numbers_come_back_in_order(void **state)
{
	static struct nest n;
	struct nest_status st;

	(void)state;
	nest_open(&n, both);
	nest_wait_ready(&n);
	load_until(&n, 100000);
	expect_all(&n, 100000);
	for (unsigned c = 0; c < 2; c++) {
		assert_true(nest_status(&n, c, &st));
		assert_string_equal(st.state, "running");
		assert_int_equal(st.restarts, 0);
		assert_int_equal(st.generation, 1);
		assert_true(st.worker_pid && st.worker_pid != st.pid);
	}
	nest_close(&n);
}

/* Numbers flow all the time; `victim` picks whom the i-th kill hits. */
static void fire(struct nest *n, unsigned kills, bool supervisors)
{
	const uint64_t far = 1ull << 40;
	struct toy_report r;
	struct nest_status st;
	uint64_t before = 0;
	unsigned hit[2] = { 0, 0 };

	nest_open(n, both);
	nest_wait_ready(n);
	load_until(n, far);
	for (unsigned i = 0; i < kills; i++) {
		unsigned c = i % 2;

		nest_sleep_ms(10 + (i * 7) % 23);
		kill(supervisors ? n->child[c].pid : (pid_t)worker_of(n, c), SIGKILL);
		hit[c]++;
		for (unsigned k = 0; k < 5000; k++) {	/* until it has been noticed: a dead one is not killed again */
			if (nest_status(n, c, &st) && st.restarts == hit[c])
				break;
			nest_sleep_ms(1);
		}
		r = report(n, UP);
		assert_int_equal(r.errors, 0);
		assert_true(r.back >= before);
		before = r.back;
	}
	for (unsigned i = 0; i < 1000 && (r = report(n, UP), r.back <= before); i++)
		nest_sleep_ms(5);
	assert_true(r.back > before);		/* it goes on */
	load_until(n, r.sent + 1000);		/* at least what is under way now */
	for (unsigned i = 0; i < 2000 && (r = report(n, UP), r.back != r.sent || r.sent < before); i++)
		nest_sleep_ms(5);
	nest_sleep_ms(20);
	r = report(n, UP);
	expect_all(n, r.sent);
	for (unsigned c = 0; c < 2; c++) {
		assert_true(nest_status(n, c, &st));
		assert_int_equal(st.restarts, hit[c]);
		assert_int_equal(st.strikes, 0);	/* SIGKILL never counts */
		assert_int_equal(st.generation, 1);	/* the same memory all the time */
		print_message("%s: %u kills, last outage %llu us\n", n->child[c].name, hit[c], (unsigned long long)st.outage_us);
	}
	print_message("numbers: %llu\n", (unsigned long long)r.back);
	nest_close(n);
}

static void workers_die_and_nothing_is_lost(void **state)
{
	static struct nest n;

	(void)state;
	fire(&n, 40, false);
}

static void supervisors_die_and_nothing_is_lost(void **state)
{
	static struct nest n;

	(void)state;
	fire(&n, 40, true);
}

/* Anybody, at any moment: a worker that is not ready yet, a supervisor that is just taking over. */
static void kills_at_random_moments(void **state)
{
	static struct nest n;
	unsigned kills = getenv("KILLS") ? (unsigned)atoi(getenv("KILLS")) : 150, seed = (unsigned)getpid();
	struct nest_status st;
	struct toy_report r;
	pid_t pid;

	(void)state;
	print_message("seed %u\n", seed);
	nest_open(&n, both);
	nest_wait_ready(&n);
	load_until(&n, 1ull << 40);
	for (unsigned i = 0; i < kills; i++) {
		usleep((unsigned)rand_r(&seed) % 6000);
		pid = n.child[rand_r(&seed) % 2].pid;
		if (pid && rand_r(&seed) % 3)
			kill(pid, SIGKILL);
		else if (nest_status(&n, (unsigned)rand_r(&seed) % 2, &st) && st.worker_pid)
			kill((pid_t)st.worker_pid, SIGKILL);
		if (i % 16 == 15) {
			r = report(&n, UP);
			assert_int_equal(r.errors, 0);
			assert_int_equal(r.links, 1);
		}
	}
	r = report(&n, UP);
	load_until(&n, r.sent);
	for (unsigned i = 0; i < 2000 && (r = report(&n, UP), r.back != r.sent); i++)
		nest_sleep_ms(5);
	expect_all(&n, r.sent);
	assert_int_equal(report(&n, DOWN).links, 1);
	print_message("numbers: %llu, lives of supervisors: %u and %u\n", (unsigned long long)r.back, n.child[UP].starts,
	    n.child[DOWN].starts);
	nest_close(&n);
}

static void wait_for_poisons(struct nest *n, uint64_t poisons)
{
	for (unsigned i = 0; i < 2000 && report(n, DOWN).poisons != poisons; i++)
		nest_sleep_ms(5);
	assert_int_equal(report(n, DOWN).poisons, poisons);
}

static void a_record_that_kills_twice_is_quarantined(void **state)
{
	static struct nest n;
	struct nest_status st;

	(void)state;
	nest_open(&n, both);
	nest_wait_ready(&n);
	load_until(&n, 50000);
	assert_true(nest_order(&n, UP, "P", 1));
	wait_for_poisons(&n, 1);
	expect_all(&n, 50000);			/* what lay around it came through, in order */
	assert_true(nest_status(&n, DOWN, &st));
	assert_int_equal(st.strikes, 2);
	assert_int_equal(st.quarantined, 1);
	assert_int_equal(st.restarts, 2);
	/* Its connection again: a rung higher, the state of the connection goes too. */
	assert_true(nest_order(&n, UP, "P", 1));
	wait_for_poisons(&n, 1001);
	load_until(&n, 60000);
	expect_all(&n, 60000);
	assert_true(nest_status(&n, DOWN, &st));
	assert_int_equal(st.quarantined, 2);
	nest_close(&n);
}

__attribute__((unused)) static void a_record_that_spins_is_ended_by_the_watchdog(void **state)
{
	static struct nest n;
	struct nest_status st;

	(void)state;
	nest_open(&n, both);
	nest_wait_ready(&n);
	assert_true(nest_order(&n, UP, "W", 1));
	for (unsigned i = 0; i < 100; i++) {
		assert_true(nest_status(&n, DOWN, &st));
		if (st.quarantined)
			break;
		nest_sleep_ms(100);
	}
	assert_int_equal(st.quarantined, 1);
	load_until(&n, 1000);
	expect_all(&n, 1000);
	nest_close(&n);
}

static void an_operator_replaces_a_worker_under_load(void **state)
{
	static struct nest n;
	struct nest_status st;
	unsigned was;

	(void)state;
	nest_open(&n, both);
	nest_wait_ready(&n);
	load_until(&n, 300000);
	for (unsigned i = 0; i < 6; i++) {
		was = worker_of(&n, i % 2);
		assert_true(nest_restart(&n, i % 2));
		assert_int_not_equal(worker_of(&n, i % 2), was);
	}
	expect_all(&n, 300000);
	for (unsigned c = 0; c < 2; c++) {
		assert_true(nest_status(&n, c, &st));
		assert_int_equal(st.restarts, 3);
		assert_int_equal(st.strikes, 0);
	}
	nest_close(&n);
}

/* Arguments: the two programs, or a worker of theirs. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_come_back_in_order),
		cmocka_unit_test(workers_die_and_nothing_is_lost),
		cmocka_unit_test(supervisors_die_and_nothing_is_lost),
		cmocka_unit_test(kills_at_random_moments),
		cmocka_unit_test(a_record_that_kills_twice_is_quarantined),
#ifndef __SANITIZE_THREAD__	/* ThreadSanitizer holds signals back until a library call, and a spin has none */
		cmocka_unit_test(a_record_that_spins_is_ended_by_the_watchdog),
#endif
		cmocka_unit_test(an_operator_replaces_a_worker_under_load),
	};
	int code = toy_main(argc, argv);

	if (code >= 0)
		return code;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
