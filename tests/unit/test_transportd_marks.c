/* What a sender can put between octets: transportd's stream goes on behind it. */
#include <poll.h>
#include "tests/unit/transportd_rig.h"

/* A controller passes descriptors along with its octets, anywhere: the kernel gives what is in front of them and what is behind them
 * apart, and rings once for both.  All of it is read at that one ring, and no descriptor stays. */
static void descriptors_between_octets_hold_nothing_up(void **state)
{
	struct rig *g = *state;
	const uint8_t s[] = { 2, 0x40, 0x20, 2, 0, 7, 8, 4, 0x0E, 4, 1, 3, 12, 0 };
	int before = dup(0);

	settle(g);
	expect_state(g, TRANSPORT_UP);
	for (size_t at = 0; at < sizeof s; at++) {
		struct iovec io = { (void *)(uintptr_t)(s + at), 1 };
		union { struct cmsghdr h; uint8_t room[CMSG_SPACE(3 * sizeof(int))]; } c = { .h = { CMSG_LEN(3 * sizeof(int)), SOL_SOCKET,
			SCM_RIGHTS } };
		struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c };

		memset(CMSG_DATA(&c.h), 0, 3 * sizeof(int));		/* standard input, three times */
		if (at)
			say(g, s, at);
		assert_int_equal(sendmsg(g->w.far, &m, MSG_NOSIGNAL), 1);
		if (at + 1 < sizeof s)
			say(g, s + at + 1, sizeof s - at - 1);
		g->k.stream.readable = true;				/* the one ring */
		for (unsigned i = 0; i < 8; i++)
			assert_true(stream_in(&g->k.stream) >= 0);
		expect(g, RECORD_HCI_ACL, BODY(data));
		expect(g, RECORD_HCI_EVENT, BODY(complete));
		assert_false(next(g));
	}
	close(before);
	assert_int_equal(dup(0), before);		/* the lowest that is free is the one that was */
	close(before);
}

/* An octet that is marked urgent, anywhere: a read stops in front of it, and the kernel rings once for what is behind. */
static void an_urgent_octet_holds_nothing_up(void **state)
{
	struct rig *g = *state;
	const uint8_t s[] = { 2, 0x40, 0x20, 2, 0, 7, 8, 4, 0x0E, 4, 1, 3, 12, 0 };
	struct pollfd p = { .fd = g->w.near, .events = POLLIN | POLLPRI };

	settle(g);
	expect_state(g, TRANSPORT_UP);
	say(g, s, 3);
	assert_int_equal(send(g->w.far, s + 3, 1, MSG_OOB | MSG_NOSIGNAL), 1);
	say(g, s + 4, sizeof s - 4);
	for (unsigned i = 0; i < 200 && !(p.revents & POLLPRI); i++)
		poll(&p, 1, 10);
	g->k.stream.urgent = p.revents & POLLPRI;
	g->k.stream.readable = true;				/* the one ring */
	for (unsigned i = 0; i < 8; i++)
		assert_true(stream_in(&g->k.stream) >= 0);
	expect(g, RECORD_HCI_ACL, BODY(data));
	expect(g, RECORD_HCI_EVENT, BODY(complete));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(descriptors_between_octets_hold_nothing_up, rig_unix, rig_end),
		cmocka_unit_test_setup_teardown(an_urgent_octet_holds_nothing_up, rig_unix, rig_end),
		{ "an_urgent_octet_holds_nothing_up (tcp)", an_urgent_octet_holds_nothing_up, rig_tcp, rig_end, NULL },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
