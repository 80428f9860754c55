/* airsim: who hears whom, and how connections come to be and end.  Byte scripts in virtual time. */
#include "tests/unit/airsim_world.h"

#define ADVERTISE(type) "01 06 20 0F A0 00 A0 00 " type " 01 01 11 00 00 00 00 F0 07 00 "
#define DATA "01 08 20 20 03 02 01 06 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
#define ANSWER "01 09 20 20 02 01 0A 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
#define ON "01 0A 20 01 01 "
#define OFF "01 0A 20 01 00 "
#define SCAN_PARAMETERS(type, policy) "01 0B 20 07 " type " 10 00 10 00 01 " policy " "
#define SCAN(duplicates) "01 0C 20 02 01 " duplicates " "
#define CREATE(policy, peer) \
	"01 0D 20 19 60 00 30 00 " policy " 01 " peer " 00 00 00 00 F0 01 18 00 28 00 00 00 2A 00 00 00 00 00 "
#define CREATED "04 0F 04 00 01 0D 20 "
/* LE Connection Complete at a central whose first connection is to 10:00:00:00:00:F0. */
#define CENTRAL_OF_10 "04 3E 13 01 00 01 00 00 01 10 00 00 00 00 F0 28 00 00 00 2A 00 00 "
#define OK4(op) "04 0E 04 01 " op " 00 "
/* What an advertiser 10:00:00:00:00:F0 with DATA is reported as. */
#define REPORT(type) "04 3E 0F 02 01 " type " 01 10 00 00 00 00 F0 03 02 01 06 D3 "
#define RESPONSE "04 3E 0E 02 01 04 01 10 00 00 00 00 F0 02 01 0A D3 "

static struct world *small(void)
{
	return world_new(air_config_default(), (struct air_faults){ 0 });
}

static void advertise(struct world *w, int id, const char *parameters)
{
	say(w, id, parameters);
	say(w, id, DATA ANSWER ON);
	hear(w, id, OK4("06 20") OK4("08 20") OK4("09 20") OK4("0A 20"));
}

static void scan(struct world *w, int id, const char *parameters, const char *enable)
{
	say(w, id, parameters);
	hear(w, id, OK4("0B 20"));
	say(w, id, enable);
}

static void test_scan_types(void **state)
{
	static const struct { const char *why, *advertise, *scan, *hear; } row[] = {
		{ "ADV_IND to a passive scanner", ADVERTISE("00"), SCAN_PARAMETERS("00", "00"), REPORT("00") },
		{ "ADV_IND to an active one", ADVERTISE("00"), SCAN_PARAMETERS("01", "00"), REPORT("00") RESPONSE },
		{ "ADV_SCAN_IND answers", ADVERTISE("02"), SCAN_PARAMETERS("01", "00"), REPORT("02") RESPONSE },
		{ "ADV_NONCONN_IND does not", ADVERTISE("03"), SCAN_PARAMETERS("01", "00"), REPORT("03") },
		{ "directed to this scanner, no data", ADVERTISE("04"), SCAN_PARAMETERS("01", "00"),
		  "04 3E 0C 02 01 01 01 10 00 00 00 00 F0 00 D3" },
		{ "not on the accept list", ADVERTISE("00"), SCAN_PARAMETERS("00", "01"), "" },
		{ "the advertiser's policy refuses scan requests", "01 06 20 0F A0 00 A0 00 00 01 00 00 00 00 00 00 00 07 01",
		  SCAN_PARAMETERS("01", "00"), REPORT("00") },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct world *w = small();
		int a = host_new(w), s = host_new(w), other = host_new(w);
		char want[512];

		print_message("  %s\n", row[i].why);
		advertise(w, a, row[i].advertise);
		scan(w, s, row[i].scan, SCAN("00"));
		snprintf(want, sizeof want, "%s%s", OK4("0C 20"), row[i].hear);
		hear(w, s, want);
		hear(w, other, "");
		if (!strcmp(row[i].advertise, ADVERTISE("04"))) {	/* and nobody else hears it */
			scan(w, other, SCAN_PARAMETERS("01", "00"), SCAN("00"));
			hear(w, other, OK4("0C 20"));
		}
		world_end(w);
	}
}

/* Reports come at the advertising interval, 100 ms here, the first one at once. */
static void test_interval(void **state)
{
	struct world *w = small();
	int a = host_new(w), s = host_new(w);

	(void)state;
	advertise(w, a, ADVERTISE("00"));
	assert_true(sleeps(w));			/* nobody listens: no timer */
	scan(w, s, SCAN_PARAMETERS("00", "00"), SCAN("00"));
	hear(w, s, OK4("0C 20") REPORT("00"));
	later(w, 99);
	hear(w, s, "");
	later(w, 1);
	hear(w, s, REPORT("00"));
	later(w, 300);
	hear(w, s, REPORT("00") REPORT("00") REPORT("00"));
	w->now += 10000 * AIR_MS;		/* a late caller gets no burst */
	air_advance(w->air, w->now);
	hear(w, s, REPORT("00"));
	say(w, s, "01 0C 20 02 00 00");
	hear(w, s, OK4("0C 20"));
	assert_true(sleeps(w));
	say(w, s, SCAN("00"));
	hear(w, s, OK4("0C 20") REPORT("00"));
	say(w, a, OFF);
	hear(w, a, OK4("0A 20"));
	later(w, 1000);
	hear(w, s, "");
	assert_true(sleeps(w));
	world_end(w);
}

static void test_duplicates(void **state)
{
	struct world *w = small();
	int a = host_new(w), s = host_new(w);

	(void)state;
	advertise(w, a, ADVERTISE("00"));
	scan(w, s, SCAN_PARAMETERS("01", "00"), SCAN("01"));
	hear(w, s, OK4("0C 20") REPORT("00") RESPONSE);
	later(w, 1000);
	hear(w, s, "");
	assert_true(sleeps(w));			/* there is nothing to tell any more */
	say(w, a, DATA);			/* new data is no duplicate */
	later(w, 100);
	hear(w, s, REPORT("00") RESPONSE);
	say(w, s, SCAN("01"));			/* enabling again forgets what was seen */
	later(w, 100);
	hear(w, s, OK4("0C 20") REPORT("00") RESPONSE);
	air_detach(w->air, a);
	assert_int_equal(air_attach(w->air), a);	/* another controller in its slot is another advertiser */
	say(w, a, ON);
	hear(w, s, "04 3E 0C 02 01 00 00 03 00 00 00 00 02 00 D3" "04 3E 0C 02 01 04 00 03 00 00 00 00 02 00 D3");
	world_end(w);
}

static void test_accept_list(void **state)
{
	struct world *w = small();
	int a = host_new(w), c = host_new(w);

	(void)state;
	advertise(w, a, ADVERTISE("00"));
	say(w, c, "01 11 20 07 01 10 00 00 00 00 F0");
	hear(w, c, OK4("11 20"));
	scan(w, c, SCAN_PARAMETERS("00", "01"), SCAN("00"));
	hear(w, c, OK4("0C 20") REPORT("00"));
	say(w, c, "01 10 20 00");		/* in use */
	hear(w, c, "04 0E 04 01 10 20 0C");
	say(w, c, "01 0C 20 02 00 00" "01 12 20 07 01 10 00 00 00 00 F0" SCAN("00"));
	hear(w, c, OK4("0C 20") OK4("12 20") OK4("0C 20"));
	later(w, 500);
	hear(w, c, "");
	say(w, c, "01 0C 20 02 00 00 01 11 20 07 01 10 00 00 00 00 F0");
	hear(w, c, OK4("0C 20") OK4("11 20"));
	say(w, c, CREATE("01", "99"));		/* the list, not the peer address */
	hear(w, c, CREATED CENTRAL_OF_10);
	world_end(w);
}

/* Both sides are told of each other's address, role and parameters; the advertiser stops; masks choose the event. */
static void test_connect(void **state)
{
	struct world *w = small();
	int p = host_new(w), c = host_new(w);

	(void)state;
	say(w, p, "01 01 20 08 1F 02 00 00 00 00 00 00");	/* the enhanced event, instead of the other */
	hear(w, p, OK4("01 20"));
	advertise(w, p, ADVERTISE("00"));
	say(w, c, CREATE("00", "10"));
	hear(w, c, CREATED CENTRAL_OF_10);
	hear(w, p, "04 3E 1F 0A 00 01 00 01 01 11 00 00 00 00 F0 00 00 00 00 00 00 00 00 00 00 00 00 28 00 00 00 2A 00 00");
	assert_true(sleeps(w));			/* advertising is over, a connection needs no timer */
	say(w, c, CREATE("00", "10"));		/* again: there is one */
	hear(w, c, "04 0F 04 0B 01 0D 20");
	say(w, p, ON);				/* connectable while connected: allowed */
	hear(w, p, OK4("0A 20"));
	say(w, c, "01 06 04 03 01 00 13");
	hear(w, c, "04 0F 04 00 01 06 04 04 05 04 00 01 00 16");
	hear(w, p, "04 05 04 00 01 00 13");
	say(w, p, "01 06 04 03 01 00 13");	/* the handle is gone */
	hear(w, p, "04 0F 04 02 01 06 04");
	world_end(w);
}

static void test_connect_waits(void **state)
{
	struct world *w = small();
	int c = host_new(w), p = host_new(w);

	(void)state;
	say(w, c, CREATE("00", "11"));
	hear(w, c, CREATED);
	assert_true(sleeps(w));
	later(w, 60000);
	advertise(w, p, ADVERTISE("03"));	/* not connectable */
	later(w, 1000);
	hear(w, c, "");
	say(w, p, OFF);
	hear(w, p, OK4("0A 20"));
	advertise(w, p, "01 06 20 0F A0 00 A0 00 00 01 00 00 00 00 00 00 00 07 02");	/* not on its accept list */
	later(w, 1000);
	hear(w, c, "");
	say(w, c, "01 0E 20 00");
	hear(w, c, OK4("0E 20") "04 3E 13 01 02 00 00 00 01 11 00 00 00 00 F0 00 00 00 00 00 00 00");
	world_end(w);
}

static void test_directed(void **state)
{
	struct world *w = small();
	int p = host_new(w), c = host_new(w), other = host_new(w);

	(void)state;
	say(w, p, "01 06 20 0F 00 00 00 00 01 01 01 11 00 00 00 00 F0 07 00" ON);	/* high duty: no interval */
	hear(w, p, OK4("06 20") OK4("0A 20"));
	say(w, other, CREATE("00", "10"));
	hear(w, other, CREATED);
	later(w, 1279);
	hear(w, p, "");
	later(w, 1);				/* 1.28 s: Advertising Timeout */
	hear(w, p, "04 3E 13 01 3C 00 00 01 01 11 00 00 00 00 F0 00 00 00 00 00 00 00");
	hear(w, other, "");
	say(w, p, ON);
	hear(w, p, OK4("0A 20"));
	say(w, c, CREATE("00", "10"));
	hear(w, c, CREATED CENTRAL_OF_10);
	hear(w, other, "");
	world_end(w);
}

/* As many connections as configured; then connectable advertising is refused, and connecting too. */
static void test_limits(void **state)
{
	struct air_config g = air_config_default();
	struct world *w;
	int p, c[3];

	(void)state;
	g.connections = 2;
	g.controllers = 4;
	w = world_new(g, (struct air_faults){ 0 });
	p = host_new(w);
	for (int i = 0; i < 3; i++)
		c[i] = host_new(w);
	assert_int_equal(air_attach(w->air), -28);
	connect_two(w, c[0], p);
	connect_two(w, c[1], p);
	say(w, p, ON);
	hear(w, p, "04 0E 04 01 0A 20 0C");
	say(w, p, "01 06 20 0F A0 00 A0 00 03 01 00 00 00 00 00 00 00 07 00" ON);	/* not connectable: still allowed */
	hear(w, p, OK4("06 20") OK4("0A 20"));
	say(w, p, CREATE("00", "99"));
	hear(w, p, "04 0F 04 09 01 0D 20");
	air_detach(w->air, c[2]);
	assert_int_equal(air_attach(w->air), c[2]);	/* the slot is free again, its address is new */
	say(w, c[2], "01 09 10 00");
	hear(w, c[2], "04 0E 0A 01 09 10 00 05 00 00 00 00 02");
	world_end(w);
}

/* Every initiator gets its turn on one advertiser, however eager the ones before it are. */
static void test_no_initiator_starves(void **state)
{
	struct world *w = small();
	int p = host_new(w), eager = host_new(w), patient = host_new(w);

	(void)state;
	say(w, patient, CREATE("00", "10"));
	hear(w, patient, CREATED);
	say(w, p, "01 06 20 0F A0 00 A0 00 00 01 00 00 00 00 00 00 00 07 00");
	hear(w, p, OK4("06 20"));
	for (int round = 0; round < 2; round++) {
		char end[32];

		say(w, eager, CREATE("00", "10"));
		say(w, p, ON);
		take(w, p, HEX_MAX);
		if (take(w, eager, HEX_MAX) < 22)
			continue;
		snprintf(end, sizeof end, "01 06 04 03 %02X 00 13", w->out[12]);
		say(w, eager, end);
		take(w, eager, HEX_MAX);
		take(w, p, HEX_MAX);
	}
	hear(w, patient, CENTRAL_OF_10);
	world_end(w);
}

static void test_all_initiators_connect(void **state)
{
	struct world *w = small();
	int p = host_new(w), c[8];

	(void)state;
	for (int i = 0; i < 8; i++) {
		c[i] = host_new(w);
		say(w, c[i], CREATE("00", "10"));
		hear(w, c[i], CREATED);
	}
	say(w, p, "01 06 20 0F A0 00 A0 00 00 01 00 00 00 00 00 00 00 07 00");
	hear(w, p, OK4("06 20"));
	for (int i = 0; i < 8; i++) {
		say(w, p, ON);
		hear(w, p, OK4("0A 20") "04 3E 13 01 00 .. .. 01 01 .. 00 00 00 00 F0 28 00 00 00 2A 00 00");
	}
	for (int i = 0; i < 8; i++)
		hear(w, c[i], CENTRAL_OF_10);
	world_end(w);
}

static void test_lost_advertisements(void **state)
{
	struct world *w = world_new(air_config_default(), (struct air_faults){ .advertisements_lost_permille = 500 });
	int a = host_new(w), s = host_new(w);
	size_t heard;

	(void)state;
	advertise(w, a, ADVERTISE("00"));
	scan(w, s, SCAN_PARAMETERS("00", "00"), SCAN("00"));
	take(w, s, HEX_MAX);
	for (int i = 0; i < 1000; i++) {
		later(w, 100);
		take(w, s, HEX_MAX);
	}
	heard = air_counters(w->air)->reports;
	assert_in_range(heard, 400, 600);
	world_end(w);
}

/* A scanner that does not read loses reports, counted, and nothing else. */
static void test_reports_are_bounded(void **state)
{
	struct world *w = small();
	int a = host_new(w), s = host_new(w);

	(void)state;
	advertise(w, a, ADVERTISE("00"));
	scan(w, s, SCAN_PARAMETERS("00", "00"), SCAN("00"));
	later(w, 100 * 1000);
	assert_true(air_counters(w->air)->reports_dropped > 900);
	assert_true(air_counters(w->air)->reports <= AIR_ROOM_REPORT);
	assert_true(air_host_ready(w->air, s));
	say(w, s, "01 03 0C 00");
	take(w, s, HEX_MAX - 7);
	hear(w, s, "");
	say(w, s, "01 03 0C 00");
	hear(w, s, OK4("03 0C"));
	world_end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan_types),
		cmocka_unit_test(test_interval),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_accept_list),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_connect_waits),
		cmocka_unit_test(test_directed),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_no_initiator_starves),
		cmocka_unit_test(test_all_initiators_connect),
		cmocka_unit_test(test_lost_advertisements),
		cmocka_unit_test(test_reports_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
