/* tests/unit/test_snoop.c - a capture is well-formed btsnoop, and stays so over kills, full disks and files of others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/record.h"
#include "base/types.h"
#include "transportd/snoop.h"

#define US_2024 1704067200000000ull		/* 2024-01-01 00:00:00 UTC, since 1970 */

struct seen { uint32_t original, included, flags, drops; uint64_t time; uint8_t packet[512]; };
struct place { char dir[64], file[96]; };

static uint64_t be(const uint8_t *at, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *at++;
	return v;
}

/* Independent of the writer: header, then records up to the exact end of the file.
 * Returns how many; -1 if it is not well-formed. */
static int read_all(const char *path, struct seen *out, int max)
{
	static uint8_t file[1 << 20];
	FILE *f = fopen(path, "rb");
	size_t n, at = 16;
	int count = 0;

	assert_non_null(f);
	n = fread(file, 1, sizeof file, f);
	fclose(f);
	if (n < 16 || memcmp(file, "btsnoop\0", 8) || be(file + 8, 4) != 1 || be(file + 12, 4) != 1002)
		return -1;
	while (at < n) {
		struct seen *s = &out[count % max];

		if (n - at < 24)
			return -1;
		*s = (struct seen){ (uint32_t)be(file + at, 4), (uint32_t)be(file + at + 4, 4), (uint32_t)be(file + at + 8, 4),
			(uint32_t)be(file + at + 12, 4), be(file + at + 16, 8), { 0 } };
		at += 24;
		if (s->included > n - at || s->included > s->original)
			return -1;
		memcpy(s->packet, file + at, MIN(s->included, sizeof s->packet));
		at += s->included;
		count++;
	}
	return count;
}

static int place_make(void **state)
{
	struct place *p = calloc(1, sizeof *p);

	snprintf(p->dir, sizeof p->dir, "%s/trefoil-snoop-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!p || !mkdtemp(p->dir))
		return -1;
	snprintf(p->file, sizeof p->file, "%s/c.btsnoop", p->dir);
	*state = p;
	return 0;
}
static int place_end(void **state)
{
	struct place *p = *state;

	unlink(p->file);
	rmdir(p->dir);
	free(p);
	return 0;
}

static struct snoop start(const char *path, uint64_t from)
{
	struct snoop s = SNOOP_NONE;
	int fd;

	assert_int_equal(snoop_open_file(path, &fd), 0);
	assert_int_equal(snoop_start(&s, fd, from, 4096), 0);
	return s;
}
static void stop(struct snoop *s)
{
	int fd = s->fd;

	snoop_stop(s);
	if (fd >= 0)
		close(fd);
}

static const struct bytes reset = { (const uint8_t[]){ 3, 12, 0 }, 3 }, done = { (const uint8_t[]){ 0x0E, 4, 1, 3, 12, 0 }, 6 },
	acl = { (const uint8_t[]){ 0x40, 0x20, 1, 0, 0x55 }, 5 };

static void both_directions_carry_their_flags_type_and_time(void **state)
{
	struct place *p = *state;
	struct snoop s = start(p->file, 0);
	struct seen r[4];
	struct stat st;

	snoop_add(&s, SNOOP_SENT, RECORD_HCI_COMMAND, reset, US_2024);
	snoop_add(&s, SNOOP_RECEIVED, RECORD_HCI_EVENT, done, US_2024 + 1);
	assert_int_equal(read_all(p->file, r, 4), 0);		/* a batch is written at once */
	assert_int_equal(snoop_flush(&s), 0);
	snoop_add(&s, SNOOP_SENT, RECORD_HCI_ACL, acl, US_2024 + 2);
	snoop_add(&s, SNOOP_RECEIVED, RECORD_HCI_ACL, acl, US_2024 + 3);
	assert_int_equal(snoop_flush(&s), 0);
	assert_int_equal(snoop_flush(&s), 0);			/* nothing more */
	stop(&s);
	assert_int_equal(read_all(p->file, r, 4), 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(r[i].flags, ((const uint32_t[]){ 2, 3, 0, 1 })[i]);
		assert_int_equal(r[i].original, ((const uint32_t[]){ 4, 7, 6, 6 })[i]);
		assert_int_equal(r[i].included, r[i].original);
		assert_int_equal(r[i].time, r[0].time + i);
		assert_int_equal(r[i].packet[0], ((const uint8_t[]){ 1, 4, 2, 2 })[i]);
	}
	assert_memory_equal(r[1].packet + 1, done.at, done.len);
	assert_int_equal(stat(p->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

/* "Year 0" is what the readers of the format have agreed on (seen with Wireshark): 719540 days before 1970-01-01. */
static void year_0_is_that_of_the_readers(void **state)
{
	struct place *p = *state;
	struct snoop s = start(p->file, 0);
	struct seen r[1];

	snoop_add(&s, SNOOP_SENT, RECORD_HCI_COMMAND, reset, 0);
	snoop_flush(&s);
	stop(&s);
	read_all(p->file, r, 1);
	assert_int_equal(r[0].time, 719540ull * 86400 * 1000000);
}

static void a_file_is_continued_not_begun_again(void **state)
{
	struct place *p = *state;
	struct snoop s;
	struct seen r[4];

	for (int i = 1; i <= 3; i++) {
		s = start(p->file, 0);
		snoop_add(&s, SNOOP_SENT, RECORD_HCI_COMMAND, reset, US_2024);
		snoop_flush(&s);
		stop(&s);
		assert_int_equal(read_all(p->file, r, 4), i);
	}
}

/* A kill in the middle of a write leaves any prefix of a batch: every one of them is cut back to whole records. */
static void what_a_kill_left_cut_is_taken_away(void **state)
{
	struct place *p = *state;
	struct snoop s = start(p->file, 0);
	struct seen r[4];
	uint64_t whole, all;

	snoop_add(&s, SNOOP_SENT, RECORD_HCI_COMMAND, reset, US_2024);
	snoop_flush(&s);
	whole = s.at;
	snoop_add(&s, SNOOP_RECEIVED, RECORD_HCI_EVENT, done, US_2024);
	snoop_flush(&s);
	all = s.at;
	stop(&s);
	for (uint64_t cut = all; cut-- > whole; ) {
		for (int known = 0; known < 2; known++) {
			assert_int_equal(truncate(p->file, (off_t)cut), 0);
			s = start(p->file, known ? whole : 0);
			assert_int_equal(s.at, whole);
			assert_int_equal(read_all(p->file, r, 4), 1);
			snoop_add(&s, SNOOP_RECEIVED, RECORD_HCI_EVENT, done, US_2024);
			snoop_flush(&s);
			stop(&s);
			assert_int_equal(read_all(p->file, r, 4), 2);
		}
	}
}

static void a_full_disk_ends_the_capture_and_tears_nothing(void **state)
{
	struct place *p = *state;
	struct snoop s = start(p->file, 0);
	struct rlimit was, tight;
	struct seen r[4];
	void (*old)(int) = signal(SIGXFSZ, SIG_IGN);

	snoop_add(&s, SNOOP_SENT, RECORD_HCI_COMMAND, reset, US_2024);
	assert_int_equal(snoop_flush(&s), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	tight = (struct rlimit){ s.at + 10, was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	snoop_add(&s, SNOOP_SENT, RECORD_HCI_COMMAND, reset, US_2024);
	assert_true(snoop_flush(&s) < 0);
	setrlimit(RLIMIT_FSIZE, &was);
	signal(SIGXFSZ, old);
	assert_false(snoop_on(&s));
	snoop_add(&s, SNOOP_SENT, RECORD_HCI_COMMAND, reset, US_2024);	/* harmless now */
	assert_int_equal(snoop_flush(&s), 0);
	assert_int_equal(read_all(p->file, r, 4), 1);
}

static void a_packet_beyond_the_batch_is_counted_as_missed(void **state)
{
	struct place *p = *state;
	struct snoop s = start(p->file, 0);
	static uint8_t body[5000];
	struct seen r[4];

	snoop_add(&s, SNOOP_RECEIVED, RECORD_HCI_ACL, (struct bytes){ body, sizeof body }, US_2024);
	snoop_add(&s, SNOOP_RECEIVED, RECORD_HCI_EVENT, done, US_2024);
	snoop_flush(&s);
	stop(&s);
	assert_int_equal(read_all(p->file, r, 4), 1);
	assert_int_equal(r[0].drops, 1);
}

static void a_file_that_is_something_else_is_left_as_it_is(void **state)
{
	struct place *p = *state;
	char back[64] = "";
	FILE *f = fopen(p->file, "w");
	int fd;

	fputs("my notes, longer than any header would be\n", f);
	fclose(f);
	assert_int_equal(snoop_open_file(p->file, &fd), SNOOP_E_ALIEN);
	f = fopen(p->file, "r");
	assert_non_null(fgets(back, sizeof back, f));
	fclose(f);
	assert_string_equal(back, "my notes, longer than any header would be\n");
	assert_int_equal(snoop_open_file(p->dir, &fd) != 0, 1);
	assert_int_equal(snoop_open_file("/dev/null", &fd), SNOOP_E_ALIEN);
}

int main(void)
{
#define IN_PLACE(f) cmocka_unit_test_setup_teardown(f, place_make, place_end)
	const struct CMUnitTest tests[] = {
		IN_PLACE(both_directions_carry_their_flags_type_and_time),
		IN_PLACE(year_0_is_that_of_the_readers),
		IN_PLACE(a_file_is_continued_not_begun_again),
		IN_PLACE(what_a_kill_left_cut_is_taken_away),
		IN_PLACE(a_full_disk_ends_the_capture_and_tears_nothing),
		IN_PLACE(a_packet_beyond_the_batch_is_counted_as_missed),
		IN_PLACE(a_file_that_is_something_else_is_left_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
