/* hostd/core/host.c - the core: dispatch, the life of the host, work on time. */
#include "base/planted.h"
#include "hostd/core/host.h"
#include "wire/hci_error.h"
#include "wire/hci_packet.h"

/* What one record, or one turn, may put into the rings.  A wrap is the step's concern. */
#define OCTETS(len) ((RECORD_HEADER + (len) + 7u) & ~7u)
enum {
	OUT_COMMANDS = PENDING_COMMANDS * OCTETS(HCI_COMMAND_HEADER + COMMAND_MAX),
	OUT_FRAGMENTS = PUMP_FRAGMENTS * OCTETS(HCI_ACL_HEADER + FRAME_MAX),
	OUT_PDU = OCTETS(2 + PDU_MAX),
	OUT_CONNECTED = OCTETS(27), OUT_DISCONNECTED = OCTETS(1), OUT_CREDIT = OCTETS(4),
	/* An ACL packet is one PDU.  A Connection Complete: the end of an old one, the new one, and its early data. */
	UP_TO_DOWN = OUT_CONNECTED + 2 * OUT_DISCONNECTED + EARLY_SLOTS * OCTETS(2 + EARLY_OCTETS) + OUT_PDU,
	ACT_DOWN = TURN_CONNECTIONS * (TURN_PDUS * OUT_PDU + OUT_CREDIT + OUT_DISCONNECTED),
	ACT_SUPERVISOR = TURN_NOTICES * OCTETS(5 + NOTICE_TEXT),
	/* The log.  A record may edit each single object, and connections: those that get a fragment, those of a Number Of
	 * Completed Packets (63 handles), one that ends.  A turn edits those it works on, sweeps, sheds and pumps. */
	LOGGED_CONNECTION = sizeof(struct connection) + 32,
	LOGGED_SINGLES = sizeof(struct positions) + sizeof(struct counters) + sizeof(struct entropy) + sizeof(struct radio) +
	    sizeof(struct controller) + sizeof(struct settings) + sizeof(struct advertiser) +
	    offsetof(struct commands, queue_octets) + sizeof(struct flow) + sizeof(struct handles) +
	    offsetof(struct notices, out_octets) + 12 * 32,
	LOGGED_QUEUES = QUEUE_OCTETS + NOTICE_OCTETS +	/* octets pushed over ones popped in the same step */
	    2 * QUEUE_UNDO(FRAME_MAX) + PUMP_FRAGMENTS * QUEUE_UNDO_CLEAR(4),
	/* Connections that end: what they had queued. */
	LOGGED_ENDS = TURN_CONNECTIONS * QUEUE_UNDO_CLEAR(CHUNKS_EACH) + QUEUE_UNDO_CLEAR(SPARE_BESIDES + 256 * SPARE_EACH),
	LOGGED_TURN = (4 * TURN_CONNECTIONS + PUMP_FRAGMENTS) * (LOGGED_CONNECTION + 32),
	LOGGED_RECORD = (64 + PUMP_FRAGMENTS + 4) * LOGGED_CONNECTION,
	LOGGED_MOST = (int)LOGGED_TURN > (int)LOGGED_RECORD ? (int)LOGGED_TURN : (int)LOGGED_RECORD,
	UNDO = LOGGED_SINGLES + LOGGED_QUEUES + LOGGED_ENDS + LOGGED_MOST +
	    (TURN_CONNECTIONS + 2) * ((int)sizeof(struct where) + 32) + EARLY_SLOTS * ((int)sizeof(struct early) + 64),
};
_Static_assert((int)OUT_COMMANDS + (int)OUT_FRAGMENTS <= RING_SIZE_DEFAULT * 3 / 16, "too much for transportd's ring");
_Static_assert((int)UP_TO_DOWN <= RING_SIZE_DEFAULT * 3 / 16 && (int)ACT_DOWN <= RING_SIZE_DEFAULT * 3 / 16, "too much for gattd's ring");
_Static_assert((int)ACT_SUPERVISOR <= 65536 * 3 / 16, "too much for the small link");
_Static_assert((int)HANDLES == (int)CONNECTION_HANDLE_MAX + 1, "a bit for each handle");
_Static_assert((int)HOST_COUNTER_COUNT <= (int)COUNTERS, "more counters than a core has");
_Static_assert((int)HOST_POOLS <= (int)ARENA_POOLS, "more pools than an arena has");

static const struct arena_pool pools[] = { HOST_STATE(ARENA_ROW) { 0 } };
static const char *const counter_names[] = {
#define ROW(n) #n,
	HOST_COUNTERS(ROW)
#undef ROW
	NULL
};

static void fill(struct arena *a)
{
	step_format(a);
	radio_new(a);
	controller_new(a);
	*settings_new(a) = (struct settings){ .interval_min = 0x00A0, .interval_max = 0x00A0 };
	advertiser_new(a);
	commands_new(a);
	flow_new(a)->spare = SPARE_BESIDES + SPARE_EACH * a->pool[POOL_connection].count;
	handles_new(a);
	while (where_new(a))
		;
	notices_new(a);
	for (unsigned i = 0; i < KEPT_SLOTS; i++)
		kept_new(a);
}

static struct host host_of(const struct step *s)
{
	return (struct host){ .step = (struct step *)(uintptr_t)s, .arena = s->arena, .now_ns = s->now_ns };
}

bool host_pool_full(const struct host *h)
{
	return arena_live(h->arena, POOL_connection) == h->arena->pool[POOL_connection].count;
}

void host_restart(struct host *h, uint8_t reason, enum host_state after)
{
	struct radio *r = radio_change(h);

	hci_reset_queue(h);
	advertising_reset(h);
	r->state = HOST_SWEEPING;
	r->after = (uint8_t)after;
	r->reason = reason;
	r->todo = 1;
	connection_unrefuse_all(h);
	h->control = true;
}

void host_fail(struct host *h, uint32_t value, const char *what, const char *why)
{
	radio_change(h)->failed = value;
	host_restart(h, HCI_ERROR_HARDWARE_FAILURE, HOST_FAILED);
	notice(h, NOTICE_FAILED, value, what, why);
}

/* The ladder: one Reset, all connections ended; if the controller does not work for a while after it, that is all. */
void host_recover(struct host *h, const char *why)
{
	const struct radio *r = the_radio(h);
	bool up = r->state == HOST_UP;

	if (!up && r->state != HOST_BRINGING_UP)
		return;
	if (up && h->now_ns - r->up_since_ns >= STABLE_NS)
		radio_change(h)->recoveries = 0;
	if (r->recoveries) {
		host_fail(h, (uint32_t)r->step << 8, up ? "controller" : bringup_step_name(h), why);
		return;
	}
	radio_change(h)->recoveries = 1;
	count(h, COUNT_recoveries);
	notice(h, NOTICE_EVENT, 0, "controller is reset: ", why);
	host_restart(h, HCI_ERROR_HARDWARE_FAILURE, HOST_WAITING);
}

/* End some more connections; true: none is left. */
static bool sweep(struct host *h)
{
	uint8_t reason = the_radio(h)->reason;
	unsigned n = 0;

	acl_forget_early(h);
	for (const struct connection *c = connection_next(h->arena, NULL); c; c = connection_next(h->arena, c)) {
		if (c->state == CONNECTION_ENDED)
			continue;
		if (n++ == TURN_CONNECTIONS)
			return false;
		connection_end(h, c, reason);
	}
	return true;
}

/* Look at what the host is waiting for. */
static void host_advance(struct host *h)
{
	const struct radio *r = the_radio(h);

	if (r->todo)
		radio_change(h)->todo = 0;
	if (r->state == HOST_SWEEPING) {
		if (sweep(h)) {
			flow_change(h)->credits = flow_change(h)->total = 0;
			radio_change(h)->state = r->after;
		}
		radio_change(h)->todo = 1;
		return;
	}
	if (r->shedding)
		connection_shed(h);
	if (r->state == HOST_WAITING && r->configured && !r->transport_down && host_has_up(h) && host_has_down(h))
		bringup_start(h);
	if (r->state != HOST_UP)
		return;
	advertising_advance(h);
	if (!r->ready_told && (!the_settings(h)->advertise || the_advertiser(h)->state == ADVERTISER_ON || the_flow(h)->live)) {
		radio_change(h)->ready_told = 1;
		notice(h, NOTICE_READY, 0, "", "");
	}
}

/* What follows from a record: commands and fragments that may go now. */
static void host_settle(struct host *h)
{
	if (h->control) {
		host_advance(h);
		hci_pump(h);
	}
	acl_pump(h);
}

static void on_transport_state(struct host *h, struct bytes payload)
{
	struct local_transport_state m;

	if (!local_transport_state_decode(payload, &m)) {
		count(h, COUNT_records_bad);
		return;
	}
	h->control = true;
	switch (m.state) {
	case 0:
		if (!the_radio(h)->transport_down) {
			radio_change(h)->transport_down = 1;
			host_restart(h, HCI_ERROR_HARDWARE_FAILURE, HOST_WAITING);
		}
		break;
	case 1:
		if (the_radio(h)->transport_down) {
			radio_change(h)->transport_down = radio_change(h)->recoveries = 0;
			radio_change(h)->todo = 1;
		}
		break;
	default:	/* octets that may or may not have passed: answers and completions will show, or a deadline */
		count(h, COUNT_transport_unknown);
		notice(h, NOTICE_EVENT, m.in_unknown + m.out_unknown, "transport window unknown", "");
	}
}

static void on_up(struct host *h, const struct record *r, struct bytes payload)
{
	switch (r->kind) {
	case RECORD_HCI_EVENT: on_hci_event(h, payload); break;
	case RECORD_HCI_ACL: on_hci_acl(h, payload); break;
	case RECORD_TRANSPORT_STATE: on_transport_state(h, payload); break;
	default: count(h, COUNT_packets_ignored);
	}
}

static void on_neighbour_lost(struct host *h, unsigned link)
{
	struct radio *r = radio_change(h);

	r->todo = 1;
	if (link == LINK_UP) {
		r->up_lost = 1;
		host_restart(h, HCI_ERROR_HARDWARE_FAILURE, HOST_WAITING);
	} else if (link == LINK_DOWN) {
		r->down_lost = r->shedding = 1;
		r->down_life++;
	}
}

/* While transportd is away nobody can answer, however long ago it was asked; once it is back, what was asked is asked anew. */
static void set_patience(struct host *h, unsigned link, uint64_t span_ns)
{
	if (link == LINK_UP)
		radio_change(h)->patience_ns = h->now_ns + span_ns;
}

static void on_supervisor(struct host *h, const struct record *r, struct bytes payload)
{
	switch (r->kind) {
	case RECORD_CONFIG: on_config(h, payload); break;
	case RECORD_REQUEST: on_request(h, payload); break;
	case RECORD_NEIGHBOUR_LOST: on_neighbour_lost(h, r->index); break;
	case RECORD_NEIGHBOUR_AWAY: set_patience(h, r->index, AWAY_MOST_NS); break;
	case RECORD_NEIGHBOUR_BACK: set_patience(h, r->index, COMMAND_DEADLINE_NS); break;
	default: count(h, COUNT_records_bad);
	}
}

static void on_record(struct step *s, unsigned link, const struct record *r, struct bytes payload)
{
	struct host h = host_of(s);

	PLANTED_MEET(payload, 'h');
	if (link == LINK_SUPERVISOR) {
		on_supervisor(&h, r, payload);
		return;		/* what follows is done on time: this had no room towards the controller */
	}
	if (link == LINK_UP) {
		h.may_tell = true;
		on_up(&h, r, payload);
	} else {
		on_gatt_record(&h, r, payload);
	}
	h.may_tell = false;	/* what room there was is used */
	if (host_has_up(&h))
		host_settle(&h);
}

static void on_link(struct step *s, unsigned link)
{
	struct host h = host_of(s);
	struct radio *r = radio_change(&h);

	r->todo = 1;
	if (link == LINK_UP) {
		r->up_lost = r->transport_down = r->recoveries = 0;
		r->patience_ns = 0;
		host_restart(&h, HCI_ERROR_HARDWARE_FAILURE, HOST_WAITING);
	} else if (link == LINK_DOWN) {		/* this gattd knows no connection: its peers have to begin anew, too */
		r->down_lost = 0;
		r->down_life++;
		r->shedding = 1;
	} else if (r->state == HOST_FAILED) {
		notice(&h, NOTICE_FAILED, r->failed, "controller refused before", "");
	} else {
		r->ready_told = 0;
	}
}

static void on_time(struct step *s)
{
	struct host h = host_of(s);
	const struct connection *c;
	unsigned n = 0;

	h.may_tell = true;
	for (; n < TURN_CONNECTIONS && (c = list_pop(&h, LIST_WORK)); n++)
		gatt_turn(&h, c);
	if (n)
		gatt_hand_back(&h, TURN_CONNECTIONS - n);
	h.may_tell = false;
	if (the_radio(&h)->patience_ns <= h.now_ns) {
		hci_on_time(&h);
		connection_on_time(&h);
		acl_on_time(&h);
	}
	if (the_radio(&h)->todo)
		host_advance(&h);
	if (host_has_up(&h))
		hci_pump(&h);
	acl_pump(&h);
	notice_flush(&h);
}

static uint64_t sooner(uint64_t a, uint64_t b) { return b && b < a ? b : a; }

static uint64_t deadline(const struct step *s)
{
	struct host h = host_of(s);
	const struct radio *r = the_radio(&h);
	const struct flow *f = the_flow(&h);
	uint64_t commands = hci_deadline(&h);

	if (r->todo || list_waiting(&h, LIST_WORK) || notice_waiting(&h) || acl_can_pump(&h) || !commands)
		return 0;
	return MAX(sooner(sooner(commands, f->closing_ns), f->early_ns), r->patience_ns);
}

/* The connection of data from the controller, by the handle in its header; NULL: there is none. */
static const struct connection *connection_of_data(const struct host *h, const struct record *r)
{
	return r->generation ? connection_find(h, r->index) : NULL;
}

static bool is_data(uint8_t kind) { return kind == RECORD_HCI_ACL || kind == RECORD_HCI_SCO || kind == RECORD_HCI_ISO; }

/* A record that kills ends its connection; what it said is lost, so what is no connection's begins anew. */
static void on_poison(struct step *s, unsigned link, const struct record *r, enum core_rung rung)
{
	struct host h = host_of(s);
	bool data = link == LINK_UP && is_data(r->kind);
	const struct connection *c = data ? connection_of_data(&h, r) : link == LINK_DOWN ? connection_named(&h, r) : NULL;

	count(&h, COUNT_records_poisoned);
	if (c && c->state != CONNECTION_ENDED) {
		connection_close(&h, c, HCI_ERROR_REMOTE_USER_TERMINATED_CONNECTION);
		if (rung == RUNG_RESET_CONNECTION)
			connection_part(&h, c);
	} else if (data && rung == RUNG_SKIP_RECORD) {
		acl_forget_early(&h);			/* data of a connection that is not there, or not yet */
	} else if (link == LINK_UP) {
		host_recover(&h, data ? "data skipped" : "event skipped");
	}
	radio_change(&h)->todo = 1;
}

TEST_LAYOUT_MIGRATIONS(2, connection, sizeof(struct connection))

const struct core hostd_core = {
	.name = "hostd",
	.pools = pools,
	.version = 2 + TEST_LAYOUT_VERSION,
	.migrations = migrations,
	.counter_names = counter_names,
	.reserve = {
		[LINK_UP] = { [LINK_UP] = OUT_COMMANDS + OUT_FRAGMENTS, [LINK_DOWN] = UP_TO_DOWN },
		[LINK_DOWN] = { [LINK_UP] = OUT_COMMANDS + OUT_FRAGMENTS },
		[LINK_SUPERVISOR] = { [LINK_SUPERVISOR] = OCTETS(17 + STATUS_OCTETS) },
	},
	.act = { [LINK_UP] = OUT_COMMANDS + OUT_FRAGMENTS, [LINK_DOWN] = ACT_DOWN, [LINK_SUPERVISOR] = ACT_SUPERVISOR },
	.undo = UNDO,
	.fill = fill,
	.on_record = on_record,
	.on_link = on_link,
	.on_time = on_time,
	.deadline = deadline,
	.on_poison = on_poison,
};
