/* gattd/core/att_read.c - reading by handle.  Core 5.4, Vol 3, Part F, 3.4.4. */
#include "gattd/core/gatt.h"
#include "wire/att_list.h"

static int find_readable(struct gatt *g, uint16_t handle, const struct attribute **ret)
{
	g->failed_handle = handle;
	*ret = attribute_find(g, handle);
	return *ret ? attribute_may_read(*ret) : ATT_ERROR_INVALID_HANDLE;
}

/* 3.4.4.3 */
int on_att_read_request(struct gatt *g, const struct bearer *b, const struct att_read_request *req)
{
	const struct attribute *a;
	struct bytes value;
	uint8_t cccd[2];
	int r = find_readable(g, req->handle, &a);

	if (r)
		return r;
	value = attribute_value(g, b, a, cccd);
	value.len = MIN(value.len, b->mtu - 1u);
	att_read_response_encode(&(struct att_read_response){ value }, bearer_open(g, b, ATT_READ_RESPONSE));
	return 0;
}

/* 3.4.4.5.  At the end of a value the answer is empty; beyond it, Invalid Offset.  What cannot be long says so. */
int on_att_read_blob_request(struct gatt *g, const struct bearer *b, const struct att_read_blob_request *req)
{
	const struct attribute *a;
	struct bytes value;
	uint8_t cccd[2];
	int r = find_readable(g, req->handle, &a);

	if (r)
		return r;
	value = attribute_value(g, b, a, cccd);
	if (a->kind != ATTRIBUTE_VALUE && a->kind != ATTRIBUTE_PLAIN && value.len <= b->mtu - 3u)
		return ATT_ERROR_ATTRIBUTE_NOT_LONG;
	if (req->offset > value.len)
		return ATT_ERROR_INVALID_OFFSET;
	value.at += req->offset;
	value.len = MIN(value.len - req->offset, b->mtu - 1u);
	att_read_blob_response_encode(&(struct att_read_blob_response){ value }, bearer_open(g, b, ATT_READ_BLOB_RESPONSE));
	return 0;
}

/* 3.4.4.7, 3.4.4.11: at least two handles, and all of them readable before the first is read. */
static int check_handles(struct gatt *g, struct bytes handles)
{
	const struct attribute *a;
	struct rd r = rd_from(handles);
	uint16_t handle;
	int error = 0;

	if (handles.len < 4 || handles.len % 2)
		return ATT_ERROR_INVALID_PDU;
	while (!error && att_handle_next(&r, &handle))
		error = find_readable(g, handle, &a);
	return error;
}

int on_att_read_multiple_request(struct gatt *g, const struct bearer *b, const struct att_read_multiple_request *req)
{
	struct rd r = rd_from(req->handles);
	uint16_t handle;
	struct wr *w;
	int error = check_handles(g, req->handles);

	if (error)
		return error;
	w = bearer_open(g, b, ATT_READ_MULTIPLE_RESPONSE);
	while (att_handle_next(&r, &handle)) {
		uint8_t cccd[2];
		struct bytes value = attribute_value(g, b, attribute_find(g, handle), cccd);

		value.len = MIN(value.len, (size_t)(w->end - w->at));
		wr_bytes(w, value);
	}
	return 0;
}

int on_att_read_multiple_variable_request(struct gatt *g, const struct bearer *b,
    const struct att_read_multiple_variable_request *req)
{
	struct rd r = rd_from(req->handles);
	struct att_list list;
	uint16_t handle;
	struct wr *w;
	int error = check_handles(g, req->handles);

	if (error)
		return error;
	w = bearer_open(g, b, ATT_READ_MULTIPLE_VARIABLE_RESPONSE);
	list = att_list_into(w->at, (size_t)(w->end - w->at));
	while (att_handle_next(&r, &handle)) {
		uint8_t cccd[2];

		if (!att_list_add_variable(&list, attribute_value(g, b, attribute_find(g, handle), cccd)))
			break;
	}
	w->at += att_list_bytes(&list).len;
	return 0;
}
