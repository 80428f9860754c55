/* wire/uuid.h - UUIDs of 16, 32 and 128 bits, Core 5.4 Vol 3 Part B 2.5.1.
 *
 * A short UUID stands for the 128-bit one that it makes with the Bluetooth Base UUID 00000000-0000-1000-8000-00805F9B34FB:
 * 0x180A is 0000180A-0000-1000-8000-00805F9B34FB, and they are equal here.  A UUID is kept in the width it came in. */
#pragma once
#include "base/bytes.h"

enum { UUID_TEXT = 37 };			/* room for the longest text and its NUL */

/* at[]: the wire's order, least significant octet first; octets beyond len are 0.  len is 2, 4 or 16; 0 is no UUID. */
struct uuid { uint8_t len, at[16]; };

static inline struct uuid uuid_16(uint16_t v) { return (struct uuid){ 2, { (uint8_t)v, (uint8_t)(v >> 8) } }; }

/* Reads a UUID from its octets on the wire.  Returns false if there are not exactly 2, 4 or 16 of them.  ATT knows no
 * 32-bit form (Vol 3 Part F 3.2.1): its callers refuse len 4. */
bool uuid_from_wire(struct bytes wire, struct uuid *ret);

/* The octets on the wire, borrowed from u. */
static inline struct bytes uuid_wire(const struct uuid *u) { return (struct bytes){ u->at, u->len }; }

/* Reads text: 4, 8 or 32 hex digits, the last with or without hyphens in their places (8-4-4-4-12); either case; an 0x before
 * 4 or 8 digits.  The width stays the text's.  Returns false, *ret untouched, for anything else, text behind it included. */
bool uuid_from_text(const char *text, struct uuid *ret);

/* Writes "180A", "0000FE59" or "6E400001-B5A3-F393-E0A9-E50E24DCCA9E" and a NUL.  @buf: UUID_TEXT octets.  Returns buf. */
char *uuid_to_text(const struct uuid *u, char *buf);

/* The shortest form that means the same: 16, 32 or 128 bits. */
struct uuid uuid_shortest(const struct uuid *u);
/* As ATT sends it: 16 bits if it can be, else 128 (Vol 3 Part F 3.2.1). */
struct uuid uuid_att(const struct uuid *u);
struct uuid uuid_128(const struct uuid *u);

/* The same UUID, whatever their widths?  No UUID (len 0) equals only itself. */
bool uuid_equal(const struct uuid *a, const struct uuid *b);
bool uuid_is_16(const struct uuid *u, uint16_t v);
