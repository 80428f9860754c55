/* tests/model/kick.pml - who wakes whom: kicks that leave through io_uring, sleep, deaths, and bells in hostile hands
 * (runtime/loop_watch.c loop_kick, loop.c loop_run_once, worker.c turn and rest, worker_take.c worker_commit,
 * supervisor_worker.c on_worker_gone and give_links, shm/link.c link_bell_restore).
 *
 * Two workers, one ring each way.  Worker 0 brings RECORDS records of its own, worker 1 answers each.  A step commits, shows its
 * tail, and queues a kick if the other side asked for one.  A queued kick leaves with the loop's next submission: the glance of
 * a busy turn, the system call in which the worker goes to sleep, or a submission that a full queue forces.  It rings at once
 * or, the bell being broken, not at all.  A bell is broken (full, or made blocking) and its ring swallowed by either worker, at
 * any moment, LIES times in all.  Either worker is killed at any step, KILLS times in all; what it had queued is lost.  Its
 * supervisor rings the neighbour, and then nobody comes, or: it restores both bells, which swallows their rings, and starts a
 * successor, which shows its tail, kicks and looks.
 *
 * order     records are taken one by one, and none that is not committed
 * stall     when nothing moves any more, each worker that is there has taken what is in its ring, and has shown what it
 *           committed; but for one whose bell is broken by a worker that still lives, or died without a successor
 *
 * Left out, and why that is sound.  Rings are never full, and their data is not looked at: ring.pml.  A submission that fails, or
 * takes only a part, leaves the rest queued and does not put the worker to sleep: a turn that goes on without a submission is
 * here.  A kick that cannot even be queued ends the worker: a death is here.  Kicks to one bell are one, as they are there
 * (tso.pml), so the queue has one place: empty, a kick, or another request. */
#ifndef RECORDS
#define RECORDS 2
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef LIES
#define LIES 1
#endif
#ifndef OTHERS
#define OTHERS 1		/* polls armed anew, in all */
#endif
#define TAIL(p) (p)
#define WAIT(p) (2 + (p))
#define WORDS 4
#define EMPTY 0
#define KICK 1
#define OTHER 2
#include "tso.pml"

hidden byte order = 1, stall = 1;

byte in_at[2], out_at[2];	/* committed: both in one step, as the undo log makes it */
byte queue[2];			/* the submission queue, which dies with its worker */
bool broken[2], lied[2];
byte others, lies;
#ifdef RESTORE_AFTER_START
bool restore_late;
#endif

#define input_waits	(in_at[p] < mem[TAIL(other(p))])
#define more_to_send	(p == 0 && out_at[0] < RECORDS)
#ifdef NO_FENCE_PUBLISH
#define shown		true
#else
#define shown		empty(sb[p])		/* the fence, and what is loaded after it */
#endif
#ifdef NO_FENCE_SLEEP
#define asked		true
#else
#define asked		empty(sb[p])
#endif
#define to_kick		(u8(pub - mem[WAIT(other(p))] - 1) < u8(pub - old))

inline ring(whose)
{
#ifdef KICK_WAITS
	!broken[whose];
#endif
	if
	:: !broken[whose] -> kick(whose)
	:: else
	fi
}

inline submit()
{
	atomic {
		if
		:: queue[p] == KICK -> ring(other(p))
		:: else
		fi;
		queue[p] = EMPTY
	}
}

/* loop_run_once(until).  Completions that are there already end it before its submission. */
inline wait()
{
	if
	:: atomic { bell[p] -> bell[p] = false }
#ifdef SLEEP_AFTER_DRAIN
	   ; submit(); atomic { (bell[p] || more_to_send) -> bell[p] = false }
#endif
	:: true ->
#ifndef SLEEP_WITHOUT_SUBMISSION
		submit();
#endif
		atomic { (bell[p] || more_to_send) -> bell[p] = false }
	fi
}

inline commit(taken)
{
	d_step { in_at[p] = in_at[p] + taken; out_at[p] = out_at[p] + 1; old = pub; pub = out_at[p] }
}

inline publish()
{
	store(p, TAIL(p), pub);
	if
	:: atomic { shown && to_kick && queue[p] == EMPTY -> queue[p] = KICK; old = 0 }
	:: atomic { shown && to_kick && queue[p] != EMPTY -> old = 0 }
#ifndef FULL_QUEUE_NOT_SUBMITTED
	   ; submit(); queue[p] = KICK
#endif
	:: atomic { shown && !to_kick -> old = 0 }
	fi
}

#ifdef PUBLISH_BEFORE_COMMIT
inline send(taken)
{
	d_step { old = pub; pub = out_at[p] + 1 };
	publish();
	d_step { in_at[p] = in_at[p] + taken; out_at[p] = out_at[p] + 1 }
}
#else
inline send(taken)
{
	commit(taken);
	publish()
}
#endif

proctype worker(byte p)
{
	byte pub, old;
again_alive:
	{
		pub = out_at[p];
		store(p, TAIL(p), pub);
#ifdef NO_KICK_ON_ATTACH
		fence(p);
#else
		atomic { fence(p); queue[p] = KICK };
#endif
#ifdef NO_LOOK_ON_ATTACH
		wait();
#endif
		do
		:: atomic {
			input_waits ->
			always(order, in_at[p] < out_at[other(p)]);
			if
			:: p == 0 -> in_at[0] = in_at[0] + 1; goto taken
			:: else
			fi
		   }
		   send(1);
taken:		   skip
		:: more_to_send -> send(0)
		:: queue[p] != EMPTY -> submit()	/* a glance: loop_run_once(0) */
		:: atomic { others < OTHERS && queue[p] == EMPTY -> others++; queue[p] = OTHER }
#ifdef SLEEP_AFTER_A_LOOK
		:: !input_waits -> wait()
#else
		:: atomic { !input_waits -> store(p, WAIT(p), in_at[p]) };	/* rest() */
		   if
		   :: asked && input_waits
		   :: asked && !input_waits -> wait()
		   fi
#endif
		od
	} unless { dead[p] };
	atomic {
		fence(p);
		d_step { pub = 0; old = 0; queue[p] = EMPTY };
#ifndef NO_DEATH_BELL
		ring(other(p))
#endif
	};
	if
	:: atomic { true -> gone[p] = true; false }
	:: d_step {
		true ->
#if !defined(NO_RESTORE) && !defined(RESTORE_AFTER_START)
		broken[0] = false; broken[1] = false; bell[0] = false; bell[1] = false;
#endif
#ifdef RESTORE_AFTER_START
		restore_late = true;
#endif
		lied[p] = false; dead[p] = false }
	fi;
	goto again_alive
}

#ifdef RESTORE_AFTER_START
active proctype supervisor()
{
end:
	do
	:: restore_late ->
		d_step { restore_late = false; broken[0] = false; bell[0] = false; broken[1] = false; bell[1] = false }
	od
}
#endif

/* One of the two workers, to one of the two bells. */
active proctype liar()
{
	byte who, whose;
end:
	do
	:: lies < LIES ->
		atomic {
			lies++;
			if
			:: who = 0
			:: who = 1
			fi;
			if
			:: whose = 0
			:: whose = 1
			fi;
			if
			:: !dead[who] -> lied[who] = true; broken[whose] = true; bell[whose] = false
			:: else
			fi;
			who = 0;
			whose = 0
		}
	od
}

#define excused(p)	(broken[p] && (lied[0] || lied[1]))
#define done(p)		(in_at[p] == mem[TAIL(other(p))] && out_at[p] == mem[TAIL(p)])

proctype rest()
{
	timeout;
	always(stall, gone[0] || excused(0) || done(0));
	always(stall, gone[1] || excused(1) || done(1));
	always(stall, gone[0] || gone[1] || excused(0) || excused(1) || in_at[0] == RECORDS)
}

init { atomic { run worker(0); run worker(1); run rest() } }
