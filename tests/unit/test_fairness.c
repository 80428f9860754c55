/* Many connections whose queues are always full, and one that stalls: the others get the same, by Jain's index
 * (sum x)^2 / (n * sum x^2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/lib/host_world.h"
#include "wire/l2cap_names.h"

enum { PEERS = 64, FIRST = 0x40, LEN = 100, ROUNDS = 3000, STALLED = 3 };

struct peer { struct record told; uint32_t window; unsigned sent, at_controller; };
struct field { struct world *w; struct peer peer[PEERS]; unsigned n; };

static double jain(const struct field *f)
{
	double sum = 0, squares = 0;

	for (unsigned i = 0; i < f->n; i++)
		if (i != STALLED) {
			sum += f->peer[i].sent;
			squares += (double)f->peer[i].sent * f->peer[i].sent;
		}
	return sum * sum / ((f->n - 1) * squares);
}

static void open_field(struct field *f, unsigned n)
{
	memset(f, 0, sizeof *f);
	f->n = n;
	f->w = world_new(n);
	f->w->le_packets = 8;
	f->w->le_length = 251;
	world_configure(f->w, true);
	for (unsigned i = 0; i < n; i++) {
		world_connect(f->w, (uint16_t)(FIRST + i));
		f->peer[i].told = world_told(f->w, RECORD_CONNECTED)->h;
		f->peer[i].window = WINDOW_OUT;
	}
	world_forget(f->w);
}

/* gattd: whoever has window uses all of it. */
static void saturate(struct field *f)
{
	uint8_t pdu[LEN] = { ATT_HANDLE_VALUE_NOTIFICATION };

	for (unsigned i = 0; i < f->n; i++)
		for (struct peer *p = &f->peer[i]; p->window >= LEN + 4; p->window -= LEN + 4)
			world_pdu(f->w, &p->told, L2CAP_CID_ATT, (struct bytes){ pdu, LEN });
}

static void collect(struct field *f)
{
	struct world *w = f->w;
	uint32_t octets;

	for (unsigned i = 0; i < w->packets_seen; i++) {
		f->peer[w->packet[i].handle - FIRST].sent++;
		f->peer[w->packet[i].handle - FIRST].at_controller++;
	}
	for (unsigned i = 0; i < w->down_seen; i++)
		for (unsigned k = 0; k < f->n; k++)
			if (w->down[i].h.kind == RECORD_CREDIT && w->down[i].h.index == f->peer[k].told.index) {
				memcpy(&octets, w->down[i].body, 4);
				f->peer[k].window += octets;
			}
	world_forget(w);
}

/* The controller's air: one packet after the other, by an uneven dice, but never one of the stalled. */
static void complete_one(struct field *f, uint32_t *seed)
{
	unsigned i;

	for (unsigned n = 0; n < 1000; n++) {
		*seed = *seed * 1664525u + 1013904223u;
		i = (*seed >> 8) % f->n;
		if (i == STALLED || !f->peer[i].at_controller)
			continue;
		f->peer[i].at_controller--;
		world_completed(f->w, (uint16_t)(FIRST + i), 1);
		return;
	}
	for (i = 0; i < f->n; i++)
		if (i != STALLED && f->peer[i].at_controller) {
			f->peer[i].at_controller--;
			world_completed(f->w, (uint16_t)(FIRST + i), 1);
			return;
		}
	fail_msg("the controller has nothing of anybody but the one that stalls");
}

static void run(unsigned n)
{
	uint32_t seed = n, held = 0;
	struct field f;

	open_field(&f, n);
	for (unsigned round = 0; round < ROUNDS; round++) {
		saturate(&f);
		collect(&f);
		complete_one(&f, &seed);
		collect(&f);
	}
	assert_true(jain(&f) >= 0.99);
	assert_true(f.peer[STALLED].at_controller <= 4);		/* of 8: the others never want for buffers */
	for (unsigned i = 0; i < n; i++)
		held += connection_view(&f.w->rig.arena, (struct connection_id){ f.peer[i].told.generation |
		    (uint32_t)f.peer[i].told.index << 16 })->extra;
	assert_int_equal(held + world_flow(f.w)->spare, SPARE_BESIDES + SPARE_EACH * n);
	assert_int_equal(rig_counter(&f.w->rig, "gattd_overruns"), 0);
	print_message("told: hostd, %u connections, one stalled: Jain's index of the others %.4f\n", n, jain(&f));
	world_free(f.w);
}

static void test_eight(void **state) { (void)state; run(8); }
static void test_many(void **state) { (void)state; run(PEERS); }

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_eight), cmocka_unit_test(test_many) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
