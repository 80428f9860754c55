/* runtime/recording_file.h - the files that recordings and quarantines lie in: made by the supervisor, read by `--replay`.
 *
 * Directories are taken only if they are a directory of ours that nobody else may look into (mode 0700); one that is not there
 * is made so.  Files are made anew (O_EXCL, mode 0600), never opened again by name, never followed through a link. */
#pragma once
#include "runtime/recording.h"

enum { RECORDING_WHY = 160, RECORDING_MIB = 32, RECORDING_MIB_MAX = 4096, QUARANTINE_FILES = 16 };
#define RECORDING_FILE_MAX (4ull << 30)

/* Open a directory for such files.  Returns a descriptor; -errno, and why (a line for a person). */
int recording_dir_open(const char *path, char why[RECORDING_WHY]);

/* DIR/CORE.recording.new, empty, with room for `mib` (more if the arena needs it) set aside.  It is not yet decided that it will
 * be used.  Returns its descriptor, -errno. */
int recording_prepare(int dir, const char *core, const struct recording_layout *of, unsigned mib);
/* Is CORE.recording.new the file behind `fd`, it becomes CORE.recording, and one that is there CORE.recording.old; else it was
 * not used, and is removed.  May be killed and repeated.  Returns 0 (also: there is no such file), -errno. */
int recording_take_place(int dir, const char *core, int fd);
/* Both at once.  Returns a descriptor, -errno. */
int recording_create(int dir, const char *core, const struct recording_layout *of, unsigned mib);

/* DIR/CORE-N.quarantine with the lowest N from 1 to QUARANTINE_FILES that is free: an arena as it lies there, and entries.
 *
 * @arena    as it is mapped, all of it; may be in the middle of a step; what it says is not believed
 * @entries  made by quarantine_add
 *
 * Returns N; -ENOSPC: all are in use; -EINVAL: `of` is none that fits in the arena; -errno. */
struct quarantine_entries { uint8_t *at; size_t len, cap; };
int quarantine_add(struct quarantine_entries *q, struct recording_entry e, const void *payload);
int quarantine_create(int dir, const char *core, const struct recording_layout *of, struct bytes arena,
    const struct quarantine_entries *entries);

/* A file as a reader has it: checked from its head to the last entry that counts. */
struct recording {
	uint8_t *at;			/* owned */
	uint64_t size;
	struct recording_head head;
	struct recording_part {		/* the older half first, if it goes over into the newer without a gap */
		struct recording_half is;
		const uint8_t *image, *log, *entries;
		uint64_t len;		/* octets of entries */
		uint64_t generation;
	} part[2];
	unsigned parts;
};
/* One that is being written may be read: where a half was begun anew meanwhile it is read again, a few times.
 *
 * Returns 0; -errno or -EINVAL, and why.  @ret  recording_free */
int recording_load(const char *path, struct recording *ret, char why[RECORDING_WHY]);
void recording_free(struct recording *r);
/* The entry at *at of a part, and on to the next.  False: that was all. */
bool recording_next(const struct recording_part *p, uint64_t *at, struct recording_entry *ret, const uint8_t **payload);
