/* shm/undo.c - the log, rollback and commit. */
#include "shm/undo.h"

void undo_tell(struct arena *a)
{
#ifndef ARENA_PLAIN
	uint64_t w = (uint64_t)a->epoch << 32 | a->log_len;

	atomic_store_explicit(a->word, w, memory_order_release);
	/* Nothing that follows may be done before this store: release alone does not hold later plain stores back.  No test
	 * catches the want of this fence on the compilers we know; it stays by argument. */
	atomic_signal_fence(memory_order_seq_cst);
#else
	(void)a;
#endif
}

void undo_begin(struct arena *a)
{
	uint32_t used = a->log_cap + 8;		/* more than any stamp of the step that ends is above `since` */

	if (a->since > UINT32_MAX - 2 * used) {
		memset(a->stamp, 0, a->log_at / ARENA_LINE * sizeof *a->stamp);
		a->since = 0;
	}
	a->since += used;
}

void undo_put(struct arena *a, enum undo_kind kind, size_t off, uint32_t len)
{
	uint32_t old = kind == UNDO_OLD ? round_up(len, 8) : 0;

#ifdef ARENA_PLAIN
	return;
#endif
	if (a->log_cap - a->log_len < old + sizeof(struct undo_footer))
		arena_panic("undo log full");
	if (kind == UNDO_OLD)
		memcpy(a->at + a->log_at + a->log_len, a->at + off, len);
	*(struct undo_footer *)(void *)(a->at + a->log_at + a->log_len + old) =
	    (struct undo_footer){ (uint32_t)off, len & 0x3FFFFFFF, kind & 3 };
	a->log_len += old + (uint32_t)sizeof(struct undo_footer);
}

void arena_log(struct arena *a, size_t off, uint32_t logged)
{
	size_t slot = off - sizeof(struct arena_slot);

	a->stamp[slot / ARENA_LINE] = a->since + a->log_len;
	undo_put(a, UNDO_OLD, slot, (uint32_t)sizeof(struct arena_slot) + logged);
	undo_tell(a);
}

void undo_take_back(uint8_t *image, const uint8_t *log, uint32_t len)
{
	while (len) {
		struct undo_footer f;

		len -= (uint32_t)sizeof f;
		memcpy(&f, log + len, sizeof f);
		if (f.kind == UNDO_OLD)
			memcpy(image + f.where, log + (len -= round_up(f.len, 8)), f.len);
		else
			memset(image + f.where, 0, f.len);
	}
}

static void remember(struct arena *a)
{
	if (a->shadow)
		memcpy(a->shadow, a->at, a->log_at);
}

void arena_rollback(struct arena *a)
{
	uint64_t w = atomic_load_explicit(a->word, memory_order_acquire);

	a->epoch = (uint32_t)(w >> 32);
#ifndef TREFOIL_NO_RECOVERY	/* a test build has it off, and must fail the kill test */
	undo_take_back(a->at, a->at + a->log_at, (uint32_t)w);
#endif
	a->log_len = 0;
	undo_tell(a);
	undo_begin(a);
	remember(a);
}

void arena_commit(struct arena *a)
{
	if (a->shadow && *arena_check(a))
		arena_panic(arena_check(a));
	a->log_len = 0;
	a->epoch++;
	undo_tell(a);
	undo_begin(a);
	remember(a);
}
