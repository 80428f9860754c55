#include "wire/text.h"

static void put(struct text *t, char c)
{
	if (t->len + 1 >= t->cap)
		return;
	t->buf[t->len++] = c;
	t->buf[t->len] = '\0';
}

static void put_string(struct text *t, const char *s)
{
	while (*s)
		put(t, *s++);
}

static void put_octet(struct text *t, uint8_t v)
{
	put(t, "0123456789abcdef"[v >> 4]);
	put(t, "0123456789abcdef"[v & 15]);
}

static void put_number(struct text *t, uint64_t v, unsigned radix, unsigned least)
{
	char digits[20];		/* 2^64 has 20 decimal digits */
	unsigned n = 0;

	for (; v || n < least; v /= radix)
		digits[n++] = "0123456789abcdef"[v % radix];
	while (n)
		put(t, digits[--n]);
}

static void put_name(struct text *t, const char *name)
{
	put(t, ' ');
	put_string(t, name);
	put(t, '=');
}

void text_uint(struct text *t, const char *name, uint64_t v)
{
	put_name(t, name);
	put_number(t, v, 10, 1);
}

void text_int(struct text *t, const char *name, int64_t v)
{
	put_name(t, name);
	if (v < 0)
		put(t, '-');
	put_number(t, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, 1);
}

void text_hex(struct text *t, const char *name, uint64_t v)
{
	put_name(t, name);
	put_string(t, "0x");
	put_number(t, v, 16, 4);
}

void text_addr(struct text *t, const char *name, const uint8_t addr[6])
{
	put_name(t, name);
	for (int i = 5; i >= 0; i--) {
		put_octet(t, addr[i]);
		if (i)
			put(t, ':');
	}
}

void text_bytes(struct text *t, const char *name, struct bytes b)
{
	put_name(t, name);
	for (size_t i = 0; i < b.len && t->len + 1 < t->cap; i++)
		put_octet(t, b.at[i]);
}

void text_string(struct text *t, const char *name, const char *s)
{
	put_name(t, name);
	put(t, '"');
	put_string(t, s);
	put(t, '"');
}

void text_word(struct text *t, const char *word)
{
	if (t->len)
		put(t, ' ');
	put_string(t, word);
}
