/* proto/control_answer.c - the frames that everybody sends. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "proto/control.h"

int control_fail(struct control_link *c, uint64_t serial, int error, const char *why)
{
	Failed m = CONTROL_INIT(FAILED);
	Frame f = CONTROL_FRAME(FAILED, failed, &m);

	m.error = error;
	m.why = CONTROL_STR(why);
	f.serial = serial;
	return control_send(c, &f, NULL, 0);
}

int control_done(struct control_link *c, uint64_t serial, const char *text)
{
	Done m = CONTROL_INIT(DONE);
	Frame f = CONTROL_FRAME(DONE, done, &m);

	m.text = CONTROL_STR(text);
	f.serial = serial;
	return control_send(c, &f, NULL, 0);
}

int control_hello(struct control_link *c, const char *role, uint32_t generation)
{
	Hello m = CONTROL_INIT(HELLO);
	Frame f = CONTROL_FRAME(HELLO, hello, &m);

	m.role = CONTROL_STR(role);
	m.protocol = CONTROL_PROTOCOL;
	m.pid = (uint32_t)getpid();
	m.generation = generation;
	return control_send(c, &f, NULL, 0);
}

int control_check_hello(struct control_link *c, uint64_t serial, const Hello *m)
{
	char why[96];

	if (m->protocol == CONTROL_PROTOCOL)
		return 0;
	snprintf(why, sizeof why, "control protocol %u is not spoken here, only %u: two versions of Trefoil?", m->protocol,
	    (unsigned)CONTROL_PROTOCOL);
	control_fail(c, serial, -EPROTO, why);
	return -EPROTO;
}

int control_reply(struct control_link *c, uint64_t serial, struct bytes id, uint32_t result, const char *text, struct bytes body)
{
	OperatorReply m = CONTROL_INIT(OPERATOR_REPLY);
	Frame f = CONTROL_FRAME(OPERATOR_REPLY, operator_reply, &m);
	int r;

	f.serial = serial;
	m.id.data = (uint8_t *)(uintptr_t)id.at;
	m.id.len = id.len;
	m.result = result;
	m.text = CONTROL_STR(text);
	do {
		size_t n = body.len < CONTROL_PART_MAX ? body.len : CONTROL_PART_MAX;

		m.body.data = (uint8_t *)(uintptr_t)body.at;
		m.body.len = n;
		if (n)
			body.at += n;
		body.len -= n;
		m.last = body.len == 0;
		r = control_send(c, &f, NULL, 0);
		m.part++;
		m.text = NULL;
	} while (r == 0 && !m.last);
	return r;
}
