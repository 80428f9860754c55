/* tests/lib/sums.c - see sums.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/hash.h"
#include "runtime/replay.h"
#include "tests/lib/sums.h"

enum { GIVEN = 24 };
static const struct arena_pool pools[] = { SUM_STATE(ARENA_ROW) { .name = NULL } };

static struct sums *change(struct step *s) { return sums_edit(s->arena, sums_next(s->arena, NULL)); }
static void fill(struct arena *a)
{
	step_format(a);
	sums_new(a);
}
static void give(struct step *s, uint64_t n)
{
	memcpy(step_reserve(s, LINK_DOWN, sizeof n), &n, sizeof n);
	step_give(s, LINK_DOWN, (struct record){ .len = sizeof n, .kind = RECORD_L2CAP_PDU });
}
static void on_record(struct step *s, unsigned l, const struct record *r, struct bytes payload)
{
	struct sums *t = change(s);
	uint64_t drawn = 0;

	if (payload.len && payload.at[0] == 'X')
		abort();
	entropy_take(s->arena, &drawn, 1);
	t->sum = hash_octets(t->sum + s->now_ns + drawn + l, payload.at, r->len);
	t->records++;
	if (fifo_room(t, q) < payload.len)
		fifo_pop(t, q, NULL, fifo_len(t, q));
	fifo_push(s->arena, t, q, payload.at, (uint32_t)payload.len);
	give(s, t->sum);
}
static void on_link(struct step *s, unsigned l) { change(s)->links += l + 1; }
static void on_time(struct step *s) { change(s)->times++; }
static uint64_t deadline(const struct step *s)
{
	(void)s;
	return DEADLINE_NONE;
}
static void on_poison(struct step *s, unsigned l, const struct record *r, enum core_rung rung)
{
	(void)l;
	change(s)->skipped += r->len + (rung == RUNG_RESET_CONNECTION ? 1000 : 0);
}
static const struct core core = {
	.name = "sums", .pools = pools, .version = 1, .fill = fill, .on_record = on_record, .on_link = on_link, .on_time = on_time,
	.deadline = deadline, .on_poison = on_poison, .undo = 2048, .reserve = { [LINK_UP] = { [LINK_DOWN] = GIVEN } },
};
const struct program sums_program = { .name = "sums", .core = &core };
const struct arena_plan sums_plan = { .pools = pools, .limits = { { 1, 1, 1, 1 } }, .version = 1, .log = 2048 + STEP_LOG };

/* ---- the world ---- */
void world_live(struct world *w, uint32_t generation)
{
	recorder_close(w->recorder);
	arena_close(&w->arena);
	if (arena_open(&w->arena, &sums_plan, w->memory, false) == ARENA_E_BLANK)
		arena_format(&w->arena, &sums_plan, fill);
	step_open(&w->step, &w->arena, &core);
	step_recover(&w->step);
	w->step.now_ns = ++w->now;
	for (unsigned l = LINK_UP; l <= LINK_DOWN; l++)
		step_attach(&w->step, l, generation, w->mine + l * 256, SUMS_RING, w->theirs, SUMS_RING);
	assert_int_equal(recorder_map(w->fd, &w->recorder), 0);
	assert_int_equal(recorder_begin(w->recorder, &w->step), 0);
}

void world_open(struct world *w, unsigned mib)
{
	char why[RECORDING_WHY];
	struct recording_layout of = recording_layout_of(&sums_plan);
	int dir;

	*w = (struct world){ .now = 1000 };
	snprintf(w->dir, sizeof w->dir, "%s/trefoil-rec-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(w->dir));
	dir = recording_dir_open(w->dir, why);
	assert_true(dir >= 0);
	w->fd = recording_create(dir, "sums", &of, mib);
	assert_true(w->fd >= 0);
	close(dir);
	snprintf(w->path, sizeof w->path, "%s/sums.recording", w->dir);
	w->memory = mmap(NULL, arena_size(&sums_plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	w->mine = mmap(NULL, 4 * 256 * sizeof *w->mine, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	w->theirs = mmap(NULL, 2 * SUMS_RING, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(w->memory != MAP_FAILED && w->mine != MAP_FAILED && w->theirs != MAP_FAILED);
	world_live(w, 1);
}

void world_close(struct world *w)
{
	char command[280];

	recorder_close(w->recorder);
	arena_close(&w->arena);
	close(w->fd);
	snprintf(command, sizeof command, "rm -r %s", w->dir);
	assert_int_equal(system(command), 0);
	munmap(w->memory, arena_size(&sums_plan));
}

/* The next record of LINK_UP, as worker_take does it.  Its octets come from the state: a step that is done again is the same. */
void world_take(struct world *w, enum recording_entry_kind kind)
{
	struct step *s = &w->step;
	const struct sums *t = sums_next(s->arena, NULL);
	uint8_t payload[64];
	struct record r = { .len = 1 + (uint32_t)(t->records * 7 % 60), .kind = RECORD_L2CAP_PDU, .index = 3, .generation = 5 };
	uint64_t at = s->link[LINK_UP].in.at;
	unsigned fresh = s->fresh;

	memset(payload, (int)(t->records & 63), sizeof payload);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (fresh & 1u << l)
			step_settle(s, l);
	recorder_settled(w->recorder, s, fresh);
	s->link[LINK_UP].in.at = at + record_octets(r.len);
	s->moved = true;
	recorder_record(w->recorder, s, &(struct recorder_record){ kind, LINK_UP, RUNG_RESET_CONNECTION, at, r, { payload, r.len } });
	if (kind == ENTRY_SKIP)
		on_poison(s, LINK_UP, &r, RUNG_RESET_CONNECTION);
	else
		on_record(s, LINK_UP, &r, (struct bytes){ payload, r.len });
}

void world_commit(struct world *w)
{
	recorder_committing(w->recorder, &w->step);
	step_commit(&w->step);
	w->theirs->head.pos = w->step.link[LINK_DOWN].out.at;
	recorder_committed(w->recorder, &w->step);
}

void world_step(struct world *w, unsigned i)
{
	uint8_t octets[8];

	w->step.now_ns = w->now += 1000;
	if (i % 5 == 0) {
		memset(octets, (int)i, sizeof octets);
		if (entropy_room(&w->arena) >= sizeof octets) {
			entropy_refill(&w->arena, octets, sizeof octets);
			recorder_entropy(w->recorder, &w->step, (struct bytes){ octets, sizeof octets });
			world_commit(w);
		}
	}
	for (unsigned n = 0; n <= i % 4; n++)
		world_take(w, i % 13 == 12 ? ENTRY_SKIP : ENTRY_TAKE);
	if (i % 3 == 0) {
		recorder_act(w->recorder, &w->step);
		on_time(&w->step);
	}
	world_commit(w);
}

void world_overfill(struct world *w)
{
	for (unsigned i = 0; i < 400; i++)
		recorder_entropy(w->recorder, &w->step, (struct bytes){ (const uint8_t *)&core, 4096 % sizeof core });
	for (unsigned i = 0; i < 20000; i++)
		recorder_act(w->recorder, &w->step);
}

int world_quarantine(const struct world *w, const struct quarantine_entries *q)
{
	struct recording_layout of = recording_layout_of(&sums_plan);
	char why[RECORDING_WHY];
	int dir = recording_dir_open(w->dir, why), r;

	assert_true(dir >= 0);
	r = quarantine_create(dir, "sums", &of, (struct bytes){ w->memory, arena_size(&sums_plan) }, q);
	close(dir);
	return r;
}

int sums_replay(const char *path, char *said, size_t cap)
{
	int pipes[2], status;
	ssize_t n, len = 0;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		dup2(pipes[1], 1);
		dup2(pipes[1], 2);
		_exit(replay_main(&sums_program, path, 0));
	}
	close(pipes[1]);
	while ((n = read(pipes[0], said + len, cap - 1 - (size_t)len)) > 0)
		len += n;
	said[len] = 0;
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
