/* What subscribers are told, when, and what happens where one of them does not keep up.  Core 5.4, Vol 3, Part F, 3.4.7, 3.3.3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "tests/lib/gatt_world.h"

#define SECOND_NS 1000000000ull
enum { ECHO = 0x12, HEARD = 0x15, HEARD_CCCD = 0x16 };

static void expect(struct gatt_world *w, uint16_t index, struct bytes pdu, const char *why)
{
	uint16_t who = 0xFFFF, cid;
	struct bytes got = gw_hear(w, &who, &cid);

	if (got.len != pdu.len || who != index || memcmp(got.at, pdu.at, pdu.len))
		fail_msg("%s: %zu octets (%02x ..) to %u, not %zu to %u", why, got.len, got.len ? got.at[0] : 0, who, pdu.len, index);
}
static void expect_silence(struct gatt_world *w, const char *why)
{
	if (w->pdus)
		fail_msg("%s: %u PDUs, the first %02x to %u", why, w->pdus, w->octets[w->heard[0].at], w->heard[0].index);
}

static void test_echo_notifies(void **state)
{
	struct gatt_world *w = gw_new(4);

	(void)state;
	for (uint16_t i = 0; i < 3; i++)
		gw_connect(w, i);
	gw_subscribe(w, 0, HEARD_CCCD, 1);
	gw_subscribe(w, 2, HEARD_CCCD, 1);
	gw_forget(w);
	gw_send(w, 0, 4, OCTETS_OF(0x12, ECHO, 0, 'a'));
	expect(w, 0, OCTETS_OF(0x13), "the answer first");
	expect(w, 0, OCTETS_OF(0x1B, HEARD, 0, 'a'), "then the writer's own notification");
	expect(w, 2, OCTETS_OF(0x1B, HEARD, 0, 'a'), "and the other subscriber's");
	expect_silence(w, "nobody else");
	gw_send(w, 1, 4, OCTETS_OF(0x52, ECHO, 0, 'b'));
	expect(w, 0, OCTETS_OF(0x1B, HEARD, 0, 'b'), "a command tells as well");
	expect(w, 2, OCTETS_OF(0x1B, HEARD, 0, 'b'), "both");
	gw_subscribe(w, 0, HEARD_CCCD, 0);
	gw_forget(w);
	gw_send(w, 1, 4, OCTETS_OF(0x52, ECHO, 0, 'c'));
	expect(w, 2, OCTETS_OF(0x1B, HEARD, 0, 'c'), "unsubscribed is unsubscribed");
	expect_silence(w, "no more");
	gw_disconnect(w, 2);
	gw_connect(w, 2);
	gw_forget(w);
	gw_send(w, 1, 4, OCTETS_OF(0x52, ECHO, 0, 'd'));
	expect_silence(w, "a subscription ends with its connection");
	gw_free(w);
}

static void test_truncation(void **state)
{
	struct gatt_world *w = gw_new(2);
	struct bytes got;
	uint8_t value[100] = { 0 }, pdu[103] = { 0x12, ECHO, 0 };
	uint16_t who;

	(void)state;
	gw_connect(w, 0);
	gw_connect(w, 1);
	gw_mtu(w, 0, 517);
	gw_subscribe(w, 0, HEARD_CCCD, 1);
	gw_subscribe(w, 1, HEARD_CCCD, 1);
	gw_forget(w);
	memcpy(pdu + 3, value, sizeof value);
	gw_send(w, 0, 4, (struct bytes){ pdu, sizeof pdu });
	expect(w, 0, OCTETS_OF(0x13), "written");
	got = gw_hear(w, &who, NULL);
	assert_int_equal(who, 0);
	assert_int_equal(got.len, 3 + 100);
	got = gw_hear(w, &who, NULL);
	assert_int_equal(who, 1);
	assert_int_equal(got.len, 23);		/* MTU - 3 octets of value */
	gw_free(w);
}

/* One indication at a time; what comes meanwhile waits, in order. */
static void test_indications(void **state)
{
	struct gatt_world *w = gw_new(2);

	(void)state;
	gw_connect(w, 0);
	gw_subscribe(w, 0, HEARD_CCCD, 2);
	gw_forget(w);
	gw_send(w, 0, 4, OCTETS_OF(0x52, ECHO, 0, 'a'));
	gw_send(w, 0, 4, OCTETS_OF(0x52, ECHO, 0, 'b'));
	gw_send(w, 0, 4, OCTETS_OF(0x52, ECHO, 0, 'c'));
	expect(w, 0, OCTETS_OF(0x1D, HEARD, 0, 'a'), "the first");
	expect_silence(w, "the others wait");
	gw_send(w, 0, 4, OCTETS_OF(0x0A, 0x17, 0));
	expect(w, 0, OCTETS_OF(0x0B, 'e', 'c', 'h', 'o'), "requests are served meanwhile");
	gw_sleep(w, 29 * SECOND_NS);
	gw_send(w, 0, 4, OCTETS_OF(0x1E));
	expect(w, 0, OCTETS_OF(0x1D, HEARD, 0, 'b'), "the next after the confirmation");
	gw_send(w, 0, 4, OCTETS_OF(0x1E));
	expect(w, 0, OCTETS_OF(0x1D, HEARD, 0, 'c'), "and the next");
	gw_send(w, 0, 4, OCTETS_OF(0x1E));
	gw_send(w, 0, 4, OCTETS_OF(0x1E));
	assert_int_equal(gw_counter(w, "unasked"), 1);
	gw_sleep(w, 60 * SECOND_NS);
	expect_silence(w, "no timeout of what was confirmed");
	assert_false(w->client[0].ended);
	gw_free(w);
}

static void test_confirmation_timeout(void **state)
{
	struct gatt_world *w = gw_new(2);

	(void)state;
	gw_connect(w, 0);
	gw_connect(w, 1);
	gw_subscribe(w, 0, HEARD_CCCD, 2);
	gw_subscribe(w, 1, HEARD_CCCD, 1);
	gw_forget(w);
	gw_send(w, 1, 4, OCTETS_OF(0x52, ECHO, 0, 'a'));
	gw_send(w, 1, 4, OCTETS_OF(0x52, ECHO, 0, 'b'));
	gw_forget(w);
	gw_sleep(w, 30 * SECOND_NS);
	assert_true(w->client[0].ended);
	assert_int_equal(gw_counter(w, "confirm_timeouts"), 1);
	gw_send(w, 0, 4, OCTETS_OF(0x1E));
	gw_send(w, 0, 4, OCTETS_OF(0x0A, 0x17, 0));
	expect_silence(w, "nothing more on that bearer");
	gw_send(w, 1, 4, OCTETS_OF(0x52, ECHO, 0, 'c'));
	expect(w, 1, OCTETS_OF(0x1B, HEARD, 0, 'c'), "the other one goes on");
	gw_free(w);
}

/* Both bits: told both ways, the notification first. */
static void test_both_bits(void **state)
{
	struct gatt_world *w = gw_new(1);

	(void)state;
	gw_connect(w, 0);
	gw_subscribe(w, 0, HEARD_CCCD, 3);
	gw_forget(w);
	gw_send(w, 0, 4, OCTETS_OF(0x52, ECHO, 0, 'a'));
	expect(w, 0, OCTETS_OF(0x1B, HEARD, 0, 'a'), "notified");
	expect(w, 0, OCTETS_OF(0x1D, HEARD, 0, 'a'), "indicated");
	gw_send(w, 0, 4, OCTETS_OF(0x52, ECHO, 0, 'b'));
	expect(w, 0, OCTETS_OF(0x1B, HEARD, 0, 'b'), "a notification does not wait for a confirmation");
	expect_silence(w, "the indication does");
	gw_send(w, 0, 4, OCTETS_OF(0x52, ECHO, 0, 'c'));
	expect_silence(w, "what is behind it waits too");
	gw_send(w, 0, 4, OCTETS_OF(0x1E));
	expect(w, 0, OCTETS_OF(0x1D, HEARD, 0, 'b'), "then in order");
	expect(w, 0, OCTETS_OF(0x1B, HEARD, 0, 'c'), "then in order");
	gw_send(w, 0, 4, OCTETS_OF(0x1E));
	expect(w, 0, OCTETS_OF(0x1D, HEARD, 0, 'c'), "to the end");
	gw_send(w, 0, 4, OCTETS_OF(0x1E));
	gw_free(w);
}

/* A subscriber whose link takes nothing: everything is told in order once it does, and until its queue is full nobody waits. */
static void test_due_keeps_order(void **state)
{
	struct gatt_world *w = gw_new(2);
	unsigned n = 0;

	(void)state;
	gw_connect(w, 0);
	gw_connect(w, 1);
	gw_subscribe(w, 1, HEARD_CCCD, 1);
	w->client[1].hold = true;
	gw_forget(w);
	for (; n < 900; n++) {
		gw_send(w, 0, 4, OCTETS_OF(0x12, ECHO, 0, (uint8_t)n, (uint8_t)(n >> 8)));
		if (gw_counter(w, "held"))
			break;
	}
	assert_in_range(n, (GW_WINDOW_OUT - 27) / 9 + GATT_DUE_OCTETS / 6, 620);		/* its window, then its queue */
	w->client[1].hold = false;
	gw_credit(w, 1);
	for (unsigned i = 0, answers = 0; i <= n || answers <= n; ) {
		uint16_t who;
		struct bytes got = gw_hear(w, &who, NULL);

		assert_non_null(got.at);
		if (who == 0) {
			assert_int_equal(got.at[0], 0x13);
			answers++;
			continue;
		}
		assert_int_equal(got.at[0], 0x1B);
		assert_int_equal(got.at[3] | got.at[4] << 8, i);
		i++;
	}
	expect_silence(w, "each once");
	assert_int_equal(gw_counter(w, "discarded"), 0);
	gw_free(w);
}

/* Fill client 1's window and queue by writes of client 0. */
static void fill(struct gatt_world *w)
{
	w->client[1].hold = true;
	for (unsigned n = 0; n < 1000 && !gw_counter(w, "held"); n++) {
		gw_forget(w);
		gw_send(w, 0, 4, OCTETS_OF(0x12, ECHO, 0, (uint8_t)n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16));
	}
	assert_int_equal(gw_counter(w, "held"), 1);
	expect_silence(w, "the answer waits with the change");
}

static void test_stalled_subscriber(void **state)
{
	struct gatt_world *w = gw_new(3);
	unsigned told = 0;

	(void)state;
	for (uint16_t i = 0; i < 3; i++)
		gw_connect(w, i);
	gw_subscribe(w, 1, HEARD_CCCD, 1);
	gw_subscribe(w, 2, HEARD_CCCD, 1);
	fill(w);
	gw_send(w, 2, 4, OCTETS_OF(0x0A, 0x17, 0));
	expect(w, 2, OCTETS_OF(0x0B, 'e', 'c', 'h', 'o'), "others are served");
	gw_send(w, 0, 4, OCTETS_OF(0x0A, 0x17, 0));
	expect_silence(w, "what the writer asked after its write waits behind it");
	gw_sleep(w, SECOND_NS - 1);
	expect_silence(w, "not yet a second");
	gw_forget(w);
	gw_sleep(w, 1);
	expect(w, 0, OCTETS_OF(0x13), "now the write is answered");
	for (unsigned answers = 0; w->pdus; ) {
		uint16_t who;
		struct bytes got = gw_hear(w, &who, NULL);

		assert_int_not_equal(who, 1);
		told += who == 2 && got.at[0] == 0x1B;
		answers += who == 0;
		assert_in_range(answers, 0, 1);
	}
	assert_int_equal(told, 1);
	assert_int_equal(gw_counter(w, "stalls"), 1);
	assert_int_equal(gw_counter(w, "discarded"), 1);
	gw_forget(w);
	gw_send(w, 0, 4, OCTETS_OF(0x12, ECHO, 0, 'z'));
	expect(w, 0, OCTETS_OF(0x13), "no second second for it");
	expect(w, 2, OCTETS_OF(0x1B, HEARD, 0, 'z'), "the other one is told");
	assert_int_equal(gw_counter(w, "discarded"), 2);
	w->client[1].hold = false;
	gw_credit(w, 1);
	gw_forget(w);
	gw_send(w, 0, 4, OCTETS_OF(0x12, ECHO, 0, 'y'));
	expect(w, 0, OCTETS_OF(0x13), "drained");
	expect(w, 1, OCTETS_OF(0x1B, HEARD, 0, 'y'), "it is told again");
	expect(w, 2, OCTETS_OF(0x1B, HEARD, 0, 'y'), "in the order of connections");
	gw_free(w);
}

/* A held change goes on when the one that it waits for leaves, or takes its credit back in time. */
static void test_held_until_room(void **state)
{
	struct gatt_world *w = gw_new(3);

	(void)state;
	gw_connect(w, 0);
	gw_connect(w, 1);
	gw_subscribe(w, 1, HEARD_CCCD, 1);
	fill(w);
	w->client[1].hold = false;
	gw_forget(w);
	gw_credit(w, 1);
	while (w->pdus) {
		uint16_t who;
		struct bytes got = gw_hear(w, &who, NULL);

		assert_true(who == 1 ? got.at[0] == 0x1B : got.at[0] == 0x13);
	}
	assert_int_equal(gw_counter(w, "notifications"), gw_counter(w, "pdus_in") - 1);
	assert_int_equal(gw_counter(w, "stalls"), 0);
	gw_free(w);

	w = gw_new(3);
	gw_connect(w, 0);
	gw_connect(w, 1);
	gw_subscribe(w, 1, HEARD_CCCD, 1);
	fill(w);
	gw_disconnect(w, 1);
	expect(w, 0, OCTETS_OF(0x13), "nobody to wait for");
	gw_free(w);
}

/* The confirmation that frees a client's own queue is not stuck behind the write that waits for it. */
static void test_own_confirmation(void **state)
{
	struct gatt_world *w = gw_new(1);
	unsigned heard = 0;

	(void)state;
	gw_connect(w, 0);
	gw_subscribe(w, 0, HEARD_CCCD, 2);
	for (unsigned n = 0; n < 100 && !gw_counter(w, "held"); n++)
		gw_send(w, 0, 4, OCTETS_OF(0x52, ECHO, 0, (uint8_t)n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16));
	assert_int_equal(gw_counter(w, "held"), 1);
	gw_forget(w);
	for (; heard < 200; heard++) {
		gw_send(w, 0, 4, OCTETS_OF(0x1E));
		if (!w->pdus)
			break;
		gw_forget(w);
	}
	assert_int_equal(heard + 1, gw_counter(w, "indications"));
	assert_int_equal(gw_counter(w, "indications"), gw_counter(w, "confirmations"));
	assert_int_equal(gw_counter(w, "stalls"), 0);
	gw_free(w);
}

/* More subscribers than one turn tells: each is told each change once, in order. */
static void test_spread(void **state)
{
	struct gatt_world *w = gw_new(40);
	unsigned told[40] = { 0 };

	(void)state;
	for (uint16_t i = 0; i < 40; i++) {
		gw_connect(w, i);
		if (i)
			gw_subscribe(w, i, HEARD_CCCD, 1);
	}
	gw_forget(w);
	for (unsigned n = 0; n < 5; n++)
		gw_put(w, 0, 4, OCTETS_OF(0x12, ECHO, 0, (uint8_t)n));
	gw_run(w);
	while (w->pdus) {
		uint16_t who;
		struct bytes got = gw_hear(w, &who, NULL);

		assert_int_equal(got.at[0], who ? 0x1B : 0x13);
		if (who)
			assert_int_equal(got.at[3], told[who]);
		told[who]++;
	}
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(told[i], 5);
	gw_ask(w, 0, OCTETS_OF(0x16, ECHO, 0, 0, 0, 'q'), OCTETS_OF(0x17, ECHO, 0, 0, 0, 'q'), "prepared");
	gw_forget(w);
	gw_send(w, 0, 4, OCTETS_OF(0x18, 1));
	expect(w, 0, OCTETS_OF(0x19), "executed");
	while (w->pdus) {
		uint16_t who;
		struct bytes got = gw_hear(w, &who, NULL);

		assert_int_equal(got.at[3], 'q');
		told[who]++;
	}
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(told[i], i ? 6 : 5);
	gw_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo_notifies), cmocka_unit_test(test_truncation), cmocka_unit_test(test_indications),
		cmocka_unit_test(test_confirmation_timeout), cmocka_unit_test(test_both_bits), cmocka_unit_test(test_due_keeps_order),
		cmocka_unit_test(test_stalled_subscriber), cmocka_unit_test(test_held_until_room), cmocka_unit_test(test_own_confirmation),
		cmocka_unit_test(test_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
