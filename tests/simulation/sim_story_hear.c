/* tests/simulation/sim_story_hear.c - requests, and what a central makes of all that it hears. */
#include "tests/simulation/sim_story.h"

static uint16_t le16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static void put16(uint8_t *p, uint32_t v) { p[0] = (uint8_t)v; p[1] = (uint8_t)(v >> 8); }

static _Noreturn void wrong(const struct central *c, const char *what, const uint8_t *pdu, uint32_t n)
{
	char hex[64 * 3 + 1] = "";

	for (uint32_t i = 0; i < MIN(n, 64u); i++)
		snprintf(hex + 3 * i, 4, " %02X", pdu[i]);
	sim_fail(INVARIANT_order, "central %u, operation %u: %s:%s", c->number, c->story.at, what, hex);
}

/* ---- asking ---- */
static uint32_t ask_discover(struct story *s, uint8_t *p)
{
	p[0] = s->part == 0 ? 0x10 : s->part == 1 ? 0x04 : 0x08;
	put16(p + 1, s->from);
	put16(p + 3, 0xFFFF);
	if (s->part == 1)
		return 5;
	put16(p + 5, s->part ? 0x2803 : 0x2800);
	return 7;
}

static uint32_t ask_own(struct central *c, uint8_t *p)
{
	struct story *s = &c->story;

	put16(p + 1, STORY_OWN + 2 * c->number);
	p[0] = s->part ? 0x0A : 0x12;
	if (s->part)
		return 3;
	s->own_len = (uint32_t)sim_below(20);
	for (uint32_t i = 0; i < s->own_len; i++)
		p[3 + i] = s->own[i] = (uint8_t)sim_random();
	return 3 + s->own_len;
}

static uint32_t ask_prepared(struct central *c, uint8_t *p)
{
	struct story *s = &c->story;
	uint32_t n = min32(s->draft_len - s->prepared, min32((uint32_t)s->mtu - 5, 18u));

	if (s->part == 1) {
		p[0] = 0x18;
		p[1] = 1;
		return 2;
	}
	put16(p + 1, STORY_OWN + 2 * c->number);
	if (s->part == 2) {
		p[0] = 0x0A;
		return 3;
	}
	p[0] = 0x16;
	put16(p + 3, s->prepared);
	memcpy(p + 5, s->draft + s->prepared, n);
	return 5 + n;
}

void story_ask(struct central *c)
{
	struct story *s = &c->story;
	uint8_t *p = s->request;

	memset(p, 0, 8);
	switch (s->op[s->at]) {
	case OP_MTU:
		p[0] = 0x02;
		put16(p + 1, s->mtu_wanted);
		s->request_len = 3;
		break;
	case OP_DISCOVER: s->request_len = ask_discover(s, p); break;
	case OP_SUBSCRIBE: case OP_UNSUBSCRIBE:
		p[0] = 0x12;
		put16(p + 1, s->part ? STORY_TOLD_CCCD : STORY_ECHO_CCCD);
		put16(p + 3, s->wanted_bits[s->part]);
		s->request_len = 5;
		break;
	case OP_OWN: s->request_len = ask_own(c, p); break;
	case OP_PREPARED: s->request_len = ask_prepared(c, p); break;
	default:		/* OP_BAD: a handle that is not there */
		p[0] = 0x0A;
		put16(p + 1, 0x0999);
		s->request_len = 3;
	}
	s->asked = true;
	central_send(c, p, s->request_len);
}

/* ---- answers ---- */
/* A list has come to its end, with Attribute Not Found: all of it must have been seen.  The next list begins. */
static const char *on_end(struct story *s, const uint8_t *p, uint32_t n, bool all)
{
	if (n != 5 || p[1] != s->request[0] || p[4] != 0x0A || !all)
		return "a list that ends too soon";
	s->part++;
	s->seen = 0;
	s->from = 1;
	return NULL;
}

static const char *on_services(struct story *s, const uint8_t *p, uint32_t n)
{
	if (p[0] == 0x01)
		return on_end(s, p, n, s->seen == 2);
	if (p[0] != 0x11 || n < 2 || p[1] != 6 || n < 8)
		return "no list of services";
	for (p += 2, n -= 2; n >= 6; p += 6, n -= 6) {
		struct story_attribute a = story_attribute(s->seen ? 3 : 0);

		if (s->seen++ > 1 || le16(p) != a.handle || le16(p + 2) != a.end || memcmp(p + 4, a.value, 2))
			return "another service than there is";
		s->from = (uint16_t)(a.end + 1);
	}
	return n ? "a list of services that is cut" : NULL;
}

static const char *on_types(struct story *s, const uint8_t *p, uint32_t n)
{
	if (p[0] == 0x01)
		return on_end(s, p, n, s->seen == STORY_ATTRIBUTES);
	if (p[0] != 0x05 || n < 6 || p[1] != 1)
		return "no list of attributes";
	for (p += 2, n -= 2; n >= 4; p += 4, n -= 4) {
		struct story_attribute a = story_attribute(MIN(s->seen, (uint32_t)STORY_ATTRIBUTES - 1));

		if (s->seen++ >= STORY_ATTRIBUTES || le16(p) != a.handle || le16(p + 2) != a.type)
			return "another attribute than there is";
		s->from = (uint16_t)(a.handle + 1);
	}
	return n ? "a list of attributes that is cut" : NULL;
}

/* The next characteristic declaration behind those seen: its place among the attributes. */
static unsigned declaration(unsigned nth)
{
	unsigned i = 0;

	for (; i < STORY_ATTRIBUTES; i++)
		if (story_attribute(i).type == 0x2803 && !nth--)
			return i;
	return STORY_ATTRIBUTES;
}

static const char *on_declarations(struct story *s, const uint8_t *p, uint32_t n)
{
	if (p[0] == 0x01)
		return on_end(s, p, n, declaration(s->seen) == STORY_ATTRIBUTES);
	if (p[0] != 0x09 || n < 9 || p[1] != 7)
		return "no list of characteristics";
	for (p += 2, n -= 2; n >= 7; p += 7, n -= 7) {
		unsigned i = declaration(s->seen++);
		struct story_attribute a = story_attribute(MIN(i, STORY_ATTRIBUTES - 1u));

		if (i == STORY_ATTRIBUTES || le16(p) != a.handle || memcmp(p + 2, a.value, 5))
			return "another characteristic than there is";
		s->from = (uint16_t)(a.handle + 1);
	}
	return n ? "a list of characteristics that is cut" : NULL;
}

static const char *on_mtu(struct story *s, const uint8_t *p, uint32_t n)
{
	if (n != 3 || p[0] != 0x03 || le16(p + 1) != story_server_mtu())
		return "no answer to Exchange MTU";
	s->mtu = (uint16_t)min32(s->mtu_wanted, story_server_mtu());
	s->part++;
	return NULL;
}

static const char *on_subscribed(struct story *s, const uint8_t *p, uint32_t n)
{
	if (n != 1 || p[0] != 0x13)
		return "no Write Response";
	if (s->part) {
		s->told.any &= s->told_bits != 0;		/* what came while nobody listened is not missed */
		s->told_bits = s->wanted_bits[1];
	} else {
		if (!s->echo_bits)
			memset(s->heard, 0, sizeof s->heard);
		s->echo_bits = s->wanted_bits[0];
	}
	s->part++;
	return NULL;
}

static const char *on_own(struct story *s, const uint8_t *p, uint32_t n)
{
	if (!s->part && (n != 1 || p[0] != 0x13))
		return "no Write Response";
	if (s->part && (p[0] != 0x0B || n != 1 + s->own_len || memcmp(p + 1, s->own, s->own_len)))
		return "not the value that was written";
	s->part++;
	return NULL;
}

static const char *on_prepared(struct story *s, const uint8_t *p, uint32_t n)
{
	if (s->part == 0) {
		if (p[0] != 0x17 || n != s->request_len || memcmp(p + 1, s->request + 1, n - 1))
			return "not what was prepared";
		s->prepared += n - 5;
		s->part += s->prepared == s->draft_len;
		return NULL;
	}
	if (s->part == 1 && (n != 1 || p[0] != 0x19))
		return "no Execute Write Response";
	if (s->part == 2) {
		uint32_t len = MIN(s->draft_len, (uint32_t)s->mtu - 1);

		/* What is prepared lies over the value that was there: no less than it. */
		if (p[0] != 0x0B || n < 1 + len || memcmp(p + 1, s->draft, len))
			return "not the value that was prepared";
	}
	s->part++;
	return NULL;
}

static const char *on_bad(struct story *s, const uint8_t *p, uint32_t n)
{
	static const uint8_t error[] = { 0x01, 0x0A, 0x99, 0x09, 0x01 };

	s->part++;
	return n == sizeof error && !memcmp(p, error, n) ? NULL : "no Invalid Handle";
}

void story_on_answer(struct central *c, const uint8_t *p, uint32_t n)
{
	struct story *s = &c->story;
	const char *why = NULL;

	if (!s->asked)
		wrong(c, "an answer to nothing", p, n);
	s->asked = false;
	s->answered = true;
	switch (s->op[s->at]) {
	case OP_MTU: why = on_mtu(s, p, n); break;
	case OP_DISCOVER: why = s->part == 0 ? on_services(s, p, n) : s->part == 1 ? on_types(s, p, n) : on_declarations(s, p, n); break;
	case OP_SUBSCRIBE: case OP_UNSUBSCRIBE: why = on_subscribed(s, p, n); break;
	case OP_OWN: why = on_own(s, p, n); break;
	case OP_PREPARED: why = on_prepared(s, p, n); break;
	case OP_BAD: why = on_bad(s, p, n); break;
	case OP_REQUESTS:
		why = n == 1 && p[0] == 0x13 ? NULL : "no Write Response";
		s->part++;
		break;
	default: why = "an answer to nothing";
	}
	if (why)
		wrong(c, why, p, n);
}

/* ---- notifications and indications ---- */
static void judge_next(struct central *c, struct heard *h, uint32_t n, const uint8_t *at, uint32_t len)
{
	if (h->any && n <= h->n)
		wrong(c, "a value twice, or out of order", at, len);
	if (h->any)
		story_count_missing(n - h->n - 1, h != &c->story.told);
	*h = (struct heard){ true, n };
}

static void judge_own(struct central *c, uint32_t n, const uint8_t *at, uint32_t len)
{
	struct story *s = &c->story;

	if (n >= s->sent || n < s->echoed)
		wrong(c, "an echo of what was not sent, or twice", at, len);
	if (s->echo_from_start)
		story_count_missing(n - s->echoed, false);
	s->echoed = n + 1;
}

void story_on_value(struct central *c, uint16_t handle, const uint8_t *at, uint32_t n)
{
	struct story *s = &c->story;
	uint8_t value[STORY_VALUE_MAX];
	uint32_t len, number;

	sim_judge(INVARIANT_order);
	if (n < 8)
		wrong(c, "a value that is cut", at, n);
	len = le16(at + 6);
	number = le16(at + 2) | (uint32_t)le16(at + 4) << 16;
	if (len < 8 || len > sizeof value || n != MIN(len, (uint32_t)s->mtu - 3))
		wrong(c, "a value of another length", at, n);
	story_value(value, at[0], at[1], number, len);
	if (memcmp(value, at, n))
		wrong(c, "a value with another content", at, n);
	if (handle == STORY_TOLD && at[0] == STORY_OPERATOR) {
		if (number >= sim_operator_sets())
			wrong(c, "a value that nobody has set", at, n);
		judge_next(c, &s->told, number, at, n);
	} else if (handle == STORY_ECHO && at[0] == c->number && at[1] == c->lives) {
		judge_own(c, number, at, n);
	} else if (handle == STORY_ECHO && at[0] < SIM_CENTRALS && at[1] < STORY_LIVES) {
		/* Of a connection that its central has lost already, too: what it wrote may still be on its way. */
		judge_next(c, &s->heard[at[0]][at[1]], number, at, n);
	} else {
		wrong(c, "a value from nobody", at, n);
	}
}

void story_on_pdu(struct central *c, const uint8_t *p, uint32_t n)
{
	if (c->void_)
		return;
	if (!n)
		wrong(c, "an empty PDU", p, n);
	if ((p[0] == 0x1B || p[0] == 0x1D) && n >= 3) {
		story_on_value(c, le16(p + 1), p + 3, n - 3);
		if (p[0] == 0x1B)
			return;
		if (c->story.silent) {
			c->excused = true;
			sim_tell("central %u does not confirm", c->number);
		} else {
			c->story.confirm++;
		}
		return;
	}
	story_on_answer(c, p, n);
}
