/* runtime/device_trefoil.c - the key "trefoil" at the top of the device file. */
#include <errno.h>
#include <grp.h>
#include "base/types.h"
#include "runtime/device_own.h"

/* The function of a key that is one field of its object. */
#define FIELD(name, type, call) \
static int name(struct device_reader *r, const json_t *v, void *o) { struct type *x = o; return call; }

FIELD(on_connections, device, device_uint(r, v, 1, DEVICE_CONNECTIONS_MAX, &x->connections))

static int on_mtu(struct device_reader *r, const json_t *v, void *o)
{
	uint32_t n;
	int e = device_uint(r, v, DEVICE_MTU_MIN, DEVICE_MTU_MAX, &n);

	if (e == 0)
		((struct device *)o)->mtu = (uint16_t)n;
	return e;
}

static int on_limits(struct device_reader *r, const json_t *v, void *o)
{
	static const struct device_key keys[] = { { "connections", on_connections }, { "mtu", on_mtu }, { NULL, NULL } };

	return device_object(r, v, keys, o);
}

FIELD(on_uid_transportd, device, device_uint(r, v, 1, INT32_MAX, &x->uid.transportd))
FIELD(on_uid_hostd, device, device_uint(r, v, 1, INT32_MAX, &x->uid.hostd))
FIELD(on_uid_gattd, device, device_uint(r, v, 1, INT32_MAX, &x->uid.gattd))

static int on_uids(struct device_reader *r, const json_t *v, void *o)
{
	static const struct device_key keys[] = {
		{ "transportd", on_uid_transportd }, { "hostd", on_uid_hostd }, { "gattd", on_uid_gattd }, { NULL, NULL },
	};
	const struct device *d = o;
	int e = device_object(r, v, keys, o);

	if (e)
		return e;
	if (d->uid.transportd == d->uid.hostd || d->uid.hostd == d->uid.gattd || d->uid.gattd == d->uid.transportd)
		return device_wrong(r, v, "three different uids: they keep the workers apart");
	return 0;
}

static int on_group(struct device_reader *r, const json_t *v, void *o)
{
	struct device *d = o;
	uint32_t n = 0;
	int e = 0;

	if (json_is_string(v)) {
		const struct group *g = getgrnam(json_string_value(v));

		if (g == NULL)
			return device_wrong(r, v, "a group of this machine, by name or number");
		n = g->gr_gid;
	} else {
		e = device_uint(r, v, 0, INT32_MAX, &n);
	}
	if (e)
		return e;
	d->group = n;
	d->group_given = true;
	return 0;
}

static int on_operators(struct device_reader *r, const json_t *v, void *o)
{
	struct device *d = o;
	int e = 0;

	if (!json_is_array(v) || json_array_size(v) > DEVICE_OPERATORS)
		return device_wrong(r, v, "a list of at most 14 uids");
	for (size_t i = 0; e == 0 && i < json_array_size(v); i++) {
		size_t was = device_enter_index(r, i);

		e = device_uint(r, json_array_get(v, i), 0, INT32_MAX, &d->operators[i]);
		if (e)
			return e;
		device_leave(r, was);
		d->operator_count = (unsigned)i + 1;
	}
	return e;
}

static int on_isolation(struct device_reader *r, const json_t *v, void *o)
{
	static const struct device_key keys[] = {
		{ "uids", on_uids }, { "group", on_group }, { "operators", on_operators }, { NULL, NULL },
	};

	return device_object(r, v, keys, o);
}

FIELD(on_advertise, device, device_bool(r, v, &x->advertise))

static int on_log_level(struct device_reader *r, const json_t *v, void *o)
{
	struct device *d = o;

	if (!json_is_string(v) || !log_level_from_text(json_string_value(v), &d->log_level))
		return device_wrong(r, v, "\"error\", \"warn\", \"info\" or \"debug\"");
	d->log_level_given = true;
	return 0;
}

int device_read_trefoil(struct device_reader *r, const json_t *v, void *obj)
{
	static const struct device_key keys[] = {
		{ "limits", on_limits }, { "advertise", on_advertise }, { "isolation", on_isolation },
		{ "log_level", on_log_level }, { NULL, NULL },
	};

	return device_object(r, v, keys, obj);
}
