/* tests/simulation/sim_view_host.c - see sim_view.h. */
#include "hostd/core/host.h"
#include "tests/simulation/sim_view.h"

_Static_assert((int)VIEW_PDU_OVERHEAD == (int)WINDOW_PDU_OVERHEAD, "as hostd counts");

static struct host the_host(void)
{
	struct step *s = &sim.worker[HOSTD].w->step;

	return (struct host){ .step = s, .arena = s->arena, .now_ns = sim.now_ns };
}

/* Of a PDU that is being cut all octets are charged until its last one has gone. */
static uint32_t waits(const struct connection *c)
{
	uint32_t cut = c->tx_left && c->tx_cost ? (uint32_t)c->tx_cost - c->tx_left : 0;

	return c->tx.len - c->tx_own + cut;
}

bool view_connection(unsigned i, struct view_connection *ret)
{
	struct host h = the_host();
	const struct connection *c = connection_next(h.arena, NULL);

	while (c && i--)
		c = connection_next(h.arena, c);
	if (!c)
		return false;
	*ret = (struct view_connection){ .index = (uint16_t)(connection_id_of(c).v >> 16), .generation = (uint16_t)connection_id_of(c).v,
		.open = c->state == CONNECTION_OPEN, .known = gatt_knows(&h, c), .waits = waits(c),
		.window = c->window, .owed = c->owed, .window_out = window_out(c), .outstanding = c->outstanding };
	memcpy(ret->peer, c->peer, 6);
	return true;
}

struct view_buffers view_buffers(void)
{
	struct host h = the_host();

	return (struct view_buffers){ the_radio(&h)->state == HOST_UP, the_flow(&h)->credits, the_flow(&h)->total };
}

struct view_chunks view_chunks_host(void)
{
	struct host h = the_host();
	struct view_chunks v = { .whole = SPARE_BESIDES + SPARE_EACH * h.arena->pool[POOL_connection].count,
		.spare = the_flow(&h)->spare, .live = arena_live(h.arena, POOL_chunk), .count = h.arena->pool[POOL_chunk].count };

	for (const struct connection *c = connection_next(h.arena, NULL); c; c = connection_next(h.arena, c))
		v.lent += c->extra;
	return v;
}
