/* runtime/device_top.c - the top of the device file: Bumble's keys, in the forms that its load_from_dict takes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/types.h"
#include "runtime/device_own.h"

/* Bumble takes null, "", 0 and so on for these keys as "not given". */
static bool is_absent(const json_t *v)
{
	return json_is_null(v) || json_is_false(v) || (json_is_string(v) && json_string_length(v) == 0) ||
	    (json_is_number(v) && json_number_value(v) == 0);
}

static int on_name(struct device_reader *r, const json_t *v, void *o)
{
	size_t len = json_is_string(v) ? json_string_length(v) : 0;

	if (len < 1 || len > DEVICE_NAME_MAX)
		return device_wrong(r, v, "text of 1 to 248 octets");
	return device_text(r, v, &((struct device *)o)->name);
}

/* Core 5.4, Vol 6, Part B, 1.3: static 11, resolvable 01, non-resolvable 00. */
static int check_random(struct device_reader *r, const struct device *d)
{
	if (d->address_type == ADDRESS_RANDOM && (d->address[5] & 0xC0) != 0xC0)
		return device_warn(r, "not a static random address (first octet C0 to FF): a controller may refuse it");
	return 0;
}

static int on_address(struct device_reader *r, const json_t *v, void *o)
{
	static const char expected[] = "an address like \"F0:F1:F2:F3:F4:F5\" (random) or \"00:11:22:33:44:55/P\" (public)";
	const char *text = json_string_value(v);
	struct device *d = o;
	char digits[13];
	uint8_t at[6];
	size_t len, n = 0, got;
	bool public;

	if (is_absent(v))
		return 0;
	len = text ? strlen(text) : 0;
	public = len > 2 && strcmp(text + len - 2, "/P") == 0;
	len -= public ? 2 : 0;
	if (len != 12 && len != 17)
		return device_wrong(r, v, expected);
	for (size_t i = 0; i < len; i++) {
		if (len == 17 && i % 3 == 2) {
			if (text[i] != ':')
				return device_wrong(r, v, expected);
			continue;
		}
		digits[n++] = text[i] == ' ' ? 'x' : text[i];
	}
	digits[n] = '\0';
	if (device_hex(r, v, digits, 6, 6, at, &got))
		return device_wrong(r, v, expected);
	if (memcmp(at, (uint8_t[6]){ 0 }, 6) == 0)	/* Bumble's "none" */
		return 0;
	for (size_t i = 0; i < 6; i++)
		d->address[i] = at[5 - i];
	d->address_given = true;
	d->address_type = public ? ADDRESS_PUBLIC : ADDRESS_RANDOM;
	return check_random(r, d);
}

static int on_class(struct device_reader *r, const json_t *v, void *o)
{
	return device_uint(r, v, 0, 0xFFFFFF, &((struct device *)o)->class_of_device);
}

/* Core 5.4, Vol 3, Part C, 11: length, type, data; a length of 0 ends them early. */
static int check_structures(struct device_reader *r, const uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len && at[i]; i += 1u + at[i])
		if (at[i] > len - i - 1)
			return device_warn(r, "its last structure is cut short: receivers may ignore it");
	return 0;
}

static int read_data(struct device_reader *r, const json_t *v, uint8_t at[DEVICE_ADVERTISING_MAX], uint8_t *ret_len)
{
	size_t len;
	int e = device_hex(r, v, json_string_value(v), 0, DEVICE_ADVERTISING_MAX, at, &len);

	if (e)
		return e;
	*ret_len = (uint8_t)len;
	return check_structures(r, at, len);
}

static int on_advertising_data(struct device_reader *r, const json_t *v, void *o)
{
	struct device *d = o;

	if (is_absent(v))
		return 0;
	r->advertising = true;
	return read_data(r, v, d->advertising, &d->advertising_len);
}

static int on_scan_response(struct device_reader *r, const json_t *v, void *o)
{
	struct device *d = o;

	return is_absent(v) ? 0 : read_data(r, v, d->scan_response, &d->scan_response_len);
}

/* Milliseconds, to units of 0.625 ms; Core 5.4, Vol 4, Part E, 7.8.5. */
static int read_interval(struct device_reader *r, const json_t *v, uint16_t *ret)
{
	double ms = json_is_number(v) ? json_number_value(v) : 0;

	if (!(ms >= 20 && ms <= 10240))
		return device_wrong(r, v, "milliseconds from 20 to 10240");
	*ret = (uint16_t)(ms / 0.625);
	return 0;
}

/* Applied when all keys are read: advertising_interval_min and _max win, wherever they stand. */
static int on_interval(struct device_reader *r, const json_t *v, void *o)
{
	(void)o;
	return is_absent(v) ? 0 : read_interval(r, v, &r->interval);
}

static int on_interval_min(struct device_reader *r, const json_t *v, void *o)
{
	r->interval_min = true;
	return read_interval(r, v, &((struct device *)o)->advertising_min);
}

static int on_interval_max(struct device_reader *r, const json_t *v, void *o)
{
	r->interval_max = true;
	return read_interval(r, v, &((struct device *)o)->advertising_max);
}

static int on_irk(struct device_reader *r, const json_t *v, void *o)
{
	struct device *d = o;
	size_t len;

	if (is_absent(v))
		return 0;
	if (!json_is_string(v) || device_hex(r, v, json_string_value(v), 16, 16, d->irk, &len)) {
		/* a key is not shown */
		snprintf(r->why, r->why_cap, "%s: %s: expected 16 octets in hex", r->file, r->path);
		return -EINVAL;
	}
	d->irk_given = true;
	return 0;
}

static int on_keystore(struct device_reader *r, const json_t *v, void *o)
{
	if (json_is_null(v))
		return 0;
	if (!json_is_string(v))
		return device_wrong(r, v, "text like \"JsonKeyStore:FILE\", or null");
	return device_text(r, v, &((struct device *)o)->keystore);
}

static int on_io_capability(struct device_reader *r, const json_t *v, void *o)
{
	uint32_t n;
	int e = device_uint(r, v, 0, 4, &n);

	if (e == 0)
		((struct device *)o)->io_capability = (uint8_t)n;
	return e;
}

#define KEEP_BOOL(key, field) \
static int on_##key(struct device_reader *r, const json_t *v, void *o) { return device_bool(r, v, &((struct device *)o)->field); }
KEEP_BOOL(le_enabled, le_enabled)
KEEP_BOOL(connectable, connectable)
KEEP_BOOL(discoverable, discoverable)
KEEP_BOOL(gap_service_enabled, gap_service)
KEEP_BOOL(gatt_service_enabled, gatt_service)

static int no_effect(struct device_reader *r) { return device_warn(r, "is known but has no effect yet"); }

static int on_classic_enabled(struct device_reader *r, const json_t *v, void *o)
{
	struct device *d = o;
	int e = device_bool(r, v, &d->classic_enabled);

	return e == 0 && d->classic_enabled ? no_effect(r) : e;
}

/* What asks for something that is not there yet is said; what asks for what is so anyway is not. */
static int on_later(struct device_reader *r, const json_t *v, void *o)
{
	bool asked = false;
	int e = device_bool(r, v, &asked);

	(void)o;
	return e == 0 && asked ? no_effect(r) : e;
}

/* Of no consequence while BR/EDR is off: checked, and that is all. */
static int on_moot(struct device_reader *r, const json_t *v, void *o)
{
	bool asked;

	(void)o;
	return device_bool(r, v, &asked);
}

static int on_rpa_timeout(struct device_reader *r, const json_t *v, void *o)
{
	uint32_t seconds;

	(void)o;
	return device_uint(r, v, 0, 3600, &seconds);	/* Core 5.4, Vol 4, Part E, 7.8.45 */
}

static int on_identity_type(struct device_reader *r, const json_t *v, void *o)
{
	uint32_t type;

	(void)o;
	return json_is_null(v) ? 0 : device_uint(r, v, 0, 1, &type);
}

static int on_l2cap_features(struct device_reader *r, const json_t *v, void *o)
{
	(void)o;
	if (!json_is_array(v))
		return device_wrong(r, v, "a list of numbers");
	for (size_t i = 0; i < json_array_size(v); i++) {
		size_t was = device_enter_index(r, i);
		uint32_t mask;
		int e = device_uint(r, json_array_get(v, i), 0, UINT32_MAX, &mask);

		if (e)
			return e;
		device_leave(r, was);
	}
	return 0;
}

static const struct device_key keys[] = {
	{ "name", on_name }, { "address", on_address }, { "class_of_device", on_class },
	{ "advertising_data", on_advertising_data }, { "scan_response_data", on_scan_response },
	{ "advertising_interval", on_interval }, { "advertising_interval_min", on_interval_min },
	{ "advertising_interval_max", on_interval_max },
	{ "le_enabled", on_le_enabled }, { "classic_enabled", on_classic_enabled },
	{ "connectable", on_connectable }, { "discoverable", on_discoverable },
	{ "gap_service_enabled", on_gap_service_enabled }, { "gatt_service_enabled", on_gatt_service_enabled },
	{ "irk", on_irk }, { "keystore", on_keystore }, { "io_capability", on_io_capability },
	{ "identity_address_type", on_identity_type },
	{ "le_simultaneous_enabled", on_moot }, { "le_privacy_enabled", on_later }, { "le_rpa_timeout", on_rpa_timeout },
	{ "le_subrate_enabled", on_later }, { "le_shorter_connection_intervals_enabled", on_later },
	{ "classic_sc_enabled", on_moot }, { "classic_ssp_enabled", on_moot }, { "classic_smp_enabled", on_moot },
	{ "classic_accept_any", on_moot }, { "classic_interlaced_scan_enabled", on_moot },
	{ "address_resolution_offload", on_later }, { "address_generation_offload", on_later },
	{ "cis_enabled", on_later }, { "channel_sounding_enabled", on_later }, { "enhanced_retransmission_supported", on_later },
	{ "l2cap_extended_features", on_l2cap_features }, { "eatt_enabled", on_later }, { "smp_debug_mode", on_later },
	{ "gatt_services", device_read_services }, { "trefoil", device_read_trefoil }, { NULL, NULL },
};

static int check_intervals(struct device_reader *r)
{
	struct device *d = r->d;

	if (r->interval && (r->interval_min || r->interval_max)) {
		size_t was = device_enter(r, "advertising_interval");
		int e = device_warn(r, "gives way to advertising_interval_min and _max");

		device_leave(r, was);
		if (e)
			return e;
	}
	if (!r->interval_min)
		d->advertising_min = (uint16_t)(r->interval ? r->interval : MIN(d->advertising_min, d->advertising_max));
	if (!r->interval_max)
		d->advertising_max = (uint16_t)(r->interval ? r->interval : MAX(d->advertising_min, d->advertising_max));
	if (d->advertising_min <= d->advertising_max)
		return 0;
	device_enter(r, r->interval_max ? "advertising_interval_max" : "advertising_interval_min");
	return device_wrong(r, NULL, "a least interval that is not above the most");
}

int device_read_top(struct device_reader *r, const json_t *root)
{
	int e = device_object(r, root, keys, r->d);

	if (e == 0)
		e = check_intervals(r);
	return e ? e : device_resolve_echoes(r, root);
}
