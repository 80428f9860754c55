/* tests/lib/mill.c */
#include "base/types.h"
#include "tests/lib/mill.h"

static const struct arena_pool pools[] = { MILL_STATE(ARENA_ROW) { .name = NULL } };
static const char *const counter_names[] = { "records", "ground", NULL };
const struct arena_plan mill_plan = { pools, { { 1, 1, 1, 1 } }, 1, 16384, 0x5ac4 };

static void fill(struct arena *a)
{
	step_format(a);
	miller_new(a);
}
static const struct miller *the_miller(const struct step *s) { return miller_next(s->arena, NULL); }

static void give(struct step *s, unsigned link, uint16_t index, const void *at, uint32_t n)
{
	memcpy(step_reserve(s, link, n), at, n);
	step_give(s, link, (struct record){ .len = n, .kind = RECORD_L2CAP_PDU, .index = index, .generation = 1, .time_ns = s->now_ns });
}
static void empty(struct step *s, const struct sack *k)
{
	struct sack *e = sack_edit(s->arena, k);
	uint8_t out[128], told[4];
	uint32_t n = fifo_len(e, grain);

	fifo_pop(e, grain, out, n);
	give(s, LINK_UP, (uint16_t)e->index, out, n);
	memcpy(told, &n, 4);
	give(s, LINK_DOWN, (uint16_t)e->index, told, 4);
}
static void grind(struct step *s, const struct sack *k)
{
	struct sack *e = sack_edit(s->arena, k);
	uint8_t some[64], dust[4] = { 0 };
	uint32_t n = MIN(fifo_len(e, grain) / 2, 64u);

	fifo_pop(e, grain, some, n);
	if (entropy_take(s->arena, dust, sizeof dust))
		miller_edit(s->arena, the_miller(s))->drawn++;
	fifo_push(s->arena, e, grain, dust, 4);
	fifo_push(s->arena, e, grain, some, n);
	if (fifo_room(e, flour) < n)
		fifo_pop(e, flour, NULL, fifo_len(e, flour));
	fifo_push(s->arena, e, flour, some, n);
	step_count(s, 1, n);
}
static void on_record(struct step *s, unsigned link, const struct record *r, struct bytes payload)
{
	struct miller *m = miller_edit(s->arena, the_miller(s));
	const struct sack *k;
	struct sack *e;

	m->records++;
	step_count(s, 0, 1);
	if (link != LINK_UP || r->index >= MILL_SACKS)
		return;
	k = sack_view(s->arena, m->sack[r->index]);
	if (r->kind == RECORD_CONNECTED && !k && (e = sack_new(s->arena))) {
		e->index = r->index;
		m->sack[r->index] = sack_id_of(e);
	} else if (r->kind == RECORD_DISCONNECTED && k) {
		sack_free(s->arena, k);
	} else if (r->kind == RECORD_L2CAP_PDU && k) {
		e = sack_edit(s->arena, k);
		if (fifo_room(e, grain) < payload.len || ++e->puts % 4 == 0)
			empty(s, e);
		fifo_push(s->arena, e, grain, payload.at, (uint32_t)payload.len);
	} else if (r->kind == RECORD_CREDIT && k) {
		grind(s, k);
		m->due |= 1u << r->index;
	}
}
static void on_time(struct step *s)
{
	struct miller *m = miller_edit(s->arena, the_miller(s));
	const struct sack *k;

	for (unsigned i = 0; i < MILL_SACKS; i++)
		if (m->due & 1u << i) {
			m->due &= ~(1u << i);
			k = sack_view(s->arena, m->sack[i]);
			if (k && fifo_len(k, grain))
				empty(s, k);
			return;
		}
}
static uint64_t deadline(const struct step *s) { return the_miller(s)->due ? 0 : DEADLINE_NONE; }
static void on_link(struct step *s, unsigned link)
{
	(void)link;
	miller_edit(s->arena, the_miller(s))->now_ns++;		/* how often */
}

const struct core mill_core = {
	.name = "mill",
	.pools = pools,
	.version = 1,
	.counter_names = counter_names,
	.reserve = { [LINK_UP] = { [LINK_UP] = 256, [LINK_DOWN] = 32 } },
	.act = { [LINK_UP] = 256, [LINK_DOWN] = 32 },
	.undo = 4096,
	.fill = fill,
	.on_record = on_record,
	.on_link = on_link,
	.on_time = on_time,
	.deadline = deadline,
};
