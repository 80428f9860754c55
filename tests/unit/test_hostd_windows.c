/* Windows between hostd and gattd: what is discarded, what is never lost, and what comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/host_world.h"
#include "wire/l2cap_names.h"

enum { LONG = 244 };

static struct record connected(struct world *w, uint16_t handle)
{
	world_connect(w, handle);
	return world_told(w, RECORD_CONNECTED)->h;
}
static void peer_says(struct world *w, uint16_t handle, uint8_t opcode, uint16_t n, size_t len)
{
	uint8_t pdu[PDU_MAX] = { opcode, (uint8_t)n, (uint8_t)(n >> 8) };

	world_frame(w, handle, L2CAP_CID_ATT, (struct bytes){ pdu, len });
}
static void credit(struct world *w, const struct record *to, uint32_t octets)
{
	world_gattd(w, to, RECORD_CREDIT, BYTES_OF((uint8_t)octets, (uint8_t)(octets >> 8), (uint8_t)(octets >> 16), 0));
}
static uint32_t cost_told(const struct world *w)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < w->down_seen; i++)
		if (w->down[i].h.kind == RECORD_L2CAP_PDU)
			sum += w->down[i].h.len - 2 + WINDOW_PDU_OVERHEAD;
	return sum;
}

/* Commands use the window but for what requests need; what gattd hands back, and what it gives beyond, is used. */
static void test_burst(void **state)
{
	struct world *w = world_up(2);
	struct record a = connected(w, 0x40);
	unsigned passed, n = 0;

	(void)state;
	connected(w, 0x41);
	w->down_seen = 0;
	for (uint16_t i = 0; i < 50; i++)
		peer_says(w, 0x40, ATT_WRITE_COMMAND, i, LONG);
	passed = world_told_count(w, RECORD_L2CAP_PDU);
	assert_true(cost_told(w) <= WINDOW_IN - 2 * (PDU_MAX + 4));
	assert_true(passed >= 2);
	assert_int_equal(rig_counter(&w->rig, "window_discarded"), 50 - passed);
	peer_says(w, 0x41, ATT_READ_REQUEST, 7, 3);		/* another connection goes by */
	assert_int_equal(world_told(w, RECORD_L2CAP_PDU)->body[2], ATT_READ_REQUEST);
	rig_restart(&w->rig);
	credit(w, &a, cost_told(w) + 50 * (LONG + 4));
	w->down_seen = 0;
	for (uint16_t i = 0; i < 50; i++)
		peer_says(w, 0x40, ATT_WRITE_COMMAND, i, LONG);
	for (unsigned i = 0; i < w->down_seen; i++)
		assert_int_equal(w->down[i].body[3], n++);
	assert_int_equal(n, 50);
	assert_int_equal(rig_counter(&w->rig, "window_discarded"), 50 - passed);
	world_free(w);
}

/* A peer that floods with commands loses the newest of them; its requests always find room. */
static void test_flood_of_commands(void **state)
{
	static const uint8_t opcodes[] = { ATT_WRITE_COMMAND, ATT_SIGNED_WRITE_COMMAND, ATT_HANDLE_VALUE_NOTIFICATION,
		ATT_MULTIPLE_HANDLE_VALUE_NOTIFICATION };

	(void)state;
	for (unsigned o = 0; o < ARRAY_LEN(opcodes); o++) {
		struct world *w = world_up(1);
		struct record a = connected(w, 0x40);
		unsigned commands = 0, others = 0;

		w->down_seen = 0;
		for (uint16_t i = 0; i < 200; i++)
			peer_says(w, 0x40, opcodes[o], i, LONG);
		assert_true(rig_counter(&w->rig, "window_discarded") > 0);
		peer_says(w, 0x40, ATT_PREPARE_WRITE_REQUEST, 1, PDU_MAX);	/* one of each that may be under way */
		peer_says(w, 0x40, ATT_HANDLE_VALUE_INDICATION, 1, PDU_MAX);
		peer_says(w, 0x40, ATT_HANDLE_VALUE_CONFIRMATION, 0, 1);
		assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 0);
		for (unsigned i = 0; i < 200; i++)
			credit(w, &a, 512);
		for (unsigned i = 0; i < w->down_seen; i++)
			*(w->down[i].body[2] == opcodes[o] ? &commands : &others) += 1;
		assert_int_equal(others, 3);
		assert_int_equal(commands + rig_counter(&w->rig, "window_discarded"), 200);
		world_free(w);
	}
}

/* Requests without end, which no lawful peer sends: that peer is disconnected, and only it. */
static void test_flood_of_requests(void **state)
{
	struct world *w = world_up(3);
	struct record a, again;

	(void)state;
	a = connected(w, 0x40);
	connected(w, 0x41);
	world_pdu(w, &a, L2CAP_CID_ATT, BYTES_OF(ATT_HANDLE_VALUE_NOTIFICATION, 3, 0, 1));
	for (uint16_t i = 0; i < 80; i++)
		peer_says(w, 0x40, ATT_WRITE_REQUEST, i, LONG);
	assert_int_equal(rig_counter(&w->rig, "window_overruns"), 1);
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 1);
	assert_int_equal(world_last(w, HCI_COMMAND_DISCONNECT)->parameters[0], 0x40);
	assert_true(rig_counter(&w->rig, "acl_ignored") > 0);
	w->down_seen = 0;
	peer_says(w, 0x41, ATT_READ_REQUEST, 7, 3);
	assert_int_equal(w->down_seen, 1);
	world_disconnect(w, 0x40, 0x16);			/* the end comes behind its data */
	assert_int_equal(w->down[w->down_seen - 1].h.kind, RECORD_DISCONNECTED);
	world_disconnect(w, 0x40, 0x16);			/* that handle is nobody's now */
	assert_int_equal(rig_counter(&w->rig, "handles_unknown"), 1);
	again = connected(w, 0x40);				/* and may be another's */
	assert_int_not_equal(again.generation, a.generation);
	credit(w, &a, WINDOW_IN / 8);
	assert_true(rig_counter(&w->rig, "stale_records") > 0);
	world_free(w);
}

/* The Security Manager's PDUs are none that may be lost: commands leave room for them, and who overruns with them has to go. */
static void test_smp_is_never_discarded(void **state)
{
	struct world *w = world_up(1);
	struct record a = connected(w, 0x40);
	uint8_t smp[65] = { 0x0C }, signing[17] = { 0x4A };
	unsigned kept = 0;

	(void)state;
	w->down_seen = 0;
	for (uint16_t i = 0; i < 200; i++)
		peer_says(w, 0x40, ATT_WRITE_COMMAND, i, LONG);
	for (uint16_t i = 0; i < 50; i++)				/* what is left for them, to the octet */
		peer_says(w, 0x40, ATT_WRITE_COMMAND, i, 3);
	peer_says(w, 0x40, ATT_PREPARE_WRITE_REQUEST, 1, PDU_MAX);
	peer_says(w, 0x40, ATT_HANDLE_VALUE_INDICATION, 1, PDU_MAX);
	world_frame(w, 0x40, L2CAP_CID_SMP, (struct bytes){ smp, sizeof smp });
	world_frame(w, 0x40, L2CAP_CID_SMP, (struct bytes){ signing, sizeof signing });	/* its opcode has the bit of a command */
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 0);
	for (unsigned i = 0; i < 100; i++)
		world_frame(w, 0x40, L2CAP_CID_SMP, (struct bytes){ smp, sizeof smp });
	assert_int_equal(rig_counter(&w->rig, "window_overruns"), 1);
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 1);
	for (unsigned i = 0; i < 100; i++)
		credit(w, &a, 512);
	for (unsigned i = 0; i < w->down_seen; i++)
		kept += w->down[i].h.kind == RECORD_L2CAP_PDU && w->down[i].body[0] == L2CAP_CID_SMP;
	assert_true(kept >= 2);
	world_free(w);
}

/* gattd's own window: each octet comes back, in steps, however the PDUs leave. */
static void test_credit_comes_back(void **state)
{
	struct world *w = world_new(1);
	struct record a;
	uint32_t sent = 0, back = 0, octets;
	uint8_t pdu[PDU_MAX] = { ATT_HANDLE_VALUE_NOTIFICATION };

	(void)state;
	w->le_length = 251;
	world_configure(w, true);
	a = connected(w, 0x40);
	for (unsigned i = 0; i < 500; i++) {
		size_t len = 1 + i * 37 % PDU_MAX;
		unsigned was = w->down_seen;

		assert_true(sent + len + 4 <= WINDOW_OUT + back);	/* a lawful gattd never waits for ever */
		w->packets_seen = 0;
		world_pdu(w, &a, L2CAP_CID_ATT, (struct bytes){ pdu, len });
		sent += (uint32_t)len + 4;
		if (i % 2)
			world_completed(w, 0x40, (uint16_t)world_outstanding(w));
		if (i % 2)
			world_completed(w, 0x40, (uint16_t)world_outstanding(w));
		for (unsigned k = was; k < w->down_seen; k++)
			if (w->down[k].h.kind == RECORD_CREDIT) {
				memcpy(&octets, w->down[k].body, 4);
				assert_true(octets >= WINDOW_OUT / 4);
				back += octets;
			}
	}
	assert_true(back <= sent + connection_next(&w->rig.arena, NULL)->extra * CHUNK_OCTETS);
	assert_true(connection_next(&w->rig.arena, NULL)->extra * CHUNK_OCTETS >= 8192);	/* alone, and used */
	assert_int_equal(rig_counter(&w->rig, "gattd_overruns"), 0);
	world_free(w);
}

static void test_gattd_that_breaks_its_word(void **state)
{
	struct world *w = world_up(2);
	struct record a = connected(w, 0x40);
	uint8_t pdu[PDU_MAX + 1] = { 0x1B };

	(void)state;
	world_pdu(w, &a, L2CAP_CID_ATT, (struct bytes){ pdu, sizeof pdu });	/* too long */
	world_pdu(w, &a, L2CAP_CID_ATT, (struct bytes){ 0 });
	world_pdu(w, &a, L2CAP_CID_LE_SIGNALLING, BYTES_OF(1, 1, 2, 0, 0, 0));
	world_pdu(w, &a, 0x40, BYTES_OF(1));
	world_gattd(w, &a, RECORD_L2CAP_PDU, BYTES_OF(4));
	world_gattd(w, &a, RECORD_CREDIT, BYTES_OF(4));
	world_gattd(w, &a, RECORD_DISCONNECT, (struct bytes){ 0 });
	world_gattd(w, &a, 0x7E, BYTES_OF(4));
	assert_int_equal(rig_counter(&w->rig, "records_bad"), 8);
	credit(w, &a, 0xFFFFFF);
	assert_int_equal(rig_counter(&w->rig, "credits_clamped"), 1);
	assert_int_equal(w->packets_seen, 0);
	for (unsigned i = 0; i < 9; i++)
		world_pdu(w, &a, L2CAP_CID_ATT, (struct bytes){ pdu, PDU_MAX });
	assert_int_equal(rig_counter(&w->rig, "gattd_overruns"), 1);
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 1);
	world_free(w);
}

/* What is owed to it is no room yet: a gattd that uses it nevertheless has broken its word, and no chunk is promised twice. */
static void test_gattd_that_uses_what_is_owed(void **state)
{
	enum { PEERS = 4, ROUNDS = 2000 };
	struct world *w = world_new(PEERS);
	uint8_t pdu[2 + PDU_MAX] = { 4, 0, 0x1B };
	struct record r[PEERS];
	struct host h;

	(void)state;
	w->le_length = 251;
	w->le_packets = 8;
	world_configure(w, true);
	for (unsigned i = 0; i < PEERS; i++)
		r[i] = connected(w, (uint16_t)(0x40 + i));
	h = (struct host){ .arena = w->rig.step.arena };
	for (unsigned n = 0; n < ROUNDS; n++) {
		unsigned i = n / 200 % PEERS;
		const struct connection *c = connection_find(&h, (uint16_t)(0x40 + i));

		if (!c || c->state != CONNECTION_OPEN)
			continue;
		while (c->state == CONNECTION_OPEN && c->tx.len + FRAME_MAX < window_out(c)) {
			w->down_seen = w->packets_seen = 0;
			world_gattd(w, &r[i], RECORD_L2CAP_PDU, (struct bytes){ pdu, sizeof pdu });
		}
		w->down_seen = w->packets_seen = 0;
		if (c->outstanding)
			world_completed(w, (uint16_t)(0x40 + i), (uint16_t)c->outstanding);
		assert_true(arena_live(h.arena, POOL_chunk) + the_flow(&h)->spare <= h.arena->pool[POOL_chunk].count);
	}
	assert_int_equal(rig_counter(&w->rig, "gattd_overruns"), PEERS);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_flood_of_commands),
		cmocka_unit_test(test_flood_of_requests),
		cmocka_unit_test(test_smp_is_never_discarded),
		cmocka_unit_test(test_credit_comes_back),
		cmocka_unit_test(test_gattd_that_breaks_its_word),
		cmocka_unit_test(test_gattd_that_uses_what_is_owed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
