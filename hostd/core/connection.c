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

const struct connection *connection_find(const struct host *h, uint16_t handle)
{
	const struct handles *map = handles_next(h->arena, NULL);
	const struct connection *c = connection_view(h->arena, map->by_low[handle % HANDLE_SLOTS]);

	if (c && c->handle == handle && c->state != CONNECTION_ENDED)
		return c;
	for (c = connection_next(h->arena, NULL); c; c = connection_next(h->arena, c))
		if (c->handle == handle && c->state != CONNECTION_ENDED)
			return c;
	return NULL;
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
	c = host_has_down(h) ? connection_new(h->arena) : NULL;
	if (!c) {
		count(h, COUNT_connections_refused);
		HCI_SEND(h, DISCONNECT, disconnect, facts->handle, HCI_ERROR_REMOTE_DEVICE_TERMINATED_LOW_RESOURCES);
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
	handles_edit(h->arena, handles_next(h->arena, NULL))->by_low[facts->handle % HANDLE_SLOTS] = connection_id_of(c);
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

	if (c->state == CONNECTION_DISCONNECTING || c->state == CONNECTION_ENDED || !host_is_up(h))
		return;		/* not up: it is about to be ended anyway */
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
	if (!the_flow(h)->closing_ns)
		flow_change(h)->closing_ns = e->closing_ns;
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

	acl_drop(h, c);
	acl_release(h, c);
	e->state = CONNECTION_ENDED;
	e->reason = reason;
	flow_change(h)->live--;
	count(h, COUNT_disconnections);
	if (the_radio(h)->state == HOST_UP)
		acl_share(h);
	advertising_unblock(h);
	radio_change(h)->todo = 1;
	h->control = true;
	if (h->may_tell && !fifo_len(c, hold))
		gatt_turn(h, c);
	else
		list_push(h, LIST_WORK, c);
}

void connection_free_now(struct host *h, const struct connection *c)
{
	const struct handles *map = handles_next(h->arena, NULL);

	for (enum host_list l = 0; l < HOST_LISTS; l++)
		list_remove(h, l, c);
	if (same(map->by_low[c->handle % HANDLE_SLOTS], connection_id_of(c)))
		handles_edit(h->arena, map)->by_low[c->handle % HANDLE_SLOTS] = (struct connection_id){ 0 };
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

/* Those that could not be asked yet, and those whose gattd is gone: their peers would talk to one that knows nothing of them. */
void connection_shed(struct host *h)
{
	unsigned n = 0;

	for (const struct connection *c = connection_next(h->arena, NULL); c; c = connection_next(h->arena, c)) {
		bool unwanted = c->state == CONNECTION_UNWANTED;

		if (c->state == CONNECTION_DISCONNECTING || (!unwanted && gatt_knows(h, c)) || c->on[LIST_WORK])
			continue;
		if (n++ == TURN_CONNECTIONS) {
			radio_change(h)->todo = 1;
			return;
		}
		if (c->state == CONNECTION_ENDED)
			list_push(h, LIST_WORK, c);	/* nobody waits for what is held */
		else
			connection_close(h, c, unwanted ? c->reason : HCI_ERROR_REMOTE_DEVICE_TERMINATED_POWER_OFF);
		if (c->state == CONNECTION_UNWANTED)
			return;		/* no room for the command: each answer comes back to this */
	}
	radio_change(h)->shedding = 0;
}
