/* airsim's loop where the kernel takes no requests: completions are put aside, none is lost, nothing is written nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <liburing.h>
#include <sys/eventfd.h>

enum { NOT_BUSY, BUSY_UNTIL_TAKEN, BUSY_FOR_EVER };
static int busy;
static unsigned refused;

/* As kernels do it while completions that overflowed have no place. */
static int submit(struct io_uring *ring)
{
	if (busy == BUSY_FOR_EVER || (busy == BUSY_UNTIL_TAKEN && io_uring_cq_ready(ring))) {
		refused++;
		return -EBUSY;
	}
	busy = NOT_BUSY;
	return io_uring_submit(ring);
}
#define io_uring_submit submit
#include "airsim/host_port.c"

enum { DONE = 100 };

/* A full submission queue; DONE completions wait, of requests 0 on; those that wait to be handed over follow. */
static struct host_port *port_full(int signal_fd)
{
	struct air_config config = air_config_default();
	struct host_port *p = NULL;

	busy = NOT_BUSY;
	refused = 0;
	assert_int_equal(air_port_open(&config, (struct air_faults){ 0 }, signal_fd, &p), 0);
	for (uint32_t i = 0; i < DONE; i++)
		request(p, ON_CANCELLED, 0, i);
	assert_int_equal(submit(&p->ring), DONE);
	assert_int_equal(io_uring_cq_ready(&p->ring), DONE);
	for (uint32_t i = DONE; i < DONE + RING_ENTRIES; i++)
		request(p, ON_CANCELLED, 0, i);
	assert_int_equal(io_uring_sq_space_left(&p->ring), 0);
	return p;
}

static void test_completions_put_aside(void **state)
{
	int fd = eventfd(1, EFD_CLOEXEC);
	struct host_port *p = port_full(fd);
	struct io_uring_sqe *sqe;
	struct done done;
	uint32_t n = 0;

	(void)state;
	busy = BUSY_UNTIL_TAKEN;
	sqe = request(p, ON_CANCELLED, 0, DONE + RING_ENTRIES);
	assert_non_null(sqe);
	assert_ptr_not_equal(sqe, &p->nowhere);
	assert_int_equal(refused, 1);
	assert_int_equal(p->failed, 0);
	assert_int_equal(p->early_end, DONE);
	assert_int_equal(submit(&p->ring), 1);
	while (completion_next(p, &done))
		assert_int_equal(done.user_data, name_of(ON_CANCELLED, 0, n++));
	assert_int_equal(n, DONE + RING_ENTRIES + 1);
	assert_int_equal(p->early_end, 0);
	assert_int_equal(air_port_run(p), 0);		/* the signal that is there */
	air_port_close(p);
	close(fd);
}

/* What is put aside is work: the loop does not wait before it has looked at it. */
static void test_no_wait_before_them(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct host_port *p = port_full(fd);

	(void)state;
	busy = BUSY_UNTIL_TAKEN;
	request(p, ON_CANCELLED, 0, 0);
	assert_int_equal(p->early_end, DONE);
	p->early[0].user_data = name_of(ON_SIGNAL, 0, 0);
	while (io_uring_cq_ready(&p->ring)) {		/* nothing else that could wake it */
		struct done done;

		ring_next(p, &done);
	}
	assert_int_equal(air_port_run(p), 0);
	air_port_close(p);
	close(fd);
}

static void test_never_taken(void **state)
{
	int fd = eventfd(1, EFD_CLOEXEC);
	struct host_port *p = port_full(fd);

	(void)state;
	busy = BUSY_FOR_EVER;
	assert_ptr_equal(request(p, ON_CANCELLED, 0, 0), &p->nowhere);
	assert_int_equal(p->failed, -EBUSY);
	assert_int_equal(air_port_run(p), -EBUSY);
	air_port_close(p);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_completions_put_aside), cmocka_unit_test(test_no_wait_before_them), cmocka_unit_test(test_never_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
