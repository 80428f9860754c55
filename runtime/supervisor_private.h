/* runtime/supervisor_private.h - the supervisor's parts, for supervisor*.c and program.c only.  supervisor.h has the map. */
#pragma once
#include <limits.h>
#include "proto/control.h"
#include "proto/control_socket.h"
#include "runtime/device.h"
#include "runtime/fdstore.h"
#include "runtime/ledger.h"
#include "runtime/log.h"
#include "runtime/loop.h"
#include "runtime/program.h"
#include "runtime/run_dir.h"
#include "runtime/supervisor.h"
#include "shm/link.h"
#include "shm/stats.h"

enum {
	SUP_CONNS = 48, SUP_PENDING = 64, SUP_KEPT = 8,
	SUP_CONNS_KEPT = 2,			/* of them only for root and our own uid: a neighbour, and somebody who looks */
	SUP_SHARE = 64,				/* records, connections: a callback does no more in one go */
	SUP_SMALL_RING = 64 * 1024,
	SUP_QUEUE_MAX = 4 * 1024 * 1024,	/* configuration and requests that wait for room in the small ring */
	SUP_BARRIER_MS = 5000,
	SUP_DRAIN_MS = 200,			/* a worker that was asked to end is killed after this */
	SUP_BUDGET_MS = 5000,			/* of outage by backoff, in all */
	SUP_LIFE_MS = 10000,			/* of life that makes all forgotten */
	SUP_ABSENT_MS = 10000,			/* a neighbour is given up after this */
	SUP_AGAIN_MS = 100,			/* what there was no memory for is tried again after this */
	SUP_GATHER_MS = 1000,			/* a first worker waits this long for its links */
	SUP_STATUS_MS = 1000,			/* a status waits this long for the core's part */
	SUP_PROBE_MS = 5000,			/* a new binary answers within this */
	SUP_CLEAN_MS = 500,			/* an asked-for cold start leaves the peers this long to be told */
	SUP_TRIES = 3,				/* a new binary that is killed before it has taken over is started as often */
	SUP_ARENA_MAX = 1024 * 1024 * 1024,	/* octets */
};

struct sup_options {
	const char *run_dir, *config, *transport, *record, *quarantine;
	unsigned record_mib;			/* 0: RECORDING_MIB */
	bool cold, log_given;
	enum log_level log;
};

enum sup_timer {
	TIMER_WORKER, TIMER_KILL, TIMER_GATHER, TIMER_DIAL, TIMER_ABSENT_UP, TIMER_ABSENT_DOWN, TIMER_STATUS,
	TIMER_PROBE, TIMER_CLEAN, SUP_TIMERS
};

enum conn_role { CONN_NEW, CONN_OPERATOR, CONN_NEIGHBOUR };
struct sup_conn {			/* somebody on NAME.sock, or the neighbour that we dialed */
	struct supervisor *s;
	struct control_link link;	/* .fd < 0: free */
	int watch;
	enum conn_role role;
	unsigned neighbour;		/* link role, for CONN_NEIGHBOUR */
	uint64_t number;		/* never used twice: what is pending names it */
	struct control_peer peer;
	bool dialed, greeted;
};

struct sup_link {			/* to a neighbour */
	const char *name;		/* the neighbour's; NULL: there is none */
	struct link_end end;		/* .generation 0: no link */
	struct link_end offered;	/* ours, while the answer is awaited (dialer), or FdStored (listener) */
	uint32_t offered_generation;
	struct sup_conn *conn;		/* NULL: the neighbour is absent */
	bool settled;			/* both sides hold `end`, and conn lives */
	bool given;			/* the worker of now was started with it */
	bool attached;			/* or with it or an older generation of it, and still holds that */
	bool lost;			/* given up: a new generation when it comes back */
	bool lost_told;			/* the core has it in its queue */
	bool there;			/* the neighbour's worker, as far as its supervisor has said so */
};

enum worker_state { WORKER_NONE, WORKER_STARTING, WORKER_RUNNING, WORKER_ENDING };
struct sup_worker {
	enum worker_state state;
	pid_t pid;
	int pidfd, watch, control_watch;
	struct control_link control;
	uint64_t started_ns, ready_ns, died_ns;
	uint64_t outage_from_ns;	/* the first death since a worker was ready */
	uint32_t attempt;
	uint32_t first_epoch;		/* of the arena when it was started */
	bool anew;			/* a cold start was the last resort, and nothing has lived long since */
	bool replaced;			/* it ends because we asked: no failure */
	bool counted;			/* that end counts in `restarts` */
	bool failed;			/* it has said why it cannot go on */
	bool lied;			/* its ring or a frame of it did, so we ended it: no kill from outside */
	int fail_error;
	char fail_why[160], sandbox[96];
	unsigned backoff;		/* step of the ladder of delays */
	uint64_t delay_ms;		/* spent in it */
	uint64_t outage_us;		/* the last one */
};

enum takeover_state { TAKEOVER_NONE, TAKEOVER_ASKING, TAKEOVER_AGREED, TAKEOVER_STARTED };
struct sup_takeover {			/* supervisor_takeover.c */
	enum takeover_state state;
	bool cold;			/* nothing is to be kept */
	bool must;			/* there is no other binary that could go on */
	bool migrates;
	int image;			/* the new binary */
	struct segment arena;		/* where it migrates: its new one */
	int recording;			/* and of that, where there is one */
	struct arena_said said;
	unsigned tries;
	pid_t pid;			/* the process that was asked, until it is the worker */
	int pidfd, watch, control_watch;
	struct control_link control;
	char why[160];
};

struct sup_pending {			/* an operator's request that the core has not answered */
	uint64_t conn;			/* number; 0: free */
	uint64_t serial;
	uint8_t id[CONTROL_ID_LEN];
	bool status;			/* part of a Status */
	uint64_t deadline_ns;
};

struct sup_small {			/* our end of the link to our worker */
	struct link_end end;		/* our region; the worker's, read by us only */
	int worker_region;		/* the worker's region, writable: it is handed on */
	struct ring in, out;
	uint32_t generation;
	int watch;
	bool broken;			/* the worker's ring lied: made anew with the next worker */
	bool more;			/* a pump has done its share, and not all: its bell will not ring for the rest */
	uint8_t *queue;			/* records that wait: struct record, payload */
	size_t queue_len, queue_cap;
	uint8_t buf[SUP_SMALL_RING / 8];
};

struct supervisor {
	const struct program *p;
	struct sup_options opt;
	struct device *device;			/* as the file says now */
	struct device *formed;			/* as it said at the cold start, or when this life began; may be the same one */
	struct run_dir dir;
	struct loop *loop;
	struct fdstore store;
	struct control_allow allow;
	int listener, listen_watch, signals, signal_watch;
	struct segment ledger_segment, arena, stats_segment;
	struct ledger *ledger;
	struct stats *stats;
	struct arena_plan plan;
	struct sup_small small;
	struct sup_link link[STEP_LINKS];	/* [LINK_SUPERVISOR] is not used */
	struct sup_worker worker;
	struct sup_takeover takeover;
	int image;				/* the binary of the worker: O_PATH */
	bool image_own;				/* it is ours too */
	char image_path[PATH_MAX];		/* where the next one will lie */
	struct arena_said cold_said;		/* the arena that another image wants at the cold start under way; size 0: none is */
	struct fd_set_named kept;
	struct sup_conn conn[SUP_CONNS];
	struct sup_pending pending[SUP_PENDING];
	int record_dir, quarantine_dir;		/* -1: not asked for, or lost */
	int recording;				/* of the arena that counts; -1: none */
	bool told_record;			/* that nothing is recorded */
	bool first;				/* nothing was taken over, and nothing has been formed: what is wrong is said by not starting */
	uint64_t next_number;
	bool told_foreign;			/* who listens in the neighbour's place is not one of ours */
	uint64_t timer[SUP_TIMERS];		/* absolute; 0: off */
	unsigned dial_step;
	uint64_t restart_conn, restart_serial;	/* who asked for the restart under way; 0: nobody */
	bool warm, told_ready, told_full, ending;
	int exit_code;
};

struct config_sink { struct supervisor *s; int error; };

/* supervisor.c */
int supervisor_run(const struct program *p, const struct sup_options *o);
void sup_timer_in(struct supervisor *s, enum sup_timer t, uint64_t ms);
void sup_end(struct supervisor *s, int exit_code);
void sup_check_ready(struct supervisor *s);
int sup_reload(struct supervisor *s, char *why, size_t why_cap);

/* supervisor_boot.c */
int sup_boot(struct supervisor *s);
int sup_cold(struct supervisor *s);		/* everything but ledger and listening socket is made anew */
int sup_make_small(struct supervisor *s);
int sup_store_link(struct supervisor *s, unsigned l, const struct link_end *e);
void sup_forget_link(struct supervisor *s, unsigned l);	/* one level up */
int sup_store_sync(struct supervisor *s);	/* what was put is acknowledged now */
void sup_close(struct supervisor *s);

/* supervisor_worker.c */
void sup_worker_start(struct supervisor *s);
void sup_worker_replace(struct supervisor *s, bool counted, const char *why);
void sup_worker_kill(struct supervisor *s);
void sup_worker_lied(struct supervisor *s);	/* killed too, but counted as its own death */
void sup_worker_end(struct supervisor *s);	/* for good: waits for it */
void sup_worker_want(struct supervisor *s);	/* start it as soon as what it needs is there */
/* To the neighbour at c, or (NULL) to all: our worker is there.  Nothing if it is not.  May close c. */
void sup_worker_tell(struct supervisor *s, struct sup_conn *c);
const char *sup_state(const struct supervisor *s);

/* supervisor_takeover.c */
const char *sup_arena_name(const struct supervisor *s, bool other);	/* in the store: of the place that counts, or the other */
const char *sup_image_name(const struct supervisor *s, bool other);
const char *sup_recording_name(const struct supervisor *s, bool other);	/* goes with the arena */
void sup_image_find(struct supervisor *s);
int sup_image_take(struct supervisor *s, int stored);		/* the worker's binary: the stored one (taken), -1: our own */
void sup_takeover(struct supervisor *s, bool cold, bool must);	/* by the file in our place; answers restart_conn in time */
void sup_takeover_go(struct supervisor *s);
void sup_takeover_timeout(struct supervisor *s);
int sup_takeover_launch(struct supervisor *s);			/* worker.pid, .pidfd, .control */
bool sup_takeover_migrates(const struct supervisor *s);
void sup_takeover_ready(struct supervisor *s);
int sup_takeover_migrated(struct supervisor *s);
bool sup_takeover_cold(struct supervisor *s);	/* no worker is there; true: a cold start was asked for and agreed to, and is done */
bool sup_takeover_died(struct supervisor *s, int signal);	/* the worker did; true: what follows is done */
void sup_takeover_drop(struct supervisor *s);

/* supervisor_strikes.c */
enum strike_verdict sup_judge(struct supervisor *s, int signal);

/* supervisor_files.c */
int sup_files_open(struct supervisor *s);	/* the directories, before anything else is made */
int sup_files_cold(struct supervisor *s);	/* a new arena: a new recording.  One that cannot be made ends the first start alone */
int sup_files_warm(struct supervisor *s, int stored);	/* the recording of the former life (taken); -1: it had none */
int sup_files_migrating(struct supervisor *s);	/* one for the new arena, which is not yet the one that counts */
void sup_files_decided(struct supervisor *s);	/* which of the two files counts: the other one gets out of its way */
void sup_files_quarantine(struct supervisor *s, const struct flight *f, bool skipping);
void sup_files_close(struct supervisor *s);

/* supervisor_links.c */
void sup_link_hello(struct supervisor *s, struct sup_conn *c, const Hello *m);
int sup_link_offered(struct supervisor *s, struct sup_conn *c, struct control_in *in, const LinkOffer *m);
void sup_link_stored(struct supervisor *s, struct sup_conn *c, const FdStored *m);
void sup_link_closed(struct supervisor *s, struct sup_conn *c);
void sup_link_refuse(struct supervisor *s, unsigned l, const char *why);
void sup_link_give_up(struct supervisor *s, unsigned l);
void sup_link_tell_lost(struct supervisor *s, unsigned l);
/* The neighbour's worker is there, or not; and what the core is told of that, again where it may not have heard it. */
void sup_link_there(struct supervisor *s, unsigned l, bool there);
void sup_link_tell_there(struct supervisor *s, unsigned l);
void sup_link_drop(struct supervisor *s, unsigned l);
void sup_dial(struct supervisor *s);
bool sup_links_there(const struct supervisor *s);
void sup_link_name(const struct supervisor *s, unsigned l, char *buf, size_t cap);
int sup_say_hello(struct supervisor *s, struct sup_conn *c, unsigned l);

/* supervisor_small.c */
int sup_small_open(struct supervisor *s);
void sup_small_close(struct supervisor *s);
void sup_small_pump(struct supervisor *s);
/* Ring a bell that a worker holds, or held: never blocks. */
void sup_kick(struct supervisor *s, int bell);
int sup_small_push(struct supervisor *s, struct record h, struct bytes payload);
int sup_configure(struct supervisor *s, bool reload);

/* supervisor_request.c */
void sup_request(struct supervisor *s, struct sup_conn *c, uint64_t serial, const OperatorRequest *m);
void sup_status(struct supervisor *s, struct sup_conn *c, uint64_t serial);
void sup_status_timeout(struct supervisor *s);
void sup_on_reply(struct supervisor *s, struct bytes body);
void sup_requests_again(struct supervisor *s);

/* supervisor_control.c */
int sup_control_open(struct supervisor *s);
void sup_allow(struct supervisor *s);			/* the device file says anew who may talk to us */
struct sup_conn *sup_conn_add(struct supervisor *s, int fd, bool trusted);
struct sup_conn *sup_conn_find(struct supervisor *s, uint64_t number);
void sup_conn_close(struct sup_conn *c);
void sup_conn_sent(struct sup_conn *c, int r);		/* after a send: r < 0 closes it; else its queue is watched */
