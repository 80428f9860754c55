/* bench/load_setup.h - before and after a load: connections, MTU, subscriptions; and the value read back. */
#pragma once
#include "bench/load.h"

/* As many connections as the load wants, each with its MTU exchanged; subscribed to the echo for notifications, else not. */
int load_connect(struct far *f, const struct load *l);
/* The value of l->write, read by connection 0, must be number `want` in all its octets.  Returns 0, -errno. */
int load_read_back(struct far *f, const struct load *l, uint32_t want);
