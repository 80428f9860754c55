/* From a device file to attributes: handles, declarations, what is added, and what is refused by name. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "base/types.h"
#include "gattd/core/gatt.h"
#include "gattd/gatt_build.h"

static struct device *parse(const char *text)
{
	struct device *d;
	char why[512] = "";

	if (device_parse("test.json", (struct bytes){ (const uint8_t *)text, strlen(text) }, &d, why, sizeof why))
		fail_msg("%s", why);
	return d;
}
#define BUILD(text) \
	struct device *d = parse(text); \
	struct gatt_database db; \
	char why[512] = ""; \
	(void)state; \
	if (gatt_build(d, &db, why, sizeof why)) \
		fail_msg("%s", why); \
	assert_true(db.count <= device_attributes(d))
static void done(struct gatt_database *db, struct device *d)
{
	gatt_build_free(db);
	device_free(d);
}

static void is(const struct gatt_database *db, unsigned i, uint16_t handle, uint16_t group_end, uint16_t type, unsigned kind)
{
	const struct config_attribute *a = &db->at[i].is;

	assert_true(i < db->count);
	assert_int_equal(a->handle, handle);
	assert_int_equal(a->group_end, group_end);
	if (type)
		assert_int_equal(a->type[0] | a->type[1] << 8, type);
	assert_int_equal(a->kind, kind);
}
static void says(const struct gatt_database *db, unsigned i, struct bytes value)
{
	assert_int_equal(db->at[i].is.value.len, value.len);
	assert_memory_equal(db->at[i].is.value.at, value.at, value.len);
}
#define SAYS(db, i, ...) says(db, i, (struct bytes){ (const uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }) })

static void test_defaults(void **state)
{
	BUILD("{ \"name\": \"Hi\" }");
	assert_int_equal(db.count, 9);
	is(&db, 0, 1, 5, 0x2800, ATTRIBUTE_SERVICE);
	SAYS(&db, 0, 0x00, 0x18);
	is(&db, 1, 2, 3, 0x2803, ATTRIBUTE_CHARACTERISTIC);
	SAYS(&db, 1, 0x02, 3, 0, 0x00, 0x2A);
	is(&db, 2, 3, 3, 0x2A00, ATTRIBUTE_VALUE);
	SAYS(&db, 2, 'H', 'i');
	is(&db, 4, 5, 5, 0x2A01, ATTRIBUTE_VALUE);
	is(&db, 5, 6, 9, 0x2800, ATTRIBUTE_SERVICE);
	is(&db, 6, 7, 9, 0x2803, ATTRIBUTE_CHARACTERISTIC);
	is(&db, 7, 8, 8, 0x2A05, ATTRIBUTE_VALUE);
	is(&db, 8, 9, 9, 0x2902, ATTRIBUTE_CCCD);
	assert_int_equal(db.at[7].is.cccd, 1);
	assert_int_equal(db.at[8].is.cccd, 1);
	assert_int_equal(db.at[8].is.properties, PROPERTY_INDICATE);
	done(&db, d);
}

#define CHARACTERISTIC(uuid, properties, extra) \
	"{ \"uuid\": \"" uuid "\", \"properties\": \"" properties "\", \"permissions\": \"READABLE,WRITEABLE\"" extra " }"
#define AT(handle) ", \"trefoil\": { \"handle\": " #handle " }"

/* Without handles: one after another, in file order; CCCDs where they are missing, behind the file's own descriptors. */
static void test_implicit(void **state)
{
	BUILD("{ \"gatt_services\": ["
	    "{ \"uuid\": \"180F\", \"characteristics\": ["
	    CHARACTERISTIC("2A19", "READ,NOTIFY", ", \"descriptors\": [ { \"descriptor_type\": \"2901\", \"permissions\": \"READABLE\" } ]") "] },"
	    "{ \"uuid\": \"50DB505C-8AC4-4738-8448-3B1D9CC09CC5\", \"characteristics\": ["
	    CHARACTERISTIC("486F64C6-4B5F-4B3B-8AFF-EDE134A8446A", "READ", "") ","
	    CHARACTERISTIC("FFF1", "INDICATE", ", \"descriptors\": [ { \"descriptor_type\": \"2902\", \"permissions\": \"READABLE,WRITEABLE\" } ]") "] } ] }");
	is(&db, 9, 10, 14, 0x2800, ATTRIBUTE_SERVICE);
	is(&db, 10, 11, 14, 0x2803, ATTRIBUTE_CHARACTERISTIC);
	is(&db, 11, 12, 12, 0x2A19, ATTRIBUTE_VALUE);
	is(&db, 12, 13, 13, 0x2901, ATTRIBUTE_PLAIN);
	is(&db, 13, 14, 14, 0x2902, ATTRIBUTE_CCCD);
	is(&db, 14, 15, 20, 0x2800, ATTRIBUTE_SERVICE);
	assert_int_equal(db.at[14].is.value.len, 16);
	is(&db, 15, 16, 17, 0x2803, ATTRIBUTE_CHARACTERISTIC);
	assert_int_equal(db.at[15].is.value.len, 19);
	assert_int_equal(db.at[15].own[1], 17);
	assert_memory_equal(db.at[15].own + 3, db.at[16].is.type, 16);
	is(&db, 19, 20, 20, 0x2902, ATTRIBUTE_CCCD);
	assert_int_equal(db.count, 20);
	assert_int_equal(db.at[13].is.cccd, 2);
	assert_int_equal(db.at[19].is.cccd, 3);
	assert_int_equal(db.at[18].is.cccd, 3);
	done(&db, d);
}

/* Handles as the file wants them: gaps, services in any order, and our own two around them. */
static void test_explicit(void **state)
{
	BUILD("{ \"gatt_services\": ["
	    "{ \"uuid\": \"180F\"" AT(64) ", \"characteristics\": [" CHARACTERISTIC("2A19", "READ", AT(80)) "] },"
	    "{ \"uuid\": \"180A\", \"characteristics\": [" CHARACTERISTIC("2A29", "READ", "") "] },"
	    "{ \"uuid\": \"1812\", \"characteristics\": [" CHARACTERISTIC("2A4B", "READ", AT(4)) "," CHARACTERISTIC("2A4A", "READ", "") "] } ] }");
	is(&db, 0, 2, 6, 0x2800, ATTRIBUTE_SERVICE);		/* 1812: two before its first value */
	SAYS(&db, 0, 0x12, 0x18);
	is(&db, 2, 4, 4, 0x2A4B, ATTRIBUTE_VALUE);
	is(&db, 4, 6, 6, 0x2A4A, ATTRIBUTE_VALUE);
	is(&db, 5, 7, 11, 0x2800, ATTRIBUTE_SERVICE);		/* GAP behind it: handle 1 is too small a gap */
	SAYS(&db, 5, 0x00, 0x18);
	is(&db, 10, 12, 15, 0x2800, ATTRIBUTE_SERVICE);
	is(&db, 14, 16, 18, 0x2800, ATTRIBUTE_SERVICE);
	SAYS(&db, 14, 0x0A, 0x18);
	is(&db, 17, 64, 80, 0x2800, ATTRIBUTE_SERVICE);
	is(&db, 18, 79, 80, 0x2803, ATTRIBUTE_CHARACTERISTIC);
	is(&db, 19, 80, 80, 0x2A19, ATTRIBUTE_VALUE);
	done(&db, d);
}

static void test_own_gap_and_echo(void **state)
{
	BUILD("{ \"name\": \"N\", \"gatt_services\": ["
	    "{ \"uuid\": \"1800\", \"characteristics\": [" CHARACTERISTIC("2A00", "READ", "") "] },"
	    "{ \"uuid\": \"FFF0\", \"characteristics\": ["
	    CHARACTERISTIC("FFF1", "WRITE", ", \"trefoil\": { \"echo\": \"FFF2\" }") "," CHARACTERISTIC("FFF2", "NOTIFY", "") "] } ] }");
	unsigned services = 0;

	for (unsigned i = 0; i < db.count; i++)
		services += db.at[i].is.kind == ATTRIBUTE_SERVICE;
	assert_int_equal(services, 3);
	is(&db, 0, 1, 4, 0x2800, ATTRIBUTE_SERVICE);
	SAYS(&db, 0, 0x01, 0x18);			/* GATT first, the file's GAP behind it */
	is(&db, 9, 10, 10, 0xFFF1, ATTRIBUTE_VALUE);
	is(&db, 11, 12, 12, 0xFFF2, ATTRIBUTE_VALUE);
	assert_int_equal(db.at[9].is.echo, 12);
	assert_int_equal(db.at[11].is.echo, 0);
	done(&db, d);
}

static void refused(const char *text, const char *part, const char *other)
{
	struct device *d = parse(text);
	struct gatt_database db = { 0 };
	char why[512] = "";

	assert_int_equal(gatt_build(d, &db, why, sizeof why), -EINVAL);
	if (!strstr(why, part) || !strstr(why, other) || strchr(why, '\n'))
		fail_msg("\"%s\" does not name %s and %s", why, part, other);
	assert_null(db.at);
	device_free(d);
}

static void test_refused(void **state)
{
	(void)state;
	refused("{ \"gatt_services\": [ { \"uuid\": \"180F\", \"characteristics\": [" CHARACTERISTIC("2A19", "READ", AT(2)) "] } ] }",
	    "gatt_services[0].characteristics[0].trefoil.handle", "0x0002");
	refused("{ \"gatt_services\": [ { \"uuid\": \"180F\"" AT(32) ", \"characteristics\": [" CHARACTERISTIC("2A19", "READ", AT(33)) "] } ] }",
	    "gatt_services[0]", "0x0020");
	refused("{ \"gatt_services\": [ { \"uuid\": \"180F\"" AT(32) " }, { \"uuid\": \"180A\"" AT(32) " } ] }", "gatt_services[", "0x0020");
	refused("{ \"gatt_services\": [ { \"uuid\": \"180F\"" AT(32) ", \"characteristics\": [" CHARACTERISTIC("2A19", "READ", AT(48)) "] },"
	    "{ \"uuid\": \"180A\"" AT(40) " } ] }", "gatt_services[0].characteristics[0]", "gatt_services[1]");
	refused("{ \"gatt_services\": [ { \"uuid\": \"180F\"" AT(32) ", \"characteristics\": [" CHARACTERISTIC("2A19", "NOTIFY", AT(34)) ","
	    CHARACTERISTIC("2A1A", "READ", AT(36)) "] } ] }", "gatt_services[0].characteristics[", "0x0023");
	refused("{ \"gatt_services\": [ { \"uuid\": \"180F\", \"characteristics\": [" CHARACTERISTIC("2A19", "NOTIFY", AT(65535)) "] } ] }",
	    "gatt_services[0].characteristics[0]", "0x10000");
	refused("{ \"gatt_services\": [ { \"uuid\": \"180F\"" AT(32) ", \"characteristics\": [" CHARACTERISTIC("2A19", "READ", AT(30)) "] } ] }",
	    "gatt_services[0].characteristics[0]", "lies in the GATT service");
}

static void test_too_many_cccds(void **state)
{
	static char text[65536];
	size_t n = (size_t)snprintf(text, sizeof text, "{ \"gatt_services\": [ { \"uuid\": \"FFF0\", \"characteristics\": [");

	(void)state;
	for (unsigned i = 0; i < GATT_CCCDS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s" CHARACTERISTIC("%04X", "NOTIFY", ""), i ? "," : "", 0xA000 + i);
	snprintf(text + n, sizeof text - n, "] } ] }");
	refused(text, "gatt_services[0].characteristics[255]", "256");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_implicit), cmocka_unit_test(test_explicit),
		cmocka_unit_test(test_own_gap_and_echo), cmocka_unit_test(test_refused), cmocka_unit_test(test_too_many_cccds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
