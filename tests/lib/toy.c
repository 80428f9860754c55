/* tests/lib/toy.c */
#include <stdlib.h>
#include <string.h>
#include "tests/lib/toy.h"
#include "wire/wire.h"

enum { WINDOW = 256, PER_ACT = 16, RECORD = 40, REPLY = 256 };

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct toy_id { uint32_t v; };
struct toy {
	uint64_t next_out, next_in, limit;
	uint64_t errors, links, poisons, lost, configs;
	uint64_t abort_now, flood;
};
#pragma GCC diagnostic pop
#define TOY_STATE(ROW) STEP_STATE(ROW) ROW(toy, 1, LIMIT_NONE, sizeof(struct toy))
enum { POOL_toy = STEP_POOLS };
ARENA_POOL(toy, 1, LIMIT_NONE, sizeof(struct toy))
static const struct arena_pool pools[] = { TOY_STATE(ARENA_ROW) { .name = NULL } };

static const struct toy *view(const struct step *s) { return toy_next(s->arena, NULL); }
static struct toy *edit(struct step *s) { return toy_edit(s->arena, view(s)); }

static void fill(struct arena *a)
{
	step_format(a);
	toy_new(a);
}

static void give(struct step *s, unsigned l, uint8_t kind, const void *at, uint32_t len)
{
	memcpy(step_reserve(s, l, len), at, len);
	step_give(s, l, (struct record){ .len = len, .kind = kind, .index = 3, .generation = 5 });
}

static void give_number(struct step *s, unsigned l, uint64_t n)
{
	uint8_t buf[8];
	struct wr w = wr_into(buf, sizeof buf);

	wr_le(&w, n, 8);
	give(s, l, RECORD_L2CAP_PDU, buf, 8);
}

static void tell_ready(struct step *s)
{
	uint8_t buf[16];
	struct wr w = wr_into(buf, sizeof buf);

	local_notice_encode(&(struct local_notice){ .what = NOTICE_READY }, &w);
	give(s, LINK_SUPERVISOR, RECORD_NOTICE, buf, (uint32_t)wr_len(&w));
}

static void reply(struct step *s, const uint8_t id[16])
{
	const struct toy *t = view(s);
	const uint64_t words[] = { t->next_out, t->next_in, t->errors, t->links, t->poisons, t->lost, t->configs };
	uint8_t body[TOY_REPORT], buf[REPLY / 2];
	struct wr b = wr_into(body, sizeof body), w = wr_into(buf, sizeof buf);
	struct local_reply m = { .body = { body, sizeof body } };

	for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
		wr_le(&b, words[i], 8);
	memcpy(m.id, id, sizeof m.id);
	local_reply_encode(&m, &w);
	give(s, LINK_SUPERVISOR, RECORD_REPLY, buf, (uint32_t)wr_len(&w));
}

static void on_order(struct step *s, struct bytes value)
{
	struct rd r = rd_from(value);

	switch (rd_le(&r, 1)) {
	case 'L':
		edit(s)->limit = rd_le(&r, 8);
		break;
	case 'P':
		give(s, LINK_DOWN, RECORD_L2CAP_PDU, "poison!!poison!!", 16);
		break;
	case 'W':
		give(s, LINK_DOWN, RECORD_L2CAP_PDU, "spin", 4);
		break;
	case 'F':
		edit(s)->flood = 1;
		break;
	case 'A':
		edit(s)->abort_now = 1;
		break;
	default:
		break;
	}
}

static void on_supervisor(struct step *s, const struct record *r, struct bytes payload)
{
	struct local_request m;
	struct request_gatt_set set;

	if (r->kind == RECORD_NEIGHBOUR_LOST)
		edit(s)->lost++;
	if (r->kind == RECORD_CONFIG) {
		edit(s)->configs++;
		tell_ready(s);
	}
	if (r->kind != RECORD_REQUEST || !local_request_decode(payload, &m))
		return;
	if (m.verb == REQUEST_GATT_SET && request_gatt_set_decode(m.body, &set))
		on_order(s, set.value);
	reply(s, m.id);
}

static void on_number(struct step *s, unsigned l, struct bytes payload)
{
	struct rd r = rd_from(payload);
	uint64_t n = rd_le(&r, 8);
	struct toy *t = edit(s);

	t->errors += n != t->next_in;
	t->next_in = n + 1;
	if (l != LINK_UP)
		return;
	t->next_out = n + 1;
	give_number(s, LINK_UP, n);
}

static void on_record(struct step *s, unsigned l, const struct record *r, struct bytes payload)
{
	if (l == LINK_SUPERVISOR)
		on_supervisor(s, r, payload);
	else if (payload.len == 16)
		abort();
	else if (payload.len == 4)
		for (volatile unsigned spin = 0; ; spin++)
			;
	else
		on_number(s, l, payload);
}

/* What was under way in the former link is gone with it. */
static void on_link(struct step *s, unsigned l)
{
	struct toy *t = edit(s);

	if (l == LINK_SUPERVISOR)
		return;
	t->links++;
	if (l == LINK_DOWN)
		t->next_in = t->next_out = 0;
	else
		t->next_in = 0;
}

static bool may_send(const struct toy *t)
{
	return t->flood || (t->next_out < t->limit && t->next_out - t->next_in < WINDOW);
}

static void on_time(struct step *s)
{
	struct toy *t = edit(s);

	if (t->abort_now)
		abort();
	for (unsigned i = 0; i < PER_ACT && may_send(t); i++)
		give_number(s, LINK_DOWN, t->next_out++);
}

static uint64_t deadline(const struct step *s)
{
	const struct toy *t = view(s);

	return t->abort_now || (step_linked(s, LINK_DOWN) && may_send(t)) ? 0 : DEADLINE_NONE;
}

static void on_poison(struct step *s, unsigned l, const struct record *r, enum core_rung rung)
{
	(void)l;
	(void)r;
	edit(s)->poisons += rung == RUNG_SKIP_RECORD ? 1 : 1000;
}

static const struct core up_core = {
	.name = "toyup", .pools = pools, .version = 1, .fill = fill, .on_record = on_record, .on_link = on_link,
	.on_time = on_time, .deadline = deadline, .on_poison = on_poison, .undo = 1024,
	.reserve = { [LINK_SUPERVISOR] = { [LINK_SUPERVISOR] = REPLY, [LINK_DOWN] = RECORD } },
	.act = { [LINK_DOWN] = PER_ACT * RECORD },
};
static const struct core down_core = {
	.name = "toydown", .pools = pools, .version = 1, .fill = fill, .on_record = on_record, .on_link = on_link,
	.on_time = on_time, .deadline = deadline, .on_poison = on_poison, .undo = 1024,
	.reserve = { [LINK_SUPERVISOR] = { [LINK_SUPERVISOR] = REPLY }, [LINK_UP] = { [LINK_UP] = RECORD } },
};
static const struct program programs[] = {
	{ .name = "toyup", .core = &up_core, .down = "toydown" },
	{ .name = "toydown", .core = &down_core, .up = "toyup" },
};

bool toy_report_decode(struct bytes body, struct toy_report *ret)
{
	struct rd r = rd_from(body);

	*ret = (struct toy_report){ rd_le(&r, 8), rd_le(&r, 8), rd_le(&r, 8), rd_le(&r, 8), rd_le(&r, 8), rd_le(&r, 8), rd_le(&r, 8) };
	return rd_done(&r);
}

int toy_main(int argc, char **argv)
{
	for (unsigned i = 0; i < 2; i++)
		if (!strcmp(argv[0], programs[i].name))
			return program_main(&programs[i], argc, argv);
	return -1;
}
