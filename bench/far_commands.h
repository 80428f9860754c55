/* bench/far_commands.h - what the far side's controller answers to a command: enough for a host's bring-up and for advertising. */
#pragma once
#include "bench/far.h"

struct far_answer {
	uint8_t event;			/* code */
	uint8_t body[80];		/* its parameters */
	size_t len;
	unsigned disconnected;		/* index + 1 of the connection that Disconnect ended */
};
/* @packet: a command without its H4 octet.  Returns false if it is malformed. */
bool far_answer_command(struct far *f, struct bytes packet, struct far_answer *ret);
