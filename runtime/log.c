/* runtime/log.c - formats by hand: the sandboxed worker's log must not depend on locale, files or malloc. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/types.h"
#include "runtime/log.h"

static const char *log_name = "trefoil";
static bool log_journal;
static enum log_level log_most = LOG_INFO;
static unsigned log_error_count;

static const struct { const char *text, *priority; } levels[LOG_LEVELS] = {
	[LOG_ERROR] = { "error", "<3>" }, [LOG_WARN] = { "warn", "<4>" },
	[LOG_INFO] = { "info", "<6>" }, [LOG_DEBUG] = { "debug", "<7>" },
};

struct line { char *at; size_t cap, len; };

static void put(struct line *l, const char *text, size_t len)
{
	len = MIN(len, l->cap - l->len);
	memcpy(l->at + l->len, text, len);
	l->len += len;
}
static void put_text(struct line *l, const char *text) { put(l, text, strlen(text)); }

static void put_octet(struct line *l, uint8_t v)
{
	static const char digits[] = "0123456789ABCDEF";

	put(l, (char[]){ digits[v >> 4], digits[v & 15] }, 2);
}

static void put_uint(struct line *l, uint64_t v)
{
	char t[24];

	put(l, t, (size_t)snprintf(t, sizeof t, "%llu", (unsigned long long)v));
}

static bool is_word(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] > '~' || strchr("\"\\=", s[i]))
			return false;
	return len != 0;
}

/* Quoted unless it is one plain word; octets that could end a line, a quote or a terminal's mood are escaped. */
static void put_quoted(struct line *l, const char *s, size_t len)
{
	if (is_word(s, len)) {
		put(l, s, len);
		return;
	}
	put(l, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '"' || c == '\\') {
			put(l, (char[]){ '\\', (char)c }, 2);
		} else if (c < ' ' || c > '~') {
			put(l, "\\x", 2);
			put_octet(l, c);
		} else {
			put(l, (char *)&c, 1);
		}
	}
	put(l, "\"", 1);
}

static void put_hex(struct line *l, uint64_t v)
{
	unsigned octets = v > UINT32_MAX ? 8 : v > UINT16_MAX ? 4 : 2;

	put(l, "0x", 2);
	while (octets--)
		put_octet(l, (uint8_t)(v >> 8 * octets));
}

static void put_addr(struct line *l, const uint8_t *at)
{
	for (unsigned i = 6; i-- > 0; ) {
		put_octet(l, at[i]);
		if (i)
			put(l, ":", 1);
	}
}

static void put_errno(struct line *l, int64_t r)
{
	int e = (int)(r < 0 ? -r : r);
	const char *text = strerrordesc_np(e);

	put_uint(l, (uint64_t)e);
	put_text(l, " why=");
	put_quoted(l, text ? text : "?", strlen(text ? text : "?"));
}

static void put_field(struct line *l, const struct log_field *f)
{
	if (f->kind == LOG_NONE)
		return;
	put(l, " ", 1);
	put_text(l, f->name);
	put(l, "=", 1);
	switch (f->kind) {
	case LOG_K_UINT: put_uint(l, f->u); break;
	case LOG_K_INT:
		if (f->i < 0)
			put(l, "-", 1);
		put_uint(l, f->i < 0 ? -(uint64_t)f->i : (uint64_t)f->i);
		break;
	case LOG_K_HEX: put_hex(l, f->u); break;
	case LOG_K_ERRNO: put_errno(l, f->i); break;
	case LOG_K_ADDR: put_addr(l, f->p); break;
	case LOG_K_STR:
		if (f->p)
			put_quoted(l, f->p, f->len == SIZE_MAX ? strlen(f->p) : f->len);
		else
			put(l, "-", 1);
		break;
	case LOG_NONE: break;
	}
}

size_t log_line(char *buf, size_t cap, enum log_level level, const char *event, const struct log_field *f, size_t count)
{
	struct line l = { buf, cap - 1, 0 };	/* the newline always fits */

	if (log_journal) {
		put_text(&l, levels[level].priority);
		put_text(&l, log_name);
		put(&l, ": ", 2);
	} else {
		put_text(&l, log_name);
		put(&l, ": ", 2);
		put_text(&l, levels[level].text);
		put(&l, " ", 1);
	}
	put_text(&l, event);
	for (size_t i = 0; i < count; i++)
		put_field(&l, &f[i]);
	buf[l.len] = '\n';
	return l.len + 1;
}

void log_fields(enum log_level level, const char *event, const struct log_field *f, size_t count)
{
	char buf[LOG_LINE_MAX];
	int keep = errno;

	log_error_count += level == LOG_ERROR;
	if (level > log_most)
		return;
	/* What cannot be written is lost: there is nowhere to say so. */
	if (write(STDERR_FILENO, buf, log_line(buf, sizeof buf, level, event, f, count)) < 0)
		errno = keep;
	errno = keep;
}

void log_open(const char *name)
{
	const char *journal = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	log_name = name;
	log_journal = journal && sscanf(journal, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	    st.st_dev == dev && st.st_ino == ino;
}

void log_set_level(enum log_level most) { log_most = most; }
unsigned log_errors(void) { return log_error_count; }
enum log_level log_get_level(void) { return log_most; }
const char *log_level_text(enum log_level l) { return levels[l].text; }

bool log_level_from_text(const char *text, enum log_level *ret)
{
	for (unsigned i = 0; i < LOG_LEVELS; i++)
		if (strcmp(text, levels[i].text) == 0) {
			*ret = (enum log_level)i;
			return true;
		}
	return false;
}
