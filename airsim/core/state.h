/* airsim/core/state.h - what an air is made of; for the files of this folder and nobody else.
 *
 * Everything is an index into the memory given to air_init(): controllers by id, connections by number, the two ends of a
 * connection by `2 * connection + side` (side 0 is the central), packets by number.  A packet is in exactly one place: free,
 * or in the output of one controller.
 *
 *   struct air | controllers | handles of each controller | connections | packets */
#pragma once
#include "base/types.h"
#include "wire/hci_error.h"
#include "wire/hci_list.h"
#include "wire/hci_packet.h"
#include "wire/wire.h"
#include "airsim/core/air.h"

#define AIR_MS 1000000ull		/* ns */
/* Core 5.4, Vol 6, Part B, 4.6: LE Encryption, Connection Parameters Request, Extended Reject Indication, Peripheral-initiated
 * Features Exchange, LE Data Packet Length Extension, LE 2M PHY. */
#define AIR_LE_FEATURES (1ull << 0 | 1ull << 1 | 1ull << 2 | 1ull << 3 | 1ull << 5 | 1ull << 8)

#define AIR_NO_INDEX UINT32_MAX		/* no packet, no end, no connection */
#define AIR_NOBODY UINT16_MAX		/* no controller */

enum {
	AIR_ACCEPT_LIST = 32, AIR_ADVERTISING_DATA = 31, AIR_EVENT_MAX = 255,
	AIR_HANDLE_FIRST = 0x0001, AIR_HANDLES_EACH = 4,	/* handles a connection, so that one comes round late */
};

/* How many events may wait for a host before something that would add one is refused; see air.h on what is bounded. */
enum air_room {
	AIR_ROOM_REPORT = 24, AIR_ROOM_COMMAND = 48, AIR_ROOM_PEER = 56, AIR_ROOM_CONNECT = 58, AIR_ROOM_COMPLETED = 60,
	AIR_ROOM_BASE = 64,		/* and one for each connection, for its Disconnection Complete */
};

enum air_advertising_type {		/* Core 5.4, Vol 4, Part E, 7.8.5 */
	AIR_ADV_IND = 0, AIR_ADV_DIRECT_HIGH = 1, AIR_ADV_SCAN_IND = 2, AIR_ADV_NONCONN_IND = 3, AIR_ADV_DIRECT_LOW = 4,
};

struct air_addr { uint8_t type, octets[6]; };	/* type: enum address_type */

struct air_packet {
	uint32_t next;
	uint32_t sender;		/* end that sent it; AIR_NO_INDEX: an event, or orphaned */
	uint16_t len;
	bool acl;
	uint8_t octets[];		/* from the H4 type octet on */
};

struct air_end {
	uint16_t controller;		/* AIR_NOBODY once it has left */
	uint16_t handle;
	uint16_t outstanding;		/* packets of this end that the far host has not taken */
	uint16_t completed;		/* taken, not yet told */
	bool listed;			/* in its controller's list of ends with completed > 0 */
	uint32_t next_completed;
	uint16_t tx_octets, tx_time;
	uint8_t tx_phy;
	struct air_addr address;	/* under which it connected */
};

struct air_connection {
	struct air_end end[2];
	bool used, lost;		/* lost: one side fell silent; ends at lost_deadline_ns */
	bool encrypted, key_wanted, parameters_wanted;
	uint16_t interval, latency, timeout;	/* 1.25 ms, events, 10 ms */
	uint8_t key[16];		/* of the central, while key_wanted */
	uint64_t lost_deadline_ns;
	uint32_t next;			/* free list, or list of the lost */
};

struct air_advertiser {
	bool enabled, armed;		/* armed: somebody listens, next_ns is its next event */
	uint64_t next_ns, until_ns;	/* until: high duty cycle ends, else AIR_NEVER */
	uint64_t interval_ns;
	uint8_t type, own_type, filter_policy;
	struct air_addr peer;
	uint8_t length, data[AIR_ADVERTISING_DATA], scan_length, scan_data[AIR_ADVERTISING_DATA];
};

struct air_scanner {
	bool enabled, active, filter_duplicates;
	uint8_t own_type, filter_policy;
	uint64_t seen[2][AIR_CONTROLLERS_MAX / 64];	/* reported already: advertising, scan response */
};

struct air_initiator {
	bool pending;
	uint8_t filter_policy, own_type;
	struct air_addr peer;
	uint16_t interval, latency, timeout;
};

struct air_controller {
	bool attached, silent;
	uint8_t public_address[6], random_address[6];
	bool random_set;
	uint64_t event_mask, le_event_mask;
	uint16_t connections, next_slot;
	uint16_t suggested_octets, suggested_time;

	/* towards the host */
	uint32_t first, last;		/* output queue of packets */
	uint32_t taken;			/* octets of the first that the host has already */
	uint16_t events, orphans;	/* events waiting; ACL packets waiting whose connection is over */
	uint32_t completed_first;	/* ends with packets to be told as completed */
	bool in_turn;			/* in the list that air_output_next() hands out */
	uint16_t next_in_turn;

	uint16_t acl_used;		/* of this controller's acl_packets: sent by its host, not taken by the far one */
	struct air_advertiser advertiser;
	struct air_scanner scanner;
	struct air_initiator initiator;
	uint8_t accept_count;
	struct air_addr accept[AIR_ACCEPT_LIST];
};

struct air {
	struct air_config config;
	struct air_faults faults;
	struct air_counters counters;
	uint64_t now_ns, deadline_ns, random;
	bool deadline_stale;
	uint32_t attached_ever;		/* public addresses given out */
	uint16_t top;			/* no controller at or above it was ever attached */
	uint16_t listeners;		/* scanners and initiators */
	uint16_t turn;			/* where the next search for an initiator starts */
	uint16_t turn_first, turn_last;
	uint32_t free_connections, lost_connections;
	uint32_t free_packets, packets_used, packets, packet_stride;
	uint32_t handle_slots;		/* of each controller */
	struct air_controller *controllers;
	uint32_t *handles;		/* [controller][slot]: end + 1, 0 where there is none */
	struct air_connection *all_connections;
	uint8_t *packet_memory;
};

/* ---- small accessors ---- */
static inline struct air_controller *air_controller(struct air *a, unsigned id) { return &a->controllers[id]; }
static inline struct air_end *air_end(struct air *a, uint32_t end) { return &a->all_connections[end / 2].end[end & 1]; }
static inline struct air_connection *air_connection_of(struct air *a, uint32_t end) { return &a->all_connections[end / 2]; }
static inline struct air_packet *air_packet(struct air *a, uint32_t packet)
{
	return (struct air_packet *)(void *)(a->packet_memory + (size_t)packet * a->packet_stride);
}
static inline bool air_addr_equal(const struct air_addr *x, const struct air_addr *y)
{
	return (x->type & 1) == (y->type & 1) && !memcmp(x->octets, y->octets, 6);
}
/* The end that this controller knows by `handle`, or AIR_NO_INDEX. */
static inline uint32_t air_end_find(const struct air *a, unsigned id, uint16_t handle)
{
	uint32_t slot = (uint32_t)handle - AIR_HANDLE_FIRST;

	return slot < a->handle_slots ? a->handles[id * a->handle_slots + slot] - 1 : AIR_NO_INDEX;
}
/* The controller's own address of that type (bit 0: random). */
static inline struct air_addr air_own_address(const struct air_controller *c, uint8_t own_type)
{
	struct air_addr r = { own_type & 1, { 0 } };

	memcpy(r.octets, r.type ? c->random_address : c->public_address, 6);
	return r;
}
static inline uint64_t air_random(struct air *a)	/* splitmix64; Steele, Lea, Flood 2014 */
{
	uint64_t z = (a->random += 0x9E3779B97F4A7C15ull);

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ z >> 27) * 0x94D049BB133111EBull;
	return z ^ z >> 31;
}

/* ---- output.c: what waits for a host ---- */
bool air_room(const struct air *a, unsigned id, enum air_room limit);
uint32_t air_event_reserve(struct air *a, unsigned id);		/* AIR_NO_INDEX: none free; else air_event_fill() it in this call */
void air_event_fill(struct air *a, uint32_t packet, uint8_t code, const struct wr *parameters);
void air_event(struct air *a, unsigned id, uint8_t code, const struct wr *parameters);	/* unless masked */
void air_le_event(struct air *a, unsigned id, uint8_t subevent, const struct wr *parameters);
bool air_le_event_wanted(const struct air *a, unsigned id, uint8_t subevent);
void air_acl_push(struct air *a, unsigned id, uint32_t sender, const struct hci_acl_packet *packet);
void air_completed(struct air *a, uint32_t end);		/* one packet of this end was taken */
void air_output_forget_end(struct air *a, uint32_t end);	/* the connection is over: see air.h on what stays */
void air_output_drop(struct air *a, unsigned id, bool events);	/* all ACL (and events) that the host has not begun to take */

/* ---- connection.c ---- */
bool air_connection_possible(const struct air *a, unsigned id);
void air_connect(struct air *a, unsigned initiator, unsigned advertiser);
void air_connection_failed(struct air *a, unsigned id, uint8_t status, uint8_t role, const struct air_addr *peer);
void air_disconnect(struct air *a, uint32_t connection, uint8_t reason0, uint8_t reason1);	/* told to central, peripheral */
void air_connections_lose(struct air *a, unsigned id, bool leave);	/* leave: this side forgets them now */
void air_connections_timeout(struct air *a);

/* ---- hear.c: who hears whom ---- */
void air_arm_advertiser(struct air *a, unsigned id);		/* it began, or changed what it says */
void air_arm_listener(struct air *a, unsigned id);		/* it began to listen */
void air_listener_gone(struct air *a);				/* after a listener stopped */
void air_advertising_event(struct air *a, unsigned id);
void air_unsee(struct air *a, unsigned advertiser);		/* its next reports are no duplicates */
void air_scan_stop(struct air *a, unsigned id);
void air_initiate_stop(struct air *a, unsigned id);
void air_advertising_stop(struct air *a, unsigned id);
bool air_accepts(const struct air_controller *c, const struct air_addr *address);

/* ---- acl.c, command.c ---- */
void air_on_acl(struct air *a, unsigned id, struct bytes packet);
void air_on_command(struct air *a, unsigned id, struct bytes packet);
void air_supported_commands(uint8_t ret_commands[64]);
void air_controller_reset(struct air *a, unsigned id);

/* ---- commands: each decodes its parameters and returns the status of the answer.  With HCI_SUCCESS it may have written the
 * return parameters, status included, to `ret`. ---- */
#define AIR_COMMAND_FN(name) uint8_t air_cmd_##name(struct air *a, unsigned id, struct bytes parameters, struct wr *ret)
#define AIR_COMMAND(OPCODE, name, octet, bit, kind, returns) AIR_COMMAND_FN(name);
#include "airsim/core/commands.def"
#undef AIR_COMMAND
