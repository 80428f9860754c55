/* runtime/worker_own.c - what a worker with more than links (program->worker_turn) owes to its recording. */
#include "runtime/worker_private.h"

bool worker_may_act(struct worker *w)
{
	unsigned fresh = w->step.fresh;
	bool may = step_may_act(&w->step);

	recorder_settled(w->recorder, &w->step, fresh);
	return may;
}

uint64_t worker_recording(const struct worker *w) { return w->recorder ? recorder_generation(w->recorder) : 0; }
void worker_note(struct worker *w, const struct recorder_own *what) { recorder_own(w->recorder, &w->step, what); }
