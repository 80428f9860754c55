/* AD structures and UUIDs: the ones that are written come back; cut and malformed ones are refused, without a read too far. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "wire/ad.h"
#include "wire/uuid.h"

static void test_ad_structures(void **state)
{
	const uint8_t octets[18] = { 0x59 };
	uint8_t buf[AD_LEGACY_MAX];
	struct wr w = wr_into(buf, sizeof buf);
	struct bytes all, name;
	struct rd r;
	struct ad ad;

	(void)state;
	assert_true(ad_add(&w, AD_FLAGS, (struct bytes){ (const uint8_t[]){ 6 }, 1 }));
	assert_true(ad_add(&w, AD_COMPLETE_LOCAL_NAME, (struct bytes){ (const uint8_t *)"Trefoil", 7 }));
	assert_memory_equal(buf, "\x02\x01\x06\x08\x09Trefoil", 12);
	assert_false(ad_add(&w, AD_MANUFACTURER_SPECIFIC_DATA, (struct bytes){ octets, 18 }));	/* one octet too many: nothing */
	assert_true(wr_ok(&w));
	assert_int_equal(wr_len(&w), 12);
	all = (struct bytes){ buf, wr_len(&w) };
	assert_true(ad_valid_legacy(all));
	assert_true(ad_find(all, AD_COMPLETE_LOCAL_NAME, &name));
	assert_memory_equal(name.at, "Trefoil", 7);
	assert_false(ad_find(all, AD_APPEARANCE, &name));
	r = rd_from(all);
	assert_true(ad_next(&r, &ad));
	assert_int_equal(ad.type, AD_FLAGS);
	assert_int_equal(ad.data.len, 1);
	assert_true(ad_next(&r, &ad));
	assert_false(ad_next(&r, &ad));
	assert_true(rd_done(&r));
	assert_true(ad_add(&w, AD_MANUFACTURER_SPECIFIC_DATA, (struct bytes){ octets, 17 }));	/* exactly full */
	assert_true(ad_valid_legacy((struct bytes){ buf, sizeof buf }));
}

static void test_ad_cut_anywhere(void **state)
{
	static const uint8_t octets[] = { 2, 1, 6, 3, 3, 0x0F, 0x18, 4, 9, 'a', 'b', 'c' };

	(void)state;
	for (size_t n = 0; n <= sizeof octets; n++) {
		uint8_t *copy = malloc(n ? n : 1);
		struct rd r;
		struct ad ad;
		unsigned found = 0;

		assert_non_null(copy);
		memcpy(copy, octets, n);
		r = rd_from((struct bytes){ copy, n });
		while (ad_next(&r, &ad))
			found++;
		assert_int_equal(found, n < 3 ? 0 : n < 7 ? 1 : n < 12 ? 2 : 3);
		assert_int_equal(rd_done(&r), n == 0 || n == 3 || n == 7 || n == 12);
		assert_int_equal(ad_valid_legacy((struct bytes){ copy, n }), rd_done(&r));
		free(copy);
	}
}

static void test_ad_padding(void **state)
{
	static const uint8_t padded[] = { 2, 1, 6, 0, 0, 0 }, dirty[] = { 2, 1, 6, 0, 2, 1, 6 }, empty[] = { 1, 0x09 };
	uint8_t wide[AD_LEGACY_MAX + 1] = { 0 };
	struct bytes data;
	struct rd r = rd_from((struct bytes){ dirty, sizeof dirty });
	struct ad ad;

	(void)state;
	assert_true(ad_valid_legacy((struct bytes){ padded, sizeof padded }));
	assert_false(ad_valid_legacy((struct bytes){ dirty, sizeof dirty }));
	assert_true(ad_next(&r, &ad));
	assert_false(ad_next(&r, &ad));				/* nothing is read behind the early end */
	assert_true(rd_done(&r));
	assert_true(ad_find((struct bytes){ empty, sizeof empty }, 0x09, &data));
	assert_int_equal(data.len, 0);
	assert_true(ad_valid_legacy((struct bytes){ NULL, 0 }));
	assert_false(ad_valid_legacy((struct bytes){ wide, sizeof wide }));
}

static void test_uuid_text(void **state)
{
	static const struct { const char *text, *back; uint8_t len; } good[] = {
		{ "180A", "180A", 2 }, { "0x180a", "180A", 2 }, { "0000fe59", "0000FE59", 4 }, { "0XDEADBEEF", "DEADBEEF", 4 },
		{ "0000180a-0000-1000-8000-00805f9b34fb", "0000180A-0000-1000-8000-00805F9B34FB", 16 },
		{ "6E400001B5A3F393E0A9E50E24DCCA9E", "6E400001-B5A3-F393-E0A9-E50E24DCCA9E", 16 },
	};
	static const char *const bad[] = {
		"", "0", "18", "180", "180AB", "180G", "180A ", " 180A", "-180A", "18-0A", "0x", "0x18", "0000180a-", "0000180a-0000",
		"0000180a-0000-1000-8000-00805f9b34f", "0000180a-0000-1000-8000-00805f9b34fbb", "0000180a0000-1000-8000-00805f9b34fb",
		"0000180a--0000-1000-800000805f9b34fb", "0000-180a-0000-1000-800000805f9b34fb", "0x0000180a00001000800000805f9b34fb",
		"0000180a-0000-1000-8000-00805f9b34fb-", "0000180a_0000_1000_8000_00805f9b34fb",
	};
	char text[UUID_TEXT];
	struct uuid u;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_true(uuid_from_text(good[i].text, &u));
		assert_int_equal(u.len, good[i].len);
		assert_string_equal(uuid_to_text(&u, text), good[i].back);
	}
	u = uuid_16(0x1234);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (uuid_from_text(bad[i], &u))
			fail_msg("\"%s\" was taken for a UUID", bad[i]);
	assert_true(uuid_is_16(&u, 0x1234));			/* untouched by the refusals */
}

static void test_uuid_widths_are_equal(void **state)
{
	static const uint8_t wire[16] = { 0xFB, 0x34, 0x9B, 0x5F, 0x80, 0, 0, 0x80, 0, 0x10, 0, 0, 0x0A, 0x18, 0, 0 };
	struct uuid a = uuid_16(0x180A), b, c, d, none = { 0 };

	(void)state;
	assert_true(uuid_from_wire((struct bytes){ wire, 16 }, &b));
	assert_true(uuid_from_text("0000180a", &c));
	assert_true(uuid_equal(&a, &b));
	assert_true(uuid_equal(&b, &c));
	assert_true(uuid_equal(&c, &a));
	assert_true(uuid_is_16(&b, 0x180A));
	assert_false(uuid_is_16(&b, 0x180B));
	d = uuid_128(&a);
	assert_memory_equal(d.at, wire, 16);
	assert_int_equal(uuid_shortest(&b).len, 2);
	assert_true(uuid_from_text("12345678", &c));
	d = uuid_att(&c);					/* ATT has no 32-bit form */
	assert_int_equal(d.len, 16);
	assert_int_equal(uuid_shortest(&d).len, 4);
	assert_true(uuid_from_text("6E400001-B5A3-F393-E0A9-E50E24DCCA9E", &c));
	assert_int_equal(uuid_shortest(&c).len, 16);
	assert_int_equal(uuid_att(&c).len, 16);
	assert_false(uuid_equal(&a, &c));
	assert_int_equal(uuid_wire(&a).len, 2);
	assert_memory_equal(uuid_wire(&a).at, "\x0A\x18", 2);
	assert_true(uuid_equal(&none, &none));
	assert_false(uuid_equal(&none, &a));
	assert_false(uuid_equal(&c, &none));
	for (size_t n = 0; n <= 16; n++)
		assert_int_equal(uuid_from_wire((struct bytes){ wire, n }, &d), n == 2 || n == 4 || n == 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ad_structures),
		cmocka_unit_test(test_ad_cut_anywhere),
		cmocka_unit_test(test_ad_padding),
		cmocka_unit_test(test_uuid_text),
		cmocka_unit_test(test_uuid_widths_are_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
