/* tests/lib/sums.h - a worker's life without a worker, recorded: for the tests of recordings.
 *
 * Its core adds up what it sees, keeps some of it in a queue, and gives the sum.  A world has its arena, its rings and the
 * file, which outlive every life of it; all that happens follows from the arena and a number, so a step that is done again is
 * the same one. */
#pragma once
#include <stddef.h>
#include "runtime/program.h"
#include "runtime/recording_file.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct sums_id { uint32_t v; };
struct sums { uint64_t sum, records, times, skipped, links; struct fifo q; uint8_t q_octets[256]; };
#pragma GCC diagnostic pop
#define SUM_STATE(ROW) STEP_STATE(ROW) ROW(sums, 1, LIMIT_NONE, offsetof(struct sums, q_octets), FIFO(sums, q))
enum { POOL_sums = STEP_POOLS, SUMS_RING = 16384 };
ARENA_POOL(sums, 1, LIMIT_NONE, offsetof(struct sums, q_octets))

extern const struct program sums_program;
extern const struct arena_plan sums_plan;

struct world {
	char dir[256], path[300];	/* of the file */
	int fd;
	uint8_t *memory;		/* the arena: outlives every life */
	struct ring_region *mine, *theirs;
	struct arena arena;
	struct step step;
	struct recorder *recorder;
	uint64_t now;
};

/* A directory, a file with room for `mib`, and a first life. */
void world_open(struct world *w, unsigned mib);
void world_close(struct world *w);
/* The next life, after whatever ended the one before. */
void world_live(struct world *w, uint32_t generation);
/* A record, a commit, or a step of one to four records and what is due; as worker_take.c does them. */
void world_take(struct world *w, enum recording_entry_kind kind);
void world_commit(struct world *w);
void world_step(struct world *w, unsigned i);
/* More entries than a half of a MiB can hold, in the step that is open: that half ends where it was. */
void world_overfill(struct world *w);
/* A quarantine file of the arena as it is.  Returns its number, -errno. */
int world_quarantine(const struct world *w, const struct quarantine_entries *q);

/* `sums --replay FILE` in a process of its own; what it said.  Returns its exit code, or minus the signal. */
int sums_replay(const char *path, char *said, size_t cap);
