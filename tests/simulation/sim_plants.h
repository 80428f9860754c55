/* tests/simulation/sim_plants.h - one planted mistake for each invariant, put in place of a product's function by --wrap.
 *
 * Each has to be caught, by the invariant that it is for, or the invariant is worth nothing. */
#pragma once
#include "tests/simulation/sim.h"

#define PLANTS(ROW) \
	ROW(told_twice, order) ROW(credit_too_much, credits) ROW(chunk_lost, credits) ROW(buffers_kept, buffers) ROW(connection_leaks, pools) \
	ROW(mtu_smaller, mtu) ROW(subscription_forgotten, cccd) ROW(credit_to_the_dead, dead) ROW(kick_lost, progress) \
	ROW(bearer_ended, kept) ROW(request_twice, replies) ROW(edit_unlogged, arena) ROW(attach_unkicked, progress)
enum sim_plant {
	PLANT_NONE,
#define ROW(n, i) PLANT_##n,
	PLANTS(ROW)
#undef ROW
	PLANT_COUNT
};

/* Now and then, once the pipeline is up. */
bool sim_plant_now(enum sim_plant p, unsigned permille);
