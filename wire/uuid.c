#include "wire/uuid.h"

/* 00000000-0000-1000-8000-00805F9B34FB, least significant octet first; Vol 3 Part B 2.5.1. */
static const uint8_t base[16] = { 0xFB, 0x34, 0x9B, 0x5F, 0x80, 0x00, 0x00, 0x80, 0x00, 0x10 };

bool uuid_from_wire(struct bytes wire, struct uuid *ret)
{
	if (wire.len != 2 && wire.len != 4 && wire.len != 16)
		return false;
	*ret = (struct uuid){ .len = (uint8_t)wire.len };
	memcpy(ret->at, wire.at, wire.len);
	return true;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool uuid_from_text(const char *text, struct uuid *ret)
{
	uint8_t digits[32];		/* most significant first */
	size_t n = 0, hyphens = 0;
	bool prefix = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

	for (const char *s = prefix ? text + 2 : text; *s; s++) {
		int d = digit(*s);

		if (*s == '-' && (n == 8 || n == 12 || n == 16 || n == 20) && s[-1] != '-') {
			hyphens++;
			continue;
		}
		if (d < 0 || n == sizeof digits)
			return false;
		digits[n++] = (uint8_t)d;
	}
	if (n != 4 && n != 8 && n != 32)
		return false;
	if (n == 32 ? prefix || (hyphens && hyphens != 4) : hyphens)
		return false;
	*ret = (struct uuid){ .len = (uint8_t)(n / 2) };
	for (size_t i = 0; i < n / 2; i++)
		ret->at[n / 2 - 1 - i] = (uint8_t)(digits[2 * i] << 4 | digits[2 * i + 1]);
	return true;
}

char *uuid_to_text(const struct uuid *u, char *buf)
{
	char *s = buf;

	for (size_t i = u->len; i-- > 0; ) {
		*s++ = "0123456789ABCDEF"[u->at[i] >> 4];
		*s++ = "0123456789ABCDEF"[u->at[i] & 15];
		if (u->len == 16 && (i == 12 || i == 10 || i == 8 || i == 6))
			*s++ = '-';
	}
	*s = '\0';
	return buf;
}

struct uuid uuid_128(const struct uuid *u)
{
	struct uuid wide = { .len = 16 };

	if (!u->len || u->len == 16)
		return *u;
	memcpy(wide.at, base, sizeof base);
	memcpy(wide.at + 12, u->at, u->len);
	return wide;
}

struct uuid uuid_shortest(const struct uuid *u)
{
	struct uuid wide = uuid_128(u), narrow = { 0 };

	if (!u->len || memcmp(wide.at, base, 12))
		return *u;
	narrow.len = wide.at[14] || wide.at[15] ? 4 : 2;
	memcpy(narrow.at, wide.at + 12, narrow.len);
	return narrow;
}

struct uuid uuid_att(const struct uuid *u)
{
	struct uuid narrow = uuid_shortest(u);

	return narrow.len == 2 ? narrow : uuid_128(u);
}

bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	struct uuid x, y;

	if (a->len == b->len)
		return !memcmp(a->at, b->at, a->len);
	x = uuid_128(a);
	y = uuid_128(b);
	return x.len == y.len && !memcmp(x.at, y.at, x.len);
}

bool uuid_is_16(const struct uuid *u, uint16_t v)
{
	struct uuid short_form = uuid_16(v);

	return uuid_equal(u, &short_form);
}
