/* tests/lib/host_world.h - hostd's core between a small controller, a gattd and a supervisor that a test plays.
 *
 * The controller answers commands by itself, as its knobs say, and remembers them; ACL packets, gattd's records and the
 * supervisor's are only remembered.  world_run goes on until nobody has anything to say. */
#pragma once
#include "hostd/core/host.h"
#include "tests/lib/core_harness.h"
#include "wire/hci_error.h"
#include "wire/hci_packet.h"

enum { SEEN_COMMANDS = 512, SEEN_PACKETS = 2048, SEEN_RECORDS = 2048, SEEN_NOTICES = 64 };

struct seen_command { uint16_t opcode; uint8_t len, parameters[COMMAND_MAX]; };
struct seen_packet { uint16_t handle; uint8_t boundary; uint16_t len; uint8_t data[FRAME_MAX]; };
struct seen_record { struct record h; uint8_t body[STATUS_OCTETS + 17]; };

struct world {
	struct rig rig;
	/* The controller. */
	uint16_t le_length, le_packets, shared_length, shared_packets;
	uint64_t features, le_features;
	uint8_t address[6], commands[64];
	uint8_t num_packets;			/* Num_HCI_Command_Packets of each answer */
	uint16_t refuse, mute;			/* opcode that is refused with `status`; that is never answered */
	uint8_t status;
	bool refuse_by_status;			/* by Command Status, not Command Complete */
	bool all_mute;
	bool hold;				/* world_run does nothing: what is said gathers in the rings */
	/* What everybody saw. */
	struct seen_command command[SEEN_COMMANDS];
	unsigned commands_seen;
	struct seen_packet packet[SEEN_PACKETS];
	unsigned packets_seen;
	struct seen_record down[SEEN_RECORDS], up_to_supervisor[SEEN_NOTICES];
	unsigned down_seen, supervisor_seen;
};

#define BYTES_OF(...) ((struct bytes){ (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }) })

/* A compliant controller: LE only, 4 buffers of 27 octets.  All links attached, nothing configured yet. */
struct world *world_new(uint32_t connections);
/* ... configured (advertising on, address F0:F1:F2:F3:F4:F5) and up. */
struct world *world_up(uint32_t connections);
/* Nobody may be left: every connection is ended, all credits and slots are free, no list has anybody on it. */
void world_free(struct world *w);
void world_configure(struct world *w, bool advertise);
void world_run(struct world *w);
void world_forget(struct world *w);		/* what was seen */

void world_event(struct world *w, uint8_t code, struct bytes parameters);	/* then world_run */
void world_le_event(struct world *w, uint8_t subevent, struct bytes parameters);
void world_complete(struct world *w, uint16_t opcode, uint8_t num, struct bytes ret);
void world_connect(struct world *w, uint16_t handle);		/* peer F0:00:00:00:hh:hh, random */
void world_disconnect(struct world *w, uint16_t handle, uint8_t reason);
void world_completed(struct world *w, uint16_t handle, uint16_t n);
void world_acl(struct world *w, uint16_t handle, uint8_t boundary, struct bytes data);
void world_frame(struct world *w, uint16_t handle, uint16_t cid, struct bytes pdu);	/* whole, in one packet */

/* gattd, for the connection that `told` (a record to it) names. */
void world_gattd(struct world *w, const struct record *told, uint8_t kind, struct bytes body);
void world_pdu(struct world *w, const struct record *told, uint16_t cid, struct bytes pdu);
void world_supervisor(struct world *w, struct record h, struct bytes body);

unsigned world_count(const struct world *w, uint16_t opcode);	/* how often it was sent */
const struct seen_command *world_last(const struct world *w, uint16_t opcode);	/* the last of them; fails if none */
/* The last record to gattd of that kind; NULL if none. */
const struct seen_record *world_told(const struct world *w, uint8_t kind);
unsigned world_told_count(const struct world *w, uint8_t kind);
/* The last notice of that kind; fails if there is none.  Text is ended by 0. */
const char *world_notice(const struct world *w, enum core_notice what, uint32_t *ret_value);
unsigned world_notices(const struct world *w, enum core_notice what);
const struct flow *world_flow(const struct world *w);
uint32_t world_outstanding(const struct world *w);		/* of all connections */
