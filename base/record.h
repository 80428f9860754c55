/* base/record.h - one entry of a ring: its header, and every kind there is.
 *
 *   word 0   len : 20 | kind : 8 | flags : 4 | index : 16 | generation : 16     (from the low bit up)
 *   word 1   time, CLOCK_BOOTTIME ns: when the record entered the pipeline
 *   payload  len octets
 *
 * The position of a record in its ring is its sequence number; it is not stored.
 * Kinds 1 to 5 are the H4 packet types.  The bodies of the others are rows of wire/local.def. */
#pragma once
#include <stdint.h>

enum record_kind {
	/* Between transportd and hostd.  Core 5.4, Vol 4, Part A, 2: the payload is the packet without its type octet.  Of data
	 * from the controller header.index is the handle, and .generation 1. */
	RECORD_HCI_COMMAND = 0x01,
	RECORD_HCI_ACL = 0x02,
	RECORD_HCI_SCO = 0x03,
	RECORD_HCI_EVENT = 0x04,
	RECORD_HCI_ISO = 0x05,
	RECORD_TRANSPORT_STATE = 0x10,		/* transportd to hostd: up, down, or a window that is unknown */

	/* Between hostd and gattd.  header.index and .generation name the connection. */
	RECORD_CONNECTED = 0x20,		/* to gattd: the connection is there; opens both credit windows */
	RECORD_DISCONNECTED = 0x21,		/* to gattd: it is gone; nothing more comes or is taken for it */
	RECORD_L2CAP_PDU = 0x22,		/* both ways: one whole SDU of a fixed channel */
	RECORD_CREDIT = 0x23,			/* both ways: octets of the window handed back */
	RECORD_DISCONNECT = 0x24,		/* to hostd: end this connection */

	/* Between a supervisor and its worker, on their small link. */
	RECORD_CONFIG = 0x40,			/* to the worker: one piece of configuration */
	RECORD_REQUEST = 0x41,			/* to the worker: an operator's request, with its id */
	RECORD_REPLY = 0x42,			/* to the supervisor: the answer */
	RECORD_NOTICE = 0x43,			/* to the supervisor: something happened that it must act on or tell */
	RECORD_NEIGHBOUR_LOST = 0x44,		/* to the worker: the neighbour on link header.index (enum step_link_role) is given
						 * up; header.generation: low 16 bits of that link's.  May come more than once */
	RECORD_NEIGHBOUR_AWAY = 0x45,		/* to the worker: that of the neighbour on link header.index is not there now */
	RECORD_NEIGHBOUR_BACK = 0x46,		/* ... is there.  Of both the last is true; for cores of program->hears_of alone */

	RECORD_PAD = 0xFF,			/* fills a ring up to its end; never seen by a core */
};

struct record {
	uint32_t len;			/* payload octets, < RECORD_LEN_MAX */
	uint8_t kind, flags;		/* flags: none defined yet; 4 bits, sent as 0 */
	uint16_t index, generation;	/* connection; 0, 0 where there is none */
	uint64_t time_ns;
};
enum { RECORD_HEADER = 16, RECORD_LEN_MAX = 1 << 20 };

static inline uint64_t record_word(struct record r)
{
	return (r.len & 0xFFFFFu) | (uint64_t)r.kind << 20 | (uint64_t)(r.flags & 0xFu) << 28 |
	    (uint64_t)r.index << 32 | (uint64_t)r.generation << 48;
}
static inline struct record record_from(uint64_t word, uint64_t time_ns)
{
	return (struct record){ (uint32_t)(word & 0xFFFFF), (uint8_t)(word >> 20), (uint8_t)(word >> 28 & 0xF),
	    (uint16_t)(word >> 32), (uint16_t)(word >> 48), time_ns };
}
/* Ring octets that a payload of `len` takes with its header. */
static inline uint64_t record_octets(uint64_t len) { return (RECORD_HEADER + len + 7) & ~7ull; }
