/* cli/gatt_stream.c */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include "cli/gatt_stream.h"

enum { RETRY_MS = 10000, RETRY_STEP_MS = 20 };

static int send_request(struct gatt_stream *s, struct gatt_request *q)
{
	OperatorRequest m = CONTROL_INIT(OPERATOR_REQUEST);
	Frame f = CONTROL_FRAME(OPERATOR_REQUEST, operator_request, &m);

	m.id = (ProtobufCBinaryData){ sizeof q->id, q->id };
	m.verb = CONTROL_STR("gatt_set");
	m.body = (ProtobufCBinaryData){ q->len, q->body };
	return control_send(&s->client.link, &f, NULL, 0);
}

/* Is it worth dialing again? */
static bool passing(int r) { return r == -ECONNRESET || r == -EPIPE || r == -EAGAIN; }

/* Dial, and ask again for everything that is not answered, in order.  A daemon that is coming back is waited for. */
int gatt_stream_open(struct gatt_stream *s)
{
	struct timespec pause = { 0, RETRY_STEP_MS * 1000 * 1000 };
	int r;

	for (int waited = 0;; waited += RETRY_STEP_MS) {
		r = client_open(&s->client, s->cli, "gattd");
		for (unsigned i = 0; !r && i < s->count; i++) {
			struct gatt_request *q = &s->at[(s->first + i) % GATT_WINDOW];

			r = q->answered ? 0 : send_request(s, q);
		}
		if (!r) {
			s->connected = true;
			return 0;
		}
		client_close(&s->client);
		if (waited >= RETRY_MS || !s->connected || !(passing(r) || r == -ECONNREFUSED || r == -ETIMEDOUT))
			return r;
		nanosleep(&pause, NULL);
	}
}

static int on_reply(void *self, struct control_in *in, const OperatorReply *m)
{
	struct gatt_stream *s = self;
	struct gatt_request *q;

	(void)in;
	for (unsigned i = 0; i < s->count && m->last && m->id.len == CONTROL_ID_LEN; i++) {
		q = &s->at[(s->first + i) % GATT_WINDOW];
		if (q->answered || memcmp(m->id.data, q->id, CONTROL_ID_LEN))
			continue;
		q->answered = true;
		q->result = m->result;
		snprintf(q->why, sizeof q->why, "%s", m->text);
	}
	while (s->count && s->at[s->first].answered) {
		s->on_answer(s->ctx, &s->at[s->first]);
		s->first = (s->first + 1) % GATT_WINDOW;
		s->count--;
		s->progress = true;
	}
	return 0;
}

int gatt_stream_wait(struct gatt_stream *s, int other_fd)
{
	struct pollfd p[2] = { { .fd = s->client.link.fd, .events = POLLIN }, { .fd = other_fd, .events = POLLIN } };
	int r;

	s->progress = false;
	if (other_fd >= 0 && s->count) {
		r = poll(p, 2, CLIENT_TIMEOUT_MS);
		if (r > 0 && p[1].revents && !p[0].revents)
			return 0;
	}
	for (;;) {
		s->progress = false;
		r = s->count ? client_await(&s->client, (struct control_handlers){ .on_operator_reply = on_reply }, s, &s->progress) : 0;
		if (!passing(r))
			return r;
		client_close(&s->client);
		r = gatt_stream_open(s);
		if (r)
			return r;
	}
}

int gatt_stream_ask(struct gatt_stream *s, struct bytes body, unsigned long line)
{
	struct gatt_request *q = &s->at[(s->first + s->count) % GATT_WINDOW];
	int r;

	*q = (struct gatt_request){ .len = body.len, .line = line };
	if (body.len > sizeof q->body)
		return -EMSGSIZE;
	memcpy(q->body, body.at, body.len);
	if (getrandom(q->id, sizeof q->id, 0) != sizeof q->id)
		return -EIO;
	s->count++;
	r = send_request(s, q);
	if (!passing(r))
		return r;
	client_close(&s->client);
	return gatt_stream_open(s);
}
