/* tests/lib/story_hostd.c - see story_hostd.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/host_world.h"
#include "tests/lib/story_hostd.h"
#include "wire/l2cap_names.h"

static uint8_t ramp_octets[600];
static struct bytes ramp(size_t n)
{
	for (size_t i = 0; i < n; i++)
		ramp_octets[i] = (uint8_t)(i * 7 + n);
	return (struct bytes){ ramp_octets, n };
}

/* What was said under `hold` happens now, in one scene. */
static void all_at_once(struct world *w)
{
	w->hold = false;
	world_run(w);
	w->hold = true;
}

static void data_in(struct world *w)
{
	uint8_t frame[104] = { 100, 0, 4, 0 };

	memcpy(frame + 4, ramp(100).at, 100);
	world_acl(w, 0x40, HCI_FIRST_FLUSHABLE, (struct bytes){ frame, 27 });
	world_acl(w, 0x41, HCI_FIRST_FLUSHABLE, (struct bytes){ frame, 54 });
	world_acl(w, 0x40, HCI_CONTINUING, (struct bytes){ frame + 27, 50 });
	world_acl(w, 0x41, HCI_CONTINUING, (struct bytes){ frame + 54, 50 });
	world_acl(w, 0x40, HCI_CONTINUING, (struct bytes){ frame + 77, 27 });
	all_at_once(w);
	for (unsigned i = 0; i < 6; i++)
		world_frame(w, 0x40, L2CAP_CID_ATT, ramp(3 + 40 * i));
	world_frame(w, 0x41, L2CAP_CID_ATT, ramp(517));
	world_acl(w, 0x41, HCI_CONTINUING, ramp(10));		/* continues nothing */
	world_acl(w, 0x99, HCI_FIRST_FLUSHABLE, ramp(10));	/* nobody's, yet */
	all_at_once(w);
}

/* Gattd hands nothing back: its window runs out, and what comes is held for it. */
static void data_held(struct world *w, const struct record *one)
{
	for (unsigned i = 0; i < 5; i++)
		world_frame(w, 0x40, L2CAP_CID_ATT, ramp(480));
	all_at_once(w);
	for (unsigned i = 0; i < 4; i++)
		world_gattd(w, one, RECORD_CREDIT, BYTES_OF(0x00, 3, 0, 0));
	all_at_once(w);
}

/* Longer than the controller has buffers for, from two connections at once. */
static void data_out(struct world *w, const struct record *one, const struct record *two)
{
	world_pdu(w, one, L2CAP_CID_ATT, ramp(244));
	world_pdu(w, two, L2CAP_CID_ATT, ramp(20));
	world_pdu(w, one, L2CAP_CID_ATT, ramp(21));
	world_pdu(w, two, L2CAP_CID_ATT, ramp(100));
	all_at_once(w);
	for (unsigned i = 0; i < 5; i++) {
		world_completed(w, 0x40, 2);
		world_completed(w, 0x41, 1);
		world_completed(w, 0x41, 1);
		if (i == 2)
			world_pdu(w, two, L2CAP_CID_ATT, ramp(60));
		all_at_once(w);
	}
}

static void requests(struct world *w)
{
	uint8_t body[20] = { 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, REQUEST_STATUS, 0, 0 };

	world_supervisor(w, (struct record){ .kind = RECORD_REQUEST }, (struct bytes){ body, 19 });
	body[0]++;
	body[16] = REQUEST_ADVERTISE;
	world_supervisor(w, (struct record){ .kind = RECORD_REQUEST }, (struct bytes){ body, 18 });
	world_supervisor(w, (struct record){ .kind = RECORD_REQUEST }, (struct bytes){ body, 18 });	/* asked again */
	all_at_once(w);
}

static void both_end(struct world *w, const struct record *one, const struct record *two)
{
	world_gattd(w, one, RECORD_DISCONNECT, BYTES_OF(0x13));
	world_pdu(w, two, L2CAP_CID_ATT, ramp(200));
	all_at_once(w);
	world_disconnect(w, 0x40, 0x16);
	world_gattd(w, one, RECORD_CREDIT, BYTES_OF(1, 0, 0, 0));	/* nobody's any more */
	world_disconnect(w, 0x41, 0x08);
	all_at_once(w);
	world_connect(w, 0x40);
	all_at_once(w);
	rig_sleep(&w->rig, SECOND_NS / 2);	/* early data that nobody claimed */
}

/* Records in quarantine, each between others of its scene: data of nobody, data of a connection, and gattd's, by the second rung. */
static void poison(struct world *w)
{
	const struct record data = { .kind = RECORD_HCI_ACL, .generation = 1 };
	struct record three = world_told(w, RECORD_CONNECTED)->h, of_nobody = data, of_three = data;

	of_nobody.index = 0x99;
	of_three.index = 0x40;
	w->hold = true;
	world_frame(w, 0x40, L2CAP_CID_ATT, ramp(40));
	world_acl(w, 0x99, HCI_FIRST_FLUSHABLE, ramp(10));
	rig_skip_next(&w->rig, RUNG_SKIP_RECORD);
	rig_put(&w->rig, LINK_UP, of_nobody, ramp(20));
	world_frame(w, 0x40, L2CAP_CID_ATT, ramp(41));
	all_at_once(w);
	world_pdu(w, &three, L2CAP_CID_ATT, ramp(60));
	world_frame(w, 0x40, L2CAP_CID_ATT, ramp(42));
	rig_skip_next(&w->rig, RUNG_SKIP_RECORD);
	rig_put(&w->rig, LINK_UP, of_three, ramp(30));
	world_frame(w, 0x40, L2CAP_CID_ATT, ramp(43));
	all_at_once(w);
	world_pdu(w, &three, L2CAP_CID_ATT, ramp(20));
	rig_skip_next(&w->rig, RUNG_RESET_CONNECTION);
	world_pdu(w, &three, L2CAP_CID_ATT, ramp(50));
	world_pdu(w, &three, L2CAP_CID_ATT, ramp(21));
	all_at_once(w);
	world_disconnect(w, 0x40, 0x16);
	all_at_once(w);
	assert_int_equal(rig_counter(&w->rig, "records_poisoned"), 3);
}

struct tape *story_hostd(void)
{
	struct tape *t = tape_new("hostd");
	struct record one, two;
	struct world *w;

	rig_record(t);
	w = world_new(2);
	world_configure(w, true);
	world_acl(w, 0x41, HCI_FIRST_FLUSHABLE, BYTES_OF(3, 0, 4, 0, 0x0A, 3, 0));	/* before its connection */
	world_connect(w, 0x40);
	one = world_told(w, RECORD_CONNECTED)->h;
	world_connect(w, 0x41);
	two = world_told(w, RECORD_CONNECTED)->h;
	w->hold = true;
	data_in(w);
	data_out(w, &one, &two);
	world_frame(w, 0x40, L2CAP_CID_LE_SIGNALLING, BYTES_OF(0x14, 5, 10, 0, 0x80, 0, 0x40, 0, 0, 2, 0xF7, 0, 10, 0));
	all_at_once(w);
	world_completed(w, 0x40, 4);
	world_completed(w, 0x41, 4);
	all_at_once(w);
	data_held(w, &one);
	requests(w);
	both_end(w, &one, &two);
	poison(w);
	w->hold = false;
	world_free(w);
	rig_record(NULL);
	return t;
}
