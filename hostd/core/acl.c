/* hostd/core/acl.c - ACL data out: fragments by credit and round-robin, Core 5.4 Vol 3 Part A 7.2 and Vol 4 Part E 4.1.
 *
 * A frame is cut from the connection's queue straight into the ring; one that can go at once, whole, never sees the queue.
 * credits and the connections' `outstanding` always add up to flow.total. */
#include "hostd/core/host.h"
#include "wire/hci_packet.h"
#include "wire/l2cap_names.h"

/* Packets that one connection may have at the controller: its share, so that peers that stall leave some to the others. */
static uint32_t share(const struct flow *f)
{
	uint32_t live = f->live ? f->live : 1;

	return f->total / live ? f->total / live : 1;
}
static bool may_queue(const struct flow *f, const struct connection *c)
{
	return c->state == CONNECTION_OPEN && fifo_len(c, tx) && c->outstanding < share(f);
}

bool acl_can_pump(const struct host *h)
{
	return the_flow(h)->credits && list_waiting(h, LIST_READY) && host_is_up(h);
}

static void sent(struct host *h, struct connection *e, uint32_t octets)
{
	step_give(h->step, LINK_UP, (struct record){ .len = octets, .kind = RECORD_HCI_ACL });
	flow_change(h)->credits--;
	e->outstanding++;
	count(h, COUNT_acl_out);
}

static void send_fragment(struct host *h, const struct connection *c)
{
	struct connection *e = connection_edit(h->arena, c);
	uint8_t head[L2CAP_HEADER] = { 0 }, boundary = HCI_CONTINUING;
	uint32_t n;
	struct wr w;

	if (!e->tx_left) {
		fifo_peek(e, tx, 0, head, sizeof head);
		e->tx_left = (uint16_t)(L2CAP_HEADER + (head[0] | head[1] << 8));
		/* Our own signalling is not of gattd's window. */
		e->tx_cost = head[2] == L2CAP_CID_LE_SIGNALLING ? 0 : e->tx_left;
		boundary = HCI_FIRST_NON_FLUSHABLE;
	}
	n = MIN((uint32_t)e->tx_left, (uint32_t)the_flow(h)->acl_length);
	w = wr_into(step_reserve(h->step, LINK_UP, HCI_ACL_HEADER + n), HCI_ACL_HEADER + n);
	hci_acl_header(&w, e->handle, boundary, (uint16_t)n);
	fifo_pop(e, tx, w.at, n);
	sent(h, e, HCI_ACL_HEADER + n);
	e->tx_left = (uint16_t)(e->tx_left - n);
	if (!e->tx_cost)
		e->tx_own = (uint16_t)(e->tx_own - n);
	else if (!e->tx_left)
		gatt_owe(h, c, e->tx_cost);
}

void acl_pump(struct host *h)
{
	const struct connection *c;

	if (!acl_can_pump(h))
		return;
	for (unsigned n = 0; n < PUMP_FRAGMENTS && the_flow(h)->credits && (c = list_pop(h, LIST_READY)); n++) {
		send_fragment(h, c);
		if (may_queue(the_flow(h), c))
			list_push(h, LIST_READY, c);
	}
}

bool acl_send(struct host *h, const struct connection *c, uint16_t cid, struct bytes pdu, uint16_t cost)
{
	const struct flow *f = the_flow(h);
	uint32_t len = L2CAP_HEADER + (uint32_t)pdu.len;
	struct l2cap_frame_basic frame = { (uint16_t)pdu.len, cid, pdu };
	struct connection *e = connection_edit(h->arena, c);
	uint8_t head[L2CAP_HEADER];
	struct wr w;

	if (f->credits && !list_waiting(h, LIST_READY) && !fifo_len(c, tx) && len <= f->acl_length && c->outstanding < share(f)) {
		w = wr_into(step_reserve(h->step, LINK_UP, HCI_ACL_HEADER + len), HCI_ACL_HEADER + len);
		hci_acl_header(&w, c->handle, HCI_FIRST_NON_FLUSHABLE, (uint16_t)len);
		l2cap_frame_basic_encode(&frame, &w);
		sent(h, e, HCI_ACL_HEADER + len);
		if (cost)
			gatt_owe(h, c, cost);
		return true;
	}
	if (fifo_room(c, tx) < len || (!cost && c->tx_own + len > TX_OCTETS - WINDOW_OUT))
		return false;
	if (!cost)
		e->tx_own = (uint16_t)(e->tx_own + len);
	frame.payload.len = 0;
	w = wr_into(head, sizeof head);
	l2cap_frame_basic_encode(&frame, &w);
	fifo_push(h->arena, e, tx, head, sizeof head);
	fifo_push(h->arena, e, tx, pdu.at, (uint32_t)pdu.len);
	if (may_queue(f, c))
		list_push(h, LIST_READY, c);
	return true;
}

/* What gattd gets back for frames that never leave: all that is queued but our own signalling. */
static uint32_t dropped_cost(const struct connection *c)
{
	uint32_t cost = c->tx_left ? c->tx_cost : 0, at = c->tx_left, n;
	uint8_t head[L2CAP_HEADER];

	for (; fifo_peek(c, tx, at, head, sizeof head); at += n) {
		n = (uint32_t)sizeof head + (uint32_t)(head[0] | head[1] << 8);
		if (head[2] != L2CAP_CID_LE_SIGNALLING)
			cost += n;
	}
	return cost;
}

void acl_drop(struct host *h, const struct connection *c)
{
	struct connection *e = connection_edit(h->arena, c);

	list_remove(h, LIST_READY, c);
	gatt_owe(h, c, dropped_cost(c));
	fifo_pop(e, tx, NULL, fifo_len(e, tx));
	fifo_pop(e, rx, NULL, fifo_len(e, rx));
	e->tx_left = e->tx_cost = e->tx_own = e->rx_need = 0;
	e->rx_state = RX_IDLE;
}

/* 4.1: with its disconnection all packets of a connection count as completed. */
void acl_release(struct host *h, const struct connection *c)
{
	if (!c->outstanding)
		return;
	flow_change(h)->credits += c->outstanding;
	connection_edit(h->arena, c)->outstanding = 0;
}

void acl_share(struct host *h)
{
	const struct flow *f = the_flow(h);
	const struct connection *c;
	unsigned n = 0;

	for (c = connection_next(h->arena, NULL); c && n < TURN_CONNECTIONS; c = connection_next(h->arena, c))
		if (!c->on[LIST_READY] && may_queue(f, c)) {
			list_push(h, LIST_READY, c);
			n++;
		}
}

void acl_on_completed(struct host *h, uint16_t handle, uint16_t n)
{
	const struct connection *c = connection_find(h, handle);
	struct connection *e;

	if (!c) {
		count(h, COUNT_handles_unknown);
		return;
	}
	if (n > c->outstanding) {
		count(h, COUNT_completed_clamped);
		n = (uint16_t)c->outstanding;
	}
	if (!n)
		return;
	e = connection_edit(h->arena, c);
	e->outstanding -= n;
	flow_change(h)->credits += n;
	if (may_queue(the_flow(h), c))
		list_push(h, LIST_READY, c);
}
