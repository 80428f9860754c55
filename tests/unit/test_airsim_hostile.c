/* airsim: hosts that send anything at any time, read when they like and leave when they like.  The random walk is seeded, so a
 * failure repeats; the invariants are checked all along, under ASan in `make asan`. */
#include "tests/unit/airsim_world.h"

enum { STEPS = 300000, CROWD = 12 };

static uint64_t dice = 1;

static uint32_t roll(uint32_t sides)
{
	dice = dice * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(dice >> 33) % sides;
}

/* Bounds that air.h promises, for every controller. */
static void check(const struct world *w)
{
	for (unsigned id = 0; id < w->config.controllers; id++) {
		const struct air_controller *c = air_controller(w->air, id);
		unsigned events = 0, orphans = 0, acl = 0;

		for (uint32_t i = c->first; c->attached && i != AIR_NO_INDEX; i = air_packet(w->air, i)->next) {
			const struct air_packet *p = air_packet(w->air, i);

			events += !p->acl;
			orphans += p->acl && p->sender == AIR_NO_INDEX;
			acl += p->acl && p->sender != AIR_NO_INDEX;
		}
		assert_int_equal(events, c->attached ? c->events : 0);
		assert_int_equal(orphans, c->attached ? c->orphans : 0);
		assert_true(events <= (unsigned)AIR_ROOM_BASE + w->config.connections);
		assert_true(orphans <= w->config.acl_packets + 1u);
		assert_true(acl <= (CROWD - 1u) * w->config.acl_packets);
		assert_true(c->acl_used <= w->config.acl_packets);
	}
}

/* A command that is half right: an opcode that exists, parameters that are often plausible. */
static size_t some_command(struct world *w, uint8_t *out)
{
	static const uint16_t opcodes[] = {
#define AIR_COMMAND(OPCODE, name, octet, bit, kind, returns) HCI_COMMAND_##OPCODE,
#include "airsim/core/commands.def"
	};
	static const char *const likely[] = {
		"0A 20 01 01", "0A 20 01 00", "0C 20 02 01 00", "0C 20 02 01 01", "0C 20 02 00 00", "0E 20 00", "08 20 20 03 02 01 06",
		"01 0C 08 FF FF FF FF FF FF FF 3F", "05 20 06 10 00 00 00 00 F0", "0B 20 07 01 10 00 10 00 01 00",
		"06 20 0F A0 00 A0 00 00 01 01 11 00 00 00 00 F0 07 00", "01 20 08 FF 03 00 00 00 00 00 00",
	};
	uint8_t any[64];
	size_t len;

	memset(out, 0, 64);
	if (roll(3) == 0) {
		hex(likely[roll(ARRAY_LEN(likely))], out, any);
		len = 3u + out[2];
	} else if (roll(3) == 0) {
		hex("0D 20 19 60 00 30 00 00 01 10 00 00 00 00 F0 01 18 00 28 00 00 00 2A 00 00 00 00 00", out, any);
		out[9] = (uint8_t)(0x10 + roll(CROWD));
		len = 28;
	} else {
		uint16_t opcode = opcodes[roll(ARRAY_LEN(opcodes))];

		out[0] = (uint8_t)opcode;
		out[1] = (uint8_t)(opcode >> 8);
		out[2] = (uint8_t)roll(40);
		for (unsigned i = 0; i < out[2]; i++)
			out[3 + i] = (uint8_t)(roll(2) ? roll(256) : roll(4));
		len = 3u + out[2];
	}
	if (roll(50) == 0)
		len = roll((uint32_t)len + 1);
	(void)w;
	return len;
}

static size_t some_acl(const struct world *w, uint8_t *out)
{
	uint32_t length = roll(8) ? roll(w->config.acl_length + 1u) : roll(400);

	out[0] = (uint8_t)(1 + roll(6));
	out[1] = (uint8_t)((roll(10) ? roll(2) : roll(16)) << 4);
	out[2] = (uint8_t)length;
	out[3] = (uint8_t)(length >> 8);
	memset(out + 4, 0x5A, length);
	return 4u + (roll(100) ? length : roll(length + 1));
}

/* Reads some of what waits, and checks that it is whole packets of types that hosts get. */
static void some_reading(struct world *w, int id, struct wr *stream)
{
	size_t len = take(w, id, roll(4) ? HEX_MAX / 2 : 1 + roll(300)), at = 0;

	wr_bytes(stream, (struct bytes){ w->out, len });
	assert_true(wr_ok(stream));
	len = wr_len(stream);
	while (at + 5 <= len && at + h4_octets(stream->start + at) <= len) {
		assert_true(stream->start[at] == 0x04 || stream->start[at] == 0x02);
		at += h4_octets(stream->start + at);
	}
	memmove(stream->start, stream->start + at, len - at);
	stream->at = stream->start + len - at;
}

static void test_random_walk(void **state)
{
	struct air_config g = { .controllers = CROWD, .connections = 3, .acl_length = 27, .acl_packets = 4, .seed = 7 };
	struct world *w = world_new(g, (struct air_faults){ .advertisements_lost_permille = 100 });
	static uint8_t memory[CROWD][HEX_MAX];
	struct wr stream[CROWD];
	uint64_t connections;

	(void)state;
	for (int i = 0; i < CROWD; i++) {
		assert_int_equal(host_new(w), i);
		stream[i] = wr_into(memory[i], HEX_MAX);
	}
	for (int step = 0; step < STEPS; step++) {
		int id = (int)roll(CROWD);
		uint8_t packet[512];

		switch (roll(16)) {
		case 0: case 1: case 2: case 3: case 4:
			if (air_host_ready(w->air, id))
				air_host_packet(w->air, id, 0x01, (struct bytes){ packet, some_command(w, packet) });
			break;
		case 5: case 6: case 7: case 8:
			air_host_packet(w->air, id, 0x02, (struct bytes){ packet, some_acl(w, packet) });
			break;
		case 9:
			later(w, roll(120));
			break;
		case 10:
			if (roll(400) == 0) {		/* gone, and another host in its place */
				air_detach(w->air, id);
				stream[id] = wr_into(memory[id], HEX_MAX);
				assert_int_equal(host_new(w), id);
			} else if (roll(400) == 0) {
				air_vanish(w->air, id);
			}
			break;
		default:
			some_reading(w, id, &stream[id]);
			break;
		}
		air_advance(w->air, w->now);
		if (step % 64 == 0)
			check(w);
	}
	connections = air_counters(w->air)->connections;
	print_message("  %llu connections, %llu packets forwarded, %llu flushed, %llu refused commands\n",
	    (unsigned long long)connections, (unsigned long long)air_counters(w->air)->acl_forwarded,
	    (unsigned long long)air_counters(w->air)->acl_flushed, (unsigned long long)air_counters(w->air)->commands_refused);
	assert_true(connections > 100);		/* else the walk met nothing worth meeting */
	assert_true(air_counters(w->air)->acl_forwarded > 1000);
	assert_true(air_counters(w->air)->supervision_timeouts > 10);
	world_end(w);
}

/* The same calls give the same octets: nothing but the inputs counts, not even where the memory lies. */
static void test_deterministic(void **state)
{
	static uint8_t first[HEX_MAX];
	size_t first_len = 0;

	(void)state;
	for (int run = 0; run < 2; run++) {
		struct world *w = world_new(air_config_default(), (struct air_faults){ .advertisements_lost_permille = 300 });
		uint8_t packet[512];
		size_t len = 0;

		dice = 99;
		for (int i = 0; i < CROWD; i++)
			host_new(w);
		for (int step = 0; step < 4000; step++) {
			int id = (int)roll(CROWD);

			if (air_host_ready(w->air, id))
				air_host_packet(w->air, id, 0x01, (struct bytes){ packet, some_command(w, packet) });
			later(w, roll(20));
		}
		for (int i = 0; i < CROWD; i++) {
			size_t n = take(w, i, HEX_MAX / CROWD);

			if (run)
				assert_memory_equal(first + len, w->out, n);
			else
				memcpy(first + len, w->out, n);
			len += n;
		}
		if (run)
			assert_int_equal(len, first_len);
		first_len = len;
		world_end(w);
	}
	assert_true(first_len > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_walk),
		cmocka_unit_test(test_deterministic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
