/* cli/up.c - `trefoil up`: the root of a pipeline.
 *
 * It starts airsim (where the transport is `sim` or --air is given) and the three supervisors, keeps the descriptors that they
 * store (runtime/fdstore.h, as systemd would), and starts again whoever dies, with those descriptors.  It touches no packet.
 * Its death ends the pipeline: its children get SIGTERM. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/up.h"
#include "runtime/device.h"
#include "runtime/log.h"
#include "runtime/recording_file.h"

static int parse(struct up *u, int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "transport", required_argument, NULL, 't' },
		{ "air", required_argument, NULL, 'a' }, { "btsnoop", required_argument, NULL, 'b' },
		{ "log", required_argument, NULL, 'l' }, { "record", required_argument, NULL, 'R' },
		{ "record-size", required_argument, NULL, 'S' }, { "quarantine", required_argument, NULL, 'Q' }, { NULL, 0, NULL, 0 },
	};
	enum log_level level;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'c')
			u->config = optarg;
		else if (o == 't')
			u->transport = optarg;
		else if (o == 'b')
			u->btsnoop = optarg;
		else if (o == 'R')
			u->record = optarg;
		else if (o == 'S')
			u->record_size = optarg;
		else if (o == 'Q')
			u->quarantine = optarg;
		else if (o == 'l' && log_level_from_text(optarg, &level))
			u->log = optarg;
		else if (o == 'a' && u->airs < UP_AIRS)
			u->air[u->airs++] = optarg;
		else if (o == 'a')
			return cli_say(EXIT_USAGE, "up: at most %d --air", UP_AIRS);
		else if (o == 'l')
			return cli_say(EXIT_USAGE, "up: --log: expected error, warn, info or debug");
		else
			return EXIT_USAGE;		/* getopt has said what */
	}
	if (optind < argc)
		return cli_say(EXIT_USAGE, "up: unexpected \"%s\"", argv[optind]);
	if (u->log && log_level_from_text(u->log, &level))
		log_set_level(level);
	return 0;
}

static int check_config(const struct up *u, gid_t *ret_group)
{
	struct device *d = NULL;
	char why[512];

	if (device_load(u->config, &d, why, sizeof why))
		return cli_say(EXIT_FAILED, "%s", why);
	device_log_warnings(d, u->config);
	if (d->group_given)
		*ret_group = d->group;
	if (d->log_level_given && !u->log)
		log_set_level(d->log_level);
	device_free(d);
	return 0;
}

/* Before anything is started: each daemon opens them for itself. */
static int check_dirs(const struct up *u)
{
	const char *const paths[] = { u->record, u->quarantine };
	char why[RECORDING_WHY];

	for (unsigned i = 0; i < 2; i++) {
		int fd = paths[i] ? recording_dir_open(paths[i], why) : -1;

		if (paths[i] && fd < 0)
			return cli_say(EXIT_FAILED, "%s", why);
		if (fd >= 0)
			close(fd);
	}
	return 0;
}

static int on_signal(void *ctx, uint32_t revents)
{
	struct up *u = ctx;
	int sig;

	(void)revents;
	while ((sig = loop_signal_take(u->signals)) > 0) {
		if (sig == SIGHUP)
			up_signal_all(u, SIGHUP);	/* live keys are read again */
		else
			u->ending = true;
	}
	return sig;
}

/* The line that scripts wait for; and systemd, where it started us. */
static void tell_ready(struct up *u)
{
	struct fdstore above = FDSTORE_NONE;

	if (u->told_ready || !up_all_ready(u))
		return;
	u->told_ready = true;
	puts("ready");
	fflush(stdout);
	if (!fdstore_open(&above) && fdstore_there(&above))
		fdstore_tell(&above, "READY=1");
	fdstore_close(&above);
}

static int run(struct up *u)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, 0 };
	int r;

	r = loop_open(0, &u->loop);
	if (r)
		return cli_say(EXIT_FAILED, "%s", loop_refusal(r));
	u->signals = loop_signal_fd(signals);
	r = u->signals < 0 ? u->signals : loop_watch(u->loop, u->signals, POLLIN, LOOP_LEVEL, on_signal, u);
	if (r >= 0)
		r = up_children_open(u);
	if (!r)
		r = up_children_start(u);
	while (!r && !u->ending) {
		uint64_t next = up_children_again(u);

		tell_ready(u);
		r = loop_run_once(u->loop, next);
		r = r < 0 && r != -EINTR ? r : 0;
	}
	if (r)
		u->exit_code = cli_say(EXIT_FAILED, "up: %s", strerror(-r));
	up_children_end(u);
	loop_close(u->loop);
	if (u->signals >= 0)
		close(u->signals);
	return u->exit_code;
}

int cli_up(struct cli *c, int argc, char **argv)
{
	static const char *const files[] = { "air.sock", "transportd.sock", "hostd.sock", "gattd.sock", NULL };
	struct up *u = calloc(1, sizeof *u);
	gid_t group = (gid_t)-1;		/* who may use the control sockets has to reach them */
	int r;

	if (!u)
		return cli_say(EXIT_FAILED, "out of memory");
	log_open("up");
	u->cli = c;
	u->transport = "sim";
	r = parse(u, argc, argv);
	if (!r)
		r = check_config(u, &group);
	if (!r)
		r = check_dirs(u);
	if (!r && (run_dir_make(&c->dir, group) || run_dir_lock(&c->dir)))
		r = cli_say(EXIT_FAILED, "%s", c->dir.why);
	/* Each removes its own at a clean end; one that is dead when we end cannot.  The lock says that they are ours. */
	for (const char *const *f = files; !r && *f; f++)
		run_dir_own(&c->dir, *f);
	if (!r)
		r = run(u);
	run_dir_end(&c->dir);
	free(u);
	return r;
}
