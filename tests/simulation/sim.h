/* tests/simulation/sim.h - the whole pipeline in one process, under one virtual clock and one seeded generator.
 *
 *   central  central ..   remote hosts, written for this test: they judge what they hear        sim_central.c  sim_story.c
 *      │        │
 *   airsim's core         the air and a controller for each host                               sim_radio.c
 *      │  a model of a unix stream socket, in which a controller may lie                        sim_line.c  sim_lies.c
 *   transportd worker     its real stream_*.c, h4.c, host_port.c, worker.c over that model       sim_os.c
 *      ║  real rings in shared memory
 *   hostd worker          the real core, step, arena; runtime/worker.c as it is                 sim_shell.c  sim_worker.c
 *      ║
 *   gattd worker          the same                                                             sim_operator.c: the supervisors
 *                                                              sim_neighbour.c: hostd and gattd lie to each other
 *
 * Everything that the product shares between processes lies in one block of ordinary memory.  The product's sources are compiled
 * with -fsanitize=thread, but linked with hooks of our own instead of that sanitizer's library: each store is seen before it is
 * done, and a worker may die there (sim_death.c).  What a dead worker had in private memory is thrown away; shared memory, the
 * socket and the pipe stay as they are, and a new worker recovers.
 *
 * Guarantees: the same seed gives the same octets, wherever the block lies.  Refuses: nothing; what is wrong ends the seed with
 * the name of the invariant, and the command that repeats it. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "airsim/core/air.h"
#include "base/bytes.h"
#include "base/record.h"
#include "base/types.h"
#include "runtime/loop.h"
#include "runtime/worker_private.h"

enum sim_who { TRANSPORTD, HOSTD, GATTD, SIM_WORKERS };

/* Where a store goes. */
#define SIM_PLACES(ROW) \
	ROW(log) ROW(word) ROW(state) ROW(tail) ROW(head) ROW(wait) ROW(data) ROW(stats) ROW(call)	/* call: a system call */
enum sim_place {
#define ROW(n) PLACE_##n,
	SIM_PLACES(ROW)
#undef ROW
	PLACES, PLACE_ANY = PLACES, PLACE_NONE
};

/* What the centrals and the pipeline are put through. */
#define SIM_FAULTS(ROW) \
	ROW(death) ROW(death_long) ROW(death_recovering) ROW(link_given_up) ROW(connection_lost) ROW(central_gone) ROW(central_stalls) \
	ROW(kick_late) ROW(worker_stalls) ROW(packets_late) ROW(short_io) ROW(socket_full) ROW(completed_late) ROW(rings_tiny) \
	ROW(limits_tiny) ROW(buffers_tiny) ROW(no_confirmation) ROW(command_flood) \
	ROW(supervisor_dies) ROW(supervisor_dies_taken) ROW(supervisor_dies_pushed) ROW(supervisor_dies_unkicked) ROW(small_link_new) \
	ROW(neighbour_length) ROW(neighbour_index) ROW(neighbour_generation) ROW(neighbour_kind) ROW(neighbour_credit) \
	ROW(neighbour_pdu) ROW(neighbour_ring) ROW(link_refused)
#define SIM_LIES(ROW) \
	ROW(event_twice) ROW(event_cut) ROW(event_unknown) ROW(count_over_body) ROW(completed_unknown) ROW(completed_too_many) \
	ROW(handle_unknown) ROW(handle_too_high) ROW(acl_unstarted) ROW(answer_unasked) ROW(answer_never) ROW(connected_twice) \
	ROW(acl_cut) ROW(report_lies)
enum sim_fault {
#define ROW(n) FAULT_##n,
	SIM_FAULTS(ROW)
#undef ROW
#define ROW(n) LIE_##n,
	SIM_LIES(ROW)
#undef ROW
	FAULTS
};

/* Where a supervisor dies: anywhere else; with a record taken; with records given that are not shown yet; shown, but not kicked.
 * In the order of their faults. */
enum sim_sup_place { SUP_BETWEEN, SUP_TAKEN, SUP_PUSHED, SUP_UNKICKED, SUP_PLACES };

/* What hostd and gattd lie about; in the order of their faults. */
enum sim_neighbour_lie {
	NEIGHBOUR_LENGTH, NEIGHBOUR_INDEX, NEIGHBOUR_GENERATION, NEIGHBOUR_KIND, NEIGHBOUR_CREDIT, NEIGHBOUR_PDU, NEIGHBOUR_RING,
	NEIGHBOUR_LIES
};
enum { RECORD_LIE = 8 };	/* a flag that nobody reads: that record is no honest one's */

#define SIM_INVARIANTS(ROW) \
	ROW(order)	/* each PDU once, in order, with its own content */ \
	ROW(credits)	/* the windows between hostd and gattd add up */ \
	ROW(buffers)	/* hostd's count of the controller's buffers adds up, and is kept to */ \
	ROW(pools)	/* each arena's pools are as full at the end as they were before the first connection */ \
	ROW(mtu) ROW(cccd)	/* both ends agree */ \
	ROW(dead)	/* nothing is sent or told in the name of a connection that is not there */ \
	ROW(progress)	/* where there is work, something happens */ \
	ROW(kept)	/* no connection ends without a reason */ \
	ROW(replies)	/* each request of an operator is answered once, in order */ \
	ROW(arena)	/* taking back gives the state of the last commit; no core or shell panics */
enum sim_invariant {
#define ROW(n) INVARIANT_##n,
	SIM_INVARIANTS(ROW)
#undef ROW
	INVARIANTS
};

enum {
	SIM_CENTRALS = 8, KINDS = 256, KIND_BETWEEN = 0, KIND_ACT = 0xFE, KIND_START = 0xFD, KIND_LINE = 0xFC, KIND_ANY = 0x100,
	PRIVATE_OCTETS = 4 << 20, SOCKET_OCTETS = 1 << 16, PIPE_OCTETS = 1 << 16, CENTRAL_QUEUE = 1 << 14,
};
static inline uint32_t min32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint64_t min64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t max64(uint64_t a, uint64_t b) { return a > b ? a : b; }
#define US 1000ull
#define MS 1000000ull
#define SECOND 1000000000ull
#define NEVER UINT64_MAX

/* Hits, summed over all seeds and all processes that run them. */
struct sim_totals {
	uint64_t supervisor[SIM_WORKERS][SUP_PLACES], neighbour[SIM_WORKERS][NEIGHBOUR_LIES];
	uint64_t place[SIM_WORKERS][PLACES], kind[SIM_WORKERS][KINDS], fault[FAULTS];
	uint64_t seeds, deaths, virtual_ns, events, packets, pdus, ended_by_fault, lives;
	uint64_t checks[INVARIANTS];
};

struct sim_queue { uint8_t *at; uint32_t head, len, cap; };		/* a byte queue, in a ring of cap octets */

struct sim_link {		/* between two workers, or between a worker and its supervisor */
	struct ring_region *region[2];		/* of the upper side, of the lower side; a supervisor is the upper one */
	uint64_t size[2];			/* of the ring that this side produces */
	uint32_t generation;
	uint64_t absent_ns;			/* one side is away since; 0: both are there */
	struct { uint64_t head, since_ns; } wait[2];	/* of what a side produces: what is not taken, and since when */
	bool lost;				/* given up: a new generation comes with both sides */
	bool lied, refused;			/* its ring's words are none; and one side has said so */
};

struct sim_watch { int fd; uint32_t events; loop_fn *fn; void *ctx; bool pending, used; };

struct sim_worker {
	enum sim_who who;
	struct worker *w;			/* in private memory */
	const struct program *program;
	struct stats *stats;			/* shared, as the arena */
	uint8_t *arena;
	struct arena_plan plan;
	bool alive, starting;
	enum sim_neighbour_lie lies;		/* what it says when it can; NEIGHBOUR_LIES: it is honest */
	bool owned;				/* it does nothing more */
	uint64_t due_ns, bell_ns, revive_ns;
	struct sim_watch watch[8];
	uint8_t *heap;				/* private memory */
	uint32_t heap_used;
	/* Death: at the `left`-th store into `target` from now on. */
	enum sim_place target;
	unsigned aim;				/* only with a record of this kind in its hands; KIND_ANY: whatever */
	uint32_t left;
	uint64_t armed_until_ns;
	int kick[8];				/* bells that its next system call rings: private memory, too */
	unsigned kicks;
	uint32_t idle[ARENA_POOLS];		/* objects in each pool before the first connection */
	unsigned steps;
};

struct sim {
	uint64_t seed, random, now_ns;
	bool verbose, failed, over, shadow, storm;
	bool ready;				/* the pipeline was up, and the pools were counted */
	int plant;				/* enum sim_plant; 0: none */
	uint64_t digest;
	uint8_t *base, *top, *end;		/* the shared block: what is used, and all of it */
	struct sim_worker worker[SIM_WORKERS];
	struct sim_worker *running;
	struct sim_link link[2], small[SIM_WORKERS];	/* transportd-hostd, hostd-gattd; supervisors' */
	jmp_buf death, failure;
	struct sim_totals *totals;
	unsigned connections;			/* limit of the pipeline */
	/* Knobs of this seed. */
	uint64_t kick_most_ns, packet_most_ns;
	unsigned late_kick_permille, stall_permille, short_permille;
	unsigned deaths_left, lies_left, radio_faults_left, neighbour_lies_left;
	uint64_t next_neighbour_ns;
	uint64_t next_death_ns, next_lie_ns, next_radio_ns, storm_end_ns;
	bool long_absence;
	/* What explains the end of a connection: the last time that such a thing happened. */
	uint64_t excuse_all_ns;
	bool neighbour_void;			/* hostd and gattd lied to each other about a window */
	bool credits_void;			/* the controller said that more was completed than was sent */
	uint64_t moved_ns;			/* when a story last went on */
	enum sim_invariant broken;
	char why[256];
};
extern struct sim sim;
extern struct sim_totals *sim_totals;

/* ---- sim_main.c ---- */
const char *sim_fault_name(unsigned f);
const char *sim_place_name(unsigned p);
const char *sim_invariant_name(unsigned i);
const char *sim_who_name(unsigned w);

/* ---- sim_world.c: chance, telling, failing, and the loop ---- */
uint64_t sim_random(void);
uint64_t sim_below(uint64_t n);			/* 0 .. n - 1 */
bool sim_chance(unsigned permille);
uint64_t sim_spread(uint64_t most);		/* 1 .. most, small ones as likely as large ones */
void sim_hit(enum sim_fault f);
void sim_digest(const void *at, size_t n);
_Noreturn void sim_fail(enum sim_invariant i, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void sim_tell_bytes(const char *what, unsigned who, const uint8_t *at, size_t n);
static inline void sim_judge(enum sim_invariant i) { sim.totals->checks[i]++; }
/* One seed from its beginning to its end.  Returns whether every invariant held; else sim.broken and sim.why say which not. */
bool sim_run_seed(uint64_t seed, int plant, bool verbose, size_t shift);

/* ---- sim_death.c ---- */
void sim_arm(struct sim_worker *k);
/* What comes seldom is on its way to it: it may die of it. */
void sim_arm_kind(struct sim_worker *k, uint8_t kind);
void sim_point_call(void);			/* a system call of a worker: a death before it */
void *sim_heap(size_t n);			/* private memory of the running worker */
extern uint8_t *sim_shared_at;
extern size_t sim_shared_octets;

/* ---- sim_worker.c: memory, links, lives of workers ---- */
void sim_workers_open(void);
void sim_worker_kill(struct sim_worker *k, uint64_t away_ns);	/* between two turns */
void sim_worker_ended(struct sim_worker *k);			/* it died within one */
void sim_worker_orphaned(struct sim_worker *k, uint64_t until_ns);	/* its supervisor died; the next one is there then */
void sim_workers_run(void);					/* whoever is due */
uint64_t sim_workers_next(void);
void sim_bell(enum sim_who who, uint64_t after_ns);
bool sim_all_alive(void);
void *sim_share(size_t n);					/* of the shared block, zero */
/* A supervisor's ends of its small link. */
struct ring *sim_small_out(enum sim_who who);
struct ring *sim_small_in(enum sim_who who);
/* The next life of a supervisor opens it where the ring's words say.  @anew: a new generation, with blank memory. */
void sim_small_inherit(enum sim_who who, bool anew);
void sim_link_lost_told(unsigned l);
void sim_links_run(void);
uint64_t sim_links_next(void);

/* ---- sim_shell.c: instrumented; includes runtime/worker.c ---- */
void sim_shell_start(struct sim_worker *k);
void sim_shell_turn(struct sim_worker *k);
bool sim_shell_awaits(const struct sim_worker *k, unsigned l);	/* would it take a record of link l, if it looked? */

/* ---- sim_neighbour.c ---- */
void sim_neighbour_open(void);
void sim_neighbour_arm(void);
void sim_neighbour_speak(struct sim_worker *k);		/* its turn: it may lie */
bool sim_neighbour_lied(uint16_t index, uint16_t generation);	/* of that connection's window */

/* ---- sim_os.c ---- */
enum { FD_SOCKET = 200, FD_PIPE_R = 201, FD_PIPE_W = 202, FD_BELLS = 300 };
void sim_os_open(uint8_t *socket_in, uint8_t *socket_out, uint8_t *pipe);
void sim_os_worker_gone(struct sim_worker *k);
void sim_os_callbacks(struct sim_worker *k);
uint32_t sim_socket_room(void);				/* towards transportd */
void sim_socket_put(const uint8_t *at, uint32_t n);
uint32_t sim_socket_peek(uint8_t *to, uint32_t n);
void sim_socket_drop(uint32_t n);
bool sim_os_empty(void);
void sim_queue_put(struct sim_queue *q, const uint8_t *at, uint32_t n);
void sim_queue_peek(const struct sim_queue *q, uint32_t skip, uint8_t *to, uint32_t n);
void sim_queue_drop(struct sim_queue *q, uint32_t n);

/* ---- sim_line.c: our controller's transport;  sim_lies.c ---- */
extern struct air *sim_air;
enum { OUR_CONTROLLER = 0 };
void sim_line_open(void);
void sim_line_run(void);
uint64_t sim_line_next(void);
void sim_line_kick(uint64_t after_ns);
bool sim_line_idle(void);
/* Our device: F0:F1:F2:F3:F4:F5. */
extern const uint8_t sim_our_address[6];
/* A packet from our controller to the socket: what comes of it is put there.  Returns false if it is to wait. */
void sim_lies_pass(const uint8_t *packet, uint32_t n);
void sim_lies_open(void);
uint64_t sim_lies_next(void);
void sim_lies_run(void);
bool sim_lies_idle(void);
void sim_line_put(const uint8_t *packet, uint32_t n);	/* behind what waits already */
void sim_void_peer(const uint8_t address[6]);		/* sim_central.c: no judgement of that connection from now on */
bool sim_peer_open(const uint8_t address[6]);		/* ... it knows of its connection */

/* ---- sim_central.c ---- */
void sim_centrals_open(void);
void sim_centrals_run(void);
uint64_t sim_centrals_next(void);
void sim_central_readable(unsigned i, uint64_t after_ns);
bool sim_centrals_done(void);
int sim_central_of_controller(int id);

/* ---- sim_operator.c: what the supervisors say and hear ---- */
void sim_operator_open(void);
void sim_operator_run(void);
void sim_operator_kick(uint64_t after_ns);
uint64_t sim_operator_next(void);
bool sim_operator_idle(void);
void sim_operator_tell_lost(enum sim_who who, unsigned link, uint32_t generation);
void sim_operator_tell_there(bool there);		/* to hostd, of transportd's worker */
bool sim_operator_ready(void);
void sim_operator_arm(void);				/* some supervisor dies, now or soon */

/* ---- sim_tap.c, sim_invariants.c ---- */
void sim_tap_open(void);
void sim_tap_run(void);					/* what the links have carried since */
void sim_tap_renewed(unsigned link);
void sim_invariants_event(void);			/* after every event */
void sim_invariants_waits(uint64_t next_ns);		/* before it: nothing happens until then */
void sim_invariants_idle(void);				/* the pools as they are before the first connection */
void sim_invariants_end(void);
uint64_t sim_counter(enum sim_who who, const char *name);
/* What gattd knows of the connection to a peer: false if it does not know it, or hostd does not. */
bool sim_peer_bearer(const uint8_t peer[6], uint16_t *ret_mtu, uint8_t *ret_cccd);

/* ---- sim_plants.c ---- */
int sim_plant_find(const char *name);			/* 0: no such */
const char *sim_plant_name(int plant, enum sim_invariant *ret_caught_by);
bool sim_plant_kick_lost(void);
bool sim_plant_attach_unkicked(void);
bool sim_plant_needs_deaths(void);
