/* tests/hostile/cage_calls.c - attempts by system call.  Straight system calls: the C library might try another one. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/hostile/cage.h"

#define CALL(...) (syscall(__VA_ARGS__) < 0 ? -errno : 0)
#define TRY(name, ...) static long try_##name(struct cage *c) { (void)c; return CALL(__VA_ARGS__); }

static const char *beside(const struct cage *c, const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s-%d", c->dir, name, getpid());
	return path;
}
static const char *of_neighbour(const struct cage *c, const char *name)
{
	static char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", c->neighbour, name);
	return path;
}

/* ---- files ---- */
TRY(open, SYS_open, c->file, O_RDWR)
TRY(openat, SYS_openat, AT_FDCWD, c->file, O_RDWR)
TRY(openat2, SYS_openat2, AT_FDCWD, c->file, &(struct open_how){ .flags = O_RDONLY }, sizeof(struct open_how))
TRY(creat, SYS_creat, beside(c, "creat"), 0600)
TRY(unlink, SYS_unlinkat, AT_FDCWD, c->victim, 0)
TRY(rename, SYS_renameat2, AT_FDCWD, c->victim, AT_FDCWD, beside(c, "renamed"), 0)
TRY(mkdir, SYS_mkdirat, AT_FDCWD, beside(c, "dir"), 0700)
TRY(symlink, SYS_symlinkat, "/", AT_FDCWD, beside(c, "symlink"))
TRY(link, SYS_linkat, AT_FDCWD, c->file, AT_FDCWD, beside(c, "link"), 0)
TRY(mknod, SYS_mknodat, AT_FDCWD, beside(c, "fifo"), 0010600, 0)
TRY(truncate, SYS_truncate, c->file, 0)
TRY(chmod, SYS_fchmodat, AT_FDCWD, c->file, 0666)
TRY(chown, SYS_fchownat, AT_FDCWD, c->file, getuid(), -1, 0)
TRY(stat, SYS_newfstatat, AT_FDCWD, c->file, &(struct { char at[256]; }){ { 0 } }, 0)
TRY(access, SYS_faccessat, AT_FDCWD, c->file, R_OK)
TRY(readlink, SYS_readlinkat, AT_FDCWD, "/proc/self/exe", (char[256]){ 0 }, 256)
TRY(chdir, SYS_chdir, c->dir)
TRY(inotify, SYS_inotify_init1, 0)
TRY(memfd, SYS_memfd_create, "x", 0)
TRY(memory_of_neighbour, SYS_openat, AT_FDCWD, of_neighbour(c, "mem"), O_RDWR)
TRY(maps_of_neighbour, SYS_openat, AT_FDCWD, of_neighbour(c, "maps"), O_RDONLY)
static long try_region_reopened(struct cage *c)		/* the read-only descriptor, opened again for writing */
{
	char path[40];

	snprintf(path, sizeof path, "/proc/self/fd/%d", c->region);
	return CALL(SYS_openat, AT_FDCWD, path, O_RDWR);
}

/* ---- the neighbour's region ---- */
static long try_region_mapped(struct cage *c)
{
	return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, c->region, 0) == -1 ? -errno : 0;
}
static long try_region_read_again(struct cage *c)	/* even to read: the descriptor itself is gone */
{
	return syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_SHARED, c->region, 0) == -1 ? -errno : 0;
}
TRY(region_made_writable, SYS_mprotect, c->theirs, 4096, PROT_READ | PROT_WRITE)
TRY(region_punched, SYS_madvise, c->theirs, 4096, MADV_REMOVE)
TRY(region_written, SYS_pwrite64, c->region, "x", 1, 0)
TRY(region_cut, SYS_ftruncate, c->region, 0)
TRY(region_chmod, SYS_fchmod, c->region, 0600)
TRY(region_sealed, SYS_fcntl, c->region, F_ADD_SEALS, F_SEAL_WRITE)
static long try_region_shared(struct cage *c)		/* handed to somebody else */
{
	union { struct cmsghdr head; char at[CMSG_SPACE(sizeof(int))]; } rights = { .at = { 0 } };
	struct iovec io = { CONTROL_STR("x"), 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = rights.at, .msg_controllen = sizeof rights.at };

	rights.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&rights.head), &c->region, sizeof c->region);
	return CALL(SYS_sendmsg, c->w->control.fd, &m, MSG_DONTWAIT);
}

/* ---- descriptors and sockets ---- */
TRY(socket, SYS_socket, AF_UNIX, SOCK_STREAM, 0)
TRY(socket_inet, SYS_socket, AF_INET, SOCK_DGRAM, 0)
TRY(socket_netlink, SYS_socket, AF_NETLINK, SOCK_RAW, 0)
TRY(socketpair, SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, (int[2]){ 0 })
static long try_connect(struct cage *c)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	strncpy(at.sun_path, c->listener, sizeof at.sun_path - 1);
	return CALL(SYS_connect, c->socket, &at, sizeof at);
}
TRY(bind, SYS_bind, c->socket, &(struct sockaddr){ .sa_family = AF_UNIX }, sizeof(sa_family_t))
TRY(listen, SYS_listen, c->listening, 5)
TRY(accept, SYS_accept4, c->listening, NULL, NULL, 0)
TRY(setsockopt, SYS_setsockopt, c->socket, SOL_SOCKET, SO_RCVBUF, &(int){ 65536 }, sizeof(int))
TRY(dup, SYS_dup, 2)
TRY(fcntl, SYS_fcntl, 2, F_GETFL)
TRY(clear_nonblock, SYS_fcntl, c->w->link[LINK_SUPERVISOR].bell, F_SETFL, 0)
TRY(ioctl_nonblock, SYS_ioctl, c->w->link[LINK_SUPERVISOR].bell, FIONBIO, &(int){ 0 })
TRY(eventfd, SYS_eventfd2, 0, 0)
TRY(pipe, SYS_pipe2, (int[2]){ 0 }, 0)
TRY(epoll, SYS_epoll_create1, 0)
TRY(timerfd, SYS_timerfd_create, 1, 0)
TRY(signalfd, SYS_signalfd4, -1, &(uint64_t){ 0 }, 8, 0)
TRY(io_uring_setup, SYS_io_uring_setup, 4, &(struct io_uring_params){ 0 })
TRY(io_uring_register, SYS_io_uring_register, loop_fd(c->w->loop), IORING_REGISTER_PROBE, &(struct { char at[4096]; }){ { 0 } }, 8)
TRY(io_uring_files, SYS_io_uring_register, loop_fd(c->w->loop), IORING_REGISTER_FILES_UPDATE,
    &(struct io_uring_files_update){ .fds = (uint64_t)(uintptr_t)(int[1]){ 2 } }, 1)
TRY(io_setup, SYS_io_setup, 1, &(unsigned long){ 0 })

/* ---- other processes ---- */
TRY(kill_neighbour, SYS_kill, c->neighbour, SIGURG)
TRY(kill_supervisor, SYS_kill, getppid(), SIGURG)
TRY(kill_all, SYS_kill, 0, 0)
TRY(tkill, SYS_tkill, c->neighbour, SIGURG)
TRY(tgkill_neighbour, SYS_tgkill, c->neighbour, c->neighbour, SIGURG)
TRY(tgkill_supervisor, SYS_tgkill, getppid(), getppid(), SIGURG)
TRY(sigqueue, SYS_rt_sigqueueinfo, c->neighbour, SIGURG, &(siginfo_t){ .si_signo = SIGURG, .si_code = SI_QUEUE })
TRY(pidfd_send_signal, SYS_pidfd_send_signal, c->pidfd, SIGURG, NULL, 0)
TRY(pidfd_open, SYS_pidfd_open, c->neighbour, 0)
TRY(pidfd_getfd, SYS_pidfd_getfd, c->pidfd, 0, 0)
TRY(ptrace_attach, SYS_ptrace, PTRACE_SEIZE, c->neighbour, 0, 0)
TRY(ptrace_me, SYS_ptrace, PTRACE_TRACEME, 0, 0, 0)
static long transfer(struct cage *c, long number)
{
	uint32_t mine = CAGE_SECRET;
	struct iovec here = { &mine, sizeof mine }, there = { c->secret, sizeof mine };

	if (syscall(number, c->neighbour, &here, 1, &there, 1, 0) < 0)
		return -errno;
	return mine == CAGE_SECRET ? 0 : -EIO;
}
static long try_process_vm_readv(struct cage *c) { return transfer(c, SYS_process_vm_readv); }
static long try_process_vm_writev(struct cage *c) { return transfer(c, SYS_process_vm_writev); }
TRY(prlimit_neighbour, SYS_prlimit64, c->neighbour, RLIMIT_CORE, NULL, &(struct rlimit){ 0, 0 })
TRY(setpriority, SYS_setpriority, PRIO_PROCESS, c->neighbour, 0)
TRY(setaffinity, SYS_sched_setaffinity, c->neighbour, sizeof(long), &(unsigned long){ ~0ul })
TRY(process_madvise, SYS_process_madvise, c->pidfd, &(struct iovec){ (void *)((uintptr_t)c->secret & ~4095ul), 4096 }, 1, MADV_COLD, 0)
static long try_fork(struct cage *c)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	(void)c;
	if (pid == 0)
		_exit(0);
	return pid < 0 ? -errno : 0;
}
static long try_clone3(struct cage *c)
{
	uint64_t args[8] = { [4] = SIGCHLD };
	long pid = syscall(SYS_clone3, args, sizeof args);

	(void)c;
	if (pid == 0)
		_exit(0);
	return pid < 0 ? -errno : 0;
}
static long try_execve(struct cage *c)		/* it runs: exit code 0 of true, which test_cage.c takes for CAGE_DONE */
{
	char *const argv[] = { CONTROL_STR("true"), NULL };

	(void)c;
	return CALL(SYS_execve, "/bin/true", argv, NULL);
}
static long try_execveat(struct cage *c)
{
	char *const argv[] = { CONTROL_STR("true"), NULL };

	(void)c;
	return CALL(SYS_execveat, AT_FDCWD, "/bin/true", argv, NULL, 0);
}

/* ---- ourselves ---- */
TRY(setuid, SYS_setuid, 0)
TRY(setresuid, SYS_setresuid, 0, 0, 0)
TRY(setresgid, SYS_setresgid, 0, 0, 0)
TRY(setgroups, SYS_setgroups, 0, NULL)
TRY(capset, SYS_capset, &(struct __user_cap_header_struct){ _LINUX_CAPABILITY_VERSION_3, 0 },
    (struct __user_cap_data_struct[2]){ { 0 } })
TRY(prctl_dumpable, SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)
TRY(prctl_new_privs, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
TRY(prctl_orphan, SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0)
TRY(prctl_name, SYS_prctl, PR_SET_NAME, "honest", 0, 0, 0)
TRY(seccomp, SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &(uint32_t){ SECCOMP_RET_ALLOW })
TRY(setrlimit, SYS_setrlimit, RLIMIT_NOFILE, &(struct rlimit){ 64, 64 })
TRY(personality, SYS_personality, 0xFFFFFFFF)
TRY(sigaction, SYS_rt_sigaction, SIGSEGV, NULL, &(struct { char at[64]; }){ { 0 } }, 8)
TRY(exec_memory, SYS_mprotect, (uintptr_t)c->low, 4096, PROT_READ | PROT_EXEC)
static long try_exec_mapping(struct cage *c)
{
	(void)c;
	return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1 ? -errno : 0;
}
TRY(setitimer, SYS_setitimer, 0, &(struct { long at[4]; }){ { 0 } }, NULL)
TRY(setsid, SYS_setpgid, 0, 0)
TRY(umask, SYS_umask, 077)

/* ---- the machine ---- */
TRY(unshare_user, SYS_unshare, CLONE_NEWUSER)
TRY(unshare_mount, SYS_unshare, CLONE_NEWNS)
TRY(setns, SYS_setns, c->pidfd, CLONE_NEWUTS)
TRY(mount, SYS_mount, "none", c->dir, "tmpfs", 0, NULL)
TRY(chroot, SYS_chroot, c->dir)
TRY(bpf, SYS_bpf, BPF_MAP_CREATE, &(union bpf_attr){ .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 },
    sizeof(union bpf_attr))
TRY(perf, SYS_perf_event_open, &(struct perf_event_attr){ .type = PERF_TYPE_SOFTWARE, .size = sizeof(struct perf_event_attr),
    .config = PERF_COUNT_SW_CPU_CLOCK }, 0, -1, -1, 0)
TRY(userfaultfd, SYS_userfaultfd, O_CLOEXEC)
TRY(keyctl, SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1)
TRY(add_key, SYS_add_key, "user", "trefoil-cage", "x", 1, KEY_SPEC_PROCESS_KEYRING)
TRY(shmget, SYS_shmget, IPC_PRIVATE, 4096, 0)
TRY(syslog, SYS_syslog, 10, NULL, 0)
TRY(landlock, SYS_landlock_create_ruleset, NULL, 0, 1)
TRY(fsopen, SYS_fsopen, "tmpfs", 0)
TRY(open_tree, SYS_open_tree, AT_FDCWD, c->dir, 0)
TRY(name_to_handle, SYS_name_to_handle_at, AT_FDCWD, c->file, &(struct { unsigned n; int type; char at[128]; }){ .n = 128 }, &(int){ 0 }, 0)

/* The other doors into the kernel: numbers of x32, and the 32-bit gate. */
TRY(open_x32, 0x40000000 | SYS_open, c->file, O_RDONLY)
static long try_open_i386(struct cage *c)
{
	long r = 5;		/* open, on i386 */

	__asm__ volatile("int $0x80" : "+a"(r) : "b"(c->low), "c"(0), "d"(0) : "memory", "r8", "r9", "r10", "r11");
	return (int)r;
}

#define ROW(n) { #n, try_##n },
const struct attempt cage_calls[] = {
	ROW(open) ROW(openat) ROW(openat2) ROW(creat) ROW(unlink) ROW(rename) ROW(mkdir) ROW(symlink) ROW(link) ROW(mknod)
	ROW(truncate) ROW(chmod) ROW(chown) ROW(stat) ROW(access) ROW(readlink) ROW(chdir) ROW(inotify) ROW(memfd)
	ROW(memory_of_neighbour) ROW(maps_of_neighbour) ROW(region_reopened)
	ROW(region_mapped) ROW(region_read_again) ROW(region_made_writable) ROW(region_punched) ROW(region_written) ROW(region_cut)
	ROW(region_chmod) ROW(region_sealed) ROW(region_shared)
	ROW(socket) ROW(socket_inet) ROW(socket_netlink) ROW(socketpair) ROW(connect) ROW(bind) ROW(listen) ROW(accept)
	ROW(setsockopt) ROW(dup) ROW(fcntl) ROW(clear_nonblock) ROW(ioctl_nonblock) ROW(eventfd) ROW(pipe) ROW(epoll) ROW(timerfd)
	ROW(signalfd) ROW(io_uring_setup) ROW(io_uring_register) ROW(io_uring_files) ROW(io_setup)
	ROW(kill_neighbour) ROW(kill_supervisor) ROW(kill_all) ROW(tkill) ROW(tgkill_neighbour) ROW(tgkill_supervisor) ROW(sigqueue)
	ROW(pidfd_send_signal) ROW(pidfd_open) ROW(pidfd_getfd) ROW(ptrace_attach) ROW(ptrace_me) ROW(process_vm_readv)
	ROW(process_vm_writev) ROW(prlimit_neighbour) ROW(setpriority) ROW(setaffinity) ROW(process_madvise) ROW(fork) ROW(clone3)
	ROW(execve) ROW(execveat)
	ROW(setuid) ROW(setresuid) ROW(setresgid) ROW(setgroups) ROW(capset) ROW(prctl_dumpable) ROW(prctl_new_privs)
	ROW(prctl_orphan) ROW(prctl_name) ROW(seccomp) ROW(setrlimit) ROW(personality) ROW(sigaction) ROW(exec_memory)
	ROW(exec_mapping) ROW(setitimer) ROW(setsid) ROW(umask)
	ROW(unshare_user) ROW(unshare_mount) ROW(setns) ROW(mount) ROW(chroot) ROW(bpf) ROW(perf) ROW(userfaultfd) ROW(keyctl)
	ROW(add_key) ROW(shmget) ROW(syslog) ROW(landlock) ROW(fsopen) ROW(open_tree) ROW(name_to_handle) ROW(open_x32) ROW(open_i386)
	{ 0 }
};
