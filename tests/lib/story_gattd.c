/* tests/lib/story_gattd.c - see story_gattd.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/gatt_world.h"
#include "tests/lib/story_gattd.h"

enum { ATT = 4, SMP = 6, ECHO = 0x12, HEARD = 0x15, HEARD_CCCD = 0x16, LONG = 0x24, LEVEL = 0x32, LEVEL_CCCD = 0x33 };

static void discover(struct gatt_world *w)
{
	gw_put(w, 0, ATT, OCTETS_OF(0x10, 1, 0, 0xFF, 0xFF, 0x00, 0x28));	/* Read By Group Type */
	gw_put(w, 1, ATT, OCTETS_OF(0x10, 1, 0, 0xFF, 0xFF, 0x00, 0x28));
	gw_put(w, 0, ATT, OCTETS_OF(0x08, 0x10, 0, 0x24, 0, 0x03, 0x28));	/* Read By Type */
	gw_put(w, 0, ATT, OCTETS_OF(0x04, 0x13, 0, 0x17, 0));			/* Find Information */
	gw_put(w, 1, ATT, OCTETS_OF(0x06, 1, 0, 0xFF, 0xFF, 0x00, 0x28, 0x01, 0x18));	/* Find By Type Value */
	gw_put(w, 0, ATT, OCTETS_OF(0x0A, 0x03, 0));				/* Read */
	gw_put(w, 0, ATT, OCTETS_OF(0x0C, 0x22, 0, 22, 0));			/* Read Blob */
	gw_put(w, 1, ATT, OCTETS_OF(0x0E, 0x03, 0, 0x05, 0));			/* Read Multiple */
	gw_put(w, 1, ATT, OCTETS_OF(0x0A, 0x77, 0));				/* no such handle */
	gw_put(w, 1, SMP, OCTETS_OF(0x01, 3, 0, 1, 16, 1, 1));			/* Pairing Request */
	gw_run(w);
}

/* Echoes to both subscribers while one takes nothing: queued in the arena, then told in turns. */
static void echo(struct gatt_world *w)
{
	uint8_t pdu[3 + 120] = { 0x52, ECHO, 0 };

	w->client[1].hold = true;
	for (unsigned i = 0; i < 10; i++) {
		memset(pdu + 3, (int)(0x30 + i), sizeof pdu - 3);
		gw_put(w, 0, ATT, (struct bytes){ pdu, 3 + 12 * i });
	}
	gw_run(w);
	for (unsigned i = 0; i < 12; i++)
		gw_put(w, 0, ATT, (struct bytes){ pdu, sizeof pdu });
	gw_run(w);
	for (unsigned i = 0; i < 12; i++)
		gw_put(w, 0, ATT, (struct bytes){ pdu, sizeof pdu });
	gw_run(w);
	w->client[1].hold = false;
	gw_credit(w, 1);
}

static void writes(struct gatt_world *w)
{
	gw_put(w, 0, ATT, OCTETS_OF(0x12, LONG, 0, 'n', 'e', 'w'));
	gw_put(w, 1, ATT, OCTETS_OF(0x52, LONG, 0, 'n', 'e', 'w', 'e', 'r'));
	gw_put(w, 0, ATT, OCTETS_OF(0x16, LONG, 0, 0, 0, 'p', 'r', 'e'));	/* Prepare Write */
	gw_put(w, 1, ATT, OCTETS_OF(0x16, LONG, 0, 0, 0, 'n', 'o', 't'));
	gw_put(w, 0, ATT, OCTETS_OF(0x16, LONG, 0, 3, 0, 'p', 'a', 'r', 'e', 'd'));
	gw_put(w, 0, ATT, OCTETS_OF(0x18, 1));					/* Execute */
	gw_put(w, 1, ATT, OCTETS_OF(0x18, 0));					/* ... cancel */
	gw_put(w, 1, ATT, OCTETS_OF(0x0A, LONG, 0));
	gw_run(w);
}

static void operator(struct gatt_world *w)
{
	uint8_t value[200];

	memset(value, 0x5A, sizeof value);
	gw_set(w, 1, LEVEL, OCTETS_OF(0x63));
	gw_set_uuid(w, 2, OCTETS_OF(0x19, 0x2A), OCTETS_OF(0x62));
	gw_set(w, 3, HEARD, (struct bytes){ value, sizeof value });
	gw_set(w, 3, HEARD, (struct bytes){ value, sizeof value });	/* asked again */
	gw_put(w, 1, ATT, OCTETS_OF(0x1E));				/* Confirmation of the indication */
	gw_set(w, 4, HEARD, OCTETS_OF(1, 2, 3));
	gw_sleep(w, 31000000000ull);					/* and the next one is never confirmed */
}

/* Records in quarantine, each between others of its scene: a PDU and, by the second rung, another; then a connection's end. */
static void poison(struct gatt_world *w)
{
	gw_put(w, 0, ATT, OCTETS_OF(0x12, LONG, 0, 'o', 'n', 'e'));
	rig_skip_next(&w->rig, RUNG_SKIP_RECORD);
	gw_put(w, 0, ATT, OCTETS_OF(0x12, LONG, 0, 'b', 'a', 'd'));
	gw_put(w, 0, ATT, OCTETS_OF(0x0A, LONG, 0));
	gw_put(w, 1, ATT, OCTETS_OF(0x0A, LONG, 0));
	gw_run(w);
	gw_put(w, 1, ATT, OCTETS_OF(0x0A, LONG, 0));
	rig_skip_next(&w->rig, RUNG_RESET_CONNECTION);
	gw_put(w, 1, ATT, OCTETS_OF(0x12, LONG, 0, 'b', 'a', 'd'));
	gw_put(w, 1, ATT, OCTETS_OF(0x0A, LONG, 0));
	gw_run(w);
	gw_disconnect(w, 1);
	rig_skip_next(&w->rig, RUNG_SKIP_RECORD);
	gw_disconnect(w, 0);
	assert_int_equal(gw_counter(w, "poisoned"), 3);
}

struct tape *story_gattd(void)
{
	struct tape *t = tape_new("gattd");
	struct gatt_world *w;

	rig_record(t);
	w = gw_new(2);
	gw_connect(w, 0);
	gw_connect(w, 1);
	gw_mtu(w, 0, 185);
	gw_mtu(w, 1, 517);
	gw_subscribe(w, 0, HEARD_CCCD, 1);
	gw_subscribe(w, 1, HEARD_CCCD, 1);
	gw_subscribe(w, 0, LEVEL_CCCD, 1);
	discover(w);
	echo(w);
	writes(w);
	gw_subscribe(w, 1, HEARD_CCCD, 2);
	operator(w);
	gw_disconnect(w, 0);
	gw_connect(w, 0);
	gw_put(w, 0, ATT, OCTETS_OF(0x0A, LONG, 0));
	gw_run(w);
	poison(w);
	gw_free(w);
	rig_record(NULL);
	return t;
}
