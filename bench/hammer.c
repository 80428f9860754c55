/* bench/hammer.c - a central that works a Trefoil peripheral as fast as it can and judges each octet that comes back.
 *
 *   hammer counter   write a counter, read it back, next; each write is echoed by a notification
 *   hammer flood     write commands, as many under way as --window; each is echoed by a notification
 *
 * A second stream (--set) may come from `trefoil gatt set HANDLE -`.  Values are a 32-bit number, least significant octet
 * first, and in a flood octets up to --size.  Every number must come once and in order.
 * Ends after --seconds, or at SIGTERM or SIGINT, then waits for what is outstanding.  Prints one JSON object; exit 1 if anything
 * was lost, doubled, out of order or wrong. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/types.h"
#include "bench/central.h"
#include "bench/parts.h"
#include "wire/wire.h"

enum { MTU = 247, VALUE_MAX = 244, QUIET_MS = 3000, CONNECT_MS = 10000 };
enum phase { IDLE, WRITING, READING };

struct stream { uint16_t handle, cccd; uint32_t last; uint64_t count, lost, doubled; };
struct hammer {
	struct central central;
	const char *where, *mode;
	uint8_t peer[6], peer_type;
	uint16_t write;				/* handle */
	struct stream echo, set;
	unsigned window, size;
	double seconds;
	enum phase phase;
	uint32_t number;			/* last one written */
	uint64_t requests, responses, wrong, sent_us, worst_us, echo_us;
	uint8_t expect;				/* opcode of the answer that set-up waits for; 0: it came */
	char why[160];
};
static volatile sig_atomic_t stop;
static void on_signal(int sig) { (void)sig; stop = 1; }

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}
static uint32_t number_of(struct bytes v)
{
	struct rd r = rd_from(v);

	return (uint32_t)rd_le(&r, 4);
}
static void wrong(struct hammer *h, const char *what)
{
	if (!h->wrong++)
		snprintf(h->why, sizeof h->why, "%s (number %u)", what, h->number);
}

static void on_notified(struct hammer *h, struct stream *s, struct bytes value)
{
	uint32_t n = number_of(value);

	s->count++;
	if (value.len < 4)
		wrong(h, "short notification");
	else if (n <= s->last)
		s->doubled++;
	else
		s->lost += n - s->last - 1;
	s->last = MAX(s->last, n);
}

static void on_response(struct hammer *h, struct bytes pdu)
{
	uint64_t took = now_us() - h->sent_us;

	h->responses++;
	h->worst_us = MAX(h->worst_us, took);
	if (h->phase == WRITING && pdu.at[0] != ATT_WRITE_RESPONSE)
		wrong(h, "write not answered by Write Response");
	else if (h->phase == READING && (pdu.at[0] != ATT_READ_RESPONSE || pdu.len < 5 ||
	    number_of((struct bytes){ pdu.at + 1, pdu.len - 1 }) != h->number))
		wrong(h, "read does not give what was written");
	else if (h->phase == IDLE)
		wrong(h, "a response that nobody asked for");
	h->phase = h->phase == WRITING ? READING : IDLE;
}

static void on_att(void *ctx, struct bytes pdu)
{
	struct att_handle_value_notification n;
	struct hammer *h = ctx;

	if (!pdu.len)
		return wrong(h, "empty PDU");
	if (pdu.at[0] == ATT_HANDLE_VALUE_NOTIFICATION) {
		if (!att_handle_value_notification_decode((struct bytes){ pdu.at + 1, pdu.len - 1 }, &n))
			return wrong(h, "malformed notification");
		if (n.handle == h->echo.handle)
			on_notified(h, &h->echo, n.value);
		else if (n.handle == h->set.handle)
			on_notified(h, &h->set, n.value);
		else
			wrong(h, "notification of another handle");
	} else if (h->expect) {
		if (pdu.at[0] != h->expect)
			wrong(h, "set-up was refused");
		h->expect = 0;
	} else {
		on_response(h, pdu);
	}
}

static void send_pdu(struct hammer *h, uint8_t opcode, uint16_t handle, uint32_t number, unsigned size)
{
	uint8_t pdu[VALUE_MAX + 3] = { 0 };
	struct wr w = wr_into(pdu, sizeof pdu);

	wr_le(&w, opcode, 1);
	wr_le(&w, handle, 2);
	if (size)
		wr_le(&w, number, 4);
	central_send_att(&h->central, (struct bytes){ pdu, 3 + size });
}

static int ask(struct hammer *h, uint8_t answer, struct bytes pdu)
{
	int r = 0;

	h->expect = answer;
	central_send_att(&h->central, pdu);
	for (uint64_t until = now_us() + QUIET_MS * 1000; h->expect && !r && now_us() < until;)
		r = central_turn(&h->central, 100);
	return r ? r : h->expect ? -ETIMEDOUT : h->wrong ? -EPROTO : 0;
}
static int set_up(struct hammer *h)
{
	int r;

	r = ask(h, ATT_EXCHANGE_MTU_RESPONSE, (struct bytes){ (uint8_t[]){ ATT_EXCHANGE_MTU_REQUEST, MTU, 0 }, 3 });
	for (struct stream *s = &h->echo; !r && s; s = s == &h->echo ? &h->set : NULL)
		if (s->cccd)
			r = ask(h, ATT_WRITE_RESPONSE,
			    (struct bytes){ (uint8_t[]){ ATT_WRITE_REQUEST, (uint8_t)s->cccd, (uint8_t)(s->cccd >> 8), 1, 0 }, 5 });
	return r;
}

/* As much as may go now.  False: nothing more is to come, and all has come back. */
static bool push(struct hammer *h, bool last)
{
	if (!strcmp(h->mode, "flood")) {
		while (!last && h->number - h->echo.last < h->window && central_may_send(&h->central, h->size + 3u)) {
			send_pdu(h, ATT_WRITE_COMMAND, h->write, ++h->number, h->size);
			h->requests++;
		}
		return !last || h->echo.last < h->number;
	}
	if (!central_may_send(&h->central, VALUE_MAX))
		return true;
	if (h->phase == IDLE && !last) {
		send_pdu(h, ATT_WRITE_REQUEST, h->write, ++h->number, 4);
		h->phase = WRITING;
	} else if (h->phase == READING && h->requests % 2) {
		send_pdu(h, ATT_READ_REQUEST, h->write, 0, 0);
	} else {
		return h->phase != IDLE || (h->echo.handle && h->echo.last < h->number);
	}
	h->requests++;
	h->sent_us = now_us();
	return true;
}

static int work(struct hammer *h)
{
	uint64_t start = now_us(), end = start + (uint64_t)(h->seconds * 1e6), quiet = 0;
	bool more = true;
	int r = 0;

	while (!r && more) {
		bool last = stop || (h->seconds > 0 && now_us() >= end);

		quiet = last && !quiet ? now_us() + QUIET_MS * 1000 : quiet;
		more = push(h, last);
		if (quiet && now_us() > quiet) {
			if (more)
				wrong(h, "something outstanding never came");
			break;
		}
		if (!h->central.connected)
			return -ENOTCONN;
		if (more)
			r = central_turn(&h->central, 100);
	}
	h->echo_us = now_us() - start;
	return r;
}

static json_t *stream_report(const struct stream *s)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "notifications", (json_int_t)s->count, "last", (json_int_t)s->last, "lost",
	    (json_int_t)s->lost, "doubled", (json_int_t)s->doubled);
}
static bool report(const struct hammer *h, int r)
{
	bool good = !r && !h->wrong && !h->echo.lost && !h->echo.doubled && !h->set.lost && !h->set.doubled && !*h->central.broken;
	json_t *o = json_pack("{s:b, s:s, s:I, s:I, s:I, s:s, s:s, s:o, s:o, s:I, s:I, s:i}", "good", good, "mode", h->mode,
	    "requests", (json_int_t)h->requests, "responses", (json_int_t)h->responses, "wrong", (json_int_t)h->wrong,
	    "why", r && !*h->why ? strerror(-r) : h->why, "broken", h->central.broken, "echo", stream_report(&h->echo),
	    "set", stream_report(&h->set), "worst_us", (json_int_t)h->worst_us, "took_us", (json_int_t)h->echo_us,
	    "disconnect_reason", h->central.disconnect_reason);

	json_dumpf(o, stdout, 0);
	putchar('\n');
	json_decref(o);
	return good;
}

static bool parse_address(const char *text, uint8_t a[6], uint8_t *type)
{
	unsigned v[6];
	int end = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[5], &v[4], &v[3], &v[2], &v[1], &v[0], &end) != 6)
		return false;
	for (unsigned i = 0; i < 6; i++)
		a[i] = (uint8_t)v[i];
	*type = strcmp(text + end, "/P") ? ADDRESS_RANDOM : ADDRESS_PUBLIC;
	return !text[end] || *type == ADDRESS_PUBLIC;
}

static bool parse(struct hammer *h, int argc, char **argv)
{
	static const struct option options[] = {
		{ "air", 1, NULL, 'a' }, { "peer", 1, NULL, 'p' }, { "write", 1, NULL, 'w' }, { "echo", 1, NULL, 'e' },
		{ "echo-cccd", 1, NULL, 'E' }, { "set", 1, NULL, 's' }, { "set-cccd", 1, NULL, 'S' }, { "seconds", 1, NULL, 't' },
		{ "window", 1, NULL, 'n' }, { "size", 1, NULL, 'z' }, { NULL, 0, NULL, 0 },
	};
	bool good = true, peer = false;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint16_t number = (uint16_t)strtoul(optarg ? optarg : "", NULL, 0);

		switch (o) {
		case 'a': h->where = optarg; break;
		case 'p': peer = parse_address(optarg, h->peer, &h->peer_type); break;
		case 'w': h->write = number; break;
		case 'e': h->echo.handle = number; break;
		case 'E': h->echo.cccd = number; break;
		case 's': h->set.handle = number; break;
		case 'S': h->set.cccd = number; break;
		case 't': h->seconds = atof(optarg); break;
		case 'n': h->window = number; break;
		case 'z': h->size = number; break;
		default: good = false;
		}
	}
	h->mode = optind + 1 == argc ? argv[optind] : "";
	return good && peer && h->where && h->write && h->window && h->size >= 4 && h->size <= VALUE_MAX &&
	    (!strcmp(h->mode, "counter") || (!strcmp(h->mode, "flood") && h->echo.handle));
}

int hammer_main(int argc, char **argv)
{
	static struct hammer h = { .central.fd = -1, .window = 6, .size = VALUE_MAX };
	struct sigaction act = { .sa_handler = on_signal };
	bool good;
	int r;

	if (!parse(&h, argc, argv)) {
		fprintf(stderr, "usage: hammer counter|flood --air PATH|HOST:PORT --peer ADDR[/P] --write HANDLE [--echo HANDLE --echo-cccd HANDLE]\n"
		    "              [--set HANDLE --set-cccd HANDLE] [--seconds S] [--window N] [--size OCTETS]\n");
		return 2;
	}
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	h.central.on_att = on_att;
	h.central.ctx = &h;
	r = central_open(&h.central, h.where);
	if (!r)
		r = central_connect(&h.central, h.peer, h.peer_type, CONNECT_MS);
	if (!r)
		r = set_up(&h);
	if (!r) {
		fputs("working\n", stderr);
		r = work(&h);
	}
	good = report(&h, r);
	if (!r)
		central_disconnect(&h.central);
	central_close(&h.central);
	return good ? 0 : 1;
}
