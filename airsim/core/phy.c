/* PHYs: Core 5.4, Vol 4, Part E, 7.8.47 to 7.8.49.  LE 1M and LE 2M are there. */
#include "airsim/core/state.h"

enum { PHY_1M = 1, PHY_2M = 2, WISH_1M = 0x01, WISH_2M = 0x02, NO_TX_WISH = 0x01, NO_RX_WISH = 0x02 };

AIR_COMMAND_FN(le_read_phy)		/* 7.8.47 */
{
	struct hci_command_le_read_phy m;
	uint32_t end;

	if (!hci_command_le_read_phy_decode(parameters, &m) || !handle_valid(m.handle))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	end = air_end_find(a, id, m.handle);
	if (end == AIR_NO_INDEX)
		return HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER;
	hci_return_le_read_phy_encode(&(struct hci_return_le_read_phy){ .handle = m.handle,
	    .tx_phy = air_end(a, end)->tx_phy, .rx_phy = air_end(a, end ^ 1)->tx_phy }, ret);
	return HCI_SUCCESS;
}

/* A wish for nothing but what is not there is refused; with several, the fastest. */
static bool choose(bool no_wish, uint8_t wish, uint8_t now, uint8_t *ret_phy)
{
	*ret_phy = no_wish ? now : wish & WISH_2M ? PHY_2M : PHY_1M;
	return no_wish || (wish & (WISH_1M | WISH_2M));
}

AIR_COMMAND_FN(le_set_default_phy)	/* 7.8.48: all that a peer asks for is granted, so a wish changes nothing */
{
	struct hci_command_le_set_default_phy m;
	uint8_t phy;

	(void)a;
	(void)id;
	(void)ret;
	if (!hci_command_le_set_default_phy_decode(parameters, &m))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	if (!choose(m.all_phys & NO_TX_WISH, m.tx_phys, PHY_1M, &phy) || !choose(m.all_phys & NO_RX_WISH, m.rx_phys, PHY_1M, &phy))
		return HCI_ERROR_UNSUPPORTED_FEATURE_OR_PARAMETER_VALUE;
	return HCI_SUCCESS;
}

static void tell(struct air *a, uint32_t index)
{
	const struct air_end *e = air_end(a, index), *far = air_end(a, index ^ 1);
	uint8_t buf[8];
	struct wr w = wr_into(buf, sizeof buf);

	hci_le_event_phy_update_complete_encode(&(struct hci_le_event_phy_update_complete){
	    .handle = e->handle, .tx_phy = e->tx_phy, .rx_phy = far->tx_phy }, &w);
	air_le_event(a, e->controller, HCI_LE_EVENT_PHY_UPDATE_COMPLETE, &w);
}

AIR_COMMAND_FN(le_set_phy)		/* 7.8.49 */
{
	struct hci_command_le_set_phy m;
	struct air_end *e, *far;
	uint32_t end;
	uint8_t tx, rx;
	bool changed;

	(void)ret;
	if (!hci_command_le_set_phy_decode(parameters, &m) || !handle_valid(m.handle))
		return HCI_ERROR_INVALID_HCI_COMMAND_PARAMETERS;
	end = air_end_find(a, id, m.handle);
	if (end == AIR_NO_INDEX)
		return HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER;
	e = air_end(a, end);
	far = air_end(a, end ^ 1);
	if (!choose(m.all_phys & NO_TX_WISH, m.tx_phys, e->tx_phy, &tx) ||
	    !choose(m.all_phys & NO_RX_WISH, m.rx_phys, far->tx_phy, &rx))
		return HCI_ERROR_UNSUPPORTED_FEATURE_OR_PARAMETER_VALUE;
	if (air_connection_of(a, end)->lost)
		return HCI_SUCCESS;
	changed = tx != e->tx_phy || rx != far->tx_phy;
	if (changed && !air_room(a, far->controller, AIR_ROOM_PEER))
		return HCI_ERROR_CONTROLLER_BUSY;
	e->tx_phy = tx;
	far->tx_phy = rx;
	tell(a, end);				/* to who asked, changed or not */
	if (changed)
		tell(a, end ^ 1);
	return HCI_SUCCESS;
}
