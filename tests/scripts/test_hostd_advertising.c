/* Advertising: on whenever it is wanted, a slot is free and the controller allows it; live changes of what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/host_world.h"

enum { PARAMETERS = 0x2006, DATA = 0x2008, SCAN = 0x2009, ENABLE = 0x200A };

static bool advertising(const struct world *w) { return advertiser_next(&w->rig.arena, NULL)->state == ADVERTISER_ON; }
static void config(struct world *w, struct bytes value) { world_supervisor(w, (struct record){ .kind = RECORD_CONFIG }, value); }

static void test_starts_again_while_a_slot_is_free(void **state)
{
	struct world *w = world_up(3);

	(void)state;
	world_connect(w, 0x40);
	assert_int_equal(world_count(w, ENABLE), 1);		/* enable alone: the controller keeps the rest */
	assert_int_equal(world_count(w, PARAMETERS), 0);
	world_connect(w, 0x41);
	assert_int_equal(world_count(w, ENABLE), 2);
	world_connect(w, 0x42);
	assert_int_equal(world_count(w, ENABLE), 2);		/* full */
	assert_false(advertising(w));
	world_disconnect(w, 0x41, 0x13);
	assert_int_equal(world_count(w, ENABLE), 3);
	assert_true(advertising(w));
	world_free(w);
}

/* 0x0C while connected: this controller does not do both.  Not asked again before a connection ends. */
static void test_command_disallowed(void **state)
{
	static const uint8_t statuses[] = { HCI_ERROR_COMMAND_DISALLOWED, HCI_ERROR_CONNECTION_LIMIT_EXCEEDED };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(statuses); i++) {
		struct world *w = world_up(4);

		w->refuse = ENABLE;
		w->status = statuses[i];
		world_connect(w, 0x40);
		assert_int_equal(world_count(w, ENABLE), 1);
		rig_sleep(&w->rig, 100 * SECOND_NS);
		world_run(w);
		assert_int_equal(world_count(w, ENABLE), 1);
		assert_int_equal(world_notices(w, NOTICE_FAILED), 0);
		w->refuse = 0;
		world_disconnect(w, 0x40, 0x13);
		assert_int_equal(world_count(w, ENABLE), 2);
		assert_true(advertising(w));
		world_free(w);
	}
}

static void test_refused_with_nobody_there(void **state)
{
	static const uint16_t steps[] = { PARAMETERS, DATA, SCAN, ENABLE };
	uint32_t value;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
		struct world *w = world_new(1);

		w->refuse = steps[i];
		w->status = HCI_ERROR_COMMAND_DISALLOWED;
		world_configure(w, true);
		assert_int_equal(world_notices(w, NOTICE_READY), 0);
		world_notice(w, NOTICE_FAILED, &value);
		assert_int_equal(value, (uint32_t)steps[i] << 16 | HCI_ERROR_COMMAND_DISALLOWED);
		assert_int_equal(world_count(w, steps[i]), 1);
		world_free(w);
	}
}

static void test_live_reload(void **state)
{
	struct world *w = world_up(2);

	(void)state;
	config(w, BYTES_OF(CONFIG_ADVERTISING_DATA, 3, 3, 0x0F, 0x18));
	config(w, BYTES_OF(CONFIG_ADVERTISING, 1, 0x20, 0, 0x30, 0));
	assert_int_equal(w->commands_seen, 0);			/* not before DONE */
	config(w, BYTES_OF(CONFIG_DONE, 1));
	assert_int_equal(w->commands_seen, 5);
	assert_int_equal(w->command[0].opcode, ENABLE);
	assert_int_equal(w->command[0].parameters[0], 0);	/* stop, set, start */
	assert_int_equal(w->command[1].opcode, PARAMETERS);
	assert_memory_equal(w->command[1].parameters, ((uint8_t[]){ 0x20, 0, 0x30, 0 }), 4);
	assert_memory_equal(w->command[2].parameters, ((uint8_t[]){ 4, 3, 3, 0x0F, 0x18, 0 }), 6);
	assert_int_equal(w->command[4].opcode, ENABLE);
	assert_int_equal(w->command[4].parameters[0], 1);
	world_forget(w);
	config(w, BYTES_OF(CONFIG_ADVERTISING_DATA, 3, 3, 0x0F, 0x18));	/* the same again, and a cold key */
	config(w, BYTES_OF(CONFIG_OWN_ADDRESS, 1, 1, 1, 1, 1, 1, 0xC1));
	config(w, BYTES_OF(CONFIG_DONE, 1));
	assert_int_equal(w->commands_seen, 0);
	assert_int_equal(rig_counter(&w->rig, "config_ignored"), 1);
	config(w, BYTES_OF(CONFIG_ADVERTISING, 0, 0x20, 0, 0x30, 0));
	config(w, BYTES_OF(CONFIG_DONE, 1));
	assert_int_equal(w->commands_seen, 1);
	assert_false(advertising(w));
	world_free(w);
}

/* A connection comes while the command to stop is on its way. */
static void test_reload_crosses_a_connection(void **state)
{
	struct world *w = world_up(3);

	(void)state;
	w->mute = ENABLE;
	config(w, BYTES_OF(CONFIG_ADVERTISING_DATA, 2, 1, 4));
	config(w, BYTES_OF(CONFIG_DONE, 1));
	assert_int_equal(w->commands_seen, 1);
	world_connect(w, 0x40);
	w->mute = 0;
	world_complete(w, ENABLE, 1, BYTES_OF(HCI_ERROR_COMMAND_DISALLOWED));	/* there was nothing to stop any more */
	assert_true(advertising(w));
	assert_memory_equal(world_last(w, DATA)->parameters, ((uint8_t[]){ 3, 2, 1, 4 }), 4);
	world_free(w);
}

static void test_bad_configuration(void **state)
{
	struct world *w = world_new(1);
	uint8_t longer[33] = { CONFIG_ADVERTISING_DATA };

	(void)state;
	config(w, (struct bytes){ longer, 33 });		/* 32 octets: refused */
	config(w, BYTES_OF(CONFIG_ADVERTISING, 1, 0x10, 0, 0x30, 0));
	config(w, BYTES_OF(CONFIG_ADVERTISING, 1, 0x30, 0, 0x20, 0));
	config(w, BYTES_OF(CONFIG_OWN_ADDRESS, 2, 1, 2, 3, 4, 5, 6));
	config(w, BYTES_OF(0x7F, 1));
	config(w, (struct bytes){ 0 });
	assert_int_equal(rig_counter(&w->rig, "records_bad"), 6);
	config(w, (struct bytes){ longer, 32 });
	world_configure(w, true);
	assert_int_equal(world_notices(w, NOTICE_READY), 1);
	world_free(w);
}

/* The operator's word stays until the file says something new. */
static void test_operator(void **state)
{
	struct world *w = world_up(1);
	uint8_t request[18] = { 1, [16] = REQUEST_ADVERTISE, 0 };
	struct record h = { .kind = RECORD_REQUEST };

	(void)state;
	world_supervisor(w, h, (struct bytes){ request, sizeof request });
	assert_false(advertising(w));
	config(w, BYTES_OF(CONFIG_ADVERTISING, 1, 0xA0, 0, 0xF0, 0));	/* its supervisor came back and says all again */
	config(w, BYTES_OF(CONFIG_DONE, 0));
	assert_false(advertising(w));
	request[0] = 2;
	request[17] = 1;
	world_supervisor(w, h, (struct bytes){ request, sizeof request });
	assert_true(advertising(w));
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_starts_again_while_a_slot_is_free),
		cmocka_unit_test(test_command_disallowed),
		cmocka_unit_test(test_refused_with_nobody_there),
		cmocka_unit_test(test_live_reload),
		cmocka_unit_test(test_reload_crosses_a_connection),
		cmocka_unit_test(test_bad_configuration),
		cmocka_unit_test(test_operator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
