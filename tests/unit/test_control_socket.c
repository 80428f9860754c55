/* The sockets under control links: stale files, live files, and who may talk. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "proto/control_socket.h"

static char dir[64], path[96];
static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/trefoil-test-XXXXXX");
	if (mkdtemp(dir) == NULL || chmod(dir, 0755) < 0)
		return -1;
	snprintf(path, sizeof path, "%s/x.sock", dir);
	return 0;
}
static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static void test_listen_dial_accept(void **state)
{
	struct control_allow nobody = { .group = (gid_t)CONTROL_GROUP_NONE };
	struct control_peer who;
	struct stat st;
	int l, a, b;

	(void)state;
	assert_int_equal(control_dial(path), -ENOENT);
	l = control_listen(path, (gid_t)CONTROL_GROUP_NONE);
	assert_true(l >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(control_accept(l), -EAGAIN);
	a = control_dial(path);
	assert_true(a >= 0);
	b = control_accept(l);
	assert_true(b >= 0);
	assert_true(fcntl(b, F_GETFD) & FD_CLOEXEC && fcntl(b, F_GETFL) & O_NONBLOCK);
	assert_int_equal(control_check_peer(b, &nobody, &who), 0);	/* our own uid */
	assert_int_equal(who.pid, getpid());
	assert_int_equal(control_listen(path, (gid_t)CONTROL_GROUP_NONE), -EADDRINUSE);
	close(a);
	close(b);
	close(l);
	assert_int_equal(control_dial(path), -ECONNREFUSED);
	l = control_listen(path, (gid_t)CONTROL_GROUP_NONE);		/* what a dead one left makes way */
	assert_true(l >= 0);
	close(l);
}

static void test_what_is_no_socket_stays(void **state)
{
	char longer[160];
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(control_listen(path, (gid_t)CONTROL_GROUP_NONE), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
	memset(longer, 'a', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	assert_int_equal(control_listen(longer, (gid_t)CONTROL_GROUP_NONE), -ENAMETOOLONG);
	assert_int_equal(control_dial(longer), -ENAMETOOLONG);
}

/* A child of other ids dials; what control_check_peer says of it. */
static int verdict(uid_t uid, gid_t gid, const gid_t *groups, size_t count, const struct control_allow *allow)
{
	int l = control_listen(path, (gid_t)CONTROL_GROUP_NONE), pipe_fds[2], fd, r;
	struct control_peer who;
	pid_t child;

	assert_true(l >= 0);
	assert_int_equal(chmod(path, 0666), 0);		/* the file's mode is the first wall; here the second is asked */
	assert_int_equal(pipe(pipe_fds), 0);
	child = fork();
	if (child == 0) {
		char c;

		if (setgroups(count, groups) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid) || control_dial(path) < 0)
			_exit(1);
		close(pipe_fds[1]);
		_exit(read(pipe_fds[0], &c, 1) != 0);	/* until the parent has looked */
	}
	close(pipe_fds[0]);
	do
		fd = control_accept(l);
	while (fd == -EAGAIN);
	assert_true(fd >= 0);
	r = control_check_peer(fd, allow, &who);
	assert_int_equal(who.uid, uid);
	close(pipe_fds[1]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(fd);
	close(l);
	return r;
}

static void test_who_may_talk(void **state)
{
	const struct control_allow nobody = { .group = (gid_t)CONTROL_GROUP_NONE }, group = { .group = 61900 };
	const struct control_allow uids = { .uids = { 61910, 61911 }, .uid_count = 2, .group = (gid_t)CONTROL_GROUP_NONE };
	const gid_t in[] = { 61950, 61900 }, out[] = { 61950 };

	(void)state;
	if (geteuid() != 0) {
		print_message("other uids can be taken by root only\n");
		skip();
	}
	assert_int_equal(verdict(61910, 61910, NULL, 0, &nobody), -EPERM);
	assert_int_equal(verdict(61910, 61910, NULL, 0, &uids), 0);
	assert_int_equal(verdict(61911, 61910, NULL, 0, &uids), 0);
	assert_int_equal(verdict(61912, 61910, NULL, 0, &uids), -EPERM);
	assert_int_equal(verdict(61912, 61910, in, 2, &group), 0);
	assert_int_equal(verdict(61912, 61910, out, 1, &group), -EPERM);
	assert_int_equal(verdict(61912, 61900, NULL, 0, &group), 0);
	assert_int_equal(verdict(61912, 61910, NULL, 0, &group), -EPERM);
}

/* A listener of another uid in the place of one of ours. */
static void test_whom_we_dial(void **state)
{
	int l = control_listen(path, (gid_t)CONTROL_GROUP_NONE), fd = control_dial_own(path), ready[2];
	char c;
	pid_t child;

	(void)state;
	assert_true(l >= 0 && fd >= 0);
	close(fd);
	close(l);
	assert_int_equal(control_dial_own(path), -ECONNREFUSED);
	if (geteuid() != 0) {
		print_message("other uids can be taken by root only\n");
		skip();
	}
	unlink(path);
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		struct sockaddr_un at = { .sun_family = AF_UNIX };
		int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);

		strcpy(at.sun_path, path);
		if (bind(s, (struct sockaddr *)&at, sizeof at) || setresuid(61910, 61910, 61910) || listen(s, 1) || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(control_dial_own(path), -EPERM);
	fd = control_dial(path);
	assert_true(fd >= 0);
	close(fd);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(ready[0]);
	close(ready[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_listen_dial_accept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_no_socket_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_may_talk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whom_we_dial, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
