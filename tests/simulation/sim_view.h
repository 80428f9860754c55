/* tests/simulation/sim_view.h - what the invariants ask of the cores' state: the only place that depends on it.
 *
 * hostd's and gattd's headers cannot be included together (both have a `kept`), hence two files.  All workers must be alive. */
#pragma once
#include "tests/simulation/sim.h"

enum { VIEW_PDU_OVERHEAD = 4 };		/* what a PDU costs in a window beyond its length */

struct view_connection {		/* hostd's */
	uint16_t index, generation;
	bool open, known;		/* known: gattd was told of it, and not yet of its end */
	uint32_t window, owed, outstanding;
	uint32_t waits;			/* octets of window_out for what waits in tx: all but hostd's own signalling */
	uint32_t window_out;		/* octets that gattd may have given and not got back */
	uint8_t peer[6];
};
/* The i-th live one; false: there are no more. */
bool view_connection(unsigned i, struct view_connection *ret);
struct view_buffers { bool up; uint32_t credits, total; };
struct view_buffers view_buffers(void);

/* Chunks: of all that no base of a window has, how many are nobody's, and how many are somebody's now. */
struct view_chunks { uint32_t whole, spare, lent, live, count; };
struct view_chunks view_chunks_host(void);

struct view_bearer { uint32_t window_in, used_in, room_out; uint16_t mtu; uint8_t cccd; };	/* gattd's */
/* False: gattd knows none of that name. */
bool view_bearer(uint16_t index, uint16_t generation, struct view_bearer *ret);
struct view_chunks view_chunks_gatt(void);
