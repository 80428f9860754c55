/* tests/simulation/sim_story.h - what a central is, what it does, and what it expects to hear.
 *
 * Written without the product's code for HCI, L2CAP and ATT: octets are put together and taken apart by hand. */
#pragma once
#include "tests/simulation/sim.h"

enum {
	STORY_ATTRIBUTES = 28, STORY_VALUE_MAX = 512, STORY_OPERATOR = 0xEE,
	STORY_ECHO_IN = 0x12, STORY_ECHO = 0x15, STORY_ECHO_CCCD = 0x16, STORY_TOLD = 0x19, STORY_TOLD_CCCD = 0x1A,
	STORY_OWN = 0x1C,			/* + 2 i: the value that central i alone writes and reads */
	STORY_OWN_MAX = 100, STORY_OPS = 10, STORY_LIVES = 6, STORY_PDU_MAX = 600,
};
struct story_attribute {
	uint16_t handle, end, type, max, echo;
	uint8_t kind, properties, cccd, len, value[8];
};
struct story_attribute story_attribute(unsigned i);
uint16_t story_server_mtu(void);
/* A value that says who wrote it and as which of its values; len >= 8.  Returns len. */
uint32_t story_value(uint8_t *to, uint8_t source, uint8_t life, uint32_t n, uint32_t len);
uint32_t sim_operator_sets(void);

enum story_op { OP_MTU, OP_DISCOVER, OP_SUBSCRIBE, OP_UNSUBSCRIBE, OP_COMMANDS, OP_REQUESTS, OP_OWN, OP_PREPARED, OP_BAD,
	OP_LISTEN, OP_DRAIN, OP_KINDS };

struct heard { bool any; uint32_t n; };		/* the last value of one source, in one of its lives */
struct story {
	enum story_op op[STORY_OPS];
	unsigned ops, at;			/* which is under way */
	unsigned part, parts;			/* of this one */
	bool silent;				/* does not confirm indications */
	bool asked, answered;			/* a request is out; one was answered, so the server knows us */
	unsigned confirm;			/* indications that wait for their confirmation */
	uint8_t request[STORY_PDU_MAX];
	uint32_t request_len;
	uint64_t until_ns;
	uint16_t mtu, mtu_wanted;
	uint8_t echo_bits, told_bits;		/* as the server confirmed them */
	uint8_t wanted_bits[2];
	uint32_t sent, echoed;			/* own values: written, heard back (the next one) */
	bool echo_from_start;			/* subscribed before the first was written */
	struct heard heard[SIM_CENTRALS][STORY_LIVES], told;
	uint8_t own[STORY_OWN_MAX];
	uint32_t own_len, prepared;
	uint8_t draft[STORY_OWN_MAX];
	uint32_t draft_len;
	uint32_t seen;				/* attributes found so far */
	uint16_t from;				/* handle that discovery goes on at */
};

enum central_state {
	CENTRAL_OFF, CENTRAL_BRINGUP, CENTRAL_IDLE, CENTRAL_CONNECTING, CENTRAL_OPEN, CENTRAL_CLOSING, CENTRAL_DONE
};
struct central {
	unsigned number;
	int controller;
	enum central_state state;
	uint8_t address[6];
	uint64_t next_ns;			/* when it looks again */
	uint64_t read_ns;			/* something to read from then on; NEVER: nothing */
	uint64_t stalled_ns;			/* reads nothing until then */
	unsigned step;				/* of bring-up */
	unsigned lives, lives_most;
	uint16_t acl_len, acl_count, in_controller, handle;
	uint64_t opened_ns, heard_ns;
	bool void_;				/* what it hears is not judged: a controller lied to it */
	bool excused, leaving;			/* leaving: it asked for the end itself */
	uint8_t frame[STORY_PDU_MAX + 4], in[STORY_PDU_MAX + 4];
	uint32_t frame_len, frame_at, in_len;
	struct story story;
};

/* sim_central.c */
bool central_may_send(const struct central *c);		/* nothing is under way */
void central_send(struct central *c, const uint8_t *pdu, uint32_t n);
void central_leave(struct central *c);

/* sim_story.c */
void story_begin(struct central *c);
void story_turn(struct central *c);			/* what may go on now; sets next_ns */
void story_on_pdu(struct central *c, const uint8_t *pdu, uint32_t n);
void story_end(struct central *c);			/* the connection is gone */
/* sim_story_hear.c */
void story_on_value(struct central *c, uint16_t handle, const uint8_t *at, uint32_t n);
void story_ask(struct central *c);			/* the next request of the operation under way */
void story_on_answer(struct central *c, const uint8_t *pdu, uint32_t n);
/* Values that were never heard: of those that its own central wrote, or an operator set; of those that others wrote. */
uint32_t story_missed(void);
uint32_t story_missed_of_others(void);
void story_open_all(void);
void story_count_missing(uint32_t n, bool of_others);
