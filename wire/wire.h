/* wire/wire.h - every described message: one row of a .def file gives an enum value, a struct and three functions.
 *
 *   family        described in       code is                      example of what comes from a row
 *   hci_command   hci_command.def    opcode                       struct hci_command_le_set_scan_enable
 *   hci_return    hci_return.def     opcode of the command        hci_return_read_bd_addr_decode()
 *   hci_event     hci_event.def      event code                   HCI_EVENT_DISCONNECTION_COMPLETE
 *   hci_le_event  hci_le_event.def   LE Meta subevent code        hci_le_event_connection_complete_encode()
 *   l2cap_frame   l2cap_frame.def    ours                         struct l2cap_frame_basic
 *   l2cap         l2cap.def          signalling command code      l2cap_command_reject_print()
 *   att           att.def            opcode                       ATT_READ_REQUEST
 *   smp           smp.def            code                         struct smp_pairing_failed
 *   local, ...    local.def, ...     record kind, ...             between our own processes
 *
 *   bool x_decode(body, &m)     false if the body is too short, too long where its family says so (families.h), or a ranged
 *                               field is outside; m is then unspecified.  REST fields borrow from body.
 *   void x_encode(&m, &w)       appends the body (header and code are the caller's); w turns bad if it does not fit.
 *                               Ranges are not checked.
 *   void x_print(&m, &t)        appends " name=value" for each field.
 *
 * Packet headers: wire/hci_packet.h.  Lists in REST fields: wire/hci_list.h, wire/att_list.h, wire/l2cap_option.h. */
#pragma once
#include "base/bytes.h"
#include "base/record.h"
#include "wire/text.h"

struct wire_message {
	unsigned code;
	const char *name, *spec, *example;	/* example: one valid body, see wire_example() */
	/* Decode, re-encode to out, print to t; false if the body is malformed. */
	bool (*replay)(struct bytes body, struct wr *out, struct text *t);
	/* Decode and print to t; false if the body is malformed. */
	bool (*print)(struct bytes body, struct text *t);
};
#include "wire/families.h"

/* The row's example as bytes in buf.  In the row it is hex octets between spaces; "00*6" is six of them.
 * Returns no bytes (at NULL) if it is not well-formed or longer than cap. */
struct bytes wire_example(const struct wire_message *m, uint8_t *buf, size_t cap);
