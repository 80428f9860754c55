/* runtime/device_hash.c - which device files mean the same to a running arena. */
#include <string.h>
#include "runtime/device.h"

/* FNV-1a over canonical octets: numbers in 8, everything of varying length behind its length. */
static uint64_t mix(uint64_t h, const void *at, size_t len)
{
	const uint8_t *p = at;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001B3u;
	return h;
}

static uint64_t mix_number(uint64_t h, uint64_t v)
{
	uint8_t t[8];

	for (unsigned i = 0; i < 8; i++)
		t[i] = (uint8_t)(v >> 8 * i);
	return mix(h, t, sizeof t);
}

static uint64_t mix_octets(uint64_t h, const void *at, size_t len) { return mix(mix_number(h, len), at, len); }
static uint64_t mix_text(uint64_t h, const char *s) { return s ? mix_octets(h, s, strlen(s)) : mix_number(h, UINT64_MAX); }
static uint64_t mix_uuid(uint64_t h, const struct uuid *u) { return mix_octets(h, u->at, u->len); }
static uint64_t mix_value(uint64_t h, const struct device_value *v) { return mix_number(mix_octets(h, v->at, v->len), v->max); }

static uint64_t mix_characteristic(uint64_t h, const struct device_characteristic *c)
{
	h = mix_number(mix_uuid(h, &c->uuid), c->handle);
	h = mix_number(mix_number(h, c->properties), c->permissions);
	h = mix_value(h, &c->value);
	h = mix_number(h, c->echoes ? 1 + c->echo_service + ((uint64_t)c->echo_characteristic << 32) : 0);
	h = mix_number(h, c->descriptor_count);
	for (unsigned i = 0; i < c->descriptor_count; i++) {
		const struct device_descriptor *d = &c->descriptors[i];

		h = mix_number(mix_number(mix_uuid(h, &d->uuid), d->handle), d->permissions);
		h = mix_value(h, &d->value);
	}
	return h;
}

uint64_t device_cold_hash(const struct device *d)
{
	uint64_t h = 0xCBF29CE484222325u;

	h = mix_text(h, d->name);
	h = mix_octets(mix_number(h, d->address_given), d->address, sizeof d->address);
	h = mix_number(mix_number(h, d->address_type), d->class_of_device);
	h = mix_number(mix_number(mix_number(h, d->le_enabled), d->classic_enabled), d->connectable);
	h = mix_number(mix_number(mix_number(h, d->discoverable), d->gap_service), d->gatt_service);
	h = mix_number(mix_number(h, d->io_capability), d->irk_given);
	h = mix_text(mix_octets(h, d->irk, sizeof d->irk), d->keystore);
	h = mix_number(mix_number(h, d->connections), d->mtu);
	h = mix_number(mix_number(mix_number(h, d->uid.transportd), d->uid.hostd), d->uid.gattd);
	h = mix_number(h, d->service_count);
	for (unsigned s = 0; s < d->service_count; s++) {
		const struct device_service *service = &d->services[s];

		h = mix_number(mix_number(mix_uuid(h, &service->uuid), service->handle), service->secondary);
		h = mix_number(h, service->characteristic_count);
		for (unsigned c = 0; c < service->characteristic_count; c++)
			h = mix_characteristic(h, &service->characteristics[c]);
	}
	return h;
}

static bool octets_differ(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	return a_len != b_len || memcmp(a, b, a_len) != 0;
}

bool device_live_differs(const struct device *a, const struct device *b)
{
	return octets_differ(a->advertising, a->advertising_len, b->advertising, b->advertising_len) ||
	    octets_differ(a->scan_response, a->scan_response_len, b->scan_response, b->scan_response_len) ||
	    a->advertising_min != b->advertising_min || a->advertising_max != b->advertising_max ||
	    a->advertise != b->advertise || a->log_level != b->log_level || a->group_given != b->group_given || a->group != b->group ||
	    octets_differ((const uint8_t *)a->operators, a->operator_count * sizeof *a->operators,
	    (const uint8_t *)b->operators, b->operator_count * sizeof *b->operators);
}
