/* Operators' requests: status in pages, what changes something once, and notices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include "tests/lib/host_world.h"

static const struct seen_record *ask(struct world *w, uint8_t id, uint8_t verb, struct bytes body)
{
	uint8_t buf[64] = { id };
	struct wr out = wr_into(buf + 16, sizeof buf - 16);

	wr_le(&out, verb, 1);
	wr_bytes(&out, body);
	w->supervisor_seen = 0;
	world_supervisor(w, (struct record){ .kind = RECORD_REQUEST }, (struct bytes){ buf, 16 + wr_len(&out) });
	assert_int_equal(w->supervisor_seen, 1);
	assert_int_equal(w->up_to_supervisor[0].h.kind, RECORD_REPLY);
	assert_int_equal(w->up_to_supervisor[0].body[0], id);
	return &w->up_to_supervisor[0];
}

static void test_status_in_pages(void **state)
{
	struct world *w = world_up(200);
	struct reply_host_status m;
	struct reply_host_connection c;
	unsigned seen = 0, pages = 0;
	uint16_t from = 0;

	(void)state;
	for (uint16_t n = 0; n < 200; n++)
		world_connect(w, (uint16_t)(0x40 + n));
	do {
		const struct seen_record *r = ask(w, 9, REQUEST_STATUS, BYTES_OF((uint8_t)from, (uint8_t)(from >> 8)));

		assert_int_equal(r->body[16], 0);
		assert_true(r->h.len <= 2048);
		assert_true(reply_host_status_decode((struct bytes){ r->body + 17, r->h.len - 17 }, &m));
		assert_int_equal(m.state, HOST_UP);
		assert_int_equal(m.company, 0x0059);
		assert_int_equal(m.hci_version, 13);
		assert_memory_equal(m.address, w->address, 6);
		assert_int_equal(m.total, 200);
		assert_int_equal(m.connections.len % 17, 0);
		for (size_t at = 0; at < m.connections.len; at += 17, seen++) {
			assert_true(reply_host_connection_decode((struct bytes){ m.connections.at + at, 17 }, &c));
			assert_int_equal(c.index, seen);
			assert_int_equal(c.peer[5], 0xF0);
			assert_int_equal(c.encrypted, 0);
			assert_int_equal(c.role, ROLE_PERIPHERAL);
		}
		from = m.next;
		pages++;
	} while (from);
	assert_int_equal(seen, 200);
	assert_true(pages > 1);
	world_event(w, HCI_EVENT_ENCRYPTION_CHANGE, BYTES_OF(0, 0x40, 0, 1));
	ask(w, 10, REQUEST_STATUS, BYTES_OF(0xFF, 0xFF));
	assert_int_equal(ask(w, 10, REQUEST_STATUS, BYTES_OF(0))->body[16], EINVAL);
	world_free(w);
}

static void test_once(void **state)
{
	struct world *w = world_up(1);

	(void)state;
	assert_int_equal(ask(w, 1, REQUEST_ADVERTISE, BYTES_OF(0))->body[16], 0);
	assert_int_equal(ask(w, 2, REQUEST_ADVERTISE, BYTES_OF(1))->body[16], 0);
	assert_int_equal(w->commands_seen, 2);
	rig_restart(&w->rig);
	assert_int_equal(ask(w, 1, REQUEST_ADVERTISE, BYTES_OF(0))->body[16], 0);	/* the answer, not the deed */
	assert_int_equal(w->commands_seen, 2);
	assert_int_equal(rig_counter(&w->rig, "requests_repeated"), 1);
	assert_int_equal(ask(w, 3, REQUEST_ADVERTISE, BYTES_OF(2))->body[16], EINVAL);
	assert_int_equal(ask(w, 3, REQUEST_ADVERTISE, BYTES_OF(0))->body[16], EINVAL);
	assert_int_equal(ask(w, 4, 0x7F, BYTES_OF(0))->body[16], EOPNOTSUPP);
	for (unsigned i = 0; i < KEPT_SLOTS; i++)
		ask(w, (uint8_t)(100 + i), REQUEST_ADVERTISE, BYTES_OF(1));
	w->commands_seen = 0;
	ask(w, 1, REQUEST_ADVERTISE, BYTES_OF(0));			/* forgotten by now: done anew */
	assert_int_equal(w->commands_seen, 1);
	world_supervisor(w, (struct record){ .kind = RECORD_REQUEST }, BYTES_OF(1, 2, 3));
	world_supervisor(w, (struct record){ .kind = 0x7F }, BYTES_OF(1, 2, 3));
	assert_int_equal(rig_counter(&w->rig, "records_bad"), 2);
	world_free(w);
}

/* A new small link hears again how things stand. */
static void test_notices(void **state)
{
	struct world *w = world_up(1);

	(void)state;
	rig_attach(&w->rig, LINK_SUPERVISOR, 2);
	world_run(w);
	assert_int_equal(world_notices(w, NOTICE_READY), 1);
	world_forget(w);
	for (unsigned i = 0; i < 100; i++)		/* more than the queue takes, with nobody reading */
		rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_TRANSPORT_STATE }, BYTES_OF(2, 1, 0, 0, 0, 0, 0, 0, 0));
	rig_detach(&w->rig, LINK_SUPERVISOR);
	world_run(w);
	assert_true(rig_counter(&w->rig, "notices_lost") > 0);
	world_event(w, HCI_EVENT_HARDWARE_ERROR, BYTES_OF(0));
	world_event(w, HCI_EVENT_HARDWARE_ERROR, BYTES_OF(0));
	rig_attach(&w->rig, LINK_SUPERVISOR, 3);
	world_run(w);
	assert_int_equal(world_notices(w, NOTICE_FAILED), 2);	/* that it failed is never lost, and is said to the new one */
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_in_pages),
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_notices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
