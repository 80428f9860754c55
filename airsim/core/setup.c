/* What a host asks first: reset, masks, who the controller is and what it can do. */
#include "airsim/core/state.h"

enum { CORE_5_4 = 0x0D, COMPANY_NONE = 0xFFFF, TX_POWER = 0 };

/* Core 5.4, Vol 2, Part C, 3.3: BR/EDR Not Supported, LE Supported (Controller). */
#define LMP_FEATURES (1ull << 37 | 1ull << 38)
#define LE_STATES 0x000003FFFFFFFFFFull		/* 7.8.27: every combination that is defined */

/* These commands have no parameters. */
#define NOTHING_IN(p) do { if ((p).len) return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS; } while (0)

AIR_COMMAND_FN(reset)			/* 7.3.2 */
{
	(void)ret;
	NOTHING_IN(parameters);
	air_controller_reset(a, id);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(set_event_mask)		/* 7.3.1 */
{
	struct hci_command_set_event_mask m;

	(void)ret;
	if (!hci_command_set_event_mask_decode(parameters, &m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	air_controller(a, id)->event_mask = m.mask;
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_set_event_mask)	/* 7.8.1 */
{
	struct hci_command_le_set_event_mask m;

	(void)ret;
	if (!hci_command_le_set_event_mask_decode(parameters, &m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	air_controller(a, id)->le_event_mask = m.mask;
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(read_local_version_information)	/* 7.4.1 */
{
	(void)a;
	(void)id;
	NOTHING_IN(parameters);
	hci_return_read_local_version_information_encode(&(struct hci_return_read_local_version_information){
	    .hci_version = CORE_5_4, .lmp_version = CORE_5_4, .company = COMPANY_NONE, .lmp_subversion = 1 }, ret);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(read_local_supported_commands)	/* 7.4.2 */
{
	struct hci_return_read_local_supported_commands m = { .status = HCI_SUCCESS };

	(void)a;
	(void)id;
	NOTHING_IN(parameters);
	air_supported_commands(m.commands);
	hci_return_read_local_supported_commands_encode(&m, ret);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(read_local_supported_features)	/* 7.4.3 */
{
	(void)a;
	(void)id;
	NOTHING_IN(parameters);
	hci_return_read_local_supported_features_encode(
	    &(struct hci_return_read_local_supported_features){ .features = LMP_FEATURES }, ret);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(read_bd_addr)		/* 7.4.6 */
{
	struct hci_return_read_bd_addr m = { .status = HCI_SUCCESS };

	NOTHING_IN(parameters);
	memcpy(m.address, air_controller(a, id)->public_address, 6);
	hci_return_read_bd_addr_encode(&m, ret);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_read_buffer_size)	/* 7.8.2 */
{
	(void)id;
	NOTHING_IN(parameters);
	hci_return_le_read_buffer_size_encode(&(struct hci_return_le_read_buffer_size){
	    .acl_length = a->config.acl_length, .acl_packets = (uint8_t)a->config.acl_packets }, ret);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_read_local_supported_features)	/* 7.8.3 */
{
	(void)a;
	(void)id;
	NOTHING_IN(parameters);
	hci_return_le_read_local_supported_features_encode(
	    &(struct hci_return_le_read_local_supported_features){ .features = AIR_LE_FEATURES }, ret);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_read_advertising_physical_channel_tx_power)	/* 7.8.6 */
{
	(void)a;
	(void)id;
	NOTHING_IN(parameters);
	hci_return_le_read_advertising_physical_channel_tx_power_encode(
	    &(struct hci_return_le_read_advertising_physical_channel_tx_power){ .tx_power = TX_POWER }, ret);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_read_supported_states)	/* 7.8.27 */
{
	(void)a;
	(void)id;
	NOTHING_IN(parameters);
	hci_return_le_read_supported_states_encode(&(struct hci_return_le_read_supported_states){ .states = LE_STATES }, ret);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_rand)			/* 7.8.23; good enough for a simulation, and for nothing else */
{
	struct hci_return_le_rand m = { .status = HCI_SUCCESS };
	uint64_t v;

	(void)id;
	NOTHING_IN(parameters);
	v = air_random(a);
	memcpy(m.random, &v, sizeof m.random);
	hci_return_le_rand_encode(&m, ret);
	return HCI_SUCCESS;
}

/* 7.8.4: not while the address is in use. */
AIR_COMMAND_FN(le_set_random_address)
{
	struct air_controller *c = air_controller(a, id);
	struct hci_command_le_set_random_address m;

	(void)ret;
	if (!hci_command_le_set_random_address_decode(parameters, &m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (c->advertiser.enabled || c->scanner.enabled || c->initiator.pending)
		return HCI_ERROR_COMMAND_DISALLOWED;
	memcpy(c->random_address, m.address, 6);
	c->random_set = true;
	air_unsee(a, id);
	return HCI_SUCCESS;
}

/* 7.8.19: at least two channels; the simulated air has no channels, so nothing follows from it. */
AIR_COMMAND_FN(le_set_host_channel_classification)
{
	struct hci_command_le_set_host_channel_classification m;
	unsigned channels = 0;

	(void)a;
	(void)id;
	(void)ret;
	if (!hci_command_le_set_host_channel_classification_decode(parameters, &m) || m.channel_map[4] > 0x1F)
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	for (unsigned i = 0; i < 37; i++)
		channels += m.channel_map[i / 8] >> i % 8 & 1;
	return channels >= 2 ? HCI_SUCCESS : HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
}
