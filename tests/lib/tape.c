/* tests/lib/tape.c - see tape.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/lib/tape.h"

enum { ENTRIES = 2000, OCTETS = 1 << 20 };

struct tape *tape_new(const char *name)
{
	struct tape *t = calloc(1, sizeof *t);

	assert_non_null(t);
	t->name = name;
	t->entry = calloc(ENTRIES, sizeof *t->entry);
	t->scene = calloc(ENTRIES, sizeof *t->scene);
	t->octets = malloc(OCTETS);
	assert_true(t->entry && t->scene && t->octets);
	return t;
}

void tape_free(struct tape *t)
{
	free(t->entry);
	free(t->scene);
	free(t->octets);
	free(t);
}

void tape_put(struct tape *t, unsigned l, struct record h, struct bytes payload)
{
	assert_true(t->entries < ENTRIES && t->used + payload.len <= OCTETS);
	t->entry[t->entries++] = (struct tape_entry){ .h = h, .link = l, .at = t->used };
	if (payload.len)
		memcpy(t->octets + t->used, payload.at, payload.len);
	t->used += (uint32_t)payload.len;
}

void tape_skip(struct tape *t, enum core_rung rung)
{
	assert_true(t->entries > 0);
	t->entry[t->entries - 1].skip = true;
	t->entry[t->entries - 1].rung = rung;
}

void tape_rest(struct tape *t, uint64_t now_ns)
{
	const struct tape_scene *last = t->scenes ? &t->scene[t->scenes - 1] : NULL;
	uint32_t first = last ? last->first + last->count : 0;

	if (first == t->entries && last && last->now_ns == now_ns)
		return;
	assert_true(t->scenes < ENTRIES);
	t->scene[t->scenes++] = (struct tape_scene){ first, t->entries - first, now_ns };
}
