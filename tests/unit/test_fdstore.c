/* Descriptors go up, are acknowledged, and come back; what is not in order is refused. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "runtime/fdstore.h"

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void store_open(struct fdshelf *shelf, struct fdstore *store)
{
	assert_int_equal(fdshelf_open(shelf), 0);
	fdshelf_expect(shelf, getpid());
	setenv("NOTIFY_SOCKET", shelf->address, 1);
	assert_int_equal(fdstore_open(store), 0);
	assert_true(fdstore_there(store));
	unsetenv("NOTIFY_SOCKET");
}

static bool same_file(int a, int b)
{
	uint64_t one = 1, got = 0;

	if (write(a, &one, sizeof one) != sizeof one)
		return false;
	return read(b, &got, sizeof got) == sizeof got && got == 1;
}

static void *receiver(void *arg)
{
	struct fdshelf *shelf = arg;
	struct pollfd p = { .fd = shelf->fd, .events = POLLIN };

	while (poll(&p, 1, 300) > 0)
		fdshelf_receive(shelf);
	return NULL;
}

/* Read while the receiver lives: the barrier orders it through the kernel, which the thread sanitizer does not see. */
__attribute__((no_sanitize("thread"), noinline)) static unsigned held_now(const struct fdshelf *shelf)
{
	return shelf->held.count;
}

static void a_barrier_means_held(void **state)
{
	struct fdshelf shelf;
	struct fdstore store;
	pthread_t t;
	int bell, back;
	unsigned before = open_fds();

	(void)state;
	store_open(&shelf, &store);
	bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(fdstore_barrier(&store, 20), -ETIMEDOUT);	/* nobody handles it */
	assert_int_equal(pthread_create(&t, NULL, receiver, &shelf), 0);
	assert_int_equal(fdstore_put(&store, "arena", bell), 0);
	assert_int_equal(fdstore_put(&store, "other", bell), 0);
	assert_int_equal(fdstore_barrier(&store, 2000), 0);
	assert_int_equal(held_now(&shelf), 2);
	assert_int_equal(fdstore_remove(&store, "other"), 0);
	assert_int_equal(fdstore_tell(&store, "READY=1\nSTATUS=up and well"), 0);
	assert_int_equal(fdstore_barrier(&store, 2000), 0);
	pthread_join(t, NULL);
	assert_int_equal(shelf.held.count, 1);
	assert_true(shelf.ready);
	assert_string_equal(shelf.status, "up and well");
	assert_int_equal(shelf.refused, 0);
	back = fds_take(&shelf.held, "arena");
	assert_true(same_file(bell, back));
	assert_int_equal(fds_take(&shelf.held, "arena"), -1);
	close(back);
	close(bell);
	fdstore_close(&store);
	fdshelf_close(&shelf);
	assert_int_equal(open_fds(), before);
}

static void what_is_not_in_order_is_refused(void **state)
{
	static const char *const bad[] = { "FDSTORE=1\nFDNAME=no fd", "FDSTORE=1", "HELLO=1", "", "FDSTOREREMOVE=1\nFDNAME=a:b",
		"BARRIER=1" };
	struct fdshelf shelf;
	struct fdstore store;
	unsigned n = sizeof bad / sizeof *bad;

	(void)state;
	store_open(&shelf, &store);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(fdstore_tell(&store, bad[i]), 0);
	assert_int_equal(fdstore_put(&store, "a:b", 2), 0);
	assert_int_equal(fdstore_put(&store, "a name that is far too long for it", 2), 0);
	assert_int_equal(fdshelf_receive(&shelf), 0);
	assert_int_equal(shelf.refused, n + 2);
	assert_int_equal(shelf.held.count, 0);
	fdshelf_expect(&shelf, getpid() + 1);	/* somebody else's descriptors are not taken */
	assert_int_equal(fdstore_put(&store, "arena", 2), 0);
	assert_int_equal(fdshelf_receive(&shelf), 0);
	assert_int_equal(shelf.held.count, 0);
	fdshelf_expect(&shelf, getpid());
	for (unsigned i = 0; i < FDSHELF_MAX + 5; i++) {
		assert_int_equal(fdstore_put(&store, "many", 2), 0);
		assert_int_equal(fdshelf_receive(&shelf), 0);
	}
	assert_int_equal(shelf.held.count, FDSHELF_MAX);
	fdstore_close(&store);
	fdshelf_close(&shelf);
}

static void without_anybody_above_it_does_nothing(void **state)
{
	struct fdstore store;

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(fdstore_open(&store), 0);
	assert_false(fdstore_there(&store));
	assert_int_equal(fdstore_put(&store, "arena", 2), 0);
	assert_int_equal(fdstore_barrier(&store, 1000), 0);
	setenv("NOTIFY_SOCKET", "relative/path", 1);
	assert_int_equal(fdstore_open(&store), -EINVAL);
	unsetenv("NOTIFY_SOCKET");
}

/* The child of spawn_child is this program again: see main. */
static void a_child_finds_them_by_name(void **state)
{
	char *const argv[] = { (char *)"test_fdstore", (char *)"--child", NULL };
	char *const env[] = { (char *)"CHILD_SAYS=7", NULL };
	struct fd_set_named set = { .count = 2 };
	struct spawn s = { .path = "/proc/self/exe", .argv = argv, .env = env, .listen = &set, .death_signal = SIGKILL };
	int one = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), two = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), pidfd, status;
	uint64_t got = 0;
	pid_t pid;

	(void)state;
	/* Crosswise: a descriptor lies where another must go. */
	set.at[0] = (struct named_fd){ "second", two };
	set.at[1] = (struct named_fd){ "first", one };
	setenv("LISTEN_FDS", "9", 1);		/* what is inherited by that name must not show through */
	assert_int_equal(spawn_child(&s, &pid, &pidfd), 0);
	unsetenv("LISTEN_FDS");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_int_equal(read(one, &got, sizeof got), sizeof got);
	assert_int_equal(got, 1);
	assert_int_equal(read(two, &got, sizeof got), sizeof got);
	assert_int_equal(got, 2);
	close(pidfd);
#ifndef __SANITIZE_THREAD__	/* it makes a fork of our vfork, whose child cannot tell its parent */
	s.path = "/nonexistent/program";
	assert_int_equal(spawn_child(&s, &pid, &pidfd), -ENOENT);
#endif
	close(one);
	close(two);
}

/* A child that only logs has nothing of the terminal of whoever started us. */
static void a_child_without_terminal_reads_and_writes_nothing(void **state)
{
	char *const argv[] = { (char *)"test_fdstore", (char *)"--null", NULL };
	int given = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), pidfd, status;
	struct spawn s = { .path = "/proc/self/exe", .argv = argv, .fds = &given, .fd_count = 1, .no_terminal = true };
	uint64_t got = 0;
	pid_t pid;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(spawn_child(&s, &pid, &pidfd), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), s.no_terminal ? 0 : 1);
		close(pidfd);
		s.no_terminal = false;
	}
	assert_int_equal(read(given, &got, sizeof got), sizeof got);
	assert_int_equal(got, 2);
	close(given);
}

/* 0: input and output are the null device, and descriptor 3 is what was given. */
static int null_child(void)
{
	struct stat null, in, out, err;
	uint64_t one = 1;

	if (stat("/dev/null", &null) || fstat(0, &in) || fstat(1, &out) || fstat(2, &err) || write(3, &one, 8) != 8)
		return 2;
	return in.st_rdev != null.st_rdev || out.st_rdev != null.st_rdev;
}

/* By a path: only its own user can send to it, and it goes with the shelf. */
static void a_shelf_with_a_path(void **state)
{
	char path[64], dir[] = P_tmpdir "/shelf.XXXXXX";
	struct fdshelf shelf, second;
	struct fdstore store;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/notify-hostd.sock", dir);
	assert_int_equal(fdshelf_open_at(&shelf, "relative"), -EINVAL);
	assert_int_equal(fdshelf_open_at(&shelf, path), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_string_equal(shelf.address, path);
	close(shelf.fd);				/* killed: its file stays */
	assert_int_equal(fdshelf_open_at(&second, path), 0);
	fdshelf_expect(&second, getpid());
	setenv("NOTIFY_SOCKET", second.address, 1);
	assert_int_equal(fdstore_open(&store), 0);
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(fdstore_put(&store, "arena", 2), 0);
	assert_int_equal(fdshelf_receive(&second), 0);
	assert_int_equal(second.held.count, 1);
	fdstore_close(&store);
	fdshelf_close(&second);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(rmdir(dir), 0);
}

static void *flood(void *arg)
{
	struct fdstore *store = ((void **)arg)[0];
	_Atomic bool *stop = ((void **)arg)[1];

	while (!*stop)
		fdstore_tell(store, "FDSTORE=1\nFDNAME=mine");
	return NULL;
}

/* Anybody may send to an abstract name: it is not believed, and keeps us from nothing. */
static void who_sends_without_an_end_is_left_after_a_while(void **state)
{
	struct fdshelf shelf;
	struct fdstore store;
	_Atomic bool stop = false;
	void *arg[] = { &store, &stop };
	pthread_t t;

	(void)state;
	store_open(&shelf, &store);
	fdshelf_expect(&shelf, getpid() + 1);
	assert_int_equal(pthread_create(&t, NULL, flood, arg), 0);
	for (unsigned i = 0; i < 20; i++) {
		unsigned long before = shelf.refused;

		assert_int_equal(fdshelf_receive(&shelf), 0);
		assert_in_range(shelf.refused - before, 0, FDSHELF_TURN);
	}
	stop = true;
	while (pthread_tryjoin_np(t, NULL))	/* it may wait for room */
		fdshelf_receive(&shelf);
	fdstore_close(&store);
	fdshelf_close(&shelf);
}

static int child(void)
{
	struct fd_set_named set;
	uint64_t one = 1, two = 2;
	int first, second;

	if (fds_inherited(&set) || set.count != 2 || getenv("LISTEN_FDS") || !fds_has(&set, "second") || fds_has(&set, "third"))
		return 1;
	first = fds_take(&set, "first");
	second = fds_take(&set, "second");
	if (first < 0 || second < 0 || write(first, &one, 8) != 8 || write(second, &two, 8) != 8)
		return 2;
	return atoi(getenv("CHILD_SAYS") ? getenv("CHILD_SAYS") : "3");
}

static void a_worker_is_gone_before_its_successor_comes(void **state)
{
	struct fdshelf shelf;
	struct fdstore store;
	pid_t pid = fork();
	int pidfd;

	(void)state;
	if (!pid) {
		pause();
		_exit(0);
	}
	store_open(&shelf, &store);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	assert_true(pidfd >= 0);
	assert_int_equal(fdstore_put(&store, "worker", pidfd), 0);
	assert_int_equal(fdshelf_receive(&shelf), 0);
	assert_int_equal(fdshelf_end_worker(&shelf, 2000), 0);
	assert_int_equal(shelf.held.count, 0);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), pid);
	assert_int_equal(fdshelf_end_worker(&shelf, 2000), 0);	/* none stored: fine */
	close(pidfd);
	fdstore_close(&store);
	fdshelf_close(&shelf);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_barrier_means_held),
		cmocka_unit_test(what_is_not_in_order_is_refused),
		cmocka_unit_test(without_anybody_above_it_does_nothing),
		cmocka_unit_test(a_child_finds_them_by_name),
		cmocka_unit_test(a_worker_is_gone_before_its_successor_comes),
		cmocka_unit_test(a_child_without_terminal_reads_and_writes_nothing),
		cmocka_unit_test(a_shelf_with_a_path),
		cmocka_unit_test(who_sends_without_an_end_is_left_after_a_while),
	};

	if (argc > 1 && !strcmp(argv[1], "--child"))
		return child();
	if (argc > 1 && !strcmp(argv[1], "--null"))
		return null_child();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
