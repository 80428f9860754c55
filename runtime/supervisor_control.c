/* runtime/supervisor_control.c - NAME.sock: operators and neighbours. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "runtime/supervisor_private.h"

struct sup_conn *sup_conn_find(struct supervisor *s, uint64_t number)
{
	for (unsigned i = 0; number && i < SUP_CONNS; i++)
		if (s->conn[i].link.fd >= 0 && s->conn[i].number == number)
			return &s->conn[i];
	return NULL;
}

void sup_conn_close(struct sup_conn *c)
{
	if (c->link.fd < 0)
		return;
	loop_unwatch(c->s->loop, c->watch);
	control_close(&c->link);
	c->s->told_full = false;
	c->watch = -1;
	c->link.fd = -1;
	if (c->role == CONN_NEIGHBOUR)
		sup_link_closed(c->s, c);
	c->role = CONN_NEW;
}

/* A client that does not read loses its link, not our memory. */
void sup_conn_sent(struct sup_conn *c, int r)
{
	if (c->link.fd < 0)
		return;
	if (r < 0 && r != -EMSGSIZE && r != -EINVAL) {
		if (r != -EPIPE && r != -ECONNRESET)
			log_warn("client dropped", LOG_UINT("pid", c->peer.pid), LOG_ERRNO(r));
		sup_conn_close(c);
		return;
	}
	if (r)
		log_error("frame could not be sent", LOG_ERRNO(r));
	loop_modify(c->s->loop, c->watch, POLLIN | (control_pending(&c->link) ? POLLOUT : 0));
}

static bool trusted(const struct control_peer *p) { return p->uid == 0 || p->uid == geteuid(); }

/* ---- handlers ---- */
static int on_hello(void *self, struct control_in *in, const Hello *m)
{
	struct sup_conn *c = self;
	struct supervisor *s = c->s;
	const char *down = s->link[LINK_DOWN].name;
	int r;

	r = control_check_hello(&c->link, in->frame->serial, m);
	if (r)
		return r;
	if (c->dialed || (trusted(&c->peer) && down && !strcmp(m->role, down))) {
		c->greeted = true;
		if (!c->dialed) {
			c->role = CONN_NEIGHBOUR;
			c->neighbour = LINK_DOWN;
		}
		sup_link_hello(s, c, m);
		return 0;
	}
	if (c->greeted)
		return -EPROTO;
	c->greeted = true;
	c->role = CONN_OPERATOR;
	return control_hello(&c->link, s->p->name, 0);
}

static int on_link_offer(void *self, struct control_in *in, const LinkOffer *m)
{
	struct sup_conn *c = self;

	return c->role == CONN_NEIGHBOUR && c->greeted ? sup_link_offered(c->s, c, in, m) : -EPROTO;
}

static int on_fd_stored(void *self, struct control_in *in, const FdStored *m)
{
	struct sup_conn *c = self;

	(void)in;
	if (c->role != CONN_NEIGHBOUR || !c->greeted)
		return -EPROTO;
	sup_link_stored(c->s, c, m);
	return 0;
}

static int on_status_request(void *self, struct control_in *in, const StatusRequest *m)
{
	struct sup_conn *c = self;

	(void)m;
	if (!c->greeted)
		return -EPROTO;
	sup_status(c->s, c, in->frame->serial);
	return 0;
}

static int on_statistics_request(void *self, struct control_in *in, const StatisticsRequest *m)
{
	struct sup_conn *c = self;
	struct supervisor *s = c->s;
	char *core[COUNTERS], *shell[SHELL_COUNTER_COUNT];
	Statistics a = CONTROL_INIT(STATISTICS);
	Frame f = CONTROL_FRAME(STATISTICS, statistics, &a);
	int fd, r;

	(void)m;
	if (!c->greeted)
		return -EPROTO;
	fd = segment_reader_fd(&s->stats_segment);
	if (fd < 0)
		return control_fail(&c->link, in->frame->serial, fd, "statistics cannot be shown");
	for (const char *const *n = s->p->core->counter_names; n && *n && a.n_core_names < COUNTERS; n++)
		core[a.n_core_names++] = CONTROL_STR(*n);
	while (a.n_shell_names < SHELL_COUNTER_COUNT) {
		shell[a.n_shell_names] = CONTROL_STR(stats_shell_name((unsigned)a.n_shell_names));
		a.n_shell_names++;
	}
	a.name = CONTROL_STR(s->p->name);
	a.size = stats_size();
	a.core_names = core;
	a.shell_names = shell;
	a.worker_pid = (uint32_t)s->worker.pid;
	f.serial = in->frame->serial;
	r = control_send(&c->link, &f, &fd, 1);
	close(fd);
	return r;
}

static int on_operator_request(void *self, struct control_in *in, const OperatorRequest *m)
{
	struct sup_conn *c = self;

	if (!c->greeted)
		return -EPROTO;
	sup_request(c->s, c, in->frame->serial, m);
	return 0;
}

static int on_restart(void *self, struct control_in *in, const Restart *m)
{
	struct sup_conn *c = self;
	struct supervisor *s = c->s;

	if (!c->greeted)
		return -EPROTO;
	if (*m->name && strcmp(m->name, s->p->name))
		return control_fail(&c->link, in->frame->serial, -EINVAL, "not the name of this daemon");
	if ((s->restart_conn && sup_conn_find(s, s->restart_conn)) || s->takeover.state != TAKEOVER_NONE)
		return control_fail(&c->link, in->frame->serial, -EBUSY, "a restart is under way");
	s->restart_conn = c->number;
	s->restart_serial = in->frame->serial;
	sup_takeover(s, m->cold, false);
	return 0;
}

static int on_configuration(void *self, struct control_in *in, const Configuration *m)
{
	struct sup_conn *c = self;
	char why[256];
	int r;

	(void)m;
	if (!c->greeted)
		return -EPROTO;
	r = sup_reload(c->s, why, sizeof why);
	return r ? control_fail(&c->link, in->frame->serial, r, why) : control_done(&c->link, in->frame->serial, "reloaded");
}

static int on_drain(void *self, struct control_in *in, const Drain *m)
{
	struct sup_conn *c = self;

	(void)m;
	if (!c->greeted)
		return -EPROTO;
	if (!trusted(&c->peer))		/* an operator works with the pipeline; whether it is there is its owner's business */
		return control_fail(&c->link, in->frame->serial, -EPERM, "only root and the pipeline's own user may end it");
	log_info("ending", LOG_UINT("asked_by", c->peer.pid));
	sup_end(c->s, 0);
	return control_done(&c->link, in->frame->serial, "ending");
}

static int on_worker_died(void *self, struct control_in *in, const WorkerDied *m)
{
	struct sup_conn *c = self;

	(void)in;
	if (c->role != CONN_NEIGHBOUR)
		return 0;
	log_debug("worker of a neighbour died", LOG_STR("name", m->name), LOG_INT("signal", m->signal));
	sup_link_there(c->s, c->neighbour, false);
	return 0;
}

static int on_worker_restarted(void *self, struct control_in *in, const WorkerRestarted *m)
{
	struct sup_conn *c = self;

	(void)in;
	if (c->role != CONN_NEIGHBOUR)
		return 0;
	log_debug("worker of a neighbour is there", LOG_STR("name", m->name), LOG_UINT("outage_us", m->outage_us));
	sup_link_there(c->s, c->neighbour, true);
	return 0;
}

static int on_failed(void *self, struct control_in *in, const Failed *m)
{
	struct sup_conn *c = self;

	(void)in;
	log_warn("refused by the other side", LOG_STR("from", c->role == CONN_NEIGHBOUR ? c->s->link[c->neighbour].name : "client"),
	    LOG_INT("error", m->error), LOG_WHY(m->why));
	return -EPROTO;
}

static const struct control_handlers handlers = {
	.on_hello = on_hello, .on_link_offer = on_link_offer, .on_fd_stored = on_fd_stored,
	.on_status_request = on_status_request, .on_statistics_request = on_statistics_request,
	.on_operator_request = on_operator_request, .on_restart = on_restart, .on_configuration = on_configuration,
	.on_drain = on_drain, .on_worker_died = on_worker_died, .on_worker_restarted = on_worker_restarted, .on_failed = on_failed,
};

/* ---- connections ---- */
static int on_conn(void *ctx, uint32_t revents)
{
	struct sup_conn *c = ctx;
	int r;

	if (revents & POLLOUT && control_flush(&c->link)) {
		sup_conn_close(c);
		return 0;
	}
	r = control_receive_all(&c->link, &handlers, c);
	if (c->link.fd < 0)
		return 0;
	if (r == 0 || r == CONTROL_EMPTY) {
		loop_modify(c->s->loop, c->watch, POLLIN | (control_pending(&c->link) ? POLLOUT : 0));
		return 0;
	}
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		log_warn("client dropped", LOG_UINT("pid", c->peer.pid), LOG_ERRNO(r));
	sup_conn_close(c);
	return 0;
}

static unsigned conns_free(const struct supervisor *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SUP_CONNS; i++)
		n += s->conn[i].link.fd < 0;
	return n;
}

/* The last places are not for everybody. */
struct sup_conn *sup_conn_add(struct supervisor *s, int fd, bool may_take_last)
{
	bool room = may_take_last || conns_free(s) > SUP_CONNS_KEPT;

	for (unsigned i = 0; room && i < SUP_CONNS; i++) {
		struct sup_conn *c = &s->conn[i];

		if (c->link.fd >= 0)
			continue;
		*c = (struct sup_conn){ .s = s, .watch = -1, .number = ++s->next_number };
		if (control_open(&c->link, fd)) {
			c->link.fd = -1;
			return NULL;
		}
		c->watch = loop_watch(s->loop, c->link.fd, POLLIN, LOOP_LEVEL, on_conn, c);
		if (c->watch < 0) {
			control_close(&c->link);
			c->link.fd = -1;
			return NULL;
		}
		return c;
	}
	if (!s->told_full)		/* once: who floods us with clients does not flood the log */
		log_warn("too many clients: refused until one goes", LOG_UINT("most", SUP_CONNS));
	s->told_full = true;
	close(fd);
	return NULL;
}

static int on_listener(void *ctx, uint32_t revents)
{
	struct supervisor *s = ctx;
	struct control_peer peer;
	struct sup_conn *c;
	int fd, r;

	(void)revents;
	for (unsigned n = 0; n < SUP_SHARE && (fd = control_accept(s->listener)) >= 0; n++) {
		r = control_check_peer(fd, &s->allow, &peer);
		if (r) {
			log_warn("client refused", LOG_UINT("pid", r == -EPERM ? peer.pid : 0), LOG_ERRNO(r));
			close(fd);
			continue;
		}
		c = sup_conn_add(s, fd, trusted(&peer));
		if (c)
			c->peer = peer;
	}
	return 0;
}

static gid_t file_group(gid_t g) { return g == (gid_t)CONTROL_GROUP_NONE ? getegid() : g; }

/* The run dir and our socket in it go from one group to another; of several supervisors the first one finds the run dir so. */
static void regroup(struct supervisor *s, gid_t from, gid_t to)
{
	char path[RUN_DIR_PATH + RUN_DIR_NAME], name[RUN_DIR_NAME];
	struct stat st;

	snprintf(name, sizeof name, "%s.sock", s->p->name);
	if (stat(s->dir.path, &st) == 0 && st.st_gid == file_group(from) && chown(s->dir.path, (uid_t)-1, file_group(to)) < 0)
		log_warn("group of the run dir", LOG_ERRNO(errno));
	if (run_dir_file(&s->dir, name, path, sizeof path) && lchown(path, (uid_t)-1, file_group(to)) < 0)
		log_warn("group of the control socket", LOG_ERRNO(errno));
}

/* Who may talk to us.  On a reload a client that no longer may loses its link. */
void sup_allow(struct supervisor *s)
{
	gid_t was = s->allow.group;
	struct control_peer peer;

	s->allow = (struct control_allow){ .group = s->device->group_given ? s->device->group : (gid_t)CONTROL_GROUP_NONE };
	for (unsigned i = 0; i < s->device->operator_count && i < CONTROL_ALLOW_UIDS; i++)
		s->allow.uids[s->allow.uid_count++] = s->device->operators[i];
	if (s->listen_watch < 0)
		return;
	if (was != s->allow.group)
		regroup(s, was, s->allow.group);
	for (unsigned i = 0; i < SUP_CONNS; i++) {
		struct sup_conn *c = &s->conn[i];

		if (c->link.fd < 0 || c->dialed || !control_check_peer(c->link.fd, &s->allow, &peer))
			continue;
		log_info("client is no operator any more", LOG_UINT("pid", c->peer.pid), LOG_UINT("uid", c->peer.uid));
		sup_conn_close(c);
	}
}

int sup_control_open(struct supervisor *s)
{
	sup_allow(s);
	s->listen_watch = loop_watch(s->loop, s->listener, POLLIN, LOOP_LEVEL, on_listener, s);
	return s->listen_watch < 0 ? s->listen_watch : 0;
}
