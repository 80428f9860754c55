/* Connecting as central: Core 5.4, Vol 4, Part E, 7.8.12 and 7.8.13. */
#include "airsim/core/state.h"

static bool already_connected(struct air *a, unsigned id, const struct air_addr *peer)
{
	for (uint32_t slot = 0; slot < a->handle_slots; slot++) {
		uint32_t index = a->handles[(size_t)id * a->handle_slots + slot] - 1;

		if (index != AIR_NO_INDEX && air_addr_equal(&air_end(a, index ^ 1)->address, peer))
			return true;
	}
	return false;
}

/* 7.8.12: the timeout, in ms, shall be larger than (1 + latency) * interval_max * 2. */
static bool is_sound(const struct hci_command_le_create_connection *m)
{
	return m->scan_window <= m->scan_interval && m->interval_min <= m->interval_max && m->ce_length_min <= m->ce_length_max &&
	    m->timeout * 10u * 4u > (1u + m->latency) * m->interval_max * 10u;
}

AIR_COMMAND_FN(le_create_connection)		/* 7.8.12 */
{
	struct air_controller *c = air_controller(a, id);
	struct air_initiator *i = &c->initiator;
	struct hci_command_le_create_connection m;
	struct air_addr peer;

	(void)ret;
	if (!hci_command_le_create_connection_decode(parameters, &m) || !is_sound(&m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (!m.filter_policy && m.peer_type > ADDRESS_RANDOM)
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (m.own_type > ADDRESS_RANDOM)
		return HCI_ERROR_UNSUPPORTED_FEATURE_OR_PARAMETER_VALUE;
	if (i->pending)
		return HCI_ERROR_COMMAND_DISALLOWED;
	if (m.own_type && !c->random_set)
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	peer.type = m.peer_type;
	memcpy(peer.octets, m.peer, 6);
	if (!m.filter_policy && already_connected(a, id, &peer))
		return HCI_ERROR_CONNECTION_ALREADY_EXISTS;
	if (!air_connection_possible(a, id))
		return HCI_ERROR_CONNECTION_LIMIT_EXCEEDED;
	*i = (struct air_initiator){ .pending = true, .filter_policy = m.filter_policy, .own_type = m.own_type, .peer = peer,
	    .interval = m.interval_max, .latency = m.latency, .timeout = m.timeout };
	a->listeners++;
	air_arm_listener(a, id);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_create_connection_cancel)	/* 7.8.13 */
{
	struct air_addr peer = air_controller(a, id)->initiator.peer;

	(void)ret;
	if (parameters.len)
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (!air_controller(a, id)->initiator.pending)
		return HCI_ERROR_COMMAND_DISALLOWED;
	air_initiate_stop(a, id);
	air_connection_failed(a, id, HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER, ROLE_CENTRAL, &peer);
	return HCI_SUCCESS;
}
