/* How long a change waits for subscribers, what is kept apart meanwhile, and that no timer is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/gatt_world.h"

#define SECOND_NS 1000000000ull
#define TENTH_NS 100000000ull
enum { ECHO = 0x12, HEARD = 0x15, HEARD_CCCD = 0x16, ECHO_TOO = 0x20, BATTERY_CCCD = 0x33, SMALL = 110 };

static bool no_deadline(const struct gatt_world *w) { return gatt_core.deadline(&w->rig.step) == DEADLINE_NONE; }

/* All that was heard is taken; how much of it was `opcode` to `index`? */
static unsigned heard(struct gatt_world *w, uint16_t index, uint8_t opcode)
{
	struct bytes got;
	unsigned n = 0;
	uint16_t who;

	while ((got = gw_hear(w, &who, NULL)).at)
		n += who == index && got.at[0] == opcode;
	gw_forget(w);
	return n;
}

/* Clients 0 writer, 1 small writer, 2 on: subscribers to indications that have SMALL changes of one octet to come. */
static struct gatt_world *crowd(uint16_t subscribers)
{
	struct gatt_world *w = gw_new(2u + subscribers);

	for (uint16_t i = 0; i < 2 + subscribers; i++) {
		gw_connect(w, i);
		gw_mtu(w, i, 517);
		if (i > 1)
			gw_subscribe(w, i, HEARD_CCCD, 2);
	}
	for (unsigned i = 0; i < SMALL; i++) {
		gw_send(w, 1, 4, OCTETS_OF(0x52, ECHO, 0, 'x'));
		gw_forget(w);
	}
	assert_int_equal(gw_counter(w, "held"), 0);
	return w;
}

/* Time goes by in tenths of a second until `done`, at most 2 s; subscriber 2 confirms each 0.9 s, and with `small` client 1 goes on
 * writing.  Returns how many tenths. */
static unsigned tenths_until(struct gatt_world *w, bool small, bool (*done)(struct gatt_world *w))
{
	unsigned n = 0;

	for (; !done(w) && n < 20; n++) {
		gw_sleep(w, TENTH_NS);
		if (n % 9 == 8)
			gw_send(w, 2, 4, OCTETS_OF(0x1E));
		if (small)
			gw_send(w, 1, 4, OCTETS_OF(0x52, ECHO, 0, 'y'));
	}
	return n;
}

static bool is_written(struct gatt_world *w) { return heard(w, 0, 0x13) != 0; }
static bool is_set(struct gatt_world *w) { return w->replies != 0; }

static void test_slow_subscriber(void **state)
{
	uint8_t pdu[500] = { 0x12, ECHO, 0 };

	(void)state;
	for (unsigned small = 0; small < 2; small++) {
		struct gatt_world *w = crowd(1);

		gw_send(w, 0, 4, (struct bytes){ pdu, sizeof pdu });
		assert_int_equal(gw_counter(w, "held"), 1);
		assert_int_equal(tenths_until(w, small, is_written), 10);
		assert_int_equal(gw_counter(w, "stalls"), 1);
		gw_free(w);
		w = crowd(1);
		gw_forget(w);
		assert_int_equal(gw_set(w, 1, HEARD, (struct bytes){ pdu, 497 }), -1);
		assert_int_equal(tenths_until(w, small, is_set), 10);
		assert_int_equal(w->reply_result, 0);
		gw_free(w);
	}
}

/* One second for all of them together, not for each. */
static void test_many_slow_subscribers(void **state)
{
	struct gatt_world *w = crowd(40);
	uint8_t pdu[500] = { 0x12, ECHO, 0 };

	(void)state;
	gw_send(w, 0, 4, (struct bytes){ pdu, sizeof pdu });
	gw_sleep(w, SECOND_NS - 1);
	assert_int_equal(heard(w, 0, 0x13), 0);
	gw_sleep(w, 1);
	assert_int_equal(heard(w, 0, 0x13), 1);
	assert_int_equal(gw_counter(w, "stalls"), 40);
	assert_int_equal(gw_counter(w, "discarded"), 40);
	gw_forget(w);
	assert_int_equal(gw_set(w, 1, HEARD, OCTETS_OF('z')), 0);
	assert_int_equal(gw_counter(w, "discarded"), 80);	/* what an operator sets is missed, and counted, too */
	gw_free(w);
}

/* Whoever keeps up with less than a second for each change misses none, however long the queue is full. */
static void test_steady_subscriber(void **state)
{
	struct gatt_world *w = crowd(1);
	unsigned told;

	(void)state;
	for (unsigned i = 0; i < SMALL; i++) {
		for (unsigned k = 0; k < (i ? 2 : 80) && w->client[0].used_in < GW_WINDOW_IN / 2; k++)
			gw_put(w, 0, 4, OCTETS_OF(0x52, ECHO, 0, 1, 2, 3, 4, 5, 6, 7, 8));
		gw_sleep(w, TENTH_NS);
		gw_send(w, 2, 4, OCTETS_OF(0x1E));
		gw_forget(w);
	}
	for (told = 0; told < 4 * SMALL && gw_counter(w, "indications") > gw_counter(w, "confirmations"); told++)
		gw_send(w, 2, 4, OCTETS_OF(0x1E));
	assert_true(gw_counter(w, "held") > 1);
	assert_int_equal(gw_counter(w, "stalls"), 0);
	assert_int_equal(gw_counter(w, "discarded"), 0);
	assert_true(no_deadline(w));
	gw_free(w);
}

/* No timer survives what it was for: an idle worker sleeps. */
static void test_no_late_timers(void **state)
{
	struct gatt_world *w = gw_new(4);
	uint8_t pdu[500] = { 0x12, ECHO, 0 };

	(void)state;
	for (uint16_t i = 0; i < 3; i++)
		gw_connect(w, i);
	assert_true(no_deadline(w));
	gw_subscribe(w, 1, HEARD_CCCD, 2);
	gw_send(w, 0, 4, OCTETS_OF(0x52, ECHO, 0, 'x'));
	assert_true(gatt_core.deadline(&w->rig.step) == w->rig.now_ns + 30 * SECOND_NS);
	gw_subscribe(w, 2, HEARD_CCCD, 2);
	gw_sleep(w, SECOND_NS);
	assert_int_equal(gw_set(w, 1, HEARD, OCTETS_OF('y')), 0);
	gw_send(w, 1, 4, OCTETS_OF(0x1E));			/* 'x'; now 'y' is out to both, since now */
	assert_true(gatt_core.deadline(&w->rig.step) <= w->rig.now_ns + 30 * SECOND_NS);	/* maybe still that of 'x' */
	gw_send(w, 1, 4, OCTETS_OF(0x1E));
	assert_false(no_deadline(w));
	gw_disconnect(w, 2);
	assert_true(no_deadline(w));
	gw_free(w);

	w = crowd(1);					/* a change and a request that wait, until there is room */
	gw_send(w, 0, 4, (struct bytes){ pdu, sizeof pdu });
	gw_forget(w);
	gw_set(w, 1, HEARD, (struct bytes){ pdu, 400 });
	assert_true(gatt_core.deadline(&w->rig.step) == w->rig.now_ns + SECOND_NS);
	for (unsigned i = 0; i < SMALL + 2; i++)
		gw_send(w, 2, 4, OCTETS_OF(0x1E));
	assert_int_equal(w->replies, 1);
	assert_int_equal(gw_counter(w, "stalls"), 0);
	assert_true(no_deadline(w));
	gw_free(w);

	w = crowd(1);					/* until who waits has gone, and whom it waits for */
	gw_send(w, 0, 4, (struct bytes){ pdu, sizeof pdu });
	gw_disconnect(w, 0);
	gw_sleep(w, SECOND_NS);
	assert_true(gatt_core.deadline(&w->rig.step) == w->rig.now_ns + 29 * SECOND_NS);
	gw_disconnect(w, 2);
	assert_true(no_deadline(w));
	gw_free(w);
}

/* Two attributes that echo to the same one, in one Execute Write: one change of that one, to the later of the two. */
static void test_two_echoes_to_one(void **state)
{
	struct gatt_world *w = gw_new(2);
	struct bytes got;

	(void)state;
	gw_connect(w, 0);
	gw_connect(w, 1);
	gw_subscribe(w, 1, HEARD_CCCD, 1);
	gw_ask(w, 0, OCTETS_OF(0x16, ECHO, 0, 0, 0, 'a'), OCTETS_OF(0x17, ECHO, 0, 0, 0, 'a'), "the first");
	gw_ask(w, 0, OCTETS_OF(0x16, ECHO_TOO, 0, 0, 0, 'b', 'c'), OCTETS_OF(0x17, ECHO_TOO, 0, 0, 0, 'b', 'c'), "the second");
	gw_forget(w);
	gw_send(w, 0, 4, OCTETS_OF(0x18, 1));
	assert_int_equal(w->pdus, 2);
	got = gw_hear(w, NULL, NULL);
	assert_int_equal(got.at[0], 0x19);
	got = gw_hear(w, NULL, NULL);
	assert_int_equal(got.len, 5);
	assert_memory_equal(got.at, ((uint8_t[]){ 0x1B, HEARD, 0, 'b', 'c' }), 5);
	got = gw_value(w, HEARD);
	assert_int_equal(got.len, 2);
	got = gw_value(w, ECHO);
	assert_int_equal(got.at[0], 'a');
	gw_free(w);
}

/* A change is told over several turns; who has just room for it as it is now does not become another one in between. */
static void test_nothing_changes_in_a_spread(void **state)
{
	enum { LAST = 29 };
	struct gatt_world *w = gw_new(LAST + 1);
	uint8_t pdu[103] = { 0x12, ECHO, 0 };

	(void)state;
	for (uint16_t i = 0; i <= LAST; i++) {
		gw_connect(w, i);
		if (i)
			gw_subscribe(w, i, HEARD_CCCD, i == LAST ? 2 : 1);
	}
	gw_mtu(w, 0, 517);
	for (unsigned i = 0; i < 1 + 680 / 5; i++) {		/* 28 octets are left: 24 of value at the least MTU, 104 at another */
		gw_send(w, 0, 4, OCTETS_OF(0x52, ECHO, 0, 'x'));
		gw_forget(w);
	}
	gw_put(w, 0, 4, (struct bytes){ pdu, sizeof pdu });
	gw_put(w, LAST, 4, OCTETS_OF(0x02, 200, 0));
	gw_put(w, LAST - 1, 4, OCTETS_OF(0x12, HEARD_CCCD, 0, 0, 0));
	gw_put(w, LAST - 2, 4, OCTETS_OF(0x12, BATTERY_CCCD, 0, 1, 0));
	gw_run(w);
	assert_int_equal(gw_counter(w, "discarded"), 0);
	assert_int_equal(gw_counter(w, "stalls"), 0);
	assert_int_equal(gw_counter(w, "held"), 3);
	for (unsigned told = 0, answers = 0; w->pdus || told < LAST - 1 || answers < 4; ) {
		uint16_t who;
		struct bytes got = gw_hear(w, &who, NULL);

		assert_non_null(got.at);
		told += got.at[0] == 0x1B;
		if (got.at[0] == 0x1B)
			assert_int_equal(got.len, 23);
		answers += got.at[0] == 0x13 || got.at[0] == 0x03;
	}
	gw_send(w, 0, 4, OCTETS_OF(0x52, ECHO, 0, 'y'));
	assert_int_equal(heard(w, LAST - 1, 0x1B), 0);		/* it has unsubscribed, after that change */
	gw_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_subscriber), cmocka_unit_test(test_many_slow_subscribers),
		cmocka_unit_test(test_steady_subscriber), cmocka_unit_test(test_no_late_timers),
		cmocka_unit_test(test_two_echoes_to_one), cmocka_unit_test(test_nothing_changes_in_a_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
