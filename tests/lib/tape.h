/* tests/lib/tape.h - everything that a core is given in the course of a story, kept so that it can be given again.
 *
 * A rig that records (rig_record) adds each record that enters a ring; each run to rest ends a scene.  What is given again is
 * given scene by scene: all records of a scene at once, the next scene when the core has nothing to do at this `now`.  So the
 * order in which a core sees its input does not hang on batches, restarts or kills.
 *
 * A record may be one in quarantine: it is not handled, but skipped (core->on_poison) in a step of its own, as a worker does. */
#pragma once
#include "shm/step.h"

struct tape_entry {
	struct record h;
	unsigned link;
	uint32_t at;			/* of its payload in tape.octets */
	bool skip;			/* in quarantine */
	enum core_rung rung;		/* where skip */
};
struct tape_scene { uint32_t first, count; uint64_t now_ns; };	/* entries, and what time it is */
struct tape {
	const char *name;		/* borrowed */
	const struct core *core;
	struct arena_plan plan;
	unsigned links;			/* bit l: link l is there */
	struct tape_entry *entry;	/* owned, all three */
	struct tape_scene *scene;
	uint8_t *octets;
	uint32_t entries, scenes, used;
};

/* Empty, with room for a story.  Never NULL: it fails the test. */
struct tape *tape_new(const char *name);
void tape_free(struct tape *t);
/* A record enters the ring of link l; payload copied.  h.len is its length. */
void tape_put(struct tape *t, unsigned l, struct record h, struct bytes payload);
/* The record that was put last is one in quarantine. */
void tape_skip(struct tape *t, enum core_rung rung);
/* The core ran to rest at this time.  A scene with neither input nor another time is none. */
void tape_rest(struct tape *t, uint64_t now_ns);
