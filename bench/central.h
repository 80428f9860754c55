/* bench/central.h - a bare LE central on an H4 socket: bring-up, one connection, ATT PDUs in and out.
 *
 * For load and for the kill test: what it judges are the HCI octets at its own controller.  It keeps the controller's credits,
 * fragments and reassembles, and stops at the first thing that is not as the Core Specification says (central_broken). */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/bytes.h"

enum { CENTRAL_PDU_MAX = 600, CENTRAL_IN = 65536, CENTRAL_OUT = 65536, CID_ATT = 4 };

struct central {
	int fd;
	uint8_t in[CENTRAL_IN], out[CENTRAL_OUT];
	size_t in_len, out_len;
	uint16_t acl_len, acl_count;	/* the controller's buffers */
	uint16_t in_controller;		/* fragments not yet completed */
	uint16_t handle;
	bool connected;
	uint8_t disconnect_reason;
	uint8_t pdu[CENTRAL_PDU_MAX + 4];
	size_t pdu_len;			/* reassembled so far */
	uint16_t waiting;		/* opcode whose answer is awaited */
	uint8_t answer[256];
	size_t answer_len;
	void (*on_att)(void *ctx, struct bytes pdu);
	void *ctx;
	uint64_t pdus_in, pdus_out, octets_in;
	char broken[160];		/* "": all is well */
};

/* Connect to `where`: a path, or host:port.  Brings the controller up.  Returns 0, -errno (broken says more). */
int central_open(struct central *c, const char *where);
/* Create a connection to a device address (least significant octet first).  Returns 0, -errno. */
int central_connect(struct central *c, const uint8_t peer[6], uint8_t peer_type, int timeout_ms);
/* May a PDU of `len` octets go now, by the controller's credits? */
bool central_may_send(const struct central *c, size_t len);
/* Queue one ATT PDU; central_may_send must hold. */
void central_send_att(struct central *c, struct bytes pdu);
/* Write what is queued, read what is there, hand PDUs to on_att.  Waits up to timeout_ms for something to read.
 * Returns 0; -EPIPE: the controller is gone; -EPROTO: broken. */
int central_turn(struct central *c, int timeout_ms);
/* End the connection and wait for it. */
int central_disconnect(struct central *c);
void central_close(struct central *c);
