/* hostd/core/connection.c - connections, from Connection Complete until gattd has heard of their end. */
#include "hostd/core/host.h"
#include "wire/hci_error.h"

static struct connection *change(struct host *h, const struct connection *c) { return connection_edit(h->arena, c); }
static bool same(struct connection_id a, struct connection_id b) { return a.v == b.v; }

/* Lists: linked through the connections, each at most once on each. */
bool list_waiting(const struct host *h, enum host_list l) { return the_flow(h)->list[l].first.v != 0; }

void list_push(struct host *h, enum host_list l, const struct connection *c)
{
	struct list *list;
	const struct connection *last;

	if (c->on[l])
		return;
	list = &flow_change(h)->list[l];
	last = connection_view(h->arena, list->last);
	change(h, c)->on[l] = 1;
	if (last)
		change(h, last)->next[l] = connection_id_of(c);
	else
		list->first = connection_id_of(c);
	list->last = connection_id_of(c);
}

const struct connection *list_pop(struct host *h, enum host_list l)
{
	const struct connection *c = connection_view(h->arena, the_flow(h)->list[l].first);

	if (c)
		list_remove(h, l, c);
	return c;
}

void list_remove(struct host *h, enum host_list l, const struct connection *c)
{
	const struct connection *before = NULL;
	struct connection_id id = connection_id_of(c), after = c->next[l];
	struct list *list;

	if (!c->on[l])
		return;
	list = &flow_change(h)->list[l];
	if (!same(list->first, id))
		for (before = connection_view(h->arena, list->first); !same(before->next[l], id); )
			before = connection_view(h->arena, before->next[l]);
	if (before)
		change(h, before)->next[l] = after;
	else
		list->first = after;
	if (same(list->last, id))
		list->last = before ? connection_id_of(before) : (struct connection_id){ 0 };
	change(h, c)->next[l] = (struct connection_id){ 0 };
	change(h, c)->on[l] = 0;
}

static const struct where *where_of(const struct host *h, uint16_t handle)
{
	return where_view(h->arena, (struct where_id){ 1 | (uint32_t)handle / HANDLE_SLOTS << 16 });
}
static void where_set(struct host *h, uint16_t handle, struct connection_id id)
{
	where_edit(h->arena, where_of(h, handle))->at[handle % HANDLE_SLOTS] = id;
}

const struct connection *connection_find(const struct host *h, uint16_t handle)
{
	const struct where *where = where_of(h, handle);
	const struct connection *c = where ? connection_view(h->arena, where->at[handle % HANDLE_SLOTS]) : NULL;

	return c && c->state != CONNECTION_ENDED ? c : NULL;
}

/* Those that found no slot, and whose Disconnect found no room in the command queue: they must not be forgotten. */
static struct handles *handles_change(struct host *h) { return handles_edit(h->arena, handles_only(h->arena)); }

static bool is_refused(const struct host *h, uint16_t handle)
{
	return handles_only(h->arena)->refused_bits[handle / 8] >> handle % 8 & 1;
}

static bool send_refusal(struct host *h, uint16_t handle)
{
	return HCI_SEND(h, DISCONNECT, disconnect, handle, HCI_ERROR_REMOTE_DEVICE_TERMINATED_LOW_RESOURCES);
}

static void refuse(struct host *h, uint16_t handle)
{
	struct handles *e;

	count(h, COUNT_connections_refused);
	if (send_refusal(h, handle) || is_refused(h, handle))
		return;
	e = handles_change(h);
	e->refused_bits[handle / 8] |= (uint8_t)(1 << handle % 8);
	e->refused++;
	radio_change(h)->shedding = 1;
}

void connection_unrefuse(struct host *h, uint16_t handle)
{
	struct handles *e;

	if (!is_refused(h, handle))
		return;
	e = handles_change(h);
	e->refused_bits[handle / 8] &= (uint8_t)~(1 << handle % 8);
	e->refused--;
}

void connection_unrefuse_all(struct host *h)
{
	struct handles *e;

	if (!handles_only(h->arena)->refused)
		return;
	e = handles_change(h);
	memset(e->refused_bits, 0, sizeof e->refused_bits);
	e->refused = 0;
}

/* False: no room for a command. */
static bool shed_refused(struct host *h)
{
	for (uint16_t handle = 0; handles_only(h->arena)->refused && handle < HANDLES; handle++) {
		if (!is_refused(h, handle))
			continue;
		if (!send_refusal(h, handle))
			return false;
		connection_unrefuse(h, handle);
	}
	return true;
}

void connection_open(struct host *h, const struct link_facts *facts)
{
	const struct connection *old = connection_find(h, facts->handle);
	const struct controller *us = the_controller(h);
	struct connection *c;

	if (old) {		/* the controller's fault: whoever had the handle is gone */
		count(h, COUNT_connections_repeated);
		connection_end(h, old, HCI_ERROR_UNSPECIFIED_ERROR);
	}
	connection_unrefuse(h, facts->handle);
	c = host_has_down(h) ? connection_new(h->arena) : NULL;
	if (!c) {
		refuse(h, facts->handle);
		return;
	}
	count(h, COUNT_connections);
	c->handle = facts->handle;
	c->role = facts->role;
	c->peer_type = facts->peer_type;
	memcpy(c->peer, facts->peer, 6);
	c->own_type = us->own_type;
	memcpy(c->own, us->own, 6);
	c->state = CONNECTION_OPEN;
	c->life = the_radio(h)->down_life;
	c->window = WINDOW_IN;
	where_set(h, c->handle, connection_id_of(c));
	flow_change(h)->live++;
	gatt_tell_connected(h, c);
	acl_replay_early(h, c);
}

/* Vol 4 Part E 7.1.6 allows these; gattd may ask for one. */
static uint8_t disconnect_reason(uint8_t reason)
{
	switch (reason) {
	case HCI_ERROR_AUTHENTICATION_FAILURE:
	case HCI_ERROR_REMOTE_USER_TERMINATED_CONNECTION:
	case HCI_ERROR_REMOTE_DEVICE_TERMINATED_LOW_RESOURCES:
	case HCI_ERROR_REMOTE_DEVICE_TERMINATED_POWER_OFF:
	case HCI_ERROR_UNSUPPORTED_REMOTE_FEATURE:
	case HCI_ERROR_PAIRING_WITH_UNIT_KEY_NOT_SUPPORTED:
	case HCI_ERROR_UNACCEPTABLE_CONNECTION_PARAMETERS:
		return reason;
	default:
		return HCI_ERROR_REMOTE_USER_TERMINATED_CONNECTION;
	}
}

void connection_close(struct host *h, const struct connection *c, uint8_t reason)
{
	struct connection *e;
	struct flow *f;

	if (c->state == CONNECTION_DISCONNECTING || c->state == CONNECTION_ENDED || the_radio(h)->state != HOST_UP)
		return;		/* not up: it is about to be ended anyway.  Only transportd away: the command waits for it */
	e = change(h, c);
	reason = disconnect_reason(reason);
	acl_drop(h, c);
	if (!HCI_SEND(h, DISCONNECT, disconnect, c->handle, reason)) {
		e->state = CONNECTION_UNWANTED;		/* on_time asks again */
		e->reason = reason;
		radio_change(h)->shedding = 1;
		return;
	}
	e->state = CONNECTION_DISCONNECTING;
	e->closing_ns = h->now_ns + CLOSING_DEADLINE_NS;
	f = flow_change(h);
	f->closing++;
	if (!f->closing_ns)
		f->closing_ns = e->closing_ns;
}

void connection_on_disconnect_status(struct host *h, uint16_t handle, uint8_t status)
{
	const struct connection *c = connection_find(h, handle);

	/* 0x02: it ended by itself, and the event that says so was lost or crossed.  Any other refusal: the deadline tells. */
	if (c && c->state == CONNECTION_DISCONNECTING && status == HCI_ERROR_UNKNOWN_CONNECTION_IDENTIFIER)
		connection_end(h, c, HCI_ERROR_CONNECTION_TERMINATED_BY_LOCAL_HOST);
}

void connection_end(struct host *h, const struct connection *c, uint8_t reason)
{
	struct connection *e = change(h, c);
	struct flow *f = flow_change(h);

	acl_drop(h, c);
	acl_release(h, c);
	acl_handle_ended(h, c->handle);
	if (c->state == CONNECTION_DISCONNECTING && !--f->closing)
		f->closing_ns = 0;	/* nothing to wake up for */
	e->state = CONNECTION_ENDED;
	e->reason = reason;
	e->due = 0;
	f->live--;
	count(h, COUNT_disconnections);
	if (the_radio(h)->state == HOST_UP)
		acl_share(h);
	advertising_unblock(h);
	radio_change(h)->todo = 1;
	h->control = true;
	if (h->may_tell)
		gatt_turn(h, c);
	else
		list_push(h, LIST_WORK, c);
}

void connection_part(struct host *h, const struct connection *c)
{
	struct connection *e = change(h, c);

	e->due |= DUE_END;
	e->reason = HCI_ERROR_CONNECTION_TERMINATED_BY_LOCAL_HOST;
	list_push(h, LIST_WORK, c);
}

void connection_free_now(struct host *h, const struct connection *c)
{
	for (enum host_list l = 0; l < HOST_LISTS; l++)
		list_remove(h, l, c);
	if (same(where_of(h, c->handle)->at[c->handle % HANDLE_SLOTS], connection_id_of(c)))
		where_set(h, c->handle, (struct connection_id){ 0 });
	flow_change(h)->spare += c->extra;
	connection_free(h->arena, c);
	radio_change(h)->todo = 1;	/* a slot is free: advertise */
	h->control = true;
}

void connection_on_time(struct host *h)
{
	uint64_t next = 0;

	if (!the_flow(h)->closing_ns || the_flow(h)->closing_ns > h->now_ns)
		return;
	for (const struct connection *c = connection_next(h->arena, NULL); c; c = connection_next(h->arena, c)) {
		if (c->state != CONNECTION_DISCONNECTING)
			continue;
		if (c->closing_ns <= h->now_ns) {
			flow_change(h)->closing_ns = 0;
			host_recover(h, "a disconnection never completed");
			return;
		}
		if (!next || c->closing_ns < next)
			next = c->closing_ns;
	}
	flow_change(h)->closing_ns = next;
}

/* Those that could not be asked yet, those whose gattd is gone (their peers would talk to one that knows nothing of them), and
 * those to which the controller waits for a reply. */
static bool is_to_be_shed(const struct host *h, const struct connection *c)
{
	bool reply = c->due & (DUE_KEY_REPLY | DUE_PARAMETER_REPLY);

	switch (c->state) {
	case CONNECTION_OPEN: return reply || !gatt_knows(h, c);
	case CONNECTION_UNWANTED: return true;
	case CONNECTION_ENDED: return !c->on[LIST_WORK] && !gatt_knows(h, c);
	default: return reply;
	}
}

/* False: no room for a command. */
static bool shed(struct host *h, const struct connection *c)
{
	if (c->state == CONNECTION_ENDED) {
		list_push(h, LIST_WORK, c);	/* nobody waits to hear of it */
		return true;
	}
	if (c->state == CONNECTION_UNWANTED)
		connection_close(h, c, c->reason);
	else if (!gatt_knows(h, c))
		connection_close(h, c, HCI_ERROR_REMOTE_DEVICE_TERMINATED_POWER_OFF);
	return c->state != CONNECTION_UNWANTED && event_reply(h, c);
}

void connection_shed(struct host *h)
{
	unsigned n = 0;

	if (!shed_refused(h))
		return;			/* no room for the command: each answer comes back to this */
	for (const struct connection *c = connection_next(h->arena, NULL); c; c = connection_next(h->arena, c)) {
		if (!is_to_be_shed(h, c))
			continue;
		if (n++ == TURN_CONNECTIONS) {
			radio_change(h)->todo = 1;
			return;
		}
		if (!shed(h, c))
			return;
	}
	radio_change(h)->shedding = 0;
}
