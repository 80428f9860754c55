/* Sockets on one side, the air's core on the other.  airsim/host_port.h says what holds. */
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "airsim/host_port.h"
#include "base/record.h"
#include "base/types.h"

enum {
	RING_ENTRIES = 1024, PIECES = 128,
	EARLY = 4 * RING_ENTRIES, TRIES = 64,
	READ_SIZE = 64 << 10,
	BUFFER = READ_SIZE + 5 + 0xFFFF,	/* a cut packet of the largest kind, and a whole read behind it */
	SEND_BUFFER = 64 << 10,			/* what the kernel holds for a host that does not read */
};

/* user_data of a request: what, of which slot, and of which of the slot's lives. */
enum what { ON_SIGNAL = 1, ON_LISTENER, ON_READABLE, ON_WRITABLE, ON_CANCELLED };

struct host {
	int fd;				/* -1: no host in this slot */
	uint32_t life;
	bool readable, held, blocked;	/* held: its next command waits for room; blocked: its socket is full */
	bool hung;			/* it sends no more: behind what it sent there is the end */
	bool working;			/* in the work list */
	uint32_t start, end;		/* of what is in `bytes` and not yet taken */
	uint8_t bytes[BUFFER];
};

struct done { uint64_t user_data; int32_t res; uint32_t flags; };	/* a completion */

struct listener { int fd; bool paused; char name[128]; };

struct host_port {
	struct io_uring ring;
	struct air *air;
	size_t air_octets, host_octets;
	struct air_config config;
	struct host *hosts;		/* by controller id */
	uint16_t work[AIR_CONTROLLERS_MAX], work_count;
	struct listener listeners[AIR_PORT_LISTENERS];
	unsigned listener_count;
	int signal_fd;
	bool ending;
	int failed;			/* -errno: requests could not be made, the loop is to end */
	struct io_uring_sqe nowhere;	/* what they are written into then */
	struct done early[EARLY];	/* completions taken so that the kernel takes requests again, not looked at yet */
	unsigned early_first, early_end;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t name_of(enum what what, unsigned slot, uint32_t life)
{
	return (uint64_t)what << 56 | (uint64_t)slot << 32 | life;
}

/* The next completion out of the kernel's ring; false: it is empty. */
static bool ring_next(struct host_port *p, struct done *ret)
{
	struct io_uring_cqe *cqe;

	if (!io_uring_cq_ready(&p->ring) || io_uring_peek_cqe(&p->ring, &cqe))
		return false;
	*ret = (struct done){ cqe->user_data, cqe->res, cqe->flags };
	io_uring_cqe_seen(&p->ring, cqe);
	return true;
}

static bool completion_next(struct host_port *p, struct done *ret)
{
	if (p->early_first == p->early_end)
		return ring_next(p, ret);
	*ret = p->early[p->early_first++];
	if (p->early_first == p->early_end)
		p->early_first = p->early_end = 0;
	return true;
}

/* Never NULL.  The kernel may refuse what is handed over (-EBUSY) until completions that overflowed have found their place: room is
 * made for them.  Who asks may be in the middle of a completion, so they are only put aside. */
static struct io_uring_sqe *request(struct host_port *p, enum what what, unsigned slot, uint32_t life)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&p->ring);
	int r = 0;

	for (unsigned n = 0; !sqe && n < TRIES; n++) {		/* full: hand over what is there */
		r = io_uring_submit(&p->ring);
		while (r < 0 && p->early_end < EARLY && ring_next(p, &p->early[p->early_end]))
			p->early_end++;
		sqe = io_uring_get_sqe(&p->ring);
	}
	if (!sqe) {
		p->failed = r < 0 ? r : -EBUSY;
		sqe = &p->nowhere;
	}
	io_uring_prep_nop(sqe);
	sqe->user_data = name_of(what, slot, life);
	return sqe;
}

/* The prep functions of liburing clear user_data. */
static void poll_for(struct host_port *p, enum what what, unsigned slot, uint32_t life, int fd)
{
	struct io_uring_sqe *sqe = request(p, what, slot, life);
	uint64_t user_data = sqe->user_data;

	if (what == ON_WRITABLE)
		io_uring_prep_poll_add(sqe, fd, POLLOUT);
	else
		io_uring_prep_poll_multishot(sqe, fd, POLLIN | POLLRDHUP);
	sqe->user_data = user_data;
}

static void accept_on(struct host_port *p, unsigned slot)
{
	struct io_uring_sqe *sqe = request(p, ON_LISTENER, slot, 0);
	uint64_t user_data = sqe->user_data;

	io_uring_prep_multishot_accept(sqe, p->listeners[slot].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	sqe->user_data = user_data;
	p->listeners[slot].paused = false;
}

static void work_on(struct host_port *p, unsigned id)
{
	if (p->hosts[id].working)
		return;
	p->hosts[id].working = true;
	p->work[p->work_count++] = (uint16_t)id;
}

/* ---- hosts come and go ---- */

/* A poll that is just being woken cannot be cancelled (-EALREADY): its event comes yet, and it is tried again there. */
static void cancel(struct host_port *p, uint64_t name)
{
	struct io_uring_sqe *sqe = request(p, ON_CANCELLED, 0, 0);
	uint64_t user_data = sqe->user_data;

	io_uring_prep_poll_remove(sqe, name);
	sqe->user_data = user_data;
}

static void host_end(struct host_port *p, unsigned id)
{
	struct host *h = &p->hosts[id];

	if (h->fd < 0)
		return;
	cancel(p, name_of(ON_READABLE, id, h->life));
	if (h->blocked)
		cancel(p, name_of(ON_WRITABLE, id, h->life));
	shutdown(h->fd, SHUT_RDWR);	/* at once: the poll holds the socket until it is cancelled */
	close(h->fd);
	h->fd = -1;
	h->life++;
	h->readable = h->held = h->blocked = h->hung = false;
	h->start = h->end = 0;
	air_detach(p->air, (int)id);
	for (unsigned l = 0; l < p->listener_count; l++)
		if (p->listeners[l].paused)
			accept_on(p, l);
}

static void host_start(struct host_port *p, int fd)
{
	int id = air_attach(p->air), one = 1, size = SEND_BUFFER;

	if (id < 0) {
		fprintf(stderr, "airsim: host refused: all %u controllers are taken (--controllers)\n", p->config.controllers);
		close(fd);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);	/* fails on a unix socket, which needs it not */
	p->hosts[id].fd = fd;
	p->hosts[id].readable = true;
	work_on(p, (unsigned)id);
	poll_for(p, ON_READABLE, (unsigned)id, p->hosts[id].life, fd);
}

/* ---- from a host ---- */

/* Octets of the packet that begins at `at`, its type octet included; 0 if that is not known yet, -EPROTO if it is none that a
 * host may send.  Core 5.4, Vol 4, Part A, 2. */
static int packet_octets(const uint8_t *at, size_t len)
{
	size_t header = at[0] == RECORD_HCI_ACL || at[0] == RECORD_HCI_ISO ? 5 : 4;

	switch (at[0]) {
	case RECORD_HCI_COMMAND:
	case RECORD_HCI_SCO:
		return len < header ? 0 : (int)header + at[3];
	case RECORD_HCI_ACL:
		return len < header ? 0 : (int)header + (at[3] | at[4] << 8);
	case RECORD_HCI_ISO:
		return len < header ? 0 : (int)header + (at[3] | (at[4] & 0x3F) << 8);
	default:
		return -EPROTO;
	}
}

static void host_write(struct host_port *p, unsigned id);

/* Feeds what is whole.  Returns false if the stream is no H4: the host has ended. */
static bool host_feed(struct host_port *p, unsigned id)
{
	struct host *h = &p->hosts[id];

	h->held = false;
	while (h->start < h->end) {
		const uint8_t *at = h->bytes + h->start;
		int octets = packet_octets(at, h->end - h->start);

		if (octets < 0) {
			fprintf(stderr, "airsim: host ended controller=%u: H4 packet type 0x%02X is none of command 0x01, ACL 0x02, "
			    "SCO 0x03, ISO 0x05\n", id, at[0]);
			host_write(p, id);	/* the answers to what came before */
			host_end(p, id);
			return false;
		}
		if (!octets || (size_t)octets > h->end - h->start)
			break;
		if (at[0] == RECORD_HCI_COMMAND && !air_host_ready(p->air, (int)id)) {
			h->held = true;
			break;
		}
		air_host_packet(p->air, (int)id, at[0], (struct bytes){ at + 1, (size_t)octets - 1 });
		h->start += (uint32_t)octets;
	}
	if (h->start == h->end)
		h->start = h->end = 0;
	return true;
}

static void host_read(struct host_port *p, unsigned id)
{
	struct host *h = &p->hosts[id];
	ssize_t n;

	if (h->fd < 0 || !host_feed(p, id) || h->held || !h->readable)
		return;
	if (h->end > BUFFER - READ_SIZE) {	/* what is left is one cut packet: smaller than the room before it */
		memmove(h->bytes, h->bytes + h->start, h->end - h->start);
		h->end -= h->start;
		h->start = 0;
	}
	n = read(h->fd, h->bytes + h->end, READ_SIZE);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		host_end(p, id);
		return;
	}
	if (n < 0 || (n < READ_SIZE && !h->hung))
		h->readable = false;		/* more to come is a new event of the multishot poll; the end may have been in this one */
	if (n > 0) {
		h->end += (uint32_t)n;
		if (!host_feed(p, id))
			return;
	}
	if (h->readable && !h->held)
		work_on(p, id);
}

/* ---- to a host ---- */

static void host_write(struct host_port *p, unsigned id)
{
	struct host *h = &p->hosts[id];
	struct bytes pieces[PIECES];
	struct iovec iov[PIECES];
	struct msghdr m = { .msg_iov = iov };
	unsigned n;

	while (h->fd >= 0 && !h->blocked && (n = air_output(p->air, (int)id, pieces, PIECES))) {
		ssize_t sent;

		for (unsigned i = 0; i < n; i++)
			iov[i] = (struct iovec){ (void *)(uintptr_t)pieces[i].at, pieces[i].len };
		m.msg_iovlen = n;
		sent = sendmsg(h->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent > 0) {
			air_output_taken(p->air, (int)id, (size_t)sent);
		} else if (errno == EAGAIN) {
			h->blocked = true;
			poll_for(p, ON_WRITABLE, id, h->life, h->fd);
		} else if (errno != EINTR) {
			host_end(p, id);
			return;
		}
	}
	if (h->held && air_host_ready(p->air, (int)id))
		work_on(p, id);
}

/* ---- the loop ---- */

static void on_accepted(struct host_port *p, unsigned slot, const struct done *done)
{
	struct listener *l = &p->listeners[slot];

	if (done->res >= 0)
		host_start(p, done->res);
	if (done->flags & IORING_CQE_F_MORE)
		return;
	if (done->res >= 0 || done->res == -ECONNABORTED || done->res == -EINTR) {
		accept_on(p, slot);
		return;
	}
	fprintf(stderr, "airsim: accept paused at=%s why=\"%s\": until a host leaves\n", l->name, strerror(-done->res));
	l->paused = true;
}

static void on_completion(struct host_port *p, const struct done *done)
{
	enum what what = (enum what)(done->user_data >> 56);
	unsigned slot = (unsigned)(done->user_data >> 32 & 0xFFFFFF);
	uint32_t life = (uint32_t)done->user_data;
	struct host *h = &p->hosts[slot < p->config.controllers ? slot : 0];

	switch (what) {
	case ON_SIGNAL:
		p->ending = true;
		break;
	case ON_LISTENER:
		on_accepted(p, slot, done);
		break;
	case ON_READABLE:
		if (h->fd < 0 || h->life != life) {
			if (done->flags & IORING_CQE_F_MORE)
				cancel(p, done->user_data);
			break;
		}
		h->readable = true;
		h->hung |= done->res < 0 || done->res & (POLLRDHUP | POLLHUP | POLLERR);
		work_on(p, slot);
		if (!(done->flags & IORING_CQE_F_MORE))
			poll_for(p, ON_READABLE, slot, life, h->fd);
		break;
	case ON_WRITABLE:
		if (h->fd < 0 || h->life != life)
			break;
		h->blocked = false;
		host_write(p, slot);
		break;
	case ON_CANCELLED:
		break;
	}
}

static int wait_for_something(struct host_port *p)
{
	uint64_t deadline = air_deadline(p->air), now;
	struct __kernel_timespec t = { 0 };
	struct io_uring_cqe *cqe;
	bool at_once = p->work_count || p->early_end;
	int r;

	if (p->failed)
		return p->failed;
	if (!at_once && deadline != AIR_NEVER) {
		now = now_ns();
		deadline = deadline > now ? deadline - now : 0;
		t.tv_sec = (long long)(deadline / 1000000000u);
		t.tv_nsec = (long long)(deadline % 1000000000u);
	}
	if (at_once)
		r = io_uring_submit_and_get_events(&p->ring);
	else if (deadline == AIR_NEVER)
		r = io_uring_submit_and_wait(&p->ring, 1);
	else
		r = io_uring_submit_and_wait_timeout(&p->ring, &cqe, 1, &t, NULL);
	return r == -ETIME || r == -EINTR || r == -EAGAIN || r == -EBUSY ? 0 : r;
}

static void turn(struct host_port *p)
{
	uint16_t work[AIR_CONTROLLERS_MAX], count = p->work_count;
	int id;

	memcpy(work, p->work, count * sizeof *work);
	p->work_count = 0;
	for (unsigned i = 0; i < count; i++) {
		p->hosts[work[i]].working = false;
		host_read(p, work[i]);
	}
	air_advance(p->air, now_ns());		/* what the packets made due at once */
	while ((id = air_output_next(p->air)) >= 0)
		host_write(p, (unsigned)id);
}

int air_port_run(struct host_port *p)
{
	poll_for(p, ON_SIGNAL, 0, 0, p->signal_fd);
	while (!p->ending) {
		struct done done;
		int r = wait_for_something(p);

		if (r < 0)
			return r;
		air_advance(p->air, now_ns());
		while (completion_next(p, &done))
			on_completion(p, &done);
		turn(p);
	}
	return 0;
}

/* ---- setting up ---- */

static void *map(size_t octets)
{
	void *at = mmap(NULL, octets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static int ring_open(struct io_uring *ring)
{
	int r = io_uring_queue_init(RING_ENTRIES, ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);

	return r == -EINVAL ? io_uring_queue_init(RING_ENTRIES, ring, 0) : r;	/* before Linux 6.1 */
}

int air_port_open(const struct air_config *config, struct air_faults faults, int signal_fd, struct host_port **ret)
{
	struct host_port *p;
	void *memory = NULL;
	int r;

	if (!air_size(config))
		return -EINVAL;
	p = calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	p->ring.ring_fd = -1;
	p->config = *config;
	p->signal_fd = signal_fd;
	p->air_octets = air_size(config);
	p->host_octets = sizeof(struct host) * config->controllers;
	r = -ENOMEM;
	memory = map(p->air_octets);
	p->hosts = map(p->host_octets);
	if (!memory || !p->hosts)
		goto fail;
	p->air = air_init(memory, config, faults);
	for (unsigned i = 0; i < config->controllers; i++)
		p->hosts[i].fd = -1;
	r = ring_open(&p->ring);
	if (r)
		goto fail;
	*ret = p;
	return 0;
fail:
	p->ring.ring_fd = -1;
	if (memory && !p->air)
		munmap(memory, p->air_octets);
	air_port_close(p);
	return r;
}

int air_port_listen(struct host_port *p, int fd, const char *name)
{
	struct listener *l = &p->listeners[p->listener_count];

	if (p->listener_count == AIR_PORT_LISTENERS)
		return -ENOSPC;
	l->fd = fd;
	snprintf(l->name, sizeof l->name, "%s", name);
	accept_on(p, p->listener_count++);
	return 0;
}

void air_port_close(struct host_port *p)
{
	if (!p)
		return;
	for (unsigned i = 0; p->hosts && i < p->config.controllers; i++)
		if (p->hosts[i].fd >= 0)
			close(p->hosts[i].fd);
	for (unsigned i = 0; i < p->listener_count; i++)
		close(p->listeners[i].fd);
	if (p->ring.ring_fd >= 0)
		io_uring_queue_exit(&p->ring);
	if (p->hosts)
		munmap(p->hosts, p->host_octets);
	if (p->air)
		munmap(p->air, p->air_octets);
	free(p);
}
