/* What must not be lost when something is short: the command queue, slots, room for a turn, the controller's buffers; and that
 * nothing turns in a circle, or wakes up, when there is nothing left to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/host_world.h"
#include "wire/l2cap_names.h"

enum { FIRST = 0x40, LTK_REQUEST = 5, PARAMETER_REQUEST = 6 };

static const struct connection *at(const struct world *w, uint16_t handle)
{
	const struct connection *c = connection_next(&w->rig.arena, NULL);

	while (c && (c->handle != handle || c->state == CONNECTION_ENDED))
		c = connection_next(&w->rig.arena, c);
	return c;
}
static struct record named(const struct world *w, uint16_t handle, uint8_t kind)
{
	struct connection_id id = connection_id_of(at(w, handle));

	return (struct record){ .kind = kind, .index = (uint16_t)(id.v >> 16), .generation = (uint16_t)id.v };
}
static void connect_all(struct world *w, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		world_connect(w, (uint16_t)(FIRST + i));
}
static void put_event(struct world *w, struct bytes event)
{
	rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_HCI_EVENT }, event);
}
static void put_request(struct world *w, uint8_t subevent, uint16_t handle)
{
	uint8_t ltk[] = { 0x3E, 13, LTK_REQUEST, (uint8_t)handle, (uint8_t)(handle >> 8), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	uint8_t update[] = { 0x3E, 11, PARAMETER_REQUEST, (uint8_t)handle, (uint8_t)(handle >> 8), 6, 0, 12, 0, 0, 0, 200, 0 };

	put_event(w, subevent == LTK_REQUEST ? (struct bytes){ ltk, sizeof ltk } : (struct bytes){ update, sizeof update });
}
/* How often a command that names its connection first was sent to that one. */
static unsigned sent_to(const struct world *w, uint16_t opcode, uint16_t handle)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->commands_seen; i++)
		n += w->command[i].opcode == opcode && (w->command[i].parameters[0] | w->command[i].parameters[1] << 8) == handle;
	return n;
}
/* The controller takes up its work: the command that it owes an answer to is the first. */
static void speak_again(struct world *w)
{
	w->all_mute = false;
	world_complete(w, w->command[w->commands_seen - 1].opcode, 1, BYTES_OF(0, 0, 0));
}
static const struct radio *radio_of(const struct world *w) { return radio_next(&w->rig.arena, NULL); }

/* A gattd that begins anew while connections have work left: each of them is disconnected all the same. */
static void test_those_with_work_are_shed(void **state)
{
	enum { PEERS = 20 };
	struct world *w = world_up(32);
	struct rig *g = &w->rig;
	uint8_t body[64], pdu[200] = { 0x52, 1, 0 };
	struct record h;

	(void)state;
	connect_all(w, PEERS);
	for (uint16_t i = 0; i < PEERS; i++)
		for (unsigned k = 0; k < 24; k++)
			world_frame(w, (uint16_t)(FIRST + i), L2CAP_CID_ATT, (struct bytes){ pdu, sizeof pdu });
	for (uint16_t i = 0; i < PEERS; i++)
		rig_put(g, LINK_DOWN, named(w, (uint16_t)(FIRST + i), RECORD_CREDIT), BYTES_OF(0, 8, 0, 0));
	for (unsigned i = 0; i < PEERS; i++) {
		assert_int_equal(step_take(&g->step, LINK_DOWN, &h, body, sizeof body), 0);
		g->core->on_record(&g->step, LINK_DOWN, &h, (struct bytes){ body, h.len });
	}
	step_commit(&g->step);		/* the batch is over; before its turn on time the new gattd is there */
	world_forget(w);
	rig_attach(g, LINK_DOWN, 2);
	world_run(w);
	for (uint16_t i = 0; i < PEERS; i++)
		assert_int_equal(sent_to(w, HCI_COMMAND_DISCONNECT, (uint16_t)(FIRST + i)), 1);
	assert_int_equal(radio_of(w)->shedding, 0);
	world_free(w);
}

/* gattd begins anew, and then the controller, at once: nobody keeps its slot. */
static void test_ended_do_not_keep_their_slot(void **state)
{
	struct world *w = world_up(1);
	uint8_t pdu[200] = { 0x52, 1, 0 };

	(void)state;
	connect_all(w, 1);
	for (unsigned k = 0; k < 24; k++)
		world_frame(w, FIRST, L2CAP_CID_ATT, (struct bytes){ pdu, sizeof pdu });
	rig_attach(&w->rig, LINK_DOWN, 2);
	put_event(w, BYTES_OF(HCI_EVENT_HARDWARE_ERROR, 1, 7));
	world_run(w);
	assert_int_equal(arena_live(&w->rig.arena, POOL_connection), 0);
	world_free(w);
}

/* transportd is away for a moment (its supervisor begins anew) when gattd does: what has to be asked waits for it. */
static void test_shed_while_transportd_is_away(void **state)
{
	struct world *w = world_up(4);
	struct rig *g = &w->rig;

	(void)state;
	connect_all(w, 3);
	world_forget(w);
	rig_detach(g, LINK_UP);
	rig_attach(g, LINK_DOWN, 2);
	world_run(w);
	assert_int_equal(w->commands_seen, 0);
	g->generation[LINK_UP] = 1;
	step_attach(&g->step, LINK_UP, 1, g->ours[LINK_UP], RIG_RING, g->theirs[LINK_UP], RIG_RING);
	world_run(w);
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 3);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 0);
	world_free(w);
}

/* Given up, with connections still to be swept: what the controller says asks for no command, and nothing turns in a circle. */
static void test_rest_after_failure(void **state)
{
	enum { PEERS = 20 };
	struct world *w = world_up(32);

	(void)state;
	world_event(w, HCI_EVENT_HARDWARE_ERROR, BYTES_OF(7));		/* the first: Reset */
	connect_all(w, PEERS);
	world_forget(w);
	w->all_mute = true;
	put_event(w, BYTES_OF(HCI_EVENT_HARDWARE_ERROR, 1, 7));		/* the second: that is all */
	put_request(w, LTK_REQUEST, FIRST + PEERS - 1);
	put_request(w, PARAMETER_REQUEST, FIRST + PEERS - 1);
	world_run(w);
	assert_int_equal(radio_of(w)->state, HOST_FAILED);
	assert_int_equal(w->commands_seen, 0);
	assert_int_equal(rig_counter(&w->rig, "handles_unknown"), 2);
	rig_sleep(&w->rig, 2 * COMMAND_DEADLINE_NS);
	assert_true(hostd_core.deadline(&w->rig.step) == DEADLINE_NONE);
	world_free(w);
}

/* Whatever path a command took when nobody waits for its answer: its deadline is the end of it. */
static void test_no_deadline_stays_in_the_past(void **state)
{
	struct world *w = world_up(1);
	struct host h = { .step = &w->rig.step, .arena = &w->rig.arena };

	(void)state;
	world_event(w, HCI_EVENT_HARDWARE_ERROR, BYTES_OF(7));
	world_event(w, HCI_EVENT_HARDWARE_ERROR, BYTES_OF(7));
	assert_int_equal(radio_of(w)->state, HOST_FAILED);
	w->all_mute = true;
	h.now_ns = w->rig.now_ns;
	assert_true(HCI_SEND(&h, DISCONNECT, disconnect, FIRST, 0x13));
	world_run(w);
	assert_int_equal(the_commands(&h)->pending_count, 1);
	rig_sleep(&w->rig, COMMAND_DEADLINE_NS);
	assert_int_equal(the_commands(&h)->pending_count, 0);
	assert_int_equal(rig_counter(&w->rig, "command_timeouts"), 0);
	assert_true(hostd_core.deadline(&w->rig.step) == DEADLINE_NONE);
	world_free(w);
}

/* The controller asks once for each reply: all get theirs, however long the command queue was full. */
static void test_replies_are_not_lost(void **state)
{
	enum { PEERS = 240 };
	static const struct { uint8_t subevent; uint16_t opcode; } rows[] = {
		{ LTK_REQUEST, HCI_COMMAND_LE_LONG_TERM_KEY_REQUEST_NEGATIVE_REPLY },
		{ PARAMETER_REQUEST, HCI_COMMAND_LE_REMOTE_CONNECTION_PARAMETER_REQUEST_REPLY },
	};

	(void)state;
	for (unsigned r = 0; r < ARRAY_LEN(rows); r++) {
		struct world *w = world_up(PEERS);

		connect_all(w, PEERS);
		world_forget(w);
		w->all_mute = true;
		for (uint16_t i = 0; i < PEERS; i++)
			put_request(w, rows[r].subevent, (uint16_t)(FIRST + i));
		world_run(w);
		assert_true(rig_counter(&w->rig, "commands_unqueued") > 0);
		assert_int_equal(w->commands_seen, 1);
		rig_restart(&w->rig);
		speak_again(w);
		for (uint16_t i = 0; i < PEERS; i++)
			assert_int_equal(sent_to(w, rows[r].opcode, (uint16_t)(FIRST + i)), 1);
		assert_memory_equal(world_last(w, rows[r].opcode)->parameters + 2, ((uint8_t[]){ 6, 0, 12, 0, 0, 0, 200, 0 }),
		    r ? 8 : 0);
		assert_int_equal(radio_of(w)->shedding, 0);
		world_free(w);
	}
}

/* No slot and no room for the Disconnect: it goes as soon as there is, unless the peer went, or came back with a slot. */
static void test_refused_are_disconnected(void **state)
{
	enum { OTHERS = 5, GONE = 0x0EFF, BACK = 0x100 };
	struct world *w = world_up(1);
	const struct handles *map = handles_next(&w->rig.arena, NULL);

	(void)state;
	connect_all(w, 1);
	world_forget(w);
	w->all_mute = true;
	for (unsigned i = 0; i < 300; i++)
		put_request(w, LTK_REQUEST, FIRST);
	world_run(w);
	for (uint16_t i = 0; i < OTHERS; i++)
		world_connect(w, i);
	world_connect(w, 0);				/* again: it is one all the same */
	world_connect(w, GONE);
	world_connect(w, BACK);
	assert_int_equal(map->refused, OTHERS + 2);
	world_disconnect(w, GONE, 0x13);
	world_disconnect(w, FIRST, 0x13);
	world_connect(w, BACK);
	assert_int_equal(map->refused, OTHERS);
	rig_restart(&w->rig);
	speak_again(w);
	for (uint16_t i = 0; i < OTHERS; i++)
		assert_int_equal(sent_to(w, HCI_COMMAND_DISCONNECT, i), 1);
	assert_int_equal(world_last(w, HCI_COMMAND_DISCONNECT)->parameters[2], HCI_ERROR_REMOTE_DEVICE_TERMINATED_LOW_RESOURCES);
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), OTHERS);
	assert_int_equal(map->refused, 0);
	world_free(w);
}

/* With the controller gone, nobody is there who could be disconnected: it is not asked to, not even when we gave up. */
static void test_refused_are_forgotten(void **state)
{
	struct world *w = world_up(1);
	const struct handles *map = handles_next(&w->rig.arena, NULL);

	(void)state;
	world_event(w, HCI_EVENT_HARDWARE_ERROR, BYTES_OF(7));
	connect_all(w, 1);
	w->all_mute = true;
	for (unsigned i = 0; i < 300; i++)
		put_request(w, LTK_REQUEST, FIRST);
	world_run(w);
	world_connect(w, 1);
	assert_int_equal(map->refused, 1);
	world_forget(w);
	w->all_mute = false;
	world_event(w, HCI_EVENT_HARDWARE_ERROR, BYTES_OF(7));
	assert_int_equal(map->refused, 0);
	assert_int_equal(radio_of(w)->state, HOST_FAILED);
	assert_int_equal(w->commands_seen, 0);
	world_free(w);
}

/* As central: what there is no room to ask the controller for is not accepted. */
static void test_an_update_is_asked_or_refused(void **state)
{
	struct world *w = world_up(1);

	(void)state;
	world_le_event(w, HCI_LE_EVENT_CONNECTION_COMPLETE, BYTES_OF(0, 0x40, 0, 0, 0, 1, 2, 3, 4, 5, 6, 24, 0, 0, 0, 72, 0, 0));
	w->all_mute = true;
	for (unsigned i = 0; i < 300; i++)
		put_request(w, LTK_REQUEST, FIRST);
	world_run(w);
	world_frame(w, FIRST, L2CAP_CID_LE_SIGNALLING, BYTES_OF(0x12, 1, 8, 0, 6, 0, 12, 0, 0, 0, 200, 0));
	assert_memory_equal(w->packet[0].data + 4, ((uint8_t[]){ 0x13, 1, 2, 0, 1, 0 }), 6);
	speak_again(w);
	assert_int_equal(world_count(w, HCI_COMMAND_LE_CONNECTION_UPDATE), 0);
	world_free(w);
}

/* Nothing left to wait for: no deadline, however far away. */
static void test_idle_makes_no_wake_up(void **state)
{
	struct world *w = world_up(4);

	(void)state;
	connect_all(w, 2);
	for (uint16_t i = 0; i < 2; i++)
		world_gattd(w, &(struct record){ .index = named(w, (uint16_t)(FIRST + i), 0).index,
		    .generation = named(w, (uint16_t)(FIRST + i), 0).generation }, RECORD_DISCONNECT, BYTES_OF(0x13));
	world_disconnect(w, FIRST, 0x16);
	assert_true(hostd_core.deadline(&w->rig.step) == w->rig.now_ns + CLOSING_DEADLINE_NS);	/* the other's */
	world_disconnect(w, FIRST + 1, 0x16);
	assert_true(hostd_core.deadline(&w->rig.step) == DEADLINE_NONE);
	world_frame(w, FIRST + 2, L2CAP_CID_ATT, BYTES_OF(0x0A, 3, 0));
	world_frame(w, FIRST + 3, L2CAP_CID_ATT, BYTES_OF(0x0A, 3, 0));
	world_connect(w, FIRST + 2);
	assert_true(hostd_core.deadline(&w->rig.step) == w->rig.now_ns + EARLY_DEADLINE_NS);
	world_connect(w, FIRST + 3);
	assert_true(hostd_core.deadline(&w->rig.step) == DEADLINE_NONE);
	world_free(w);
}

/* Poison resets a connection: gattd hears of its end at once, the buffers it has at the controller are not given away. */
static void test_reset_keeps_the_buffers(void **state)
{
	struct world *w = world_up(2);
	struct record a, b;
	uint8_t pdu[300] = { 0x1B };

	(void)state;
	connect_all(w, 2);
	a = named(w, FIRST, RECORD_L2CAP_PDU);
	b = named(w, FIRST + 1, 0);
	world_pdu(w, &a, L2CAP_CID_ATT, (struct bytes){ pdu, sizeof pdu });
	world_pdu(w, &b, L2CAP_CID_ATT, (struct bytes){ pdu, sizeof pdu });
	assert_int_equal(world_flow(w)->credits, 1);
	world_forget(w);
	hostd_core.on_poison(&w->rig.step, LINK_DOWN, &a, RUNG_RESET_CONNECTION);
	world_run(w);
	assert_int_equal(world_told(w, RECORD_DISCONNECTED)->h.generation, a.generation);
	assert_int_equal(world_told(w, RECORD_DISCONNECTED)->body[0], HCI_ERROR_CONNECTION_TERMINATED_BY_LOCAL_HOST);
	assert_int_equal(sent_to(w, HCI_COMMAND_DISCONNECT, FIRST), 1);
	assert_int_equal(w->packets_seen, 0);		/* the controller still has them */
	world_pdu(w, &a, L2CAP_CID_ATT, BYTES_OF(0x1B, 1, 0));
	assert_int_equal(rig_counter(&w->rig, "stale_records"), 1);
	world_disconnect(w, FIRST, 0x16);
	assert_int_equal(w->packets_seen, 2);
	assert_int_equal(w->packet[0].handle, FIRST + 1);
	assert_int_equal(world_told_count(w, RECORD_DISCONNECTED), 1);
	assert_null(at(w, FIRST));
	world_free(w);
}

/* ... also while there is no room for its Disconnect, which then still goes. */
static void test_reset_without_room_for_the_disconnect(void **state)
{
	struct world *w = world_up(1);
	struct record a;

	(void)state;
	connect_all(w, 1);
	a = named(w, FIRST, RECORD_L2CAP_PDU);
	w->all_mute = true;
	for (unsigned i = 0; i < 300; i++)
		put_request(w, LTK_REQUEST, FIRST);
	world_run(w);
	hostd_core.on_poison(&w->rig.step, LINK_DOWN, &a, RUNG_RESET_CONNECTION);
	world_run(w);
	assert_int_equal(world_told_count(w, RECORD_DISCONNECTED), 1);
	assert_int_equal(at(w, FIRST)->state, CONNECTION_UNWANTED);
	speak_again(w);
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 1);
	assert_int_equal(world_last(w, HCI_COMMAND_DISCONNECT)->parameters[2], HCI_ERROR_REMOTE_USER_TERMINATED_CONNECTION);
	world_disconnect(w, FIRST, 0x16);
	assert_int_equal(world_told_count(w, RECORD_DISCONNECTED), 1);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_those_with_work_are_shed),
		cmocka_unit_test(test_ended_do_not_keep_their_slot),
		cmocka_unit_test(test_shed_while_transportd_is_away),
		cmocka_unit_test(test_rest_after_failure),
		cmocka_unit_test(test_no_deadline_stays_in_the_past),
		cmocka_unit_test(test_replies_are_not_lost),
		cmocka_unit_test(test_refused_are_disconnected),
		cmocka_unit_test(test_refused_are_forgotten),
		cmocka_unit_test(test_an_update_is_asked_or_refused),
		cmocka_unit_test(test_idle_makes_no_wake_up),
		cmocka_unit_test(test_reset_keeps_the_buffers),
		cmocka_unit_test(test_reset_without_room_for_the_disconnect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
