/* tests/load/cores_host.c - hostd's core between a controller and a gattd that take all and hand it back in batches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/lib/host_world.h"
#include "tests/load/cores_own.h"
#include "wire/l2cap_names.h"

struct host_side {
	struct world *w;
	struct record named[256];
	uint32_t owed[256];
	unsigned completed[256];
	uint64_t heard;
};

static void host_open(struct host_side *s, unsigned connections)
{
	s->w = world_new(connections);
	s->w->le_length = 251;
	s->w->le_packets = 64;
	world_configure(s->w, true);
	for (unsigned i = 0; i < connections; i++) {
		world_forget(s->w);
		world_connect(s->w, (uint16_t)(0x40 + i));
		s->named[i] = world_told(s->w, RECORD_CONNECTED)->h;
		world_gattd(s->w, &s->named[i], RECORD_CREDIT, BYTES_OF(0, 0x60, 0, 0));	/* gattd has room */
	}
}

static void host_collect(struct host_side *s)
{
	struct rig *g = &s->w->rig;
	struct record r;
	struct bytes p;

	while (rig_get(g, LINK_UP, &r, &p))
		if (r.kind == RECORD_HCI_ACL) {
			s->completed[(p.at[0] | (p.at[1] & 0x0F) << 8) - 0x40]++;
			s->heard++;
		}
	while (rig_get(g, LINK_DOWN, &r, &p))
		if (r.kind == RECORD_L2CAP_PDU) {
			for (unsigned i = 0; i < 256; i++)
				if (s->named[i].index == r.index && s->named[i].generation == r.generation)
					s->owed[i] += r.len + 2;
			s->heard++;
		}
}

/* One Number Of Completed Packets, one credit for each connection that is owed some. */
static void host_return(struct host_side *s, unsigned connections)
{
	uint8_t event[2 + 1 + 4 * 60] = { HCI_EVENT_NUMBER_OF_COMPLETED_PACKETS };
	unsigned n = 0;

	for (unsigned i = 0; i < connections; i++) {
		if (s->completed[i] && n < 60) {
			memcpy(event + 3 + 4 * n, (const uint8_t[]){ (uint8_t)(0x40 + i), (uint8_t)((0x40 + i) >> 8),
			    (uint8_t)s->completed[i], 0 }, 4);
			n++;
			s->completed[i] = 0;
		}
		if (s->owed[i] >= 512) {
			rig_put(&s->w->rig, LINK_DOWN, (struct record){ .kind = RECORD_CREDIT, .index = s->named[i].index,
			    .generation = s->named[i].generation }, BYTES_OF((uint8_t)s->owed[i], (uint8_t)(s->owed[i] >> 8), 0, 0));
			s->owed[i] = 0;
		}
	}
	event[1] = (uint8_t)(1 + 4 * n);
	event[2] = (uint8_t)n;
	if (n)
		rig_put(&s->w->rig, LINK_UP, (struct record){ .kind = RECORD_HCI_EVENT }, (struct bytes){ event, 3 + 4 * (size_t)n });
}

double host_ns(bool in, const struct core_load *l)
{
	static struct host_side side;
	uint8_t pdu[VALUE + 3], packet[VALUE + 11] = { 0, 0x20, VALUE + 7, 0, VALUE + 3, 0, L2CAP_CID_ATT, 0 };
	uint64_t ns = 0;
	unsigned done = 0;

	memset(&side, 0, sizeof side);
	host_open(&side, l->connections);
	host_collect(&side);
	side.heard = 0;
	while (done < l->packets) {
		for (unsigned n = core_batch(l, done); n--; done++) {
			unsigned c = done % l->connections;
			struct bytes b = core_att(pdu, in ? ATT_WRITE_COMMAND : ATT_HANDLE_VALUE_NOTIFICATION, 3, done);
			struct record r = { .kind = in ? RECORD_HCI_ACL : RECORD_L2CAP_PDU, .index = side.named[c].index,
				.generation = side.named[c].generation };

			memcpy(packet + 8, b.at, b.len);
			packet[0] = (uint8_t)(0x40 + c);
			packet[1] = (uint8_t)(0x20 | (0x40 + c) >> 8);
			if (in)
				rig_put(&side.w->rig, LINK_UP, r, (struct bytes){ packet, sizeof packet });
			else
				rig_put(&side.w->rig, LINK_DOWN, r, (struct bytes){ packet + 6, b.len + 2 });
		}
		ns += core_measured(&side.w->rig);
		host_collect(&side);
		host_return(&side, l->connections);
	}
	while (side.heard < done && rig_counter(&side.w->rig, "window_discarded") == 0) {
		uint64_t had = side.heard;

		ns += core_measured(&side.w->rig);
		host_collect(&side);
		host_return(&side, l->connections);
		if (side.heard == had)
			break;
	}
	if (side.heard != done)
		fail_msg("%llu of %u packets came through", (unsigned long long)side.heard, done);
	rig_close(&side.w->rig);
	free(side.w);
	return (double)ns / done;
}
