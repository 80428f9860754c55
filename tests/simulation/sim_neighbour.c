/* tests/simulation/sim_neighbour.c - hostd and gattd lie to each other: one of them is owned, for a moment.
 *
 * It gives records that it has no business to give, in a step of its own, by the functions that an honest one uses; or it writes
 * into its own region what no ring holds, and does nothing more until it is ended.  RECORD_LIE, a flag that nobody reads, keeps
 * its records apart for the invariants.
 *
 *   length, index, generation, kind   a record that the other side counts and drops: nothing is excused for it
 *   credit, pdu                       more credit than there is, PDUs beyond the window: that connection is judged no more, and
 *                                     may end; the others go on
 *   ring                              a tail or a header that lies: the honest side lets go of the link and says so, both
 *                                     workers are replaced, and a new generation begins; all connections may end */
#include "tests/simulation/sim_story.h"
#include "tests/simulation/sim_view.h"
#include "wire/l2cap_names.h"
#include "wire/wire.h"

enum { PDU = 400, FLOOD = 60, LIED_MOST = 64 };	/* so many are more than any window */

static struct { uint16_t index, generation; } lied[LIED_MOST];
static unsigned lied_count;
static struct { struct view_connection to; unsigned left; } flood[SIM_WORKERS];	/* PDUs to come, as there is room */

void sim_neighbour_open(void)
{
	lied_count = 0;
	memset(flood, 0, sizeof flood);
}

bool sim_neighbour_lied(uint16_t index, uint16_t generation)
{
	for (unsigned i = 0; i < lied_count; i++)
		if (lied[i].index == index && lied[i].generation == generation)
			return true;
	return false;
}

static void void_connection(const struct view_connection *c)
{
	sim.neighbour_void = true;
	sim_void_peer(c->peer);
	if (lied_count < LIED_MOST) {
		lied[lied_count].index = c->index;
		lied[lied_count++].generation = c->generation;
	}
}

/* A connection that both sides know. */
static bool some_connection(struct view_connection *ret)
{
	struct view_bearer b;
	unsigned n = 0;

	while (view_connection(n, ret))
		n++;
	return n && lied_count < LIED_MOST && view_connection((unsigned)sim_below(n), ret) && ret->open && ret->known &&
	    sim_peer_open(ret->peer) && view_bearer(ret->index, ret->generation, &b);
}

static void give(struct step *s, unsigned l, struct record r, const uint8_t *payload)
{
	uint8_t *at = step_reserve(s, l, r.len);

	memcpy(at, payload, r.len);
	r.flags = RECORD_LIE;
	step_give(s, l, r);
}

/* The ring's own words. */
static void lie_ring(const struct sim_worker *k)
{
	unsigned side = k->who == GATTD;
	struct sim_link *link = &sim.link[1];
	struct ring_region *r = link->region[side];
	uint64_t tail = r->tail.pos, size = link->size[side];
	uint64_t word = record_word((struct record){ .len = RECORD_LEN_MAX - 1, .kind = RECORD_L2CAP_PDU });

	link->lied = true;
	switch (sim_below(3)) {
	case 0: r->tail.pos = tail + 3; break;
	case 1: r->tail.pos = tail + 2 * size; break;
	default:
		memcpy((uint8_t *)(uintptr_t)r->words + (tail & (size - 1)), &word, 8);
		r->tail.pos = tail + RECORD_HEADER;
	}
	sim_bell(k->who == GATTD ? HOSTD : GATTD, sim_spread(MS));
}

static void lie(struct sim_worker *k, enum sim_neighbour_lie what, const struct view_connection *c)
{
	unsigned l = k->who == GATTD ? LINK_UP : LINK_DOWN;
	struct record r = { .index = c->index, .generation = c->generation, .kind = RECORD_CREDIT, .len = 4 };
	uint8_t body[2 + PDU] = { L2CAP_CID_ATT, 0, k->who == GATTD ? ATT_HANDLE_VALUE_NOTIFICATION : ATT_READ_REQUEST, STORY_TOLD };

	switch (what) {
	case NEIGHBOUR_LENGTH:
		r.kind = sim_chance(500) ? RECORD_CREDIT : RECORD_L2CAP_PDU;
		r.len = (uint32_t)sim_below(2);
		break;
	case NEIGHBOUR_INDEX: r.index = (uint16_t)(0x4000 + sim_below(0x8000)); break;
	case NEIGHBOUR_GENERATION: r.generation ^= 0x4000; break;
	case NEIGHBOUR_KIND: r.kind = 0x7E; break;
	case NEIGHBOUR_CREDIT: memset(body, 0xFF, 4); break;
	default:
		r.kind = RECORD_L2CAP_PDU;
		r.len = 2 + PDU;
	}
	give(&k->w->step, l, r, body);
	worker_commit(k->w);
}

static void go_on(struct sim_worker *k)
{
	if (sim.link[1].lost || sim.link[1].lied)
		flood[k->who].left = 0;
	worker_now(k->w);
	while (flood[k->who].left && step_may_act(&k->w->step)) {
		flood[k->who].left--;
		lie(k, NEIGHBOUR_PDU, &flood[k->who].to);
	}
	if (flood[k->who].left)
		k->due_ns = sim.now_ns + MS;
}

/* In its turn, or not: where it has no room, or there is nobody to lie of, it lies later. */
void sim_neighbour_speak(struct sim_worker *k)
{
	enum sim_neighbour_lie what = k->lies;
	struct view_connection c;

	go_on(k);
	if (what == NEIGHBOUR_LIES || !sim_all_alive() || sim.link[1].lost || sim.link[1].lied || !some_connection(&c))
		return;
	worker_now(k->w);
	if (what != NEIGHBOUR_RING && !step_may_act(&k->w->step))
		return;
	k->lies = NEIGHBOUR_LIES;
	sim_hit((enum sim_fault)(FAULT_neighbour_length + what));
	sim.totals->neighbour[k->who][what]++;
	sim_tell("%s lies to its neighbour: %s", sim_who_name(k->who), sim_fault_name(FAULT_neighbour_length + what));
	if (what == NEIGHBOUR_CREDIT || what == NEIGHBOUR_PDU)
		void_connection(&c);
	if (what == NEIGHBOUR_RING) {
		k->owned = true;
		lie_ring(k);
	} else if (what == NEIGHBOUR_PDU) {
		flood[k->who].to = c;
		flood[k->who].left = FLOOD;
		go_on(k);
	} else {
		lie(k, what, &c);
	}
}

void sim_neighbour_arm(void)
{
	sim.worker[sim_chance(500) ? HOSTD : GATTD].lies = (enum sim_neighbour_lie)sim_below(NEIGHBOUR_LIES);
}
