/* cli/gatt.c - `trefoil gatt set UUID|HANDLE HEX|-`: change a value of our own database; its subscribers are told.
 *
 * With `-` each line of standard input is a value, set in the order of the lines; answers are told as they come. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/gatt_stream.h"
#include "wire/uuid.h"
#include "wire/wire.h"

enum { VALUE_MAX = 512, LINE_MAX_OCTETS = 4096, GATT_E_USAGE = 1 };

struct setting {
	struct gatt_stream stream;
	struct uuid uuid;		/* len 0: by handle */
	uint16_t handle;
	bool json;
	unsigned long line, failed;
	char in[LINE_MAX_OCTETS];	/* read from standard input, not yet a line */
	size_t in_len;
	bool in_over;
};

/* What is to be set: "2A19" and longer are UUIDs; 0x-prefixed and short decimal numbers are handles. */
static bool parse_target(const char *text, struct setting *s)
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
		if (*text == ' ' || *text == ':' || *text == '\r' || *text == '\t')
			continue;
		if (digit(text[0]) < 0 || digit(text[1]) < 0 || n == VALUE_MAX)
			return false;
		out[n++] = (uint8_t)(digit(text[0]) << 4 | digit(text[1]));
		text++;
	}
	*ret_len = n;
	return true;
}

static void on_answer(void *ctx, const struct gatt_request *q)
{
	struct setting *s = ctx;
	const char *why = *q->why ? q->why : "refused";

	s->failed += q->result != 0;
	if (s->json) {
		json_t *o = json_pack("{s:I, s:i}", "line", (json_int_t)q->line, "result", (int)q->result);

		if (q->result)
			json_object_set_new(o, "why", json_string(why));
		json_dumpf(o, stdout, 0);
		putchar('\n');
		fflush(stdout);
		json_decref(o);
	} else if (q->result) {
		cli_say(EXIT_FAILED, "gatt set: line %lu: %s", q->line, why);
	}
}

/* Returns 0; GATT_E_USAGE: said; -errno. */
static int set_one(struct setting *s, const char *hex)
{
	struct request_gatt_set m = { .uuid_len = s->uuid.len, .handle = s->handle };
	uint8_t value[VALUE_MAX], body[GATT_BODY_MAX];
	struct wr w = wr_into(body, sizeof body);
	size_t len;
	int r = 0;

	s->line++;
	if (!parse_hex(hex, value, &len)) {
		cli_say(EXIT_USAGE, "gatt set: line %lu: expected at most %d octets in hex", s->line, VALUE_MAX);
		return GATT_E_USAGE;
	}
	memcpy(m.uuid, s->uuid.at, sizeof m.uuid);
	m.value = (struct bytes){ value, len };
	request_gatt_set_encode(&m, &w);
	while (!r && gatt_stream_full(&s->stream))
		r = gatt_stream_wait(&s->stream, -1);
	return r ? r : gatt_stream_ask(&s->stream, (struct bytes){ body, wr_len(&w) }, s->line);
}

/* A line of standard input into `line`, and out of the buffer; false: none is whole yet. */
static bool cut_line(struct setting *s, char line[LINE_MAX_OCTETS])
{
	char *end = memchr(s->in, '\n', s->in_len);
	size_t n = end ? (size_t)(end - s->in) : s->in_len;

	if (!end && (!s->in_over || !s->in_len) && s->in_len < sizeof s->in - 1)
		return false;
	memcpy(line, s->in, n);
	line[n] = '\0';
	n += end != NULL;
	memmove(s->in, s->in + n, s->in_len - n);
	s->in_len -= n;
	return true;
}

static int set_lines(struct setting *s)
{
	char line[LINE_MAX_OCTETS];
	ssize_t n;
	int r = 0;

	while (!r) {
		while (!r && cut_line(s, line))
			r = set_one(s, line);
		if (r || s->in_over)
			break;
		r = gatt_stream_wait(&s->stream, STDIN_FILENO);
		if (s->stream.progress)		/* answers came; is there input as well?  look again */
			continue;
		n = r ? 0 : read(STDIN_FILENO, s->in + s->in_len, sizeof s->in - 1 - s->in_len);
		s->in_len += n > 0 ? (size_t)n : 0;
		s->in_over = n <= 0;
	}
	return r;
}

int cli_gatt(struct cli *c, int argc, char **argv)
{
	struct setting *s;
	int r;

	if (argc != 4 || strcmp(argv[1], "set"))
		return cli_say(EXIT_USAGE, "gatt: expected: gatt set UUID|HANDLE HEX (or - to read one hex value a line)");
	s = calloc(1, sizeof *s);
	if (!s)
		return cli_say(EXIT_FAILED, "out of memory");
	s->json = c->json;
	s->stream = (struct gatt_stream){ .cli = c, .on_answer = on_answer, .ctx = s };
	if (!parse_target(argv[2], s)) {
		free(s);
		return cli_say(EXIT_USAGE, "gatt set: \"%s\": expected a UUID (4, 8 or 32 hex digits) or a handle (0x0001 to 0xFFFF)", argv[2]);
	}
	r = gatt_stream_open(&s->stream);
	if (!r)
		r = strcmp(argv[3], "-") ? set_one(s, argv[3]) : set_lines(s);
	while (r >= 0 && s->stream.count) {	/* what was asked before a bad line is still told */
		int waited = gatt_stream_wait(&s->stream, -1);

		r = waited ? waited : r;
	}
	if (r)
		r = r == GATT_E_USAGE ? EXIT_USAGE : client_complain(&s->stream.client, r);
	else
		r = s->failed ? EXIT_FAILED : EXIT_DONE;
	client_close(&s->stream.client);
	free(s);
	return r;
}
