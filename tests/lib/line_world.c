/* tests/lib/line_world.c */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/types.h"
#include "tests/lib/line_world.h"
#include "transportd/transport.h"

enum { OUR_DOWN, HOST, OUR_SMALL, SUPERVISOR, REGIONS };

const struct arena_plan *line_plan(void)
{
	static struct arena_plan p;

	p = step_plan(&transportd_core, &(struct arena_limits){ { 1 } }, 0);
	return &p;
}
static size_t page(size_t n) { return (n + 4095) & ~4095ul; }
static struct ring_region *region(const struct line_world *w, unsigned n)
{
	return (void *)(w->memory + page(arena_size(line_plan())) + n * page(ring_region_size(w->ring)));
}

static void sockets_open(struct line_world *w, enum line_socket kind)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof at;
	int pair[2], listener;

	if (kind == LINE_UNIX) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		w->near = pair[0];
		w->far = pair[1];
	} else {
		listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
		assert_int_equal(listen(listener, 1), 0);
		assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
		w->near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(w->near, (struct sockaddr *)&at, sizeof at), 0);
		w->far = accept(listener, NULL, NULL);
		assert_true(w->far >= 0);
		close(listener);
	}
	assert_int_equal(sock_prepare(w->near), 0);
	fcntl(w->near, F_SETFL, O_NONBLOCK);
	fcntl(w->far, F_SETFL, O_NONBLOCK);
}

void line_world_open(struct line_world *w, enum line_socket kind, uint64_t ring)
{
	int pipe[2];

	*w = (struct line_world){ .ring = ring };
	w->octets = page(arena_size(line_plan())) + REGIONS * page(ring_region_size(ring));
	w->memory = mmap(NULL, w->octets, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(w->memory != MAP_FAILED);
	sockets_open(w, kind);
	assert_int_equal(pipe2(pipe, O_CLOEXEC | O_NONBLOCK), 0);
	w->pipe_r = pipe[0];
	w->pipe_w = pipe[1];
	w->host_out = ring_producer(region(w, HOST), region(w, OUR_DOWN), ring, 0);
	w->host_in = ring_consumer(region(w, HOST), region(w, OUR_DOWN), ring, 0);
	w->sup_out = ring_producer(region(w, SUPERVISOR), region(w, OUR_SMALL), ring, 0);
	w->sup_in = ring_consumer(region(w, SUPERVISOR), region(w, OUR_SMALL), ring, 0);
}

void line_world_close(struct line_world *w)
{
	const int fds[] = { w->far, w->near, w->pipe_r, w->pipe_w };

	for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	munmap(w->memory, w->octets);
}

static int take_from(struct line_worker *k, unsigned link, struct record *ret)
{
	uint64_t at = k->step.link[link].in.at;
	unsigned fresh = k->step.fresh;
	int r = step_take(&k->step, link, ret, k->payload, sizeof k->payload);

	if (k->tap)
		k->tap->taken(k, fresh, link, at, r ? NULL : ret);
	return r;
}

static int take(void *ctx, struct record *ret, struct bytes *payload)
{
	struct line_worker *k = ctx;
	int r;

	if (k->taken >= k->batch)
		return 8;
	r = take_from(k, LINK_DOWN, ret);
	if (r)
		return r;
	k->taken++;
	*payload = (struct bytes){ k->payload, ret->len };
	return 0;
}
static void commit(void *ctx)
{
	struct line_worker *k = ctx;
	bool tapped = k->tap && (k->step.moved || arena_dirty(&k->arena));

	if (tapped)
		k->tap->committing(k);
	step_commit(&k->step);
	if (tapped)
		k->tap->committed(k);
	k->taken = 0;
}

uint8_t *line_world_held(const struct line_world *w)
{
	struct arena a;
	uint8_t *held;

	assert_true(arena_open(&a, line_plan(), w->memory, false) != -ENOMEM);
	held = w->memory + ((const uint8_t *)line_only(&a)->held_octets - a.at);
	arena_close(&a);
	return held;
}

int line_worker_start(struct line_worker *k, struct line_world *w)
{
	int r = arena_open(&k->arena, line_plan(), w->memory, !k->plain);
	uint64_t count;

	if (r == ARENA_E_BLANK)
		arena_format(&k->arena, line_plan(), transportd_core.fill);
	else if (r)
		return -EINVAL;
	k->taken = 0;
	step_open(&k->step, &k->arena, &transportd_core);
	step_recover(&k->step);
	step_attach(&k->step, LINK_DOWN, 1, region(w, OUR_DOWN), w->ring, region(w, HOST), w->ring);
	step_attach(&k->step, LINK_SUPERVISOR, 1, region(w, OUR_SMALL), w->ring, region(w, SUPERVISOR), w->ring);
	k->step.now_ns = 1;
	if (k->forget_windows && line_of(&k->step)->state == LINE_UP) {
		assert_int_equal(stream_kind_of(w->near)->begin(w->near, &count), 0);
		line_change(&k->step)->in_base = line_of(&k->step)->in_octets - count;
		line_change(&k->step)->out_pending = 0;
		step_commit(&k->step);
	}
	if (k->tap)
		k->tap->begin(k);
	return stream_open(&k->stream, &k->step, (struct stream_host){ k, take, commit, k->tap ? k->tap->heard : NULL }, w->near, w->pipe_r,
	    w->pipe_w);
}

static void act(struct line_worker *k)
{
	unsigned fresh = k->step.fresh;

	step_may_act(&k->step);
	if (k->tap)
		k->tap->settled(k, fresh);
}

static bool tell(struct line_worker *k)
{
	uint32_t owed = line_of(&k->step)->owed;
	bool told = line_tell(&k->step);

	if (told && k->tap)
		k->tap->heard(k, &(struct stream_heard){ .call = CALL_TELL, .result = owed & ~line_of(&k->step)->owed });
	return told;
}

int line_worker_turn(struct line_worker *k)
{
	struct record h;
	bool told;
	int out = 0, in = 0, small;

	k->step.now_ns++;
	k->stream.readable = k->stream.writable = true;
	if (k->tap)
		k->tap->turn(k);
	act(k);
	small = !take_from(k, LINK_SUPERVISOR, &h);
	if (small)
		transportd_core.on_record(&k->step, LINK_SUPERVISOR, &h, (struct bytes){ k->payload, h.len });
	told = tell(k);
	commit(k);
	/* Two batches each way with no commit but their own: each must leave its window closed by itself. */
	for (int i = 0; i < 2 && out >= 0; i++)
		out = MAX(out, 0) | stream_out(&k->stream);
	for (int i = 0; i < 2 && in >= 0 && out >= 0; i++)
		in = MAX(in, 0) | stream_in(&k->stream);
	if (out < 0 || in < 0)
		return out < 0 ? out : in;
	told |= tell(k);
	commit(k);
	return out || in || told || small;
}

void line_worker_settle(struct line_worker *k)
{
	int r;

	while ((r = line_worker_turn(k)) > 0)
		;
	assert_int_equal(r, 0);
}

void line_worker_end(struct line_worker *k)
{
	stream_close(&k->stream);
	arena_close(&k->arena);
}

uint64_t line_worker_count(const struct line_worker *k, enum line_counter c)
{
	return counters_next(&k->arena, NULL)->at[c];
}

bool line_host_push(struct line_world *w, uint8_t kind, struct bytes body)
{
	uint8_t *at = ring_reserve(&w->host_out, (uint32_t)body.len);

	if (!at)
		return false;
	if (body.len)
		memcpy(at, body.at, body.len);
	ring_push(&w->host_out, (struct record){ .len = (uint32_t)body.len, .kind = kind });
	ring_publish(&w->host_out);
	return true;
}

bool line_host_take(struct line_world *w, struct record *ret, uint8_t *buf, uint32_t cap)
{
	int r = ring_take(&w->host_in, ret, buf, cap);

	assert_int_not_equal(r, RING_CORRUPT);
	ring_publish(&w->host_in);
	return r == 0;
}
