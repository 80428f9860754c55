/* gattd/core/gatt.h - the attribute server as a sans-I/O core: ATT and GATT server, and what SMP owes for now.
 *
 *   LINK_UP          hostd: CONNECTED, DISCONNECTED, L2CAP_PDU, CREDIT  <->  L2CAP_PDU, CREDIT, DISCONNECT
 *   LINK_SUPERVISOR  CONFIG, REQUEST, NEIGHBOUR_LOST                    ->   REPLY, NOTICE
 *
 *   gatt.c      records in; the struct core        config.c    the attributes come in
 *   bearer.c    connections, windows, PDUs out     request.c   an operator's requests, each id once
 *   turn.c      work on time, round-robin          smp.c       Pairing Not Supported
 *   change.c    values that change, and who is told
 *   att.c       dispatch, Error Response           att_discover.c  att_read.c  att_write.c  att_prepare.c
 *   database.c  finding, permissions
 *
 * Guarantees: one answer to each request, in order; a change is told to every subscriber in the order of the changes; a
 * change waits (so does what came after it from the same client, and nothing else) while a subscriber lacks room, for a
 * second at most: then all subscribers that lack it are stalled, and miss changes, counted, until they have drained.
 * Where nothing waits and no confirmation is to come, there is no deadline.  What a PDU costs does not depend on how many
 * connections there are, but on how many are told of it.
 * Refuses: what the Core Specification names, by the code it names.
 *
 * This header is what the files of the core share.  From outside only gatt_core is used. */
#pragma once
#include "gattd/core/state.h"
#include "wire/att_error.h"
#include "wire/wire.h"

/* Permissions of an attribute, with Bumble's numbers. */
enum gatt_permission {
	GATT_READABLE = 0x01, GATT_WRITEABLE = 0x02, GATT_READ_ENCRYPTED = 0x04, GATT_WRITE_ENCRYPTED = 0x08,
	GATT_READ_AUTHENTICATED = 0x10, GATT_WRITE_AUTHENTICATED = 0x20, GATT_READ_AUTHORIZED = 0x40, GATT_WRITE_AUTHORIZED = 0x80,
};
/* Core 5.4, Vol 3, Part G, 3.3.1.1. */
enum gatt_property {
	GATT_PROPERTY_READ = 0x02, GATT_PROPERTY_WRITE_WITHOUT_RESPONSE = 0x04, GATT_PROPERTY_WRITE = 0x08,
	GATT_PROPERTY_NOTIFY = 0x10, GATT_PROPERTY_INDICATE = 0x20,
};
/* Assigned Numbers, 3.5 to 3.8: what the server looks at. */
enum gatt_type { GATT_TYPE_PRIMARY_SERVICE = 0x2800, GATT_TYPE_SECONDARY_SERVICE = 0x2801, GATT_TYPE_CHARACTERISTIC = 0x2803 };

/* The core's own outcome of a request, beside 0 and ATT error codes: nothing is changed; take the PDU again later. */
enum { GATT_HOLD = 0x100 };

#define GATT_COUNTERS(ROW) \
	ROW(pdus_in) ROW(pdus_out) ROW(errors_out) ROW(notifications) ROW(indications) ROW(confirmations) \
	ROW(discarded)			/* changes that a stalled subscriber missed */ \
	ROW(stalls)			/* subscribers that became stalled */ \
	ROW(held)			/* times that a change had to wait */ \
	ROW(confirm_timeouts) \
	ROW(commands_refused)		/* writes without response that were not permitted, and unknown or malformed commands */ \
	ROW(signed_ignored) \
	ROW(unasked)			/* responses and confirmations to nothing */ \
	ROW(pdus_empty) ROW(pdus_overlong) ROW(other_channels) \
	ROW(records_stale)		/* of a connection that is not, or no longer, here */ \
	ROW(records_bad) \
	ROW(replaced)			/* a connection came where one was */ \
	ROW(overruns)			/* hostd did not keep to its window */ \
	ROW(credits_bad) ROW(smp_refused) ROW(requests) ROW(requests_repeated) ROW(requests_refused) ROW(config_refused) ROW(poisoned)
enum gatt_counter {
#define ROW(n) GATT_COUNT_##n,
	GATT_COUNTERS(ROW)
#undef ROW
	GATT_COUNTER_COUNT
};

/* What is sent at most, in PDUs of GATT_MTU_MAX, and how much of what one turn looks at.  gatt.c makes the reserves of it. */
enum {
	GATT_DIRECT = 3,		/* changes that one record tells without the detour over `due` */
	GATT_SPREAD = 8,		/* subscribers that one record or turn tells, or stalls */
	GATT_TURN_BEARERS = 8, GATT_TURN_PDUS = 16, GATT_TURN_EACH = 4,	/* of which one bearer may send so many */
};

/* Made anew for each record and each turn: what it says is gone with it. */
struct gatt {
	struct arena *arena;
	struct step *step;
	uint64_t now_ns;
	struct wr w;			/* the PDU under way, in the output ring; start NULL: none */
	unsigned sends;			/* PDUs that may still be sent beside the answer */
	uint16_t failed_handle;		/* for Error Response */
	uint16_t changed[GATT_PREPARED_HANDLES];	/* attributes to tell of, once the answer is out */
	unsigned changes;
	bool answered;
	bool again;			/* subscribers were stalled for the change that waits: it may be possible now */
};

static inline struct gatt gatt_open(struct step *s) { return (struct gatt){ .arena = s->arena, .step = s, .now_ns = s->now_ns }; }
static inline const struct server *the_server(const struct gatt *g) { return server_only(g->arena); }
static inline struct server *server_change(struct gatt *g) { return server_edit(g->arena, the_server(g)); }
static inline void gatt_count(struct gatt *g, enum gatt_counter c) { step_count(g->step, c, 1); }
/* Attributes and values are made in one go, never freed, and so sit in their slots in their first generation. */
static inline const struct attribute *attribute_at(const struct gatt *g, unsigned i)
{
	return attribute_view(g->arena, (struct attribute_id){ 1 | i << 16 });
}
static inline const struct value *value_at(const struct gatt *g, unsigned i)
{
	return value_view(g->arena, (struct value_id){ 1 | i << 16 });
}
static inline bool mask_has(const uint64_t *mask, unsigned i) { return mask[i / 64] >> i % 64 & 1; }
static inline void mask_set(uint64_t *mask, unsigned i) { mask[i / 64] |= 1ull << i % 64; }
static inline void mask_clear(uint64_t *mask, unsigned i) { mask[i / 64] &= ~(1ull << i % 64); }
/* The first one set at or after i; GATT_CONNECTIONS_MAX if none. */
static inline unsigned mask_next(const uint64_t *mask, unsigned i)
{
	uint64_t bits;

	if (i >= GATT_CONNECTIONS_MAX)
		return GATT_CONNECTIONS_MAX;
	bits = mask[i / 64] & ~0ull << i % 64;
	for (unsigned w = i / 64; ; bits = mask[w]) {
		if (bits)
			return w * 64 + (unsigned)__builtin_ctzll(bits);
		if (++w == GATT_MASK_WORDS)
			return GATT_CONNECTIONS_MAX;
	}
}

/* ---- bearer.c ---- */
/* The bearer of a connection; NULL: none is open by that name. */
const struct bearer *bearer_find(const struct gatt *g, uint16_t index, uint16_t generation);
const struct bearer *bearer_at(const struct gatt *g, unsigned index);	/* who sits there; NULL if nobody */
void gatt_on_connected(struct gatt *g, const struct record *r, struct bytes payload);
void gatt_on_disconnected(struct gatt *g, const struct record *r);
void gatt_on_pdu(struct gatt *g, const struct record *r, struct bytes payload);
void gatt_on_credit(struct gatt *g, const struct record *r, struct bytes payload);
/* All bearers are gone: their link is.  Their memory comes back on time. */
void bearers_abandon(struct gatt *g);
/* Free those that were abandoned, up to `most`. */
void bearers_bury(struct gatt *g, unsigned most);
void bearer_drop(struct gatt *g, const struct bearer *b);	/* free it now */
/* Nothing more is done on this bearer; hostd is asked to disconnect.  reason: Core 5.4, Vol 1, Part F. */
void bearer_end(struct gatt *g, const struct bearer *b, uint8_t reason);
void bearer_send_disconnect(struct gatt *g, uint16_t index, uint16_t generation, uint8_t reason);

/* Begin a PDU of at most b->mtu octets in the output ring; what was begun and not sent is forgotten. */
struct wr *bearer_open(struct gatt *g, const struct bearer *b, uint8_t opcode);
struct wr *bearer_open_on(struct gatt *g, const struct bearer *b, uint16_t cid, uint8_t code);
void bearer_send(struct gatt *g, const struct bearer *b);
/* Does hostd take `len` octets of PDU more?  answer: they are an answer; others leave room for one. */
bool bearer_has_room(const struct bearer *b, size_t len, bool answer);
/* `cost` octets of the window are done with; they are handed back once they are worth a record: `most` that are kept back. */
void bearer_consumed(struct gatt *g, const struct bearer *b, uint32_t cost, uint32_t most);
/* May prepared writes be kept for it? */
bool bearer_may_prepare(struct gatt *g, const struct bearer *b);
void bearer_forget_prepared(struct gatt *g, const struct bearer *b);
/* Take PDUs that wait in rx, at most one.  Returns whether one was taken, or subscribers were stalled for it. */
bool bearer_take_waiting(struct gatt *g, const struct bearer *b);
void bearer_set_ready(struct gatt *g, const struct bearer *b);

/* ---- turn.c ---- */
void gatt_on_time(struct step *s);
uint64_t gatt_deadline(const struct step *s);
void timer_set(struct gatt *g, uint64_t at_ns);		/* on_time has to look at the deadlines then */
void timer_note(struct gatt *g, unsigned index);	/* the bearer there has a deadline */
void timer_drop(struct gatt *g, unsigned index);	/* it may have none any more; GATT_CONNECTIONS_MAX: pending_ns has gone */

/* ---- change.c ---- */
/* What a change would do to attribute `target`, `len` octets long. */
struct change { uint16_t target, len; };
/* May these values change now, all together?  held_ns: until when they may wait; HELD_OVER: who lacks room for them is stalled.
 * False: not yet; who lacks room is noted, or, of those who were stalled, g->again says that there were some.
 * *ret_told, if not NULL: subscribers. */
bool change_fits(struct gatt *g, const struct change *c, unsigned n, uint64_t held_ns, uint16_t *ret_told);
void value_set(struct gatt *g, unsigned attribute, struct bytes value);
/* To be told of, once the answer is out (change_tell). */
void change_note(struct gatt *g, unsigned attribute);
void change_tell(struct gatt *g);
/* Go on telling. */
void change_spread(struct gatt *g);
/* Send what is due, at most `most` PDUs.  Returns whether it could go on. */
bool due_send(struct gatt *g, const struct bearer *b, unsigned most);
/* A change that waited may be possible: look again. */
void held_wake(struct gatt *g);
void held_note(struct gatt *g, const struct bearer *b);		/* its first PDU waits for subscribers: time runs for it */
void held_done(struct gatt *g, const struct bearer *b);		/* it waits no more */
uint64_t held_until(struct gatt *g);				/* what waits from now on: until then */
unsigned bearer_cccd(const struct bearer *b, const struct attribute *a);	/* enum cccd_bit, 0 where there is none */
/* Who may have subscribed to a VALUE; NULL: nobody can. */
const struct subscribers *subscribers_of(const struct gatt *g, const struct attribute *a);
void subscriber_set(struct gatt *g, const struct attribute *a, unsigned index, bool is);

/* ---- database.c ---- */
/* The first attribute with that handle or a higher one; the_server(g)->attributes if none. */
unsigned attribute_from(const struct gatt *g, uint16_t handle);
const struct attribute *attribute_find(const struct gatt *g, uint16_t handle);	/* NULL if none */
bool attribute_is(const struct attribute *a, struct bytes type);		/* type as on the wire: 2 or 16 octets */
/* 0, or the ATT error that the Core Specification names. */
int attribute_may_read(const struct attribute *a);
int attribute_may_write(const struct attribute *a);
/* What this client reads there; cccd_octets: where a CCCD's are put. */
struct bytes attribute_value(const struct gatt *g, const struct bearer *b, const struct attribute *a, uint8_t cccd_octets[2]);

/* ---- att.c: 0 done (answered, where there is an answer), GATT_HOLD ---- */
int att_on_pdu(struct gatt *g, const struct bearer *b, struct bytes pdu);
/* Octets of PDU that it may send in answer: 0 for what has none. */
size_t att_answer_max(const struct bearer *b, struct bytes pdu);
/* Handlers.  0 = answered; > 0 = ATT error to answer with, or GATT_HOLD. */
#define ATT_HANDLERS(ON) \
	ON(EXCHANGE_MTU_REQUEST,           exchange_mtu_request) \
	ON(FIND_INFORMATION_REQUEST,       find_information_request) \
	ON(FIND_BY_TYPE_VALUE_REQUEST,     find_by_type_value_request) \
	ON(READ_BY_TYPE_REQUEST,           read_by_type_request) \
	ON(READ_REQUEST,                   read_request) \
	ON(READ_BLOB_REQUEST,              read_blob_request) \
	ON(READ_MULTIPLE_REQUEST,          read_multiple_request) \
	ON(READ_MULTIPLE_VARIABLE_REQUEST, read_multiple_variable_request) \
	ON(READ_BY_GROUP_TYPE_REQUEST,     read_by_group_type_request) \
	ON(WRITE_REQUEST,                  write_request) \
	ON(WRITE_COMMAND,                  write_command) \
	ON(SIGNED_WRITE_COMMAND,           signed_write_command) \
	ON(PREPARE_WRITE_REQUEST,          prepare_write_request) \
	ON(EXECUTE_WRITE_REQUEST,          execute_write_request) \
	ON(HANDLE_VALUE_CONFIRMATION,      handle_value_confirmation) \
	ON(HANDLE_VALUE_INDICATION,        handle_value_indication)
#define ON(NAME, name) int on_att_##name(struct gatt *g, const struct bearer *b, const struct att_##name *m);
ATT_HANDLERS(ON)
#undef ON
/* One write, checked and carried out: what a request and a command share. */
int att_write(struct gatt *g, const struct bearer *b, const struct attribute *a, struct bytes value);
int att_cccd_check(const struct attribute *a, struct bytes value);
void att_cccd_set(struct gatt *g, const struct bearer *b, const struct attribute *a, struct bytes value);

/* ---- smp.c ---- */
void smp_on_pdu(struct gatt *g, const struct bearer *b, struct bytes pdu);
enum { SMP_ANSWER = 2 };		/* octets of the one thing it says */

/* ---- config.c, request.c ---- */
void gatt_on_config(struct gatt *g, struct bytes payload);
void gatt_tell_ready(struct gatt *g);		/* if it is */
void gatt_on_request(struct gatt *g, struct bytes payload);
/* The first request that waits, if it may be done now. */
void pending_retry(struct gatt *g);

extern const struct core gatt_core;
