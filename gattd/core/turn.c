/* gattd/core/turn.c - what is done on time: deadlines, and, round-robin, what earlier records left over.
 *
 * A turn looks at GATT_TURN_BEARERS ready bearers from the cursor on; each may send GATT_TURN_EACH PDUs that are due, and one of
 * them takes one PDU that waited.  A bearer that can do no more is not ready until a record, or another's progress, says so. */
#include "gattd/core/gatt.h"
#include "wire/hci_error.h"

void timer_set(struct gatt *g, uint64_t at_ns)
{
	if (at_ns < the_server(g)->timer_ns)
		server_change(g)->timer_ns = at_ns;
}

void timer_note(struct gatt *g, unsigned index) { mask_set(server_change(g)->timed, index); }

static bool mask_any(const uint64_t *mask) { return mask_next(mask, 0) < GATT_CONNECTIONS_MAX; }

/* A timer that nobody waits for would wake an idle process; one that is early for whoever still waits only looks again. */
void timer_drop(struct gatt *g, unsigned index)
{
	const struct server *s = the_server(g);
	const struct bearer *b = index < GATT_CONNECTIONS_MAX ? bearer_at(g, index) : NULL;

	if (index < GATT_CONNECTIONS_MAX && mask_has(s->timed, index) && !(b && (b->confirm_ns || b->held_ns > HELD_OVER)))
		mask_clear(server_change(g)->timed, index);
	if (s->timer_ns != DEADLINE_NONE && s->pending_ns <= HELD_OVER && !mask_any(s->timed))
		server_change(g)->timer_ns = DEADLINE_NONE;
}

static uint64_t timers_next(const struct gatt *g)
{
	const struct server *s = the_server(g);
	uint64_t next = s->pending_ns > HELD_OVER ? s->pending_ns : DEADLINE_NONE;

	for (unsigned i = mask_next(s->timed, 0); i < GATT_CONNECTIONS_MAX; i = mask_next(s->timed, i + 1)) {
		const struct bearer *b = bearer_at(g, i);

		if (b->confirm_ns)
			next = MIN(next, b->confirm_ns);
		if (b->held_ns > HELD_OVER)
			next = MIN(next, b->held_ns);
	}
	return next;
}

/* Part F, 3.3.3: after an unconfirmed indication nothing more is sent on the bearer. */
static void on_confirm_timeout(struct gatt *g, const struct bearer *b)
{
	gatt_count(g, GATT_COUNT_confirm_timeouts);
	bearer_end(g, b, HCI_ERROR_REMOTE_USER_TERMINATED_CONNECTION);
}

/* Its change is tried once more, and now whoever lacks room for it is stalled. */
static void on_held_timeout(struct gatt *g, const struct bearer *b)
{
	bearer_edit(g->arena, b)->held_ns = HELD_OVER;
	timer_drop(g, b->index);
	bearer_set_ready(g, b);
}

static void timers_fire(struct gatt *g)
{
	const struct server *s = the_server(g);
	unsigned left = GATT_TURN_BEARERS;

	if (s->timer_ns > g->now_ns)
		return;
	for (unsigned i = mask_next(s->timed, 0); i < GATT_CONNECTIONS_MAX; i = mask_next(s->timed, i + 1)) {
		const struct bearer *b = bearer_at(g, i);

		if (left && b->confirm_ns && b->confirm_ns <= g->now_ns) {
			on_confirm_timeout(g, b);
			left--;
		} else if (left && b->held_ns > HELD_OVER && b->held_ns <= g->now_ns) {
			on_held_timeout(g, b);
			left--;
		}
	}
	if (s->pending_ns > HELD_OVER && s->pending_ns <= g->now_ns) {
		server_change(g)->pending_ns = HELD_OVER;
		server_change(g)->retry = 1;
	}
	server_change(g)->timer_ns = timers_next(g);
}

/* Returns whether it took a PDU that waited, or came nearer to it. */
static bool serve(struct gatt *g, const struct bearer *b, bool may_take)
{
	unsigned had = g->sends;
	bool more = due_send(g, b, GATT_TURN_EACH), took = false;

	if (may_take && b->rx.len) {
		took = bearer_take_waiting(g, b);
		more = more || (took && (b->rx.len || b->due.len));
	} else if (b->rx.len) {
		more = true;		/* another's was taken in this turn */
	}
	/* Sent nothing, took nothing, and could have: nothing to do until something changes. */
	if (!more || (had == g->sends && had && !took && may_take))
		mask_clear(server_change(g)->ready, b->index);
	return took;
}

static void serve_ready(struct gatt *g)
{
	const struct server *s = the_server(g);
	unsigned i = s->cursor;
	bool took = false;

	for (unsigned n = 0; n < GATT_TURN_BEARERS && g->sends; n++) {
		i = mask_next(s->ready, i);
		if (i == GATT_CONNECTIONS_MAX)
			i = mask_next(s->ready, 0);
		if (i == GATT_CONNECTIONS_MAX)
			break;
		took |= serve(g, bearer_at(g, i), !took);
		i = (i + 1) % GATT_CONNECTIONS_MAX;
	}
	server_change(g)->cursor = (uint16_t)i;
}

void gatt_on_time(struct step *step)
{
	struct gatt g = gatt_open(step);

	bearers_bury(&g, GATT_TURN_BEARERS);
	if (step_linked(step, LINK_UP)) {
		g.sends = GATT_TURN_PDUS;
		timers_fire(&g);
		change_spread(&g);
		if (mask_any(the_server(&g)->ready))
			serve_ready(&g);
	}
	pending_retry(&g);
}

uint64_t gatt_deadline(const struct step *step)
{
	const struct server *s = server_only(step->arena);

	if (mask_any(s->dead) || (s->retry && s->first.v))
		return 0;
	if (!step_linked(step, LINK_UP))
		return DEADLINE_NONE;
	return s->spreads || mask_any(s->ready) ? 0 : s->timer_ns;
}
