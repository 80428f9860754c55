/* tests/unit/airsim_world.h - an air under test: hosts speak hex, time is a number.
 *
 *   say(w, 0, "01 03 0C 00")            one H4 packet (or several) from host 0
 *   hear(w, 0, "04 0E 04 01 03 0C 00")  all that waits for host 0 is exactly this; ".." is any octet; "" is nothing
 *
 * What is heard is taken; a host that is never heard does not read. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "airsim/core/state.h"

enum { HOSTS = 16, HEX_MAX = 1 << 16 };

struct world {
	struct air *air;
	void *memory;
	struct air_config config;
	uint64_t now;
	uint8_t in[HEX_MAX], out[HEX_MAX];
};

static inline struct world *world_new(struct air_config g, struct air_faults faults)
{
	struct world *w = calloc(1, sizeof *w);
	size_t size = air_size(&g);

	assert_non_null(w);
	assert_true(size > 0);
	assert_int_equal(posix_memalign(&w->memory, 64, (size + 63) & ~(size_t)63), 0);
	memset(w->memory, 0, size);
	w->config = g;
	w->now = 1000 * AIR_MS;
	w->air = air_init(w->memory, &g, faults);
	assert_non_null(w->air);
	air_advance(w->air, w->now);
	return w;
}

/* Every pool must be full again once all hosts have left. */
static inline void world_end(struct world *w)
{
	uint32_t free_packets = 0, free_connections = 0;

	for (unsigned i = 0; i < w->config.controllers; i++)
		air_detach(w->air, (int)i);
	air_advance(w->air, w->now + 3600000 * AIR_MS);
	for (uint32_t i = w->air->free_packets; i != AIR_NO_INDEX; i = air_packet(w->air, i)->next)
		free_packets++;
	for (uint32_t i = w->air->free_connections; i != AIR_NO_INDEX; i = w->air->all_connections[i].next)
		free_connections++;
	assert_int_equal(free_packets, w->air->packets_used);
	assert_int_equal(free_connections, (uint32_t)w->config.controllers * w->config.connections / 2 + 1);
	assert_int_equal(w->air->listeners, 0);
	assert_int_equal(air_output_next(w->air), -1);
	assert_true(air_deadline(w->air) == AIR_NEVER);
	free(w->memory);
	free(w);
}

static inline size_t hex(const char *text, uint8_t *out, uint8_t *any)
{
	size_t n = 0;

	for (; *text; text++) {
		unsigned v = 0;

		if (*text == ' ')
			continue;
		any[n] = text[0] == '.';
		if (!any[n])
			assert_int_equal(sscanf(text, "%2x", &v), 1);
		out[n++] = (uint8_t)v;
		text++;
	}
	return n;
}

/* Octets of the packet that begins here. */
static inline size_t h4_octets(const uint8_t *at)
{
	return at[0] == 0x02 ? 5u + (unsigned)(at[3] | at[4] << 8) : at[0] == 0x04 ? 3u + at[2] : 4u + at[3];
}

static inline void say_bytes(struct world *w, int host, const uint8_t *at, size_t len)
{
	while (len) {
		size_t n = h4_octets(at);

		assert_true(n <= len);
		assert_int_equal(air_host_packet(w->air, host, at[0], (struct bytes){ at + 1, n - 1 }), 0);
		at += n;
		len -= n;
	}
	air_advance(w->air, w->now);
}

static inline void say(struct world *w, int host, const char *text)
{
	static uint8_t any[HEX_MAX];

	say_bytes(w, host, w->in, hex(text, w->in, any));
}

/* Takes up to `most` octets of what waits for the host; returns how many, in w->out. */
static inline size_t take(struct world *w, int host, size_t most)
{
	struct bytes pieces[16];
	size_t len = 0;
	unsigned n;

	while (len < most && (n = air_output(w->air, host, pieces, 16))) {
		size_t got = 0;

		for (unsigned i = 0; i < n && len < most; i++) {
			size_t part = pieces[i].len < most - len ? pieces[i].len : most - len;

			memcpy(w->out + len, pieces[i].at, part);
			len += part;
			got += part;
		}
		air_output_taken(w->air, host, got);
	}
	return len;
}

#define hear(w, host, text) hear_at((w), (host), (text), __FILE__, __LINE__)
static inline void hear_at(struct world *w, int host, const char *text, const char *file, int line)
{
	static uint8_t want[HEX_MAX], any[HEX_MAX];
	size_t n = hex(text, want, any), len = take(w, host, HEX_MAX);

	for (size_t i = 0; i < len && i < n; i++)
		if (any[i])
			want[i] = w->out[i];
	if (len == n && !memcmp(want, w->out, n))
		return;
	fprintf(stderr, "%s:%d: host %d was to hear\n  %s\nand heard\n ", file, line, host, text);
	for (size_t i = 0; i < len; i++)
		fprintf(stderr, " %02X", w->out[i]);
	fprintf(stderr, "\n");
	_fail(file, line);
}

static inline void later(struct world *w, uint64_t ms)
{
	uint64_t until = w->now + ms * AIR_MS, at;

	while ((at = air_deadline(w->air)) <= until) {	/* as a caller that sleeps exactly until the deadline */
		w->now = at > w->now ? at : w->now;
		air_advance(w->air, w->now);
	}
	w->now = until;
	air_advance(w->air, w->now);
}

static inline bool sleeps(struct world *w) { return air_deadline(w->air) == AIR_NEVER; }

/* A host as hosts begin: reset, all events but LE Enhanced Connection Complete, a random address F0:00:00:00:00:<10 + id>. */
static inline int host_new(struct world *w)
{
	int id = air_attach(w->air);
	char address[64];

	assert_in_range(id, 0, w->config.controllers - 1);
	say(w, id, "01 03 0C 00  01 01 0C 08 FF FF FF FF FF FF FF 3F  01 01 20 08 FF 0D 00 00 00 00 00 00");
	snprintf(address, sizeof address, "01 05 20 06 %02X 00 00 00 00 F0", 0x10 + (unsigned)id);
	say(w, id, address);
	take(w, id, HEX_MAX);
	return id;
}

/* Connects central and peripheral (random addresses as above), timeout 420 ms, and takes the events.  Both handles are
 * returned in one: central's << 16 | peripheral's. */
static inline uint32_t connect_two(struct world *w, int central, int peripheral)
{
	char create[128];
	uint32_t handles;
	size_t len;

	say(w, peripheral, "01 06 20 0F A0 00 A0 00 00 01 00 00 00 00 00 00 00 07 00  01 0A 20 01 01");
	snprintf(create, sizeof create, "01 0D 20 19 60 00 30 00 00 01 %02X 00 00 00 00 F0 01 18 00 28 00 00 00 2A 00 00 00 00 00",
	    0x10 + (unsigned)peripheral);
	say(w, central, create);
	len = take(w, central, HEX_MAX);
	assert_true(len > 22);		/* Command Status, then LE Connection Complete, which is 22 octets */
	assert_int_equal(w->out[len - 22], 0x04);
	assert_int_equal(w->out[len - 18], 0x00);
	handles = (uint32_t)(w->out[len - 17] | w->out[len - 16] << 8) << 16;
	len = take(w, peripheral, HEX_MAX);
	handles |= (uint32_t)(w->out[len - 17] | w->out[len - 16] << 8);
	return handles;
}
