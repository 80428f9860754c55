/* hostd/core/signalling.c - the LE signalling channel, Core 5.4 Vol 3 Part A 4: one command in a frame.
 *
 * What is not there yet is refused as the section names it; what answers nothing that we asked is ignored.  A request that has
 * no room for its answer is dropped: its sender repeats it or gives up. */
#include "hostd/core/host.h"
#include "wire/hci_error.h"
#include "wire/l2cap_names.h"

struct signal {
	struct host *h;
	const struct connection *c;
	uint8_t identifier;
	uint16_t reject_cid[2];		/* for Invalid CID in request */
};
enum { ANSWERED = 0, IGNORED = 0x10000 };	/* of a handler; else the reason of a Command Reject, + 1 */
enum { REJECT = 1 };

static void answer(struct signal *s, uint8_t code, const struct wr *body)
{
	uint8_t frame[L2CAP_LE_SIGNALLING_MTU];
	struct wr w = wr_into(frame, sizeof frame);
	struct l2cap_frame_signalling m = { code, s->identifier, (uint16_t)wr_len(body), { body->start, wr_len(body) } };

	l2cap_frame_signalling_encode(&m, &w);
	if (!wr_ok(&w) || !acl_send(s->h, s->c, L2CAP_CID_LE_SIGNALLING, (struct bytes){ frame, wr_len(&w) }, 0))
		count(s->h, COUNT_signalling_unsent);
}

static void reject(struct signal *s, uint16_t reason)
{
	uint8_t data[4], body[8];
	struct wr d = wr_into(data, sizeof data), w = wr_into(body, sizeof body);

	if (reason == L2CAP_REJECT_MTU_EXCEEDED)
		wr_le(&d, L2CAP_LE_SIGNALLING_MTU, 2);
	if (reason == L2CAP_REJECT_INVALID_CID) {
		wr_le(&d, s->reject_cid[0], 2);
		wr_le(&d, s->reject_cid[1], 2);
	}
	l2cap_command_reject_encode(&(struct l2cap_command_reject){ reason, { data, wr_len(&d) } }, &w);
	answer(s, L2CAP_COMMAND_REJECT, &w);
	count(s->h, COUNT_signalling_rejected);
}

/* Only a central may be asked (4.20), and we have no links as one. */
static int on_connection_parameter_update_request(struct signal *s, const struct l2cap_connection_parameter_update_request *m)
{
	uint8_t body[2];
	struct wr w = wr_into(body, sizeof body);
	bool bad = parameters_check(m->interval_min, m->interval_max, m->latency, m->timeout) != 0;

	if (s->c->role != ROLE_CENTRAL)
		return REJECT + L2CAP_REJECT_NOT_UNDERSTOOD;
	/* What the controller could not be asked for is not accepted. */
	bad = bad || !HCI_SEND(s->h, LE_CONNECTION_UPDATE, le_connection_update, s->c->handle, m->interval_min, m->interval_max,
	    m->latency, m->timeout, 0, 0);
	l2cap_connection_parameter_update_response_encode(&(struct l2cap_connection_parameter_update_response){
	    bad ? L2CAP_PARAMETERS_REJECTED : L2CAP_PARAMETERS_ACCEPTED }, &w);
	answer(s, L2CAP_CONNECTION_PARAMETER_UPDATE_RESPONSE, &w);
	return ANSWERED;
}
/* 4.6: no channel of ours has that identifier. */
static int on_disconnection_request(struct signal *s, const struct l2cap_disconnection_request *m)
{
	s->reject_cid[0] = m->destination_cid;
	s->reject_cid[1] = m->source_cid;
	return REJECT + L2CAP_REJECT_INVALID_CID;
}
/* There is no SPSM that we support, whatever else is wrong with it (4.22). */
static int on_le_credit_based_connection_request(struct signal *s, const struct l2cap_le_credit_based_connection_request *m)
{
	uint8_t body[10];
	struct wr w = wr_into(body, sizeof body);

	(void)m;
	l2cap_le_credit_based_connection_response_encode(&(struct l2cap_le_credit_based_connection_response){
	    .result = L2CAP_CREDIT_SPSM_NOT_SUPPORTED }, &w);
	answer(s, L2CAP_LE_CREDIT_BASED_CONNECTION_RESPONSE, &w);
	return ANSWERED;
}
/* 4.25, 4.26: all are refused; as many zero identifiers come back as were asked for, five at most. */
static int on_credit_based_connection_request(struct signal *s, const struct l2cap_credit_based_connection_request *m)
{
	static const uint8_t none[10];
	bool valid = m->source_cids.len % 2 == 0 && m->source_cids.len >= 2 && m->source_cids.len <= sizeof none;
	uint8_t body[18];
	struct wr w = wr_into(body, sizeof body);

	l2cap_credit_based_connection_response_encode(&(struct l2cap_credit_based_connection_response){
	    .result = valid ? L2CAP_CREDIT_SPSM_NOT_SUPPORTED : L2CAP_CREDIT_INVALID_PARAMETERS,
	    .destination_cids = { none, MIN(m->source_cids.len & ~(size_t)1, sizeof none) } }, &w);
	answer(s, L2CAP_CREDIT_BASED_CONNECTION_RESPONSE, &w);
	return ANSWERED;
}
static int on_credit_based_reconfigure_request(struct signal *s, const struct l2cap_credit_based_reconfigure_request *m)
{
	uint8_t body[2];
	struct wr w = wr_into(body, sizeof body);

	(void)m;
	l2cap_credit_based_reconfigure_response_encode(&(struct l2cap_credit_based_reconfigure_response){
	    L2CAP_RECONFIGURE_INVALID_CIDS }, &w);
	answer(s, L2CAP_CREDIT_BASED_RECONFIGURE_RESPONSE, &w);
	return ANSWERED;
}
/* Credits for a channel that is not, or is no longer, there. */
static int on_flow_control_credit_indication(struct signal *s, const struct l2cap_flow_control_credit_indication *m)
{
	(void)s;
	(void)m;
	return IGNORED;
}

#define SIGNALS(ON) \
	ON(DISCONNECTION_REQUEST,               disconnection_request) \
	ON(CONNECTION_PARAMETER_UPDATE_REQUEST, connection_parameter_update_request) \
	ON(LE_CREDIT_BASED_CONNECTION_REQUEST,  le_credit_based_connection_request) \
	ON(FLOW_CONTROL_CREDIT_INDICATION,      flow_control_credit_indication) \
	ON(CREDIT_BASED_CONNECTION_REQUEST,     credit_based_connection_request) \
	ON(CREDIT_BASED_RECONFIGURE_REQUEST,    credit_based_reconfigure_request)
#define ON(NAME, name) \
static int dispatch_##name(struct signal *s, struct bytes body) \
{ \
	struct l2cap_##name m; \
	return l2cap_##name##_decode(body, &m) ? on_##name(s, &m) : REJECT + L2CAP_REJECT_NOT_UNDERSTOOD; \
}
SIGNALS(ON)
#undef ON
static int (*const handlers[])(struct signal *, struct bytes) = {
#define ON(NAME, name) [L2CAP_##NAME] = dispatch_##name,
	SIGNALS(ON)
#undef ON
};

/* Responses are never rejected (4.1): we asked nothing. */
static bool is_response(uint8_t code)
{
	switch (code) {
	case L2CAP_COMMAND_REJECT:
	case L2CAP_CONNECTION_RESPONSE:
	case L2CAP_CONFIGURATION_RESPONSE:
	case L2CAP_DISCONNECTION_RESPONSE:
	case L2CAP_ECHO_RESPONSE:
	case L2CAP_INFORMATION_RESPONSE:
	case L2CAP_CONNECTION_PARAMETER_UPDATE_RESPONSE:
	case L2CAP_LE_CREDIT_BASED_CONNECTION_RESPONSE:
	case L2CAP_CREDIT_BASED_CONNECTION_RESPONSE:
	case L2CAP_CREDIT_BASED_RECONFIGURE_RESPONSE:
		return true;
	default:
		return false;
	}
}

void on_l2cap_signalling(struct host *h, const struct connection *c, struct bytes frame)
{
	struct signal s = { .h = h, .c = c };
	struct l2cap_frame_signalling m;
	int r = REJECT + L2CAP_REJECT_NOT_UNDERSTOOD;

	/* 4: identifier 0 is never used; what has no whole header names nothing to answer to. */
	if (!l2cap_frame_signalling_decode(frame, &m) || !m.identifier || is_response(m.code)) {
		count(h, COUNT_signalling_ignored);
		return;
	}
	s.identifier = m.identifier;
	if (frame.len > L2CAP_LE_SIGNALLING_MTU)
		r = REJECT + L2CAP_REJECT_MTU_EXCEEDED;
	else if (m.length != m.data.len)
		;	/* it is cut, or there is another command behind it, which LE does not allow */
	else if (m.code < ARRAY_LEN(handlers) && handlers[m.code])
		r = handlers[m.code](&s, m.data);
	if (r == IGNORED)
		count(h, COUNT_signalling_ignored);
	else if (r != ANSWERED)
		reject(&s, (uint16_t)(r - REJECT));
}

uint8_t parameters_check(uint16_t interval_min, uint16_t interval_max, uint16_t latency, uint16_t timeout)
{
	if (interval_min < 0x0006 || interval_max > 0x0C80 || interval_min > interval_max || latency > 0x01F3 ||
	    timeout < 0x000A || timeout > 0x0C80)
		return HCI_ERROR_INVALID_LL_PARAMETERS;
	/* The timeout (10 ms) has to be longer than two intervals (1.25 ms) with latency: 7.8.18. */
	if ((uint32_t)timeout * 4 <= (1u + latency) * interval_max)
		return HCI_ERROR_UNACCEPTABLE_CONNECTION_PARAMETERS;
	return 0;
}
