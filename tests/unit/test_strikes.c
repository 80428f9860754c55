/* The ladder of strikes: which death counts, and what it leads to. */
#include <stdarg.h>
#include <setjmp.h>
#include <signal.h>
#include <cmocka.h>
#include "runtime/strikes.h"
#include "shm/stats.h"

static struct flight at(unsigned link, uint64_t position, uint64_t furthest, uint64_t consumed)
{
	struct flight f = { .what = link + 1, .position = position, .now_ns = 1000000000 };

	f.header = record_word((struct record){ .kind = RECORD_L2CAP_PDU, .index = 3, .generation = 5 });
	f.furthest[link] = furthest;
	f.consumed[link] = consumed;
	return f;
}

static void only_own_deaths_at_work_count(void **state)
{
	static const int own[] = { SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGSYS, SIGXCPU };
	static const int not_own[] = { 0, SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGPIPE };

	(void)state;
	for (unsigned i = 0; i < sizeof own / sizeof *own; i++) {
		assert_true(strike_counts(own[i], true));
		assert_false(strike_counts(own[i], false));
	}
	for (unsigned i = 0; i < sizeof not_own / sizeof *not_own; i++)
		assert_false(strike_counts(not_own[i], true));
}

static void a_record_climbs_the_ladder(void **state)
{
	struct strikes s = { 0 };
	struct flight f = at(LINK_UP, 4096, 4160, 4000);

	(void)state;
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	assert_int_equal(s.careful[LINK_UP], 4160);	/* the furthest of the dead batch */
	assert_int_equal(s.skip_link, 0);
	assert_true(strikes_pending(&s));
	f.consumed[LINK_UP] = 4096;
	assert_int_equal(strikes_add(&s, &f), STRIKE_SKIP);
	assert_int_equal(s.skip_link, LINK_UP + 1);
	assert_int_equal(s.skip_position, 4096);
	assert_int_equal(s.skip_rung, RUNG_SKIP_RECORD);
	assert_int_equal(strikes_add(&s, &f), STRIKE_RESET);
	assert_int_equal(s.skip_rung, RUNG_RESET_CONNECTION);
	assert_int_equal(strikes_add(&s, &f), STRIKE_COLD);
	strikes_cold(&s, f.now_ns);
	assert_int_equal(s.quarantined, 1);
	assert_false(strikes_pending(&s));
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	assert_int_equal(strikes_add(&s, &f), STRIKE_SKIP);
	assert_int_equal(strikes_add(&s, &f), STRIKE_RESET);
	assert_int_equal(strikes_add(&s, &f), STRIKE_GIVE_UP);	/* a second cold start within the window would be no help */
	assert_int_equal(s.total, 8);
}

static void the_second_strike_names_the_record(void **state)
{
	struct strikes s = { 0 };
	struct flight f = at(LINK_DOWN, 640, 1280, 64);

	(void)state;
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	f = at(LINK_DOWN, 320, 352, 320);	/* one record a step shows that it was another one */
	assert_int_equal(strikes_add(&s, &f), STRIKE_SKIP);
	assert_int_equal(s.skip_position, 320);
	assert_int_equal(s.careful[LINK_DOWN], 1280);
}

static void getting_past_the_place_is_forgiven(void **state)
{
	struct strikes s = { 0 };
	struct flight f = at(LINK_UP, 4096, 4160, 4000);

	(void)state;
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	f = at(LINK_UP, 9000, 9064, 8000);
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);	/* a first strike again */
	assert_int_equal(s.count, 1);
	assert_int_equal(s.careful[LINK_UP], 9064);
}

static void the_connection_of_a_quarantine_starts_higher(void **state)
{
	struct strikes s = { 0 };
	struct flight f = at(LINK_UP, 4096, 4160, 4096);

	(void)state;
	strikes_add(&s, &f);
	assert_int_equal(strikes_add(&s, &f), STRIKE_SKIP);
	f = at(LINK_UP, 8000, 8064, 8000);	/* past it; the same connection kills again */
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	assert_int_equal(strikes_add(&s, &f), STRIKE_RESET);
	assert_int_equal(s.quarantined, 2);
	f = at(LINK_UP, 9000, 9064, 9000);
	f.header = record_word((struct record){ .kind = RECORD_L2CAP_PDU, .index = 4, .generation = 1 });
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	assert_int_equal(strikes_add(&s, &f), STRIKE_SKIP);	/* another connection starts at the bottom */
}

/* transportd names data by its handle, generation 1: handle 0 is a connection, and another link's 0x40 is not this one's. */
static void data_of_the_controller_climbs_by_its_handle(void **state)
{
	struct strikes s = { 0 };
	struct flight f = at(LINK_UP, 4096, 4160, 4096);

	(void)state;
	f.header = record_word((struct record){ .kind = RECORD_HCI_ACL, .index = 0, .generation = 1 });
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	assert_int_equal(strikes_add(&s, &f), STRIKE_SKIP);
	f.position = 8000, f.furthest[LINK_UP] = 8064, f.consumed[LINK_UP] = 8000;
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	assert_int_equal(strikes_add(&s, &f), STRIKE_RESET);
	f.position = 9000, f.furthest[LINK_UP] = 9064, f.consumed[LINK_UP] = 9000;
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	assert_int_equal(strikes_add(&s, &f), STRIKE_COLD);
	s = (struct strikes){ 0 };
	strikes_add(&s, &f);
	assert_int_equal(strikes_add(&s, &f), STRIKE_SKIP);
	f = at(LINK_DOWN, 640, 704, 640);
	f.consumed[LINK_UP] = 9064;
	f.header = record_word((struct record){ .kind = RECORD_L2CAP_PDU, .index = 0, .generation = 1 });
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	assert_int_equal(strikes_add(&s, &f), STRIKE_SKIP);
}

static void a_death_without_a_record_leads_to_the_cold_start(void **state)
{
	struct strikes s = { 0 };
	struct flight f = { .what = 0xFF, .now_ns = 5000000000 };

	(void)state;
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	assert_int_equal(strikes_add(&s, &f), STRIKE_COLD);
	s = (struct strikes){ 0 };
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	f.now_ns += 11000000000ull;		/* a life of eleven seconds lies between */
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
}

/* Under load each step has records of its own, and they are got past: that does not hide what dies on time, again and again. */
static void progress_of_records_does_not_hide_a_death_on_time(void **state)
{
	struct strikes s = { 0 };
	struct flight f = at(LINK_UP, 4096, 4160, 4000);

	(void)state;
	f.what = 0xFF;
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	f.consumed[LINK_UP] = 8000;
	f.furthest[LINK_UP] = 8064;
	f.now_ns += 1000000;
	assert_int_equal(strikes_add(&s, &f), STRIKE_COLD);
	/* A record that kills after it is judged by itself. */
	s = (struct strikes){ 0 };
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	f.what = LINK_UP + 1;
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	assert_int_equal(strikes_add(&s, &f), STRIKE_SKIP);
}

static void a_new_generation_voids_positions(void **state)
{
	struct strikes s = { 0 };
	struct flight f = at(LINK_UP, 4096, 4160, 4096);

	(void)state;
	strikes_add(&s, &f);
	strikes_add(&s, &f);
	strikes_link_new(&s, LINK_DOWN);
	assert_int_equal(s.skip_link, LINK_UP + 1);
	assert_int_equal(s.count, 2);
	strikes_link_new(&s, LINK_UP);
	assert_false(strikes_pending(&s));
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);	/* a record of the new link is a first one */
}

/* Who was owned may have written anything: a position that no ring has would keep its heirs careful for ever, or hide each death. */
static void positions_that_lie_are_left_out(void **state)
{
	static const uint64_t size[STEP_LINKS] = { 4096, 65536, 0 }, tail[STEP_LINKS] = { 512, 100000, 0 };
	struct flight f = at(LINK_UP, 90000, 100000, 80000);
	struct strikes s = { 0 };

	(void)state;
	flight_check(&f, tail, size);
	assert_int_equal(f.what, LINK_UP + 1);
	assert_int_equal(f.furthest[LINK_UP], 100000);
	assert_int_equal(f.consumed[LINK_UP], 80000);
	f.position = 100008;			/* past what is there; and before what is there still; and between two records */
	flight_check(&f, tail, size);
	assert_int_equal(f.what, FLIGHT_ACT);
	f = at(LINK_UP, 100000 - 65536 - 8, UINT64_MAX, 100008);
	f.furthest[LINK_DOWN] = f.consumed[LINK_DOWN] = UINT64_MAX;
	f.consumed[LINK_SUPERVISOR] = 1ull << 63;
	flight_check(&f, tail, size);
	assert_int_equal(f.what, FLIGHT_ACT);
	for (unsigned l = 0; l < STEP_LINKS; l++) {
		assert_int_equal(f.furthest[l], 0);
		assert_int_equal(f.consumed[l], 0);
	}
	assert_int_equal(strikes_add(&s, &f), STRIKE_RETRY);
	assert_false(strikes_pending(&s));
	assert_int_equal(strikes_add(&s, &f), STRIKE_COLD);
	f = at(LINK_UP, 90001, 100000, 80000);
	flight_check(&f, tail, size);
	assert_int_equal(f.what, FLIGHT_ACT);
	f.what = STEP_LINKS + 1;		/* a link that is none */
	flight_check(&f, tail, size);
	assert_int_equal(f.what, STEP_LINKS + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_own_deaths_at_work_count),
		cmocka_unit_test(a_record_climbs_the_ladder),
		cmocka_unit_test(the_second_strike_names_the_record),
		cmocka_unit_test(getting_past_the_place_is_forgiven),
		cmocka_unit_test(the_connection_of_a_quarantine_starts_higher),
		cmocka_unit_test(data_of_the_controller_climbs_by_its_handle),
		cmocka_unit_test(a_death_without_a_record_leads_to_the_cold_start),
		cmocka_unit_test(progress_of_records_does_not_hide_a_death_on_time),
		cmocka_unit_test(a_new_generation_voids_positions),
		cmocka_unit_test(positions_that_lie_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
