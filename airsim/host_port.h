/* airsim/host_port.h - the hosts of the air: H4 over stream sockets, one io_uring loop.
 *
 * Each accepted connection is one more controller until it is closed.  Guarantees: a packet is copied once on its way from one
 * socket to the other; one read and one write for all that is there; no wake-up while nothing happens; a host that does not read
 * its events is not read from.  Refuses: a stream that is not H4 ends with one line on stderr, and only that connection. */
#pragma once
#include <stdbool.h>
#include "airsim/core/air.h"

struct host_port;

/* Maps the air's memory and sets the loop up.  @signal_fd: a signalfd, readable when the loop shall end; borrowed.
 * Returns 0 and the port (air_port_close() frees it), or -errno: -EINVAL if the configuration is out of range. */
int air_port_open(const struct air_config *config, struct air_faults faults, int signal_fd, struct host_port **ret);

/* Accept hosts on a listening stream socket; the descriptor is taken.  `name` is copied, for messages.
 * Returns 0, or -ENOSPC where there are more than AIR_PORT_LISTENERS. */
enum { AIR_PORT_LISTENERS = 16 };
int air_port_listen(struct host_port *p, int fd, const char *name);

/* Runs until a signal comes.  Returns 0, or -errno of the loop itself. */
int air_port_run(struct host_port *p);

void air_port_close(struct host_port *p);	/* closes hosts and listeners; NULL does nothing */
