/* Recordings that somebody reads while they are written, or that were left in the middle: in which order their parts are
 * stored, what an end is the end of, and which file counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "shm/arena_image.h"
#include "tests/lib/sums.h"

enum { HEADS = RECORDING_HALVES_AT + 2 * 512, LOADS = 200 };

static const uint8_t *map_heads(const struct world *w)
{
	const uint8_t *at = mmap(NULL, RECORDING_DATA_AT, PROT_READ, MAP_SHARED, w->fd, 0);

	assert_true(at != MAP_FAILED);
	return at;
}

static uint64_t newest(const uint8_t *heads)
{
	const struct recording_half *a = (const void *)(heads + RECORDING_HALVES_AT);
	const struct recording_half *b = (const void *)(heads + 2 * RECORDING_HALVES_AT);
	uint64_t x = a->ready, y = b->ready;

	return x > y ? x : y;
}

/* ---- in order ---- */
static uint64_t image_epoch(const struct recording_part *p)
{
	uint64_t word;

	memcpy(&word, p->image, sizeof word);
	return word >> 32;
}

static uint64_t last_epoch(const struct recording_part *p)
{
	uint64_t epoch = image_epoch(p);
	struct recording_commit c;
	struct recording_entry e;
	const uint8_t *payload;

	for (uint64_t at = 0; recording_next(p, &at, &e, &payload);)
		if (e.kind == ENTRY_COMMIT) {
			memcpy(&c, payload, sizeof c);
			epoch = c.epoch;
		}
	return epoch;
}

/* What somebody sees who opens the file now: nothing is damaged, nothing that was there is gone, and an end is that of the last
 * entry before it. */
static void judge(const struct world *w, uint64_t *epoch)
{
	struct recording r;
	char why[RECORDING_WHY];
	uint64_t is = 0;

	if (recording_load(w->path, &r, why))
		fail_msg("behind epoch %llu: %s", (unsigned long long)*epoch, why);
	for (unsigned n = 0; n < r.parts; n++) {
		if (n && image_epoch(&r.part[n]) != is)
			fail_msg("a half begins at epoch %llu, behind one up to %llu", (unsigned long long)image_epoch(&r.part[n]),
			    (unsigned long long)is);
		is = last_epoch(&r.part[n]);
		if (r.part[n].is.end.check && r.part[n].is.end.epoch != is)
			fail_msg("an end of epoch %llu, behind entries up to %llu", (unsigned long long)r.part[n].is.end.epoch,
			    (unsigned long long)is);
	}
	if (is < *epoch)
		fail_msg("epoch %llu was there, and now %llu is the last", (unsigned long long)*epoch, (unsigned long long)is);
	*epoch = is;
	recording_free(&r);
}

static void turn_over(struct world *w)
{
	world_step(w, 1);
	recorder_end(w->recorder, &w->step);
}

static void come_back(struct world *w)
{
	world_live(w, 1);
	world_step(w, 1);
}

/* After each instruction of `act`, in a child, that has changed what the file says of its halves.  Returns how many did. */
static unsigned walk(struct world *w, const uint8_t *heads, void (*act)(struct world *w))
{
	uint64_t epoch = 0;
	unsigned changes = 0;
	uint8_t was[HEADS];
	pid_t p = fork();
	int st;

	assert_true(p >= 0);
	if (!p) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		act(w);
		_exit(0);
	}
	assert_int_equal(waitpid(p, &st, 0), p);
	ptrace(PTRACE_SETOPTIONS, p, NULL, PTRACE_O_EXITKILL);
	judge(w, &epoch);
	memcpy(was, heads, sizeof was);
	for (;;) {
		ptrace(PTRACE_SINGLESTEP, p, NULL, NULL);
		assert_int_equal(waitpid(p, &st, 0), p);
		if (!WIFSTOPPED(st) || WSTOPSIG(st) != SIGTRAP)
			break;
		if (!memcmp(was, heads, sizeof was))
			continue;
		memcpy(was, heads, sizeof was);
		judge(w, &epoch);
		changes++;
	}
	assert_true(WIFEXITED(st) && !WEXITSTATUS(st));
	return changes;
}

/* A half is filled, left, and the other one begun; its worker ends; the next one goes on in it.  A reader that comes in between,
 * after whichever instruction, finds a recording that is whole. */
static void a_half_is_left_in_order(void **state)
{
	struct world w;
	const uint8_t *heads;
	unsigned steps = 0, left, back;

	(void)state;
	world_open(&w, 1);
	heads = map_heads(&w);
	for (; newest(heads) < 3; steps++)		/* the second time, so that there is a half that is begun anew */
		world_step(&w, 1);
	world_close(&w);
	munmap((void *)(uintptr_t)heads, RECORDING_DATA_AT);

	world_open(&w, 1);		/* the same again, and the last of them slowly */
	heads = map_heads(&w);
	while (--steps)
		world_step(&w, 1);
	assert_int_equal(newest(heads), 2);
	left = walk(&w, heads, turn_over);
	assert_int_equal(newest(heads), 3);
	back = walk(&w, heads, come_back);
	print_message("%u changes where a half is left, %u where it is gone on with\n", left, back);
	assert_true(left > 10 && back >= 2);
	world_close(&w);
	munmap((void *)(uintptr_t)heads, RECORDING_DATA_AT);
}

/* ---- a reader beside a writer ---- */
static void read_while_it_is_written(void **state)
{
	unsigned good = 0, later = 0;
	const uint8_t *heads;
	struct world w;
	uint64_t first;
	pid_t pid;

	(void)state;
	world_open(&w, 1);
	world_step(&w, 1);
	heads = map_heads(&w);
	first = newest(heads);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned i = 0;; i++) {
			world_step(&w, i);
			if (i % 100 == 0)
				usleep(100);
		}
	}
	for (unsigned n = 0; n < LOADS || newest(heads) < first + 5; n++) {
		char why[RECORDING_WHY];
		struct recording r;

		if (!recording_load(w.path, &r, why)) {
			good++;
			recording_free(&r);
		} else if (strstr(why, "being written")) {
			later++;
		} else {
			kill(pid, SIGKILL);
			fail_msg("load %u: %s", n, why);
		}
	}
	print_message("%u loads, %u put off, %llu halves\n", good, later, (unsigned long long)newest(heads));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(good > 0);
	munmap((void *)(uintptr_t)heads, RECORDING_DATA_AT);
	world_close(&w);
}

/* A worker ends cleanly, the next one goes on in the half, and leaves it where nothing says so: what the first one wrote of its
 * own end is not the half's. */
static void an_end_of_a_life_is_none_of_the_half(void **state)
{
	char said[2048], why[RECORDING_WHY];
	struct recording r;
	struct world w;

	(void)state;
	world_open(&w, 1);
	world_step(&w, 1);
	recorder_end(w.recorder, &w.step);
	world_live(&w, 1);
	world_step(&w, 2);
	world_overfill(&w);
	world_take(&w, ENTRY_TAKE);
	world_commit(&w);
	world_step(&w, 3);
	recorder_end(w.recorder, &w.step);
	assert_int_equal(recording_load(w.path, &r, why), 0);
	assert_int_equal(r.parts, 1);
	recording_free(&r);
	if (sums_replay(w.path, said, sizeof said) || !strstr(said, "and the last state whole"))
		fail_msg("%s", said);
	world_close(&w);
}

/* ---- which file counts ---- */
static bool is_there(const struct world *w, const char *name, int fd)
{
	char path[340];
	struct stat a, b;

	snprintf(path, sizeof path, "%s/%s", w->dir, name);
	return !stat(path, &a) && (fd < 0 || (!fstat(fd, &b) && a.st_ino == b.st_ino));
}

static void one_of_two_files_counts(void **state)
{
	struct recording_layout of = recording_layout_of(&sums_plan);
	char why[RECORDING_WHY];
	struct world w;
	int dir, fd;

	(void)state;
	world_open(&w, 1);
	dir = recording_dir_open(w.dir, why);
	assert_int_equal(recording_take_place(dir, "sums", w.fd), 0);	/* there is but one */
	fd = recording_prepare(dir, "sums", &of, 1);
	assert_true(fd >= 0 && is_there(&w, "sums.recording.new", fd) && is_there(&w, "sums.recording", w.fd));
	assert_int_equal(recording_take_place(dir, "sums", w.fd), 0);	/* it was not used */
	assert_true(is_there(&w, "sums.recording", w.fd));
	assert_true(!is_there(&w, "sums.recording.new", -1) && !is_there(&w, "sums.recording.old", -1));
	close(fd);
	fd = recording_prepare(dir, "sums", &of, 1);
	assert_true(fd >= 0);
	assert_int_equal(renameat(dir, "sums.recording", dir, "sums.recording.old"), 0);	/* killed in between */
	for (unsigned n = 0; n < 2; n++) {
		assert_int_equal(recording_take_place(dir, "sums", fd), 0);
		assert_true(is_there(&w, "sums.recording", fd) && is_there(&w, "sums.recording.old", w.fd));
		assert_false(is_there(&w, "sums.recording.new", -1));
	}
	close(fd);
	close(dir);
	world_close(&w);
}

/* The file says what it is told of the layout, and holds no more of the arena than is mapped. */
static void an_image_ends_with_its_segment(void **state)
{
	struct recording_layout of = recording_layout_of(&sums_plan), more = of;
	size_t image = of.image_octets, room = (image + 4095) & ~4095ul;
	struct quarantine_entries q = { 0 };
	char why[RECORDING_WHY], path[340];
	struct recording r;
	struct world w;
	uint8_t *at;
	int dir;

	(void)state;
	world_open(&w, 1);
	dir = recording_dir_open(w.dir, why);
	at = mmap(NULL, room + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(at != MAP_FAILED && !mprotect(at + room, 4096, PROT_NONE));
	at += room - image;
	memcpy(at, w.memory, image);
	memset(at, 0x70, 4);		/* a length of the log, with nothing behind the image */
	quarantine_add(&q, (struct recording_entry){ .kind = ENTRY_LIFE }, NULL);
	more.image_octets += 64;
	assert_int_equal(quarantine_create(dir, "sums", &more, (struct bytes){ at, image }, &q), -EINVAL);
	more.image_octets = 0;
	assert_int_equal(quarantine_create(dir, "sums", &more, (struct bytes){ at, image }, &q), -EINVAL);
	of.version = 77;
	of.hash = 0x1234;
	assert_int_equal(quarantine_create(dir, "sums", &of, (struct bytes){ at, image }, &q), 1);
	snprintf(path, sizeof path, "%s/sums-1.quarantine", w.dir);
	assert_int_equal(recording_load(path, &r, why), 0);
	assert_int_equal(r.head.core_version, 77);
	assert_int_equal(r.head.layout_hash, 0x1234);
	assert_int_equal(r.part[0].is.image_octets, image);
	assert_int_equal(r.part[0].is.log_octets, 0);
	assert_memory_equal(r.part[0].image, at, image);
	recording_free(&r);
	free(q.at);
	munmap(at - (room - image), room + 4096);
	close(dir);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_half_is_left_in_order),
		cmocka_unit_test(read_while_it_is_written),
		cmocka_unit_test(an_end_of_a_life_is_none_of_the_half),
		cmocka_unit_test(one_of_two_files_counts),
		cmocka_unit_test(an_image_ends_with_its_segment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
