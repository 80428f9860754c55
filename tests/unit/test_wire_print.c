/* Packets as lines: what a trace shows of good, unknown and malformed packets, and the names of numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "wire/att_error.h"
#include "wire/hci_error.h"
#include "wire/print.h"
#include "wire/smp_names.h"

#define PACKET(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof (const uint8_t[]){ __VA_ARGS__ }

static const struct { const uint8_t *at; size_t len; const char *line; } packets[] = {
	{ PACKET(0x01, 0x03, 0x0C, 0x00), "command reset" },
	{ PACKET(0x01, 0x0C, 0x20, 0x02, 0x01, 0x00), "command le_set_scan_enable enable=1 filter_duplicates=0" },
	{ PACKET(0x01, 0x0C, 0x20, 0x02, 0x02, 0x00), "command le_set_scan_enable malformed data=0200" },
	{ PACKET(0x01, 0x00, 0xFC, 0x01, 0x77), "command unknown code=0xfc00 data=77" },
	{ PACKET(0x01, 0x03, 0x0C), "command malformed data=030c" },
	{ PACKET(0x04, 0x0E, 0x04, 0x01, 0x03, 0x0C, 0x00), "event command_complete num_packets=1 opcode=0x0c03 reset status=0" },
	{ PACKET(0x04, 0x0E, 0x0A, 0x01, 0x09, 0x10, 0x00, 6, 5, 4, 3, 2, 1),
	  "event command_complete num_packets=1 opcode=0x1009 read_bd_addr status=0 address=01:02:03:04:05:06" },
	{ PACKET(0x04, 0x0E, 0x04, 0x01, 0x09, 0x10, 0x03),
	  "event command_complete num_packets=1 opcode=0x1009 read_bd_addr status=3" },
	{ PACKET(0x04, 0x0E, 0x03, 0x05, 0x00, 0x00), "event command_complete num_packets=5 opcode=0x0000" },
	{ PACKET(0x04, 0x0F, 0x04, 0x00, 0x01, 0x0D, 0x20),
	  "event command_status status=0 num_packets=1 opcode=8205 le_create_connection" },
	{ PACKET(0x04, 0x3E, 0x04, 0x14, 0x40, 0x00, 0x01), "event le_meta channel_selection_algorithm handle=0x0040 algorithm=1" },
	{ PACKET(0x04, 0x3E, 0x02, 0x7F, 0x01), "event le_meta unknown code=0x007f data=01" },
	{ PACKET(0x04, 0xFF, 0x01, 0x09), "event unknown code=0x00ff data=09" },
	{ PACKET(0x02, 0x40, 0x20, 0x07, 0x00, 0x03, 0x00, 0x04, 0x00, 0x0A, 0x03, 0x00),
	  "acl handle=0x0040 boundary=2 l2cap cid=0x0004 att read_request handle=3" },
	{ PACKET(0x02, 0x40, 0x20, 0x07, 0x00, 0x03, 0x00, 0x04, 0x00, 0x0A, 0x03),
	  "acl malformed data=40200700030004000a03" },
	{ PACKET(0x02, 0x40, 0x20, 0x06, 0x00, 0x07, 0x00, 0x04, 0x00, 0x1B, 0x03),
	  "acl handle=0x0040 boundary=2 l2cap cid=0x0004 length=7 part=1b03" },
	{ PACKET(0x02, 0x40, 0x10, 0x02, 0x00, 0xAB, 0xCD), "acl handle=0x0040 boundary=1 part=abcd" },
	{ PACKET(0x02, 0x40, 0x20, 0x01, 0x00, 0x07), "acl handle=0x0040 boundary=2 l2cap part=07" },
	{ PACKET(0x02, 0x40, 0x20, 0x06, 0x00, 0x02, 0x00, 0x06, 0x00, 0x05, 0x05),
	  "acl handle=0x0040 boundary=2 l2cap cid=0x0006 smp pairing_failed reason=5" },
	{ PACKET(0x02, 0x40, 0x20, 0x0A, 0x00, 0x06, 0x00, 0x05, 0x00, 0x13, 0x02, 0x02, 0x00, 0x01, 0x00),
	  "acl handle=0x0040 boundary=2 l2cap cid=0x0005 connection_parameter_update_response result=1 identifier=2" },
	{ PACKET(0x02, 0x40, 0x20, 0x0A, 0x00, 0x06, 0x00, 0x05, 0x00, 0x13, 0x02, 0x09, 0x00, 0x01, 0x00),
	  "acl handle=0x0040 boundary=2 l2cap cid=0x0005 malformed data=130209000100" },
	{ PACKET(0x02, 0x40, 0x20, 0x04, 0x00, 0x00, 0x00, 0x04, 0x00),
	  "acl handle=0x0040 boundary=2 l2cap cid=0x0004 malformed data=" },
	{ PACKET(0x03, 0x01, 0x20, 0x01, 0x99), "sco handle=0x0001 status=2 data=99" },
	{ PACKET(0x05, 0x60, 0x60, 0x01, 0x00, 0x99), "iso handle=0x0060 boundary=2 timestamp=1 load=99" },
	{ PACKET(0x06, 0x01), "unknown type=0x0006 data=01" },
};

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof packets / sizeof *packets; i++) {
		char line[PRINT_LINE];
		struct text t = text_into(line, sizeof line);

		print_h4((struct bytes){ packets[i].at, packets[i].len }, &t);
		assert_string_equal(line, packets[i].line);
	}
}

/* Cut at every place, into every size of line: nothing is read or written too far, the line always ends in a NUL. */
static void test_any_length_of_packet_and_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof packets / sizeof *packets; i++)
		for (size_t n = 0; n <= packets[i].len; n++) {
			uint8_t *copy = malloc(n ? n : 1);
			size_t cap = 1 + (i + n) % 70;
			char *line = malloc(cap);
			struct text t;

			assert_true(copy && line);
			memcpy(copy, packets[i].at, n);
			t = text_into(line, cap);
			print_h4((struct bytes){ copy, n }, &t);
			assert_true(t.len < cap);
			assert_int_equal(strlen(line), t.len);
			free(line);
			free(copy);
		}
}

static void test_random_packets(void **state)
{
	uint8_t raw[300];
	char line[PRINT_LINE];

	(void)state;
	srand(7);
	for (int i = 0; i < 20000; i++) {
		size_t len = 1 + (size_t)rand() % (sizeof raw - 1);
		struct text t = text_into(line, sizeof line);
		uint8_t *copy = malloc(len);

		assert_non_null(copy);
		for (size_t n = 0; n < len; n++)
			raw[n] = (uint8_t)(i % 2 ? rand() : rand() % 8);
		memcpy(copy, raw, len);
		copy[0] = (uint8_t)(1 + i % 5);			/* the length fields right, so that bodies are reached */
		if (copy[0] == 4 && len > 3)
			copy[2] = (uint8_t)(len - 3);
		if (copy[0] == 1 && len > 4)
			copy[3] = (uint8_t)(len - 4);
		print_h4((struct bytes){ copy, len }, &t);
		assert_int_equal(strlen(line), t.len);
		free(copy);
	}
}

static void test_numbers(void **state)
{
	char line[200];
	struct text t = text_into(line, sizeof line);

	(void)state;
	text_int(&t, "a", INT64_MIN);
	text_int(&t, "b", -1);
	text_uint(&t, "c", UINT64_MAX);
	text_uint(&t, "d", 0);
	text_hex(&t, "e", 0);
	text_hex(&t, "f", 0x123456789ABCDEF0);
	text_string(&t, "g", "h i");
	assert_string_equal(line,
	    " a=-9223372036854775808 b=-1 c=18446744073709551615 d=0 e=0x0000 f=0x123456789abcdef0 g=\"h i\"");
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(hci_error_name(HCI_SUCCESS), "Success");
	assert_string_equal(hci_error_name(HCI_ERROR_CONNECTION_TIMEOUT), "Connection Timeout");
	assert_string_equal(hci_error_name(HCI_ERROR_COMMAND_DISALLOWED), "Command Disallowed");
	assert_string_equal(hci_error_name(0x2B), "reserved");
	assert_string_equal(hci_error_name(0xFF), "reserved");
	assert_string_equal(att_error_name(ATT_ERROR_ATTRIBUTE_NOT_FOUND), "Attribute Not Found");
	assert_string_equal(att_error_name(0x00), "reserved");
	assert_string_equal(att_error_name(0x14), "reserved");
	assert_string_equal(att_error_name(0x80), "application error");
	assert_string_equal(att_error_name(0xA0), "reserved");
	assert_string_equal(att_error_name(ATT_ERROR_PROCEDURE_ALREADY_IN_PROGRESS), "Procedure Already in Progress");
	assert_string_equal(smp_reason_name(SMP_REASON_PAIRING_NOT_SUPPORTED), "Pairing Not Supported");
	assert_string_equal(smp_reason_name(0x10), "reserved");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_any_length_of_packet_and_line),
		cmocka_unit_test(test_random_packets),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
