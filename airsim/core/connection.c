/* Connections: how they come to be, end, and are lost. */
#include "airsim/core/state.h"

bool air_connection_possible(const struct air *a, unsigned id)
{
	return a->controllers[id].connections < a->config.connections && a->free_connections != AIR_NO_INDEX;
}

/* A handle that has not been used for as long as possible: data for an ended connection may still be on its way. */
static uint16_t handle_new(struct air *a, unsigned id, uint32_t end)
{
	struct air_controller *c = air_controller(a, id);
	uint32_t *slots = a->handles + (size_t)id * a->handle_slots;
	uint32_t slot = c->next_slot;

	while (slots[slot])
		slot = (slot + 1) % a->handle_slots;
	slots[slot] = end + 1;
	c->next_slot = (uint16_t)((slot + 1) % a->handle_slots);
	c->connections++;
	return (uint16_t)(slot + AIR_HANDLE_FIRST);
}

static void handle_free(struct air *a, const struct air_end *e)
{
	a->handles[(size_t)e->controller * a->handle_slots + e->handle - AIR_HANDLE_FIRST] = 0;
	air_controller(a, e->controller)->connections--;
}

static void tell_connected(struct air *a, uint8_t status, unsigned id, const struct hci_le_event_enhanced_connection_complete *m)
{
	uint8_t buf[64];
	struct wr w = wr_into(buf, sizeof buf);

	if (air_le_event_wanted(a, id, HCI_LE_EVENT_ENHANCED_CONNECTION_COMPLETE)) {	/* 7.7.65.10: instead of the other */
		hci_le_event_enhanced_connection_complete_encode(m, &w);
		air_le_event(a, id, HCI_LE_EVENT_ENHANCED_CONNECTION_COMPLETE, &w);
		return;
	}
	struct hci_le_event_connection_complete plain = { .status = status, .handle = m->handle, .role = m->role,
	    .peer_type = m->peer_type, .interval = m->interval, .latency = m->latency, .timeout = m->timeout };
	memcpy(plain.peer, m->peer, 6);
	hci_le_event_connection_complete_encode(&plain, &w);
	air_le_event(a, id, HCI_LE_EVENT_CONNECTION_COMPLETE, &w);
}

void air_connection_failed(struct air *a, unsigned id, uint8_t status, uint8_t role, const struct air_addr *peer)
{
	struct hci_le_event_enhanced_connection_complete m = { .status = status, .role = role, .peer_type = peer->type };

	memcpy(m.peer, peer->octets, 6);
	tell_connected(a, status, id, &m);
}

static void end_start(struct air *a, uint32_t index, unsigned id, uint8_t own_type)
{
	const struct air_controller *c = &a->controllers[id];
	struct air_end *e = air_end(a, index);

	e->controller = (uint16_t)id;
	e->handle = handle_new(a, id, index);
	e->tx_octets = AIR_ACL_LENGTH_MIN;	/* until a data length update: Vol 6, Part B, 4.5.10 */
	e->tx_time = 0x0148;
	e->tx_phy = 1;
	e->address = air_own_address(c, own_type);
}

static void end_tell(struct air *a, uint32_t index)
{
	const struct air_connection *k = air_connection_of(a, index);
	const struct air_end *e = air_end(a, index), *far = air_end(a, index ^ 1);
	struct hci_le_event_enhanced_connection_complete m = { .handle = e->handle, .role = index & 1,
	    .peer_type = far->address.type, .interval = k->interval, .latency = k->latency, .timeout = k->timeout };

	memcpy(m.peer, far->address.octets, 6);
	tell_connected(a, HCI_SUCCESS, e->controller, &m);
}

void air_connect(struct air *a, unsigned initiator, unsigned advertiser)
{
	const struct air_initiator *i = &a->controllers[initiator].initiator;
	uint32_t n = a->free_connections;
	struct air_connection *k = &a->all_connections[n];

	a->free_connections = k->next;
	memset(k, 0, sizeof *k);
	k->used = true;
	k->next = AIR_NO_INDEX;
	k->interval = i->interval;
	k->latency = i->latency;
	k->timeout = i->timeout;
	end_start(a, 2 * n, initiator, i->own_type);
	end_start(a, 2 * n + 1, advertiser, a->controllers[advertiser].advertiser.own_type);
	air_initiate_stop(a, initiator);
	air_advertising_stop(a, advertiser);
	a->counters.connections++;
	end_tell(a, 2 * n);
	end_tell(a, 2 * n + 1);
}

static void unlose(struct air *a, uint32_t n)
{
	uint32_t *at = &a->lost_connections;

	while (*at != n)
		at = &a->all_connections[*at].next;
	*at = a->all_connections[n].next;
	a->deadline_stale = true;
}

void air_disconnect(struct air *a, uint32_t n, uint8_t reason0, uint8_t reason1)
{
	struct air_connection *k = &a->all_connections[n];
	const uint8_t reason[2] = { reason0, reason1 };

	air_output_forget_end(a, 2 * n);
	air_output_forget_end(a, 2 * n + 1);
	if (k->lost)
		unlose(a, n);
	for (unsigned side = 0; side < 2; side++) {
		const struct air_end *e = &k->end[side];
		uint8_t buf[16];
		struct wr w = wr_into(buf, sizeof buf);

		if (e->controller == AIR_NOBODY)
			continue;
		handle_free(a, e);
		hci_event_disconnection_complete_encode(
		    &(struct hci_event_disconnection_complete){ HCI_SUCCESS, e->handle, reason[side] }, &w);
		air_event(a, e->controller, HCI_EVENT_DISCONNECTION_COMPLETE, &w);
	}
	k->used = k->lost = false;
	k->next = a->free_connections;
	a->free_connections = n;
}

/* Nothing was heard of one side from now on: Core 5.4, Vol 6, Part B, 4.5.2. */
static void lose(struct air *a, uint32_t n)
{
	struct air_connection *k = &a->all_connections[n];

	if (k->lost)
		return;
	k->lost = true;
	k->lost_deadline_ns = a->now_ns + k->timeout * 10 * AIR_MS;
	k->next = a->lost_connections;
	a->lost_connections = n;
	a->deadline_stale = true;
}

void air_connections_lose(struct air *a, unsigned id, bool leave)
{
	struct air_controller *c = air_controller(a, id);
	uint32_t *slots = a->handles + (size_t)id * a->handle_slots;

	for (uint32_t slot = 0; slot < a->handle_slots && c->connections; slot++) {
		uint32_t index = slots[slot] - 1;
		struct air_end *e;

		if (!slots[slot])
			continue;
		lose(a, index / 2);
		if (!leave)
			continue;
		air_output_forget_end(a, index);
		e = air_end(a, index);
		handle_free(a, e);
		e->controller = AIR_NOBODY;
		if (air_end(a, index ^ 1)->controller == AIR_NOBODY)	/* both have left: nobody is there to be told */
			air_disconnect(a, index / 2, HCI_ERROR_CONNECTION_TIMEOUT, HCI_ERROR_CONNECTION_TIMEOUT);
	}
}

void air_connections_timeout(struct air *a)
{
	uint32_t n = a->lost_connections;

	while (n != AIR_NO_INDEX) {
		uint32_t next = a->all_connections[n].next;

		if (a->all_connections[n].lost_deadline_ns <= a->now_ns) {
			a->counters.supervision_timeouts++;
			air_disconnect(a, n, HCI_ERROR_CONNECTION_TIMEOUT, HCI_ERROR_CONNECTION_TIMEOUT);
		}
		n = next;
	}
}
