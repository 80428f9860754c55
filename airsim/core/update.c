/* Connection parameters: Core 5.4, Vol 4, Part E, 7.8.18, 7.8.31, 7.8.32.
 *
 * The central changes them at once; a peripheral asks, and the central's host answers (Vol 6, Part B, 5.1.7). */
#include "airsim/core/state.h"

static void tell_updated(struct air *a, uint32_t index, uint8_t status)
{
	const struct air_connection *k = air_connection_of(a, index);
	const struct air_end *e = air_end(a, index);
	uint8_t buf[16];
	struct wr w = wr_into(buf, sizeof buf);

	hci_le_event_connection_update_complete_encode(&(struct hci_le_event_connection_update_complete){
	    .status = status, .handle = e->handle, .interval = k->interval, .latency = k->latency, .timeout = k->timeout }, &w);
	air_le_event(a, e->controller, HCI_LE_EVENT_CONNECTION_UPDATE_COMPLETE, &w);
}

static void apply(struct air *a, uint32_t end, const struct hci_command_le_connection_update *m)
{
	struct air_connection *k = air_connection_of(a, end);

	k->interval = m->interval_max;
	k->latency = m->latency;
	k->timeout = m->timeout;
	tell_updated(a, end, HCI_SUCCESS);
	tell_updated(a, end ^ 1, HCI_SUCCESS);
}

static uint8_t ask_central(struct air *a, uint32_t end, const struct hci_command_le_connection_update *m)
{
	struct air_connection *k = air_connection_of(a, end);
	const struct air_end *central = air_end(a, end ^ 1);
	uint8_t buf[16];
	struct wr w = wr_into(buf, sizeof buf);

	if (k->parameters_wanted)
		return HCI_ERROR_COMMAND_DISALLOWED;
	if (!air_le_event_wanted(a, central->controller, HCI_LE_EVENT_REMOTE_CONNECTION_PARAMETER_REQUEST)) {
		tell_updated(a, end, HCI_ERROR_UNSUPPORTED_REMOTE_FEATURE);
		return HCI_SUCCESS;
	}
	k->parameters_wanted = true;
	hci_le_event_remote_connection_parameter_request_encode(&(struct hci_le_event_remote_connection_parameter_request){
	    .handle = central->handle, .interval_min = m->interval_min, .interval_max = m->interval_max,
	    .latency = m->latency, .timeout = m->timeout }, &w);
	air_le_event(a, central->controller, HCI_LE_EVENT_REMOTE_CONNECTION_PARAMETER_REQUEST, &w);
	return HCI_SUCCESS;
}

static bool is_sound(const struct hci_command_le_connection_update *m)
{
	return m->interval_min <= m->interval_max && m->ce_length_min <= m->ce_length_max &&
	    m->timeout * 4u > (1u + m->latency) * m->interval_max;	/* 10 ms against 2 × 1.25 ms */
}

AIR_COMMAND_FN(le_connection_update)		/* 7.8.18 */
{
	struct hci_command_le_connection_update m;
	uint32_t end;

	(void)ret;
	if (!hci_command_le_connection_update_decode(parameters, &m) || !handle_valid(m.handle) || !is_sound(&m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	end = air_end_find(a, id, m.handle);
	if (end == AIR_NO_INDEX)
		return HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER;
	if (air_connection_of(a, end)->lost)
		return HCI_SUCCESS;
	if (!air_room(a, air_end(a, end ^ 1)->controller, AIR_ROOM_PEER))
		return HCI_ERROR_CONTROLLER_BUSY;
	if (end & 1)
		return ask_central(a, end, &m);
	apply(a, end, &m);
	return HCI_SUCCESS;
}

/* The end of a central that was asked, or a refusal. */
static uint8_t asked(struct air *a, unsigned id, uint16_t handle, uint32_t *ret_end)
{
	uint32_t end = air_end_find(a, id, handle);

	if (!handle_valid(handle))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (end == AIR_NO_INDEX)
		return HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER;
	if ((end & 1) || !air_connection_of(a, end)->parameters_wanted)
		return HCI_ERROR_COMMAND_DISALLOWED;
	*ret_end = end;
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_remote_connection_parameter_request_reply)		/* 7.8.31 */
{
	struct hci_command_le_connection_update m;	/* the same parameters */
	uint32_t end = AIR_NO_INDEX;
	uint8_t r;

	if (!hci_command_le_connection_update_decode(parameters, &m) || !is_sound(&m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	r = asked(a, id, m.handle, &end);
	if (r)
		return r;
	air_connection_of(a, end)->parameters_wanted = false;
	if (!air_connection_of(a, end)->lost)
		apply(a, end, &m);
	hci_return_le_remote_connection_parameter_request_reply_encode(
	    &(struct hci_return_le_remote_connection_parameter_request_reply){ .handle = m.handle }, ret);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_remote_connection_parameter_request_negative_reply)	/* 7.8.32 */
{
	struct hci_command_le_remote_connection_parameter_request_negative_reply m;
	uint32_t end = AIR_NO_INDEX;
	uint8_t r;

	if (!hci_command_le_remote_connection_parameter_request_negative_reply_decode(parameters, &m) || !m.reason)
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	r = asked(a, id, m.handle, &end);
	if (r)
		return r;
	air_connection_of(a, end)->parameters_wanted = false;
	if (!air_connection_of(a, end)->lost)
		tell_updated(a, end ^ 1, m.reason);
	hci_return_le_remote_connection_parameter_request_negative_reply_encode(
	    &(struct hci_return_le_remote_connection_parameter_request_negative_reply){ .handle = m.handle }, ret);
	return HCI_SUCCESS;
}
