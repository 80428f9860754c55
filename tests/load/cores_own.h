/* tests/load/cores_own.h - what the files of cores.c share. */
#pragma once
#include "tests/lib/core_harness.h"
#include "tests/load/cores.h"
#include "wire/wire.h"

enum { VALUE = 244, WORK_MOST = 64 };

/* One turn of a worker: what is there, up to WORK_MOST records, what is left over, one commit. */
__attribute__((noinline)) void core_turn(struct rig *g);
/* Turns until nothing is left to do; returns the CPU time that they took, ns. */
uint64_t core_measured(struct rig *g);
/* A PDU with a handle and VALUE octets. */
struct bytes core_att(uint8_t buf[VALUE + 3], uint8_t opcode, uint16_t handle, unsigned n);

/* How many packets come next: few at first, until the windows have grown. */
static inline unsigned core_batch(const struct core_load *l, unsigned done)
{
	unsigned may = 1 + done / (16 * l->connections);

	return may < l->batch ? may : l->batch;
}

double host_ns(bool in, const struct core_load *l);
double gatt_ns(bool echo, const struct core_load *l);
