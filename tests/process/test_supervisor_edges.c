/* Supervisors at their edges: neighbours that vanish, rings that lie, clients that do, configuration, idleness, no store. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "proto/control.h"
#include "proto/control_socket.h"
#include "runtime/ledger.h"
#include "shm/ring.h"
#include "shm/undo.h"
#include "tests/lib/nest.h"
#include "tests/lib/toy.h"

enum { UP, DOWN };
static const char *const both[] = { "toyup", "toydown" };

static struct toy_report report(struct nest *n, unsigned child)
{
	struct nest_status st;
	struct toy_report r;

	for (unsigned i = 0; i < 400; i++) {
		assert_true(nest_status(n, child, &st));
		if (toy_report_decode(st.core, &r))
			return r;
		nest_sleep_ms(5);
	}
	fail_msg("no core answers");
	abort();
}

static void load_and_expect(struct nest *n, uint64_t number)
{
	uint8_t order[9] = { 'L' };
	struct toy_report up;

	for (unsigned i = 0; i < 8; i++)
		order[1 + i] = (uint8_t)(number >> 8 * i);
	assert_true(nest_order(n, UP, order, sizeof order));
	for (unsigned i = 0; i < 1000; i++) {
		up = report(n, UP);
		if (up.back == number)
			break;
		nest_sleep_ms(5);
	}
	assert_int_equal(up.back, number);
	assert_int_equal(up.errors, 0);
	assert_int_equal(report(n, DOWN).errors, 0);
}

static void wait_generation(struct nest *n, unsigned generation)
{
	struct nest_status a, b;

	for (unsigned i = 0; i < 1000; i++) {
		assert_true(nest_status(n, UP, &a) && nest_status(n, DOWN, &b));
		if (a.generation >= generation && b.generation == a.generation && !strcmp(a.state, "running") && !strcmp(b.state, "running"))
			return;
		nest_sleep_ms(5);
	}
	fail_msg("no new link: generations %u and %u", a.generation, b.generation);
}

static void a_ring_that_lies_is_refused_and_made_anew(void **state)
{
	static struct nest n;
	struct ring_region *at;
	struct nest_status st;
	int fd;

	(void)state;
	nest_open(&n, both);
	nest_wait_ready(&n);
	load_and_expect(&n, 10000);
	fd = nest_held_fd(&n, UP, "down.mine");		/* as an owned neighbour would: into its own region */
	assert_true(fd >= 0);
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(at != MAP_FAILED);
	atomic_store(&at->tail.pos, atomic_load(&at->tail.pos) + (1ull << 40));
	close(fd);
	fd = nest_held_fd(&n, UP, "down.peerbell");
	assert_int_equal(write(fd, &(uint64_t){ 1 }, 8), 8);
	close(fd);
	munmap(at, 4096);
	wait_generation(&n, 2);
	load_and_expect(&n, 20000);
	assert_int_equal(report(&n, DOWN).links, 2);
	for (unsigned c = 0; c < 2; c++) {
		assert_true(nest_status(&n, c, &st));
		assert_int_equal(st.restarts, 0);	/* a worker that is replaced for a new link did not fail */
	}
	nest_close(&n);
}

/* It would start lying again each time: it comes back later and later, and at the end no more. */
static void a_worker_that_goes_on_lying_is_given_up(void **state)
{
	static struct nest n;
	struct ring_region *at;
	unsigned lies = 0;
	int fd;

	(void)state;
	nest_open(&n, both);
	nest_wait_ready(&n);
	for (unsigned ms = 0; ms < 30000 && !n.child[UP].gone; ms += 5) {
		fd = nest_held_fd(&n, UP, "sup.worker");	/* as an owned worker would: into its own region */
		at = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (fd >= 0)
			close(fd);
		fd = nest_held_fd(&n, UP, "sup.bell");
		if (at != MAP_FAILED && fd >= 0 && atomic_load(&at->tail.pos) && atomic_load(&at->tail.pos) % 8 == 0) {
			atomic_store(&at->tail.pos, atomic_load(&at->tail.pos) + 1);
			assert_int_equal(write(fd, &(uint64_t){ 1 }, 8), 8);
			lies++;
		}
		if (at != MAP_FAILED)
			munmap(at, 4096);
		if (fd >= 0)
			close(fd);
		nest_sleep_ms(5);
	}
	assert_true(n.child[UP].gone);
	assert_int_equal(n.child[UP].code, 1);
	assert_in_range(lies, 10, 100);
	n.child[UP].code = 0;			/* as it should be */
	nest_close(&n);
}

static void a_strike_without_a_record_leads_to_a_cold_start(void **state)
{
	static struct nest n;
	struct nest_status st;

	(void)state;
	nest_open(&n, both);
	nest_wait_ready(&n);
	load_and_expect(&n, 10000);
	assert_true(nest_order(&n, UP, "A", 1));
	wait_generation(&n, 2);
	load_and_expect(&n, 500);
	assert_true(nest_status(&n, UP, &st));
	assert_int_equal(st.strikes, 2);
	assert_int_equal(st.quarantined, 0);
	nest_close(&n);
}

/* Who wrote the log may have been owned, and whoever takes it back would write with it: one that leads out of the slots is not
 * followed, and its arena not used. */
static void an_undo_log_that_leads_outside_is_not_followed(void **state)
{
	static const struct undo_footer over_the_magic = { .where = ARENA_HEADER_AT, .len = 8, .kind = UNDO_ZERO };
	static struct nest n;
	const struct arena_header *h;
	struct nest_status st;
	struct stat is;
	uint8_t *at;
	int fd;

	(void)state;
	nest_open(&n, both);
	nest_wait_ready(&n);
	load_and_expect(&n, 1000);
	assert_true(nest_status(&n, DOWN, &st));
	fd = nest_held_fd(&n, DOWN, "arena");
	assert_int_equal(fstat(fd, &is), 0);
	at = mmap(NULL, (size_t)is.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(at != MAP_FAILED);
	close(fd);
	h = (const void *)(at + ARENA_HEADER_AT);
	memcpy(at + h->end, &over_the_magic, sizeof over_the_magic);
	atomic_fetch_add((_Atomic uint64_t *)(void *)at, sizeof over_the_magic);	/* as if killed in a step: it sleeps */
	kill((pid_t)st.worker_pid, SIGKILL);
	wait_generation(&n, 2);				/* a cold start */
	assert_true(nest_status(&n, DOWN, &st));
	assert_int_equal(st.strikes, 2);
	load_and_expect(&n, 2000);
	munmap(at, (size_t)is.st_size);
	nest_close(&n);
}

static struct ledger *ledger_of(struct nest *n, unsigned child)
{
	int fd = nest_held_fd(n, child, "ledger");
	struct ledger *l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_true(l != MAP_FAILED);
	close(fd);
	return l;
}

static void kill_supervisor(struct nest *n, unsigned child)
{
	unsigned starts = n->child[child].starts;

	kill(n->child[child].pid, SIGKILL);
	for (unsigned i = 0; i < 1000 && n->child[child].starts == starts; i++)
		nest_sleep_ms(5);
	assert_int_equal(n->child[child].starts, starts + 1);
}

/* That many times the core has been told, in all, that its neighbour is lost. */
static void wait_lost(struct nest *n, uint64_t times)
{
	for (unsigned i = 0; i < 400 && report(n, UP).lost < times; i++)
		nest_sleep_ms(5);
	assert_int_equal(report(n, UP).lost, times);
}

static void an_absent_neighbour_is_given_up_after_ten_seconds(void **state)
{
	static struct nest n;
	struct nest_status st;
	struct toy_report r;
	struct ledger *l;
	char path[128];

	(void)state;
	nest_open(&n, both);
	nest_wait_ready(&n);
	load_and_expect(&n, 1000);
	n.child[DOWN].wanted = false;
	kill(n.child[DOWN].pid, SIGKILL);
	nest_sleep_ms(200);
	assert_true(nest_status(&n, UP, &st));
	assert_string_equal(st.state, "waiting");
	assert_int_equal(report(&n, UP).lost, 0);
	assert_true(nest_order(&n, UP, "F", 1));	/* the ring to nobody is full, and the core waits for room in it */
	nest_sleep_ms(200);
	assert_true(nest_status(&n, UP, &st));
	assert_int_equal(st.core.len, 0);
	nest_sleep_ms(9000);
	r = report(&n, UP);			/* now it waits no longer */
	assert_int_equal(r.lost, 1);
	assert_true(nest_status(&n, UP, &st));
	assert_int_equal(st.restarts, 0);
	kill((pid_t)st.worker_pid, SIGKILL);	/* and neither does a worker that is started while it is lost */
	nest_sleep_ms(100);
	assert_int_equal(report(&n, UP).lost, 1);
	l = ledger_of(&n, UP);
	assert_int_equal(l->link[LINK_DOWN].lost, 1);	/* so the next life knows, and tells its core at once */
	munmap(l, sizeof *l);
	kill_supervisor(&n, UP);
	wait_lost(&n, 2);
	snprintf(path, sizeof path, "%s/toydown.sock", n.dir);
	unlink(path);				/* its owner had no time to */
	nest_close(&n);
}

/* Killed after it had noted that the neighbour is given up, and before it said so.  And who was given up and comes back gets a link
 * like any other: the former loss is none of it. */
static void a_loss_that_was_noted_is_told_by_the_next_life(void **state)
{
	static struct nest n;
	struct ledger *l;
	struct nest_status st;

	(void)state;
	nest_open(&n, both);
	nest_wait_ready(&n);
	load_and_expect(&n, 1000);
	n.child[DOWN].wanted = false;
	kill(n.child[DOWN].pid, SIGKILL);
	nest_sleep_ms(200);
	l = ledger_of(&n, UP);
	l->link[LINK_DOWN].lost = 1;
	kill_supervisor(&n, UP);
	wait_lost(&n, 1);
	n.child[DOWN].wanted = true;
	wait_generation(&n, 2);
	load_and_expect(&n, 2000);
	assert_int_equal(l->link[LINK_DOWN].lost, 0);
	kill_supervisor(&n, DOWN);		/* both hold that link: it is resumed, not made anew */
	load_and_expect(&n, 4000);
	kill_supervisor(&n, UP);
	load_and_expect(&n, 6000);
	for (unsigned c = 0; c < 2; c++) {
		assert_true(nest_status(&n, c, &st));
		assert_int_equal(st.generation, 2);
	}
	assert_int_equal(report(&n, UP).lost, 1);
	munmap(l, sizeof *l);
	nest_close(&n);
}

/* Killed while it made the small link anew: its descriptors do not count, and all else goes on. */
static void a_small_link_that_is_not_whole_is_made_anew(void **state)
{
	static struct nest n;
	struct nest_status st;
	struct ledger *l;

	(void)state;
	nest_open(&n, both);
	nest_wait_ready(&n);
	load_and_expect(&n, 1000);
	l = ledger_of(&n, UP);
	l->link[LINK_SUPERVISOR].generation = 0;
	kill_supervisor(&n, UP);
	load_and_expect(&n, 20000);
	assert_true(nest_status(&n, UP, &st));
	assert_int_equal(st.generation, 1);
	assert_int_equal(st.restarts, 1);
	assert_int_equal(l->link[LINK_SUPERVISOR].generation, 2);
	assert_int_equal(report(&n, UP).links, 1);
	munmap(l, sizeof *l);
	nest_close(&n);
}

static unsigned long switches(unsigned pid)
{
	char path[64], line[128];
	unsigned long a, sum = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%u/status", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "voluntary_ctxt_switches: %lu", &a) == 1)
			sum += a;
	fclose(f);
	return sum;
}

static void idle_is_no_wake_up_at_all(void **state)
{
	static struct nest n;
	struct nest_status st[2];
	unsigned long before[4], after[4];

	(void)state;
	nest_open(&n, both);
	nest_wait_ready(&n);
	load_and_expect(&n, 1000);
	for (unsigned c = 0; c < 2; c++)
		assert_true(nest_status(&n, c, &st[c]));
	nest_sleep_ms(100);
	for (unsigned i = 0; i < 4; i++)
		before[i] = switches(i & 1 ? st[i / 2].pid : st[i / 2].worker_pid);
	nest_sleep_ms(2000);
	for (unsigned i = 0; i < 4; i++) {
		after[i] = switches(i & 1 ? st[i / 2].pid : st[i / 2].worker_pid);
		assert_int_equal(after[i], before[i]);
	}
	load_and_expect(&n, 1001);
	nest_sleep_ms(100);			/* a switch counts when it goes to sleep again */
	for (unsigned i = 0; i < 4; i++)	/* and the same counter moves when there is something to do */
		assert_true(switches(i & 1 ? st[i / 2].pid : st[i / 2].worker_pid) > after[i]);
	nest_close(&n);
}

static void send_octets(const char *path, const void *at, size_t len)
{
	int fd = control_dial(path);

	assert_true(fd >= 0);
	assert_true(send(fd, at, len, MSG_NOSIGNAL) == (ssize_t)len);
	nest_sleep_ms(20);
	close(fd);
}

static void clients_that_lie_or_do_not_read_lose_their_link_only(void **state)
{
	static struct nest n;
	StatusRequest m = CONTROL_INIT(STATUS_REQUEST);
	Frame f = CONTROL_FRAME(STATUS_REQUEST, status_request, &m);
	struct control_link link;
	static uint8_t big[60000];
	struct nest_status st;
	char path[128];
	int fd, r = 0;

	(void)state;
	nest_open(&n, both);
	nest_wait_ready(&n);
	snprintf(path, sizeof path, "%s/toyup.sock", n.dir);
	memset(big, 0xA5, sizeof big);
	send_octets(path, "garbage", 7);
	send_octets(path, big, sizeof big);
	send_octets(path, "", 1);
	fd = control_dial(path);
	assert_int_equal(control_open(&link, fd), 0);
	assert_int_equal(control_send(&link, &f, NULL, 0), 0);	/* before Hello */
	control_close(&link);
	fd = control_dial(path);
	assert_int_equal(control_open(&link, fd), 0);
	assert_int_equal(control_hello(&link, "operator", 0), 0);
	for (unsigned i = 0; i < 20000 && !r; i++) {	/* asks and never reads */
		r = control_send(&link, &f, NULL, 0);
		while (!r && control_pending(&link)) {
			nest_sleep_ms(1);
			r = control_flush(&link);
		}
	}
	assert_true(r == -EPIPE || r == -ECONNRESET);
	control_close(&link);
	assert_true(nest_status(&n, UP, &st));
	assert_int_equal(st.restarts, 0);
	load_and_expect(&n, 5000);
	nest_close(&n);
}

static void live_keys_are_read_again_by_sighup(void **state)
{
	static struct nest n = { .config = P_tmpdir "/nest_device.json" };
	struct nest_status st;
	FILE *f;

	(void)state;
	f = fopen(n.config, "w");
	assert_non_null(f);
	fputs("{ \"name\": \"Toy\" }", f);
	fclose(f);
	nest_open(&n, both);
	nest_wait_ready(&n);
	assert_int_equal(report(&n, UP).configs, 1);
	f = fopen(n.config, "w");
	fputs("{ \"name\": \"Other\", \"advertising_interval\": 200 }", f);
	fclose(f);
	assert_true(nest_status(&n, UP, &st));
	kill((pid_t)st.pid, SIGHUP);
	for (unsigned i = 0; i < 200 && report(&n, UP).configs < 2; i++)
		nest_sleep_ms(5);
	assert_int_equal(report(&n, UP).configs, 2);
	f = fopen(n.config, "w");
	fputs("{ \"name\": 7 }", f);		/* wrong: kept as it was, and alive */
	fclose(f);
	kill((pid_t)st.pid, SIGHUP);
	nest_sleep_ms(50);
	assert_int_equal(report(&n, UP).configs, 2);
	assert_true(nest_status(&n, UP, &st));
	assert_int_equal(st.restarts, 0);
	nest_close(&n);
	unlink(n.config);
}

static void without_a_store_it_works_and_ends_cleanly(void **state)
{
	static struct nest n = { .no_store = true };
	struct nest_status st;

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	nest_open(&n, both);
	load_and_expect(&n, 10000);
	assert_true(nest_status(&n, DOWN, &st));
	kill((pid_t)st.worker_pid, SIGKILL);
	load_and_expect(&n, 20000);
	nest_close(&n);
	assert_int_equal(n.child[UP].code, 0);
	assert_int_equal(n.child[DOWN].code, 0);
}

static int run(char *const argv[])
{
	struct spawn s = { .path = "/proc/self/exe", .argv = argv };
	int pidfd, status;
	pid_t pid;

	assert_int_equal(spawn_child(&s, &pid, &pidfd), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(pidfd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void exit_codes_are_those_of_the_contract(void **state)
{
	char *const help[] = { CONTROL_STR("toyup"), CONTROL_STR("--help"), NULL };
	char *const bad[] = { CONTROL_STR("toyup"), CONTROL_STR("--what"), NULL };
	char *const level[] = { CONTROL_STR("toyup"), CONTROL_STR("--log"), CONTROL_STR("loud"), NULL };
	char *const more[] = { CONTROL_STR("toyup"), CONTROL_STR("more"), NULL };
	char *const config[] = { CONTROL_STR("toyup"), CONTROL_STR("--config"), CONTROL_STR("/nonexistent.json"), NULL };

	(void)state;
	assert_int_equal(run(help), 0);
	assert_int_equal(run(bad), 2);
	assert_int_equal(run(level), 2);
	assert_int_equal(run(more), 2);
	assert_int_equal(run(config), 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ring_that_lies_is_refused_and_made_anew),
		cmocka_unit_test(a_worker_that_goes_on_lying_is_given_up),
		cmocka_unit_test(a_strike_without_a_record_leads_to_a_cold_start),
		cmocka_unit_test(an_undo_log_that_leads_outside_is_not_followed),
		cmocka_unit_test(an_absent_neighbour_is_given_up_after_ten_seconds),
		cmocka_unit_test(a_loss_that_was_noted_is_told_by_the_next_life),
		cmocka_unit_test(a_small_link_that_is_not_whole_is_made_anew),
		cmocka_unit_test(idle_is_no_wake_up_at_all),
		cmocka_unit_test(clients_that_lie_or_do_not_read_lose_their_link_only),
		cmocka_unit_test(live_keys_are_read_again_by_sighup),
		cmocka_unit_test(without_a_store_it_works_and_ends_cleanly),
		cmocka_unit_test(exit_codes_are_those_of_the_contract),
	};
	int code = toy_main(argc, argv);

	if (code >= 0)
		return code;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
