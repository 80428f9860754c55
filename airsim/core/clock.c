/* Virtual time: what is due, and when something will be. */
#include "airsim/core/state.h"

/* Vol 6, Part B, 4.4.2.4.3: high duty cycle directed advertising ends by itself. */
static void advertising_expired(struct air *a, unsigned id)
{
	struct air_addr peer = air_controller(a, id)->advertiser.peer;

	air_advertising_stop(a, id);
	air_connection_failed(a, id, HCI_ERROR_ADVERTISING_TIMEOUT, ROLE_PERIPHERAL, &peer);
}

void air_advance(struct air *air, uint64_t now_ns)
{
	air->now_ns = MAX(air->now_ns, now_ns);
	if (air_deadline(air) > air->now_ns)
		return;
	for (unsigned id = 0; id < air->top; id++) {
		const struct air_advertiser *v = &air_controller(air, id)->advertiser;

		if (v->enabled && v->armed && v->next_ns <= air->now_ns && v->next_ns < v->until_ns)
			air_advertising_event(air, id);
		if (v->enabled && v->until_ns <= air->now_ns)
			advertising_expired(air, id);
	}
	air_connections_timeout(air);
	air->deadline_stale = true;
}

uint64_t air_deadline(struct air *air)
{
	uint64_t at = AIR_NEVER;

	if (!air->deadline_stale)
		return air->deadline_ns;
	for (unsigned id = 0; id < air->top; id++) {
		const struct air_controller *c = air_controller(air, id);
		const struct air_advertiser *v = &c->advertiser;

		if (!v->enabled || c->silent)
			continue;
		if (v->armed)
			at = MIN(at, v->next_ns);
		at = MIN(at, v->until_ns);
	}
	for (uint32_t n = air->lost_connections; n != AIR_NO_INDEX; n = air->all_connections[n].next)
		at = MIN(at, air->all_connections[n].lost_deadline_ns);
	air->deadline_ns = at;
	air->deadline_stale = false;
	return at;
}
