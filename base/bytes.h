/* base/bytes.h - bounds-checked little-endian reader and writer over borrowed bytes.
 *
 * A reader never reads past its end.  The first short read makes it bad;
 * every later read returns 0 and it stays bad, so callers check once. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes { const uint8_t *at; size_t len; };	/* borrowed, read only */
struct rd { const uint8_t *at, *end; bool bad; };

static inline struct rd rd_from(struct bytes b)
{
	return (struct rd){ b.at, b.len ? b.at + b.len : b.at, false };
}
static inline size_t rd_left(const struct rd *r) { return (size_t)(r->end - r->at); }
static inline bool rd_ok(const struct rd *r) { return !r->bad; }
static inline bool rd_done(const struct rd *r) { return !r->bad && r->at == r->end; }

static inline struct bytes rd_take(struct rd *r, size_t n)
{
	struct bytes b = { r->at, n };
	if (r->bad || rd_left(r) < n) { r->bad = true; return (struct bytes){ 0 }; }
	if (n) r->at += n;
	return b;
}
static inline uint64_t rd_le(struct rd *r, size_t n)
{
	struct bytes b = rd_take(r, n);
	uint64_t v = 0;
	for (size_t i = b.len; i-- > 0; ) v = v << 8 | b.at[i];
	return v;
}
static inline uint64_t rd_le_in(struct rd *r, size_t n, uint64_t lo, uint64_t hi)
{
	uint64_t v = rd_le(r, n);
	if (v < lo || v > hi) r->bad = true;
	return v;
}
static inline void rd_copy(struct rd *r, uint8_t *dst, size_t n)
{
	struct bytes b = rd_take(r, n);
	memset(dst, 0, n);
	if (b.len) memcpy(dst, b.at, n);
}

/* The writer: same rule, into the caller's buffer. */
struct wr { uint8_t *start, *at, *end; bool bad; };

static inline struct wr wr_into(uint8_t *buf, size_t cap) { return (struct wr){ buf, buf, buf + cap, false }; }
static inline size_t wr_len(const struct wr *w) { return (size_t)(w->at - w->start); }
static inline void wr_bytes(struct wr *w, struct bytes b)
{
	if (w->bad || (size_t)(w->end - w->at) < b.len) { w->bad = true; return; }
	if (b.len) { memcpy(w->at, b.at, b.len); w->at += b.len; }
}
static inline void wr_le(struct wr *w, uint64_t v, size_t n)
{
	uint8_t t[8];
	for (size_t i = 0; i < n; i++) t[i] = (uint8_t)(v >> 8 * i);
	wr_bytes(w, (struct bytes){ t, n });
}
static inline bool wr_ok(const struct wr *w) { return !w->bad; }
