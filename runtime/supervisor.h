/* runtime/supervisor.h - the parent half of a daemon: holds memory, doorbells, sockets and privileges; touches no packet.
 *
 * It creates (or is handed again, runtime/fdstore.h) the arena, the stats segment, the ledger, the small link and the links
 * to its neighbours; each descriptor is stored one level up and acknowledged before it is first used.  It starts its own binary
 * as worker (or the one that took over from it), gives it those descriptors once the one before is gone (its pidfd says so),
 * and brings it back.
 *
 *   supervisor.c           start, end, signals, readiness
 *   supervisor_boot.c      memory and descriptors: made new, or taken over from the former life
 *   supervisor_worker.c    spawn, hand over, watch, bring back
 *   supervisor_takeover.c  which binary the worker is; a new one takes over
 *   supervisor_strikes.c   what a death means: the ladder
 *   supervisor_files.c     recordings and quarantine files, where they were asked for
 *   supervisor_links.c     neighbours: hello, offer, generations
 *   supervisor_small.c     the small link: configuration out, replies and notices in
 *   supervisor_request.c   operators' requests to the core; status
 *   supervisor_control.c   NAME.sock: operators and neighbours
 *
 * Guarantees: a death of the worker or of this process loses no record and no connection (docs/ARCHITECTURE.md has the edges).
 * Without anybody above that keeps descriptors it says once that its own death is then a real loss. */
#pragma once
#include <stdbool.h>

struct device;
struct supervisor;

/* For program->open: keep `fd` (taken) under `name` over every restart; the worker gets it as worker_fd(w, name).
 * Names: 1..31 printable octets, not one of the runtime's own (see fdstore names in docs).  Returns 0, -EINVAL, -ENOSPC. */
int supervisor_keep_fd(struct supervisor *s, const char *name, int fd);
/* The option --transport, or "sim" if none was given.  Borrowed. */
const char *supervisor_transport(const struct supervisor *s);
/* The run dir as a path that can be prefixed to socket names.  Borrowed. */
const char *supervisor_run_dir(const struct supervisor *s);
