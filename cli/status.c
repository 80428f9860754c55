/* cli/status.c - `trefoil status`: the three daemons' answers as one object, or as text. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/types.h"
#include "cli/status.h"

static json_t *processes(const struct daemon_status *d)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < STATUS_DAEMONS; i++)
		json_array_append_new(all, json_pack("{s:s, s:i, s:i, s:s, s:i, s:I, s:I, s:i, s:i, s:i, s:i, s:i}", "name", d[i].name,
		    "pid", (int)d[i].pid, "worker_pid", (int)d[i].worker_pid, "state", d[i].there ? d[i].state : "absent",
		    "restarts", (int)d[i].restarts, "uptime_ms", (json_int_t)d[i].uptime_ms,
		    "last_outage_us", (json_int_t)d[i].last_outage_us, "strikes", (int)d[i].strikes,
		    "quarantined", (int)d[i].quarantined, "worker_uid", (int)d[i].worker_uid,
		    "takeovers", (int)d[i].takeovers, "takeovers_refused", (int)d[i].takeovers_refused));
	return all;
}

/* Each link is told by both of its ends: records and fill of either direction are added, and a state that is not "up" wins. */
static json_t *links(const struct daemon_status *d)
{
	json_t *all = json_array(), *l, *seen;
	size_t at, k;

	for (unsigned i = 0; i < STATUS_DAEMONS; i++)
		json_array_foreach(d[i].links, at, l) {
			const char *name = json_string_value(json_object_get(l, "name"));
			bool merged = false;

			json_array_foreach(all, k, seen) {
				if (strcmp(name, json_string_value(json_object_get(seen, "name"))))
					continue;
				for (const char *const *f = (const char *const[]){ "records", "fill", NULL }; *f; f++)
					json_object_set_new(seen, *f, json_integer(json_integer_value(json_object_get(seen, *f)) +
					    json_integer_value(json_object_get(l, *f))));
				if (strcmp(json_string_value(json_object_get(l, "state")), "up"))
					json_object_set(seen, "state", json_object_get(l, "state"));
				merged = true;
			}
			if (!merged)
				json_array_append_new(all, json_deep_copy(l));
		}
	return all;
}

/* hostd's connections, with what gattd knows of the same index and generation. */
static json_t *connections(const struct daemon_status *host, const struct daemon_status *gatt)
{
	json_t *all = json_array(), *c, *b;
	size_t i, k;

	json_array_foreach(host->rows, i, c) {
		json_t *copy = json_deep_copy(c);

		json_object_set_new(copy, "mtu", json_integer(23));	/* Core 5.4, Vol 3, Part G, 5.2.1: until it is exchanged */
		json_array_foreach(gatt->rows, k, b)
			if (json_equal(json_object_get(b, "index"), json_object_get(c, "index")) &&
			    json_equal(json_object_get(b, "generation"), json_object_get(c, "generation"))) {
				json_object_set(copy, "mtu", json_object_get(b, "mtu"));
				json_object_set(copy, "subscriptions", json_object_get(b, "subscriptions"));
			}
		json_array_append_new(all, copy);
	}
	return all;
}

static const char *isolation(const struct daemon_status *d)
{
	for (unsigned i = 0; i < STATUS_DAEMONS; i++)
		if (d[i].there && strstr(d[i].isolation, "one uid"))
			return d[i].isolation;
	for (unsigned i = 0; i < STATUS_DAEMONS; i++)
		if (d[i].there)
			return d[i].isolation;
	return "unknown";
}

static long number(const json_t *o, const char *key) { return (long)json_integer_value(json_object_get(o, key)); }
static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "-";
}

static void print(const json_t *all)
{
	const json_t *controller = json_object_get(all, "controller");
	json_t *o;
	size_t i;

	json_array_foreach(json_object_get(all, "processes"), i, o)
		printf("%-11s %-10s pid %ld, worker %ld, %ld restarts, up %ld s\n", text(o, "name"), text(o, "state"), number(o, "pid"),
		    number(o, "worker_pid"), number(o, "restarts"), number(o, "uptime_ms") / 1000);
	if (json_is_object(controller))
		printf("controller  %s, manufacturer %ld, HCI version %ld, %s\n", text(controller, "address"),
		    number(controller, "manufacturer"), number(controller, "version"),
		    json_is_true(json_object_get(controller, "advertising")) ? "advertising" : "not advertising");
	json_array_foreach(json_object_get(all, "links"), i, o)
		printf("link        %s: %s, generation %ld, %ld records, %ld octets waiting\n", text(o, "name"), text(o, "state"),
		    number(o, "generation"), number(o, "records"), number(o, "fill"));
	printf("isolation   %s\n", text(all, "isolation"));
	json_array_foreach(json_object_get(all, "connections"), i, o)
		printf("connection  0x%04lX %s, %s, %s, %s, MTU %ld\n", number(o, "handle"), text(o, "peer"), text(o, "transport"),
		    text(o, "role"), json_is_true(json_object_get(o, "encrypted")) ? "encrypted" : "not encrypted", number(o, "mtu"));
}

int cli_status(struct cli *c, int argc, char **argv)
{
	static struct daemon_status d[STATUS_DAEMONS] = { { .name = "transportd" }, { .name = "hostd" }, { .name = "gattd" } };
	unsigned there = 0;
	json_t *all;
	int r;

	if (argc != 1)
		return cli_say(EXIT_USAGE, "status: unexpected \"%s\"", argv[1]);
	for (unsigned i = 0; i < STATUS_DAEMONS; i++) {
		r = status_ask(&d[i], c);
		if (r && r != -ENOENT && r != -ECONNREFUSED)
			return cli_say(EXIT_FAILED, "%s: %s", d[i].name, strerror(-r));
		there += !r;
	}
	if (!there)
		return cli_say(EXIT_NO_DAEMON, "%s: no daemon there", c->dir.path);
	all = json_pack("{s:o, s:O?, s:o, s:s, s:o}", "processes", processes(d), "controller", d[1].controller, "links", links(d),
	    "isolation", isolation(d), "connections", connections(&d[1], &d[2]));
	if (c->json) {
		json_dumpf(all, stdout, JSON_PRESERVE_ORDER);
		putchar('\n');
	} else {
		print(all);
	}
	json_decref(all);
	for (unsigned i = 0; i < STATUS_DAEMONS; i++) {
		json_decref(d[i].links);
		json_decref(d[i].rows);
		json_decref(d[i].controller);
	}
	return EXIT_DONE;
}
