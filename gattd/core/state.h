/* gattd/core/state.h - everything that gattd remembers from one record to the next.
 *
 * No padding (its octets would be nobody's), ids instead of pointers, loose octets (queues) last.  What is touched for each
 * PDU (server, the head of a bearer) is apart from what is not (attributes, values, kept answers).
 *
 *   attribute i   handle, type, permissions: fixed once the configuration is there; sorted by handle, so slot i is the i-th
 *   value i       what attribute i holds; a CCCD's is in the bearers
 *   seat i        connection index i of hostd: who sits there now
 *   bearer        one ATT bearer: MTU, windows, subscriptions, queues
 *   subscribers i whose bit is set may have subscribed to the CCCD with number i; a bit that is stale goes when it is seen
 *
 * Memory of a connection: GATT_CONNECTION_OCTETS, 4,352: its bearer, its seat and its chunks (shm/queue.h); and all of them
 * together GATT_SHARED_OCTETS, 128 KiB, of chunks. */
#pragma once
#include "base/types.h"
#include "shm/queue.h"
#include "shm/step.h"
#include "shm/test_layout.h"

enum {
	GATT_CONNECTIONS_MAX = 256, GATT_MASK_WORDS = GATT_CONNECTIONS_MAX / 64,
	GATT_VALUE_MAX = 512,			/* Core 5.4, Vol 3, Part F, 3.2.9 */
	GATT_MTU_MIN = 23, GATT_MTU_MAX = 517,	/* Part F, 3.2.8; 517: a value of 512 octets fits any PDU */
	GATT_CCCDS_MAX = 256,
	/* What each connection has of its own: the base of its window, and changes to tell. */
	GATT_WINDOW_IN = 10 * CHUNK_OCTETS, GATT_DUE_OCTETS = 3 * CHUNK_OCTETS,
	GATT_CHUNKS_EACH = QUEUE_CHUNKS(GATT_WINDOW_IN) + QUEUE_CHUNKS(GATT_DUE_OCTETS),
	/* The rest, for windows that are used and for prepared writes. */
	GATT_SPARE_EACH = 1, GATT_SPARE_BESIDES = 512, GATT_WINDOW_EXTRA = 128, GATT_WINDOW_FIRST = 32, GATT_PREPARED_CHUNKS = 4,
	GATT_PREPARED_OCTETS = GATT_PREPARED_CHUNKS * CHUNK_OCTETS,
	GATT_CONNECTION_OCTETS = 4352, GATT_SHARED_OCTETS = GATT_SPARE_BESIDES * 256,
	GATT_WINDOW_MOST = 1 << 16,		/* octets that hostd may ever let us send at once */
	GATT_PREPARED_HANDLES = 8,		/* attributes that one Execute Write changes at most */
	GATT_KEPT = 64, GATT_PENDING = 32,
};

enum attribute_kind {
	ATTRIBUTE_PLAIN,		/* a descriptor, or anything that groups nothing */
	ATTRIBUTE_SERVICE,		/* primary or secondary service declaration */
	ATTRIBUTE_CHARACTERISTIC,	/* characteristic declaration */
	ATTRIBUTE_VALUE,		/* characteristic value */
	ATTRIBUTE_CCCD,			/* Client Characteristic Configuration, one value a connection */
};
enum { HELD_OVER = 1 };			/* in held_ns: it has waited long enough */
enum cccd_bit { CCCD_NOTIFY = 0x0001, CCCD_INDICATE = 0x0002 };	/* Core 5.4, Vol 3, Part G, 3.3.3.3 */
enum bearer_state {
	BEARER_OPEN,
	BEARER_ENDED,			/* hostd is asked to disconnect: nothing more is done for it */
};

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct server_id { uint32_t v; };
struct attribute_id { uint32_t v; };
struct value_id { uint32_t v; };
struct seat_id { uint32_t v; };
struct subscribers_id { uint32_t v; };
struct bearer_id { uint32_t v; };
struct pending_id { uint32_t v; };
struct kept_id { uint32_t v; };

struct server {					/* one */
	uint64_t timer_ns;			/* no deadline of a bearer or of `first` is before it; DEADLINE_NONE: there is none */
	uint64_t pending_ns;			/* held_ns of the request `first` */
	uint64_t live[GATT_MASK_WORDS];		/* bearers in use; these masks go by connection index */
	uint64_t ready[GATT_MASK_WORDS];	/* with something that may be possible now */
	uint64_t held[GATT_MASK_WORDS];		/* whose first waiting PDU is a change that a subscriber has no room for */
	uint64_t dead[GATT_MASK_WORDS];		/* of a link that is gone: to be freed */
	uint64_t timed[GATT_MASK_WORDS];	/* with a deadline */
	uint16_t cursor;			/* connection index that is served next */
	uint16_t mtu;				/* the largest that we offer */
	uint16_t attributes;			/* how many there are */
	uint8_t configured, linked;
	uint8_t retry;				/* the first pending request may be possible now */
	uint8_t next_kept;
	uint16_t spread_at;			/* connection index from which spread[0] is still to be told */
	uint8_t spreads, spread_zero[3];
	uint16_t spread[GATT_PREPARED_HANDLES];	/* attributes whose change is being told, oldest first */
	uint32_t spare, spare_zero;		/* chunks that are nobody's */
	struct pending_id first, last;		/* requests that wait, in order */
};
struct attribute {
	uint16_t handle;
	uint16_t group_end;			/* last handle of the group that it declares; else its own */
	uint16_t cccd;				/* VALUE and its CCCD: number + 1 of their bits in a bearer; 0: none */
	uint16_t echo;				/* handle on which a write here is repeated; 0: none */
	uint16_t value_max;			/* octets that it may be given */
	uint8_t kind;				/* enum attribute_kind */
	uint8_t properties;			/* of the characteristic whose value or CCCD this is */
	uint8_t permissions;			/* enum gatt_permission */
	uint8_t type_len;			/* 2 or 16 */
	uint8_t type[16];
};
struct value { uint16_t len; uint8_t at[GATT_VALUE_MAX]; };
struct seat { struct bearer_id bearer; };
struct subscribers { uint64_t at[GATT_MASK_WORDS]; };	/* by connection index */
struct bearer {
	uint64_t confirm_ns;			/* until then the client has to confirm the indication; 0: none is out */
	uint64_t held_ns;			/* until then its first waiting PDU may wait for subscribers; HELD_OVER; 0: it does not wait */
	uint16_t index, generation;		/* hostd's name for the connection */
	uint16_t mtu;
	uint16_t mtu_max;			/* what we offer here */
	uint32_t window_out, room_out;		/* octets that hostd took in all at first, and takes now */
	uint32_t base_in, extra;		/* what we promised: octets, and chunks of server.spare */
	uint32_t used_in;			/* octets of it that are used */
	uint32_t owed;				/* of used_in: done with, not handed back yet */
	uint32_t prepared_chunks, zero;		/* of server.spare, for `prepared` */
	uint32_t pdus_in, pdus_out, discarded;
	uint32_t wanted;			/* a change waits for room in `due` */
	struct queue rx;			/* PDUs that wait: channel, length, PDU (of one that is too long, its beginning) */
	struct queue due;			/* changes to tell: handle, length and CCCD bits, value */
	struct queue prepared;			/* prepared writes: handle, offset, length, octets */
	uint8_t state;				/* enum bearer_state */
	uint8_t mtu_exchanged;
	uint8_t stalled;			/* what is due for it is discarded until its queue is empty */
	uint8_t told;				/* CCCD bits of the head of `due` that are done */
	uint8_t cccd[GATT_CCCDS_MAX / 4];	/* two bits each: enum cccd_bit */
	TEST_LAYOUT_FIELD
};
struct pending {				/* an operator's request that waits for its turn */
	struct pending_id next;
	uint32_t kept;				/* slot of its answer to be */
	uint16_t handle, len;
	uint8_t uuid_len, zero[3];
	uint8_t uuid[16];
	uint8_t value[GATT_VALUE_MAX];
};
struct kept {					/* answers to the last requests, by id */
	uint8_t id[16];
	uint8_t used, waiting, result, why;	/* why: index of the reason for a refusal */
	uint16_t handle, same_type, told, zero;
};
#pragma GCC diagnostic pop

#define GATT_OWN_STATE(ROW) \
	/*  name      slots         times              logged, byte queues */ \
	ROW(server,    1,            LIMIT_NONE,        sizeof(struct server)) \
	ROW(seat,      1,            LIMIT_CONNECTIONS, sizeof(struct seat)) \
	ROW(bearer,    1,            LIMIT_CONNECTIONS, sizeof(struct bearer)) \
	ROW(chunk,     ARENA_SLOTS(GATT_CHUNKS_EACH + GATT_SPARE_EACH, GATT_SPARE_BESIDES), LIMIT_CONNECTIONS, \
		offsetof(struct chunk, in_octets), FIFO(chunk, in)) \
	ROW(subscribers, 1,          LIMIT_ATTRIBUTES,  sizeof(struct subscribers)) \
	ROW(attribute, 1,            LIMIT_ATTRIBUTES,  sizeof(struct attribute)) \
	ROW(value,     1,            LIMIT_ATTRIBUTES,  sizeof(struct value)) \
	ROW(pending,   GATT_PENDING, LIMIT_NONE,        sizeof(struct pending)) \
	ROW(kept,      GATT_KEPT,    LIMIT_NONE,        sizeof(struct kept))
#define GATT_STATE(ROW) STEP_STATE(ROW) GATT_OWN_STATE(ROW)

enum gatt_pool { POOL_before_gatt = STEP_POOLS - 1, GATT_OWN_STATE(ARENA_ENUM) GATT_POOLS };
GATT_OWN_STATE(ARENA_POOL)

_Static_assert((sizeof(struct arena_slot) + sizeof(struct bearer) - TEST_LAYOUT_FIELD_OCTETS + 63) / 64 * 64 + 64 +
    (GATT_CHUNKS_EACH + GATT_SPARE_EACH) * 256 == GATT_CONNECTION_OCTETS && sizeof(struct arena_slot) + sizeof(struct seat) <= 64,
    "memory of a connection, above");
