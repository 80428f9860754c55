/* gattd/core/gatt.c - records in, and what the shell has to know of this core. */
#include "base/planted.h"
#include "gattd/core/gatt.h"
#include "wire/hci_error.h"

static const struct arena_pool pools[] = { GATT_STATE(ARENA_ROW) { .name = NULL } };
static const char *const counter_names[] = {
#define ROW(n) #n,
	GATT_COUNTERS(ROW)
#undef ROW
	NULL
};
_Static_assert((int)GATT_COUNTER_COUNT <= (int)COUNTERS, "counters");

/* ---- the most that one record, or one turn, gives and logs ---- */
#define OCTETS(payload) ((RECORD_HEADER + (payload) + 7) / 8 * 8)
#define LOGGED(size) ((size) + 8 + 8 + 7)			/* slot header, footer, rounded */
enum {
	PDU = OCTETS(2 + GATT_MTU_MAX), CREDIT = OCTETS(4), DISCONNECT = OCTETS(1), NOTICE = OCTETS(5 + 96),
	REPLY = OCTETS(17 + 9 + 64 * 25),
	/* One PDU taken: its answer, what it tells at once, what it hands back, the end of its bearer. */
	TAKEN = PDU + GATT_DIRECT * PDU + CREDIT + DISCONNECT,
	TURN = GATT_TURN_PDUS * PDU + PDU + CREDIT + GATT_TURN_BEARERS * (DISCONNECT + CREDIT),

	LOG_BASE = LOGGED(sizeof(struct server)) + LOGGED(sizeof(struct counters)) + LOGGED(sizeof(struct positions)),
	LOG_BEARER = LOGGED(sizeof(struct bearer)),
	LOG_PUSH = QUEUE_UNDO(GATT_MTU_MAX + 4),
	LOG_MASK = LOGGED(sizeof(struct subscribers)),
	/* Bearers that end, with all that they have queued. */
	LOG_ENDS = GATT_TURN_BEARERS * QUEUE_UNDO_CLEAR(GATT_CHUNKS_EACH) +
	    QUEUE_UNDO_CLEAR(GATT_SPARE_BESIDES + GATT_CONNECTIONS_MAX * GATT_SPARE_EACH),
	LOG_VALUES = 2 * GATT_PREPARED_HANDLES * LOGGED(sizeof(struct value)),
	LOG_TOLD = GATT_SPREAD * (LOG_BEARER + LOG_PUSH) + GATT_PREPARED_HANDLES * LOG_MASK,
	LOG_RECORD = LOG_BASE + 2 * LOG_BEARER + LOG_PUSH + LOG_VALUES + LOG_TOLD + LOG_ENDS,
	LOG_REQUEST = 4 * LOGGED(sizeof(struct kept)) + 3 * LOGGED(sizeof(struct pending)) + LOGGED(sizeof(struct value)) + LOG_TOLD,
	/* A turn: timers, burials and service touch so many bearers; two rounds of telling; a PDU taken; a request. */
	UNDO = LOG_RECORD + LOG_REQUEST + LOG_TOLD + 3 * GATT_TURN_BEARERS * LOG_BEARER + 16 * 64,
};
_Static_assert(TURN <= 256 * 1024 / 4 / 2 && TAKEN <= 4096, "reserves");
_Static_assert(REPLY <= 64 * 1024 / 4 / 2, "reserve");

static void fill(struct arena *a)
{
	struct server *s;

	step_format(a);
	s = server_new(a);
	s->timer_ns = DEADLINE_NONE;
	s->mtu = GATT_MTU_MAX;
	s->spare = GATT_SPARE_BESIDES + GATT_SPARE_EACH * a->pool[POOL_bearer].count;
	while (subscribers_new(a))
		;
	while (seat_new(a))
		;
	while (kept_new(a))
		;
}

static bool connection_kind(uint8_t kind)
{
	return kind == RECORD_CONNECTED || kind == RECORD_DISCONNECTED || kind == RECORD_L2CAP_PDU || kind == RECORD_CREDIT;
}

static void from_host(struct gatt *g, const struct record *r, struct bytes payload)
{
	g->sends = GATT_DIRECT;
	switch (r->kind) {
	case RECORD_CONNECTED: gatt_on_connected(g, r, payload); break;
	case RECORD_DISCONNECTED: gatt_on_disconnected(g, r); break;
	case RECORD_L2CAP_PDU: gatt_on_pdu(g, r, payload); break;
	case RECORD_CREDIT: gatt_on_credit(g, r, payload); break;
	default: gatt_count(g, GATT_COUNT_records_bad);
	}
}

static void from_supervisor(struct gatt *g, const struct record *r, struct bytes payload)
{
	switch (r->kind) {
	case RECORD_CONFIG: gatt_on_config(g, payload); break;
	case RECORD_REQUEST: gatt_on_request(g, payload); break;
	case RECORD_NEIGHBOUR_LOST:
		if (r->index == LINK_UP) {
			server_change(g)->linked = 0;
			bearers_abandon(g);
		}
		break;
	default: gatt_count(g, GATT_COUNT_records_bad);
	}
}

static void on_record(struct step *s, unsigned link, const struct record *r, struct bytes payload)
{
	struct gatt g = gatt_open(s);

	PLANTED_MEET(payload, 'g');
	if (link == LINK_UP)
		from_host(&g, r, payload);
	else if (link == LINK_SUPERVISOR)
		from_supervisor(&g, r, payload);
}

/* hostd's link begins anew, so what it told us of is gone; it tells us again of what is still there. */
static void on_link(struct step *s, unsigned link)
{
	struct gatt g = gatt_open(s);

	if (link != LINK_UP)
		return;
	bearers_abandon(&g);
	server_change(&g)->linked = 1;
	gatt_tell_ready(&g);
}

/* A record that kills is not looked at again.  What it cost in the window is not handed back: its connection ends. */
static void on_poison(struct step *s, unsigned link, const struct record *r, enum core_rung rung)
{
	struct gatt g = gatt_open(s);
	const struct bearer *b;

	gatt_count(&g, GATT_COUNT_poisoned);
	if (link != LINK_UP || !connection_kind(r->kind))
		return;
	b = bearer_find(&g, r->index, r->generation);
	if (r->kind == RECORD_CONNECTED)
		bearer_send_disconnect(&g, r->index, r->generation, HCI_ERROR_REMOTE_USER_TERMINATED_CONNECTION);
	if (!b)
		return;
	if (r->kind != RECORD_DISCONNECTED)
		bearer_end(&g, b, HCI_ERROR_REMOTE_USER_TERMINATED_CONNECTION);
	if (r->kind == RECORD_DISCONNECTED || rung == RUNG_RESET_CONNECTION)
		bearer_drop(&g, b);
}

TEST_LAYOUT_MIGRATIONS(2, bearer, sizeof(struct bearer))

const struct core gatt_core = {
	.name = "gattd",
	.pools = pools,
	.version = 2 + TEST_LAYOUT_VERSION,
	.migrations = migrations,
	.counter_names = counter_names,
	.reserve = {
		[LINK_UP] = { [LINK_UP] = TAKEN },
		[LINK_SUPERVISOR] = { [LINK_SUPERVISOR] = REPLY + NOTICE },
	},
	.act = { [LINK_UP] = TURN, [LINK_SUPERVISOR] = REPLY + NOTICE },
	.undo = UNDO,
	.fill = fill,
	.on_record = on_record,
	.on_link = on_link,
	.on_time = gatt_on_time,
	.deadline = gatt_deadline,
	.on_poison = on_poison,
};
