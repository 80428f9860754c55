/* The air itself: its memory, who is on it, and where a host's packets go. */
#include <errno.h>
#include "airsim/core/state.h"

/* Where each part lies in the memory given to air_init(). */
struct layout { size_t controllers, handles, connections, packets, end; uint32_t count, packet_count, stride, slots; };

static size_t part(size_t *at, size_t octets)
{
	size_t start = *at;

	*at = (start + octets + 63) & ~(size_t)63;
	return start;
}

static bool layout_of(const struct air_config *g, struct layout *l)
{
	size_t at = 0;
	uint32_t each;

	if (!g->controllers || g->controllers > AIR_CONTROLLERS_MAX || !g->connections || g->connections > AIR_CONNECTIONS_MAX)
		return false;
	if (g->acl_length < AIR_ACL_LENGTH_MIN || g->acl_length > AIR_ACL_LENGTH_MAX)
		return false;
	if (!g->acl_packets || g->acl_packets > AIR_ACL_PACKETS_MAX)
		return false;
	/* Events that may wait, its own ACL packets, and orphans (one more may be half taken). */
	each = AIR_ROOM_BASE + g->connections + 2u * g->acl_packets + 1;
	l->count = (uint32_t)g->controllers * g->connections / 2 + 1;
	l->packet_count = each * g->controllers;
	l->stride = (uint32_t)(sizeof(struct air_packet) + 1 + MAX((size_t)AIR_EVENT_MAX + 2, (size_t)g->acl_length + 4) + 63) & ~63u;
	l->slots = (uint32_t)g->connections * AIR_HANDLES_EACH;
	part(&at, sizeof(struct air));
	l->controllers = part(&at, sizeof(struct air_controller) * g->controllers);
	l->handles = part(&at, sizeof(uint32_t) * l->slots * g->controllers);
	l->connections = part(&at, sizeof(struct air_connection) * l->count);
	l->packets = part(&at, (size_t)l->stride * l->packet_count);
	l->end = at;
	return true;
}

struct air_config air_config_default(void)
{
	return (struct air_config){ .controllers = 64, .connections = 32, .acl_length = 251, .acl_packets = 8, .seed = 1 };
}

size_t air_size(const struct air_config *config)
{
	struct layout l;

	return layout_of(config, &l) ? l.end : 0;
}

struct air *air_init(void *memory, const struct air_config *config, struct air_faults faults)
{
	struct air *a = memory;
	uint8_t *base = memory;
	struct layout l;

	if (!layout_of(config, &l))
		return NULL;
	a->config = *config;
	a->faults = faults;
	a->random = config->seed;
	a->deadline_ns = AIR_NEVER;
	a->turn_first = a->turn_last = AIR_NOBODY;
	a->lost_connections = AIR_NO_INDEX;
	a->free_packets = AIR_NO_INDEX;
	a->packets = l.packet_count;
	a->packet_stride = l.stride;
	a->handle_slots = l.slots;
	a->controllers = (struct air_controller *)(void *)(base + l.controllers);
	a->handles = (uint32_t *)(void *)(base + l.handles);
	a->all_connections = (struct air_connection *)(void *)(base + l.connections);
	a->packet_memory = base + l.packets;
	for (uint32_t i = 0; i < l.count; i++)
		a->all_connections[i].next = i + 1 < l.count ? i + 1 : AIR_NO_INDEX;
	return a;
}

int air_attach(struct air *air)
{
	for (unsigned id = 0; id < air->config.controllers; id++) {
		struct air_controller *c = air_controller(air, id);
		uint32_t n;

		if (c->attached)
			continue;
		memset(c, 0, sizeof *c);
		n = ++air->attached_ever;
		c->attached = true;
		c->first = c->last = c->completed_first = AIR_NO_INDEX;
		c->next_in_turn = AIR_NOBODY;
		/* A locally administered range: 02:00:xx:xx:xx:xx, never twice. */
		memcpy(c->public_address, (uint8_t[6]){ (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24), 0, 2 }, 6);
		air_controller_reset(air, id);
		air_unsee(air, id);
		air->top = (uint16_t)MAX(air->top, id + 1);
		return (int)id;
	}
	return -ENOSPC;
}

static bool is_attached(const struct air *air, int id)
{
	return id >= 0 && id < air->top && air->controllers[id].attached;
}

void air_detach(struct air *air, int id)
{
	struct air_controller *c;
	uint16_t *at = &air->turn_first, before = AIR_NOBODY;

	if (!is_attached(air, id))
		return;
	c = air_controller(air, (unsigned)id);
	air_controller_reset(air, (unsigned)id);
	air_output_drop(air, (unsigned)id, true);
	while (*at != AIR_NOBODY && *at != id) {
		before = *at;
		at = &air->controllers[before].next_in_turn;
	}
	if (*at == id) {
		*at = c->next_in_turn;
		if (air->turn_last == id)
			air->turn_last = before;
	}
	c->attached = c->in_turn = false;
}

/* Core 5.4, Vol 4, Part E, 7.3.2: back to the defaults of the tables in 7.  What the host has not read yet stays; connections
 * end without a word, so the far side notices by its supervision timeout. */
void air_controller_reset(struct air *a, unsigned id)
{
	struct air_controller *c = air_controller(a, id);

	air_advertising_stop(a, id);
	air_scan_stop(a, id);
	air_initiate_stop(a, id);
	air_output_drop(a, id, false);
	air_connections_lose(a, id, true);
	memset(&c->advertiser, 0, sizeof c->advertiser);
	memset(&c->scanner, 0, sizeof c->scanner);
	c->advertiser.until_ns = AIR_NEVER;
	c->advertiser.interval_ns = 1280 * AIR_MS;
	c->accept_count = 0;
	memset(c->random_address, 0, 6);
	c->random_set = c->silent = false;
	c->event_mask = 0x00001FFFFFFFFFFFull;	/* 7.3.1 */
	c->le_event_mask = 0x1F;		/* 7.8.1 */
	c->suggested_octets = AIR_ACL_LENGTH_MIN;
	c->suggested_time = 0x0148;
	c->acl_used = 0;
}

void air_vanish(struct air *air, int id)
{
	if (!is_attached(air, id))
		return;
	air_controller(air, (unsigned)id)->silent = true;
	air_connections_lose(air, (unsigned)id, false);
	air->deadline_stale = true;
}

void air_address(const struct air *air, int id, uint8_t ret_address[6])
{
	memcpy(ret_address, air->controllers[id].public_address, 6);
}

int air_host_packet(struct air *air, int id, uint8_t type, struct bytes packet)
{
	if (!is_attached(air, id))
		return 0;
	switch (type) {
	case RECORD_HCI_COMMAND:
		air_on_command(air, (unsigned)id, packet);
		return 0;
	case RECORD_HCI_ACL:
		air_on_acl(air, (unsigned)id, packet);
		return 0;
	case RECORD_HCI_SCO:
	case RECORD_HCI_ISO:
		air->counters.acl_dropped++;	/* no such channel here: a handle that does not exist */
		return 0;
	default:
		air->counters.malformed++;
		return -EPROTO;
	}
}

const struct air_counters *air_counters(const struct air *air)
{
	return &air->counters;
}
