/* runtime/device_echo.c - "echo": what is written to one characteristic is set on, and notified by, another.
 *
 * Done when all services are read: the other one may come later in the file. */
#include <errno.h>
#include "base/types.h"
#include "runtime/device_own.h"

struct target { unsigned service, characteristic, found; };

static bool named_by(const json_t *v, const struct uuid *uuid, const struct device_characteristic *c)
{
	return json_is_string(v) ? uuid_equal(&c->uuid, uuid) : c->handle && c->handle == json_integer_value(v);
}

static struct target target_find(const struct device *d, const json_t *v, const struct uuid *uuid)
{
	struct target t = { 0 };

	for (unsigned s = 0; s < d->service_count; s++)
		for (unsigned c = 0; c < d->services[s].characteristic_count; c++)
			if (named_by(v, uuid, &d->services[s].characteristics[c])) {
				t.service = s;
				t.characteristic = c;
				t.found++;
			}
	return t;
}

static int resolve(struct device_reader *r, const json_t *v, struct device_characteristic *c)
{
	struct device_characteristic *to;
	struct uuid uuid = { 0 };
	struct target t;
	int e = json_is_string(v) ? device_uuid(r, v, &uuid) : 0;

	if (e)
		return e;
	t = target_find(r->d, v, &uuid);
	if (t.found == 0)
		return device_wrong(r, v, json_is_string(v) ? "the UUID of a characteristic in this file" :
		    "a handle that a characteristic in this file is given by its trefoil.handle");
	if (t.found > 1)
		return device_wrong(r, v, json_is_string(v) ? "a UUID that only one characteristic has (else: its handle)" :
		    "a handle that only one characteristic has");
	to = &r->d->services[t.service].characteristics[t.characteristic];
	if (!(c->properties & (PROPERTY_WRITE | PROPERTY_WRITE_WITHOUT_RESPONSE)))
		return device_wrong(r, v, "no echo, or WRITE or WRITE_WITHOUT_RESPONSE among the properties");
	if (!(to->properties & (PROPERTY_NOTIFY | PROPERTY_INDICATE)))
		return device_wrong(r, v, "a characteristic with NOTIFY or INDICATE");
	if (!to->value.max_given)	/* peers may not write it, but the echo does */
		to->value.max = DEVICE_VALUE_MAX;
	c->echoes = true;
	c->echo_service = t.service;
	c->echo_characteristic = t.characteristic;
	return 0;
}

/* The source takes what the target can hold: without a max_length of its own it has the target's.  > 0: it was made shorter. */
static int fit(struct device_reader *r, const json_t *v, struct device_characteristic *c)
{
	const struct device_characteristic *to = &r->d->services[c->echo_service].characteristics[c->echo_characteristic];

	if (c->value.max <= to->value.max)
		return 0;
	if (c->value.max_given || c->value.len > to->value.max)
		return device_wrong(r, v, "a characteristic whose max_length is not below this one's");
	c->value.max = to->value.max;
	return 1;
}

static int each_echo(struct device_reader *r, const json_t *root,
    int (*what)(struct device_reader *r, const json_t *v, struct device_characteristic *c))
{
	const json_t *services = json_object_get(root, "gatt_services");
	int shorter = 0;

	for (unsigned s = 0; s < r->d->service_count; s++)
		for (unsigned c = 0; c < r->d->services[s].characteristic_count; c++) {
			const json_t *list = json_object_get(json_array_get(services, s), "characteristics");
			const json_t *v = json_object_get(json_object_get(json_array_get(list, c), "trefoil"), "echo");
			int e;

			device_leave(r, 0);
			if (v == NULL)
				continue;
			device_enter(r, "gatt_services");
			device_enter_index(r, s);
			device_enter(r, "characteristics");
			device_enter_index(r, c);
			device_enter(r, "trefoil");
			device_enter(r, "echo");
			e = what(r, v, &r->d->services[s].characteristics[c]);
			if (e < 0)
				return e;
			shorter |= e;
		}
	device_leave(r, 0);
	return shorter;
}

int device_resolve_echoes(struct device_reader *r, const json_t *root)
{
	int e = each_echo(r, root, resolve);

	if (e == 0)	/* an echo of an echo: what became shorter is somebody's target; it ends, as nothing grows */
		do
			e = each_echo(r, root, fit);
		while (e > 0);
	return e;
}
