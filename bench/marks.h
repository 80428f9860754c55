/* bench/marks.h - what the kernel has counted for our three workers, at one moment.
 *
 * CPU: schedstat, nanoseconds on a processor, of all threads.  Context switches: both kinds.  System calls: the kernel's own
 * trace point raw_syscalls:sys_enter, counted by perf_event_open; it costs a worker some 20 ns a call and needs root (or
 * CAP_PERFMON) and tracefs; where it cannot be had, has_calls is false and the rest stands. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { MARKS_MAX = 4 };

struct counted { uint64_t cpu_ns, switches, calls; };
struct marks {
	unsigned count;			/* processes */
	pid_t pid[MARKS_MAX];
	int call_fd[MARKS_MAX];		/* -1: none */
	bool has_calls;
};

/* Watch these processes.  `calls`: their system calls as well. */
void marks_open(struct marks *m, const pid_t *pid, unsigned count, bool calls);
void marks_close(struct marks *m);
/* Read all counters now.  Of a process that is gone: zeroes. */
void marks_read(const struct marks *m, struct counted ret[MARKS_MAX]);
