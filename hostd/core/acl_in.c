/* hostd/core/acl_in.c - ACL data in: fragments put together to frames, Core 5.4 Vol 3 Part A 7.2 and Vol 4 Part E 5.4.2.
 *
 * A frame that comes whole is passed on from where it lies.  One that does not add up is dropped, and the link kept: the rest
 * of it is skipped up to the next start.  A first fragment may be shorter than the L2CAP header. */
#include "hostd/core/host.h"
#include "wire/hci_packet.h"
#include "wire/l2cap_names.h"

/* A whole frame, header first. */
static void on_l2cap_frame(struct host *h, const struct connection *c, struct bytes frame)
{
	uint16_t cid = (uint16_t)(frame.at[2] | frame.at[3] << 8);
	struct bytes pdu = { frame.at + L2CAP_HEADER, frame.len - L2CAP_HEADER };

	switch (cid) {
	case L2CAP_CID_ATT:
	case L2CAP_CID_SMP:
		if (pdu.len)
			gatt_give_pdu(h, c, cid, pdu);
		else
			count(h, COUNT_l2cap_empty);
		break;
	case L2CAP_CID_LE_SIGNALLING:
		on_l2cap_signalling(h, c, pdu);
		break;
	default:
		count(h, COUNT_l2cap_cid_unknown);
	}
}

static uint32_t frame_octets(const uint8_t head[L2CAP_HEADER]) { return L2CAP_HEADER + (uint32_t)(head[0] | head[1] << 8); }

static void drop(struct host *h, const struct connection *c, enum rx_state then, enum host_counter why)
{
	struct connection *e = connection_edit(h->arena, c);

	queue_pop(h->arena, POOL_chunk, &e->rx, NULL, e->rx.len);
	e->rx_need = 0;
	e->rx_state = (uint8_t)then;
	count(h, why);
}

/* What is there makes one frame. */
static void complete(struct host *h, const struct connection *c)
{
	uint8_t frame[RX_OCTETS];
	struct connection *e = connection_edit(h->arena, c);
	uint32_t n = e->rx.len;

	queue_pop(h->arena, POOL_chunk, &e->rx, frame, n);
	e->rx_need = 0;
	e->rx_state = RX_IDLE;
	on_l2cap_frame(h, c, (struct bytes){ frame, n });
}

/* One more piece of the frame under way: never more is kept than the longest frame. */
static void append(struct host *h, const struct connection *c, struct bytes data)
{
	struct connection *e = connection_edit(h->arena, c);
	uint8_t head[L2CAP_HEADER];
	uint32_t have = e->rx.len, len = (uint32_t)data.len;

	if (len > RX_OCTETS - have) {
		drop(h, c, RX_SKIPPING, COUNT_acl_too_long);
		return;
	}
	queue_push(h->arena, POOL_chunk, &e->rx, data.at, len);
	e->rx_state = RX_ASSEMBLING;
	if (!e->rx_need && queue_peek(h->arena, POOL_chunk, &e->rx, 0, head, sizeof head)) {
		if (frame_octets(head) > FRAME_MAX) {
			drop(h, c, RX_SKIPPING, COUNT_acl_too_long);
			return;
		}
		e->rx_need = (uint16_t)frame_octets(head);
	}
	if (!e->rx_need || have + len < e->rx_need)
		return;
	if (have + len > e->rx_need)
		drop(h, c, RX_SKIPPING, COUNT_acl_overlong);
	else
		complete(h, c);
}

static void on_start(struct host *h, const struct connection *c, struct bytes data)
{
	uint32_t octets = data.len >= L2CAP_HEADER ? frame_octets(data.at) : 0;

	if (c->rx_state == RX_ASSEMBLING)
		drop(h, c, RX_IDLE, COUNT_acl_truncated);
	else if (c->rx_state == RX_SKIPPING)
		connection_edit(h->arena, c)->rx_state = RX_IDLE;
	if (!data.len)
		count(h, COUNT_acl_malformed);		/* nothing starts */
	else if (octets > FRAME_MAX)
		drop(h, c, RX_SKIPPING, COUNT_acl_too_long);
	else if (octets && data.len == octets)
		on_l2cap_frame(h, c, data);
	else
		append(h, c, data);
}

static void on_fragment(struct host *h, const struct connection *c, uint8_t boundary, struct bytes data)
{
	if (c->state != CONNECTION_OPEN) {
		count(h, COUNT_acl_ignored);	/* it is being disconnected */
		return;
	}
	switch (boundary) {
	case HCI_FIRST_FLUSHABLE:
	case HCI_FIRST_NON_FLUSHABLE:		/* no controller should send it; its meaning is clear */
		on_start(h, c, data);
		break;
	case HCI_CONTINUING:
		if (c->rx_state == RX_ASSEMBLING)
			append(h, c, data);
		else if (c->rx_state == RX_IDLE)
			count(h, COUNT_acl_unstarted);
		break;				/* skipping: counted when it was dropped */
	default:
		count(h, COUNT_acl_malformed);	/* a complete PDU: not on LE */
	}
}

static const struct former *former_of(const struct host *h, uint16_t handle)
{
	return &handles_only(h->arena)->former[handle % HANDLE_SLOTS];
}
static void former_set(struct host *h, uint16_t handle, struct former f)
{
	handles_edit(h->arena, handles_only(h->arena))->former[handle % HANDLE_SLOTS] = f;
}

static void early_settle(struct host *h)	/* none left: nothing to wake up for */
{
	if (the_flow(h)->early_ns && !arena_live(h->arena, POOL_early))
		flow_change(h)->early_ns = 0;
}

void acl_handle_ended(struct host *h, uint16_t handle)
{
	former_set(h, handle, (struct former){ .until_ns = h->now_ns + EARLY_DEADLINE_NS, .handle = handle });
	for (const struct early *e = early_next(h->arena, NULL); e; e = early_next(h->arena, e))
		if (e->handle == handle) {
			early_free(h->arena, e);
			count(h, COUNT_early_dropped);
		}
	early_settle(h);
}

/* Data may overtake its Connection Complete (they come by different endpoints on USB): it is held for a moment.  What comes
 * right after a Disconnection Complete is the former connection's: that of another peer. */
static void hold_early(struct host *h, const struct hci_acl_packet *p)
{
	const struct former *was = former_of(h, p->handle);
	bool late = was->handle == p->handle && was->until_ns > h->now_ns;
	struct flow *f;
	struct early *e = !late && p->data.len <= EARLY_OCTETS ? early_new(h->arena) : NULL;

	if (!e) {
		count(h, COUNT_early_dropped);
		return;
	}
	f = flow_change(h);
	e->deadline_ns = h->now_ns + EARLY_DEADLINE_NS;
	e->order = f->early_order++;
	e->handle = p->handle;
	e->boundary = p->boundary;
	e->len = (uint16_t)p->data.len;
	memcpy(e->data, p->data.at, p->data.len);
	if (!f->early_ns)
		f->early_ns = e->deadline_ns;
	count(h, COUNT_early_held);
}

static const struct early *earliest(const struct host *h, uint16_t handle)
{
	const struct early *first = NULL;

	for (const struct early *e = early_next(h->arena, NULL); e; e = early_next(h->arena, e))
		if (e->handle == handle && (!first || (int32_t)(e->order - first->order) < 0))
			first = e;
	return first;
}

void acl_replay_early(struct host *h, const struct connection *c)
{
	const struct early *e;
	uint8_t data[EARLY_OCTETS], boundary;
	size_t len;

	if (former_of(h, c->handle)->until_ns)
		former_set(h, c->handle, (struct former){ 0 });
	while ((e = earliest(h, c->handle))) {
		boundary = e->boundary;
		len = e->len;
		memcpy(data, e->data, len);
		early_free(h->arena, e);
		on_fragment(h, c, boundary, (struct bytes){ data, len });
	}
	early_settle(h);
}

void acl_on_time(struct host *h)
{
	uint64_t next = 0;

	if (!the_flow(h)->early_ns || the_flow(h)->early_ns > h->now_ns)
		return;
	for (const struct early *e = early_next(h->arena, NULL); e; e = early_next(h->arena, e)) {
		if (e->deadline_ns <= h->now_ns) {
			early_free(h->arena, e);
			count(h, COUNT_early_dropped);
		} else if (!next || e->deadline_ns < next) {
			next = e->deadline_ns;
		}
	}
	flow_change(h)->early_ns = next;
}

void acl_forget_early(struct host *h)
{
	for (const struct early *e = early_next(h->arena, NULL); e; e = early_next(h->arena, e))
		early_free(h->arena, e);
	early_settle(h);
}

void on_hci_acl(struct host *h, struct bytes packet)
{
	const struct connection *c;
	struct hci_acl_packet p;

	if (!hci_acl_packet_decode(packet, &p)) {
		count(h, COUNT_acl_malformed);
	} else if (the_radio(h)->state != HOST_UP) {
		count(h, COUNT_acl_ignored);
	} else if (p.broadcast) {
		count(h, COUNT_acl_broadcast);		/* 5.4.2: not on LE */
	} else if ((c = connection_find(h, p.handle))) {
		count(h, COUNT_acl_in);
		on_fragment(h, c, p.boundary, p.data);
	} else if (handle_valid(p.handle)) {
		count(h, COUNT_handles_unknown);
		hold_early(h, &p);
	} else {
		count(h, COUNT_handles_unknown);
	}
}
