/* gattd/core/change.c - values that change, and their subscribers.
 *
 * change_fits, before anything is changed: has every subscriber room for what it will be told?  Then value_set, the answer,
 * and change_tell: straight into the ring where nothing is before it, else into the subscriber's queue `due`, which is sent
 * on time.  More subscribers than GATT_SPREAD are told over several turns; until then the next change waits. */
#include "gattd/core/gatt.h"

enum { DUE_HEAD = 4, DUE_LENGTH = 0x3FF, DUE_BITS_AT = 14 };
#define HELD_NS 1000000000ull
#define CONFIRM_NS 30000000000ull	/* Core 5.4, Vol 3, Part F, 3.3.3: the transaction timeout */

unsigned bearer_cccd(const struct bearer *b, const struct attribute *a)
{
	unsigned n = a->cccd - 1u;

	return a->cccd ? (unsigned)b->cccd[n / 4] >> n % 4 * 2 & 3u : 0;
}

const struct subscribers *subscribers_of(const struct gatt *g, const struct attribute *a)
{
	return a->cccd ? subscribers_view(g->arena, (struct subscribers_id){ 1 | (a->cccd - 1u) << 16 }) : NULL;
}

void subscriber_set(struct gatt *g, const struct attribute *a, unsigned index, bool is)
{
	const struct subscribers *s = subscribers_of(g, a);

	if (mask_has(s->at, index) == is)
		return;
	if (is)
		mask_set(subscribers_edit(g->arena, s)->at, index);
	else
		mask_clear(subscribers_edit(g->arena, s)->at, index);
}

static uint32_t told_len(const struct bearer *b, size_t len) { return (uint32_t)MIN(len, b->mtu - 3u); }

void value_set(struct gatt *g, unsigned attribute, struct bytes value)
{
	struct value *v = value_edit(g->arena, value_at(g, attribute));

	memcpy(v->at, value.at, value.len);
	v->len = (uint16_t)value.len;
}

/* ---- who waits for whom ---- */
uint64_t held_until(struct gatt *g)
{
	timer_set(g, g->now_ns + HELD_NS);
	return g->now_ns + HELD_NS;
}

void held_note(struct gatt *g, const struct bearer *b)
{
	if (!b->held_ns) {
		bearer_edit(g->arena, b)->held_ns = held_until(g);
		timer_note(g, b->index);
		gatt_count(g, GATT_COUNT_held);
	}
	mask_set(server_change(g)->held, b->index);
}

void held_done(struct gatt *g, const struct bearer *b)
{
	if (!b->held_ns)
		return;
	bearer_edit(g->arena, b)->held_ns = 0;
	mask_clear(server_change(g)->held, b->index);
	timer_drop(g, b->index);
}

void held_wake(struct gatt *g)
{
	struct server *s = server_change(g);

	for (unsigned w = 0; w < GATT_MASK_WORDS; w++) {
		s->ready[w] |= s->held[w];
		s->held[w] = 0;
	}
	s->retry = 1;
}

static void became_roomy(struct gatt *g, const struct bearer *b)
{
	struct bearer *e;

	if (!b->wanted && !b->stalled)
		return;
	e = bearer_edit(g->arena, b);
	if (!e->due.len)
		e->stalled = 0;
	if (e->wanted)
		held_wake(g);
	e->wanted = 0;
}

static void stall(struct gatt *g, const struct bearer *b)
{
	struct bearer *e = bearer_edit(g->arena, b);

	e->stalled = 1;
	e->wanted = 0;
	gatt_count(g, GATT_COUNT_stalls);
}

/* Octets of `due` that it needs to be told of all these. */
static uint32_t due_need(const struct gatt *g, const struct bearer *b, const struct change *c, unsigned n)
{
	uint32_t need = 0;

	for (unsigned k = 0; k < n; k++)
		if (bearer_cccd(b, attribute_at(g, c[k].target)))
			need += DUE_HEAD + told_len(b, c[k].len);
	return need;
}

/* Whoever may have subscribed to any of these. */
static void concerned(const struct gatt *g, const struct change *c, unsigned n, uint64_t ret[GATT_MASK_WORDS])
{
	memset(ret, 0, GATT_MASK_WORDS * sizeof *ret);
	for (unsigned k = 0; k < n; k++) {
		const struct subscribers *s = subscribers_of(g, attribute_at(g, c[k].target));

		for (unsigned w = 0; s && w < GATT_MASK_WORDS; w++)
			ret[w] |= s->at[w];
	}
	for (unsigned w = 0; w < GATT_MASK_WORDS; w++)
		ret[w] &= the_server(g)->live[w];
}

/* The second is the change's, not the subscriber's: however many of these there are, and whatever little progress each makes, and
 * whatever smaller changes of others get in before, it waits no longer. */
bool change_fits(struct gatt *g, const struct change *c, unsigned n, uint64_t held_ns, uint16_t *ret_told)
{
	const struct server *s = the_server(g);
	uint64_t mask[GATT_MASK_WORDS];
	unsigned stalls = 0;
	uint16_t told = 0;

	if (s->spreads)
		return false;
	concerned(g, c, n, mask);
	for (unsigned i = mask_next(mask, 0); i < GATT_CONNECTIONS_MAX && stalls < GATT_SPREAD; i = mask_next(mask, i + 1)) {
		const struct bearer *b = bearer_at(g, i);
		uint32_t need = due_need(g, b, c, n);

		if (!need || b->stalled || b->state != BEARER_OPEN)
			continue;
		told++;
		if (need <= GATT_DUE_OCTETS - b->due.len)
			continue;
		if (held_ns != HELD_OVER) {
			bearer_edit(g->arena, b)->wanted = 1;
			return false;
		}
		stall(g, b);
		stalls++;
	}
	if (stalls) {		/* there may be more: look again, with a new log */
		g->again = true;
		held_wake(g);
		return false;
	}
	if (ret_told)
		*ret_told = told;
	return true;
}

/* ---- telling ---- */
static void send_notification(struct gatt *g, const struct bearer *b, uint16_t handle, struct bytes value)
{
	att_handle_value_notification_encode(&(struct att_handle_value_notification){ handle, value },
	    bearer_open(g, b, ATT_HANDLE_VALUE_NOTIFICATION));
	bearer_send(g, b);
	gatt_count(g, GATT_COUNT_notifications);
}

static void send_indication(struct gatt *g, const struct bearer *b, uint16_t handle, struct bytes value)
{
	att_handle_value_indication_encode(&(struct att_handle_value_indication){ handle, value },
	    bearer_open(g, b, ATT_HANDLE_VALUE_INDICATION));
	bearer_send(g, b);
	bearer_edit(g->arena, b)->confirm_ns = g->now_ns + CONFIRM_NS;
	timer_note(g, b->index);
	timer_set(g, g->now_ns + CONFIRM_NS);
	gatt_count(g, GATT_COUNT_indications);
}

/* Send of a change what can be sent now.  Returns the bits that are left. */
static unsigned tell_now(struct gatt *g, const struct bearer *b, uint16_t handle, unsigned bits, struct bytes value)
{
	if (bits & CCCD_NOTIFY && g->sends && bearer_has_room(b, 3 + value.len, false)) {
		send_notification(g, b, handle, value);
		bits &= ~(unsigned)CCCD_NOTIFY;
		g->sends--;
	}
	if (!(bits & CCCD_NOTIFY) && bits & CCCD_INDICATE && g->sends && !b->confirm_ns && bearer_has_room(b, 3 + value.len, false)) {
		send_indication(g, b, handle, value);
		bits &= ~(unsigned)CCCD_INDICATE;
		g->sends--;
	}
	return bits;
}

static void tell_later(struct gatt *g, const struct bearer *b, uint16_t handle, unsigned bits, struct bytes value)
{
	uint16_t word = (uint16_t)(value.len | bits << DUE_BITS_AT);
	uint8_t head[DUE_HEAD];
	struct wr w = wr_into(head, sizeof head);
	struct bearer *e;

	if (GATT_DUE_OCTETS - b->due.len < DUE_HEAD + value.len) {
		gatt_count(g, GATT_COUNT_discarded);
		bearer_edit(g->arena, b)->discarded++;
		return;
	}
	e = bearer_edit(g->arena, b);
	wr_le(&w, handle, 2);
	wr_le(&w, word, 2);
	queue_push(g->arena, POOL_chunk, &e->due, head, DUE_HEAD);
	queue_push(g->arena, POOL_chunk, &e->due, value.at, (uint32_t)value.len);
	bearer_set_ready(g, b);
}

static void tell(struct gatt *g, const struct bearer *b, unsigned attribute, unsigned bits)
{
	const struct value *v = value_at(g, attribute);
	struct bytes value = { v->at, told_len(b, v->len) };
	uint16_t handle = attribute_at(g, attribute)->handle;

	if (b->stalled) {
		gatt_count(g, GATT_COUNT_discarded);
		bearer_edit(g->arena, b)->discarded++;
		return;
	}
	if (!b->due.len)
		bits = tell_now(g, b, handle, bits, value);
	if (bits)
		tell_later(g, b, handle, bits, value);
}

void change_spread(struct gatt *g)
{
	const struct server *s = the_server(g);
	unsigned left = GATT_SPREAD, i = s->spread_at, bits;
	const struct attribute *a = attribute_at(g, s->spread[0]);
	const struct subscribers *of = subscribers_of(g, a);

	if (!s->spreads)
		return;
	for (i = of ? mask_next(of->at, i) : GATT_CONNECTIONS_MAX; i < GATT_CONNECTIONS_MAX && left; i = mask_next(of->at, i + 1)) {
		const struct bearer *b = mask_has(s->live, i) ? bearer_at(g, i) : NULL;

		bits = b ? bearer_cccd(b, a) : 0;
		if (!bits)
			subscriber_set(g, a, i, false);
		if (!bits || b->state != BEARER_OPEN)
			continue;
		tell(g, b, s->spread[0], bits);
		left--;
	}
	struct server *e = server_change(g);
	e->spread_at = (uint16_t)i;
	if (i < GATT_CONNECTIONS_MAX)
		return;
	e->spread_at = 0;
	e->spreads--;
	memmove(e->spread, e->spread + 1, e->spreads * sizeof e->spread[0]);
	e->spread[e->spreads] = 0;
	if (!e->spreads)
		held_wake(g);
}

void change_note(struct gatt *g, unsigned attribute) { g->changed[g->changes++] = (uint16_t)attribute; }

void change_tell(struct gatt *g)
{
	struct server *e;

	if (!g->changes)
		return;
	e = server_change(g);
	for (unsigned k = 0; k < g->changes; k++)
		e->spread[e->spreads++] = g->changed[k];
	g->changes = 0;
	change_spread(g);
}

/* ---- what is due ---- */
bool due_send(struct gatt *g, const struct bearer *b, unsigned most)
{
	unsigned had = g->sends, bits, left;
	uint8_t head[DUE_HEAD], value[GATT_VALUE_MAX];
	uint16_t handle, word, len;
	struct bearer *e;

	if (b->state != BEARER_OPEN)
		return false;
	while (had - g->sends < most && g->sends && queue_peek(g->arena, POOL_chunk, &b->due, 0, head, DUE_HEAD)) {
		handle = (uint16_t)(head[0] | head[1] << 8);
		word = (uint16_t)(head[2] | head[3] << 8);
		len = word & DUE_LENGTH;
		queue_peek(g->arena, POOL_chunk, &b->due, DUE_HEAD, value, len);
		bits = (unsigned)word >> DUE_BITS_AT & ~(unsigned)b->told;
		left = tell_now(g, b, handle, bits, (struct bytes){ value, len });
		if (left == bits)
			return false;
		e = bearer_edit(g->arena, b);
		e->told = (uint8_t)(e->told | (bits & ~left));
		if (left)
			continue;
		e->told = 0;
		queue_pop(g->arena, POOL_chunk, &e->due, NULL, DUE_HEAD + (uint32_t)len);
		became_roomy(g, b);
	}
	return b->due.len != 0;
}
