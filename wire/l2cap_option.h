/* wire/l2cap_option.h - the options of a Configuration Request or Response, Core 5.4 Vol 3 Part A 5:
 * type (its top bit: a hint, may be ignored when unknown), length, data. */
#pragma once
#include "base/bytes.h"

enum l2cap_option_type {
	L2CAP_OPTION_MTU = 0x01, L2CAP_OPTION_FLUSH_TIMEOUT = 0x02, L2CAP_OPTION_QOS = 0x03,
	L2CAP_OPTION_RETRANSMISSION = 0x04, L2CAP_OPTION_FCS = 0x05, L2CAP_OPTION_EXTENDED_FLOW = 0x06,
	L2CAP_OPTION_WINDOW = 0x07,
};

struct l2cap_option { uint8_t type; bool hint; struct bytes data; };

/* The next option of the list that r reads; false at the end or where one is cut: rd_done(r) tells which. */
static inline bool l2cap_option_next(struct rd *r, struct l2cap_option *ret)
{
	uint8_t type;

	if (!rd_ok(r) || !rd_left(r))
		return false;
	type = (uint8_t)rd_le(r, 1);
	ret->type = type & 0x7F;
	ret->hint = type & 0x80;
	ret->data = rd_take(r, (size_t)rd_le(r, 1));
	return rd_ok(r);
}
/* Appends one; w turns bad if the data is longer than 255. */
static inline void l2cap_option_add(struct wr *w, uint8_t type, struct bytes data)
{
	w->bad |= data.len > 0xFF;
	wr_le(w, type, 1);
	wr_le(w, data.len, 1);
	wr_bytes(w, data);
}
