/* tests/simulation/sim_plants_gatt.c - mistakes of gattd's core, see sim_plants.h. */
#include "gattd/core/gatt.h"
#include "tests/simulation/sim_plants.h"

void __real_change_note(struct gatt *g, unsigned attribute);
void __wrap_change_note(struct gatt *g, unsigned attribute);
void __wrap_change_note(struct gatt *g, unsigned attribute)
{
	__real_change_note(g, attribute);
	if (sim_plant_now(PLANT_told_twice, 100))
		__real_change_note(g, attribute);
}

/* What a client has just been answered is not so. */
static void forget(struct gatt *g, const struct bearer *b, struct bytes payload)
{
	uint8_t opcode = payload.len > 2 ? payload.at[2] : 0;

	if (opcode == ATT_EXCHANGE_MTU_REQUEST && b->mtu > GATT_MTU_MIN && sim_plant_now(PLANT_mtu_smaller, 500))
		bearer_edit(g->arena, b)->mtu--;
	if (opcode == ATT_WRITE_REQUEST && sim_plant_now(PLANT_subscription_forgotten, 500))
		bearer_edit(g->arena, b)->cccd[0] = 0;
}

void __real_gatt_on_pdu(struct gatt *g, const struct record *r, struct bytes payload);
void __wrap_gatt_on_pdu(struct gatt *g, const struct record *r, struct bytes payload);
void __wrap_gatt_on_pdu(struct gatt *g, const struct record *r, struct bytes payload)
{
	const struct bearer *b;

	__real_gatt_on_pdu(g, r, payload);
	b = bearer_find(g, r->index, r->generation);
	if (b)
		forget(g, b, payload);
	if (b && sim_plant_now(PLANT_bearer_ended, 50))
		bearer_end(g, b, 0x13);
}

void __real_gatt_on_request(struct gatt *g, struct bytes payload);
void __wrap_gatt_on_request(struct gatt *g, struct bytes payload);
void __wrap_gatt_on_request(struct gatt *g, struct bytes payload)
{
	__real_gatt_on_request(g, payload);
	if (sim_plant_now(PLANT_request_twice, 200))
		__real_gatt_on_request(g, payload);
}

void __real_bearer_set_ready(struct gatt *g, const struct bearer *b);
void __wrap_bearer_set_ready(struct gatt *g, const struct bearer *b);
void __wrap_bearer_set_ready(struct gatt *g, const struct bearer *b)
{
	if (sim_plant_now(PLANT_edit_unlogged, 100))
		((struct attribute *)(uintptr_t)attribute_at(g, 0))->echo++;
	__real_bearer_set_ready(g, b);
}
