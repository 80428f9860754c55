/* tests/simulation/sim_plants_host.c - mistakes of hostd's core, see sim_plants.h. */
#include "hostd/core/host.h"
#include "tests/simulation/sim_plants.h"

void __real_gatt_owe(struct host *h, const struct connection *c, uint32_t octets);
void __wrap_gatt_owe(struct host *h, const struct connection *c, uint32_t octets);
void __wrap_gatt_owe(struct host *h, const struct connection *c, uint32_t octets)
{
	__real_gatt_owe(h, c, octets + sim_plant_now(PLANT_credit_too_much, 50));
}

void __real_acl_release(struct host *h, const struct connection *c);
void __wrap_acl_release(struct host *h, const struct connection *c);
void __wrap_acl_release(struct host *h, const struct connection *c)
{
	if (sim_plant_now(PLANT_buffers_kept, 1000))
		connection_edit(h->arena, c)->outstanding = 0;
	__real_acl_release(h, c);
}

void __real_connection_free_now(struct host *h, const struct connection *c);
void __wrap_connection_free_now(struct host *h, const struct connection *c);
void __wrap_connection_free_now(struct host *h, const struct connection *c)
{
	struct connection_id id = connection_id_of(c);

	if (sim_plant_now(PLANT_connection_leaks, 200)) {
		for (enum host_list l = 0; l < HOST_LISTS; l++)
			list_remove(h, l, c);
		connection_edit(h->arena, c)->life = 0;		/* what gattd said before it knew is stale, as it would be */
		return;
	}
	if (sim_plant_now(PLANT_credit_to_the_dead, 500)) {
		memset(step_reserve(h->step, LINK_DOWN, 4), 0, 4);
		step_give(h->step, LINK_DOWN, (struct record){ .len = 4, .kind = RECORD_CREDIT, .index = (uint16_t)(id.v >> 16),
		    .generation = (uint16_t)id.v });
	}
	__real_connection_free_now(h, c);
}
