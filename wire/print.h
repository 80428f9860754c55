/* wire/print.h - one HCI packet as one line, by the tables: what `trefoil trace` shows.
 *
 *	event le_meta connection_complete status=0 handle=0x0040 role=0 ...
 *	acl handle=0x0040 boundary=2 l2cap cid=0x0004 att read_request handle=3
 *
 * Any bytes are printed: what does not decode is shown as hex behind "malformed" or "unknown".  Keys and payloads are shown
 * as they are: for a trace that an operator asked for, never for a log.  State is not kept: a continuation fragment, and a
 * start that is not a whole frame, are shown as their bytes. */
#pragma once
#include "wire/text.h"

enum { PRINT_LINE = 4096 };		/* enough for any command or event; longer ACL data is cut */

/* @type: enum record_kind 1 to 5.  @packet: without the type octet, borrowed. */
void print_hci(uint8_t type, struct bytes packet, struct text *t);

/* @packet: with the type octet first, as in H4 and btsnoop captures of it. */
void print_h4(struct bytes packet, struct text *t);

/* One L2CAP frame from its header on. */
void print_l2cap(struct bytes frame, struct text *t);
