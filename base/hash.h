/* base/hash.h - a 64-bit hash against damage and for comparison; not against malice.
 *
 * Each octet that differs changes the state for good (xor, multiplication by an odd number and a shift back in are all
 * one to one), so one damaged word is always seen. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { HASH_START = 0x54726566 };

static inline uint64_t hash_word(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9E3779B97F4A7C15u;
	return h ^ h >> 29;
}

/* Continue `h` (HASH_START at first) with n octets.  The length counts: "ab" "c" is not "a" "bc". */
static inline uint64_t hash_octets(uint64_t h, const void *at, size_t n)
{
	const uint8_t *p = at;
	uint64_t word;

	h = hash_word(h, n);
	for (; n >= sizeof word; n -= sizeof word, p += sizeof word) {
		memcpy(&word, p, sizeof word);
		h = hash_word(h, word);
	}
	word = 0;
	for (size_t i = 0; i < n; i++)
		word |= (uint64_t)p[i] << 8 * i;
	return hash_word(h, word);
}
