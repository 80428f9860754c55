/* airsim/core/air.h - software controllers on one simulated air.
 *
 *     host ── H4 ──► controller ┐                                    ┌ controller ◄── H4 ── host
 *                               ├─ advertising, scanning, connections ┤
 *     host ── H4 ──► controller ┘                                    └ controller ◄── H4 ── host
 *
 * Each controller answers HCI as Core 5.4, Vol 4, Part E says: LE legacy advertising, scanning, connections in both roles,
 * ACL data, link encryption (keys are compared, nothing is enciphered), and the procedures around them.
 *
 * The core is sans-I/O: it makes no system call, reads no clock, draws no randomness; all its state lies in the memory that
 * air_init() was given.  The same calls with the same bytes give the same packets.
 *
 * Guarantees
 * - An ACL packet stays in its sender's buffer until the far host has taken it (air_output_taken); only then does Number Of
 *   Completed Packets say so.  So a host that stops reading holds at most acl_packets of each neighbour, and
 *   acl_packets more of connections that have ended since.
 * - What waits for a host is bounded.  Advertising reports alone are dropped when it does not read (counted); a command is
 *   accepted only while its answer fits (air_host_ready).
 * - With no scanner and no initiator there is no deadline for advertising: an air where nothing happens needs no timer.
 * - Nothing is allocated after air_init().
 * Refuses: a packet that is not what HCI allows gets the error the specification names, or is dropped and counted; it never
 * touches another connection. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/bytes.h"

#define AIR_NEVER UINT64_MAX

enum {
	AIR_CONTROLLERS_MAX = 512, AIR_CONNECTIONS_MAX = 128,
	AIR_ACL_LENGTH_MIN = 27, AIR_ACL_LENGTH_MAX = 1021, AIR_ACL_PACKETS_MAX = 255,
};

struct air_config {
	uint16_t controllers;		/* at once on this air, 1 to AIR_CONTROLLERS_MAX */
	uint16_t connections;		/* at once of one controller, 1 to AIR_CONNECTIONS_MAX */
	uint16_t acl_length;		/* octets of one ACL packet's data, as LE Read Buffer Size tells */
	uint16_t acl_packets;		/* ACL packets a controller holds for its host, 1 to AIR_ACL_PACKETS_MAX */
	uint64_t seed;			/* of LE Rand and of the faults */
};
/* 64 controllers, 32 connections each, 8 packets of 251 octets, seed 1. */
struct air_config air_config_default(void);

/* Faults; all off (zero) after air_init(). */
struct air_faults {
	uint16_t advertisements_lost_permille;	/* each listener loses each advertising event with this probability */
};

struct air_counters {			/* of the whole air, from air_init() on */
	uint64_t commands, commands_refused;	/* refused: answered with an error */
	uint64_t acl_forwarded;			/* taken by the far host */
	uint64_t acl_overflow;			/* dropped: more than the credits allow */
	uint64_t acl_dropped;			/* dropped: unknown handle, or not what HCI allows */
	uint64_t acl_flushed;			/* lost with their connection */
	uint64_t reports, reports_dropped;	/* dropped: their host does not read */
	uint64_t connections, supervision_timeouts;
	uint64_t malformed;			/* packets that do not hold what their header says, or that a host may not send */
};

struct air;

/* Octets of memory that air_init() needs; 0 if the configuration is out of range. */
size_t air_size(const struct air_config *config);

/* Builds an empty air in `memory` (borrowed until the end, aligned to 64, air_size() octets, all zero).  Pages that no
 * controller has used yet stay untouched.  Returns the air, or NULL where air_size() is 0. */
struct air *air_init(void *memory, const struct air_config *config, struct air_faults faults);

/* Puts one more controller on the air, with a public address that no other has had.
 * Returns its id (0 to controllers - 1), or -ENOSPC. */
int air_attach(struct air *air);

/* Takes a controller away with its host.  Its connections vanish: each peer finds out by its supervision timeout.
 * Output not taken is gone.  An id that is not attached is ignored. */
void air_detach(struct air *air, int id);

/* Fault: the controller's radio falls silent while its host stays.  Both sides lose their connections by supervision timeout;
 * it neither advertises nor listens until its host resets it. */
void air_vanish(struct air *air, int id);

/* The controller's public address, as LE sends it (least significant octet first). */
void air_address(const struct air *air, int id, uint8_t ret_address[6]);

/* False while the host's next command might find no room for its answer: hold its input back until output was taken. */
bool air_host_ready(const struct air *air, int id);

/* One whole packet from the host, without its H4 type octet; borrowed for the call.
 * Returns 0 (taken, or dropped and counted), or -EPROTO for a type that a host does not send: end this host. */
int air_host_packet(struct air *air, int id, uint8_t type, struct bytes packet);

/* The next controller that has gained output since it was returned last, or -1.  Call air_output() for it until all is
 * written or its transport is full. */
int air_output_next(struct air *air);

/* What waits for the host, oldest first, with H4 type octets: up to `max` pieces, to be written in one call.  The pieces are
 * borrowed until the next call for this air.  Returns how many. */
unsigned air_output(struct air *air, int id, struct bytes *ret_pieces, unsigned max);

/* `octets` of what air_output() gave were written to the host's transport: this is the far host having taken them. */
void air_output_taken(struct air *air, int id, size_t octets);

/* Time, ns, of any clock that does not run backwards.  air_advance() does what is due at `now_ns`; packets fed after it happen
 * at that time.  air_deadline() is when it must be called next: a time already past means at once; AIR_NEVER. */
void air_advance(struct air *air, uint64_t now_ns);
uint64_t air_deadline(struct air *air);

const struct air_counters *air_counters(const struct air *air);
