/* tests/model/tso.pml - memory as x86 shows it, kills and doorbells; for two workers, 0 and 1.
 *
 * x86-TSO: a store goes into its processor's buffer and reaches memory later, in order, at any moment (process `memory`); a load
 * reads memory.  A fence waits until the own buffer is empty.  A load of a word that lies in the own buffer would have to be
 * answered from there: no model loads a word that it writes, as the C code does not (struct ring has private copies), but
 * for a worker's first loads, and then the buffer is empty.
 *
 * Kill.  A dead worker's buffered stores are not lost: they drain at any later time, at the latest before its supervisor sees
 * the death (the way through the kernel's exit to the pidfd's waiters takes locks, which empty the buffer).  So a successor
 * never meets a late store, and everybody else does.
 *
 * Doorbell.  A bell is one bit: kicks that nobody has waited for yet are one kick.  That is less than what the kernel does (an
 * eventfd that is never read shows itself again to each new poll), so a stall cannot be hidden by it. */
#ifndef SB
#define SB 3				/* stores that a buffer holds; when it is full the next store waits for one to leave */
#endif
#define other(p) (1 - (p))
#define u8(x) ((x) & 255)		/* positions are unsigned and wrap, as uint64_t does */

byte mem[WORDS];
chan sb[2] = [SB] of { byte, byte };
bool bell[2], dead[2], gone[2];		/* gone: dead, and nobody comes after it */
byte kills;

#define always(name, what) assert((what) || !name)	/* named, so that what broke can be told */
#define store(p, a, v)	sb[p]!a, v
#define fence(p)	empty(sb[p])
#define kick(p)		bell[p] = true
#define wait_bell(p)	atomic { bell[p] -> bell[p] = false }

active proctype memory()
{
	byte a, v;
end:
	do
	:: atomic { sb[0]?a, v -> mem[a] = v; a = 0; v = 0 }
	:: atomic { sb[1]?a, v -> mem[a] = v; a = 0; v = 0 }
	od
}

/* At most KILLS times, at any moment; or fewer, so that what is left can come to rest. */
active proctype killer()
{
end:
	do
	:: atomic { kills < KILLS && !dead[0] -> dead[0] = true; kills++ }
	:: atomic { kills < KILLS && !dead[1] -> dead[1] = true; kills++ }
	:: kills < KILLS -> kills = KILLS
	od
}
