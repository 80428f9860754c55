/* tests/hostile/fields_gattd.c - what gattd's objects are made of. */
#include "gattd/core/state.h"
#include "tests/hostile/evil_arena.h"

const struct arena_field fields_gattd[] = {
	FIELD(server, timer_ns, DEADLINE) FIELD(server, pending_ns, DEADLINE)
	FIELDS(server, live, MASK) FIELDS(server, ready, MASK) FIELDS(server, held, MASK) FIELDS(server, dead, MASK)
	FIELDS(server, timed, MASK)
	FIELD(server, cursor, COUNT) FIELD(server, mtu, COUNT) FIELD(server, attributes, COUNT) FIELD(server, configured, STATE)
	FIELD(server, linked, STATE) FIELD(server, retry, STATE) FIELD(server, next_kept, COUNT) FIELD(server, spread_at, COUNT)
	FIELD(server, spreads, COUNT) FIELDS(server, spread, COUNT) FIELD(server, spare, COUNT)
	FIELD_OF(server, first, ID, pending) FIELD_OF(server, last, ID, pending)
	FIELD_OF(seat, bearer, ID, bearer)
	FIELD(bearer, confirm_ns, DEADLINE) FIELD(bearer, held_ns, DEADLINE) FIELD(bearer, index, COUNT)
	FIELD(bearer, generation, COUNT) FIELD(bearer, mtu, COUNT) FIELD(bearer, mtu_max, COUNT) FIELD(bearer, window_out, COUNT)
	FIELD(bearer, room_out, COUNT) FIELD(bearer, base_in, COUNT) FIELD(bearer, extra, COUNT) FIELD(bearer, used_in, COUNT)
	FIELD(bearer, owed, COUNT) FIELD(bearer, prepared_chunks, COUNT) FIELD(bearer, wanted, COUNT)
	FIELD_OF(bearer, rx, QUEUE, chunk) FIELD_OF(bearer, due, QUEUE, chunk) FIELD_OF(bearer, prepared, QUEUE, chunk)
	FIELD(bearer, state, STATE) FIELD(bearer, mtu_exchanged, STATE) FIELD(bearer, stalled, STATE) FIELD(bearer, told, STATE)
	FIELDS(bearer, cccd, MASK)
	FIELD_OF(chunk, next, ID, chunk)
	FIELDS(subscribers, at, MASK)
	FIELD(attribute, handle, COUNT) FIELD(attribute, group_end, COUNT) FIELD(attribute, cccd, COUNT)
	FIELD(attribute, echo, COUNT) FIELD(attribute, value_max, COUNT) FIELD(attribute, kind, STATE)
	FIELD(attribute, type_len, COUNT)
	FIELD(value, len, COUNT)
	FIELD_OF(pending, next, ID, pending) FIELD(pending, kept, COUNT) FIELD(pending, handle, COUNT) FIELD(pending, len, COUNT)
	FIELD(pending, uuid_len, COUNT)
	FIELD(kept, used, STATE) FIELD(kept, waiting, STATE) FIELD(kept, result, STATE) FIELD(kept, why, COUNT)
	FIELD(kept, handle, COUNT)
	{ 0 }
};
