/* tests/model/credits.pml - windows between hostd and gattd, for two connections over one pair of rings (hostd/core/gatt_port.c,
 * acl.c, gattd/core/bearer.c).
 *
 * Peers send requests and commands through the controller's one event queue; gattd answers the former and notifies.  PDUs count
 * one in a window.  hostd holds what is above WINDOW_IN, hands WINDOW_OUT back in pieces of CREDIT_STEP once a PDU has
 * left for the controller, and gives each connection its share of the controller's buffers.  Connection 0 may stall for ever
 * at any moment (its peer takes nothing more).  Connection 1 may be lost and come
 * again, and gattd may start cold with a new link, at any moment.
 *
 * overflow   no queue is asked to hold more than it reserved, no window grows past its size
 * conserved  for each connection and direction: what is left, on its way, queued and owed adds up to the window, in every state
 * answered   a request of a stalled connection is answered into hostd's queue: notifications leave room for it
 * stall      when nothing moves any more, everything of a connection that has not stalled is done, and both rings are empty
 *
 * Left out, and why that is sound.  Sleep, kicks and memory order: ring.pml; a worker here moves as soon as it can, so a stall
 * can only come of room or credit that never comes.  A step is one transition: what is killed before its commit leaves nothing,
 * what is killed behind it is shown by recovery (step.pml), so a warm restart is no transition at all; the mutant that keeps
 * a window outside the log shows what one would be else.  PDUs of one length: a window of n of them behaves as one of octets does
 * with PDUs of the largest size, and smaller ones only leave more room.  An answer may overtake notifications in hostd's queue:
 * more orders than the code has. */
/* What comes from peer 0 and peer 1, and what gattd tells them. */
#ifndef REQUESTS
#define REQUESTS 2
#endif
#ifndef COMMANDS
#define COMMANDS 1
#endif
#ifndef NOTIFICATIONS
#define NOTIFICATIONS 3
#endif
#ifndef OTHERS
#define OTHERS 1		/* requests, commands and notifications of connection 1, each */
#endif
#ifndef LOSSES
#define LOSSES 1		/* of connection 1 */
#endif
#ifndef COLD_STARTS
#define COLD_STARTS 0		/* of gattd */
#endif
#ifndef RING
#define RING 2			/* records in either ring: fewer than the windows of both connections */
#endif
#define WINDOW_IN 2
#define WINDOW_OUT 3
#ifdef STEP_TOO_LARGE
#define CREDIT_STEP 3
#else
#define CREDIT_STEP 2
#endif
#ifdef QUEUE_BELOW_WINDOW
#define TX 2
#else
#define TX WINDOW_OUT
#endif
#define HOLD 2
#define KEEP 1			/* of hold: for requests */
#define BUFFERS 2		/* the controller's */
#define always(name, what) assert((what) || !name)

hidden byte overflow = 1, conserved = 1, answered = 1, stall = 1;

mtype = { request, command, answer, notification, credit, connected, completed };
typedef conn {
	byte gen, window, hold_requests, hold_commands, tx, owed, outstanding;		/* hostd's */
	byte b_gen, room, used, rx_requests, rx_commands;				/* gattd's */
	byte in_controller, requests, commands, notifications;				/* the last three: still to come */
	bool open, asked, replied;
	byte up_pdus, up_credits, down_pdus, down_credits				/* in the rings: for `conserved` alone */
};
conn k[2];
byte buffers = BUFFERS, losses, colds;
bool stalled, calm;		/* connection 0's peer takes nothing more; that will not happen */
chan down = [RING] of { mtype, byte, byte, byte };	/* hostd to gattd: kind, connection, generation, credit */
chan up = [RING] of { mtype, byte, byte, byte };
chan events = [1] of { mtype, byte, byte };		/* the controller to hostd: kind, connection, generation */

inline check(c)
{
	if
	:: k[c].open && k[c].b_gen == k[c].gen ->
		always(conserved, k[c].room + k[c].up_pdus + k[c].tx + k[c].owed + k[c].down_credits == WINDOW_OUT);
		always(conserved, k[c].window + k[c].down_pdus + k[c].used + k[c].up_credits == WINDOW_IN)
	:: else
	fi
}
#define note(c, g, counter, n)	/* what lies in the rings of this generation */ \
	if \
	:: k[c].open && g == k[c].gen -> k[c].counter = k[c].counter + n \
	:: else \
	fi

/* ---- hostd ---- */
inline forget(c)
{
	k[c].open = false;
	k[c].hold_requests = 0; k[c].hold_commands = 0; k[c].tx = 0; k[c].owed = 0; k[c].window = 0;
	buffers = buffers + k[c].outstanding;
	k[c].outstanding = 0; k[c].in_controller = 0;
	k[c].up_pdus = 0; k[c].up_credits = 0; k[c].down_pdus = 0; k[c].down_credits = 0
}
#define held(c) (k[c].hold_requests + k[c].hold_commands)
inline give_pdu(c, what)
{
	k[c].window--;
	k[c].down_pdus++;
	down!what(c, k[c].gen, 0)
}
inline on_pdu(c, what)
{
	if
	:: k[c].window > 0 && held(c) == 0 -> give_pdu(c, what)
	:: !(k[c].window > 0 && held(c) == 0) && what == command && held(c) + KEEP < HOLD -> k[c].hold_commands++
	:: !(k[c].window > 0 && held(c) == 0) && what == command && held(c) + KEEP >= HOLD -> skip	/* discarded, counted */
	:: !(k[c].window > 0 && held(c) == 0) && what == request && held(c) < HOLD -> k[c].hold_requests++
	:: !(k[c].window > 0 && held(c) == 0) && what == request && held(c) >= HOLD -> forget(c)	/* overrun: disconnected */
	fi
}
inline on_event()
{
	if
	:: !(k[c].open && gen == k[c].gen) -> skip	/* a handle that was */
	:: k[c].open && gen == k[c].gen && kind == completed -> k[c].outstanding--; buffers++
	:: k[c].open && gen == k[c].gen && kind != completed -> on_pdu(c, kind)
	fi
}
#ifdef NO_GENERATION
#define current(c, g) k[c].open
#else
#define current(c, g) (k[c].open && g == k[c].gen)
#endif
inline on_gatt_record()
{
	if
	:: !current(c, gen) -> skip			/* stale, counted */
	:: current(c, gen) && kind == credit ->
		note(c, gen, up_credits, (0 - n));
		k[c].window = k[c].window + n;
		always(overflow, k[c].window <= WINDOW_IN)
	:: current(c, gen) && kind != credit ->
		note(c, gen, up_pdus, (0 - 1));
		always(overflow, k[c].tx < TX);
		k[c].tx++
	fi
}

#ifdef NO_SHARE
#define SHARE BUFFERS
#else
#define SHARE (BUFFERS / 2)
#endif
#ifdef ANSWER_IN_TAKE
#define may_take_up nfull(down)		/* what comes from gattd is answered to gattd at once */
#else
#define may_take_up true
#endif
#ifdef STOP_READING
#define may_take_event (nfull(down) && !(k[0].window == 0 && (events?[request, 0, _] || events?[command, 0, _])))
#else
#define may_take_event nfull(down)
#endif

#define GATT_TURN(c) \
	:: d_step { nfull(down) && k[c].window > 0 && k[c].hold_requests > 0 -> \
		k[c].hold_requests--; give_pdu(c, request); check(c) } \
	:: d_step { nfull(down) && k[c].window > 0 && k[c].hold_commands > 0 -> \
		k[c].hold_commands--; give_pdu(c, command); check(c) } \
	:: d_step { nfull(down) && k[c].owed >= CREDIT_STEP -> \
		down!credit(c, k[c].gen, k[c].owed); k[c].down_credits = k[c].down_credits + k[c].owed; k[c].owed = 0; check(c) } \
	:: d_step { nfull(down) && !k[c].open ->		/* it comes, or comes again */ \
		k[c].open = true; k[c].gen++; k[c].window = WINDOW_IN; down!connected(c, k[c].gen, 0) } \
	:: d_step { buffers > 0 && k[c].tx > 0 && k[c].outstanding < SHARE ->	/* acl.c */ \
		k[c].tx--; k[c].outstanding++; k[c].in_controller++; buffers--; k[c].owed++; check(c) }

active proctype hostd()
{
	mtype kind;
	byte c, gen, n;
end:
	do
	:: d_step { may_take_event && nempty(events) ->		/* step_take of link up */
		events?kind, c, gen;
		on_event();
		check(c); kind = 0; c = 0; gen = 0 }
	:: d_step { may_take_up && nempty(up) ->		/* step_take of link down */
		up?kind, c, gen, n;
		on_gatt_record();
		check(c); kind = 0; c = 0; gen = 0; n = 0 }
	GATT_TURN(0)
	GATT_TURN(1)
	od
}

/* ---- gattd ---- */
inline consumed(c)
{
	k[c].used--;
	note(c, k[c].b_gen, up_credits, 1);
	up!credit(c, k[c].b_gen, 1)
}
inline push(c, what)
{
	k[c].room--;
	note(c, k[c].b_gen, up_pdus, 1);
	up!what(c, k[c].b_gen, 0)
}
#ifdef NO_ANSWER_SLOT
#define FOR_ANSWER 0
#else
#define FOR_ANSWER 1
#endif
#define room_in_ring(n)	(len(up) + n <= RING)
#define waits(c) (k[c].rx_requests + k[c].rx_commands > 0)
inline on_host_pdu()
{
	note(c, gen, down_pdus, (0 - 1));
	always(overflow, k[c].used < WINDOW_IN);
	k[c].used++;
	if
	:: kind == command && !waits(c) -> consumed(c)
	:: kind == command && waits(c) -> k[c].rx_commands++
	:: kind == request && !waits(c) && k[c].room > 0 -> push(c, answer); k[c].replied = true; consumed(c)
	:: kind == request && (waits(c) || k[c].room == 0) -> k[c].asked = true; k[c].rx_requests++
	fi
}
inline on_host_record()
{
	if
	:: kind == connected ->
		k[c].b_gen = gen; k[c].room = WINDOW_OUT; k[c].used = 0; k[c].rx_requests = 0; k[c].rx_commands = 0;
		k[c].asked = false; k[c].replied = false
	:: kind != connected && gen != k[c].b_gen -> skip	/* stale, counted */
	:: kind == credit && gen == k[c].b_gen ->
		note(c, gen, down_credits, (0 - n));
		k[c].room = k[c].room + n;
		always(overflow, k[c].room <= WINDOW_OUT)
	:: (kind == request || kind == command) && gen == k[c].b_gen -> on_host_pdu()
	fi
}

#define BEARER_TURN(c) \
	:: d_step { room_in_ring(2) && k[c].rx_requests > 0 && k[c].room > 0 -> \
		k[c].rx_requests--; push(c, answer); k[c].replied = true; consumed(c); check(c) } \
	:: d_step { room_in_ring(2) && k[c].rx_requests == 0 && k[c].rx_commands > 0 -> \
		k[c].rx_commands--; consumed(c); check(c) } \
	:: d_step { room_in_ring(2) && k[c].notifications > 0 && k[c].room >= 1 + FOR_ANSWER && k[c].rx_requests == 0 -> \
		k[c].notifications--; push(c, notification); check(c) }

active proctype gattd()
{
	mtype kind;
	byte c, gen, n;
end:
	do
	:: d_step { nempty(down) && room_in_ring(2) ->		/* reserve: an answer and a credit */
		down?kind, c, gen, n;
		on_host_record();
		check(c); kind = 0; c = 0; gen = 0; n = 0 }
	BEARER_TURN(0)
	BEARER_TURN(1)
	od
}

/* ---- peers, controller, and what goes wrong ---- */
inline cold_start()
{
	colds++;
	do
	:: down?_, _, _, _
	:: up?_, _, _, _
	:: empty(down) && empty(up) -> break
	od;
	forget(0);
	forget(1);
	k[0].b_gen = 0; k[0].room = 0; k[0].used = 0; k[0].rx_requests = 0; k[0].rx_commands = 0;
	k[1].b_gen = 0; k[1].room = 0; k[1].used = 0; k[1].rx_requests = 0; k[1].rx_commands = 0
}

#define PEER(c) \
	:: d_step { k[c].open && nfull(events) && k[c].requests > 0 -> k[c].requests--; events!request(c, k[c].gen) } \
	:: d_step { k[c].open && nfull(events) && k[c].commands > 0 -> k[c].commands--; events!command(c, k[c].gen) } \
	:: d_step { k[c].in_controller > 0 && !(c == 0 && stalled) && nfull(events) -> \
		k[c].in_controller--; events!completed(c, k[c].gen) }

active proctype world()
{
	d_step {
		k[0].requests = REQUESTS; k[0].commands = COMMANDS; k[0].notifications = NOTIFICATIONS;
		k[1].requests = OTHERS; k[1].commands = OTHERS; k[1].notifications = OTHERS
	};
end:
	do
	PEER(0)
	PEER(1)
	od
}

/* Each may happen, or not. */
active proctype trouble()
{
end:
	do
	:: d_step { !stalled && !calm && k[0].in_controller > 0 -> stalled = true }
	:: d_step { !stalled && !calm -> calm = true }
	:: d_step { losses < LOSSES && k[1].open -> losses++; forget(1) }
	:: d_step { colds < COLD_STARTS -> cold_start() }
#ifdef WINDOW_OUTSIDE_LOG
	:: d_step { !calm && k[1].open && k[1].window > 0 && nempty(events) -> k[1].window--; check(1) }	/* killed before its commit */
#endif
	:: losses < LOSSES -> losses = LOSSES
	:: colds < COLD_STARTS -> colds = COLD_STARTS
	od
}

#define idle(c) (k[c].tx == 0 && held(c) == 0 && !waits(c) && k[c].requests + k[c].commands + k[c].notifications == 0)

active proctype rest()
{
	timeout;
	always(stall, idle(1) && (stalled || idle(0)) && empty(up) && empty(down) && empty(events));
	always(answered, !stalled || !k[0].asked || k[0].replied)
}
