/* airsim: ACL data, credits, procedures on a connection, and hosts that vanish.  Byte scripts in virtual time. */
#include "tests/unit/airsim_world.h"

#define COMPLETED(n) "04 13 05 01 01 00 " n " 00 "
#define OK4(op) "04 0E 04 01 " op " 00 "

struct pair { struct world *w; int c, p; };	/* a central and a peripheral, connected; both handles are 1 */

static struct pair pair_of(struct air_config g)
{
	struct pair t = { .w = world_new(g, (struct air_faults){ 0 }) };

	t.c = host_new(t.w);
	t.p = host_new(t.w);
	assert_int_equal(connect_two(t.w, t.c, t.p), 0x00010001);
	return t;
}

static struct pair pair_new(void) { return pair_of(air_config_default()); }

/* Fragments cross as they are; a start reads as a start from a controller (PB 2); completed only after it was taken. */
static void test_credit_comes_when_the_far_host_took_it(void **state)
{
	struct pair t = pair_new();

	(void)state;
	say(t.w, t.c, "02 01 00 03 00 AA BB CC  02 01 10 01 00 DD");
	hear(t.w, t.c, "");				/* nothing is completed yet */
	assert_int_equal(take(t.w, t.p, 7), 7);		/* all of the first but one octet */
	hear(t.w, t.c, "");
	assert_int_equal(take(t.w, t.p, 1), 1);
	hear(t.w, t.c, COMPLETED("01"));
	hear(t.w, t.p, "02 01 10 01 00 DD");
	hear(t.w, t.c, COMPLETED("01"));
	say(t.w, t.p, "02 01 00 01 00 11 02 01 10 01 00 22");	/* and the other way */
	hear(t.w, t.c, "02 01 20 01 00 11 02 01 10 01 00 22");
	hear(t.w, t.p, COMPLETED("02"));
	assert_int_equal(air_counters(t.w->air)->acl_forwarded, 4);
	world_end(t.w);
}

/* A host that does not read holds 8 packets of its neighbour; more than the credits is dropped, told and counted. */
static void test_bounded(void **state)
{
	struct pair t = pair_new();
	uint32_t used;

	(void)state;
	for (int i = 0; i < 8; i++)
		say(t.w, t.c, "02 01 00 01 00 EE");
	hear(t.w, t.c, "");
	used = t.w->air->packets_used;
	say(t.w, t.c, "02 01 00 01 00 EE");
	hear(t.w, t.c, "04 1A 01 01");			/* Data Buffer Overflow: ACL */
	for (int i = 0; i < 1000; i++)
		say(t.w, t.c, "02 01 00 01 00 EE");
	assert_int_equal(air_counters(t.w->air)->acl_overflow, 1001);
	assert_true(t.w->air->packets_used <= used + AIR_ROOM_PEER);
	assert_int_equal(take(t.w, t.p, HEX_MAX), 8 * 6);
	assert_true(take(t.w, t.c, HEX_MAX) > 0);
	say(t.w, t.c, "02 01 00 01 00 EF");
	hear(t.w, t.p, "02 01 20 01 00 EF");
	hear(t.w, t.c, COMPLETED("01"));
	world_end(t.w);
}

static void test_what_acl_refuses(void **state)
{
	static const struct { const char *why, *say, *hear; } row[] = {
		{ "longer than the buffer", "02 01 00 1C 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
		  "00 00",
		  "04 1A 01 01" },
		{ "unknown handle", "02 02 00 01 00 EE", "" },
		{ "handle above 0x0EFF", "02 FF 0F 01 00 EE", "" },
		{ "flushable start is not for LE: its buffer is free at once", "02 01 20 01 00 EE", COMPLETED("01") },
		{ "broadcast", "02 01 40 01 00 EE", COMPLETED("01") },
		{ "empty", "02 01 00 00 00", COMPLETED("01") },
	};
	struct air_config g = air_config_default();

	(void)state;
	g.acl_length = 27;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct pair t = pair_of(g);

		print_message("  %s\n", row[i].why);
		say(t.w, t.c, row[i].say);
		hear(t.w, t.c, row[i].hear);
		hear(t.w, t.p, "");
		assert_int_equal(air_counters(t.w->air)->acl_dropped + air_counters(t.w->air)->acl_overflow, 1);
		world_end(t.w);
	}
}

/* One event tells all handles, one stalled far host holds no other's credits back. */
static void test_completed_for_several_handles(void **state)
{
	struct world *w = world_new(air_config_default(), (struct air_faults){ 0 });
	int c = host_new(w), p[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		p[i] = host_new(w);
		assert_int_equal(connect_two(w, c, p[i]), (uint32_t)(i + 1) << 16 | 1);
	}
	say(w, c, "02 01 00 01 00 A1 02 02 00 01 00 A2 02 03 00 01 00 A3 02 01 00 01 00 A4");
	hear(w, p[0], "02 01 20 01 00 A1 02 01 20 01 00 A4");
	hear(w, p[2], "02 01 20 01 00 A3");
	hear(w, c, "04 13 09 02 03 00 01 00 01 00 02 00");
	hear(w, p[1], "02 01 20 01 00 A2");
	hear(w, c, "04 13 05 01 02 00 01 00");
	world_end(w);
}

/* Data sent before a disconnection is heard before it; the ended connection's credits are not told, they are simply free. */
static void test_disconnection_keeps_order(void **state)
{
	struct pair t = pair_new();

	(void)state;
	say(t.w, t.c, "02 01 00 01 00 EE 01 06 04 03 01 00 15");
	hear(t.w, t.c, "04 0F 04 00 01 06 04 04 05 04 00 01 00 16");
	hear(t.w, t.p, "02 01 20 01 00 EE 04 05 04 00 01 00 15");
	hear(t.w, t.c, "");
	assert_int_equal(air_controller(t.w->air, (unsigned)t.c)->acl_used, 0);
	say(t.w, t.c, "02 01 00 01 00 EE");		/* still on its way when it ended */
	hear(t.w, t.c, "");
	assert_int_equal(air_counters(t.w->air)->acl_dropped, 1);
	world_end(t.w);
}

/* A host that never reads keeps at most 8 packets of ended connections, however often one connects to it. */
static void test_orphans_are_bounded(void **state)
{
	struct pair t = pair_new();

	(void)state;
	for (int round = 0; round < 200; round++) {
		char line[64];
		size_t len;
		unsigned handle;

		for (int i = 0; i < 8; i++) {
			snprintf(line, sizeof line, "02 %02X 00 01 00 EE", round % 128 + 1);
			say(t.w, t.c, line);
		}
		snprintf(line, sizeof line, "01 06 04 03 %02X 00 13", round % 128 + 1);
		say(t.w, t.c, line);
		take(t.w, t.c, HEX_MAX);
		assert_true(air_controller(t.w->air, (unsigned)t.p)->orphans <= 8);
		say(t.w, t.p, "01 0A 20 01 01");		/* it may say so without reading, as long as there is room */
		say(t.w, t.c, "01 0D 20 19 60 00 30 00 00 01 11 00 00 00 00 F0 01 18 00 28 00 00 00 2A 00 00 00 00 00");
		len = take(t.w, t.c, HEX_MAX);
		if (len < 22)					/* no room for its Connection Complete: not connected */
			break;
		handle = (unsigned)(t.w->out[len - 17] | t.w->out[len - 16] << 8);
		assert_int_equal(handle, (round + 1) % 128 + 1);
	}
	assert_true(air_controller(t.w->air, (unsigned)t.p)->events <= AIR_ROOM_BASE + t.w->config.connections);
	assert_false(air_host_ready(t.w->air, t.p));
	assert_true(air_counters(t.w->air)->acl_flushed > 0);
	world_end(t.w);
}

/* A packet that the host has begun to take comes whole, whatever happens to its connection meanwhile. */
static void test_begun_packets_stay_whole(void **state)
{
	static const struct { const char *why; bool reset_peripheral, vanish; const char *then; } row[] = {
		{ "its sender disconnects", false, false, "CC DD 04 05 04 00 01 00 13" },
		{ "its receiver resets", true, false, "CC DD 04 0E 04 01 03 0C 00" },
		{ "its sender's host is gone", false, true, "CC DD 04 05 04 00 01 00 08" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct pair t = pair_new();

		print_message("  %s\n", row[i].why);
		say(t.w, t.c, "02 01 00 04 00 AA BB CC DD");
		assert_int_equal(take(t.w, t.p, 7), 7);
		if (row[i].vanish)
			air_detach(t.w->air, t.c);
		else if (row[i].reset_peripheral)
			say(t.w, t.p, "01 03 0C 00");
		else
			say(t.w, t.c, "01 06 04 03 01 00 13");
		if (row[i].vanish)
			later(t.w, 420);
		hear(t.w, t.p, row[i].then);
		world_end(t.w);
	}
}

/* The timeout is 0x2A: 420 ms after the host left, not a nanosecond before.  Until then data for it is never completed. */
static void test_vanished_host(void **state)
{
	struct pair t = pair_new();

	(void)state;
	say(t.w, t.c, "02 01 00 01 00 EE");
	air_detach(t.w->air, t.p);
	say(t.w, t.c, "02 01 00 01 00 EF");
	later(t.w, 419);
	hear(t.w, t.c, "");
	assert_int_equal(air_controller(t.w->air, (unsigned)t.c)->acl_used, 2);
	assert_true(air_deadline(t.w->air) == t.w->now + AIR_MS);
	later(t.w, 1);
	hear(t.w, t.c, "04 05 04 00 01 00 08");
	assert_int_equal(air_controller(t.w->air, (unsigned)t.c)->acl_used, 0);
	assert_true(sleeps(t.w));
	assert_int_equal(air_counters(t.w->air)->supervision_timeouts, 1);
	world_end(t.w);
}

static void test_silent_radio(void **state)
{
	struct pair t = pair_new();

	(void)state;
	air_vanish(t.w->air, t.p);			/* both hosts are there, both lose the connection */
	later(t.w, 420);
	hear(t.w, t.c, "04 05 04 00 01 00 08");
	hear(t.w, t.p, "04 05 04 00 01 00 08");
	say(t.w, t.p, "01 0A 20 01 01");
	hear(t.w, t.p, OK4("0A 20"));
	say(t.w, t.c, "01 0D 20 19 60 00 30 00 00 01 11 00 00 00 00 F0 01 18 00 28 00 00 00 2A 00 00 00 00 00");
	later(t.w, 5000);
	hear(t.w, t.c, "04 0F 04 00 01 0D 20");
	say(t.w, t.p, "01 03 0C 00");			/* a reset brings it back */
	hear(t.w, t.p, OK4("03 0C"));
	world_end(t.w);
}

static void test_reset_drops_connections(void **state)
{
	struct pair t = pair_new();

	(void)state;
	say(t.w, t.c, "02 01 00 01 00 EE");
	say(t.w, t.p, "01 03 0C 00");
	hear(t.w, t.p, OK4("03 0C"));			/* the data went with the connection, no event for it */
	say(t.w, t.p, "01 05 14 02 01 00");
	hear(t.w, t.p, "04 0E 07 01 05 14 02 01 00 00");
	later(t.w, 420);
	hear(t.w, t.c, "04 05 04 00 01 00 08");
	world_end(t.w);
}

static void test_procedures(void **state)
{
	static const struct { const char *why; int from; const char *say, *central, *peripheral; } row[] = {
		{ "update by the central", 0, "01 13 20 0E 01 00 20 00 30 00 01 00 60 00 00 00 00 00",
		  "04 0F 04 00 01 13 20 04 3E 0A 03 00 01 00 30 00 01 00 60 00", "04 3E 0A 03 00 01 00 30 00 01 00 60 00" },
		{ "update wished by the peripheral", 1, "01 13 20 0E 01 00 20 00 30 00 01 00 60 00 00 00 00 00",
		  "04 3E 0B 06 01 00 20 00 30 00 01 00 60 00", "04 0F 04 00 01 13 20" },
		{ "an answer to no wish", 0, "01 21 20 03 01 00 3B", "04 0E 06 01 21 20 0C 01 00", "" },
		{ "data length, both are told", 1, "01 22 20 06 01 00 FB 00 48 08",
		  "04 3E 0B 07 01 00 1B 00 48 01 FB 00 48 08", "04 0E 06 01 22 20 00 01 00 04 3E 0B 07 01 00 FB 00 48 08 1B 00 48 01" },
		{ "data length as it is, nobody is told", 1, "01 22 20 06 01 00 1B 00 48 01", "", "04 0E 06 01 22 20 00 01 00" },
		{ "2M, both are told", 0, "01 32 20 07 01 00 00 02 02 00 00", "04 0F 04 00 01 32 20 04 3E 06 0C 00 01 00 02 02",
		  "04 3E 06 0C 00 01 00 02 02" },
		{ "no wish: who asked is told", 0, "01 32 20 07 01 00 03 00 00 00 00", "04 0F 04 00 01 32 20 04 3E 06 0C 00 01 00 01 01", "" },
		{ "coded PHY is not there", 0, "01 32 20 07 01 00 00 04 04 00 00", "04 0F 04 11 01 32 20", "" },
		{ "PHY read", 0, "01 30 20 02 01 00", "04 0E 08 01 30 20 00 01 00 01 01", "" },
		{ "RSSI", 1, "01 05 14 02 01 00", "", "04 0E 07 01 05 14 00 01 00 D3" },
		{ "remote features", 1, "01 16 20 02 01 00", "", "04 0F 04 00 01 16 20 04 3E 0C 04 00 01 00 2F 01 00 00 00 00 00 00" },
		{ "remote version", 0, "01 1D 04 02 01 00", "04 0F 04 00 01 1D 04 04 0C 08 00 01 00 0D FF FF 01 00", "" },
		{ "channel map", 0, "01 15 20 02 01 00", "04 0E 0B 01 15 20 00 01 00 FF FF FF FF 1F", "" },
		{ "only a central encrypts", 1, "01 19 20 1C 01 00 00 00 00 00 00 00 00 00 00 00 00 00"
		  "00 00 00 00 00 00 00 00 00 00 00 00 00 00", "",
		  "04 0F 04 0C 01 19 20" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct pair t = pair_new();

		print_message("  %s\n", row[i].why);
		say(t.w, row[i].from ? t.p : t.c, row[i].say);
		hear(t.w, t.c, row[i].central);
		hear(t.w, t.p, row[i].peripheral);
		world_end(t.w);
	}
}

static void test_parameter_request(void **state)
{
	struct pair t = pair_new();

	(void)state;
	say(t.w, t.p, "01 13 20 0E 01 00 20 00 30 00 01 00 60 00 00 00 00 00");
	hear(t.w, t.c, "04 3E 0B 06 01 00 20 00 30 00 01 00 60 00");
	say(t.w, t.p, "01 13 20 0E 01 00 20 00 30 00 01 00 60 00 00 00 00 00");	/* twice */
	hear(t.w, t.p, "04 0F 04 00 01 13 20 04 0F 04 0C 01 13 20");
	say(t.w, t.c, "01 21 20 03 01 00 3B");
	hear(t.w, t.c, "04 0E 06 01 21 20 00 01 00");
	hear(t.w, t.p, "04 3E 0A 03 3B 01 00 28 00 00 00 2A 00");
	say(t.w, t.p, "01 13 20 0E 01 00 20 00 30 00 01 00 60 00 00 00 00 00");
	hear(t.w, t.c, "04 3E 0B 06 01 00 20 00 30 00 01 00 60 00");
	say(t.w, t.c, "01 20 20 0E 01 00 20 00 28 00 01 00 60 00 00 00 00 00");
	hear(t.w, t.c, "04 0E 06 01 20 20 00 01 00 04 3E 0A 03 00 01 00 28 00 01 00 60 00");
	hear(t.w, t.p, "04 0F 04 00 01 13 20 04 3E 0A 03 00 01 00 28 00 01 00 60 00");
	say(t.w, t.c, "01 01 20 08 1F 00 00 00 00 00 00 00");				/* a central that masks the request */
	hear(t.w, t.c, OK4("01 20"));
	say(t.w, t.p, "01 13 20 0E 01 00 20 00 30 00 01 00 60 00 00 00 00 00");
	hear(t.w, t.p, "04 0F 04 00 01 13 20 04 3E 0A 03 1A 01 00 28 00 01 00 60 00");
	world_end(t.w);
}

#define KEY(last) "A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 AA AB AC AD AE " last
#define ENCRYPT(last) "01 19 20 1C 01 00 01 02 03 04 05 06 07 08 34 12 " KEY(last)

static void test_encryption(void **state)
{
	struct pair t = pair_new();

	(void)state;
	say(t.w, t.c, ENCRYPT("AF"));
	hear(t.w, t.p, "04 3E 0D 05 01 00 01 02 03 04 05 06 07 08 34 12");
	say(t.w, t.p, "01 1B 20 02 01 00");
	hear(t.w, t.p, "04 0E 06 01 1B 20 00 01 00");
	hear(t.w, t.c, "04 0F 04 00 01 19 20 04 08 04 06 01 00 00");
	say(t.w, t.c, ENCRYPT("AF"));
	say(t.w, t.p, "01 1A 20 12 01 00 " KEY("AF"));
	hear(t.w, t.c, "04 0F 04 00 01 19 20 04 08 04 00 01 00 01");
	hear(t.w, t.p, "04 3E 0D 05 01 00 01 02 03 04 05 06 07 08 34 12 04 0E 06 01 1A 20 00 01 00 04 08 04 00 01 00 01");
	say(t.w, t.c, ENCRYPT("AF"));			/* again: a refresh */
	say(t.w, t.p, "01 1A 20 12 01 00 " KEY("AF"));
	hear(t.w, t.c, "04 0F 04 00 01 19 20 04 30 03 00 01 00");
	take(t.w, t.p, HEX_MAX);
	say(t.w, t.c, ENCRYPT("AF"));
	say(t.w, t.p, "01 1A 20 12 01 00 " KEY("00"));	/* another key: MIC failure on both sides */
	hear(t.w, t.c, "04 0F 04 00 01 19 20 04 05 04 00 01 00 3D");
	hear(t.w, t.p, "04 3E 0D 05 01 00 01 02 03 04 05 06 07 08 34 12 04 0E 06 01 1A 20 00 01 00 04 05 04 00 01 00 3D");
	world_end(t.w);
}

/* A peer cannot make events pile up at a host that does not read: it is told Controller Busy. */
static void test_peer_events_are_bounded(void **state)
{
	struct pair t = pair_new();
	bool busy = false;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		say(t.w, t.c, "01 13 20 0E 01 00 20 00 30 00 01 00 60 00 00 00 00 00");
		take(t.w, t.c, HEX_MAX);
		busy |= t.w->out[3] == 0x3A;
	}
	assert_true(busy);
	assert_in_range(air_controller(t.w->air, (unsigned)t.p)->events, 1, AIR_ROOM_PEER);
	say(t.w, t.c, "01 06 04 03 01 00 13");		/* its Disconnection Complete has a place all the same */
	take(t.w, t.p, HEX_MAX);
	assert_int_equal(t.w->out[0], 0x04);
	hear(t.w, t.c, "04 0F 04 00 01 06 04 04 05 04 00 01 00 16");
	hear(t.w, t.p, "");
	world_end(t.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_credit_comes_when_the_far_host_took_it),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_what_acl_refuses),
		cmocka_unit_test(test_completed_for_several_handles),
		cmocka_unit_test(test_disconnection_keeps_order),
		cmocka_unit_test(test_orphans_are_bounded),
		cmocka_unit_test(test_begun_packets_stay_whole),
		cmocka_unit_test(test_vanished_host),
		cmocka_unit_test(test_silent_radio),
		cmocka_unit_test(test_reset_drops_connections),
		cmocka_unit_test(test_procedures),
		cmocka_unit_test(test_parameter_request),
		cmocka_unit_test(test_encryption),
		cmocka_unit_test(test_peer_events_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
