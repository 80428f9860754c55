/* The run dir: whose, held by whom, and nothing left behind. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "runtime/run_dir.h"

static char top[64], path[80];
static int setup(void **state)
{
	(void)state;
	strcpy(top, "/tmp/trefoil-test-XXXXXX");
	if (mkdtemp(top) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/run", top);
	return 0;
}
static int teardown(void **state)
{
	(void)state;
	rmdir(path);
	return rmdir(top);	/* fails if a test left anything */
}

static void test_which_one(void **state)
{
	char longer[200];
	struct run_dir d;

	(void)state;
	unsetenv("TREFOIL_RUN_DIR");
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(run_dir_resolve(&d, NULL), 0);
	assert_string_equal(d.path, "/run/trefoil");
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	assert_int_equal(run_dir_resolve(&d, NULL), 0);
	assert_string_equal(d.path, "/run/user/7/trefoil");
	setenv("TREFOIL_RUN_DIR", "/x/y//", 1);
	assert_int_equal(run_dir_resolve(&d, NULL), 0);
	assert_string_equal(d.path, "/x/y");
	assert_int_equal(run_dir_resolve(&d, "/z"), 0);
	assert_string_equal(d.path, "/z");
	memset(longer, 'a', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	assert_int_equal(run_dir_resolve(&d, longer), -ENAMETOOLONG);
	assert_non_null(strstr(d.why, "longer than"));
	unsetenv("TREFOIL_RUN_DIR");
	unsetenv("XDG_RUNTIME_DIR");
}

static void test_made_and_removed(void **state)
{
	struct run_dir d;
	struct stat st;
	char buf[128];
	int fd;

	(void)state;
	assert_int_equal(run_dir_resolve(&d, path), 0);
	assert_int_equal(run_dir_make(&d, (gid_t)-1), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(run_dir_lock(&d), 0);
	assert_null(run_dir_file(&d, "hostd.sock", buf, strlen(path)));
	assert_string_equal(run_dir_file(&d, "hostd.sock", buf, sizeof buf) + strlen(path), "/hostd.sock");
	fd = open(buf, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(run_dir_own(&d, "hostd.sock"), 0);
	assert_int_equal(run_dir_own(&d, "hostd.sock"), 0);
	assert_int_equal(d.files, 1);
	assert_int_equal(run_dir_own(&d, "a-name-that-is-far-too-long"), -ENOSPC);
	run_dir_end(&d);
	assert_int_equal(stat(path, &st), -1);
	run_dir_end(&d);
}

static void test_what_was_there_stays(void **state)
{
	struct run_dir d;
	char file[128];

	(void)state;
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(file, sizeof file, "%s/notes", path);
	close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	run_dir_resolve(&d, path);
	assert_int_equal(run_dir_make(&d, (gid_t)-1), 0);
	assert_false(d.made);
	assert_int_equal(run_dir_lock(&d), 0);
	run_dir_end(&d);
	assert_int_equal(access(file, F_OK), 0);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(path), 0);	/* the lock is gone */
}

static void test_live_pipeline(void **state)
{
	struct run_dir d, other;
	char expect[64];

	(void)state;
	run_dir_resolve(&d, path);
	run_dir_resolve(&other, path);
	assert_int_equal(run_dir_make(&d, (gid_t)-1), 0);
	assert_int_equal(run_dir_lock(&d), 0);
	assert_int_equal(run_dir_make(&other, (gid_t)-1), 0);
	assert_int_equal(run_dir_lock(&other), RUN_DIR_E_HELD);
	snprintf(expect, sizeof expect, "holds a live pipeline (pid %d)", (int)getpid());
	assert_non_null(strstr(other.why, expect));
	run_dir_end(&other);			/* takes nothing from the holder */
	run_dir_end(&d);
	assert_int_equal(run_dir_make(&other, (gid_t)-1), 0);
	assert_int_equal(run_dir_lock(&other), 0);
	run_dir_end(&other);
}

static void test_killed_holder_lets_go(void **state)
{
	struct run_dir d;
	int pipe_fds[2];
	pid_t child;
	char c;

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	run_dir_resolve(&d, path);
	child = fork();
	if (child == 0) {
		if (run_dir_make(&d, (gid_t)-1) || run_dir_lock(&d) || write(pipe_fds[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	assert_int_equal(read(pipe_fds[0], &c, 1), 1);
	assert_int_equal(run_dir_lock(&d), RUN_DIR_E_HELD);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(run_dir_make(&d, (gid_t)-1), 0);
	assert_int_equal(run_dir_lock(&d), 0);
	run_dir_end(&d);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void test_foreign(void **state)
{
	struct run_dir d;

	(void)state;
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, 0777), 0);
	run_dir_resolve(&d, path);
	assert_int_equal(run_dir_make(&d, (gid_t)-1), RUN_DIR_E_FOREIGN);
	assert_non_null(strstr(d.why, "anybody may write"));
	assert_int_equal(chmod(path, 0770), 0);		/* the group too, be it our own */
	assert_int_equal(run_dir_make(&d, (gid_t)-1), RUN_DIR_E_FOREIGN);
	assert_non_null(strstr(d.why, "group may write"));
	assert_int_equal(chmod(path, 0700), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 61900, 61900), 0);
		assert_int_equal(run_dir_make(&d, (gid_t)-1), RUN_DIR_E_FOREIGN);
		assert_non_null(strstr(d.why, "belongs to uid 61900, expected uid 0"));
	}
	assert_int_equal(rmdir(path), 0);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(run_dir_make(&d, (gid_t)-1), -ENOTDIR);
	assert_int_equal(unlink(path), 0);
	run_dir_resolve(&d, "/proc/no/such/place");
	assert_int_equal(run_dir_make(&d, (gid_t)-1), -ENOENT);
	assert_non_null(strstr(d.why, "/proc/no/such/place"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_one),
		cmocka_unit_test_setup_teardown(test_made_and_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_was_there_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_live_pipeline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_holder_lets_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
