/* cli/client.c */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include "cli/client.h"
#include "proto/control_socket.h"

/* Handlers get the command's own `self`; the client under way is found here: a command runs one at a time. */
static struct client *current;

static int on_hello(void *self, struct control_in *in, const Hello *m)
{
	(void)self;
	(void)in;
	current->greeted = m->protocol == CONTROL_PROTOCOL;
	return current->greeted ? 0 : -EPROTO;
}
static int on_failed(void *self, struct control_in *in, const Failed *m)
{
	(void)self;
	(void)in;
	current->error = m->error < 0 ? m->error : -EIO;
	snprintf(current->why, sizeof current->why, "%s", m->why);
	for (char *c = current->why; *c; c++)		/* some of it may be a worker's words: no control of a terminal */
		if (*c < ' ' || *c > '~')
			*c = '?';
	return 0;
}

int client_await(struct client *c, struct control_handlers h, void *self, const bool *done)
{
	int r;

	current = c;
	h.on_hello = on_hello;
	h.on_failed = on_failed;
	c->error = 0;
	while (!*done && !c->error) {
		r = control_wait(&c->link, CLIENT_TIMEOUT_MS);
		if (r)
			return r;
		r = control_receive(&c->link, &h, self);
		if (r == CONTROL_CLOSED)
			return -ECONNRESET;
		if (r < 0)
			return r;
	}
	return c->error;
}

int client_open(struct client *c, const struct cli *cli, const char *name)
{
	char file[RUN_DIR_NAME], path[RUN_DIR_PATH + RUN_DIR_NAME + 2];
	int fd, r;

	*c = (struct client){ .link = CONTROL_LINK_NONE, .name = name };
	snprintf(file, sizeof file, "%s.sock", name);
	if (!run_dir_file(&cli->dir, file, path, sizeof path))
		return -ENAMETOOLONG;
	fd = control_dial(path);
	if (fd < 0)
		return fd;
	r = control_open(&c->link, fd);
	if (!r)
		r = control_hello(&c->link, "operator", 0);
	if (!r)
		r = client_await(c, (struct control_handlers){ 0 }, NULL, &c->greeted);
	if (r)
		control_close(&c->link);
	return r;
}

void client_close(struct client *c) { control_close(&c->link); }

int client_complain(const struct client *c, int r)
{
	if (r == -ENOENT || r == -ECONNREFUSED)
		return cli_say(EXIT_NO_DAEMON, "%s: no daemon there", c->name);
	if (r == -ECONNRESET || r == -EPIPE)
		return cli_say(EXIT_FAILED, "%s: went away before it answered", c->name);
	if (c->error)
		return cli_say(EXIT_FAILED, "%s: %s", c->name, c->why);
	return cli_say(EXIT_FAILED, "%s: %s", c->name, strerror(-r));
}
