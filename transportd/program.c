/* transportd/program.c - what makes the daemon out of the runtime; the supervisor's part of it. */
#include <errno.h>
#include <string.h>
#include "runtime/log.h"
#include "runtime/supervisor.h"
#include "transportd/line.h"
#include "transportd/program.h"
#include "transportd/snoop.h"
#include "transportd/transport.h"
#include "transportd/worker.h"

const char *transportd_btsnoop;

static int configure(const struct device *d, struct config_sink *sink)
{
	(void)d, (void)sink;		/* nothing in the device file concerns the transport */
	return 0;
}

static int open_capture(struct supervisor *s)
{
	int fd, r;

	if (!transportd_btsnoop)
		return 0;
	r = snoop_open_file(transportd_btsnoop, &fd);
	if (r) {
		log_error("capture file cannot be used", LOG_STR("file", transportd_btsnoop),
		    LOG_WHY(r > 0 ? "it holds something that is no btsnoop of H4; it is left as it is" : strerror(-r)));
		return r > 0 ? -EEXIST : r;
	}
	return supervisor_keep_fd(s, "btsnoop", fd);
}

static int open_transport(struct supervisor *s, const struct device *d)
{
	struct transport_fds f;
	struct transport_why why;
	int r;

	(void)d;
	r = open_capture(s);
	if (r < 0)
		return r;
	r = transport_open(supervisor_transport(s), supervisor_run_dir(s), &f, &why);
	if (r < 0) {
		log_error("transport", LOG_WHY(why.text));
		return r;
	}
	r = supervisor_keep_fd(s, "controller", f.controller);
	if (!r)
		r = supervisor_keep_fd(s, "pipe.r", f.pipe_r);
	if (!r)
		r = supervisor_keep_fd(s, "pipe.w", f.pipe_w);
	return r;
}

const struct program transportd_program = {
	.name = "transportd",
	.core = &transportd_core,
	.down = "hostd",
	.ready_when_attached = true,
	.configure = configure,
	.open = open_transport,
	.worker_prepare = transportd_worker_prepare,
	.worker_start = transportd_worker_start,
	.worker_turn = transportd_worker_turn,
	.own_links = 1u << LINK_DOWN,
	.syscalls = transportd_syscalls,
};
