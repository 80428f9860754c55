/* transportd/h4.c */
#include "base/types.h"
#include "transportd/h4.h"

/* Where a packet of each kind says how long it is; Core 5.4, Vol 4, Part E, 5.4. */
static const struct shape {
	uint8_t header;			/* octets */
	uint8_t at, octets;		/* of the length in it */
	uint16_t mask;			/* of its bits */
} shapes[] = {
	[RECORD_HCI_COMMAND] = { 3, 2, 1, 0xFF },	/* 5.4.1 */
	[RECORD_HCI_ACL] = { 4, 2, 2, 0xFFFF },		/* 5.4.2 */
	[RECORD_HCI_SCO] = { 3, 2, 1, 0xFF },		/* 5.4.3 */
	[RECORD_HCI_EVENT] = { 2, 1, 1, 0xFF },		/* 5.4.4 */
	[RECORD_HCI_ISO] = { 4, 2, 2, 0x3FFF },		/* 5.4.5: the two bits above are reserved */
};

enum { EVENT_LE_META = 0x3E, SUBEVENT_REPORT = 0x02, SUBEVENT_DIRECTED = 0x0B, SUBEVENT_EXTENDED = 0x0D };

static bool kind_known(uint8_t kind) { return kind >= RECORD_HCI_COMMAND && kind <= RECORD_HCI_ISO; }

/* Octets of the whole body, whose header is there. */
static uint32_t body_octets(const struct shape *s, const uint8_t *body)
{
	unsigned len = body[s->at];

	if (s->octets == 2)
		len |= (unsigned)body[s->at + 1] << 8;
	return s->header + (len & s->mask);
}

int h4_next(struct bytes in, uint32_t body_max, struct h4_packet *ret)
{
	struct h4_packet p = { 0 };
	const struct shape *s;
	uint32_t len;
	int r = H4_MORE;

	if (!in.len)
		goto out;
	p.kind = in.at[0];
	r = H4_BAD_TYPE;
	if (!kind_known(p.kind) || p.kind == RECORD_HCI_COMMAND)	/* only a host sends commands */
		goto out;
	s = &shapes[p.kind];
	r = H4_MORE;
	if (in.len < 1u + s->header)
		goto out;
	len = body_octets(s, in.at + 1);
	p.octets = 1 + len;
	r = H4_TOO_LONG;
	if (len > body_max)
		goto out;
	r = H4_MORE;
	if (in.len < p.octets)
		goto out;
	p.body = (struct bytes){ in.at + 1, len };
	r = 0;
out:
	*ret = p;
	return r;
}

bool h4_from_host(uint8_t kind, struct bytes body)
{
	if (!kind_known(kind) || kind == RECORD_HCI_EVENT)
		return false;
	return body.len >= shapes[kind].header && body.len == body_octets(&shapes[kind], body.at);
}

bool h4_is_advertising(struct bytes event)
{
	uint8_t sub;

	if (event.len < 3 || event.at[0] != EVENT_LE_META)
		return false;
	sub = event.at[2];
	return sub == SUBEVENT_REPORT || sub == SUBEVENT_DIRECTED || sub == SUBEVENT_EXTENDED;
}
