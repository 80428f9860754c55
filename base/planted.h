/* base/planted.h - mistakes that a test build makes on purpose: MODE=planted (-DTREFOIL_PLANTED).  Any other build has none.
 *
 * A record whose payload has, in its first 40 octets, the words below is what such a core dies of (or hangs at, or treats
 * wrongly): a value written by a central is one, so the real daemons meet it under real load.
 *
 *   P!gA..  abort          P!gS..  a store where nothing is mapped       P!gW..  a loop without end
 *   P!gI..  an instruction that is none          P!gD..  no death: the payload's last octet is taken for another one
 *
 * `g` is for gattd, `h` for hostd.  PLANTED_MARK is in every binary that has them, so a check can see that a release has not. */
#pragma once
#include "base/bytes.h"

#ifdef TREFOIL_PLANTED
#include <string.h>

#define PLANTED_MARK "trefoil: planted mistakes are in this binary"
enum { PLANTED_WITHIN = 40, PLANTED_COPY = 512 };

/* What the payload asks of `who`: a letter, 0: nothing. */
static inline uint8_t planted_letter(struct bytes payload, char who)
{
	static const char mark[] __attribute__((used)) = PLANTED_MARK;
	size_t last = payload.len < PLANTED_WITHIN ? payload.len : PLANTED_WITHIN;

	(void)mark;
	for (size_t i = 0; i + 4 <= last; i++)
		if (payload.at[i] == 'P' && payload.at[i + 1] == '!' && payload.at[i + 2] == who)
			return payload.at[i + 3];
	return 0;
}

/* Returns the payload to go on with: the one given, or, for D, another one in `copy`. */
static inline struct bytes planted_meet(struct bytes payload, char who, uint8_t copy[PLANTED_COPY])
{
	uint8_t *volatile nowhere = (uint8_t *)(uintptr_t)64;

	switch (planted_letter(payload, who)) {
	case 'A':
		__builtin_abort();
	case 'S':
		*nowhere = 1;
		break;
	case 'I':
		__builtin_trap();
	case 'W':
		for (volatile unsigned turns = 0;; turns++)
			;
	case 'D':
		if (!payload.len || payload.len > PLANTED_COPY)
			break;
		memcpy(copy, payload.at, payload.len);
		copy[payload.len - 1] ^= 1;
		return (struct bytes){ copy, payload.len };
	default:
		break;
	}
	return payload;
}
#define PLANTED_MEET(payload, who) uint8_t planted_copy[PLANTED_COPY]; (payload) = planted_meet((payload), (who), planted_copy)
#else
#define PLANTED_MEET(payload, who) ((void)(payload))
#endif
