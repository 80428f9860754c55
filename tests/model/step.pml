/* tests/model/step.pml - the step: edits under an undo log, the one word that commits, recovery (shm/step.c, arena.c, undo.c).
 *
 * A worker takes RECORDS records in steps of 1..BATCH.  Each record adds one to both words of an object (logged once a step,
 * by stamp), and one to a pool's head (logged at each edit, as arena_new does), and gives one output record.  The
 * positions are an object too.  Worker and consumer are killed at any step, KILLS times in all; so are recoveries.
 *
 * whole     after a recovery, and after a commit, everything in the arena has been done equally often
 * input     what is taken at position k is record k: not overwritten before its step was committed
 * once      what the consumer commits at position k is what the worker committed there
 * log       the log holds what a step of this size may put there at most
 * stall     when nothing moves any more, every record is through
 *
 * Left out, and why that is sound.  Sleep and kicks (ring.pml): the worker here sees by itself when there is something to do, so
 * a stall can only come of positions that are not shown.  The source is one step: its side of the ring is the producer of
 * ring.pml.  The arena's own words bypass the store buffer: only a successor reads them, and it starts when the buffer has
 * drained (tso.pml), so what it reads is what was stored, in the order of the program.  That order is the compiler's
 * to keep; two of the mutants are a compiler that does not (no test of the binary can show these, the model can).
 *
 * An output names its position and the life that gave it, so that a repeated step gives something else. */
#ifndef RECORDS
#define RECORDS 3
#endif
#ifndef BATCH
#define BATCH 2
#endif
#ifndef KILLS
#define KILLS 2
#endif
#define SIZE 2
#define TAIL 0			/* the worker's, of its output */
#define IN_HEAD 1		/* the worker's, of its input */
#define OUT_HEAD 2		/* the consumer's */
#define DATA 3
#define WORDS (DATA + SIZE)
#define WORKER 0
#define CONSUMER 1
#include "tso.pml"

hidden byte whole = 1, input = 1, once = 1, log = 1, stall = 1;

/* The arena.  Objects are two words: 0 positions { in, out }, 1 the core's, 2 a pool's head (its second word unused). */
#define LOG (2 + BATCH)
#define POSITIONS 0
#define OBJECT 1
#define HEAD_OF_POOL 2
byte arena[6], undo_len, undo_where[LOG], undo_old[2 * LOG];
bool stamp[3];			/* private: cleared with each life */
byte far;			/* of a mutant: an output position of its own */
byte fed, in_data[SIZE], given[RECORDS], taken;

/* x_edit: old octets, then the length, then (by the caller) the change. */
inline edit(o, by_stamp)
{
	if
#ifdef NO_STAMPS
	:: true ->
#else
	:: !(by_stamp && stamp[o]) ->
#endif
#ifdef LENGTH_BEFORE_OLD
		undo_len++;
		undo_where[undo_len - 1] = o;
		undo_old[2 * (undo_len - 1)] = arena[2 * o];
		undo_old[2 * (undo_len - 1) + 1] = arena[2 * o + 1];
#else
		always(log, undo_len < LOG);
		undo_where[undo_len] = o;
		undo_old[2 * undo_len] = arena[2 * o];
		undo_old[2 * undo_len + 1] = arena[2 * o + 1];
#ifdef CHANGE_BEFORE_LENGTH
		late = 1;
#else
		undo_len++;
#endif
#endif
		stamp[o] = true
#ifndef NO_STAMPS
	:: else
#endif
	fi
}
inline set(o, word, v)
{
	arena[2 * o + word] = v;
#ifdef CHANGE_BEFORE_LENGTH
	undo_len = undo_len + late;
	late = 0;
#endif
}

inline clear_stamps()
{
	d_step { stamp[0] = false; stamp[1] = false; stamp[2] = false }
}

inline restore(n)
{
#ifdef LENGTH_LOWERED_FIRST
	undo_len = n;
#endif
#ifdef LOG_CHANGED_BY_ROLLBACK
	old = arena[2 * undo_where[n]];
	arena[2 * undo_where[n]] = undo_old[2 * n];
	undo_old[2 * n] = old;
#else
	arena[2 * undo_where[n]] = undo_old[2 * n];
#endif
	arena[2 * undo_where[n] + 1] = undo_old[2 * n + 1]
}

inline rollback()
{
#ifndef NO_ROLLBACK
#ifdef ROLLBACK_FORWARD
	old = 0;
	do
	:: old < undo_len -> restore(old); old++
	:: else -> break
	od;
	old = 0;
#else
	n = undo_len;
	do
	:: n > 0 -> n--; restore(n)
	:: else -> break
	od;
#endif
#endif
	undo_len = 0
}

#define is_whole (arena[0] == arena[1] && arena[1] == arena[2] && arena[2] == arena[3] && arena[3] == arena[4])

inline show_positions()
{
	store(WORKER, TAIL, at_out);
	store(WORKER, IN_HEAD, at_in)
}

inline commit()
{
#ifdef PUBLISH_BEFORE_COMMIT
	show_positions();
#endif
#ifdef HEAD_BEFORE_COMMIT
	store(WORKER, IN_HEAD, at_in);
#endif
#ifdef SECOND_COUNTER_FIRST
	far = at_out;
#endif
	edit(POSITIONS, true);
	set(POSITIONS, 0, at_in);
	set(POSITIONS, 1, at_out);
	d_step {			/* the one store; `given` is for the property alone */
		undo_len = 0;
		n = 0;
		do
		:: n < RECORDS && n < at_out && given[n] == 0 -> given[n] = n * (KILLS + 1) + life + 1; n++
		:: n < RECORDS && n < at_out && given[n] != 0 -> n++
		:: else -> break
		od;
		n = 0;
		always(whole, is_whole)
	};
#if defined(SECOND_COUNTER) || defined(SECOND_COUNTER_FIRST)
	far = at_out;
#endif
#ifndef STAMPS_OUTLIVE_STEP
	clear_stamps();
#endif
#ifndef PUBLISH_BEFORE_COMMIT
	show_positions()
#endif
}

inline take_one()
{
	always(input, in_data[at_in % SIZE] == at_in);
	at_in++;
	edit(OBJECT, true);
	set(OBJECT, 0, arena[2] + 1);
	set(OBJECT, 1, arena[3] + 1);
	edit(HEAD_OF_POOL, false);
	set(HEAD_OF_POOL, 0, arena[4] + 1);
	store(WORKER, DATA + at_out % SIZE, at_out * (KILLS + 1) + life + 1);
	at_out++
}

active proctype worker()
{
	byte at_in, at_out, n, old, life;
#ifdef CHANGE_BEFORE_LENGTH
	byte late;
#endif
again:
	life = kills;
	{
		rollback();
		always(whole, is_whole);
		at_in = arena[0];
#if defined(SECOND_COUNTER) || defined(SECOND_COUNTER_FIRST)
		at_out = far;
#else
		at_out = arena[1];
#endif
#ifndef NO_REPUBLISH
		show_positions();
#endif
		do
		:: n < BATCH && at_in < fed && at_out - mem[OUT_HEAD] < SIZE -> take_one(); n++
		:: n > 0 -> n = 0; commit()
		od
	} unless { dead[WORKER] };
	d_step {
		at_in = 0; at_out = 0; n = 0; old = 0; life = 0;
#ifdef CHANGE_BEFORE_LENGTH
		late = 0;
#endif
#ifndef STAMPS_IN_ARENA
		stamp[0] = false; stamp[1] = false; stamp[2] = false;
#endif
	};
	fence(WORKER);
	dead[WORKER] = false;
	goto again
}

active proctype consumer()
{
	byte at, took;
again:
	{
		at = taken;
		store(CONSUMER, OUT_HEAD, at);
		do
		:: at < mem[TAIL] ->
			took = mem[DATA + at % SIZE];
			at++;
			d_step { always(once, given[at - 1] == took); taken = at; took = 0 };
			store(CONSUMER, OUT_HEAD, at)
		od
	} unless { dead[CONSUMER] };
	d_step { at = 0; took = 0 };
	fence(CONSUMER);
	dead[CONSUMER] = false;
	goto again
}

active proctype source()
{
end:
	do
	:: d_step { fed < RECORDS && fed - mem[IN_HEAD] < SIZE -> in_data[fed % SIZE] = fed; fed++ }
	od
}

active proctype rest()
{
	timeout;
	always(stall, taken == RECORDS)
}
