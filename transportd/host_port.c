/* transportd/host_port.c */
#include <string.h>
#include "base/types.h"
#include "transportd/h4.h"
#include "transportd/host_port.h"

enum { WRAP_FACTOR = 2 };		/* a wrap wastes less than the record that did not fit before the end */

struct host_port host_port_of(struct step *s, bool (*lacks)(void *ctx, bool lacks), void *ctx)
{
	return (struct host_port){ s, ring_payload_max(s->link[LINK_DOWN].out.size), lacks, ctx };
}

bool host_port_open(const struct step *s) { return step_linked(s, LINK_DOWN) && !(s->fresh & 1u << LINK_DOWN); }

uint64_t host_port_need(const struct step *s, uint8_t kind, uint32_t body_octets)
{
	return WRAP_FACTOR * record_octets(body_octets) + (kind == RECORD_HCI_EVENT ? 0 : s->link[LINK_DOWN].out.size / 8);
}

uint64_t host_port_room(struct step *s, uint64_t want) { return ring_room(&s->link[LINK_DOWN].out, want); }

/* Whose data this is, for who has to end its connection without a look at the payload: index is the handle, generation 1 says
 * that there is one (handle 0 is as good as any).  Core 5.4, Vol 4, Part E, 5.4.2, 5.4.3, 5.4.5: its low 12 bits come first. */
static struct record header_of(uint8_t kind, struct bytes body)
{
	struct record h = { .len = (uint32_t)body.len, .kind = kind };

	if ((kind == RECORD_HCI_ACL || kind == RECORD_HCI_SCO || kind == RECORD_HCI_ISO) && body.len >= 2) {
		h.index = (uint16_t)((body.at[0] | body.at[1] << 8) & 0x0FFF);
		h.generation = HOST_PORT_NAMED;
	}
	return h;
}

static bool lacks_room(struct host_port *p, uint64_t want)
{
	bool lacks = host_port_room(p->step, want) < want;

	return p->lacks ? p->lacks(p->ctx, lacks) : lacks;
}

int host_port_give(struct host_port *p, uint8_t kind, struct bytes body, struct host_port_tally *tally)
{
	uint64_t eighth = p->step->link[LINK_DOWN].out.size / 8, need = host_port_need(p->step, kind, (uint32_t)body.len);

	if (kind == RECORD_HCI_EVENT && h4_is_advertising(body) && lacks_room(p, need + eighth)) {
		tally->dropped++;
		return 0;
	}
	if (lacks_room(p, need))
		return HOST_PORT_FULL;
	memcpy(step_reserve(p->step, LINK_DOWN, (uint32_t)body.len), body.at, body.len);
	step_give(p->step, LINK_DOWN, header_of(kind, body));
	tally->packets[kind]++;
	tally->octets[kind] += body.len;
	return 0;
}

void host_port_count(struct step *s, const struct host_port_tally *tally, enum line_counter packets, enum line_counter octets)
{
	static const uint8_t column[HOST_PORT_KINDS] = {
		[RECORD_HCI_COMMAND] = 0, [RECORD_HCI_EVENT] = 0, [RECORD_HCI_ACL] = 1, [RECORD_HCI_SCO] = 2, [RECORD_HCI_ISO] = 3,
	};

	for (unsigned k = 1; k < HOST_PORT_KINDS; k++)
		if (tally->packets[k]) {
			step_count(s, packets + column[k], tally->packets[k]);
			step_count(s, octets + column[k], tally->octets[k]);
		}
	if (tally->dropped)
		step_count(s, LINE_advertising_dropped, tally->dropped);
}
