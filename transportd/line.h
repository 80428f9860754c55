/* transportd/line.h - the state of the controller's line that outlives a step, and the core around it.
 *
 * transportd has no protocol of its own: its core is the step's positions, entropy and counters, and one `struct line`.  Its
 * records are moved by stream_in.c and stream_out.c (own_links), so on_record sees the small link alone.
 *
 * What a kill may have left half done outside shared memory (see stream.h):
 *   in_octets     committed; what the kernel says was read beyond it lies behind `held`, and counts as read
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
enum { LINE_BODY_MAX = 32752, LINE_WHY_MAX = 124 };	/* longest packet body: what a ring of the default size carries */
/* So much is read at once, at most; what is held of a packet before it leaves room for half of that.  No power of two: a fifo that
 * does not go round. */
enum { LINE_READ = 64 * 1024, LINE_HELD = LINE_READ + 32 * 1024 };

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct line_id { uint32_t v; };
struct line {
	uint64_t in_octets, out_octets;		/* of the stream, taken and given, those held and pending included */
	uint64_t in_base;			/* in_octets, less what the kernel's own count was then (stream_kind.c); it may be negative */
	uint64_t snoop_at;			/* where the capture's whole records ended */
	uint32_t out_pending;
	uint32_t in_unknown, out_unknown;	/* octets of windows that could not be resolved; in: at most */
	uint32_t state, owed;
	struct fifo held;			/* taken, and in no record yet: whole packets without room, the start of one */
	char why[LINE_WHY_MAX];			/* LINE_DOWN: for a person */
	TEST_LAYOUT_FIELD
	uint8_t held_octets[LINE_HELD];		/* no ring: read into behind the tail, by the kernel too */
};
#pragma GCC diagnostic pop

#define LINE_STATE(ROW) ROW(line, 1, LIMIT_NONE, offsetof(struct line, held_octets), FIFO(line, held))
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

static inline const struct line *line_of(const struct step *s) { return line_only(s->arena); }
static inline struct line *line_change(struct step *s) { return line_edit(s->arena, line_of(s)); }

/* The line has ended, for good: state, reason, and what is owed to hostd and to the supervisor.  In a step; does nothing the
 * second time.  @why: one line for a person; copied, cut to LINE_WHY_MAX - 1. */
void line_end(struct step *s, const char *why);
/* Tell hostd and the supervisor what is owed to them, as far as there is room.  In a step.
 * Returns whether something was said. */
bool line_tell(struct step *s);
/* The same for these of LINE_TELL_* alone, where there is room for certain: a replay knows what was told when. */
void line_say(struct step *s, uint32_t which);
