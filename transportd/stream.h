/* transportd/stream.h - packets between the controller's stream socket and the ring to hostd, exactly.
 *
 *   in    read behind what is held, in the arena ─► frame ─► records, { in_octets += n, held } in one commit
 *   out   records ─► pipe, known empty ─► positions and { pending = n } in one commit ─► splice until empty ─► { pending = 0 }
 *
 * Socket and pipe belong to the supervisor, and outlive the worker.  At every instruction one of them tells, with what is
 * committed, which octets have passed:
 *
 *   the kernel has counted            found by the next worker          what it does
 *   what in_octets says               nothing was read since            reads on
 *   n octets more                     they lie in the arena, behind     commits them as held; they are framed first
 *                                     what is held
 *   out_pending
 *   0                                 the pipe: empty, or has what was  empties the pipe; the records are still in their ring
 *                                     never committed
 *   n                                 the pipe has what is still to go  goes on with splice, commits 0
 *
 * No other order holds.  In: nothing may be read, and no octet moved, over octets that were read since the last commit; so a read
 * goes behind them, and what is held is moved to the front in a commit of its own.  A read is over when its worker is dead:
 * the kernel copies first, then counts, and no kill comes in between.  Out: filling the pipe before { pending = 0 } is committed
 * would mix two windows.
 *
 * How the kernel counts what has been read: on a unix socket each octet read takes one off the peek offset (SO_PEEK_OFF), which is
 * set high and used for nothing else; on tcp it is what came in, less what waits to be read (stream_kind.c).
 *
 * Guarantees: each octet once, in order, over any number of kills; while the ring has no room
 * for what is held, nothing is read; nothing is dropped but advertising reports when the ring is over 7/8 full, and these are
 * counted.  Where a window cannot be told, both ends hear so and the line ends: never guessed.
 * Refuses: a stream that is not H4 (h4.h); records from hostd that are no packets (dropped, counted). */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/bytes.h"
#include "transportd/h4.h"
#include "transportd/line.h"
#include "transportd/snoop.h"
#include "transportd/stream_os.h"

enum { STREAM_BATCH = 256 * 1024, STREAM_PIPE_MIN = 64 * 1024, STREAM_PIPE_WISH = 1024 * 1024 };

struct stream;

/* What differs between the sockets; found from the descriptor itself. */
struct stream_kind {
	int domain;				/* SO_DOMAIN */
	/* From here on the kernel counts.  Returns 0, and what it has counted already; -errno. */
	int (*begin)(int fd, uint64_t *ret_count);
	/* Octets that have been read since.  Returns 0; > 0: cannot be told; -errno: the socket is dead. */
	int (*count)(int fd, uint64_t *ret_count);
	uint64_t span;				/* so far it can count, half of it: then it begins anew, at 0; 0: far enough */
};
const struct stream_kind *stream_kind_of(int fd);	/* NULL: no stream socket of a kind that we know */

/* How the stream gets records and ends steps: the worker's shell, or a test. */
struct stream_host {
	void *ctx;
	int (*take)(void *ctx, struct record *ret, struct bytes *payload);	/* 0, or anything else: no more in this step */
	void (*commit)(void *ctx);
	void (*note)(void *ctx, const struct stream_heard *h);	/* NULL: nothing is recorded */
};

struct stream {
	const struct stream_kind *kind;
	const struct stream_os *os;
	struct step *step;			/* borrowed */
	struct stream_host host;
	int fd, pipe_r, pipe_w;			/* borrowed, non-blocking */
	bool readable, writable;		/* worth trying; set by who polls, cleared on EAGAIN, or where no more can be there */
	bool ending;				/* set by who polls: the controller has closed or broken it, so read on to the end */
	bool urgent;				/* set by who polls: a read stops before an octet marked so, and there is more behind */
	bool ring_full;				/* the packet at the front found no room: in_need octets in hostd's ring */
	uint64_t in_need;
	bool unframed;				/* whole packets may be among what is held: they come first, nothing is read */
	uint32_t out_left, out_cap;		/* octets in the pipe; largest batch */
	uint8_t *out;				/* owned */
	struct snoop snoop;			/* owned */
	int snoop_error;			/* why capture ended, until who logs it sets it to 0 */
	uint32_t asked;				/* for room, in this batch (stream_os.h) */
	uint32_t resumed_in, resumed_out;	/* octets of windows that stream_open found open */
};

/* After step_recover and step_attach: resolve what the former worker left open.
 *
 * @fd, @pipe_r, @pipe_w  borrowed until stream_close
 * @ret  to be closed even if this fails
 *
 * Returns 0 (the line may have ended: line_of(step)->state), -EPROTOTYPE for a descriptor of no known kind, -errno. */
int stream_open(struct stream *ret, struct step *step, struct stream_host host, int fd, int pipe_r, int pipe_w);
void stream_close(struct stream *t);

/* One batch from the controller to hostd.  Returns > 0: something was done, 0: nothing to do now (readable and ring_full say
 * what to wait for), -errno. */
int stream_in(struct stream *t);
/* One batch from hostd to the controller.  Returns as stream_in; out_left and writable say what to wait for. */
int stream_out(struct stream *t);

/* ---- inside ---- */
/* What stream_open does with the stream once it is filled in; @cap: octets that the pipe takes. */
int stream_begin(struct stream *t, int cap);
/* Buffers.  Returns 0, -ENOMEM. */
int stream_buffers(struct stream *t, uint32_t out_cap);
void stream_capture_end(struct stream *t);				/* write the batch of both directions; stream.c */
void stream_gone(struct stream *t, int error, bool mid_packet);		/* the socket has ended: 0 or errno; stream.c */
uint64_t stream_realtime_us(void);
int stream_out_recover(struct stream *t);				/* stream_out.c */
/* Where octets are read to and framed from.  Behind the tail they are nobody's until a commit says otherwise, so no step logs them. */
uint8_t *stream_held(struct stream *t);				/* stream_in.c */
uint32_t stream_room(const struct stream *t);				/* so many may be read behind the tail; stream_in.c */
int stream_in_recover(struct stream *t);				/* stream_in.c */
