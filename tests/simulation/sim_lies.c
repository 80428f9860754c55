/* tests/simulation/sim_lies.c - between our controller and the socket: what it says late, and what it says that is not so.
 *
 * Most lies are packets more than there should be, which a host has to ignore: nothing is excused for them.  Those that take
 * something away, or speak for a live connection, make that connection's judgement void, or are a reason for ends. */
#include "tests/simulation/sim_story.h"

enum { EVENT = RECORD_HCI_EVENT, HANDLES = 16, HELD = 16, NOBODY = 0xFFFF };
enum { COMMAND_COMPLETE = 0x0E, COMMAND_STATUS = 0x0F, DISCONNECTED = 0x05, COMPLETED = 0x13, LE_META = 0x3E };

static struct {
	struct { uint16_t handle; uint8_t peer[6]; uint8_t event[32]; uint32_t event_len; } live[HANDLES];
	unsigned count;
	struct { uint64_t due_ns; uint16_t handle; uint32_t len; uint8_t packet[16]; } held[HELD];
	unsigned helds;
	int wanted;			/* a lie about the next packet that fits; 0: none */
	bool muted;			/* answer_never: once a seed */
} lies;

void sim_lies_open(void) { memset(&lies, 0, sizeof lies); }
bool sim_lies_idle(void) { return !lies.helds; }

static uint16_t le16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static void put(const uint8_t *packet, uint32_t n)
{
	sim_tell_bytes("from controller", 0, packet, n);
	sim_digest(packet, n);
	sim_line_put(packet, n);
}

static void lie(enum sim_fault f, const uint8_t *packet, uint32_t n)
{
	sim_hit(f);
	sim_tell("the controller lies: %s", sim_fault_name(f));
	if (n)
		put(packet, n);
}
#define LIE(f, ...) do { const uint8_t at_[] = { __VA_ARGS__ }; lie((f), at_, sizeof at_); } while (0)

/* ---- who is there ---- */
static void note_connected(const uint8_t *p, uint32_t n)
{
	unsigned i = lies.count;

	if (n < 22 || p[4] || lies.count == HANDLES)
		return;
	lies.live[i].handle = le16(p + 5);
	memcpy(lies.live[i].peer, p + 9, 6);
	memcpy(lies.live[i].event, p, MIN(n, 32u));
	lies.live[i].event_len = MIN(n, 32u);
	lies.count++;
}

/* What it would have said later of that connection it now never says. */
static void note_gone(uint16_t handle)
{
	for (unsigned i = 0; i < lies.count; i++)
		if (lies.live[i].handle == handle)
			lies.live[i--] = lies.live[--lies.count];
	for (unsigned i = 0; i < lies.helds; i++)
		if (lies.held[i].handle == handle)
			lies.held[i--] = lies.held[--lies.helds];
}

static bool is_event(const uint8_t *p, uint32_t n, uint8_t code) { return n >= 3 && p[0] == EVENT && p[1] == code; }
static bool is_connected(const uint8_t *p, uint32_t n) { return is_event(p, n, LE_META) && n > 20 && p[3] == 0x01; }

static void note(const uint8_t *p, uint32_t n)
{
	static const uint8_t reset[] = { 0x03, 0x0C };

	if (is_connected(p, n))
		note_connected(p, n);
	else if (is_event(p, n, DISCONNECTED) && n >= 6 && !p[3])
		note_gone(le16(p + 4));
	else if (is_event(p, n, COMMAND_COMPLETE) && n >= 6 && !memcmp(p + 4, reset, 2)) {
		lies.count = lies.helds = 0;
	}
}

/* ---- late ---- */
static bool hold_back(const uint8_t *p, uint32_t n)
{
	if (!sim.storm || !is_event(p, n, COMPLETED) || n != 8 || lies.helds == HELD || !sim_chance(100))
		return false;
	sim_hit(FAULT_completed_late);
	lies.held[lies.helds].due_ns = sim.now_ns + sim_spread(100 * MS);
	lies.held[lies.helds].handle = le16(p + 4);
	lies.held[lies.helds].len = n;
	memcpy(lies.held[lies.helds++].packet, p, n);
	return true;
}

/* ---- lies about a packet that passes ---- */
/* Returns whether the packet itself is kept back. */
static bool lie_about(const uint8_t *p, uint32_t n)
{
	uint8_t cut[300];
	uint32_t m;

	switch (lies.wanted) {
	case LIE_event_twice:
		if (p[0] != EVENT || p[1] == COMPLETED || is_connected(p, n))
			return false;
		put(p, n);
		lie(LIE_event_twice, p, n);
		break;
	case LIE_event_cut:
		if (p[0] != EVENT || n < 5 || (p[1] == COMMAND_COMPLETE && n < 7))
			return false;
		put(p, n);
		m = 3 + (uint32_t)sim_below(n - 3);
		memcpy(cut, p, m);
		cut[2] = (uint8_t)(m - 3);
		lie(LIE_event_cut, cut, m);
		break;
	case LIE_answer_never:
		if ((!is_event(p, n, COMMAND_COMPLETE) && !is_event(p, n, COMMAND_STATUS)) || n < 7)
			return false;
		lies.muted = true;
		sim.excuse_all_ns = sim.now_ns + 5 * SECOND;
		lie(LIE_answer_never, NULL, 0);
		break;
	default:
		return false;
	}
	lies.wanted = 0;
	return true;
}

void sim_lies_pass(const uint8_t *p, uint32_t n)
{
	note(p, n);
	if (hold_back(p, n) || (lies.wanted && lie_about(p, n)))
		return;
	put(p, n);
}

/* ---- lies out of nothing ---- */
static void about_a_connection(enum sim_fault f)
{
	unsigned i = (unsigned)sim_below(lies.count);
	uint16_t h = lies.live[i].handle;
	uint8_t lo = (uint8_t)h, hi = (uint8_t)(h >> 8);

	switch (f) {
	case LIE_completed_too_many:
		sim.credits_void = true;
		sim_void_peer(NULL);
		LIE(f, EVENT, COMPLETED, 5, 1, lo, hi, 200, 0);
		break;
	case LIE_acl_unstarted:
		sim_void_peer(lies.live[i].peer);
		LIE(f, RECORD_HCI_ACL, lo, (uint8_t)(hi | 0x10), 3, 0, 1, 2, 3);
		break;
	case LIE_acl_cut:
		sim_void_peer(lies.live[i].peer);
		LIE(f, RECORD_HCI_ACL, lo, (uint8_t)(hi | 0x20), 8, 0, 2, 0, 4, 0, 0x0A, 3, 0, 9);
		break;
	default:	/* what the live one had in the controller's buffers counts as done: too much for all */
		sim.credits_void = true;
		sim_void_peer(NULL);
		lie(f, lies.live[i].event, lies.live[i].event_len);
	}
}

static void out_of_nothing(enum sim_fault f)
{
	switch (f) {
	case LIE_event_unknown: LIE(f, EVENT, 0xEE, 3, 1, 2, 3); break;
	case LIE_count_over_body: LIE(f, EVENT, COMPLETED, 5, 9, 0x40, 0, 1, 0); break;
	case LIE_completed_unknown: LIE(f, EVENT, COMPLETED, 5, 1, 0xBC, 0x0A, 3, 0); break;
	case LIE_handle_unknown: LIE(f, RECORD_HCI_ACL, 0xBC, 0x2A, 5, 0, 1, 0, 4, 0, 0x02); break;
	case LIE_handle_too_high: LIE(f, EVENT, DISCONNECTED, 4, 0, 0x55, 0x0F, 0x13); break;
	case LIE_answer_unasked: LIE(f, EVENT, COMMAND_COMPLETE, 4, 1, 0x18, 0x20, 0); break;
	case LIE_report_lies: LIE(f, EVENT, LE_META, 14, 2, 9, 0, 0, 1, 2, 3, 4, 5, 6, 99, 1, 2, 3); break;
	default:
		if (lies.count)
			about_a_connection(f);
	}
}

static void one_lie(void)
{
	enum sim_fault f = (enum sim_fault)(LIE_event_twice + sim_below(FAULTS - LIE_event_twice));

	if (f == LIE_answer_never && (lies.muted || !sim_chance(300)))
		return;
	if (f == LIE_event_twice || f == LIE_event_cut || f == LIE_answer_never)
		lies.wanted = (int)f;
	else
		out_of_nothing(f);
	sim_line_kick(1);
}

void sim_lies_run(void)
{
	if (sim.lies_left && sim.storm && sim.next_lie_ns <= sim.now_ns) {
		sim.next_lie_ns = sim.now_ns + sim_spread(50 * MS);
		sim.lies_left--;
		if (sim.ready)
			one_lie();
	}
	for (unsigned i = 0; i < lies.helds; i++)
		if (lies.held[i].due_ns <= sim.now_ns) {
			put(lies.held[i].packet, lies.held[i].len);
			lies.held[i--] = lies.held[--lies.helds];
			sim_line_kick(1);
		}
}

uint64_t sim_lies_next(void)
{
	uint64_t next = sim.lies_left && sim.storm ? max64(sim.next_lie_ns, sim.now_ns) : NEVER;

	for (unsigned i = 0; i < lies.helds; i++)
		next = min64(next, lies.held[i].due_ns);
	return next;
}
