/* tests/load/cores.h - what the cores of hostd and gattd cost, without shells; see cores.c. */
#pragma once

enum core_case {
	CORE_HOST_IN,		/* an ACL packet with a write command, to gattd */
	CORE_HOST_OUT,		/* a notification from gattd, to the controller */
	CORE_GATT_WRITE,	/* a write command into a value */
	CORE_GATT_ECHO,		/* ... that is told as a notification */
	CORE_CASES
};
struct core_load { unsigned connections, batch, packets; };	/* 1-256; packets a commit, 1-32; how many in all */

/* ns of CPU a packet, everything that belongs to it included. */
double core_ns(enum core_case which, const struct core_load *load);
