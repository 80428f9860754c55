/* Questions about a connection: Core 5.4, Vol 4, Part E, 7.1.23, 7.5.4, 7.8.20, 7.8.21. */
#include "airsim/core/state.h"

enum { RSSI = -45, CORE_5_4 = 0x0D, COMPANY_NONE = 0xFFFF };

AIR_COMMAND_FN(read_remote_version_information)		/* 7.1.23 */
{
	struct hci_command_read_remote_version_information m;
	uint8_t buf[16];
	struct wr w = wr_into(buf, sizeof buf);
	uint32_t end;

	(void)ret;
	if (!hci_command_read_remote_version_information_decode(parameters, &m) || !handle_valid(m.handle))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	end = air_end_find(a, id, m.handle);
	if (end == AIR_NO_INDEX)
		return HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER;
	if (air_connection_of(a, end)->lost)	/* nobody answers; Disconnection Complete will */
		return HCI_SUCCESS;
	hci_event_read_remote_version_information_complete_encode(&(struct hci_event_read_remote_version_information_complete){
	    .handle = m.handle, .version = CORE_5_4, .company = COMPANY_NONE, .subversion = 1 }, &w);
	air_event(a, id, HCI_EVENT_READ_REMOTE_VERSION_INFORMATION_COMPLETE, &w);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_read_remote_features)			/* 7.8.21 */
{
	struct hci_command_le_read_remote_features m;
	uint8_t buf[16];
	struct wr w = wr_into(buf, sizeof buf);
	uint32_t end;

	(void)ret;
	if (!hci_command_le_read_remote_features_decode(parameters, &m) || !handle_valid(m.handle))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	end = air_end_find(a, id, m.handle);
	if (end == AIR_NO_INDEX)
		return HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER;
	if (air_connection_of(a, end)->lost)
		return HCI_SUCCESS;
	hci_le_event_read_remote_features_complete_encode(
	    &(struct hci_le_event_read_remote_features_complete){ .handle = m.handle, .features = AIR_LE_FEATURES }, &w);
	air_le_event(a, id, HCI_LE_EVENT_READ_REMOTE_FEATURES_COMPLETE, &w);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(read_rssi)				/* 7.5.4 */
{
	struct hci_command_read_rssi m;

	if (!hci_command_read_rssi_decode(parameters, &m) || !handle_valid(m.handle))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (air_end_find(a, id, m.handle) == AIR_NO_INDEX)
		return HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER;
	hci_return_read_rssi_encode(&(struct hci_return_read_rssi){ .handle = m.handle, .rssi = RSSI }, ret);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_read_channel_map)			/* 7.8.20 */
{
	struct hci_command_le_read_channel_map m;

	if (!hci_command_le_read_channel_map_decode(parameters, &m) || !handle_valid(m.handle))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (air_end_find(a, id, m.handle) == AIR_NO_INDEX)
		return HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER;
	hci_return_le_read_channel_map_encode(&(struct hci_return_le_read_channel_map){
	    .handle = m.handle, .channel_map = { 0xFF, 0xFF, 0xFF, 0xFF, 0x1F } }, ret);
	return HCI_SUCCESS;
}
