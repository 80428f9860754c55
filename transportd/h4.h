/* transportd/h4.h - H4 framing, Core 5.4, Vol 4, Part A, 2: one type octet, then one HCI packet.
 *
 *   | type 8 | HCI packet, with its own header and length | type 8 | ...
 *
 * Sans-I/O: bytes in, packets out; it keeps nothing.  The caller shows the octets from the start of a packet on; what does
 * not make a whole packet yet it shows again with more behind it.  So any split of a stream gives the same packets.
 *
 * Guarantees: never looks past `in`; says how many octets the packet has as soon as its header is there.
 * Refuses: a type octet that the other side may not send, and a packet longer than the caller can carry.  Framing cannot be
 * found again after either: the stream has ended (Vol 4, Part A, 4). */
#pragma once
#include "base/bytes.h"
#include "base/record.h"

enum { H4_MORE = 1, H4_BAD_TYPE = 2, H4_TOO_LONG = 3 };
enum { H4_HEADER_MAX = 1 + 4 };			/* type octet and the longest packet header */

struct h4_packet {
	uint8_t kind;			/* enum record_kind, 1 to 5: the type octet */
	struct bytes body;		/* without the type octet; borrowed from `in` */
	uint32_t octets;		/* that it takes of the stream */
};

/* The packet at the start of `in`, from a controller: ACL, SCO, event, ISO.
 *
 * @body_max  longest body, in octets, that can be carried
 * @ret       H4_MORE: octets is what the packet takes if its header is there, else 0.  H4_TOO_LONG: kind and octets.
 *            H4_BAD_TYPE: kind is the octet found
 *
 * Returns 0, H4_MORE, H4_BAD_TYPE, H4_TOO_LONG. */
int h4_next(struct bytes in, uint32_t body_max, struct h4_packet *ret);

/* May a host send this?  The kind is command, ACL, SCO or ISO, and the length in its header is the octets that follow. */
bool h4_from_host(uint8_t kind, struct bytes body);

/* Is this event (body of RECORD_HCI_EVENT) an LE advertising report of any form?  The only packets that may be dropped.
 * Core 5.4, Vol 4, Part E, 7.7.65.2, .11, .13. */
bool h4_is_advertising(struct bytes event);
