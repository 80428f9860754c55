/* runtime/device_gatt.c - gatt_services: services, characteristics, descriptors, and their "trefoil" keys. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/types.h"
#include "runtime/device_own.h"

/* The function of a key that is one field of its object. */
#define FIELD(name, type, call) \
static int name(struct device_reader *r, const json_t *v, void *o) { struct type *x = o; return call; }

/* ---- words: "READ,WRITE|NOTIFY" ---- */
struct flag { const char *name; uint8_t bit; };
static const struct flag properties[] = {
	{ "BROADCAST", PROPERTY_BROADCAST }, { "READ", PROPERTY_READ }, { "WRITE_WITHOUT_RESPONSE",
	    PROPERTY_WRITE_WITHOUT_RESPONSE },
	{ "WRITE", PROPERTY_WRITE }, { "NOTIFY", PROPERTY_NOTIFY }, { "INDICATE", PROPERTY_INDICATE },
	{ "AUTHENTICATED_SIGNED_WRITES", PROPERTY_SIGNED_WRITE }, { "EXTENDED_PROPERTIES", PROPERTY_EXTENDED }, { NULL, 0 },
};
static const struct flag permissions[] = {
	{ "READABLE", PERMISSION_READ }, { "WRITEABLE", PERMISSION_WRITE },
	{ "READ_REQUIRES_ENCRYPTION", PERMISSION_READ_ENCRYPTED }, { "WRITE_REQUIRES_ENCRYPTION", PERMISSION_WRITE_ENCRYPTED },
	{ "READ_REQUIRES_AUTHENTICATION", PERMISSION_READ_AUTHENTICATED },
	{ "WRITE_REQUIRES_AUTHENTICATION", PERMISSION_WRITE_AUTHENTICATED },
	{ "READ_REQUIRES_AUTHORIZATION", PERMISSION_READ_AUTHORIZED },
	{ "WRITE_REQUIRES_AUTHORIZATION", PERMISSION_WRITE_AUTHORIZED }, { NULL, 0 },
};

static int flag_find(const struct flag *table, const char *word, size_t len)
{
	for (; table->name; table++)
		if (strlen(table->name) == len && strncmp(table->name, word, len) == 0)
			return table->bit;
	return -1;
}

static int wrong_flags(struct device_reader *r, const json_t *v, const struct flag *table)
{
	char expected[320] = "words separated by commas, of";

	for (; table->name; table++)
		snprintf(expected + strlen(expected), sizeof expected - strlen(expected), " %s", table->name);
	return device_wrong(r, v, expected);
}

static int read_flags(struct device_reader *r, const json_t *v, const struct flag *table, uint8_t *ret)
{
	const char *at = json_string_value(v);
	uint8_t all = 0;

	if (at == NULL)
		return wrong_flags(r, v, table);
	for (;;) {
		size_t len = strcspn(at, ",|"), lead = strspn(at, " "), word = len > lead ? len - lead : 0;
		int bit;

		while (word && at[lead + word - 1] == ' ')
			word--;
		bit = flag_find(table, at + lead, word);
		if (bit < 0)
			return wrong_flags(r, v, table);
		all |= (uint8_t)bit;
		if (at[len] == '\0')
			break;
		at += len + 1;
	}
	*ret = all;
	return 0;
}

static int read_permissions(struct device_reader *r, const json_t *v, uint8_t *ret)
{
	uint32_t n;
	int e;

	if (!json_is_integer(v))
		return read_flags(r, v, permissions, ret);
	e = device_uint(r, v, 0, 0xFF, &n);
	if (e == 0)
		*ret = (uint8_t)n;
	return e;
}

/* ---- values ---- */
static int read_value(struct device_reader *r, const json_t *v, struct device_value *value)
{
	const char *text = json_string_value(v);
	uint8_t octets[DEVICE_VALUE_MAX], *copy;
	size_t len;

	if (text == NULL)
		return device_wrong(r, v, "text, or \"hex:\" and hex digits");
	if (strncmp(text, "hex:", 4) == 0) {
		int e = device_hex(r, v, text + 4, 0, sizeof octets, octets, &len);

		if (e)
			return e;
	} else {
		len = strlen(text);
		if (len > sizeof octets)
			return device_wrong(r, v, "at most 512 octets of text");
		memcpy(octets, text, len);
	}
	copy = malloc(len + 1);
	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, octets, len);
	free(value->at);
	value->at = copy;
	value->len = (uint16_t)len;
	return 0;
}

static int read_max(struct device_reader *r, const json_t *v, struct device_value *value)
{
	uint32_t n;
	int e = device_uint(r, v, 1, DEVICE_VALUE_MAX, &n);

	if (e)
		return e;
	value->max = (uint16_t)n;
	value->max_given = true;
	return 0;
}

/* max_length was not given: as long as a value may be where it can be written, else as it is. */
static int check_value(struct device_reader *r, struct device_value *value, bool writable)
{
	if (!value->max_given)
		value->max = writable ? DEVICE_VALUE_MAX : value->len;
	if (value->len <= value->max)
		return 0;
	device_enter(r, "trefoil");
	device_enter(r, "max_length");
	return device_wrong(r, NULL, "at least the length of the value");
}

/* ---- descriptors ---- */
FIELD(on_d_type, device_descriptor, device_uuid(r, v, &x->uuid))
FIELD(on_d_permissions, device_descriptor, read_permissions(r, v, &x->permissions))
static int on_d_permission(struct device_reader *r, const json_t *v, void *o)
{
	(void)o;
	return device_wrong(r, v, "the name \"permissions\" for this key");
}
FIELD(on_d_value, device_descriptor, read_value(r, v, &x->value))
FIELD(on_d_max, device_descriptor, read_max(r, v, &x->value))
FIELD(on_d_handle, device_descriptor, device_handle(r, v, &x->handle))
static int on_d_trefoil(struct device_reader *r, const json_t *v, void *o)
{
	static const struct device_key keys[] = {
		{ "value", on_d_value }, { "handle", on_d_handle }, { "max_length", on_d_max }, { NULL, NULL },
	};

	return device_object(r, v, keys, o);
}
static void prepare_descriptor(void *o) { ((struct device_descriptor *)o)->permissions = PERMISSION_READ; }
static int check_descriptor(struct device_reader *r, void *o)
{
	struct device_descriptor *d = o;

	if (d->uuid.len == 0)
		return device_missing(r, "descriptor_type", "a UUID: 4, 8 or 32 hex digits");
	return check_value(r, &d->value, d->permissions & PERMISSION_WRITE);
}

/* ---- characteristics ---- */
FIELD(on_c_uuid, device_characteristic, device_uuid(r, v, &x->uuid))
FIELD(on_c_properties, device_characteristic, read_flags(r, v, properties, &x->properties))
FIELD(on_c_permissions, device_characteristic, read_permissions(r, v, &x->permissions))
FIELD(on_c_value, device_characteristic, read_value(r, v, &x->value))
FIELD(on_c_max, device_characteristic, read_max(r, v, &x->value))
FIELD(on_c_handle, device_characteristic, device_handle(r, v, &x->handle))
/* Whom it names may come later in the file: looked for when all is read (device_resolve_echoes). */
static int on_c_echo(struct device_reader *r, const json_t *v, void *o)
{
	(void)o;
	if (!json_is_string(v) && !json_is_integer(v))
		return device_wrong(r, v, "the UUID (text) or the handle (number) of a characteristic");
	return 0;
}
static int on_c_trefoil(struct device_reader *r, const json_t *v, void *o)
{
	static const struct device_key keys[] = {
		{ "value", on_c_value }, { "handle", on_c_handle }, { "max_length", on_c_max }, { "echo", on_c_echo },
		    { NULL, NULL },
	};

	return device_object(r, v, keys, o);
}
static int on_c_descriptors(struct device_reader *r, const json_t *v, void *o)
{
	static const struct device_key keys[] = {
		{ "descriptor_type", on_d_type }, { "permissions", on_d_permissions }, { "permission", on_d_permission },
		{ "trefoil", on_d_trefoil }, { NULL, NULL },
	};
	static const struct device_list list = { keys, sizeof(struct device_descriptor), DEVICE_DESCRIPTORS_MAX,
	    prepare_descriptor, check_descriptor };
	struct device_characteristic *c = o;
	void *at = NULL;
	int e = device_array(r, v, &list, &at, &c->descriptor_count);

	c->descriptors = at;
	return e;
}
static void prepare_characteristic(void *o) { (void)o; }

static bool writable(const struct device_characteristic *c)
{
	return c->properties & (PROPERTY_WRITE | PROPERTY_WRITE_WITHOUT_RESPONSE | PROPERTY_SIGNED_WRITE);
}

static int check_characteristic(struct device_reader *r, void *o)
{
	struct device_characteristic *c = o;

	if (c->uuid.len == 0)
		return device_missing(r, "uuid", "a UUID: 4, 8 or 32 hex digits");
	if (c->properties == 0)
		return device_missing(r, "properties", "words like \"READ,NOTIFY\"");
	if (c->permissions == 0)
		c->permissions = (uint8_t)((c->properties & PROPERTY_READ ? PERMISSION_READ : 0) |
		    (writable(c) ? PERMISSION_WRITE : 0));
	return check_value(r, &c->value, writable(c));
}

/* ---- services ---- */
FIELD(on_s_uuid, device_service, device_uuid(r, v, &x->uuid))
FIELD(on_s_handle, device_service, device_handle(r, v, &x->handle))
FIELD(on_s_secondary, device_service, device_bool(r, v, &x->secondary))
static int on_s_trefoil(struct device_reader *r, const json_t *v, void *o)
{
	static const struct device_key keys[] = { { "handle", on_s_handle }, { "secondary", on_s_secondary }, { NULL, NULL } };

	return device_object(r, v, keys, o);
}
static int on_s_characteristics(struct device_reader *r, const json_t *v, void *o)
{
	static const struct device_key keys[] = {
		{ "uuid", on_c_uuid }, { "properties", on_c_properties }, { "permissions", on_c_permissions },
		{ "descriptors", on_c_descriptors }, { "trefoil", on_c_trefoil }, { NULL, NULL },
	};
	static const struct device_list list = { keys, sizeof(struct device_characteristic), DEVICE_CHARACTERISTICS_MAX,
	    prepare_characteristic, check_characteristic };
	struct device_service *s = o;
	void *at = NULL;
	int e = device_array(r, v, &list, &at, &s->characteristic_count);

	s->characteristics = at;
	return e;
}
static void prepare_service(void *o) { (void)o; }
static int check_service(struct device_reader *r, void *o)
{
	return ((struct device_service *)o)->uuid.len ? 0 : device_missing(r, "uuid", "a UUID: 4, 8 or 32 hex digits");
}

int device_read_services(struct device_reader *r, const json_t *v, void *obj)
{
	static const struct device_key keys[] = {
		{ "uuid", on_s_uuid }, { "characteristics", on_s_characteristics }, { "trefoil", on_s_trefoil }, { NULL, NULL },
	};
	static const struct device_list list = { keys, sizeof(struct device_service), DEVICE_SERVICES_MAX,
	    prepare_service, check_service };
	struct device *d = obj;
	void *at = NULL;
	int e = device_array(r, v, &list, &at, &d->service_count);

	d->services = at;
	return e;
}
