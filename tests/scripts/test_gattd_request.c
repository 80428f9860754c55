/* An operator's requests: GATT_SET, each id once; STATUS.  And SMP, which refuses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/gatt_world.h"

#define SECOND_NS 1000000000ull
enum { HEARD = 0x15, HEARD_CCCD = 0x16 };

static void value_is(struct gatt_world *w, uint16_t handle, struct bytes value)
{
	struct bytes is = gw_value(w, handle);

	assert_int_equal(is.len, value.len);
	assert_memory_equal(is.at, value.at, value.len);
}
static void set_says(struct gatt_world *w, uint16_t handle, uint16_t same_type, uint16_t told)
{
	struct reply_gatt_set m;

	assert_true(reply_gatt_set_decode((struct bytes){ w->reply_body, w->reply_len }, &m));
	assert_int_equal(m.handle, handle);
	assert_int_equal(m.same_type, same_type);
	assert_int_equal(m.told, told);
}

static void test_set(void **state)
{
	static const uint8_t base[16] = { 0xFB, 0x34, 0x9B, 0x5F, 0x80, 0, 0, 0x80, 0, 0x10, 0, 0, 0xF2, 0xFF, 0, 0 };
	struct gatt_world *w = gw_new(2);
	uint8_t long_one[513] = { 0 };

	(void)state;
	gw_connect(w, 0);
	gw_subscribe(w, 0, HEARD_CCCD, 1);
	gw_forget(w);
	assert_int_equal(gw_set(w, 1, HEARD, OCTETS_OF('a')), 0);
	set_says(w, HEARD, 1, 1);
	assert_int_equal(w->pdus, 1);
	assert_memory_equal(gw_hear(w, NULL, NULL).at, "\x1B\x15\x00" "a", 4);
	assert_int_equal(gw_set_uuid(w, 2, OCTETS_OF(0xF2, 0xFF), OCTETS_OF('b')), 0);
	assert_int_equal(gw_set_uuid(w, 3, OCTETS_OF(0xF2, 0xFF, 0, 0), OCTETS_OF('c')), 0);
	assert_int_equal(gw_set_uuid(w, 4, (struct bytes){ base, 16 }, OCTETS_OF('d')), 0);
	set_says(w, HEARD, 1, 1);
	value_is(w, HEARD, OCTETS_OF('d'));
	assert_int_equal(w->pdus, 3);
	assert_int_equal(gw_set_uuid(w, 5, OCTETS_OF(0xBB, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), OCTETS_OF('e')), 0);
	set_says(w, 0x19, 1, 0);
	assert_int_equal(gw_set(w, 6, 0x17, OCTETS_OF('D', 'e', 's')), 0);
	value_is(w, 0x17, OCTETS_OF('D', 'e', 's'));

	assert_int_equal(gw_set(w, 7, 0x13, OCTETS_OF(1)), ENOENT);
	assert_int_equal(gw_set_uuid(w, 8, OCTETS_OF(0x07, 0x2A), OCTETS_OF(1)), ENOENT);
	assert_true(w->reply_len > 10);		/* says why */
	assert_int_equal(gw_set_uuid(w, 9, OCTETS_OF(0x07, 0x2A, 0), OCTETS_OF(1)), EINVAL);
	assert_int_equal(gw_set(w, 10, 0x11, OCTETS_OF(1)), EPERM);
	assert_int_equal(gw_set(w, 11, HEARD_CCCD, OCTETS_OF(1, 0)), EPERM);
	assert_int_equal(gw_set(w, 12, 0x19, OCTETS_OF(1, 2, 3, 4, 5, 6, 7, 8, 9)), EMSGSIZE);
	assert_int_equal(gw_set(w, 13, HEARD, (struct bytes){ long_one, 513 }), EMSGSIZE);
	assert_int_equal(gw_set(w, 14, HEARD, (struct bytes){ long_one, 512 }), 0);
	gw_free(w);
}

/* An id that comes again is answered again, and not done again; 64 are remembered. */
static void test_ids(void **state)
{
	struct gatt_world *w = gw_new(2);
	struct reply_gatt_set m;

	(void)state;
	gw_connect(w, 0);
	gw_subscribe(w, 0, HEARD_CCCD, 1);
	gw_forget(w);
	assert_int_equal(gw_set(w, 1, HEARD, OCTETS_OF('a')), 0);
	assert_int_equal(gw_set(w, 2, HEARD, OCTETS_OF('b')), 0);
	assert_int_equal(gw_set(w, 3, 0x13, OCTETS_OF('b')), ENOENT);
	assert_int_equal(w->pdus, 2);
	rig_restart(&w->rig);
	assert_int_equal(gw_set(w, 1, HEARD, OCTETS_OF('a')), 0);
	assert_true(reply_gatt_set_decode((struct bytes){ w->reply_body, w->reply_len }, &m));
	assert_int_equal(m.told, 1);
	assert_int_equal(gw_set(w, 3, 0x13, OCTETS_OF('b')), ENOENT);
	value_is(w, HEARD, OCTETS_OF('b'));
	assert_int_equal(w->pdus, 2);
	assert_int_equal(gw_counter(w, "requests_repeated"), 2);
	for (uint8_t id = 10; id < 10 + 62; id++)
		assert_int_equal(gw_set(w, id, 0x19, OCTETS_OF(id)), 0);
	assert_int_equal(gw_set(w, 2, HEARD, OCTETS_OF('b')), 0);
	assert_int_equal(w->pdus, 2);			/* 2 is the oldest of the 64 */
	assert_int_equal(gw_set(w, 1, HEARD, OCTETS_OF('a')), 0);
	assert_int_equal(w->pdus, 3);			/* 1 is forgotten */
	gw_free(w);
}

/* A subscriber without room: sets wait, in order, and are answered in order; their ids are not done twice meanwhile. */
static void test_pending(void **state)
{
	struct gatt_world *w = gw_new(2);
	uint8_t value[200] = { 0 };
	uint8_t id = 1;
	unsigned waiting = 0;

	(void)state;
	gw_connect(w, 0);
	gw_mtu(w, 0, 517);
	gw_subscribe(w, 0, HEARD_CCCD, 1);
	w->client[0].hold = true;
	gw_forget(w);
	for (; id < 60; id++) {
		value[0] = id;
		if (gw_set(w, id, HEARD, (struct bytes){ value, sizeof value }) < 0)
			break;
	}
	assert_in_range(id, 15, 25);
	assert_int_equal(gw_set(w, id, HEARD, (struct bytes){ value, sizeof value }), -1);		/* again: it is still waiting */
	for (waiting = 1; waiting < GATT_PENDING; waiting++) {
		value[0] = (uint8_t)(id + waiting);
		assert_int_equal(gw_set(w, value[0], HEARD, (struct bytes){ value, sizeof value }), -1);
	}
	assert_int_equal(gw_set(w, 200, HEARD, OCTETS_OF(1)), EBUSY);
	assert_int_equal(arena_live(&w->rig.arena, POOL_pending), GATT_PENDING);
	rig_crash(&w->rig);
	w->client[0].hold = false;
	gw_forget(w);
	gw_credit(w, 0);
	assert_int_equal(w->replies, GATT_PENDING);
	assert_int_equal(arena_live(&w->rig.arena, POOL_pending), 0);
	for (uint8_t last = 0; w->pdus; ) {
		struct bytes got = gw_hear(w, NULL, NULL);

		if (last)
			assert_int_equal(got.at[3], last + 1);
		last = got.at[3];
	}
	assert_int_equal(gw_counter(w, "notifications"), id - 1 + waiting);
	assert_int_equal(gw_counter(w, "discarded"), 0);
	gw_free(w);
}

/* Nothing waits for hostd: with the link given up there are no subscribers. */
static void test_pending_without_link(void **state)
{
	struct gatt_world *w = gw_new(2);
	uint8_t value[200] = { 0 };
	uint8_t id = 1;

	(void)state;
	gw_connect(w, 0);
	gw_mtu(w, 0, 517);
	gw_subscribe(w, 0, HEARD_CCCD, 1);
	w->client[0].hold = true;
	while (gw_set(w, id, HEARD, (struct bytes){ value, sizeof value }) >= 0)
		id++;
	gw_forget(w);
	rig_detach(&w->rig, LINK_UP);
	rig_put(&w->rig, LINK_SUPERVISOR, (struct record){ .kind = RECORD_NEIGHBOUR_LOST, .index = LINK_UP }, OCTETS_OF(0x15));
	gw_run(w);
	assert_int_equal(w->replies, 1);
	assert_int_equal(w->reply_result, 0);
	assert_int_equal(arena_live(&w->rig.arena, POOL_bearer), 0);
	w->client[0].there = false;
	gw_free(w);
}

static void test_status(void **state)
{
	struct gatt_world *w = gw_new(4);
	struct reply_gatt_status m;
	struct reply_gatt_bearer b;

	(void)state;
	gw_connect(w, 1);
	gw_connect(w, 3);
	gw_mtu(w, 3, 100);
	gw_subscribe(w, 3, HEARD_CCCD, 1);
	gw_subscribe(w, 3, 0x33, 1);
	gw_supervisor(w, RECORD_REQUEST, OCTETS_OF(9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, REQUEST_STATUS, 0, 0));
	gw_run(w);
	assert_int_equal(w->reply_id[0], 9);
	assert_true(reply_gatt_status_decode((struct bytes){ w->reply_body, w->reply_len }, &m));
	assert_int_equal(m.ready, 1);
	assert_int_equal(m.total, 2);
	assert_int_equal(m.next, 0);
	assert_int_equal(m.bearers.len, 2 * 25);
	assert_true(reply_gatt_bearer_decode((struct bytes){ m.bearers.at + 25, 25 }, &b));
	assert_int_equal(b.index, 3);
	assert_int_equal(b.generation, w->client[3].generation);
	assert_int_equal(b.mtu, 100);
	assert_int_equal(b.subscriptions, 2);
	gw_supervisor(w, RECORD_REQUEST, OCTETS_OF(9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77));
	gw_run(w);
	assert_int_equal(w->reply_result, EOPNOTSUPP);
	gw_free(w);
}

static void smp(struct gatt_world *w, struct bytes pdu, uint8_t reason, const char *why)
{
	uint16_t cid = 0;
	struct bytes got;

	gw_forget(w);
	gw_send(w, 0, 6, pdu);
	got = gw_hear(w, NULL, &cid);
	if (reason ? got.len != 2 || got.at[0] != 5 || got.at[1] != reason || cid != 6 : got.at != NULL)
		fail_msg("%s: %zu octets, reason %02x", why, got.len, got.len > 1 ? got.at[1] : 0);
}

/* Core 5.4, Vol 3, Part H, 3.3 and 3.5.5. */
static void test_smp(void **state)
{
	struct gatt_world *w = gw_new(1);
	uint8_t key[65] = { 0x0C };

	(void)state;
	gw_connect(w, 0);
	smp(w, OCTETS_OF(1, 3, 0, 1, 16, 7, 7), 0x05, "pairing is not supported");
	smp(w, OCTETS_OF(1, 3, 0, 1, 16, 7, 7), 0x05, "whenever it is asked for");
	smp(w, OCTETS_OF(1, 3, 0, 1, 16, 7), 0x0A, "short");
	smp(w, OCTETS_OF(1, 3, 0, 1, 16, 7, 7, 0), 0x0A, "long");
	smp(w, OCTETS_OF(1, 9, 0, 1, 16, 7, 7), 0x0A, "an IO capability that is none");
	smp(w, OCTETS_OF(5, 5), 0, "a failure is not answered");
	smp(w, OCTETS_OF(5), 0, "nor a short one");
	smp(w, OCTETS_OF(2, 3, 0, 1, 16, 7, 7), 0, "a response to nothing");
	smp(w, OCTETS_OF(0x0B, 1), 0, "a security request is for the central");
	smp(w, (struct bytes){ key, 65 }, 0, "a public key without pairing");
	smp(w, OCTETS_OF(0x0F), 0x07, "an unknown code");
	smp(w, OCTETS_OF(0), 0x07, "code 0");
	smp(w, OCTETS_OF(0xFF, 1, 2, 3), 0x07, "code 255");
	smp(w, (struct bytes){ NULL, 0 }, 0, "an empty PDU");
	gw_send(w, 0, 0x40, OCTETS_OF(1, 2, 3));
	assert_int_equal(gw_counter(w, "other_channels"), 1);
	gw_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set), cmocka_unit_test(test_ids), cmocka_unit_test(test_pending),
		cmocka_unit_test(test_pending_without_link), cmocka_unit_test(test_status), cmocka_unit_test(test_smp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
