/* runtime/sandbox_seccomp.c - the list of system calls; what is not in it kills the process (SIGSYS). */
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>
#include "runtime/sandbox_own.h"

/* Nothing here opens, creates, executes, or reaches another process. */
static const int plain[] = {
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(close),
	SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(shutdown),
	SCMP_SYS(io_uring_enter), SCMP_SYS(futex),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(getrandom),
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(madvise),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield),
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid),
	SCMP_SYS(exit), SCMP_SYS(exit_group),
};
/* What the sanitizers do behind our back: stacks, symbols, their leak checker's look around. */
static const int loose[] = {
	SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(mremap), SCMP_SYS(sigaltstack), SCMP_SYS(rt_sigaction), SCMP_SYS(getrlimit),
	SCMP_SYS(prlimit64), SCMP_SYS(sched_getaffinity), SCMP_SYS(readlink), SCMP_SYS(newfstatat), SCMP_SYS(fstat),
	SCMP_SYS(lseek), SCMP_SYS(ioctl), SCMP_SYS(fcntl), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(prctl), SCMP_SYS(pipe2),
	SCMP_SYS(set_robust_list), SCMP_SYS(mincore), SCMP_SYS(uname), SCMP_SYS(dup),
};

static int allow_list(scmp_filter_ctx f, const int *at, size_t count)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, at[i], 0);
	return r;
}

/* Those that are allowed with some arguments only. */
static int allow_some(scmp_filter_ctx f)
{
	int r = 0;

	if (!SANDBOX_LOOSE) {
		/* Memory for malloc and for a link's regions: never executable. */
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
		if (r == 0)
			r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mremap), 0);
		if (r == 0)
			r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	}
	/* abort() signals its own thread; nobody else. */
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
	/* ... after it has put SIGABRT back to its default; no other handler can be changed. */
	if (r == 0 && !SANDBOX_LOOSE)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(rt_sigaction), 1, SCMP_A0(SCMP_CMP_EQ, SIGABRT, 0));
	return r;
}

/* The program's own list, but for the two that would undo the ring's restrictions. */
static int allow_own(scmp_filter_ctx f, const struct sandbox_call *at)
{
	int r = 0;

	for (; at && r == 0 && at->number != -1; at++) {
		if (at->number == SCMP_SYS(io_uring_setup) || at->number == SCMP_SYS(io_uring_register))
			return -EINVAL;
		r = at->only ? seccomp_rule_add(f, SCMP_ACT_ALLOW, at->number, 1, SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, at->second)) :
		    seccomp_rule_add(f, SCMP_ACT_ALLOW, at->number, 0);
		if (r == -EEXIST)	/* the plain list has it already */
			r = 0;
	}
	return r;
}

int sandbox_seccomp(const struct sandbox_plan *p)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (f == NULL)
		return -ENOMEM;
	seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);	/* a binary search: the list is asked at each call */
	r = allow_list(f, plain, sizeof plain / sizeof *plain);
	if (r == 0 && SANDBOX_LOOSE)
		r = allow_list(f, loose, sizeof loose / sizeof *loose);
	if (r == 0)
		r = allow_some(f);
	if (r == 0)
		r = allow_own(f, p->syscalls);
	if (r == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	return r;
}
