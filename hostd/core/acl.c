/* hostd/core/acl.c - ACL data out: fragments by credit and round-robin, Core 5.4 Vol 3 Part A 7.2 and Vol 4 Part E 4.1.
 *
 * A frame is cut from the connection's queue straight into the ring; one that can go at once, whole, never sees the queue.
 * credits and the connections' `outstanding` always add up to flow.total. */
#include "hostd/core/host.h"
#include "wire/hci_packet.h"
#include "wire/l2cap_names.h"

/* May it have one more packet at the controller?  Its share, so that peers that stall leave some to the others; beyond it, as many
 * as are left free.  The last buffer is for one that has none: a peer that came first and stalls leaves that to who comes later. */
static bool may_have(const struct flow *f, const struct connection *c)
{
	return !c->outstanding || (f->credits > 1 &&
	    (c->outstanding < f->credits || (uint64_t)(c->outstanding + 1) * f->live <= f->total));
}
static bool may_queue(const struct flow *f, const struct connection *c)
{
	return c->state == CONNECTION_OPEN && c->tx.len && may_have(f, c);
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
		queue_peek(h->arena, POOL_chunk, &e->tx, 0, head, sizeof head);
		e->tx_left = (uint16_t)(L2CAP_HEADER + (head[0] | head[1] << 8));
		/* Our own signalling is not of gattd's window. */
		e->tx_cost = head[2] == L2CAP_CID_LE_SIGNALLING ? 0 : e->tx_left;
		boundary = HCI_FIRST_NON_FLUSHABLE;
	}
	n = MIN((uint32_t)e->tx_left, (uint32_t)the_flow(h)->acl_length);
	w = wr_into(step_reserve(h->step, LINK_UP, HCI_ACL_HEADER + n), HCI_ACL_HEADER + n);
	hci_acl_header(&w, e->handle, boundary, (uint16_t)n);
	queue_pop(h->arena, POOL_chunk, &e->tx, w.at, n);
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
		if (!may_queue(the_flow(h), c))		/* it was pushed when more was free; its own completions push it again */
			continue;
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

	/* What is owed is not handed back yet: as long as it is not, it is no room. */
	if (cost ? c->tx.len - c->tx_own + c->owed + len > window_out(c) : c->tx_own + len > SIGNALLING_OCTETS)
		return false;
	if (f->credits && !list_waiting(h, LIST_READY) && !c->tx.len && len <= f->acl_length && may_have(f, c)) {
		w = wr_into(step_reserve(h->step, LINK_UP, HCI_ACL_HEADER + len), HCI_ACL_HEADER + len);
		hci_acl_header(&w, c->handle, HCI_FIRST_NON_FLUSHABLE, (uint16_t)len);
		l2cap_frame_basic_encode(&frame, &w);
		sent(h, e, HCI_ACL_HEADER + len);
		if (cost)
			gatt_owe(h, c, cost);
		return true;
	}
	if (!cost)
		e->tx_own = (uint16_t)(e->tx_own + len);
	frame.payload.len = 0;
	w = wr_into(head, sizeof head);
	l2cap_frame_basic_encode(&frame, &w);
	queue_push(h->arena, POOL_chunk, &e->tx, head, sizeof head);
	queue_push(h->arena, POOL_chunk, &e->tx, pdu.at, (uint32_t)pdu.len);
	if (may_queue(f, c))
		list_push(h, LIST_READY, c);
	return true;
}

/* What gattd gets back for frames that never leave: all that is queued but our own signalling. */
static uint32_t dropped_cost(const struct host *h, const struct connection *c)
{
	uint32_t cost = c->tx_left ? c->tx_cost : 0, at = c->tx_left, n;
	uint8_t head[L2CAP_HEADER];

	for (; queue_peek(h->arena, POOL_chunk, &c->tx, at, head, sizeof head); at += n) {
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
	gatt_owe(h, c, dropped_cost(h, c));
	queue_pop(h->arena, POOL_chunk, &e->tx, NULL, e->tx.len);
	queue_pop(h->arena, POOL_chunk, &e->rx, NULL, e->rx.len);
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
