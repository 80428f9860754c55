/* hostd/core/gatt_port.c - gattd's side: windows in both directions.
 *
 * Towards gattd a connection has a window: octets that gattd keeps a place for.  It begins with WINDOW_IN; gattd hands back what
 * it is done with, and more or less than that as it has room.  A peer that goes on while the window is used up loses commands
 * and notifications, as ATT allows; one that overruns it with requests, or with the Security Manager's PDUs (which come a few
 * at a time, and are never repeated), breaks the protocol, and is disconnected.  From gattd come at most as many octets as its
 * own window has that were not handed back; they fit `tx`. */
#include "hostd/core/host.h"
#include "wire/hci_error.h"
#include "wire/l2cap_names.h"

enum {
	SMP_BURST = 128,				/* a public key and what follows it, or all keys of a distribution */
	/* A request, an indication, a confirmation and the Security Manager's: never discarded.  Of what it has done of these gattd
	 * keeps less than an eighth of WINDOW_IN back. */
	KEEP = 2 * (PDU_MAX + WINDOW_PDU_OVERHEAD) + 8 + SMP_BURST + WINDOW_IN / 8,
	ATT_COMMAND_FLAG = 0x40,
};
_Static_assert(WINDOW_OUT - WINDOW_OUT / 4 > 2 * FRAME_MAX, "gattd could not answer for want of credit");
_Static_assert(WINDOW_IN - WINDOW_IN / 8 > KEEP + PDU_MAX + WINDOW_PDU_OVERHEAD, "a long command would never pass");

uint32_t window_out(const struct connection *c) { return WINDOW_OUT + c->extra * CHUNK_OCTETS; }

bool gatt_knows(const struct host *h, const struct connection *c)
{
	return c->life == the_radio(h)->down_life && host_has_down(h);
}

static struct record header(const struct connection *c, uint8_t kind, uint32_t len)
{
	struct connection_id id = connection_id_of(c);

	return (struct record){ .len = len, .kind = kind, .index = (uint16_t)(id.v >> 16), .generation = (uint16_t)id.v };
}

void gatt_tell_connected(struct host *h, const struct connection *c)
{
	struct local_connected m = { .handle = c->handle, .transport = TRANSPORT_LE, .role = c->role, .peer_type = c->peer_type,
		.own_type = c->own_type, .window_in = WINDOW_IN, .window_out = WINDOW_OUT };
	struct wr w = wr_into(step_reserve(h->step, LINK_DOWN, 32), 32);

	memcpy(m.peer, c->peer, 6);
	memcpy(m.own, c->own, 6);
	local_connected_encode(&m, &w);
	step_give(h->step, LINK_DOWN, header(c, RECORD_CONNECTED, (uint32_t)wr_len(&w)));
}

static void tell_disconnected(struct host *h, const struct connection *c)
{
	step_reserve(h->step, LINK_DOWN, 1)[0] = c->reason;
	step_give(h->step, LINK_DOWN, header(c, RECORD_DISCONNECTED, 1));
}

static bool may_be_discarded(uint16_t cid, struct bytes pdu)
{
	return cid == L2CAP_CID_ATT && (pdu.at[0] & ATT_COMMAND_FLAG || pdu.at[0] == ATT_HANDLE_VALUE_NOTIFICATION ||
	    pdu.at[0] == ATT_MULTIPLE_HANDLE_VALUE_NOTIFICATION);
}

void gatt_give_pdu(struct host *h, const struct connection *c, uint16_t cid, struct bytes pdu)
{
	uint32_t cost = WINDOW_PDU_OVERHEAD + (uint32_t)pdu.len;
	bool spare = may_be_discarded(cid, pdu);
	struct wr w;

	if (!gatt_knows(h, c))
		return;		/* it is about to be disconnected */
	count(h, COUNT_pdus_in);
	if (c->window < cost + (spare ? KEEP : 0)) {
		count(h, spare ? COUNT_window_discarded : COUNT_window_overruns);
		if (!spare)
			connection_close(h, c, HCI_ERROR_REMOTE_DEVICE_TERMINATED_LOW_RESOURCES);
		return;
	}
	connection_edit(h->arena, c)->window -= cost;
	w = wr_into(step_reserve(h->step, LINK_DOWN, 2 + (uint32_t)pdu.len), 2 + pdu.len);
	local_l2cap_pdu_encode(&(struct local_l2cap_pdu){ cid, pdu }, &w);
	step_give(h->step, LINK_DOWN, header(c, RECORD_L2CAP_PDU, (uint32_t)wr_len(&w)));
}

/* What is handed back at once: half of a window, of a small one less, so that gattd can always answer. */
static uint32_t worth_a_record(const struct connection *c)
{
	return MIN(window_out(c) / 2, window_out(c) - (WINDOW_OUT - WINDOW_OUT / 4));
}

void gatt_owe(struct host *h, const struct connection *c, uint32_t octets)
{
	if (!octets || !gatt_knows(h, c))
		return;
	connection_edit(h->arena, c)->owed += octets;
	list_push(h, LIST_OWED, c);
	if (c->owed >= worth_a_record(c))
		list_push(h, LIST_WORK, c);
}

static void give_credit(struct host *h, const struct connection *c)
{
	struct connection *e = connection_edit(h->arena, c);
	uint32_t octets = window_renew(&e->extra, WINDOW_OUT_EXTRA, &flow_change(h)->spare, e->owed);
	struct wr w;

	e->owed = 0;
	if (!octets)
		return;
	w = wr_into(step_reserve(h->step, LINK_DOWN, 4), 4);
	local_credit_encode(&(struct local_credit){ octets }, &w);
	step_give(h->step, LINK_DOWN, header(c, RECORD_CREDIT, 4));
}

void gatt_hand_back(struct host *h, unsigned most)
{
	const struct connection *c;

	while (most-- && (c = list_pop(h, LIST_OWED)))
		if (c->owed && gatt_knows(h, c))
			give_credit(h, c);
}

void gatt_turn(struct host *h, const struct connection *c)
{
	bool knows = gatt_knows(h, c), ended = c->state == CONNECTION_ENDED;

	if (!ended && !(c->due & DUE_END)) {
		if (knows && c->owed)
			give_credit(h, c);
		return;
	}
	if (knows)
		tell_disconnected(h, c);
	if (ended) {
		connection_free_now(h, c);
		return;
	}
	connection_edit(h->arena, c)->due &= (uint8_t)~DUE_END;
	connection_edit(h->arena, c)->life = 0;
}

static void on_gatt_pdu(struct host *h, const struct connection *c, struct bytes payload)
{
	struct local_l2cap_pdu m;

	if (!local_l2cap_pdu_decode(payload, &m) || (m.cid != L2CAP_CID_ATT && m.cid != L2CAP_CID_SMP) || !m.pdu.len ||
	    m.pdu.len > PDU_MAX) {
		count(h, COUNT_records_bad);
		return;
	}
	if (c->state != CONNECTION_OPEN || !host_is_up(h)) {	/* nobody will hear it */
		gatt_owe(h, c, WINDOW_PDU_OVERHEAD + (uint32_t)m.pdu.len);
		return;
	}
	count(h, COUNT_pdus_out);
	if (!acl_send(h, c, m.cid, m.pdu, (uint16_t)(WINDOW_PDU_OVERHEAD + m.pdu.len))) {
		count(h, COUNT_gattd_overruns);	/* it does not keep to its window: what it said is lost, so the link is */
		connection_close(h, c, HCI_ERROR_REMOTE_USER_TERMINATED_CONNECTION);
	}
}

static void on_gatt_credit(struct host *h, const struct connection *c, struct bytes payload)
{
	struct connection *e = connection_edit(h->arena, c);
	struct local_credit m;

	if (!local_credit_decode(payload, &m)) {
		count(h, COUNT_records_bad);
		return;
	}
	if (m.octets > WINDOW_MOST - c->window) {
		count(h, COUNT_credits_clamped);
		m.octets = WINDOW_MOST - c->window;
	}
	e->window += m.octets;
}

void on_gatt_record(struct host *h, const struct record *r, struct bytes payload)
{
	const struct connection *c = connection_named(h, r);
	struct local_disconnect m;

	if (!c || !gatt_knows(h, c)) {
		count(h, COUNT_stale_records);
		return;
	}
	switch (r->kind) {
	case RECORD_L2CAP_PDU: on_gatt_pdu(h, c, payload); break;
	case RECORD_CREDIT: on_gatt_credit(h, c, payload); break;
	case RECORD_DISCONNECT:
		if (local_disconnect_decode(payload, &m))
			connection_close(h, c, m.reason);
		else
			count(h, COUNT_records_bad);
		break;
	default: count(h, COUNT_records_bad);
	}
}
