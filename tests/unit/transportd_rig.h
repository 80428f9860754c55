/* tests/unit/transportd_rig.h - transportd's streams between a controller's socket and hostd's ring, in this process: for its tests. */
#pragma once
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/types.h"
#include "tests/lib/line_world.h"
#include "wire/wire.h"

enum { RING = 16 * 1024, LONGEST = RING / 8 - RECORD_HEADER };
struct rig { struct line_world w; struct line_worker k; uint8_t buf[1 << 16]; struct record h; };

static inline int rig_of(void **state, enum line_socket kind)
{
	struct rig *g = calloc(1, sizeof *g);

	line_world_open(&g->w, kind, RING);
	g->k.batch = 64;
	assert_int_equal(line_worker_start(&g->k, &g->w), 0);
	*state = g;
	return 0;
}
static inline int rig_unix(void **state) { return rig_of(state, LINE_UNIX); }
static inline int rig_tcp(void **state) { return rig_of(state, LINE_TCP); }
static inline int rig_end(void **state)
{
	struct rig *g = *state;

	line_worker_end(&g->k);
	line_world_close(&g->w);
	free(g);
	return 0;
}

#define SAY(g, ...) say(g, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
static inline void say(struct rig *g, const void *at, size_t n)
{
	assert_int_equal(send(g->w.far, at, n, MSG_NOSIGNAL), n);
}
/* tcp: the other end's octets are there a moment later. */
static inline void settle(struct rig *g)
{
	for (int i = 0; i < 3; i++) {
		line_worker_settle(&g->k);
		if (g->k.stream.kind->domain != AF_UNIX)
			usleep(2000);
	}
}
static inline bool next(struct rig *g) { return line_host_take(&g->w, &g->h, g->buf, sizeof g->buf); }
static inline void expect_state(struct rig *g, uint8_t state)
{
	struct local_transport_state m;

	assert_true(next(g));
	assert_int_equal(g->h.kind, RECORD_TRANSPORT_STATE);
	assert_true(local_transport_state_decode((struct bytes){ g->buf, g->h.len }, &m));
	assert_int_equal(m.state, state);
}
static inline void expect(struct rig *g, uint8_t kind, struct bytes body)
{
	bool data = kind != RECORD_HCI_EVENT;

	assert_true(next(g));
	assert_int_equal(g->h.kind, kind);
	assert_int_equal(g->h.index, data ? (body.at[0] | body.at[1] << 8) & 0xFFF : 0);	/* whose it is, without a look at it */
	assert_int_equal(g->h.generation, data);
	assert_int_equal(g->h.len, body.len);
	assert_memory_equal(g->buf, body.at, body.len);
}
static inline void expect_failed_notice(struct rig *g, const char *part)
{
	struct local_notice m;
	char text[200];

	assert_int_equal(ring_take(&g->w.sup_in, &g->h, g->buf, sizeof g->buf), 0);
	assert_int_equal(g->h.kind, RECORD_NOTICE);
	assert_true(local_notice_decode((struct bytes){ g->buf, g->h.len }, &m));
	assert_int_equal(m.what, NOTICE_FAILED);
	snprintf(text, sizeof text, "%.*s", (int)m.detail.len, (const char *)m.detail.at);
	if (!strstr(text, part))
		fail_msg("notice \"%s\" has no \"%s\"", text, part);
	assert_int_equal(ring_take(&g->w.sup_in, &g->h, g->buf, sizeof g->buf), RING_EMPTY);
}
static inline void expect_end(struct rig *g, const char *part)
{
	settle(g);
	expect_state(g, TRANSPORT_DOWN);
	assert_false(next(g));
	expect_failed_notice(g, part);
	assert_int_equal(line_of(&g->k.step)->state, LINE_DOWN);
}

static const uint8_t complete[] = { 0x0E, 4, 1, 3, 12, 0 }, data[] = { 0x40, 0x20, 2, 0, 7, 8 };
#define BODY(a) ((struct bytes){ (a), sizeof (a) })
