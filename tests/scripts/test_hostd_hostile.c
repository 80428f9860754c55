/* A controller that lies: each row is an event, the counter that has to move, and what goes out because of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/host_world.h"
#include "wire/l2cap_names.h"

struct octets { uint8_t len, at[80]; };
#define EVENT(code, ...) { 2 + sizeof((uint8_t[]){ __VA_ARGS__ }), { code, sizeof((uint8_t[]){ __VA_ARGS__ }), __VA_ARGS__ } }
#define RAW(...) { sizeof((uint8_t[]){ __VA_ARGS__ }), { __VA_ARGS__ } }
struct row { const char *why; struct octets event; const char *counter; uint16_t answer; };

/* Connection 0x40 is there, nothing outstanding. */
static const struct row rows[] = {
	{ "no octet",                             { 0 }, "events_malformed", 0 },
	{ "half a header",                        RAW(0x0E), "events_malformed", 0 },
	{ "length beyond the end",                RAW(0x05, 5, 0, 0x40, 0, 0x13), "events_malformed", 0 },
	{ "length before the end",                RAW(0x05, 3, 0, 0x40, 0, 0x13), "events_malformed", 0 },
	{ "Disconnection Complete, short",        EVENT(0x05, 0, 0x40, 0), "events_malformed", 0 },
	{ "Disconnection Complete that failed",   EVENT(0x05, 0x0C, 0x40, 0, 0x13), "events_ignored", 0 },
	{ "for nobody",                           EVENT(0x05, 0, 0x41, 0, 0x13), "handles_unknown", 0 },
	{ "for a handle above 0x0EFF",            EVENT(0x05, 0, 0x40, 0xFF, 0x13), "handles_unknown", 0 },
	{ "Encryption Change for nobody",         EVENT(0x08, 0, 0x41, 0, 1), "handles_unknown", 0 },
	{ "Command Complete, empty",              EVENT(0x0E, 1, 0x03, 0x0C), "answers_unasked", 0 },
	{ "Command Complete, short",              EVENT(0x0E, 1, 0x03), "events_malformed", 0 },
	{ "Command Complete never asked for",     EVENT(0x0E, 1, 0x05, 0x10, 0, 0xFF, 0, 0, 9, 0, 0, 0), "answers_unasked", 0 },
	{ "Command Status never asked for",       EVENT(0x0F, 0x01, 1, 0x06, 0x04), "answers_unasked", 0 },
	{ "Completed Packets, count above body",  EVENT(0x13, 2, 0x40, 0, 1, 0), "events_malformed", 0 },
	{ "count 255",                            EVENT(0x13, 255, 0x40, 0, 1, 0), "events_malformed", 0 },
	{ "count under body",                     EVENT(0x13, 0, 0x40, 0, 1, 0), "events_malformed", 0 },
	{ "empty",                                RAW(0x13, 0), "events_malformed", 0 },
	{ "more than is outstanding",             EVENT(0x13, 1, 0x40, 0, 0xFF, 0xFF), "completed_clamped", 0 },
	{ "the same twice",                       EVENT(0x13, 2, 0x40, 0, 1, 0, 0x40, 0, 1, 0), "completed_clamped", 0 },
	{ "for nobody",                           EVENT(0x13, 1, 0x41, 0, 1, 0), "handles_unknown", 0 },
	{ "Data Buffer Overflow",                 EVENT(0x1A, 1), "buffer_overflows", 0 },
	{ "an event that nobody knows",           EVENT(0xFE, 1, 2, 3), "events_ignored", 0 },
	{ "vendor event",                         EVENT(0xFF, 1, 2, 3), "events_ignored", 0 },
	{ "Read Remote Version",                  EVENT(0x0C, 0, 0x40, 0, 10, 2, 0, 0, 1), "events_ignored", 0 },
	{ "LE Meta, empty",                       RAW(0x3E, 0), "events_malformed", 0 },
	{ "LE subevent that nobody knows",        EVENT(0x3E, 0xEE, 1), "events_ignored", 0 },
	{ "advertising report, its count a lie",  EVENT(0x3E, 2, 0xFF, 0, 1, 2, 3), "events_ignored", 0 },
	{ "Connection Complete, short",           EVENT(0x3E, 1, 0, 0x42, 0, 1, 0, 1, 2, 3, 4, 5, 6, 24, 0, 0, 0, 72, 0),
	    "events_malformed", 0 },
	{ "Connection Complete that failed",      EVENT(0x3E, 1, 0x3E, 0x42, 0, 1, 0, 1, 2, 3, 4, 5, 6, 24, 0, 0, 0, 72, 0, 0),
	    "events_ignored",
	                                          HCI_COMMAND_LE_SET_ADVERTISING_ENABLE },
	{ "Enhanced, short",                      EVENT(0x3E, 0x0A, 0, 0x42, 0, 1, 0, 1, 2, 3, 4, 5, 6), "events_malformed", 0 },
	{ "handle 0x0F00",                        EVENT(0x3E, 1, 0, 0x00, 0x0F, 1, 0, 1, 2, 3, 4, 5, 6, 24, 0, 0, 0, 72, 0, 0),
	    "handles_unknown", 0 },
	{ "Long Term Key Request: no keys yet",   EVENT(0x3E, 5, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), NULL,
	                                          HCI_COMMAND_LE_LONG_TERM_KEY_REQUEST_NEGATIVE_REPLY },
	{ "for nobody",                           EVENT(0x3E, 5, 0x41, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), "handles_unknown", 0 },
	{ "parameter request",                    EVENT(0x3E, 6, 0x40, 0, 6, 0, 12, 0, 0, 0, 200, 0), NULL,
	                                          HCI_COMMAND_LE_REMOTE_CONNECTION_PARAMETER_REQUEST_REPLY },
	{ "parameter request, zero",              EVENT(0x3E, 6, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0), NULL,
	                                          HCI_COMMAND_LE_REMOTE_CONNECTION_PARAMETER_REQUEST_NEGATIVE_REPLY },
	{ "reversed",                             EVENT(0x3E, 6, 0x40, 0, 12, 0, 6, 0, 0, 0, 200, 0), NULL,
	                                          HCI_COMMAND_LE_REMOTE_CONNECTION_PARAMETER_REQUEST_NEGATIVE_REPLY },
	{ "latency beyond the timeout",           EVENT(0x3E, 6, 0x40, 0, 80, 0, 80, 0, 9, 0, 200, 0), NULL,
	                                          HCI_COMMAND_LE_REMOTE_CONNECTION_PARAMETER_REQUEST_NEGATIVE_REPLY },
	{ "for nobody",                           EVENT(0x3E, 6, 0x41, 0, 6, 0, 12, 0, 0, 0, 200, 0), "handles_unknown", 0 },
};

static void test_lies(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *x = &rows[i];
		struct world *w = world_up(4);
		uint64_t was;

		world_connect(w, 0x40);
		world_forget(w);
		was = x->counter ? rig_counter(&w->rig, x->counter) : 0;
		rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_HCI_EVENT }, (struct bytes){ x->event.at,
		    x->event.len });
		world_run(w);
		if (x->counter && rig_counter(&w->rig, x->counter) == was)
			fail_msg("%s: %s did not move", x->why, x->counter);
		if (w->commands_seen != (x->answer ? 1 : 0) || (x->answer && w->command[0].opcode != x->answer))
			fail_msg("%s: %u commands", x->why, w->commands_seen);
		assert_int_equal(w->down_seen, 0);
		/* The link goes on. */
		world_frame(w, 0x40, L2CAP_CID_ATT, BYTES_OF(0x0A, 3, 0));
		assert_int_equal(w->down_seen, 1);
		world_free(w);
	}
}

/* Vol 4 Part E 7.7.65.6 and 7.8.18, at the edges. */
static void test_parameters(void **state)
{
	static const struct { uint16_t min, max, latency, timeout; uint8_t error; } p[] = {
		{ 6, 6, 0, 10, 0 }, { 0x0C80, 0x0C80, 0, 0x0C80, 0 }, { 6, 0x0C80, 0, 0x0C80, 0 },
		{ 5, 6, 0, 10, 0x1E }, { 6, 0x0C81, 0, 0x0C80, 0x1E }, { 7, 6, 0, 10, 0x1E }, { 6, 6, 0x01F4, 0x0C80, 0x1E },
		{ 6, 6, 0, 9, 0x1E }, { 6, 6, 0, 0x0C81, 0x1E }, { 6, 6, 0x01F3, 0x0C80, 0 }, { 6, 40, 0, 10, 0x3B }, { 6, 39,
		    0, 10, 0 },
		{ 6, 0x0C80, 0x01F3, 0x0C80, 0x3B }, { 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0x1E },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(p); i++)
		assert_int_equal(parameters_check(p[i].min, p[i].max, p[i].latency, p[i].timeout), p[i].error);
}

/* Octets without sense, from everybody: nothing breaks, and all is as bounded as before. */
static void test_noise(void **state)
{
	static const uint8_t kinds[] = { RECORD_HCI_EVENT, RECORD_HCI_EVENT, RECORD_HCI_ACL, RECORD_HCI_ACL, RECORD_L2CAP_PDU,
	    RECORD_CREDIT,
		RECORD_DISCONNECT, RECORD_CONFIG, RECORD_REQUEST, RECORD_TRANSPORT_STATE };
	static const uint8_t codes[] = { 0x05, 0x08, 0x0E, 0x0F, 0x13, 0x3E, 0x3E, 0x13 };
	struct world *w = world_up(3);
	uint32_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t body[64];
		struct record h;
		unsigned link, len;

		seed = seed * 1664525 + 1013904223;
		h = (struct record){ .kind = kinds[(seed >> 8) % ARRAY_LEN(kinds)], .index = (uint16_t)(seed >> 28) % 4,
			.generation = (uint16_t)(1 + 2 * ((seed >> 20) % 8)) };
		link = h.kind < 0x20 ? LINK_UP : h.kind < 0x40 ? LINK_DOWN : LINK_SUPERVISOR;
		if (h.kind == RECORD_TRANSPORT_STATE && i % 64)
			continue;
		len = (seed >> 12) % sizeof body;
		for (unsigned k = 0; k < len; k++) {
			seed = seed * 1664525 + 1013904223;
			body[k] = (uint8_t)((seed >> 24) % 8 ? (seed >> 16) % 6 : seed >> 16);
		}
		if (h.kind == RECORD_HCI_EVENT && len >= 2) {
			body[0] = codes[(seed >> 9) % ARRAY_LEN(codes)];
			body[1] = (uint8_t)(len - 2);
		}
		if (h.kind == RECORD_HCI_ACL && len >= 8) {
			body[1] = (uint8_t)(0x10 | (seed >> 4 & 0x20));
			body[2] = (uint8_t)(len - 4);
			body[3] = 0;
			body[4] = (uint8_t)(len - 8);
			body[5] = 0;
			body[6] = (uint8_t)(4 + (seed >> 6) % 3);
			body[7] = 0;
		}
		rig_put(&w->rig, link, h, (struct bytes){ body, len });
		if (i % 8 == 0) {
			if (i % 24 == 0)
				rig_crash(&w->rig);
			world_run(w);
			world_forget(w);
		}
		if (i % 16 == 0)
			world_connect(w, (uint16_t)(i % 5));
		if (i % 500 == 0) {		/* once given up, it begins anew with the transport */
			rig_sleep(&w->rig, SECOND_NS / 2);
			rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_TRANSPORT_STATE }, BYTES_OF(0, 0, 0, 0, 0, 0,
			    0, 0, 0));
			rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_TRANSPORT_STATE }, BYTES_OF(1, 0, 0, 0, 0, 0,
			    0, 0, 0));
			world_run(w);
		}
	}
	world_run(w);
	assert_true(rig_counter(&w->rig, "connections") > 100);
	world_free(w);
}

/* Commands beyond the queue: counted, and a Disconnect that found no room is asked again. */
static void test_queue_is_bounded(void **state)
{
	struct world *w = world_up(4);
	struct record to;

	(void)state;
	world_connect(w, 0x40);
	to = world_told(w, RECORD_CONNECTED)->h;
	w->all_mute = true;
	w->num_packets = 1;
	for (unsigned i = 0; i < 300; i++)
		world_le_event(w, 5, BYTES_OF(0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
	assert_true(rig_counter(&w->rig, "commands_unqueued") > 0);
	assert_int_equal(world_count(w, HCI_COMMAND_LE_LONG_TERM_KEY_REQUEST_NEGATIVE_REPLY), 1);	/* one credit */
	world_gattd(w, &to, RECORD_DISCONNECT, BYTES_OF(0x13));
	assert_int_equal(connection_next(&w->rig.arena, NULL)->state, CONNECTION_UNWANTED);
	w->all_mute = false;
	world_complete(w, HCI_COMMAND_LE_LONG_TERM_KEY_REQUEST_NEGATIVE_REPLY, 1, BYTES_OF(0, 0x40, 0));
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 1);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_queue_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
