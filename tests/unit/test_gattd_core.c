/* gattd's core as a worker's shell sees it: configuration, links, windows, neighbours that lie, crashes, replay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/lib/gatt_world.h"

enum { ECHO = 0x12, HEARD = 0x15, HEARD_CCCD = 0x16 };

static void up_record(struct gatt_world *w, uint8_t kind, uint16_t index, uint16_t generation, struct bytes payload)
{
	rig_put(&w->rig, LINK_UP, (struct record){ .kind = kind, .index = index, .generation = generation }, payload);
	gw_run(w);
}

/* Ready once configured and linked, in either order; again for a supervisor that configures again. */
static void test_ready(void **state)
{
	struct gatt_world *w = gw_blank(2);

	(void)state;
	rig_attach(&w->rig, LINK_SUPERVISOR, 1);
	gw_configure(w);
	assert_int_equal(w->readies, 0);
	rig_attach(&w->rig, LINK_UP, 1);
	gw_run(w);
	assert_int_equal(w->readies, 1);
	rig_attach(&w->rig, LINK_SUPERVISOR, 2);
	gw_configure(w);
	assert_int_equal(w->readies, 2);
	gw_free(w);
}

/* A supervisor that comes back sends everything again: in the middle of it at first, and after values were written. */
static void test_configured_again(void **state)
{
	struct gatt_world *w = gw_blank(2);
	uint8_t attribute[64] = { CONFIG_ATTRIBUTE };
	struct wr o = wr_into(attribute + 1, sizeof attribute - 1);
	struct config_attribute m = { 1, 5, ATTRIBUTE_SERVICE, 0, 1, 0, 0, 2, 2, { 0x00, 0x28 }, OCTETS_OF(0x00, 0x18) };

	(void)state;
	rig_attach(&w->rig, LINK_SUPERVISOR, 1);
	rig_attach(&w->rig, LINK_UP, 1);
	config_attribute_encode(&m, &o);
	gw_supervisor(w, RECORD_CONFIG, (struct bytes){ attribute, 1 + wr_len(&o) });
	gw_run(w);
	rig_attach(&w->rig, LINK_SUPERVISOR, 2);
	gw_configure(w);
	assert_int_equal(w->failures, 0);
	gw_connect(w, 0);
	gw_subscribe(w, 0, HEARD_CCCD, 1);
	gw_ask(w, 0, OCTETS_OF(0x12, 0x24, 0, 'n', 'e', 'w'), OCTETS_OF(0x13), "written");
	rig_attach(&w->rig, LINK_SUPERVISOR, 3);
	gw_configure(w);
	gw_ask(w, 0, OCTETS_OF(0x0A, 0x24, 0), OCTETS_OF(0x0B, 'n', 'e', 'w'), "as written");
	gw_ask(w, 0, OCTETS_OF(0x0A, HEARD_CCCD, 0), OCTETS_OF(0x0B, 1, 0), "and subscribed");
	gw_free(w);
}

static void test_configuration_refused(void **state)
{
	struct gatt_world *w = gw_blank(2);

	(void)state;
	rig_attach(&w->rig, LINK_SUPERVISOR, 1);
	rig_attach(&w->rig, LINK_UP, 1);
	gw_supervisor(w, RECORD_CONFIG, OCTETS_OF(0x7F, 1, 2, 3));
	gw_supervisor(w, RECORD_CONFIG, OCTETS_OF(CONFIG_ATTRIBUTE, 1, 2, 3));
	gw_supervisor(w, RECORD_CONFIG, OCTETS_OF(CONFIG_ATT_SERVER, 22, 0));
	gw_supervisor(w, RECORD_CONFIG, OCTETS_OF());
	gw_supervisor(w, 0x7E, OCTETS_OF(1));
	gw_run(w);
	assert_int_equal(w->failures, 3);
	assert_int_equal(gw_counter(w, "config_refused"), 3);
	assert_int_equal(gw_counter(w, "records_bad"), 2);
	gw_free(w);
}

/* What hostd may use of its window comes back; it is never short of room for a request. */
static void test_window_in(void **state)
{
	struct gatt_world *w = gw_new(2);

	(void)state;
	gw_connect(w, 0);
	for (unsigned i = 0; i < 2000; i++) {
		gw_send(w, 0, 4, OCTETS_OF(0x52, 0x24, 0, 'x'));
		assert_true(w->client[0].used_in <= GW_WINDOW_IN / 4 + 8);
	}
	gw_free(w);
}

/* A request without room for its answer waits, and is answered in order. */
static void test_requests_wait_for_room(void **state)
{
	struct gatt_world *w = gw_new(2);
	unsigned asked = 0, heard = 0;

	(void)state;
	gw_connect(w, 0);
	gw_mtu(w, 0, 517);
	gw_forget(w);
	w->client[0].hold = true;
	for (; asked < 700; asked++)
		gw_send(w, 0, 4, OCTETS_OF(0x12, 0x24, 0, (uint8_t)asked));
	assert_in_range(w->pdus, 1, asked - 1);
	assert_int_equal(gw_value(w, 0x24).at[0], (uint8_t)(w->pdus - 1));
	w->client[0].hold = false;
	gw_credit(w, 0);
	while (gw_hear(w, NULL, NULL).at)
		heard++;
	assert_int_equal(heard, asked);
	assert_int_equal(gw_value(w, 0x24).at[0], (uint8_t)(asked - 1));
	gw_free(w);
}

static void test_small_window(void **state)
{
	struct gatt_world *w = gw_new(2);

	(void)state;
	w->window_out = 60;
	gw_connect(w, 0);
	gw_ask(w, 0, OCTETS_OF(2, 5, 2), OCTETS_OF(3, 56, 0), "no MTU that its window could not take");
	gw_subscribe(w, 0, HEARD_CCCD, 1);
	gw_forget(w);
	for (unsigned i = 0; i < 50; i++)
		gw_send(w, 0, 4, OCTETS_OF(0x12, ECHO, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20));
	assert_int_equal(w->pdus, 100);
	gw_free(w);
	w = gw_new(2);
	w->window_out = 20;
	gw_connect(w, 0);
	assert_true(w->client[0].ended);
	assert_int_equal(gw_counter(w, "records_bad"), 1);
	w->client[0].there = false;
	gw_free(w);
}

/* hostd goes beyond its window: that connection is lost, no memory is. */
static void test_overrun(void **state)
{
	enum { MANY = 20, LAST = MANY - 1 };	/* the last one's window is the base alone: the first had a part of the rest */
	struct gatt_world *w = gw_new(MANY);
	uint8_t big[2100] = { 4, 0, 0x0A, 3, 0 };

	(void)state;
	for (uint16_t i = 0; i < MANY; i++)
		gw_connect(w, i);
	assert_true(w->client[0].used_in < 0);
	assert_int_equal(w->client[LAST].used_in, 0);
	up_record(w, RECORD_L2CAP_PDU, LAST, w->client[LAST].generation, (struct bytes){ big, 2100 });
	assert_true(w->client[LAST].ended);
	assert_int_equal(gw_counter(w, "overruns"), 1);
	gw_ask(w, 1, OCTETS_OF(0x0A, 0x17, 0), OCTETS_OF(0x0B, 'e', 'c', 'h', 'o'), "the other one lives");
	gw_free(w);
}

static void test_stale_and_bad(void **state)
{
	struct gatt_world *w = gw_new(2);
	uint16_t generation;

	(void)state;
	gw_connect(w, 0);
	generation = w->client[0].generation;
	up_record(w, RECORD_L2CAP_PDU, 0, (uint16_t)(generation + 2), OCTETS_OF(4, 0, 0x0A, 3, 0));
	up_record(w, RECORD_L2CAP_PDU, 1, 1, OCTETS_OF(4, 0, 0x0A, 3, 0));
	up_record(w, RECORD_L2CAP_PDU, 0xFFFF, 1, OCTETS_OF(4, 0, 0x0A, 3, 0));
	up_record(w, RECORD_CREDIT, 0, (uint16_t)(generation - 2), OCTETS_OF(1, 0, 0, 0));
	up_record(w, RECORD_DISCONNECTED, 0, (uint16_t)(generation - 2), OCTETS_OF(0x13));
	assert_int_equal(gw_counter(w, "records_stale"), 5);
	up_record(w, RECORD_L2CAP_PDU, 0, generation, OCTETS_OF(4));
	up_record(w, RECORD_CREDIT, 0, generation, OCTETS_OF(1, 0, 0));
	up_record(w, 0x77, 0, generation, OCTETS_OF(1, 0, 0));
	assert_int_equal(gw_counter(w, "records_bad"), 3);
	up_record(w, RECORD_CREDIT, 0, generation, OCTETS_OF(0xFF, 0xFF, 0xFF, 0xFF));
	assert_int_equal(gw_counter(w, "credits_bad"), 1);
	up_record(w, RECORD_CONNECTED, 7, 1, OCTETS_OF(1));
	assert_int_equal(w->pdus, 0);
	gw_ask(w, 0, OCTETS_OF(0x0A, 0x17, 0), OCTETS_OF(0x0B, 'e', 'c', 'h', 'o'), "the connection lives");
	gw_free(w);
}

/* A connection where one is: the old one is gone, with its subscriptions. */
static void test_replaced(void **state)
{
	struct gatt_world *w = gw_new(2);

	(void)state;
	gw_connect(w, 0);
	gw_subscribe(w, 0, HEARD_CCCD, 1);
	gw_mtu(w, 0, 100);
	gw_connect(w, 0);
	assert_int_equal(gw_counter(w, "replaced"), 1);
	assert_int_equal(arena_live(&w->rig.arena, POOL_bearer), 1);
	gw_ask(w, 0, OCTETS_OF(0x0A, HEARD_CCCD, 0), OCTETS_OF(0x0B, 0, 0), "a new client");
	gw_ask(w, 0, OCTETS_OF(2, 50, 0), OCTETS_OF(3, 5, 2), "with an MTU to exchange");
	gw_free(w);
}

/* hostd's link begins anew: all its connections are gone at once, their memory soon; the seats take others meanwhile. */
static void test_link_lost(void **state)
{
	struct gatt_world *w = gw_new(40);

	(void)state;
	for (uint16_t i = 0; i < 40; i++) {
		gw_connect(w, i);
		gw_subscribe(w, i, HEARD_CCCD, 2);
	}
	gw_send(w, 0, 4, OCTETS_OF(0x52, ECHO, 0, 'x'));
	gw_forget(w);
	rig_attach(&w->rig, LINK_UP, 2);
	for (uint16_t i = 0; i < 40; i++)
		w->client[i].there = false;
	gw_connect(w, 3);
	assert_int_equal(w->readies, 2);
	gw_run(w);
	assert_int_equal(arena_live(&w->rig.arena, POOL_bearer), 1);
	gw_ask(w, 3, OCTETS_OF(0x0A, HEARD_CCCD, 0), OCTETS_OF(0x0B, 0, 0), "nothing of the old one");
	gw_sleep(w, 60000000000ull);
	assert_int_equal(gw_counter(w, "confirm_timeouts"), 0);
	gw_free(w);
}

static void test_poison(void **state)
{
	struct gatt_world *w = gw_new(3);
	struct record r = { .len = 5, .kind = RECORD_L2CAP_PDU };

	(void)state;
	for (uint16_t i = 0; i < 3; i++)
		gw_connect(w, i);
	r.generation = w->client[0].generation;
	gatt_core.on_poison(&w->rig.step, LINK_UP, &r, RUNG_SKIP_RECORD);
	step_commit(&w->rig.step);
	gw_run(w);
	assert_true(w->client[0].ended);
	assert_int_equal(arena_live(&w->rig.arena, POOL_bearer), 3);
	r.index = 1;
	r.generation = w->client[1].generation;
	gatt_core.on_poison(&w->rig.step, LINK_UP, &r, RUNG_RESET_CONNECTION);
	step_commit(&w->rig.step);
	gw_run(w);
	assert_true(w->client[1].ended);
	assert_int_equal(arena_live(&w->rig.arena, POOL_bearer), 2);
	w->client[1].there = false;
	gatt_core.on_poison(&w->rig.step, LINK_SUPERVISOR, &(struct record){ .kind = RECORD_REQUEST }, RUNG_SKIP_RECORD);
	step_commit(&w->rig.step);
	gw_ask(w, 2, OCTETS_OF(0x0A, 0x17, 0), OCTETS_OF(0x0B, 'e', 'c', 'h', 'o'), "the third lives");
	gw_free(w);
}

/* ---- the same story, told again ---- */
static uint32_t dice_state;
static uint32_t dice(uint32_t sides)
{
	dice_state = dice_state * 1664525u + 1013904223u;
	return (dice_state >> 8) % sides;
}

static void random_octets(struct gatt_world *w, uint16_t index)
{
	static const uint8_t opcodes[] = { 0x02, 0x04, 0x06, 0x08, 0x0A, 0x0C, 0x0E, 0x10, 0x12, 0x16, 0x18, 0x1D, 0x1E, 0x20, 0x52, 0xD2 };
	static const uint8_t handles[] = { ECHO, HEARD, HEARD_CCCD, 0x24, 0x20, 0x33, 0x19, 0x1A, 0x13, 0x01 };
	uint8_t pdu[80];
	size_t len = 1 + dice(dice(4) ? 24 : 80);

	for (size_t i = 0; i < sizeof pdu; i++)
		pdu[i] = (uint8_t)dice(dice(2) ? 4 : 256);
	pdu[0] = dice(20) ? opcodes[dice(sizeof opcodes)] : (uint8_t)dice(256);
	pdu[1] = handles[dice(sizeof handles)];
	pdu[2] = 0;
	gw_put(w, index, dice(30) ? 4 : 6, (struct bytes){ pdu, len });
}

static void random_pdu(struct gatt_world *w, uint16_t index)
{
	uint8_t value[23] = { 0x52, ECHO, 0 };

	if (w->client[index].used_in + 80 + 4 > GW_WINDOW_IN)
		return;
	value[0] = dice(2) ? 0x52 : 0x12;
	value[3] = (uint8_t)dice(256);
	switch (dice(8)) {
	case 0: gw_put(w, index, 4, OCTETS_OF(0x12, HEARD_CCCD, 0, (uint8_t)dice(4), 0)); break;
	case 1: case 2: gw_put(w, index, 4, OCTETS_OF(0x1E)); break;
	case 3: random_octets(w, index); break;
	default: gw_put(w, index, 4, (struct bytes){ value, 3 + dice(21) });
	}
}

static void random_request(struct gatt_world *w, unsigned n)
{
	struct request_gatt_set m = { .handle = dice(2) ? HEARD : 0x19, .value = OCTETS_OF((uint8_t)n, 1, 2, 3, 4, 5, 6, 7) };
	uint8_t buf[64];
	struct wr o = wr_into(buf, sizeof buf);

	m.value.len = dice(9);
	wr_le(&o, dice(300), 8);
	wr_le(&o, 0, 8);
	wr_le(&o, REQUEST_GATT_SET, 1);
	request_gatt_set_encode(&m, &o);
	gw_supervisor(w, RECORD_REQUEST, (struct bytes){ buf, wr_len(&o) });
}

/* One day: the same events for the same seed, with commits after so many records; with `crashes`, steps are cut off on the way. */
static struct gatt_world *live(uint32_t seed, unsigned commit_every, bool crashes)
{
	struct gatt_world *w = gw_new(6);
	uint32_t fate = seed * 7 + 1;

	dice_state = seed;
	w->commit_every = commit_every;
	for (unsigned n = 0; n < 4000; n++) {
		uint16_t index = (uint16_t)dice(6);
		struct client *c = &w->client[index];

		if (!c->there)
			gw_connect(w, index);
		else if (c->ended || !dice(500))
			gw_disconnect(w, index);
		else if (!dice(25))
			random_request(w, n);
		else if (!dice(100))
			c->hold = !c->hold;
		else
			random_pdu(w, index);
		if (!c->hold && c->there && c->owed)
			gw_credit(w, index);
		if (crashes && (fate = fate * 1664525u + 1013904223u) >> 28 == 0)
			rig_crash(&w->rig);
		if (!dice(5)) {
			gw_run(w);
			gw_forget(w);
		}
		if (!dice(200))
			gw_sleep(w, dice(10) ? dice(40) * 100000000ull : 31000000000ull);
	}
	gw_run(w);
	return w;
}

/* Killed anywhere, in whatever batches: the same arena, octet by octet, and the same output in the same order.  Each world lies at
 * an address of its own. */
static void test_replay(void **state)
{
	static const char *const seen[] = { "held", "stalls", "discarded", "confirmations", "confirm_timeouts", "requests_repeated", "smp_refused" };
	uint64_t sum[ARRAY_LEN(seen)] = { 0 };

	(void)state;
	for (uint32_t seed = 1; seed <= 8; seed++) {
		struct gatt_world *one = live(seed, 1, false), *other = live(seed, 1, true);

		assert_string_equal(arena_compare(&one->rig.arena, other->rig.arena.at), "");
		assert_true(one->stream == other->stream);
		gw_free(other);
		other = live(seed, 32, seed & 1);
		assert_string_equal(arena_compare(&one->rig.arena, other->rig.arena.at), "");
		assert_true(one->stream == other->stream);
		gw_free(other);
		for (unsigned i = 0; i < ARRAY_LEN(seen); i++)
			sum[i] += gw_counter(one, seen[i]);
		gw_free(one);
	}
	for (unsigned i = 0; i < ARRAY_LEN(seen); i++)	/* that the days were eventful */
		if (!sum[i])
			fail_msg("no %s", seen[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ready), cmocka_unit_test(test_configured_again), cmocka_unit_test(test_configuration_refused),
		cmocka_unit_test(test_window_in), cmocka_unit_test(test_requests_wait_for_room), cmocka_unit_test(test_small_window),
		cmocka_unit_test(test_overrun), cmocka_unit_test(test_stale_and_bad), cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_link_lost), cmocka_unit_test(test_poison), cmocka_unit_test(test_replay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
