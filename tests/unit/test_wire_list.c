/* Packet headers and the lists inside messages: honest ones come back as written, hostile counts and lengths end at the
 * packet's end.  Every input lies on the heap with nothing behind it, so that ASan sees a read too far. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "wire/att_list.h"
#include "wire/hci_list.h"
#include "wire/hci_packet.h"
#include "wire/l2cap_option.h"

#define OCTETS(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof (const uint8_t[]){ __VA_ARGS__ }

static uint8_t *held;

/* The octets on the heap, exactly; the ones before are given back. */
static struct bytes heap(const uint8_t *at, size_t len)
{
	free(held);
	held = malloc(len ? len : 1);
	assert_non_null(held);
	if (len)
		memcpy(held, at, len);
	return (struct bytes){ held, len };
}

static int drop(void **state)
{
	(void)state;
	free(held);
	held = NULL;
	return 0;
}

static void test_packet_headers_come_back(void **state)
{
	uint8_t buf[32];
	struct wr w = wr_into(buf, sizeof buf);
	struct hci_command_packet c;
	struct hci_event_packet e;
	struct hci_acl_packet a;
	struct hci_sco_packet s;
	struct hci_iso_packet i;

	(void)state;
	hci_command_header(&w, 0x200C, 2);
	wr_bytes(&w, (struct bytes){ OCTETS(1, 0) });
	assert_memory_equal(buf, "\x0C\x20\x02\x01\x00", 5);
	assert_true(hci_command_packet_decode((struct bytes){ buf, wr_len(&w) }, &c));
	assert_int_equal(c.opcode, 0x200C);
	assert_int_equal(c.parameters.len, 2);

	w = wr_into(buf, sizeof buf);
	hci_event_header(&w, 0x10, 1);
	wr_le(&w, 0x42, 1);
	assert_true(hci_event_packet_decode((struct bytes){ buf, wr_len(&w) }, &e));
	assert_int_equal(e.code, 0x10);
	assert_int_equal(e.parameters.at[0], 0x42);

	w = wr_into(buf, sizeof buf);
	hci_acl_header(&w, 0x0EFF, HCI_FIRST_FLUSHABLE, 3);
	assert_memory_equal(buf, "\xFF\x2E\x03\x00", HCI_ACL_HEADER);
	wr_bytes(&w, (struct bytes){ OCTETS(1, 2, 3) });
	assert_true(hci_acl_packet_decode((struct bytes){ buf, wr_len(&w) }, &a));
	assert_int_equal(a.handle, 0x0EFF);
	assert_true(handle_valid(a.handle));
	assert_false(handle_valid(0x0F00));
	assert_int_equal(a.boundary, HCI_FIRST_FLUSHABLE);
	assert_int_equal(a.broadcast, 0);
	assert_int_equal(a.data.len, 3);

	w = wr_into(buf, sizeof buf);
	hci_sco_header(&w, 0x0101, 2, 1);
	wr_le(&w, 9, 1);
	assert_true(hci_sco_packet_decode((struct bytes){ buf, wr_len(&w) }, &s));
	assert_int_equal(s.handle, 0x0101);
	assert_int_equal(s.status, 2);

	w = wr_into(buf, sizeof buf);
	hci_iso_header(&w, 0x0060, 2, true, 4);
	wr_le(&w, 7, 4);
	assert_memory_equal(buf, "\x60\x60\x04\x00", HCI_ISO_HEADER);
	assert_true(hci_iso_packet_decode((struct bytes){ buf, wr_len(&w) }, &i));
	assert_int_equal(i.handle, 0x0060);
	assert_int_equal(i.boundary, 2);
	assert_true(i.timestamp);
	assert_int_equal(i.load.len, 4);
}

static void test_packet_length_must_be_exact(void **state)
{
	static const uint8_t acl[] = { 0x40, 0x20, 2, 0, 0xAA, 0xBB, 0xCC }, event[] = { 0x10, 1, 0x42, 0x00 };
	static const uint8_t command[] = { 0x03, 0x0C, 1, 0x00, 0x00 }, sco[] = { 1, 0, 1, 7, 7 }, iso[] = { 1, 0, 1, 0, 7, 7 };
	struct hci_acl_packet a;
	struct hci_event_packet e;
	struct hci_command_packet c;
	struct hci_sco_packet s;
	struct hci_iso_packet i;

	(void)state;
	for (size_t n = 0; n <= sizeof acl; n++)
		assert_int_equal(hci_acl_packet_decode(heap(acl, n), &a), n == 6);
	for (size_t n = 0; n <= sizeof event; n++)
		assert_int_equal(hci_event_packet_decode(heap(event, n), &e), n == 3);
	for (size_t n = 0; n <= sizeof command; n++)
		assert_int_equal(hci_command_packet_decode(heap(command, n), &c), n == 4);
	for (size_t n = 0; n <= sizeof sco; n++)
		assert_int_equal(hci_sco_packet_decode(heap(sco, n), &s), n == 4);
	for (size_t n = 0; n <= sizeof iso; n++)
		assert_int_equal(hci_iso_packet_decode(heap(iso, n), &i), n == 5);
}

static void test_completed_packets(void **state)
{
	struct hci_completed_list list;
	struct hci_completed c;
	uint8_t buf[16];
	struct wr w = wr_into(buf, sizeof buf);

	(void)state;
	hci_completed_add(&w, (struct hci_completed){ 0x40, 2 });
	hci_completed_add(&w, (struct hci_completed){ 0x41, 1 });
	assert_true(hci_completed_open(2, heap(buf, wr_len(&w)), &list));
	assert_true(hci_completed_next(&list, &c));
	assert_int_equal(c.handle, 0x40);
	assert_int_equal(c.count, 2);
	assert_true(hci_completed_next(&list, &c));
	assert_int_equal(c.handle, 0x41);
	assert_false(hci_completed_next(&list, &c));
	/* A count above or below its body: the event is refused, and whoever goes on all the same reads nothing behind it. */
	for (unsigned count = 0; count <= 255; count++) {
		unsigned n = 0;

		assert_int_equal(hci_completed_open((uint8_t)count, heap(buf, wr_len(&w)), &list), count == 2);
		while (hci_completed_next(&list, &c))
			n++;
		assert_int_equal(n, count < 2 ? count : 2);
	}
	assert_true(hci_completed_open(1, heap(OCTETS(0x40, 0xF0, 3, 0)), &list));	/* reserved bits are not the handle's */
	assert_true(hci_completed_next(&list, &c));
	assert_int_equal(c.handle, 0x040);
	assert_int_equal(c.count, 3);
	assert_false(hci_completed_open(2, heap(buf, 7), &list));
	assert_true(hci_completed_open(0, heap(buf, 0), &list));
}

static unsigned count_reports(uint8_t count, struct bytes reports, bool *ret_bad)
{
	struct hci_report_list list = hci_report_open(&(struct hci_le_event_advertising_report){ count, reports });
	struct hci_report report;
	unsigned n = 0;

	while (hci_report_next(&list, &report)) {
		assert_true(report.data.len <= 31);
		n++;
	}
	assert_false(hci_report_next(&list, &report));
	*ret_bad = !rd_ok(&list.r);
	return n;
}

static void test_advertising_reports(void **state)
{
	const struct hci_report one = { HCI_REPORT_ADV_IND, 1, { 1, 2, 3, 4, 5, 0xC6 }, { OCTETS(2, 1, 6) }, -70 };
	struct hci_report_list list;
	struct hci_report got;
	uint8_t buf[64], long_data[32] = { 0 };
	struct wr w = wr_into(buf, sizeof buf);
	size_t first;
	bool bad;

	(void)state;
	hci_report_add(&w, &one);
	first = wr_len(&w);
	hci_report_add(&w, &one);
	list = hci_report_open(&(struct hci_le_event_advertising_report){ 2, heap(buf, wr_len(&w)) });
	assert_true(hci_report_next(&list, &got));
	assert_int_equal(got.rssi, -70);
	assert_memory_equal(got.address, one.address, 6);
	assert_int_equal(got.data.len, 3);

	assert_int_equal(count_reports(2, heap(buf, wr_len(&w)), &bad), 2);
	assert_false(bad);
	assert_int_equal(count_reports(255, heap(buf, wr_len(&w)), &bad), 2);	/* the count lies */
	assert_true(bad);
	for (size_t n = first; n < 2 * first; n++) {				/* the packet ends inside the second */
		assert_int_equal(count_reports(2, heap(buf, n), &bad), 1);
		assert_true(bad);
	}
	buf[8] = 0xFF;								/* the data length lies: CVE-2020-24490 */
	assert_int_equal(count_reports(2, heap(buf, wr_len(&w)), &bad), 0);
	assert_true(bad);
	w = wr_into(buf, sizeof buf);
	hci_report_add(&w, &(struct hci_report){ .data = { long_data, sizeof long_data } });
	assert_false(wr_ok(&w));
	buf[8] = 32;								/* there, but longer than legacy data can be */
	memset(buf + 9, 0, sizeof buf - 9);
	assert_int_equal(count_reports(1, heap(buf, sizeof buf), &bad), 0);
}

static void test_att_lists_are_read(void **state)
{
	struct att_information info;
	struct att_range range;
	struct att_value value;
	struct att_group group;
	struct rd r;

	(void)state;
	r = rd_from(heap(OCTETS(4, 0, 2, 0x29, 5, 0, 1, 0x29)));
	assert_true(att_information_next(&r, ATT_FORMAT_16, &info));
	assert_true(att_information_next(&r, ATT_FORMAT_16, &info));
	assert_int_equal(info.handle, 5);
	assert_int_equal(info.type.len, 2);
	assert_false(att_information_next(&r, ATT_FORMAT_16, &info));
	assert_true(rd_done(&r));
	r = rd_from(heap(OCTETS(4, 0, 2, 0x29)));
	assert_false(att_information_next(&r, ATT_FORMAT_128, &info));
	assert_false(rd_done(&r));
	r = rd_from(heap(OCTETS(4, 0, 2, 0x29)));
	assert_false(att_information_next(&r, 3, &info));

	r = rd_from(heap(OCTETS(1, 0, 5, 0, 9)));
	assert_true(att_range_next(&r, &range));
	assert_int_equal(range.last, 5);
	assert_false(att_range_next(&r, &range));
	assert_false(rd_done(&r));

	r = rd_from(heap(OCTETS(2, 0, 7, 3, 0, 8)));
	assert_true(att_value_next(&r, 3, &value));
	assert_true(att_value_next(&r, 3, &value));
	assert_int_equal(value.value.at[0], 8);
	assert_false(att_value_next(&r, 3, &value));
	assert_true(rd_done(&r));
	for (uint8_t length = 0; length < 2; length++) {		/* would never end */
		r = rd_from(heap(OCTETS(2, 0, 7)));
		assert_false(att_value_next(&r, length, &value));
		assert_false(rd_done(&r));
	}
	r = rd_from(heap(OCTETS(1, 0, 5, 0, 0, 0x18)));
	assert_true(att_group_next(&r, 6, &group));
	assert_int_equal(group.value.len, 2);
	assert_false(att_group_next(&r, 6, &group));
	assert_true(rd_done(&r));
	r = rd_from(heap(OCTETS(1, 0, 5)));
	assert_false(att_group_next(&r, 3, &group));
	assert_false(rd_done(&r));
}

static void test_att_multiple_lists_are_read(void **state)
{
	struct att_value value;
	struct bytes part;
	uint16_t handle;
	bool cut;
	struct rd r;

	(void)state;
	r = rd_from(heap(OCTETS(3, 0, 5)));
	assert_true(att_handle_next(&r, &handle));
	assert_false(att_handle_next(&r, &handle));
	assert_false(rd_done(&r));

	r = rd_from(heap(OCTETS(2, 0, 'h', 'i', 9, 0, 'x')));
	assert_true(att_variable_next(&r, &part, &cut));
	assert_false(cut);
	assert_true(att_variable_next(&r, &part, &cut));
	assert_true(cut);
	assert_int_equal(part.len, 1);
	assert_false(att_variable_next(&r, &part, &cut));
	r = rd_from(heap(OCTETS(0)));
	assert_false(att_variable_next(&r, &part, &cut));

	r = rd_from(heap(OCTETS(3, 0, 1, 0, 'x', 5, 0, 0xFF, 0xFF, 'y')));
	assert_true(att_multiple_next(&r, &value));
	assert_false(att_multiple_next(&r, &value));
	assert_false(rd_done(&r));
}

static void test_att_lists_are_written(void **state)
{
	const uint8_t octets[600] = { 0x5A };
	uint8_t *buf = malloc(600);
	struct att_list l = att_list_into(buf, 21);

	(void)state;
	assert_non_null(buf);
	assert_true(att_list_empty(&l));
	assert_true(att_list_add_group(&l, 1, 5, (struct bytes){ octets, 2 }));
	assert_true(att_list_add_group(&l, 6, 9, (struct bytes){ octets, 2 }));
	assert_false(att_list_add_group(&l, 10, 12, (struct bytes){ octets, 16 }));	/* another length */
	assert_true(att_list_add_group(&l, 10, 12, (struct bytes){ octets, 2 }));
	assert_false(att_list_add_group(&l, 13, 14, (struct bytes){ octets, 2 }));	/* no room */
	assert_int_equal(l.each, 6);
	assert_int_equal(att_list_bytes(&l).len, 18);

	l = att_list_into(buf, 21);			/* MTU 23: the first value is cut to MTU - 4 */
	assert_true(att_list_add_value(&l, 3, (struct bytes){ octets, 30 }));
	assert_int_equal(l.each, 21);
	assert_false(att_list_add_value(&l, 4, (struct bytes){ octets, 19 }));
	l = att_list_into(buf, 515);			/* MTU 517: cut to 253, and then alone */
	assert_true(att_list_add_value(&l, 3, (struct bytes){ octets, 300 }));
	assert_int_equal(l.each, 255);
	assert_false(att_list_add_value(&l, 4, (struct bytes){ octets, 253 }));
	assert_int_equal(att_list_bytes(&l).len, 255);
	l = att_list_into(buf, 515);
	assert_true(att_list_add_value(&l, 3, (struct bytes){ octets, 253 }));
	assert_true(att_list_add_value(&l, 4, (struct bytes){ octets, 253 }));
	l = att_list_into(buf, 515);
	assert_true(att_list_add_value(&l, 3, (struct bytes){ NULL, 0 }));	/* an empty value counts */
	assert_int_equal(l.each, 2);
	assert_true(wr_ok(&l.w));

	l = att_list_into(buf, 21);
	assert_true(att_list_add_information(&l, 1, (struct bytes){ octets, 2 }));
	assert_false(att_list_add_information(&l, 2, (struct bytes){ octets, 16 }));
	assert_false(att_list_add_information(&l, 2, (struct bytes){ octets, 4 }));
	l = att_list_into(buf, 22);
	for (uint16_t n = 0; n < 5; n++)
		assert_true(att_list_add_range(&l, n, n));
	assert_false(att_list_add_range(&l, 9, 9));

	l = att_list_into(buf, 22);			/* MTU 23: the value is cut, its length field says the whole */
	assert_true(att_list_add_variable(&l, (struct bytes){ octets, 10 }));
	assert_true(att_list_add_variable(&l, (struct bytes){ octets, 10 }));
	assert_int_equal(att_list_bytes(&l).len, 22);
	assert_int_equal(buf[12], 10);
	assert_false(att_list_add_variable(&l, (struct bytes){ octets, 0 }));
	l = att_list_into(buf, 22);
	assert_true(att_list_add_multiple(&l, 7, (struct bytes){ octets, 14 }));
	assert_true(att_list_add_multiple(&l, 8, (struct bytes){ octets, 0 }));
	assert_false(att_list_add_multiple(&l, 9, (struct bytes){ octets, 0 }));
	assert_int_equal(att_list_bytes(&l).len, 22);
	free(buf);
}

static void test_l2cap_options(void **state)
{
	uint8_t buf[16];
	struct wr w = wr_into(buf, sizeof buf);
	struct l2cap_option o = { 0 };
	struct rd r;

	(void)state;
	l2cap_option_add(&w, L2CAP_OPTION_MTU, (struct bytes){ OCTETS(0xA0, 2) });
	l2cap_option_add(&w, 0x80 | 0x30, (struct bytes){ NULL, 0 });
	r = rd_from(heap(buf, wr_len(&w)));
	assert_true(l2cap_option_next(&r, &o));
	assert_int_equal(o.type, L2CAP_OPTION_MTU);
	assert_false(o.hint);
	assert_int_equal(o.data.len, 2);
	assert_true(l2cap_option_next(&r, &o));
	assert_int_equal(o.type, 0x30);
	assert_true(o.hint);
	assert_false(l2cap_option_next(&r, &o));
	assert_true(rd_done(&r));
	for (size_t n = 1; n < 4; n++) {
		r = rd_from(heap(buf, n));
		assert_false(l2cap_option_next(&r, &o));
		assert_false(rd_done(&r));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packet_headers_come_back),
		cmocka_unit_test_teardown(test_packet_length_must_be_exact, drop),
		cmocka_unit_test_teardown(test_completed_packets, drop),
		cmocka_unit_test_teardown(test_advertising_reports, drop),
		cmocka_unit_test_teardown(test_att_lists_are_read, drop),
		cmocka_unit_test_teardown(test_att_multiple_lists_are_read, drop),
		cmocka_unit_test(test_att_lists_are_written),
		cmocka_unit_test_teardown(test_l2cap_options, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
