/* tests/model/kick.pml - kicks that leave through io_uring, and how they are coalesced (runtime/loop_watch.c loop_kick,
 * loop.c on_completion, glance, wait_until).
 *
 * A producer publishes RECORDS records one by one and kicks an untrusted consumer through its loop: an entry in the submission
 * queue, taken by the kernel at a submission, written to the doorbell at any later time, its completion seen at a drain.  One
 * kick is under way at a time: a further one is stood for by it while it has not left, and remembered (`again`) once it has.
 * Other entries (polls that are armed anew) lie between.  Either side is killed at any step, KILLS times in all; what a
 * dead producer had submitted may still be written, or not.
 *
 * order     the consumer takes what is there, one by one
 * single    never two kicks to one file in the kernel at a time
 * queue     the submission queue is never overfilled
 * stall     when nothing moves any more, the consumer has taken all that is published
 *
 * Left out, and why that is sound.  The ring is never full, and its data is not looked at: ring.pml.  A submission succeeds: one
 * that does not ends the worker (loop_run_once), and a death is here anyway.  The producer's source may bring a record at any
 * moment, so a producer that sleeps may be woken by that too; when there are no more, by completions alone. */
#ifndef RECORDS
#define RECORDS 4
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef OTHERS
#define OTHERS 2		/* polls armed anew, in all */
#endif
#define ENTRIES 2		/* the submission queue holds */
#define TAIL 0
#define HEAD_WAIT 1
#define WORDS 2
#define PRODUCER 0
#define CONSUMER 1
#include "tso.pml"

hidden byte order = 1, single = 1, queue = 1, stall = 1;

byte committed, taken, others;
/* The submission queue counts entries, made and consumed. */
byte sqe_tail, sqe_head;
bool kicked, again;		/* struct loop_file */
byte past;
bool in_queue, in_kernel, written, completion;	/* where the kick really is */

inline submit()
{
	d_step {
		if
		:: in_queue ->
			always(single, !in_kernel && !written);
			in_queue = false;
			in_kernel = true
		:: else
		fi;
		if
		:: kicked -> sqe_head = sqe_tail
		:: else -> sqe_tail = 0; sqe_head = 0; past = 0	/* only differences matter: fewer states */
		fi
	}
}

inline loop_sqe()
{
	if
#ifndef FULL_QUEUE_NOT_SUBMITTED
	:: sqe_tail - sqe_head == ENTRIES -> submit()
#endif
	:: else
	fi;
	d_step { always(queue, sqe_tail - sqe_head < ENTRIES); sqe_tail++ }
}

inline loop_kick()
{
	if
	:: kicked ->
#ifdef NO_AGAIN
		skip
#else
		if
#ifdef LEFT_BY_COMPLETION
		:: completion -> again = true
#else
		:: u8(sqe_tail - past) >= u8(sqe_tail - sqe_head) -> again = true
#endif
		:: else
		fi
#endif
	:: else ->
		loop_sqe();
		d_step {
			in_queue = true;
#ifndef KICKED_NOT_REMEMBERED
			kicked = true;
#endif
#ifdef PAST_TOO_FAR
			past = sqe_tail + 1
#else
			past = sqe_tail
#endif
		}
	fi
}

inline drain()
{
	if
	:: completion ->
		completion = false;
#ifndef KICKED_NOT_CLEARED_FIRST
		kicked = false;
#endif
		if
		:: again ->
			again = false;
#ifndef AGAIN_FORGOTTEN
			loop_kick()
#else
			skip
#endif
		:: else
		fi;
#ifdef KICKED_NOT_CLEARED_FIRST
		kicked = false;
#endif
	:: else
	fi
}

inline publish()
{
	store(PRODUCER, TAIL, at);
	old = pub;
	pub = at;
#ifndef NO_FENCE_PUBLISH
	fence(PRODUCER);
#endif
	if
	:: u8(at - mem[HEAD_WAIT] - 1) < u8(at - old) -> loop_kick()
	:: else
	fi
}

active proctype kernel()
{
end:
	do
	:: atomic { in_kernel -> in_kernel = false; written = true; kick(CONSUMER) }
	:: atomic { written -> written = false; completion = true }
	od
}

active proctype producer()
{
	byte at, pub, old;
again_alive:
	{
		at = committed;
		store(PRODUCER, TAIL, at);
		pub = at;
		fence(PRODUCER);
#ifndef NO_KICK_ON_ATTACH
		loop_kick();
#endif
		submit();
		do
		:: at < RECORDS ->
#ifdef PUBLISH_BEFORE_COMMIT
			at++;
			publish();
			committed = at;
#else
			d_step { at++; committed = at };
			publish();
#endif
			if
			:: submit(); drain()	/* loop_run_once(0) */
			:: skip			/* more in this turn */
			fi
		:: others < OTHERS -> others++; loop_sqe()
		:: drain();			/* nothing to do: loop_run_once(until) */
#ifndef SLEEP_WITHOUT_SUBMISSION
		   submit();
#endif
		   (completion || at < RECORDS);
		   drain()
		od
	} unless { dead[PRODUCER] };
	d_step {
		at = 0; pub = 0; old = 0;
		sqe_tail = 0; sqe_head = 0; past = 0;
		kicked = false; again = false; in_queue = false
	};
	fence(PRODUCER);
	if
	:: in_kernel -> atomic { in_kernel = false; kick(CONSUMER) }
	:: skip
	fi;
	d_step { in_kernel = false; written = false; completion = false };
	kick(CONSUMER);				/* its supervisor's */
	if
	:: dead[PRODUCER] = false
	:: atomic { gone[PRODUCER] = true; false }
	fi;
	goto again_alive
}

active proctype consumer()
{
	byte at;
again_alive:
	{
		at = taken;
		do
		:: at < mem[TAIL] -> d_step { at++; always(order, at == taken + 1 && at <= committed); taken = at }
		:: at == mem[TAIL] ->
			store(CONSUMER, HEAD_WAIT, at);
			fence(CONSUMER);
			if
			:: at == mem[TAIL] -> wait_bell(CONSUMER)
			:: else
			fi
		od
	} unless { dead[CONSUMER] };
	at = 0;
	fence(CONSUMER);
	d_step { dead[CONSUMER] = false; bell[CONSUMER] = false };
	goto again_alive
}

active proctype rest()
{
	timeout;
	always(stall, taken == mem[TAIL] && (gone[PRODUCER] || taken == RECORDS))
}
