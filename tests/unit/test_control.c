/* Control frames: what is refused before and after unpacking, descriptors where none belong, readers that do not read. */
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/types.h"
#include "proto/control.h"
#include "proto/control_socket.h"

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

struct seen {
	unsigned hellos, attaches, offers, fails, dones, replies;
	int error;
	char text[128];
	int taken;
	uint64_t serial;
	uint8_t body[200 * 1024];
	size_t body_len;
	uint32_t parts;
	bool last;
};
static int on_hello(void *self, struct control_in *in, const Hello *m)
{
	struct seen *s = self;

	s->hellos++;
	s->serial = in->frame->serial;
	snprintf(s->text, sizeof s->text, "%s", m->role);
	return control_check_hello(in->link, in->frame->serial, m);
}
static int on_attach(void *self, struct control_in *in, const Attach *m)
{
	struct seen *s = self;

	(void)m;
	s->attaches++;
	s->taken = control_take_fd(in, 2);
	return 0;
}
static int on_offer(void *self, struct control_in *in, const LinkOffer *m)
{
	(void)in; (void)m;
	((struct seen *)self)->offers++;
	return 0;
}
static int on_failed(void *self, struct control_in *in, const Failed *m)
{
	struct seen *s = self;

	s->fails++;
	s->serial = in->frame->serial;
	s->error = m->error;
	snprintf(s->text, sizeof s->text, "%s", m->why);
	return 0;
}
static int on_done(void *self, struct control_in *in, const Done *m)
{
	(void)in; (void)m;
	((struct seen *)self)->dones++;
	return 0;
}
static int on_reply(void *self, struct control_in *in, const OperatorReply *m)
{
	struct seen *s = self;

	(void)in;
	assert_int_equal(m->part, s->parts++);
	assert_int_equal(m->id.len, CONTROL_ID_LEN);
	memcpy(s->body + s->body_len, m->body.data, m->body.len);
	s->body_len += m->body.len;
	s->last = m->last;
	s->replies++;
	return 0;
}
static const struct control_handlers all = {
	.on_hello = on_hello, .on_attach = on_attach, .on_link_offer = on_offer, .on_failed = on_failed, .on_done = on_done,
	.on_operator_reply = on_reply,
};

struct pair { struct control_link a, b; struct seen seen; };
static void pair_open(struct pair *p)
{
	int fds[2];

	memset(p, 0, sizeof *p);
	assert_int_equal(control_pair(fds), 0);
	assert_int_equal(control_open(&p->a, fds[0]), 0);
	assert_int_equal(control_open(&p->b, fds[1]), 0);
}
static void pair_close(struct pair *p) { control_close(&p->a); control_close(&p->b); }

/* Puts octets and descriptors on the wire, as somebody who does not use control_send would. */
static void raw_send(int fd, const void *at, size_t len, unsigned fd_count)
{
	union { struct cmsghdr align; char at[CMSG_SPACE(32 * sizeof(int))]; } rights = { .at = { 0 } };
	struct iovec io = { (void *)(uintptr_t)at, len };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };

	if (fd_count) {
		struct cmsghdr *c;

		m.msg_control = rights.at;
		m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		for (unsigned i = 0; i < fd_count; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &(int){ 0 }, sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &m, 0), (ssize_t)len);
}

static size_t pack(const Frame *f, uint8_t *raw) { return trefoil__control__v1__frame__pack(f, raw); }

static void test_hello_travels(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	assert_int_equal(control_receive(&p.b, &all, &p.seen), CONTROL_EMPTY);
	assert_int_equal(control_hello(&p.a, "gattd", 7), 0);
	assert_int_equal(control_receive(&p.b, &all, &p.seen), 0);
	assert_int_equal(p.seen.hellos, 1);
	assert_string_equal(p.seen.text, "gattd");
	assert_int_equal(p.seen.serial, 1);
	control_close(&p.a);
	assert_int_equal(control_receive_all(&p.b, &all, &p.seen), CONTROL_CLOSED);
	pair_close(&p);
}

static void test_other_version_is_refused_clearly(void **state)
{
	Hello m = CONTROL_INIT(HELLO);
	Frame f = CONTROL_FRAME(HELLO, hello, &m);
	struct pair p;

	(void)state;
	pair_open(&p);
	m.protocol = 99;
	assert_int_equal(control_send(&p.a, &f, NULL, 0), 0);
	assert_int_equal(control_receive(&p.b, &all, &p.seen), -EPROTO);
	assert_int_equal(control_receive(&p.a, &all, &p.seen), 0);
	assert_int_equal(p.seen.error, -EPROTO);
	assert_non_null(strstr(p.seen.text, "99"));
	pair_close(&p);
}

static void test_empty_slot_answers(void **state)
{
	static const struct control_handlers none;
	struct pair p;

	(void)state;
	pair_open(&p);
	control_hello(&p.a, "operator", 0);
	assert_int_equal(control_receive(&p.b, &none, &p.seen), 0);
	assert_int_equal(control_receive(&p.a, &all, &p.seen), 0);
	assert_int_equal(p.seen.error, -EOPNOTSUPP);
	assert_int_equal(p.seen.serial, 1);
	assert_string_equal(p.seen.text, "Hello is not taken here");
	/* An answer is not answered. */
	assert_int_equal(control_fail(&p.a, 1, -EIO, "x"), 0);
	assert_int_equal(control_receive(&p.b, &none, &p.seen), 0);
	assert_int_equal(control_receive(&p.a, &all, &p.seen), CONTROL_EMPTY);
	pair_close(&p);
}

static void test_garbage_is_refused(void **state)
{
	uint8_t raw[CONTROL_FRAME_MAX];
	Hello hello = CONTROL_INIT(HELLO);
	Frame f = CONTROL_FRAME(HELLO, hello, &hello);
	uint32_t seed = 1;
	struct pair p;
	size_t n;

	(void)state;
	pair_open(&p);
	hello.role = CONTROL_STR("hostd");
	hello.protocol = CONTROL_PROTOCOL;
	f.serial = 3;
	n = pack(&f, raw);
	/* Cut anywhere: no frame, or one without a body; never a crash, never taken for the whole. */
	for (size_t cut = 1; cut < n; cut++) {
		struct control_in in = { 0 };
		uint8_t *exact = malloc(cut);		/* for ASan: not one octet more */

		assert_non_null(exact);
		memcpy(exact, raw, cut);
		assert_true(on_control_frame(&all, &p.seen, &in, (struct bytes){ exact, cut }) < 0);
		free(exact);
	}
	assert_int_equal(p.seen.hellos, 0);
	for (unsigned round = 0; round < 20000; round++) {
		struct control_in in = { 0 };
		size_t len = 1 + round % 97;

		for (size_t i = 0; i < len; i++) {
			seed = seed * 1664525 + 1013904223;
			raw[i] = (uint8_t)(seed >> 24);
		}
		on_control_frame(&(struct control_handlers){ 0 }, NULL, &in, (struct bytes){ raw, len });
	}
	raw_send(p.a.fd, "\xFF\xFF\xFF", 3, 0);
	assert_int_equal(control_receive(&p.b, &all, &p.seen), -EBADMSG);
	raw_send(p.a.fd, "\x08\x01", 2, 0);		/* a serial and no body */
	assert_int_equal(control_receive(&p.b, &all, &p.seen), -EBADMSG);
	raw_send(p.a.fd, "\x08\x05\xFA\x07\x00", 5, 0);	/* body number 127: from a later version */
	assert_int_equal(control_receive(&p.b, &all, &p.seen), 0);
	assert_int_equal(control_receive(&p.a, &all, &p.seen), 0);
	assert_int_equal(p.seen.error, -EOPNOTSUPP);
	assert_int_equal(p.seen.serial, 5);
	assert_int_equal(p.b.refused, 3);
	pair_close(&p);
}

static void test_oversized_is_refused(void **state)
{
	static uint8_t huge[CONTROL_FRAME_MAX + 1];
	OperatorRequest m = CONTROL_INIT(OPERATOR_REQUEST);
	Frame f = CONTROL_FRAME(OPERATOR_REQUEST, operator_request, &m);
	unsigned before;
	struct pair p;

	(void)state;
	pair_open(&p);
	before = open_fds();
	raw_send(p.a.fd, huge, sizeof huge, 3);
	assert_int_equal(control_receive(&p.b, &all, &p.seen), -EMSGSIZE);
	assert_int_equal(open_fds(), before);
	m.body.data = huge;
	m.body.len = CONTROL_FRAME_MAX;
	assert_int_equal(control_send(&p.a, &f, NULL, 0), -EMSGSIZE);
	assert_int_equal(control_hello(&p.a, "x", 0), 0);	/* the link is well */
	assert_int_equal(control_receive(&p.b, &all, &p.seen), 0);
	pair_close(&p);
}

static void test_fds_where_none_belong(void **state)
{
	uint8_t raw[256];
	Hello hello = CONTROL_INIT(HELLO);
	Attach attach = CONTROL_INIT(ATTACH);
	LinkOffer offer = CONTROL_INIT(LINK_OFFER);
	Start start = CONTROL_INIT(START);
	char *names[] = { CONTROL_STR("arena"), CONTROL_STR("stats") };
	Frame with_hello = CONTROL_FRAME(HELLO, hello, &hello), with_attach = CONTROL_FRAME(ATTACH, attach, &attach);
	Frame with_offer = CONTROL_FRAME(LINK_OFFER, link_offer, &offer), with_start = CONTROL_FRAME(START, start, &start);
	const struct { const char *why; const Frame *f; unsigned fds; int expect; } rows[] = {
		{ "a hello carries none", &with_hello, 1, -EPROTO },
		{ "an attach without any", &with_attach, 0, -EPROTO },
		{ "an attach with three", &with_attach, 3, -EPROTO },
		{ "an attach with five", &with_attach, 5, -EPROTO },
		{ "an offer with one", &with_offer, 1, -EPROTO },
		{ "an offer with two", &with_offer, 2, 0 },
		{ "a start with one for two names", &with_start, 1, -EPROTO },
		{ "more than a frame may carry", &with_attach, CONTROL_FDS_MAX + 8, -EPROTO },
	};
	unsigned before;
	struct pair p;

	(void)state;
	pair_open(&p);
	start.fd_names = names;
	start.n_fd_names = 2;
	before = open_fds();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		raw_send(p.a.fd, raw, pack(rows[i].f, raw), rows[i].fds);
		if (control_receive(&p.b, &all, &p.seen) != rows[i].expect)
			fail_msg("%s", rows[i].why);
		if (open_fds() != before)
			fail_msg("%s: a descriptor leaked", rows[i].why);
	}
	raw_send(p.a.fd, "garbage", 7, 4);
	assert_int_equal(control_receive(&p.b, &all, &p.seen), -EBADMSG);
	assert_int_equal(open_fds(), before);
	offer.resume = true;
	raw_send(p.a.fd, raw, pack(&with_offer, raw), 2);
	assert_int_equal(control_receive(&p.b, &all, &p.seen), -EPROTO);
	assert_int_equal(open_fds(), before);
	pair_close(&p);
}

static void test_fds_arrive_once(void **state)
{
	Attach m = CONTROL_INIT(ATTACH);
	Frame f = CONTROL_FRAME(ATTACH, attach, &m);
	int bell = eventfd(0, EFD_CLOEXEC), fds[4] = { 0, 0, bell, 0 };
	unsigned before;
	uint64_t v;
	struct pair p;

	(void)state;
	pair_open(&p);
	before = open_fds();
	assert_int_equal(control_send(&p.a, &f, fds, 3), -EINVAL);
	assert_int_equal(control_send(&p.a, &f, fds, 4), 0);
	assert_int_equal(control_receive(&p.b, &all, &p.seen), 0);
	assert_int_equal(open_fds(), before + 1);		/* the one that was taken */
	assert_true(fcntl(p.seen.taken, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(eventfd_write(p.seen.taken, 5), 0);
	assert_int_equal(read(bell, &v, sizeof v), sizeof v);
	assert_int_equal(v, 5);
	close(p.seen.taken);
	close(bell);
	pair_close(&p);
}

static void test_reader_that_does_not_read_loses_its_link(void **state)
{
	static uint8_t body[16 * 1024];
	OperatorRequest m = CONTROL_INIT(OPERATOR_REQUEST);
	Frame f = CONTROL_FRAME(OPERATOR_REQUEST, operator_request, &m);
	unsigned before = open_fds(), sent = 0;
	struct pair p;
	int r = 0;

	(void)state;
	pair_open(&p);
	m.body.data = body;
	m.body.len = sizeof body;
	while (r == 0 && sent < 10000) {
		r = control_send(&p.a, &f, NULL, 0);
		sent += r == 0;
	}
	assert_int_equal(r, -ENOBUFS);
	assert_true(control_pending(&p.a));
	assert_true(p.a.queued <= CONTROL_QUEUE_OCTETS && p.a.frames <= CONTROL_QUEUE_FRAMES);
	pair_close(&p);
	assert_int_equal(open_fds(), before);
}

static void test_queue_keeps_order_and_fds(void **state)
{
	static uint8_t text[200 * 1024];
	Attach m = CONTROL_INIT(ATTACH);
	Frame f = CONTROL_FRAME(ATTACH, attach, &m);
	const uint8_t id[CONTROL_ID_LEN] = { 1, 2, 3 };
	int fds[4] = { 0, 0, 0, 0 };
	unsigned before;
	static struct pair p;

	(void)state;
	pair_open(&p);
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (uint8_t)(i * 7 >> 3);
	before = open_fds();
	/* Seven parts and an attach behind them: more than the socket takes at once. */
	assert_int_equal(control_reply(&p.a, 9, (struct bytes){ id, sizeof id }, 0, "done", (struct bytes){ text,
	    sizeof text }), 0);
	assert_int_equal(control_send(&p.a, &f, fds, 4), 0);
	while (control_pending(&p.a) || p.seen.attaches == 0) {
		assert_int_equal(control_receive_all(&p.b, &all, &p.seen), 0);
		assert_int_equal(control_flush(&p.a), 0);
	}
	assert_int_equal(p.seen.replies, 7);
	assert_true(p.seen.last);
	assert_int_equal(p.seen.body_len, sizeof text);
	assert_memory_equal(p.seen.body, text, sizeof text);
	close(p.seen.taken);
	assert_int_equal(open_fds(), before);
	pair_close(&p);
}

static int on_hello_again(void *self, struct control_in *in, const Hello *m)
{
	struct pair *p = self;

	(void)in; (void)m;
	p->seen.hellos++;
	return control_hello(&p->a, "hostd", 0);
}

/* Who sends without an end does not keep us from everybody else. */
static void test_a_turn_is_bounded(void **state)
{
	static const struct control_handlers again = { .on_hello = on_hello_again };
	struct pair p;

	(void)state;
	pair_open(&p);
	assert_int_equal(control_hello(&p.a, "hostd", 0), 0);
	assert_int_equal(control_receive_all(&p.b, &again, &p), 0);
	assert_int_equal(p.seen.hellos, CONTROL_TURN);
	pair_close(&p);
}

static void test_wait(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	assert_int_equal(control_wait(&p.b, 20), -ETIMEDOUT);
	control_done(&p.a, 4, "ok");
	assert_int_equal(control_wait(&p.b, 1000), 0);
	assert_int_equal(control_receive(&p.b, &all, &p.seen), 0);
	assert_int_equal(p.seen.dones, 1);
	control_close(&p.a);
	assert_int_equal(control_wait(&p.b, 1000), 0);
	assert_int_equal(control_receive(&p.b, &all, &p.seen), CONTROL_CLOSED);
	assert_int_equal(control_hello(&p.b, "x", 0), -EPIPE);
	pair_close(&p);
}

static void test_only_seqpacket(void **state)
{
	struct control_link c;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(control_open(&c, fds[0]), -EPROTOTYPE);
	close(fds[1]);
	control_close(&c);
	control_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello_travels),
		cmocka_unit_test(test_other_version_is_refused_clearly),
		cmocka_unit_test(test_empty_slot_answers),
		cmocka_unit_test(test_garbage_is_refused),
		cmocka_unit_test(test_oversized_is_refused),
		cmocka_unit_test(test_fds_where_none_belong),
		cmocka_unit_test(test_fds_arrive_once),
		cmocka_unit_test(test_reader_that_does_not_read_loses_its_link),
		cmocka_unit_test(test_queue_keeps_order_and_fds),
		cmocka_unit_test(test_a_turn_is_bounded),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_only_seqpacket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
