/* tests/simulation/sim_view_gatt.c - see sim_view.h. */
#include "gattd/core/gatt.h"
#include "tests/simulation/sim_view.h"

bool view_bearer(uint16_t index, uint16_t generation, struct view_bearer *ret)
{
	struct gatt g = gatt_open(&sim.worker[GATTD].w->step);
	const struct bearer *b = bearer_find(&g, index, generation);

	if (!b)
		return false;
	*ret = (struct view_bearer){ .window_in = b->window_in, .used_in = b->used_in, .window_out = b->window_out,
		.room_out = b->room_out, .mtu = b->mtu, .cccd = b->cccd[0] };
	return true;
}
