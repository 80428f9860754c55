/* tests/lib/gatt_world.c - see gatt_world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/lib/gatt_world.h"

#define T16(v) 2, { (v) & 0xFF, (v) >> 8 }
#define T128(b) 16, { b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }
#define VAL(...) OCTETS_OF(__VA_ARGS__)
#define NOTHING { NULL, 0 }
#define SERVICE(h, end, type, ...) { h, end, ATTRIBUTE_SERVICE, 0, 0x01, 0, 0, 16, T16(type), VAL(__VA_ARGS__) }
#define DECL(h, end, ...) { h, end, ATTRIBUTE_CHARACTERISTIC, 0, 0x01, 0, 0, 19, T16(0x2803), VAL(__VA_ARGS__) }
#define CCCD(h, properties, n) { h, h, ATTRIBUTE_CCCD, properties, 0x03, n, 0, 2, T16(0x2902), NOTHING }

static const struct config_attribute *table(unsigned *ret_count)
{
	static uint8_t forty[40];
	const struct config_attribute rows[] = {
	SERVICE(0x01, 0x05, 0x2800, 0x00, 0x18),
	DECL(0x02, 0x03, 0x02, 0x03, 0, 0x00, 0x2A),
	{ 0x03, 0x03, ATTRIBUTE_VALUE, 0x02, 0x01, 0, 0, 248, T16(0x2A00), VAL('T', 'r', 'e', 'f', 'o', 'i', 'l') },
	DECL(0x04, 0x05, 0x02, 0x05, 0, 0x01, 0x2A),
	{ 0x05, 0x05, ATTRIBUTE_VALUE, 0x02, 0x01, 0, 0, 2, T16(0x2A01), VAL(0, 0) },
	SERVICE(0x06, 0x09, 0x2800, 0x01, 0x18),
	DECL(0x07, 0x09, 0x20, 0x08, 0, 0x05, 0x2A),
	{ 0x08, 0x08, ATTRIBUTE_VALUE, 0x20, 0, 1, 0, 4, T16(0x2A05), VAL(1, 0, 0xFF, 0xFF) },
	CCCD(0x09, 0x20, 1),
	SERVICE(0x10, 0x24, 0x2800, 0xAA, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
	DECL(0x11, 0x12, 0x0E, 0x12, 0, 0xF1, 0xFF),
	{ 0x12, 0x12, ATTRIBUTE_VALUE, 0x0E, 0x03, 0, 0x15, 512, T16(0xFFF1), VAL('h', 'i') },
	DECL(0x14, 0x17, 0x32, 0x15, 0, 0xF2, 0xFF),
	{ 0x15, 0x15, ATTRIBUTE_VALUE, 0x32, 0x01, 2, 0, 512, T16(0xFFF2), NOTHING },
	CCCD(0x16, 0x32, 2),
	{ 0x17, 0x17, ATTRIBUTE_PLAIN, 0, 0x01, 0, 0, 4, T16(0x2901), VAL('e', 'c', 'h', 'o') },
	DECL(0x18, 0x1A, 0x10, 0x19, 0, 0xBB, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
	{ 0x19, 0x19, ATTRIBUTE_VALUE, 0x10, 0, 3, 0, 8, T128(0xBB), VAL(9) },
	CCCD(0x1A, 0x10, 3),
	DECL(0x1B, 0x1C, 0x0A, 0x1C, 0, 0xF3, 0xFF),
	{ 0x1C, 0x1C, ATTRIBUTE_VALUE, 0x0A, 0x27, 0, 0, 8, T16(0xFFF3), VAL(1) },
	DECL(0x1D, 0x1E, 0x0A, 0x1E, 0, 0xF4, 0xFF),
	{ 0x1E, 0x1E, ATTRIBUTE_VALUE, 0x0A, 0xC0, 0, 0, 8, T16(0xFFF4), VAL(2) },
	DECL(0x1F, 0x20, 0x08, 0x20, 0, 0xF5, 0xFF),
	{ 0x20, 0x20, ATTRIBUTE_VALUE, 0x08, 0x02, 0, 0x15, 4, T16(0xFFF5), VAL(3) },
	DECL(0x21, 0x22, 0x02, 0x22, 0, 0xF6, 0xFF),
	{ 0x22, 0x22, ATTRIBUTE_VALUE, 0x02, 0x03, 0, 0, 40, T16(0xFFF6), { forty, sizeof forty } },
	DECL(0x23, 0x24, 0x0A, 0x24, 0, 0xF7, 0xFF),
	{ 0x24, 0x24, ATTRIBUTE_VALUE, 0x0A, 0x03, 0, 0, 100, T16(0xFFF7), VAL('a', 'b', 'c') },
	SERVICE(0x30, 0x33, 0x2801, 0x0F, 0x18),
	DECL(0x31, 0x33, 0x12, 0x32, 0, 0x19, 0x2A),
	{ 0x32, 0x32, ATTRIBUTE_VALUE, 0x12, 0x01, 4, 0, 1, T16(0x2A19), VAL(0x64) },
	CCCD(0x33, 0x12, 4),
	};
	static struct config_attribute kept[ARRAY_LEN(rows)];
	static uint8_t octets[ARRAY_LEN(rows)][40];

	for (unsigned i = 0; i < sizeof forty; i++)
		forty[i] = (uint8_t)i;
	memcpy(kept, rows, sizeof rows);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {	/* the literals above end with this function */
		if (rows[i].value.len)
			memcpy(octets[i], rows[i].value.at, rows[i].value.len);
		kept[i].value.at = octets[i];
	}
	*ret_count = ARRAY_LEN(rows);
	return kept;
}

void gw_supervisor(struct gatt_world *w, uint8_t kind, struct bytes payload)
{
	rig_put(&w->rig, LINK_SUPERVISOR, (struct record){ .kind = kind }, payload);
}

void gw_configure(struct gatt_world *w)
{
	unsigned count;
	const struct config_attribute *rows = table(&count);
	uint8_t buf[600];
	struct wr o = wr_into(buf, sizeof buf);

	gw_supervisor(w, RECORD_CONFIG, OCTETS_OF(CONFIG_ATT_SERVER, 0x05, 0x02));
	for (unsigned i = 0; i < count; i++) {
		o = wr_into(buf, sizeof buf);
		wr_le(&o, CONFIG_ATTRIBUTE, 1);
		config_attribute_encode(&rows[i], &o);
		gw_supervisor(w, RECORD_CONFIG, (struct bytes){ buf, wr_len(&o) });
	}
	gw_supervisor(w, RECORD_CONFIG, OCTETS_OF(CONFIG_DONE, 0));
	gw_run(w);
}

struct gatt_world *gw_blank(uint32_t connections)
{
	struct gatt_world *w = calloc(1, sizeof *w);

	assert_non_null(w);
	w->window_out = GW_WINDOW_OUT;
	w->stream = 14695981039346656037u;
	rig_open(&w->rig, &gatt_core, (struct arena_limits){ .of = { [LIMIT_CONNECTIONS] = connections, [LIMIT_ATTRIBUTES] = 40 } });
	return w;
}

struct gatt_world *gw_new(uint32_t connections)
{
	struct gatt_world *w = gw_blank(connections);

	rig_attach(&w->rig, LINK_SUPERVISOR, 1);
	rig_attach(&w->rig, LINK_UP, 1);
	gw_configure(w);
	assert_int_equal(w->readies, 1);
	assert_int_equal(w->failures, 0);
	return w;
}

void gw_free(struct gatt_world *w)
{
	for (uint16_t i = 0; i < GW_CONNECTIONS; i++)
		if (w->client[i].there)
			gw_disconnect(w, i);
	assert_int_equal(arena_live(&w->rig.arena, POOL_bearer), 0);
	assert_int_equal(arena_live(&w->rig.arena, POOL_pending), 0);
	assert_int_equal(arena_live(&w->rig.arena, POOL_chunk), 0);
	assert_int_equal(server_only(&w->rig.arena)->spare,
	    GATT_SPARE_BESIDES + GATT_SPARE_EACH * w->rig.arena.pool[POOL_bearer].count);
	assert_true(gatt_core.deadline(&w->rig.step) == DEADLINE_NONE);
	rig_close(&w->rig);
	free(w);
}

void gw_connect(struct gatt_world *w, uint16_t index)
{
	struct client *c = &w->client[index];
	struct local_connected m = { .handle = (uint16_t)(0x40 + index), .role = ROLE_PERIPHERAL, .window_in = GW_WINDOW_IN, .window_out = w->window_out };
	uint8_t buf[64];
	struct wr o = wr_into(buf, sizeof buf);

	*c = (struct client){ .there = true, .generation = (uint16_t)((c->generation + 2) | 1) };
	local_connected_encode(&m, &o);
	rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_CONNECTED, .index = index, .generation = c->generation }, (struct bytes){ buf, wr_len(&o) });
	gw_run(w);
}

void gw_disconnect(struct gatt_world *w, uint16_t index)
{
	struct client *c = &w->client[index];

	rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_DISCONNECTED, .index = index, .generation = c->generation }, OCTETS_OF(0x13));
	c->there = false;
	gw_run(w);
}

void gw_put(struct gatt_world *w, uint16_t index, uint16_t cid, struct bytes pdu)
{
	struct client *c = &w->client[index];
	uint8_t buf[2100];
	struct wr o = wr_into(buf, sizeof buf);

	assert_true(c->used_in + (int32_t)pdu.len + 4 <= GW_WINDOW_IN);
	c->used_in += (int32_t)pdu.len + 4;
	local_l2cap_pdu_encode(&(struct local_l2cap_pdu){ cid, pdu }, &o);
	assert_true(wr_ok(&o));
	rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_L2CAP_PDU, .index = index, .generation = c->generation }, (struct bytes){ buf, wr_len(&o) });
}

void gw_send(struct gatt_world *w, uint16_t index, uint16_t cid, struct bytes pdu)
{
	gw_put(w, index, cid, pdu);
	gw_run(w);
}

static void give_credit(struct gatt_world *w, uint16_t index, uint32_t octets)
{
	struct client *c = &w->client[index];
	uint8_t buf[4];
	struct wr o = wr_into(buf, sizeof buf);

	if (!octets)
		return;
	c->used_out -= octets;
	c->owed -= octets;
	local_credit_encode(&(struct local_credit){ octets }, &o);
	rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_CREDIT, .index = index, .generation = c->generation }, (struct bytes){ buf, 4 });
}

void gw_credit(struct gatt_world *w, uint16_t index)
{
	give_credit(w, index, w->client[index].owed);
	gw_run(w);
}

static void on_pdu(struct gatt_world *w, struct client *c, uint16_t index, struct bytes payload)
{
	struct local_l2cap_pdu m;
	struct heard *h = &w->heard[w->pdus++];

	assert_true(w->pdus < GW_PDUS);
	assert_true(local_l2cap_pdu_decode(payload, &m));
	c->used_out += (uint32_t)m.pdu.len + 4;
	c->owed += (uint32_t)m.pdu.len + 4;
	assert_true(c->used_out <= w->window_out);
	*h = (struct heard){ index, m.cid, (uint16_t)m.pdu.len, w->octets_used };
	assert_true(w->octets_used + m.pdu.len <= GW_OCTETS);
	memcpy(w->octets + w->octets_used, m.pdu.at, m.pdu.len);
	w->octets_used += (uint32_t)m.pdu.len;
	if (!c->hold)
		give_credit(w, index, c->owed);
}

static void from_up(struct gatt_world *w, const struct record *r, struct bytes payload)
{
	struct client *c = &w->client[r->index];
	struct local_credit credit;

	assert_true(r->index < GW_CONNECTIONS);
	if (r->kind == RECORD_DISCONNECT) {
		if (c->there && c->generation == r->generation)
			assert_false(c->ended);
		c->ended = true;
		c->reason = payload.at[0];
		return;
	}
	if (!c->there || c->generation != r->generation)
		return;
	if (r->kind == RECORD_CREDIT) {
		assert_true(local_credit_decode(payload, &credit));
		assert_true(credit.octets && credit.octets <= GATT_WINDOW_IN + GATT_WINDOW_EXTRA * CHUNK_OCTETS);
		c->used_in -= (int32_t)credit.octets;
		assert_true(-c->used_in <= GATT_WINDOW_EXTRA * CHUNK_OCTETS);
	} else {
		assert_int_equal(r->kind, RECORD_L2CAP_PDU);
		assert_false(c->ended);
		on_pdu(w, c, r->index, payload);
	}
}

static void from_core(struct gatt_world *w, const struct record *r, struct bytes payload)
{
	struct local_reply reply;
	struct local_notice notice;

	if (r->kind == RECORD_REPLY) {
		assert_true(local_reply_decode(payload, &reply));
		memcpy(w->reply_id, reply.id, 16);
		w->reply_result = reply.result;
		assert_true(reply.body.len <= sizeof w->reply_body);
		if (reply.body.len)
			memcpy(w->reply_body, reply.body.at, reply.body.len);
		w->reply_len = (uint32_t)reply.body.len;
		w->replies++;
		return;
	}
	assert_int_equal(r->kind, RECORD_NOTICE);
	assert_true(local_notice_decode(payload, &notice));
	w->readies += notice.what == NOTICE_READY;
	w->failures += notice.what == NOTICE_FAILED;
}

static void mix(struct gatt_world *w, unsigned link, const struct record *r, struct bytes payload)
{
	const uint64_t head[2] = { link, record_word(*r) };

	for (unsigned i = 0; i < sizeof head; i++)
		w->stream = (w->stream ^ ((const uint8_t *)head)[i]) * 1099511628211u;
	for (size_t i = 0; i < payload.len; i++)
		w->stream = (w->stream ^ payload.at[i]) * 1099511628211u;
}

void gw_collect(struct gatt_world *w)
{
	struct record r;
	struct bytes payload;

	while (rig_get(&w->rig, LINK_UP, &r, &payload)) {
		mix(w, LINK_UP, &r, payload);
		from_up(w, &r, payload);
	}
	while (rig_get(&w->rig, LINK_SUPERVISOR, &r, &payload)) {
		mix(w, LINK_SUPERVISOR, &r, payload);
		from_core(w, &r, payload);
	}
}

/* Neither a record nor a turn goes beyond what the core says of itself; a wrap of a ring may waste one record more. */
struct meter { uint32_t log; uint64_t out[STEP_LINKS]; };
static struct meter meter_read(const struct step *s)
{
	struct meter m = { .log = s->arena->log_len };

	for (unsigned l = 0; l < STEP_LINKS; l++)
		m.out[l] = s->link[l].out.at;
	return m;
}
static void meter_judge(const struct step *s, struct meter before, const uint32_t reserve[STEP_LINKS])
{
	struct meter now = meter_read(s);

	assert_in_range(now.log - before.log, 0, gatt_core.undo);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		assert_in_range(now.out[l] - before.out[l], 0, reserve[l] + (reserve[l] ? 2048 : 0));
}

/* The order of what is done does not hang on where the commits are. */
static void run_to_rest(struct gatt_world *w)
{
	struct step *s = &w->rig.step;
	uint8_t body[RIG_BUF];
	struct record h;
	struct meter meter;
	unsigned n = 0;
	bool took;

	s->now_ns = w->rig.now_ns;
	do {
		took = false;
		for (unsigned l = 0; l < STEP_LINKS; l++) {
			int r;

			meter = meter_read(s);
			r = step_take(s, l, &h, body, sizeof body);

			if (r == STEP_FULL) {		/* the log: a commit empties it */
				step_commit(s);
				took = true;
			} else if (!r) {
				gatt_core.on_record(s, l, &h, (struct bytes){ body, h.len });
				meter_judge(s, meter, gatt_core.reserve[l]);
				took = true;
			}
		}
		if (!took && gatt_core.deadline(s) <= s->now_ns) {
			if (!step_may_act(s))
				step_commit(s);
			meter = meter_read(s);
			gatt_core.on_time(s);
			meter_judge(s, meter, gatt_core.act);
			took = true;
		}
		if (++n % w->commit_every == 0)
			step_commit(s);
	} while (took);
	step_commit(s);
}

static void rig_run_all(struct gatt_world *w)
{
	unsigned before;

	do {		/* what it gives may set free what it gives next */
		before = w->pdus;
		rig_run(&w->rig);
		gw_collect(w);
	} while (w->pdus != before);
	rig_run(&w->rig);
	gw_collect(w);
}

void gw_run(struct gatt_world *w)
{
	if (w->commit_every) {
		for (unsigned before = w->pdus + 1; w->pdus != before; ) {
			before = w->pdus;
			run_to_rest(w);
			gw_collect(w);
		}
		run_to_rest(w);
		gw_collect(w);
		return;
	}
	rig_run_all(w);
}

void gw_sleep(struct gatt_world *w, uint64_t ns)
{
	w->rig.now_ns += ns;
	gw_run(w);
}

struct bytes gw_hear(struct gatt_world *w, uint16_t *ret_index, uint16_t *ret_cid)
{
	struct heard h;

	if (!w->pdus)
		return (struct bytes){ 0 };
	h = w->heard[0];
	memmove(w->heard, w->heard + 1, --w->pdus * sizeof h);
	if (ret_index)
		*ret_index = h.index;
	if (ret_cid)
		*ret_cid = h.cid;
	return (struct bytes){ w->octets + h.at, h.len };
}

void gw_forget(struct gatt_world *w) { w->pdus = w->replies = w->octets_used = 0; }

void gw_ask(struct gatt_world *w, uint16_t index, struct bytes pdu, struct bytes answer, const char *why)
{
	uint16_t who = 0xFFFF, cid = 0;
	struct bytes got;

	gw_forget(w);
	gw_send(w, index, 4, pdu);
	got = gw_hear(w, &who, &cid);
	if (got.len != answer.len || (got.len && (memcmp(got.at, answer.at, got.len) || who != index || cid != 4)) || w->pdus)
		fail_msg("%s: %zu octets (%02x %02x %02x %02x %02x), not %zu; %u more", why, got.len, got.len > 0 ? got.at[0] : 0,
		    got.len > 1 ? got.at[1] : 0, got.len > 2 ? got.at[2] : 0, got.len > 3 ? got.at[3] : 0, got.len > 4 ? got.at[4] : 0,
		    answer.len, w->pdus);
}

void gw_mtu(struct gatt_world *w, uint16_t index, uint16_t mtu)
{
	gw_ask(w, index, OCTETS_OF(2, (uint8_t)mtu, (uint8_t)(mtu >> 8)), OCTETS_OF(3, 0x05, 0x02), "exchange MTU");
}

void gw_subscribe(struct gatt_world *w, uint16_t index, uint16_t cccd, uint16_t bits)
{
	gw_ask(w, index, OCTETS_OF(0x12, (uint8_t)cccd, (uint8_t)(cccd >> 8), (uint8_t)bits, 0), OCTETS_OF(0x13), "subscribe");
}

static int set(struct gatt_world *w, uint8_t id, const struct request_gatt_set *m)
{
	uint8_t buf[1100];
	struct wr o = wr_into(buf, sizeof buf);
	unsigned before = w->replies;

	wr_le(&o, id, 8);
	wr_le(&o, 0, 8);
	wr_le(&o, REQUEST_GATT_SET, 1);
	request_gatt_set_encode(m, &o);
	gw_supervisor(w, RECORD_REQUEST, (struct bytes){ buf, wr_len(&o) });
	gw_run(w);
	return w->replies == before ? -1 : w->reply_result;
}

int gw_set(struct gatt_world *w, uint8_t id, uint16_t handle, struct bytes value)
{
	return set(w, id, &(struct request_gatt_set){ .handle = handle, .value = value });
}

int gw_set_uuid(struct gatt_world *w, uint8_t id, struct bytes uuid, struct bytes value)
{
	struct request_gatt_set m = { .uuid_len = (uint8_t)uuid.len, .value = value };

	memcpy(m.uuid, uuid.at, uuid.len);
	return set(w, id, &m);
}

uint64_t gw_counter(const struct gatt_world *w, const char *name) { return rig_counter(&w->rig, name); }

struct bytes gw_value(struct gatt_world *w, uint16_t handle)
{
	w->rig.step.now_ns = w->rig.now_ns;
	struct gatt g = gatt_open(&w->rig.step);
	const struct attribute *a = attribute_find(&g, handle);
	const struct value *v;

	assert_non_null(a);
	v = value_at(&g, attribute_number(a));
	return (struct bytes){ v->at, v->len };
}
