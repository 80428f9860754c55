/* gattd/core/bearer.c - connections come and go, windows, PDUs in and out. */
#include "gattd/core/gatt.h"
#include "wire/hci_error.h"
#include "wire/l2cap_names.h"

enum {
	OVERHEAD = 4,			/* what a PDU costs in a window beyond its length; also the head of one that waits in rx */
	COMMAND_FLAG = 0x40,		/* of an ATT opcode */
	KEPT_MAX = GATT_MTU_MAX + 1,	/* octets that are kept of one that waits: it stays too long */
};

static const struct seat *seat_of(const struct gatt *g, unsigned index)
{
	return index < GATT_CONNECTIONS_MAX ? seat_view(g->arena, (struct seat_id){ 1 | index << 16 }) : NULL;
}

const struct bearer *bearer_at(const struct gatt *g, unsigned index)
{
	const struct seat *seat = seat_of(g, index);

	return seat ? bearer_view(g->arena, seat->bearer) : NULL;
}

const struct bearer *bearer_find(const struct gatt *g, uint16_t index, uint16_t generation)
{
	const struct bearer *b = bearer_at(g, index);

	return b && b->generation == generation && mask_has(the_server(g)->live, index) ? b : NULL;
}

void bearer_set_ready(struct gatt *g, const struct bearer *b)
{
	if (!mask_has(the_server(g)->ready, b->index))
		mask_set(server_change(g)->ready, b->index);
}

static void clear(struct gatt *g, struct queue *q) { queue_pop(g->arena, POOL_chunk, q, NULL, q->len); }

bool bearer_may_prepare(struct gatt *g, const struct bearer *b)
{
	if (b->prepared_chunks)
		return true;
	if (the_server(g)->spare < 2 * GATT_PREPARED_CHUNKS)		/* as with windows: as much as is left */
		return false;
	server_change(g)->spare -= GATT_PREPARED_CHUNKS;
	bearer_edit(g->arena, b)->prepared_chunks = GATT_PREPARED_CHUNKS;
	return true;
}

void bearer_forget_prepared(struct gatt *g, const struct bearer *b)
{
	struct bearer *e;

	if (!b->prepared_chunks)
		return;
	e = bearer_edit(g->arena, b);
	clear(g, &e->prepared);
	server_change(g)->spare += e->prepared_chunks;
	e->prepared_chunks = 0;
}

static void forget_queues(struct gatt *g, const struct bearer *b)
{
	struct bearer *e = bearer_edit(g->arena, b);

	clear(g, &e->rx);
	clear(g, &e->due);
	bearer_forget_prepared(g, b);
}

void bearer_drop(struct gatt *g, const struct bearer *b)
{
	struct server *s = server_change(g);
	unsigned index = b->index;

	mask_clear(s->live, b->index);
	mask_clear(s->ready, b->index);
	mask_clear(s->held, b->index);
	mask_clear(s->dead, b->index);
	if (b->wanted)
		held_wake(g);
	forget_queues(g, b);
	s->spare += b->extra;
	bearer_free(g->arena, b);
	timer_drop(g, index);
}

void bearers_abandon(struct gatt *g)
{
	struct server *s = server_change(g);

	for (unsigned w = 0; w < GATT_MASK_WORDS; w++) {
		s->dead[w] |= s->live[w];
		s->live[w] = s->ready[w] = s->held[w] = s->timed[w] = 0;
	}
	s->timer_ns = DEADLINE_NONE;
	s->pending_ns = 0;
	s->spreads = 0;
	s->spread_at = 0;
	s->retry = 1;
}

void bearers_bury(struct gatt *g, unsigned most)
{
	unsigned i;

	while (most-- && (i = mask_next(the_server(g)->dead, 0)) < GATT_CONNECTIONS_MAX)
		bearer_drop(g, bearer_at(g, i));
}

/* ---- out ---- */
void bearer_send_disconnect(struct gatt *g, uint16_t index, uint16_t generation, uint8_t reason)
{
	step_reserve(g->step, LINK_UP, 1)[0] = reason;
	step_give(g->step, LINK_UP,
	    (struct record){ .len = 1, .kind = RECORD_DISCONNECT, .index = index, .generation = generation });
}

/* What the PDUs in rx cost hostd: more than is kept of those that are too long. */
static uint32_t waiting_cost(const struct gatt *g, const struct bearer *b)
{
	uint8_t head[OVERHEAD];
	uint32_t cost = 0, at = 0, len;

	for (; queue_peek(g->arena, POOL_chunk, &b->rx, at, head, sizeof head); at += OVERHEAD + MIN(len, (uint32_t)KEPT_MAX)) {
		len = head[2] | (uint32_t)head[3] << 8;
		cost += OVERHEAD + len;
	}
	return cost;
}

void bearer_end(struct gatt *g, const struct bearer *b, uint8_t reason)
{
	struct bearer *e = bearer_edit(g->arena, b);

	if (b->state == BEARER_ENDED)
		return;
	e->state = BEARER_ENDED;
	bearer_consumed(g, b, waiting_cost(g, b), 0);
	forget_queues(g, b);
	e->confirm_ns = 0;
	e->told = 0;
	timer_drop(g, b->index);
	held_done(g, b);
	if (e->wanted) {
		e->wanted = 0;
		held_wake(g);
	}
	bearer_send_disconnect(g, b->index, b->generation, reason);
}

struct wr *bearer_open_on(struct gatt *g, const struct bearer *b, uint16_t cid, uint8_t code)
{
	g->w = wr_into(step_reserve(g->step, LINK_UP, 2u + b->mtu), 2u + b->mtu);
	wr_le(&g->w, cid, 2);
	wr_le(&g->w, code, 1);
	return &g->w;
}

struct wr *bearer_open(struct gatt *g, const struct bearer *b, uint8_t opcode)
{
	return bearer_open_on(g, b, L2CAP_CID_ATT, opcode);
}

void bearer_send(struct gatt *g, const struct bearer *b)
{
	uint32_t len = (uint32_t)wr_len(&g->w), cost = len - 2 + OVERHEAD;
	struct bearer *e = bearer_edit(g->arena, b);

	if (!wr_ok(&g->w) || cost > b->room_out)
		arena_panic("a PDU longer than its room");
	e->room_out -= cost;
	e->pdus_out++;
	step_give(g->step, LINK_UP,
	    (struct record){ .len = len, .kind = RECORD_L2CAP_PDU, .index = b->index, .generation = b->generation });
	g->w = (struct wr){ 0 };
	gatt_count(g, GATT_COUNT_pdus_out);
}

bool bearer_has_room(const struct bearer *b, size_t len, bool answer)
{
	uint32_t keep = b->mtu + (uint32_t)OVERHEAD;

	/* Where the window is too small to leave room for an answer, whoever comes first is served. */
	if (answer || b->window_out / 2 < keep)
		keep = 0;
	return b->room_out >= len + OVERHEAD + keep;
}

static uint32_t window_in(const struct bearer *b) { return b->base_in + b->extra * CHUNK_OCTETS; }

static void send_credit(struct gatt *g, const struct bearer *b, uint32_t octets)
{
	struct wr w = wr_into(step_reserve(g->step, LINK_UP, 4), 4);

	local_credit_encode(&(struct local_credit){ octets }, &w);
	step_give(g->step, LINK_UP,
	    (struct record){ .len = 4, .kind = RECORD_CREDIT, .index = b->index, .generation = b->generation });
}

/* A new window begins with a part of the rest, so that a peer's first burst is no smaller than a later one; as long as more than
 * half of the rest is nobody's, for most connections are idle, and do not hand back what they do not use. */
static void grow_first(struct gatt *g, struct bearer *b)
{
	uint32_t spare = the_server(g)->spare, n = MIN(spare / 16, (uint32_t)GATT_WINDOW_FIRST);

	if (2 * spare <= GATT_SPARE_BESIDES || !n)
		return;
	server_change(g)->spare -= n;
	b->extra += n;
	send_credit(g, b, n * CHUNK_OCTETS);
}

void bearer_consumed(struct gatt *g, const struct bearer *b, uint32_t cost, uint32_t most)
{
	struct bearer *e = bearer_edit(g->arena, b);
	uint32_t octets;

	e->owed += cost;
	if (!e->owed || e->owed < most)
		return;
	octets = window_renew(&e->extra, GATT_WINDOW_EXTRA, &server_change(g)->spare, e->owed);
	e->used_in -= e->owed;
	e->owed = 0;
	if (octets)
		send_credit(g, b, octets);
}

/* A PDU is done with.  Of commands and notifications an eighth of the window may be kept back; of the others, for which hostd
 * keeps a place free in it, an eighth of its base. */
static void pdu_consumed(struct gatt *g, const struct bearer *b, uint16_t cid, struct bytes pdu, uint32_t cost)
{
	bool command = cid == L2CAP_CID_ATT && pdu.len && pdu.at[0] & COMMAND_FLAG;

	bearer_consumed(g, b, cost, (command ? window_in(b) : b->base_in) / 8);
}

/* ---- in ---- */
static int pdu_take(struct gatt *g, const struct bearer *b, uint16_t cid, struct bytes pdu)
{
	if (cid == L2CAP_CID_ATT) {
		if (!bearer_has_room(b, att_answer_max(b, pdu), true))
			return GATT_HOLD;
		return att_on_pdu(g, b, pdu);
	}
	if (cid != L2CAP_CID_SMP) {
		gatt_count(g, GATT_COUNT_other_channels);
		return 0;
	}
	if (!bearer_has_room(b, SMP_ANSWER, true))
		return GATT_HOLD;
	smp_on_pdu(g, b, pdu);
	return 0;
}

static void pdu_wait(struct gatt *g, const struct bearer *b, uint16_t cid, struct bytes pdu)
{
	struct bearer *e = bearer_edit(g->arena, b);
	uint8_t head[OVERHEAD];
	struct wr w = wr_into(head, sizeof head);

	wr_le(&w, cid, 2);
	wr_le(&w, pdu.len, 2);
	queue_push(g->arena, POOL_chunk, &e->rx, head, sizeof head);
	queue_push(g->arena, POOL_chunk, &e->rx, pdu.at, MIN((uint32_t)pdu.len, (uint32_t)KEPT_MAX));
}

bool bearer_take_waiting(struct gatt *g, const struct bearer *b)
{
	uint8_t head[OVERHEAD], octets[KEPT_MAX];
	struct bytes pdu = { octets, 0 };
	uint16_t cid, len;

	if (!queue_peek(g->arena, POOL_chunk, &b->rx, 0, head, sizeof head))
		return false;
	cid = (uint16_t)(head[0] | head[1] << 8);
	len = (uint16_t)(head[2] | head[3] << 8);
	pdu.len = MIN((size_t)len, (size_t)KEPT_MAX);
	if (!queue_peek(g->arena, POOL_chunk, &b->rx, sizeof head, octets, (uint32_t)pdu.len) ||
	    pdu_take(g, b, cid, pdu) == GATT_HOLD)
		return g->again;
	if (b->state == BEARER_OPEN) {		/* else its queue was emptied with it */
		held_done(g, b);
		queue_pop(g->arena, POOL_chunk, &bearer_edit(g->arena, b)->rx, NULL, OVERHEAD + (uint32_t)pdu.len);
		pdu_consumed(g, b, cid, pdu, OVERHEAD + (uint32_t)len);
	}
	return true;
}

static bool is_confirmation(const struct local_l2cap_pdu *m)
{
	return m->cid == L2CAP_CID_ATT && m->pdu.len == 1 && m->pdu.at[0] == ATT_HANDLE_VALUE_CONFIRMATION;
}

void gatt_on_pdu(struct gatt *g, const struct record *r, struct bytes payload)
{
	const struct bearer *b = bearer_find(g, r->index, r->generation);
	struct local_l2cap_pdu m;
	struct bearer *e;
	uint32_t cost;

	if (!b) {
		gatt_count(g, GATT_COUNT_records_stale);
		return;
	}
	if (!local_l2cap_pdu_decode(payload, &m)) {
		gatt_count(g, GATT_COUNT_records_bad);
		return;
	}
	cost = OVERHEAD + (uint32_t)m.pdu.len;
	e = bearer_edit(g->arena, b);
	if (cost > window_in(b) - e->used_in) {
		gatt_count(g, GATT_COUNT_overruns);
		bearer_end(g, b, HCI_ERROR_REMOTE_USER_TERMINATED_CONNECTION);
		return;
	}
	e->used_in += cost;
	e->pdus_in++;
	gatt_count(g, GATT_COUNT_pdus_in);
	if (b->state == BEARER_ENDED) {
		bearer_consumed(g, b, cost, b->base_in / 8);
		return;
	}
	/* A confirmation answers us: what it sets free may be what the queue before it waits for. */
	if ((b->rx.len && !is_confirmation(&m)) || pdu_take(g, b, m.cid, m.pdu) == GATT_HOLD)
		pdu_wait(g, b, m.cid, m.pdu);
	else
		pdu_consumed(g, b, m.cid, m.pdu, cost);
}

void gatt_on_credit(struct gatt *g, const struct record *r, struct bytes payload)
{
	const struct bearer *b = bearer_find(g, r->index, r->generation);
	struct local_credit m;

	if (!b) {
		gatt_count(g, GATT_COUNT_records_stale);
		return;
	}
	if (!local_credit_decode(payload, &m)) {
		gatt_count(g, GATT_COUNT_records_bad);
		return;
	}
	if (m.octets > GATT_WINDOW_MOST - b->room_out) {
		gatt_count(g, GATT_COUNT_credits_bad);
		m.octets = GATT_WINDOW_MOST - b->room_out;
	}
	bearer_edit(g->arena, b)->room_out += m.octets;
	if (b->rx.len || b->due.len)
		bearer_set_ready(g, b);
}

void gatt_on_connected(struct gatt *g, const struct record *r, struct bytes payload)
{
	const struct seat *seat = seat_of(g, r->index);
	const struct bearer *old = bearer_at(g, r->index);
	struct local_connected m;
	struct bearer *b;

	if (!seat || !r->generation || !local_connected_decode(payload, &m) || m.window_in > GATT_WINDOW_IN ||
	    m.window_in < GATT_MTU_MAX + OVERHEAD || m.window_out < GATT_MTU_MIN + OVERHEAD || m.window_out > GATT_WINDOW_MOST) {
		gatt_count(g, GATT_COUNT_records_bad);
		bearer_send_disconnect(g, r->index, r->generation, HCI_ERROR_REMOTE_DEVICE_TERMINATED_LOW_RESOURCES);
		return;
	}
	if (old && mask_has(the_server(g)->live, r->index))
		gatt_count(g, GATT_COUNT_replaced);
	if (old)
		bearer_drop(g, old);
	b = bearer_new(g->arena);
	if (!b)
		arena_panic("more bearers than seats");
	b->index = r->index;
	b->generation = r->generation;
	b->mtu = GATT_MTU_MIN;
	b->mtu_max = (uint16_t)MIN(the_server(g)->mtu, m.window_out - OVERHEAD);
	b->base_in = m.window_in;
	b->window_out = b->room_out = m.window_out;
	seat_edit(g->arena, seat)->bearer = bearer_id_of(b);
	mask_set(server_change(g)->live, r->index);
	grow_first(g, b);
}

void gatt_on_disconnected(struct gatt *g, const struct record *r)
{
	const struct bearer *b = bearer_find(g, r->index, r->generation);

	if (b)
		bearer_drop(g, b);
	else
		gatt_count(g, GATT_COUNT_records_stale);
}
