/* ACL out: fragments, credits, turns; and in: every way in which pieces can and cannot add up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/host_world.h"
#include "wire/l2cap_names.h"

static struct record connected(struct world *w, uint16_t handle)
{
	world_connect(w, handle);
	return world_told(w, RECORD_CONNECTED)->h;
}

static struct bytes ramp(uint8_t *buf, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf[i] = (uint8_t)(i + n);
	return (struct bytes){ buf, n };
}

/* What was sent for a handle, put together again: only whole frames, each begun by a start, of exactly the length it says. */
static unsigned frames_of(const struct world *w, uint16_t handle, uint8_t *out, size_t *ret_len)
{
	uint32_t left = 0;
	unsigned frames = 0;

	*ret_len = 0;
	for (unsigned i = 0; i < w->packets_seen; i++) {
		const struct seen_packet *p = &w->packet[i];

		if (p->handle != handle)
			continue;
		assert_int_equal(p->boundary, left ? HCI_CONTINUING : HCI_FIRST_NON_FLUSHABLE);
		if (!left) {
			assert_true(p->len >= L2CAP_HEADER);
			left = L2CAP_HEADER + (uint32_t)(p->data[0] | p->data[1] << 8);
			frames++;
		}
		assert_true(p->len <= left);
		left -= p->len;
		memcpy(out + *ret_len, p->data, p->len);
		*ret_len += p->len;
	}
	assert_int_equal(left, 0);
	return frames;
}

/* Every length of PDU over every interesting length of buffer comes out as it went in. */
static void test_fragments_out(void **state)
{
	static const uint16_t lengths[] = { 27, 28, 251, 252, 517, 1021 };
	static uint8_t pdu[PDU_MAX], out[1 << 16];
	size_t len;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
		struct world *w = world_new(1);
		struct record to;

		w->le_length = lengths[i];
		w->le_packets = 40;
		world_configure(w, true);
		to = connected(w, 0x40);
		for (size_t n = 1; n <= PDU_MAX; n = n < 60 ? n + 1 : n < PDU_MAX - 5 ? n + 37 : n + 1) {
			w->packets_seen = 0;
			world_pdu(w, &to, L2CAP_CID_ATT, ramp(pdu, n));
			world_completed(w, 0x40, (uint16_t)world_outstanding(w));
			assert_int_equal(frames_of(w, 0x40, out, &len), 1);
			assert_int_equal(len, n + L2CAP_HEADER);
			assert_int_equal(out[0] | out[1] << 8, n);
			assert_int_equal(out[2] | out[3] << 8, L2CAP_CID_ATT);
			assert_memory_equal(out + 4, pdu, n);
		}
		world_free(w);
	}
}

static void test_never_more_than_the_buffers(void **state)
{
	struct world *w = world_up(2);
	struct record to = connected(w, 0x40);
	uint8_t pdu[100], out[4096];
	size_t len;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		world_pdu(w, &to, L2CAP_CID_ATT, ramp(pdu, sizeof pdu));
	assert_int_equal(w->packets_seen, 3);		/* of 4: the last is for who comes later */
	world_completed(w, 0x40, 1);
	assert_int_equal(w->packets_seen, 4);
	world_completed(w, 0x40, 3);
	assert_int_equal(w->packets_seen, 7);
	for (unsigned i = 0; i < 40; i++)
		world_completed(w, 0x40, 2);
	assert_int_equal(w->packets_seen, 10 * 4);
	assert_int_equal(frames_of(w, 0x40, out, &len), 10);
	assert_true(rig_counter(&w->rig, "completed_clamped") > 0);
	world_free(w);
}

static void test_disconnection_returns_credits(void **state)
{
	struct world *w = world_up(2);
	struct record a = connected(w, 0x40), b = connected(w, 0x41);
	uint8_t pdu[300];

	(void)state;
	world_pdu(w, &a, L2CAP_CID_ATT, ramp(pdu, sizeof pdu));
	world_pdu(w, &b, L2CAP_CID_ATT, ramp(pdu, sizeof pdu));
	assert_int_equal(world_flow(w)->credits, 1);
	w->packets_seen = 0;
	world_disconnect(w, 0x40, 0x13);
	assert_int_equal(w->packets_seen, 2);		/* its two are the other's at once */
	assert_int_equal(w->packet[0].handle, 0x41);
	world_completed(w, 0x40, 2);			/* too late: nobody has that handle */
	assert_true(rig_counter(&w->rig, "handles_unknown") > 0);
	world_free(w);
}

/* One that stalls holds its share, or as many buffers as it left free; the others go on, each as much as the next. */
static void test_fair_shares(void **state)
{
	enum { PEERS = 5, PDUS = 6 };
	struct world *w = world_new(PEERS);
	struct record to[PEERS];
	uint8_t pdu[200];
	unsigned sent[PEERS] = { 0 };

	(void)state;
	w->le_packets = 10;
	world_configure(w, true);
	for (uint16_t i = 0; i < PEERS; i++)
		to[i] = connected(w, (uint16_t)(0x40 + i));
	for (unsigned n = 0; n < PDUS; n++)
		for (unsigned i = 0; i < PEERS; i++)
			world_pdu(w, &to[i], L2CAP_CID_ATT, ramp(pdu, sizeof pdu));
	for (unsigned round = 0; round < 20; round++)
		for (uint16_t i = 1; i < PEERS; i++)	/* the first never completes */
			world_completed(w, (uint16_t)(0x40 + i), 1);
	for (unsigned i = 0; i < w->packets_seen; i++)
		sent[w->packet[i].handle - 0x40]++;
	assert_int_equal(sent[0], 5);			/* it came first, and half of the buffers was free */
	for (unsigned i = 1; i < PEERS; i++)
		assert_in_range(sent[i], 21, 22);
	/* Alone again, it may have all but one. */
	for (uint16_t i = 1; i < PEERS; i++)
		world_disconnect(w, (uint16_t)(0x40 + i), 0x08);
	assert_int_equal(world_outstanding(w), 9);
	world_free(w);
}

/* One that stalled while it was alone has all buffers but the last, and that one goes round among all who come later. */
static void test_who_comes_late_is_served(void **state)
{
	enum { LATE = 3, PDUS = 4 };
	struct world *w = world_up(1 + LATE);		/* 4 buffers */
	struct record first = connected(w, 0x40), late[LATE];
	uint8_t pdu[100], out[1024];
	size_t len;

	(void)state;
	for (unsigned i = 0; i < PDUS; i++)
		world_pdu(w, &first, L2CAP_CID_ATT, ramp(pdu, sizeof pdu));
	assert_int_equal(world_outstanding(w), 3);	/* and from here on none of them is completed */
	for (uint16_t i = 0; i < LATE; i++) {
		late[i] = connected(w, (uint16_t)(0x41 + i));
		world_pdu(w, &late[i], L2CAP_CID_ATT, ramp(pdu, sizeof pdu));
	}
	for (unsigned i = 0; i < 40; i++)
		for (uint16_t l = 0; l < LATE; l++)
			world_completed(w, (uint16_t)(0x41 + l), 1);
	for (uint16_t l = 0; l < LATE; l++)
		assert_int_equal(frames_of(w, (uint16_t)(0x41 + l), out, &len), 1);
	world_free(w);
}

/* Who waits for a turn may have lost its claim meanwhile: its share is looked at again when the turn comes.  It is back in the
 * list with its own completion, or when another's end leaves more, and its frame leaves although a third stalls. */
static void test_share_is_looked_at_again(void **state)
{
	struct world *w = world_up(3);			/* 4 buffers */
	struct record a, b = connected(w, 0x40), c;
	uint8_t pdu[100], out[200];
	size_t len;

	(void)state;
	world_pdu(w, &b, L2CAP_CID_ATT, ramp(pdu, sizeof pdu));	/* alone: three */
	a = connected(w, 0x41);
	world_pdu(w, &a, L2CAP_CID_ATT, ramp(pdu, sizeof pdu));	/* the last */
	c = connected(w, 0x42);
	world_pdu(w, &c, L2CAP_CID_ATT, ramp(pdu, 20));		/* it waits */
	w->packets_seen = 0;
	world_completed(w, 0x40, 2);			/* as two are free it may have one more, behind the one that waits; then not */
	assert_int_equal(w->packets_seen, 1);
	assert_int_equal(w->packet[0].handle, 0x42);
	world_completed(w, 0x41, 1);
	assert_int_equal(w->packet[1].handle, 0x41);
	world_disconnect(w, 0x42, 0x13);		/* one of two again, and there are two buffers */
	assert_int_equal(w->packets_seen, 3);
	assert_int_equal(w->packet[2].handle, 0x40);	/* the last of its frame; now it stalls */
	for (unsigned i = 0; i < 4; i++)
		world_completed(w, 0x41, 1);
	w->packets_seen = 0;
	world_pdu(w, &a, L2CAP_CID_ATT, ramp(pdu, 50));
	for (unsigned i = 0; i < 4; i++)
		world_completed(w, 0x41, 1);
	assert_int_equal(frames_of(w, 0x41, out, &len), 1);
	assert_int_equal(len, 50 + L2CAP_HEADER);
	world_free(w);
}

static void test_turns_interleave(void **state)
{
	struct world *w = world_new(2);
	struct record a, b;
	uint8_t pdu[PDU_MAX];

	(void)state;
	w->le_packets = 2;
	world_configure(w, true);
	a = connected(w, 0x40);
	b = connected(w, 0x41);
	for (unsigned i = 0; i < 2; i++) {
		world_pdu(w, &a, L2CAP_CID_ATT, ramp(pdu, sizeof pdu));
		world_pdu(w, &b, L2CAP_CID_ATT, ramp(pdu, sizeof pdu));
	}
	w->packets_seen = 0;
	for (unsigned i = 0; i < 10; i++)
		world_event(w, HCI_EVENT_NUMBER_OF_COMPLETED_PACKETS, BYTES_OF(2, 0x40, 0, 1, 0, 0x41, 0, 1, 0));
	for (unsigned i = 0; i < w->packets_seen; i++)
		assert_int_equal(w->packet[i].handle, i % 2 ? 0x41 : 0x40);
	assert_int_equal(w->packets_seen, 20);
	world_free(w);
}

/* One that waits for its turn and is closed gets none. */
static void test_closed_while_waiting(void **state)
{
	struct world *w = world_up(3);
	struct record a = connected(w, 0x40), b;
	uint8_t pdu[300];

	(void)state;
	world_pdu(w, &a, L2CAP_CID_ATT, ramp(pdu, sizeof pdu));	/* has all buffers */
	b = connected(w, 0x41);
	world_pdu(w, &b, L2CAP_CID_ATT, ramp(pdu, sizeof pdu));
	world_gattd(w, &b, RECORD_DISCONNECT, BYTES_OF(0x13));
	w->packets_seen = 0;
	for (unsigned i = 0; i < 4; i++)
		world_completed(w, 0x40, 4);
	for (unsigned i = 0; i < w->packets_seen; i++)
		assert_int_equal(w->packet[i].handle, 0x40);
	assert_int_equal(w->packets_seen, 8);
	world_free(w);
}

/* ---- in ---- */
enum { S = HCI_FIRST_FLUSHABLE, C = HCI_CONTINUING, N = HCI_FIRST_NON_FLUSHABLE };
struct piece { uint8_t boundary, len; uint8_t data[12]; };
#define P(b, ...) { b, sizeof((uint8_t[]){ __VA_ARGS__ }), { __VA_ARGS__ } }

static const struct { const char *why; struct piece piece[6]; unsigned whole; const char *counter; } in_rows[] = {
	{ "one packet", { P(S, 3, 0, 4, 0, 0x0A, 3, 0) }, 1, NULL },
	{ "a non-flushable start means the same", { P(N, 3, 0, 4, 0, 0x0A, 3, 0) }, 1, NULL },
	{ "header and body apart", { P(S, 3, 0, 4, 0), P(C, 0x0A, 3, 0) }, 1, NULL },
	{ "first fragment of 1 octet", { P(S, 3), P(C, 0, 4, 0, 0x0A, 3, 0) }, 1, NULL },
	{ "of 2", { P(S, 3, 0), P(C, 4, 0, 0x0A), P(C, 3, 0) }, 1, NULL },
	{ "of 3", { P(S, 3, 0, 4), P(C, 0, 0x0A, 3, 0) }, 1, NULL },
	{ "octet by octet", { P(S, 2), P(C, 0), P(C, 4), P(C, 0), P(C, 0x0A), P(C, 3) }, 1, NULL },
	{ "an empty continuation changes nothing", { P(S, 3, 0, 4, 0, 0x0A), { C, 0, { 0 } }, P(C, 3, 0) }, 1, NULL },
	{ "two in a row", { P(S, 1, 0, 4, 0, 0x1E), P(S, 3, 0, 4, 0, 0x0A, 3, 0) }, 2, NULL },
	{ "more than it says", { P(S, 3, 0, 4, 0, 0x0A, 3, 0, 9) }, 0, "acl_overlong" },
	{ "more than it says, later", { P(S, 3, 0, 4, 0, 0x0A), P(C, 3, 0, 9) }, 0, "acl_overlong" },
	{ "the rest of a dropped one is no fault", { P(S, 3, 0, 4, 0, 0x0A, 3, 0, 9), P(C, 1, 2) }, 0, "acl_overlong" },
	{ "a start while assembling", { P(S, 3, 0, 4, 0, 0x0A), P(S, 3, 0, 4, 0, 0x0A, 3, 0) }, 1, "acl_truncated" },
	{ "a start after one octet", { P(S, 3), P(S, 3, 0, 4, 0, 0x0A, 3, 0) }, 1, "acl_truncated" },
	{ "a continuation without a start", { P(C, 3, 0, 4, 0, 0x0A, 3, 0), P(S, 3, 0, 4, 0, 0x0A, 3, 0) }, 1, "acl_unstarted" },
	{ "a continuation after the end", { P(S, 3, 0, 4, 0, 0x0A, 3, 0), P(C, 1) }, 1, "acl_unstarted" },
	{ "a start of nothing", { { S, 0, { 0 } }, P(S, 3, 0, 4, 0, 0x0A, 3, 0) }, 1, "acl_malformed" },
	{ "a boundary flag that LE has not", { P(3, 3, 0, 4, 0, 0x0A, 3, 0) }, 0, "acl_malformed" },
	{ "longer than any of ours", { P(S, 0x06, 2, 4, 0, 0x0A), P(C, 1, 2, 3), P(S, 3, 0, 4, 0, 0x0A, 3, 0) }, 1,
	    "acl_too_long" },
	{ "longer, its header in pieces", { P(S, 0xFF), P(C, 0xFF, 4, 0, 0x0A), P(C, 1), P(S, 3, 0, 4, 0, 0x0A, 3, 0) }, 1,
	    "acl_too_long" },
	{ "an unknown channel", { P(S, 3, 0, 0x40, 0, 0x0A, 3, 0) }, 0, "l2cap_cid_unknown" },
	{ "the BR/EDR signalling channel", { P(S, 4, 0, 1, 0, 8, 1, 0, 0) }, 0, "l2cap_cid_unknown" },
	{ "channel 0", { P(S, 0, 0, 0, 0) }, 0, "l2cap_cid_unknown" },
	{ "an empty ATT PDU", { P(S, 0, 0, 4, 0) }, 0, "l2cap_empty" },
};

static void test_pieces_in(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(in_rows); i++) {
		struct world *w = world_up(1);

		connected(w, 0x40);
		for (unsigned p = 0; p < ARRAY_LEN(in_rows[i].piece); p++)
			if (in_rows[i].piece[p].len || (p + 1 < ARRAY_LEN(in_rows[i].piece) && in_rows[i].piece[p + 1].len))
				world_acl(w, 0x40, in_rows[i].piece[p].boundary, (struct bytes){ in_rows[i].piece[p].data,
				    in_rows[i].piece[p].len });
		if (world_told_count(w, RECORD_L2CAP_PDU) != in_rows[i].whole)
			fail_msg("%s: %u PDUs", in_rows[i].why, world_told_count(w, RECORD_L2CAP_PDU));
		if (in_rows[i].counter && !rig_counter(&w->rig, in_rows[i].counter))
			fail_msg("%s: %s did not move", in_rows[i].why, in_rows[i].counter);
		/* Whatever it was, the link goes on, and so do we. */
		w->down_seen = 0;
		world_frame(w, 0x40, L2CAP_CID_ATT, BYTES_OF(0x0A, 7, 0));
		assert_memory_equal(world_told(w, RECORD_L2CAP_PDU)->body, ((uint8_t[]){ 4, 0, 0x0A, 7, 0 }), 5);
		world_free(w);
	}
}

/* The longest frame at every split in two, killed in between. */
static void test_every_split(void **state)
{
	struct world *w = world_up(1);
	uint8_t frame[FRAME_MAX], pdu[PDU_MAX];
	struct record to = connected(w, 0x40);
	struct wr out;

	(void)state;
	for (uint16_t split = 1; split < FRAME_MAX; split++) {
		out = wr_into(frame, sizeof frame);
		l2cap_frame_basic_encode(&(struct l2cap_frame_basic){ PDU_MAX, L2CAP_CID_ATT, ramp(pdu, PDU_MAX) }, &out);
		w->down_seen = 0;
		world_acl(w, 0x40, S, (struct bytes){ frame, split });
		if (split % 16 == 0)
			rig_restart(&w->rig);
		assert_int_equal(w->down_seen, 0);
		world_acl(w, 0x40, C, (struct bytes){ frame + split, (size_t)FRAME_MAX - split });
		assert_int_equal(w->down_seen, 1);
		assert_int_equal(w->down[0].h.len, 2 + PDU_MAX);
		assert_memory_equal(w->down[0].body + 2, pdu, PDU_MAX);
		world_gattd(w, &to, RECORD_CREDIT, BYTES_OF((PDU_MAX + 4) & 0xFF, (PDU_MAX + 4) >> 8, 0, 0));
	}
	assert_int_equal(rig_counter(&w->rig, "credits_clamped"), 0);
	world_free(w);
}

static void test_lying_packets(void **state)
{
	struct world *w = world_up(1);
	static const uint8_t raw[][12] = { { 0 }, { 0x40 }, { 0x40, 0x20, 0 }, { 0x40, 0x20, 9, 0, 3, 0, 4, 0, 0x0A, 3, 0 },
	    { 0x40, 0x20, 2, 0, 3, 0, 4 } };
	static const uint8_t len[] = { 0, 1, 3, 11, 7 };

	(void)state;
	connected(w, 0x40);
	w->down_seen = 0;
	for (unsigned i = 0; i < ARRAY_LEN(len); i++) {
		rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_HCI_ACL }, (struct bytes){ raw[i], len[i] });
		world_run(w);
	}
	assert_int_equal(rig_counter(&w->rig, "acl_malformed"), ARRAY_LEN(len));
	rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_HCI_ACL },
	    BYTES_OF(0x40, 0x60, 7, 0, 3, 0, 4, 0, 0x0A, 3, 0));	/* broadcast */
	rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_HCI_SCO }, BYTES_OF(0x40, 0, 1, 9));
	rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_HCI_ISO }, BYTES_OF(0x40, 0, 1, 0, 9));
	rig_put(&w->rig, LINK_UP, (struct record){ .kind = 0x7F }, BYTES_OF(1));
	world_run(w);
	assert_int_equal(rig_counter(&w->rig, "acl_broadcast"), 1);
	assert_int_equal(rig_counter(&w->rig, "packets_ignored"), 3);
	assert_int_equal(w->down_seen, 0);
	world_free(w);
}

/* Data overtakes its Connection Complete: held, in order, for a moment; then it counts as lost. */
static void test_early_data(void **state)
{
	struct world *w = world_up(2);

	(void)state;
	world_acl(w, 0x40, S, BYTES_OF(3, 0, 4, 0, 0x0A));
	world_acl(w, 0x40, C, BYTES_OF(3, 0));
	world_acl(w, 0x40, S, BYTES_OF(3, 0, 4, 0, 0x0A, 5, 0));
	assert_int_equal(w->down_seen, 0);
	world_connect(w, 0x40);
	assert_int_equal(w->down_seen, 3);
	assert_int_equal(w->down[0].h.kind, RECORD_CONNECTED);
	assert_memory_equal(w->down[1].body, ((uint8_t[]){ 4, 0, 0x0A, 3, 0 }), 5);
	assert_memory_equal(w->down[2].body, ((uint8_t[]){ 4, 0, 0x0A, 5, 0 }), 5);

	w->down_seen = 0;
	for (unsigned i = 0; i < EARLY_SLOTS + 3; i++)
		world_acl(w, 0x41, S, BYTES_OF(3, 0, 4, 0, 0x0A, 3, 0));
	assert_int_equal(rig_counter(&w->rig, "early_dropped"), 3);
	rig_sleep(&w->rig, EARLY_DEADLINE_NS);
	assert_int_equal(rig_counter(&w->rig, "early_dropped"), 3 + EARLY_SLOTS);
	world_acl(w, 0x41, S, BYTES_OF(3, 0, 4, 0, 0x0A, 8, 0));	/* in slots that were used before: still in order */
	world_acl(w, 0x41, S, BYTES_OF(3, 0, 4, 0, 0x0A, 9, 0));
	world_connect(w, 0x41);
	assert_int_equal(w->down_seen, 3);
	assert_int_equal(w->down[1].body[3], 8);
	assert_int_equal(w->down[2].body[3], 9);
	world_acl(w, 0x0F41, S, BYTES_OF(3, 0, 4, 0, 0x0A, 3, 0));	/* above 0x0EFF: no handle ever */
	assert_int_equal(arena_live(&w->rig.arena, POOL_early), 0);
	world_free(w);
}

/* A controller that was reset has no connection any more: what came early for one is not the next one's with that handle. */
static void test_early_data_ends_with_a_reset(void **state)
{
	struct world *w = world_up(2);

	(void)state;
	world_acl(w, 0x40, S, BYTES_OF(3, 0, 4, 0, 0x52, 1, 0));
	world_acl(w, 0x41, S, BYTES_OF(3, 0, 4, 0, 0x52, 2));		/* the rest of it never comes */
	assert_int_equal(arena_live(&w->rig.arena, POOL_early), 2);
	world_event(w, HCI_EVENT_HARDWARE_ERROR, BYTES_OF(1));
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 1);
	assert_int_equal(arena_live(&w->rig.arena, POOL_early), 0);
	world_connect(w, 0x40);
	world_connect(w, 0x41);
	assert_int_equal(world_told_count(w, RECORD_CONNECTED), 2);
	assert_int_equal(world_told_count(w, RECORD_L2CAP_PDU), 0);
	world_free(w);
}

/* Data that comes late, for a connection that ended, is not the next one's with that handle: that may be another peer. */
static void test_late_data(void **state)
{
	struct world *w = world_up(1);

	(void)state;
	connected(w, 0x40);
	world_disconnect(w, 0x40, 0x13);
	world_acl(w, 0x40, S, BYTES_OF(3, 0, 4, 0, 0x52, 1, 0));
	assert_int_equal(rig_counter(&w->rig, "early_dropped"), 1);
	w->down_seen = 0;
	world_connect(w, 0x40);
	assert_int_equal(world_told_count(w, RECORD_L2CAP_PDU), 0);
	world_acl(w, 0x41, S, BYTES_OF(3, 0, 4, 0, 0x52, 2, 0));
	world_connect(w, 0x41);					/* no slot: its data is nobody's */
	world_disconnect(w, 0x41, 0x16);
	world_acl(w, 0x41, S, BYTES_OF(3, 0, 4, 0, 0x52, 3, 0));
	assert_int_equal(rig_counter(&w->rig, "early_dropped"), 3);
	assert_int_equal(arena_live(&w->rig.arena, POOL_early), 0);
	world_disconnect(w, 0x40, 0x13);
	world_acl(w, 0x80, S, BYTES_OF(3, 0, 4, 0, 0x0A, 4, 0));	/* another's, with the same low bits */
	rig_sleep(&w->rig, EARLY_DEADLINE_NS / 2);
	world_connect(w, 0x80);
	assert_int_equal(world_told_count(w, RECORD_L2CAP_PDU), 1);
	world_disconnect(w, 0x80, 0x13);
	rig_sleep(&w->rig, EARLY_DEADLINE_NS);			/* what comes now is early, not late */
	world_acl(w, 0x80, S, BYTES_OF(3, 0, 4, 0, 0x0A, 5, 0));
	world_connect(w, 0x80);
	assert_int_equal(world_told_count(w, RECORD_L2CAP_PDU), 2);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fragments_out),
		cmocka_unit_test(test_never_more_than_the_buffers),
		cmocka_unit_test(test_disconnection_returns_credits),
		cmocka_unit_test(test_fair_shares),
		cmocka_unit_test(test_who_comes_late_is_served),
		cmocka_unit_test(test_share_is_looked_at_again),
		cmocka_unit_test(test_turns_interleave),
		cmocka_unit_test(test_closed_while_waiting),
		cmocka_unit_test(test_pieces_in),
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_lying_packets),
		cmocka_unit_test(test_early_data),
		cmocka_unit_test(test_early_data_ends_with_a_reset),
		cmocka_unit_test(test_late_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
