/* tests/simulation/sim_story.c - what a central does on its connection, one operation after the other. */
#include "gattd/core/state.h"
#include "gattd/core/gatt.h"
#include "tests/simulation/sim_story.h"

static struct { uint16_t server_mtu; uint32_t missed, missed_of_others; } all;

uint16_t story_server_mtu(void) { return all.server_mtu; }
uint32_t story_missed(void) { return all.missed; }
uint32_t story_missed_of_others(void) { return all.missed_of_others; }
void story_count_missing(uint32_t n, bool of_others)
{
	if (of_others)
		all.missed_of_others += n;
	else
		all.missed += n;
	if (n)
		sim_tell("values never heard: %u", n);
}

void story_open_all(void)
{
	all.missed = all.missed_of_others = 0;
	all.server_mtu = (uint16_t)(sim_chance(500) ? 517 : 23 + sim_below(495));
}

/* 1800 with its name; one service with the echo, the value that operators set, and one value for each central. */
struct story_attribute story_attribute(unsigned i)
{
	static const struct story_attribute fixed[] = {
		{ 0x01, 0x03, 0x2800, 0, 0, ATTRIBUTE_SERVICE, 0, 0, 2, { 0x00, 0x18 } },
		{ 0x02, 0x03, 0x2803, 0, 0, ATTRIBUTE_CHARACTERISTIC, 0x02, 0, 5, { 0x02, 0x03, 0, 0x00, 0x2A } },
		{ 0x03, 0x03, 0x2A00, 20, 0, ATTRIBUTE_VALUE, 0x02, 0, 7, { 'T', 'r', 'e', 'f', 'o', 'i', 'l' } },
		{ 0x10, 0x2A, 0x2800, 0, 0, ATTRIBUTE_SERVICE, 0, 0, 2, { 0xF0, 0xFF } },
		{ 0x11, 0x12, 0x2803, 0, 0, ATTRIBUTE_CHARACTERISTIC, 0x0C, 0, 5, { 0x0C, 0x12, 0, 0xF1, 0xFF } },
		{ STORY_ECHO_IN, 0x12, 0xFFF1, 512, STORY_ECHO, ATTRIBUTE_VALUE, 0x0C, 0, 0, { 0 } },
		{ 0x14, 0x16, 0x2803, 0, 0, ATTRIBUTE_CHARACTERISTIC, 0x10, 0, 5, { 0x10, 0x15, 0, 0xF2, 0xFF } },
		{ STORY_ECHO, 0x15, 0xFFF2, 512, 0, ATTRIBUTE_VALUE, 0x10, 1, 0, { 0 } },
		{ STORY_ECHO_CCCD, 0x16, 0x2902, 2, 0, ATTRIBUTE_CCCD, 0x10, 1, 0, { 0 } },
		{ 0x18, 0x1A, 0x2803, 0, 0, ATTRIBUTE_CHARACTERISTIC, 0x30, 0, 5, { 0x30, 0x19, 0, 0xF3, 0xFF } },
		{ STORY_TOLD, 0x19, 0xFFF3, 512, 0, ATTRIBUTE_VALUE, 0x30, 2, 0, { 0 } },
		{ STORY_TOLD_CCCD, 0x1A, 0x2902, 2, 0, ATTRIBUTE_CCCD, 0x30, 2, 0, { 0 } },
	};
	unsigned own = i - (unsigned)ARRAY_LEN(fixed);
	uint16_t handle = (uint16_t)(STORY_OWN + own / 2 * 2);

	if (i < ARRAY_LEN(fixed))
		return fixed[i];
	if (own % 2)
		return (struct story_attribute){ handle, handle, 0xFFF4, STORY_OWN_MAX, 0, ATTRIBUTE_VALUE, 0x0A, 0, 0, { 0 } };
	return (struct story_attribute){ (uint16_t)(handle - 1), handle, 0x2803, 0, 0, ATTRIBUTE_CHARACTERISTIC, 0x0A, 0, 5,
		{ 0x0A, (uint8_t)handle, 0, 0xF4, 0xFF } };
}

uint32_t story_value(uint8_t *to, uint8_t source, uint8_t life, uint32_t n, uint32_t len)
{
	uint32_t x = source * 2654435761u ^ life * 40503u ^ n * 97u;

	to[0] = source;
	to[1] = life;
	for (unsigned i = 0; i < 4; i++)
		to[2 + i] = (uint8_t)(n >> 8 * i);
	to[6] = (uint8_t)len;
	to[7] = (uint8_t)(len >> 8);
	for (uint32_t i = 8; i < len; i++)
		to[i] = (uint8_t)(x >> i % 24) ^ (uint8_t)i;
	return len;
}

/* ---- the operations of one life ---- */
static enum story_op chosen(void)
{
	static const enum story_op from[] = { OP_COMMANDS, OP_COMMANDS, OP_COMMANDS, OP_REQUESTS, OP_OWN, OP_PREPARED, OP_BAD,
		OP_LISTEN, OP_SUBSCRIBE, OP_UNSUBSCRIBE, OP_DISCOVER };

	return from[sim_below(ARRAY_LEN(from))];
}

void story_begin(struct central *c)
{
	struct story *s = &c->story;

	memset(s, 0, sizeof *s);
	s->mtu = 23;
	if (sim_chance(700))
		s->op[s->ops++] = OP_MTU;
	if (sim_chance(300))
		s->op[s->ops++] = OP_DISCOVER;
	if (sim_chance(800))
		s->op[s->ops++] = OP_SUBSCRIBE;
	for (unsigned n = 2 + (unsigned)sim_below(5); n--; )
		s->op[s->ops++] = chosen();
	s->op[s->ops++] = OP_DRAIN;
	s->silent = sim_chance(20);
	if (s->silent)
		sim_hit(FAULT_no_confirmation);
	s->parts = UINT32_MAX;
}

static void begin_op(struct central *c)
{
	struct story *s = &c->story;

	s->part = 0;
	s->parts = 1;
	switch (s->op[s->at]) {
	case OP_MTU: s->mtu_wanted = (uint16_t)(23 + sim_below(495)); break;
	case OP_DISCOVER:
		s->parts = 3;		/* services, attributes, values by type; each as many requests as it takes */
		s->from = 1;
		s->seen = 0;
		break;
	case OP_SUBSCRIBE:
		s->parts = 2;
		s->wanted_bits[0] = 1;
		s->wanted_bits[1] = (uint8_t)(1 + sim_below(2));
		s->echo_from_start = !s->sent;
		break;
	case OP_UNSUBSCRIBE:
		s->parts = 2;
		s->wanted_bits[0] = s->wanted_bits[1] = 0;
		s->echo_from_start = false;
		break;
	case OP_COMMANDS:
		s->parts = sim_chance(100) ? 60 : 1 + (unsigned)sim_below(20);
		if (s->parts == 60)
			sim_hit(FAULT_command_flood);
		break;
	case OP_REQUESTS: s->parts = 1 + (unsigned)sim_below(6); break;
	case OP_OWN: s->parts = 2; break;
	case OP_PREPARED:
		s->draft_len = 1 + (uint32_t)sim_below(STORY_OWN_MAX);
		for (uint32_t i = 0; i < s->draft_len; i++)
			s->draft[i] = (uint8_t)sim_random();
		s->prepared = 0;
		s->parts = 3;		/* prepare until all is said; execute; read */
		break;
	case OP_LISTEN:
		s->until_ns = sim.now_ns + sim_spread(300 * MS);
		break;
	default: break;
	}
}

static void write_echo(struct central *c, uint8_t opcode)
{
	struct story *s = &c->story;
	uint8_t pdu[3 + STORY_VALUE_MAX] = { opcode, STORY_ECHO_IN, 0 };
	uint32_t most = MIN((uint32_t)s->mtu - 3, 250u), len = 8 + (uint32_t)sim_below(most - 7);

	story_value(pdu + 3, (uint8_t)c->number, (uint8_t)c->lives, s->sent++, len);
	central_send(c, pdu, 3 + len);
}

/* Own values that are still to be heard, where they will be. */
static bool echoes_due(const struct story *s) { return s->echo_bits && s->echo_from_start && s->echoed < s->sent; }

/* Heard all, or nothing more for so long that it will not come. */
static void drain(struct central *c)
{
	struct story *s = &c->story;

	if (s->silent && c->excused) {		/* it waits for its end: 30 s after the indication */
		c->next_ns = NEVER;
		return;
	}
	if (echoes_due(s) && sim.now_ns - c->heard_ns < 30 * SECOND) {
		c->next_ns = c->heard_ns + 30 * SECOND;
		return;
	}
	if (echoes_due(s) && !c->void_)
		story_count_missing(s->sent - s->echoed, false);
	s->echoed = s->sent;
	central_leave(c);
}

/* Both ends have just agreed on what is asked for next: is it so? */
static void judge_agreement(const struct central *c)
{
	const struct story *s = &c->story;
	uint8_t cccd = 0;
	uint16_t mtu;

	if (c->void_ || !s->answered || !sim_peer_bearer(c->address, &mtu, &cccd))
		return;
	sim_judge(INVARIANT_mtu);
	sim_judge(INVARIANT_cccd);
	if (mtu != s->mtu)
		sim_fail(INVARIANT_mtu, "central %u has MTU %u, gattd %u", c->number, s->mtu, mtu);
	if (cccd != (s->echo_bits | s->told_bits << 2))
		sim_fail(INVARIANT_cccd, "central %u is subscribed 0x%02X, for gattd 0x%02X", c->number,
		    s->echo_bits | s->told_bits << 2, cccd);
}

void story_turn(struct central *c)
{
	struct story *s = &c->story;

	for (; s->confirm && central_may_send(c); s->confirm--)
		central_send(c, (const uint8_t[]){ 0x1E }, 1);
	while (central_may_send(c) && !s->asked) {
		if (s->parts == UINT32_MAX)
			begin_op(c);
		if (s->part >= s->parts) {
			s->at++;
			s->parts = UINT32_MAX;
			judge_agreement(c);
			continue;
		}
		switch (s->op[s->at]) {
		case OP_COMMANDS:
			write_echo(c, 0x52);
			s->part++;
			break;
		case OP_LISTEN:
			if (sim.now_ns < s->until_ns) {
				c->next_ns = s->until_ns;
				return;
			}
			s->part++;
			break;
		case OP_DRAIN:
			drain(c);
			return;
		case OP_REQUESTS:
			s->asked = true;
			write_echo(c, 0x12);
			break;
		default:
			story_ask(c);
		}
	}
}

void story_end(struct central *c)
{
	memset(&c->story, 0, sizeof c->story);
}
