/* tests/model/credits.pml - windows between hostd and gattd that lend a shared rest, for two connections over one pair of rings,
 * with workers that sleep and die (shm/queue.*, hostd/core/gatt_port.c, acl.c, gattd/core/bearer.c, turn.c,
 * runtime/worker_start.c).
 *
 * Peers send requests, one at a time, and commands; gattd answers the former and notifies.  Each connection has a window in each
 * direction: a base of its own, and what it has borrowed of its consumer's rest.  What was consumed is owed; it is handed back in
 * a credit record once that is worth one, and then the window grows or shrinks (window_renew).  hostd also shares out the
 * controller's buffers, and looks at the share again before each packet.  Connection 0 may stall for ever at any moment: its
 * peer takes nothing more, so it returns no credit, and keeps what it has borrowed.  Connection 1 may come late, or be lost and
 * come again.  Either worker may be killed, before or after its commit, before its kick, asleep: KILLS times in all.
 *
 * overflow   nobody gives what its neighbour has not promised, so no queue holds more than its window
 * memory     what windows have borrowed and what is left add up to the rest, in every state: no more is promised than there is
 * conserved  for each connection and direction: left, on its way, queued and owed add up to the window, in every state
 * lawful     a peer that keeps to the protocol is never disconnected for want of window
 * answered   a request of a stalled connection is answered into hostd's queue: notifications leave room for it
 * asleep     when nothing moves any more, nobody sleeps who could do something
 * stall      then, too, everything of a connection that has not stalled is done, the rings are empty, and the windows have room
 *            again: the next command passes
 * last       the last free buffer goes to a connection that has none, in every state
 * starved    and connection 1 is done, although connection 0 returns nothing, whichever came first
 *
 * Left out, and why that is sound.  Memory order and wait positions: ring.pml; here a worker says that it waits, looks again, and
 * sleeps, and who has published looks for sleepers behind that.  A step is one transition: what is killed before its commit
 * leaves nothing, what is killed behind it is shown by recovery (step.pml); the mutants that keep something outside the log show
 * what would be else.  A chunk holds one PDU, and PDUs have one length; halves of the rest are rounded up (ROUND=0: down, as in
 * the code), so that a rest of one is lent and comes back: no property asks how much is lent.  Lists have no order: more orders
 * than the code has.  hostd's rings to transportd and the supervisors' small links never lack room. */
#ifndef REQUESTS
#define REQUESTS 1		/* these three: of peer 0, and what gattd tells it */
#endif
#ifndef COMMANDS
#define COMMANDS 1
#endif
#ifndef NOTIFICATIONS
#define NOTIFICATIONS 3
#endif
#ifndef OTHERS
#define OTHERS 1		/* notifications of connection 1, and its peer's requests */
#endif
#ifndef OTHER_REQUESTS
#define OTHER_REQUESTS OTHERS
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef SLEEPS
#define SLEEPS 1		/* 0: who can move does, so a kill is nothing; for stories with more records */
#endif
#ifndef LATE
#define LATE 0			/* 1: connection 1 is not there at first */
#endif
#ifndef LOSSES
#define LOSSES 0		/* of connection 1 */
#endif
#ifndef REST
#define REST 1			/* of either side */
#endif
#ifndef MOST
#define MOST 2			/* that one window may borrow */
#endif
#ifndef FIRST
#define FIRST 1			/* what a new window towards gattd begins with */
#endif
#ifndef ROUND
#define ROUND 1
#endif
#ifndef RING
#define RING 2			/* records in either ring: fewer than the windows of both connections */
#endif
#define BASE_IN 3
#define BASE_OUT 3
#ifndef BUFFERS
#define BUFFERS 2		/* the controller's */
#endif
#ifndef LAST
#define LAST 0			/* 1: that property is looked at, which would hide what starves */
#endif
#define always(name, what) assert((what) || !name)

hidden byte overflow = 1, memory = 1, conserved = 1, lawful = 1, answered = 1, asleep = 1, stall = 1, starved = 1, last = LAST;

mtype = { request, command, answer, notification, credit, connected, disconnected, opened, lost, completed };
typedef conn {
	bool open, ended, ready, work;				/* hostd's; ready and work: it is in that list */
	byte gen, window, tx, owed, extra, outstanding;
	bool b_ready;						/* gattd's */
	byte b_gen, room, used, b_owed, b_extra, rx_requests, rx_commands, due;
	bool alive, asking;					/* the peer's */
	byte in_controller, requests, commands, notifications;	/* the last three: still to come */
	byte stage, ahead;					/* of its answer: 1 queued, 2 in the controller; what goes before it */
	byte up_pdus, up_credits, down_pdus, down_credits	/* in the rings: for `conserved` alone */
};
conn k[2];
byte buffers = BUFFERS, live, spare_out = REST, spare_in = REST, kills, losses, generations;
bool stalled, calm;		/* connection 0's peer takes nothing more; nothing more goes wrong */
chan down = [RING] of { mtype, byte, byte, byte };	/* hostd to gattd: kind, connection, generation, credit */
chan up = [RING] of { mtype, byte, byte, byte };
mtype event;			/* the controller to hostd; 0: none */
byte event_of;

/* ---- what a worker sees of the rings, sleeping, dying ---- */
#define HOSTD 0
#define GATTD 1
#define other(w) (1 - (w))
typedef worker {
	byte unshown, untold;	/* records that it committed and has not published yet; places that it has not given back yet */
	bool waits, bell, dead
};
worker at[2];

#define given(me) at[me].unshown = at[me].unshown + SLEEPS
#define taken(me) at[me].untold = at[me].untold + SLEEPS
#define seen_down (len(down) - at[HOSTD].unshown)	/* what gattd may take */
#define seen_up (len(up) - at[GATTD].unshown)
#define room_down (RING - len(down) - at[GATTD].untold)
#define room_up (RING - len(up) - at[HOSTD].untold)

#if SLEEPS
/* Commit was before.  The kick is a step of its own: whoever is killed before it never kicks. */
inline publish(me)
{
	if
	:: d_step { at[other(me)].waits -> at[me].unshown = 0; at[me].untold = 0 };
		at[other(me)].bell = true
	:: d_step { !at[other(me)].waits -> at[me].unshown = 0; at[me].untold = 0 }
	fi
}
#define PUBLISH(me) ; publish(me)
#ifdef NO_LOOK_AGAIN
#define again(can_go_on) false
#else
#define again(can_go_on) (can_go_on)
#endif
#define RESTS(me, can_go_on) \
	:: !(can_go_on) -> \
		at[me].waits = true; \
		if \
		:: d_step { again(can_go_on) -> at[me].waits = false } \
		:: !again(can_go_on) -> d_step { at[me].bell -> at[me].bell = false; at[me].waits = false } \
		fi
#else
#define PUBLISH(me)
#define RESTS(me, can_go_on)
#endif

/* worker_start.c's attach: committed positions are shown again, the other side kicked; then it looks before it sleeps. */
inline attach(me)
{
	d_step {
#ifndef NO_REPUBLISH
		at[me].unshown = 0;
		at[me].untold = 0;
#endif
		at[me].waits = false
	};
#ifndef NO_KICK_ON_ATTACH
	at[other(me)].bell = true
#endif
}

/* ---- what holds in every state ---- */
#define window_out(c) (BASE_OUT + k[c].extra)
#define window_in(c) (BASE_IN + k[c].b_extra)
inline check(c)
{
	always(memory, k[0].extra + k[1].extra + spare_out == REST && k[0].b_extra + k[1].b_extra + spare_in == REST);
	if
	:: k[c].open && k[c].b_gen == k[c].gen ->
		always(conserved, k[c].room + k[c].up_pdus + k[c].tx + k[c].owed + k[c].down_credits == window_out(c));
		always(conserved, k[c].window + k[c].down_pdus + k[c].used + k[c].up_credits == window_in(c))
	:: else
	fi
}
#define note(c, g, counter, n)	/* what lies in the rings of this generation */ \
	if \
	:: k[c].open && g == k[c].gen -> k[c].counter = k[c].counter + n \
	:: else \
	fi

/* ---- shm/queue.c: `owed` becomes what is to be handed back ---- */
inline window_renew(has, spare, back)
{
	n = 0;
	if
	:: has < spare && has < MOST ->
		n = (spare - has + ROUND) / 2;
		if :: n > MOST - has -> n = MOST - has :: else fi;
		has = has + n;
#ifndef LENT_TWICE
		spare = spare - n;
#endif
		back = back + n
	:: has > spare ->
		n = (has - spare + ROUND) / 2;
		if :: n > back -> n = back :: else fi;
		has = has - n;
#ifndef NEVER_RETURNED
		spare = spare + n;
#endif
#ifdef GIVEN_BACK_AND_KEPT
		skip
#else
		back = back - n
#endif
	:: else
	fi;
	n = 0
}

/* ---- hostd ---- */
#ifdef NO_SHARE
#define may_have(c) true
#elif defined(LAST_FOR_ANYBODY)
#define may_have(c) (k[c].outstanding == 0 || k[c].outstanding < buffers || (k[c].outstanding + 1) * live <= BUFFERS)
#else
#define may_have(c) (k[c].outstanding == 0 || (buffers > 1 && (k[c].outstanding < buffers || (k[c].outstanding + 1) * live <= BUFFERS)))
#endif
#define may_queue(c) (k[c].open && k[c].tx > 0 && may_have(c))
#ifdef CREDIT_TOO_LATE
#define worth_a_record(c) window_out(c)
#else
#define worth_a_record(c) ((window_out(c) + 1) / 2)	/* what is left of the window takes an answer, and one PDU besides */
#endif
#ifdef NO_KEEP
#define KEEP 0
#else
#define KEEP 1			/* of a window: for the one request that may be under way */
#endif
inline queue_if_may(c)
{
	if :: may_queue(c) -> k[c].ready = true :: else fi
}
inline sent(c)
{
	always(last, buffers > 1 || k[c].outstanding == 0);
	buffers--;
	k[c].outstanding++;
	k[c].in_controller++;
	k[c].owed++;
	if :: k[c].owed >= worth_a_record(c) -> k[c].work = true :: else fi
}
inline to_gattd(what, c, amount)
{
	down!what(c, k[c].gen, amount);
	given(HOSTD)
}
inline on_event()
{
	if
	:: kind == opened ->
		generations++;
		k[c].open = true; k[c].gen = generations; k[c].window = BASE_IN;
		live++;
		to_gattd(connected, c, 0)
	:: kind == lost ->		/* connection_end: what is queued is dropped, what the controller has is free */
		k[c].open = false; k[c].ended = true; k[c].work = true; k[c].ready = false;
		buffers = buffers + k[c].outstanding;
		k[c].tx = 0; k[c].outstanding = 0; k[c].in_controller = 0; k[c].stage = 0; k[c].ahead = 0;
		live--;
		queue_if_may(other(c))					/* acl_share */
	:: kind == completed ->
		k[c].outstanding--;
		buffers++;
#ifndef NOT_QUEUED_AGAIN
		queue_if_may(c)
#endif
	:: kind == request ->
		always(lawful, k[c].window > 0);
		k[c].window--;
		k[c].down_pdus++;
		to_gattd(request, c, 0)
	:: kind == command ->
		if
		:: k[c].window > KEEP -> k[c].window--; k[c].down_pdus++; to_gattd(command, c, 0)
		:: else							/* discarded, counted */
		fi
	fi
}
#ifdef QUEUE_BELOW_WINDOW
#define TX(c) (window_out(c) - 1)
#else
#define TX(c) window_out(c)
#endif
#ifdef NO_GENERATION
#define current(c, g) k[c].open
#else
#define current(c, g) (k[c].open && g == k[c].gen)
#endif
inline on_gatt_record()
{
	if
	:: !current(c, gen) -> skip			/* stale, counted; or of one that has ended */
	:: current(c, gen) && kind == credit ->
		note(c, gen, up_credits, (0 - amount));
		k[c].window = k[c].window + amount
	:: current(c, gen) && kind != credit ->
		note(c, gen, up_pdus, (0 - 1));
		always(overflow, k[c].tx + k[c].owed < TX(c));
		if
		:: kind == answer -> k[c].stage = 1; k[c].ahead = k[c].tx
		:: else
		fi;
		k[c].tx++;
		queue_if_may(c)
	fi
}
inline pump(c)
{
	k[c].ready = false;		/* it was put into the list when more was free: may it still? */
#ifdef SHARE_NOT_LOOKED_AT_AGAIN
	if
	:: k[c].tx > 0 ->
#else
	if
	:: may_queue(c) ->
#endif
		k[c].tx--;
		if
		:: k[c].stage == 1 && k[c].ahead == 0 -> k[c].stage = 2; k[c].ahead = k[c].in_controller
		:: k[c].stage == 1 && k[c].ahead > 0 -> k[c].ahead--
		:: else
		fi;
		sent(c);
		queue_if_may(c)
	:: else
	fi
}
inline turn(c)
{
	k[c].work = false;
	if
	:: k[c].ended ->
		to_gattd(disconnected, c, 0);
#ifndef KEPT_BY_THE_DEAD
		spare_out = spare_out + k[c].extra;
#endif
		k[c].ended = false; k[c].extra = 0; k[c].owed = 0; k[c].window = 0; k[c].gen = 0; k[c].alive = false;
		k[c].up_pdus = 0; k[c].up_credits = 0; k[c].down_pdus = 0; k[c].down_credits = 0
	:: !k[c].ended && k[c].owed > 0 ->
		amount = k[c].owed;
		window_renew(k[c].extra, spare_out, amount);
		k[c].owed = 0;
		if
		:: amount > 0 -> to_gattd(credit, c, amount); k[c].down_credits = k[c].down_credits + amount
		:: else
		fi
	:: else
	fi
}
#ifdef ANSWER_IN_TAKE
#define H_UP (seen_up > 0 && room_down > 0)	/* what comes from gattd is answered to gattd at once */
#else
#define H_UP (seen_up > 0)
#endif
#define H_EVENT (event != 0 && room_down > 0)
#define H_TURN(c) (k[c].work && room_down > 0)
#define H_PUMP(c) (k[c].ready && buffers > 0)
#define H_CAN (H_UP || H_EVENT || H_TURN(0) || H_TURN(1) || H_PUMP(0) || H_PUMP(1))
#define forget kind = 0; c = 0; gen = 0; amount = 0

proctype hostd()
{
	mtype kind;
	byte c, gen, amount, n;
again:
	{ {
		attach(HOSTD);
		do
		:: if
		   :: d_step { H_EVENT -> kind = event; c = event_of; event = 0; event_of = 0; on_event(); check(c); forget }
		   :: d_step { H_UP -> up?kind, c, gen, amount; taken(HOSTD); on_gatt_record(); check(c); forget }
		   :: d_step { H_TURN(0) -> turn(0); check(0); forget }
		   :: d_step { H_TURN(1) -> turn(1); check(1); forget }
		   :: d_step { H_PUMP(0) -> pump(0); check(0) }
		   :: d_step { H_PUMP(1) -> pump(1); check(1) }
		   fi PUBLISH(HOSTD)
		RESTS(HOSTD, H_CAN)
		od
	} unless { at[HOSTD].dead } };
	at[HOSTD].dead = false;
	goto again
}

/* ---- gattd ---- */
inline to_hostd(what, c, amount)
{
	up!what(c, k[c].b_gen, amount);
	given(GATTD)
}
inline push(c, what)
{
	k[c].room--;
	note(c, k[c].b_gen, up_pdus, 1);
	to_hostd(what, c, 0)
}
inline send_credit(c, amount)
{
	note(c, k[c].b_gen, up_credits, amount);
	to_hostd(credit, c, amount)
}
#ifdef OWED_TOO_LONG
#define most_of_commands (BASE_IN + 1)
#else
#define most_of_commands 2	/* a window from which so much less one is kept back lets a command pass */
#endif
inline consumed(c, most)
{
	k[c].b_owed++;
	if
	:: k[c].b_owed >= most ->
		amount = k[c].b_owed;
		window_renew(k[c].b_extra, spare_in, amount);
		k[c].used = k[c].used - k[c].b_owed;
		k[c].b_owed = 0;
		if :: amount > 0 -> send_credit(c, amount) :: else fi
	:: else
	fi
}
#ifdef NO_ANSWER_SLOT
#define FOR_ANSWER 0
#else
#define FOR_ANSWER 1
#endif
#define waits(c) (k[c].rx_requests + k[c].rx_commands > 0)
inline on_host_pdu()
{
	note(c, gen, down_pdus, (0 - 1));
	always(overflow, k[c].used < window_in(c));
	k[c].used++;
	if
	:: kind == command && !waits(c) -> consumed(c, most_of_commands)
	:: kind == command && waits(c) -> k[c].rx_commands++
	:: kind == request && !waits(c) && k[c].room > 0 -> push(c, answer); consumed(c, 1)
	:: kind == request && (waits(c) || k[c].room == 0) -> k[c].rx_requests++
	fi
}
inline bearer_drop(c)
{
	spare_in = spare_in + k[c].b_extra;
	k[c].b_gen = 0; k[c].room = 0; k[c].used = 0; k[c].b_owed = 0; k[c].b_extra = 0; k[c].b_ready = false;
	k[c].rx_requests = 0; k[c].rx_commands = 0; k[c].due = 0
}
inline on_host_record()
{
	if
	:: kind == connected ->
		k[c].b_gen = gen; k[c].room = BASE_OUT;
		if
		:: 2 * spare_in > REST && FIRST > 0 ->		/* grow_first */
			k[c].b_extra = FIRST;
			spare_in = spare_in - FIRST;
			send_credit(c, FIRST)
		:: else
		fi
	:: kind == disconnected -> bearer_drop(c)
	:: kind == credit ->
		note(c, gen, down_credits, (0 - amount));
		k[c].room = k[c].room + amount;
#ifndef CREDIT_WAKES_NOBODY
		if
		:: waits(c) || k[c].due > 0 -> k[c].b_ready = true
		:: else
		fi
#endif
	:: kind == request || kind == command -> on_host_pdu()
	fi
}
#define may_notify(c) (k[c].due > 0 && k[c].room > FOR_ANSWER)
#define may_take(c) ((k[c].rx_requests > 0 && k[c].room > 0) || (k[c].rx_requests == 0 && k[c].rx_commands > 0))
inline serve(c)
{
	if
	:: may_notify(c) -> k[c].due--; push(c, notification)
	:: !may_notify(c) && may_take(c) && k[c].rx_requests > 0 -> k[c].rx_requests--; push(c, answer); consumed(c, 1)
	:: !may_notify(c) && may_take(c) && k[c].rx_requests == 0 -> k[c].rx_commands--; consumed(c, most_of_commands)
	:: else -> k[c].b_ready = false			/* until a record says so */
	fi
}
#ifdef STOP_READING
#define G_DOWN (seen_down > 0 && room_up > 1 && !(k[0].room == 0 && down?[request, 0, _, _]))
#else
#define G_DOWN (seen_down > 0 && room_up > 1)		/* reserve: an answer and a credit */
#endif
#define G_TURN(c) (k[c].b_ready && room_up > 1)
#define G_CAN (G_DOWN || G_TURN(0) || G_TURN(1))

proctype gattd()
{
	mtype kind;
	byte c, gen, amount, n;
again:
	{ {
		attach(GATTD);
		do
		:: if
		   :: d_step { G_DOWN -> down?kind, c, gen, amount; taken(GATTD); on_host_record(); check(c); forget }
		   :: d_step { G_TURN(0) -> serve(0); check(0); forget }
		   :: d_step { G_TURN(1) -> serve(1); check(1); forget }
		   fi PUBLISH(GATTD)
		RESTS(GATTD, G_CAN)
		od
	} unless { at[GATTD].dead } };
	at[GATTD].dead = false;
	goto again
}

/* ---- peers, controller, operator; and what goes wrong ---- */
inline happens(what, c)
{
	event = what;
	event_of = c;
	at[HOSTD].bell = true
}
inline complete(c)
{
	k[c].in_controller--;
	if
	:: k[c].stage == 2 && k[c].ahead == 0 -> k[c].stage = 0; k[c].asking = false
	:: k[c].stage == 2 && k[c].ahead > 0 -> k[c].ahead--
	:: else
	fi;
	happens(completed, c)
}
#define PEER(c) \
	:: d_step { event == 0 && !k[c].alive -> k[c].alive = true; k[c].asking = false; happens(opened, c) } \
	:: d_step { event == 0 && k[c].open && k[c].requests > 0 && !k[c].asking -> \
		k[c].requests--; k[c].asking = true; happens(request, c) } \
	:: d_step { event == 0 && k[c].open && k[c].commands > 0 -> k[c].commands--; happens(command, c) } \
	:: d_step { event == 0 && k[c].open && k[c].in_controller > 0 && !(c == 0 && stalled) -> complete(c) } \
	:: d_step { k[c].b_gen > 0 && k[c].notifications > 0 -> \
		k[c].notifications--; k[c].due++; k[c].b_ready = true; at[GATTD].bell = true }

proctype world()
{
	do
	PEER(0)
	PEER(1)
	od
}

/* Each may happen, or not. */
proctype trouble()
{
	do
	:: d_step { !calm && !stalled && k[0].in_controller > 0 -> stalled = true }
	:: d_step { !calm && losses < LOSSES && k[1].open && event == 0 ->
		losses++; happens(lost, 1) }
	:: d_step { !calm && kills < KILLS && !at[HOSTD].dead -> kills++; at[HOSTD].dead = true;
#ifdef WINDOW_OUTSIDE_LOG
		if
		:: k[1].open && k[1].window > 0 && event != 0 -> k[1].window--; check(1)	/* killed before its commit */
		:: else
		fi
#endif
#ifdef REST_OUTSIDE_LOG
		if
		:: k[0].work && spare_out > 0 -> spare_out--; check(0)
		:: else
		fi
#endif
		}
	:: d_step { !calm && kills < KILLS && !at[GATTD].dead -> kills++; at[GATTD].dead = true }
	:: d_step { !calm -> calm = true }
	od
}

#define to_come(c) (k[c].requests + k[c].commands + k[c].notifications)
#define idle(c) (k[c].tx == 0 && !waits(c) && k[c].due == 0 && to_come(c) == 0)

proctype rest()
{
	timeout;
	always(asleep, !H_CAN && !G_CAN);
	always(answered, k[0].rx_requests == 0);
	always(starved, !stalled || idle(1));
	always(stall, idle(1) && (stalled || idle(0)) && empty(up) && empty(down) && event == 0);
	always(stall, k[1].window > KEEP && (stalled || k[0].window > KEEP))
}

#define there(c) \
	live++; \
	k[c].alive = true; k[c].open = true; k[c].gen = live; k[c].b_gen = live; k[c].window = BASE_IN; k[c].room = BASE_OUT
init {
	d_step {
		k[0].requests = REQUESTS; k[0].commands = COMMANDS; k[0].notifications = NOTIFICATIONS;
		k[1].requests = OTHER_REQUESTS; k[1].notifications = OTHERS;
		there(0);
		if
		:: LATE == 0 -> there(1)
		:: else
		fi;
		generations = live
	};
	atomic { run hostd(); run gattd(); run world(); run trouble(); run rest() }
}
