/* Segments and links: sizes, seals, who may write, and what is adopted from a peer. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <dirent.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/types.h"
#include "shm/link.h"

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
static void test_size_is_final(void **state)
{
	struct segment s = SEGMENT_NONE;
	unsigned before = open_fds();

	(void)state;
	assert_int_equal(segment_create("t", 5000, &s), 0);
	assert_int_equal(s.len, 8192);
	assert_int_equal(ftruncate(s.fd, 4096), -1);
	assert_int_equal(ftruncate(s.fd, 16384), -1);
	assert_int_equal(fcntl(s.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	segment_close(&s);
	segment_close(&s);
	assert_int_equal(open_fds(), before);
}
static void test_reader_cannot_write(void **state)
{
	struct segment s = SEGMENT_NONE, r = SEGMENT_NONE;
	int fd;

	(void)state;
	assert_int_equal(segment_create("t", 4096, &s), 0);
	fd = segment_reader_fd(&s);
	assert_true(fd >= 0);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(segment_attach(fd, 4096, false, &r), 0);
	assert_int_equal(mprotect(r.at, 4096, PROT_READ | PROT_WRITE), -1);
	strcpy(s.at, "seen");
	assert_string_equal(r.at, "seen");
	segment_close(&r);
	segment_close(&s);
}
/* The octet at `at` is read in a child: how that ends. */
static int look_at(const volatile uint8_t *at)
{
	int status;
	pid_t p = fork();

	if (!p) {
		signal(SIGSEGV, SIG_DFL);	/* a sanitizer's handler would make it an exit */
		(void)*at;
		_exit(0);
	}
	assert_int_equal(waitpid(p, &status, 0), p);
	return status;
}
static void ends_are_guarded(const struct segment *s)
{
	const uint8_t *at = s->at;
	int before = look_at(at - 1), after = look_at(at + s->len);

	assert_int_equal(look_at(at), 0);
	assert_int_equal(look_at(at + s->len - 1), 0);
	assert_true(WIFSIGNALED(before) && WTERMSIG(before) == SIGSEGV);
	assert_true(WIFSIGNALED(after) && WTERMSIG(after) == SIGSEGV);
}
static void test_both_ends_are_guarded(void **state)
{
	struct segment owner, reader, more[8];
	uint8_t *at;

	(void)state;
	/* Many at once: without guards the kernel would lay them side by side. */
	for (unsigned i = 0; i < ARRAY_LEN(more); i++)
		assert_int_equal(segment_create("t", 8192, &more[i]), 0);
	assert_int_equal(segment_create("t", 5000, &owner), 0);
	assert_int_equal(segment_attach(segment_reader_fd(&owner), 5000, false, &reader), 0);
	ends_are_guarded(&owner);
	ends_are_guarded(&reader);
	at = reader.at;
	segment_close(&reader);		/* the guards go with it */
	assert_int_equal(msync(at - 4096, 4096, MS_ASYNC), -1);
	assert_int_equal(msync(at + 8192, 4096, MS_ASYNC), -1);
	segment_close(&owner);
	for (unsigned i = 0; i < ARRAY_LEN(more); i++)
		segment_close(&more[i]);
}
/* Under another uid the /proc reopen is refused too: that is what distinct uids are for. */
static void test_reader_under_another_uid_cannot_reopen(void **state)
{
	struct segment s = SEGMENT_NONE;
	int fd, st;
	pid_t p;

	(void)state;
	if (getuid()) {
		print_message("not root: all runs under one uid, and the sandbox alone stands here\n");
		skip();
	}
	assert_int_equal(segment_create("t", 4096, &s), 0);
	fd = segment_reader_fd(&s);
	p = fork();
	if (!p) {
		char path[40];

		if (setgid(61899) || setuid(61899))
			_exit(1);
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		_exit(open(path, O_RDWR) >= 0 ? 2 : fchmod(fd, 0666) == 0 ? 3 : 0);
	}
	assert_int_equal(waitpid(p, &st, 0), p);
	assert_true(WIFEXITED(st));
	assert_int_equal(WEXITSTATUS(st), 0);
	close(fd);
	segment_close(&s);
}
static int loose_memfd(size_t len, int seals)
{
	int fd = memfd_create("t", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}
static void test_misshapen_is_refused(void **state)
{
	const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	unsigned before = open_fds();
	struct segment s = SEGMENT_NONE;

	(void)state;
	assert_int_equal(segment_attach(loose_memfd(4096, F_SEAL_GROW), 4096, true, &s), SEGMENT_E_MISSHAPEN);
	assert_int_equal(segment_attach(loose_memfd(4096, F_SEAL_SHRINK | F_SEAL_GROW), 4096, true, &s), SEGMENT_E_MISSHAPEN);
	assert_int_equal(segment_attach(loose_memfd(8192, all), 4096, true, &s), SEGMENT_E_MISSHAPEN);
	assert_int_equal(segment_attach(loose_memfd(0, all), 4096, true, &s), SEGMENT_E_MISSHAPEN);
	assert_int_equal(segment_attach(-1, 4096, true, &s), -EBADF);
	assert_int_equal(segment_attach(loose_memfd(4096, all), 4096, true, &s), 0);
	segment_close(&s);
	assert_int_equal(open_fds(), before);
}
static void test_link_adopts_only_what_was_agreed(void **state)
{
	struct link_end a = LINK_END_NONE, b = LINK_END_NONE;
	unsigned before = open_fds();
	uint64_t rung;

	(void)state;
	assert_int_equal(link_end_create("a", 3000, &a), -EINVAL);
	assert_int_equal(link_end_create("a", 4096, &a), 0);
	assert_int_equal(link_end_create("b", 4096, &b), 0);
	assert_int_equal(link_end_adopt(&a, segment_reader_fd(&b.mine), open("/dev/null", O_RDWR)), LINK_E_PEER);	/* no eventfd */
	assert_int_equal(link_end_adopt(&a, open("/dev/zero", O_RDONLY), eventfd(0, 0)), LINK_E_PEER);			/* no memfd */
	assert_int_equal(link_end_adopt(&a, loose_memfd(1 << 20, F_SEAL_SEAL), eventfd(0, 0)), LINK_E_PEER);		/* another size */
	assert_int_equal(link_end_adopt(&a, -1, -1), LINK_E_PEER);
	assert_null(a.theirs.at);
	assert_int_equal(link_end_adopt(&a, segment_reader_fd(&b.mine), dup(b.bell)), 0);
	assert_int_equal(link_end_adopt(&a, segment_reader_fd(&b.mine), dup(b.bell)), 0);	/* again: the older half is let go */
	assert_int_equal(eventfd_write(a.peer_bell, 1), 0);
	assert_int_equal(read(b.bell, &rung, sizeof rung), sizeof rung);
	assert_int_equal(rung, 1);
	link_end_close(&a);
	link_end_close(&b);
	link_end_close(&b);
	assert_int_equal(open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size_is_final),
		cmocka_unit_test(test_reader_cannot_write),
		cmocka_unit_test(test_both_ends_are_guarded),
		cmocka_unit_test(test_reader_under_another_uid_cannot_reopen),
		cmocka_unit_test(test_misshapen_is_refused),
		cmocka_unit_test(test_link_adopts_only_what_was_agreed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
