/* Connections: how they begin and end, who hears of it, and what happens when a neighbour goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/host_world.h"

static const struct connection *first(const struct world *w) { return connection_next(&w->rig.arena, NULL); }

static void test_connected_says_all(void **state)
{
	struct world *w = world_up(2);
	struct local_connected m;
	const struct seen_record *r;

	(void)state;
	world_connect(w, 0x0123);
	r = world_told(w, RECORD_CONNECTED);
	assert_true(local_connected_decode((struct bytes){ r->body, r->h.len }, &m));
	assert_int_equal(m.handle, 0x0123);
	assert_int_equal(m.transport, TRANSPORT_LE);
	assert_int_equal(m.role, ROLE_PERIPHERAL);
	assert_int_equal(m.peer_type, ADDRESS_RANDOM);
	assert_memory_equal(m.peer, ((uint8_t[]){ 0x23, 0x01, 0, 0, 0, 0xF0 }), 6);
	assert_int_equal(m.own_type, ADDRESS_RANDOM);
	assert_memory_equal(m.own, ((uint8_t[]){ 0xF5, 0xF4, 0xF3, 0xF2, 0xF1, 0xF0 }), 6);
	assert_int_equal(m.window_in, WINDOW_IN);
	assert_int_equal(m.window_out, WINDOW_OUT);
	assert_int_equal(r->h.generation & 1, 1);
	world_disconnect(w, 0x0123, 0x13);
	assert_int_equal(world_told(w, RECORD_DISCONNECTED)->body[0], 0x13);
	assert_int_equal(world_told(w, RECORD_DISCONNECTED)->h.generation, r->h.generation);
	/* Enhanced: the same facts. */
	world_le_event(w, HCI_LE_EVENT_ENHANCED_CONNECTION_COMPLETE, BYTES_OF(0, 0x41, 0, 1, 3, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0,
	    0,
	    9, 9, 9, 9, 9, 9, 24, 0, 0, 0, 72, 0, 0));
	r = world_told(w, RECORD_CONNECTED);
	assert_true(local_connected_decode((struct bytes){ r->body, r->h.len }, &m));
	assert_int_equal(m.handle, 0x41);
	assert_int_equal(m.peer_type, ADDRESS_RANDOM_IDENTITY);
	assert_memory_equal(m.peer, ((uint8_t[]){ 6, 5, 4, 3, 2, 1 }), 6);
	world_free(w);
}

static void test_stale_generation(void **state)
{
	struct world *w = world_up(1);
	struct record old;
	uint32_t outstanding;

	(void)state;
	world_connect(w, 0x40);
	old = world_told(w, RECORD_CONNECTED)->h;
	world_disconnect(w, 0x40, 0x08);
	world_connect(w, 0x40);
	assert_int_equal(world_told(w, RECORD_CONNECTED)->h.index, old.index);
	assert_int_not_equal(world_told(w, RECORD_CONNECTED)->h.generation, old.generation);
	outstanding = world_outstanding(w);
	world_pdu(w, &old, 4, BYTES_OF(0x0B, 1));
	world_gattd(w, &old, RECORD_DISCONNECT, BYTES_OF(0x13));
	world_gattd(w, &old, RECORD_CREDIT, BYTES_OF(1, 0, 0, 0));
	world_gattd(w, &(struct record){ .index = 999, .generation = 1 }, RECORD_L2CAP_PDU, BYTES_OF(4, 0, 1));
	assert_int_equal(rig_counter(&w->rig, "stale_records"), 4);
	assert_int_equal(world_outstanding(w), outstanding);
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 0);
	world_free(w);
}

static void test_repeated_and_refused(void **state)
{
	struct world *w = world_up(2);
	struct record old;

	(void)state;
	world_connect(w, 0x40);
	old = world_told(w, RECORD_CONNECTED)->h;
	world_pdu(w, &old, 4, BYTES_OF(0x1B, 1, 0, 1));
	world_connect(w, 0x40);				/* the same handle again: the old link ends first */
	assert_int_equal(w->down[1].h.kind, RECORD_DISCONNECTED);
	assert_int_equal(w->down[1].h.generation, old.generation);
	assert_int_equal(w->down[2].h.kind, RECORD_CONNECTED);
	assert_int_equal(rig_counter(&w->rig, "connections_repeated"), 1);
	world_connect(w, 0x41);
	world_connect(w, 0x42);				/* no slot: named refusal, nobody is told */
	assert_int_equal(world_last(w, HCI_COMMAND_DISCONNECT)->parameters[0], 0x42);
	assert_int_equal(world_last(w, HCI_COMMAND_DISCONNECT)->parameters[2], HCI_ERROR_REMOTE_DEVICE_TERMINATED_LOW_RESOURCES);
	assert_int_equal(world_told_count(w, RECORD_CONNECTED), 3);
	world_disconnect(w, 0x42, 0x16);
	assert_int_equal(rig_counter(&w->rig, "handles_unknown"), 1);
	world_connect(w, 0x41);				/* full, and a live handle once more */
	assert_int_equal(world_told_count(w, RECORD_CONNECTED), 4);
	world_connect(w, 0x0F00);			/* no handle */
	assert_int_equal(rig_counter(&w->rig, "handles_unknown"), 2);
	world_free(w);
}

static void test_disconnect_asked_by_gattd(void **state)
{
	static const uint8_t reasons[][2] = { { 0x05, 0x05 }, { 0x13, 0x13 }, { 0x14, 0x14 }, { 0x15, 0x15 }, { 0x1A, 0x1A },
	    { 0x29, 0x29 },
		{ 0x3B, 0x3B }, { 0x08, 0x13 }, { 0x00, 0x13 }, { 0xFF, 0x13 } };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(reasons); i++) {
		struct world *w = world_up(1);
		struct record to;

		world_connect(w, 0x40);
		to = world_told(w, RECORD_CONNECTED)->h;
		world_gattd(w, &to, RECORD_DISCONNECT, (struct bytes){ reasons[i], 1 });
		world_gattd(w, &to, RECORD_DISCONNECT, (struct bytes){ reasons[i], 1 });
		assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 1);
		assert_int_equal(world_last(w, HCI_COMMAND_DISCONNECT)->parameters[2], reasons[i][1]);
		assert_null(world_told(w, RECORD_DISCONNECTED));	/* not before it is */
		world_pdu(w, &to, 4, BYTES_OF(0x1B, 1, 0));		/* nobody would hear it */
		assert_int_equal(w->packets_seen, 0);
		world_disconnect(w, 0x40, 0x16);
		assert_int_equal(world_told(w, RECORD_DISCONNECTED)->body[0], 0x16);
		world_free(w);
	}
}

static void test_disconnect_that_goes_wrong(void **state)
{
	struct world *w = world_up(1);
	struct record to;

	(void)state;
	world_connect(w, 0x40);
	to = world_told(w, RECORD_CONNECTED)->h;
	w->refuse = HCI_COMMAND_DISCONNECT;
	w->refuse_by_status = true;
	w->status = HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER;	/* it is gone already */
	world_gattd(w, &to, RECORD_DISCONNECT, BYTES_OF(0x13));
	assert_int_equal(world_told(w, RECORD_DISCONNECTED)->body[0], HCI_ERROR_CONNECTION_TERMINATED_BY_LOCAL_HOST);
	world_connect(w, 0x40);
	to = world_told(w, RECORD_CONNECTED)->h;
	w->refuse = 0;
	world_gattd(w, &to, RECORD_DISCONNECT, BYTES_OF(0x13));	/* accepted, and never completed */
	rig_sleep(&w->rig, CLOSING_DEADLINE_NS - 1);
	world_run(w);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 0);
	rig_sleep(&w->rig, 1);
	world_run(w);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 1);
	assert_int_equal(world_told_count(w, RECORD_DISCONNECTED), 2);
	world_free(w);
}

static void test_gattd_is_given_up(void **state)
{
	struct world *w = world_up(40);
	struct record to;
	uint16_t n;

	(void)state;
	for (n = 0; n < 40; n++)
		world_connect(w, (uint16_t)(0x40 + n));
	to = world_told(w, RECORD_CONNECTED)->h;
	world_pdu(w, &to, 4, BYTES_OF(0x1B, 1, 0));
	world_forget(w);
	rig_detach(&w->rig, LINK_DOWN);
	world_supervisor(w, (struct record){ .kind = RECORD_NEIGHBOUR_LOST, .index = LINK_DOWN }, BYTES_OF(0x15));
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 40);
	assert_int_equal(world_last(w, HCI_COMMAND_DISCONNECT)->parameters[2], HCI_ERROR_REMOTE_DEVICE_TERMINATED_POWER_OFF);
	for (n = 0; n < 40; n++)
		world_disconnect(w, (uint16_t)(0x40 + n), 0x16);
	assert_null(first(w));
	assert_int_equal(world_count(w, HCI_COMMAND_LE_SET_ADVERTISING_ENABLE), 0);	/* nobody to serve */
	world_connect(w, 0x40);								/* one that crossed */
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 41);
	rig_attach(&w->rig, LINK_DOWN, 2);
	world_run(w);
	assert_int_equal(world_last(w, HCI_COMMAND_LE_SET_ADVERTISING_ENABLE)->parameters[0], 1);
	world_connect(w, 0x41);
	assert_int_equal(w->down_seen, 1);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 0);
	world_free(w);
}

static void test_gattd_begins_anew(void **state)
{
	struct world *w = world_up(2);
	struct record to;

	(void)state;
	world_connect(w, 0x40);
	to = world_told(w, RECORD_CONNECTED)->h;
	world_forget(w);
	rig_attach(&w->rig, LINK_DOWN, 2);		/* it knows nothing of the connection */
	world_run(w);
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 1);
	world_frame(w, 0x40, 4, BYTES_OF(0x0A, 3, 0));
	world_pdu(w, &to, 4, BYTES_OF(0x0B, 1));
	assert_int_equal(w->down_seen + w->packets_seen, 0);
	assert_int_equal(rig_counter(&w->rig, "stale_records"), 1);
	world_disconnect(w, 0x40, 0x16);
	assert_int_equal(w->down_seen, 0);
	world_free(w);
}

static void test_transportd_is_given_up(void **state)
{
	struct world *w = world_up(40);

	(void)state;
	for (uint16_t n = 0; n < 40; n++)
		world_connect(w, (uint16_t)(0x40 + n));
	world_forget(w);
	rig_detach(&w->rig, LINK_UP);
	world_supervisor(w, (struct record){ .kind = RECORD_NEIGHBOUR_LOST, .index = LINK_UP }, BYTES_OF(0x15));
	assert_int_equal(world_told_count(w, RECORD_DISCONNECTED), 40);
	assert_null(first(w));
	rig_attach(&w->rig, LINK_UP, 2);
	world_run(w);
	assert_int_equal(w->command[0].opcode, HCI_COMMAND_RESET);
	assert_int_equal(world_notices(w, NOTICE_READY), 1);
	world_free(w);
}

static void test_transport_goes_and_comes(void **state)
{
	struct world *w = world_up(2);
	struct record h = { .kind = RECORD_TRANSPORT_STATE };

	(void)state;
	world_connect(w, 0x40);
	world_forget(w);
	rig_put(&w->rig, LINK_UP, h, BYTES_OF(1, 0, 0, 0, 0, 0, 0, 0, 0));	/* up, as it was: nothing */
	rig_put(&w->rig, LINK_UP, h, BYTES_OF(2, 5, 0, 0, 0, 9, 0, 0, 0));	/* unknown: said, not guessed */
	rig_put(&w->rig, LINK_UP, h, BYTES_OF(3, 0, 0, 0, 0, 0, 0, 0, 0));
	world_run(w);
	assert_int_equal(w->commands_seen + w->down_seen, 0);
	assert_int_equal(rig_counter(&w->rig, "transport_unknown"), 1);
	assert_int_equal(rig_counter(&w->rig, "records_bad"), 1);
	rig_put(&w->rig, LINK_UP, h, BYTES_OF(0, 0, 0, 0, 0, 0, 0, 0, 0));
	world_run(w);
	assert_int_equal(world_told_count(w, RECORD_DISCONNECTED), 1);
	assert_int_equal(w->commands_seen, 0);
	rig_put(&w->rig, LINK_UP, h, BYTES_OF(1, 0, 0, 0, 0, 0, 0, 0, 0));
	world_run(w);
	assert_int_equal(w->command[0].opcode, HCI_COMMAND_RESET);
	world_free(w);
}

/* While connections are being ended before a Reset, nothing of theirs goes out any more. */
static void test_nothing_before_the_reset(void **state)
{
	struct world *w = world_up(40);
	struct record to;
	uint8_t pdu[] = { 4, 0, 0x1B, 3, 0 };

	(void)state;
	for (uint16_t n = 0; n < 40; n++)
		world_connect(w, (uint16_t)(0x40 + n));
	to = world_told(w, RECORD_CONNECTED)->h;
	world_forget(w);
	w->rig.batch = 3;
	rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_HCI_EVENT }, BYTES_OF(HCI_EVENT_HARDWARE_ERROR, 1, 7));
	for (unsigned i = 0; i < 4; i++) {
		to.kind = i == 3 ? RECORD_DISCONNECT : RECORD_L2CAP_PDU;
		rig_put(&w->rig, LINK_DOWN, to, (struct bytes){ pdu, i == 3 ? 1 : sizeof pdu });
	}
	world_run(w);
	assert_int_equal(w->packets_seen, 0);
	assert_int_equal(w->command[0].opcode, HCI_COMMAND_RESET);
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 0);
	assert_int_equal(world_told_count(w, RECORD_DISCONNECTED), 40);
	world_free(w);
}

/* A controller says that we are central: then we may be asked for parameters, and ask the controller. */
static void test_role_central(void **state)
{
	struct world *w = world_up(1);

	(void)state;
	world_le_event(w, HCI_LE_EVENT_CONNECTION_COMPLETE, BYTES_OF(0, 0x40, 0, 0, 0, 1, 2, 3, 4, 5, 6, 24, 0, 0, 0, 72, 0, 0));
	world_frame(w, 0x40, 5, BYTES_OF(0x12, 1, 8, 0, 6, 0, 12, 0, 0, 0, 200, 0));
	assert_memory_equal(w->packet[0].data + 4, ((uint8_t[]){ 0x13, 1, 2, 0, 0, 0 }), 6);
	assert_int_equal(world_count(w, HCI_COMMAND_LE_CONNECTION_UPDATE), 1);
	world_frame(w, 0x40, 5, BYTES_OF(0x12, 2, 8, 0, 12, 0, 6, 0, 0, 0, 200, 0));
	assert_memory_equal(w->packet[1].data + 4, ((uint8_t[]){ 0x13, 2, 2, 0, 1, 0 }), 6);
	assert_int_equal(world_count(w, HCI_COMMAND_LE_CONNECTION_UPDATE), 1);
	rig_sleep(&w->rig, 2 * COMMAND_DEADLINE_NS);
	assert_int_equal(rig_counter(&w->rig, "command_timeouts"), 0);
	world_free(w);
}

/* A story of connections is the same whether or not the worker dies in each of its steps. */
static void story(struct world *w, bool killed)
{
	struct record to;

	for (unsigned round = 0; round < 6; round++) {
		for (uint16_t n = 0; n < 3; n++) {
			uint8_t complete[] = { 1, 0, (uint8_t)(0x40 + n), 0, 1, 1, 1, 2, 3, 4, 5, 0xC6, 24, 0, 0, 0, 72, 0, 0 };
			uint8_t event[2 + sizeof complete] = { HCI_EVENT_LE_META, sizeof complete };

			memcpy(event + 2, complete, sizeof complete);
			rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_HCI_EVENT }, (struct bytes){ event,
			    sizeof event });
			if (killed)
				rig_crash(&w->rig);
			world_run(w);
			to = world_told(w, RECORD_CONNECTED)->h;
			for (unsigned i = 0; i < 4; i++) {
				uint8_t pdu[62] = { 4, 0, 0x1B, (uint8_t)i, (uint8_t)round };
				uint8_t acl[] = { (uint8_t)(0x40 + n), 0x20, 7, 0, 3, 0, 4, 0, 0x0A, 3, 0 };

				rig_put(&w->rig, LINK_DOWN, (struct record){ .kind = RECORD_L2CAP_PDU, .index = to.index,
				    .generation = to.generation },
				    (struct bytes){ pdu, sizeof pdu });
				rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_HCI_ACL }, (struct bytes){ acl,
				    sizeof acl });
				if (killed)
					rig_crash(&w->rig);
				world_run(w);
				if (killed)
					rig_restart(&w->rig);
				world_completed(w, (uint16_t)(0x40 + n), 2);
			}
		}
		for (uint16_t n = 0; n < 3; n++)
			world_disconnect(w, (uint16_t)(0x40 + n), 0x13);
	}
}
static void test_killed_or_not(void **state)
{
	struct world *a = world_up(3), *b = world_up(3);

	(void)state;
	story(a, false);
	story(b, true);
	assert_int_equal(a->packets_seen, b->packets_seen);
	assert_memory_equal(a->packet, b->packet, a->packets_seen * sizeof *a->packet);
	assert_int_equal(a->down_seen, b->down_seen);
	for (unsigned i = 0; i < a->down_seen; i++) {
		assert_int_equal(a->down[i].h.kind, b->down[i].h.kind);
		assert_int_equal(a->down[i].h.generation, b->down[i].h.generation);
		assert_int_equal(a->down[i].h.len, b->down[i].h.len);
		assert_memory_equal(a->down[i].body, b->down[i].body, a->down[i].h.len);
	}
	assert_int_equal(a->commands_seen, b->commands_seen);
	assert_memory_equal(a->command, b->command, a->commands_seen * sizeof *a->command);
	world_free(a);
	world_free(b);
}

static void test_poison(void **state)
{
	struct world *w = world_up(2);
	struct record to;

	(void)state;
	world_connect(w, 0x40);
	to = world_told(w, RECORD_CONNECTED)->h;
	to.kind = RECORD_L2CAP_PDU;
	hostd_core.on_poison(&w->rig.step, LINK_DOWN, &to, RUNG_SKIP_RECORD);
	world_run(w);
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 1);
	hostd_core.on_poison(&w->rig.step, LINK_DOWN, &to, RUNG_RESET_CONNECTION);
	world_run(w);
	assert_int_equal(world_told_count(w, RECORD_DISCONNECTED), 1);
	hostd_core.on_poison(&w->rig.step, LINK_UP, &(struct record){ .kind = RECORD_HCI_ACL }, RUNG_SKIP_RECORD);
	world_run(w);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 0);
	hostd_core.on_poison(&w->rig.step, LINK_UP, &(struct record){ .kind = RECORD_HCI_EVENT }, RUNG_SKIP_RECORD);
	world_run(w);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 1);
	assert_int_equal(rig_counter(&w->rig, "records_poisoned"), 4);
	world_free(w);
}

/* Data that kills ends the connection whose handle transportd wrote into the header: handle 0, too, and nobody else's. */
static void test_poisonous_data_ends_its_connection(void **state)
{
	struct record acl = { .kind = RECORD_HCI_ACL, .index = 0, .generation = 1 };
	struct world *w = world_up(3);

	(void)state;
	world_connect(w, 0x000);
	world_connect(w, 0x041);
	hostd_core.on_poison(&w->rig.step, LINK_UP, &acl, RUNG_SKIP_RECORD);
	world_run(w);
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 1);
	assert_int_equal(world_told_count(w, RECORD_DISCONNECTED), 0);	/* once the controller says so */
	hostd_core.on_poison(&w->rig.step, LINK_UP, &acl, RUNG_RESET_CONNECTION);
	world_run(w);
	assert_int_equal(world_told_count(w, RECORD_DISCONNECTED), 1);	/* now its state is forgotten */
	acl.index = 0x41;
	hostd_core.on_poison(&w->rig.step, LINK_UP, &acl, RUNG_RESET_CONNECTION);
	world_run(w);
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 2);
	assert_int_equal(world_told_count(w, RECORD_DISCONNECTED), 2);
	acl.index = 0x42;			/* nobody's: nothing to end */
	hostd_core.on_poison(&w->rig.step, LINK_UP, &acl, RUNG_SKIP_RECORD);
	world_run(w);
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 2);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connected_says_all),
		cmocka_unit_test(test_stale_generation),
		cmocka_unit_test(test_repeated_and_refused),
		cmocka_unit_test(test_disconnect_asked_by_gattd),
		cmocka_unit_test(test_disconnect_that_goes_wrong),
		cmocka_unit_test(test_gattd_is_given_up),
		cmocka_unit_test(test_gattd_begins_anew),
		cmocka_unit_test(test_transportd_is_given_up),
		cmocka_unit_test(test_transport_goes_and_comes),
		cmocka_unit_test(test_nothing_before_the_reset),
		cmocka_unit_test(test_role_central),
		cmocka_unit_test(test_killed_or_not),
		cmocka_unit_test(test_poison),
		cmocka_unit_test(test_poisonous_data_ends_its_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
