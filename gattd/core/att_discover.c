/* gattd/core/att_discover.c - finding and reading by ranges and types.  Core 5.4, Vol 3, Part F, 3.4.3 and 3.4.4.
 *
 * Each walks the attributes from the first handle asked for, and ends with the answer's room, the range, or an entry of another
 * length.  Lists are written where they are sent from: behind the opcode in the output ring. */
#include "gattd/core/gatt.h"
#include "wire/att_list.h"

/* 3.4.3.1 and on: 0 or a range turned round is Invalid Handle, and names the first. */
static int check_range(struct gatt *g, uint16_t first, uint16_t last)
{
	g->failed_handle = first;
	return !first || first > last ? ATT_ERROR_INVALID_HANDLE : 0;
}

static const struct attribute *in_range(const struct gatt *g, unsigned i, uint16_t last)
{
	const struct attribute *a = i < the_server(g)->attributes ? attribute_at(g, i) : NULL;

	return a && a->handle <= last ? a : NULL;
}

/* A list behind the opcode and `before` octets more. */
static struct att_list list_open(struct gatt *g, const struct bearer *b, uint8_t opcode, unsigned before)
{
	struct wr *w = bearer_open(g, b, opcode);

	return att_list_into(w->at + before, b->mtu - 1u - before);
}

/* Its answer is the list, with the octet `said` before it where there is one (>= 0). */
static int list_close(struct gatt *g, const struct att_list *list, int said)
{
	if (att_list_empty(list)) {
		g->w = (struct wr){ 0 };
		return ATT_ERROR_ATTRIBUTE_NOT_FOUND;
	}
	if (said >= 0)
		wr_le(&g->w, (uint64_t)said, 1);
	g->w.at += att_list_bytes(list).len;
	return 0;
}

/* 3.4.3.1 */
int on_att_find_information_request(struct gatt *g, const struct bearer *b, const struct att_find_information_request *req)
{
	const struct attribute *a;
	struct att_list list;
	uint8_t len = 0;
	int r = check_range(g, req->first, req->last);

	if (r)
		return r;
	list = list_open(g, b, ATT_FIND_INFORMATION_RESPONSE, 1);
	for (unsigned i = attribute_from(g, req->first); (a = in_range(g, i, req->last)); i++) {
		if (!att_list_add_information(&list, a->handle, (struct bytes){ a->type, a->type_len }))
			break;
		len = a->type_len;
	}
	return list_close(g, &list, len == 2 ? ATT_FORMAT_16 : ATT_FORMAT_128);
}

/* 3.4.3.3.  What may not be read is not compared either: an answer would tell its value. */
int on_att_find_by_type_value_request(struct gatt *g, const struct bearer *b, const struct att_find_by_type_value_request *req)
{
	const uint8_t type[2] = { (uint8_t)req->type, (uint8_t)(req->type >> 8) };
	const struct attribute *a;
	struct att_list list;
	int r = check_range(g, req->first, req->last);

	if (r)
		return r;
	list = list_open(g, b, ATT_FIND_BY_TYPE_VALUE_RESPONSE, 0);
	for (unsigned i = attribute_from(g, req->first); (a = in_range(g, i, req->last)); i++) {
		uint8_t cccd[2];
		struct bytes value;

		if (!attribute_is(a, (struct bytes){ type, 2 }) || attribute_may_read(a))
			continue;
		value = attribute_value(g, b, a, cccd);
		if (value.len != req->value.len || (value.len && memcmp(value.at, req->value.at, value.len)))
			continue;
		if (!att_list_add_range(&list, a->handle, a->group_end))
			break;
	}
	return list_close(g, &list, -1);
}

/* 3.4.4.1.  An attribute that may not be read is the error if it is the first, else it ends the list. */
int on_att_read_by_type_request(struct gatt *g, const struct bearer *b, const struct att_read_by_type_request *req)
{
	const struct attribute *a;
	struct att_list list;
	int r;

	if (req->type.len != 2 && req->type.len != 16)
		return ATT_ERROR_INVALID_PDU;
	r = check_range(g, req->first, req->last);
	if (r)
		return r;
	list = list_open(g, b, ATT_READ_BY_TYPE_RESPONSE, 1);
	for (unsigned i = attribute_from(g, req->first); (a = in_range(g, i, req->last)); i++) {
		uint8_t cccd[2];

		if (!attribute_is(a, req->type))
			continue;
		r = attribute_may_read(a);
		if (r && att_list_empty(&list)) {
			g->failed_handle = a->handle;
			return r;
		}
		if (r || !att_list_add_value(&list, a->handle, attribute_value(g, b, a, cccd)))
			break;
	}
	return list_close(g, &list, list.each);
}

static bool is_service_type(struct bytes type)
{
	struct attribute a = { .type_len = 2, .type = { GATT_TYPE_PRIMARY_SERVICE & 0xFF, GATT_TYPE_PRIMARY_SERVICE >> 8 } };

	if (attribute_is(&a, type))
		return true;
	a.type[0] = GATT_TYPE_SECONDARY_SERVICE & 0xFF;
	return attribute_is(&a, type);
}

/* 3.4.4.9; which types group is said in Part G, 2.5.3: the two services. */
int on_att_read_by_group_type_request(struct gatt *g, const struct bearer *b, const struct att_read_by_group_type_request *req)
{
	const struct attribute *a;
	struct att_list list;
	int r;

	if (req->type.len != 2 && req->type.len != 16)
		return ATT_ERROR_INVALID_PDU;
	r = check_range(g, req->first, req->last);
	if (r)
		return r;
	if (!is_service_type(req->type))
		return ATT_ERROR_UNSUPPORTED_GROUP_TYPE;
	list = list_open(g, b, ATT_READ_BY_GROUP_TYPE_RESPONSE, 1);
	for (unsigned i = attribute_from(g, req->first); (a = in_range(g, i, req->last)); i++) {
		const struct value *v = value_at(g, i);

		if (attribute_is(a, req->type) && !att_list_add_group(&list, a->handle, a->group_end, (struct bytes){ v->at, v->len }))
			break;
	}
	return list_close(g, &list, list.each);
}
