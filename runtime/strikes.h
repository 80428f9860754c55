/* runtime/strikes.h - what the death of a worker means for the record that it was at.
 *
 * A death counts only if it was the worker's own (SEGV, BUS, ABRT, ILL, FPE, SYS, or the watchdog), and a step was open or it had
 * not committed one yet: then it has died of what it found.  SIGKILL never counts.  The ladder, as long as the worker does not
 * get past the place where it died:
 *
 *   first    retry; from here on one record a step, until past the furthest position of the dead batch
 *   second   the record named by the flight words is quarantined: skipped in a step of its own, its connection ended
 *   third    the same, and the connection's state is forgotten
 *   then     cold start
 *   then     give up, loudly
 *
 * Another record of the connection of the last quarantine enters the ladder one rung higher.  Where no record is named
 * (time, attaching) two strikes lead to the cold start.  Pure: no clock, no I/O; the state lies in the ledger, and a
 * SIGKILL between its stores costs at most one rung. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/record.h"
#include "shm/core.h"

enum strike_verdict { STRIKE_NONE, STRIKE_RETRY, STRIKE_SKIP, STRIKE_RESET, STRIKE_COLD, STRIKE_GIVE_UP };

enum { STRIKE_WINDOW_MS = 10000, STRIKE_COUNT_MAX = 8 };

/* What the supervisor reads after a death. */
struct flight {
	uint64_t what;				/* as in shm/stats.h */
	uint64_t position, header;		/* of the record that was being handled */
	uint64_t furthest[STEP_LINKS];		/* past the last record that the open step had taken */
	uint64_t consumed[STEP_LINKS];		/* committed: the heads that are shown */
	uint64_t now_ns;
	uint64_t step_ns;			/* the `now` of the step */
};

struct strikes {				/* in the ledger */
	uint32_t count;				/* deaths that counted since the worker last got past the place */
	uint32_t skip_link;			/* link + 1 of the record in quarantine; 0: none */
	uint64_t skip_position, skip_header;
	uint32_t skip_rung;			/* enum core_rung */
	uint32_t quarantined;			/* records, ever */
	uint64_t careful[STEP_LINKS];		/* one record a step until the head is past this */
	uint64_t last_ns, last_skip_ns, last_cold_ns;	/* the last death that counted, quarantine, cold start */
	uint32_t last_connection, last_rung;	/* index | generation << 16 of the last quarantine */
	uint32_t total;				/* deaths that counted, ever */
	uint32_t last_link;			/* link + 1 of it: the two links of a worker name connections in their own ways */
	uint32_t timed, pad;			/* the deaths counted were at what is done on time: no record is to blame */
};

/* Is this way of dying the worker's own, and at work?  `signal`: 0 where it exited. */
bool strike_counts(int signal, bool at_work);
/* What a dead worker said of itself may be a lie, for it may have been owned: positions that its rings cannot have are left out.
 *
 * @tail, @size  how far the ring that it read on each link had been filled, and octets of that ring; size 0: no such link */
void flight_check(struct flight *f, const uint64_t tail[STEP_LINKS], const uint64_t size[STEP_LINKS]);
/* A death that counts has happened.  Returns what to do; s says the rest. */
enum strike_verdict strikes_add(struct strikes *s, const struct flight *f);
/* After a cold start positions begin anew: nothing of the old ones holds, the ladder's height does. */
void strikes_cold(struct strikes *s, uint64_t now_ns);
/* Link `l` has a new generation: its positions begin anew, and where nothing else is in force so does the count. */
void strikes_link_new(struct strikes *s, unsigned l);
/* Is a strike still in force?  Then a new worker must be careful. */
bool strikes_pending(const struct strikes *s);
