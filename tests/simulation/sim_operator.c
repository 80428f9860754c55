/* tests/simulation/sim_operator.c - what the supervisors say over their small links, and what they are answered.
 *
 * At first each worker's configuration; later an operator's requests: values that gattd's subscribers are told of, and questions
 * for the state of each.  Judged: each request is answered once, in order, with success. */
#include <errno.h>
#include "gattd/core/gatt.h"
#include "tests/simulation/sim_story.h"
#include "wire/wire.h"

enum { QUEUE = 192, BODY = 700, REQUESTS = 128 };

struct said { uint8_t kind; uint16_t index, generation, len; uint8_t body[BODY]; bool lost; };
struct voice {			/* one supervisor's */
	struct said say[QUEUE];
	unsigned first, count;
	uint32_t asked, answered, last_set;	/* requests by number from 1: the id */
	struct { uint8_t verb; bool done; } request[REQUESTS];
	bool ready;
};
static struct voice voice[SIM_WORKERS];
static struct { uint64_t kick_ns, ask_ns; uint32_t sets, left; } operator;
uint32_t sim_operator_sets(void) { return operator.sets; }

void sim_operator_kick(uint64_t after_ns) { operator.kick_ns = min64(operator.kick_ns, sim.now_ns + after_ns); }

static struct said *say(enum sim_who who, uint8_t kind)
{
	struct voice *v = &voice[who];
	struct said *s = &v->say[(v->first + v->count++) % QUEUE];

	if (v->count > QUEUE)
		sim_fail(INVARIANT_progress, "the supervisor of %s cannot get rid of its records", sim_who_name(who));
	memset(s, 0, sizeof *s);
	s->kind = kind;
	sim_operator_kick(1);
	return s;
}

static void say_bytes(enum sim_who who, uint8_t kind, const uint8_t *at, size_t n)
{
	struct said *s = say(who, kind);

	memcpy(s->body, at, n);
	s->len = (uint16_t)n;
}

void sim_operator_tell_lost(enum sim_who who, unsigned link, uint32_t generation)
{
	struct said *s = say(who, RECORD_NEIGHBOUR_LOST);

	s->index = (uint16_t)link;
	s->generation = (uint16_t)generation;
	s->body[0] = 0x15;
	s->len = 1;
	s->lost = true;
}

void sim_operator_tell_there(bool there)
{
	struct said *s = say(HOSTD, there ? RECORD_NEIGHBOUR_BACK : RECORD_NEIGHBOUR_AWAY);

	s->index = LINK_UP;
	s->generation = (uint16_t)sim.link[0].generation;
	sim_operator_kick(sim_spread(5 * MS));
}

static void say_attribute(const struct config_attribute *a)
{
	uint8_t buf[BODY];
	struct wr w = wr_into(buf, sizeof buf);

	wr_le(&w, CONFIG_ATTRIBUTE, 1);
	config_attribute_encode(a, &w);
	say_bytes(GATTD, RECORD_CONFIG, buf, wr_len(&w));
}

/* The database: story_attributes() says what a client has to find. */
static void say_database(void)
{
	for (unsigned i = 0; i < STORY_ATTRIBUTES; i++) {
		struct story_attribute s = story_attribute(i);
		struct config_attribute a = { .handle = s.handle, .group_end = s.end, .kind = s.kind, .properties = s.properties,
			.permissions = GATT_READABLE | GATT_WRITEABLE, .cccd = s.cccd, .echo = s.echo,
			.value_max = s.max ? s.max : s.len, .type_len = 2 };

		a.type[0] = (uint8_t)s.type;
		a.type[1] = (uint8_t)(s.type >> 8);
		a.value = (struct bytes){ s.value, s.len };
		say_attribute(&a);
	}
}

void sim_operator_open(void)
{
	static const uint8_t address[] = { CONFIG_OWN_ADDRESS, 1, 0xF5, 0xF4, 0xF3, 0xF2, 0xF1, 0xF0 };
	static const uint8_t advertising[] = { CONFIG_ADVERTISING, 1, 0x20, 0, 0x20, 0 };
	static const uint8_t data[] = { CONFIG_ADVERTISING_DATA, 2, 1, 6 }, done[] = { CONFIG_DONE, 0 };
	uint16_t mtu = story_server_mtu();
	const uint8_t server[] = { CONFIG_ATT_SERVER, (uint8_t)mtu, (uint8_t)(mtu >> 8) };

	memset(voice, 0, sizeof voice);
	memset(&operator, 0, sizeof operator);
	operator.kick_ns = NEVER;
	operator.left = (uint32_t)sim_below(40);
	say_bytes(TRANSPORTD, RECORD_CONFIG, done, sizeof done);
	say_bytes(HOSTD, RECORD_CONFIG, address, sizeof address);
	say_bytes(HOSTD, RECORD_CONFIG, advertising, sizeof advertising);
	say_bytes(HOSTD, RECORD_CONFIG, data, sizeof data);
	say_bytes(HOSTD, RECORD_CONFIG, done, sizeof done);
	say_bytes(GATTD, RECORD_CONFIG, server, sizeof server);
	say_database();
	say_bytes(GATTD, RECORD_CONFIG, done, sizeof done);
}

/* ---- requests ---- */
static struct wr request(uint8_t *buf, enum sim_who who, uint8_t verb)
{
	struct wr w = wr_into(buf, BODY);

	voice[who].request[++voice[who].asked % REQUESTS].verb = verb;
	wr_le(&w, voice[who].asked, 8);
	wr_le(&w, who, 8);
	wr_le(&w, verb, 1);
	return w;
}

static void ask_status(enum sim_who who)
{
	uint8_t buf[BODY];
	struct wr w = request(buf, who, REQUEST_STATUS);

	wr_le(&w, 0, 2);
	say_bytes(who, RECORD_REQUEST, buf, wr_len(&w));
}

static void ask_set(void)
{
	uint8_t buf[BODY], value[STORY_VALUE_MAX];
	struct wr w = request(buf, GATTD, REQUEST_GATT_SET);
	uint32_t len = story_value(value, STORY_OPERATOR, 0, operator.sets++, 8 + (uint32_t)sim_below(100));
	uint8_t zero[17] = { 0 };

	wr_bytes(&w, (struct bytes){ zero, 17 });
	wr_le(&w, STORY_TOLD, 2);
	wr_bytes(&w, (struct bytes){ value, len });
	say_bytes(GATTD, RECORD_REQUEST, buf, wr_len(&w));
}

static void on_reply(enum sim_who who, struct bytes payload)
{
	struct voice *v = &voice[who];
	struct local_reply m;
	uint64_t n = 0;

	if (!local_reply_decode(payload, &m))
		sim_fail(INVARIANT_replies, "%s gives a malformed reply", sim_who_name(who));
	memcpy(&n, m.id, 8);
	sim_judge(INVARIANT_replies);
	if (!n || n > v->asked || v->request[n].done)
		sim_fail(INVARIANT_replies, "%s answers request %llu, which is not open", sim_who_name(who), (unsigned long long)n);
	if (v->request[n].verb == REQUEST_GATT_SET && n <= v->last_set)
		sim_fail(INVARIANT_replies, "%s answers request %llu behind %u", sim_who_name(who), (unsigned long long)n, v->last_set);
	v->request[n].done = true;
	if (v->request[n].verb == REQUEST_GATT_SET)
		v->last_set = (uint32_t)n;
	if (m.result && !(who == TRANSPORTD && m.result == EOPNOTSUPP))
		sim_fail(INVARIANT_replies, "%s refuses request %llu: %u", sim_who_name(who), (unsigned long long)n, m.result);
	v->answered++;
	sim_tell("%s answers request %llu", sim_who_name(who), (unsigned long long)n);
	sim.moved_ns = sim.now_ns;
}

static void on_notice(enum sim_who who, struct bytes payload)
{
	struct local_notice m;

	if (!local_notice_decode(payload, &m))
		sim_fail(INVARIANT_replies, "%s gives a malformed notice", sim_who_name(who));
	sim_tell("%s notes %u: %.*s", sim_who_name(who), m.what, (int)m.detail.len, (const char *)m.detail.at);
	if (m.what == NOTICE_READY)
		voice[who].ready = true;
	if (m.what == NOTICE_FAILED && who == HOSTD && !sim.worker[TRANSPORTD].alive) {
		voice[HOSTD].ready = false;		/* it is back with the link of a new generation */
		return;
	}
	if (m.what == NOTICE_FAILED)
		sim_fail(INVARIANT_progress, "%s fails: %.*s", sim_who_name(who), (int)m.detail.len, (const char *)m.detail.at);
}

/* ---- the small rings ---- */
static void hear(enum sim_who who)
{
	struct ring *in = sim_small_in(who);
	static uint8_t buf[8192];
	struct record r;
	int got;

	while (!(got = ring_take(in, &r, buf, sizeof buf))) {
		sim_digest(buf, r.len);
		if (r.kind == RECORD_REPLY)
			on_reply(who, (struct bytes){ buf, r.len });
		else
			on_notice(who, (struct bytes){ buf, r.len });
	}
	if (got != RING_EMPTY)
		sim_fail(INVARIANT_arena, "the small ring of %s is corrupt", sim_who_name(who));
	if (ring_publish(in))
		sim_bell(who, sim_spread(sim.kick_most_ns));
}

static void speak(enum sim_who who)
{
	struct ring *out = sim_small_out(who);
	struct voice *v = &voice[who];

	while (v->count) {
		struct said *s = &v->say[v->first];
		uint8_t *to = ring_reserve(out, s->len);

		if (!to)
			break;
		memcpy(to, s->body, s->len);
		ring_push(out, (struct record){ .len = s->len, .kind = s->kind, .index = s->index, .generation = s->generation,
		    .time_ns = sim.now_ns });
		v->first = (v->first + 1) % QUEUE;
		v->count--;
		if (s->kind >= RECORD_NEIGHBOUR_LOST)
			sim_arm_kind(&sim.worker[who], s->kind);
		if (s->lost)
			sim_link_lost_told(s->index == LINK_DOWN ? who : who - 1);
	}
	if (ring_publish(out))
		sim_bell(who, sim_spread(sim.kick_most_ns));
}

/* As a worker does before it sleeps: ask to be woken, and look once more. */
static void rest(enum sim_who who)
{
	bool sleep = ring_sleep_empty(sim_small_in(who));

	if (voice[who].count)
		sleep &= ring_sleep_full(sim_small_out(who));
	if (!sleep)
		sim_operator_kick(10 * US);
}

static void ask(void)
{
	if (!operator.left || operator.ask_ns > sim.now_ns)
		return;
	operator.ask_ns = sim.now_ns + sim_spread(200 * MS);
	for (unsigned i = 0; i < SIM_WORKERS; i++)
		if (voice[i].asked - voice[i].answered > 8)
			return;
	operator.left--;
	switch (sim_below(8)) {
	case 0: ask_status(HOSTD); break;
	case 1: ask_status(GATTD); break;
	case 2: ask_status(TRANSPORTD); break;
	default: ask_set();
	}
}

void sim_operator_run(void)
{
	if (sim_operator_next() > sim.now_ns)
		return;
	operator.kick_ns = NEVER;
	if (sim_operator_ready())
		ask();
	for (unsigned i = 0; i < SIM_WORKERS; i++) {
		hear((enum sim_who)i);
		speak((enum sim_who)i);
		rest((enum sim_who)i);
	}
}

bool sim_operator_idle(void)
{
	bool idle = !operator.left;

	for (unsigned i = 0; i < SIM_WORKERS; i++)
		idle = idle && !voice[i].count && voice[i].asked == voice[i].answered;
	return idle;
}

uint64_t sim_operator_next(void)
{
	return operator.left && sim_operator_ready() ? min64(operator.kick_ns, operator.ask_ns) : operator.kick_ns;
}

bool sim_operator_ready(void) { return voice[HOSTD].ready && voice[GATTD].ready; }
