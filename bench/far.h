/* bench/far.h - the far side of a measurement: a controller and all its peers in one small process, on a unix stream socket.
 *
 *   trefoil up --transport unix:PATH  ── H4 ──  far: answers hostd's bring-up, lets connections appear, completes packets
 *
 * It costs as little as can be, so that what is measured is the pipeline: one read and one gathered write a turn.  It keeps
 * hostd to the Core Specification: never more ACL packets outstanding than it has buffers, and every frame whole in one
 * packet (peers exchange an MTU that fits).  After each read one Number Of Completed Packets says all that came with it.
 * The first thing that is not as it should be is kept in `broken`, and every turn from then on fails. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/bytes.h"

enum {
	FAR_LINKS = 256, FAR_IN = 256 * 1024, FAR_OUT = 1024 * 1024, FAR_OUT_FULL = FAR_OUT - 64 * 1024,
	FAR_FIRST_HANDLE = 0x40, FAR_CID_ATT = 4, FAR_MTU = 247, FAR_VALUE = FAR_MTU - 3,
};

/* One connection, as its peer sees it.  The words from `sent` on are the load's (bench/load.c). */
struct far_link {
	uint16_t index;
	bool open, subscribed;
	bool stalled;			/* its packets are never completed */
	uint16_t to_complete;		/* ACL packets that came and are not completed yet */
	uint32_t sent, acked;		/* number of the last value written; of the last known to be handled */
	uint32_t covers;		/* number that the read under way will acknowledge */
	uint32_t heard;			/* number of the last notification */
	bool reading;
	uint64_t done;			/* packets since the mark */
};

struct far {
	int listener, fd;
	uint8_t *in, *out;		/* FAR_IN and FAR_OUT octets */
	size_t in_len, out_len;
	uint16_t buffers, buffer_octets;	/* that the controller has */
	unsigned outstanding;		/* ACL packets of hostd that are not completed */
	bool advertising, enhanced;	/* enhanced: hostd wants Enhanced Connection Complete */
	struct far_link link[FAR_LINKS];
	uint64_t reads, writes, completions;
	uint64_t acl_in, acl_out;
	/* An ATT PDU from the server to this peer; borrowed. */
	void (*on_att)(void *ctx, struct far_link *l, struct bytes pdu);
	void *ctx;
	char broken[160];		/* "": all is well */
};

/* Listen at a path that must not exist.  buffers and buffer_octets are to be set before.  Returns 0, -errno. */
int far_open(struct far *f, const char *path);
void far_close(struct far *f);
/* Write what is queued, read what is there, hand PDUs to on_att, complete.  Waits up to timeout_ms (0: not at all; -1: for ever)
 * for something to read, or for room to write.  Returns 0; -EPROTO: broken says why. */
int far_turn(struct far *f, int timeout_ms);
/* Let connection i appear, once hostd advertises.  Waits for that.  Returns 0, -errno. */
int far_connect(struct far *f, unsigned i);
/* End connection i.  The host hears of it with the next turn. */
void far_disconnect(struct far *f, unsigned i);
/* Is there room for more to be sent this turn? */
static inline bool far_may_send(const struct far *f) { return f->out_len < FAR_OUT_FULL; }
/* Queue one ATT PDU of `len` octets (FAR_MTU at most) from the peer; returns where it is to be written, before the next turn. */
uint8_t *far_att(struct far *f, struct far_link *l, size_t len);
__attribute__((format(printf, 2, 3)))
void far_break(struct far *f, const char *fmt, ...);
