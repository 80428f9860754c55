/* runtime/supervisor.c - start, signals, timers, readiness, end. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "runtime/supervisor_private.h"

const char *supervisor_transport(const struct supervisor *s) { return s->opt.transport ? s->opt.transport : "sim"; }
const char *supervisor_run_dir(const struct supervisor *s) { return s->dir.path; }

void sup_timer_in(struct supervisor *s, enum sup_timer t, uint64_t ms)
{
	s->timer[t] = loop_now() + ms * 1000000 + 1;
}

void sup_end(struct supervisor *s, int exit_code)
{
	s->ending = true;
	s->exit_code = exit_code;
}

/* READY=1 goes up once all of our own conditions hold: worker there, neighbours linked, and the core has said so. */
void sup_check_ready(struct supervisor *s)
{
	if (s->told_ready || s->worker.state != WORKER_RUNNING || !sup_links_there(s))
		return;
	if (!s->p->ready_when_attached && !s->ledger->ready)
		return;
	for (unsigned l = LINK_UP; l < STEP_LINKS; l++)
		if (s->link[l].name && (!s->link[l].settled || !s->link[l].given))
			return;
	s->told_ready = true;
	fdstore_tell(&s->store, "READY=1\nSTATUS=running\n");
	log_info("ready", LOG_UINT("pid", getpid()), LOG_UINT("worker", s->worker.pid), LOG_STR("start", s->warm ? "warm" : "cold"));
}

/* Which cold keys differ: put the old value of one into the new device, and see whether its hash moves.  None may: then the
 * file had changed before this supervisor's life. */
static void name_cold_keys(const struct device *old, const struct device *new, char *buf, size_t cap)
{
#define KEY(name, first, last) { name, offsetof(struct device, first), \
	offsetof(struct device, last) + sizeof(new->last) - offsetof(struct device, first) }
	static const struct { const char *name; size_t at, len; } keys[] = {
		KEY("name", name, name), KEY("address", address_given, address_type), KEY("class_of_device", class_of_device, class_of_device),
		KEY("le_enabled", le_enabled, le_enabled), KEY("classic_enabled", classic_enabled, classic_enabled),
		KEY("connectable", connectable, connectable), KEY("discoverable", discoverable, discoverable),
		KEY("io_capability", io_capability, io_capability), KEY("irk", irk_given, irk), KEY("keystore", keystore, keystore),
		KEY("gap_service_enabled", gap_service, gap_service), KEY("gatt_service_enabled", gatt_service, gatt_service),
		KEY("gatt_services", services, service_count), KEY("trefoil.limits.connections", connections, connections),
		KEY("trefoil.limits.mtu", mtu, mtu), KEY("trefoil.isolation.uids", uid, uid),
	};
#undef KEY
	size_t at = 0;

	buf[0] = 0;
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		struct device t = *new;

		memcpy((uint8_t *)&t + keys[i].at, (const uint8_t *)old + keys[i].at, keys[i].len);
		if (device_cold_hash(&t) != device_cold_hash(new) && at + 40 < cap)
			at += (size_t)snprintf(buf + at, cap - at, "%s%s", at ? " " : "", keys[i].name);
	}
}

int sup_reload(struct supervisor *s, char *why, size_t why_cap)
{
	struct device *d;
	char keys[256];
	int r;

	r = device_load(s->opt.config, &d, why, why_cap);
	if (r) {
		log_error("configuration kept as it was", LOG_WHY(why));
		return r;
	}
	if (device_cold_hash(d) != s->ledger->config_hash) {
		name_cold_keys(s->formed, d, keys, sizeof keys);
		log_warn("cold keys changed: kept as they were until a cold start", LOG_STR("keys", *keys ? keys : "those of before"));
	}
	if (s->device != s->formed)
		device_free(s->device);
	s->device = d;
	sup_allow(s);
	if (d->log_level_given && !s->opt.log_given)
		log_set_level(d->log_level);
	r = sup_configure(s, true);
	if (r)
		snprintf(why, why_cap, "the worker could not be told: %s", strerror(-r));
	else
		log_info("configuration reloaded");
	return r;
}

static int on_signal(void *ctx, uint32_t revents)
{
	struct supervisor *s = ctx;
	char why[256];
	int sig;

	(void)revents;
	while ((sig = loop_signal_take(s->signals)) > 0) {
		if (sig == SIGHUP) {
			sup_reload(s, why, sizeof why);
			continue;
		}
		log_info("ending", LOG_STR("signal", sig == SIGTERM ? "SIGTERM" : "SIGINT"));
		sup_end(s, 0);
	}
	return 0;
}

static void on_timer(struct supervisor *s, enum sup_timer t)
{
	switch (t) {
	case TIMER_GATHER:
		log_info("waiting no longer for neighbours");
		sup_worker_start(s);
		break;
	case TIMER_WORKER:
		sup_worker_start(s);
		break;
	case TIMER_KILL:
		sup_worker_kill(s);
		break;
	case TIMER_DIAL:
		sup_dial(s);
		break;
	case TIMER_ABSENT_UP:
		sup_link_give_up(s, LINK_UP);
		break;
	case TIMER_ABSENT_DOWN:
		sup_link_give_up(s, LINK_DOWN);
		break;
	case TIMER_PROBE:
		sup_takeover_timeout(s);
		break;
	case TIMER_CLEAN:
		sup_takeover_go(s);
		break;
	case TIMER_STATUS:
		sup_status_timeout(s);
		break;
	case SUP_TIMERS:
		break;
	}
}

static void run_timers(struct supervisor *s)
{
	uint64_t now = loop_now();

	for (enum sup_timer t = 0; t < SUP_TIMERS && !s->ending; t++)
		if (s->timer[t] && s->timer[t] <= now) {
			s->timer[t] = 0;
			on_timer(s, t);
		}
}

static uint64_t next_timer(const struct supervisor *s)
{
	uint64_t next = LOOP_FOREVER;

	for (enum sup_timer t = 0; t < SUP_TIMERS; t++)
		if (s->timer[t] && s->timer[t] < next)
			next = s->timer[t];
	return next;
}

static int open_basics(struct supervisor *s)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, 0 };
	char why[256];
	int r;

	r = run_dir_resolve(&s->dir, s->opt.run_dir);
	if (r) {
		log_error("run dir", LOG_STR("path", s->opt.run_dir), LOG_ERRNO(r));
		return r;
	}
	r = device_load(s->opt.config, &s->device, why, sizeof why);
	if (r) {
		log_error("configuration", LOG_WHY(why));
		return r;
	}
	s->formed = s->device;
	if (s->opt.log_given || s->device->log_level_given)
		log_set_level(s->opt.log_given ? s->opt.log : s->device->log_level);
	r = run_dir_make(&s->dir, s->device->group_given ? s->device->group : (gid_t)CONTROL_GROUP_NONE);
	if (r) {
		log_error("run dir", LOG_WHY(s->dir.why));
		return r < 0 ? r : -EPERM;
	}
	signal(SIGPIPE, SIG_IGN);
	s->signals = loop_signal_fd(signals);
	r = loop_open(0, &s->loop);
	if (r) {
		log_error("loop", LOG_WHY(loop_refusal(r)), LOG_ERRNO(r));
		return r;
	}
	if (s->signals < 0)
		return s->signals;
	s->signal_watch = loop_watch(s->loop, s->signals, POLLIN, LOOP_LEVEL, on_signal, s);
	return s->signal_watch < 0 ? s->signal_watch : 0;
}

static int open_all(struct supervisor *s)
{
	int r;

	r = open_basics(s);
	if (r)
		return r;
	r = fdstore_open(&s->store);
	if (r) {
		log_error("NOTIFY_SOCKET", LOG_ERRNO(r));
		return r;
	}
	r = sup_boot(s);
	if (r)
		return r;
	r = sup_control_open(s);
	if (r) {
		log_error("control socket", LOG_ERRNO(r));
		return r;
	}
	if (!fdstore_there(&s->store))
		log_warn("nobody above keeps our descriptors: the death of this supervisor is then a real loss");
	return 0;
}

static struct supervisor *new_supervisor(const struct program *p, const struct sup_options *o)
{
	struct supervisor *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->p = p;
	s->opt = *o;
	s->dir = (struct run_dir)RUN_DIR_NONE;
	s->store = (struct fdstore)FDSTORE_NONE;
	s->listener = s->listen_watch = s->signals = s->signal_watch = s->record_dir = s->quarantine_dir = s->recording = -1;
	s->ledger_segment = s->arena = s->stats_segment = (struct segment)SEGMENT_NONE;
	s->small.end = (struct link_end)LINK_END_NONE;
	s->small.worker_region = s->small.watch = -1;
	for (unsigned l = 0; l < STEP_LINKS; l++) {
		s->link[l].end = s->link[l].offered = (struct link_end)LINK_END_NONE;
		s->link[l].name = l == LINK_UP ? p->up : l == LINK_DOWN ? p->down : NULL;
	}
	s->image = s->takeover.image = s->takeover.recording = s->takeover.pidfd = s->takeover.watch = s->takeover.control_watch = -1;
	s->takeover.control = (struct control_link)CONTROL_LINK_NONE;
	s->takeover.arena = (struct segment)SEGMENT_NONE;
	sup_image_find(s);
	s->worker.pidfd = s->worker.watch = s->worker.control_watch = -1;
	s->worker.control = (struct control_link)CONTROL_LINK_NONE;
	for (unsigned i = 0; i < SUP_CONNS; i++)
		s->conn[i] = (struct sup_conn){ .s = s, .link = CONTROL_LINK_NONE, .watch = -1 };
	return s;
}

int supervisor_run(const struct program *p, const struct sup_options *o)
{
	struct supervisor *s = new_supervisor(p, o);
	int r, code;

	if (!s)
		return 1;
	r = open_all(s);
	if (!r) {
		sup_dial(s);
		sup_worker_want(s);
	}
	while (!r && !s->ending) {
		r = loop_run_once(s->loop, s->small.more ? 0 : next_timer(s));
		if (r > 0 || r == -EINTR)
			r = 0;
		if (!r && s->small.more)
			sup_small_pump(s);
		if (!r)
			run_timers(s);
		else
			log_error("loop", LOG_ERRNO(r));
	}
	code = r ? 1 : s->exit_code;
	sup_worker_end(s);
	sup_close(s);
	free(s);
	return code;
}
