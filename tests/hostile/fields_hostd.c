/* tests/hostile/fields_hostd.c - what hostd's objects are made of. */
#include "hostd/core/state.h"
#include "tests/hostile/evil_arena.h"

const struct arena_field fields_hostd[] = {
	FIELD(radio, up_since_ns, DEADLINE) FIELD(radio, patience_ns, DEADLINE) FIELD(radio, down_life, COUNT)
	FIELD(radio, failed, COUNT) FIELD(radio, state, STATE) FIELD(radio, after, STATE) FIELD(radio, step, COUNT)
	FIELD(radio, recoveries, COUNT) FIELD(radio, transport_down, STATE) FIELD(radio, configured, STATE)
	FIELD(radio, up_lost, STATE) FIELD(radio, down_lost, STATE) FIELD(radio, todo, STATE) FIELD(radio, shedding, STATE)
	FIELD(radio, ready_told, STATE) FIELD(radio, next_kept, COUNT)
	FIELD(settings, interval_min, COUNT) FIELD(settings, data_len, COUNT) FIELD(settings, scan_len, COUNT)
	FIELD(settings, staged, STATE)
	FIELD(advertiser, pending, COUNT) FIELD(advertiser, state, STATE) FIELD(advertiser, stage, COUNT)
	FIELD(advertiser, blocked, STATE) FIELD(advertiser, dirty, STATE) FIELD(advertiser, asked, STATE)
	FIELD(commands, starved_ns, DEADLINE) FIELD(commands, pending[0].deadline_ns, DEADLINE)
	FIELD(commands, pending[0].opcode, COUNT) FIELD(commands, pending[3].deadline_ns, DEADLINE)
	FIELD(commands, pending_count, COUNT) FIELD(commands, credits, COUNT)
	FIELD(flow, closing_ns, DEADLINE) FIELD(flow, early_ns, DEADLINE)
	FIELD_OF(flow, list[LIST_READY].first, ID, connection) FIELD_OF(flow, list[LIST_READY].last, ID, connection)
	FIELD_OF(flow, list[LIST_WORK].first, ID, connection) FIELD_OF(flow, list[LIST_WORK].last, ID, connection)
	FIELD_OF(flow, list[LIST_OWED].first, ID, connection) FIELD_OF(flow, list[LIST_OWED].last, ID, connection)
	FIELD(flow, credits, COUNT) FIELD(flow, total, COUNT) FIELD(flow, acl_length, COUNT) FIELD(flow, live, COUNT)
	FIELD(flow, early_order, COUNT) FIELD(flow, spare, COUNT) FIELD(flow, closing, COUNT)
	FIELD(handles, former[0].until_ns, DEADLINE) FIELD(handles, former[1].handle, COUNT) FIELD(handles, refused, COUNT)
	FIELDS(handles, refused_bits, MASK)
	FIELDS_OF(where, at, ID, connection)
	FIELD(connection, closing_ns, DEADLINE) FIELDS_OF(connection, next, ID, connection)
	FIELD(connection, window, COUNT) FIELD(connection, owed, COUNT) FIELD(connection, extra, COUNT)
	FIELD(connection, outstanding, COUNT) FIELD(connection, life, COUNT) FIELD(connection, handle, COUNT)
	FIELD(connection, tx_left, COUNT) FIELD(connection, tx_cost, COUNT) FIELD(connection, tx_own, COUNT)
	FIELD(connection, rx_need, COUNT) FIELDS(connection, on, STATE) FIELD(connection, state, STATE)
	FIELD(connection, rx_state, STATE) FIELD(connection, due, MASK)
	FIELD_OF(connection, tx, QUEUE, chunk) FIELD_OF(connection, rx, QUEUE, chunk)
	FIELD_OF(chunk, next, ID, chunk)
	FIELD(early, deadline_ns, DEADLINE) FIELD(early, order, COUNT) FIELD(early, handle, COUNT) FIELD(early, len, COUNT)
	FIELD(kept, used, COUNT) FIELD(kept, result, COUNT)
	{ 0 }
};
