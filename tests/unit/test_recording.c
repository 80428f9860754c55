/* Recordings: what a death leaves in the file, what a replay makes of it, and files that lie with the right hashes. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/hash.h"
#include "runtime/program.h"
#include "runtime/recording_file.h"
#include "runtime/replay.h"
#include "shm/arena_image.h"

/* ---- a small core: adds up what it sees, keeps some of it in a queue, gives the sum ---- */
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
struct sums_id { uint32_t v; };
struct sums { uint64_t sum, records, times, skipped, links; struct fifo q; uint8_t q_octets[256]; };
#pragma GCC diagnostic pop
#define SUM_STATE(ROW) STEP_STATE(ROW) ROW(sums, 1, LIMIT_NONE, offsetof(struct sums, q_octets), FIFO(sums, q))
enum { POOL_sums = STEP_POOLS, GIVEN = 24, RING = 16384 };
ARENA_POOL(sums, 1, LIMIT_NONE, offsetof(struct sums, q_octets))
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
static const struct program sums = { .name = "sums", .core = &core };
static const struct arena_plan plan = { .pools = pools, .limits = { { 1, 1, 1, 1 } }, .version = 1, .log = 2048 + STEP_LOG };

/* ---- a worker's life, without a worker ---- */
struct world {
	char dir[256], path[300];
	int fd;
	uint8_t *memory;			/* the arena: outlives every life */
	struct ring_region *mine, *theirs;
	struct arena arena;
	struct step step;
	struct recorder *recorder;
	uint64_t now;
};

static void live(struct world *w, uint32_t generation)
{
	recorder_close(w->recorder);
	arena_close(&w->arena);
	if (arena_open(&w->arena, &plan, w->memory, false) == ARENA_E_BLANK)
		arena_format(&w->arena, &plan, fill);
	step_open(&w->step, &w->arena, &core);
	step_recover(&w->step);
	w->step.now_ns = ++w->now;
	for (unsigned l = LINK_UP; l <= LINK_DOWN; l++)
		step_attach(&w->step, l, generation, w->mine + l * 256, RING, w->theirs, RING);
	assert_int_equal(recorder_map(w->fd, &w->recorder), 0);
	assert_int_equal(recorder_begin(w->recorder, &w->step), 0);
}

static void open_world(struct world *w, unsigned mib)
{
	char why[RECORDING_WHY];
	int dir;

	*w = (struct world){ .now = 1000 };
	snprintf(w->dir, sizeof w->dir, "%s/trefoil-rec-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(w->dir));
	dir = recording_dir_open(w->dir, why);
	assert_true(dir >= 0);
	w->fd = recording_create(dir, "sums", &plan, mib);
	assert_true(w->fd >= 0);
	close(dir);
	snprintf(w->path, sizeof w->path, "%s/sums.recording", w->dir);
	w->memory = mmap(NULL, arena_size(&plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	w->mine = mmap(NULL, 4 * 256 * sizeof *w->mine, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	w->theirs = mmap(NULL, 2 * RING, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(w->memory != MAP_FAILED && w->mine != MAP_FAILED && w->theirs != MAP_FAILED);
	live(w, 1);
}

static void close_world(struct world *w)
{
	char command[280];

	recorder_close(w->recorder);
	arena_close(&w->arena);
	close(w->fd);
	snprintf(command, sizeof command, "rm -r %s", w->dir);
	assert_int_equal(system(command), 0);
	munmap(w->memory, arena_size(&plan));
}

/* The next record of LINK_UP, as worker_take does it.  Its octets come from the state: a step that is done again is the same. */
static void take(struct world *w, enum recording_entry_kind kind)
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

static void commit(struct world *w)
{
	recorder_committing(w->recorder, &w->step);
	step_commit(&w->step);
	w->theirs->head.pos = w->step.link[LINK_DOWN].out.at;
	recorder_committed(w->recorder, &w->step);
}

static void some_step(struct world *w, unsigned i)
{
	uint8_t octets[8];

	w->step.now_ns = w->now += 1000;
	if (i % 5 == 0) {
		memset(octets, (int)i, sizeof octets);
		if (entropy_room(&w->arena) >= sizeof octets) {
			entropy_refill(&w->arena, octets, sizeof octets);
			recorder_entropy(w->recorder, &w->step, (struct bytes){ octets, sizeof octets });
			commit(w);
		}
	}
	for (unsigned n = 0; n <= i % 4; n++)
		take(w, i % 13 == 12 ? ENTRY_SKIP : ENTRY_TAKE);
	if (i % 3 == 0) {
		recorder_act(w->recorder, &w->step);
		on_time(&w->step);
	}
	commit(w);
}

/* `sums --replay FILE` in a process of its own; what it said.  Returns its exit code, or minus the signal. */
static int replay(const char *path, char *said, size_t cap)
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
		_exit(replay_main(&sums, path, 0));
	}
	close(pipes[1]);
	while ((n = read(pipes[0], said + len, cap - 1 - (size_t)len)) > 0)
		len += n;
	said[len] = 0;
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* @lives  how many the file must tell of; 0: any number */
static void expect_same(struct world *w, unsigned epoch, unsigned lives)
{
	char said[2048], last[64], count[64];

	recorder_end(w->recorder, &w->step);
	snprintf(last, sizeof last, "and the last state whole; epoch %u,", epoch);
	snprintf(count, sizeof count, " %u lives", lives);
	if (replay(w->path, said, sizeof said) || !strstr(said, last) || (lives && !strstr(said, count)))
		fail_msg("not the same up to epoch %u, in %u lives: %s", epoch, lives, said);
}

/* ---- what a death leaves ---- */
static void steps_replay_over_many_halves(void **state)
{
	struct world w;

	(void)state;
	open_world(&w, 3);
	for (unsigned i = 0; i < 30000; i++)
		some_step(&w, i);
	expect_same(&w, w.arena.epoch, 0);
	close_world(&w);
}

enum death { BEFORE_COMMIT_ENTRY, BEFORE_COMMIT, BEFORE_TAIL, DEATHS };

static void die_at(struct world *w, enum death where)
{
	w->step.now_ns = w->now += 1000;
	take(w, ENTRY_TAKE);
	take(w, ENTRY_TAKE);
	if (where == BEFORE_COMMIT_ENTRY)
		return;
	recorder_committing(w->recorder, &w->step);
	if (where == BEFORE_COMMIT)
		return;
	step_commit(&w->step);
	w->theirs->head.pos = w->step.link[LINK_DOWN].out.at;
}

/* A step that was killed and done again is in the file once; one that was committed is in it though nobody said so. */
static void a_killed_step_is_not_doubled(void **state)
{
	struct world w;
	uint64_t records;

	(void)state;
	open_world(&w, 3);
	for (unsigned i = 0; i < 50 * DEATHS; i++) {
		some_step(&w, i);
		records = sums_next(&w.arena, NULL)->records;
		die_at(&w, i % DEATHS);
		live(&w, 1);
		assert_int_equal(sums_next(&w.arena, NULL)->records, records + (i % DEATHS == BEFORE_TAIL ? 2 : 0));
		if (i % 10 == 0)
			expect_same(&w, w.arena.epoch, 0);
	}
	some_step(&w, 1);		/* with it the last life is told of */
	expect_same(&w, w.arena.epoch, 50 * DEATHS + 1);
	close_world(&w);
}

/* Whatever lies behind the tail: the last entry torn anywhere, or noise. */
static void a_torn_entry_is_forgotten(void **state)
{
	struct world w;
	struct recording before;
	char why[RECORDING_WHY];
	uint8_t noise[256];

	(void)state;
	open_world(&w, 3);
	for (unsigned i = 0; i < 200; i++) {
		const struct recording_part *p;
		uint64_t tail;

		some_step(&w, i);
		assert_int_equal(recording_load(w.path, &before, why), 0);
		p = &before.part[before.parts - 1];
		tail = (uint64_t)(p->entries - before.at) + p->len;
		die_at(&w, BEFORE_COMMIT);
		memset(noise, (int)i, sizeof noise);
		assert_true(pwrite(w.fd, noise, 1 + i, (off_t)(tail + i * 3 / 4)) == 1 + (ssize_t)i);
		recording_free(&before);
		live(&w, 1);
	}
	expect_same(&w, w.arena.epoch, 0);
	close_world(&w);
}

/* A step with more than a half can hold ends that half; the next one begins with the state after it. */
static void a_step_that_does_not_fit(void **state)
{
	struct world w;
	char said[2048];

	(void)state;
	open_world(&w, 1);
	some_step(&w, 1);
	for (unsigned i = 0; i < 400; i++)
		recorder_entropy(w.recorder, &w.step, (struct bytes){ (const uint8_t *)&core, 4096 % sizeof core });
	for (unsigned i = 0; i < 20000; i++)
		recorder_act(w.recorder, &w.step);
	take(&w, ENTRY_TAKE);
	commit(&w);
	for (unsigned i = 0; i < 10; i++)
		some_step(&w, i);
	recorder_end(w.recorder, &w.step);
	assert_int_equal(replay(w.path, said, sizeof said), 0);
	close_world(&w);
}

static void kills_at_random(void **state)
{
	unsigned kills = 200, seed = 7;
	uint64_t epoch = 0;
	struct world w;

	(void)state;
	open_world(&w, 3);
	for (unsigned i = 0; i < kills; i++) {
		pid_t pid = fork();

		if (!pid) {
			live(&w, 1);
			for (unsigned n = 0;; n++)
				some_step(&w, n);
		}
		usleep((unsigned)rand_r(&seed) % 2500);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	live(&w, 1);
	epoch = w.arena.epoch;
	assert_true(epoch > kills);
	expect_same(&w, (unsigned)epoch, 0);
	print_message("%u kills, %llu steps\n", kills, (unsigned long long)epoch);
	close_world(&w);
}

/* ---- files that lie ---- */
static void expect_refused(const struct recording_entry *e, const void *payload, const char *expect)
{
	struct recording_entry up = { .kind = ENTRY_LINK, .link = LINK_UP, .position = 1, .past = RING, .word = RING };
	struct recording_entry life = { .kind = ENTRY_LIFE };
	struct quarantine_entries q = { 0 };
	struct world w;
	char said[2048], path[300], why[RECORDING_WHY];
	int dir, r;

	open_world(&w, 1);
	some_step(&w, 1);
	quarantine_add(&q, life, NULL);
	quarantine_add(&q, up, NULL);
	up.link = LINK_DOWN;
	quarantine_add(&q, up, NULL);
	quarantine_add(&q, *e, payload);
	dir = recording_dir_open(w.dir, why);
	assert_int_equal(quarantine_create(dir, "sums", &plan, w.memory, &q), 1);
	close(dir);
	snprintf(path, sizeof path, "%s/sums-1.quarantine", w.dir);
	r = replay(path, said, sizeof said);
	if (!strstr(said, expect) || r != (strstr(expect, "handled") ? 0 : 1))
		fail_msg("exit %d, not \"%s\": %s", r, expect, said);
	free(q.at);
	close_world(&w);
}

static void entries_that_lie(void **state)
{
	static const uint8_t payload[4096];
	struct recording_entry good = { .kind = ENTRY_TAKE, .link = LINK_UP, .len = 8, .position = 0, .past = 24 }, e;
	const struct positions *p;
	struct world w;

	(void)state;
	open_world(&w, 1);
	some_step(&w, 1);
	p = positions_next(&w.arena, NULL);
	good.position = p->in_head[LINK_UP];
	good.past = good.position + 24;
	good.word = record_word((struct record){ .len = 8, .kind = RECORD_L2CAP_PDU });
	close_world(&w);

	expect_refused(&good, payload, "handled");
	e = (struct recording_entry){ .kind = ENTRY_ACT };
	expect_refused(&e, NULL, "it died at this: time\nsums: handled");
	e = (struct recording_entry){ .kind = ENTRY_SKIP, .link = LINK_UP, .len = 8, .position = good.position, .past = good.past,
		.word = good.word, .flags = RUNG_RESET_CONNECTION };
	expect_refused(&e, payload, "handled");
#define WITH(...) e = good; __VA_ARGS__; expect_refused(&e, payload, "cannot be")
	WITH(e.kind = ENTRY_KINDS);
	WITH(e.kind = 0);
	WITH(e.link = 3);
	WITH(e.link = 255);
	WITH(e.link = LINK_SUPERVISOR);
	WITH(e.len = 9);
	WITH(e.len = 4096; e.word = record_word((struct record){ .len = 4096, .kind = RECORD_L2CAP_PDU }));
	WITH(e.word = record_word((struct record){ .len = 8, .kind = RECORD_PAD }));
	WITH(e.past = e.position);
	WITH(e.past = e.position + 2 * RING);
	WITH(e.kind = ENTRY_COMMIT);
	WITH(e.kind = ENTRY_ENTROPY; e.len = 257);
	WITH(e.kind = ENTRY_LINK; e.past = 4095);
	WITH(e.kind = ENTRY_LINK; e.past = e.word = RING);
#undef WITH
	e = good;
	e.position += 8;
	e.past += 8;
	expect_refused(&e, payload, "its record at");
}

/* An arena with a broken free list, a queue that is too full, a log that points outside. */
static void images_that_lie(void **state)
{
	static const struct { const char *what; size_t at; uint8_t value; const char *expect; } lies[] = {
		{ "word", 0, 255, "undo log" }, { "magic", 64, 1, "no arena" }, { "layout", 72, 1, "no arena" },
		{ "free list", 256, 9, "free slots" }, { "live", 256 + 4, 9, "neither live nor free" },
		{ "number", 256 + 64 * 4 + 2, 1, "another's number" },
	};
	struct quarantine_entries q = { 0 };

	(void)state;
	quarantine_add(&q, (struct recording_entry){ .kind = ENTRY_LIFE }, NULL);
	for (unsigned i = 0; i < sizeof lies / sizeof *lies; i++) {
		char said[2048], path[300], why[RECORDING_WHY];
		struct world w;
		int dir;

		open_world(&w, 1);
		some_step(&w, 1);
		w.memory[lies[i].at] = lies[i].value;
		dir = recording_dir_open(w.dir, why);
		assert_int_equal(quarantine_create(dir, "sums", &plan, w.memory, &q), 1);
		close(dir);
		snprintf(path, sizeof path, "%s/sums-1.quarantine", w.dir);
		if (replay(path, said, sizeof said) != 1 || !strstr(said, lies[i].expect))
			fail_msg("%s: not \"%s\": %s", lies[i].what, lies[i].expect, said);
		close_world(&w);
	}
	free(q.at);
}

/* The death again, by its signal, after the record has been named. */
static void a_quarantine_dies_again(void **state)
{
	struct quarantine_entries q = { 0 };
	struct recording_entry e = { .kind = ENTRY_LIFE };
	char said[2048], path[300], why[RECORDING_WHY];
	struct world w;
	int dir;

	(void)state;
	open_world(&w, 1);
	quarantine_add(&q, e, NULL);
	for (unsigned l = LINK_UP; l <= LINK_DOWN; l++)
		quarantine_add(&q, (struct recording_entry){ .kind = ENTRY_LINK, .link = (uint8_t)l, .position = 7, .past = RING,
		    .word = RING }, NULL);
	quarantine_add(&q, (struct recording_entry){ .kind = ENTRY_TAKE, .link = LINK_UP, .len = 1, .past = 24,
	    .word = record_word((struct record){ .len = 1, .kind = RECORD_CREDIT }) }, "X");
	dir = recording_dir_open(w.dir, why);
	assert_int_equal(quarantine_create(dir, "sums", &plan, w.memory, &q), 1);
	assert_int_equal(quarantine_create(dir, "sums", &plan, w.memory, &q), 2);
	close(dir);
	snprintf(path, sizeof path, "%s/sums-2.quarantine", w.dir);
	assert_int_equal(replay(path, said, sizeof said), -SIGABRT);
	assert_non_null(strstr(said, "it died at this: record link=up position=0 kind=0x23 len=1 "));
	free(q.at);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_replay_over_many_halves),
		cmocka_unit_test(a_killed_step_is_not_doubled),
		cmocka_unit_test(a_torn_entry_is_forgotten),
		cmocka_unit_test(a_step_that_does_not_fit),
		cmocka_unit_test(kills_at_random),
		cmocka_unit_test(entries_that_lie),
		cmocka_unit_test(images_that_lie),
		cmocka_unit_test(a_quarantine_dies_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
