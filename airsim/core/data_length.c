/* Data length: Core 5.4, Vol 4, Part E, 7.8.33 to 7.8.35, 7.8.46.  It is told, not obeyed: a packet from a host goes over
 * this air in one piece, whatever the length. */
#include "airsim/core/state.h"

enum { OCTETS_MAX = 0x00FB, TIME_MAX = 0x0848 };	/* 251 octets, 2120 us: LE 1M and 2M, Vol 6, Part B, 4.5.10 */

static void tell(struct air *a, uint32_t index)
{
	const struct air_end *e = air_end(a, index), *far = air_end(a, index ^ 1);
	uint8_t buf[16];
	struct wr w = wr_into(buf, sizeof buf);

	hci_le_event_data_length_change_encode(&(struct hci_le_event_data_length_change){
	    .handle = e->handle, .tx_octets = e->tx_octets, .tx_time = e->tx_time,
	    .rx_octets = far->tx_octets, .rx_time = far->tx_time }, &w);
	air_le_event(a, e->controller, HCI_LE_EVENT_DATA_LENGTH_CHANGE, &w);
}

AIR_COMMAND_FN(le_set_data_length)				/* 7.8.33 */
{
	struct hci_command_le_set_data_length m;
	struct air_end *e;
	uint32_t end;
	uint16_t time;

	if (!hci_command_le_set_data_length_decode(parameters, &m) || !handle_valid(m.handle))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	end = air_end_find(a, id, m.handle);
	if (end == AIR_NO_INDEX)
		return HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER;
	hci_return_le_set_data_length_encode(&(struct hci_return_le_set_data_length){ .handle = m.handle }, ret);
	if (air_connection_of(a, end)->lost)
		return HCI_SUCCESS;
	if (!air_room(a, air_end(a, end ^ 1)->controller, AIR_ROOM_PEER))
		return HCI_ERROR_CONTROLLER_BUSY;
	e = air_end(a, end);
	time = m.tx_time < TIME_MAX ? m.tx_time : TIME_MAX;
	if (e->tx_octets == m.tx_octets && e->tx_time == time)
		return HCI_SUCCESS;		/* the event tells changes only */
	e->tx_octets = m.tx_octets;
	e->tx_time = time;
	tell(a, end);
	tell(a, end ^ 1);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_read_suggested_default_data_length)		/* 7.8.34 */
{
	const struct air_controller *c = air_controller(a, id);

	if (parameters.len)
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	hci_return_le_read_suggested_default_data_length_encode(&(struct hci_return_le_read_suggested_default_data_length){
	    .tx_octets = c->suggested_octets, .tx_time = c->suggested_time }, ret);
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_write_suggested_default_data_length)		/* 7.8.35: a suggestion, which this controller keeps */
{
	struct air_controller *c = air_controller(a, id);
	struct hci_command_le_write_suggested_default_data_length m;

	(void)ret;
	if (!hci_command_le_write_suggested_default_data_length_decode(parameters, &m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	c->suggested_octets = m.tx_octets;
	c->suggested_time = m.tx_time;
	return HCI_SUCCESS;
}

AIR_COMMAND_FN(le_read_maximum_data_length)			/* 7.8.46 */
{
	(void)a;
	(void)id;
	if (parameters.len)
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	hci_return_le_read_maximum_data_length_encode(&(struct hci_return_le_read_maximum_data_length){
	    .tx_octets = OCTETS_MAX, .tx_time = TIME_MAX, .rx_octets = OCTETS_MAX, .rx_time = TIME_MAX }, ret);
	return HCI_SUCCESS;
}
