/* tests/simulation/sim_view_gatt.c - see sim_view.h. */
#include "gattd/core/gatt.h"
#include "tests/simulation/sim_view.h"

bool view_bearer(uint16_t index, uint16_t generation, struct view_bearer *ret)
{
	struct gatt g = gatt_open(&sim.worker[GATTD].w->step);
	const struct bearer *b = bearer_find(&g, index, generation);

	if (!b)
		return false;
	*ret = (struct view_bearer){ .window_in = b->base_in + b->extra * CHUNK_OCTETS, .used_in = b->used_in,
		.room_out = b->room_out, .mtu = b->mtu, .cccd = b->cccd[0] };
	return true;
}

struct view_chunks view_chunks_gatt(void)
{
	struct gatt g = gatt_open(&sim.worker[GATTD].w->step);
	struct view_chunks v = { .whole = GATT_SPARE_BESIDES + GATT_SPARE_EACH * g.arena->pool[POOL_bearer].count,
		.spare = the_server(&g)->spare, .live = arena_live(g.arena, POOL_chunk), .count = g.arena->pool[POOL_chunk].count };

	for (const struct bearer *b = bearer_next(g.arena, NULL); b; b = bearer_next(g.arena, b))
		v.lent += b->extra + b->prepared_chunks;
	return v;
}
