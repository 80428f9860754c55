/* tests/simulation/sim_plants.c - one planted mistake for each invariant, put in place of a product's function by --wrap.
 *
 * Each has to be caught, by the invariant that it is for, or the invariant is worth nothing. */
#include "tests/simulation/sim_plants.h"

static const struct { const char *name; enum sim_invariant by; } plants[] = {
#define ROW(n, i) [PLANT_##n] = { #n, INVARIANT_##i },
	PLANTS(ROW)
#undef ROW
};

int sim_plant_find(const char *name)
{
	for (int i = 1; i < PLANT_COUNT; i++)
		if (!strcmp(plants[i].name, name))
			return i;
	return 0;
}

const char *sim_plant_name(int plant, enum sim_invariant *ret_caught_by)
{
	if (plant < 1 || plant >= PLANT_COUNT)
		return NULL;
	*ret_caught_by = plants[plant].by;
	return plants[plant].name;
}

/* Now and then, once the pipeline is up: nobody's mistake shows at once. */
bool sim_plant_now(enum sim_plant p, unsigned permille)
{
	return sim.plant == (int)p && sim_operator_ready() && sim_chance(permille);
}

bool sim_plant_attach_unkicked(void) { return sim_plant_now(PLANT_attach_unkicked, 1000); }
bool sim_plant_needs_deaths(void) { return sim.plant == PLANT_attach_unkicked; }
bool sim_plant_kick_lost(void) { return sim_plant_now(PLANT_kick_lost, 20); }

_Noreturn void __wrap_arena_panic(const char *what);
_Noreturn void __wrap_arena_panic(const char *what)
{
	sim_fail(INVARIANT_arena, "%s panics: %s", sim.running ? sim_who_name(sim.running->who) : "the test", what);
}

uint32_t __real_window_renew(uint32_t *extra, uint32_t most, uint32_t *spare, uint32_t owed);
uint32_t __wrap_window_renew(uint32_t *extra, uint32_t most, uint32_t *spare, uint32_t owed);
uint32_t __wrap_window_renew(uint32_t *extra, uint32_t most, uint32_t *spare, uint32_t owed)
{
	uint32_t octets = __real_window_renew(extra, most, spare, owed);

	if (*spare && sim_plant_now(PLANT_chunk_lost, 100))
		(*spare)--;
	return octets;
}
