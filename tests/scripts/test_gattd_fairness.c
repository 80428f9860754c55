/* Many subscribers that write as well, and one whose hostd never hands anything back: what the others hear, and what of theirs is
 * done, is the same for all, by Jain's index (sum x)^2 / (n * sum x^2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/lib/gatt_world.h"

enum { ECHO = 0x12, HEARD_CCCD = 0x16, PLAIN = 0x24, ROUNDS = 200, STALLED = 3, CLIENTS = 64 };

static double jain(const unsigned *x, unsigned n)
{
	double sum = 0, squares = 0;

	for (unsigned i = 0; i < n; i++)
		if (i != STALLED) {
			sum += x[i];
			squares += (double)x[i] * x[i];
		}
	return squares > 0 ? sum * sum / ((n - 1) * squares) : 0;
}

static void run(unsigned n)
{
	unsigned told[CLIENTS] = { 0 }, answered[CLIENTS] = { 0 };
	struct gatt_world *w = gw_new(n);
	struct bytes got;
	uint16_t who;

	for (uint16_t i = 0; i < n; i++) {
		gw_connect(w, i);
		gw_subscribe(w, i, HEARD_CCCD, 1);
	}
	w->client[STALLED].hold = true;
	gw_forget(w);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (uint16_t i = 0; i < n; i++)	/* all at once; the stalled one asks, too, as long as it may */
			if (w->client[i].used_in <= 1000)
				gw_put(w, i, 4, OCTETS_OF(0x12, PLAIN, 0, (uint8_t)round));
		gw_put(w, (uint16_t)(round % n == STALLED ? 0 : round % n), 4,
		    OCTETS_OF(0x52, ECHO, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, (uint8_t)round));
		gw_sleep(w, 100000000);
		while ((got = gw_hear(w, &who, NULL)).at)
			*(got.at[0] == 0x1B ? &told[who] : &answered[who]) += 1;
		gw_forget(w);
	}
	assert_true(jain(told, n) >= 0.99);
	assert_true(jain(answered, n) >= 0.99);
	assert_true(answered[0] >= ROUNDS - 20 && told[0] >= ROUNDS - 20);	/* the wait for the stalled one is over after a second */
	assert_true(told[STALLED] < ROUNDS);
	assert_int_equal(gw_counter(w, "stalls"), 1);
	print_message("told: gattd, %u clients, one stalled: Jain's index of the others %.4f heard, %.4f asked\n", n, jain(told, n),
	    jain(answered, n));
	gw_free(w);
}

static void test_eight(void **state) { (void)state; run(8); }
static void test_many(void **state) { (void)state; run(CLIENTS); }

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_eight), cmocka_unit_test(test_many) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
