/* hostd/core/event.c - HCI events: one row each. */
#include "hostd/core/host.h"
#include "wire/hci_error.h"
#include "wire/hci_list.h"
#include "wire/hci_packet.h"

static void on_command_complete(struct host *h, const struct hci_event_command_complete *m) { hci_on_command_complete(h, m); }
static void on_command_status(struct host *h, const struct hci_event_command_status *m) { hci_on_command_status(h, m); }

static void on_hardware_error(struct host *h, const struct hci_event_hardware_error *m)
{
	(void)m;
	count(h, COUNT_hardware_errors);
	host_recover(h, "it reported a hardware error");
}

/* A connection that an event names; NULL: counted.  Unless the controller is up there are none, or
 * they are being swept, and what it says is old: nothing follows from it, least of all a command. */
static const struct connection *named(struct host *h, uint16_t handle)
{
	const struct connection *c = host_is_up(h) ? connection_find(h, handle) : NULL;

	if (!c)
		count(h, COUNT_handles_unknown);
	return c;
}

static void on_disconnection_complete(struct host *h, const struct hci_event_disconnection_complete *m)
{
	const struct connection *c = named(h, m->handle);

	if (!c && !m->status && handle_valid(m->handle)) {	/* one that was refused */
		connection_unrefuse(h, m->handle);
		acl_handle_ended(h, m->handle);
	}
	if (!c)
		return;
	if (m->status)
		count(h, COUNT_events_ignored);		/* still there */
	else
		connection_end(h, c, m->reason);
}

static void on_encryption_change(struct host *h, const struct hci_event_encryption_change *m)
{
	const struct connection *c = named(h, m->handle);

	if (c && !m->status)
		connection_edit(h->arena, c)->encrypted = m->enabled != 0;
}

/* Vol 4 Part E 7.7.19.  A count above the body: hci_completed_open refuses the event whole. */
static void on_number_of_completed_packets(struct host *h, const struct hci_event_number_of_completed_packets *m)
{
	struct hci_completed_list list;
	struct hci_completed done;

	if (!hci_completed_open(m->count, m->items, &list)) {
		count(h, COUNT_events_malformed);
		return;
	}
	while (hci_completed_next(&list, &done))
		acl_on_completed(h, done.handle, done.count);
}

static void on_data_buffer_overflow(struct host *h, const struct hci_event_data_buffer_overflow *m)
{
	(void)m;
	count(h, COUNT_buffer_overflows);
}

/* Both forms of Connection Complete end in this. */
static void on_connected(struct host *h, uint8_t status, const struct link_facts *facts)
{
	if (the_radio(h)->state != HOST_UP || (!status && !handle_valid(facts->handle))) {
		count(h, status ? COUNT_events_ignored : COUNT_handles_unknown);
		return;
	}
	advertising_on_connected(h);	/* also with a status: 0x3C, or one that failed, has ended it */
	if (!status)
		connection_open(h, facts);
	else
		count(h, COUNT_events_ignored);
}
static void on_le_connection_complete(struct host *h, const struct hci_le_event_connection_complete *m)
{
	on_connected(h, m->status, &(struct link_facts){ m->handle, m->role & 1, m->peer_type & 3, m->peer });
}
static void on_le_enhanced_connection_complete(struct host *h, const struct hci_le_event_enhanced_connection_complete *m)
{
	on_connected(h, m->status, &(struct link_facts){ m->handle, m->role & 1, m->peer_type & 3, m->peer });
}

static bool send_parameter_reply(struct host *h, const struct connection *c)
{
	const uint16_t *asked = c->asked;
	uint8_t error = parameters_check(asked[0], asked[1], asked[2], asked[3]);

	if (error)
		return HCI_SEND(h, LE_REMOTE_CONNECTION_PARAMETER_REQUEST_NEGATIVE_REPLY,
		    le_remote_connection_parameter_request_negative_reply, c->handle, error);
	return HCI_SEND(h, LE_REMOTE_CONNECTION_PARAMETER_REQUEST_REPLY, le_remote_connection_parameter_request_reply,
	    c->handle, asked[0], asked[1], asked[2], asked[3], 0, 0);
}

bool event_reply(struct host *h, const struct connection *c)
{
	struct connection *e = connection_edit(h->arena, c);

	/* No keys yet: the controller refuses the encryption with Pin or Key Missing, 7.8.26. */
	if (c->due & DUE_KEY_REPLY && HCI_SEND(h, LE_LONG_TERM_KEY_REQUEST_NEGATIVE_REPLY,
	    le_long_term_key_request_negative_reply, c->handle))
		e->due &= (uint8_t)~DUE_KEY_REPLY;
	if (c->due & DUE_PARAMETER_REPLY && send_parameter_reply(h, c))
		e->due &= (uint8_t)~DUE_PARAMETER_REPLY;
	return !(c->due & (DUE_KEY_REPLY | DUE_PARAMETER_REPLY));
}

/* The controller asks once, so the reply must not be lost. */
static void reply_due(struct host *h, const struct connection *c, enum due what)
{
	connection_edit(h->arena, c)->due |= (uint8_t)what;
	if (!event_reply(h, c))
		radio_change(h)->shedding = 1;
}

static void on_le_long_term_key_request(struct host *h, const struct hci_le_event_long_term_key_request *m)
{
	const struct connection *c = named(h, m->handle);

	if (c)
		reply_due(h, c, DUE_KEY_REPLY);
}

static void on_le_remote_connection_parameter_request(struct host *h,
    const struct hci_le_event_remote_connection_parameter_request *m)
{
	const struct connection *c = named(h, m->handle);

	if (!c)
		return;
	memcpy(connection_edit(h->arena, c)->asked, (const uint16_t[]){ m->interval_min, m->interval_max, m->latency, m->timeout },
	    sizeof c->asked);
	reply_due(h, c, DUE_PARAMETER_REPLY);
}

/* Known, and nothing to do: what they say is not kept yet. */
#define LE_EVENTS(ON) \
	ON(CONNECTION_COMPLETE,                    connection_complete) \
	ON(ENHANCED_CONNECTION_COMPLETE,           enhanced_connection_complete) \
	ON(LONG_TERM_KEY_REQUEST,                  long_term_key_request) \
	ON(REMOTE_CONNECTION_PARAMETER_REQUEST,    remote_connection_parameter_request)
#define ON(NAME, name) \
static bool dispatch_le_##name(struct host *h, struct bytes body) \
{ \
	struct hci_le_event_##name m; \
	if (!hci_le_event_##name##_decode(body, &m)) \
		return false; \
	on_le_##name(h, &m); \
	return true; \
}
LE_EVENTS(ON)
#undef ON
static bool (*const le_handlers[])(struct host *, struct bytes) = {
#define ON(NAME, name) [HCI_LE_EVENT_##NAME] = dispatch_le_##name,
	LE_EVENTS(ON)
#undef ON
};

static void on_le_meta(struct host *h, const struct hci_event_le_meta *m)
{
	if (m->subevent >= ARRAY_LEN(le_handlers) || !le_handlers[m->subevent])
		count(h, COUNT_events_ignored);
	else if (!le_handlers[m->subevent](h, m->parameters))
		count(h, COUNT_events_malformed);
}

#define EVENTS(ON) \
	ON(DISCONNECTION_COMPLETE,      disconnection_complete) \
	ON(ENCRYPTION_CHANGE,           encryption_change) \
	ON(COMMAND_COMPLETE,            command_complete) \
	ON(COMMAND_STATUS,              command_status) \
	ON(HARDWARE_ERROR,              hardware_error) \
	ON(NUMBER_OF_COMPLETED_PACKETS, number_of_completed_packets) \
	ON(DATA_BUFFER_OVERFLOW,        data_buffer_overflow) \
	ON(LE_META,                     le_meta)
#define ON(NAME, name) \
static bool dispatch_##name(struct host *h, struct bytes body) \
{ \
	struct hci_event_##name m; \
	if (!hci_event_##name##_decode(body, &m)) \
		return false; \
	on_##name(h, &m); \
	return true; \
}
EVENTS(ON)
#undef ON
static bool (*const handlers[256])(struct host *, struct bytes) = {
#define ON(NAME, name) [HCI_EVENT_##NAME] = dispatch_##name,
	EVENTS(ON)
#undef ON
};

void on_hci_event(struct host *h, struct bytes packet)
{
	struct hci_event_packet p;

	if (!hci_event_packet_decode(packet, &p))
		count(h, COUNT_events_malformed);
	else if (!handlers[p.code])
		count(h, COUNT_events_ignored);
	else if (!handlers[p.code](h, p.parameters))
		count(h, COUNT_events_malformed);
}
