/* Bringing a controller up: compliant ones, poor ones, broken ones; and that a warm start says nothing to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/host_world.h"

static const struct radio *radio_of(const struct world *w) { return radio_next(&w->rig.arena, NULL); }
static const struct controller *controller_of(const struct world *w) { return controller_next(&w->rig.arena, NULL); }

static void check_commands(const struct world *w, const uint16_t *want, unsigned n)
{
	for (unsigned i = 0; i < n && i < w->commands_seen; i++)
		assert_int_equal(w->command[i].opcode, want[i]);
	assert_int_equal(w->commands_seen, n);
}
#define EXPECT_COMMANDS(w, ...) \
	check_commands(w, (const uint16_t[]){ __VA_ARGS__ }, sizeof((const uint16_t[]){ __VA_ARGS__ }) / sizeof(uint16_t))

static void test_a_compliant_controller(void **state)
{
	struct world *w = world_new(4);

	(void)state;
	assert_int_equal(w->commands_seen, 0);		/* not before it is configured */
	world_configure(w, true);
	/* Read Buffer Size is not asked: LE has its own buffers.  What is not supported is not sent. */
	EXPECT_COMMANDS(w, 0x0C03, 0x1001, 0x1002, 0x1003, 0x1009, 0x0C01, 0x2002, 0x2003, 0x2001, 0x2005,
	    0x2006, 0x2008, 0x2009, 0x200A);
	assert_memory_equal(world_last(w, 0x2005)->parameters, ((uint8_t[]){ 0xF5, 0xF4, 0xF3, 0xF2, 0xF1, 0xF0 }), 6);
	/* Parameters: intervals, ADV_IND, our random address. */
	assert_memory_equal(world_last(w, 0x2006)->parameters, ((uint8_t[]){ 0xA0, 0, 0xF0, 0, 0, 1 }), 6);
	assert_memory_equal(world_last(w, 0x2008)->parameters, ((uint8_t[]){ 3, 2, 1, 6 }), 4);
	assert_int_equal(world_last(w, 0x200A)->parameters[0], 1);
	/* LE mask: the four, Remote Connection Parameter Request and Data Length Change, no privacy. */
	assert_int_equal(world_last(w, 0x2001)->parameters[0], 0x7D);
	assert_int_equal(world_notices(w, NOTICE_READY), 1);
	assert_int_equal(world_notices(w, NOTICE_FAILED), 0);
	assert_int_equal(controller_of(w)->company, 0x0059);
	world_free(w);
}

static void test_no_link_no_bringup(void **state)
{
	struct world *w = world_new(2);

	(void)state;
	world_supervisor(w, (struct record){ .kind = RECORD_NEIGHBOUR_LOST, .index = LINK_DOWN }, BYTES_OF(0x15));
	world_configure(w, true);
	assert_int_equal(w->commands_seen, 0);		/* nobody would serve who connects */
	rig_attach(&w->rig, LINK_DOWN, 2);
	world_run(w);
	assert_int_equal(w->command[0].opcode, HCI_COMMAND_RESET);
	assert_int_equal(world_notices(w, NOTICE_READY), 1);
	world_free(w);
}

static void test_dual_mode_with_everything(void **state)
{
	struct world *w = world_new(2);

	(void)state;
	w->features = 1ull << 38;
	w->le_features = 1 << 1 | 1 << 5 | 1 << 6;
	w->commands[24] |= 0x40;
	w->commands[34] |= 0x01;
	world_configure(w, false);
	EXPECT_COMMANDS(w, 0x0C03, 0x1001, 0x1002, 0x1003, 0x1009, 0x0C01, 0x0C6D, 0x2002, 0x2003, 0x2001, 0x2024, 0x2005);
	assert_memory_equal(world_last(w, 0x2001)->parameters, ((uint8_t[]){ 0x7D, 0x02 }), 2);
	assert_int_equal(world_notices(w, NOTICE_READY), 1);	/* advertising was not asked for */
	world_free(w);
}

static void test_buffers(void **state)
{
	static const struct { uint16_t le_length, le_packets, length, packets, want_length, want_packets; } rows[] = {
		{ 27, 4, 1021, 6, 27, 4 },
		{ 0, 0, 1021, 6, FRAME_MAX, 6 },	/* shared: 7.8.2 */
		{ 251, 0, 339, 5, 339, 5 },
		{ 0, 4, 27, 1, 27, 1 },
		{ 65535, 255, 0, 0, FRAME_MAX, 255 },	/* longer than any frame of ours is no use */
		{ 0, 0, 0, 0, 0, 0 },			/* refused */
		{ 0, 0, 27, 0, 0, 0 },
		{ 0, 0, 0, 3, 0, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct world *w = world_new(1);

		w->le_length = rows[i].le_length;
		w->le_packets = rows[i].le_packets;
		w->shared_length = rows[i].length;
		w->shared_packets = rows[i].packets;
		world_configure(w, true);
		if (rows[i].want_length) {
			assert_int_equal(world_flow(w)->acl_length, rows[i].want_length);
			assert_int_equal(world_flow(w)->total, rows[i].want_packets);
			assert_int_equal(world_notices(w, NOTICE_READY), 1);
		} else {
			assert_int_equal(world_notices(w, NOTICE_READY), 0);
			assert_string_equal(world_notice(w, NOTICE_FAILED, NULL),
			    "READ_BUFFER_SIZE: it has no buffers for ACL data");
		}
		world_free(w);
	}
}

static void test_addresses(void **state)
{
	struct record config = { .kind = RECORD_CONFIG };
	struct world *w = world_new(1);

	(void)state;
	world_supervisor(w, config, BYTES_OF(CONFIG_DONE, 0));		/* no address given: the controller's own */
	assert_int_equal(world_count(w, 0x2005), 0);
	assert_int_equal(controller_of(w)->own_type, ADDRESS_PUBLIC);
	assert_memory_equal(controller_of(w)->own, w->address, 6);
	world_free(w);

	w = world_new(1);
	memset(w->address, 0, 6);		/* it has none: we make a static random one, and keep it */
	world_supervisor(w, config, BYTES_OF(CONFIG_DONE, 0));
	assert_int_equal(controller_of(w)->own_type, ADDRESS_RANDOM);
	assert_int_equal(controller_of(w)->own[5] & 0xC0, 0xC0);
	uint8_t own[6];
	memcpy(own, controller_of(w)->own, 6);
	world_event(w, HCI_EVENT_HARDWARE_ERROR, BYTES_OF(1));
	assert_int_equal(world_count(w, 0x0C03), 2);
	assert_memory_equal(controller_of(w)->own, own, 6);
	world_free(w);
}

/* A required step that is refused, in either form, is final and named; an optional one is not missed. */
static void test_refusals(void **state)
{
	static const uint16_t required[] = { 0x0C03, 0x1001, 0x1002, 0x1003, 0x1009, 0x0C01, 0x2002, 0x2003, 0x2001, 0x2005 };

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_LEN(required); i++) {
		struct world *w = world_new(1);
		uint32_t value;

		w->refuse = required[i / 2];
		w->refuse_by_status = i & 1;
		w->status = HCI_ERROR_UNKNOWN_HCI_COMMAND;
		world_configure(w, true);
		assert_non_null(strstr(world_notice(w, NOTICE_FAILED, &value), "it was refused"));
		assert_int_equal(value & 0xFFFF, HCI_ERROR_UNKNOWN_HCI_COMMAND);
		assert_int_equal(radio_of(w)->state, HOST_FAILED);
		assert_int_equal(w->command[w->commands_seen - 1].opcode, required[i / 2]);
		world_free(w);
	}
	struct world *w = world_new(1);

	w->commands[34] |= 1;
	w->refuse = 0x2024;
	w->status = HCI_ERROR_UNKNOWN_HCI_COMMAND;
	world_configure(w, true);
	assert_int_equal(world_notices(w, NOTICE_READY), 1);
	world_free(w);
}

static void test_short_answers(void **state)
{
	static const uint16_t with_answer[] = { 0x1001, 0x1002, 0x1003, 0x1009, 0x2002, 0x2003 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(with_answer); i++) {
		struct world *w = world_new(1);

		w->refuse = with_answer[i];
		w->status = 0;		/* success, and nothing behind it */
		world_configure(w, true);
		assert_non_null(strstr(world_notice(w, NOTICE_FAILED, NULL), "its answer is too short"));
		world_free(w);
	}
}

static void test_silence(void **state)
{
	struct world *w = world_new(1);

	(void)state;
	w->mute = 0x1009;
	world_configure(w, true);
	assert_int_equal(world_count(w, 0x0C03), 1);
	rig_sleep(&w->rig, COMMAND_DEADLINE_NS - 1);
	world_run(w);
	assert_int_equal(world_count(w, 0x0C03), 1);
	rig_sleep(&w->rig, 1);
	world_run(w);
	assert_int_equal(world_count(w, 0x0C03), 2);	/* one more Reset */
	assert_int_equal(world_notices(w, NOTICE_EVENT), 1);
	rig_sleep(&w->rig, COMMAND_DEADLINE_NS);
	world_run(w);
	assert_int_equal(world_count(w, 0x0C03), 2);	/* and no third */
	assert_non_null(strstr(world_notice(w, NOTICE_FAILED, NULL), "READ_BD_ADDR: no answer to a command"));
	rig_sleep(&w->rig, 60 * SECOND_NS);
	assert_int_equal(rig_counter(&w->rig, "command_timeouts"), 2);
	/* The transport begins anew: so do we. */
	w->mute = 0;
	world_supervisor(w, (struct record){ .kind = RECORD_CONFIG }, BYTES_OF(CONFIG_DONE, 1));
	assert_int_equal(world_count(w, 0x0C03), 2);
	rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_TRANSPORT_STATE }, BYTES_OF(0, 0, 0, 0, 0, 0, 0, 0, 0));
	world_run(w);
	rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_TRANSPORT_STATE }, BYTES_OF(1, 0, 0, 0, 0, 0, 0, 0, 0));
	world_run(w);
	assert_int_equal(world_notices(w, NOTICE_READY), 1);
	world_free(w);
}

static void test_credits_of_commands(void **state)
{
	struct world *w = world_new(1);

	(void)state;
	w->num_packets = 0;		/* it answers Reset, and then takes nothing */
	world_configure(w, true);
	assert_int_equal(w->commands_seen, 1);
	world_complete(w, 0x0000, 1, (struct bytes){ 0 });	/* opcode 0x0000: go on */
	assert_int_equal(w->commands_seen, 2);
	assert_int_equal(rig_counter(&w->rig, "answers_unasked"), 0);
	rig_sleep(&w->rig, COMMAND_DEADLINE_NS);		/* for ever: the ladder */
	world_run(w);
	assert_int_equal(world_count(w, 0x0C03), 2);
	rig_sleep(&w->rig, COMMAND_DEADLINE_NS);
	world_run(w);
	assert_non_null(strstr(world_notice(w, NOTICE_FAILED, NULL), "no command credits"));
	world_free(w);
}

static void test_answers_to_nothing(void **state)
{
	struct world *w = world_new(1);

	(void)state;
	w->all_mute = true;
	world_configure(w, true);
	assert_int_equal(w->commands_seen, 1);		/* Reset is out */
	world_complete(w, 0x1001, 1, BYTES_OF(0));	/* of another opcode */
	world_complete(w, 0x1002, 1, BYTES_OF(0));
	assert_int_equal(w->commands_seen, 1);
	assert_int_equal(rig_counter(&w->rig, "answers_unasked"), 2);
	w->all_mute = false;
	world_complete(w, 0x0C03, 1, BYTES_OF(0));
	assert_int_equal(world_notices(w, NOTICE_READY), 1);
	world_complete(w, 0x0C03, 1, BYTES_OF(0));	/* again, late */
	assert_int_equal(rig_counter(&w->rig, "answers_unasked"), 3);
	assert_int_equal(radio_of(w)->state, HOST_UP);
	world_free(w);
}

/* A hang after a while of good work is a new ladder; one at once after a recovery is not. */
static void test_ladder_after_service(void **state)
{
	struct world *w = world_up(1);

	(void)state;
	world_event(w, HCI_EVENT_HARDWARE_ERROR, BYTES_OF(7));
	assert_int_equal(world_notices(w, NOTICE_READY), 1);
	rig_sleep(&w->rig, STABLE_NS);
	world_event(w, HCI_EVENT_HARDWARE_ERROR, BYTES_OF(7));
	assert_int_equal(world_notices(w, NOTICE_READY), 2);
	world_event(w, HCI_EVENT_HARDWARE_ERROR, BYTES_OF(7));
	assert_int_equal(world_notices(w, NOTICE_FAILED), 1);
	world_free(w);
}

/* Killed in each record's step, the bring-up says the same to the controller, once. */
static void test_crashes_and_warm_starts(void **state)
{
	struct world *w = world_new(2);

	(void)state;
	w->rig.batch = 1;
	world_configure(w, true);
	world_forget(w);
	for (unsigned i = 0; i < 3; i++) {
		rig_restart(&w->rig);
		world_run(w);
		assert_int_equal(w->commands_seen, 0);
		assert_int_equal(w->supervisor_seen, 0);
	}
	world_free(w);

	w = world_new(2);
	rig_put(&w->rig, LINK_SUPERVISOR, (struct record){ .kind = RECORD_CONFIG }, BYTES_OF(CONFIG_ADVERTISING, 1, 0xA0, 0,
	    0xA0, 0));
	rig_put(&w->rig, LINK_SUPERVISOR, (struct record){ .kind = RECORD_CONFIG }, BYTES_OF(CONFIG_DONE, 0));
	w->all_mute = true;
	for (unsigned i = 0; i < 40; i++) {
		rig_crash(&w->rig);
		world_run(w);
		rig_crash(&w->rig);
		if (!w->commands_seen)
			continue;
		uint16_t last = w->command[w->commands_seen - 1].opcode;
		uint8_t ok[65] = { 0 };

		ok[5] = 0x40;		/* features: LE; as buffer size 0x40.. it stands, too */
		ok[1] = 27;
		ok[3] = 4;
		if (world_notices(w, NOTICE_READY))
			break;
		world_complete(w, last, 1, (struct bytes){ ok, sizeof ok });
	}
	EXPECT_COMMANDS(w, 0x0C03, 0x1001, 0x1002, 0x1003, 0x1009, 0x0C01, 0x2002, 0x2003, 0x2001, 0x2006, 0x2008, 0x2009,
	    0x200A);
	assert_int_equal(world_notices(w, NOTICE_READY), 1);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_compliant_controller),
		cmocka_unit_test(test_no_link_no_bringup),
		cmocka_unit_test(test_dual_mode_with_everything),
		cmocka_unit_test(test_buffers),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_short_answers),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_credits_of_commands),
		cmocka_unit_test(test_answers_to_nothing),
		cmocka_unit_test(test_ladder_after_service),
		cmocka_unit_test(test_crashes_and_warm_starts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
