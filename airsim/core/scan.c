/* Scanning: Core 5.4, Vol 4, Part E, 7.8.10 and 7.8.11.  The scanner listens all the time, whatever its window. */
#include "airsim/core/state.h"

AIR_COMMAND_FN(le_set_scan_parameters)		/* 7.8.10 */
{
	struct air_scanner *s = &air_controller(a, id)->scanner;
	struct hci_command_le_set_scan_parameters m;

	(void)ret;
	if (!hci_command_le_set_scan_parameters_decode(parameters, &m) || m.window > m.interval)
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (m.own_type > ADDRESS_RANDOM)
		return HCI_ERROR_UNSUPPORTED_FEATURE_OR_PARAMETER_VALUE;
	if (s->enabled)
		return HCI_ERROR_COMMAND_DISALLOWED;
	s->active = m.type;
	s->own_type = m.own_type;
	s->filter_policy = m.filter_policy;
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_set_scan_enable)		/* 7.8.11 */
{
	struct air_controller *c = air_controller(a, id);
	struct air_scanner *s = &c->scanner;
	struct hci_command_le_set_scan_enable m;

	(void)ret;
	if (!hci_command_le_set_scan_enable_decode(parameters, &m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (!m.enable) {
		air_scan_stop(a, id);
		return HCI_SUCCESS;
	}
	if (s->own_type && !c->random_set)
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (!s->enabled)
		a->listeners++;
	s->enabled = true;
	s->filter_duplicates = m.filter_duplicates;	/* enabling again changes it, and begins anew */
	memset(s->seen, 0, sizeof s->seen);
	air_arm_listener(a, id);
	return HCI_SUCCESS;
}
