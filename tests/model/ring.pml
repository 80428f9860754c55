/* tests/model/ring.pml - one ring, its doorbells, and the death of either side (shm/ring.h, worker.c's turn and rest,
 * worker_start.c's attach, supervisor_worker.c's on_worker_gone).
 *
 * A producer gives RECORDS records through a ring of SIZE cells, in batches of 1..BATCH, each batch committed, then published.
 * A consumer takes them in batches, commits, publishes.  Either is killed at any step, KILLS times in all; its supervisor rings
 * for it, and starts the next one or never does.
 *
 * order     what the consumer commits at position k is what the producer committed at position k: once, in order, not overrun
 * bounds    nobody sees a tail that is more than SIZE ahead of its own position
 * stall     when nothing moves any more, nothing is left to do: all records are through; where the producer is gone for good, all
 *           that it published; where the consumer is, the ring is filled past half (or everything is given)
 *
 * Left out, and why that is sound.  A record is one cell: lengths and pads never decide who sleeps, only how much room is
 * asked for (at most half: step_fits).  The arena's commit is one step here: nobody but a successor reads it, and its inside
 * has a model of its own (step.pml).  Data words of a record are one store: all stores of a batch leave the buffer before the tail
 * does, on x86.  A stall is a state in which no process can move; waiting for a fence or a full buffer is not one, because
 * `memory` can always move.  So the assertion at `timeout` sees every such state, and needs no fairness.  Endless turning
 * without progress is looked for too, as a cycle without `progress`, under weak fairness (the runner's `live` runs).
 *
 * A record's value names its position and the life that wrote it, so that a repeated step writes something else. */
#ifndef RECORDS
#define RECORDS 4
#endif
#ifndef SIZE
#define SIZE 2
#endif
#ifndef BATCH
#define BATCH 2
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifdef WANT_ABOVE_HALF
#define WANT (SIZE / 2 + 1)		/* what step_fits refuses */
#else
#define WANT 1
#endif
#define TAIL 0
#define TAIL_WAIT 1
#define HEAD 2
#define HEAD_WAIT 3
#define DATA 4
#define WORDS (DATA + SIZE)
#define PRODUCER 0
#define CONSUMER 1
#include "tso.pml"

hidden byte order = 1, bounds = 1, stall = 1;	/* the properties' names: see `always` */

byte tail_committed, head_committed;	/* in the arenas */
byte given[RECORDS];			/* what the producer committed, for the property alone */

#define value(k)	((k) * (KILLS + 1) + life + 1)

/* ring_publish: `pos` shown, then the other's wait word; kick if it lies in what was just shown. */
inline publish(me, word, wait_word)
{
	store(me, word, at);
	old = pub;
	pub = at;
#ifndef NO_FENCE_PUBLISH_PRODUCER
	if :: me == PRODUCER -> fence(me) :: else fi;
#endif
#ifndef NO_FENCE_PUBLISH_CONSUMER
	if :: me == CONSUMER -> fence(me) :: else fi;
#endif
	if
#ifdef WAIT_OFF_BY_ONE
	:: u8(at - mem[wait_word]) < u8(at - old) -> kick(other(me))
#else
	:: u8(at - mem[wait_word] - 1) < u8(at - old) -> kick(other(me))
#endif
	:: else
	fi
}

/* step_attach and worker_start.c's attach: the committed position is shown again, the other side kicked. */
inline attach(me, word, committed)
{
	at = committed;
	pub = u8(255 - at);
#ifndef NO_REPUBLISH
	store(me, word, at);
	pub = at;
	fence(me);
#endif
#ifndef NO_KICK_ON_ATTACH
	kick(other(me));
#endif
#ifdef SLEEP_BEFORE_LOOK
	wait_bell(me);
#endif
}

inline die(me)
{
	fence(me);			/* its last stores have drained: the pidfd shows its end */
#ifndef NO_DEATH_BELL
	kick(other(me));
#endif
	if
	:: d_step { dead[me] = false; bell[me] = false }
	:: atomic { gone[me] = true; false }
	fi
}

active proctype producer()
{
	byte at, pub, old, peer, n, life;
again:
	life = kills;
	{
		attach(PRODUCER, TAIL, tail_committed);
		peer = mem[HEAD];
		do
		:: n = 0;
		   do
		   :: at < RECORDS && n < BATCH ->
			if
			:: SIZE - (at - peer) < WANT -> peer = mem[HEAD]
			:: else
			fi;
			if
#ifndef NO_ROOM_CHECK
			:: SIZE - (at - peer) < WANT -> break
#endif
			:: else ->
				store(PRODUCER, DATA + at % SIZE, value(at));
				at++;
				n++
			fi
		   :: n > 0 -> break			/* its source has no more for now */
		   :: at == RECORDS -> break
		   od;
		   if
		   :: n > 0 ->
#ifdef PUBLISH_BEFORE_COMMIT_PRODUCER
			publish(PRODUCER, TAIL, HEAD_WAIT);
#endif
			d_step {
				do
				:: tail_committed < at -> given[tail_committed] = value(tail_committed); tail_committed++
				:: else -> break
				od
			};
#ifndef PUBLISH_BEFORE_COMMIT_PRODUCER
			publish(PRODUCER, TAIL, HEAD_WAIT)
#endif
		   :: n == 0 && at == RECORDS -> false	/* rests for good */
		   :: n == 0 && at < RECORDS ->		/* ring_sleep_full */
			store(PRODUCER, TAIL_WAIT, u8(at - SIZE / 2 - 1));
#ifndef NO_FENCE_SLEEP_PRODUCER
			fence(PRODUCER);
#endif
#ifndef NO_LOOK_AGAIN_PRODUCER
			if
			:: at - mem[HEAD] > SIZE / 2 -> wait_bell(PRODUCER)
			:: else
			fi
#else
			wait_bell(PRODUCER)
#endif
		   fi
		od
	} unless { dead[PRODUCER] };
	d_step { at = 0; pub = 0; old = 0; peer = 0; n = 0; life = 0 };
	die(PRODUCER);
	goto again
}

active proctype consumer()
{
	byte at, pub, old, peer, n, took[BATCH];
again:
	{
		attach(CONSUMER, HEAD, head_committed);
		peer = at;
		do
		:: n = 0;
		   do
		   :: n < BATCH ->
			if
			:: at == peer ->
				peer = mem[TAIL];
				if
				:: at == peer -> break
				:: else -> always(bounds, u8(peer - at) <= SIZE)
				fi
			:: else
			fi;
			took[n] = mem[DATA + at % SIZE];
			at++;
			n++
		   :: n > 0 -> break
		   od;
		   if
		   :: n > 0 ->
#ifdef PUBLISH_BEFORE_COMMIT_CONSUMER
			publish(CONSUMER, HEAD, TAIL_WAIT);
#endif
			d_step {
				n = 0;
				do
				:: head_committed < at ->
					always(order, given[head_committed] == took[n]);
					took[n] = 0;
					head_committed++;
					n++
				:: else -> break
				od
			};
progress:
#ifndef PUBLISH_BEFORE_COMMIT_CONSUMER
			publish(CONSUMER, HEAD, TAIL_WAIT)
#else
			skip
#endif
		   :: n == 0 ->				/* ring_sleep_empty */
			store(CONSUMER, HEAD_WAIT, at);
#ifndef NO_FENCE_SLEEP_CONSUMER
			fence(CONSUMER);
#endif
#ifndef NO_LOOK_AGAIN_CONSUMER
			if
			:: mem[TAIL] == at -> wait_bell(CONSUMER)
			:: else
			fi
#else
			wait_bell(CONSUMER)
#endif
		   fi
		od
	} unless { dead[CONSUMER] };
	d_step {
		at = 0; pub = 0; old = 0; peer = 0;
		for (n : 0 .. BATCH - 1) { took[n] = 0 };
		n = 0
	};
	die(CONSUMER);
	goto again
}

active proctype rest()
{
	timeout;
	always(stall, gone[PRODUCER] || gone[CONSUMER] || head_committed == RECORDS);
	always(stall, !gone[PRODUCER] || gone[CONSUMER] || head_committed == mem[TAIL]);
	always(stall, gone[PRODUCER] || !gone[CONSUMER] || tail_committed == RECORDS || mem[TAIL] - mem[HEAD] > SIZE / 2)
}
