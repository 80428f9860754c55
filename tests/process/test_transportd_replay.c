/* tests/process/test_transportd_replay.c - transportd's recording, made while its worker is killed at system calls and at random
 * moments, with sockets and rings that run full and empty: the replay is the same at each commit, and at the end.
 *
 * The world is that of test_transportd_kill.c; the recorder is the product's, and sees what a worker shows it.
 * timeout: 120 s */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/types.h"
#include "runtime/program.h"
#include "runtime/recording_file.h"
#include "runtime/replay.h"
#include "tests/lib/line_trial.h"
#include "transportd/program.h"

enum { STOPS = 120 };
static int file;			/* the recording's descriptor, in each child too */
static struct recorder *recorder;
static uint64_t generation;
static char dir[256], path[300];

/* ---- the recorder, as runtime/worker*.c calls it ---- */

static const struct step *step_of(void *k) { return &((struct line_worker *)k)->step; }

static void tap_begin(void *k)
{
	if (recorder_map(file, &recorder))
		_exit(12);
	recorder_by_turns(recorder);
	if (recorder_begin(recorder, step_of(k)))
		_exit(13);
	generation = recorder_generation(recorder);
}

static void tap_heard(void *k, const struct stream_heard *h)
{
	recorder_own(recorder, step_of(k), &(struct recorder_own){ h->call, h->result, h->more, h->also, h->octets });
}

static void tap_turn(void *k)
{
	struct stream *t = &((struct line_worker *)k)->stream;

	recorder_turned(recorder, step_of(k));
	if (generation == recorder_generation(recorder))
		return;
	generation = recorder_generation(recorder);
	tap_heard(k, &(struct stream_heard){ .call = CALL_RESUME, .result = t->out_left, .more = t->out_cap });
}

static void tap_settled(void *k, unsigned fresh) { recorder_settled(recorder, step_of(k), fresh); }

static void tap_taken(void *k, unsigned fresh, unsigned link, uint64_t at, const struct record *rec)
{
	const uint8_t *octets = ((struct line_worker *)k)->payload;

	recorder_taken(recorder, step_of(k), fresh,
	    rec ? &(struct recorder_record){ ENTRY_TAKE, link, 0, at, *rec, { octets, rec->len } } : NULL);
}

static void tap_committing(void *k) { recorder_committing(recorder, step_of(k)); }
static void tap_committed(void *k) { recorder_committed(recorder, step_of(k)); }
static void at_end(struct line_worker *k) { recorder_end(recorder, &k->step); }

static const struct line_tap tap = { tap_begin, tap_turn, tap_settled, tap_taken, tap_heard, tap_committing, tap_committed };

/* ---- lives ---- */

static void traced(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
}

static void wait_for_end(struct trial *t, pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, __WALL), pid);
	if (WIFEXITED(status))
		trial_broken(t, "the worker gave up by itself", (uint32_t)WEXITSTATUS(status));
}

static pid_t begin_life(struct trial *t, unsigned i, void (*ready)(void))
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		trial_child(t, 1 + i % 64, false, ready);
	return pid;
}

/* To its `stops`-th stop at a system call, entry or exit. */
static void life_to_call(struct trial *t, unsigned i)
{
	unsigned stops = 1 + i % STOPS;
	pid_t pid = begin_life(t, i, traced);
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	while (stops--) {
		ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			return trial_broken(t, "the worker gave up by itself", (uint32_t)status);
		if (stops % 3 == 0)
			trial_pump(t);
	}
	wait_for_end(t, pid);
}

static void life_to_moment(struct trial *t, unsigned i)
{
	const _Atomic uint64_t *word = (const void *)t->w.memory;
	uint64_t before = *word;
	int64_t end, give_up = trial_now_us() + 10 * 1000000;
	pid_t pid = begin_life(t, i, NULL);

	while (*word == before && trial_now_us() < give_up)
		trial_pump(t);
	for (end = trial_now_us() + trial_dice(t, 2000); trial_now_us() < end; )
		trial_pump(t);
	wait_for_end(t, pid);
}

/* ---- the file ---- */

static void make_file(unsigned mib)
{
	struct recording_layout of = recording_layout_of(line_plan());
	char why[RECORDING_WHY];
	int at;

	snprintf(dir, sizeof dir, "%s/trefoil-line-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(dir));
	at = recording_dir_open(dir, why);
	assert_true(at >= 0);
	file = recording_create(at, "transportd", &of, mib);
	assert_true(file >= 0);
	snprintf(path, sizeof path, "%s/transportd.recording", dir);
	close(at);
}

static void drop_file(void)
{
	close(file);
	unlink(path);
	assert_int_equal(rmdir(dir), 0);
}

/* Returns its exit code, or minus the signal.  @said  all that it said, cut to its last `cap` octets */
static int replay(char *said, size_t cap, int list)
{
	int pipes[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		dup2(pipes[1], 1);
		dup2(pipes[1], 2);
		_exit(replay_main(&transportd_program, path, list));
	}
	close(pipes[1]);
	while ((n = read(pipes[0], said + len, cap - 1 - len)) > 0) {
		len += (size_t)n;
		if (len > cap / 2) {
			memmove(said, said + len - cap / 4, cap / 4);
			len = cap / 4;
		}
	}
	said[len] = 0;
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* How often each call stands in what a replay lists. */
static void count_calls(unsigned ret[CALL_KINDS])
{
	static const char *const names[] = { "none",
#define ROW(n, name) name,
	    STREAM_CALLS(ROW)
#undef ROW
	};
	struct recording f;
	char why[RECORDING_WHY];
	struct recording_entry e;
	const uint8_t *payload;

	assert_int_equal(ARRAY_LEN(names), CALL_KINDS);
	assert_int_equal(recording_load(path, &f, why), 0);
	memset(ret, 0, CALL_KINDS * sizeof *ret);
	for (unsigned p = 0; p < f.parts; p++)
		for (uint64_t at = 0; recording_next(&f.part[p], &at, &e, &payload); )
			if (e.kind == ENTRY_OWN && e.flags < CALL_KINDS)
				ret[e.flags]++;
	recording_free(&f);
}

static void expect_same(const char *what, unsigned lives, const char *last)
{
	static char said[8192];

	if (replay(said, sizeof said, 0) || !strstr(said, last))
		fail_msg("%s: after %u lives: %s", what, lives, said);
}

static void repeated(enum line_socket kind, void (*life)(struct trial *, unsigned), unsigned lives, unsigned mib, const char *what)
{
	struct trial *t = trial_new(kind, (unsigned)kind * 7 + lives, lives & 1);
	unsigned calls[CALL_KINDS];

	make_file(mib);
	t->tap = &tap;
	t->at_end = at_end;
	for (unsigned i = 0; i < lives && !t->broken; i++) {
		life(t, i);
		if (i % 16 == 15 && !t->broken)
			expect_same(what, i, "the same at each step");
	}
	if (!t->broken)
		trial_end_of_story(t);
	if (t->broken)
		fail_msg("%s: %s", what, t->why);
	expect_same(what, lives, "the same at each step, and the last state whole");
	count_calls(calls);
	print_message("           %s: %u kills, %u packets in, %u out; last file: %u reads, %u splices, %u times no room, %u lives, %u gone on\n",
	    what, lives, t->in.seen, t->out.seen, calls[CALL_READ], calls[CALL_SPLICE], calls[CALL_SHORT], calls[CALL_OPEN],
	    calls[CALL_RESUME]);
	if (life == life_to_call && mib > 100) {		/* all of it is there */
		assert_int_equal(calls[CALL_RESUME], 0);
		assert_true(calls[CALL_READ] > 100 && calls[CALL_SPLICE] > 100 && calls[CALL_SHORT] > 0);
	}
	drop_file();
	trial_free(t);
}

static void killed_at_system_calls(void **state)
{
	(void)state;
	repeated(LINE_UNIX, life_to_call, 2 * STOPS, 128, "unix");
	repeated(LINE_UNIX, life_to_call, STOPS + 1, 3, "unix, small buffers, little room");
	repeated(LINE_TCP, life_to_call, STOPS + 1, 128, "tcp, small buffers");
}
static void killed_at_random(void **state)
{
	(void)state;
	repeated(LINE_UNIX, life_to_moment, 101, 128, "unix, small buffers");
	repeated(LINE_UNIX, life_to_moment, 100, 3, "unix, little room");
	repeated(LINE_TCP, life_to_moment, 100, 3, "tcp, little room");
}

/* ---- one life, in this process: what a trial does not come to ---- */

static void begin_alone(struct line_world *w, struct line_worker *k)
{
	make_file(8);
	line_world_open(w, LINE_UNIX, TRIAL_RING);
	*k = (struct line_worker){ .batch = 64, .tap = &tap };
	assert_int_equal(line_worker_start(k, w), 0);
	line_worker_settle(k);
}

static void end_alone(struct line_world *w, struct line_worker *k, const char *what)
{
	at_end(k);
	recorder_close(recorder);
	expect_same(what, 1, "the same at each step, and the last state whole");
	line_worker_end(k);
	line_world_close(w);
	drop_file();
}

static void push_command(struct line_world *w)
{
	static const uint8_t reset[] = { 0x03, 0x0C, 0 };

	assert_true(line_host_push(w, RECORD_HCI_COMMAND, (struct bytes){ reset, sizeof reset }));
}

/* The controller closes in the middle of a packet; it sends what is no H4.  Both ends are told; what hostd still sends is dropped. */
static void the_line_ends(void **state)
{
	static const uint8_t event[] = { 4, 0x0E, 3, 1, 2, 3, 4, 0x0E, 200, 1 }, noise[] = { 4, 0x0E, 1, 1, 9, 9 };
	static struct line_worker k;
	struct line_world w;

	(void)state;
	for (int closes = 0; closes < 2; closes++) {
		unsigned calls[CALL_KINDS];

		begin_alone(&w, &k);
		push_command(&w);
		line_worker_settle(&k);
		assert_true(write(w.far, closes ? event : noise, closes ? sizeof event : sizeof noise) > 0);
		line_worker_settle(&k);
		if (closes) {
			close(w.far);
			w.far = -1;
		}
		line_worker_settle(&k);
		assert_int_equal(line_of(&k.step)->state, LINE_DOWN);
		for (int i = 0; i < 5; i++)
			push_command(&w);
		line_worker_settle(&k);
		assert_int_equal(line_worker_count(&k, LINE_discarded_line_down), 5);
		count_calls(calls);
		assert_int_equal(calls[CALL_TELL], 2);
		end_alone(&w, &k, closes ? "closed" : "no H4");
	}
}

/* Capture runs beside it, and ends by an error: what the arena holds of both is repeated, without the file. */
static void capture_is_not_written_again(void **state)
{
	static const uint8_t event[] = { 4, 0x0E, 3, 1, 2, 3 };
	static struct line_worker k;
	unsigned calls[CALL_KINDS];
	struct line_world w;
	char name[320];
	int fd, closed;

	(void)state;
	begin_alone(&w, &k);
	snprintf(name, sizeof name, "%s.snoop", dir);
	assert_int_equal(snoop_open_file(name, &fd), 0);
	assert_int_equal(snoop_start(&k.stream.snoop, fd, 0, 1 << 16), 0);
	for (int i = 0; i < 20; i++) {
		if (i == 12) {
			closed = open(name, O_RDONLY | O_CLOEXEC);
			assert_true(closed >= 0 && dup2(closed, fd) == fd);
			close(closed);
		}
		push_command(&w);
		assert_int_equal(write(w.far, event, sizeof event), sizeof event);
		line_worker_settle(&k);
	}
	assert_int_equal(line_worker_count(&k, LINE_capture_missed), 1);
	assert_int_equal(k.stream.snoop_error, EBADF);
	count_calls(calls);
	assert_int_equal(calls[CALL_CAPTURE], 25);
	end_alone(&w, &k, "capture");
	close(fd);
	unlink(name);
}

/* Reports of a crowded air are dropped where the ring is nearly full: each of them again. */
static void what_was_dropped_is_dropped_again(void **state)
{
	static const uint8_t report[] = { 4, 0x3E, 12, 0x02, 1, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0xC0 };
	static uint8_t buf[1 << 16];
	static struct line_worker k;
	unsigned calls[CALL_KINDS];
	struct line_world w;
	struct record h;

	(void)state;
	begin_alone(&w, &k);
	for (int i = 0; i < 6000; i++) {
		assert_int_equal(write(w.far, report, sizeof report), sizeof report);
		if (i % 100 == 99)
			line_worker_settle(&k);
		if (i % 900 == 899)
			for (int n = 0; n < 300 && line_host_take(&w, &h, buf, sizeof buf); n++)
				;
	}
	line_worker_settle(&k);
	count_calls(calls);
	assert_true(line_worker_count(&k, LINE_advertising_dropped) > 1000);
	assert_true(calls[CALL_SHORT] >= line_worker_count(&k, LINE_advertising_dropped));
	end_alone(&w, &k, "dropped");
}

/* A quarantine file has the arena, the links and one record, and nothing of what the stream heard before. */
static void a_record_in_quarantine_is_handled(void **state)
{
	struct recording_layout of = recording_layout_of(line_plan());
	static const uint8_t reset[] = { 0x03, 0x0C, 0 };
	struct quarantine_entries q = { 0 };
	static struct line_worker k;
	struct record rec = { .len = sizeof reset, .kind = RECORD_HCI_COMMAND };
	static char said[8192];
	struct line_world w;
	char why[RECORDING_WHY];
	int at, code;

	(void)state;
	begin_alone(&w, &k);
	push_command(&w);
	line_worker_settle(&k);
	quarantine_add(&q, (struct recording_entry){ .kind = ENTRY_LIFE, .now_ns = 9 }, NULL);
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (k.step.link[l].generation)
			quarantine_add(&q, (struct recording_entry){ .kind = ENTRY_LINK, .link = (uint8_t)l, .now_ns = 9, .position = 1,
			    .past = TRIAL_RING, .word = TRIAL_RING }, NULL);
	quarantine_add(&q, (struct recording_entry){ .kind = ENTRY_TAKE, .link = LINK_DOWN, .len = sizeof reset, .now_ns = 9,
	    .position = k.step.link[LINK_DOWN].in.at, .past = k.step.link[LINK_DOWN].in.at + record_octets(sizeof reset),
	    .word = record_word(rec) }, reset);
	at = recording_dir_open(dir, why);
	assert_int_equal(quarantine_create(at, "transportd", &of, (struct bytes){ w.memory, arena_size(line_plan()) }, &q), 1);
	close(at);
	free(q.at);
	unlink(path);
	snprintf(path, sizeof path, "%s/transportd-1.quarantine", dir);
	code = replay(said, sizeof said, 0);
	if (code || !strstr(said, "it died at this: record link=down") || !strstr(said, ": handled\n"))
		fail_msg("%d: %s", code, said);
	recorder_close(recorder);
	line_worker_end(&k);
	line_world_close(&w);
	drop_file();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_system_calls),
		cmocka_unit_test(killed_at_random),
		cmocka_unit_test(the_line_ends),
		cmocka_unit_test(capture_is_not_written_again),
		cmocka_unit_test(what_was_dropped_is_dropped_again),
		cmocka_unit_test(a_record_in_quarantine_is_handled),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
