/* The scan response: the file's, or what the advertising data had no room for of the name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "hostd/advertised.h"
#include "runtime/device.h"

static void check(const char *text, const char *want, uint8_t type)
{
	uint8_t scan[AD_LEGACY_MAX];
	struct device *d;
	struct bytes got;
	char why[200];
	uint8_t len;

	assert_int_equal(device_parse("t.json", (struct bytes){ (const uint8_t *)text, strlen(text) }, &d, why, sizeof why), 0);
	len = advertised_scan_response(d, scan);
	assert_true(ad_valid_legacy((struct bytes){ scan, len }));
	if (!want) {
		assert_int_equal(len, 0);
	} else {
		assert_true(ad_find((struct bytes){ scan, len }, type, &got));
		assert_int_equal(got.len, strlen(want));
		assert_memory_equal(got.at, want, got.len);
	}
	device_free(d);
}

static void test_scan_response(void **state)
{
	(void)state;
	check("{ \"name\": \"Thermometer\" }", NULL, 0);
	check("{ \"name\": \"A name of twenty-six octets\" }", "A name of twenty-six octets", AD_COMPLETE_LOCAL_NAME);
	check("{ \"name\": \"A name of twenty-nine octets.\" }", "A name of twenty-nine octets.", AD_COMPLETE_LOCAL_NAME);
	check("{ \"name\": \"A name that has more than thirty octets\" }",
	    "A name that has more than thi", AD_SHORTENED_LOCAL_NAME);
	/* Not within a character. */
	check("{ \"name\": \"A name that has more than th\u00e9\u00e9\u00e9\" }",
	    "A name that has more than th", AD_SHORTENED_LOCAL_NAME);
	check("{ \"name\": \"A name that has more than thirty octets\", \"scan_response_data\": \"0409616263\" }",
	    "abc", AD_COMPLETE_LOCAL_NAME);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_scan_response) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
