/* runtime/supervisor_small.c - the small link: configuration and requests to the worker, replies and notices back.
 *
 * Our own positions are the ones that our region shows: we alone write them.  What we had written and not yet shown when we
 * died was never there; what we had taken and not yet answered is asked for again by its client. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/supervisor_private.h"
#include "wire/wire.h"

static int on_bell(void *ctx, uint32_t revents)
{
	(void)revents;
	sup_small_pump(ctx);
	return 0;
}

int sup_small_open(struct supervisor *s)
{
	struct sup_small *m = &s->small;
	struct ring_region *mine = link_mine(&m->end);
	const struct ring_region *theirs = link_theirs(&m->end);

	m->generation = m->end.generation;
	m->out = ring_producer(mine, theirs, m->end.size, atomic_load_explicit(&mine->tail.pos, memory_order_relaxed));
	m->in = ring_consumer(mine, theirs, m->end.size, atomic_load_explicit(&mine->head.pos, memory_order_relaxed));
	m->broken = false;
	m->watch = loop_watch(s->loop, m->end.bell, POLLIN, LOOP_EDGE, on_bell, s);
	return m->watch < 0 ? m->watch : 0;
}

void sup_small_close(struct supervisor *s)
{
	loop_unwatch(s->loop, s->small.watch);
	s->small.watch = -1;
	link_end_close(&s->small.end);
	if (s->small.worker_region >= 0)
		close(s->small.worker_region);
	s->small.worker_region = -1;
	s->small.generation = 0;
	s->small.more = false;
	s->small.queue_len = 0;
}

/* ---- out ---- */
int sup_small_push(struct supervisor *s, struct record h, struct bytes payload)
{
	struct sup_small *m = &s->small;
	size_t need = sizeof h + payload.len;
	uint8_t *at;

	if (payload.len > ring_payload_max(SUP_SMALL_RING))
		return -EMSGSIZE;
	/* That a neighbour is lost finds room always: at most once for each link and life of ours. */
	if (m->queue_len + need > SUP_QUEUE_MAX && h.kind != RECORD_NEIGHBOUR_LOST)
		return -ENOBUFS;
	if (m->queue_len + need > m->queue_cap) {
		at = realloc(m->queue, 2 * m->queue_cap + need);
		if (!at)
			return -ENOMEM;
		m->queue = at;
		m->queue_cap = 2 * m->queue_cap + need;
	}
	h.len = (uint32_t)payload.len;
	h.time_ns = loop_now();
	memcpy(m->queue + m->queue_len, &h, sizeof h);
	if (payload.len)
		memcpy(m->queue + m->queue_len + sizeof h, payload.at, payload.len);
	m->queue_len += need;
	return 0;
}

static void broken(struct supervisor *s)
{
	log_error("small ring of the worker lies: worker ended, new link");
	s->small.broken = true;
	sup_worker_lied(s);
}

static void fill_ring(struct supervisor *s)
{
	struct sup_small *m = &s->small;
	size_t at = 0;
	struct record h;
	uint8_t *p;

	while (at < m->queue_len) {
		memcpy(&h, m->queue + at, sizeof h);
		p = ring_reserve(&m->out, h.len);
		if (!p)
			break;
		memcpy(p, m->queue + at + sizeof h, h.len);
		ring_push(&m->out, h);
		at += sizeof h + h.len;
	}
	if (at)
		memmove(m->queue, m->queue + at, m->queue_len - at);
	m->queue_len -= at;
	if (m->queue_len && ring_head_lies(&m->out))
		broken(s);
}

/* ---- in ---- */
static void on_notice(struct supervisor *s, const struct local_notice *n)
{
	switch (n->what) {
	case NOTICE_READY:
		s->ledger->ready = 1;
		sup_check_ready(s);
		break;
	case NOTICE_FAILED:
		log_error("cannot go on", LOG_TEXT("why", n->detail.at, n->detail.len), LOG_HEX("code", n->value));
		sup_end(s, 1);
		break;
	case NOTICE_EVENT:
		log_info("event", LOG_TEXT("detail", n->detail.at, n->detail.len));
		break;
	default:
		log_warn("unknown notice", LOG_UINT("what", n->what));
		break;
	}
}

static void on_record(struct supervisor *s, const struct record *h, struct bytes payload)
{
	struct local_notice n;

	if (h->kind == RECORD_REPLY)
		sup_on_reply(s, payload);
	else if (h->kind == RECORD_NOTICE && local_notice_decode(payload, &n))
		on_notice(s, &n);
	else
		log_warn("record not for a supervisor", LOG_UINT("kind", h->kind), LOG_UINT("len", h->len));
}

/* At most `most` records.  Returns how many. */
static unsigned take_some(struct supervisor *s, unsigned most)
{
	struct sup_small *m = &s->small;
	unsigned n = 0;
	struct record h;
	int r = 0;

	while (n < most && !(r = ring_take(&m->in, &h, m->buf, ring_payload_max(m->end.size)))) {
		on_record(s, &h, (struct bytes){ m->buf, h.len });
		n++;
	}
	if (r == RING_CORRUPT)
		broken(s);
	return n;
}

/* Both ways, until there is nothing or our share is done: a worker that never stops does not keep us from everybody else. */
void sup_small_pump(struct supervisor *s)
{
	struct sup_small *m = &s->small;
	unsigned left = SUP_SHARE;
	bool out, in;

	m->more = false;
	while (m->generation && !m->broken && !m->more) {
		fill_ring(s);
		left -= take_some(s, left);
		out = ring_publish(&m->out);
		in = ring_publish(&m->in);
		if (out || in)
			sup_kick(s, m->end.peer_bell);
		if (!m->broken && ring_sleep_empty(&m->in) && (!m->queue_len || ring_sleep_full(&m->out)))
			break;
		m->more = !left;
		left -= left != 0;	/* a round without a record counts as one, too */
	}
}

/* ---- configuration ---- */
int config_emit(struct config_sink *sink, uint8_t key, struct bytes value)
{
	uint8_t buf[SUP_SMALL_RING / 8];
	struct wr w = wr_into(buf, ring_payload_max(SUP_SMALL_RING));
	int r;

	local_config_encode(&(struct local_config){ key, value }, &w);
	r = wr_ok(&w) ? sup_small_push(sink->s, (struct record){ .kind = RECORD_CONFIG }, (struct bytes){ buf, wr_len(&w) }) : -EMSGSIZE;
	if (r && !sink->error)
		sink->error = r;
	return r;
}

int sup_configure(struct supervisor *s, bool reload)
{
	struct config_sink sink = { s, 0 };
	const uint8_t done = reload;
	unsigned said = log_errors();
	int r = 0;

	if (s->p->configure)
		r = s->p->configure(s->device, &sink);
	if (!r)
		r = sink.error;
	if (!r)
		r = config_emit(&sink, CONFIG_DONE, (struct bytes){ &done, 1 });
	if (r && log_errors() == said)
		log_error("configuration of the worker", LOG_ERRNO(r));
	sup_small_pump(s);
	return r;
}
