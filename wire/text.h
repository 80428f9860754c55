/* wire/text.h - appends " name=value" words to a caller's char buffer.
 *
 * Truncates where the buffer ends, never overflows, always leaves a NUL (cap > 0).
 * Uses nothing of the C library but mem* and str*. */
#pragma once
#include "base/bytes.h"

struct text { char *buf; size_t cap, len; };	/* len: without the NUL; at most cap - 1 */

static inline struct text text_into(char *buf, size_t cap)
{
	buf[0] = '\0';
	return (struct text){ buf, cap, 0 };
}
void text_uint(struct text *t, const char *name, uint64_t v);		/* decimal */
void text_int(struct text *t, const char *name, int64_t v);		/* decimal, signed */
void text_hex(struct text *t, const char *name, uint64_t v);		/* 0x and at least four digits */
void text_addr(struct text *t, const char *name, const uint8_t addr[6]);	/* most significant octet first, as addresses are read */
void text_bytes(struct text *t, const char *name, struct bytes b);	/* hex octets in wire order */
void text_string(struct text *t, const char *name, const char *s);	/* name="s", our own strings only: nothing is escaped */
void text_word(struct text *t, const char *word);			/* the word alone; a space before it but at the very start */
