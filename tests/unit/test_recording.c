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
#include "tests/lib/sums.h"

/* @lives  how many the file must tell of; 0: any number */
static void expect_same(struct world *w, unsigned epoch, unsigned lives)
{
	char said[2048], last[64], count[64];

	recorder_end(w->recorder, &w->step);
	snprintf(last, sizeof last, "and the last state whole; epoch %u,", epoch);
	snprintf(count, sizeof count, " %u lives", lives);
	if (sums_replay(w->path, said, sizeof said) || !strstr(said, last) || (lives && !strstr(said, count)))
		fail_msg("not the same up to epoch %u, in %u lives: %s", epoch, lives, said);
}

/* ---- what a death leaves ---- */
static void steps_replay_over_many_halves(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 3);
	for (unsigned i = 0; i < 30000; i++)
		world_step(&w, i);
	expect_same(&w, w.arena.epoch, 1);	/* it began once, in however many halves */
	world_close(&w);
}

enum death { BEFORE_COMMIT_ENTRY, BEFORE_COMMIT, BEFORE_TAIL, DEATHS };

static void die_at(struct world *w, enum death where)
{
	w->step.now_ns = w->now += 1000;
	world_take(w, ENTRY_TAKE);
	world_take(w, ENTRY_TAKE);
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
	world_open(&w, 3);
	for (unsigned i = 0; i < 50 * DEATHS; i++) {
		world_step(&w, i);
		records = sums_next(&w.arena, NULL)->records;
		die_at(&w, i % DEATHS);
		world_live(&w, 1);
		assert_int_equal(sums_next(&w.arena, NULL)->records, records + (i % DEATHS == BEFORE_TAIL ? 2 : 0));
		if (i % 10 == 0)
			expect_same(&w, w.arena.epoch, 0);
	}
	world_step(&w, 1);		/* with it the last life is told of */
	expect_same(&w, w.arena.epoch, 50 * DEATHS + 1);
	world_close(&w);
}

/* Whatever lies behind the tail: the last entry torn anywhere, or noise. */
static void a_torn_entry_is_forgotten(void **state)
{
	struct world w;
	struct recording before;
	char why[RECORDING_WHY];
	uint8_t noise[256];

	(void)state;
	world_open(&w, 3);
	for (unsigned i = 0; i < 200; i++) {
		const struct recording_part *p;
		uint64_t tail;

		world_step(&w, i);
		assert_int_equal(recording_load(w.path, &before, why), 0);
		p = &before.part[before.parts - 1];
		tail = (uint64_t)(p->entries - before.at) + p->len;
		die_at(&w, BEFORE_COMMIT);
		memset(noise, (int)i, sizeof noise);
		assert_true(pwrite(w.fd, noise, 1 + i, (off_t)(tail + i * 3 / 4)) == 1 + (ssize_t)i);
		recording_free(&before);
		world_live(&w, 1);
	}
	expect_same(&w, w.arena.epoch, 0);
	world_close(&w);
}

/* A step with more than a half can hold ends that half; the next one begins with the state after it. */
static void a_step_that_does_not_fit(void **state)
{
	struct world w;
	char said[2048];

	(void)state;
	world_open(&w, 1);
	world_step(&w, 1);
	world_overfill(&w);
	world_take(&w, ENTRY_TAKE);
	world_commit(&w);
	for (unsigned i = 0; i < 10; i++)
		world_step(&w, i);
	recorder_end(w.recorder, &w.step);
	assert_int_equal(sums_replay(w.path, said, sizeof said), 0);
	world_close(&w);
}

static void kills_at_random(void **state)
{
	unsigned kills = 200, seed = 7;
	uint64_t epoch = 0;
	struct world w;

	(void)state;
	world_open(&w, 3);
	for (unsigned i = 0; i < kills; i++) {
		pid_t pid = fork();

		if (!pid) {
			world_live(&w, 1);
			for (unsigned n = 0;; n++)
				world_step(&w, n);
		}
		usleep((unsigned)rand_r(&seed) % 2500);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	world_live(&w, 1);
	epoch = w.arena.epoch;
	assert_true(epoch > kills);
	expect_same(&w, (unsigned)epoch, 0);
	print_message("%u kills, %llu steps\n", kills, (unsigned long long)epoch);
	world_close(&w);
}

/* ---- files that lie ---- */
static void expect_refused(const struct recording_entry *e, const void *payload, const char *expect)
{
	struct recording_entry up = { .kind = ENTRY_LINK, .link = LINK_UP, .position = 1, .past = SUMS_RING, .word = SUMS_RING };
	struct recording_entry life = { .kind = ENTRY_LIFE };
	struct quarantine_entries q = { 0 };
	struct world w;
	char said[2048], path[300];
	int r;

	world_open(&w, 1);
	world_step(&w, 1);
	quarantine_add(&q, life, NULL);
	quarantine_add(&q, up, NULL);
	up.link = LINK_DOWN;
	quarantine_add(&q, up, NULL);
	quarantine_add(&q, *e, payload);
	assert_int_equal(world_quarantine(&w, &q), 1);
	snprintf(path, sizeof path, "%s/sums-1.quarantine", w.dir);
	r = sums_replay(path, said, sizeof said);
	if (!strstr(said, expect) || r != (strstr(expect, "handled") ? 0 : 1))
		fail_msg("exit %d, not \"%s\": %s", r, expect, said);
	free(q.at);
	world_close(&w);
}

static void entries_that_lie(void **state)
{
	static const uint8_t payload[4096];
	struct recording_entry good = { .kind = ENTRY_TAKE, .link = LINK_UP, .len = 8, .position = 0, .past = 24 }, e;
	const struct positions *p;
	struct world w;

	(void)state;
	world_open(&w, 1);
	world_step(&w, 1);
	p = positions_next(&w.arena, NULL);
	good.position = p->in_head[LINK_UP];
	good.past = good.position + 24;
	good.word = record_word((struct record){ .len = 8, .kind = RECORD_L2CAP_PDU });
	world_close(&w);

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
	WITH(e.past = e.position + 2 * SUMS_RING);
	WITH(e.kind = ENTRY_COMMIT);
	WITH(e.kind = ENTRY_ENTROPY; e.len = 257);
	WITH(e.kind = ENTRY_LINK; e.past = 4095);
	WITH(e.kind = ENTRY_LINK; e.past = e.word = SUMS_RING);
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
		char said[2048], path[300];
		struct world w;
	
		world_open(&w, 1);
		world_step(&w, 1);
		w.memory[lies[i].at] = lies[i].value;
		assert_int_equal(world_quarantine(&w, &q), 1);
		snprintf(path, sizeof path, "%s/sums-1.quarantine", w.dir);
		if (sums_replay(path, said, sizeof said) != 1 || !strstr(said, lies[i].expect))
			fail_msg("%s: not \"%s\": %s", lies[i].what, lies[i].expect, said);
		world_close(&w);
	}
	free(q.at);
}

/* The death again, by its signal, after the record has been named. */
static void a_quarantine_dies_again(void **state)
{
	struct quarantine_entries q = { 0 };
	struct recording_entry e = { .kind = ENTRY_LIFE };
	char said[2048], path[300];
	struct world w;

	(void)state;
	world_open(&w, 1);
	quarantine_add(&q, e, NULL);
	for (unsigned l = LINK_UP; l <= LINK_DOWN; l++)
		quarantine_add(&q, (struct recording_entry){ .kind = ENTRY_LINK, .link = (uint8_t)l, .position = 7, .past = SUMS_RING,
		    .word = SUMS_RING }, NULL);
	quarantine_add(&q, (struct recording_entry){ .kind = ENTRY_TAKE, .link = LINK_UP, .len = 1, .past = 24,
	    .word = record_word((struct record){ .len = 1, .kind = RECORD_CREDIT }) }, "X");
	assert_int_equal(world_quarantine(&w, &q), 1);
	assert_int_equal(world_quarantine(&w, &q), 2);
	snprintf(path, sizeof path, "%s/sums-2.quarantine", w.dir);
	assert_int_equal(sums_replay(path, said, sizeof said), -SIGABRT);
	assert_non_null(strstr(said, "it died at this: record link=up position=0 kind=0x23 len=1 "));
	free(q.at);
	world_close(&w);
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
