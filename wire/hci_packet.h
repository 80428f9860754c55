/* wire/hci_packet.h - the headers of the five HCI packets, Core 5.4 Vol 4 Part E 5.4, without the H4 type octet.
 *
 *   command  | opcode 16                                     | length 8  | parameters
 *   ACL      | handle 12 | boundary 2 | broadcast 2          | length 16 | data
 *   SCO      | handle 12 | packet status 2 | reserved 2      | length 8  | data
 *   event    | code 8                                        | length 8  | parameters
 *   ISO      | handle 12 | boundary 2 | timestamp 1 | res. 1 | length 14 | reserved 2 | load
 *
 * Every _decode here takes one whole packet and refuses (false; *ret is then unspecified) one whose length field is not
 * exactly the octets that follow.  A handle above 0x0EFF is decoded, not refused, so that who ignores it can count it:
 * see handle_valid().  The REST of the packet is borrowed.  Every _header writes only the header: the data follows it. */
#pragma once
#include "base/bytes.h"
#include "base/types.h"

enum { HCI_COMMAND_HEADER = 3, HCI_ACL_HEADER = 4, HCI_SCO_HEADER = 3, HCI_EVENT_HEADER = 2, HCI_ISO_HEADER = 4 };

/* Core 5.4, Vol 4, Part E, 5.4.2: Packet_Boundary_Flag. */
enum hci_boundary {
	HCI_FIRST_NON_FLUSHABLE = 0,	/* host to controller, start of a PDU that is never flushed; the only start on LE */
	HCI_CONTINUING = 1,
	HCI_FIRST_FLUSHABLE = 2,	/* start of a PDU; all that a controller sends */
};

static inline bool handle_valid(uint16_t handle) { return handle <= CONNECTION_HANDLE_MAX; }

struct hci_command_packet { uint16_t opcode; struct bytes parameters; };
static inline bool hci_command_packet_decode(struct bytes packet, struct hci_command_packet *ret)
{
	struct rd r = rd_from(packet);
	size_t len;

	ret->opcode = (uint16_t)rd_le(&r, 2);
	len = (size_t)rd_le(&r, 1);
	ret->parameters = rd_take(&r, len);
	return rd_done(&r);
}
static inline void hci_command_header(struct wr *w, uint16_t opcode, uint8_t len)
{
	wr_le(w, opcode, 2);
	wr_le(w, len, 1);
}

struct hci_event_packet { uint8_t code; struct bytes parameters; };
static inline bool hci_event_packet_decode(struct bytes packet, struct hci_event_packet *ret)
{
	struct rd r = rd_from(packet);
	size_t len;

	ret->code = (uint8_t)rd_le(&r, 1);
	len = (size_t)rd_le(&r, 1);
	ret->parameters = rd_take(&r, len);
	return rd_done(&r);
}
static inline void hci_event_header(struct wr *w, uint8_t code, uint8_t len)
{
	wr_le(w, code, 1);
	wr_le(w, len, 1);
}

struct hci_acl_packet { uint16_t handle; uint8_t boundary, broadcast; struct bytes data; };
static inline bool hci_acl_packet_decode(struct bytes packet, struct hci_acl_packet *ret)
{
	struct rd r = rd_from(packet);
	unsigned word = (unsigned)rd_le(&r, 2);
	size_t len = (size_t)rd_le(&r, 2);

	ret->handle = (uint16_t)(word & 0x0FFF);
	ret->boundary = (uint8_t)(word >> 12 & 3);
	ret->broadcast = (uint8_t)(word >> 14);
	ret->data = rd_take(&r, len);
	return rd_done(&r);
}
/* @boundary: enum hci_boundary.  The broadcast flag is written 0: point to point, the only value on LE. */
static inline void hci_acl_header(struct wr *w, uint16_t handle, uint8_t boundary, uint16_t len)
{
	wr_le(w, (uint64_t)(handle & 0x0FFF) | (uint64_t)(boundary & 3) << 12, 2);
	wr_le(w, len, 2);
}

struct hci_sco_packet { uint16_t handle; uint8_t status; struct bytes data; };
static inline bool hci_sco_packet_decode(struct bytes packet, struct hci_sco_packet *ret)
{
	struct rd r = rd_from(packet);
	unsigned word = (unsigned)rd_le(&r, 2);
	size_t len = (size_t)rd_le(&r, 1);

	ret->handle = (uint16_t)(word & 0x0FFF);
	ret->status = (uint8_t)(word >> 12 & 3);
	ret->data = rd_take(&r, len);
	return rd_done(&r);
}
static inline void hci_sco_header(struct wr *w, uint16_t handle, uint8_t status, uint8_t len)
{
	wr_le(w, (uint64_t)(handle & 0x0FFF) | (uint64_t)(status & 3) << 12, 2);
	wr_le(w, len, 1);
}

/* The load is the data load whole: a time stamp first if timestamp is set, then the SDU's part; 5.4.5. */
struct hci_iso_packet { uint16_t handle; uint8_t boundary; bool timestamp; struct bytes load; };
static inline bool hci_iso_packet_decode(struct bytes packet, struct hci_iso_packet *ret)
{
	struct rd r = rd_from(packet);
	unsigned word = (unsigned)rd_le(&r, 2);
	size_t len = (size_t)rd_le(&r, 2) & 0x3FFF;

	ret->handle = (uint16_t)(word & 0x0FFF);
	ret->boundary = (uint8_t)(word >> 12 & 3);
	ret->timestamp = word >> 14 & 1;
	ret->load = rd_take(&r, len);
	return rd_done(&r);
}
static inline void hci_iso_header(struct wr *w, uint16_t handle, uint8_t boundary, bool timestamp, uint16_t len)
{
	wr_le(w, (uint64_t)(handle & 0x0FFF) | (uint64_t)(boundary & 3) << 12 | (uint64_t)timestamp << 14, 2);
	wr_le(w, len & 0x3FFF, 2);
}
