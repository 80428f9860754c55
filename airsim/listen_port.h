/* airsim/listen_port.h - listening sockets by name: unix:PATH, tcp:ADDRESS:PORT, or handed over the systemd way. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct air_listen {
	char name[128];		/* as it can be dialled: a port 0 is filled in */
	char path[108];		/* of a unix socket that this process made, to be removed at the end; empty: none */
	int fd;			/* -1: none */
};
#define AIR_LISTEN_NONE { .fd = -1 }

/* Opens what `spec` says: "unix:PATH", "tcp:ADDRESS:PORT" (a numeric IPv4 address, "_" for any; port 0: one that is free).
 * A socket file that nobody listens on any more is replaced.
 * Returns 0, or -errno; `ret_why` (cap octets) then says which part was wrong and what was expected. */
int air_listen_open(const char *spec, struct air_listen *ret, char *ret_why, size_t cap);

/* The listening socket named `name` that a parent handed over (LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID), or -1.  A single one
 * without a name counts as that one. */
int air_listen_inherited(const char *name);

void air_listen_remove(const struct air_listen *l);	/* its socket file, if this process made one */
