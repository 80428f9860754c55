/* tests/lib/gatt_world.h - gattd's core on a rig, with hostd and the supervisor played by the test.
 *
 * hostd's part keeps to its windows and judges ours: a PDU beyond the window fails the test, as does a credit for what was not
 * used.  It hands credit back at once, unless a client is told to hold (gatt_hold). */
#pragma once
#include "base/types.h"
#include "gattd/core/gatt.h"
#include "tests/lib/core_harness.h"

enum { GW_CONNECTIONS = 256, GW_WINDOW_IN = 2048, GW_WINDOW_OUT = 3840, GW_PDUS = 2000, GW_OCTETS = 1 << 18 };

struct heard { uint16_t index, cid, len; uint32_t at; };	/* octets: gatt_world.octets[at ..] */
struct client {
	bool there, hold, ended;
	uint16_t generation;
	int32_t used_in;		/* of GW_WINDOW_IN, by what we gave gattd; less than nothing once it gave us more */
	uint32_t used_out, owed;	/* of GW_WINDOW_OUT, by what it gave us; of these not handed back because of hold */
	uint8_t reason;			/* of RECORD_DISCONNECT */
};
struct gatt_world {
	struct rig rig;
	struct client client[GW_CONNECTIONS];
	struct heard heard[GW_PDUS];
	unsigned pdus, replies, readies, failures;
	uint8_t octets[GW_OCTETS];
	uint32_t octets_used;
	uint64_t stream;		/* hash of everything that gattd gave, in order */
	uint8_t reply_id[16], reply_result, reply_body[2048];
	uint32_t reply_len;
	uint32_t window_out;		/* that clients are given */
	unsigned commit_every;	/* 0: as the rig does.  Else a commit after so many records or turns; turns only without input */
};

#define OCTETS_OF(...) ((struct bytes){ (const uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }) })

/* The attributes that all scripts speak of: tests/lib/gatt_world.c has the table. */
struct gatt_world *gw_new(uint32_t connections);	/* configured and linked */
struct gatt_world *gw_blank(uint32_t connections);	/* neither */
void gw_configure(struct gatt_world *w);
void gw_free(struct gatt_world *w);		/* disconnects all; every pool is full again */

void gw_connect(struct gatt_world *w, uint16_t index);
void gw_disconnect(struct gatt_world *w, uint16_t index);
/* Give a PDU and run; the test fails if hostd could not have given it. */
void gw_send(struct gatt_world *w, uint16_t index, uint16_t cid, struct bytes pdu);
void gw_put(struct gatt_world *w, uint16_t index, uint16_t cid, struct bytes pdu);		/* without running */
void gw_credit(struct gatt_world *w, uint16_t index);			/* all that is owed, whether or not it holds */
void gw_run(struct gatt_world *w);
void gw_sleep(struct gatt_world *w, uint64_t ns);
void gw_collect(struct gatt_world *w);			/* what lies in the rings */
/* The next PDU heard and not taken yet; no octets (at NULL) if there is none. */
struct bytes gw_hear(struct gatt_world *w, uint16_t *ret_index, uint16_t *ret_cid);
void gw_forget(struct gatt_world *w);

/* As clients do it: send on the ATT channel and expect exactly these answers, to that client. */
void gw_ask(struct gatt_world *w, uint16_t index, struct bytes pdu, struct bytes answer, const char *why);
void gw_mtu(struct gatt_world *w, uint16_t index, uint16_t mtu);
void gw_subscribe(struct gatt_world *w, uint16_t index, uint16_t cccd, uint16_t bits);

void gw_supervisor(struct gatt_world *w, uint8_t kind, struct bytes payload);
/* GATT_SET by handle, or by UUID if len is not 0; returns the result of the reply, or -1 if there is none yet. */
int gw_set(struct gatt_world *w, uint8_t id, uint16_t handle, struct bytes value);
int gw_set_uuid(struct gatt_world *w, uint8_t id, struct bytes uuid, struct bytes value);
uint64_t gw_counter(const struct gatt_world *w, const char *name);
struct bytes gw_value(struct gatt_world *w, uint16_t handle);
