/* cli/client.h - a command's link to a daemon: dial, hello, wait for answers. */
#pragma once
#include "cli/cli.h"
#include "proto/control.h"

enum { CLIENT_TIMEOUT_MS = 10000 };	/* more than the outage budget: a daemon that comes back answers */

struct client {
	struct control_link link;
	const char *name;		/* daemon; borrowed */
	bool greeted;
	int error;			/* from Failed: -errno */
	char why[256];			/* from Failed */
};

/* Dial NAME.sock in the run dir and say hello.  Returns 0; -ENOENT or -ECONNREFUSED: no daemon there; -errno; c->why. */
int client_open(struct client *c, const struct cli *cli, const char *name);
/* Receive until *done or a Failed frame came.
 * @h  on_failed and on_hello are the client's own.  Returns 0; -ETIMEDOUT; -ECONNRESET: the daemon went away; c->error. */
int client_await(struct client *c, struct control_handlers h, void *self, const bool *done);
void client_close(struct client *c);
/* The exit code and the line for a failed client_open or client_await. */
int client_complain(const struct client *c, int r);
