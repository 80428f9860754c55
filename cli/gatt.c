/* cli/gatt.c - `trefoil gatt set UUID|HANDLE HEX|-`: change a value of our own database; its subscribers are told.
 *
 * Each value is a request with an id of its own.  An answer that is lost (a daemon dies in between) is asked for again by the
 * same id over a new link: what was done is not done twice.  With `-` up to WINDOW values are under way; they are set in the
 * order of their lines. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "base/types.h"
#include "cli/client.h"
#include "wire/uuid.h"
#include "wire/wire.h"

enum { VALUE_MAX = 512, BODY_MAX = VALUE_MAX + 32, WINDOW = 16, RETRY_MS = 10000 };

struct pending { uint8_t id[CONTROL_ID_LEN], body[BODY_MAX]; size_t len; unsigned long line; };
struct stream {
	struct cli *cli;
	struct client client;
	struct uuid uuid;		/* len 0: by handle */
	uint16_t handle;
	struct pending at[WINDOW];	/* asked, not answered: first .. first + count - 1, oldest first */
	unsigned first, count;
	bool connected, answered, json;
	unsigned long line, done, failed;
};

/* What is to be set: "2A19" and longer are UUIDs; 0x-prefixed and short decimal numbers are handles. */
static bool parse_target(const char *text, struct stream *s)
{
	char *end;
	unsigned long n;

	if (strncmp(text, "0x", 2) && strlen(text) >= 4 && uuid_from_text(text, &s->uuid))
		return true;
	errno = 0;
	n = strtoul(text, &end, 0);
	if (errno || !*text || *end || !n || n > 0xFFFF || text[0] == '-')
		return false;
	s->uuid = (struct uuid){ 0 };
	s->handle = (uint16_t)n;
	return true;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
/* Hex digits, spaces and colons between octets; false: something else, half an octet, or too much. */
static bool parse_hex(const char *text, uint8_t *out, size_t *ret_len)
{
	size_t n = 0;

	for (; *text; text++) {
		if (*text == ' ' || *text == ':' || *text == '\n' || *text == '\r' || *text == '\t')
			continue;
		if (digit(text[0]) < 0 || digit(text[1]) < 0 || n == VALUE_MAX)
			return false;
		out[n++] = (uint8_t)(digit(text[0]) << 4 | digit(text[1]));
		text++;
	}
	*ret_len = n;
	return true;
}

static int send_pending(struct stream *s, struct pending *p)
{
	OperatorRequest m = CONTROL_INIT(OPERATOR_REQUEST);
	Frame f = CONTROL_FRAME(OPERATOR_REQUEST, operator_request, &m);

	m.id = (ProtobufCBinaryData){ sizeof p->id, p->id };
	m.verb = CONTROL_STR("gatt_set");
	m.body = (ProtobufCBinaryData){ p->len, p->body };
	return control_send(&s->client.link, &f, NULL, 0);
}

/* Dial, and ask again for everything that is not answered, in order.  A daemon that is coming back is waited for. */
static int reconnect(struct stream *s)
{
	struct timespec pause = { 0, 20 * 1000 * 1000 };
	int r = 0;

	for (int waited = 0;; waited += 20) {
		r = client_open(&s->client, s->cli, "gattd");
		for (unsigned i = 0; !r && i < s->count; i++)
			r = send_pending(s, &s->at[(s->first + i) % WINDOW]);
		if (!r) {
			s->connected = true;
			return 0;
		}
		client_close(&s->client);
		if (waited >= RETRY_MS || (r != -ECONNRESET && r != -EPIPE && r != -ECONNREFUSED && r != -ETIMEDOUT) || !s->connected)
			return r;
		nanosleep(&pause, NULL);
	}
}

static void report(struct stream *s, const struct pending *p, uint32_t result, const char *text)
{
	const char *why = *text ? text : "refused";

	if (result)
		s->failed++;
	else
		s->done++;
	if (s->json) {
		json_t *o = json_pack("{s:I, s:i}", "line", (json_int_t)p->line, "result", (int)result);

		if (result)
			json_object_set_new(o, "why", json_string(why));
		json_dumpf(o, stdout, 0);
		putchar('\n');
		json_decref(o);
	} else if (result) {
		cli_say(EXIT_FAILED, "gatt set: line %lu: %s", p->line, why);
	}
}
static int on_reply(void *self, struct control_in *in, const OperatorReply *m)
{
	struct stream *s = self;
	const struct pending *p = &s->at[s->first];

	(void)in;
	/* Answers come in the order of the questions; one to a question of a former link may come once more. */
	if (!s->count || m->id.len != sizeof p->id || memcmp(m->id.data, p->id, sizeof p->id) || !m->last)
		return 0;
	report(s, p, m->result, m->text);
	s->first = (s->first + 1) % WINDOW;
	s->count--;
	s->answered = true;
	return 0;
}

/* Wait for one answer more; a lost daemon is dialed again. */
static int await_answer(struct stream *s)
{
	int r;

	for (;;) {
		s->answered = false;
		r = client_await(&s->client, (struct control_handlers){ .on_operator_reply = on_reply }, s, &s->answered);
		if (r != -ECONNRESET && r != -EPIPE)
			return r;
		client_close(&s->client);
		r = reconnect(s);
		if (r)
			return r;
	}
}

static int ask(struct stream *s, const char *hex)
{
	struct pending *p = &s->at[(s->first + s->count) % WINDOW];
	struct request_gatt_set m = { .uuid_len = s->uuid.len, .handle = s->handle };
	uint8_t value[VALUE_MAX];
	size_t len;
	struct wr w;
	int r;

	s->line++;
	if (!parse_hex(hex, value, &len))
		return cli_say(-EINVAL, "gatt set: line %lu: expected at most %d octets in hex", s->line, VALUE_MAX);
	memcpy(m.uuid, s->uuid.at, sizeof m.uuid);
	m.value = (struct bytes){ value, len };
	w = wr_into(p->body, sizeof p->body);
	request_gatt_set_encode(&m, &w);
	if (!wr_ok(&w) || getrandom(p->id, sizeof p->id, 0) != sizeof p->id)
		return -EIO;
	p->len = wr_len(&w);
	p->line = s->line;
	s->count++;
	r = send_pending(s, p);
	if (r == -EPIPE || r == -ECONNRESET) {
		client_close(&s->client);
		r = reconnect(s);
	}
	return r;
}

static int set_all(struct stream *s, const char *hex)
{
	char *text = NULL;
	size_t cap = 0;
	int r = 0;

	if (strcmp(hex, "-")) {
		r = ask(s, hex);
	} else {
		while (!r && getline(&text, &cap, stdin) >= 0) {
			r = ask(s, text);
			while (!r && s->count == WINDOW)
				r = await_answer(s);
		}
		free(text);
	}
	while (!r && s->count)
		r = await_answer(s);
	return r;
}

int cli_gatt(struct cli *c, int argc, char **argv)
{
	struct stream *s;
	int r;

	if (argc != 4 || strcmp(argv[1], "set"))
		return cli_say(EXIT_USAGE, "gatt: expected: gatt set UUID|HANDLE HEX (or - to read one hex value a line)");
	s = calloc(1, sizeof *s);
	if (!s)
		return cli_say(EXIT_FAILED, "out of memory");
	s->cli = c;
	s->json = c->json;
	if (!parse_target(argv[2], s)) {
		free(s);
		return cli_say(EXIT_USAGE, "gatt set: \"%s\": expected a UUID (4, 8 or 32 hex digits) or a handle (0x0001 to 0xFFFF)", argv[2]);
	}
	r = reconnect(s);
	if (!r)
		r = set_all(s, argv[3]);
	if (r)
		r = r == -EINVAL ? EXIT_USAGE : client_complain(&s->client, r);
	else
		r = s->failed ? EXIT_FAILED : EXIT_DONE;
	client_close(&s->client);
	free(s);
	return r;
}
