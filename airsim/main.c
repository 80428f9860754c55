/* airsim - software controllers on one simulated air, for any host that speaks H4.
 *
 *   airsim --run-dir DIR [--air LISTEN]...
 *
 * Listens on DIR/air.sock and on each LISTEN (unix:PATH, tcp:ADDRESS:PORT).  Each connection is one more controller until it is
 * closed.  SIGTERM and SIGINT end it, exit 0; 1: it could not start, and one line says why; 2: usage. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "airsim/host_port.h"
#include "airsim/listen_port.h"

enum { EXIT_USAGE = 2, SOCKETS = AIR_PORT_LISTENERS };

struct options {
	char run_dir[96];
	const char *air[SOCKETS];
	unsigned air_count;
	bool child, run_dir_made;
	struct air_config config;
	struct air_faults faults;
};

static const char usage[] =
	"usage: airsim [--run-dir DIR] [--air LISTEN]...\n"
	"  Software Bluetooth controllers on one simulated air: each H4 connection is one more of them.\n"
	"  --run-dir DIR          listen on DIR/air.sock (default $TREFOIL_RUN_DIR, $XDG_RUNTIME_DIR/trefoil, /run/trefoil)\n"
	"  --air LISTEN           also on unix:PATH or tcp:ADDRESS:PORT; may be repeated\n"
	"  --controllers N        at once, 1 to 512 (64)\n"
	"  --connections N        at once of one controller, 1 to 128 (32)\n"
	"  --acl-packets N        ACL buffers of a controller, 1 to 255 (8)\n"
	"  --acl-length N         octets of each, 27 to 1021 (251)\n"
	"  --seed N               of LE Rand and of the faults (1)\n"
	"  --lose-advertisements N  fault: of 1000 advertising events, those that a listener does not hear (0)\n"
	"  --child                end with the parent process\n";

static bool number(const char *text, unsigned long most, unsigned long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoul(text, &end, 0);
	return !errno && *text >= '0' && *text <= '9' && !*end && *ret <= most;
}

/* Returns 0, EXIT_USAGE with a line said, or -1: --help was served. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option names[] = {
		{ "run-dir", required_argument, NULL, 'r' }, { "air", required_argument, NULL, 'a' },
		{ "controllers", required_argument, NULL, 'c' }, { "connections", required_argument, NULL, 'n' },
		{ "acl-packets", required_argument, NULL, 'p' }, { "acl-length", required_argument, NULL, 'l' },
		{ "seed", required_argument, NULL, 's' }, { "lose-advertisements", required_argument, NULL, 'd' },
		{ "child", no_argument, NULL, 'C' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	unsigned long v = 0;
	int c, i = 0;

	while ((c = getopt_long(argc, argv, "h", names, &i)) >= 0) {
		if (strchr("cnpld", c) && !number(optarg, UINT16_MAX, &v)) {
			fprintf(stderr, "airsim: --%s %s: a number is expected\n", names[i].name, optarg);
			return EXIT_USAGE;
		}
		switch (c) {
		case 'r':
			if (snprintf(o->run_dir, sizeof o->run_dir, "%s", optarg) >= (int)sizeof o->run_dir) {
				fprintf(stderr, "airsim: --run-dir %s: longer than %zu octets\n", optarg, sizeof o->run_dir - 1);
				return EXIT_USAGE;
			}
			break;
		case 'a':
			if (o->air_count == SOCKETS - 1) {
				fprintf(stderr, "airsim: --air %s: more than %u\n", optarg, SOCKETS - 1);
				return EXIT_USAGE;
			}
			o->air[o->air_count++] = optarg;
			break;
		case 'c': o->config.controllers = (uint16_t)v; break;
		case 'n': o->config.connections = (uint16_t)v; break;
		case 'p': o->config.acl_packets = (uint16_t)v; break;
		case 'l': o->config.acl_length = (uint16_t)v; break;
		case 'd': o->faults.advertisements_lost_permille = (uint16_t)v; break;
		case 's':
			if (!number(optarg, ULONG_MAX, &v)) {
				fprintf(stderr, "airsim: --seed %s: a number is expected\n", optarg);
				return EXIT_USAGE;
			}
			o->config.seed = v;
			break;
		case 'C': o->child = true; break;
		case 'h':
			fputs(usage, stdout);
			return -1;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc || !air_size(&o->config) || o->faults.advertisements_lost_permille > 1000) {
		fprintf(stderr, "airsim: %s%s\n%s", optind < argc ? "not expected: " : "a number is out of range",
		    optind < argc ? argv[optind] : "", usage);
		return EXIT_USAGE;
	}
	return 0;
}

static void default_run_dir(struct options *o)
{
	const char *own = getenv("TREFOIL_RUN_DIR"), *user = getenv("XDG_RUNTIME_DIR");

	if (o->run_dir[0])
		return;
	if (own && *own)
		snprintf(o->run_dir, sizeof o->run_dir, "%s", own);
	else if (user && *user)
		snprintf(o->run_dir, sizeof o->run_dir, "%s/trefoil", user);
	else
		snprintf(o->run_dir, sizeof o->run_dir, "/run/trefoil");
}

/* The first line that says why; 0 or -errno. */
static int listen_all(struct host_port *p, struct options *o, struct air_listen *l, unsigned *count)
{
	char spec[128], why[160];
	int fd = air_listen_inherited("air.sock"), r;

	if (fd >= 0) {
		fprintf(stderr, "airsim: listening at=air.sock (handed over)\n");
		r = air_port_listen(p, fd, "air.sock");
		if (r)
			return r;
	} else {
		default_run_dir(o);
		if (!mkdir(o->run_dir, 0750)) {
			o->run_dir_made = true;
		} else if (errno != EEXIST) {
			r = -errno;
			fprintf(stderr, "airsim: run dir %s: %s\n", o->run_dir, strerror(-r));
			return r;
		}
		snprintf(spec, sizeof spec, "unix:%s/air.sock", o->run_dir);
	}
	for (unsigned i = fd >= 0 ? 1 : 0; i <= o->air_count; i++) {
		const char *name = i ? o->air[i - 1] : spec;

		r = air_listen_open(name, &l[*count], why, sizeof why);
		if (r) {
			fprintf(stderr, "airsim: cannot listen on %s: %s\n", name, why);
			return r;
		}
		(*count)++;
		r = air_port_listen(p, l[*count - 1].fd, l[*count - 1].name);
		if (r)
			return r;
		fprintf(stderr, "airsim: listening at=%s\n", l[*count - 1].name);
	}
	return 0;
}

/* sd_notify(3): READY=1 to $NOTIFY_SOCKET, if there is one. */
static void tell_ready(void)
{
	const char *to = getenv("NOTIFY_SOCKET");
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	static const char ready[] = "READY=1";
	int fd;

	if (!to || (*to != '/' && *to != '@') || strlen(to) >= sizeof at.sun_path)
		return;
	memcpy(at.sun_path, to, strlen(to));
	if (*to == '@')
		at.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, ready, sizeof ready - 1, MSG_NOSIGNAL, (struct sockaddr *)&at,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(to)));
	close(fd);
}

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void want_descriptors(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return;
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

static int run(struct options *o, int signal_fd)
{
	struct air_listen l[SOCKETS];
	struct host_port *p = NULL;
	unsigned count = 0;
	int r = air_port_open(&o->config, o->faults, signal_fd, &p);

	if (r) {
		fprintf(stderr, "airsim: cannot start its io_uring loop: %s\n", strerror(-r));
		return 1;
	}
	r = listen_all(p, o, l, &count);
	if (!r) {
		tell_ready();
		r = air_port_run(p);
		if (r)
			fprintf(stderr, "airsim: loop ended: %s\n", strerror(-r));
	}
	air_port_close(p);
	while (count)
		air_listen_remove(&l[--count]);
	if (o->run_dir_made)
		rmdir(o->run_dir);
	return r ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct options o = { .config = air_config_default() };
	pid_t parent = getppid();
	int r = parse(argc, argv, &o), signal_fd;

	if (r)
		return r < 0 ? 0 : r;
	if (o.child && (prctl(PR_SET_PDEATHSIG, SIGTERM) || getppid() != parent))
		return 1;			/* the parent is gone already */
	want_descriptors();
	signal_fd = signals_open();
	if (signal_fd < 0) {
		fprintf(stderr, "airsim: signalfd: %s\n", strerror(errno));
		return 1;
	}
	r = run(&o, signal_fd);
	close(signal_fd);
	return r;
}
