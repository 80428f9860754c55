/* Wrong values in a device file: each class names the file, the key, and what was expected; and nothing leaks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/types.h"
#include "runtime/device.h"

#define SERVICE(inside) "{ \"gatt_services\": [ { \"uuid\": \"1234\" }, { \"uuid\": \"1235\", " inside " } ] }"
#define CHARACTERISTIC(inside) SERVICE("\"characteristics\": [ { \"uuid\": \"2A00\", " inside " } ]")
#define DESCRIPTOR(inside) CHARACTERISTIC("\"properties\": \"READ\", \"descriptors\": [ { " inside " } ]")
#define TREFOIL(inside) "{ \"trefoil\": { " inside " } }"
#define CH "gatt_services[1].characteristics[0]"
#define T61 "0000000000000000000000000000000000000000000000000000000000000000"

static const struct { const char *text, *path, *expected; } rows[] = {
	/* no JSON, or not an object */
	{ "", "line 1", "expected JSON" },
	{ "{\n\"name\": }", "line 2, column 9", "expected JSON" },
	{ "{ \"name\": \"a\", \"name\": \"b\" }", "line 1", "duplicate" },
	{ "{ \"name\": \"\xFF\" }", "line 1", "expected JSON" },
	{ "{ \"trefoil\": { \"limits\": { \"a\\nb\": 1, \"mtu\": \"\\n\" } } }", "trefoil.limits.mtu", "from 23 to 517" },
	{ "[]", "", "expected an object, got []" },
	{ "{} x", "line 1", "expected JSON" },
	/* the top */
	{ "{ \"name\": 7 }", "name", "text of 1 to 248 octets, got 7" },
	{ "{ \"name\": \"\" }", "name", "text of 1 to 248" },
	{ "{ \"name\": \"" T61 T61 T61 T61 "\" }", "name", "text of 1 to 248" },
	{ "{ \"name\": null }", "name", "text of 1 to 248" },
	{ "{ \"address\": 5 }", "address", "F0:F1:F2:F3:F4:F5" },
	{ "{ \"address\": \"F0:F1:F2:F3:F4\" }", "address", "expected an address" },
	{ "{ \"address\": \"F0:F1:F2:F3:F4:FG\" }", "address", "expected an address" },
	{ "{ \"address\": \"F0-F1-F2-F3-F4-F5\" }", "address", "expected an address" },
	{ "{ \"address\": \"F0:F1:F2:F3:F4:F5/R\" }", "address", "expected an address" },
	{ "{ \"address\": \"0 1 2 3 4 5 \" }", "address", "expected an address" },
	{ "{ \"class_of_device\": -1 }", "class_of_device", "from 0 to 16777215" },
	{ "{ \"class_of_device\": 16777216 }", "class_of_device", "from 0 to 16777215, got 16777216" },
	{ "{ \"class_of_device\": 1.5 }", "class_of_device", "a whole number" },
	{ "{ \"class_of_device\": \"0x240418\" }", "class_of_device", "a whole number" },
	{ "{ \"class_of_device\": 99999999999999999999 }", "line 1", "expected JSON" },
	{ "{ \"advertising_data\": \"0g\" }", "advertising_data", "at most 31 octets in hex" },
	{ "{ \"advertising_data\": \"020\" }", "advertising_data", "at most 31 octets in hex" },
	{ "{ \"advertising_data\": [ 2, 1, 6 ] }", "advertising_data", "at most 31 octets in hex" },
	{ "{ \"advertising_data\": \"" T61 "\" }", "advertising_data", "at most 31 octets in hex" },
	{ "{ \"scan_response_data\": \"" T61 "\" }", "scan_response_data", "at most 31 octets in hex" },
	{ "{ \"advertising_interval\": 19.9 }", "advertising_interval", "milliseconds from 20 to 10240" },
	{ "{ \"advertising_interval\": 10241 }", "advertising_interval", "milliseconds from 20 to 10240" },
	{ "{ \"advertising_interval\": \"100\" }", "advertising_interval", "milliseconds" },
	{ "{ \"advertising_interval_min\": 0 }", "advertising_interval_min", "milliseconds" },
	{ "{ \"advertising_interval_max\": null }", "advertising_interval_max", "milliseconds" },
	{ "{ \"advertising_interval_min\": 100, \"advertising_interval_max\": 50 }", "advertising_interval_max", "not "
	    "above the most" },
	{ "{ \"le_enabled\": 1 }", "le_enabled", "true or false, got 1" },
	{ "{ \"classic_enabled\": \"no\" }", "classic_enabled", "true or false" },
	{ "{ \"classic_ssp_enabled\": 0 }", "classic_ssp_enabled", "true or false" },
	{ "{ \"le_privacy_enabled\": null }", "le_privacy_enabled", "true or false" },
	{ "{ \"le_rpa_timeout\": 3601 }", "le_rpa_timeout", "from 0 to 3600" },
	{ "{ \"identity_address_type\": 2 }", "identity_address_type", "from 0 to 1" },
	{ "{ \"io_capability\": 5 }", "io_capability", "from 0 to 4" },
	{ "{ \"io_capability\": \"DISPLAY_ONLY\" }", "io_capability", "from 0 to 4" },
	{ "{ \"l2cap_extended_features\": 3 }", "l2cap_extended_features", "a list of numbers" },
	{ "{ \"l2cap_extended_features\": [ 1, -1 ] }", "l2cap_extended_features[1]", "a whole number" },
	{ "{ \"irk\": \"865F81\" }", "irk", "16 octets in hex" },
	{ "{ \"irk\": 1 }", "irk", "16 octets in hex" },
	{ "{ \"keystore\": 1 }", "keystore", "JsonKeyStore" },
	/* services */
	{ "{ \"gatt_services\": {} }", "gatt_services", "a list of at most 256 objects" },
	{ "{ \"gatt_services\": [ 5 ] }", "gatt_services[0]", "an object, got 5" },
	{ "{ \"gatt_services\": [ {} ] }", "gatt_services[0].uuid", "a UUID: 4, 8 or 32 hex digits, got nothing" },
	{ "{ \"gatt_services\": [ { \"uuid\": 6159 } ] }", "gatt_services[0].uuid", "a UUID" },
	{ "{ \"gatt_services\": [ { \"uuid\": \"18 0F\" } ] }", "gatt_services[0].uuid", "a UUID" },
	{ "{ \"gatt_services\": [ { \"uuid\": \"180FF\" } ] }", "gatt_services[0].uuid", "a UUID" },
	{ SERVICE("\"characteristics\": 1"), "gatt_services[1].characteristics", "a list of at most 1024 objects" },
	{ SERVICE("\"trefoil\": []"), "gatt_services[1].trefoil", "an object" },
	{ SERVICE("\"trefoil\": { \"handle\": 0 }"), "gatt_services[1].trefoil.handle", "a handle from 1 to 65535" },
	{ SERVICE("\"trefoil\": { \"handle\": 65536 }"), "gatt_services[1].trefoil.handle", "a handle" },
	{ SERVICE("\"trefoil\": { \"handle\": \"25\" }"), "gatt_services[1].trefoil.handle", "a handle" },
	{ SERVICE("\"trefoil\": { \"handle\": \"0x00025\" }"), "gatt_services[1].trefoil.handle", "a handle" },
	{ SERVICE("\"trefoil\": { \"handle\": \"0x-1\" }"), "gatt_services[1].trefoil.handle", "a handle" },
	{ SERVICE("\"trefoil\": { \"secondary\": 1 }"), "gatt_services[1].trefoil.secondary", "true or false" },
	/* characteristics */
	{ SERVICE("\"characteristics\": [ { \"properties\": \"READ\" } ]"), CH ".uuid", "got nothing" },
	{ CHARACTERISTIC("\"permissions\": \"READABLE\""), CH ".properties", "got nothing" },
	{ CHARACTERISTIC("\"properties\": 2"), CH ".properties", "words separated by commas, of BROADCAST READ" },
	{ CHARACTERISTIC("\"properties\": \"\""), CH ".properties", "words" },
	{ CHARACTERISTIC("\"properties\": \"READ,\""), CH ".properties", "words" },
	{ CHARACTERISTIC("\"properties\": \"READ,FLY\""), CH ".properties", "got \"READ,FLY\"" },
	{ CHARACTERISTIC("\"properties\": \"read\""), CH ".properties", "words" },
	{ CHARACTERISTIC("\"properties\": \"READ\", \"permissions\": \"READ\""), CH ".permissions", "READABLE" },
	{ CHARACTERISTIC("\"properties\": \"READ\", \"permissions\": 256"), CH ".permissions", "from 0 to 255" },
	{ CHARACTERISTIC("\"properties\": \"READ\", \"trefoil\": { \"value\": 5 }"), CH ".trefoil.value", "text, or \"hex:\"" },
	{ CHARACTERISTIC("\"properties\": \"READ\", \"trefoil\": { \"value\": \"hex:1\" }"), CH ".trefoil.value", "at most "
	    "512 octets in hex" },
	{ CHARACTERISTIC("\"properties\": \"READ\", \"trefoil\": { \"value\": \"" T61 T61 T61 T61 T61 T61 T61 T61 "x\" "
	    "}"), CH ".trefoil.value",
	    "at most 512 octets of text" },
	{ CHARACTERISTIC("\"properties\": \"READ\", \"trefoil\": { \"max_length\": 513 }"), CH ".trefoil.max_length",
	    "from 1 to 512" },
	{ CHARACTERISTIC("\"properties\": \"READ\", \"trefoil\": { \"max_length\": 1, \"value\": \"ab\" }"),
	    CH ".trefoil.max_length",
	    "at least the length of the value" },
	{ CHARACTERISTIC("\"properties\": \"READ\", \"trefoil\": { \"handle\": true }"), CH ".trefoil.handle", "a handle" },
	/* descriptors */
	{ CHARACTERISTIC("\"properties\": \"READ\", \"descriptors\": {}"), CH ".descriptors", "a list of at most 64 objects" },
	{ DESCRIPTOR("\"permissions\": \"READABLE\""), CH ".descriptors[0].descriptor_type", "got nothing" },
	{ DESCRIPTOR("\"descriptor_type\": \"29\""), CH ".descriptors[0].descriptor_type", "a UUID" },
	{ DESCRIPTOR("\"descriptor_type\": \"2901\", \"permission\": \"READABLE\""), CH ".descriptors[0].permission", "the "
	    "name \"permissions\"" },
	{ DESCRIPTOR("\"descriptor_type\": \"2901\", \"permissions\": \"X\""), CH ".descriptors[0].permissions", "words" },
	{ DESCRIPTOR("\"descriptor_type\": \"2901\", \"trefoil\": { \"value\": \"hex:zz\" }"),
	    CH ".descriptors[0].trefoil.value", "in hex" },
	/* echo */
	{ CHARACTERISTIC("\"properties\": \"WRITE\", \"trefoil\": { \"echo\": true }"), CH ".trefoil.echo", "the UUID "
	    "(text) or the handle" },
	{ CHARACTERISTIC("\"properties\": \"WRITE\", \"trefoil\": { \"echo\": \"xyz\" }"), CH ".trefoil.echo", "a UUID" },
	{ CHARACTERISTIC("\"properties\": \"WRITE\", \"trefoil\": { \"echo\": \"2A01\" }"), CH ".trefoil.echo", "in this file" },
	{ CHARACTERISTIC("\"properties\": \"WRITE\", \"trefoil\": { \"echo\": 9 }"), CH ".trefoil.echo", "trefoil.handle" },
	{ CHARACTERISTIC("\"properties\": \"WRITE\", \"trefoil\": { \"echo\": \"2A00\" }"), CH ".trefoil.echo", "NOTIFY or "
	    "INDICATE" },
	{ CHARACTERISTIC("\"properties\": \"NOTIFY\", \"trefoil\": { \"echo\": \"2A00\" }"), CH ".trefoil.echo", "WRITE" },
	{ CHARACTERISTIC("\"properties\": \"WRITE\", \"trefoil\": { \"echo\": \"2A01\" } }, { \"uuid\": \"2A01\", "
	    "\"properties\": \"NOTIFY\" }, "
	    "{ \"uuid\": \"2A01\", \"properties\": \"NOTIFY\""), CH ".trefoil.echo", "only one characteristic has" },
	{ CHARACTERISTIC("\"properties\": \"WRITE\", \"trefoil\": { \"echo\": \"2A01\", \"max_length\": 9 } }, { \"uuid\": "
	    "\"2A01\", "
	    "\"properties\": \"NOTIFY\", \"trefoil\": { \"max_length\": 8 }"), CH ".trefoil.echo", "not below this one's" },
	/* trefoil */
	{ "{ \"trefoil\": 1 }", "trefoil", "an object" },
	{ TREFOIL("\"limits\": 8"), "trefoil.limits", "an object" },
	{ TREFOIL("\"limits\": { \"connections\": 0 }"), "trefoil.limits.connections", "from 1 to 256" },
	{ TREFOIL("\"limits\": { \"connections\": 257 }"), "trefoil.limits.connections", "from 1 to 256" },
	{ TREFOIL("\"limits\": { \"mtu\": 22 }"), "trefoil.limits.mtu", "from 23 to 517" },
	{ TREFOIL("\"limits\": { \"mtu\": 518 }"), "trefoil.limits.mtu", "from 23 to 517" },
	{ TREFOIL("\"advertise\": \"on\""), "trefoil.advertise", "true or false" },
	{ TREFOIL("\"log_level\": \"loud\""), "trefoil.log_level", "\"error\", \"warn\", \"info\" or \"debug\"" },
	{ TREFOIL("\"isolation\": { \"uids\": { \"hostd\": 0 } }"), "trefoil.isolation.uids.hostd", "from 1 to 2147483647" },
	{ TREFOIL("\"isolation\": { \"uids\": { \"hostd\": 5, \"gattd\": 5 } }"), "trefoil.isolation.uids", "three "
	    "different uids" },
	{ TREFOIL("\"isolation\": { \"group\": \"no-such-group-here\" }"), "trefoil.isolation.group", "a group of this machine" },
	{ TREFOIL("\"isolation\": { \"group\": -1 }"), "trefoil.isolation.group", "a whole number" },
	{ TREFOIL("\"isolation\": { \"operators\": 5 }"), "trefoil.isolation.operators", "a list of at most 14 uids" },
	{ TREFOIL("\"isolation\": { \"operators\": [ 5, \"x\" ] }"), "trefoil.isolation.operators[1]", "a whole number" },
	{ TREFOIL("\"isolation\": { \"operators\": [ 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15 ] }"),
	    "trefoil.isolation.operators", "at most 14" },
};

static void test_wrong_values(void **state)
{
	char why[512], begins[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct device *d = NULL;

		memset(why, 0, sizeof why);
		if (device_parse("dev.json", (struct bytes){ (const uint8_t *)rows[i].text, strlen(rows[i].text) }, &d,
		    why, sizeof why) != -EINVAL)
			fail_msg("taken: %s", rows[i].text);
		assert_null(d);
		snprintf(begins, sizeof begins, "dev.json: %s%s", rows[i].path, *rows[i].path && strncmp(rows[i].path,
		    "line", 4) ? ": " : "");
		if (strncmp(why, begins, strlen(begins)) != 0 || strstr(why, rows[i].expected) == NULL)
			fail_msg("%s\n  says: %s\n  not:  %s ... %s", rows[i].text, why, begins, rows[i].expected);
		if (strchr(why, '\n'))
			fail_msg("more than a line: %s", why);
	}
}

/* A key is not shown, not even a wrong one. */
static void test_no_key_in_the_error(void **state)
{
	static const char text[] = "{ \"irk\": \"865F81FF5A8B486EAAE29A27AD9F77\" }";
	struct device *d = NULL;
	char why[512];

	(void)state;
	assert_int_equal(device_parse("f", (struct bytes){ (const uint8_t *)text, strlen(text) }, &d, why, sizeof why), -EINVAL);
	assert_null(strstr(why, "865F"));
}

/* Any cut of a whole file is an error or, once, the file; whatever octet is changed, there is no crash. */
static void test_damaged_files(void **state)
{
	static const char text[] = SERVICE("\"trefoil\": { \"handle\": 32 }, \"characteristics\": [ { \"uuid\": \"2A00\", "
	    "\"properties\": \"READ,WRITE\","
	    "\"descriptors\": [ { \"descriptor_type\": \"2901\", \"permissions\": 1, \"trefoil\": { \"value\": \"x\" } } ],"
	    "\"trefoil\": { \"value\": \"hex:01\" } } ]");
	uint32_t seed = 7;
	char why[512];

	(void)state;
	for (size_t cut = 0; cut < sizeof text - 1; cut++) {
		struct device *d = NULL;

		assert_int_equal(device_parse("f", (struct bytes){ (const uint8_t *)text, cut }, &d, why, sizeof why), -EINVAL);
	}
	for (unsigned round = 0; round < 5000; round++) {
		struct device *d = NULL;
		char copy[sizeof text];

		memcpy(copy, text, sizeof text);
		seed = seed * 1664525 + 1013904223;
		copy[(seed >> 8) % (sizeof text - 1)] = (char)(seed >> 24);
		if (device_parse("f", (struct bytes){ (uint8_t *)copy, sizeof text - 1 }, &d, why, sizeof why) == 0)
			device_free(d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_values),
		cmocka_unit_test(test_no_key_in_the_error),
		cmocka_unit_test(test_damaged_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
