/* The device file: what is read from it, and what it is without one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/types.h"
#include "runtime/device.h"

static struct device *load(const char *text)
{
	char why[512] = "";
	struct device *d = NULL;
	int r = device_parse("file.json", (struct bytes){ (const uint8_t *)text, strlen(text) }, &d, why, sizeof why);

	if (r)
		fail_msg("%s", why);
	return d;
}
static bool warned(const struct device *d, const char *text)
{
	for (unsigned i = 0; i < d->warning_count; i++)
		if (strcmp(d->warnings[i], text) == 0)
			return true;
	return false;
}

static void test_without_a_file(void **state)
{
	static const uint8_t data[] = { 2, 0x01, 0x06, 8, 0x09, 'T', 'r', 'e', 'f', 'o', 'i', 'l' };
	struct device *d = NULL;
	char why[512];

	(void)state;
	assert_int_equal(device_load(NULL, &d, why, sizeof why), 0);
	assert_string_equal(d->name, "Trefoil");
	assert_true(d->advertise && d->le_enabled && d->gap_service && d->gatt_service && !d->address_given);
	assert_int_equal(d->advertising_len, sizeof data);
	assert_memory_equal(d->advertising, data, sizeof data);
	assert_int_equal(d->advertising_min, 0x00A0);
	assert_int_equal(d->service_count, 0);
	assert_int_equal(d->connections, 8);
	assert_int_equal(d->mtu, 517);
	assert_int_equal(d->io_capability, 3);
	assert_int_equal(device_uid(d, "transportd"), 61801);
	assert_int_equal(device_uid(d, "hostd"), 61802);
	assert_int_equal(device_uid(d, "gattd"), 61803);
	assert_int_equal(device_uid(d, "airsim"), 0);
	assert_int_equal(d->warning_count, 0);
	device_free(d);
	device_free(NULL);
}

/* Every key of Bumble's DeviceConfiguration, in Bumble's own forms and with its own defaults where they can be written. */
static const char bumble[] =
	"{ \"name\": \"Bumble\", \"address\": \"F0:F1:F2:F3:F4:F5\", \"class_of_device\": 2360324,"
	"  \"advertising_data\": \"0d09 42756d626c65204b6579 73\", \"scan_response_data\": \"020106\","
	"  \"advertising_interval\": 100.5, \"le_enabled\": true, \"le_simultaneous_enabled\": false, "
	    "\"le_privacy_enabled\": false,"
	"  \"le_rpa_timeout\": 900, \"le_subrate_enabled\": false, \"le_shorter_connection_intervals_enabled\": false,"
	"  \"classic_enabled\": true, \"classic_sc_enabled\": true, \"classic_ssp_enabled\": true, \"classic_smp_enabled\": true,"
	"  \"classic_accept_any\": true, \"classic_interlaced_scan_enabled\": true, \"connectable\": true, "
	    "\"discoverable\": true,"
	"  \"irk\": \"865F81FF5A8B486EAAE29A27AD9F77DC\", \"keystore\": \"JsonKeyStore\", \"address_resolution_offload\": false,"
	"  \"address_generation_offload\": false, \"cis_enabled\": false, \"channel_sounding_enabled\": false,"
	"  \"identity_address_type\": 1, \"io_capability\": 4, \"gap_service_enabled\": true, \"gatt_service_enabled\": true,"
	"  \"enhanced_retransmission_supported\": false, \"l2cap_extended_features\": [ 128, 32, 8 ], \"eatt_enabled\": false,"
	"  \"smp_debug_mode\": false,"
	"  \"gatt_services\": [ { \"uuid\": \"50DB505C-8AC4-4738-8448-3B1D9CC09CC5\", \"characteristics\": ["
	"    { \"uuid\": \"486F64C6-4B5F-4B3B-8AFF-EDE134A8446A\", \"properties\": \"READ,WRITE|NOTIFY\","
	"      \"permissions\": \"READABLE,WRITEABLE\", \"descriptors\": ["
	"        { \"descriptor_type\": \"2901\", \"permissions\": \"READABLE\" }, { \"descriptor_type\": \"2904\", "
	    "\"permissions\": 1 } ] } ] },"
	"    { \"uuid\": \"180F\" } ] }";

static void test_bumble_file(void **state)
{
	static const uint8_t address[] = { 0xF5, 0xF4, 0xF3, 0xF2, 0xF1, 0xF0 };
	struct device *d = load(bumble);
	const struct device_characteristic *c;
	char text[UUID_TEXT];

	(void)state;
	assert_string_equal(d->name, "Bumble");
	assert_memory_equal(d->address, address, 6);
	assert_true(d->address_given);
	assert_int_equal(d->address_type, ADDRESS_RANDOM);
	assert_int_equal(d->class_of_device, 2360324);
	assert_int_equal(d->advertising_len, 13);
	assert_int_equal(d->scan_response_len, 3);
	assert_int_equal(d->advertising_min, 160);		/* 100.5 ms: 160.8 units */
	assert_int_equal(d->advertising_max, 160);
	assert_int_equal(d->irk[0], 0x86);
	assert_string_equal(d->keystore, "JsonKeyStore");
	assert_int_equal(d->io_capability, 4);
	assert_true(d->classic_enabled);
	assert_int_equal(d->service_count, 2);
	assert_string_equal(uuid_to_text(&d->services[0].uuid, text), "50DB505C-8AC4-4738-8448-3B1D9CC09CC5");
	assert_int_equal(d->services[1].uuid.len, 2);
	c = d->services[0].characteristics;
	assert_int_equal(c->properties, PROPERTY_READ | PROPERTY_WRITE | PROPERTY_NOTIFY);
	assert_int_equal(c->permissions, PERMISSION_READ | PERMISSION_WRITE);
	assert_int_equal(c->descriptor_count, 2);
	assert_int_equal(c->descriptors[1].permissions, PERMISSION_READ);
	assert_int_equal(c->value.len, 0);
	assert_int_equal(c->value.max, 512);
	/* What it asks for that is not there is said, and its data, which is cut short: nothing else. */
	assert_int_equal(d->warning_count, 2);
	assert_true(warned(d, "classic_enabled: is known but has no effect yet"));
	assert_true(warned(d, "advertising_data: its last structure is cut short: receivers may ignore it"));
	device_free(d);
}

static void test_ours(void **state)
{
	struct device *d = load("{ \"address\": \"001122334455/P\", \"advertising_interval_min\": 20, "
	    "\"advertising_interval_max\": 40,"
	    "\"gatt_services\": [ { \"uuid\": \"1234\", \"trefoil\": { \"handle\": 32, \"secondary\": true }, "
	    "\"characteristics\": ["
	    "  { \"uuid\": \"2A00\", \"properties\": \"READ\", \"permissions\": \"READABLE\", \"trefoil\": { \"value\": "
	    "\"caf\\u00e9\", \"handle\": \"0x0025\" },"
	    "    \"descriptors\": [ { \"descriptor_type\": \"0x2901\", \"permissions\": \"READABLE\", \"trefoil\": { "
	    "\"value\": \"hex:\", \"handle\": 65535, \"max_length\": 9 } } ] },"
	    "  { \"uuid\": \"0000ABCD\", \"properties\": \"WRITE\", \"trefoil\": { \"value\": \"hex: 0102 fF\", "
	    "\"max_length\": 3 } } ] } ],"
	    "\"trefoil\": { \"limits\": { \"connections\": 256, \"mtu\": 23 }, \"advertise\": false, \"log_level\": \"debug\","
	    "  \"isolation\": { \"uids\": { \"transportd\": 10, \"hostd\": 11, \"gattd\": 12 }, \"group\": 42, "
	    "\"operators\": [ 1000, 1001 ] } } }");
	const struct device_characteristic *c = d->services[0].characteristics;
	struct arena_limits limits = device_limits(d);

	(void)state;
	assert_int_equal(d->address_type, ADDRESS_PUBLIC);
	assert_int_equal(d->address[0], 0x55);
	assert_int_equal(d->advertising_min, 32);
	assert_int_equal(d->advertising_max, 64);
	assert_int_equal(d->services[0].handle, 32);
	assert_true(d->services[0].secondary);
	assert_int_equal(c[0].handle, 0x25);
	assert_int_equal(c[0].value.len, 5);
	assert_memory_equal(c[0].value.at, "caf\xC3\xA9", 5);
	assert_int_equal(c[0].value.max, 5);			/* nobody can write it */
	assert_int_equal(c[0].descriptors[0].value.len, 0);
	assert_int_equal(c[0].descriptors[0].value.max, 9);
	assert_int_equal(c[0].descriptors[0].handle, 65535);
	assert_int_equal(c[1].permissions, PERMISSION_WRITE);	/* not given: after the properties */
	assert_int_equal(c[1].value.len, 3);
	assert_int_equal(c[1].value.max, 3);
	assert_int_equal(c[1].uuid.len, 2 + 14 * (c[1].uuid.len != 2));		/* ATT knows 16 and 128 bits only */
	assert_int_equal(d->connections, 256);
	assert_int_equal(d->mtu, 23);
	assert_false(d->advertise);
	assert_int_equal(d->log_level, LOG_DEBUG);
	assert_int_equal(device_uid(d, "gattd"), 12);
	assert_true(d->group_given);
	assert_int_equal(d->group, 42);
	assert_int_equal(d->operator_count, 2);
	assert_int_equal(d->operators[1], 1001);
	assert_int_equal(limits.of[LIMIT_CONNECTIONS], 256);
	assert_true(limits.of[LIMIT_ATTRIBUTES] >= 1 + 2 * 3 + 1);
	assert_int_equal(d->warning_count, 0);
	device_free(d);
}

static void test_not_given_in_bumbles_ways(void **state)
{
	struct device *d = load("{ \"address\": \"00:00:00:00:00:00\", \"irk\": null, \"keystore\": null, "
	    "\"advertising_data\": \"\","
	    "\"advertising_interval\": 0, \"identity_address_type\": null, \"name\": \"N\" }");

	(void)state;
	assert_false(d->address_given || d->irk_given);
	assert_null(d->keystore);
	assert_int_equal(d->advertising_len, 6);
	assert_int_equal(d->advertising_min, 0x00A0);
	assert_int_equal(d->warning_count, 0);
	device_free(d);
}

static void test_long_name_is_shortened_at_a_character(void **state)
{
	struct device *d = load("{ \"name\": \"aaaaaaaaaaaaaaaaaaaaaaaaa\\u00e9b\", \"discoverable\": false }");

	(void)state;
	assert_int_equal(d->advertising_len, 5 + 25);
	assert_int_equal(d->advertising[2], 0x04);
	assert_int_equal(d->advertising[3], 26);
	assert_int_equal(d->advertising[4], 0x08);
	device_free(d);
}

static void test_unknown_keys_are_warnings(void **state)
{
	struct device *d = load("{ \"nmae\": 1, \"trefoil\": { \"limits\": { \"conections\": 3 } }, \"gatt_services\": [ { "
	    "\"uuid\": \"1800\","
	    "\"primary\": true, \"characteristics\": [ { \"uuid\": \"2A00\", \"properties\": \"READ\", \"colour\": null } ] } ],"
	    "\"address\": \"00:11:22:33:44:55\", \"advertising_interval\": 50, \"advertising_interval_max\": 80 }");

	(void)state;
	assert_int_equal(d->warning_count, 6);
	assert_true(warned(d, "nmae: unknown key"));
	assert_true(warned(d, "trefoil.limits.conections: unknown key"));
	assert_true(warned(d, "gatt_services[0].primary: unknown key"));
	assert_true(warned(d, "gatt_services[0].characteristics[0].colour: unknown key"));
	assert_true(warned(d, "address: not a static random address (first octet C0 to FF): a controller may refuse it"));
	assert_true(warned(d, "advertising_interval: gives way to advertising_interval_min and _max"));
	device_free(d);
}

/* ---- echo ---- */
#define ECHO_FILE(source, target) "{ \"gatt_services\": [" \
	"{ \"uuid\": \"1234\", \"characteristics\": [ { \"uuid\": \"AAAA\", " source " } ] }," \
	"{ \"uuid\": \"1235\", \"characteristics\": [ { \"uuid\": \"CCCC\", \"properties\": \"READ\" }, " \
	"{ \"uuid\": \"BBBB\", " target " } ] } ] }"

static void test_echo(void **state)
{
	struct device *d = load(ECHO_FILE("\"properties\": \"WRITE\", \"trefoil\": { \"echo\": \"BBBB\" }",
	    "\"properties\": \"NOTIFY\", \"trefoil\": { \"value\": \"hi\" }"));

	(void)state;
	assert_true(d->services[0].characteristics[0].echoes);
	assert_int_equal(d->services[0].characteristics[0].echo_service, 1);
	assert_int_equal(d->services[0].characteristics[0].echo_characteristic, 1);
	assert_int_equal(d->services[1].characteristics[1].value.max, 512);
	device_free(d);
	d = load(ECHO_FILE("\"properties\": \"WRITE_WITHOUT_RESPONSE\", \"trefoil\": { \"echo\": 33 }",
	    "\"properties\": \"INDICATE\", \"trefoil\": { \"handle\": 33, \"max_length\": 20 }"));
	assert_int_equal(d->services[0].characteristics[0].value.max, 20);	/* no more can be echoed */
	device_free(d);
	d = load(ECHO_FILE("\"properties\": \"WRITE\", \"trefoil\": { \"echo\": \"BBBB\" }",
	    "\"properties\": \"NOTIFY,WRITE\", \"trefoil\": { \"echo\": \"BBBB\", \"max_length\": 5 }"));
	assert_true(d->services[1].characteristics[1].echoes);			/* itself */
	assert_int_equal(d->services[0].characteristics[0].value.max, 5);
	device_free(d);
}

/* ---- hashes ---- */
static uint64_t hash_of(const char *text)
{
	struct device *d = load(text);
	uint64_t h = device_cold_hash(d);

	device_free(d);
	return h;
}

#define ONE(more) ("{ \"gatt_services\": [ { \"uuid\": \"1234\", \"characteristics\": [ " \
	"{ \"uuid\": \"2A00\", \"properties\": \"READ\"" more " } ] } ] }")
static void test_cold_and_live(void **state)
{
	static const char *const cold[] = {
		"{ \"name\": \"x\" }",
		"{ \"address\": \"F0:F1:F2:F3:F4:F5\" }",
		"{ \"address\": \"F0:F1:F2:F3:F4:F5/P\" }",
		"{ \"class_of_device\": 1 }",
		"{ \"connectable\": false }",
		"{ \"gap_service_enabled\": false }",
		"{ \"io_capability\": 0 }",
		"{ \"keystore\": \"k\" }",
		"{ \"irk\": \"00000000000000000000000000000001\" }",
		"{ \"trefoil\": { \"limits\": { \"connections\": 9 } } }",
		"{ \"trefoil\": { \"isolation\": { \"uids\": { \"hostd\": 9 } } } }",
		"{ \"trefoil\": { \"limits\": { \"mtu\": 100 } } }",
		"{ \"gatt_services\": [ { \"uuid\": \"1234\" } ] }",
		"{ \"gatt_services\": [ { \"uuid\": \"1235\" } ] }",
		"{ \"gatt_services\": [ { \"uuid\": \"1234\", \"trefoil\": { \"handle\": 9 } } ] }",
		ONE(""),
		ONE(", \"trefoil\": { \"value\": \"a\" }"),
		ONE(", \"trefoil\": { \"max_length\": 7 }"),
		ONE(", \"descriptors\": [ { \"descriptor_type\": \"2901\" } ]"),
	};
	static const char *const live[] = {
		"{ \"advertising_data\": \"020106\" }", "{ \"scan_response_data\": \"020106\" }",
		"{ \"advertising_interval\": 20 }",
		"{ \"trefoil\": { \"isolation\": { \"group\": 9 } } }", "{ \"trefoil\": { \"isolation\": { \"operators\": [ 9 ] } } }",
		"{ \"trefoil\": { \"advertise\": false } }", "{ \"trefoil\": { \"log_level\": \"debug\" } }",
	};
	uint64_t seen[ARRAY_LEN(cold) + 1] = { hash_of("{}") };
	struct device *none = load("{}"), *d;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cold); i++) {
		seen[i + 1] = hash_of(cold[i]);
		for (size_t k = 0; k <= i; k++)
			if (seen[k] == seen[i + 1])
				fail_msg("the same hash: %s", cold[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(live); i++) {
		d = load(live[i]);
		if (device_cold_hash(d) != seen[0] || !device_live_differs(d, none))
			fail_msg("not live: %s", live[i]);
		device_free(d);
	}
	assert_false(device_live_differs(none, none));
	/* The same said otherwise. */
	assert_int_equal(hash_of("{ \"name\": \"Trefoil\", \"trefoil\": { \"limits\": { \"mtu\": 517, \"connections\": 8 } "
	    "} }"), seen[0]);
	device_free(none);
}

static void test_from_disk(void **state)
{
	char name[] = "/tmp/trefoil-test-XXXXXX", why[512];
	struct device *d = NULL;
	int fd = mkstemp(name);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bumble, sizeof bumble - 1), sizeof bumble - 1);
	assert_int_equal(device_load(name, &d, why, sizeof why), 0);
	assert_string_equal(d->name, "Bumble");
	device_free(d);
	unlink(name);
	assert_int_equal(device_load(name, &d, why, sizeof why), -ENOENT);
	assert_non_null(strstr(why, name));
	assert_non_null(strstr(why, "No such file"));
	assert_int_equal(device_load("/", &d, why, sizeof why), -EISDIR);
	assert_int_equal(ftruncate(fd, 2 * 1024 * 1024), 0);
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	assert_int_equal(device_load(name, &d, why, sizeof why), -EFBIG);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_a_file),
		cmocka_unit_test(test_bumble_file),
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_not_given_in_bumbles_ways),
		cmocka_unit_test(test_long_name_is_shortened_at_a_character),
		cmocka_unit_test(test_unknown_keys_are_warnings),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_cold_and_live),
		cmocka_unit_test(test_from_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
