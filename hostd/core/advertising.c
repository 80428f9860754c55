/* hostd/core/advertising.c - legacy advertising: on whenever it is wanted, there is a slot, and the controller allows it.
 *
 * One command at a time: parameters, data and scan response once (the controller keeps them), then enable; and enable alone
 * again after each connection, which ends it (Core 5.4 Vol 4 Part E 7.8.9). */
#include "hostd/core/host.h"
#include "wire/hci_error.h"

enum { STAGE_PARAMETERS, STAGE_DATA, STAGE_SCAN_RESPONSE, STAGES };

void advertising_reset(struct host *h)
{
	*advertiser_change(h) = (struct advertiser){ 0 };
}

void advertising_unblock(struct host *h)
{
	if (the_advertiser(h)->blocked) {
		advertiser_change(h)->blocked = 0;
		radio_change(h)->todo = 1;
	}
}

void advertising_on_connected(struct host *h)
{
	if (the_advertiser(h)->state == ADVERTISER_ON)
		advertiser_change(h)->state = ADVERTISER_OFF;
	h->control = true;
}

static bool send_stage(struct host *h, unsigned stage)
{
	const struct settings *s = the_settings(h);
	struct hci_command_le_set_advertising_data data = { .length = s->data_len };
	struct hci_command_le_set_scan_response_data scan = { .length = s->scan_len };
	uint8_t buf[COMMAND_MAX];
	struct wr w = wr_into(buf, sizeof buf);

	switch (stage) {
	case STAGE_PARAMETERS:		/* connectable and scannable, undirected; on all channels; for anybody */
		return HCI_SEND(h, LE_SET_ADVERTISING_PARAMETERS, le_set_advertising_parameters, .interval_min = s->interval_min,
		    .interval_max = s->interval_max, .own_type = the_controller(h)->own_type, .channel_map = 7);
	case STAGE_DATA:
		memcpy(data.data, s->data, sizeof data.data);
		hci_command_le_set_advertising_data_encode(&data, &w);
		return hci_send(h, HCI_COMMAND_LE_SET_ADVERTISING_DATA, &w);
	default:
		memcpy(scan.data, s->scan, sizeof scan.data);
		hci_command_le_set_scan_response_data_encode(&scan, &w);
		return hci_send(h, HCI_COMMAND_LE_SET_SCAN_RESPONSE_DATA, &w);
	}
}

static const uint16_t stage_opcode[STAGES] = {
	HCI_COMMAND_LE_SET_ADVERTISING_PARAMETERS, HCI_COMMAND_LE_SET_ADVERTISING_DATA, HCI_COMMAND_LE_SET_SCAN_RESPONSE_DATA,
};

static bool send_enable(struct host *h, uint8_t on)
{
	advertiser_change(h)->asked = on;
	return HCI_SEND(h, LE_SET_ADVERTISING_ENABLE, le_set_advertising_enable, on);
}

void advertising_advance(struct host *h)
{
	const struct advertiser *a = the_advertiser(h);
	bool wanted = the_settings(h)->advertise && host_has_down(h) && !a->blocked && !host_pool_full(h);
	uint16_t opcode = HCI_COMMAND_LE_SET_ADVERTISING_ENABLE;
	bool sent;

	if (a->pending || the_radio(h)->state != HOST_UP)
		return;
	if (a->state == ADVERTISER_ON) {
		if (wanted && !a->dirty)
			return;
		sent = send_enable(h, 0);
	} else {
		if (a->dirty) {
			advertiser_change(h)->dirty = 0;
			advertiser_change(h)->stage = 0;
		}
		if (!wanted)
			return;
		if (a->stage < STAGES) {
			opcode = stage_opcode[a->stage];
			sent = send_stage(h, a->stage);
		} else {
			sent = send_enable(h, 1);
		}
	}
	if (sent)
		advertiser_change(h)->pending = opcode;
}

/* Refused: 0x0C and the limits mean "not beside these connections" (7.8.9), so it waits for one to end.  Where there is none,
 * nothing will change by itself. */
static void refused(struct host *h, uint16_t opcode, uint8_t status)
{
	advertiser_change(h)->blocked = 1;
	count(h, COUNT_advertising_refused);
	if (the_flow(h)->live)
		return;
	notice(h, NOTICE_FAILED, (uint32_t)opcode << 16 | status, "advertising: ", "the controller refuses it");
}

bool advertising_on_return(struct host *h, uint16_t opcode, uint8_t status)
{
	const struct advertiser *a = the_advertiser(h);
	struct advertiser *e;

	if (!a->pending || a->pending != opcode)
		return false;
	e = advertiser_change(h);
	e->pending = 0;
	radio_change(h)->todo = 1;
	h->control = true;
	if (opcode != HCI_COMMAND_LE_SET_ADVERTISING_ENABLE) {
		if (!status)
			e->stage++;
		else
			refused(h, opcode, status);
	} else if (!a->asked) {
		e->state = ADVERTISER_OFF;	/* a refusal to stop means that it had stopped: a connection crossed */
	} else if (!status) {
		e->state = ADVERTISER_ON;
	} else {
		refused(h, opcode, status);
	}
	return true;
}
