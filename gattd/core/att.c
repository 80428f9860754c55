/* gattd/core/att.c - ATT PDUs to their handlers, and the one place where an Error Response is made.  Core 5.4, Vol 3,
 * Part F, 3.4. */
#include "gattd/core/gatt.h"

enum { COMMAND_FLAG = 0x40 };

#define ON(NAME, name) \
static int dispatch_##name(struct gatt *g, const struct bearer *b, struct bytes body) \
{ \
	struct att_##name m; \
	return att_##name##_decode(body, &m) ? on_att_##name(g, b, &m) : ATT_ERROR_INVALID_PDU; \
}
ATT_HANDLERS(ON)
#undef ON

static int (*const handlers[256])(struct gatt *, const struct bearer *, struct bytes) = {
#define ON(NAME, name) [ATT_##NAME] = dispatch_##name,
	ATT_HANDLERS(ON)
#undef ON
};

/* What is neither a request nor a command, and so is never answered with an error. */
static bool is_no_request(uint8_t opcode)
{
	switch (opcode) {
	case ATT_ERROR_RESPONSE: case ATT_EXCHANGE_MTU_RESPONSE: case ATT_FIND_INFORMATION_RESPONSE:
	case ATT_FIND_BY_TYPE_VALUE_RESPONSE: case ATT_READ_BY_TYPE_RESPONSE: case ATT_READ_RESPONSE:
	case ATT_READ_BLOB_RESPONSE: case ATT_READ_MULTIPLE_RESPONSE: case ATT_READ_BY_GROUP_TYPE_RESPONSE:
	case ATT_WRITE_RESPONSE: case ATT_PREPARE_WRITE_RESPONSE: case ATT_EXECUTE_WRITE_RESPONSE:
	case ATT_READ_MULTIPLE_VARIABLE_RESPONSE: case ATT_HANDLE_VALUE_NOTIFICATION:
	case ATT_MULTIPLE_HANDLE_VALUE_NOTIFICATION: case ATT_HANDLE_VALUE_CONFIRMATION: case ATT_HANDLE_VALUE_INDICATION:
		return true;
	default:
		return false;
	}
}

size_t att_answer_max(const struct bearer *b, struct bytes pdu)
{
	if (!pdu.len || pdu.at[0] & COMMAND_FLAG)
		return 0;
	if (pdu.at[0] == ATT_HANDLE_VALUE_INDICATION)
		return 1;
	return is_no_request(pdu.at[0]) ? 0 : b->mtu;
}

static void refuse(struct gatt *g, const struct bearer *b, uint8_t opcode, int error)
{
	if (opcode & COMMAND_FLAG) {
		gatt_count(g, GATT_COUNT_commands_refused);
		return;
	}
	if (is_no_request(opcode)) {
		gatt_count(g, GATT_COUNT_unasked);
		return;
	}
	att_error_response_encode(&(struct att_error_response){ opcode, g->failed_handle, (uint8_t)error },
	    bearer_open(g, b, ATT_ERROR_RESPONSE));
	bearer_send(g, b);
	gatt_count(g, GATT_COUNT_errors_out);
}

int att_on_pdu(struct gatt *g, const struct bearer *b, struct bytes pdu)
{
	uint8_t opcode;
	int r;

	if (!pdu.len) {		/* no opcode that an error could name */
		gatt_count(g, GATT_COUNT_pdus_empty);
		return 0;
	}
	opcode = pdu.at[0];
	if (pdu.len > b->mtu) {		/* 3.2.9: no PDU is longer than ATT_MTU */
		gatt_count(g, GATT_COUNT_pdus_overlong);
		r = ATT_ERROR_INVALID_PDU;
	} else if (handlers[opcode]) {
		g->failed_handle = 0;
		r = handlers[opcode](g, b, (struct bytes){ pdu.at + 1, pdu.len - 1 });
	} else {
		r = ATT_ERROR_REQUEST_NOT_SUPPORTED;
	}
	if (r == GATT_HOLD) {
		held_note(g, b);
		return r;
	}
	if (r)
		refuse(g, b, opcode, r);
	else if (g->w.start)
		bearer_send(g, b);
	change_tell(g);
	return 0;
}

/* 3.4.2: once a connection.  What is under 23 counts as 23; a second one changes nothing. */
int on_att_exchange_mtu_request(struct gatt *g, const struct bearer *b, const struct att_exchange_mtu_request *req)
{
	struct bearer *e;

	if (b->mtu_exchanged)
		return ATT_ERROR_REQUEST_NOT_SUPPORTED;
	if (the_server(g)->spreads)	/* its room was judged with the MTU that it has */
		return GATT_HOLD;
	att_exchange_mtu_response_encode(&(struct att_exchange_mtu_response){ b->mtu_max },
	    bearer_open(g, b, ATT_EXCHANGE_MTU_RESPONSE));
	bearer_send(g, b);
	e = bearer_edit(g->arena, b);
	e->mtu = (uint16_t)MIN(MAX(req->mtu, (uint16_t)GATT_MTU_MIN), b->mtu_max);
	e->mtu_exchanged = 1;
	return 0;
}

/* 3.4.7.3 */
int on_att_handle_value_confirmation(struct gatt *g, const struct bearer *b, const struct att_handle_value_confirmation *m)
{
	(void)m;
	if (!b->confirm_ns) {
		gatt_count(g, GATT_COUNT_unasked);
		return 0;
	}
	bearer_edit(g->arena, b)->confirm_ns = 0;
	timer_drop(g, b->index);
	gatt_count(g, GATT_COUNT_confirmations);
	if (b->due.len)
		bearer_set_ready(g, b);
	return 0;
}

/* 3.4.7.2: we subscribed to nothing, but whoever indicates is owed its confirmation, or it ends the bearer after 30 s. */
int on_att_handle_value_indication(struct gatt *g, const struct bearer *b, const struct att_handle_value_indication *m)
{
	(void)m;
	gatt_count(g, GATT_COUNT_unasked);
	att_handle_value_confirmation_encode(&(struct att_handle_value_confirmation){ },
	    bearer_open(g, b, ATT_HANDLE_VALUE_CONFIRMATION));
	return 0;
}
