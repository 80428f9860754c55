/* cli/status_core.c - what a daemon and its core answer to a status request. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include "base/types.h"
#include "cli/status.h"
#include "wire/wire.h"

enum { RETRY_MS = 5000, PAGES_MAX = 64 };

struct asking { struct daemon_status *d; bool done; };

static json_t *address(const uint8_t a[6], unsigned type)
{
	char text[32];

	snprintf(text, sizeof text, "%02X:%02X:%02X:%02X:%02X:%02X%s", a[5], a[4], a[3], a[2], a[1], a[0],
	    type == ADDRESS_RANDOM || type == ADDRESS_RANDOM_IDENTITY ? "" : "/P");
	return json_string(text);
}

/* Rows have one size each: the rest of a page is cut by encoding what was decoded and looking how long that is. */
static uint16_t host_page(struct daemon_status *d, const struct reply_host_status *m)
{
	struct reply_host_connection c;
	struct rd r = rd_from(m->connections);
	uint8_t row[64];
	struct wr w = wr_into(row, sizeof row);

	memset(&c, 0, sizeof c);
	reply_host_connection_encode(&c, &w);
	if (!d->controller)
		d->controller = json_pack("{s:o, s:i, s:i, s:o, s:b, s:b}", "address", address(m->address, ADDRESS_PUBLIC),
		    "manufacturer", m->company, "version", m->hci_version, "own_address", address(m->own, m->own_type),
		    "up", m->state == 2, "advertising", m->advertising != 0);
	while (rd_left(&r) >= wr_len(&w) && reply_host_connection_decode(rd_take(&r, wr_len(&w)), &c))
		json_array_append_new(d->rows, json_pack("{s:i, s:i, s:i, s:o, s:s, s:s, s:b}", "index", c.index, "generation",
		    c.generation, "handle", c.handle, "peer", address(c.peer, c.peer_type), "transport",
		    c.transport == TRANSPORT_LE ? "le" : "br/edr", "role", c.role == ROLE_CENTRAL ? "central" : "peripheral",
		    "encrypted", c.encrypted != 0));
	return m->next;
}
static uint16_t gatt_page(struct daemon_status *d, const struct reply_gatt_status *m)
{
	struct reply_gatt_bearer b;
	struct rd r = rd_from(m->bearers);
	uint8_t row[64];
	struct wr w = wr_into(row, sizeof row);

	memset(&b, 0, sizeof b);
	reply_gatt_bearer_encode(&b, &w);
	while (rd_left(&r) >= wr_len(&w) && reply_gatt_bearer_decode(rd_take(&r, wr_len(&w)), &b))
		json_array_append_new(d->rows, json_pack("{s:i, s:i, s:i, s:i}", "index", b.index, "generation", b.generation,
		    "mtu", b.mtu, "subscriptions", b.subscriptions));
	return m->next;
}

uint16_t status_decode(struct daemon_status *d, struct bytes core)
{
	struct reply_host_status host;
	struct reply_gatt_status gatt;

	if (!strcmp(d->name, "hostd") && reply_host_status_decode(core, &host))
		return host_page(d, &host);
	if (!strcmp(d->name, "gattd") && reply_gatt_status_decode(core, &gatt))
		return gatt_page(d, &gatt);
	return 0;
}

static void keep_core(struct daemon_status *d, ProtobufCBinaryData data)
{
	d->core_len = MIN(data.len, sizeof d->core);
	if (d->core_len)
		memcpy(d->core, data.data, d->core_len);
}

static int on_status(void *self, struct control_in *in, const Status *m)
{
	struct asking *a = self;
	struct daemon_status *d = a->d;

	(void)in;
	d->pid = m->pid;
	d->worker_pid = m->worker_pid;
	d->restarts = m->restarts;
	d->strikes = m->strikes;
	d->quarantined = m->quarantined;
	d->takeovers = m->takeovers;
	d->takeovers_refused = m->takeovers_refused;
	d->worker_uid = m->worker_uid;
	d->uptime_ms = m->uptime_ms;
	d->last_outage_us = m->last_outage_us;
	snprintf(d->state, sizeof d->state, "%s", m->state);
	snprintf(d->isolation, sizeof d->isolation, "%s", m->isolation);
	for (size_t i = 0; i < m->n_links; i++)
		json_array_append_new(d->links, json_pack("{s:s, s:i, s:I, s:I, s:s}", "name", m->links[i]->name, "generation",
		    (int)m->links[i]->generation, "records", (json_int_t)m->links[i]->records, "fill", (json_int_t)m->links[i]->fill,
		    "state", m->links[i]->state));
	keep_core(d, m->core);
	a->done = m->last;
	return 0;
}
static int on_page(void *self, struct control_in *in, const OperatorReply *m)
{
	struct asking *a = self;

	(void)in;
	keep_core(a->d, m->body);
	a->done = true;
	return 0;
}

static int ask_page(struct client *c, struct asking *a, uint16_t first)
{
	OperatorRequest m = CONTROL_INIT(OPERATOR_REQUEST);
	Frame f = CONTROL_FRAME(OPERATOR_REQUEST, operator_request, &m);
	uint8_t id[CONTROL_ID_LEN], body[2] = { (uint8_t)first, (uint8_t)(first >> 8) };
	int r;

	if (getrandom(id, sizeof id, 0) != sizeof id)
		return -EIO;
	m.id = (ProtobufCBinaryData){ sizeof id, id };
	m.verb = CONTROL_STR("status");
	m.body = (ProtobufCBinaryData){ sizeof body, body };
	a->done = false;
	r = control_send(&c->link, &f, NULL, 0);
	return r ? r : client_await(c, (struct control_handlers){ .on_operator_reply = on_page }, a, &a->done);
}

static int ask_once(struct daemon_status *d, const struct cli *cli)
{
	StatusRequest m = CONTROL_INIT(STATUS_REQUEST);
	Frame f = CONTROL_FRAME(STATUS_REQUEST, status_request, &m);
	struct asking a = { .d = d };
	struct client c;
	uint16_t next;
	int r;

	r = client_open(&c, cli, d->name);
	if (!r)
		r = control_send(&c.link, &f, NULL, 0);
	if (!r)
		r = client_await(&c, (struct control_handlers){ .on_status = on_status }, &a, &a.done);
	for (unsigned page = 0; !r && page < PAGES_MAX; page++) {
		next = status_decode(d, (struct bytes){ d->core, d->core_len });
		if (!next)
			break;
		r = ask_page(&c, &a, next);
	}
	client_close(&c);
	return r;
}

/* A daemon that dies while it is asked is asked again: it is back at once. */
int status_ask(struct daemon_status *d, const struct cli *cli)
{
	struct timespec pause = { 0, 10 * 1000 * 1000 };
	int r;

	for (int waited = 0;; waited += 10) {
		json_decref(d->links);
		json_decref(d->rows);
		json_decref(d->controller);
		d->links = json_array();
		d->rows = json_array();
		d->controller = NULL;
		r = ask_once(d, cli);
		d->there = !r;
		if ((r != -ECONNRESET && r != -EPIPE) || waited >= RETRY_MS)
			return r;
		nanosleep(&pause, NULL);
	}
}
