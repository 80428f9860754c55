#include "wire/att_list.h"

/* More to read?  At the very end a reader stays good, so that rd_done() says "whole". */
static bool more(const struct rd *r)
{
	return rd_ok(r) && rd_left(r);
}

bool att_information_next(struct rd *r, uint8_t format, struct att_information *ret)
{
	if (!more(r))
		return false;
	if (format != ATT_FORMAT_16 && format != ATT_FORMAT_128)
		r->bad = true;
	ret->handle = (uint16_t)rd_le(r, 2);
	ret->type = rd_take(r, format == ATT_FORMAT_16 ? 2 : 16);
	return rd_ok(r);
}

bool att_range_next(struct rd *r, struct att_range *ret)
{
	if (!more(r))
		return false;
	ret->first = (uint16_t)rd_le(r, 2);
	ret->last = (uint16_t)rd_le(r, 2);
	return rd_ok(r);
}

bool att_value_next(struct rd *r, uint8_t length, struct att_value *ret)
{
	if (!more(r))
		return false;
	if (length < 2) {		/* also: a length of 0 would never end */
		r->bad = true;
		return false;
	}
	ret->handle = (uint16_t)rd_le(r, 2);
	ret->value = rd_take(r, length - 2u);
	return rd_ok(r);
}

bool att_group_next(struct rd *r, uint8_t length, struct att_group *ret)
{
	if (!more(r))
		return false;
	if (length < 4) {
		r->bad = true;
		return false;
	}
	ret->first = (uint16_t)rd_le(r, 2);
	ret->last = (uint16_t)rd_le(r, 2);
	ret->value = rd_take(r, length - 4u);
	return rd_ok(r);
}

bool att_handle_next(struct rd *r, uint16_t *ret)
{
	if (!more(r))
		return false;
	*ret = (uint16_t)rd_le(r, 2);
	return rd_ok(r);
}

bool att_variable_next(struct rd *r, struct bytes *ret_value, bool *ret_cut)
{
	size_t len;

	if (!more(r))
		return false;
	len = (size_t)rd_le(r, 2);
	if (!rd_ok(r))
		return false;
	*ret_cut = len > rd_left(r);
	*ret_value = rd_take(r, *ret_cut ? rd_left(r) : len);
	return true;
}

bool att_multiple_next(struct rd *r, struct att_value *ret)
{
	size_t len;

	if (!more(r))
		return false;
	ret->handle = (uint16_t)rd_le(r, 2);
	len = (size_t)rd_le(r, 2);
	ret->value = rd_take(r, len);
	return rd_ok(r);
}

static size_t room(const struct att_list *l)
{
	return (size_t)(l->w.end - l->w.at);
}

/* How long an entry of `head` octets before its value becomes; 0 if it must not be added. */
static size_t entry(struct att_list *l, size_t head, size_t value)
{
	size_t most = room(l) < ATT_ENTRY_MAX ? room(l) : ATT_ENTRY_MAX;

	if (l->each)
		return head + value == l->each && room(l) >= l->each ? l->each : 0;
	if (most < head)
		return 0;
	if (value <= most - head)
		return head + value;
	/* The first is cut, 3.4.4.2 and 3.4.4.10.  Whether a later one is as long can then not be told: it stays alone. */
	l->w.end = l->w.at + most;
	return most;
}

bool att_list_add_information(struct att_list *l, uint16_t handle, struct bytes type)
{
	size_t len = 2 + type.len;

	if (room(l) < len || (l->each && l->each != len) || (type.len != 2 && type.len != 16))
		return false;
	l->each = (uint8_t)len;
	wr_le(&l->w, handle, 2);
	wr_bytes(&l->w, type);
	return true;
}

bool att_list_add_range(struct att_list *l, uint16_t first, uint16_t last)
{
	if (room(l) < 4)
		return false;
	l->each = 4;
	wr_le(&l->w, first, 2);
	wr_le(&l->w, last, 2);
	return true;
}

bool att_list_add_value(struct att_list *l, uint16_t handle, struct bytes value)
{
	size_t len = entry(l, 2, value.len);

	if (!len)
		return false;
	l->each = (uint8_t)len;
	wr_le(&l->w, handle, 2);
	wr_bytes(&l->w, (struct bytes){ value.at, len - 2 });
	return true;
}

bool att_list_add_group(struct att_list *l, uint16_t first, uint16_t last, struct bytes value)
{
	size_t len = entry(l, 4, value.len);

	if (!len)
		return false;
	l->each = (uint8_t)len;
	wr_le(&l->w, first, 2);
	wr_le(&l->w, last, 2);
	wr_bytes(&l->w, (struct bytes){ value.at, len - 4 });
	return true;
}

bool att_list_add_variable(struct att_list *l, struct bytes value)
{
	size_t len;

	if (room(l) < 2)		/* an earlier cut left no room either */
		return false;
	len = value.len < room(l) - 2 ? value.len : room(l) - 2;
	wr_le(&l->w, value.len, 2);	/* the whole value's length, 3.4.4.12 */
	wr_bytes(&l->w, (struct bytes){ value.at, len });
	return true;
}

bool att_list_add_multiple(struct att_list *l, uint16_t handle, struct bytes value)
{
	if (room(l) < 4 + value.len || value.len > 0xFFFF)
		return false;
	wr_le(&l->w, handle, 2);
	wr_le(&l->w, value.len, 2);
	wr_bytes(&l->w, value);
	return true;
}
