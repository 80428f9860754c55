/* airsim: what a controller answers.  Byte scripts; each row says why it is there. */
#include "tests/unit/airsim_world.h"

struct exchange { const char *why, *say, *hear; };

static void play(const struct exchange *e, size_t count, void (*before)(struct world *w))
{
	for (size_t i = 0; i < count; i++) {
		struct world *w = world_new(air_config_default(), (struct air_faults){ 0 });
		int id = air_attach(w->air);

		print_message("  %s\n", e[i].why);
		say(w, id, "01 03 0C 00");
		take(w, id, HEX_MAX);
		if (before)
			before(w);
		say(w, id, e[i].say);
		hear(w, id, e[i].hear);
		world_end(w);
	}
}

static void test_answers(void **state)
{
	static const struct exchange e[] = {
		{ "reset", "01 03 0C 00", "04 0E 04 01 03 0C 00" },
		{ "its address is the first of its range", "01 09 10 00", "04 0E 0A 01 09 10 00 01 00 00 00 00 02" },
		{ "version is 5.4", "01 01 10 00", "04 0E 0C 01 01 10 00 0D 00 00 0D FF FF 01 00" },
		{ "LE only", "01 03 10 00", "04 0E 0C 01 03 10 00 00 00 00 00 60 00 00 00" },
		{ "LE features", "01 03 20 00", "04 0E 0C 01 03 20 00 2F 01 00 00 00 00 00 00" },
		{ "8 buffers of 251", "01 02 20 00", "04 0E 07 01 02 20 00 FB 00 08" },
		{ "accept list size", "01 0F 20 00", "04 0E 05 01 0F 20 00 20" },
		{ "advertising power", "01 07 20 00", "04 0E 05 01 07 20 00 00" },
		{ "states", "01 1C 20 00", "04 0E 0C 01 1C 20 00 FF FF FF FF FF 03 00 00" },
		{ "random octets", "01 18 20 00", "04 0E 0C 01 18 20 00 .. .. .. .. .. .. .. .." },
		{ "maximum data length", "01 2F 20 00", "04 0E 0C 01 2F 20 00 FB 00 48 08 FB 00 48 08" },
		{ "suggested length, before and after", "01 23 20 00 01 24 20 04 FB 00 48 08 01 23 20 00",
		  "04 0E 08 01 23 20 00 1B 00 48 01 04 0E 04 01 24 20 00 04 0E 08 01 23 20 00 FB 00 48 08" },
		{ "several commands in a row, in order", "01 09 10 00 01 02 20 00",
		  "04 0E 0A 01 09 10 00 01 00 00 00 00 02 04 0E 07 01 02 20 00 FB 00 08" },
	};

	(void)state;
	play(e, ARRAY_LEN(e), NULL);
}

static void test_refusals(void **state)
{
	static const struct exchange e[] = {
		{ "unknown command", "01 36 20 00", "04 0F 04 01 01 36 20" },
		{ "no BR/EDR: inquiry is unknown", "01 01 04 05 33 8B 9E 05 00", "04 0F 04 01 01 01 04" },
		{ "LE Encrypt is not there", "01 17 20 00", "04 0F 04 01 01 17 20" },
		{ "disconnect what is not connected", "01 06 04 03 01 00 13", "04 0F 04 02 01 06 04" },
		{ "disconnect with a reason that is none", "01 06 04 03 01 00 16", "04 0F 04 12 01 06 04" },
		{ "a handle above 0x0EFF", "01 06 04 03 00 0F 13", "04 0F 04 12 01 06 04" },
		{ "RSSI of nothing names the handle", "01 05 14 02 22 01", "04 0E 07 01 05 14 02 22 01 00" },
		{ "data length of nothing", "01 22 20 06 01 00 FB 00 48 08", "04 0E 06 01 22 20 02 01 00" },
		{ "data length out of range", "01 22 20 06 01 00 FC 00 48 08", "04 0E 06 01 22 20 12 01 00" },
		{ "PHY of nothing", "01 30 20 02 01 00", "04 0E 08 01 30 20 02 01 00 00 00" },
		{ "advertise with a random address that is not set", "01 06 20 0F A0 00 A0 00 00 01 00 00 00 00 00 00 00 07 00 01 0A 20 01 01",
		  "04 0E 04 01 06 20 00 04 0E 04 01 0A 20 12" },
		{ "scan with a random address that is not set", "01 0B 20 07 01 10 00 10 00 01 00 01 0C 20 02 01 00",
		  "04 0E 04 01 0B 20 00 04 0E 04 01 0C 20 12" },
		{ "connect with a random address that is not set",
		  "01 0D 20 19 60 00 30 00 00 01 10 00 00 00 00 F0 01 18 00 28 00 00 00 2A 00 00 00 00 00", "04 0F 04 12 01 0D 20" },
		{ "advertising interval reversed", "01 06 20 0F B0 00 A0 00 00 00 00 00 00 00 00 00 00 07 00", "04 0E 04 01 06 20 12" },
		{ "advertising interval too short", "01 06 20 0F 1F 00 A0 00 00 00 00 00 00 00 00 00 00 07 00", "04 0E 04 01 06 20 12" },
		{ "advertising on no channel", "01 06 20 0F A0 00 A0 00 00 00 00 00 00 00 00 00 00 00 00", "04 0E 04 01 06 20 12" },
		{ "advertising type reserved", "01 06 20 0F A0 00 A0 00 05 00 00 00 00 00 00 00 00 07 00", "04 0E 04 01 06 20 12" },
		{ "a resolvable address nobody can make", "01 06 20 0F A0 00 A0 00 00 02 00 00 00 00 00 00 00 07 00", "04 0E 04 01 06 20 11" },
		{ "scan window above the interval", "01 0B 20 07 00 10 00 11 00 00 00", "04 0E 04 01 0B 20 12" },
		{ "connection interval reversed",
		  "01 0D 20 19 60 00 30 00 00 01 10 00 00 00 00 F0 00 28 00 18 00 00 00 2A 00 00 00 00 00", "04 0F 04 12 01 0D 20" },
		{ "timeout shorter than latency allows",
		  "01 0D 20 19 60 00 30 00 00 01 10 00 00 00 00 F0 00 18 00 28 00 10 00 2A 00 00 00 00 00", "04 0F 04 12 01 0D 20" },
		{ "cancel without connecting", "01 0E 20 00", "04 0E 04 01 0E 20 0C" },
		{ "one channel is too few", "01 14 20 05 01 00 00 00 00", "04 0E 04 01 14 20 12" },
		{ "anonymous accept list entry needs extended advertising", "01 11 20 07 FF 00 00 00 00 00 00", "04 0E 04 01 11 20 11" },
		{ "key reply that nobody asked for", "01 1A 20 12 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
		  "04 0E 06 01 1A 20 02 01 00" },
	};

	(void)state;
	play(e, ARRAY_LEN(e), NULL);
}

static void be_busy(struct world *w)
{
	say(w, 0, "01 05 20 06 10 00 00 00 00 F0");			/* random address */
	say(w, 0, "01 0A 20 01 01 01 0C 20 02 01 00");			/* advertising, scanning */
	say(w, 0, "01 0D 20 19 60 00 30 00 00 01 99 00 00 00 00 F0 01 18 00 28 00 00 00 2A 00 00 00 00 00");
	hear(w, 0, "04 0E 04 01 05 20 00 04 0E 04 01 0A 20 00 04 0E 04 01 0C 20 00 04 0F 04 00 01 0D 20");
}

static void test_disallowed_while_busy(void **state)
{
	static const struct exchange e[] = {
		{ "random address in use", "01 05 20 06 11 00 00 00 00 F0", "04 0E 04 01 05 20 0C" },
		{ "advertising parameters while advertising", "01 06 20 0F A0 00 A0 00 00 00 00 00 00 00 00 00 00 07 00",
		  "04 0E 04 01 06 20 0C" },
		{ "scan parameters while scanning", "01 0B 20 07 00 10 00 10 00 00 00", "04 0E 04 01 0B 20 0C" },
		{ "a second connection attempt",
		  "01 0D 20 19 60 00 30 00 00 01 98 00 00 00 00 F0 01 18 00 28 00 00 00 2A 00 00 00 00 00", "04 0F 04 0C 01 0D 20" },
		{ "advertising data may change", "01 08 20 20 03 02 01 06" "00 00 00 00 00 00 00 00 00 00 00 00 00 00"
		  "00 00 00 00 00 00 00 00 00 00 00 00 00 00", "04 0E 04 01 08 20 00" },
		{ "enabling twice changes nothing", "01 0A 20 01 01", "04 0E 04 01 0A 20 00" },
		{ "the accept list may change while no policy looks at it", "01 11 20 07 01 01 02 03 04 05 06", "04 0E 04 01 11 20 00" },
		{ "cancel: Command Complete first, then the failed connection", "01 0E 20 00", "04 0E 04 01 0E 20 00" },
		{ "reset ends all of it", "01 03 0C 00 01 05 20 06 11 00 00 00 00 F0", "04 0E 04 01 03 0C 00 04 0E 04 01 05 20 00" },
	};

	(void)state;
	play(e, ARRAY_LEN(e), be_busy);
}

/* The map in Read Local Supported Commands is exactly the commands that are not answered Unknown HCI Command; a command's
 * refusal has as many return parameters as its success; one octet too few or too many is Invalid Parameters. */
static void test_map_is_honest(void **state)
{
	static const struct { uint16_t opcode; uint8_t octet, bit, status_answer, returns; } row[] = {
#define KIND_COMPLETE 0
#define KIND_STATUS 1
#define KIND_HANDLE 0
#define AIR_COMMAND(OPCODE, name, octet, bit, kind, returns) { HCI_COMMAND_##OPCODE, octet, bit, KIND_##kind, returns },
#include "airsim/core/commands.def"
	};
	struct world *w = world_new(air_config_default(), (struct air_faults){ 0 });
	int id = host_new(w);
	uint8_t map[64], built[64] = { 0 };

	(void)state;
	say(w, id, "01 02 10 00");
	assert_int_equal(take(w, id, HEX_MAX), 71);
	memcpy(map, w->out + 7, 64);
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		uint8_t command[4 + 255] = { 0x01, (uint8_t)row[i].opcode, (uint8_t)(row[i].opcode >> 8), 255 };

		assert_false(built[row[i].octet] >> row[i].bit & 1);	/* no two rows share a bit */
		built[row[i].octet] |= (uint8_t)(1u << row[i].bit);
		memset(command + 4, 0xA5, 255);
		say_bytes(w, id, command, sizeof command);
		assert_int_equal(take(w, id, HEX_MAX), row[i].status_answer ? 7 : 6 + row[i].returns);
		assert_int_equal(w->out[1], row[i].status_answer ? 0x0F : 0x0E);
		assert_int_equal(w->out[row[i].status_answer ? 3 : 6], 0x12);
	}
	assert_memory_equal(map, built, 64);
	for (unsigned opcode = 0; opcode < 0x10000; opcode++) {
		uint8_t command[4] = { 0x01, (uint8_t)opcode, (uint8_t)(opcode >> 8), 0 };
		bool known = false, unknown;

		for (size_t i = 0; i < ARRAY_LEN(row); i++)
			known |= row[i].opcode == opcode;
		say_bytes(w, id, command, sizeof command);
		take(w, id, HEX_MAX);
		unknown = w->out[1] == 0x0F && w->out[3] == 0x01;
		assert_int_equal(known, !unknown);
	}
	world_end(w);
}

static void test_malformed(void **state)
{
	static const struct { const char *why; uint8_t type; uint8_t at[8]; size_t len; int result; } bad[] = {
		{ "an empty command", 0x01, { 0 }, 0, 0 },
		{ "a command of two octets", 0x01, { 0x03, 0x0C }, 2, 0 },
		{ "a command longer than its length", 0x01, { 0x03, 0x0C, 0x00, 0x00 }, 4, 0 },
		{ "a command shorter than its length", 0x01, { 0x03, 0x0C, 0x01 }, 3, 0 },
		{ "an empty ACL packet", 0x02, { 0 }, 0, 0 },
		{ "ACL data shorter than its length", 0x02, { 0x01, 0x00, 0x02, 0x00, 0xFF }, 5, 0 },
		{ "ACL data longer than its length", 0x02, { 0x01, 0x00, 0x00, 0x00, 0xFF }, 5, 0 },
		{ "an event from a host", 0x04, { 0x0E, 0x00 }, 2, -71 },
		{ "a type that does not exist", 0x77, { 0 }, 1, -71 },
	};
	struct world *w = world_new(air_config_default(), (struct air_faults){ 0 });
	int id = host_new(w);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint64_t before = air_counters(w->air)->malformed;

		print_message("  %s\n", bad[i].why);
		assert_int_equal(air_host_packet(w->air, id, bad[i].type, (struct bytes){ bad[i].at, bad[i].len }), bad[i].result);
		assert_int_equal(air_counters(w->air)->malformed, before + 1);
		hear(w, id, "");
	}
	/* SCO and ISO are legal on H4, but there is no such connection here. */
	assert_int_equal(air_host_packet(w->air, id, 0x03, (struct bytes){ (const uint8_t *)"\1\0\0", 3 }), 0);
	assert_int_equal(air_host_packet(w->air, id, 0x05, (struct bytes){ (const uint8_t *)"\1\0\0\0", 4 }), 0);
	assert_int_equal(air_counters(w->air)->acl_dropped, 2);
	say(w, id, "01 03 0C 00");
	hear(w, id, "04 0E 04 01 03 0C 00");
	world_end(w);
}

/* A masked event does not come: LE Meta is masked by default (7.3.1), Connection Complete by bit 0 of the LE mask. */
static void test_event_masks(void **state)
{
	struct world *w = world_new(air_config_default(), (struct air_faults){ 0 });
	int deaf = air_attach(w->air), loud = host_new(w);

	(void)state;
	say(w, deaf, "01 0C 20 02 01 00");
	say(w, loud, "01 0A 20 01 01");
	hear(w, deaf, "04 0E 04 01 0C 20 00");
	say(w, deaf, "01 01 0C 08 FF FF FF FF FF FF FF 3F");
	hear(w, deaf, "04 0E 04 01 01 0C 00");
	later(w, 1280);
	hear(w, deaf, "04 3E 0C 02 01 00 00 02 00 00 00 00 02 00 D3");
	say(w, deaf, "01 01 20 08 00 00 00 00 00 00 00 00");
	hear(w, deaf, "04 0E 04 01 01 20 00");
	later(w, 1280);
	hear(w, deaf, "");
	world_end(w);
}

static void test_out_of_range_configurations(void **state)
{
	struct air_config g = air_config_default();

	(void)state;
	assert_true(air_size(&g) > 0);
	g.controllers = 0;
	assert_int_equal(air_size(&g), 0);
	g.controllers = AIR_CONTROLLERS_MAX + 1;
	assert_int_equal(air_size(&g), 0);
	assert_null(air_init(&g, &g, (struct air_faults){ 0 }));
	g = air_config_default();
	g.acl_length = 26;
	assert_int_equal(air_size(&g), 0);
	g = air_config_default();
	g.acl_packets = 256;
	assert_int_equal(air_size(&g), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_disallowed_while_busy),
		cmocka_unit_test(test_map_is_honest),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_event_masks),
		cmocka_unit_test(test_out_of_range_configurations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
