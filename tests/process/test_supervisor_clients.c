/* Who may ask a supervisor what: operators and their group, live; the last places; who may end it; what is rarely asked. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "proto/control.h"
#include "proto/control_socket.h"
#include "shm/stats.h"
#include "tests/lib/nest.h"
#include "tests/lib/toy.h"

enum { UP, DOWN, GROUP = 61960, OPERATOR = 61961 };
static const char *const both[] = { "toyup", "toydown" };
static const char config[] = P_tmpdir "/nest_clients.json";

static void write_config(const char *text)
{
	FILE *f = fopen(config, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* ---- a client ---- */
struct client { struct control_link link; bool answered; int error; char text[256]; };

static int on_hello(void *self, struct control_in *in, const Hello *m)
{
	(void)self, (void)in, (void)m;
	return 0;
}
static int on_done(void *self, struct control_in *in, const Done *m)
{
	struct client *c = self;

	(void)in;
	c->answered = true;
	snprintf(c->text, sizeof c->text, "%s", m->text);
	return 0;
}
static int on_failed(void *self, struct control_in *in, const Failed *m)
{
	struct client *c = self;

	(void)in;
	c->answered = true;
	c->error = m->error;
	snprintf(c->text, sizeof c->text, "%s", m->why);
	return 0;
}
static int on_statistics(void *self, struct control_in *in, const Statistics *m)
{
	struct client *c = self;
	int fd = control_take_fd(in, 0);
	struct stats *st = mmap(NULL, stats_size(), PROT_READ, MAP_SHARED, fd, 0);

	c->answered = true;
	assert_string_equal(m->name, "toyup");
	assert_int_equal(m->size, stats_size());
	assert_int_equal(m->n_shell_names, SHELL_COUNTER_COUNT);
	assert_string_equal(m->shell_names[SHELL_kicks], "kicks");
	assert_true(m->worker_pid != 0);
	assert_true(st != MAP_FAILED);
	assert_true(atomic_load(&st->shell[SHELL_steps]) > 0);
	assert_true(mmap(NULL, stats_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	munmap(st, stats_size());
	close(fd);
	return 0;
}
static const struct control_handlers handlers = { .on_hello = on_hello, .on_done = on_done, .on_failed = on_failed,
	.on_statistics = on_statistics };

static int dial(struct nest *n, struct client *c)
{
	char path[128];
	int fd, r;

	*c = (struct client){ .link = CONTROL_LINK_NONE };
	snprintf(path, sizeof path, "%s/toyup.sock", n->dir);
	fd = control_dial(path);
	if (fd < 0)
		return fd;
	r = control_open(&c->link, fd);
	return r ? r : control_hello(&c->link, "operator", 0);
}

/* Until it is answered.  Returns 0; what Failed said; CONTROL_CLOSED. */
static int ask(struct client *c, const Frame *f)
{
	int r = control_send(&c->link, f, NULL, 0);

	c->answered = false;
	c->error = 0;
	while (!r && !c->answered) {
		r = control_wait(&c->link, 5000);
		if (!r)
			r = control_receive_all(&c->link, &handlers, c);
	}
	return r ? r : c->error;
}

static void what_is_rarely_asked_is_answered(void **state)
{
	static struct nest n = { .config = config };
	StatisticsRequest statistics = CONTROL_INIT(STATISTICS_REQUEST);
	Configuration reload = CONTROL_INIT(CONFIGURATION);
	Restart restart = CONTROL_INIT(RESTART);
	Frame f = CONTROL_FRAME(STATISTICS_REQUEST, statistics_request, &statistics);
	struct toy_report r;
	struct nest_status st;
	struct client c;

	(void)state;
	write_config("{ \"name\": \"Toy\" }");
	nest_open(&n, both);
	nest_wait_ready(&n);
	assert_int_equal(dial(&n, &c), 0);
	assert_int_equal(ask(&c, &f), 0);
	f = CONTROL_FRAME(CONFIGURATION, configuration, &reload);
	assert_int_equal(ask(&c, &f), 0);
	assert_string_equal(c.text, "reloaded");
	for (unsigned i = 0; i < 200; i++) {
		assert_true(nest_status(&n, UP, &st) && toy_report_decode(st.core, &r));
		if (r.configs == 2)
			break;
		nest_sleep_ms(5);
	}
	assert_int_equal(r.configs, 2);
	write_config("{ \"name\": 7 }");
	assert_int_equal(ask(&c, &f), -EINVAL);
	assert_non_null(strstr(c.text, config));
	restart.name = CONTROL_STR("hostd");
	f = CONTROL_FRAME(RESTART, restart, &restart);
	assert_int_equal(ask(&c, &f), -EINVAL);		/* not its name */
	control_close(&c.link);
	nest_close(&n);
	unlink(config);
}

/* ---- other uids ---- */
static void become_operator(void)
{
	if (setgroups(0, NULL) || setresgid(GROUP, GROUP, GROUP) || setresuid(OPERATOR, OPERATOR, OPERATOR))
		_exit(9);
}

static int exit_code(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* As an operator: may it dial? */
static bool may_dial(struct nest *n)
{
	struct client c;
	pid_t child = fork();

	if (!child) {
		become_operator();
		_exit(dial(n, &c) != 0);
	}
	return exit_code(child) == 0;
}

/* As an operator: asks it to end, takes all places that it can get, says so, and holds them until it is thrown out. */
static void hold(struct nest *n, int told)
{
	static struct client c[64];
	Drain drain = CONTROL_INIT(DRAIN);
	Frame f = CONTROL_FRAME(DRAIN, drain, &drain);

	become_operator();
	if (dial(n, &c[0]) || ask(&c[0], &f) != -EPERM)
		_exit(1);
	for (unsigned i = 1; i < 64; i++)
		if (dial(n, &c[i]))
			break;
	nest_sleep_ms(100);
	if (write(told, "x", 1) != 1 || control_wait(&c[0].link, 5000) ||
	    control_receive_all(&c[0].link, &handlers, &c[0]) != CONTROL_CLOSED)
		_exit(2);
	_exit(0);
}

static void sighup(struct nest *n, const char *text)
{
	write_config(text);
	kill(n->child[UP].pid, SIGHUP);
}

static void operators_and_their_group_are_live(void **state)
{
	static struct nest n = { .config = config };
	struct nest_status st;
	int told[2];
	pid_t child;
	char c;

	(void)state;
	if (geteuid() != 0) {
		print_message("other uids can be taken by root only\n");
		skip();
	}
	write_config("{}");
	nest_open(&n, both);
	nest_wait_ready(&n);
	assert_int_equal(chmod(n.dir, 0750), 0);
	assert_false(may_dial(&n));
	sighup(&n, "{ \"trefoil\": { \"isolation\": { \"group\": 61960 } } }");
	for (unsigned i = 0; i < 200 && !may_dial(&n); i++)
		nest_sleep_ms(5);
	assert_true(may_dial(&n));
	assert_int_equal(pipe(told), 0);
	child = fork();
	if (!child)
		hold(&n, told[1]);
	close(told[1]);
	assert_int_equal(read(told[0], &c, 1), 1);	/* all places that there are for operators are taken */
	close(told[0]);
	assert_true(nest_status(&n, UP, &st));		/* there is one left for us, and it did not end */
	assert_string_equal(st.state, "running");
	sighup(&n, "{}");
	assert_int_equal(exit_code(child), 0);		/* no operator any more: thrown out */
	assert_false(may_dial(&n));
	assert_true(nest_status(&n, UP, &st));
	assert_int_equal(st.restarts, 0);
	nest_close(&n);
	unlink(config);
}

static unsigned lines_with(const char *file, const char *text)
{
	char line[1024];
	unsigned n = 0;
	FILE *f = fopen(file, "r");

	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		n += strstr(line, text) != NULL;
	fclose(f);
	return n;
}

/* A cold key that changed is named by every reload, not by the first one only. */
static void cold_keys_are_named(void **state)
{
	static const char log[] = P_tmpdir "/nest_clients.log";
	static struct nest n = { .config = config };
	int saved = dup(2), fd = open(log, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0 && dup2(fd, 2) == 2);
	setenv("NEST_LOG", "warn", 1);
	write_config("{}");
	nest_open(&n, both);
	nest_wait_ready(&n);
	for (unsigned times = 1; times <= 2; times++) {
		sighup(&n, "{ \"trefoil\": { \"isolation\": { \"uids\": { \"hostd\": 61970 }, \"operators\": [ 61971 ] } } }");
		for (unsigned i = 0; i < 400 && lines_with(log, "cold keys changed") < times; i++)
			nest_sleep_ms(5);
	}
	nest_close(&n);
	dup2(saved, 2);
	close(saved);
	close(fd);
	unsetenv("NEST_LOG");
	assert_int_equal(lines_with(log, "keys=trefoil.isolation.uids\n"), 2);
	unlink(log);
	unlink(config);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_rarely_asked_is_answered),
		cmocka_unit_test(operators_and_their_group_are_live),
		cmocka_unit_test(cold_keys_are_named),
	};
	int code = toy_main(argc, argv);

	if (code >= 0)
		return code;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
