/* runtime/supervisor_links.c - links to the neighbours: hello, offer, generations.
 *
 *   dialer (downstream)                              listener (upstream)
 *   Hello{generation held, highest ever}      ->
 *                                             <-     Hello{the same of its own}
 *   equal:   LinkOffer{resume}                ->
 *                                             <-     LinkOffer{resume}                 nothing changes
 *   unequal: LinkOffer{g, size} region, bell  ->     stores all four one level up
 *                                             <-     LinkOffer{g, size} region, bell
 *   stores all four; FdStored{g}              ->     both give it to their workers
 *
 * Either side may die at any point: what it then holds differs from the other's, and the next Hello shows it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "runtime/supervisor_private.h"
#include "wire/wire.h"

static const enum sup_timer absent_timer[STEP_LINKS] = { SUP_TIMERS, TIMER_ABSENT_UP, TIMER_ABSENT_DOWN };

void sup_link_name(const struct supervisor *s, unsigned l, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s-%s", l == LINK_UP ? s->link[l].name : s->p->name, l == LINK_UP ? s->p->name : s->link[l].name);
}

bool sup_links_there(const struct supervisor *s)
{
	bool there = true;

	for (unsigned l = LINK_UP; l < STEP_LINKS; l++)
		there &= !s->link[l].name || s->link[l].end.generation;
	return there;
}

static uint32_t held(const struct supervisor *s, unsigned l)
{
	return s->link[l].lost ? 0 : s->link[l].end.generation;
}

int sup_say_hello(struct supervisor *s, struct sup_conn *c, unsigned l)
{
	Hello m = CONTROL_INIT(HELLO);
	Frame f = CONTROL_FRAME(HELLO, hello, &m);

	m.role = CONTROL_STR(s->p->name);
	m.protocol = CONTROL_PROTOCOL;
	m.pid = (uint32_t)getpid();
	m.generation = held(s, l);
	m.highest = s->ledger->link[l].highest;
	return control_send(&c->link, &f, NULL, 0);
}

/* @resume  no descriptors: both hold it already */
static int say_offer(struct supervisor *s, struct sup_conn *c, const struct link_end *e, uint32_t generation, bool resume)
{
	LinkOffer m = CONTROL_INIT(LINK_OFFER);
	Frame f = CONTROL_FRAME(LINK_OFFER, link_offer, &m);
	int fd[2], r;

	(void)s;
	m.link = CONTROL_STR(c->neighbour == LINK_UP ? "down" : "up");	/* as the receiver sees it */
	m.generation = generation;
	m.ring_size = e->size;
	m.resume = resume;
	if (resume)
		return control_send(&c->link, &f, NULL, 0);
	fd[0] = segment_reader_fd(&e->mine);
	if (fd[0] < 0)
		return fd[0];
	fd[1] = e->bell;
	r = control_send(&c->link, &f, fd, 2);
	close(fd[0]);
	return r;
}

/* A core that misses one for want of room in its queue is no worse off than one that is never told, or waits for its own limit. */
void sup_link_tell_there(struct supervisor *s, unsigned l)
{
	const struct sup_link *k = &s->link[l];
	struct record h = { .kind = k->there ? RECORD_NEIGHBOUR_BACK : RECORD_NEIGHBOUR_AWAY, .index = (uint16_t)l,
		.generation = (uint16_t)k->end.generation };

	if (!(s->p->hears_of & 1u << l) || !k->end.generation)
		return;
	if (sup_small_push(s, h, (struct bytes){ 0 }))
		log_warn("worker is not told of its neighbour", LOG_STR("name", k->name));
	sup_small_pump(s);
}

void sup_link_there(struct supervisor *s, unsigned l, bool there)
{
	bool news = s->link[l].there != there;

	s->link[l].there = there;
	if (news)
		sup_link_tell_there(s, l);
}

static void settled(struct supervisor *s, struct sup_conn *c)
{
	unsigned l = c->neighbour;
	struct sup_link *k = &s->link[l];

	k->settled = true;
	s->timer[absent_timer[l]] = 0;
	if (l == LINK_UP)
		s->dial_step = 0;
	log_info("link settled", LOG_STR("with", k->name), LOG_UINT("generation", k->end.generation));
	if (k->given)
		sup_check_ready(s);
	else if (s->worker.state == WORKER_NONE)
		sup_worker_want(s);
	else
		sup_worker_replace(s, false, "new link");	/* its io_uring is sealed: new descriptors, new worker */
	sup_worker_tell(s, c);		/* the last: it may close c */
}

/* Take `e` as the link: stored one level up and acknowledged before anybody uses it. */
static int install(struct supervisor *s, unsigned l, struct link_end *e)
{
	struct sup_link *k = &s->link[l];
	int r;

	r = sup_store_link(s, l, e);
	if (r) {
		link_end_close(e);
		return r;
	}
	link_end_close(&k->end);
	k->end = *e;
	*e = (struct link_end)LINK_END_NONE;
	k->given = k->settled = k->lost = k->lost_told = false;
	return 0;
}

/* ---- dialer ---- */
void sup_dial(struct supervisor *s)
{
	static const uint16_t wait_ms[] = { 1, 2, 5, 10, 20, 50, 100 };
	char path[RUN_DIR_PATH + RUN_DIR_NAME], name[RUN_DIR_NAME];
	struct sup_link *k = &s->link[LINK_UP];
	struct sup_conn *c;
	int fd = -ENAMETOOLONG, r;

	if (!k->name || k->conn)
		return;
	snprintf(name, sizeof name, "%s.sock", k->name);
	if (run_dir_file(&s->dir, name, path, sizeof path))
		fd = control_dial_own(path);
	if (fd == -EPERM && !s->told_foreign)
		log_warn("not dialed: neither root nor we listen there", LOG_STR("path", path));
	s->told_foreign = fd == -EPERM;
	c = fd < 0 ? NULL : sup_conn_add(s, fd, true);
	if (!c) {
		sup_timer_in(s, TIMER_DIAL, wait_ms[s->dial_step]);
		if (s->dial_step + 1 < sizeof wait_ms / sizeof *wait_ms)
			s->dial_step++;
		return;
	}
	c->role = CONN_NEIGHBOUR;
	c->neighbour = LINK_UP;
	c->dialed = true;
	k->conn = c;
	r = sup_say_hello(s, c, LINK_UP);
	sup_conn_sent(c, r);
}

/* Our half; its memfd is named after us and the link's role, for whoever looks into /proc. */
static int create_half(const struct supervisor *s, unsigned l, uint64_t size, struct link_end *ret)
{
	char name[64];

	snprintf(name, sizeof name, "trefoil-%s.%s", s->p->name, l == LINK_UP ? "up" : "down");
	return link_end_create(name, size, ret);
}

static int offer_new(struct supervisor *s, struct sup_conn *c, uint32_t their_highest)
{
	struct sup_link *k = &s->link[LINK_UP];
	uint32_t mine = s->ledger->link[LINK_UP].highest;
	int r;

	link_end_close(&k->offered);
	r = create_half(s, LINK_UP, s->p->ring_size ? s->p->ring_size : RING_SIZE_DEFAULT, &k->offered);
	if (r)
		return r;
	k->offered_generation = (mine > their_highest ? mine : their_highest) + 1;
	return say_offer(s, c, &k->offered, k->offered_generation, false);
}

/* The listener's answer to ours. */
static int on_answer(struct supervisor *s, struct sup_conn *c, struct control_in *in, const LinkOffer *m)
{
	struct sup_link *k = &s->link[LINK_UP];
	FdStored stored = CONTROL_INIT(FD_STORED);
	Frame f = CONTROL_FRAME(FD_STORED, fd_stored, &stored);
	int r;

	if (m->resume) {
		if (!held(s, LINK_UP) || m->generation != held(s, LINK_UP))
			return -EPROTO;
		settled(s, c);
		return 0;
	}
	if (in->fd_count != 2 || !k->offered.size || m->generation != k->offered_generation || m->ring_size != k->offered.size)
		return -EPROTO;
	r = link_end_adopt(&k->offered, control_take_fd(in, 0), control_take_fd(in, 1));
	if (r)
		return r < 0 ? r : -EPROTO;
	k->offered.generation = m->generation;
	r = install(s, LINK_UP, &k->offered);
	if (r)
		return r;
	stored.link = CONTROL_STR("down");
	stored.generation = m->generation;
	r = control_send(&c->link, &f, NULL, 0);
	if (!r)
		settled(s, c);
	return r;
}

/* ---- listener ---- */
static int on_offer(struct supervisor *s, struct sup_conn *c, struct control_in *in, const LinkOffer *m)
{
	struct sup_link *k = &s->link[LINK_DOWN];
	struct link_end e = LINK_END_NONE;
	int r;

	if (m->resume) {
		if (!held(s, LINK_DOWN) || m->generation != held(s, LINK_DOWN))
			return -EPROTO;
		r = say_offer(s, c, &k->end, m->generation, true);
		if (!r)
			settled(s, c);
		return r;
	}
	if (in->fd_count != 2 || m->generation <= s->ledger->link[LINK_DOWN].highest || !link_size_ok(m->ring_size) ||
	    !step_fits(s->p->core, LINK_DOWN, m->ring_size))
		return -EPROTO;
	r = create_half(s, LINK_DOWN, m->ring_size, &e);
	if (!r)
		r = link_end_adopt(&e, control_take_fd(in, 0), control_take_fd(in, 1));
	if (r) {
		link_end_close(&e);
		return r < 0 ? r : -EPROTO;
	}
	e.generation = m->generation;
	r = install(s, LINK_DOWN, &e);
	return r ? r : say_offer(s, c, &k->end, m->generation, false);
}

void sup_link_stored(struct supervisor *s, struct sup_conn *c, const FdStored *m)
{
	if (c->neighbour == LINK_DOWN && m->generation == s->link[LINK_DOWN].end.generation)
		settled(s, c);
}

/* ---- both ---- */
void sup_link_hello(struct supervisor *s, struct sup_conn *c, const Hello *m)
{
	unsigned l = c->neighbour;
	struct sup_link *k = &s->link[l];
	int r;

	if (!c->dialed) {
		if (k->conn && k->conn != c)
			sup_conn_close(k->conn);	/* its former life, whose end we have not heard of yet */
		k->conn = c;
		r = sup_say_hello(s, c, l);
	} else if (m->generation && m->generation == held(s, l))
		r = say_offer(s, c, &k->end, m->generation, true);
	else
		r = offer_new(s, c, m->highest);
	sup_conn_sent(c, r);
}

int sup_link_offered(struct supervisor *s, struct sup_conn *c, struct control_in *in, const LinkOffer *m)
{
	return c->neighbour == LINK_UP ? on_answer(s, c, in, m) : on_offer(s, c, in, m);
}

/* The other side has gone.  Its death is a doorbell: what it had published, and not yet rung for, is taken. */
void sup_link_closed(struct supervisor *s, struct sup_conn *c)
{
	struct sup_link *k = &s->link[c->neighbour];

	if (k->conn != c)
		return;
	k->conn = NULL;
	k->settled = false;
	link_end_close(&k->offered);
	sup_link_there(s, c->neighbour, false);
	if (k->end.generation) {
		sup_kick(s, k->end.bell);
		if (!k->lost && !s->timer[absent_timer[c->neighbour]])
			sup_timer_in(s, absent_timer[c->neighbour], SUP_ABSENT_MS);
	}
	if (c->dialed && !s->ending)
		sup_timer_in(s, TIMER_DIAL, 1);
}

/* A core that waits for room in a ring that nobody empties any more waits no longer: step.c asks nothing of a link that is
 * gone.  The next worker is not given it (supervisor_worker.c). */
static void detach(struct supervisor *s, unsigned l)
{
	Detach m = CONTROL_INIT(DETACH);
	Frame f = CONTROL_FRAME(DETACH, detach, &m);

	if (!s->link[l].attached || s->worker.state == WORKER_NONE)
		return;
	if (!s->link[l].given) {	/* it holds the generation before this one, which never settled */
		sup_worker_replace(s, false, "neighbour given up");
		return;
	}
	s->link[l].given = s->link[l].attached = false;
	m.link = l;
	m.generation = s->link[l].end.generation;
	m.why = CONTROL_STR("neighbour given up");
	if (control_send(&s->worker.control, &f, NULL, 0))
		sup_worker_kill(s);
}

/* The core ends what it had with it; told once in each of our lives, and to a core that knows already it is no news.  The
 * generation says which link is meant: by the time it is read there may be a new one (worker.c). */
void sup_link_tell_lost(struct supervisor *s, unsigned l)
{
	static const uint8_t reason = 0x15;	/* Core 5.4, Vol 1, Part F, 2.21: remote device terminated, power off */
	struct sup_link *k = &s->link[l];
	int r;

	r = sup_small_push(s, (struct record){ .kind = RECORD_NEIGHBOUR_LOST, .index = (uint16_t)l,
	    .generation = (uint16_t)k->end.generation }, (struct bytes){ &reason, 1 });
	if (r) {
		sup_timer_in(s, absent_timer[l], SUP_AGAIN_MS);
		return;
	}
	k->lost_told = true;
	sup_small_pump(s);
	detach(s, l);
}

/* Absent for too long.  Noted first: who dies between here and the telling tells it in its next life. */
void sup_link_give_up(struct supervisor *s, unsigned l)
{
	struct sup_link *k = &s->link[l];

	if (!k->end.generation || k->settled || (k->lost && k->lost_told))
		return;
	if (!k->lost)
		log_error("neighbour given up", LOG_STR("name", k->name), LOG_UINT("absent_ms", SUP_ABSENT_MS));
	s->ledger->link[l].lost = 1;
	k->lost = true;
	sup_link_tell_lost(s, l);
}

/* Nobody holds this link any more; the next Hello makes a new one. */
void sup_link_drop(struct supervisor *s, unsigned l)
{
	struct sup_link *k = &s->link[l];

	ledger_link_drop(s->ledger, l);
	if (k->conn)
		sup_conn_close(k->conn);
	s->timer[absent_timer[l]] = 0;
	link_end_close(&k->end);
	link_end_close(&k->offered);
	k->given = k->settled = k->lost = k->lost_told = false;
	sup_forget_link(s, l);
}

/* Our worker says that the other side's ring lies.  Nothing is repaired in place. */
void sup_link_refuse(struct supervisor *s, unsigned l, const char *why)
{
	if (l < LINK_UP || l >= STEP_LINKS || !s->link[l].end.generation)
		return;
	log_error("link refused: a new generation follows", LOG_STR("with", s->link[l].name),
	    LOG_UINT("generation", s->link[l].end.generation), LOG_WHY(why));
	sup_link_drop(s, l);
}
