/* transportd/transport.c - the table of transports. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/types.h"
#include "transportd/stream.h"
#include "transportd/transport.h"

static const struct transport_ops transports[] = {
	{ "unix", "unix:<path>", sock_open_unix },
	{ "tcp-client", "tcp-client:<host>:<port>", sock_open_tcp_client },
	{ "sim", "sim", sock_open_sim },
	{ "usb", "usb:<index>", NULL },
	{ "serial", "serial:<dev>[,baud][,rtscts]", NULL },
	{ "pty", "pty:[link]", NULL },
	{ "tcp-server", "tcp-server:<host|_>:<port>", NULL },
	{ "udp", "udp:<local>,<remote>", NULL },
	{ "unix-server", "unix-server:<path>", NULL },
	{ "vhci", "vhci:[dev]", NULL },
	{ "hci-socket", "hci-socket:<index>", NULL },
	{ "file", "file:<path>", NULL },
};

int transport_explain(struct transport_why *why, int r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why->text, sizeof why->text, format, ap);
	va_end(ap);
	return r;
}

static const struct transport_ops *find(const char *name, const char **ret_rest)
{
	size_t n = strcspn(name, ":");

	*ret_rest = name[n] ? name + n + 1 : name + n;
	for (size_t i = 0; i < ARRAY_LEN(transports); i++)
		if (strlen(transports[i].scheme) == n && !memcmp(transports[i].scheme, name, n))
			return &transports[i];
	return NULL;
}

static int unknown_kind(const char *name, struct transport_why *why)
{
	char known[160] = "";
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_LEN(transports); i++)
		if (transports[i].open && at < sizeof known)
			at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", at ? ", " : "", transports[i].form);
	return transport_explain(why, -EINVAL, "transport \"%.80s\": \"%.*s\" is no kind of transport; expected %s", name,
	    (int)MIN(strcspn(name, ":"), (size_t)40), name, known);
}

/* Outgoing octets wait here while the socket is full; a whole batch has to fit. */
static int pipe_open(struct transport_fds *f)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	f->pipe_r = fds[0];
	f->pipe_w = fds[1];
	if (fcntl(f->pipe_w, F_SETPIPE_SZ, STREAM_PIPE_WISH) >= STREAM_PIPE_MIN)
		return 0;
	if (fcntl(f->pipe_w, F_GETPIPE_SZ) >= STREAM_PIPE_MIN || fcntl(f->pipe_w, F_SETPIPE_SZ, STREAM_PIPE_MIN) >= STREAM_PIPE_MIN)
		return 0;
	return -errno;
}

int transport_open(const char *name, const char *run_dir, struct transport_fds *ret, struct transport_why *why)
{
	struct transport_fds f = TRANSPORT_FDS_NONE;
	struct transport_why part = { "" };
	const struct transport_ops *t;
	const char *rest;
	int r;

	t = find(name, &rest);
	if (!t)
		return unknown_kind(name, why);
	if (!t->open)
		return transport_explain(why, -EOPNOTSUPP, "transport \"%.80s\": %s is not built in yet", name, t->form);
	r = t->open(rest, run_dir, &f.controller, &part);
	if (r < 0)
		return transport_explain(why, r, "transport \"%.80s\": %s", name, part.text);
	r = pipe_open(&f);
	if (r < 0) {
		transport_fds_close(&f);
		return transport_explain(why, r, "transport \"%.80s\": no pipe of %d octets for it: %s", name, STREAM_PIPE_MIN, strerror(-r));
	}
	*ret = f;
	return 0;
}

void transport_fds_close(struct transport_fds *f)
{
	const int fds[] = { f->controller, f->pipe_r, f->pipe_w };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	*f = (struct transport_fds)TRANSPORT_FDS_NONE;
}
