/* tests/hostile/evil_socket.c - descriptors that a worker shares, and its socket to the supervisor, used against the others.
 *
 * Two threats: what an owned worker can do inside its sandbox (it may write, sendmsg, recvmsg), and what one could do that had
 * got out of it (`before`, fcntl): O_NONBLOCK belongs to the open file, so whoever holds a bell can clear it for all. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/types.h"
#include "tests/hostile/owned.h"

enum { PAUSE_US = 300, CONTROL_RETRY = 64 };

/* ---- bells ---- */
static void fill(int bell)
{
	/* The counter holds up to 2^64 - 2, and what does not fit is refused as a whole. */
	for (unsigned bit = 64; bit-- > 0;) {
		uint64_t v = bit == 63 ? 0xFFFFFFFFFFFFFFFEu : 1ull << bit;

		while (write(bell, &v, sizeof v) == sizeof v)
			;
	}
}
static void bells_filled(struct owned *o)
{
	fill(o->w->link[o->link].peer_bell);
	fill(o->w->link[o->link].bell);
	owned_rest_us(PAUSE_US);
}
static void blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		owned_say("owned: cannot clear O_NONBLOCK: %s", strerror(errno));
}
/* Filled first: after that a write to it would block us, too. */
static void fill_and_block(struct owned *o)
{
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (o->w->link[l].generation) {
			fill(o->w->link[l].peer_bell);
			fill(o->w->link[l].bell);
			blocking(o->w->link[l].peer_bell);
			blocking(o->w->link[l].bell);
		}
	blocking(o->w->control.fd);
	for (unsigned i = 0; i < o->w->fds.count; i++)
		blocking(o->w->fds.at[i].fd);
}
static void wait_silently(struct owned *o)
{
	(void)o;
	owned_rest_us(1000);
}

/* ---- control frames ---- */
static void send_raw(struct owned *o, const void *at, size_t len, const int *fds, unsigned count)
{
	union { struct cmsghdr align; char at[CMSG_SPACE(250 * sizeof(int))]; } rights = { .at = { 0 } };
	struct iovec io = { (void *)(uintptr_t)at, len };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (count) {
		m.msg_control = rights.at;
		m.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	sendmsg(o->w->control.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);	/* refused, full, closed: all the same to us */
}
/* Pack a frame as the honest code would. */
static size_t pack(const Frame *f, uint8_t *buf) { return trefoil__control__v1__frame__pack(f, buf); }
static size_t ready_frame(uint8_t *buf)
{
	Ready m = CONTROL_INIT(READY);
	Frame f = CONTROL_FRAME(READY, ready, &m);

	m.sandbox = CONTROL_STR("none at all");
	f.serial = 1;
	return pack(&f, buf);
}
static void frame_random(struct owned *o)
{
	uint8_t raw[512];
	size_t len = 1 + owned_below(o, sizeof raw);

	for (size_t i = 0; i < len; i++)
		raw[i] = (uint8_t)owned_draw(o);
	send_raw(o, raw, len, NULL, 0);
	owned_rest_us(PAUSE_US);
}
static void frame_huge(struct owned *o)
{
	static const uint8_t raw[CONTROL_FRAME_MAX + 4096] = { 0x0A };

	send_raw(o, raw, CONTROL_FRAME_MAX + 1 + owned_below(o, 4095), NULL, 0);
	owned_rest_us(PAUSE_US);
}
static void frame_cut(struct owned *o)
{
	uint8_t raw[256];
	size_t len = ready_frame(raw);

	send_raw(o, raw, 1 + owned_below(o, len - 1), NULL, 0);
	owned_rest_us(PAUSE_US);
}
static void frame_empty(struct owned *o)
{
	send_raw(o, "", 0, NULL, 0);
	owned_rest_us(PAUSE_US);
}
static void frame_with_fds(struct owned *o)
{
	int fds[250];
	uint8_t raw[256];
	size_t len = ready_frame(raw);

	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = o->w->link[LINK_SUPERVISOR].bell;
	send_raw(o, raw, len, fds, 1 + (unsigned)owned_below(o, 250));
	owned_rest_us(PAUSE_US);
}
/* Frames of every kind that are well-formed, but nobody expects of a worker. */
static void frame_of_others(struct owned *o)
{
	uint8_t raw[64] = { 0x08, 1 };			/* serial 1 */
	unsigned number = 2 + (unsigned)owned_below(o, 60);

	raw[2] = (uint8_t)((number << 3 & 0x78) | 2 | (number > 15 ? 0x80 : 0));
	raw[3] = number > 15 ? (uint8_t)(number >> 4) : 0;
	send_raw(o, raw, number > 15 ? 5 : 4, NULL, 0);
	owned_rest_us(PAUSE_US);
}
static void ready_again(struct owned *o)
{
	uint8_t raw[256];

	send_raw(o, raw, ready_frame(raw), NULL, 0);
	owned_rest_us(PAUSE_US);
}
/* What its supervisor does take from it, without end. */
static void control_flood(struct owned *o)
{
	uint8_t raw[128];
	Detach d = CONTROL_INIT(DETACH);
	Frame f = CONTROL_FRAME(DETACH, detach, &d);

	d.why = CONTROL_STR("because");
	f.serial = 1;
	for (unsigned i = 0; i < CONTROL_RETRY; i++) {
		d.link = (uint32_t)owned_below(o, 8);
		d.generation = (uint32_t)owned_draw(o);
		send_raw(o, raw, pack(&f, raw), NULL, 0);
	}
	owned_rest_us(PAUSE_US);
}
/* Each one is answered, and the answers are not read: the supervisor's queue for us is what fills. */
static void answers_unread(struct owned *o)
{
	static const uint8_t unknown[] = { 0x08, 1, 0x82, 0x06, 0 };	/* a message of a later protocol */

	for (unsigned i = 0; i < CONTROL_RETRY; i++)
		send_raw(o, unknown, sizeof unknown, NULL, 0);
	owned_rest_us(PAUSE_US);
}

const struct evil evils_socket[] = {
	{ .name = "bells_filled", .once = bells_filled }, { .name = "small_bells_filled", .once = bells_filled, .small = true },
	{ .name = "bells_blocked", .once = wait_silently, .before = fill_and_block },
	{ .name = "frame_random", .once = frame_random, .small = true }, { .name = "frame_huge", .once = frame_huge, .small = true },
	{ .name = "frame_cut", .once = frame_cut, .small = true }, { .name = "frame_empty", .once = frame_empty, .small = true },
	{ .name = "frame_with_fds", .once = frame_with_fds, .small = true },
	{ .name = "frame_of_others", .once = frame_of_others, .small = true },
	{ .name = "ready_again", .once = ready_again, .small = true },
	{ .name = "control_flood", .once = control_flood, .small = true },
	{ .name = "answers_unread", .once = answers_unread, .small = true },
	{ 0 }
};
