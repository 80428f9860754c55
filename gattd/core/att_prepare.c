/* gattd/core/att_prepare.c - queued writes.  Core 5.4, Vol 3, Part F, 3.4.6.
 *
 * A bearer may have a queue of GATT_PREPARED_OCTETS, while there is room for it; it goes with the bearer.  Execute first works out what would become of every
 * attribute in it, and changes nothing unless all of it can be done. */
#include "gattd/core/gatt.h"

enum { HEAD = 6 };		/* handle, offset, length */

struct part { uint16_t handle, offset; struct bytes octets; };
struct plan {
	unsigned count;
	struct { uint16_t number, len; } at[GATT_PREPARED_HANDLES];		/* attribute, and how long it will be */
	unsigned echoes;
	struct { uint16_t from; struct change change; } echo[GATT_PREPARED_HANDLES];	/* each target once */
};

/* The part `skip` octets behind the head of the queue, its octets into buf; false: that was the last. */
static bool part_at(const struct gatt *g, const struct bearer *b, uint32_t skip, struct part *ret, uint8_t buf[GATT_PREPARED_OCTETS])
{
	uint8_t head[HEAD];
	struct rd r = rd_from((struct bytes){ head, HEAD });

	if (!queue_peek(g->arena, POOL_chunk, &b->prepared, skip, head, HEAD))
		return false;
	ret->handle = (uint16_t)rd_le(&r, 2);
	ret->offset = (uint16_t)rd_le(&r, 2);
	ret->octets = (struct bytes){ buf, rd_le(&r, 2) };
	return queue_peek(g->arena, POOL_chunk, &b->prepared, skip + HEAD, buf, (uint32_t)ret->octets.len);
}

/* 3.4.6.1: permissions now; offsets and lengths when it is executed. */
int on_att_prepare_write_request(struct gatt *g, const struct bearer *b, const struct att_prepare_write_request *req)
{
	const struct attribute *a = attribute_find(g, req->handle);
	uint8_t head[HEAD];
	struct wr w = wr_into(head, sizeof head);
	struct bearer *e;
	int r;

	g->failed_handle = req->handle;
	r = a ? attribute_may_write(a) : ATT_ERROR_INVALID_HANDLE;
	if (r)
		return r;
	if (GATT_PREPARED_OCTETS - b->prepared.len < HEAD + req->value.len || !bearer_may_prepare(g, b))
		return ATT_ERROR_PREPARE_QUEUE_FULL;
	wr_le(&w, req->handle, 2);
	wr_le(&w, req->offset, 2);
	wr_le(&w, req->value.len, 2);
	e = bearer_edit(g->arena, b);
	queue_push(g->arena, POOL_chunk, &e->prepared, head, HEAD);
	queue_push(g->arena, POOL_chunk, &e->prepared, req->value.at, (uint32_t)req->value.len);
	att_prepare_write_response_encode(&(struct att_prepare_write_response){ req->handle, req->offset, req->value },
	    bearer_open(g, b, ATT_PREPARE_WRITE_RESPONSE));
	return 0;
}

static int plan_part(struct gatt *g, struct plan *p, const struct attribute *a, const struct part *part)
{
	unsigned i = 0;

	while (i < p->count && p->at[i].number != attribute_number(a))
		i++;
	if (a->kind == ATTRIBUTE_CCCD)		/* never long: in one piece, from its beginning */
		return part->offset ? ATT_ERROR_INVALID_OFFSET : att_cccd_check(a, part->octets);
	if (i == p->count) {
		if (p->count == GATT_PREPARED_HANDLES)
			return ATT_ERROR_INSUFFICIENT_RESOURCES;
		p->at[p->count].number = attribute_number(a);
		p->at[p->count++].len = value_at(g, attribute_number(a))->len;
	}
	if (part->offset > p->at[i].len)
		return ATT_ERROR_INVALID_OFFSET;
	if (part->offset + part->octets.len > a->value_max)
		return ATT_ERROR_INVALID_ATTRIBUTE_VALUE_LENGTH;
	/* The first part of a value from 0 on makes it anew, as Write Long does; the others overwrite and lengthen. */
	p->at[i].len = (uint16_t)(part->offset ? MAX((size_t)p->at[i].len, part->offset + part->octets.len) : part->octets.len);
	return 0;
}

static int plan_make(struct gatt *g, const struct bearer *b, struct plan *p)
{
	uint8_t buf[GATT_PREPARED_OCTETS];
	const struct attribute *a;
	struct part part;
	uint32_t skip = 0;
	int r;

	p->count = 0;
	for (; part_at(g, b, skip, &part, buf); skip += HEAD + (uint32_t)part.octets.len) {
		g->failed_handle = part.handle;
		a = attribute_find(g, part.handle);
		r = a ? attribute_may_write(a) : ATT_ERROR_INVALID_HANDLE;
		if (!r)
			r = plan_part(g, p, a, &part);
		if (r)
			return r;
	}
	return 0;
}

/* Of several echoes to one target the last one is its value: all this is one change, and is told as one. */
static void plan_echo(struct plan *p, uint16_t from, uint16_t target, uint16_t len)
{
	unsigned i = 0;

	while (i < p->echoes && p->echo[i].change.target != target)
		i++;
	p->echoes = MAX(p->echoes, i + 1);
	p->echo[i].from = from;
	p->echo[i].change = (struct change){ target, len };
}

/* The echoes that the plan asks for; 0, GATT_HOLD, or an ATT error. */
static int plan_echoes(struct gatt *g, const struct bearer *b, struct plan *p)
{
	struct change c[GATT_PREPARED_HANDLES];
	unsigned octets = 0;

	for (unsigned i = 0; i < p->count; i++) {
		const struct attribute *a = attribute_at(g, p->at[i].number);
		const struct attribute *echo = a->echo ? attribute_find(g, a->echo) : NULL;

		if (!echo)
			continue;
		g->failed_handle = a->handle;
		if (p->at[i].len > echo->value_max)
			return ATT_ERROR_INVALID_ATTRIBUTE_VALUE_LENGTH;
		plan_echo(p, p->at[i].number, attribute_number(echo), p->at[i].len);
	}
	for (unsigned i = 0; i < p->echoes; i++) {
		c[i] = p->echo[i].change;
		octets += c[i].len + 4u;
	}
	if (octets > GATT_DUE_OCTETS)		/* more than a subscriber can ever have room for at once */
		return ATT_ERROR_INSUFFICIENT_RESOURCES;
	return change_fits(g, c, p->echoes, b->held_ns, NULL) ? 0 : GATT_HOLD;
}

static void part_write(struct gatt *g, const struct bearer *b, const struct part *part)
{
	const struct attribute *a = attribute_find(g, part->handle);
	struct value *v;
	size_t end = part->offset + part->octets.len;

	if (a->kind == ATTRIBUTE_CCCD) {
		att_cccd_set(g, b, a, part->octets);
		return;
	}
	v = value_edit(g->arena, value_at(g, attribute_number(a)));
	memcpy(v->at + part->offset, part->octets.at, part->octets.len);
	v->len = (uint16_t)(part->offset ? MAX((size_t)v->len, end) : end);
}

static void plan_carry_out(struct gatt *g, const struct bearer *b, const struct plan *p)
{
	uint8_t buf[GATT_PREPARED_OCTETS];
	struct part part;
	uint32_t skip = 0;

	for (; part_at(g, b, skip, &part, buf); skip += HEAD + (uint32_t)part.octets.len)
		part_write(g, b, &part);
	for (unsigned i = 0; i < p->echoes; i++) {
		const struct value *v = value_at(g, p->echo[i].from);

		value_set(g, p->echo[i].change.target, (struct bytes){ v->at, v->len });
		change_note(g, p->echo[i].change.target);
	}
}

/* 3.4.6.3: the queue is empty afterwards, whatever happened. */
int on_att_execute_write_request(struct gatt *g, const struct bearer *b, const struct att_execute_write_request *req)
{
	struct plan plan = { 0 };
	int r = 0;

	if (req->flags) {
		r = plan_make(g, b, &plan);
		if (!r)
			r = plan_echoes(g, b, &plan);
		if (r == GATT_HOLD)
			return r;
		if (!r)
			plan_carry_out(g, b, &plan);
	}
	bearer_forget_prepared(g, b);
	if (!r)
		att_execute_write_response_encode(&(struct att_execute_write_response){ }, bearer_open(g, b, ATT_EXECUTE_WRITE_RESPONSE));
	return r;
}
