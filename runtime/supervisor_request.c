/* runtime/supervisor_request.c - operators' requests to the core and its replies; status. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "runtime/supervisor_private.h"
#include "wire/wire.h"

enum { REASON_MAX = 96 };

static struct sup_pending *pending_find(struct supervisor *s, const uint8_t *id)
{
	for (unsigned i = 0; i < SUP_PENDING; i++)
		if (s->pending[i].conn && !memcmp(s->pending[i].id, id, CONTROL_ID_LEN))
			return &s->pending[i];
	return NULL;
}

static struct sup_pending *pending_new(struct supervisor *s, const uint8_t *id)
{
	struct sup_pending *p = pending_find(s, id);

	for (unsigned i = 0; !p && i < SUP_PENDING; i++)
		if (!s->pending[i].conn || !sup_conn_find(s, s->pending[i].conn))
			p = &s->pending[i];
	return p;
}

/* The frame that asks the core.  The payload is kept in `body` of the request alone: a lost one is asked again by its client. */
static int ask_core(struct supervisor *s, const uint8_t *id, uint8_t verb, struct bytes body)
{
	uint8_t buf[SUP_SMALL_RING / 8];
	struct wr w = wr_into(buf, ring_payload_max(SUP_SMALL_RING));
	struct local_request m = { .verb = verb, .body = body };
	int r;

	memcpy(m.id, id, sizeof m.id);
	local_request_encode(&m, &w);
	if (!wr_ok(&w))
		return -EMSGSIZE;
	r = sup_small_push(s, (struct record){ .kind = RECORD_REQUEST }, (struct bytes){ buf, wr_len(&w) });
	if (!r)
		sup_small_pump(s);
	return r;
}

static const struct wire_message *verb_find(const char *name)
{
	for (const struct wire_message *m = request_messages; m->name; m++)
		if (!strcmp(m->name, name))
			return m;
	return NULL;
}

void sup_request(struct supervisor *s, struct sup_conn *c, uint64_t serial, const OperatorRequest *m)
{
	const struct wire_message *verb = verb_find(m->verb);
	struct sup_pending *p;
	int r;

	if (m->id.len != CONTROL_ID_LEN || !verb) {
		sup_conn_sent(c, control_fail(&c->link, serial, -EINVAL, verb ? "a request id has 16 octets" : "unknown verb"));
		return;
	}
	p = pending_new(s, m->id.data);
	if (!p) {
		sup_conn_sent(c, control_fail(&c->link, serial, -EBUSY, "too many requests are waiting"));
		return;
	}
	*p = (struct sup_pending){ .conn = c->number, .serial = serial };
	memcpy(p->id, m->id.data, CONTROL_ID_LEN);
	r = ask_core(s, p->id, (uint8_t)verb->code, (struct bytes){ m->body.data, m->body.len });
	if (r) {
		p->conn = 0;
		sup_conn_sent(c, control_fail(&c->link, serial, r, r == -EMSGSIZE ? "request too long" : "the worker is too far behind"));
	}
}

/* ---- status ---- */
struct status_build {
	Status m;
	LinkStatus link[STEP_LINKS], *links[STEP_LINKS];
	char name[STEP_LINKS][64];
};

static void fill_link(const struct supervisor *s, unsigned l, LinkStatus *m)
{
	const struct sup_link *k = &s->link[l];
	uint64_t head, tail;

	m->generation = k->end.generation;
	m->records = atomic_load_explicit(&s->stats->shell[SHELL_records_sup + l], memory_order_relaxed);
	m->size = k->end.size;
	m->state = CONTROL_STR(k->lost ? "lost" : !k->conn ? "waiting" : k->settled ? "up" : "starting");
	if (!k->end.generation)
		return;
	head = atomic_load_explicit(&link_mine(&k->end)->head.pos, memory_order_relaxed);
	tail = atomic_load_explicit(&link_theirs(&k->end)->tail.pos, memory_order_relaxed);
	m->fill = tail - head <= k->end.size ? tail - head : 0;
}

static void fill_status(const struct supervisor *s, struct status_build *b)
{
	b->m = (Status)CONTROL_INIT(STATUS);
	b->m.name = CONTROL_STR(s->p->name);
	b->m.pid = (uint32_t)getpid();
	b->m.worker_pid = s->worker.state == WORKER_NONE ? 0 : (uint32_t)s->worker.pid;
	b->m.state = CONTROL_STR(sup_state(s));
	b->m.restarts = ledger_restarts(s->ledger);
	b->m.uptime_ms = (loop_now() - s->ledger->since_ns) / 1000000;
	b->m.worker_uid = geteuid() ? (uint32_t)geteuid() : s->ledger->worker_uid;
	b->m.isolation = CONTROL_STR(!geteuid() && b->m.worker_uid ? "distinct uids, sandbox" : "one uid: sandbox only");
	b->m.strikes = s->ledger->strikes.total;
	b->m.quarantined = s->ledger->strikes.quarantined;
	b->m.last_outage_us = s->worker.outage_us;
	b->m.takeovers = s->ledger->takeovers;
	b->m.takeovers_refused = s->ledger->takeovers_refused;
	b->m.links = b->links;
	for (unsigned l = LINK_UP; l < STEP_LINKS; l++) {
		if (!s->link[l].name)
			continue;
		b->link[l] = (LinkStatus)CONTROL_INIT(LINK_STATUS);
		sup_link_name(s, l, b->name[l], sizeof b->name[l]);
		b->link[l].name = b->name[l];
		fill_link(s, l, &b->link[l]);
		b->links[b->m.n_links++] = &b->link[l];
	}
}

static void send_status(struct supervisor *s, struct sup_conn *c, uint64_t serial, struct bytes core)
{
	struct status_build b;
	Frame f;

	fill_status(s, &b);
	b.m.last = true;
	b.m.core.data = (uint8_t *)(uintptr_t)core.at;
	b.m.core.len = core.len;
	f = (Frame)CONTROL_FRAME(STATUS, status, &b.m);
	f.serial = serial;
	sup_conn_sent(c, control_send(&c->link, &f, NULL, 0));
}

void sup_status(struct supervisor *s, struct sup_conn *c, uint64_t serial)
{
	static const uint8_t first[2];
	struct sup_pending *p;
	uint8_t id[CONTROL_ID_LEN];

	if (s->worker.state == WORKER_RUNNING && getrandom(id, sizeof id, 0) == sizeof id) {
		p = pending_new(s, id);
		if (p) {
			*p = (struct sup_pending){ .conn = c->number, .serial = serial, .status = true };
			memcpy(p->id, id, sizeof id);
			p->deadline_ns = loop_now() + SUP_STATUS_MS * 1000000ull;
			if (!s->timer[TIMER_STATUS])
				s->timer[TIMER_STATUS] = p->deadline_ns;
			if (!ask_core(s, id, REQUEST_STATUS, (struct bytes){ first, sizeof first }))
				return;
			p->conn = 0;
		}
	}
	send_status(s, c, serial, (struct bytes){ 0 });
}

/* The core did not say its part in time (it is being brought back, or has too much to do): ours is told alone. */
void sup_status_timeout(struct supervisor *s)
{
	uint64_t now = loop_now();

	for (unsigned i = 0; i < SUP_PENDING; i++) {
		struct sup_pending *p = &s->pending[i];
		struct sup_conn *c = p->conn && p->status ? sup_conn_find(s, p->conn) : NULL;

		if (!c)
			continue;
		if (p->deadline_ns > now) {
			if (!s->timer[TIMER_STATUS] || p->deadline_ns < s->timer[TIMER_STATUS])
				s->timer[TIMER_STATUS] = p->deadline_ns;
			continue;
		}
		p->conn = 0;
		send_status(s, c, p->serial, (struct bytes){ 0 });
	}
}

/* The reason that a refusal carries (reply.def, GATT_REFUSED), as text that a terminal can be given; NULL: none. */
static const char *reason_of(struct bytes body, char out[REASON_MAX])
{
	size_t n = 0;

	while (n < body.len && n < REASON_MAX - 1 && body.at[n] >= ' ' && body.at[n] <= '~') {
		out[n] = (char)body.at[n];
		n++;
	}
	out[n] = '\0';
	return n ? out : NULL;
}

void sup_on_reply(struct supervisor *s, struct bytes body)
{
	char reason[REASON_MAX];
	struct local_reply m;
	struct sup_pending *p;
	struct sup_conn *c;
	uint64_t serial;

	if (!local_reply_decode(body, &m)) {
		log_warn("reply of the worker is malformed", LOG_UINT("len", body.len));
		return;
	}
	p = pending_find(s, m.id);
	c = p ? sup_conn_find(s, p->conn) : NULL;
	if (!c)
		return;		/* its client has gone; it may ask again */
	serial = p->serial;
	p->conn = 0;
	if (p->status) {
		send_status(s, c, serial, m.body);
		s->timer[TIMER_STATUS] = 0;
		sup_status_timeout(s);		/* the timer of the next one, if there is one */
	} else
		sup_conn_sent(c, control_reply(&c->link, serial, (struct bytes){ m.id, sizeof m.id }, m.result,
		    m.result ? reason_of(m.body, reason) : NULL, m.body));
}

/* The small link was made anew: what it held is gone with it.  Their clients ask again, by the same id. */
void sup_requests_again(struct supervisor *s)
{
	for (unsigned i = 0; i < SUP_PENDING; i++) {
		struct sup_pending *p = &s->pending[i];
		struct sup_conn *c = p->conn ? sup_conn_find(s, p->conn) : NULL;
		uint64_t serial = p->serial;

		p->conn = 0;
		if (c && p->status)
			send_status(s, c, serial, (struct bytes){ 0 });
		else if (c)
			sup_conn_sent(c, control_fail(&c->link, serial, -EAGAIN, "the worker was started cold: ask again"));
	}
}
