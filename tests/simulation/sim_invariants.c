/* tests/simulation/sim_invariants.c - what the cores know, added up.  sim_view.h is what it sees of them.
 *
 * For a connection that hostd and gattd both know, at any moment between two turns while all workers are there:
 *   window in    hostd may still send + under way + gattd has not handed back + handed back, under way  = gattd's window
 *   window out   gattd may still send + under way + hostd owes + handed back, under way + waits in tx   = hostd's window
 * For the chunks that no window has of its own: those that are nobody's, which are free, + those that each connection has = all.
 * For the controller's buffers: free ones + those that each connection has = all of them. */
#include "tests/simulation/sim_story.h"
#include "tests/simulation/sim_view.h"

enum { CHANNEL = 2, RING_WAIT_S = 1 };

static const struct arena *arena_of(enum sim_who who) { return &sim.worker[who].w->arena; }

uint64_t sim_counter(enum sim_who who, const char *name)
{
	const struct core *core = sim.worker[who].program->core;

	for (unsigned i = 0; core->counter_names[i]; i++)
		if (!strcmp(core->counter_names[i], name))
			return counters_next(arena_of(who), NULL)->at[i];
	sim_fail(INVARIANT_arena, "no counter %s", name);
}

/* ---- windows ---- */
struct way { uint32_t pdus, credit; };		/* octets under way of one connection, in one direction */

/* What lies in the ring that `side` of the lower link produces, for a connection. */
static struct way under_way(unsigned side, uint16_t index, uint16_t generation)
{
	const struct sim_link *k = &sim.link[1];
	const uint8_t *words = (const uint8_t *)(uintptr_t)k->region[side]->words;
	uint64_t at = k->region[!side]->head.pos, tail = k->region[side]->tail.pos, size = k->size[side];
	struct way w = { 0 };

	while (at < tail) {
		uint64_t off = at & (size - 1), word;
		struct record r;
		uint32_t octets;

		memcpy(&word, words + off, 8);
		r = record_from(word, 0);
		if (r.kind == RECORD_PAD) {
			at += size - off;
			continue;
		}
		if (r.flags & RECORD_LIE) {
			at += record_octets(r.len);
			continue;
		}
		if (r.index == index && r.generation == generation && r.kind == RECORD_L2CAP_PDU)
			w.pdus += r.len - CHANNEL + VIEW_PDU_OVERHEAD;
		if (r.index == index && r.generation == generation && r.kind == RECORD_CREDIT) {
			memcpy(&octets, words + off + RECORD_HEADER, 4);
			w.credit += octets;
		}
		at += record_octets(r.len);
	}
	return w;
}

static void judge_windows(const struct view_connection *c)
{
	struct way down = under_way(0, c->index, c->generation), up = under_way(1, c->index, c->generation);
	struct view_bearer b;
	uint32_t in, out;

	if (!c->known || sim_neighbour_lied(c->index, c->generation) || !view_bearer(c->index, c->generation, &b))
		return;
	sim_judge(INVARIANT_credits);
	in = c->window + down.pdus + b.used_in + up.credit;
	if (in != b.window_in)
		sim_fail(INVARIANT_credits, "connection %u: window in is %u, adds up to %u: %u free, %u under way, %u held, %u under way back",
		    c->index, b.window_in, in, c->window, down.pdus, b.used_in, up.credit);
	out = b.room_out + up.pdus + c->owed + down.credit + c->waits;
	if (out != c->window_out)
		sim_fail(INVARIANT_credits, "connection %u: window out is %u, adds up to %u: %u free, %u under way, %u owed, %u under way back, "
		    "%u wait", c->index, c->window_out, out, b.room_out, up.pdus, c->owed, down.credit, c->waits);
}

static void judge_chunks(const char *who, struct view_chunks v)
{
	sim_judge(INVARIANT_credits);
	if (v.spare + v.lent != v.whole || v.spare > v.whole)
		sim_fail(INVARIANT_credits, "%s has %u chunks for its windows: %u are nobody's, and %u are lent", who, v.whole, v.spare, v.lent);
	if (v.live + v.spare > v.count)
		sim_fail(INVARIANT_credits, "%s could promise %u chunks more, and %u of %u are in use", who, v.spare, v.live, v.count);
}

static void judge_buffers(void)
{
	struct view_buffers all = view_buffers();
	struct view_connection c;
	uint32_t sum = all.credits;

	if (!all.up)
		return;
	sim_judge(INVARIANT_buffers);
	for (unsigned i = 0; view_connection(i, &c); i++)
		sum += c.outstanding;
	if (sum != all.total)
		sim_fail(INVARIANT_buffers, "%u buffers of the controller, hostd counts %u", all.total, sum);
	if (air_counters(sim_air)->acl_overflow && !sim.credits_void)
		sim_fail(INVARIANT_buffers, "hostd has sent more than the controller's buffers take");
}

void sim_invariants_event(void)
{
	struct view_connection c;

	if (!sim_all_alive())
		return;
	judge_chunks("hostd", view_chunks_host());
	judge_chunks("gattd", view_chunks_gatt());
	if (sim.link[1].lost || sim.link[1].lied)
		return;
	judge_buffers();
	if (sim.worker[HOSTD].w->step.fresh || sim.worker[GATTD].w->step.fresh)	/* a core has not heard yet that its link is new */
		return;
	for (unsigned i = 0; view_connection(i, &c); i++)
		judge_windows(&c);
}

/* ---- progress ---- */
/* The reader of what `side` of link `l` says would take it, and nobody wakes it: no bell on its way or still to be rung, nor itself. */
static bool asleep_for_good(unsigned l, unsigned side)
{
	const struct sim_worker *writer = &sim.worker[l + side], *reader = &sim.worker[side ? l : l + 1];

	return !writer->kicks && reader->bell_ns == NEVER && reader->due_ns > sim.now_ns + MS && sim_shell_awaits(reader, side ? LINK_DOWN : LINK_UP);
}

/* While everybody is there each ring is read, whoever stalls: what lies in one does not lie there for long. */
void sim_invariants_waits(uint64_t next_ns)
{
	for (unsigned l = 0; l < 2; l++)
		for (unsigned side = 0; side < 2; side++) {
			struct sim_link *k = &sim.link[l];
			uint64_t head = k->region[!side]->head.pos, *since_ns = &k->wait[side].since_ns;

			if (!sim_all_alive() || k->lost || k->lied || sim.worker[l].owned || sim.worker[l + 1].owned || head == k->region[side]->tail.pos)
				*since_ns = NEVER;
			else if (*since_ns == NEVER || head != k->wait[side].head)
				*since_ns = sim.now_ns;
			k->wait[side].head = head;
			if (*since_ns != NEVER && asleep_for_good(l, side))
				sim_fail(INVARIANT_progress, "what side %u of link %u has to say is there, and its reader sleeps", side, l);
			if (*since_ns != NEVER && next_ns - *since_ns > RING_WAIT_S * SECOND)
				sim_fail(INVARIANT_progress, "what side %u of link %u has to say is not taken for %u s", side, l, RING_WAIT_S);
		}
}

/* ---- agreement ---- */
bool sim_peer_bearer(const uint8_t peer[6], uint16_t *ret_mtu, uint8_t *ret_cccd)
{
	struct view_connection c;
	struct view_bearer b;
	unsigned found = 0;

	if (!sim_all_alive())
		return false;
	for (unsigned i = 0; view_connection(i, &c); i++) {
		if (!c.open || memcmp(c.peer, peer, 6) || !view_bearer(c.index, c.generation, &b))
			continue;
		*ret_mtu = b.mtu;
		*ret_cccd = b.cccd;
		found++;
	}
	return found == 1;		/* a former one of the same peer may not have been missed yet */
}

/* ---- pools ---- */
void sim_invariants_idle(void)
{
	for (unsigned i = 0; i < SIM_WORKERS; i++)
		for (unsigned p = 0; p < ARENA_POOLS && sim.worker[i].plan.pools[p].name; p++)
			sim.worker[i].idle[p] = arena_live(arena_of((enum sim_who)i), p);
}

/* For a person. */
static void tell_counters(enum sim_who who)
{
	const struct core *core = sim.worker[who].program->core;

	for (unsigned i = 0; sim.verbose && core->counter_names[i]; i++)
		if (counters_next(arena_of(who), NULL)->at[i])
			sim_tell("%s counts %s: %llu", sim_who_name(who), core->counter_names[i],
			    (unsigned long long)counters_next(arena_of(who), NULL)->at[i]);
}

static void judge_pools(enum sim_who who)
{
	const struct sim_worker *k = &sim.worker[who];

	sim_judge(INVARIANT_pools);
	for (unsigned p = 0; p < ARENA_POOLS && k->plan.pools[p].name; p++)
		if (arena_live(arena_of(who), p) != k->idle[p])
			sim_fail(INVARIANT_pools, "%s: %u objects of %s at the end, %u before the first connection", sim_who_name(who),
			    arena_live(arena_of(who), p), k->plan.pools[p].name, k->idle[p]);
}

void sim_invariants_end(void)
{
	uint64_t commands, changes;
	struct view_buffers all;

	if (!sim_all_alive())
		sim_fail(INVARIANT_progress, "a worker never came back");
	all = view_buffers();
	for (unsigned i = 0; i < SIM_WORKERS; i++)
		tell_counters((enum sim_who)i);
	for (unsigned i = 0; i < SIM_WORKERS; i++)
		judge_pools((enum sim_who)i);
	judge_buffers();
	if (view_chunks_host().lent || view_chunks_gatt().lent)
		sim_fail(INVARIANT_pools, "nobody is connected, and hostd has lent %u chunks, gattd %u", view_chunks_host().lent,
		    view_chunks_gatt().lent);
	if (all.credits != all.total)
		sim_fail(INVARIANT_buffers, "nobody is connected, and %u of %u buffers are free", all.credits, all.total);
	/* A command that hostd discards is missed by each that would have heard of it; a change that gattd discards, by one. */
	commands = sim_counter(HOSTD, "window_discarded");
	changes = sim_counter(GATTD, "discarded");
	if (story_missed() > commands + changes || story_missed_of_others() > SIM_CENTRALS * commands + changes)
		sim_fail(INVARIANT_order, "%u own values and %u of others were never heard; discarded are %llu commands and %llu changes",
		    story_missed(), story_missed_of_others(), (unsigned long long)commands, (unsigned long long)changes);
	if (!sim.neighbour_void &&
	    (sim_counter(HOSTD, "window_overruns") || sim_counter(HOSTD, "gattd_overruns") || sim_counter(GATTD, "overruns")))
		sim_fail(INVARIANT_credits, "a window was overrun");
}
