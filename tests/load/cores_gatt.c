/* tests/load/cores_gatt.c - gattd's core under a hostd that hands back in batches what it was given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/lib/gatt_world.h"
#include "tests/load/cores_own.h"
#include "wire/l2cap_names.h"

enum { HANDLE = 0x12, CCCD = 0x16 };	/* a write at HANDLE is repeated at 0x15, whose CCCD it is */

/* What gattd gave is taken, and its window handed back.  Returns the PDUs. */
static unsigned gatt_return(struct gatt_world *w, unsigned connections, uint32_t owed[256])
{
	unsigned heard = 0;
	struct record r;
	struct bytes p;

	while (rig_get(&w->rig, LINK_UP, &r, &p))
		if (r.kind == RECORD_L2CAP_PDU) {
			owed[r.index] += r.len + 2;
			heard++;
		}
	for (unsigned i = 0; i < connections; i++)
		if (owed[i] >= 512) {
			rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_CREDIT, .index = (uint16_t)i,
			    .generation = w->client[i].generation },
			    OCTETS_OF((uint8_t)owed[i], (uint8_t)(owed[i] >> 8), (uint8_t)(owed[i] >> 16), 0));
			owed[i] = 0;
		}
	return heard;
}

double gatt_ns(bool echo, const struct core_load *l)
{
	struct gatt_world *w = gw_new(l->connections);
	uint32_t owed[256] = { 0 };
	uint8_t pdu[2 + VALUE + 3] = { L2CAP_CID_ATT };
	uint64_t ns = 0, heard = 0;
	unsigned done = 0;

	for (unsigned i = 0; i < l->connections; i++) {
		w->window_out = 16384;
		gw_connect(w, (uint16_t)i);
		gw_mtu(w, (uint16_t)i, 247);
	}
	if (echo)
		gw_subscribe(w, 0, CCCD, 1);
	gw_forget(w);
	while (done < l->packets) {
		for (unsigned n = core_batch(l, done); n--; done++) {
			unsigned c = done % l->connections;

			core_att(pdu + 2, ATT_WRITE_COMMAND, HANDLE, done);
			rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_L2CAP_PDU, .index = (uint16_t)c,
			    .generation = w->client[c].generation }, (struct bytes){ pdu, sizeof pdu });
		}
		ns += core_measured(&w->rig);
		heard += gatt_return(w, l->connections, owed);
	}
	for (uint64_t had = heard + 1; had != heard; ) {
		had = heard;
		ns += core_measured(&w->rig);
		heard += gatt_return(w, l->connections, owed);
	}
	if (echo && heard != done)
		fail_msg("%llu of %u packets came through", (unsigned long long)heard, done);
	rig_close(&w->rig);
	free(w);
	return (double)ns / done;
}
