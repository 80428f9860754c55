/* transportd/transport.h - transport names (docs: the contract, as in Bumble), one row each, and how they are opened.
 *
 *   unix:<path>                  H4 over a unix stream socket, as its client
 *   tcp-client:<host>:<port>     H4 over tcp, as its client; host: name, IPv4, or IPv6 in brackets
 *   sim                          the simulated air's RUN_DIR/air.sock, waited for a while
 *
 * The others of the contract have their row too, and are refused as not built in yet.
 *
 * A transport is added by a row here, a file that opens it and, if its descriptor is of a new kind, a row in stream_kind.c.
 *
 * Guarantees: every refusal is one line that says which part of the name is wrong, or what could not be done, and why; no wait
 * is longer than TRANSPORT_WAIT_MS. */
#pragma once
#include <stddef.h>

enum { TRANSPORT_WAIT_MS = 5000, TRANSPORT_WHY_MAX = 320 };

struct transport_fds { int controller, pipe_r, pipe_w; };
#define TRANSPORT_FDS_NONE { -1, -1, -1 }

struct transport_why { char text[TRANSPORT_WHY_MAX]; };

struct transport_ops {
	const char *scheme;		/* up to the colon */
	const char *form;		/* the whole name, for a person */
	/* Connect.
	 * @rest     of the name, behind the colon; "" where there is no colon
	 * @run_dir  borrowed
	 * @why      set on failure
	 * Returns 0 and a non-blocking stream socket, the caller's; -EINVAL for a name that does not parse; -errno.
	 * NULL: not built in yet. */
	int (*open)(const char *rest, const char *run_dir, int *ret_fd, struct transport_why *why);
};

/* Open the transport `name` and the pipe that outgoing octets wait in (stream.h).
 *
 * @why  on failure: one line with the name, the part and the reason
 *
 * Returns 0 and three descriptors, the caller's; -EINVAL, -EOPNOTSUPP (not built in), -errno. */
int transport_open(const char *name, const char *run_dir, struct transport_fds *ret, struct transport_why *why);
void transport_fds_close(struct transport_fds *f);

/* sock.c */
int sock_open_unix(const char *rest, const char *run_dir, int *ret_fd, struct transport_why *why);
int sock_open_sim(const char *rest, const char *run_dir, int *ret_fd, struct transport_why *why);
/* sock_tcp.c */
int sock_open_tcp_client(const char *rest, const char *run_dir, int *ret_fd, struct transport_why *why);
/* Buffers, and out-of-band octets as octets of the stream: else they would be read past where peeking saw them. */
int sock_prepare(int fd);
int transport_explain(struct transport_why *why, int r, const char *format, ...) __attribute__((format(printf, 3, 4)));
