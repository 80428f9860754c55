/* runtime/device_json.c - values out of JSON, and what is said about the wrong ones. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/types.h"
#include "runtime/device_own.h"

size_t device_enter(struct device_reader *r, const char *key)
{
	size_t was = r->path_len;
	int n = snprintf(r->path + was, sizeof r->path - was, "%s%.64s", was ? "." : "", key);

	r->path_len = MIN(was + (size_t)n, sizeof r->path - 1);
	return was;
}

size_t device_enter_index(struct device_reader *r, size_t index)
{
	size_t was = r->path_len;
	int n = snprintf(r->path + was, sizeof r->path - was, "[%zu]", index);

	r->path_len = MIN(was + (size_t)n, sizeof r->path - 1);
	return was;
}

void device_leave(struct device_reader *r, size_t to)
{
	r->path[to] = '\0';
	r->path_len = to;
}

int device_wrong(struct device_reader *r, const json_t *v, const char *expected)
{
	enum { SHOWN = 40 };
	char *got = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	snprintf(r->why, r->why_cap, "%s: %s%sexpected %s%s%.*s%s", r->file, r->path, r->path_len ? ": " : "", expected,
	    got ? ", got " : "", SHOWN, got ? got : "", got && strlen(got) > SHOWN ? "..." : "");
	free(got);
	return -EINVAL;
}

int device_missing(struct device_reader *r, const char *key, const char *expected)
{
	device_enter(r, key);
	snprintf(r->why, r->why_cap, "%s: %s: expected %s, got nothing", r->file, r->path, expected);
	return -EINVAL;
}

int device_warn(struct device_reader *r, const char *text)
{
	char *line;

	if (r->d->warning_count == DEVICE_WARNINGS)
		return 0;
	if (asprintf(&line, "%s: %s", r->path, text) < 0)
		return -ENOMEM;
	r->d->warnings[r->d->warning_count++] = line;
	return 0;
}

int device_object(struct device_reader *r, const json_t *v, const struct device_key *keys, void *obj)
{
	const char *key;
	json_t *member;

	if (!json_is_object(v))
		return device_wrong(r, v, "an object");
	json_object_foreach((json_t *)(uintptr_t)v, key, member) {
		const struct device_key *k = keys;
		size_t was = device_enter(r, key);
		int e;

		while (k->name && strcmp(k->name, key) != 0)
			k++;
		e = k->name ? k->read(r, member, obj) : device_warn(r, "unknown key");
		if (e)
			return e;
		device_leave(r, was);
	}
	return 0;
}

int device_array(struct device_reader *r, const json_t *v, const struct device_list *how, void **ret, unsigned *ret_count)
{
	char expected[64];
	uint8_t *at;
	int e = 0;

	snprintf(expected, sizeof expected, "a list of at most %u objects", how->max);
	if (!json_is_array(v) || json_array_size(v) > how->max)
		return device_wrong(r, v, expected);
	at = calloc(MAX(json_array_size(v), (size_t)1), how->size);
	if (at == NULL)
		return -ENOMEM;
	*ret = at;		/* from here on device_free finds it, half read or not */
	for (size_t i = 0; e == 0 && i < json_array_size(v); i++) {
		size_t was = device_enter_index(r, i);

		how->prepare(at + i * how->size);
		*ret_count = (unsigned)i + 1;
		e = device_object(r, json_array_get(v, i), how->keys, at + i * how->size);
		if (e == 0)
			e = how->check(r, at + i * how->size);
		if (e == 0)
			device_leave(r, was);
	}
	return e;
}

int device_bool(struct device_reader *r, const json_t *v, bool *ret)
{
	if (!json_is_boolean(v))
		return device_wrong(r, v, "true or false");
	*ret = json_is_true(v);
	return 0;
}

int device_uint(struct device_reader *r, const json_t *v, uint32_t lo, uint32_t hi, uint32_t *ret)
{
	char expected[64];

	snprintf(expected, sizeof expected, "a whole number from %u to %u", lo, hi);
	if (!json_is_integer(v) || json_integer_value(v) < lo || json_integer_value(v) > hi)
		return device_wrong(r, v, expected);
	*ret = (uint32_t)json_integer_value(v);
	return 0;
}

int device_uuid(struct device_reader *r, const json_t *v, struct uuid *ret)
{
	struct uuid u;

	if (!json_is_string(v) || !uuid_from_text(json_string_value(v), &u))
		return device_wrong(r, v, "a UUID: 4, 8 or 32 hex digits");
	*ret = uuid_att(&u);
	return 0;
}

int device_handle(struct device_reader *r, const json_t *v, uint16_t *ret)
{
	static const char expected[] = "a handle from 1 to 65535, or as text like \"0x0025\"";
	json_int_t n = json_is_integer(v) ? json_integer_value(v) : 0;
	const char *text = json_string_value(v);
	char *end;

	if (text && strncmp(text, "0x", 2) == 0 && strlen(text) > 2 && strlen(text) <= 6 &&
	    strspn(text + 2, "0123456789abcdefABCDEF") == strlen(text) - 2)
		n = strtol(text, &end, 16);
	if (n < 1 || n > 0xFFFF)
		return device_wrong(r, v, expected);
	*ret = (uint16_t)n;
	return 0;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Octets of `text` into ret, at most cap; SIZE_MAX if it is no hex or more than that. */
static size_t hex_octets(const char *text, uint8_t *ret, size_t cap)
{
	size_t n = 0;

	for (;;) {
		while (*text == ' ')
			text++;
		if (*text == '\0')
			return n;
		if (digit(text[0]) < 0 || digit(text[1]) < 0 || n == cap)
			return SIZE_MAX;
		ret[n++] = (uint8_t)(digit(text[0]) << 4 | digit(text[1]));
		text += 2;
	}
}

int device_hex(struct device_reader *r, const json_t *v, const char *text, size_t lo, size_t hi, uint8_t *ret, size_t *ret_len)
{
	char expected[64];
	size_t n = text ? hex_octets(text, ret, hi) : SIZE_MAX;

	if (n == SIZE_MAX || n < lo) {
		if (lo == hi)
			snprintf(expected, sizeof expected, "%zu octets in hex", hi);
		else
			snprintf(expected, sizeof expected, "at most %zu octets in hex", hi);
		return device_wrong(r, v, expected);
	}
	*ret_len = n;
	return 0;
}

int device_text(struct device_reader *r, const json_t *v, char **ret)
{
	char *copy;

	if (!json_is_string(v))
		return device_wrong(r, v, "text");
	copy = strdup(json_string_value(v));
	if (copy == NULL)
		return -ENOMEM;
	free(*ret);
	*ret = copy;
	return 0;
}
