/* cli/status.h - inside of `trefoil status`: what the three daemons say, put together. */
#pragma once
#include <jansson.h>
#include "cli/client.h"

enum { STATUS_DAEMONS = 3, STATUS_CORE_MAX = 8192 };
struct daemon_status {
	const char *name;
	bool there;			/* it answered */
	uint32_t pid, worker_pid, restarts, strikes, quarantined, worker_uid, takeovers, takeovers_refused;
	uint64_t uptime_ms, last_outage_us;
	char state[32], isolation[64];
	json_t *links;			/* array; owned */
	json_t *rows;			/* of the core: connections or bearers; owned */
	json_t *controller;		/* hostd: object; owned */
	uint8_t core[STATUS_CORE_MAX];
	size_t core_len;
};

/* Ask one daemon for everything.  Returns 0; -ENOENT, -ECONNREFUSED: not there; -errno. */
int status_ask(struct daemon_status *d, const struct cli *cli);
/* One page of what a core said: its rows are appended to d->rows.  Returns `first` of the next page, 0: that was all. */
uint16_t status_decode(struct daemon_status *d, struct bytes core);
