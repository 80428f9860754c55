/* tests/hostile/fields_transportd.c - what transportd's one object is made of. */
#include "transportd/line.h"
#include "tests/hostile/evil_arena.h"

const struct arena_field fields_transportd[] = {
	FIELD(line, in_octets, COUNT) FIELD(line, out_octets, COUNT) FIELD(line, in_base, COUNT)
	FIELD(line, snoop_at, COUNT) FIELD(line, out_pending, COUNT) FIELD(line, in_unknown, COUNT)
	FIELD(line, out_unknown, COUNT) FIELD(line, state, STATE) FIELD(line, owed, STATE) FIELDS(line, why, COUNT)
	{ 0 }
};
