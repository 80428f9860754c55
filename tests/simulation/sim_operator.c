/* tests/simulation/sim_operator.c - what the supervisors say over their small links, and what they are answered.
 *
 * At first each worker's configuration; later an operator's requests: values that gattd's subscribers are told of, and questions
 * for the state of each.  Judged: each request is answered once, in order, with success.
 *
 * A supervisor may die, and its worker with it.  What it had queued is gone; its links are inherited, and its small link goes on
 * where the ring's own words say, or begins anew where the former life was making one.  As runtime/supervisor_boot.c does, the
 * next life says the configuration again, and which neighbours are lost or there; and whoever waits for an answer asks again,
 * with the same id.  An answer may come once for each time it was asked for, and again from a ring whose head was not shown: the
 * first is the one that counts. */
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
	struct { uint8_t verb; bool done; uint32_t set, len, asks, replies; } request[REQUESTS];
	bool ready;
	uint64_t back_ns;		/* its supervisor is dead until then; 0: it lives */
	enum sim_sup_place dies;	/* where it will; SUP_PLACES: nowhere */
	uint32_t deaths;
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
	struct said *s;

	if (voice[who].back_ns)			/* its next life says so */
		return;
	s = say(who, RECORD_NEIGHBOUR_LOST);
	s->index = (uint16_t)link;
	s->generation = (uint16_t)generation;
	s->body[0] = 0x15;
	s->len = 1;
	s->lost = true;
}

void sim_operator_tell_there(bool there)
{
	struct said *s;

	if (voice[HOSTD].back_ns)
		return;
	s = say(HOSTD, there ? RECORD_NEIGHBOUR_BACK : RECORD_NEIGHBOUR_AWAY);
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

static void configure(enum sim_who who)
{
	static const uint8_t address[] = { CONFIG_OWN_ADDRESS, 1, 0xF5, 0xF4, 0xF3, 0xF2, 0xF1, 0xF0 };
	static const uint8_t advertising[] = { CONFIG_ADVERTISING, 1, 0x20, 0, 0x20, 0 };
	static const uint8_t data[] = { CONFIG_ADVERTISING_DATA, 2, 1, 6 }, done[] = { CONFIG_DONE, 0 };
	uint16_t mtu = story_server_mtu();
	const uint8_t server[] = { CONFIG_ATT_SERVER, (uint8_t)mtu, (uint8_t)(mtu >> 8) };

	if (who == HOSTD) {
		say_bytes(HOSTD, RECORD_CONFIG, address, sizeof address);
		say_bytes(HOSTD, RECORD_CONFIG, advertising, sizeof advertising);
		say_bytes(HOSTD, RECORD_CONFIG, data, sizeof data);
	}
	if (who == GATTD) {
		say_bytes(GATTD, RECORD_CONFIG, server, sizeof server);
		say_database();
	}
	say_bytes(who, RECORD_CONFIG, done, sizeof done);
}

void sim_operator_open(void)
{
	memset(voice, 0, sizeof voice);
	memset(&operator, 0, sizeof operator);
	operator.kick_ns = NEVER;
	operator.left = (uint32_t)sim_below(40);
	for (unsigned i = 0; i < SIM_WORKERS; i++) {
		voice[i].dies = SUP_PLACES;
		configure((enum sim_who)i);
	}
}

/* ---- requests ---- */
static void say_request(enum sim_who who, uint32_t n)
{
	uint8_t buf[BODY], value[STORY_VALUE_MAX], zero[17] = { 0 };
	struct wr w = wr_into(buf, BODY);
	struct voice *v = &voice[who];

	wr_le(&w, n, 8);
	wr_le(&w, who, 8);
	wr_le(&w, v->request[n].verb, 1);
	if (v->request[n].verb == REQUEST_GATT_SET) {
		wr_bytes(&w, (struct bytes){ zero, 17 });
		wr_le(&w, STORY_TOLD, 2);
		wr_bytes(&w, (struct bytes){ value, story_value(value, STORY_OPERATOR, 0, v->request[n].set, v->request[n].len) });
	} else {
		wr_le(&w, 0, 2);
	}
	v->request[n].asks++;
	say_bytes(who, RECORD_REQUEST, buf, wr_len(&w));
}

static void ask_new(enum sim_who who, uint8_t verb)
{
	struct voice *v = &voice[who];
	uint32_t n = ++v->asked;

	if (n == REQUESTS)
		sim_fail(INVARIANT_replies, "more requests than this test has room for");
	v->request[n].verb = verb;
	if (verb == REQUEST_GATT_SET) {
		v->request[n].set = operator.sets++;
		v->request[n].len = 8 + (uint32_t)sim_below(100);
	}
	say_request(who, n);
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
	if (!n || n > v->asked || ++v->request[n].replies > v->request[n].asks + v->deaths)
		sim_fail(INVARIANT_replies, "%s answers request %llu, which is not open", sim_who_name(who), (unsigned long long)n);
	if (v->request[n].done)			/* it was asked for twice */
		return;
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

/* ---- lives of a supervisor ---- */
static void die(enum sim_who who, enum sim_sup_place place)
{
	struct voice *v = &voice[who];

	sim_hit((enum sim_fault)(FAULT_supervisor_dies + place));
	sim.totals->supervisor[who][place]++;
	sim_tell("the supervisor of %s dies: %u", sim_who_name(who), place);
	v->first = v->count = 0;
	v->dies = SUP_PLACES;
	v->deaths++;
	v->back_ns = sim.now_ns + sim_spread(sim_chance(900) ? 20 * MS : SECOND);
	sim_worker_orphaned(&sim.worker[who], v->back_ns);
	sim_operator_kick(v->back_ns - sim.now_ns);
}

void sim_operator_arm(void)
{
	enum sim_who who = (enum sim_who)sim_below(SIM_WORKERS);
	enum sim_sup_place place = (enum sim_sup_place)sim_below(SUP_PLACES);

	if (voice[who].back_ns)
		return;
	if (place == SUP_BETWEEN)
		die(who, place);
	else
		voice[who].dies = place;
}

/* runtime/supervisor_boot.c, take_over(). */
static void boot(enum sim_who who)
{
	struct voice *v = &voice[who];

	v->back_ns = 0;
	sim_small_inherit(who, sim_chance(200));
	configure(who);
	for (unsigned l = 0; l < 2; l++)
		if (sim.link[l].lost && (who == l || who == l + 1))
			sim_operator_tell_lost(who, who == l ? LINK_DOWN : LINK_UP, sim.link[l].generation);
	if (who == HOSTD && !sim.link[0].lost) {
		sim_operator_tell_there(false);
		if (sim.worker[TRANSPORTD].alive)
			sim_operator_tell_there(true);
	}
	for (uint32_t n = 1; n <= v->asked; n++)
		if (!v->request[n].done)
			say_request(who, n);
}

/* ---- the small rings ---- */
static void publish(enum sim_who who, struct ring *r)
{
	bool kick = ring_publish(r);

	if (kick && voice[who].dies == SUP_UNKICKED)
		die(who, SUP_UNKICKED);
	else if (kick)
		sim_bell(who, sim_spread(sim.kick_most_ns));
}

static void hear(enum sim_who who)
{
	struct ring *in = sim_small_in(who);
	static uint8_t buf[8192];
	struct record r;
	bool some = false;
	int got;

	while (!(got = ring_take(in, &r, buf, sizeof buf))) {
		sim_digest(buf, r.len);
		if (voice[who].dies == SUP_TAKEN && sim_chance(500)) {
			die(who, SUP_TAKEN);		/* nobody has heard it */
			return;
		}
		some = true;
		if (r.kind == RECORD_REPLY)
			on_reply(who, (struct bytes){ buf, r.len });
		else
			on_notice(who, (struct bytes){ buf, r.len });
	}
	if (got != RING_EMPTY)
		sim_fail(INVARIANT_arena, "the small ring of %s is corrupt", sim_who_name(who));
	if (some && voice[who].dies == SUP_TAKEN) {
		die(who, SUP_TAKEN);
		return;
	}
	publish(who, in);
}

static void speak(enum sim_who who)
{
	struct ring *out = sim_small_out(who);
	struct voice *v = &voice[who];
	bool some = v->count;

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
	if (some && v->dies == SUP_PUSHED)
		die(who, SUP_PUSHED);
	else
		publish(who, out);
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
		if (voice[i].asked - voice[i].answered > 8 || voice[i].back_ns)
			return;
	operator.left--;
	switch (sim_below(8)) {
	case 0: ask_new(HOSTD, REQUEST_STATUS); break;
	case 1: ask_new(GATTD, REQUEST_STATUS); break;
	case 2: ask_new(TRANSPORTD, REQUEST_STATUS); break;
	default: ask_new(GATTD, REQUEST_GATT_SET);
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
		enum sim_who who = (enum sim_who)i;

		if (voice[i].back_ns && voice[i].back_ns <= sim.now_ns)
			boot(who);
		if (!voice[i].back_ns)
			hear(who);
		if (!voice[i].back_ns)
			speak(who);
		if (!voice[i].back_ns)
			rest(who);
		else
			sim_operator_kick(voice[i].back_ns - sim.now_ns);
	}
}

bool sim_operator_idle(void)
{
	bool idle = !operator.left;

	for (unsigned i = 0; i < SIM_WORKERS; i++)
		idle = idle && !voice[i].back_ns && !voice[i].count && voice[i].asked == voice[i].answered;
	return idle;
}

uint64_t sim_operator_next(void)
{
	return operator.left && sim_operator_ready() ? min64(operator.kick_ns, operator.ask_ns) : operator.kick_ns;
}

bool sim_operator_ready(void) { return voice[HOSTD].ready && voice[GATTD].ready; }
