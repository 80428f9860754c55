/* runtime/worker_probe.c - could this binary take over the arena of the worker that runs now? */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "runtime/worker_private.h"
#include "shm/arena_image.h"
#include "shm/migrate.h"

#ifdef TREFOIL_TEST_LAYOUT
void takeover_stop(int place)
{
	const char *at = getenv("TREFOIL_TAKEOVER_STOP");

	if (at && atoi(at) == place)
		raise(SIGSTOP);
}

void takeover_on_pool(unsigned pool)
{
	if (pool == STEP_POOLS)		/* some of it is there, some is not */
		takeover_stop(TAKEOVER_STOP_COPY);
}
#endif

struct arena_plan worker_plan(const struct core *core, const uint32_t *limits, size_t count, uint64_t config_hash)
{
	struct arena_limits l = { { 0 } };

	for (size_t i = 0; i < count && i < LIMITS; i++)
		l.of[i] = limits[i];
	return step_plan(core, &l, config_hash);
}

int worker_on_probe(void *self, struct control_in *in, const Probe *m)
{
	struct worker *w = self;
	struct arena_plan plan = worker_plan(w->p->core, m->limits, m->n_limits, m->config_hash);
	struct segment old = SEGMENT_NONE;
	Probed a = CONTROL_INIT(PROBED);
	Frame f = CONTROL_FRAME(PROBED, probed, &a);
	char why[ARENA_WHY] = "";
	int r;

	if (w->started || w->link[LINK_SUPERVISOR].generation || strcmp(m->name, w->p->name))
		return -EPROTO;
	r = segment_attach(control_take_fd(in, 0), m->arena_size, false, &old);
	if (r)
		return r < 0 ? r : -EPROTO;
	a.protocol = CONTROL_WORKER_PROTOCOL;
	a.verdict = ARENA_REFUSED;
	if (m->protocol != CONTROL_WORKER_PROTOCOL)
		a.why = CONTROL_STR("its supervisor is of another build, and speaks to workers otherwise");
	else if (m->cold)
		a.verdict = ARENA_EQUAL;
	else {
		a.verdict = arena_judge(&plan, w->p->core->migrations, (struct bytes){ old.at, old.len }, why);
		a.why = why;
	}
	segment_close(&old);
	a.arena_size = arena_size(&plan);
	a.version = plan.version;
	a.layout_hash = arena_layout_hash(&plan);
	a.image_octets = arena_image_octets(&plan);
	f.serial = in->frame->serial;
	r = control_send(&w->control, &f, NULL, 0);
	takeover_stop(TAKEOVER_STOP_PROBED);
	return r;
}
