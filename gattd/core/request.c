/* gattd/core/request.c - an operator's requests: GATT_SET, each id once; STATUS.
 *
 * A set waits while a subscriber lacks room for it; those behind it wait too, so that answers come in the order of the requests.
 * The answers to the last GATT_KEPT ids are kept: an id that comes again gets the same answer, and is not done again. */
#include <errno.h>
#include "gattd/core/gatt.h"
#include "wire/uuid.h"

enum { REPLY_HEAD = 17, SET_BODY = 6, STATUS_HEAD = 9, BEARER_ITEM = 25, PAGE_ITEMS = 64, REASON_MAX = 64 };

enum why {
	WHY_NONE, WHY_NO_TYPE, WHY_NO_HANDLE, WHY_NO_VALUE, WHY_TOO_LONG, WHY_MALFORMED, WHY_UNKNOWN, WHY_BUSY, WHY_NOT_READY,
};
static const struct { uint8_t result; char text[REASON_MAX]; } whys[] = {	/* no pointers: a core has no relocated data */
	[WHY_NONE] = { 0, "" },
	[WHY_NO_TYPE] = { ENOENT, "no characteristic has that UUID" },
	[WHY_NO_HANDLE] = { ENOENT, "no attribute has that handle" },
	[WHY_NO_VALUE] = { EPERM, "that handle is a declaration, not a value" },
	[WHY_TOO_LONG] = { EMSGSIZE, "longer than that attribute's value may be" },
	[WHY_MALFORMED] = { EINVAL, "malformed request" },
	[WHY_UNKNOWN] = { EOPNOTSUPP, "unknown request" },
	[WHY_BUSY] = { EBUSY, "too many requests are waiting" },
	[WHY_NOT_READY] = { EAGAIN, "the attributes are not there yet" },
};

static void reply(struct gatt *g, const uint8_t id[16], uint8_t result, struct bytes body)
{
	struct local_reply m = { .result = result, .body = body };
	uint32_t cap = REPLY_HEAD + (uint32_t)body.len;
	struct wr w = wr_into(step_reserve(g->step, LINK_SUPERVISOR, cap), cap);

	memcpy(m.id, id, 16);
	local_reply_encode(&m, &w);
	step_give(g->step, LINK_SUPERVISOR, (struct record){ .len = cap, .kind = RECORD_REPLY });
}

static void reply_refused(struct gatt *g, const uint8_t id[16], enum why why)
{
	const char *text = whys[why].text;

	gatt_count(g, GATT_COUNT_requests_refused);
	reply(g, id, whys[why].result, (struct bytes){ (const uint8_t *)text, strlen(text) });
}

static void reply_kept(struct gatt *g, const struct kept *k)
{
	uint8_t body[SET_BODY];
	struct wr w = wr_into(body, sizeof body);

	if (k->why) {
		reply_refused(g, k->id, k->why);
		return;
	}
	reply_gatt_set_encode(&(struct reply_gatt_set){ k->handle, k->same_type, k->told }, &w);
	reply(g, k->id, 0, (struct bytes){ body, wr_len(&w) });
}

static const struct kept *kept_at(const struct gatt *g, unsigned i)
{
	return kept_view(g->arena, (struct kept_id){ 1 | i << 16 });
}

static const struct kept *kept_find(const struct gatt *g, const uint8_t id[16])
{
	for (unsigned i = 0; i < GATT_KEPT; i++)
		if (kept_at(g, i)->used && !memcmp(kept_at(g, i)->id, id, 16))
			return kept_at(g, i);
	return NULL;
}

/* The oldest slot, but none whose request still waits: there are fewer of those. */
_Static_assert(GATT_PENDING < GATT_KEPT, "a slot for each that waits, and more");
static struct kept *kept_make(struct gatt *g, const uint8_t id[16])
{
	struct server *s = server_change(g);
	struct kept *k;

	while (kept_at(g, s->next_kept)->waiting)
		s->next_kept = (uint8_t)((s->next_kept + 1) % GATT_KEPT);
	k = kept_edit(g->arena, kept_at(g, s->next_kept));
	s->next_kept = (uint8_t)((s->next_kept + 1) % GATT_KEPT);
	*k = (struct kept){ .used = 1, .waiting = 1 };
	memcpy(k->id, id, 16);
	return k;
}

/* ---- GATT_SET ---- */
struct set { const struct attribute *target; uint16_t same_type; struct bytes value; };

static enum why target_by_type(const struct gatt *g, const struct request_gatt_set *m, struct set *s)
{
	struct uuid uuid, wire;

	if (!uuid_from_wire((struct bytes){ m->uuid, m->uuid_len }, &uuid))
		return WHY_MALFORMED;
	wire = uuid_att(&uuid);
	for (unsigned i = 0; i < the_server(g)->attributes; i++) {
		const struct attribute *a = attribute_at(g, i);

		if (a->kind != ATTRIBUTE_VALUE || !attribute_is(a, uuid_wire(&wire)))
			continue;
		s->target = s->target ? s->target : a;
		s->same_type++;
	}
	return s->target ? WHY_NONE : WHY_NO_TYPE;
}

static enum why set_prepare(const struct gatt *g, const struct request_gatt_set *m, struct set *s)
{
	enum why why = WHY_NONE;

	if (!the_server(g)->configured)
		return WHY_NOT_READY;
	if (m->uuid_len) {
		why = target_by_type(g, m, s);
	} else {
		s->target = attribute_find(g, m->handle);
		s->same_type = 1;
		why = !s->target ? WHY_NO_HANDLE :
		    s->target->kind != ATTRIBUTE_VALUE && s->target->kind != ATTRIBUTE_PLAIN ? WHY_NO_VALUE : WHY_NONE;
	}
	if (!why && m->value.len > s->target->value_max)
		why = WHY_TOO_LONG;
	s->value = m->value;
	return why;
}

/* Do it, or refuse it, and answer; false: it has to wait. */
static bool set_try(struct gatt *g, const struct request_gatt_set *m, struct kept *k)
{
	struct set s = { 0 };
	struct change change;
	uint16_t told = 0;

	k->why = (uint8_t)set_prepare(g, m, &s);
	if (!k->why) {
		change = (struct change){ attribute_number(s.target), (uint16_t)s.value.len };
		if (!change_fits(g, &change, 1, the_server(g)->pending_ns, &told))
			return false;
		value_set(g, change.target, s.value);
		k->handle = s.target->handle;
		k->same_type = s.same_type;
		k->told = told;
		change_note(g, change.target);		/* also if nobody has room: who is stalled has missed it, counted */
		change_tell(g);
	}
	k->waiting = 0;
	reply_kept(g, k);
	return true;
}

static void set_wait(struct gatt *g, const struct request_gatt_set *m, const struct kept *k)
{
	struct server *s = server_change(g);
	const struct pending *last = pending_view(g->arena, s->last);
	struct pending *p = pending_new(g->arena);

	p->kept = kept_number(k);
	p->handle = m->handle;
	p->uuid_len = m->uuid_len;
	memcpy(p->uuid, m->uuid, sizeof p->uuid);
	p->len = (uint16_t)m->value.len;
	memcpy(p->value, m->value.at, m->value.len);
	s->last = pending_id_of(p);
	if (last) {
		pending_edit(g->arena, last)->next = s->last;
	} else {
		s->first = s->last;
		s->pending_ns = held_until(g);
	}
}

static void on_gatt_set(struct gatt *g, const struct local_request *r)
{
	const struct kept *old = kept_find(g, r->id);
	struct request_gatt_set m;
	struct kept *k;

	if (old) {
		gatt_count(g, GATT_COUNT_requests_repeated);
		if (!old->waiting)
			reply_kept(g, old);
		return;
	}
	if (!request_gatt_set_decode(r->body, &m)) {
		reply_refused(g, r->id, WHY_MALFORMED);
		return;
	}
	if (m.value.len > GATT_VALUE_MAX) {
		reply_refused(g, r->id, WHY_TOO_LONG);
		return;
	}
	if (arena_live(g->arena, POOL_pending) == GATT_PENDING) {
		reply_refused(g, r->id, WHY_BUSY);
		return;
	}
	k = kept_make(g, r->id);
	if (the_server(g)->first.v || !set_try(g, &m, k))
		set_wait(g, &m, k);
}

void pending_retry(struct gatt *g)
{
	const struct pending *p = pending_view(g->arena, the_server(g)->first);
	struct request_gatt_set m;
	struct server *s;

	if (!p || !the_server(g)->retry || !step_linked(g->step, LINK_SUPERVISOR))
		return;
	s = server_change(g);
	m = (struct request_gatt_set){ .uuid_len = p->uuid_len, .handle = p->handle, .value = { p->value, p->len } };
	memcpy(m.uuid, p->uuid, sizeof m.uuid);
	if (!set_try(g, &m, kept_edit(g->arena, kept_at(g, p->kept)))) {
		if (!s->pending_ns)
			s->pending_ns = held_until(g);
		s->retry = g->again;
		return;
	}
	s->pending_ns = 0;
	timer_drop(g, GATT_CONNECTIONS_MAX);
	s->first = p->next;
	if (!s->first.v)
		s->last = s->first;
	pending_free(g->arena, p);
}

/* ---- STATUS ---- */
static uint16_t subscriptions(const struct bearer *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < GATT_CCCDS_MAX; i++)
		n += (b->cccd[i / 4] >> i % 4 * 2 & 3) != 0;
	return (uint16_t)n;
}

static void put_bearer(const struct bearer *b, struct wr *w)
{
	reply_gatt_bearer_encode(&(struct reply_gatt_bearer){ .index = b->index, .generation = b->generation, .mtu = b->mtu,
		.subscriptions = subscriptions(b), .due = (uint16_t)b->due.len, .waiting = (uint16_t)b->rx.len,
		.state = (uint8_t)(b->state == BEARER_ENDED ? 2 : b->stalled), .pdus_in = b->pdus_in, .pdus_out = b->pdus_out,
		.discarded = b->discarded }, w);
}

static void on_status(struct gatt *g, const struct local_request *r)
{
	const struct server *s = the_server(g);
	uint8_t items[PAGE_ITEMS * BEARER_ITEM], body[STATUS_HEAD + sizeof items];
	struct wr list = wr_into(items, sizeof items), w = wr_into(body, sizeof body);
	struct reply_gatt_status m = { .ready = s->configured && s->linked, .attributes = s->attributes,
		.pending = (uint16_t)arena_live(g->arena, POOL_pending), .total = (uint16_t)arena_live(g->arena, POOL_bearer) };
	struct request_status ask;
	unsigned i;

	if (!request_status_decode(r->body, &ask)) {
		reply_refused(g, r->id, WHY_MALFORMED);
		return;
	}
	for (i = mask_next(s->live, ask.first % GATT_CONNECTIONS_MAX); i < GATT_CONNECTIONS_MAX; i = mask_next(s->live, i + 1)) {
		if (wr_len(&list) + BEARER_ITEM > sizeof items) {
			m.next = (uint16_t)i;
			break;
		}
		put_bearer(bearer_at(g, i), &list);
	}
	m.bearers = (struct bytes){ items, wr_len(&list) };
	reply_gatt_status_encode(&m, &w);
	reply(g, r->id, 0, (struct bytes){ body, wr_len(&w) });
}

void gatt_on_request(struct gatt *g, struct bytes payload)
{
	struct local_request m;

	if (!local_request_decode(payload, &m)) {
		gatt_count(g, GATT_COUNT_records_bad);
		return;
	}
	gatt_count(g, GATT_COUNT_requests);
	if (m.verb == REQUEST_STATUS)		/* changes nothing, so it is not kept */
		on_status(g, &m);
	else if (m.verb == REQUEST_GATT_SET)
		on_gatt_set(g, &m);
	else
		reply_refused(g, m.id, WHY_UNKNOWN);
}
