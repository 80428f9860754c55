/* runtime/sandbox.h - takes from a worker everything that it does not need, for good.
 *
 * sandbox_enter, in this order:
 *
 *   descriptors  all but the given ones are closed
 *   ids          setgroups(0), setresgid, setresuid to the worker's own, if one is given
 *   rlimits      core, locks, queues, processes: 0; descriptors: none above those that stay; file size: 0, unless a
 *                log or a capture that stays is there to grow
 *   parent       PR_SET_PDEATHSIG SIGKILL after the change of uid (it would be cleared), then: is it still our parent?
 *   secrets      not dumpable (no ptrace, no core, /proc closed to the same uid)
 *   privilege    all capabilities dropped, no_new_privs
 *   system calls a list (seccomp); everything else kills the process by SIGSYS
 *
 * The io_uring is not this file's: it must be restricted before (loop_seal), as seccomp does not see what goes through it.
 *
 * What is left: read, write, sendmsg, recvmsg on descriptors that are there; io_uring_enter; memory without PROT_EXEC; time,
 * randomness; exit.  Address and undefined-behaviour sanitizers need more: only a build with them has more.
 * Refuses: to run without one of its walls (-errno and which one). */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A system call that may be made; with `only`, where its second argument is `second` (of ioctl, fcntl: what is to be done). */
struct sandbox_call {
	int number;
	bool only;
	unsigned second;
};

struct sandbox_plan {
	uid_t uid;			/* 0: stay who we are */
	gid_t gid;
	pid_t parent;			/* who must still be our parent; 0: not checked, and its death does not kill us */
	const int *keep;		/* descriptors that stay, the ring's too (loop_fd); 0, 1, 2 always do; borrowed */
	unsigned keep_count;
	const struct sandbox_call *syscalls;	/* more that are allowed, ended by number -1; NULL: none.  Not io_uring_setup,
						 * _register */
};

/* @ret_wall  on failure: a word for what could not be done; may be NULL
 * Returns 0; -ESRCH: the parent is gone; -errno. */
int sandbox_enter(const struct sandbox_plan *p, const char **ret_wall);

/* "seccomp rlimits nodump noprivs uid=61802", "" before sandbox_enter; what `status` shows of one worker. */
const char *sandbox_describe(void);
