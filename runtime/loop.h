/* runtime/loop.h - waits for everything at once: doorbells, sockets, signals, pidfds and one deadline, in one io_uring_enter.
 *
 * A loop belongs to one thread (SINGLE_ISSUER, DEFER_TASKRUN).  Two ways to watch a descriptor:
 *
 *   LOOP_LEVEL   called as long as it is ready (one-shot poll, armed again after the call, in the same submit)
 *   LOOP_EDGE    called when it becomes ready again (multishot poll): doorbells, which are never read; a socket that the
 *                callback drains until EAGAIN
 *
 * Workers (LOOP_WORKER): the ring starts disabled.  loop_watch and loop_add_file, then loop_seal: the files are
 * registered, the ring is restricted to POLL_ADD, POLL_REMOVE and WRITE on registered files, then enabled.  From then on no
 * file can be added: a link with new descriptors needs a new worker (that loses nothing).  Watches may come and go.
 *
 * Guarantees: sleeping costs nothing: no timer, no periodic wake-up; the deadline is the timeout of the wait.  A callback
 * may watch and unwatch anything, itself too; nothing is called after its loop_unwatch.
 * Refuses: a kernel that refuses io_uring: loop_refusal() is the line to print before exit 1. */
#pragma once
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;
enum { LOOP_WATCHES = 192, LOOP_FILES = 64 };
enum { LOOP_WORKER = 1 };			/* flags of loop_open */
enum loop_how { LOOP_LEVEL, LOOP_EDGE };
#define LOOP_FOREVER UINT64_MAX

/* @revents  POLLIN, POLLOUT, POLLERR, POLLHUP.  Returns 0; < 0 -errno: loop_run_once returns it. */
typedef int loop_fn(void *ctx, uint32_t revents);

/* Returns 0; -ENOSYS, -EPERM, -EINVAL, ...: io_uring is refused here; -ENOMEM. */
int loop_open(unsigned flags, struct loop **ret);
/* One line for a person about a failed loop_open: what was refused, what is needed. */
const char *loop_refusal(int r);
int loop_fd(const struct loop *l);		/* the ring's own descriptor: for sandbox_plan.keep */
void loop_close(struct loop *l);		/* NULL is fine; watched descriptors stay the caller's */

/* Watch `fd` (borrowed until loop_unwatch) for `events` (POLLIN, POLLOUT).
 * Returns an id >= 0; -ENOSPC: LOOP_WATCHES are in use; -EPERM: sealed, and fd is not a registered file. */
int loop_watch(struct loop *l, int fd, uint32_t events, enum loop_how how, loop_fn *fn, void *ctx);
/* Watch the same descriptor for other events from now on (POLLOUT while a queue waits). */
int loop_modify(struct loop *l, int id, uint32_t events);
/* The kernel has let go of the descriptor when this returns; id < 0 is fine. */
void loop_unwatch(struct loop *l, int id);

/* Worker, before loop_seal: `fd` may be watched later, or kicked.  Returns 0, -ENOSPC. */
int loop_add_file(struct loop *l, int fd);
/* Worker: register, restrict, enable.  Returns 0, -errno. */
int loop_seal(struct loop *l);

/* Write 1 to an eventfd without ever blocking on it, whatever its other holders have done to it.  It leaves with the next
 * loop_run_once (in the system call that waits, at no cost of its own), or with loop_submit.
 * Returns 0, -EBUSY, -ENOSPC, -EPERM (sealed, no registered file). */
int loop_kick(struct loop *l, int fd);
/* All that is queued leaves now; nothing does in a worker that is not sealed yet.
 * Returns 0; -EAGAIN, -errno: the kernel does not take it (no memory), and the rest stays queued. */
int loop_submit(struct loop *l);

/* Wait until something is ready or CLOCK_BOOTTIME reaches deadline_ns, and call who is concerned.
 *
 * @deadline_ns  absolute; 0: do not wait (no system call where nothing is pending); LOOP_FOREVER
 *
 * The kernel's timeout does not run while the machine sleeps: after a suspend the deadline may be met late.
 * Returns > 0: that many calls were made; 0: the deadline, or a signal handler ran; -errno, of a callback too. */
int loop_run_once(struct loop *l, uint64_t deadline_ns);

/* CLOCK_BOOTTIME, ns. */
uint64_t loop_now(void);
/* Block `signals` (ended by 0) and return a non-blocking signalfd for them, the caller's; -errno. */
int loop_signal_fd(const int *signals);
/* The next signal of it; 0: none; -errno. */
int loop_signal_take(int fd);
