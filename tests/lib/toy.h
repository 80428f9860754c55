/* tests/lib/toy.h - two small programs for the tests of the runtime: "toyup" sends numbers down, "toydown" sends them back.
 *
 * Each counts what did not come in order: a record lost or doubled anywhere shows as an error, over any number of deaths.
 * A request with verb gatt_set is an order to toyup, by the first octet of its value:
 *   L u64le   send on until that number           P   send a record that aborts the one who takes it
 *   W         send one that makes it spin         A   abort now, in on_time
 *   F         send for ever, as much as the ring takes */
#pragma once
#include <stdbool.h>
#include "runtime/program.h"

struct toy_report {			/* body of the reply to STATUS, in this order, little endian */
	uint64_t sent, back, errors, links, poisons, lost, configs;
};
enum { TOY_REPORT = 7 * 8 };
bool toy_report_decode(struct bytes body, struct toy_report *ret);

/* For main(): runs one of the two programs if argv[0] names it.  Returns its exit code, -1: it does not. */
int toy_main(int argc, char **argv);
