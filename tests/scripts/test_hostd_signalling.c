/* The LE signalling channel as a table: a command in, what goes back to the peer, or nothing.  Core 5.4 Vol 3 Part A 4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/host_world.h"
#include "wire/l2cap_names.h"

#define PDU(...) { sizeof((uint8_t[]){ __VA_ARGS__ }), { __VA_ARGS__ } }
#define REJECT_NOT_UNDERSTOOD(id) PDU(0x01, id, 2, 0, 0, 0)
struct pdu { uint8_t len, at[64]; };
struct exchange { const char *why; struct pdu in, out; };

static const struct exchange script[] = {
	{ "parameter update is for a central only",  PDU(0x12, 1, 8, 0, 6, 0, 12, 0, 0, 0, 200, 0), REJECT_NOT_UNDERSTOOD(1) },
	{ "parameter update, short",                 PDU(0x12, 2, 6, 0, 6, 0, 12, 0, 0, 0), REJECT_NOT_UNDERSTOOD(2) },
	{ "parameter update, long",                  PDU(0x12, 3, 9, 0, 6, 0, 12, 0, 0, 0, 200, 0, 0), REJECT_NOT_UNDERSTOOD(3) },
	{ "parameter update response unasked",       PDU(0x13, 4, 2, 0, 0, 0), { 0 } },
	{ "credit based connection: no SPSM",        PDU(0x14, 5, 10, 0, 0x80, 0, 0x40, 0, 0, 2, 0xF7, 0, 10, 0),
	                                             PDU(0x15, 5, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0) },
	{ "with a bad source CID: no SPSM all the same", PDU(0x14, 6, 10, 0, 0x80, 0, 0x3F, 0, 0, 2, 0xF7, 0, 10, 0),
	                                             PDU(0x15, 6, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0) },
	{ "credit based connection, short",          PDU(0x14, 7, 8, 0, 0x80, 0, 0x40, 0, 0, 2, 0xF7, 0),
	    REJECT_NOT_UNDERSTOOD(7) },
	{ "its response unasked",                    PDU(0x15, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), { 0 } },
	{ "credits for no channel",                  PDU(0x16, 9, 4, 0, 0x40, 0, 1, 0), { 0 } },
	{ "credits of 0",                            PDU(0x16, 10, 4, 0, 0x40, 0, 0, 0), { 0 } },
	{ "credits, short",                          PDU(0x16, 11, 2, 0, 0x40, 0), REJECT_NOT_UNDERSTOOD(11) },
	{ "enhanced: one CID",                       PDU(0x17, 12, 10, 0, 0x27, 0, 64, 0, 64, 0, 8, 0, 0x40, 0),
	                                             PDU(0x18, 12, 10, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0) },
	{ "enhanced: five CIDs",                     PDU(0x17, 13, 18, 0, 0x27, 0, 64, 0, 64, 0, 8, 0, 64, 0, 65, 0, 66, 0, 67,
	    0, 68, 0),
	                                             PDU(0x18, 13, 18, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) },
	{ "enhanced: no CID",                        PDU(0x17, 14, 8, 0, 0x27, 0, 64, 0, 64, 0, 8, 0),
	                                             PDU(0x18, 14, 8, 0, 0, 0, 0, 0, 0, 0, 12, 0) },
	{ "enhanced: an odd length",                 PDU(0x17, 15, 11, 0, 0x27, 0, 64, 0, 64, 0, 8, 0, 0x40, 0, 0x41),
	                                             PDU(0x18, 15, 10, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0) },
	{ "enhanced: short",                         PDU(0x17, 16, 6, 0, 0x27, 0, 64, 0, 64, 0), REJECT_NOT_UNDERSTOOD(16) },
	{ "enhanced: six CIDs are over the MTU",     PDU(0x17, 17, 20, 0, 0x27, 0, 64, 0, 64, 0, 8, 0, 64, 0, 65, 0, 66, 0, 67,
	    0, 68, 0, 69, 0),
	                                             PDU(0x01, 17, 4, 0, 1, 0, 23, 0) },
	{ "enhanced response unasked",               PDU(0x18, 18, 10, 0, 64, 0, 64, 0, 8, 0, 0, 0, 0x50, 0), { 0 } },
	{ "reconfigure of nothing",                  PDU(0x19, 19, 6, 0, 0, 1, 64, 0, 0x50, 0), PDU(0x1A, 19, 2, 0, 3, 0) },
	{ "reconfigure response unasked",            PDU(0x1A, 20, 2, 0, 0, 0), { 0 } },
	{ "disconnection of no channel",             PDU(0x06, 21, 4, 0, 0x40, 0, 0x41, 0), PDU(0x01, 21, 6, 0, 2, 0, 0x40, 0,
	    0x41, 0) },
	{ "disconnection, short",                    PDU(0x06, 22, 2, 0, 0x40, 0), REJECT_NOT_UNDERSTOOD(22) },
	{ "disconnection response unasked",          PDU(0x07, 23, 4, 0, 0x40, 0, 0x41, 0), { 0 } },
	{ "connection request is not for LE",        PDU(0x02, 24, 4, 0, 1, 0, 0x40, 0), REJECT_NOT_UNDERSTOOD(24) },
	{ "echo is not for LE",                      PDU(0x08, 25, 0, 0), REJECT_NOT_UNDERSTOOD(25) },
	{ "information is not for LE",               PDU(0x0A, 26, 2, 0, 2, 0), REJECT_NOT_UNDERSTOOD(26) },
	{ "code 0",                                  PDU(0x00, 27, 0, 0), REJECT_NOT_UNDERSTOOD(27) },
	{ "code 0x1B",                               PDU(0x1B, 28, 0, 0), REJECT_NOT_UNDERSTOOD(28) },
	{ "code 0xFF",                               PDU(0xFF, 29, 1, 0, 1), REJECT_NOT_UNDERSTOOD(29) },
	{ "a reject is never rejected",              PDU(0x01, 30, 2, 0, 0, 0), { 0 } },
	{ "nor one that makes no sense",             PDU(0x01, 31, 9, 0, 0), { 0 } },
	{ "identifier 0",                            PDU(0x14, 0, 10, 0, 0x80, 0, 0x40, 0, 0, 2, 0xF7, 0, 10, 0), { 0 } },
	{ "length beyond the end",                   PDU(0x12, 32, 9, 0, 6, 0, 12, 0, 0, 0, 200, 0), REJECT_NOT_UNDERSTOOD(32) },
	{ "one octet less than is there",            PDU(0x14, 41, 9, 0, 0x80, 0, 0x40, 0, 0, 2, 0xF7, 0, 10, 0),
	                                             REJECT_NOT_UNDERSTOOD(41) },
	{ "one octet more",                          PDU(0x14, 42, 11, 0, 0x80, 0, 0x40, 0, 0, 2, 0xF7, 0, 10, 0),
	                                             REJECT_NOT_UNDERSTOOD(42) },
	{ "length 0xFFFF",                           PDU(0x14, 33, 0xFF, 0xFF, 0x80), REJECT_NOT_UNDERSTOOD(33) },
	{ "two commands in one",                     PDU(0x13, 34, 2, 0, 0, 0, 0x08, 35, 0, 0), { 0 } },
	{ "two requests in one",                     PDU(0x08, 36, 0, 0, 0x08, 37, 0, 0), REJECT_NOT_UNDERSTOOD(36) },
	{ "half a header",                           PDU(0x12, 38, 0), { 0 } },
	{ "one octet",                               PDU(0x12), { 0 } },
	{ "over the MTU",                            PDU(0x08, 39, 20, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
	    17, 18, 19, 20),
	                                             PDU(0x01, 39, 4, 0, 1, 0, 23, 0) },
	{ "a response over the MTU",                 PDU(0x09, 40, 20, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
	    17, 18, 19, 20), { 0 } },
};

static void test_script(void **state)
{
	struct world *w = world_new(1);

	(void)state;
	w->le_length = 251;
	world_configure(w, true);
	world_connect(w, 0x40);
	for (unsigned i = 0; i < ARRAY_LEN(script); i++) {
		const struct exchange *x = &script[i];
		uint64_t moved = rig_counter(&w->rig, "signalling_rejected") + rig_counter(&w->rig, "signalling_ignored");

		w->packets_seen = w->down_seen = 0;
		world_frame(w, 0x40, L2CAP_CID_LE_SIGNALLING, (struct bytes){ x->in.at, x->in.len });
		world_completed(w, 0x40, (uint16_t)world_outstanding(w));
		assert_int_equal(w->down_seen, 0);
		if (w->packets_seen != (x->out.len ? 1 : 0))
			fail_msg("%s: %u packets", x->why, w->packets_seen);
		moved = rig_counter(&w->rig, "signalling_rejected") + rig_counter(&w->rig, "signalling_ignored") - moved;
		if ((!x->out.len || x->out.at[0] == L2CAP_COMMAND_REJECT) && !moved)
			fail_msg("%s: no counter moved", x->why);
		if (!x->out.len)
			continue;
		assert_int_equal(w->packet[0].len, 4 + x->out.len);
		assert_int_equal(w->packet[0].data[2], L2CAP_CID_LE_SIGNALLING);
		if (memcmp(w->packet[0].data + 4, x->out.at, x->out.len))
			fail_msg("%s: another answer", x->why);
	}
	world_free(w);
}

static uint32_t credit_told(const struct world *w)
{
	uint32_t back = 0, octets;

	for (unsigned i = 0; i < w->down_seen; i++)
		if (w->down[i].h.kind == RECORD_CREDIT) {
			memcpy(&octets, w->down[i].body, 4);
			back += octets;
		}
	return back;
}

/* What its window has grown by, meanwhile. */
static uint32_t grown(const struct world *w) { return connection_next(&w->rig.arena, NULL)->extra * CHUNK_OCTETS; }

/* What is dropped with a connection comes back to gattd, to the octet, without our own signalling between it. */
static void test_dropped(void **state)
{
	enum { PDUS = 2 };
	struct world *w = world_up(1);
	uint8_t pdu[PDU_MAX] = { 0x1B };
	struct record to;

	(void)state;
	world_connect(w, 0x40);
	to = world_told(w, RECORD_CONNECTED)->h;
	for (unsigned i = 0; i < PDUS; i++) {
		world_pdu(w, &to, L2CAP_CID_ATT, (struct bytes){ pdu, sizeof pdu });
		world_frame(w, 0x40, L2CAP_CID_LE_SIGNALLING, BYTES_OF(0x08, 1, 0, 0));
	}
	world_gattd(w, &to, RECORD_DISCONNECT, BYTES_OF(0x13));
	assert_int_equal(credit_told(w), PDUS * FRAME_MAX + grown(w));
	world_free(w);
}

/* A flood of requests with a controller that takes nothing: answers are bounded, and gattd's window is not touched. */
static void test_flood(void **state)
{
	struct world *w = world_up(1);
	struct record to;
	uint8_t pdu[PDU_MAX] = { 0x1B };

	(void)state;
	world_connect(w, 0x40);
	to = world_told(w, RECORD_CONNECTED)->h;
	for (unsigned i = 0; i < 300; i++)
		world_frame(w, 0x40, L2CAP_CID_LE_SIGNALLING, BYTES_OF(0x08, (uint8_t)(i % 255 + 1), 0, 0));
	assert_int_equal(w->packets_seen, 3);		/* of 4 buffers */
	world_free(w);

	w = world_up(1);
	world_connect(w, 0x40);
	to = world_told(w, RECORD_CONNECTED)->h;
	for (unsigned i = 0; i < 600; i++)
		world_frame(w, 0x40, L2CAP_CID_LE_SIGNALLING, BYTES_OF(0x08, (uint8_t)(i % 255 + 1), 0, 0));
	for (unsigned i = 0; i < WINDOW_OUT / (PDU_MAX + 4); i++)
		world_pdu(w, &to, L2CAP_CID_ATT, (struct bytes){ pdu, sizeof pdu });
	assert_int_equal(rig_counter(&w->rig, "gattd_overruns"), 0);
	assert_int_equal(world_count(w, HCI_COMMAND_DISCONNECT), 0);
	assert_true(rig_counter(&w->rig, "signalling_unsent") > 0);
	assert_int_equal(world_told_count(w, RECORD_CREDIT), 0);
	for (unsigned i = 0; i < 400; i++)
		world_completed(w, 0x40, 4);
	/* What goes back to gattd is what it sent, in whole steps. */
	uint32_t back = credit_told(w) - grown(w);

	assert_true(back <= WINDOW_OUT / (PDU_MAX + 4) * (PDU_MAX + 4));
	assert_true(back + window_out(connection_next(&w->rig.arena, NULL)) / 4 > WINDOW_OUT / (PDU_MAX + 4) * (PDU_MAX + 4));
	/* And there is room for answers again: none of those that went is still counted. */
	assert_int_equal(connection_next(&w->rig.arena, NULL)->tx_own, 0);
	w->packets_seen = 0;
	world_frame(w, 0x40, L2CAP_CID_LE_SIGNALLING, BYTES_OF(0x08, 1, 0, 0));
	assert_int_equal(w->packets_seen, 1);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_script),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
