/* tests/lib/mill.h - a small core for the tests of shm/: queues, objects that come and go, two links, work on time.
 *
 * Records from LINK_UP, for the connection header.index:
 *   CONNECTED      a new sack             DISCONNECTED   it is freed
 *   L2CAP_PDU      octets into the sack; each fourth also empties the sack to LINK_UP, and tells LINK_DOWN how much it was
 *   CREDIT         grinds: pops the first half of a sack, appends the rest twice, draws entropy; the remainder is on time */
#pragma once
#include "shm/step.h"

enum { MILL_SACKS = 6 };

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct miller_id { uint32_t v; };
struct sack_id { uint32_t v; };
struct miller {
	uint64_t records, now_ns;
	uint32_t due, drawn;			/* due: bit per sack that is ground on time */
	struct sack_id sack[MILL_SACKS];
};
struct sack {
	uint32_t puts, index;
	struct fifo grain, flour;
	uint8_t grain_octets[128], flour_octets[64];
};
#pragma GCC diagnostic pop

#define MILL_STATE(ROW) \
	STEP_STATE(ROW) \
	ROW(miller, 1, LIMIT_NONE, sizeof(struct miller)) \
	ROW(sack, MILL_SACKS, LIMIT_NONE, offsetof(struct sack, grain_octets), FIFO(sack, grain), FIFO(sack, flour))
enum { POOL_before_mill = STEP_POOLS - 1, POOL_miller, POOL_sack };
ARENA_POOL(miller, 1, LIMIT_NONE, sizeof(struct miller))
ARENA_POOL(sack, MILL_SACKS, LIMIT_NONE, offsetof(struct sack, grain_octets))

extern const struct core mill_core;
extern const struct arena_plan mill_plan;
