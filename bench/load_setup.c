/* bench/load_setup.c */
#include <errno.h>
#include "base/types.h"
#include "bench/load_setup.h"
#include "wire/wire.h"

enum { TURNS = 100, TURN_MS = 50 };

struct asking { struct far *f; const struct far_link *l; uint8_t pdu[FAR_MTU]; size_t len; };

static void on_answer(void *ctx, struct far_link *l, struct bytes pdu)
{
	struct asking *a = ctx;

	if (pdu.at[0] == ATT_HANDLE_VALUE_NOTIFICATION)
		return;			/* of the load before */
	if (l != a->l || pdu.len > sizeof a->pdu)
		return far_break(a->f, "connection %u: an answer that nobody asked for", l->index);
	memcpy(a->pdu, pdu.at, pdu.len);
	a->len = pdu.len;
}

/* Send a request, wait for its answer, which must have that opcode. */
static int ask(struct asking *a, struct far_link *l, uint8_t opcode, struct bytes pdu)
{
	int e = 0;

	a->l = l;
	a->len = 0;
	a->f->on_att = on_answer;
	a->f->ctx = a;
	memcpy(far_att(a->f, l, pdu.len), pdu.at, pdu.len);
	for (unsigned n = 0; !e && !a->len && n < TURNS; n++)
		e = far_turn(a->f, TURN_MS);
	a->f->on_att = NULL;
	if (!e && (!a->len || a->pdu[0] != opcode)) {
		far_break(a->f, "connection %u: request 0x%02X was answered by 0x%02X", l->index, pdu.at[0], a->len ? a->pdu[0] : 0);
		e = -EPROTO;
	}
	return e;
}

static int subscribe(struct asking *a, struct far_link *l, uint16_t cccd, bool on)
{
	uint8_t pdu[] = { ATT_WRITE_REQUEST, (uint8_t)cccd, (uint8_t)(cccd >> 8), on, 0 };
	int e;

	if (l->subscribed == on)
		return 0;
	e = ask(a, l, ATT_WRITE_RESPONSE, (struct bytes){ pdu, sizeof pdu });
	l->subscribed = on;
	return e;
}

int load_connect(struct far *f, const struct load *l)
{
	static const uint8_t mtu[] = { ATT_EXCHANGE_MTU_REQUEST, FAR_MTU, 0 };
	struct asking a = { .f = f };
	int e = 0;

	for (unsigned i = l->connections; i < FAR_LINKS; i++)
		if (f->link[i].open)
			far_disconnect(f, i);
	for (unsigned i = 0; !e && i < l->connections; i++) {
		if (!f->link[i].open) {
			e = far_connect(f, i);
			if (!e)
				e = ask(&a, &f->link[i], ATT_EXCHANGE_MTU_RESPONSE, (struct bytes){ mtu, sizeof mtu });
		}
		if (!e)
			e = subscribe(&a, &f->link[i], l->cccd, l->kind == LOAD_NOTIFY);
	}
	return e;
}

int load_read_back(struct far *f, const struct load *l, uint32_t want)
{
	uint8_t pdu[] = { ATT_READ_REQUEST, (uint8_t)l->write, (uint8_t)(l->write >> 8) };
	struct asking a = { .f = f };
	int e = ask(&a, &f->link[0], ATT_READ_RESPONSE, (struct bytes){ pdu, sizeof pdu });

	if (e)
		return e;
	if (a.len != 1u + l->size || (a.pdu[1] | a.pdu[2] << 8 | a.pdu[3] << 16) != (int)(want & 0xFFFFFF)) {
		far_break(f, "the value read back is not the last one written (%u), or not of its length", want);
		return -EPROTO;
	}
	return 0;
}
