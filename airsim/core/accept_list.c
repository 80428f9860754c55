/* The filter accept list: Core 5.4, Vol 4, Part E, 7.8.14 to 7.8.17. */
#include "airsim/core/state.h"

enum { ANONYMOUS = 0xFF };		/* of extended advertising, which is not here */

/* "Shall not be used" while a filter policy that looks at the list is at work. */
static bool in_use(const struct air_controller *c)
{
	return (c->advertiser.enabled && c->advertiser.filter_policy) || (c->scanner.enabled && (c->scanner.filter_policy & 1)) ||
	    (c->initiator.pending && c->initiator.filter_policy);
}

AIR_COMMAND_FN(le_read_filter_accept_list_size)		/* 7.8.14 */
{
	(void)a;
	(void)id;
	if (parameters.len)
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	hci_return_le_read_filter_accept_list_size_encode(
	    &(struct hci_return_le_read_filter_accept_list_size){ .size = AIR_ACCEPT_LIST }, ret);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_clear_filter_accept_list)		/* 7.8.15 */
{
	(void)ret;
	if (parameters.len)
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (in_use(air_controller(a, id)))
		return HCI_ERROR_COMMAND_DISALLOWED;
	air_controller(a, id)->accept_count = 0;
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_add_device_to_filter_accept_list)	/* 7.8.16 */
{
	struct air_controller *c = air_controller(a, id);
	struct hci_command_le_add_device_to_filter_accept_list m;
	struct air_addr entry;

	(void)ret;
	if (!hci_command_le_add_device_to_filter_accept_list_decode(parameters, &m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (m.type == ANONYMOUS)
		return HCI_ERROR_UNSUPPORTED_FEATURE_OR_PARAMETER_VALUE;
	if (m.type > ADDRESS_RANDOM)
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (in_use(c))
		return HCI_ERROR_COMMAND_DISALLOWED;
	entry.type = m.type;
	memcpy(entry.octets, m.address, 6);
	if (air_accepts(c, &entry))
		return HCI_SUCCESS;			/* "should not add it again, and should return success" */
	if (c->accept_count == AIR_ACCEPT_LIST)
		return HCI_ERROR_MEMORY_CAPACITY_EXCEEDED;
	c->accept[c->accept_count++] = entry;
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_remove_device_from_filter_accept_list)	/* 7.8.17 */
{
	struct air_controller *c = air_controller(a, id);
	struct hci_command_le_remove_device_from_filter_accept_list m;
	struct air_addr entry;

	(void)ret;
	if (!hci_command_le_remove_device_from_filter_accept_list_decode(parameters, &m) ||
	    (m.type > ADDRESS_RANDOM && m.type != ANONYMOUS))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (in_use(c))
		return HCI_ERROR_COMMAND_DISALLOWED;
	entry.type = m.type;
	memcpy(entry.octets, m.address, 6);
	for (unsigned i = 0; i < c->accept_count; i++)
		if (air_addr_equal(&c->accept[i], &entry)) {
			c->accept[i] = c->accept[--c->accept_count];
			break;
		}
	return HCI_SUCCESS;
}
