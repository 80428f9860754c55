/* What waits for each host: one queue of packets a controller, in the order in which they came to be.
 *
 * ACL packets keep their sender's end until they are taken; events are packets of the controller's own.  Number Of Completed
 * Packets is not queued: it is made when the host is written to next, for all handles at once. */
#include "airsim/core/state.h"

bool air_room(const struct air *a, unsigned id, enum air_room limit)
{
	return a->controllers[id].events < limit;
}

bool air_host_ready(const struct air *air, int id)
{
	return air_room(air, (unsigned)id, AIR_ROOM_COMMAND);
}

static uint32_t packet_new(struct air *a)
{
	uint32_t packet = a->free_packets;

	if (packet != AIR_NO_INDEX)
		a->free_packets = air_packet(a, packet)->next;
	else if (a->packets_used < a->packets)
		packet = a->packets_used++;	/* memory nobody has touched yet */
	return packet;
}

static void packet_free(struct air *a, uint32_t packet)
{
	air_packet(a, packet)->next = a->free_packets;
	a->free_packets = packet;
}

static void take_turn(struct air *a, unsigned id)
{
	struct air_controller *c = air_controller(a, id);

	if (c->in_turn)
		return;
	c->in_turn = true;
	c->next_in_turn = AIR_NOBODY;
	if (a->turn_first == AIR_NOBODY)
		a->turn_first = (uint16_t)id;
	else
		air_controller(a, a->turn_last)->next_in_turn = (uint16_t)id;
	a->turn_last = (uint16_t)id;
}

static void push(struct air *a, unsigned id, uint32_t packet)
{
	struct air_controller *c = air_controller(a, id);

	air_packet(a, packet)->next = AIR_NO_INDEX;
	if (c->first == AIR_NO_INDEX)
		c->first = packet;
	else
		air_packet(a, c->last)->next = packet;
	c->last = packet;
	take_turn(a, id);
}

uint32_t air_event_reserve(struct air *a, unsigned id)
{
	struct air_controller *c = air_controller(a, id);
	uint32_t packet;

	if (c->events >= AIR_ROOM_BASE + a->config.connections)
		return AIR_NO_INDEX;
	packet = packet_new(a);
	if (packet == AIR_NO_INDEX)
		return packet;
	c->events++;
	air_packet(a, packet)->sender = AIR_NO_INDEX;
	air_packet(a, packet)->acl = false;
	air_packet(a, packet)->len = 0;
	push(a, id, packet);
	return packet;
}

void air_event_fill(struct air *a, uint32_t packet, uint8_t code, const struct wr *parameters)
{
	struct air_packet *p = air_packet(a, packet);
	size_t len = wr_len(parameters);

	p->octets[0] = RECORD_HCI_EVENT;
	p->octets[1] = code;
	p->octets[2] = (uint8_t)len;
	memcpy(p->octets + 3, parameters->start, len);
	p->len = (uint16_t)(len + 3);
}

/* Core 5.4, Vol 4, Part E, 7.3.1: the events whose bit counts; the others cannot be masked. */
static bool event_wanted(const struct air_controller *c, uint8_t code)
{
	switch (code) {
	case HCI_EVENT_COMMAND_COMPLETE:
	case HCI_EVENT_COMMAND_STATUS:
	case HCI_EVENT_NUMBER_OF_COMPLETED_PACKETS:
		return true;
	default:
		return c->event_mask >> (code - 1) & 1;
	}
}

void air_event(struct air *a, unsigned id, uint8_t code, const struct wr *parameters)
{
	uint32_t packet;

	if (!event_wanted(air_controller(a, id), code))
		return;
	packet = air_event_reserve(a, id);
	if (packet != AIR_NO_INDEX)
		air_event_fill(a, packet, code, parameters);
}

bool air_le_event_wanted(const struct air *a, unsigned id, uint8_t subevent)
{
	const struct air_controller *c = &a->controllers[id];

	return event_wanted(c, HCI_EVENT_LE_META) && (c->le_event_mask >> (subevent - 1) & 1);
}

void air_le_event(struct air *a, unsigned id, uint8_t subevent, const struct wr *parameters)
{
	uint8_t buf[AIR_EVENT_MAX];
	struct wr w = wr_into(buf, sizeof buf);

	if (!air_le_event_wanted(a, id, subevent))
		return;
	hci_event_le_meta_encode(&(struct hci_event_le_meta){ subevent, { parameters->start, wr_len(parameters) } }, &w);
	air_event(a, id, HCI_EVENT_LE_META, &w);
}

/* There is always a packet: the sender's credit was checked, and the pool holds all credits of all controllers. */
void air_acl_push(struct air *a, unsigned id, uint32_t sender, const struct hci_acl_packet *packet)
{
	uint32_t index = packet_new(a);
	struct air_packet *p;
	struct wr w;

	if (index == AIR_NO_INDEX)
		return;
	p = air_packet(a, index);
	w = wr_into(p->octets, 1 + HCI_ACL_HEADER + packet->data.len);
	wr_le(&w, RECORD_HCI_ACL, 1);
	hci_acl_header(&w, packet->handle, packet->boundary, (uint16_t)packet->data.len);
	wr_bytes(&w, packet->data);
	p->sender = sender;
	p->acl = true;
	p->len = (uint16_t)wr_len(&w);
	push(a, id, index);
}

void air_completed(struct air *a, uint32_t index)
{
	struct air_end *e = air_end(a, index);
	struct air_controller *c;

	if (e->controller == AIR_NOBODY)
		return;
	c = air_controller(a, e->controller);
	c->acl_used--;
	e->outstanding--;
	e->completed++;
	if (!e->listed) {
		e->listed = true;
		e->next_completed = c->completed_first;
		c->completed_first = index;
	}
	take_turn(a, e->controller);
}

/* Core 5.4, Vol 4, Part E, 7.7.19: one event for as many handles as fit. */
static void tell_completed(struct air *a, unsigned id)
{
	struct air_controller *c = air_controller(a, id);

	while (c->completed_first != AIR_NO_INDEX && air_room(a, id, AIR_ROOM_COMPLETED)) {
		uint8_t items[4 * 60], buf[AIR_EVENT_MAX];
		struct wr i = wr_into(items, sizeof items), w = wr_into(buf, sizeof buf);

		while (c->completed_first != AIR_NO_INDEX && wr_len(&i) < sizeof items) {
			struct air_end *e = air_end(a, c->completed_first);

			hci_completed_add(&i, (struct hci_completed){ e->handle, e->completed });
			e->completed = 0;
			e->listed = false;
			c->completed_first = e->next_completed;
		}
		hci_event_number_of_completed_packets_encode(&(struct hci_event_number_of_completed_packets){
		    (uint8_t)(wr_len(&i) / 4), { items, wr_len(&i) } }, &w);
		air_event(a, id, HCI_EVENT_NUMBER_OF_COMPLETED_PACKETS, &w);
	}
}

int air_output_next(struct air *air)
{
	uint16_t id = air->turn_first;
	struct air_controller *c;

	if (id == AIR_NOBODY)
		return -1;
	c = air_controller(air, id);
	air->turn_first = c->next_in_turn;
	if (air->turn_first == AIR_NOBODY)
		air->turn_last = AIR_NOBODY;
	c->in_turn = false;
	return id;
}

unsigned air_output(struct air *air, int id, struct bytes *ret_pieces, unsigned max)
{
	struct air_controller *c = air_controller(air, (unsigned)id);
	uint32_t taken = c->taken;
	unsigned n = 0;

	tell_completed(air, (unsigned)id);
	for (uint32_t at = c->first; at != AIR_NO_INDEX && n < max; n++) {
		const struct air_packet *p = air_packet(air, at);

		ret_pieces[n] = (struct bytes){ p->octets + taken, p->len - taken };
		taken = 0;
		at = p->next;
	}
	return n;
}

/* The packet has left the queue: give back what it stood for. */
static void released(struct air *a, struct air_controller *c, uint32_t packet)
{
	const struct air_packet *p = air_packet(a, packet);

	if (!p->acl)
		c->events--;
	else if (p->sender == AIR_NO_INDEX)
		c->orphans--;
	packet_free(a, packet);
}

void air_output_taken(struct air *air, int id, size_t octets)
{
	struct air_controller *c = air_controller(air, (unsigned)id);

	while (octets && c->first != AIR_NO_INDEX) {
		uint32_t packet = c->first;
		const struct air_packet *p = air_packet(air, packet);
		size_t left = p->len - c->taken;

		if (octets < left) {
			c->taken += (uint32_t)octets;
			return;
		}
		octets -= left;
		c->taken = 0;
		c->first = p->next;
		if (c->first == AIR_NO_INDEX)
			c->last = AIR_NO_INDEX;
		if (p->acl) {
			air->counters.acl_forwarded++;
			if (p->sender != AIR_NO_INDEX)
				air_completed(air, p->sender);
		}
		released(air, c, packet);
	}
}

/* Walks the queue; what `gone` says leaves it.  A packet that the host has begun to take must stay whole. */
struct sieve { uint32_t end; bool all, events; };

static bool gone(struct air *a, struct air_controller *c, uint32_t packet, const struct sieve *s)
{
	struct air_packet *p = air_packet(a, packet);
	bool begun = packet == c->first && c->taken;

	if (!p->acl)
		return s->events;
	if (!s->all && p->sender != s->end)
		return false;
	if (!s->all || begun) {			/* it outlives its connection, as far as there is room */
		if (p->sender == AIR_NO_INDEX)
			return false;
		p->sender = AIR_NO_INDEX;
		c->orphans++;
		if (begun || c->orphans <= a->config.acl_packets)
			return false;
	}
	a->counters.acl_flushed++;
	return true;
}

static void sift(struct air *a, unsigned id, const struct sieve *s)
{
	struct air_controller *c = air_controller(a, id);
	uint32_t before = AIR_NO_INDEX, at = c->first;

	while (at != AIR_NO_INDEX) {
		uint32_t next = air_packet(a, at)->next;

		if (gone(a, c, at, s)) {
			if (before == AIR_NO_INDEX)
				c->first = next;
			else
				air_packet(a, before)->next = next;
			if (at == c->last)
				c->last = before;
			released(a, c, at);
		} else {
			before = at;
		}
		at = next;
	}
}

void air_output_forget_end(struct air *a, uint32_t index)
{
	struct air_end *e = air_end(a, index), *far = air_end(a, index ^ 1);
	struct air_controller *c;
	uint32_t *at;

	if (far->controller != AIR_NOBODY)
		sift(a, far->controller, &(struct sieve){ .end = index });
	if (e->controller == AIR_NOBODY)
		return;
	c = air_controller(a, e->controller);
	c->acl_used = (uint16_t)(c->acl_used - e->outstanding);
	e->outstanding = e->completed = 0;
	for (at = &c->completed_first; *at != AIR_NO_INDEX; at = &air_end(a, *at)->next_completed)
		if (*at == index) {
			*at = e->next_completed;
			break;
		}
	e->listed = false;
}

void air_output_drop(struct air *a, unsigned id, bool events)
{
	struct air_controller *c = air_controller(a, id);

	if (events)
		c->taken = 0;			/* the host is gone: nothing has to stay whole */
	sift(a, id, &(struct sieve){ .all = true, .events = events });
}
