/* Every described message proves itself from its own row: decode, re-encode, print, refuse every truncation safely.
 * Random bodies on the heap then look for overreads (under ASan) and for fields that do not come back as they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "wire/wire.h"

enum { BODY_MAX = 512, RANDOM_BODIES = 400 };

struct family {
	const char *name;
	const struct wire_message *rows;
	unsigned least;			/* rows that must be there */
	bool strict;			/* not one octet more than the row */
};

static const struct family families[] = {
	{ "hci_command", hci_command_messages, 83, true },
	{ "hci_return", hci_return_messages, 75, false },
	{ "hci_event", hci_event_messages, 12, false },
	{ "hci_le_event", hci_le_event_messages, 10, false },
	{ "l2cap_frame", l2cap_frame_messages, 2, true },
	{ "l2cap", l2cap_messages, 20, true },
	{ "att", att_messages, 31, true },
	{ "smp", smp_messages, 14, true },
	{ "local", local_messages, 11, true },
	{ "config", config_messages, 1, true },
	{ "request", request_messages, 1, true },
};

/* Replays a heap copy of exactly these octets, so that ASan sees any read behind them. */
static bool replay(const struct wire_message *m, struct bytes body, struct wr *w, struct text *t)
{
	uint8_t *copy = malloc(body.len ? body.len : 1);
	bool ok;

	assert_non_null(copy);
	if (body.len)
		memcpy(copy, body.at, body.len);
	ok = m->replay((struct bytes){ copy, body.len }, w, t);
	free(copy);
	return ok;
}

static void prove(const struct family *f, const struct wire_message *m)
{
	uint8_t raw[BODY_MAX], out[BODY_MAX + 16];
	char line[4096], again[4096];
	struct bytes body = wire_example(m, raw, sizeof raw);
	struct wr w = wr_into(out, sizeof out);
	struct text t = text_into(line, sizeof line), u = text_into(again, sizeof again);

	if (!body.at || !replay(m, body, &w, &t))
		fail_msg("%s %s: the example does not decode", f->name, m->name);
	if (wr_len(&w) != body.len || memcmp(out, raw, body.len))
		fail_msg("%s %s: re-encoded, the example is another", f->name, m->name);
	assert_true(m->print(body, &u));
	assert_string_equal(line, again);
	assert_true(m->spec && *m->spec);
	printf("  %s 0x%02x %s%.80s  [%s]\n", f->name, m->code, m->name, line, m->spec);

	for (size_t cut = 0; cut < body.len; cut++) {
		w = wr_into(out, sizeof out);
		t = text_into(line, sizeof line);
		if (replay(m, (struct bytes){ raw, cut }, &w, &t))	/* a shorter REST: then nothing is lost or made up */
			assert_int_equal(wr_len(&w), cut);
	}
	/* Encoding into too little room is noticed, and writes nothing outside it. */
	for (size_t room = 0; room < body.len; room++) {
		uint8_t *small = malloc(room ? room : 1);

		assert_non_null(small);
		w = wr_into(small, room);
		t = text_into(line, 8);
		assert_true(m->replay(body, &w, &t));
		assert_false(wr_ok(&w));
		assert_true(t.len < 8);
		free(small);
	}
}

static void prove_end(const struct family *f, const struct wire_message *m)
{
	uint8_t raw[BODY_MAX], out[BODY_MAX + 16];
	char line[256];
	struct bytes body = wire_example(m, raw, sizeof raw - 1);
	struct wr w = wr_into(out, sizeof out);
	struct text t = text_into(line, sizeof line);
	bool taken;

	raw[body.len++] = 0xA5;
	taken = replay(m, body, &w, &t);
	if (f->strict && taken)
		assert_int_equal(wr_len(&w), body.len);	/* the octet went into a REST */
	if (!f->strict)
		assert_true(taken);
}

static void random_bodies(const struct family *f, const struct wire_message *m)
{
	uint8_t raw[BODY_MAX], out[BODY_MAX + 16];
	char line[256];

	for (int i = 0; i < RANDOM_BODIES; i++) {
		size_t len = (size_t)rand() % (i % 8 ? 40 : 300);
		struct wr w = wr_into(out, sizeof out);
		struct text t = text_into(line, sizeof line);

		for (size_t n = 0; n < len; n++)
			raw[n] = (uint8_t)(i % 2 ? rand() : rand() % 4);
		if (!replay(m, (struct bytes){ raw, len }, &w, &t))
			continue;
		assert_true(wr_ok(&w));
		assert_true(wr_len(&w) <= len);
		assert_memory_equal(out, raw, wr_len(&w));
		if (f->strict)
			assert_int_equal(wr_len(&w), len);
	}
}

static void test_every_row_proves_itself(void **state)
{
	(void)state;
	for (const struct family *f = families; f < families + sizeof families / sizeof *families; f++) {
		unsigned n = 0;

		for (const struct wire_message *m = f->rows; m->name; m++, n++) {
			prove(f, m);
			prove_end(f, m);
		}
		if (n < f->least)
			fail_msg("%s has %u rows, wanted at least %u", f->name, n, f->least);
	}
}

static void test_random_bodies_are_safe_and_come_back(void **state)
{
	(void)state;
	srand(2024);
	for (const struct family *f = families; f < families + sizeof families / sizeof *families; f++)
		for (const struct wire_message *m = f->rows; m->name; m++)
			random_bodies(f, m);
}

static void test_find(void **state)
{
	(void)state;
	assert_string_equal(hci_command_find(0x200C)->name, "le_set_scan_enable");
	assert_string_equal(hci_return_find(0x1009)->name, "read_bd_addr");
	assert_string_equal(hci_le_event_find(HCI_LE_EVENT_CONNECTION_COMPLETE)->name, "connection_complete");
	assert_string_equal(att_find(ATT_SIGNED_WRITE_COMMAND)->name, "signed_write_command");
	assert_null(hci_command_find(0xFFFF));
	assert_null(att_find(0x00));
	/* A command is answered by a row of return parameters, or by Command Status: these and no others. */
	for (const struct wire_message *m = hci_command_messages; m->name; m++) {
		bool by_status = m->code == HCI_COMMAND_DISCONNECT || m->code == HCI_COMMAND_READ_REMOTE_VERSION_INFORMATION ||
		    m->code == HCI_COMMAND_LE_CREATE_CONNECTION || m->code == HCI_COMMAND_LE_CONNECTION_UPDATE ||
		    m->code == HCI_COMMAND_LE_READ_REMOTE_FEATURES || m->code == HCI_COMMAND_LE_ENABLE_ENCRYPTION ||
		    m->code == HCI_COMMAND_LE_SET_PHY;
		const struct wire_message *answer = hci_return_find(m->code);

		if (by_status ? answer != NULL : answer == NULL || strcmp(answer->name, m->name))
			fail_msg("%s: wrong answer row", m->name);
	}
	for (const struct wire_message *m = hci_return_messages; m->name; m++)
		assert_non_null(hci_command_find(m->code));
}

/* Values read out of bytes, one per kind of field: a row alone cannot tell a swapped pair. */
static void test_fields_have_their_values(void **state)
{
	static const uint8_t connected[] = { 0, 0x40, 0, 1, 1, 0x66, 0x55, 0x44, 0x33, 0x22, 0xC1, 0x18, 0, 0x04, 0, 0x48, 0, 7 };
	static const uint8_t rssi[] = { 0x00, 0x41, 0x00, 0xC4 };
	static const uint8_t mask[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	struct hci_le_event_connection_complete e;
	struct hci_return_read_rssi r;
	struct hci_command_set_event_mask m;

	(void)state;
	assert_true(hci_le_event_connection_complete_decode((struct bytes){ connected, sizeof connected }, &e));
	assert_int_equal(e.handle, 0x40);
	assert_int_equal(e.role, 1);
	assert_int_equal(e.peer_type, 1);
	assert_int_equal(e.peer[5], 0xC1);
	assert_int_equal(e.interval, 0x18);
	assert_int_equal(e.latency, 4);
	assert_int_equal(e.timeout, 0x48);
	assert_int_equal(e.accuracy, 7);
	assert_true(hci_return_read_rssi_decode((struct bytes){ rssi, sizeof rssi }, &r));
	assert_int_equal(r.rssi, -60);
	assert_true(hci_command_set_event_mask_decode((struct bytes){ mask, sizeof mask }, &m));
	assert_true(m.mask == 0x0807060504030201);
}

static void test_ranges_are_refused(void **state)
{
	struct hci_command_le_set_scan_enable scan;
	struct hci_command_le_set_data_length length;

	(void)state;
	assert_true(hci_command_le_set_scan_enable_decode((struct bytes){ (const uint8_t[]){ 1, 1 }, 2 }, &scan));
	assert_false(hci_command_le_set_scan_enable_decode((struct bytes){ (const uint8_t[]){ 1, 2 }, 2 }, &scan));
	assert_true(hci_command_le_set_data_length_decode((struct bytes){ (const uint8_t[]){ 0, 0, 0x1B, 0, 0x48, 1 }, 6 }, &length));
	assert_false(hci_command_le_set_data_length_decode((struct bytes){ (const uint8_t[]){ 0, 0, 0x1A, 0, 0x48, 1 }, 6 }, &length));
	assert_false(hci_command_le_set_data_length_decode((struct bytes){ (const uint8_t[]){ 0, 0, 0xFC, 0, 0x48, 1 }, 6 }, &length));
}

static void test_examples_are_read(void **state)
{
	static const char *const bad[] = { "0", "0G", "01 2", "1 ", "ab" };
	uint8_t buf[8];
	struct wire_message m = { .example = "01 02*3 FF" };
	struct bytes b = wire_example(&m, buf, sizeof buf);

	(void)state;
	assert_int_equal(b.len, 5);
	assert_memory_equal(b.at, "\x01\x02\x02\x02\xFF", 5);
	m.example = "00*9";
	assert_null(wire_example(&m, buf, sizeof buf).at);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		m.example = bad[i];
		assert_null(wire_example(&m, buf, sizeof buf).at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_row_proves_itself),
		cmocka_unit_test(test_random_bodies_are_safe_and_come_back),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_fields_have_their_values),
		cmocka_unit_test(test_ranges_are_refused),
		cmocka_unit_test(test_examples_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
