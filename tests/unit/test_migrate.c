/* The arena of another layout, taken over: what comes along, what is refused, kills on the way, octets that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/types.h"
#include "shm/migrate.h"
#include "shm/undo.h"
#include "tests/lib/mill.h"

enum { MORE_SACKS = MILL_SACKS + 3, ROUNDS = 20000 };

/* The mill of the next version: a sack has a weight, and there are more of them; the miller counts in 32 bits and has a hat;
 * there are carts. */
struct heavy {
	uint32_t puts, index;
	struct fifo grain, flour;
	uint64_t weight;
	uint8_t grain_octets[128], flour_octets[64];
};
struct hatted { uint32_t records, due, drawn, hat; struct sack_id sack[MILL_SACKS]; };
static const struct arena_pool pools[] = {
	STEP_STATE(ARENA_ROW)
	{ "sack", MORE_SACKS, LIMIT_NONE, sizeof(struct heavy), offsetof(struct heavy, grain_octets),
	    { FIFO(heavy, grain), FIFO(heavy, flour) } },
	{ "miller", 1, LIMIT_NONE, sizeof(struct hatted), sizeof(struct hatted), { { 0 } } },
	{ "cart", 2, LIMIT_NONE, 24, 24, { { 0 } } },
	{ .name = NULL },
};
enum { NEW_sack = STEP_POOLS, NEW_miller, NEW_cart, NEW_POOLS };
static const struct arena_plan next_plan = { pools, { { 1, 1, 1, 1 } }, 2, 16384, 0x5ac4 };

static void put_hat_on(void *now, const void *was)
{
	const struct miller *m = was;
	struct hatted *h = now;

	*h = (struct hatted){ .records = (uint32_t)m->records, .due = m->due, .drawn = m->drawn, .hat = 7 };
	memcpy(h->sack, m->sack, sizeof h->sack);
}
static void buy_cart(struct arena *a) { arena_new(a, NEW_cart); }

#define OLD_SACK { "sack", sizeof(struct sack), offsetof(struct sack, grain_octets), NULL }
#define OLD_MILLER { "miller", sizeof(struct miller), sizeof(struct miller), put_hat_on }
static const struct arena_change changes[] = { OLD_SACK, OLD_MILLER, { .pool = "cart" }, { .pool = NULL } };
static const struct arena_migration list[] = { { 9, NULL, NULL }, { 1, changes, buy_cart }, { .from = 0 } };

static struct bytes old;		/* a mill at work, killed in a step; its memory can only be read */
static uint32_t old_epoch, ids[MILL_SACKS];
static uint8_t *fresh;
static size_t fresh_len;

static struct sack *fill_sack(struct arena *a, uint32_t n)
{
	struct sack *s = arena_new(a, POOL_sack);
	uint8_t octets[100];

	memset(octets, (int)(0x10 + n), sizeof octets);
	s->index = n;
	s->puts = 1000 + n;
	fifo_push(a, s, grain, octets, 90);
	fifo_pop(s, grain, NULL, 60);
	fifo_push(a, s, grain, octets, 50 + n);		/* round the end of its octets */
	ids[n] = sack_id_of(s).v;
	return s;
}

static int set_up(void **state)
{
	struct sack *s[MILL_SACKS];
	struct arena a;
	uint8_t *at;

	(void)state;
	old.len = arena_size(&mill_plan);
	at = mmap(NULL, old.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	old.at = at;
	fresh_len = (arena_size(&next_plan) + 63) / 64 * 64;
	fresh = mmap(NULL, fresh_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED || fresh == MAP_FAILED || arena_open(&a, &mill_plan, at, true) != ARENA_E_BLANK)
		return -1;
	arena_format(&a, &mill_plan, mill_core.fill);
	for (uint32_t n = 0; n < MILL_SACKS; n++)
		s[n] = fill_sack(&a, n);
	positions_edit(&a, positions_next(&a, NULL))->in_head[LINK_UP] = 0x123456789a;
	miller_edit(&a, miller_next(&a, NULL))->records = 77;
	sack_free(&a, s[4]);
	sack_free(&a, s[1]);
	arena_commit(&a);
	old_epoch = a.epoch;
	sack_edit(&a, s[0])->puts = 1;		/* the step in which it was killed */
	sack_free(&a, s[2]);
	sack_new(&a);
	arena_close(&a);
	return mprotect(at, old.len, PROT_READ);
}

static int migrate(struct arena *a, struct bytes from, int dirt, void (*on_pool)(unsigned))
{
	memset(fresh, dirt, fresh_len);
	assert_true(arena_open(a, &next_plan, fresh, true) > 0);
	return arena_migrate(a, &next_plan, list, from, on_pool);
}

static void test_everything_comes_along(void **state)
{
	static const bool live[MILL_SACKS] = { true, false, true, true, false, true };
	const struct hatted *m;
	struct arena a;
	unsigned n = 0;

	(void)state;
	assert_int_equal(migrate(&a, old, 0xA5, NULL), 0);
	assert_int_equal(a.epoch, old_epoch + 1);
	assert_true(positions_next(&a, NULL)->in_head[LINK_UP] == 0x123456789a);
	m = arena_next(&a, NEW_miller, NULL);
	assert_true(m->records == 77 && m->hat == 7);
	assert_int_equal(arena_live(&a, NEW_cart), 1);
	for (uint32_t i = 0; i < MILL_SACKS; i++) {
		struct heavy *s = (void *)(uintptr_t)arena_find(&a, NEW_sack, ids[i]);
		uint8_t octets[128], should[128];

		assert_int_equal(s != NULL, live[i]);
		if (!s)
			continue;
		assert_true(s->index == i && s->puts == 1000 + i && s->weight == 0);
		memset(should, (int)(0x10 + i), sizeof should);
		assert_true(fifo_len(s, grain) == 80 + i && fifo_peek(s, grain, 0, octets, 80 + i));
		assert_memory_equal(octets, should, 80 + i);
	}
	while (arena_new(&a, NEW_sack))
		n++;
	assert_int_equal(n, MORE_SACKS - 4);
	arena_commit(&a);
	assert_null(arena_find(&a, NEW_sack, ids[1]));		/* who holds the old id finds no stranger */
	arena_close(&a);
	assert_int_equal(arena_open(&a, &next_plan, fresh, true), 0);
	arena_close(&a);
}

static unsigned kill_at;
static void on_pool(unsigned pool)
{
	if (pool == kill_at)
		raise(SIGKILL);
}

/* Killed before any pool: not valid, and begun again it is the same, octet by octet, whatever lay there. */
static void test_killed_and_begun_again(void **state)
{
	uint8_t *first = malloc(fresh_len);
	struct arena a;
	int status;

	(void)state;
	assert_int_equal(migrate(&a, old, 0, NULL), 0);
	memcpy(first, fresh, a.log_at);
	arena_close(&a);
	for (kill_at = 0; kill_at < NEW_POOLS; kill_at++) {
		pid_t child = fork();

		if (!child)
			_exit(migrate(&a, old, 0xA5, on_pool));
		assert_true(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_int_equal(arena_open(&a, &next_plan, fresh, true), ARENA_E_BLANK);
		assert_int_equal(arena_migrate(&a, &next_plan, list, old, NULL), 0);
		assert_memory_equal(first + 64, fresh + 64, a.log_at - 64);
		assert_memory_equal(first, fresh, 8);
		arena_close(&a);
	}
	free(first);
}

static enum arena_verdict judge(const struct arena_change *c, uint32_t from, const char *expect)
{
	const struct arena_migration rows[] = { { from, c, NULL }, { .from = 0 } };
	enum arena_verdict v;
	char why[ARENA_WHY];

	v = arena_judge(&next_plan, rows, old, why);
	if (!strstr(why, expect))
		fail_msg("%s, not %s", why, expect);
	assert_true(v == ARENA_MIGRATES || *why);
	return v;
}

static void test_what_no_row_describes_is_refused(void **state)
{
	const struct arena_change size[] = { { "sack", sizeof(struct sack) + 4, offsetof(struct sack, grain_octets), NULL },
		OLD_MILLER, { .pool = "cart" }, { .pool = NULL } };
	const struct arena_change queues[] = { OLD_SACK, { "miller", sizeof(struct miller), 16, NULL }, { .pool = "cart" },
		{ .pool = NULL } };
	struct arena_plan plan = mill_plan;
	char why[ARENA_WHY];
	struct arena a;

	(void)state;
	assert_int_equal(arena_judge(&mill_plan, NULL, old, why), ARENA_EQUAL);
	assert_int_equal(judge(changes, 1, ""), ARENA_MIGRATES);
	assert_int_equal(judge(changes, 3, "from version 1"), ARENA_REFUSED);
	assert_int_equal(judge(changes + 1, 1, "pool sack"), ARENA_REFUSED);
	assert_int_equal(judge(size, 1, "pool sack"), ARENA_REFUSED);
	assert_int_equal(judge(queues, 1, "pool miller"), ARENA_REFUSED);
	plan.config_hash++;
	assert_int_equal(arena_judge(&plan, NULL, old, why), ARENA_REFUSED);
	plan.config_hash--;
	plan.limits.of[LIMIT_CONNECTIONS] = 2;
	assert_int_equal(arena_judge(&plan, NULL, old, why), ARENA_REFUSED);
	/* A log of another size alone: a row without changes is enough. */
	plan = mill_plan;
	plan.log *= 2;
	assert_int_equal(arena_judge(&plan, NULL, old, why), ARENA_REFUSED);
	assert_int_equal(arena_judge(&plan, (const struct arena_migration[]){ { 1, NULL, NULL }, { .from = 0 } }, old, why), ARENA_MIGRATES);
	/* And back: fewer slots, a pool that is gone without a word. */
	assert_int_equal(migrate(&a, old, 0, NULL), 0);
	arena_close(&a);
	assert_int_equal(arena_judge(&mill_plan, (const struct arena_migration[]){ { 2, NULL, NULL }, { .from = 0 } },
	    (struct bytes){ fresh, fresh_len }, why), ARENA_REFUSED);
}

/* A pool's name comes from memory that its worker could write: it is told without what a terminal would act on. */
static void test_a_name_that_is_no_text(void **state)
{
	static const char name[POOL_NAME] = "\033]0;owned\007\n\x9b\x7f\377 end";
	static const struct arena_change one[] = { OLD_SACK, { .pool = NULL } };
	static const struct arena_migration rows[] = { { 1, one, NULL }, { .from = 0 } };
	struct arena_plan plan = next_plan;
	struct arena_pool few[NEW_POOLS];
	uint8_t *lie = malloc(old.len);
	char why[ARENA_WHY + 1] = "";

	(void)state;
	assert_non_null(lie);
	memcpy(lie, old.at, old.len);
	why[ARENA_WHY] = 'x';
	memcpy(few, pools, sizeof few);
	few[NEW_miller].name = NULL;
	plan.pools = few;
	memcpy(lie + ARENA_HEADS_AT + POOL_miller * ARENA_LINE + sizeof(struct pool_head), name, sizeof name);
	assert_int_equal(arena_judge(&plan, rows, (struct bytes){ lie, old.len }, why), ARENA_REFUSED);
	for (const char *p = why; *p; p++)
		if (*p < ' ' || *p > '~')
			fail_msg("octet %02x at %td of what is told", (uint8_t)*p, p - why);
	assert_int_equal(why[ARENA_WHY], 'x');
	assert_string_equal(why, "gone, and no migration says so: pool ?]0;owned????? end");
	free(lie);
}

/* Whatever the octets say: no access outside (the address sanitizer looks), and what is called valid can be worked with. */
static void expect_sound(struct bytes lie, unsigned seen[5])
{
	struct arena a;
	unsigned n = 0;
	int r = migrate(&a, lie, 0xA5, NULL);

	assert_true(r == 0 || r == ARENA_REFUSED || r == ARENA_GARBLED);
	seen[r]++;
	for (unsigned p = 0; !r && p < NEW_POOLS; p++) {
		n = arena_live(&a, p);
		for (const void *o = NULL; (o = arena_next(&a, p, o)); )
			n--;
		assert_int_equal(n, 0);
		n = arena_live(&a, p);
		if (p != NEW_sack)
			continue;
		for (; arena_new(&a, p); n++)
			assert_true(n < a.pool[p].count);
		assert_int_equal(n, a.pool[p].count);
	}
	arena_close(&a);
}

/* A list of free slots that runs in a circle, ends too soon, or leads into one that is in use. */
static void test_free_lists_that_lie(void **state)
{
	const uint32_t sacks = ARENA_HEADS_AT + POOL_sack * ARENA_LINE;
	uint8_t *lie = malloc(old.len), *plain = malloc(old.len);
	struct pool_said said;
	unsigned seen[5] = { 0 };

	(void)state;
	memcpy(plain, old.at, old.len);
	memset(plain, 0, 4);			/* without the open step: slots 1, 2, 4 are free or in use as it left them */
	memcpy(&said, plain + sacks + sizeof(struct pool_head), sizeof said);
	for (uint32_t slot = 0; slot < MILL_SACKS; slot++)
		for (uint32_t next = 0; next <= MILL_SACKS + 1; next++) {
			uint8_t *at = plain + said.slots + slot * said.stride;
			struct arena_slot s;
			bool same;

			memcpy(&s, at, sizeof s);
			same = s.next == next || s.generation & 1;	/* of one in use nobody reads it */
			memcpy(lie, plain, old.len);
			s.next = next;
			memcpy(lie + (at - plain), &s, sizeof s);
			memset(seen, 0, sizeof seen);
			expect_sound((struct bytes){ lie, old.len }, seen);
			assert_int_equal(seen[same ? 0 : ARENA_GARBLED], 1);
		}
	free(lie);
	free(plain);
}

static void test_octets_that_lie(void **state)
{
	uint32_t seed = 0x2545f491, at, end, log_len;
	unsigned seen[5] = { 0 };
	uint8_t *lie = malloc(old.len);

	(void)state;
	memcpy(&end, old.at + ARENA_HEADER_AT + offsetof(struct arena_header, end), 4);
	memcpy(&log_len, old.at, 4);
	assert_true(log_len > 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		memcpy(lie, old.at, old.len);
		for (unsigned k = 0; k <= i % 3; k++) {
			seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
			at = i & 1 ? seed % (end + log_len) : seed % 4 ? end + seed % log_len : seed % (ARENA_HEADS_AT + 5 * ARENA_LINE);
			lie[at] = (uint8_t)(seed >> 24);
		}
		expect_sound((struct bytes){ lie, old.len }, seen);
	}
	for (size_t len = 0; len < old.len; len += 61)		/* cut */
		expect_sound((struct bytes){ old.at, len }, seen);
	assert_true(seen[0] > 100 && seen[ARENA_REFUSED] > 100 && seen[ARENA_GARBLED] > 100);
	free(lie);
}

static int tear_down(void **state)
{
	(void)state;
	munmap(fresh, fresh_len);
	return munmap((void *)(uintptr_t)old.at, old.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_comes_along),
		cmocka_unit_test(test_killed_and_begun_again),
		cmocka_unit_test(test_what_no_row_describes_is_refused),
		cmocka_unit_test(test_a_name_that_is_no_text),
		cmocka_unit_test(test_free_lists_that_lie),
		cmocka_unit_test(test_octets_that_lie),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
