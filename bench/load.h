/* bench/load.h - what the peers of the far side do: write commands, notifications, reads one at a time.
 *
 *   write    every connection sends write commands of `size` octets, at most `window` of them not known to be handled: after
 *            every `every`-th an ATT Read Request goes behind them, whose answer says that all before it are.  At the end the
 *            value is read back: it must be the last one written
 *   notify   connection 0 writes a characteristic whose value is echoed to the subscribers, which are all connections: one
 *            write gives as many notifications.  Numbers must come in order, none lost, none twice, at each
 *   read     connection 0 reads a value, waits for it, pauses, and again; each round trip is kept
 *
 * A value is its number, four octets, least significant first, then a fill that depends on the number. */
#pragma once
#include "bench/far.h"
#include "bench/marks.h"

enum load_kind { LOAD_WRITE, LOAD_NOTIFY, LOAD_READ };
enum { LOAD_WINDOW_MAX = 60 };	/* PDUs that hostd holds for a connection whatever happens */

struct load {
	/* what is asked for */
	enum load_kind kind;
	unsigned connections, window, every, size, pause_us;
	uint16_t write, echo, cccd, pace;	/* handles; pace: what the acknowledging reads read */
	double warm_s, seconds;
	int stalled;				/* this connection's packets are never completed; -1: none */
	bool calls;
	pid_t pid[MARKS_MAX];
	unsigned pids;
	/* what came of it, between the marks */
	struct counted counted[MARKS_MAX];
	bool has_calls;
	double took_s, jain;
	uint64_t writes, notifications, reads, turns, far_reads;
	uint64_t least, most;			/* packets of the connection that had the fewest, and the most */
	uint64_t acl_to_host, acl_from_host;	/* packets of the whole run, with set-up, warm-up and end */
	uint32_t *trip_ns;			/* LOAD_READ: owned */
	unsigned trips;
};

/* Bring the connections about, run, wait for what is outstanding, check.  Returns 0, -errno; f->broken says why. */
int load_run(struct far *f, struct load *l);
