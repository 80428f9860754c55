/* runtime/run_dir.h - the directory of one pipeline: its sockets and its lock.
 *
 * Guarantees: one `up` at a time (flock on RUN_DIR/lock, gone with its process, however it ends); what was there before stays.
 * Refuses: a directory of another uid, or one that others may write to; a path whose sockets would not fit sun_path. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { RUN_DIR_PATH = 88, RUN_DIR_FILES = 16, RUN_DIR_NAME = 20 };	/* sun_path is 108: path, '/', name, NUL */
enum { RUN_DIR_E_HELD = 1, RUN_DIR_E_FOREIGN = 2 };

struct run_dir {
	char path[RUN_DIR_PATH];
	int lock;			/* -1: not held */
	bool made;			/* the directory is ours */
	char file[RUN_DIR_FILES][RUN_DIR_NAME];
	unsigned files;
	char why[192];			/* after a failure: one line for a person */
};
#define RUN_DIR_NONE { .lock = -1 }

/* Which directory: @option (--run-dir, or NULL), $TREFOIL_RUN_DIR, $XDG_RUNTIME_DIR/trefoil, /run/trefoil.
 * Fills d->path; nothing is touched.  Returns 0, -ENAMETOOLONG. */
int run_dir_resolve(struct run_dir *d, const char *option);
/* Make it if it is missing (mode 0750; @group: its group, (gid_t)-1: left), check whose it is.
 * Returns 0; RUN_DIR_E_FOREIGN; -errno.  d->why says what and where. */
int run_dir_make(struct run_dir *d, gid_t group);
/* Hold RUN_DIR/lock.  Returns 0; RUN_DIR_E_HELD: "holds a live pipeline (pid N)"; -errno. */
int run_dir_lock(struct run_dir *d);
/* PATH/name.  Returns buf, NULL if it does not fit. */
const char *run_dir_file(const struct run_dir *d, const char *name, char *buf, size_t cap);
/* `name` in it is ours to remove at the end.  Returns 0, -ENOSPC. */
int run_dir_own(struct run_dir *d, const char *name);
/* Remove what is ours, the directory too if we made it and it is empty; let the lock go.  May be repeated. */
void run_dir_end(struct run_dir *d);
