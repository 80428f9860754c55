/* tests/model/attach.pml - links: made, resumed, given to workers, dropped; workers and supervisors that die on the way
 * (runtime/supervisor_links.c, supervisor_worker.c, supervisor_boot.c, worker_start.c).
 *
 * Side 0 dials, side 1 listens; each has a supervisor and a worker.  On each link that they hold in common, each worker gives the
 * other one record.  A worker or a supervisor is killed at any step, KILLS times in all, and LIES times a worker finds that a
 * ring lies.  A supervisor's death kills its worker, a little later; its successor knows what was stored one level up: the
 * link, the highest generation ever, the worker's pidfd.
 *
 * owner       never two workers of one side that have been given a link
 * positions   a worker counts on in a ring only if its positions are that ring's, not those of an earlier one of this number
 * converges   a handful of dials and generations is enough
 * stall       when nothing moves any more, both sides hold the same link, with a live worker each, and both records are through
 *
 * Left out, and why that is sound.  Memory order and the wait words: ring.pml; here a kick follows each publishing.  Whoever is
 * killed is brought back always: that a neighbour who stays away is given up for lost is a timer's matter, and ends in the same
 * drop and hello as a lie does.  A handler of the supervisor is one step but where it stores: there it may die half-way.
 * Frames that are left of a connection when a new one is dialed are lost at that moment: each order in which they could still
 * be read is one in which the dial comes later. */
#ifndef KILLS
#define KILLS 2
#endif
#ifndef LIES
#define LIES 1
#endif
#define GENERATIONS (3 + KILLS + LIES)	/* 0 is none */
#define DIALS (1 + 2 * (KILLS + LIES))
#define always(name, what) assert((what) || !name)
#define other(s) (1 - (s))

hidden byte owner = 1, positions = 1, converges = 1, stall = 1;

mtype = { hello, offer, resume, stored, nobody, launched, running, draining, dying };
typedef side {
	byte held, highest;		/* one level up, and in the ledger */
	bool pid_stored;
	bool up, conn, hup, redialed, settled, given, has_worker, detach;		/* the supervisor: gone with it */
	byte offered, detached;
	mtype state;			/* the worker */
	bool busy;			/* the worker's process has not come to its end yet */
	byte on;			/* the link that it was given; 0: none */
	byte counts, in, out		/* its arena: generation, positions */
};
side k[2];
typedef pair { bool tail[2], bell[2] };		/* by the side that writes, that sleeps */
pair link[GENERATIONS];
chan frames[2] = [2] of { mtype, byte, byte };	/* to side 0, to side 1 */
byte kills, lies, dials;

#define ring_bell(g, s) \
	if \
	:: g != 0 -> link[g].bell[s] = true \
	:: else \
	fi
#define clear(c) \
	do \
	:: c?_, _, _ \
	:: empty(c) -> break \
	od
#define wait_bell(g, s) atomic { link[g].bell[s] -> link[g].bell[s] = false }

/* ---- the worker ---- */
inline worker_attach(s, g)
{
	d_step {
		if
		:: k[s].counts != g -> k[s].counts = g; k[s].in = 0; k[s].out = 0
		:: else -> always(positions, link[g].tail[s] <= k[s].out && k[s].in <= link[g].tail[other(s)])
		fi
	};
	link[g].tail[s] = k[s].out;
#ifndef NO_KICK_ON_ATTACH
	ring_bell(g, other(s));
#endif
#ifdef SLEEP_BEFORE_LOOK
	wait_bell(g, s)
#endif
}

inline worker_turn(s, g)
{
	if
	:: link[g].tail[other(s)] > k[s].in -> k[s].in = 1
	:: link[g].tail[other(s)] <= k[s].in && !k[s].out ->
		k[s].out = 1;				/* committed */
		link[g].tail[s] = 1;
		ring_bell(g, other(s))
	:: link[g].tail[other(s)] <= k[s].in && k[s].out -> wait_bell(g, s)
	:: d_step { lies < LIES && k[s].state == running ->
		lies++; k[s].on = 0; k[s].detach = true; k[s].detached = g }
	fi
}

proctype worker(byte s)
{
	byte g;
end:
	do
	:: d_step { k[s].state == running && k[s].on != 0 && !k[s].busy -> g = k[s].on; k[s].busy = true };
	   {
		worker_attach(s, g);
		do
		:: worker_turn(s, g)
		od
	   } unless { k[s].on == 0 };
	   d_step { g = 0; k[s].busy = false }
	od
}

/* ---- the supervisor ---- */
inline close_conn(s)
{
	k[s].conn = false;
	k[s].hup = false;
	k[s].settled = false;
	k[s].offered = 0;
	clear(frames[s]);
	if
	:: k[other(s)].conn -> k[other(s)].hup = true
	:: else
	fi;
	ring_bell(k[s].held, s)			/* its death is a doorbell */
}
inline settle(s)
{
	k[s].settled = true;
#ifndef NOT_REPLACED
	if
	:: !k[s].given && k[s].state == running -> k[s].state = draining
	:: else
	fi
#endif
}
#define tell(s, what, a, b)	/* frames to nobody are lost */ \
	if \
	:: k[s].conn -> frames[s]!what(a, b) \
	:: else \
	fi
#ifdef HIGHEST_FORGOTTEN
#define highest_of(s) k[s].held
#else
#define highest_of(s) k[s].highest
#endif
/* Stored one level up before it is used; who dies half-way holds none. */
inline install(s, g)
{
	d_step { k[s].held = 0; k[s].given = false };
	k[s].highest = g;
	k[s].held = g
}

inline offer_new(s, theirs)
{
	k[s].offered = (highest_of(s) > theirs -> highest_of(s) : theirs) + 1;
	always(converges, k[s].offered < GENERATIONS);
	link[k[s].offered].tail[0] = 0; link[k[s].offered].tail[1] = 0;		/* other memory, other bells */
	link[k[s].offered].bell[0] = 0; link[k[s].offered].bell[1] = 0
}

inline dial()
{
	dials++;
	always(converges, dials <= DIALS);
	clear(frames[0]);
	clear(frames[1]);
	k[0].conn = true; k[0].hup = false;
	k[1].conn = true; k[1].hup = false; k[1].redialed = true; k[1].settled = false;	/* the former one is closed */
	frames[1]!hello(k[0].held, highest_of(0))
}

#ifdef RESUME_BLINDLY
#define held_too(s, g) (k[s].held != 0)
#else
#define held_too(s, g) (g != 0 && g == k[s].held)
#endif

/* One step each, but where something is stored: `made` then says what is still to be installed. */
inline on_dialers_frame()
{
	if
	:: what == hello && held_too(0, a) -> tell(1, resume, k[0].held, 0)
	:: what == hello && !held_too(0, a) -> offer_new(0, b); tell(1, offer, k[0].offered, 0)
	:: what == resume && held_too(0, a) -> settle(0)
	:: what == resume && !held_too(0, a) -> close_conn(0)
	:: what == offer && a == k[0].offered -> made = a
	:: what == offer && a != k[0].offered -> close_conn(0)
	fi
}
inline on_listeners_frame()
{
	if
	:: what == hello -> tell(0, hello, k[1].held, highest_of(1))
	:: what == resume && held_too(1, a) -> tell(0, resume, a, 0); settle(1)
	:: what == resume && !held_too(1, a) -> close_conn(1)
	:: what == offer && a > highest_of(1) -> made = a
	:: what == offer && a <= highest_of(1) -> close_conn(1)
	:: what == stored && a == k[1].held -> settle(1)
	:: what == stored && a != k[1].held -> skip
	fi
}
inline on_frame(s)
{
	d_step {
		nempty(frames[s]) -> frames[s]?what, a, b;
		k[s].redialed = false;
		if
		:: s == 0 -> on_dialers_frame()
		:: s == 1 -> on_listeners_frame()
		fi;
		what = 0; a = 0; b = 0
	};
	if
	:: made != 0 ->
		install(s, made);
		d_step {
			if
			:: s == 0 -> k[0].offered = 0; tell(1, stored, made, 0); settle(0)
			:: s == 1 && !k[1].redialed -> tell(0, offer, made, 0)
			:: s == 1 && k[1].redialed -> skip	/* it went to the former connection */
			fi;
			made = 0
		}
	:: else
	fi
}

/* sup_worker_start: no link before the next life could see this worker's end. */
inline start(s)
{
	d_step { k[s].has_worker = true; k[s].state = (k[s].state == nobody -> launched : k[s].state) };
#ifndef PIDFD_STORED_LATE
	k[s].pid_stored = true;
#endif
	d_step {
		always(owner, k[s].state == launched);
		k[s].state = running;
		k[s].on = k[s].held;
		k[s].given = (k[s].held != 0)
	};
#ifdef PIDFD_STORED_LATE
	k[s].pid_stored = true
#endif
}

inline supervise(s)
{
	do
	:: d_step { s == 0 && !k[0].conn && k[1].up -> dial() }
	:: on_frame(s)
	:: d_step { k[s].hup && empty(frames[s]) -> close_conn(s) }
	:: d_step { k[s].detach -> k[s].detach = false;		/* its ring lied */
		if
		:: k[s].detached == k[s].held && k[s].held != 0 ->
#ifndef DROP_KEEPS_CONNECTION
			if
			:: k[s].conn -> close_conn(s)
			:: else
			fi;
#endif
			k[s].held = 0; k[s].given = false; k[s].settled = false
		:: else
		fi;
		k[s].detached = 0 }
	:: d_step { k[s].state == draining -> k[s].state = dying }	/* it commits, and leaves */
	:: d_step { k[s].has_worker && k[s].state == nobody && !k[s].detach ->	/* on_worker_gone: its last words were heard */
		k[s].has_worker = false; k[s].pid_stored = false; k[s].given = false;
		ring_bell(k[s].held, other(s)) }
	:: d_step { !k[s].has_worker && !k[s].busy -> skip }; start(s)
	od
}

proctype supervisor(byte s)
{
	mtype what;
	byte a, b, made;
again:
#ifndef NO_WAIT_FOR_FORMER
	!k[s].pid_stored || k[s].state == nobody;
#else
	true;
#endif
	d_step { k[s].pid_stored = false; k[s].up = true };
	{ supervise(s) } unless { !k[s].up };
	made = 0;
	goto again
}

/* ---- kills ---- */
#define KILL_WORKER(s) \
	:: d_step { kills < KILLS && (k[s].state == running || k[s].state == draining) -> kills++; k[s].state = dying }
#define KILL_SUPERVISOR(s) \
	:: d_step { kills < KILLS && k[s].up -> \
		kills++; \
		if \
		:: k[s].conn -> close_conn(s) \
		:: else \
		fi; \
		k[s].up = false; k[s].settled = false; k[s].given = false; k[s].has_worker = false; \
		k[s].detach = false; k[s].detached = 0; k[s].offered = 0; \
		if \
		:: k[s].state == launched -> k[s].state = nobody	/* it was given nothing */ \
		:: k[s].state == running || k[s].state == draining -> k[s].state = dying \
		:: else \
		fi }

/* At most KILLS times, or fewer. */
proctype killer()
{
end:
	do
	KILL_WORKER(0)
	KILL_WORKER(1)
	KILL_SUPERVISOR(0)
	KILL_SUPERVISOR(1)
	:: kills < KILLS -> kills = KILLS
	od
}

/* A killed worker runs on for a while. */
proctype fate()
{
end:
	do
	:: d_step { k[0].state == dying -> k[0].state = nobody; k[0].on = 0 }
	:: d_step { k[1].state == dying -> k[1].state = nobody; k[1].on = 0 }
	od
}

#define served(s) (k[s].up && k[s].settled && k[s].state == running && k[s].on == k[s].held && k[s].in && k[s].out)

init {
	atomic {
		k[0].state = nobody; k[1].state = nobody;
		run worker(0); run worker(1); run supervisor(0); run supervisor(1); run killer(); run fate()
	};
	timeout;
	always(stall, k[0].held == k[1].held && k[0].held != 0 && served(0) && served(1))
}
