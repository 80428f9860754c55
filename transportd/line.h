/* transportd/line.h - the state of the controller's line that outlives a step, and the core around it.
 *
 * transportd has no protocol of its own: its core is the step's positions, entropy and counters, and one `struct line`.  Its
 * records are moved by stream_in.c and stream_out.c (own_links), so on_record sees the small link alone.
 *
 * The two windows say what a kill may have left half done outside shared memory (see stream.h):
 *   in_pending    octets that are in the ring already, and are being taken out of the socket
 *   out_pending   octets that are taken from the ring already, and lie in the pipe on their way to the socket */
#pragma once
#include "shm/step.h"
#include "shm/test_layout.h"

enum line_state {
	LINE_NEW = 0,		/* no octet has passed */
	LINE_UP = 1,
	LINE_DOWN = 2,		/* the controller is gone, or its stream cannot be trusted; for good */
};
/* `state` of RECORD_TRANSPORT_STATE. */
enum { TRANSPORT_DOWN = 0, TRANSPORT_UP = 1, TRANSPORT_UNKNOWN = 2 };

enum { LINE_TELL_HOSTD = 1, LINE_TELL_SUPERVISOR = 2 };	/* line.owed */
enum { LINE_BODY_MAX = 32752, LINE_WHY_MAX = 120 };	/* longest packet body: what a ring of the default size carries */

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct line_id { uint32_t v; };
struct line {
	uint64_t in_octets, out_octets;		/* of the stream, taken and given, those pending included */
	uint64_t in_base;			/* what the kernel had counted as read when the line was new (tcp) */
	uint64_t in_packets;
	uint64_t snoop_at;			/* where the capture's whole records ended */
	uint32_t in_pending, out_pending;
	uint32_t in_unknown, out_unknown;	/* octets of windows that could not be resolved */
	uint32_t state, owed;
	struct fifo partial;			/* the start of a packet whose end has not come yet, type octet first */
	char why[LINE_WHY_MAX];			/* LINE_DOWN: for a person */
	TEST_LAYOUT_FIELD
	uint8_t partial_octets[32768];		/* > LINE_BODY_MAX */
};
#pragma GCC diagnostic pop

#define LINE_STATE(ROW) ROW(line, 1, LIMIT_NONE, offsetof(struct line, partial_octets), FIFO(line, partial))
enum { POOL_line = STEP_POOLS };
LINE_STATE(ARENA_POOL)

#define LINE_COUNTERS(ROW) \
	ROW(in_event_packets) ROW(in_acl_packets) ROW(in_sco_packets) ROW(in_iso_packets) \
	ROW(in_event_octets) ROW(in_acl_octets) ROW(in_sco_octets) ROW(in_iso_octets) \
	ROW(out_command_packets) ROW(out_acl_packets) ROW(out_sco_packets) ROW(out_iso_packets) \
	ROW(out_command_octets) ROW(out_acl_octets) ROW(out_sco_octets) ROW(out_iso_octets) \
	ROW(in_batches) ROW(out_batches) \
	ROW(advertising_dropped) ROW(bad_records) ROW(discarded_line_down) ROW(windows_resumed) ROW(windows_unknown) \
	ROW(unknown_octets) ROW(bad_stream) ROW(capture_missed)
enum line_counter {
#define ROW(n) LINE_##n,
	LINE_COUNTERS(ROW)
#undef ROW
	LINE_COUNTER_COUNT
};

extern const struct core transportd_core;

static inline const struct line *line_of(const struct step *s) { return line_next(s->arena, NULL); }
static inline struct line *line_change(struct step *s) { return line_edit(s->arena, line_of(s)); }

/* The line has ended, for good: state, reason, and what is owed to hostd and to the supervisor.  In a step; does nothing the
 * second time.  @why: one line for a person; copied, cut to LINE_WHY_MAX - 1. */
void line_end(struct step *s, const char *why);
/* Tell hostd and the supervisor what is owed to them, as far as there is room.  In a step.
 * Returns whether something was said. */
bool line_tell(struct step *s);
/* The same for these of LINE_TELL_* alone, where there is room for certain: a replay knows what was told when. */
void line_say(struct step *s, uint32_t which);
