/* transportd's worker is away for a while: nobody can answer, so no deadline is met; once it is back, they all begin anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/host_world.h"
#include "wire/hci_error.h"

static const struct radio *radio_of(const struct world *w) { return radio_next(&w->rig.arena, NULL); }

static void say(struct world *w, uint8_t kind, unsigned link)
{
	world_supervisor(w, (struct record){ .kind = kind, .index = (uint16_t)link, .generation = 1 }, (struct bytes){ 0 });
}

static void sleep_and_run(struct world *w, uint64_t span_ns)
{
	rig_sleep(&w->rig, span_ns);
	world_run(w);
}

/* Up, with a connection, and the command that lets others connect sent but not answered. */
static struct world *with_command(void)
{
	struct world *w = world_up(2);

	w->all_mute = true;
	world_connect(w, 0x40);
	assert_int_equal(world_last(w, HCI_COMMAND_LE_SET_ADVERTISING_ENABLE)->parameters[0], 1);
	world_forget(w);
	return w;
}

static void all_goes_on(struct world *w)
{
	w->all_mute = false;
	world_complete(w, HCI_COMMAND_LE_SET_ADVERTISING_ENABLE, 1, BYTES_OF(0));
	rig_sleep(&w->rig, 60 * SECOND_NS);
	world_run(w);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 0);
	assert_int_equal(rig_counter(&w->rig, "command_timeouts"), 0);
	assert_int_equal(w->down_seen + w->supervisor_seen, 0);		/* nobody has noticed */
	assert_true(hostd_core.deadline(&w->rig.step) == DEADLINE_NONE);
}

static void test_an_answer_that_waits(void **state)
{
	struct world *w = with_command();

	(void)state;
	sleep_and_run(w, COMMAND_DEADLINE_NS - 1);
	say(w, RECORD_NEIGHBOUR_AWAY, LINK_UP);
	sleep_and_run(w, 14 * SECOND_NS);
	say(w, RECORD_NEIGHBOUR_BACK, LINK_UP);
	sleep_and_run(w, COMMAND_DEADLINE_NS - 1);
	all_goes_on(w);
	world_free(w);
}

static void test_away_again_and_again(void **state)
{
	struct world *w = with_command();

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		say(w, RECORD_NEIGHBOUR_AWAY, LINK_UP);
		sleep_and_run(w, SECOND_NS);
		say(w, RECORD_NEIGHBOUR_BACK, LINK_UP);
		sleep_and_run(w, SECOND_NS);
	}
	all_goes_on(w);
	world_free(w);
}

static void test_no_answer_after_all(void **state)
{
	struct world *w = with_command();

	(void)state;
	say(w, RECORD_NEIGHBOUR_AWAY, LINK_UP);
	sleep_and_run(w, 5 * SECOND_NS);
	say(w, RECORD_NEIGHBOUR_BACK, LINK_UP);
	assert_true(hostd_core.deadline(&w->rig.step) == w->rig.now_ns + COMMAND_DEADLINE_NS);
	sleep_and_run(w, COMMAND_DEADLINE_NS - 1);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 0);
	w->all_mute = false;
	sleep_and_run(w, 1);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 1);
	assert_int_equal(world_told_count(w, RECORD_DISCONNECTED), 1);
	world_free(w);
}

/* Its supervisor never says that it is back, nor that it is lost: not for ever. */
static void test_never_told_again(void **state)
{
	struct world *w = with_command();

	(void)state;
	say(w, RECORD_NEIGHBOUR_AWAY, LINK_UP);
	sleep_and_run(w, AWAY_MOST_NS - 1);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 0);
	w->all_mute = false;
	sleep_and_run(w, 1);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 1);
	world_free(w);
}

/* gattd answers no command. */
static void test_another_neighbour(void **state)
{
	struct world *w = with_command();

	(void)state;
	say(w, RECORD_NEIGHBOUR_AWAY, LINK_DOWN);
	w->all_mute = false;
	sleep_and_run(w, COMMAND_DEADLINE_NS);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 1);
	world_free(w);
}

/* The Connection Complete that it belongs to waits where the answers wait. */
static void test_early_data_waits(void **state)
{
	struct world *w = world_up(2);

	(void)state;
	world_frame(w, 0x40, 4, BYTES_OF(0x0A, 3, 0));
	assert_int_equal(rig_counter(&w->rig, "early_held"), 1);
	say(w, RECORD_NEIGHBOUR_AWAY, LINK_UP);
	sleep_and_run(w, 5 * SECOND_NS);
	say(w, RECORD_NEIGHBOUR_BACK, LINK_UP);
	world_connect(w, 0x40);
	assert_int_equal(world_told_count(w, RECORD_L2CAP_PDU), 1);
	assert_int_equal(rig_counter(&w->rig, "early_dropped"), 0);
	world_disconnect(w, 0x40, HCI_ERROR_CONNECTION_TERMINATED_BY_LOCAL_HOST);
	world_free(w);
}

/* What a former link was away for is nothing to the next one; nor is a failure. */
static void test_a_new_link(void **state)
{
	struct world *w = with_command();

	(void)state;
	sleep_and_run(w, COMMAND_DEADLINE_NS);
	sleep_and_run(w, COMMAND_DEADLINE_NS);
	assert_int_equal(radio_of(w)->state, HOST_FAILED);
	say(w, RECORD_NEIGHBOUR_AWAY, LINK_UP);
	rig_detach(&w->rig, LINK_UP);
	world_supervisor(w, (struct record){ .kind = RECORD_NEIGHBOUR_LOST, .index = LINK_UP }, BYTES_OF(0x15));
	world_forget(w);
	rig_attach(&w->rig, LINK_UP, 2);
	world_run(w);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 1);
	w->all_mute = false;
	sleep_and_run(w, COMMAND_DEADLINE_NS);
	assert_int_equal(world_count(w, HCI_COMMAND_RESET), 2);		/* it is not waited for any longer than else */
	assert_int_equal(radio_of(w)->state, HOST_UP);
	assert_int_equal(world_notices(w, NOTICE_READY), 1);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_answer_that_waits),
		cmocka_unit_test(test_away_again_and_again),
		cmocka_unit_test(test_no_answer_after_all),
		cmocka_unit_test(test_never_told_again),
		cmocka_unit_test(test_another_neighbour),
		cmocka_unit_test(test_early_data_waits),
		cmocka_unit_test(test_a_new_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
