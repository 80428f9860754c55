/* tests/lib/nest.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "proto/control.h"
#include "proto/control_socket.h"
#include "tests/lib/nest.h"
#include "wire/wire.h"

void nest_sleep_ms(unsigned ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000l }, NULL);
}

/* ---- the keeper ---- */
static void start(struct nest *n, struct nest_child *c)
{
	char notify[sizeof "NOTIFY_SOCKET=" + sizeof c->shelf.address];
	char *const argv[] = { CONTROL_STR(c->name), CONTROL_STR("--run-dir"), n->dir, CONTROL_STR("--log"),
		CONTROL_STR(getenv("NEST_LOG") ? getenv("NEST_LOG") : "error"), n->config ? CONTROL_STR("--config") : NULL,
		CONTROL_STR(n->config), NULL };
	char *env[] = { notify, NULL };
	struct spawn s = { .path = "/proc/self/exe", .argv = argv, .env = n->no_store ? NULL : env,
		.listen = n->no_store ? NULL : &c->shelf.held, .death_signal = SIGKILL };
	pid_t pid;

	snprintf(notify, sizeof notify, "NOTIFY_SOCKET=%s", c->shelf.address);
	if (spawn_child(&s, &pid, &c->pidfd))
		abort();
	fdshelf_expect(&c->shelf, pid);
	c->starts++;
	c->pid = pid;
}

static void on_gone(struct nest *n, struct nest_child *c)
{
	siginfo_t info = { 0 };

	waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED);
	close(c->pidfd);
	c->pidfd = -1;
	c->pid = 0;
	fdshelf_receive(&c->shelf);
	if (info.si_code == CLD_EXITED) {	/* an end of its own is an end */
		c->code = info.si_status;
		c->wanted = false;
	}
	if (fdshelf_end_worker(&c->shelf, 5000))
		abort();
	if (c->wanted)
		start(n, c);
	else
		c->gone = true;
}

static void *keeper(void *arg)
{
	struct nest *n = arg;

	for (unsigned i = 0; i < NEST_CHILDREN; i++)
		if (n->child[i].wanted)
			start(n, &n->child[i]);
	while (!n->stop) {
		struct pollfd p[2 * NEST_CHILDREN];

		for (unsigned i = 0; i < NEST_CHILDREN; i++) {
			p[2 * i] = (struct pollfd){ .fd = n->child[i].shelf.fd, .events = POLLIN };
			p[2 * i + 1] = (struct pollfd){ .fd = n->child[i].pidfd, .events = POLLIN };
		}
		for (unsigned i = 0; i < NEST_CHILDREN; i++)
			if (n->child[i].gone && n->child[i].wanted) {	/* a test wants it after all */
				n->child[i].gone = false;
				start(n, &n->child[i]);
			}
		if (poll(p, 2 * NEST_CHILDREN, 20) <= 0)
			continue;
		pthread_mutex_lock(&n->shelves);
		for (unsigned i = 0; i < NEST_CHILDREN; i++) {
			if (p[2 * i].revents)
				fdshelf_receive(&n->child[i].shelf);
			n->child[i].ready = n->child[i].shelf.ready;
			if (p[2 * i + 1].revents)
				on_gone(n, &n->child[i]);
		}
		pthread_mutex_unlock(&n->shelves);
	}
	return NULL;
}

void nest_open(struct nest *n, const char *const names[NEST_CHILDREN])
{
	snprintf(n->dir, sizeof n->dir, P_tmpdir "/nest.XXXXXX");
	assert_non_null(mkdtemp(n->dir));
	pthread_mutex_init(&n->shelves, NULL);
	n->stop = false;
	for (unsigned i = 0; i < NEST_CHILDREN; i++) {
		struct nest_child *c = &n->child[i];

		*c = (struct nest_child){ .name = names[i], .pidfd = -1, .shelf.fd = -1 };
		c->code = -1;
		c->wanted = names[i] != NULL;
		if (names[i])
			assert_int_equal(fdshelf_open(&c->shelf), 0);
	}
	assert_int_equal(pthread_create(&n->thread, NULL, keeper, n), 0);
}

void nest_wait_ready(struct nest *n)
{
	for (unsigned ms = 0; ms < 20000; ms += 5) {
		bool all = true;

		for (unsigned i = 0; i < NEST_CHILDREN; i++)
			all = all && (!n->child[i].name || n->child[i].ready);
		if (all)
			return;
		nest_sleep_ms(5);
	}
	fail_msg("not ready after 20 s");
}

int nest_held_fd(struct nest *n, unsigned child, const char *name)
{
	struct fd_set_named *h = &n->child[child].shelf.held;
	int fd = -1;

	pthread_mutex_lock(&n->shelves);
	for (unsigned i = 0; i < h->count; i++)
		if (!strcmp(h->at[i].name, name))
			fd = fcntl(h->at[i].fd, F_DUPFD_CLOEXEC, 0);
	pthread_mutex_unlock(&n->shelves);
	return fd;
}

/* Processes of this program besides us. */
static unsigned others(void)
{
	char path[300], exe[300], mine[300];
	ssize_t len = readlink("/proc/self/exe", mine, sizeof mine - 1), got;
	DIR *d = opendir("/proc");
	struct dirent *e;
	unsigned count = 0;

	assert_true(len > 0);
	while ((e = readdir(d))) {
		snprintf(path, sizeof path, "/proc/%s/exe", e->d_name);
		got = atoi(e->d_name) && atoi(e->d_name) != getpid() ? readlink(path, exe, sizeof exe - 1) : -1;
		count += got == len && !memcmp(exe, mine, (size_t)len);
	}
	closedir(d);
	return count;
}

void nest_close(struct nest *n)
{
	struct dirent *e;
	DIR *d;

	for (unsigned i = 0; i < NEST_CHILDREN; i++) {
		struct nest_child *c = &n->child[i];

		if (!c->name)
			continue;
		c->wanted = false;
		for (unsigned ms = 0; ms < 5000 && !c->gone; ms += 2) {
			if (ms % 1000 == 0 && c->pid)
				kill(c->pid, SIGTERM);
			nest_sleep_ms(2);
		}
		assert_true(c->gone);
		assert_true(c->code == 0 || c->code == -1);	/* -1: it was killed, and not wanted any more */
	}
	n->stop = true;
	pthread_join(n->thread, NULL);
	for (unsigned i = 0; i < NEST_CHILDREN; i++)
		if (n->child[i].name)
			fdshelf_close(&n->child[i].shelf);
	pthread_mutex_destroy(&n->shelves);
	d = opendir(n->dir);
	assert_non_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			fail_msg("%s was left behind", e->d_name);
	closedir(d);
	assert_int_equal(rmdir(n->dir), 0);
	assert_int_equal(others(), 0);
}

/* ---- the client ---- */
struct talk {
	struct control_link link;
	struct nest_status *status;
	bool greeted, answered, refused;
};

static int on_hello(void *self, struct control_in *in, const Hello *m)
{
	(void)in;
	(void)m;
	((struct talk *)self)->greeted = true;
	return 0;
}

static int on_status(void *self, struct control_in *in, const Status *m)
{
	struct talk *t = self;
	struct nest_status *s = t->status;

	(void)in;
	*s = (struct nest_status){ .pid = m->pid, .worker_pid = m->worker_pid, .restarts = m->restarts, .strikes = m->strikes,
	    .quarantined = m->quarantined, .outage_us = m->last_outage_us };
	s->generation = m->n_links ? m->links[0]->generation : 0;
	snprintf(s->state, sizeof s->state, "%s", m->state);
	s->core = (struct bytes){ s->core_octets, m->core.len < sizeof s->core_octets ? m->core.len : 0 };
	if (s->core.len)
		memcpy(s->core_octets, m->core.data, s->core.len);
	t->answered = true;
	return 0;
}

static int on_reply(void *self, struct control_in *in, const OperatorReply *m)
{
	(void)in;
	((struct talk *)self)->answered = m->last;
	((struct talk *)self)->refused = m->result != 0;
	return 0;
}

static int on_done(void *self, struct control_in *in, const Done *m)
{
	(void)in;
	(void)m;
	((struct talk *)self)->answered = true;
	return 0;
}

static int on_failed(void *self, struct control_in *in, const Failed *m)
{
	(void)in;
	if (m->error != -EAGAIN)
		((struct talk *)self)->refused = true;
	return -EPROTO;
}

static const struct control_handlers handlers = { .on_hello = on_hello, .on_status = on_status, .on_operator_reply = on_reply,
	.on_done = on_done, .on_failed = on_failed };

static bool try(struct nest *n, unsigned child, const Frame *f, struct talk *t)
{
	char path[128];
	int fd, r;

	snprintf(path, sizeof path, "%s/%s.sock", n->dir, n->child[child].name);
	fd = control_dial(path);
	if (fd < 0 || control_open(&t->link, fd))
		return false;
	r = control_hello(&t->link, "operator", 0);
	if (!r)
		r = control_send(&t->link, f, NULL, 0);
	while (!r && !t->answered && !t->refused) {
		r = control_wait(&t->link, 3000);
		if (!r)
			r = control_receive_all(&t->link, &handlers, t);
		if (r == CONTROL_EMPTY)
			r = 0;
	}
	control_close(&t->link);
	return t->answered || t->refused;
}

static bool ask(struct nest *n, unsigned child, const Frame *f, struct nest_status *status)
{
	for (unsigned i = 0; i < 500; i++) {
		struct talk t = { .link = CONTROL_LINK_NONE, .status = status };

		if (try(n, child, f, &t))
			return t.answered && !t.refused;
		nest_sleep_ms(5);
	}
	return false;
}

bool nest_status(struct nest *n, unsigned child, struct nest_status *ret)
{
	StatusRequest m = CONTROL_INIT(STATUS_REQUEST);
	Frame f = CONTROL_FRAME(STATUS_REQUEST, status_request, &m);

	return ask(n, child, &f, ret);
}

bool nest_restart(struct nest *n, unsigned child)
{
	Restart m = CONTROL_INIT(RESTART);
	Frame f = CONTROL_FRAME(RESTART, restart, &m);

	m.name = CONTROL_STR(n->child[child].name);
	return ask(n, child, &f, NULL);
}

bool nest_order(struct nest *n, unsigned child, const void *value, size_t len)
{
	OperatorRequest m = CONTROL_INIT(OPERATOR_REQUEST);
	Frame f = CONTROL_FRAME(OPERATOR_REQUEST, operator_request, &m);
	struct request_gatt_set set = { .value = { value, len } };
	uint8_t body[256], id[CONTROL_ID_LEN];
	struct wr w = wr_into(body, sizeof body);

	request_gatt_set_encode(&set, &w);
	assert_int_equal(getrandom(id, sizeof id, 0), sizeof id);
	m.id.data = id;
	m.id.len = sizeof id;
	m.verb = CONTROL_STR("gatt_set");
	m.body.data = body;
	m.body.len = wr_len(&w);
	return ask(n, child, &f, NULL);
}
