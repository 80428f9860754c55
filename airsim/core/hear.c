/* Who hears whom: advertising events, and what scanners and initiators make of them.
 *
 * An advertiser has a timer only while somebody would do something with what it says ("armed").  When it is armed its first
 * event is at once: nobody has heard it before, so any phase of its interval is as true as another. */
#include "airsim/core/state.h"

enum { RSSI = -45 };	/* dBm; everything is near */

static bool is_connectable(const struct air_advertiser *v)
{
	return v->type == AIR_ADV_IND || v->type == AIR_ADV_DIRECT_HIGH || v->type == AIR_ADV_DIRECT_LOW;
}
static bool is_directed(const struct air_advertiser *v)
{
	return v->type == AIR_ADV_DIRECT_HIGH || v->type == AIR_ADV_DIRECT_LOW;
}
static bool is_scannable(const struct air_advertiser *v)
{
	return v->type == AIR_ADV_IND || v->type == AIR_ADV_SCAN_IND;
}

bool air_accepts(const struct air_controller *c, const struct air_addr *address)
{
	for (unsigned i = 0; i < c->accept_count; i++)
		if (air_addr_equal(&c->accept[i], address))
			return true;
	return false;
}

static bool seen(const struct air_scanner *s, bool response, unsigned id)
{
	return s->filter_duplicates && (s->seen[response][id / 64] >> id % 64 & 1);
}

/* Would this scanner ask for the scan response, and be answered?  Core 5.4, Vol 6, Part B, 4.4.3.2 */
static bool asks(struct air *a, unsigned scanner, unsigned advertiser)
{
	const struct air_controller *s = air_controller(a, scanner), *v = air_controller(a, advertiser);
	struct air_addr own = air_own_address(s, s->scanner.own_type);

	return s->scanner.active && is_scannable(&v->advertiser) && (!(v->advertiser.filter_policy & 1) || air_accepts(v, &own));
}

/* Does an advertising event of `advertiser` still tell `scanner` something?  Vol 6, Part B, 4.3.3 */
static bool scans(struct air *a, unsigned scanner, unsigned advertiser)
{
	const struct air_controller *s = air_controller(a, scanner), *v = air_controller(a, advertiser);
	struct air_addr from = air_own_address(v, v->advertiser.own_type), own = air_own_address(s, s->scanner.own_type);

	if (!s->scanner.enabled)
		return false;
	if ((s->scanner.filter_policy & 1) && !air_accepts(s, &from))
		return false;
	if (is_directed(&v->advertiser) && !air_addr_equal(&v->advertiser.peer, &own))
		return false;
	return !seen(&s->scanner, false, advertiser) || (asks(a, scanner, advertiser) && !seen(&s->scanner, true, advertiser));
}

/* Would `initiator` connect to `advertiser`?  Vol 6, Part B, 4.3.4 and 4.3.5 */
static bool initiates(struct air *a, unsigned initiator, unsigned advertiser)
{
	const struct air_controller *i = air_controller(a, initiator), *v = air_controller(a, advertiser);
	struct air_addr to = air_own_address(v, v->advertiser.own_type), own = air_own_address(i, i->initiator.own_type);

	if (!i->initiator.pending || !is_connectable(&v->advertiser))
		return false;
	if (i->initiator.filter_policy ? !air_accepts(i, &to) : !air_addr_equal(&i->initiator.peer, &to))
		return false;
	if (is_directed(&v->advertiser))
		return air_addr_equal(&v->advertiser.peer, &own);
	return !(v->advertiser.filter_policy & 2) || air_accepts(v, &own);
}

static bool hears(struct air *a, unsigned listener, unsigned advertiser)
{
	const struct air_controller *l = air_controller(a, listener), *v = air_controller(a, advertiser);

	return listener != advertiser && l->attached && !l->silent && v->attached && !v->silent && v->advertiser.enabled;
}

static void arm(struct air *a, unsigned id)
{
	struct air_advertiser *v = &air_controller(a, id)->advertiser;

	v->armed = true;
	v->next_ns = a->now_ns;
	a->deadline_stale = true;
}

static bool interests(struct air *a, unsigned listener, unsigned advertiser)
{
	return hears(a, listener, advertiser) && (scans(a, listener, advertiser) || initiates(a, listener, advertiser));
}

void air_arm_advertiser(struct air *a, unsigned id)
{
	const struct air_advertiser *v = &air_controller(a, id)->advertiser;

	if (!v->enabled || v->armed || !a->listeners)
		return;
	for (unsigned l = 0; l < a->top; l++)
		if (interests(a, l, id)) {
			arm(a, id);
			return;
		}
}

void air_arm_listener(struct air *a, unsigned id)
{
	for (unsigned v = 0; v < a->top; v++)
		if (!air_controller(a, v)->advertiser.armed && interests(a, id, v))
			arm(a, v);
}

void air_listener_gone(struct air *a)
{
	a->listeners--;
	a->deadline_stale = true;
	if (a->listeners)
		return;
	for (unsigned v = 0; v < a->top; v++)
		air_controller(a, v)->advertiser.armed = false;
}

void air_scan_stop(struct air *a, unsigned id)
{
	struct air_scanner *s = &air_controller(a, id)->scanner;

	if (!s->enabled)
		return;
	s->enabled = false;
	air_listener_gone(a);
}

void air_initiate_stop(struct air *a, unsigned id)
{
	struct air_initiator *i = &air_controller(a, id)->initiator;

	if (!i->pending)
		return;
	i->pending = false;
	air_listener_gone(a);
}

void air_advertising_stop(struct air *a, unsigned id)
{
	struct air_advertiser *v = &air_controller(a, id)->advertiser;

	v->enabled = v->armed = false;
	v->until_ns = AIR_NEVER;
	a->deadline_stale = true;
}

void air_unsee(struct air *a, unsigned advertiser)
{
	for (unsigned s = 0; s < a->top; s++) {
		struct air_scanner *n = &air_controller(a, s)->scanner;

		n->seen[0][advertiser / 64] &= ~(1ull << advertiser % 64);
		n->seen[1][advertiser / 64] &= ~(1ull << advertiser % 64);
	}
}

static void report(struct air *a, unsigned scanner, unsigned advertiser, bool response)
{
	static const uint8_t event_type[] = {	/* by enum air_advertising_type */
		HCI_REPORT_ADV_IND, HCI_REPORT_ADV_DIRECT_IND, HCI_REPORT_ADV_SCAN_IND, HCI_REPORT_ADV_NONCONN_IND,
		HCI_REPORT_ADV_DIRECT_IND,
	};
	const struct air_advertiser *v = &air_controller(a, advertiser)->advertiser;
	const struct air_addr from = air_own_address(air_controller(a, advertiser), v->own_type);
	struct air_scanner *s = &air_controller(a, scanner)->scanner;
	struct hci_report m = { .type = response ? HCI_REPORT_SCAN_RSP : event_type[v->type], .address_type = from.type,
	    .data = { response ? v->scan_data : v->data, response ? v->scan_length : v->length }, .rssi = RSSI };
	uint8_t reports[64], buf[80];
	struct wr r = wr_into(reports, sizeof reports), w = wr_into(buf, sizeof buf);

	if (seen(s, response, advertiser))
		return;
	if (!air_room(a, scanner, AIR_ROOM_REPORT)) {
		a->counters.reports_dropped++;
		return;
	}
	s->seen[response][advertiser / 64] |= 1ull << advertiser % 64;
	if (is_directed(v))
		m.data.len = 0;			/* ADV_DIRECT_IND carries none */
	memcpy(m.address, from.octets, 6);
	hci_report_add(&r, &m);
	hci_le_event_advertising_report_encode(
	    &(struct hci_le_event_advertising_report){ 1, { reports, wr_len(&r) } }, &w);
	a->counters.reports++;
	air_le_event(a, scanner, HCI_LE_EVENT_ADVERTISING_REPORT, &w);
}

/* The first that may, beginning with another one each time: no initiator starves. */
static bool connect_one(struct air *a, unsigned advertiser, const uint64_t *deaf)
{
	if (!air_connection_possible(a, advertiser) || !air_room(a, advertiser, AIR_ROOM_CONNECT))
		return false;
	for (unsigned n = 0; n < a->top; n++) {
		unsigned i = (a->turn + n) % a->top;

		if ((deaf[i / 64] >> i % 64 & 1) || !hears(a, i, advertiser) || !initiates(a, i, advertiser))
			continue;
		if (!air_connection_possible(a, i) || !air_room(a, i, AIR_ROOM_CONNECT))
			continue;
		a->turn = (uint16_t)((i + 1) % a->top);
		air_connect(a, i, advertiser);
		return true;
	}
	return false;
}

void air_advertising_event(struct air *a, unsigned id)
{
	struct air_advertiser *v = &air_controller(a, id)->advertiser;
	uint64_t deaf[AIR_CONTROLLERS_MAX / 64] = { 0 };	/* to this event: the fault */
	bool wanted = false;

	for (unsigned l = 0; l < a->top; l++) {
		if (a->faults.advertisements_lost_permille && hears(a, l, id) &&
		    air_random(a) % 1000 < a->faults.advertisements_lost_permille)
			deaf[l / 64] |= 1ull << l % 64;
		else if (hears(a, l, id) && scans(a, l, id)) {
			report(a, l, id, false);
			if (asks(a, l, id))
				report(a, l, id, true);
		}
	}
	if (connect_one(a, id, deaf))
		return;
	for (unsigned l = 0; l < a->top && !wanted; l++)
		wanted = interests(a, l, id);
	v->armed = wanted;
	v->next_ns += v->interval_ns;
	if (v->next_ns <= a->now_ns)		/* the caller was late: events that nobody could hear are not made up */
		v->next_ns = a->now_ns + v->interval_ns;
	a->deadline_stale = true;
}
