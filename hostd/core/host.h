/* hostd/core/host.h - the HCI host: one record in, any number out.
 *
 *   host.c          the core itself: dispatch, life of the host, work on time
 *   bringup.c       what the controller is asked before it is used
 *   hci.c           command queue;  event.c  events;  advertising.c
 *   connection.c    connections;  acl.c  fragments out, credits;  acl_in.c  fragments in;  signalling.c  L2CAP signalling
 *   gatt_port.c     gattd's side: windows;  settings.c  configuration;  request.c  operator, notices
 *
 * Links: UP is transportd, DOWN is gattd.  Records from gattd need room towards transportd only, records from the supervisor
 * towards the supervisor only: what is more is left in state, and on_time does it, a bounded piece at a time.
 *
 * Guarantees: never more packets to the controller than its buffers take; each connection's octets in both directions are
 * bounded by its windows; a connection whose peer stalls holds at most its share of the controller's buffers, or as many as
 * it left free.  What a packet costs does not depend on how many connections there are.
 * A warm start sends nothing. */
#pragma once
#include "base/types.h"
#include "hostd/core/state.h"
#include "wire/wire.h"

enum {
	PDU_MAX = 517,				/* longest ATT PDU, and so the longest one that is taken in or sent */
	FRAME_MAX = 4 + PDU_MAX,
	WINDOW_IN = 10 * CHUNK_OCTETS,		/* what gattd's receive queue takes of any connection; more as it hands back more */
	WINDOW_MOST = 1 << 16,			/* never more than this */
	WINDOW_PDU_OVERHEAD = 4,		/* what a PDU costs beyond its length */
	PUMP_FRAGMENTS = 16, TURN_CONNECTIONS = 16, TURN_PDUS = 2, TURN_NOTICES = 4, NOTICE_TEXT = 120, COMMAND_MAX = 64,
	STATUS_OCTETS = 2048 - 17,		/* of a reply's body */
};
#define SECOND_NS 1000000000ull
#define COMMAND_DEADLINE_NS (2 * SECOND_NS)
#define CLOSING_DEADLINE_NS (40 * SECOND_NS)	/* longer than any LL procedure */
#define EARLY_DEADLINE_NS (SECOND_NS / 5)
#define STABLE_NS (10 * SECOND_NS)
#define AWAY_MOST_NS (20 * SECOND_NS)		/* longer than transportd's restarts (5 s) and then its absence (10 s) may last */

#define HOST_COUNTERS(ROW) \
	ROW(acl_in) ROW(acl_out) ROW(pdus_in) ROW(pdus_out) ROW(connections) ROW(disconnections) ROW(commands) ROW(recoveries) \
	ROW(command_timeouts) ROW(commands_unqueued) ROW(answers_unasked) ROW(events_ignored) ROW(events_malformed) \
	ROW(handles_unknown) ROW(completed_clamped) ROW(connections_repeated) ROW(connections_refused) ROW(hardware_errors) \
	ROW(buffer_overflows) ROW(transport_unknown) ROW(acl_malformed) ROW(acl_broadcast) ROW(acl_truncated) ROW(acl_overlong) \
	ROW(acl_unstarted) ROW(acl_too_long) ROW(acl_ignored) ROW(early_held) ROW(early_dropped) ROW(packets_ignored) \
	ROW(l2cap_cid_unknown) ROW(l2cap_empty) ROW(signalling_rejected) ROW(signalling_ignored) ROW(signalling_unsent) \
	ROW(window_discarded) ROW(window_overruns) ROW(gattd_overruns) ROW(stale_records) ROW(credits_clamped) \
	ROW(advertising_refused) ROW(notices_lost) ROW(records_bad) ROW(requests_repeated) ROW(records_poisoned) \
	ROW(config_ignored)
enum host_counter {
#define ROW(n) COUNT_##n,
	HOST_COUNTERS(ROW)
#undef ROW
	HOST_COUNTER_COUNT
};

struct host {				/* made anew for each record: what it says is gone with it */
	struct step *step;
	struct arena *arena;
	uint64_t now_ns;
	bool control;			/* something happened that is more than data: look at everything */
	bool may_tell;			/* this record, or turn, has room for gattd */
};
extern const struct core hostd_core;

/* The single objects. */
static inline const struct radio *the_radio(const struct host *h) { return radio_only(h->arena); }
static inline const struct controller *the_controller(const struct host *h) { return controller_only(h->arena); }
static inline const struct settings *the_settings(const struct host *h) { return settings_only(h->arena); }
static inline const struct advertiser *the_advertiser(const struct host *h) { return advertiser_only(h->arena); }
static inline const struct commands *the_commands(const struct host *h) { return commands_only(h->arena); }
static inline const struct flow *the_flow(const struct host *h) { return flow_only(h->arena); }
static inline struct radio *radio_change(struct host *h) { return radio_edit(h->arena, the_radio(h)); }
static inline struct flow *flow_change(struct host *h) { return flow_edit(h->arena, the_flow(h)); }
static inline struct advertiser *advertiser_change(struct host *h) { return advertiser_edit(h->arena, the_advertiser(h)); }
static inline void count(struct host *h, enum host_counter c) { step_count(h->step, c, 1); }

/* Is that neighbour there? */
static inline bool host_has_up(const struct host *h) { return step_linked(h->step, LINK_UP) && !the_radio(h)->up_lost; }
static inline bool host_has_down(const struct host *h) { return step_linked(h->step, LINK_DOWN) && !the_radio(h)->down_lost; }

/* Else nothing goes to the controller but the bring-up. */
static inline bool host_is_up(const struct host *h) { return the_radio(h)->state == HOST_UP && host_has_up(h); }
/* The connection that a record from gattd names; NULL: there is none of that generation. */
static inline const struct connection *connection_named(const struct host *h, const struct record *r)
{
	return connection_view(h->arena, (struct connection_id){ r->generation | (uint32_t)r->index << 16 });
}

/* host.c - life of the host. */
void host_restart(struct host *h, uint8_t reason, enum host_state after);	/* end all connections, then be in `after` */
void host_recover(struct host *h, const char *why);	/* the controller went wrong: Reset once, then give up */
void host_fail(struct host *h, uint32_t value, const char *what, const char *why);
bool host_pool_full(const struct host *h);	/* no slot for one more connection */

/* bringup.c */
void bringup_start(struct host *h);
/* Is this the answer to the step under way?  @ret: return parameters, status first. */
bool bringup_on_return(struct host *h, uint16_t opcode, struct bytes ret);
/* The name of the step under way, for a notice. */
const char *bringup_step_name(const struct host *h);
/* Supported Commands, Vol 4 Part E 6.27. */
bool controller_supports(const struct controller *c, unsigned octet, unsigned bit);

/* hci.c - the command queue.  Never more commands at the controller than it allows; each has a deadline. */
void hci_reset_queue(struct host *h);		/* forget all; one credit, as after power on */
/* Queue a command: parameters are copied.  False: no room (counted). */
bool hci_send(struct host *h, uint16_t opcode, const struct wr *parameters);
void hci_pump(struct host *h);
void hci_on_command_complete(struct host *h, const struct hci_event_command_complete *m);
void hci_on_command_status(struct host *h, const struct hci_event_command_status *m);
void hci_on_time(struct host *h);		/* deadlines */
uint64_t hci_deadline(const struct host *h);	/* 0: there is a command that can go now */
/* An encoder into a stack buffer, then hci_send. */
#define HCI_SEND(h, NAME, name, ...) ({ \
	uint8_t buf_[COMMAND_MAX]; \
	struct wr w_ = wr_into(buf_, sizeof buf_); \
	hci_command_##name##_encode(&(struct hci_command_##name){ __VA_ARGS__ }, &w_); \
	hci_send((h), HCI_COMMAND_##NAME, &w_); })

/* event.c */
void on_hci_event(struct host *h, struct bytes packet);
/* The replies that are due to the controller.  False: the command queue has no room; connection_shed asks again. */
bool event_reply(struct host *h, const struct connection *c);

/* advertising.c */
void advertising_reset(struct host *h);		/* the controller was reset: nothing is set */
void advertising_advance(struct host *h);	/* the next command, if one is due */
bool advertising_on_return(struct host *h, uint16_t opcode, uint8_t status);
void advertising_on_connected(struct host *h);	/* a connection came of it: it has stopped */
void advertising_unblock(struct host *h);

/* connection.c */
struct link_facts { uint16_t handle; uint8_t role, peer_type; const uint8_t *peer; };
const struct connection *connection_find(const struct host *h, uint16_t handle);	/* NULL: none, or ENDED */
void connection_open(struct host *h, const struct link_facts *facts);
void connection_close(struct host *h, const struct connection *c, uint8_t reason);	/* Disconnect */
void connection_end(struct host *h, const struct connection *c, uint8_t reason);	/* it is gone from the air */
/* gattd is told of its end now; what the controller has of it stays counted until it ends on the air. */
void connection_part(struct host *h, const struct connection *c);
void connection_on_disconnect_status(struct host *h, uint16_t handle, uint8_t status);
void connection_on_time(struct host *h);		/* DISCONNECTING for too long */
void connection_shed(struct host *h);			/* a few Disconnects and replies more */
void connection_unrefuse(struct host *h, uint16_t handle);	/* nobody has to be disconnected there */
void connection_unrefuse_all(struct host *h);
void connection_free_now(struct host *h, const struct connection *c);
void list_push(struct host *h, enum host_list l, const struct connection *c);	/* nothing if it is there */
const struct connection *list_pop(struct host *h, enum host_list l);		/* NULL: empty */
void list_remove(struct host *h, enum host_list l, const struct connection *c);
bool list_waiting(const struct host *h, enum host_list l);

/* acl.c */
/* Send a frame of a fixed channel.  @cost: octets that gattd gets back once it has left; 0: signalling, which never has more
 * than its own part of tx.  False: no room. */
bool acl_send(struct host *h, const struct connection *c, uint16_t cid, struct bytes pdu, uint16_t cost);
void acl_pump(struct host *h);
bool acl_can_pump(const struct host *h);
void acl_drop(struct host *h, const struct connection *c);	/* forget what is queued, both ways */
void acl_release(struct host *h, const struct connection *c);	/* what the controller had of it is free again */
void acl_share(struct host *h);				/* the number of connections changed */
void acl_on_completed(struct host *h, uint16_t handle, uint16_t n);

/* acl_in.c */
void on_hci_acl(struct host *h, struct bytes packet);
void acl_replay_early(struct host *h, const struct connection *c);
void acl_on_time(struct host *h);			/* early data that nobody claimed */
void acl_forget_early(struct host *h);
/* That connection is over: what came for it, or comes late, is not the next one's. */
void acl_handle_ended(struct host *h, uint16_t handle);

/* signalling.c: one C-frame of the LE signalling channel. */
void on_l2cap_signalling(struct host *h, const struct connection *c, struct bytes frame);
/* Vol 3 Part A 4.20 and Vol 4 Part E 7.7.65.6: are these in range, in order, and apart from the timeout? */
uint8_t parameters_check(uint16_t interval_min, uint16_t interval_max, uint16_t latency, uint16_t timeout);

/* gatt_port.c */
bool gatt_knows(const struct host *h, const struct connection *c);
void gatt_tell_connected(struct host *h, const struct connection *c);
void gatt_give_pdu(struct host *h, const struct connection *c, uint16_t cid, struct bytes pdu);
uint32_t window_out(const struct connection *c);		/* octets that gattd may have given and not got back */
void gatt_owe(struct host *h, const struct connection *c, uint32_t octets);
void gatt_turn(struct host *h, const struct connection *c);	/* what is owed, its end */
/* Others are owed less, but gattd is woken now: theirs goes along, so that it is not woken for each of them. */
void gatt_hand_back(struct host *h, unsigned most);
void on_gatt_record(struct host *h, const struct record *r, struct bytes payload);

/* settings.c, request.c */
void on_config(struct host *h, struct bytes payload);
void on_request(struct host *h, struct bytes payload);
void notice(struct host *h, enum core_notice what, uint32_t value, const char *a, const char *b);
void notice_flush(struct host *h);
bool notice_waiting(const struct host *h);
