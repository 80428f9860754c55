/* shm/test_layout.h - one more field in a core's state, for the builds that test takeovers (tests/process/test_takeover.py).
 *
 *   make MODE=migrating    the field, another version, and the migration from a plain build
 *   make MODE=foreign      another field and version, and no migration from anything
 *
 * In every other build all of this is nothing. */
#pragma once
#include "shm/migrate.h"

#ifdef TREFOIL_TEST_LAYOUT
enum { TEST_LAYOUT_FIELD_OCTETS = 8 * TREFOIL_TEST_LAYOUT, TEST_LAYOUT_VERSION = 100 * TREFOIL_TEST_LAYOUT };
#define TEST_LAYOUT_FIELD uint8_t test_layout[TEST_LAYOUT_FIELD_OCTETS];	/* last of the logged ones */
#else
enum { TEST_LAYOUT_FIELD_OCTETS = 0, TEST_LAYOUT_VERSION = 0 };
#define TEST_LAYOUT_FIELD
#endif

/* In the core's main file: defines `migrations`, from version `base`.  n: the struct with the field; logged: octets of it that are
 * logged, as in its row. */
#if defined TREFOIL_TEST_LAYOUT && TREFOIL_TEST_LAYOUT == 1
#define TEST_LAYOUT_MIGRATIONS(base, n, logged) \
static const struct arena_change test_layout_changes[] = { \
	{ #n, sizeof(struct n) - TEST_LAYOUT_FIELD_OCTETS, (logged) - TEST_LAYOUT_FIELD_OCTETS, NULL }, \
	{ .pool = NULL } }; \
static const struct arena_migration migrations[] = { { base, test_layout_changes, NULL }, { .from = 0 } };
#else
#define TEST_LAYOUT_MIGRATIONS(base, n, logged) static const struct arena_migration *const migrations = NULL;
#endif
