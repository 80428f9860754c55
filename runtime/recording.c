/* runtime/recording.c - what writers and readers of a recording share: its hashes, and what a step is judged by. */
#include <stddef.h>
#include <stdio.h>
#include "base/hash.h"
#include "runtime/recording.h"
#include "shm/arena_image.h"

enum { LEAST_ENTRIES = 1024 * 1024 };

uint64_t recording_head_check(const struct recording_head *h)
{
	return hash_octets(HASH_START, h, offsetof(struct recording_head, check));
}

uint64_t recording_half_check(const struct recording_half *h)
{
	return hash_octets(HASH_START, h, offsetof(struct recording_half, check));
}

uint64_t recording_end_check(const struct recording_end *e, uint64_t generation)
{
	return hash_octets(hash_word(HASH_START, generation), e, offsetof(struct recording_end, check)) | 1;
}

uint64_t recording_entry_check(const struct recording_entry *e, const uint8_t *payload, uint64_t generation, uint64_t at)
{
	uint64_t h = hash_word(hash_word(HASH_START, generation), at);

	h = hash_octets(h, (const uint8_t *)e + sizeof e->check, sizeof *e - sizeof e->check);
	return hash_octets(h, payload, e->len);
}

uint64_t recording_tail(uint64_t octets, uint64_t generation)
{
	return octets / 8 << 32 | hash_word(hash_word(HASH_START, generation), octets) >> 32;
}

bool recording_tail_read(uint64_t word, uint64_t generation, uint64_t *ret_octets)
{
	uint64_t octets = (word >> 32) * 8;

	if (recording_tail(octets, generation) != word)
		return false;
	*ret_octets = octets;
	return true;
}

/* Records from `from` to where the producer stands, pads left out: what they hold is whatever lay there. */
static uint64_t given_hash(const struct ring *r, uint64_t from)
{
	const uint8_t *data = (const uint8_t *)(uintptr_t)r->out;
	uint64_t h = HASH_START;

	while (from < r->at) {
		uint64_t off = from & (r->size - 1), word;
		struct record rec;

		memcpy(&word, data + off, sizeof word);
		rec = record_from(word, 0);
		if (rec.kind == RECORD_PAD) {
			from += r->size - off;
			continue;
		}
		h = hash_octets(h, data + off, RECORD_HEADER + rec.len);
		from += record_octets(rec.len);
	}
	return h;
}

struct recording_commit recording_sum_up(const struct step *s, const uint64_t from[STEP_LINKS])
{
	struct recording_commit c = { .epoch = s->arena->epoch + 1, .undo_octets = s->arena->log_len,
		.changed = arena_changed_hash(s->arena), .given = HASH_START };

	for (unsigned l = 0; l < STEP_LINKS; l++) {
		if (!s->link[l].generation)
			continue;
		c.tail[l] = s->link[l].out.at;
		c.given = hash_word(c.given, given_hash(&s->link[l].out, from[l]));
	}
	return c;
}

struct recording_layout recording_layout_of(const struct arena_plan *plan)
{
	return (struct recording_layout){ .version = plan->version, .hash = arena_layout_hash(plan),
		.image_octets = arena_image_octets(plan), .limits = plan->limits, .config_hash = plan->config_hash };
}

struct recording_head recording_head_for(const char *core, const struct recording_layout *of, enum recording_kind kind,
    uint64_t half_octets)
{
	struct recording_head h;

	memset(&h, 0, sizeof h);	/* its padding is hashed too */
	h.magic = RECORDING_MAGIC;
	h.version = RECORDING_VERSION;
	h.kind = kind;
	snprintf(h.core, sizeof h.core, "%s", core);
	h.core_version = of->version;
	h.halves = kind == RECORDING_RUN ? 2 : 1;
	h.limits = of->limits;
	h.layout_hash = of->hash;
	h.config_hash = of->config_hash;
	h.half_octets = half_octets;
	h.check = recording_head_check(&h);
	return h;
}

uint64_t recording_half_least(const struct recording_layout *of)
{
	return ((of->image_octets + 63) & ~63ull) + LEAST_ENTRIES;
}
