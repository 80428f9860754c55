/* tests/unit/test_h4.c - H4 framing: any split of a stream gives the same packets, and a hostile stream ends it, by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/types.h"
#include "transportd/h4.h"

enum { BODY_MAX = 300, PACKETS_MAX = 64 };

/* All kinds a controller sends; empty bodies, the longest one-octet length, a length of two octets, ISO's reserved bits set. */
static size_t stream_make(uint8_t *at)
{
	static const uint8_t head[] = {
		4, 0x0E, 0x04, 1, 3, 12, 0,			/* Command Complete */
		4, 0x13, 0x00,					/* event without parameters */
		2, 0x40, 0x20, 0x07, 0x00, 3, 0, 4, 0, 1, 2, 3,	/* ACL */
		2, 0x40, 0x10, 0x00, 0x00,			/* empty ACL */
		3, 0x41, 0x00, 0x02, 0xAA, 0xBB,		/* SCO */
		5, 0x42, 0x60, 0x03, 0xC0, 9, 8, 7,		/* ISO, reserved bits of the length set */
		4, 0x3E, 0xFF,					/* the longest event; 255 octets follow */
	};
	static const uint8_t tail[] = { 2, 0x40, 0x20, 0x20, 0x01 };	/* ACL of 288 octets */
	size_t n = 0;

	memcpy(at, head, sizeof head);
	n += sizeof head;
	for (unsigned i = 0; i < 255; i++)
		at[n++] = (uint8_t)(i * 7);
	memcpy(at + n, tail, sizeof tail);
	n += sizeof tail;
	for (unsigned i = 0; i < 288; i++)
		at[n++] = (uint8_t)(i * 13 + 1);
	return n;
}

struct packets { unsigned count; uint8_t kind[PACKETS_MAX]; uint32_t len[PACKETS_MAX]; uint64_t hash[PACKETS_MAX]; };

static uint64_t hash(struct bytes b)
{
	uint64_t h = 1469598103934665603ull;

	for (size_t i = 0; i < b.len; i++)
		h = (h ^ b.at[i]) * 1099511628211ull;
	return h;
}

/* Feeds a stream in pieces, as the transport does: what makes no whole packet is shown again with the next piece behind it. */
struct feeder { uint8_t held[2048]; size_t len; struct packets got; int r; };

static void feed(struct feeder *f, const uint8_t *piece, size_t n)
{
	struct h4_packet p;
	size_t pos = 0;

	memcpy(f->held + f->len, piece, n);
	f->len += n;
	while (!(f->r = h4_next((struct bytes){ f->held + pos, f->len - pos }, BODY_MAX, &p))) {
		assert_in_range(f->got.count, 0, PACKETS_MAX - 1);
		assert_int_equal(p.octets, p.body.len + 1);
		f->got.kind[f->got.count] = p.kind;
		f->got.len[f->got.count] = (uint32_t)p.body.len;
		f->got.hash[f->got.count++] = hash(p.body);
		pos += p.octets;
	}
	memmove(f->held, f->held + pos, f->len - pos);
	f->len -= pos;
}

static void assert_same(const struct feeder *f, const struct feeder *whole)
{
	assert_int_equal(f->r, H4_MORE);
	assert_int_equal(f->len, 0);
	assert_memory_equal(&f->got, &whole->got, sizeof f->got);
}

static void any_two_cuts_give_the_same_packets(void **state)
{
	static struct feeder whole, f;
	uint8_t s[1024];
	size_t n = stream_make(s);

	(void)state;
	feed(&whole, s, n);
	assert_int_equal(whole.got.count, 8);
	assert_int_equal(whole.got.len[1], 2);
	assert_int_equal(whole.got.len[5], 7);
	assert_int_equal(whole.got.len[6], 257);
	assert_int_equal(whole.got.len[7], 292);
	for (size_t a = 0; a <= n; a++)
		for (size_t b = a; b <= n; b += b - a < 40 ? 1 : 17) {
			f = (struct feeder){ 0 };
			feed(&f, s, a);
			feed(&f, s + a, b - a);
			feed(&f, s + b, n - b);
			assert_same(&f, &whole);
		}
}

static void any_piece_size_and_random_cuts_give_the_same_packets(void **state)
{
	static struct feeder whole, f;
	uint8_t s[1024];
	size_t n = stream_make(s);
	unsigned seed = 1;

	(void)state;
	feed(&whole, s, n);
	for (size_t size = 1; size <= n; size++) {
		f = (struct feeder){ 0 };
		for (size_t at = 0; at < n; at += size)
			feed(&f, s + at, MIN(size, n - at));
		assert_same(&f, &whole);
	}
	for (int round = 0; round < 2000; round++) {
		f = (struct feeder){ 0 };
		for (size_t at = 0, piece; at < n; at += piece) {
			piece = MIN(1 + (size_t)rand_r(&seed) % (size_t)(1 + rand_r(&seed) % 90), n - at);
			feed(&f, s + at, piece);
		}
		assert_same(&f, &whole);
	}
}

/* Every octet that is no type of a controller's packet is refused at once, wherever it stands. */
static void a_bad_type_octet_is_refused(void **state)
{
	struct h4_packet p;

	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		uint8_t s[] = { (uint8_t)type, 1, 0, 0, 0 };
		bool good = type >= 2 && type <= 5;

		assert_int_equal(h4_next((struct bytes){ s, 1 }, BODY_MAX, &p), good ? H4_MORE : H4_BAD_TYPE);
		assert_int_equal(p.kind, type);
		if (!good)
			assert_int_equal(h4_next((struct bytes){ s, sizeof s }, BODY_MAX, &p), H4_BAD_TYPE);
	}
}

static void a_command_from_a_controller_is_a_bad_type(void **state)
{
	const uint8_t s[] = { 1, 3, 12, 0 };
	struct h4_packet p;

	(void)state;
	assert_int_equal(h4_next((struct bytes){ s, sizeof s }, BODY_MAX, &p), H4_BAD_TYPE);
}

/* Refused by its header: not one octet of the body has to be there, so nothing grows. */
static void a_packet_that_is_too_long_is_refused_by_its_header(void **state)
{
	uint8_t s[] = { 2, 0x40, 0x20, 0, 0 };
	struct h4_packet p;

	(void)state;
	for (unsigned len = 0; len <= 0xFFFF; len++) {
		s[3] = (uint8_t)len;
		s[4] = (uint8_t)(len >> 8);
		assert_int_equal(h4_next((struct bytes){ s, sizeof s }, BODY_MAX, &p),
		    !len ? 0 : len + 4 > BODY_MAX ? H4_TOO_LONG : H4_MORE);
		assert_int_equal(p.octets, 5 + len);
	}
}

/* Guarded by the sanitizers: a piece is in memory of exactly its size. */
static void no_octet_past_the_end_is_looked_at(void **state)
{
	uint8_t s[1024];
	size_t n = stream_make(s);
	unsigned seed = 7;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t len = (size_t)rand_r(&seed) % 12;
		uint8_t *exact = malloc(len ? len : 1);
		struct h4_packet p;

		assert_non_null(exact);
		for (size_t i = 0; i < len; i++)
			exact[i] = (uint8_t)(round % 3 ? rand_r(&seed) : s[(size_t)rand_r(&seed) % n]);
		if (!h4_next((struct bytes){ exact, len }, BODY_MAX, &p))
			assert_in_range(p.octets, 3, len);
		free(exact);
	}
	assert_int_equal(h4_next((struct bytes){ NULL, 0 }, BODY_MAX, &(struct h4_packet){ 0 }), H4_MORE);
}

#define HOST(kind, ...) \
	h4_from_host(kind, (struct bytes){ (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }) })

static void what_hostd_sends_must_say_its_own_length(void **state)
{
	(void)state;
	assert_true(HOST(RECORD_HCI_COMMAND, 3, 12, 0));
	assert_true(HOST(RECORD_HCI_COMMAND, 1, 12, 2, 0, 0));
	assert_false(HOST(RECORD_HCI_COMMAND, 3, 12, 1));
	assert_false(HOST(RECORD_HCI_COMMAND, 3, 12, 0, 0));
	assert_false(HOST(RECORD_HCI_COMMAND, 3, 12));
	assert_true(HOST(RECORD_HCI_ACL, 0x40, 0, 1, 0, 9));
	assert_false(HOST(RECORD_HCI_ACL, 0x40, 0, 2, 0, 9));
	assert_false(HOST(RECORD_HCI_ACL, 0x40, 0, 1));
	assert_true(HOST(RECORD_HCI_SCO, 0x40, 0, 1, 9));
	assert_true(HOST(RECORD_HCI_ISO, 0x40, 0, 1, 0, 9));
	assert_false(HOST(RECORD_HCI_EVENT, 0x0E, 0));		/* only a controller sends events */
	assert_false(HOST(0, 0, 0, 0));
	assert_false(HOST(6, 0, 0, 0));
	assert_false(HOST(RECORD_TRANSPORT_STATE, 1, 0, 0, 0, 0, 0, 0, 0, 0));
	assert_false(h4_from_host(RECORD_HCI_COMMAND, (struct bytes){ NULL, 0 }));
}

static void advertising_reports_are_known_by_their_subevent(void **state)
{
	(void)state;
	assert_true(h4_is_advertising((struct bytes){ (const uint8_t[]){ 0x3E, 2, 0x02, 0 }, 4 }));
	assert_true(h4_is_advertising((struct bytes){ (const uint8_t[]){ 0x3E, 2, 0x0D, 0 }, 4 }));
	assert_true(h4_is_advertising((struct bytes){ (const uint8_t[]){ 0x3E, 2, 0x0B, 0 }, 4 }));
	assert_false(h4_is_advertising((struct bytes){ (const uint8_t[]){ 0x3E, 2, 0x01, 0 }, 4 }));	/* Connection Complete */
	assert_false(h4_is_advertising((struct bytes){ (const uint8_t[]){ 0x05, 2, 0x02, 0 }, 4 }));
	assert_false(h4_is_advertising((struct bytes){ (const uint8_t[]){ 0x3E, 0 }, 2 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_two_cuts_give_the_same_packets),
		cmocka_unit_test(any_piece_size_and_random_cuts_give_the_same_packets),
		cmocka_unit_test(a_bad_type_octet_is_refused),
		cmocka_unit_test(a_command_from_a_controller_is_a_bad_type),
		cmocka_unit_test(a_packet_that_is_too_long_is_refused_by_its_header),
		cmocka_unit_test(no_octet_past_the_end_is_looked_at),
		cmocka_unit_test(what_hostd_sends_must_say_its_own_length),
		cmocka_unit_test(advertising_reports_are_known_by_their_subevent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
