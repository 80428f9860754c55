/* tests/lib/stepper.c - see stepper.h. */
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/lib/stepper.h"

struct stepper_touched {
	unsigned count;
	unsigned page[STEPPER_PAGES];
	size_t octets;
};
static uint8_t *child_at;
static struct stepper_touched *child_touched;
static struct { size_t from, to; } kernels;	/* octets of it that the kernel writes to */

void stepper_pin(void)
{
	cpu_set_t one;
	int cpu = sched_getcpu();

	CPU_ZERO(&one);
	CPU_SET(cpu < 0 ? 0u : (unsigned)cpu, &one);
	sched_setaffinity(0, sizeof one, &one);
}

/* ---- the child ---- */
static void on_touch(int sig, siginfo_t *info, void *context)
{
	uint8_t *at = info->si_addr;
	struct stepper_touched *t = child_touched;

	(void)context;
	if (at < child_at || at >= child_at + t->octets || t->count == STEPPER_PAGES) {
		signal(sig, SIG_DFL);		/* its own mistake: it comes again */
		return;
	}
	t->page[t->count] = (unsigned)((size_t)(at - child_at) / STEPPER_PAGE);
	mprotect(child_at + (size_t)t->page[t->count] * STEPPER_PAGE, STEPPER_PAGE, PROT_READ | PROT_WRITE);
	t->count++;
}

void stepper_kernel_writes(const uint8_t *at, size_t octets)
{
	kernels.from = (size_t)(at - child_at);
	kernels.to = kernels.from + octets;
}

/* To where the kernel writes, it must be able to: a touch of its own it does not ask us about.  The first and the last page of that
 * are watched all the same. */
static void protect(void)
{
	size_t from = kernels.from / STEPPER_PAGE, to = (kernels.to + STEPPER_PAGE - 1) / STEPPER_PAGE;

	mprotect(child_at, child_touched->octets, PROT_READ);
	child_touched->count = 0;
	if (from == to)
		return;
	mprotect(child_at + from * STEPPER_PAGE, (to - from) * STEPPER_PAGE, PROT_READ | PROT_WRITE);
	child_touched->page[child_touched->count++] = (unsigned)from;
	child_touched->page[child_touched->count++] = (unsigned)to - 1;
}

void stepper_ready(void)
{
	struct sigaction a = { .sa_sigaction = on_touch, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &a, NULL);
	protect();
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
}

void stepper_pause(void)
{
	protect();
	raise(SIGSTOP);
}

/* ---- the parent ---- */
void stepper_start(struct stepper *p, const uint8_t *at, size_t octets, uint8_t *(*map)(void *ctx),
    void (*body)(uint8_t *at, void *ctx), void *ctx)
{
	bool calls = p->calls;
	int st;

	*p = (struct stepper){ .at = at, .calls = calls, .was = malloc(octets) };
	assert_true(p->was && octets / STEPPER_PAGE <= STEPPER_PAGES && octets % STEPPER_PAGE == 0);
	p->touched = mmap(NULL, sizeof *p->touched, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(p->touched != MAP_FAILED);
	p->touched->octets = octets;
	memcpy(p->was, at, octets);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (!p->pid) {
		child_touched = p->touched;
		child_at = map(ctx);
		body(child_at, ctx);
		_exit(0);
	}
	assert_int_equal(waitpid(p->pid, &st, 0), p->pid);
	assert_true(WIFSTOPPED(st));
	ptrace(PTRACE_SETOPTIONS, p->pid, NULL, (void *)(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD));
	memcpy(p->was, at, octets);
}

static bool changed(struct stepper *p)
{
	bool yes = false;

	for (unsigned i = 0; i < p->touched->count; i++) {
		size_t off = (size_t)p->touched->page[i] * STEPPER_PAGE;

		if (memcmp(p->was + off, p->at + off, STEPPER_PAGE)) {
			memcpy(p->was + off, p->at + off, STEPPER_PAGE);
			yes = true;
		}
	}
	return yes;
}

/* Is the next instruction a system call? */
static bool at_call(const struct stepper *p)
{
#ifdef __x86_64__
	struct user_regs_struct r;

	if (ptrace(PTRACE_GETREGS, p->pid, NULL, &r) < 0)
		return false;
	return (ptrace(PTRACE_PEEKTEXT, p->pid, (void *)(uintptr_t)r.rip, NULL) & 0xFFFF) == 0x050F;
#else
	(void)p;
	return false;
#endif
}

/* The number of the system call under way or just over, -1 where that cannot be told. */
static long call_number(const struct stepper *p)
{
#ifdef __x86_64__
	struct user_regs_struct r;

	return ptrace(PTRACE_GETREGS, p->pid, NULL, &r) < 0 ? -1 : (long)r.orig_rax;
#else
	(void)p;
	return -1;
#endif
}

enum stepped stepper_to_call(struct stepper *p)
{
	bool inside = false;
	int st, sig = 0;

	for (;;) {
		ptrace(PTRACE_SYSCALL, p->pid, NULL, (void *)(intptr_t)sig);
		if (waitpid(p->pid, &st, 0) != p->pid)
			return STEPPED_ABORT;
		if (!WIFSTOPPED(st)) {
			p->pid = -1;
			return WIFEXITED(st) && !WEXITSTATUS(st) ? STEPPED_END : STEPPED_ABORT;
		}
		sig = WSTOPSIG(st) == SIGSEGV ? SIGSEGV : 0;
		if (sig)
			continue;
		if (WSTOPSIG(st) != (SIGTRAP | 0x80))
			return STEPPED_ABORT;
		inside = !inside;
		if (!inside && call_number(p) != SYS_mprotect && call_number(p) != SYS_rt_sigreturn)
			break;
	}
	changed(p);
	return STEPPED_CALL;
}

enum stepped stepper_step(struct stepper *p)
{
	int st, sig = 0;
	bool call = p->calls && at_call(p);

	for (;;) {
		ptrace(PTRACE_SINGLESTEP, p->pid, NULL, (void *)(intptr_t)sig);
		if (waitpid(p->pid, &st, 0) != p->pid)
			return STEPPED_ABORT;
		if (!WIFSTOPPED(st)) {
			p->pid = -1;
			return WIFEXITED(st) && !WEXITSTATUS(st) ? STEPPED_END : STEPPED_ABORT;
		}
		sig = WSTOPSIG(st);
		if (sig == SIGTRAP)
			break;
		if (sig == SIGSTOP)
			return STEPPED_PAUSE;
		if (sig != SIGSEGV)
			return STEPPED_ABORT;
	}
	p->instructions++;
	if (call)
		return changed(p), STEPPED_CALL;
	return changed(p) ? STEPPED_CHANGE : STEPPED_NOTHING;
}

void stepper_look(struct stepper *p) { memcpy(p->was, p->at, p->touched->octets); }

void stepper_stop(struct stepper *p)
{
	int st;

	if (p->pid > 0) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, &st, __WALL);
	}
	munmap(p->touched, sizeof *p->touched);
	free(p->was);
	p->was = NULL;
}
