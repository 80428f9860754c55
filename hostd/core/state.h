/* hostd/core/state.h - everything that hostd remembers from one record to the next.
 *
 * No padding (its octets would be nobody's), ids instead of pointers, loose octets (queues) last.  What is touched for each
 * packet (flow, connection) is apart from what is not (controller, settings).
 *
 * Memory: a connection takes HOST_CONNECTION_OCTETS, 3,200, whether it is there or not, and all of them together HOST_SHARED_OCTETS,
 * 24 KiB, of chunks (shm/queue.h).  The undo log is of one size however many there are. */
#pragma once
#include "shm/queue.h"
#include "shm/step.h"
#include "shm/test_layout.h"

enum host_state {
	HOST_WAITING,		/* for both links, the configuration and the transport */
	HOST_BRINGING_UP,
	HOST_UP,
	HOST_SWEEPING,		/* connections are being ended, a few a turn; then radio.after */
	HOST_FAILED,		/* until the transport, or its link, begins anew */
};
enum connection_state {
	CONNECTION_OPEN = 1,
	CONNECTION_UNWANTED,		/* to be disconnected, as soon as the command queue takes it */
	CONNECTION_DISCONNECTING,	/* Disconnect is sent or queued */
	CONNECTION_ENDED,		/* gone from the air; what gattd has not taken yet is still held for it */
};
enum rx_state { RX_IDLE, RX_ASSEMBLING, RX_SKIPPING };	/* skipping: the rest of a PDU that was dropped */
enum advertiser_state { ADVERTISER_OFF, ADVERTISER_ON };
enum due {
	DUE_KEY_REPLY = 1, DUE_PARAMETER_REPLY = 2,	/* to the controller: the command queue had no room for it */
	DUE_END = 4,			/* to gattd: its end, before it is gone from the air */
};
enum host_list { LIST_READY, LIST_WORK, LIST_OWED, HOST_LISTS };	/* fragments to send; something to do on time; see gatt_owe() */

enum {
	QUEUE_OCTETS = 1024, NOTICE_OCTETS = 2048,
	PENDING_COMMANDS = 4, EARLY_SLOTS = 8, EARLY_OCTETS = 256, KEPT_SLOTS = 64, HANDLE_SLOTS = 64,
	HANDLES = 0x0F00,
	/* What each connection has of its own: the base of gattd's window, our signalling, a frame that is put together. */
	WINDOW_OUT = 6 * CHUNK_OCTETS, SIGNALLING_OCTETS = CHUNK_OCTETS, RX_OCTETS = 3 * CHUNK_OCTETS,
	CHUNKS_EACH = QUEUE_CHUNKS(WINDOW_OUT + SIGNALLING_OCTETS) + RX_OCTETS / CHUNK_OCTETS,
	/* The rest, for windows that are used. */
	SPARE_EACH = 1, SPARE_BESIDES = 96, WINDOW_OUT_EXTRA = 64,
	HOST_CONNECTION_OCTETS = 3200, HOST_SHARED_OCTETS = SPARE_BESIDES * 256,
};

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct radio_id { uint32_t v; };
struct controller_id { uint32_t v; };
struct settings_id { uint32_t v; };
struct advertiser_id { uint32_t v; };
struct commands_id { uint32_t v; };
struct flow_id { uint32_t v; };
struct handles_id { uint32_t v; };
struct where_id { uint32_t v; };
struct notices_id { uint32_t v; };
struct connection_id { uint32_t v; };
struct early_id { uint32_t v; };
struct kept_id { uint32_t v; };

struct radio {				/* one: how far we are with the controller and our neighbours */
	uint64_t up_since_ns;
	uint64_t patience_ns;		/* no deadline of the controller's is met before: it cannot have answered, or been heard */
	uint32_t down_life;		/* of gattd: grows when its link begins anew or is given up */
	uint32_t failed;		/* HOST_FAILED: value of the notice */
	uint8_t state, after;		/* enum host_state */
	uint8_t step;			/* of bring-up */
	uint8_t recoveries;		/* Resets tried since the controller last worked for a while */
	uint8_t reason;			/* HOST_SWEEPING: why connections end */
	uint8_t transport_down, configured, up_lost, down_lost;
	uint8_t todo;			/* host_advance has something to look at */
	uint8_t shedding;		/* some are unwanted, unknown to gattd, or owed a reply, or handles are refused */
	uint8_t ready_told;
	uint32_t next_kept;		/* slot of `kept` that the next request takes */
};
struct controller {			/* one: what it told us */
	uint64_t features, le_features;
	uint16_t company, hci_subversion, lmp_subversion;
	uint8_t hci_version, lmp_version;
	uint8_t address[6];		/* its public one; all zero: none */
	uint8_t own_type, own_made;	/* own_made: `own` was drawn from entropy, and is kept */
	uint8_t own[6];
	uint8_t commands[64];		/* Supported Commands, Vol 4 Part E 6.27 */
	uint8_t zero[2];
};
struct settings {			/* one: the configuration */
	uint16_t interval_min, interval_max;
	uint8_t address_given, address_type, address[6];
	uint8_t advertise;		/* now; the operator may change it */
	uint8_t file_advertise;		/* as the device file says */
	uint8_t data_len, scan_len, data[31], scan[31];
	uint8_t staged, zero;		/* staged: live keys came that CONFIG_DONE puts into force */
};
struct advertiser {			/* one */
	uint16_t pending;		/* opcode of the command under way; 0: none */
	uint8_t state;			/* enum advertiser_state: what the controller does */
	uint8_t stage;			/* parameters, data, scan response: how many of them it has */
	uint8_t blocked;		/* refused: not before a connection ends, or the configuration changes */
	uint8_t dirty;			/* it has to be stopped, and told anew */
	uint8_t asked;			/* by the enable command under way: on, or off */
	uint8_t zero;
};
struct pending { uint64_t deadline_ns; uint16_t opcode, handle; uint32_t zero; };
struct commands {			/* one: the command queue */
	uint64_t starved_ns;		/* no credit since, plus the deadline; 0: there is credit, or nothing to send */
	struct pending pending[PENDING_COMMANDS];	/* sent, not answered; oldest first */
	uint8_t pending_count, credits, zero[6];
	struct fifo queue;		/* opcode 16, length 8, parameters */
	uint8_t queue_octets[QUEUE_OCTETS];
};
struct list { struct connection_id first, last; };
struct flow {				/* one: ACL credits, and who has work */
	uint64_t closing_ns, early_ns;	/* next deadline of a connection that is DISCONNECTING, of early data; 0: none */
	struct list list[HOST_LISTS];
	uint32_t credits, total;	/* packets that the controller has room for now, and at most */
	uint16_t acl_length, live;	/* octets in a fragment; connections that are not ENDED */
	uint32_t early_order;
	uint32_t spare;			/* chunks that no window has */
	uint16_t closing, zero;		/* connections that are DISCONNECTING */
};
struct former { uint64_t until_ns; uint16_t handle, zero[3]; };
struct where { struct connection_id at[HANDLE_SLOTS]; };	/* the last connection of each handle; slot i: from i * HANDLE_SLOTS on */
struct handles {			/* one; former: by the low bits of a handle */
	struct former former[HANDLE_SLOTS];	/* its connection ended a moment ago: data for it is that one's, until then */
	uint64_t refused;			/* how many bits are set in: */
	uint8_t refused_bits[HANDLES / 8];	/* by handle: no slot for it, and its Disconnect is not queued yet */
};
struct notices {			/* one: what the supervisor is still to be told */
	struct fifo out;		/* length 16, body of RECORD_NOTICE */
	uint8_t out_octets[NOTICE_OCTETS];
};
struct connection {
	uint64_t closing_ns;		/* DISCONNECTING: when it is given up */
	struct connection_id next[HOST_LISTS];
	uint32_t window;		/* octets that gattd still takes */
	uint32_t owed;			/* octets of its own window that gattd is to get back */
	uint32_t extra;			/* chunks of flow.spare that its own window has beyond WINDOW_OUT */
	uint32_t outstanding;		/* packets that the controller has not completed */
	uint32_t life;			/* radio.down_life of the gattd that was told of it; 0: none knows it */
	uint16_t handle;
	uint16_t tx_left, tx_cost;	/* of the PDU that is being cut: octets left; what its end gives back to gattd */
	uint16_t tx_own;		/* octets in tx that are signalling: those that no window bounds */
	uint16_t rx_need;		/* octets of the frame being put together; 0: not known yet */
	uint16_t asked[4];		/* DUE_PARAMETER_REPLY: interval min and max, latency, timeout */
	uint8_t on[HOST_LISTS];
	uint8_t state, rx_state;
	uint8_t reason, role, peer_type, peer[6], own_type, own[6];
	uint8_t encrypted;
	uint8_t due;			/* enum due */
	uint8_t zero[7];
	struct queue tx, rx;		/* frames, with their L2CAP header; rx: one */
	TEST_LAYOUT_FIELD
};
struct early {				/* data that came before its Connection Complete */
	uint64_t deadline_ns;
	uint32_t order;
	uint16_t handle, len;
	uint8_t boundary, zero[7];
	uint8_t data[EARLY_OCTETS];
};
struct kept { uint8_t id[16]; uint32_t used, result; };	/* a request that was done */
#pragma GCC diagnostic pop

#define HOST_OWN_STATE(ROW) \
	ROW(radio,      1, LIMIT_NONE, sizeof(struct radio)) \
	ROW(controller, 1, LIMIT_NONE, sizeof(struct controller)) \
	ROW(settings,   1, LIMIT_NONE, sizeof(struct settings)) \
	ROW(advertiser, 1, LIMIT_NONE, sizeof(struct advertiser)) \
	ROW(commands,   1, LIMIT_NONE, offsetof(struct commands, queue_octets), FIFO(commands, queue)) \
	ROW(flow,       1, LIMIT_NONE, sizeof(struct flow)) \
	ROW(handles,    1, LIMIT_NONE, sizeof(struct handles)) \
	ROW(notices,    1, LIMIT_NONE, offsetof(struct notices, out_octets), FIFO(notices, out)) \
	ROW(where,      HANDLES / HANDLE_SLOTS, LIMIT_NONE, sizeof(struct where)) \
	ROW(connection, 1, LIMIT_CONNECTIONS, sizeof(struct connection)) \
	ROW(chunk,      ARENA_SLOTS(CHUNKS_EACH + SPARE_EACH, SPARE_BESIDES), LIMIT_CONNECTIONS, \
	    offsetof(struct chunk, in_octets), FIFO(chunk, in)) \
	ROW(early,      EARLY_SLOTS, LIMIT_NONE, sizeof(struct early)) \
	ROW(kept,       KEPT_SLOTS, LIMIT_NONE, sizeof(struct kept))
#define HOST_STATE(ROW) STEP_STATE(ROW) HOST_OWN_STATE(ROW)

enum host_pool { POOL_before_host = STEP_POOLS - 1, HOST_OWN_STATE(ARENA_ENUM) HOST_POOLS };
HOST_OWN_STATE(ARENA_POOL)

_Static_assert((sizeof(struct arena_slot) + sizeof(struct connection) - TEST_LAYOUT_FIELD_OCTETS + 63) / 64 * 64 + (CHUNKS_EACH + SPARE_EACH) * 256 ==
    HOST_CONNECTION_OCTETS, "said above");
