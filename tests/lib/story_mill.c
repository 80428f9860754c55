/* tests/lib/story_mill.c - see story_mill.h. */
#include "base/types.h"
#include "tests/lib/mill.h"
#include "tests/lib/story_mill.h"

enum { NOTES = 96, SCENE = 8 };

static void note(struct tape *t, uint8_t kind, uint16_t index, uint32_t len)
{
	uint8_t body[64];

	memset(body, (int)(len + t->entries), sizeof body);
	tape_put(t, LINK_UP, (struct record){ .len = len, .kind = kind, .index = index, .generation = 1, .time_ns = 1000 },
	    (struct bytes){ body, len });
}

/* A sack with grain in it is freed, its slot is used again, and its new queue, which counts from zero, runs over the places of the
 * old one: in one step, where batches allow. */
static void slot_used_again(struct tape *t)
{
	note(t, RECORD_CONNECTED, 4, 1);
	for (unsigned i = 0; i < 3; i++)
		note(t, RECORD_L2CAP_PDU, 4, 5);
	note(t, RECORD_L2CAP_PDU, 4, 30);		/* the fourth: what was there goes out first */
	tape_rest(t, 1000);
	note(t, RECORD_DISCONNECTED, 4, 1);
	note(t, RECORD_CONNECTED, 4, 1);
	note(t, RECORD_L2CAP_PDU, 4, 60);
	note(t, RECORD_L2CAP_PDU, 4, 50);
	tape_rest(t, 1000);
}

struct tape *story_mill(uint32_t seed)
{
	static const uint8_t kinds[] = { RECORD_CONNECTED, RECORD_L2CAP_PDU, RECORD_L2CAP_PDU, RECORD_L2CAP_PDU, RECORD_CREDIT,
		RECORD_CREDIT, RECORD_L2CAP_PDU, RECORD_CONNECTED };
	struct tape *t = tape_new("mill");
	uint8_t body[64];

	t->core = &mill_core;
	t->plan = mill_plan;
	t->links = 1u << LINK_UP | 1u << LINK_DOWN;
	slot_used_again(t);
	for (unsigned i = 0; i < NOTES; i++) {
		struct record h = { .generation = 1, .time_ns = 1000 + i };

		seed = seed * 1664525 + 1013904223;
		h.len = 1 + (seed >> 8) % 60;
		h.kind = i % 23 == 22 ? RECORD_DISCONNECTED : kinds[seed >> 29];
		h.index = (uint16_t)((seed >> 24) % 3);
		memset(body, (int)(seed >> 16), sizeof body);
		tape_put(t, LINK_UP, h, (struct bytes){ body, h.len });
		if (i % SCENE == SCENE - 1)
			tape_rest(t, 1000);
	}
	return t;
}
