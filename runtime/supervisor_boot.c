/* runtime/supervisor_boot.c - memory and descriptors: made new, or taken over from the former life. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "runtime/supervisor_private.h"
#include "shm/arena_image.h"

static const char *const link_prefix[STEP_LINKS] = { "sup", "up", "down" };
static const char *const link_part[4] = { "mine", "peer", "bell", "peerbell" };
static const char *const small_part[4] = { "mine", "worker", "bell", "wbell" };

static void fd_name(unsigned l, unsigned part, char buf[FDNAME_MAX + 1])
{
	snprintf(buf, FDNAME_MAX + 1, "%s.%s", link_prefix[l], l == LINK_SUPERVISOR ? small_part[part] : link_part[part]);
}

int sup_store_sync(struct supervisor *s)
{
	int r = fdstore_barrier(&s->store, SUP_BARRIER_MS);

	if (r)
		log_error("descriptors are not acknowledged from above", LOG_ERRNO(r));
	return r;
}

static int put4(struct supervisor *s, unsigned l, const int fd[4])
{
	char name[FDNAME_MAX + 1];
	int r = 0;

	for (unsigned i = 0; i < 4 && !r; i++) {
		fd_name(l, i, name);
		r = fdstore_remove(&s->store, name);
		if (!r)
			r = fdstore_put(&s->store, name, fd[i]);
	}
	return r;
}

void sup_forget_link(struct supervisor *s, unsigned l)
{
	char name[FDNAME_MAX + 1];

	for (unsigned i = 0; i < 4; i++) {
		fd_name(l, i, name);
		fdstore_remove(&s->store, name);
	}
}

/* Replace what is stored of link `l` and wait until it is held: only then may it be used. */
int sup_store_link(struct supervisor *s, unsigned l, const struct link_end *e)
{
	const int fd[4] = { e->mine.fd, e->theirs.fd, e->bell, e->peer_bell };
	int r;

	ledger_link_drop(s->ledger, l);
	r = put4(s, l, fd);
	if (!r)
		r = sup_store_sync(s);
	if (!r)
		ledger_link_open(s->ledger, l, e->generation, e->size);
	return r;
}

int supervisor_keep_fd(struct supervisor *s, const char *name, int fd)
{
	int r = -EINVAL;

	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (!strncmp(name, link_prefix[l], strlen(link_prefix[l])) && name[strlen(link_prefix[l])] == '.')
			goto fail;
	if (!*name || strlen(name) > FDNAME_MAX || strpbrk(name, ": \n") ||
	    !strncmp(name, "arena", 5) || !strncmp(name, "image", 5) || !strncmp(name, "recording", 9) || !strcmp(name, "stats") ||
	    !strcmp(name, "ledger") || !strcmp(name, "listen") || !strcmp(name, "worker"))
		goto fail;
	r = -ENOSPC;
	if (s->kept.count >= SUP_KEPT)
		goto fail;
	r = fdstore_put(&s->store, name, fd);
	if (r)
		goto fail;
	snprintf(s->kept.at[s->kept.count].name, FDNAME_MAX + 1, "%s", name);
	s->kept.at[s->kept.count++].fd = fd;
	return 0;
fail:
	close(fd);
	return r;
}

/* The small link: both regions are ours to make; the worker gets its own writable, and ours to read. */
int sup_make_small(struct supervisor *s)
{
	struct link_end worker = LINK_END_NONE;
	uint32_t generation = s->ledger->link[LINK_SUPERVISOR].highest + 1;
	int fd[4], r;

	sup_small_close(s);
	r = link_end_create("trefoil-small", SUP_SMALL_RING, &s->small.end);
	if (!r)
		r = link_end_create("trefoil-small-worker", SUP_SMALL_RING, &worker);
	if (!r)
		r = link_end_adopt(&s->small.end, dup(worker.mine.fd), dup(worker.bell));
	if (r) {
		link_end_close(&worker);
		return r < 0 ? r : -EINVAL;
	}
	s->small.worker_region = dup(worker.mine.fd);
	s->small.end.generation = generation;
	link_end_close(&worker);
	ledger_link_drop(s->ledger, LINK_SUPERVISOR);
	memcpy(fd, (const int[4]){ s->small.end.mine.fd, s->small.worker_region, s->small.end.bell, s->small.end.peer_bell }, sizeof fd);
	r = put4(s, LINK_SUPERVISOR, fd);
	if (!r)
		r = sup_store_sync(s);
	if (r)
		return r;
	ledger_link_open(s->ledger, LINK_SUPERVISOR, generation, SUP_SMALL_RING);
	return sup_small_open(s);
}

static void drop_all(struct supervisor *s)
{
	for (unsigned l = LINK_UP; l < STEP_LINKS; l++)
		sup_link_drop(s, l);
	sup_small_close(s);
	sup_forget_link(s, LINK_SUPERVISOR);
	ledger_link_drop(s->ledger, LINK_SUPERVISOR);
	fdstore_remove(&s->store, sup_arena_name(s, false));
	fdstore_remove(&s->store, sup_image_name(s, false));
	fdstore_remove(&s->store, sup_recording_name(s, false));
	fdstore_remove(&s->store, "stats");
	for (unsigned i = 0; i < s->kept.count; i++)
		fdstore_remove(&s->store, s->kept.at[i].name);
	fds_close(&s->kept);
	if (s->recording >= 0)
		close(s->recording);
	s->recording = -1;
	segment_close(&s->arena);
	segment_close(&s->stats_segment);
	s->stats = NULL;
}

/* What the new arena is for.  A binary that is not ours was asked, or its arena stays as large as it was, and for what it was. */
static void plan_cold(struct supervisor *s)
{
	struct arena_said said = s->cold_said;
	struct arena_limits limits;

	s->cold_said = (struct arena_said){ 0 };
	if (!said.size && !s->image_own)
		return;
	limits = device_limits(s->device);
	s->plan = step_plan(s->p->core, &limits, device_cold_hash(s->device));
	s->ledger->limits = s->plan.limits;
	s->ledger->config_hash = s->plan.config_hash;
	s->ledger->worker_uid = device_uid(s->device, s->p->name);
	if (s->formed != s->device)
		device_free(s->formed);
	s->formed = s->device;
	if (!said.size)
		said = (struct arena_said){ .size = arena_size(&s->plan), .image_octets = arena_image_octets(&s->plan),
			.layout_hash = arena_layout_hash(&s->plan), .version = s->plan.version };
	s->ledger->arena[s->ledger->place & 1] = said;
}

int sup_cold(struct supervisor *s)
{
	uint64_t size;
	int r;

	s->ledger->formed = 0;
	s->ledger->ready = 0;
	s->warm = false;
	drop_all(s);
	plan_cold(s);
	size = s->ledger->arena[s->ledger->place & 1].size;
	r = segment_create("trefoil-arena", size, &s->arena);
	if (!r)
		r = segment_create("trefoil-stats", stats_size(), &s->stats_segment);
	if (!r)
		r = fdstore_put(&s->store, sup_arena_name(s, false), s->arena.fd);
	if (!r)
		r = fdstore_put(&s->store, sup_image_name(s, false), s->image);
	if (!r)
		r = fdstore_put(&s->store, "stats", s->stats_segment.fd);
	if (r) {
		log_error("memory", LOG_ERRNO(r), LOG_UINT("octets", size));
		return r;
	}
	s->stats = s->stats_segment.at;
	r = s->p->open ? s->p->open(s, s->device) : 0;
	if (!r)
		r = sup_files_cold(s);
	if (!r)
		r = sup_make_small(s);	/* its barrier covers all that was put before */
	if (!r)
		r = sup_configure(s, false);
	if (!r) {
		s->ledger->formed = 1;
		s->first = false;
	}
	return r;
}

/* @ret_region  set where the other side's region is ours to hand on (the small link): writable, the caller's */
static bool restore_link(struct supervisor *s, struct fd_set_named *set, unsigned l, struct link_end *ret, int *ret_region)
{
	uint32_t generation = s->ledger->link[l].generation;
	struct link_end e = LINK_END_NONE;
	char name[FDNAME_MAX + 1];
	int fd[4], region;
	bool whole = generation != 0;

	for (unsigned i = 0; i < 4; i++) {
		fd_name(l, i, name);
		fd[i] = fds_take(set, name);
		whole = whole && fd[i] >= 0;
	}
	if (!whole) {
		for (unsigned i = 0; i < 4; i++)
			if (fd[i] >= 0)
				close(fd[i]);
		return false;
	}
	region = dup(fd[1]);
	if (link_end_restore(fd[0], fd[2], s->ledger->link[l].size, &e)) {
		close(fd[1]);
		close(fd[3]);
	} else if (!link_end_adopt(&e, fd[1], fd[3])) {
		e.generation = generation;
		*ret = e;
		if (ret_region)
			*ret_region = region;
		else
			close(region);
		return true;
	}
	link_end_close(&e);
	close(region);
	return false;
}

static int take_memory(struct supervisor *s, struct fd_set_named *set)
{
	int arena = fds_take(set, sup_arena_name(s, false)), stats = fds_take(set, "stats"), r;

	s->plan = step_plan(s->p->core, &s->ledger->limits, s->ledger->config_hash);
	r = arena < 0 ? -EBADF : segment_attach(arena, s->ledger->arena[s->ledger->place & 1].size, true, &s->arena);
	if (r) {
		if (stats >= 0)
			close(stats);
		return r;
	}
	r = stats < 0 ? -EBADF : segment_attach(stats, stats_size(), true, &s->stats_segment);
	s->stats = s->stats_segment.at;
	return r;
}

/* The links to our neighbours.  One that is not whole was being made: the next Hello shows it. */
static void take_links(struct supervisor *s, struct fd_set_named *set)
{
	for (unsigned l = LINK_UP; l < STEP_LINKS; l++) {
		if (!s->link[l].name)
			continue;
		if (!restore_link(s, set, l, &s->link[l].end, NULL)) {
			ledger_link_drop(s->ledger, l);
			continue;
		}
		s->link[l].lost = s->ledger->link[l].lost;
		if (!s->link[l].lost)
			sup_timer_in(s, l == LINK_UP ? TIMER_ABSENT_UP : TIMER_ABSENT_DOWN, SUP_ABSENT_MS);
	}
}

/* A takeover that had not been decided when the former life ended. */
static void forget_other_place(struct supervisor *s, struct fd_set_named *set)
{
	const char *const names[] = { sup_arena_name(s, true), sup_image_name(s, true), sup_recording_name(s, true) };

	for (unsigned i = 0; i < 3; i++) {
		int fd = fds_take(set, names[i]);

		if (fd < 0)
			continue;
		close(fd);
		fdstore_remove(&s->store, names[i]);
	}
}

/* Warm: the same memory, links, sockets.  Returns 0; > 0: it does not fit this program, or is not whole; -errno. */
static int take_over(struct supervisor *s, struct fd_set_named *set)
{
	bool small;
	int r;

	forget_other_place(s, set);
	r = sup_image_take(s, fds_take(set, sup_image_name(s, false)));
	if (!r)
		r = take_memory(s, set);
	if (r)
		return r;
	small = restore_link(s, set, LINK_SUPERVISOR, &s->small.end, &s->small.worker_region);
	take_links(s, set);
	r = sup_files_warm(s, fds_take(set, sup_recording_name(s, false)));
	s->kept = *set;
	set->count = 0;
	if (device_cold_hash(s->device) != s->plan.config_hash)
		log_warn("cold keys of the device file changed: kept as they were until a cold start");
	/* Not whole: the former life was making it anew.  What it held is told again, or asked for again by its client. */
	if (!r)
		r = small ? sup_small_open(s) : sup_make_small(s);
	if (!r)
		r = sup_configure(s, false);
	for (unsigned l = LINK_UP; !r && l < STEP_LINKS; l++)
		if (s->link[l].lost)		/* the former life may have died before it said so */
			sup_link_tell_lost(s, l);
		else
			sup_link_tell_there(s, l);	/* not before its supervisor says so */
	return r;
}

/* A worker of the former life must be gone before its memory has a new owner. */
static int end_former_worker(struct supervisor *s, struct fd_set_named *set)
{
	struct pollfd p = { .events = POLLIN };
	int r = 1;

	while ((p.fd = fds_take(set, "worker")) >= 0) {
		syscall(SYS_pidfd_send_signal, p.fd, SIGKILL, NULL, 0);
		do
			r = poll(&p, 1, SUP_BARRIER_MS);
		while (r < 0 && errno == EINTR);
		close(p.fd);
		if (r <= 0)
			break;
	}
	fdstore_remove(&s->store, "worker");
	if (r <= 0)
		log_error("the former worker does not end");
	return r > 0 ? 0 : -ETIMEDOUT;
}

static int open_listener(struct supervisor *s, struct fd_set_named *set)
{
	char path[RUN_DIR_PATH + RUN_DIR_NAME], name[RUN_DIR_NAME];
	int r;

	snprintf(name, sizeof name, "%s.sock", s->p->name);
	s->listener = fds_take(set, "listen");
	if (s->listener < 0) {
		if (!run_dir_file(&s->dir, name, path, sizeof path))
			return -ENAMETOOLONG;
		s->listener = control_listen(path, s->device->group_given ? s->device->group : (gid_t)CONTROL_GROUP_NONE);
		if (s->listener < 0) {
			log_error("control socket", LOG_STR("path", path), LOG_ERRNO(s->listener),
			    LOG_WHY(s->listener == -EADDRINUSE ? "another one is running there" : "cannot listen there"));
			return s->listener;
		}
		r = fdstore_put(&s->store, "listen", s->listener);
		if (r)
			return r;
	}
	return run_dir_own(&s->dir, name);
}

int sup_boot(struct supervisor *s)
{
	struct fd_set_named set;
	unsigned said;
	int fd, r;

	r = fds_inherited(&set);
	if (r)
		log_warn("LISTEN_FDS is not in order: nothing is taken over");
	s->first = !fds_has(&set, "ledger");
	r = sup_files_open(s);
	if (r)
		goto out;
	r = end_former_worker(s, &set);
	if (r)
		goto out;
	r = open_listener(s, &set);
	if (r)
		goto out;
	fd = fds_take(&set, "ledger");
	r = fd < 0 ? LEDGER_E_FOREIGN : ledger_open(fd, &s->ledger_segment, &s->ledger);
	if (r) {
		fdstore_remove(&s->store, "ledger");
		r = ledger_create(&s->ledger_segment, &s->ledger);
		if (!r)
			r = fdstore_put(&s->store, "ledger", s->ledger_segment.fd);
		if (r)
			goto out;
		s->ledger->since_ns = loop_now();
	}
	if (ledger_add(&s->ledger->starts) > 1)
		log_info("supervisor started again", LOG_UINT("starts", s->ledger->starts));
	s->warm = s->ledger->formed && !s->opt.cold;
	r = s->warm ? take_over(s, &set) : 0;
	if (r > 0 || r == -EBADF) {
		log_error("what is stored does not fit this program: start with --cold", LOG_INT("reason", r));
		r = -EPROTOTYPE;
	}
	if (!r && !s->warm)
		r = sup_image_take(s, -1);
	if (!r && !s->warm) {
		s->kept = set;		/* what is left of a former life is let go, by name */
		set.count = 0;
		said = log_errors();
		r = sup_cold(s);
		if (r && log_errors() == said)		/* else there is a line that says more */
			log_error("cold start failed", LOG_ERRNO(r));
	}
out:
	fds_close(&set);
	return r;
}

void sup_close(struct supervisor *s)
{
	fdstore_tell(&s->store, "STOPPING=1\n");
	sup_files_close(s);
	run_dir_end(&s->dir);			/* the name first: who dials finds nobody, rather than one who does not answer */
	fdstore_remove(&s->store, "listen");
	fdstore_remove(&s->store, "worker");
	if (s->exit_code || !s->ending)		/* a failure leaves the memory above: another binary may know what to do with it */
		fdstore_close(&s->store);
	fdstore_remove(&s->store, "ledger");
	if (s->ledger)
		drop_all(s);
	for (unsigned i = 0; i < SUP_CONNS; i++)
		sup_conn_close(&s->conn[i]);
	sup_takeover_drop(s);
	if (s->image >= 0)
		close(s->image);
	free(s->small.queue);
	segment_close(&s->ledger_segment);
	if (s->listener >= 0)
		close(s->listener);
	if (s->signals >= 0)
		close(s->signals);
	fdstore_close(&s->store);
	loop_close(s->loop);
	if (s->formed != s->device)
		device_free(s->formed);
	device_free(s->device);
}
