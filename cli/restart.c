/* cli/restart.c - `trefoil restart [--cold] NAME`. */
#include <stdio.h>
#include <string.h>
#include "base/types.h"
#include "cli/client.h"

static int on_done(void *self, struct control_in *in, const Done *m)
{
	(void)in;
	(void)m;
	*(bool *)self = true;
	return 0;
}

int cli_restart(struct cli *c, int argc, char **argv)
{
	static const char *const names[] = { "transportd", "hostd", "gattd" };
	Restart m = CONTROL_INIT(RESTART);
	Frame f = CONTROL_FRAME(RESTART, restart, &m);
	struct client client;
	bool known = false, done = false;
	int r;

	m.cold = argc == 3 && !strcmp(argv[1], "--cold");
	argv += m.cold;
	argc -= m.cold;
	for (unsigned i = 0; argc == 2 && i < ARRAY_LEN(names); i++)
		known |= !strcmp(argv[1], names[i]);
	if (!known)
		return cli_say(EXIT_USAGE, "restart: expected [--cold] transportd, hostd or gattd");
	m.name = argv[1];
	r = client_open(&client, c, argv[1]);
	if (!r)
		r = control_send(&client.link, &f, NULL, 0);
	if (!r)
		r = client_await(&client, (struct control_handlers){ .on_done = on_done }, &done, &done);
	if (r)
		r = client_complain(&client, r);
	else
		printf(c->json ? "{\"restarted\": \"%s\"}\n" : "%s restarted\n", argv[1]);
	client_close(&client);
	return r;
}
