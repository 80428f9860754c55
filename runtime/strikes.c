/* runtime/strikes.c - the ladder. */
#include <signal.h>
#include <string.h>
#include "runtime/strikes.h"
#include "shm/stats.h"

static const uint64_t window_ns = (uint64_t)STRIKE_WINDOW_MS * 1000000;

bool strike_counts(int signal, bool at_work)
{
	switch (signal) {
	case SIGSEGV:
	case SIGBUS:
	case SIGABRT:
	case SIGILL:
	case SIGFPE:
	case SIGSYS:
	case SIGXCPU:		/* the watchdog */
		return at_work;
	default:
		return false;
	}
}

void flight_check(struct flight *f, const uint64_t tail[STEP_LINKS], const uint64_t size[STEP_LINKS])
{
	unsigned l = (unsigned)f->what - 1;

	if (f->what >= 1 && f->what <= STEP_LINKS && (f->position & 7 || tail[l] - f->position > size[l]))
		f->what = FLIGHT_ACT;		/* no record is there */
	for (l = 0; l < STEP_LINKS; l++) {
		if (tail[l] - f->furthest[l] > size[l])
			f->furthest[l] = 0;
		if (tail[l] - f->consumed[l] > size[l])
			f->consumed[l] = 0;
	}
}

static bool past(const struct strikes *s, const struct flight *f)
{
	bool placed = s->skip_link != 0;

	for (unsigned l = 0; l < STEP_LINKS; l++) {
		placed |= s->careful[l] != 0;
		if (f->consumed[l] < s->careful[l])
			return false;
	}
	/* No record was to blame, whatever the step had taken before: only life shows that it got past. */
	if (s->timed || !placed)
		return f->now_ns - s->last_ns > window_ns;
	return !s->skip_link || f->consumed[s->skip_link - 1] > s->skip_position;
}

static void forgive(struct strikes *s)
{
	s->count = s->timed = 0;
	s->skip_link = 0;
	memset(s->careful, 0, sizeof s->careful);
}

static enum strike_verdict cold_or_end(const struct strikes *s, const struct flight *f)
{
	if (s->last_cold_ns && f->now_ns - s->last_cold_ns < window_ns)
		return STRIKE_GIVE_UP;
	return STRIKE_COLD;
}

/* How high this record's connection has been on the ladder lately. */
static enum strike_verdict rung_for(const struct strikes *s, const struct flight *f)
{
	uint32_t connection = (uint32_t)(f->header >> 32);
	bool same_record = s->skip_link == f->what && s->skip_position == f->position;
	bool same_connection = connection && s->last_skip_ns && connection == s->last_connection && f->what == s->last_link &&
	    f->now_ns - s->last_skip_ns < window_ns;

	if (!same_record && !same_connection)
		return STRIKE_SKIP;
	return s->last_rung == RUNG_SKIP_RECORD ? STRIKE_RESET : STRIKE_COLD;
}

static void careful_from(struct strikes *s, const struct flight *f, bool named)
{
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (f->furthest[l] > f->consumed[l] && f->furthest[l] > s->careful[l])
			s->careful[l] = f->furthest[l];
	if (named && f->position + 1 > s->careful[f->what - 1])
		s->careful[f->what - 1] = f->position + 1;
}

enum strike_verdict strikes_add(struct strikes *s, const struct flight *f)
{
	bool named = f->what >= 1 && f->what <= STEP_LINKS;
	enum strike_verdict v;

	if (s->count && (s->timed == named || past(s, f)))
		forgive(s);
	s->timed = !named;
	s->last_ns = f->now_ns;
	s->total++;
	if (++s->count == 1) {
		careful_from(s, f, named);
		return STRIKE_RETRY;
	}
	if (!named || s->count > STRIKE_COUNT_MAX)
		return cold_or_end(s, f);
	v = rung_for(s, f);
	if (v == STRIKE_COLD)
		return cold_or_end(s, f);
	careful_from(s, f, named);
	if (s->skip_link != f->what || s->skip_position != f->position)
		s->quarantined++;
	s->skip_link = (uint32_t)f->what;
	s->skip_position = f->position;
	s->skip_header = f->header;
	s->skip_rung = v == STRIKE_RESET ? RUNG_RESET_CONNECTION : RUNG_SKIP_RECORD;
	s->last_connection = (uint32_t)(f->header >> 32);
	s->last_link = (uint32_t)f->what;
	s->last_rung = s->skip_rung;
	s->last_skip_ns = f->now_ns;
	return v;
}

void strikes_cold(struct strikes *s, uint64_t now_ns)
{
	forgive(s);
	s->last_skip_ns = 0;
	s->last_cold_ns = now_ns;
}

void strikes_link_new(struct strikes *s, unsigned l)
{
	s->careful[l] = 0;
	if (s->skip_link == l + 1)
		s->skip_link = 0;
	if (!strikes_pending(s))	/* the place that was counted for is gone */
		s->count = 0;
}

bool strikes_pending(const struct strikes *s)
{
	bool any = s->skip_link != 0;

	for (unsigned l = 0; l < STEP_LINKS; l++)
		any |= s->careful[l] != 0;
	return any;
}
