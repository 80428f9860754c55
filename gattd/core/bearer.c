/* gattd/core/bearer.c - connections come and go, windows, PDUs in and out. */
#include "gattd/core/gatt.h"
#include "wire/hci_error.h"
#include "wire/l2cap_names.h"

enum { OVERHEAD = 4 };		/* what a PDU costs in a window beyond its length; also the head of one that waits in rx */

unsigned mask_next(const uint64_t *mask, unsigned i)
{
	for (unsigned w = i / 64; w < GATT_MASK_WORDS; w++) {
		uint64_t bits = mask[w] & (w == i / 64 ? ~0ull << i % 64 : ~0ull);

		if (bits)
			return w * 64 + (unsigned)__builtin_ctzll(bits);
	}
	return GATT_CONNECTIONS_MAX;
}

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

void bearer_drop(struct gatt *g, const struct bearer *b)
{
	struct server *s = server_change(g);
	uint64_t confirm_ns = b->confirm_ns, held_ns = b->held_ns;

	mask_clear(s->live, b->index);
	mask_clear(s->ready, b->index);
	mask_clear(s->held, b->index);
	mask_clear(s->dead, b->index);
	if (b->wanted)
		held_wake(g);
	bearer_free(g->arena, b);
	timer_drop(g, confirm_ns);
	timer_drop(g, held_ns);
}

void bearers_abandon(struct gatt *g)
{
	struct server *s = server_change(g);

	for (unsigned w = 0; w < GATT_MASK_WORDS; w++) {
		s->dead[w] |= s->live[w];
		s->live[w] = s->ready[w] = s->held[w] = 0;
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

void bearer_end(struct gatt *g, const struct bearer *b, uint8_t reason)
{
	struct bearer *e = bearer_edit(g->arena, b);
	uint64_t confirm_ns = b->confirm_ns;

	if (b->state == BEARER_ENDED)
		return;
	e->state = BEARER_ENDED;
	bearer_consumed(g, b, fifo_len(e, rx));
	fifo_pop(e, rx, NULL, fifo_len(e, rx));
	fifo_pop(e, due, NULL, fifo_len(e, due));
	fifo_pop(e, prepared, NULL, fifo_len(e, prepared));
	e->confirm_ns = 0;
	e->told = 0;
	timer_drop(g, confirm_ns);
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

void bearer_consumed(struct gatt *g, const struct bearer *b, uint32_t cost)
{
	struct bearer *e = bearer_edit(g->arena, b);
	struct wr w;

	e->owed += cost;
	if (e->owed < e->window_in / 4)
		return;
	w = wr_into(step_reserve(g->step, LINK_UP, 4), 4);
	local_credit_encode(&(struct local_credit){ e->owed }, &w);
	step_give(g->step, LINK_UP,
	    (struct record){ .len = 4, .kind = RECORD_CREDIT, .index = b->index, .generation = b->generation });
	e->used_in -= e->owed;
	e->owed = 0;
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
	fifo_push(g->arena, e, rx, head, sizeof head);
	fifo_push(g->arena, e, rx, pdu.at, (uint32_t)pdu.len);
}

bool bearer_take_waiting(struct gatt *g, const struct bearer *b)
{
	uint8_t head[OVERHEAD], pdu[GATT_RX_OCTETS];
	uint16_t cid, len;

	if (!fifo_peek(b, rx, 0, head, sizeof head))
		return false;
	cid = (uint16_t)(head[0] | head[1] << 8);
	len = (uint16_t)(head[2] | head[3] << 8);
	if (!fifo_peek(b, rx, sizeof head, pdu, len) || pdu_take(g, b, cid, (struct bytes){ pdu, len }) == GATT_HOLD)
		return g->again;
	if (b->state == BEARER_OPEN) {		/* else its queue was emptied with it */
		held_done(g, b);
		fifo_pop(bearer_edit(g->arena, b), rx, NULL, OVERHEAD + (uint32_t)len);
		bearer_consumed(g, b, OVERHEAD + (uint32_t)len);
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
	if (cost > e->window_in - e->used_in) {
		gatt_count(g, GATT_COUNT_overruns);
		bearer_end(g, b, HCI_ERROR_REMOTE_USER_TERMINATED_CONNECTION);
		return;
	}
	e->used_in += cost;
	e->pdus_in++;
	gatt_count(g, GATT_COUNT_pdus_in);
	if (b->state == BEARER_ENDED) {
		bearer_consumed(g, b, cost);
		return;
	}
	/* A confirmation answers us: what it sets free may be what the queue before it waits for. */
	if ((fifo_len(b, rx) && !is_confirmation(&m)) || pdu_take(g, b, m.cid, m.pdu) == GATT_HOLD)
		pdu_wait(g, b, m.cid, m.pdu);
	else
		bearer_consumed(g, b, cost);
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
	if (m.octets > b->window_out - b->room_out) {
		gatt_count(g, GATT_COUNT_credits_bad);
		m.octets = b->window_out - b->room_out;
	}
	bearer_edit(g->arena, b)->room_out += m.octets;
	if (fifo_len(b, rx) || fifo_len(b, due))
		bearer_set_ready(g, b);
}

void gatt_on_connected(struct gatt *g, const struct record *r, struct bytes payload)
{
	const struct seat *seat = seat_of(g, r->index);
	const struct bearer *old = bearer_at(g, r->index);
	struct local_connected m;
	struct bearer *b;

	if (!seat || !r->generation || !local_connected_decode(payload, &m) || m.window_in > GATT_RX_OCTETS ||
	    m.window_in < GATT_MTU_MAX + OVERHEAD || m.window_out < GATT_MTU_MIN + OVERHEAD) {
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
	b->window_in = m.window_in;
	b->window_out = b->room_out = m.window_out;
	seat_edit(g->arena, seat)->bearer = bearer_id_of(b);
	mask_set(server_change(g)->live, r->index);
}

void gatt_on_disconnected(struct gatt *g, const struct record *r)
{
	const struct bearer *b = bearer_find(g, r->index, r->generation);

	if (b)
		bearer_drop(g, b);
	else
		gatt_count(g, GATT_COUNT_records_stale);
}
