/* gattd/gatt_build.c - services to attributes: what there is, where it lies, what it says.  The places: gatt_place.c. */
#include <errno.h>
#include <stdlib.h>
#include "base/types.h"
#include "gattd/gatt_place.h"

enum { SERVICE_GAP = 0x1800, SERVICE_GATT = 0x1801, TYPE_DEVICE_NAME = 0x2A00, TYPE_APPEARANCE = 0x2A01,
       TYPE_SERVICE_CHANGED = 0x2A05, TYPE_EXTENDED_PROPERTIES = 0x2900, TYPE_CCCD = 0x2902 };

static struct gatt_attribute *add(struct gatt_database *db, enum gatt_what what, int service, int characteristic)
{
	struct gatt_attribute *a = &db->at[db->count++];

	a->what = (uint8_t)what;
	a->service = service;
	a->characteristic = characteristic;
	a->descriptor = -1;
	return a;
}

static void set_type(struct gatt_attribute *a, const struct uuid *uuid)
{
	struct uuid type = uuid_att(uuid);

	a->is.type_len = type.len;
	memcpy(a->is.type, type.at, sizeof a->is.type);
}
static void set_type_16(struct gatt_attribute *a, uint16_t type)
{
	struct uuid uuid = uuid_16(type);

	set_type(a, &uuid);
}
static void set_own(struct gatt_attribute *a, const void *at, size_t len)
{
	memcpy(a->own, at, len);
	a->owns = true;
	a->is.value = (struct bytes){ a->own, len };
	a->is.value_max = (uint16_t)len;
}
static void set_value(struct gatt_attribute *a, const struct device_value *v)
{
	a->is.value = (struct bytes){ v->at, v->len };
	a->is.value_max = v->max;
}

static void add_service(struct gatt_database *db, int index, const struct device_service *s)
{
	struct gatt_attribute *a = add(db, WHAT_SERVICE, index, -1);
	struct uuid uuid = uuid_att(&s->uuid);

	set_type_16(a, s->secondary ? GATT_TYPE_SECONDARY_SERVICE : GATT_TYPE_PRIMARY_SERVICE);
	a->is.kind = ATTRIBUTE_SERVICE;
	a->is.permissions = GATT_READABLE;
	a->is.handle = s->handle;
	set_own(a, uuid.at, uuid.len);
}

static void add_cccd(struct gatt_database *db, int service, int index, const struct device_characteristic *c)
{
	struct gatt_attribute *a = add(db, WHAT_DESCRIPTOR, service, index);

	set_type_16(a, TYPE_CCCD);
	a->is.kind = ATTRIBUTE_CCCD;
	a->is.properties = c->properties;
	a->is.permissions = GATT_READABLE | GATT_WRITEABLE;
	a->is.value_max = 2;
}

/* Returns whether it is the descriptor of that type. */
static bool add_descriptor(struct gatt_database *db, int service, int index, const struct device_characteristic *c, unsigned n)
{
	const struct device_descriptor *d = &c->descriptors[n];
	struct gatt_attribute *a;
	bool cccd = uuid_is_16(&d->uuid, TYPE_CCCD);

	if (cccd) {
		add_cccd(db, service, index, c);
		a = &db->at[db->count - 1];
		if (d->permissions)
			a->is.permissions = d->permissions;
	} else {
		a = add(db, WHAT_DESCRIPTOR, service, index);
		set_type(a, &d->uuid);
		a->is.kind = ATTRIBUTE_PLAIN;
		a->is.permissions = d->permissions;
		set_value(a, &d->value);
	}
	a->is.handle = d->handle;
	a->descriptor = (int)n;
	return cccd;
}

static void add_characteristic(struct gatt_database *db, int service, int index, const struct device_characteristic *c)
{
	static const uint8_t no_extension[2];
	struct gatt_attribute *a = add(db, WHAT_DECLARATION, service, index);
	struct uuid uuid = uuid_att(&c->uuid);
	bool cccd = false, extended = false;

	set_type_16(a, GATT_TYPE_CHARACTERISTIC);
	a->is.kind = ATTRIBUTE_CHARACTERISTIC;
	a->is.permissions = GATT_READABLE;
	a->own[0] = c->properties;
	memcpy(a->own + 3, uuid.at, uuid.len);		/* between them the value's handle, when it is known */
	a->owns = true;
	a->is.value = (struct bytes){ a->own, 3u + uuid.len };
	a->is.value_max = (uint16_t)a->is.value.len;

	a = add(db, WHAT_VALUE, service, index);
	set_type(a, &c->uuid);
	a->is.kind = ATTRIBUTE_VALUE;
	a->is.properties = c->properties;
	a->is.permissions = c->permissions;
	a->is.handle = c->handle;
	set_value(a, &c->value);

	for (unsigned n = 0; n < c->descriptor_count; n++) {
		cccd |= add_descriptor(db, service, index, c, n);
		extended |= uuid_is_16(&c->descriptors[n].uuid, TYPE_EXTENDED_PROPERTIES);
	}
	if (c->properties & PROPERTY_EXTENDED && !extended) {
		a = add(db, WHAT_DESCRIPTOR, service, index);
		set_type_16(a, TYPE_EXTENDED_PROPERTIES);
		a->is.permissions = GATT_READABLE;
		set_own(a, no_extension, sizeof no_extension);
	}
	if (c->properties & (PROPERTY_NOTIFY | PROPERTY_INDICATE) && !cccd)
		add_cccd(db, service, index, c);
}

static void add_all(struct gatt_database *db, int index, const struct device_service *s)
{
	add_service(db, index, s);
	for (unsigned c = 0; c < s->characteristic_count; c++)
		add_characteristic(db, index, (int)c, &s->characteristics[c]);
}

static bool defines(const struct device *d, uint16_t uuid)
{
	for (unsigned s = 0; s < d->service_count; s++)
		if (uuid_is_16(&d->services[s].uuid, uuid))
			return true;
	return false;
}

/* Part C, 12.1 and 12.2; Part G, 7.1.  Only values outlive this: they point into the device, or into statics. */
static void add_ours(struct gatt_database *db, const struct device *d)
{
	static uint8_t unknown[2];			/* appearance: not told; no range of handles has changed yet */
	static uint8_t everything[4] = { 0x01, 0x00, 0xFF, 0xFF };
	struct device_characteristic gap[] = {
		{ .uuid = uuid_16(TYPE_DEVICE_NAME), .properties = PROPERTY_READ, .permissions = PERMISSION_READ,
		  .value = { .at = (uint8_t *)d->name, .len = (uint16_t)strlen(d->name), .max = DEVICE_NAME_MAX } },
		{ .uuid = uuid_16(TYPE_APPEARANCE), .properties = PROPERTY_READ, .permissions = PERMISSION_READ,
		  .value = { .at = unknown, .len = sizeof unknown, .max = sizeof unknown } },
	};
	struct device_characteristic gatt[] = {
		{ .uuid = uuid_16(TYPE_SERVICE_CHANGED), .properties = PROPERTY_INDICATE,
		  .value = { .at = everything, .len = sizeof everything, .max = sizeof everything } },
	};
	struct device_service service = { .uuid = uuid_16(SERVICE_GAP), .characteristics = gap, .characteristic_count = 2 };

	if (d->gap_service && !defines(d, SERVICE_GAP))
		add_all(db, OUR_GAP, &service);
	service = (struct device_service){ .uuid = uuid_16(SERVICE_GATT), .characteristics = gatt, .characteristic_count = 1 };
	if (d->gatt_service && !defines(d, SERVICE_GATT))
		add_all(db, OUR_GATT, &service);
}

static struct gatt_attribute *value_of(struct gatt_database *db, int service, int characteristic)
{
	for (unsigned i = 0; i < db->count; i++)
		if (db->at[i].what == WHAT_VALUE && db->at[i].service == service && db->at[i].characteristic == characteristic)
			return &db->at[i];
	return NULL;
}

/* What needs handles to be known: declarations, echoes, and which bits a value shares with its CCCD. */
static int bind(const struct device *d, struct gatt_database *db, char *why, size_t cap)
{
	struct gatt_attribute *value = NULL;
	uint16_t cccds = 0;

	for (unsigned i = 0; i < db->count; i++) {
		struct gatt_attribute *a = &db->at[i];

		if (a->what == WHAT_DECLARATION) {		/* the value is next: gatt_place saw to it */
			value = &db->at[i + 1];
			a->own[1] = (uint8_t)value->is.handle;
			a->own[2] = (uint8_t)(value->is.handle >> 8);
		}
		if (a->is.kind == ATTRIBUTE_CCCD && value) {
			if (++cccds > GATT_CCCDS_MAX)
				return gatt_complain(a, why, cap, "one configuration descriptor more than the %d there may be", GATT_CCCDS_MAX);
			a->is.cccd = value->is.cccd = cccds;
		}
		if (a->what == WHAT_VALUE && a->service >= 0) {
			const struct device_characteristic *c = &d->services[a->service].characteristics[a->characteristic];

			if (c->echoes)
				a->is.echo = value_of(db, (int)c->echo_service, (int)c->echo_characteristic)->is.handle;
		}
	}
	return 0;
}

int gatt_build(const struct device *d, struct gatt_database *ret, char *why, size_t why_cap)
{
	struct gatt_database db = { calloc(device_attributes(d), sizeof *db.at), 0 };
	int r;

	if (!db.at)
		return -ENOMEM;
	add_ours(&db, d);
	for (unsigned s = 0; s < d->service_count; s++)
		add_all(&db, (int)s, &d->services[s]);
	r = gatt_place(&db, why, why_cap);
	if (!r)
		r = bind(d, &db, why, why_cap);
	if (r) {
		gatt_build_free(&db);
		return r;
	}
	*ret = db;
	return 0;
}

void gatt_build_free(struct gatt_database *db)
{
	free(db->at);
	*db = (struct gatt_database){ 0 };
}
