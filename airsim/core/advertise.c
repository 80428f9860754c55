/* Legacy advertising: Core 5.4, Vol 4, Part E, 7.8.5 to 7.8.9. */
#include "airsim/core/state.h"

enum { INTERVAL_MIN = 0x0020, INTERVAL_MAX = 0x4000, HIGH_DUTY_MS = 1280, PERIOD_HIGH_DUTY_US = 3750 };

AIR_COMMAND_FN(le_set_advertising_parameters)	/* 7.8.5 */
{
	struct air_advertiser *v = &air_controller(a, id)->advertiser;
	struct hci_command_le_set_advertising_parameters m;
	bool directed;

	(void)ret;
	if (!hci_command_le_set_advertising_parameters_decode(parameters, &m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	directed = m.type == AIR_ADV_DIRECT_HIGH || m.type == AIR_ADV_DIRECT_LOW;
	if (m.type != AIR_ADV_DIRECT_HIGH && (m.interval_min > m.interval_max || m.interval_min < INTERVAL_MIN ||
	    m.interval_max > INTERVAL_MAX))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (directed && m.peer_type > ADDRESS_RANDOM)
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (m.own_type > ADDRESS_RANDOM)
		return HCI_ERROR_UNSUPPORTED_FEATURE_OR_PARAMETER_VALUE;		/* it has no resolving list */
	if (v->enabled)
		return HCI_ERROR_COMMAND_DISALLOWED;
	v->type = m.type;
	v->own_type = m.own_type;
	v->filter_policy = directed ? 0 : m.filter_policy;	/* "ignored" for directed advertising */
	v->peer.type = m.peer_type;
	memcpy(v->peer.octets, m.peer, 6);
	v->interval_ns = m.type == AIR_ADV_DIRECT_HIGH ? PERIOD_HIGH_DUTY_US * 1000ull : m.interval_min * 625000ull;
	air_unsee(a, id);
	return HCI_SUCCESS;
}

static void said_anew(struct air *a, unsigned id)
{
	air_unsee(a, id);
	air_arm_advertiser(a, id);
}

AIR_COMMAND_FN(le_set_advertising_data)		/* 7.8.7 */
{
	struct air_advertiser *v = &air_controller(a, id)->advertiser;
	struct hci_command_le_set_advertising_data m;

	(void)ret;
	if (!hci_command_le_set_advertising_data_decode(parameters, &m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	v->length = m.length;
	memcpy(v->data, m.data, sizeof v->data);
	said_anew(a, id);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_set_scan_response_data)	/* 7.8.8 */
{
	struct air_advertiser *v = &air_controller(a, id)->advertiser;
	struct hci_command_le_set_scan_response_data m;

	(void)ret;
	if (!hci_command_le_set_scan_response_data_decode(parameters, &m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	v->scan_length = m.length;
	memcpy(v->scan_data, m.data, sizeof v->scan_data);
	said_anew(a, id);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_set_advertising_enable)	/* 7.8.9 */
{
	struct air_controller *c = air_controller(a, id);
	struct air_advertiser *v = &c->advertiser;
	struct hci_command_le_set_advertising_enable m;

	(void)ret;
	if (!hci_command_le_set_advertising_enable_decode(parameters, &m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (!m.enable) {
		air_advertising_stop(a, id);
		return HCI_SUCCESS;
	}
	if (v->enabled)
		return HCI_SUCCESS;
	if (v->own_type && !c->random_set)
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	/* Connectable advertising needs a place for the connection. */
	if (v->type != AIR_ADV_SCAN_IND && v->type != AIR_ADV_NONCONN_IND && !air_connection_possible(a, id))
		return HCI_ERROR_COMMAND_DISALLOWED;
	v->enabled = true;
	v->until_ns = v->type == AIR_ADV_DIRECT_HIGH ? a->now_ns + HIGH_DUTY_MS * AIR_MS : AIR_NEVER;
	a->deadline_stale = true;
	air_arm_advertiser(a, id);
	return HCI_SUCCESS;
}
