/* Disconnect: Core 5.4, Vol 4, Part E, 7.1.6. */
#include "airsim/core/state.h"

static bool is_reason(uint8_t reason)
{
	switch (reason) {
	case 0x05: case 0x13: case 0x14: case 0x15: case 0x1A: case 0x29: case 0x3B:
		return true;
	default:
		return false;
	}
}

AIR_COMMAND_FN(disconnect)
{
	struct hci_command_disconnect m;
	uint8_t reason[2];
	uint32_t end;

	(void)ret;
	if (!hci_command_disconnect_decode(parameters, &m) || m.handle > CONNECTION_HANDLE_MAX || !is_reason(m.reason))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	end = air_end_find(a, id, m.handle);
	if (end == AIR_NO_INDEX)
		return HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER;
	reason[end & 1] = HCI_ERROR_CONNECTION_TERMINATED_BY_LOCAL_HOST;
	reason[~end & 1] = m.reason;
	/* To a side that fell silent nothing can be said: it finds out by its own timeout, which for one that left is nobody's. */
	air_disconnect(a, end / 2, reason[0], reason[1]);
	return HCI_SUCCESS;
}
