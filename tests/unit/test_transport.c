/* tests/unit/test_transport.c - transport names: each refusal is one line that names the part and the reason; what opens,
 * works. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/types.h"
#include "transportd/stream.h"
#include "transportd/transport.h"

static char dir[64];

static void path_in_dir(char *buf, size_t cap, const char *name) { snprintf(buf, cap, "%s/%s", dir, name); }

static int listen_unix(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}
static int listen_tcp(int family, unsigned *ret_port)
{
	struct sockaddr_in6 at6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in at4 = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr *at = family == AF_INET ? (struct sockaddr *)&at4 : (struct sockaddr *)&at6;
	socklen_t len = family == AF_INET ? sizeof at4 : sizeof at6;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, at, len) < 0 || listen(fd, 4) < 0 || getsockname(fd, at, &len) < 0)
		return -1;
	*ret_port = ntohs(family == AF_INET ? at4.sin_port : at6.sin6_port);
	return fd;
}

static void what_cannot_be_parsed_or_is_not_built_says_which_part_and_why(void **state)
{
	static const struct { const char *name; int r; const char *says; } rows[] = {
		{ "", -EINVAL, "\"\" is no kind of transport" },
		{ "bogus:1", -EINVAL, "\"bogus\" is no kind of transport; expected unix:<path>, tcp-client:<host>:<port>, sim" },
		{ "Unix:/x", -EINVAL, "\"Unix\" is no kind" },
		{ "unix", -EINVAL, "the path is missing" },
		{ "unix:", -EINVAL, "the path is missing" },
		{ "sim:1", -EINVAL, "\"1\" behind \"sim\"" },
		{ "tcp-client:", -EINVAL, "the port is missing" },
		{ "tcp-client:host", -EINVAL, "the port is missing" },
		{ "tcp-client::1", -EINVAL, "the host is missing" },
		{ "tcp-client:[]:1", -EINVAL, "the host is missing" },
		{ "tcp-client:h:0", -EINVAL, "port \"0\": expected 1 to 65535" },
		{ "tcp-client:h:65536", -EINVAL, "port \"65536\"" },
		{ "tcp-client:h:12x", -EINVAL, "port \"12x\"" },
		{ "tcp-client:h: 1", -EINVAL, "port \" 1\"" },
		{ "tcp-client:h:", -EINVAL, "port \"\"" },
		{ "tcp-client:h:99999999999999999999", -EINVAL, "expected 1 to 65535" },
		{ "usb:0", -EOPNOTSUPP, "usb:<index> is not built in yet" },
		{ "serial:/dev/ttyS0,115200", -EOPNOTSUPP, "not built in yet" },
		{ "pty:", -EOPNOTSUPP, "not built in yet" },
		{ "tcp-server:_:1", -EOPNOTSUPP, "not built in yet" },
		{ "udp:a,b", -EOPNOTSUPP, "not built in yet" },
		{ "unix-server:/x", -EOPNOTSUPP, "not built in yet" },
		{ "vhci:", -EOPNOTSUPP, "not built in yet" },
		{ "hci-socket:0", -EOPNOTSUPP, "not built in yet" },
		{ "file:/x", -EOPNOTSUPP, "not built in yet" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct transport_fds f = TRANSPORT_FDS_NONE;
		struct transport_why why = { "" };

		assert_int_equal(transport_open(rows[i].name, dir, &f, &why), rows[i].r);
		if (!strstr(why.text, rows[i].says) || !strstr(why.text, rows[i].name) || strchr(why.text, '\n'))
			fail_msg("\"%s\" says: %s", rows[i].name, why.text);
		assert_int_equal(f.controller, -1);
	}
}

static void a_name_of_any_length_is_one_bounded_line(void **state)
{
	static char name[9000];
	struct transport_fds f = TRANSPORT_FDS_NONE;
	struct transport_why why;

	(void)state;
	for (int i = 0; i < 3; i++) {
		memset(name, 'x', sizeof name - 1);
		memcpy(name, ((const char *const[]){ "xxxxxxxxxxxxx", "unix:/xxxxxxx", "tcp-client:xx" })[i], 13);
		snprintf(name + sizeof name - 4, 4, ":1x");
		name[sizeof name - 2] = 0;
		assert_true(transport_open(name, dir, &f, &why) < 0);
		assert_true(strlen(why.text) < sizeof why.text);
	}
}

static void expect_refused(const char *name, const char *says)
{
	struct transport_fds f = TRANSPORT_FDS_NONE;
	struct transport_why why = { "" };

	assert_true(transport_open(name, dir, &f, &why) < 0);
	if (!strstr(why.text, says))
		fail_msg("\"%s\" says: %s", name, why.text);
}

static void what_is_not_there_is_said_at_once(void **state)
{
	char path[100], name[120];
	unsigned port;
	int fd;

	(void)state;
	path_in_dir(path, sizeof path, "none");
	snprintf(name, sizeof name, "unix:%s", path);
	expect_refused(name, "No such file or directory");
	path_in_dir(path, sizeof path, "file");
	close(open(path, O_CREAT | O_WRONLY, 0600));
	snprintf(name, sizeof name, "unix:%s", path);
	expect_refused(name, "Connection refused");
	unlink(path);
	fd = listen_tcp(AF_INET, &port);
	close(fd);
	snprintf(name, sizeof name, "tcp-client:127.0.0.1:%u", port);
	expect_refused(name, "Connection refused");
}

/* What was opened is of a kind the worker knows, non-blocking, with a pipe that holds a batch; octets pass. */
static void expect_opens(const char *name, int listener, int domain)
{
	struct transport_fds f = TRANSPORT_FDS_NONE;
	struct transport_why why = { "" };
	char octet = 'x';
	int far;

	if (transport_open(name, dir, &f, &why))
		fail_msg("%s", why.text);
	far = accept(listener, NULL, NULL);
	assert_true(far >= 0);
	assert_non_null(stream_kind_of(f.controller));
	assert_int_equal(stream_kind_of(f.controller)->domain, domain);
	assert_true(fcntl(f.controller, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(f.controller, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(f.pipe_w, F_GETPIPE_SZ) >= STREAM_PIPE_MIN);
	assert_int_equal(write(f.controller, &octet, 1), 1);
	assert_int_equal(read(far, &octet, 1), 1);
	close(far);
	transport_fds_close(&f);
	assert_int_equal(f.pipe_w, -1);
}

static void unix_and_tcp_open(void **state)
{
	char path[100], name[120];
	unsigned port;
	int fd;

	(void)state;
	path_in_dir(path, sizeof path, "c.sock");
	fd = listen_unix(path);
	snprintf(name, sizeof name, "unix:%s", path);
	expect_opens(name, fd, AF_UNIX);
	close(fd);
	unlink(path);
	fd = listen_tcp(AF_INET, &port);
	snprintf(name, sizeof name, "tcp-client:127.0.0.1:%u", port);
	expect_opens(name, fd, AF_INET);
	close(fd);
	fd = listen_tcp(AF_INET6, &port);
	if (fd >= 0) {			/* a machine without IPv6 has no such address to bind */
		snprintf(name, sizeof name, "tcp-client:[::1]:%u", port);
		expect_opens(name, fd, AF_INET6);
		close(fd);
	}
}

static void *listen_late(void *ret_fd)
{
	char path[100];

	nanosleep(&(struct timespec){ .tv_nsec = 150000000 }, NULL);
	path_in_dir(path, sizeof path, "air.sock");
	*(int *)ret_fd = listen_unix(path);
	return NULL;
}

static void sim_waits_for_the_air_a_while(void **state)
{
	struct transport_fds f = TRANSPORT_FDS_NONE;
	struct transport_why why = { "" };
	char path[100];
	pthread_t late;
	int fd = -1;

	(void)state;
	assert_int_equal(pthread_create(&late, NULL, listen_late, &fd), 0);
	assert_int_equal(transport_open("sim", dir, &f, &why), 0);
	pthread_join(late, NULL);
	assert_non_null(stream_kind_of(f.controller));
	transport_fds_close(&f);
	close(fd);
	path_in_dir(path, sizeof path, "air.sock");
	unlink(path);
}

static void no_descriptor_is_left_behind(void **state)
{
	int before = dup(0), after;

	(void)state;
	close(before);
	what_cannot_be_parsed_or_is_not_built_says_which_part_and_why(NULL);
	what_is_not_there_is_said_at_once(NULL);
	unix_and_tcp_open(NULL);
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
}

static int dir_make(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "%s/trefoil-name-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	return mkdtemp(dir) ? 0 : -1;
}
static int dir_end(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_cannot_be_parsed_or_is_not_built_says_which_part_and_why),
		cmocka_unit_test(a_name_of_any_length_is_one_bounded_line),
		cmocka_unit_test(what_is_not_there_is_said_at_once),
		cmocka_unit_test(unix_and_tcp_open),
		cmocka_unit_test(sim_waits_for_the_air_a_while),
		cmocka_unit_test(no_descriptor_is_left_behind),
	};

	return cmocka_run_group_tests(tests, dir_make, dir_end);
}
