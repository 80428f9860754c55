/* Starting encryption: Core 5.4, Vol 4, Part E, 7.8.24 to 7.8.26.
 *
 * The air compares the two hosts' keys and enciphers nothing: equal keys are an encrypted connection, different ones end it as
 * a MIC failure would. */
#include "airsim/core/state.h"

static void tell(struct air *a, uint32_t index, uint8_t status, bool again)
{
	const struct air_end *e = air_end(a, index);
	uint8_t buf[8];
	struct wr w = wr_into(buf, sizeof buf);

	if (again) {
		hci_event_encryption_key_refresh_complete_encode(
		    &(struct hci_event_encryption_key_refresh_complete){ status, e->handle }, &w);
		air_event(a, e->controller, HCI_EVENT_ENCRYPTION_KEY_REFRESH_COMPLETE, &w);
	} else {
		hci_event_encryption_change_encode(&(struct hci_event_encryption_change){ status, e->handle, !status }, &w);
		air_event(a, e->controller, HCI_EVENT_ENCRYPTION_CHANGE, &w);
	}
}

AIR_COMMAND_FN(le_enable_encryption)			/* 7.8.24 */
{
	struct hci_command_le_enable_encryption m;
	struct hci_le_event_long_term_key_request q;
	struct air_connection *k;
	const struct air_end *far;
	uint8_t buf[32];
	struct wr w = wr_into(buf, sizeof buf);
	uint32_t end;

	(void)ret;
	if (!hci_command_le_enable_encryption_decode(parameters, &m) || !handle_valid(m.handle))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	end = air_end_find(a, id, m.handle);
	if (end == AIR_NO_INDEX)
		return HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER;
	k = air_connection_of(a, end);
	if ((end & 1) || k->key_wanted)		/* "shall only be used when the local device's role is Central" */
		return HCI_ERROR_COMMAND_DISALLOWED;
	if (k->lost)
		return HCI_SUCCESS;
	far = air_end(a, end ^ 1);
	if (!air_room(a, far->controller, AIR_ROOM_PEER))
		return HCI_ERROR_CONTROLLER_BUSY;
	if (!air_le_event_wanted(a, far->controller, HCI_LE_EVENT_LONG_TERM_KEY_REQUEST)) {	/* 7.7.65.5: masked, so refused */
		tell(a, end, HCI_ERROR_PIN_OR_KEY_MISSING, k->encrypted);
		return HCI_SUCCESS;
	}
	k->key_wanted = true;
	memcpy(k->key, m.key, sizeof k->key);
	q = (struct hci_le_event_long_term_key_request){ .handle = far->handle, .diversifier = m.diversifier };
	memcpy(q.random, m.random, sizeof q.random);
	hci_le_event_long_term_key_request_encode(&q, &w);
	air_le_event(a, far->controller, HCI_LE_EVENT_LONG_TERM_KEY_REQUEST, &w);
	return HCI_SUCCESS;
}

/* The end of a peripheral that was asked for its key, or a refusal. */
static uint8_t asked(struct air *a, unsigned id, uint16_t handle, uint32_t *ret_end)
{
	uint32_t end = air_end_find(a, id, handle);

	if (!handle_valid(handle))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (end == AIR_NO_INDEX)
		return HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER;
	if (!(end & 1) || !air_connection_of(a, end)->key_wanted)
		return HCI_ERROR_COMMAND_DISALLOWED;
	*ret_end = end;
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_long_term_key_request_reply)		/* 7.8.25 */
{
	struct hci_command_le_long_term_key_request_reply m;
	struct air_connection *k;
	uint32_t end = AIR_NO_INDEX;
	bool again, same;
	uint8_t r;

	if (!hci_command_le_long_term_key_request_reply_decode(parameters, &m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	r = asked(a, id, m.handle, &end);
	if (r)
		return r;
	hci_return_le_long_term_key_request_reply_encode(
	    &(struct hci_return_le_long_term_key_request_reply){ .handle = m.handle }, ret);
	k = air_connection_of(a, end);
	k->key_wanted = false;
	same = !memcmp(k->key, m.key, sizeof k->key);
	memset(k->key, 0, sizeof k->key);
	if (k->lost)
		return HCI_SUCCESS;
	if (!same) {
		air_disconnect(a, end / 2, HCI_ERROR_CONNECTION_TERMINATED_MIC_FAILURE, HCI_ERROR_CONNECTION_TERMINATED_MIC_FAILURE);
		return HCI_SUCCESS;
	}
	again = k->encrypted;
	k->encrypted = true;
	tell(a, end ^ 1, HCI_SUCCESS, again);
	tell(a, end, HCI_SUCCESS, again);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_long_term_key_request_negative_reply)	/* 7.8.26 */
{
	struct hci_command_le_long_term_key_request_negative_reply m;
	struct air_connection *k;
	uint32_t end = AIR_NO_INDEX;
	uint8_t r;

	if (!hci_command_le_long_term_key_request_negative_reply_decode(parameters, &m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	r = asked(a, id, m.handle, &end);
	if (r)
		return r;
	hci_return_le_long_term_key_request_negative_reply_encode(
	    &(struct hci_return_le_long_term_key_request_negative_reply){ .handle = m.handle }, ret);
	k = air_connection_of(a, end);
	k->key_wanted = false;
	memset(k->key, 0, sizeof k->key);
	if (!k->lost)
		tell(a, end ^ 1, HCI_ERROR_PIN_OR_KEY_MISSING, k->encrypted);
	return HCI_SUCCESS;
}
