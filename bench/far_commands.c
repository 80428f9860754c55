/* bench/far_commands.c */
#include "base/types.h"
#include "bench/far_commands.h"
#include "wire/hci_error.h"
#include "wire/hci_packet.h"
#include "wire/wire.h"

enum { LE_ENHANCED = 9, COMPANY = 0xFFFF, VERSION_5_4 = 0x0D };

/* Read Local Supported Commands, Core 5.4 Vol 4 Part E 6.27: octet and bit of what is answered below. */
static void encode_supported(struct wr *w)
{
	static const struct { uint8_t octet, bit; } known[] = {
		{ 0, 5 }, { 5, 6 }, { 5, 7 }, { 14, 3 }, { 14, 4 }, { 14, 5 }, { 15, 1 }, { 25, 0 }, { 25, 1 }, { 25, 2 }, { 25, 4 },
		{ 25, 5 }, { 25, 7 }, { 26, 0 }, { 26, 1 },
	};
	struct hci_return_read_local_supported_commands m = { 0 };

	for (unsigned i = 0; i < ARRAY_LEN(known); i++)
		m.commands[known[i].octet] |= (uint8_t)(1 << known[i].bit);
	hci_return_read_local_supported_commands_encode(&m, w);
}

/* Return parameters, status first. */
static void encode_return(struct far *f, uint16_t opcode, struct bytes given, struct wr *w)
{
	struct rd r = rd_from(given);

	switch (opcode) {
	case HCI_COMMAND_READ_LOCAL_VERSION_INFORMATION:
		hci_return_read_local_version_information_encode(&(struct hci_return_read_local_version_information){
		    .hci_version = VERSION_5_4, .lmp_version = VERSION_5_4, .company = COMPANY }, w);
		break;
	case HCI_COMMAND_READ_LOCAL_SUPPORTED_COMMANDS: encode_supported(w); break;
	case HCI_COMMAND_READ_LOCAL_SUPPORTED_FEATURES:		/* LE only: Vol 2 Part C 3.3 */
		hci_return_read_local_supported_features_encode(
		    &(struct hci_return_read_local_supported_features){ 0, 1ull << 37 | 1ull << 38 }, w);
		break;
	case HCI_COMMAND_READ_BD_ADDR:
		hci_return_read_bd_addr_encode(&(struct hci_return_read_bd_addr){ 0, { 6, 5, 4, 3, 2, 1 } }, w);
		break;
	case HCI_COMMAND_LE_READ_BUFFER_SIZE:
		hci_return_le_read_buffer_size_encode(
		    &(struct hci_return_le_read_buffer_size){ 0, f->buffer_octets, (uint8_t)f->buffers }, w);
		break;
	case HCI_COMMAND_LE_READ_LOCAL_SUPPORTED_FEATURES:
		hci_return_le_read_local_supported_features_encode(&(struct hci_return_le_read_local_supported_features){ 0 }, w);
		break;
	case HCI_COMMAND_LE_SET_EVENT_MASK:
		f->enhanced = rd_le(&r, 8) >> LE_ENHANCED & 1;
		wr_le(w, 0, 1);
		break;
	case HCI_COMMAND_LE_SET_ADVERTISING_ENABLE:
		f->advertising = rd_le(&r, 1) == 1;
		wr_le(w, 0, 1);
		break;
	case HCI_COMMAND_RESET:
	case HCI_COMMAND_SET_EVENT_MASK:
	case HCI_COMMAND_LE_SET_RANDOM_ADDRESS:
	case HCI_COMMAND_LE_SET_ADVERTISING_PARAMETERS:
	case HCI_COMMAND_LE_SET_ADVERTISING_DATA:
	case HCI_COMMAND_LE_SET_SCAN_RESPONSE_DATA:
		wr_le(w, 0, 1);
		break;
	default:
		wr_le(w, HCI_ERROR_UNKNOWN_HCI_COMMAND, 1);
	}
}

bool far_answer_command(struct far *f, struct bytes packet, struct far_answer *ret)
{
	struct wr w = wr_into(ret->body, sizeof ret->body);
	struct hci_command_packet c;
	struct hci_command_disconnect d;

	if (!hci_command_packet_decode(packet, &c))
		return false;
	if (c.opcode == HCI_COMMAND_DISCONNECT && hci_command_disconnect_decode(c.parameters, &d)) {
		hci_event_command_status_encode(&(struct hci_event_command_status){ 0, 4, c.opcode }, &w);
		ret->event = HCI_EVENT_COMMAND_STATUS;
		if (d.handle >= FAR_FIRST_HANDLE && d.handle < FAR_FIRST_HANDLE + FAR_LINKS)
			ret->disconnected = d.handle - FAR_FIRST_HANDLE + 1u;
	} else {
		wr_le(&w, 4, 1);			/* Num_HCI_Command_Packets */
		wr_le(&w, c.opcode, 2);
		encode_return(f, c.opcode, c.parameters, &w);
		ret->event = HCI_EVENT_COMMAND_COMPLETE;
	}
	ret->len = wr_len(&w);
	return wr_ok(&w);
}
