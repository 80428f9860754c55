/* ACL data: from one host's buffer credit to the other host's output, by one copy. */
#include "airsim/core/state.h"

static void overflow(struct air *a, unsigned id)
{
	uint8_t buf[8];
	struct wr w = wr_into(buf, sizeof buf);

	a->counters.acl_overflow++;
	if (!air_room(a, id, AIR_ROOM_PEER))
		return;
	hci_event_data_buffer_overflow_encode(&(struct hci_event_data_buffer_overflow){ 0x01 }, &w);	/* 7.7.26: ACL */
	air_event(a, id, HCI_EVENT_DATA_BUFFER_OVERFLOW, &w);
}

void air_on_acl(struct air *a, unsigned id, struct bytes packet)
{
	struct air_controller *c = air_controller(a, id);
	struct hci_acl_packet p;
	uint32_t end;
	struct air_end *far;

	if (!hci_acl_packet_decode(packet, &p)) {
		a->counters.malformed++;
		return;
	}
	end = air_end_find(a, id, p.handle);
	if (end == AIR_NO_INDEX) {		/* also what is still on its way when a connection ends */
		a->counters.acl_dropped++;
		return;
	}
	if (p.data.len > a->config.acl_length || c->acl_used >= a->config.acl_packets) {
		overflow(a, id);
		return;
	}
	c->acl_used++;
	air_end(a, end)->outstanding++;
	/* A host sends LE data as a start that must not be flushed, or a continuation; no broadcast; never empty. */
	if (p.boundary > HCI_CONTINUING || p.broadcast || !p.data.len) {
		a->counters.acl_dropped++;
		air_completed(a, end);
		return;
	}
	if (air_connection_of(a, end)->lost) {	/* never acknowledged: its buffer is held until the connection ends */
		a->counters.acl_flushed++;
		return;
	}
	far = air_end(a, end ^ 1);
	p.handle = far->handle;
	if (p.boundary == HCI_FIRST_NON_FLUSHABLE)
		p.boundary = HCI_FIRST_FLUSHABLE;	/* Core 5.4, Vol 4, Part E, 5.4.2: so it reads towards a host */
	air_acl_push(a, far->controller, end, &p);
}
