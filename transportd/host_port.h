/* transportd/host_port.h - the ring to hostd: what may go into it when.
 *
 * Backpressure: a packet without room is not taken from the controller.  An eighth of the ring is kept for events, so that a
 * disconnection can always be pushed, behind its data.  Advertising reports alone are dropped, and counted, once only that
 * eighth is left: a crowded air neither stops the line nor eats the reserve. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/bytes.h"
#include "transportd/line.h"

enum { HOST_PORT_FULL = 16 };		/* not one of h4.h's outcomes */
enum { HOST_PORT_KINDS = 6, HOST_PORT_NAMED = 1 };	/* generation of a data record's header; its index is the handle */

/* body_max: longest that the ring carries.  lacks: may be NULL; is asked with what the ring says to each question for room. */
struct host_port { struct step *step; uint32_t body_max; bool (*lacks)(void *ctx, bool lacks); void *ctx; };
/* By kind; octets of bodies. */
struct host_port_tally { uint32_t packets[HOST_PORT_KINDS], dropped; uint64_t octets[HOST_PORT_KINDS]; };

struct host_port host_port_of(struct step *s, bool (*lacks)(void *ctx, bool lacks), void *ctx);
/* Is hostd there, and has the core heard of it? */
bool host_port_open(const struct step *s);
/* Octets that must be free in its ring for a packet of this kind. */
uint64_t host_port_need(const struct step *s, uint8_t kind, uint32_t body_octets);
/* Octets that are free in its ring; looks at the other side only where less than `want` is known to be. */
uint64_t host_port_room(struct step *s, uint64_t want);

/* A packet from the controller into the ring (or, an advertising report, dropped).  In a step.  The record of a data packet
 * has its handle as index and HOST_PORT_NAMED as generation, so that a connection can be ended without a look at its data.
 * Returns 0, HOST_PORT_FULL: no room, nothing done. */
int host_port_give(struct host_port *p, uint8_t kind, struct bytes body, struct host_port_tally *tally);

/* Add a tally to the counters.  In a step.
 * @packets, @octets  counters of the direction's first kind (event or command); ACL, SCO, ISO follow it */
void host_port_count(struct step *s, const struct host_port_tally *tally, enum line_counter packets, enum line_counter octets);
