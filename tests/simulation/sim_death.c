/* tests/simulation/sim_death.c - a worker dies between two stores.
 *
 * The product's objects are compiled with -fsanitize=thread, which puts a call before each access; these are the functions that
 * it calls.  One before a store into the shared block asks whether the worker's time has come.  If so, it never returns: the
 * stack is left behind by longjmp, as SIGKILL leaves it.  memcpy and its kin may also be cut after any octet. */
#include <stdatomic.h>
#include <stdlib.h>
#include "shm/arena_image.h"
#include "tests/simulation/sim.h"

uint8_t *sim_shared_at;
size_t sim_shared_octets;

static bool within(const uint8_t *p, const void *at, size_t n)
{
	return p >= (const uint8_t *)at && p < (const uint8_t *)at + n;
}

static enum sim_place place_in_region(const uint8_t *p, const struct ring_region *r)
{
	if (p == (const uint8_t *)(uintptr_t)&r->tail.pos)
		return PLACE_tail;
	if (p == (const uint8_t *)(uintptr_t)&r->head.pos)
		return PLACE_head;
	if (p >= (const uint8_t *)(uintptr_t)r->words)
		return PLACE_data;
	return PLACE_wait;
}

static enum sim_place place_of(const struct sim_worker *k, const uint8_t *p)
{
	const struct worker *w = k->w;

	if (within(p, k->arena, arena_size(&k->plan))) {
		if (p < k->arena + 8)
			return PLACE_word;
		return p >= k->arena + arena_image_octets(&k->plan) ? PLACE_log : PLACE_state;
	}
	for (unsigned l = 0; l < STEP_LINKS; l++)
		if (w->link[l].generation && within(p, w->link[l].mine.at, ring_region_size(w->link[l].size_out)))
			return place_in_region(p, w->link[l].mine.at);
	if (within(p, k->stats, stats_size()))
		return PLACE_stats;
	sim_fail(INVARIANT_arena, "%s writes where it has nothing to write", sim_who_name(k->who));
}

/* What was in its hands: the record, or what else it was at. */
static unsigned kind_in_flight(const struct sim_worker *k)
{
	uint64_t what = atomic_load(&k->stats->what);

	if (k->starting)
		return KIND_START;
	if (what == FLIGHT_ACT)
		return KIND_ACT;
	if (what != FLIGHT_NONE)
		return record_from(atomic_load(&k->stats->header), 0).kind;
	return k->who == TRANSPORTD ? KIND_LINE : KIND_BETWEEN;
}

_Noreturn static void die(struct sim_worker *k, enum sim_place place)
{
	unsigned kind = kind_in_flight(k);

	sim.totals->place[k->who][place]++;
	sim.totals->kind[k->who][kind]++;
	sim_hit(k->starting ? FAULT_death_recovering : FAULT_death);
	sim_tell("%s dies before a store: %s, record kind 0x%02X", sim_who_name(k->who), sim_place_name(place), kind);
	k->target = PLACE_NONE;
	longjmp(sim.death, 1);
}

static bool point(const void *at)
{
	struct sim_worker *k = sim.running;

	if ((uintptr_t)at - (uintptr_t)sim_shared_at >= sim_shared_octets || !k || k->target == PLACE_NONE)
		return false;
	if (k->target != PLACE_ANY && place_of(k, at) != k->target)
		return false;
	if (k->aim != KIND_ANY && kind_in_flight(k) != k->aim)
		return false;
	return --k->left == 0;
}

static inline void store(void *at)
{
	if (point(at))
		die(sim.running, place_of(sim.running, at));
}

void sim_point_call(void)
{
	struct sim_worker *k = sim.running;

	if (!k || (k->target != PLACE_ANY && k->target != PLACE_call))
		return;
	if ((k->aim == KIND_ANY || kind_in_flight(k) == k->aim) && !--k->left)
		die(k, PLACE_call);
}

/* ---- what the compiler calls ---- */
#define PLAIN(n) \
	void __tsan_read##n(void *p); void __tsan_read##n(void *p) { (void)p; } \
	void __tsan_write##n(void *p); void __tsan_write##n(void *p) { store(p); } \
	void __tsan_unaligned_read##n(void *p); void __tsan_unaligned_read##n(void *p) { (void)p; } \
	void __tsan_unaligned_write##n(void *p); void __tsan_unaligned_write##n(void *p) { store(p); } \
	void __tsan_volatile_read##n(void *p); void __tsan_volatile_read##n(void *p) { (void)p; } \
	void __tsan_volatile_write##n(void *p); void __tsan_volatile_write##n(void *p) { store(p); }
PLAIN(1) PLAIN(2) PLAIN(4) PLAIN(8) PLAIN(16)
void __tsan_read_range(void *p, size_t n); void __tsan_read_range(void *p, size_t n) { (void)p; (void)n; }
void __tsan_write_range(void *p, size_t n); void __tsan_write_range(void *p, size_t n) { (void)n; store(p); }
void __tsan_func_entry(void *p); void __tsan_func_entry(void *p) { (void)p; }
void __tsan_func_exit(void *p); void __tsan_func_exit(void *p) { (void)p; }
void __tsan_init(void); void __tsan_init(void) { }
void __tsan_atomic_thread_fence(int order); void __tsan_atomic_thread_fence(int order) { (void)order; }
void __tsan_atomic_signal_fence(int order); void __tsan_atomic_signal_fence(int order) { (void)order; }

#define ATOMIC(n, type) \
	type __tsan_atomic##n##_load(const volatile type *p, int order); \
	type __tsan_atomic##n##_load(const volatile type *p, int order) { (void)order; return *p; } \
	void __tsan_atomic##n##_store(volatile type *p, type v, int order); \
	void __tsan_atomic##n##_store(volatile type *p, type v, int order) { (void)order; store((void *)(uintptr_t)p); *p = v; }
ATOMIC(8, uint8_t) ATOMIC(16, uint16_t) ATOMIC(32, uint32_t) ATOMIC(64, uint64_t)

/* ---- copies, which may be cut anywhere ---- */
void *__real_memcpy(void *to, const void *from, size_t n);
void *__real_memmove(void *to, const void *from, size_t n);
void *__real_memset(void *to, int c, size_t n);
void *__wrap_memcpy(void *to, const void *from, size_t n);
void *__wrap_memmove(void *to, const void *from, size_t n);
void *__wrap_memset(void *to, int c, size_t n);

void *__wrap_memcpy(void *to, const void *from, size_t n)
{
	if (n && point(to)) {
		__real_memcpy(to, from, (size_t)sim_below(n));
		die(sim.running, place_of(sim.running, to));
	}
	return __real_memcpy(to, from, n);
}

void *__wrap_memmove(void *to, const void *from, size_t n)
{
	if (n && point(to)) {
		__real_memmove(to, from, to <= from ? (size_t)sim_below(n) : 0);
		die(sim.running, place_of(sim.running, to));
	}
	return __real_memmove(to, from, n);
}

void *__wrap_memset(void *to, int c, size_t n)
{
	if (n && point(to)) {
		__real_memset(to, c, (size_t)sim_below(n));
		die(sim.running, place_of(sim.running, to));
	}
	return __real_memset(to, c, n);
}

/* clang's names for the same. */
void *__tsan_memcpy(void *to, const void *from, size_t n);
void *__tsan_memmove(void *to, const void *from, size_t n);
void *__tsan_memset(void *to, int c, size_t n);
void *__tsan_memcpy(void *to, const void *from, size_t n) { return __wrap_memcpy(to, from, n); }
void *__tsan_memmove(void *to, const void *from, size_t n) { return __wrap_memmove(to, from, n); }
void *__tsan_memset(void *to, int c, size_t n) { return __wrap_memset(to, c, n); }

/* ---- private memory, gone with its worker ---- */
void *__real_malloc(size_t n);
void __real_free(void *p);
void *__real_calloc(size_t n, size_t each);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t each);
void __wrap_free(void *p);

void *sim_heap(size_t n)
{
	struct sim_worker *k = sim.running;
	uint8_t *at = k->heap + k->heap_used;

	n = (n + 63) & ~(size_t)63;
	if (k->heap_used + n > PRIVATE_OCTETS)
		sim_fail(INVARIANT_arena, "%s asks for too much private memory", sim_who_name(k->who));
	k->heap_used += (uint32_t)n;
	return at;
}

void *__wrap_malloc(size_t n) { return sim.running ? sim_heap(n) : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t each)
{
	return sim.running ? __real_memset(sim_heap(n * each), 0, n * each) : __real_calloc(n, each);
}
void __wrap_free(void *p)
{
	if (!sim.running)
		__real_free(p);
}

/* A death that is likely everywhere: anywhere among the next stores, or at a place of its own, or with a record of a kind. */
void sim_arm(struct sim_worker *k)
{
	static const uint8_t kinds[] = { KIND_BETWEEN, KIND_ACT, KIND_START, KIND_LINE, RECORD_HCI_COMMAND, RECORD_HCI_ACL,
		RECORD_HCI_EVENT, RECORD_TRANSPORT_STATE, RECORD_CONNECTED, RECORD_DISCONNECTED, RECORD_L2CAP_PDU, RECORD_CREDIT,
		RECORD_DISCONNECT, RECORD_CONFIG, RECORD_REQUEST, RECORD_NEIGHBOUR_LOST, RECORD_NEIGHBOUR_AWAY,
		RECORD_NEIGHBOUR_BACK };

	k->aim = KIND_ANY;
	k->armed_until_ns = sim.now_ns + SECOND;
	switch (sim_below(3)) {
	case 0:
		k->target = PLACE_ANY;
		k->left = (uint32_t)sim_spread(3000);
		break;
	case 1:
		k->target = PLACE_ANY;
		k->left = (uint32_t)sim_spread(40);
		k->aim = kinds[sim_below(ARRAY_LEN(kinds))];
		break;
	default:
		k->target = (enum sim_place)sim_below(PLACES);
		k->left = (uint32_t)sim_spread(k->target == PLACE_state || k->target == PLACE_log ? 200 : 30);
	}
}

void sim_arm_kind(struct sim_worker *k, uint8_t kind)
{
	if (sim.plant || !sim_chance(600))
		return;
	k->target = PLACE_ANY;
	k->left = (uint32_t)sim_spread(20);
	k->aim = kind;
	k->armed_until_ns = sim.now_ns + SECOND;
}

/* No product code ends the process here. */
_Noreturn void __wrap_abort(void);
_Noreturn void __wrap__exit(int code);
static const char *whose(void) { return sim.running ? sim_who_name(sim.running->who) : "the test"; }
_Noreturn void __wrap_abort(void) { sim_fail(INVARIANT_arena, "%s aborts", whose()); }
_Noreturn void __wrap__exit(int code) { sim_fail(INVARIANT_arena, "%s exits with %d", whose(), code); }
