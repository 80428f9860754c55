/* tests/unit/test_transportd.c - transportd's line: framing into the ring, backpressure, hostile controllers, hostile records,
 * ends.  Exactness over kills is tests/process/test_transportd_kill.c. */
#include "tests/unit/transportd_rig.h"

static void packets_of_all_kinds_become_records_in_order(void **state)
{
	struct rig *g = *state;

	SAY(g, 4, 0x0E, 4, 1, 3, 12, 0, 2, 0x40, 0x20, 2, 0, 7, 8, 3, 0x41, 0, 1, 9, 5, 0x42, 0, 1, 0, 3);
	settle(g);
	expect_state(g, TRANSPORT_UP);
	expect(g, RECORD_HCI_EVENT, BODY(complete));
	expect(g, RECORD_HCI_ACL, BODY(data));
	expect(g, RECORD_HCI_SCO, (struct bytes){ (const uint8_t[]){ 0x41, 0, 1, 9 }, 4 });
	expect(g, RECORD_HCI_ISO, (struct bytes){ (const uint8_t[]){ 0x42, 0, 1, 0, 3 }, 5 });
	assert_false(next(g));
	assert_int_equal(line_worker_count(&g->k, LINE_in_acl_packets), 1);
	assert_int_equal(line_worker_count(&g->k, LINE_in_acl_octets), sizeof data);
}

/* Also over a restart after each octet: what is there of a packet lives in the arena. */
static void octet_by_octet_with_a_restart_after_each(void **state)
{
	struct rig *g = *state;
	const uint8_t s[] = { 2, 0x40, 0x20, 2, 0, 7, 8, 4, 0x0E, 4, 1, 3, 12, 0 };

	settle(g);
	expect_state(g, TRANSPORT_UP);
	for (int restarts = 0; restarts < 2; restarts++) {
		for (size_t i = 0; i < sizeof s; i++) {
			say(g, s + i, 1);
			settle(g);
			if (!restarts)
				continue;
			line_worker_end(&g->k);
			assert_int_equal(line_worker_start(&g->k, &g->w), 0);
		}
		expect(g, RECORD_HCI_ACL, BODY(data));
		expect(g, RECORD_HCI_EVENT, BODY(complete));
		assert_false(next(g));
	}
}

static void records_become_packets_in_order(void **state)
{
	struct rig *g = *state;
	const uint8_t reset[] = { 3, 12, 0 }, want[] = { 1, 3, 12, 0, 2, 0x40, 0x20, 2, 0, 7, 8 };

	assert_true(line_host_push(&g->w, RECORD_HCI_COMMAND, BODY(reset)));
	assert_true(line_host_push(&g->w, RECORD_HCI_ACL, BODY(data)));
	settle(g);
	assert_int_equal(recv(g->w.far, g->buf, sizeof g->buf, 0), sizeof want);
	assert_memory_equal(g->buf, want, sizeof want);
	assert_int_equal(line_of(&g->k.step)->out_pending, 0);
	assert_int_equal(line_worker_count(&g->k, LINE_out_command_packets), 1);
}

/* A record that lies about itself is dropped and counted; its neighbours pass. */
static void records_that_are_no_packets_are_dropped(void **state)
{
	struct rig *g = *state;
	const uint8_t reset[] = { 3, 12, 0 }, lies[] = { 3, 12, 9 }, event[] = { 0x0E, 0 };

	line_host_push(&g->w, RECORD_HCI_COMMAND, BODY(lies));
	line_host_push(&g->w, RECORD_HCI_COMMAND, BODY(reset));
	line_host_push(&g->w, RECORD_HCI_EVENT, BODY(event));
	line_host_push(&g->w, RECORD_CONNECTED, BODY(reset));
	line_host_push(&g->w, RECORD_HCI_ACL, (struct bytes){ reset, 0 });
	settle(g);
	assert_int_equal(recv(g->w.far, g->buf, sizeof g->buf, 0), 4);
	assert_int_equal(line_worker_count(&g->k, LINE_bad_records), 4);
	line_host_push(&g->w, RECORD_HCI_COMMAND, BODY(lies));		/* alone in its batch: taken all the same */
	settle(g);
	assert_int_equal(line_worker_count(&g->k, LINE_bad_records), 5);
}

static void a_bad_type_octet_ends_the_line_and_says_where(void **state)
{
	struct rig *g = *state;

	SAY(g, 4, 0x0E, 4, 1, 3, 12, 0, 0x77, 1, 2, 3);
	settle(g);
	expect_state(g, TRANSPORT_UP);
	expect(g, RECORD_HCI_EVENT, BODY(complete));		/* what came before is whole */
	expect_end(g, "type octet 0x77 at octet 7 ");
	assert_int_equal(recv(g->w.far, g->buf, sizeof g->buf, 0), 0);	/* the controller hears it too */
}

static void a_command_from_the_controller_ends_the_line(void **state)
{
	struct rig *g = *state;

	settle(g);
	expect_state(g, TRANSPORT_UP);
	SAY(g, 1, 3, 12, 0);
	expect_end(g, "type octet 0x01 at octet 0 ");
}

/* The header alone ends it: not an octet of the body has to come, and nothing waits for it. */
static void a_packet_longer_than_the_ring_carries_ends_the_line(void **state)
{
	struct rig *g = *state;
	unsigned len = LONGEST - 4 + 1;

	settle(g);
	expect_state(g, TRANSPORT_UP);
	SAY(g, 4, 0x0E, 4, 1, 3, 12, 0, 2, 0x40);
	settle(g);
	expect(g, RECORD_HCI_EVENT, BODY(complete));
	SAY(g, 0x20, (uint8_t)len, (uint8_t)(len >> 8));
	expect_end(g, "at octet 7");
	line_worker_end(&g->k);
	assert_int_equal(line_worker_start(&g->k, &g->w), 0);	/* and stays ended */
	settle(g);
	assert_false(next(g));
}

static void the_longest_packet_passes(void **state)
{
	struct rig *g = *state;
	static uint8_t s[LONGEST + 1] = { 2, 0x40, 0x20, (LONGEST - 4) & 255, (LONGEST - 4) >> 8 };

	settle(g);
	expect_state(g, TRANSPORT_UP);
	say(g, s, sizeof s);
	settle(g);
	expect(g, RECORD_HCI_ACL, (struct bytes){ s + 1, LONGEST });
}

static void a_closed_socket_ends_the_line(void **state)
{
	struct rig *g = *state;

	SAY(g, 4, 0x0E, 4, 1, 3, 12, 0);
	close(g->w.far);
	g->w.far = -1;
	settle(g);
	expect_state(g, TRANSPORT_UP);
	expect(g, RECORD_HCI_EVENT, BODY(complete));
	expect_end(g, "controller gone: it closed its socket");
}

static void a_socket_closed_within_a_packet_is_told_so(void **state)
{
	struct rig *g = *state;

	settle(g);
	expect_state(g, TRANSPORT_UP);
	SAY(g, 4, 0x0E, 4, 1);
	settle(g);
	close(g->w.far);
	g->w.far = -1;
	expect_end(g, "in the middle of a packet");
}

/* hostd's ring must not stand because of it. */
static void what_hostd_sends_to_an_ended_line_is_discarded_and_counted(void **state)
{
	struct rig *g = *state;
	const uint8_t reset[] = { 3, 12, 0 };

	close(g->w.far);
	g->w.far = -1;
	settle(g);
	for (int i = 0; i < 2000; i++) {
		assert_true(line_host_push(&g->w, RECORD_HCI_COMMAND, BODY(reset)));
		if (i % 100 == 0)
			settle(g);
	}
	settle(g);
	assert_int_equal(line_worker_count(&g->k, LINE_discarded_line_down), 2000);
}

/* A new hostd (another generation of the link) is told how the line is; so is one that comes after its end. */
static void two_restarts_tell_nothing_twice(void **state)
{
	struct rig *g = *state;

	settle(g);
	expect_state(g, TRANSPORT_UP);
	for (int i = 0; i < 2; i++) {
		line_worker_end(&g->k);
		assert_int_equal(line_worker_start(&g->k, &g->w), 0);
		settle(g);
	}
	assert_false(next(g));
}

/* Fill the ring with ACL until the socket is left alone; nothing is lost, and an eighth stays free for events. */
static void a_full_ring_stops_reading_and_loses_nothing(void **state)
{
	struct rig *g = *state;
	static uint8_t s[400][105];
	unsigned sent = 0, seen = 0;

	for (; sent < ARRAY_LEN(s); sent++) {
		memcpy(s[sent], (const uint8_t[]){ 2, 0x40, 0x20, 100, 0 }, 5);
		s[sent][5] = (uint8_t)sent;
		s[sent][6] = (uint8_t)(sent >> 8);
	}
	say(g, s, sizeof s);
	settle(g);
	assert_true(g->k.stream.ring_full);
	assert_in_range(RING - (g->k.step.link[LINK_DOWN].out.at - g->w.host_in.at), RING / 8, RING / 2);
	expect_state(g, TRANSPORT_UP);
	while (seen < sent) {
		for (int i = 0; i < 7 && next(g); i++, seen++) {
			assert_int_equal(g->h.kind, RECORD_HCI_ACL);
			assert_int_equal(g->buf[4] | g->buf[5] << 8, seen);
		}
		settle(g);
	}
	assert_false(next(g));
	assert_int_equal(recv(g->w.near, s, sizeof s, MSG_DONTWAIT), -1);
	assert_int_equal(line_worker_count(&g->k, LINE_advertising_dropped), 0);
}

/* Its ring was full when hostd was given up: the worker goes on without it. */
static void a_full_ring_that_is_detached_is_looked_at_no_more(void **state)
{
	struct rig *g = *state;
	static uint8_t s[400][105];

	for (unsigned i = 0; i < ARRAY_LEN(s); i++)
		memcpy(s[i], (const uint8_t[]){ 2, 0x40, 0x20, 100, 0 }, 5);
	say(g, s, sizeof s);
	settle(g);
	assert_true(g->k.stream.ring_full);
	step_detach(&g->k.step, LINK_DOWN);
	settle(g);
	assert_int_equal(line_of(&g->k.step)->state, LINE_UP);
}

static void advertising_reports_alone_are_dropped_when_the_ring_is_nearly_full(void **state)
{
	struct rig *g = *state;
	static uint8_t reports[1000][43];
	uint8_t gone[7] = { 4, 0x05, 4, 0, 0x40, 0, 0x13 };
	unsigned seen = 0, disconnected = 0;

	for (int i = 0; i < 1000; i++)
		memcpy(reports[i], (const uint8_t[]){ 4, 0x3E, 40, 0x02, 1 }, 5);
	say(g, reports, sizeof reports);
	for (int i = 0; i < 10; i++)
		say(g, gone, sizeof gone);
	settle(g);
	assert_false(g->k.stream.ring_full);			/* the reports did not stop the line, and the eighth held */
	expect_state(g, TRANSPORT_UP);
	while (next(g)) {
		assert_int_equal(g->h.kind, RECORD_HCI_EVENT);
		if (g->buf[0] == 0x05)
			disconnected++;
		else
			seen++;
	}
	assert_int_equal(disconnected, 10);
	assert_true(seen > 100);
	assert_int_equal(seen + line_worker_count(&g->k, LINE_advertising_dropped), 1000);
}

/* A controller that takes nothing: hostd's ring fills, nothing is dropped, and all arrives once it reads again. */
static void a_controller_that_does_not_read_holds_hostd_back(void **state)
{
	struct rig *g = *state;
	uint8_t acl[1004] = { 0x40, 0x20, 0xE8, 0x03 };
	size_t pushed = 0, got = 0, at = 0;
	ssize_t n;

	for (int idle = 0; idle < 3 && pushed < 100000; ) {
		acl[4] = (uint8_t)pushed;
		if (line_host_push(&g->w, RECORD_HCI_ACL, BODY(acl))) {
			pushed++;
			idle = 0;
		} else {
			settle(g);
			idle++;
		}
	}
	assert_in_range(pushed, 50, 20000);
	assert_true(g->k.stream.out_left > 0);
	while (got < pushed) {
		n = recv(g->w.far, g->buf, 1, 0);
		if (n > 0) {
			assert_int_equal(g->buf[0], 2);
			for (at = 0; at < sizeof acl; at += (size_t)MAX(n, 0)) {
				n = recv(g->w.far, g->buf + at, sizeof acl - at, 0);
				if (n < 0)
					settle(g);
			}
			assert_int_equal(g->buf[4], (uint8_t)got);
			got++;
		} else {
			settle(g);
		}
	}
	assert_int_equal(g->k.stream.out_left, 0);
}

/* The kernel has counted more than one read takes (somebody else used the socket): said, counted, ended; never guessed. */
static void a_window_that_cannot_be_told_ends_the_line(void **state)
{
	struct rig *g = *state;
	struct local_transport_state m;
	int offset = INT32_MAX - LINE_READ - 1;

	settle(g);
	expect_state(g, TRANSPORT_UP);
	setsockopt(g->w.near, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset);
	line_worker_end(&g->k);
	assert_int_equal(line_worker_start(&g->k, &g->w), 0);
	settle(g);
	assert_true(next(g));
	assert_int_equal(g->h.kind, RECORD_TRANSPORT_STATE);
	assert_true(local_transport_state_decode((struct bytes){ g->buf, g->h.len }, &m));
	assert_int_equal(m.state, TRANSPORT_UNKNOWN);
	assert_int_equal(m.in_unknown, LINE_READ);
	assert_int_equal(m.out_unknown, 0);
	expect_end(g, "framing is lost");
	assert_int_equal(line_worker_count(&g->k, LINE_windows_unknown), 1);
}

static int peek_offset(const struct rig *g)
{
	int offset;
	socklen_t len = sizeof offset;

	assert_int_equal(getsockopt(g->w.near, SOL_SOCKET, SO_PEEK_OFF, &offset, &len), 0);
	return offset;
}
static void expect_goes_on(struct rig *g)
{
	SAY(g, 4, 0x0E, 4, 1, 3, 12, 0);
	settle(g);
	expect(g, RECORD_HCI_EVENT, BODY(complete));
	assert_false(next(g));
	assert_int_equal(line_of(&g->k.step)->in_octets - line_of(&g->k.step)->in_base, INT32_MAX - peek_offset(g));
}

/* The kernel's count has an end: it is begun anew long before, also where a kill came between that and its commit. */
static void counting_begins_anew_in_time(void **state)
{
	struct rig *g = *state;
	int far = INT32_MAX / 2 - 3, high = INT32_MAX;

	expect_state((settle(g), g), TRANSPORT_UP);
	setsockopt(g->w.near, SOL_SOCKET, SO_PEEK_OFF, &(int){ INT32_MAX - far }, sizeof far);	/* as if so many had been read */
	line_change(&g->k.step)->in_base = 0 - (uint64_t)far;
	step_commit(&g->k.step);
	expect_goes_on(g);
	assert_int_equal(line_of(&g->k.step)->in_base, line_of(&g->k.step)->in_octets);
	expect_goes_on(g);
	setsockopt(g->w.near, SOL_SOCKET, SO_PEEK_OFF, &high, sizeof high);			/* and here it was killed */
	line_worker_end(&g->k);
	assert_int_equal(line_worker_start(&g->k, &g->w), 0);
	expect_goes_on(g);
	assert_int_equal(line_worker_count(&g->k, LINE_windows_unknown), 0);
}

/* Packets that never end where a read does: what is held of one moves to the front, over restarts as well. */
static void packets_are_cut_anywhere_by_reads(void **state)
{
	struct rig *g = *state;
	uint8_t s[305] = { 2, 0x40, 0x20, 44, 1 }, piece[1000];
	uint32_t at = 0, made = 0, seen = 0;

	settle(g);
	expect_state(g, TRANSPORT_UP);
	while (seen < 600) {
		for (uint32_t i = 0; i < sizeof piece; i++) {
			s[5] = (uint8_t)made;
			piece[i] = s[at];
			at = (at + 1) % sizeof s;
			made += !at;
		}
		say(g, piece, sizeof piece);
		settle(g);
		for (; next(g); seen++) {
			assert_int_equal(g->h.len, sizeof s - 1);
			s[5] = (uint8_t)seen;
			assert_memory_equal(g->buf, s + 1, sizeof s - 1);
		}
		assert_int_equal(seen, made);
		assert_in_range(line_of(&g->k.step)->held.tail, 0, sizeof piece + sizeof s);
		if (seen % 5)
			continue;
		line_worker_end(&g->k);
		assert_int_equal(line_worker_start(&g->k, &g->w), 0);
	}
}

/* Both directions, in the order in which they passed, each packet once, over a restart as well; the file
 * ends with a whole record. */
static void a_capture_has_both_directions_and_goes_on_after_a_restart(void **state)
{
	struct rig *g = *state;
	const uint8_t reset[] = { 3, 12, 0 };
	char path[] = "/tmp/trefoil-capture-XXXXXX";
	int fd = mkstemp(path);
	size_t n, at = SNOOP_HEADER;

	close(fd);
	assert_int_equal(snoop_open_file(path, &fd), 0);
	for (int life = 0; life < 2; life++) {
		assert_int_equal(snoop_start(&g->k.stream.snoop, fd, line_of(&g->k.step)->snoop_at, 4096), 0);
		line_host_push(&g->w, RECORD_HCI_COMMAND, BODY(reset));
		settle(g);
		SAY(g, 4, 0x0E, 4, 1, 3, 12, 0, 2, 0x40, 0x20, 2, 0, 7, 8);
		settle(g);
		assert_int_equal(line_of(&g->k.step)->snoop_at, g->k.stream.snoop.at);
		line_worker_end(&g->k);
		assert_int_equal(line_worker_start(&g->k, &g->w), 0);
	}
	n = (size_t)pread(fd, g->buf, sizeof g->buf, 0);
	for (int i = 0; i < 6; i++) {
		assert_true(n - at >= SNOOP_RECORD_HEADER);
		assert_int_equal(g->buf[at + 11], ((const uint8_t[]){ 2, 3, 1 })[i % 3]);	/* flags */
		assert_int_equal(g->buf[at + 24], ((const uint8_t[]){ 1, 4, 2 })[i % 3]);	/* type octet */
		at += SNOOP_RECORD_HEADER + g->buf[at + 7];
	}
	assert_int_equal(at, n);
	close(fd);
	if (!getenv("TREFOIL_KEEP"))
		unlink(path);
}

static void a_request_is_answered_as_not_supported(void **state)
{
	struct rig *g = *state;
	uint8_t *at = ring_reserve(&g->w.sup_out, 17);
	struct local_reply m;

	memset(at, 0x5A, 17);
	ring_push(&g->w.sup_out, (struct record){ .len = 17, .kind = RECORD_REQUEST });
	ring_publish(&g->w.sup_out);
	settle(g);
	assert_int_equal(ring_take(&g->w.sup_in, &g->h, g->buf, sizeof g->buf), 0);
	assert_int_equal(g->h.kind, RECORD_REPLY);
	assert_true(local_reply_decode((struct bytes){ g->buf, g->h.len }, &m));
	assert_int_equal(m.id[0], 0x5A);
	assert_int_equal(m.result, EOPNOTSUPP);
}

int main(void)
{
#define UNIX(f) cmocka_unit_test_setup_teardown(f, rig_unix, rig_end)
#define BOTH(f) UNIX(f), { #f " (tcp)", f, rig_tcp, rig_end, NULL }
	const struct CMUnitTest tests[] = {
		BOTH(packets_of_all_kinds_become_records_in_order),
		BOTH(octet_by_octet_with_a_restart_after_each),
		BOTH(records_become_packets_in_order),
		UNIX(records_that_are_no_packets_are_dropped),
		BOTH(a_bad_type_octet_ends_the_line_and_says_where),
		BOTH(a_command_from_the_controller_ends_the_line),
		BOTH(the_longest_packet_passes), UNIX(a_packet_longer_than_the_ring_carries_ends_the_line),
		BOTH(a_closed_socket_ends_the_line), BOTH(a_socket_closed_within_a_packet_is_told_so),
		UNIX(what_hostd_sends_to_an_ended_line_is_discarded_and_counted),
		UNIX(two_restarts_tell_nothing_twice), BOTH(a_full_ring_stops_reading_and_loses_nothing),
		BOTH(a_full_ring_that_is_detached_is_looked_at_no_more),
		UNIX(advertising_reports_alone_are_dropped_when_the_ring_is_nearly_full),
		BOTH(a_controller_that_does_not_read_holds_hostd_back),
		UNIX(a_window_that_cannot_be_told_ends_the_line),
		UNIX(counting_begins_anew_in_time), UNIX(packets_are_cut_anywhere_by_reads),
		UNIX(a_capture_has_both_directions_and_goes_on_after_a_restart), UNIX(a_request_is_answered_as_not_supported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
