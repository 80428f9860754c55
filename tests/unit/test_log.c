/* The log: one line, in order, that nobody can forge. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/types.h"
#include "runtime/log.h"

static const char *line(char *buf, const struct log_field *f, size_t count)
{
	buf[log_line(buf, LOG_LINE_MAX, LOG_WARN, "acl dropped", f, count)] = '\0';
	return buf;
}
#define FIELDS(...) (const struct log_field[]){ __VA_ARGS__ }
#define LINE(...) line(buf, FIELDS(__VA_ARGS__), sizeof(FIELDS(__VA_ARGS__)) / sizeof(struct log_field))

static void test_fields(void **state)
{
	static const uint8_t addr[6] = { 0xF5, 0xF4, 0xF3, 0xF2, 0xF1, 0xF0 };
	char buf[LOG_LINE_MAX + 1];

	(void)state;
	log_open("hostd");
	assert_string_equal(LINE(LOG_HEX("handle", 0x40), LOG_UINT("len", 27), LOG_WHY("no link")),
	    "hostd: warn acl dropped handle=0x0040 len=27 why=\"no link\"\n");
	assert_string_equal(LINE(LOG_INT("a", -5), LOG_INT("b", INT64_MIN), LOG_HEX("c", 0x123456789)),
	    "hostd: warn acl dropped a=-5 b=-9223372036854775808 c=0x0000000123456789\n");
	assert_string_equal(LINE(LOG_ADDR("peer", addr), LOG_STR("s", NULL)), "hostd: warn acl dropped "
	    "peer=F0:F1:F2:F3:F4:F5 s=-\n");
	assert_string_equal(LINE(LOG_ERRNO(-ENOENT)), "hostd: warn acl dropped errno=2 why=\"No such file or directory\"\n");
}

static void test_nobody_forges(void **state)
{
	const struct { const char *text, *shown; } rows[] = {
		{ "plain", "plain" }, { "", "\"\"" }, { "a b", "\"a b\"" }, { "a\nhostd: error x", "\"a\\x0Ahostd: error x\"" },
		{ "x=y", "\"x=y\"" }, { "q\"q", "\"q\\\"q\"" }, { "b\\b", "\"b\\\\b\"" }, { "\x1B[31m", "\"\\x1B[31m\"" },
		{ "\xC3\xA4", "\"\\xC3\\xA4\"" }, { "\x7F", "\"\\x7F\"" },
	};
	char buf[LOG_LINE_MAX + 1], expect[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(expect, sizeof expect, "hostd: warn acl dropped v=%s\n", rows[i].shown);
		assert_string_equal(LINE(LOG_STR("v", rows[i].text)), expect);
	}
	assert_string_equal(LINE(LOG_TEXT("v", "a\0b", 3)), "hostd: warn acl dropped v=\"a\\x00b\"\n");
}

static void test_long_lines_are_cut(void **state)
{
	char buf[LOG_LINE_MAX + 1], text[4000];

	(void)state;
	memset(text, '\n', sizeof text);
	for (size_t cap = 1; cap < 200; cap++) {
		size_t n = log_line(buf, cap, LOG_INFO, "e", (const struct log_field[]){ LOG_TEXT("v", text, sizeof text) }, 1);

		assert_int_equal(n, cap);
		assert_int_equal(buf[n - 1], '\n');
		assert_ptr_equal(memchr(buf, '\n', n), buf + n - 1);
	}
}

static void test_levels_and_writes(void **state)
{
	char name[] = "/tmp/trefoil-test-XXXXXX", buf[512] = "", stream[64];
	int fd = mkstemp(name), saved = dup(STDERR_FILENO);
	enum log_level l;
	struct stat st;

	(void)state;
	assert_true(fd >= 0 && saved >= 0);
	unlink(name);
	fflush(stderr);
	dup2(fd, STDERR_FILENO);
	log_set_level(LOG_INFO);
	errno = EXDEV;
	log_info("one");
	log_debug("two");
	log_set_level(LOG_DEBUG);
	log_debug("three", LOG_UINT("n", 3));
	l = log_get_level();
	assert_int_equal(fstat(fd, &st), 0);
	snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_open("gattd");
	log_error("four");
	unsetenv("JOURNAL_STREAM");
	log_open("gattd");
	dup2(saved, STDERR_FILENO);
	assert_int_equal(errno, EXDEV);
	assert_true(pread(fd, buf, sizeof buf - 1, 0) > 0);
	assert_string_equal(buf, "hostd: info one\nhostd: debug three n=3\n<3>gattd: four\n");
	assert_int_equal(l, LOG_DEBUG);
	assert_true(log_level_from_text("warn", &l));
	assert_int_equal(l, LOG_WARN);
	assert_false(log_level_from_text("loud", &l));
	assert_string_equal(log_level_text(LOG_ERROR), "error");
	close(saved);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_nobody_forges),
		cmocka_unit_test(test_long_lines_are_cut),
		cmocka_unit_test(test_levels_and_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
