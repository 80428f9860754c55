/* hostd/core/request.c - the supervisor's side: an operator's requests, and what it has to be told. */
#include <errno.h>
#include "hostd/core/host.h"

enum { REPLY_HEAD = 17, CONNECTION_ITEM = 17, STATUS_HEAD = 27, NOTICE_HEAD = 5, NOTICE_KEEP = 512 };

static void reply(struct host *h, const uint8_t id[16], uint8_t result, struct bytes body)
{
	struct local_reply m = { .result = result, .body = body };
	uint32_t cap = REPLY_HEAD + (uint32_t)body.len;
	struct wr w = wr_into(step_reserve(h->step, LINK_SUPERVISOR, cap), cap);

	memcpy(m.id, id, 16);
	local_reply_encode(&m, &w);
	step_give(h->step, LINK_SUPERVISOR, (struct record){ .len = cap, .kind = RECORD_REPLY });
}

static void put_connection(const struct connection *c, struct wr *w)
{
	struct connection_id id = connection_id_of(c);
	struct reply_host_connection m = { .index = (uint16_t)(id.v >> 16), .generation = (uint16_t)id.v, .handle = c->handle,
		.transport = TRANSPORT_LE, .role = c->role, .peer_type = c->peer_type, .encrypted = c->encrypted,
		.state = c->state };

	memcpy(m.peer, c->peer, 6);
	reply_host_connection_encode(&m, w);
}

/* A page: connections in slots from `first` on, as many as fit.  next: where to go on; 0: that was all. */
static uint8_t on_status(struct host *h, const uint8_t id[16], struct bytes body)
{
	const struct controller *us = the_controller(h);
	uint8_t items[STATUS_OCTETS - STATUS_HEAD], page[STATUS_OCTETS];
	struct wr list = wr_into(items, sizeof items), w = wr_into(page, sizeof page);
	struct reply_host_status m = { .state = the_radio(h)->state, .own_type = us->own_type, .hci_version = us->hci_version,
		.hci_subversion = us->hci_subversion, .lmp_version = us->lmp_version, .company = us->company,
		.lmp_subversion = us->lmp_subversion, .advertising = the_advertiser(h)->state == ADVERTISER_ON };
	struct request_status ask;

	if (!request_status_decode(body, &ask))
		return EINVAL;
	memcpy(m.address, us->address, 6);
	memcpy(m.own, us->own, 6);
	m.total = (uint16_t)arena_live(h->arena, POOL_connection);
	for (const struct connection *c = connection_next(h->arena, NULL); c; c = connection_next(h->arena, c)) {
		if (connection_number(c) < ask.first)
			continue;
		if (wr_len(&list) + CONNECTION_ITEM > sizeof items) {
			m.next = connection_number(c);
			break;
		}
		put_connection(c, &list);
	}
	m.connections = (struct bytes){ items, wr_len(&list) };
	reply_host_status_encode(&m, &w);
	reply(h, id, 0, (struct bytes){ page, wr_len(&w) });
	return 0;
}

static uint8_t on_advertise(struct host *h, struct bytes body)
{
	struct request_advertise m;

	if (!request_advertise_decode(body, &m))
		return EINVAL;
	settings_edit(h->arena, the_settings(h))->advertise = m.on;
	if (m.on)
		advertising_unblock(h);
	radio_change(h)->todo = 1;
	return 0;
}

static const struct kept *kept_find(const struct host *h, const uint8_t id[16])
{
	for (const struct kept *k = kept_next(h->arena, NULL); k; k = kept_next(h->arena, k))
		if (k->used && !memcmp(k->id, id, 16))
			return k;
	return NULL;
}
static void keep(struct host *h, const uint8_t id[16], uint8_t result)
{
	uint32_t n = the_radio(h)->next_kept;
	const struct kept *k = kept_next(h->arena, NULL);
	struct kept *e;

	while (kept_number(k) != n)
		k = kept_next(h->arena, k);
	e = kept_edit(h->arena, k);
	memcpy(e->id, id, 16);
	e->used = 1;
	e->result = result;
	radio_change(h)->next_kept = (n + 1) % KEPT_SLOTS;
}

void on_request(struct host *h, struct bytes payload)
{
	const struct kept *done;
	struct local_request m;
	uint8_t result;

	if (!local_request_decode(payload, &m)) {
		count(h, COUNT_records_bad);
		return;
	}
	if (m.verb == REQUEST_STATUS) {		/* changes nothing, so it is not kept */
		result = on_status(h, m.id, m.body);
		if (result)
			reply(h, m.id, result, (struct bytes){ 0 });
		return;
	}
	done = kept_find(h, m.id);
	if (done) {
		count(h, COUNT_requests_repeated);
		reply(h, m.id, (uint8_t)done->result, (struct bytes){ 0 });
		return;
	}
	result = m.verb == REQUEST_ADVERTISE ? on_advertise(h, m.body) : EOPNOTSUPP;
	reply(h, m.id, result, (struct bytes){ 0 });
	keep(h, m.id, result);
}

/* Notices wait in a queue: many records that cause one have no room towards the supervisor. */
void notice(struct host *h, enum core_notice what, uint32_t value, const char *a, const char *b)
{
	struct notices *n = notices_edit(h->arena, notices_next(h->arena, NULL));
	uint8_t text[NOTICE_TEXT], body[2 + NOTICE_HEAD + NOTICE_TEXT];
	struct wr t = wr_into(text, sizeof text), w = wr_into(body, sizeof body);

	wr_bytes(&t, (struct bytes){ (const uint8_t *)a, MIN(strlen(a), (size_t)NOTICE_TEXT / 2) });
	if (*a && *b)
		wr_bytes(&t, (struct bytes){ (const uint8_t *)": ", 2 });
	wr_bytes(&t, (struct bytes){ (const uint8_t *)b, MIN(strlen(b), (size_t)NOTICE_TEXT / 2 - 2) });
	wr_le(&w, NOTICE_HEAD + wr_len(&t), 2);
	local_notice_encode(&(struct local_notice){ (uint8_t)what, value, { text, wr_len(&t) } }, &w);
	/* Events leave room: that service is there, or is not, is never lost. */
	if (fifo_room(n, out) < wr_len(&w) + (what == NOTICE_EVENT ? NOTICE_KEEP : 0))
		count(h, COUNT_notices_lost);
	else
		fifo_push(h->arena, n, out, body, (uint32_t)wr_len(&w));
}

bool notice_waiting(const struct host *h)
{
	const struct notices *n = notices_next(h->arena, NULL);

	return fifo_len(n, out) && step_linked(h->step, LINK_SUPERVISOR);
}

void notice_flush(struct host *h)
{
	struct notices *n;
	uint8_t head[2];
	uint32_t len;

	for (unsigned i = 0; i < TURN_NOTICES && notice_waiting(h); i++) {
		n = notices_edit(h->arena, notices_next(h->arena, NULL));
		fifo_pop(n, out, head, 2);
		len = (uint32_t)(head[0] | head[1] << 8);
		fifo_pop(n, out, step_reserve(h->step, LINK_SUPERVISOR, len), len);
		step_give(h->step, LINK_SUPERVISOR, (struct record){ .len = len, .kind = RECORD_NOTICE });
	}
}
