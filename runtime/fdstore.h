/* runtime/fdstore.h - descriptors that outlive a process, kept one level up in the way of sd_notify(3).
 *
 * Sender (struct fdstore): a supervisor gives its descriptors names and sends them to $NOTIFY_SOCKET:
 *
 *   FDSTORE=1\nFDNAME=<name>\nFDPOLL=0          with one descriptor
 *   FDSTOREREMOVE=1\nFDNAME=<name>              forget them all by that name
 *   READY=1, STATUS=<text>, STOPPING=1
 *   BARRIER=1                                   with the writing end of a pipe: it is closed when all before it is handled
 *
 * and finds them again at its next start: descriptors 3.. counted by LISTEN_FDS, named by LISTEN_FDNAMES, meant for LISTEN_PID.
 *
 * Receiver (struct fdshelf): what `trefoil up` holds for each supervisor; systemd does the same.  One datagram socket each, heard
 * from one process only: bound to a path that only its own user can send to, or to an abstract name that the kernel picks, which
 * leaves nothing in the file system, and to which any local user may send what is then dropped.
 *
 * Guarantees: after fdstore_barrier returned 0, what was sent before is held.  A shelf takes nothing from another process
 * than the one named by fdshelf_expect, checked by kernel credentials.
 * Refuses: more than FDSHELF_MAX descriptors, names that are not 1..FDNAME_MAX printable octets without ':'; descriptors
 * that ride where none belong are closed. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

enum { FDSHELF_MAX = 64, FDNAME_MAX = 31 };
enum { FDSHELF_TURN = 1024 };		/* datagrams; more than a socket queues (net.unix.max_dgram_qlen: 512 where it is raised) */
struct named_fd { char name[FDNAME_MAX + 1]; int fd; };
struct fd_set_named { struct named_fd at[FDSHELF_MAX]; unsigned count; };

/* ---- sender ---- */
struct fdstore { int fd; struct sockaddr_un to; socklen_t to_len; };
#define FDSTORE_NONE { .fd = -1 }

/* Open the way up that $NOTIFY_SOCKET names.  Returns 0 (also where there is none: fdstore_there says so), -errno. */
int fdstore_open(struct fdstore *f);
static inline bool fdstore_there(const struct fdstore *f) { return f->fd >= 0; }
/* Have `fd` (borrowed; a copy travels) kept under `name`.  Where nobody keeps: 0, nothing done.  Returns 0, -errno. */
int fdstore_put(struct fdstore *f, const char *name, int fd);
int fdstore_remove(struct fdstore *f, const char *name);
/* Wait until all that was sent has been handled.  Returns 0, -ETIMEDOUT after timeout_ms, -errno. */
int fdstore_barrier(struct fdstore *f, int timeout_ms);
/* Send `text` ("READY=1\nSTATUS=..."). */
int fdstore_tell(struct fdstore *f, const char *text);
void fdstore_close(struct fdstore *f);

/* Take what LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES hand to this process; the variables are unset, the descriptors are now
 * close-on-exec and the caller's.  Returns 0 (also: none), -EINVAL if the variables contradict each other. */
int fds_inherited(struct fd_set_named *ret);
/* Take `name` out of the set: the caller's; -1 if it is not there.  Of several by one name the last one. */
int fds_take(struct fd_set_named *s, const char *name);
bool fds_has(const struct fd_set_named *s, const char *name);
void fds_close(struct fd_set_named *s);		/* what is left */

/* ---- receiver ---- */
struct fdshelf {
	int fd;				/* the socket to poll for reading */
	char address[sizeof((struct sockaddr_un *)0)->sun_path];	/* for the child's environment: NOTIFY_SOCKET=<address> */
	pid_t from;			/* whom we listen to */
	struct fd_set_named held;
	bool ready, stopping;		/* READY=1, STOPPING=1 was said since fdshelf_expect */
	char status[256];		/* last STATUS= */
	unsigned long refused;		/* datagrams that were not taken */
};
int fdshelf_open(struct fdshelf *s);
/* The same bound to `path` (absolute, copied), mode 0600; a socket that lies there is replaced, fdshelf_close removes it.
 * Returns 0, -EINVAL (relative, too long), -EADDRINUSE (there is something else), -errno. */
int fdshelf_open_at(struct fdshelf *s, const char *path);
/* From now on listen to process `pid`: call right after it was started.  What its predecessor still had to say must have been
 * handled (fdshelf_receive) before. */
void fdshelf_expect(struct fdshelf *s, pid_t pid);
/* Handle all that was queued when it was called, and no more than FDSHELF_TURN: who sends without an end is no reason to stay.
 * Returns 0, -errno of the socket. */
int fdshelf_receive(struct fdshelf *s);
/* The stored worker must not run beside its successor: kill the process whose pidfd is stored as "worker", wait until it is
 * gone, forget it.  Returns 0 (also: none stored), -ETIMEDOUT after timeout_ms. */
int fdshelf_end_worker(struct fdshelf *s, int timeout_ms);
void fdshelf_close(struct fdshelf *s);		/* and all that it holds */

/* ---- start a child with descriptors and an environment; for supervisors and for `up` ---- */
struct spawn {
	const char *path;		/* "/proc/self/exe" or a file */
	char *const *argv;
	char *const *env;		/* more NAME=VALUE, ended by NULL, or NULL; replaces what is inherited by that name */
	const int *fds;			/* become 3, 4, ... in the child; all else is closed on exec by its own flag */
	unsigned fd_count;
	const struct fd_set_named *listen;	/* or: these, with LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES set.  NULL: no such variables */
	bool no_terminal;		/* 0 and 1 are /dev/null in the child; 2 stays */
	int death_signal;		/* what the child gets when we die; 0: nothing.  A change of uid clears it */
};
/* Start it (vfork: a few hundred microseconds, whatever the size of the caller).  Signals are unblocked in the child.
 * Returns 0; -errno (the child's exec failure too).  *ret_pidfd is the caller's. */
int spawn_child(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd);
