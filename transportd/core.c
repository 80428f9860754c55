/* transportd/core.c - the core: state of the line, and what hostd and the supervisor are told of it. */
#include <errno.h>
#include <string.h>
#include "base/types.h"
#include "transportd/line.h"
#include "wire/wire.h"

enum {
	STATE_OCTETS = 9,		/* body of RECORD_TRANSPORT_STATE */
	NOTICE_OCTETS = 5 + LINE_WHY_MAX,
	REPLY_OCTETS = 17,
	TOLD_OCTETS = 3 * (RECORD_HEADER + 16),	/* into hostd's ring at once: two records, and a wrap */
};

static const struct arena_pool pools[] = { STEP_STATE(ARENA_ROW) LINE_STATE(ARENA_ROW) { 0 } };

static const char *const counter_names[] = {
#define ROW(n) #n,
	LINE_COUNTERS(ROW)
#undef ROW
	NULL
};
_Static_assert((int)LINE_COUNTER_COUNT <= (int)COUNTERS, "more counters than a core has");

static void fill(struct arena *a)
{
	step_format(a);
	line_new(a);
}

void line_end(struct step *s, const char *why)
{
	struct line *l;
	size_t n = strlen(why);

	if (line_of(s)->state == LINE_DOWN)
		return;
	l = line_change(s);
	l->state = LINE_DOWN;
	l->owed = LINE_TELL_HOSTD | LINE_TELL_SUPERVISOR;
	n = MIN(n, sizeof l->why - 1);
	memset(l->why, 0, sizeof l->why);
	memcpy(l->why, why, n);
}

static void give_state(struct step *s, uint8_t state, uint32_t in, uint32_t out)
{
	struct wr w = wr_into(step_reserve(s, LINK_DOWN, STATE_OCTETS), STATE_OCTETS);

	local_transport_state_encode(&(struct local_transport_state){ state, in, out }, &w);
	step_give(s, LINK_DOWN, (struct record){ .len = (uint32_t)wr_len(&w), .kind = RECORD_TRANSPORT_STATE });
}

static void tell_hostd(struct step *s, const struct line *l)
{
	if (l->in_unknown || l->out_unknown)
		give_state(s, TRANSPORT_UNKNOWN, l->in_unknown, l->out_unknown);
	give_state(s, l->state == LINE_UP ? TRANSPORT_UP : TRANSPORT_DOWN, 0, 0);
}

static void tell_supervisor(struct step *s, const struct line *l)
{
	struct wr w = wr_into(step_reserve(s, LINK_SUPERVISOR, NOTICE_OCTETS), NOTICE_OCTETS);
	struct local_notice m = { .what = NOTICE_FAILED, .detail = { (const uint8_t *)l->why, strnlen(l->why, sizeof l->why) } };

	local_notice_encode(&m, &w);
	step_give(s, LINK_SUPERVISOR, (struct record){ .len = (uint32_t)wr_len(&w), .kind = RECORD_NOTICE });
}

/* Is link `n` there, has the core heard of it, and is there room for `want` octets? */
static bool may_tell(struct step *s, unsigned n, uint64_t want)
{
	return step_linked(s, n) && !(s->fresh & 1u << n) && ring_room(&s->link[n].out, want) >= want;
}

void line_say(struct step *s, uint32_t which)
{
	const struct line *l = line_of(s);

	if (which & LINE_TELL_HOSTD)
		tell_hostd(s, l);
	if (which & LINE_TELL_SUPERVISOR)
		tell_supervisor(s, l);
	line_change(s)->owed &= ~which;
}

bool line_tell(struct step *s)
{
	uint32_t owed = line_of(s)->owed, which = 0;

	if (owed & LINE_TELL_HOSTD && may_tell(s, LINK_DOWN, TOLD_OCTETS))
		which |= LINE_TELL_HOSTD;
	if (owed & LINE_TELL_SUPERVISOR && may_tell(s, LINK_SUPERVISOR, 2 * record_octets(NOTICE_OCTETS)))
		which |= LINE_TELL_SUPERVISOR;
	if (!which)
		return false;
	line_say(s, which);
	return true;
}

/* A new hostd has to hear how the line is; a new small link has to hear once more why it ended. */
static void on_link(struct step *s, unsigned link)
{
	const struct line *l = line_of(s);

	if (link == LINK_DOWN)
		line_change(s)->owed |= LINE_TELL_HOSTD;
	if (link == LINK_SUPERVISOR && l->state == LINE_DOWN)
		line_change(s)->owed |= LINE_TELL_SUPERVISOR;
}

/* There is nothing to ask transportd for that its counters do not say. */
static void on_request(struct step *s, struct bytes payload)
{
	struct local_request q;
	struct local_reply a = { .result = EOPNOTSUPP };
	struct wr w;

	if (!local_request_decode(payload, &q)) {
		step_count(s, LINE_bad_records, 1);
		return;
	}
	memcpy(a.id, q.id, sizeof a.id);
	w = wr_into(step_reserve(s, LINK_SUPERVISOR, REPLY_OCTETS), REPLY_OCTETS);
	local_reply_encode(&a, &w);
	step_give(s, LINK_SUPERVISOR, (struct record){ .len = (uint32_t)wr_len(&w), .kind = RECORD_REPLY });
}

static void on_record(struct step *s, unsigned link, const struct record *r, struct bytes payload)
{
	if (link != LINK_SUPERVISOR)
		return;
	if (r->kind == RECORD_REQUEST)
		on_request(s, payload);
	else if (r->kind != RECORD_CONFIG && r->kind != RECORD_NEIGHBOUR_LOST)	/* configuration: there is none */
		step_count(s, LINE_bad_records, 1);
}

static void on_time(struct step *s) { line_tell(s); }
static uint64_t deadline(const struct step *s) { (void)s; return DEADLINE_NONE; }	/* the worker's turn looks at line.owed */

static void on_poison(struct step *s, unsigned link, const struct record *r, enum core_rung rung)
{
	(void)link, (void)r, (void)rung;
	step_count(s, LINE_bad_records, 1);
}

TEST_LAYOUT_MIGRATIONS(1, line, offsetof(struct line, held_octets))

const struct core transportd_core = {
	.name = "transportd",
	.pools = pools,
	.version = 1 + TEST_LAYOUT_VERSION,
	.migrations = migrations,
	.counter_names = counter_names,
	.reserve = { [LINK_SUPERVISOR] = { [LINK_SUPERVISOR] = RECORD_HEADER + REPLY_OCTETS + 7 } },
	/* No room in hostd's ring is asked for: the line has to end, and say so, where hostd is not there. */
	.act = { [LINK_SUPERVISOR] = RECORD_HEADER + NOTICE_OCTETS + 7 },
	.undo = 2048,
	.fill = fill,
	.on_record = on_record,
	.on_link = on_link,
	.on_time = on_time,
	.deadline = deadline,
	.on_poison = on_poison,
};
