/* tests/simulation/sim_central.c - a central's HCI: bring-up, connections one after the other, fragments, credits.
 *
 * Octets by hand, Core 5.4, Vol 4, Part E: nothing of the product's HCI code judges what the product sends. */
#include "tests/simulation/sim_story.h"

enum { COMMAND = RECORD_HCI_COMMAND, ACL = RECORD_HCI_ACL, EVENT = RECORD_HCI_EVENT, STEPS = 4, CID_ATT = 4 };

static struct central centrals[SIM_CENTRALS];
static unsigned count;

static uint16_t le16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static void command(struct central *c, const uint8_t *at, uint32_t n)
{
	sim_tell_bytes("central", c->number, at, n);
	air_host_packet(sim_air, c->controller, COMMAND, (struct bytes){ at, n });
}
#define SAY(c, ...) do { const uint8_t at_[] = { __VA_ARGS__ }; command((c), at_, sizeof at_); } while (0)

static void look(struct central *c, uint64_t after_ns) { c->next_ns = min64(c->next_ns, sim.now_ns + after_ns); }

int sim_central_of_controller(int id)
{
	for (unsigned i = 0; i < count; i++)
		if (centrals[i].controller == id)
			return (int)i;
	sim_fail(INVARIANT_dead, "nobody has controller %d", id);
}

void sim_central_readable(unsigned i, uint64_t after_ns)
{
	centrals[i].read_ns = MIN(centrals[i].read_ns, sim.now_ns + after_ns);
}

static void on_air(struct central *c)
{
	c->controller = air_attach(sim_air);
	if (c->controller < 0)
		sim_fail(INVARIANT_dead, "no room on the air");
	air_address(sim_air, c->controller, c->address);
	c->state = CENTRAL_OFF;
	c->read_ns = NEVER;
	c->next_ns = sim.now_ns + sim_spread(100 * MS);
}

void sim_centrals_open(void)
{
	memset(centrals, 0, sizeof centrals);
	story_open_all();
	count = 1 + (unsigned)sim_below(6);
	for (unsigned i = 0; i < count; i++) {
		centrals[i].number = i;
		centrals[i].lives_most = 1 + (unsigned)sim_below(4);
		on_air(&centrals[i]);
	}
}

/* ---- life ---- */
static void bring_up(struct central *c)
{
	c->state = CENTRAL_BRINGUP;
	switch (c->step) {
	case 0: SAY(c, 0x03, 0x0C, 0); break;
	case 1: SAY(c, 0x01, 0x0C, 8, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x3D); break;
	case 2: SAY(c, 0x01, 0x20, 8, 0x0F, 0, 0, 0, 0, 0, 0, 0); break;
	case 3: SAY(c, 0x02, 0x20, 0); break;
	default:
		c->state = CENTRAL_IDLE;
		look(c, sim_spread(200 * MS));
	}
}

static void connect_now(struct central *c)
{
	uint8_t timeout = (uint8_t)(50 + sim_below(200));		/* 10 ms each */
	const uint8_t *a = sim_our_address;

	c->state = CENTRAL_CONNECTING;
	SAY(c, 0x0D, 0x20, 25, 0x10, 0, 0x10, 0, 0, 1, a[0], a[1], a[2], a[3], a[4], a[5], 0, 6, 0, 6, 0, 0, 0, timeout, 0, 0, 0, 0, 0);
}

void central_leave(struct central *c)
{
	c->leaving = true;
	c->state = CENTRAL_CLOSING;
	SAY(c, 0x06, 0x04, 3, (uint8_t)c->handle, (uint8_t)(c->handle >> 8), 0x13);
}

static void opened(struct central *c, const uint8_t *p, uint32_t n)
{
	if (n < 19 || p[1]) {		/* not now: once more */
		c->state = CENTRAL_IDLE;
		look(c, sim_spread(100 * MS));
		return;
	}
	c->state = CENTRAL_OPEN;
	c->handle = le16(p + 2);
	c->opened_ns = c->heard_ns = sim.moved_ns = sim.now_ns;
	c->in_controller = 0;
	c->in_len = c->frame_len = c->frame_at = 0;
	c->void_ = sim.credits_void;
	c->excused = c->leaving = false;
	c->lives++;
	sim.totals->lives++;
	sim_tell("central %u is connected", c->number);
	story_begin(c);
	look(c, 1);
}

/* Did anything happen in its time that may end a connection? */
static bool explained(const struct central *c)
{
	return c->leaving || c->excused || c->void_ || sim.excuse_all_ns >= c->opened_ns;
}

static void closed(struct central *c, uint8_t reason)
{
	sim_tell("central %u: connection ended, reason 0x%02X", c->number, reason);
	sim_judge(INVARIANT_kept);
	if (!explained(c))
		sim_fail(INVARIANT_kept, "central %u: its connection ended without a cause, reason 0x%02X", c->number, reason);
	if (!c->leaving)
		sim.totals->ended_by_fault++;
	story_end(c);
	sim.moved_ns = sim.now_ns;
	c->step = 0;
	c->state = c->lives >= c->lives_most ? CENTRAL_DONE : CENTRAL_OFF;	/* its Reset brings a silent controller back */
	c->next_ns = c->state == CENTRAL_DONE ? NEVER : sim.now_ns + sim_spread(300 * MS);
}

/* ---- out ---- */
bool central_may_send(const struct central *c) { return c->state == CENTRAL_OPEN && c->frame_at == c->frame_len; }

static void pump(struct central *c)
{
	while (c->frame_at < c->frame_len && c->in_controller < c->acl_count) {
		uint32_t n = MIN(c->frame_len - c->frame_at, (uint32_t)c->acl_len);
		uint8_t packet[4 + 1024] = { (uint8_t)c->handle, (uint8_t)(c->handle >> 8), (uint8_t)n, (uint8_t)(n >> 8) };

		packet[1] |= c->frame_at ? 0x10 : 0;
		memcpy(packet + 4, c->frame + c->frame_at, n);
		c->frame_at += n;
		c->in_controller++;
		air_host_packet(sim_air, c->controller, ACL, (struct bytes){ packet, 4 + n });
	}
}

void central_send(struct central *c, const uint8_t *pdu, uint32_t n)
{
	sim_tell_bytes("central", c->number, pdu, n);
	c->frame[0] = (uint8_t)n;
	c->frame[1] = (uint8_t)(n >> 8);
	c->frame[2] = CID_ATT;
	c->frame[3] = 0;
	memcpy(c->frame + 4, pdu, n);
	c->frame_len = 4 + n;
	c->frame_at = 0;
	sim.totals->pdus++;
	pump(c);
}

/* ---- in ---- */
static void on_acl(struct central *c, const uint8_t *p, uint32_t n)
{
	uint16_t handle = le16(p) & 0x0FFF;
	bool more = (p[1] >> 4 & 3) == 1;
	uint32_t len = le16(p + 2), need;

	sim_judge(INVARIANT_dead);
	if (handle != c->handle || (c->state != CENTRAL_OPEN && c->state != CENTRAL_CLOSING))
		sim_fail(INVARIANT_dead, "central %u hears data of connection 0x%04X, which is not there", c->number, handle);
	if (len != n - 4 || c->in_len + len > sizeof c->in)
		sim_fail(INVARIANT_order, "central %u: a fragment of %u octets in a packet of %u", c->number, len, n);
	if (more != (c->in_len != 0)) {
		if (!c->void_)
			sim_fail(INVARIANT_order, "central %u: a fragment out of place", c->number);
		c->in_len = 0;
		return;
	}
	memcpy(c->in + c->in_len, p + 4, len);
	c->in_len += len;
	need = c->in_len < 4 ? UINT32_MAX : 4u + le16(c->in);
	if (c->in_len < need)
		return;
	if (c->in_len > need && !c->void_)
		sim_fail(INVARIANT_order, "central %u: more octets than the L2CAP length says", c->number);
	c->in_len = 0;
	c->heard_ns = sim.moved_ns = sim.now_ns;
	sim_tell_bytes("central hears", c->number, c->in + 4, need - 4);
	sim.totals->pdus++;
	if (le16(c->in + 2) == CID_ATT && c->state == CENTRAL_OPEN)
		story_on_pdu(c, c->in + 4, need - 4);
}

static void on_answer(struct central *c, const uint8_t *p, uint32_t n)
{
	if (c->state != CENTRAL_BRINGUP || n < 4)
		return;
	if (c->step == 3 && n >= 7) {
		c->acl_len = le16(p + 4);
		c->acl_count = p[6];
	}
	c->step++;
	bring_up(c);
}

static void on_event(struct central *c, const uint8_t *p, uint32_t n)
{
	switch (p[0]) {
	case 0x0E: on_answer(c, p + 2, n - 2); break;
	case 0x0F:
		if (c->state == CENTRAL_CONNECTING && p[2]) {	/* not now */
			c->state = CENTRAL_IDLE;
			look(c, sim_spread(100 * MS));
		}
		break;
	case 0x13:
		for (unsigned i = 0; i < p[2]; i++)
			c->in_controller = (uint16_t)(c->in_controller - min32(le16(p + 5 + 4 * i), c->in_controller));
		pump(c);
		break;
	case 0x05:
		if (!p[2] && le16(p + 3) == c->handle && (c->state == CENTRAL_OPEN || c->state == CENTRAL_CLOSING))
			closed(c, p[5]);
		break;
	case 0x3E:
		if (p[2] == 0x01 && c->state == CENTRAL_CONNECTING)
			opened(c, p + 2, n - 2);
		break;
	}
}

static void read_all(struct central *c)
{
	static uint8_t packet[2048];
	struct bytes piece;
	int controller = c->controller;

	c->read_ns = NEVER;
	while (c->controller == controller && air_output(sim_air, c->controller, &piece, 1)) {
		uint32_t n = (uint32_t)piece.len;

		memcpy(packet, piece.at, n);
		air_output_taken(sim_air, c->controller, n);
		sim_digest(packet, n);
		sim.totals->packets++;
		if (packet[0] == EVENT)
			on_event(c, packet + 1, n - 1);
		else
			on_acl(c, packet + 1, n - 1);
	}
	look(c, 1);
}

/* ---- faults of the radio and of the far host ---- */
static void radio_fault(void)
{
	struct central *c = &centrals[sim_below(count)];

	if (c->state != CENTRAL_OPEN && c->state != CENTRAL_CLOSING)
		return;
	switch (sim_below(4)) {
	case 0:
		sim_hit(FAULT_connection_lost);
		sim_tell("central %u falls silent", c->number);
		c->excused = true;
		air_vanish(sim_air, c->controller);
		break;
	case 1:
		sim_hit(FAULT_central_gone);
		sim_tell("central %u is gone", c->number);
		air_detach(sim_air, c->controller);
		c->excused = true;
		closed(c, 0);
		on_air(c);
		c->state = c->lives >= c->lives_most ? CENTRAL_DONE : CENTRAL_OFF;
		break;
	default:
		sim_hit(FAULT_central_stalls);
		sim_tell("central %u reads nothing for a while", c->number);
		c->stalled_ns = sim.now_ns + sim_spread(3 * SECOND);
	}
}

/* What a controller said in its name was not so.  NULL: all of them. */
void sim_void_peer(const uint8_t address[6])
{
	for (unsigned i = 0; i < count; i++)
		if (!address || !memcmp(centrals[i].address, address, 6)) {
			centrals[i].void_ = true;
			look(&centrals[i], sim_spread(200 * MS));
		}
}

bool sim_peer_open(const uint8_t address[6])
{
	for (unsigned i = 0; i < count; i++)
		if (!memcmp(centrals[i].address, address, 6))
			return centrals[i].state == CENTRAL_OPEN;
	return false;
}

static void turn(struct central *c)
{
	c->next_ns = NEVER;
	switch (c->state) {
	case CENTRAL_OFF: bring_up(c); break;
	case CENTRAL_IDLE:
		if (sim.ready)
			connect_now(c);
		else
			look(c, 10 * MS);
		break;
	case CENTRAL_OPEN:
		if (c->void_)
			central_leave(c);
		else
			story_turn(c);
		break;
	default: break;
	}
}

void sim_centrals_run(void)
{
	if (sim.storm && sim.radio_faults_left && sim.next_radio_ns <= sim.now_ns) {
		sim.radio_faults_left--;
		sim.next_radio_ns = sim.now_ns + sim_spread(200 * MS);
		radio_fault();
	}
	for (unsigned i = 0; i < count; i++) {
		struct central *c = &centrals[i];

		if (max64(c->read_ns, c->stalled_ns) <= sim.now_ns)
			read_all(c);
		if (c->next_ns <= sim.now_ns)
			turn(c);
	}
}

uint64_t sim_centrals_next(void)
{
	uint64_t next = sim.storm && sim.radio_faults_left ? max64(sim.next_radio_ns, sim.now_ns) : NEVER;

	for (unsigned i = 0; i < count; i++) {
		const struct central *c = &centrals[i];

		next = min64(next, c->next_ns);
		if (c->read_ns != NEVER)
			next = min64(next, max64(c->read_ns, c->stalled_ns));
	}
	return next;
}

bool sim_centrals_done(void)
{
	for (unsigned i = 0; i < count; i++)
		if (centrals[i].state != CENTRAL_DONE)
			return false;
	return true;
}
