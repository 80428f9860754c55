/* hostd/core/settings.c - configuration: live keys take effect at CONFIG_DONE, cold ones until the first of them. */
#include "hostd/core/host.h"
#include "wire/ad.h"

static struct settings *change(struct host *h) { return settings_edit(h->arena, the_settings(h)); }

static bool on_own_address(struct host *h, struct bytes value)
{
	struct config_own_address m;
	struct settings *s;

	if (!config_own_address_decode(value, &m))
		return false;
	if (the_radio(h)->configured) {		/* cold: what runs goes on as it is */
		count(h, COUNT_config_ignored);
		return true;
	}
	s = change(h);
	s->address_given = 1;
	s->address_type = m.type;
	memcpy(s->address, m.address, 6);
	return true;
}

/* What the operator switched on or off stays so until the file says something new. */
static bool on_advertising(struct host *h, struct bytes value)
{
	struct config_advertising m;
	struct settings *s;

	if (!config_advertising_decode(value, &m) || m.interval_min > m.interval_max)
		return false;
	s = change(h);
	if (m.enabled != s->file_advertise)
		s->advertise = s->file_advertise = m.enabled;
	if (m.interval_min != s->interval_min || m.interval_max != s->interval_max) {
		s->interval_min = m.interval_min;
		s->interval_max = m.interval_max;
		s->staged = 1;
	}
	return true;
}

static bool set_data(struct host *h, struct bytes value, bool scan)
{
	const struct settings *s = the_settings(h);
	struct bytes old = scan ? (struct bytes){ s->scan, s->scan_len } : (struct bytes){ s->data, s->data_len };
	struct settings *e;
	uint8_t *to;

	if (value.len > AD_LEGACY_MAX)
		return false;
	if (value.len == old.len && (!value.len || !memcmp(value.at, old.at, old.len)))
		return true;
	e = change(h);
	to = scan ? e->scan : e->data;
	memset(to, 0, AD_LEGACY_MAX);
	if (value.len)
		memcpy(to, value.at, value.len);
	*(scan ? &e->scan_len : &e->data_len) = (uint8_t)value.len;
	e->staged = 1;
	return true;
}

static bool on_done(struct host *h, struct bytes value)
{
	struct config_done m;

	if (!config_done_decode(value, &m))
		return false;
	if (the_settings(h)->staged) {
		change(h)->staged = 0;
		advertiser_change(h)->dirty = 1;
		advertiser_change(h)->blocked = 0;
	}
	radio_change(h)->configured = 1;
	radio_change(h)->todo = 1;
	return true;
}

void on_config(struct host *h, struct bytes payload)
{
	struct local_config m;
	bool known = local_config_decode(payload, &m);

	if (known)
		switch (m.key) {
		case CONFIG_DONE: known = on_done(h, m.value); break;
		case CONFIG_OWN_ADDRESS: known = on_own_address(h, m.value); break;
		case CONFIG_ADVERTISING: known = on_advertising(h, m.value); break;
		case CONFIG_ADVERTISING_DATA: known = set_data(h, m.value, false); break;
		case CONFIG_SCAN_RESPONSE: known = set_data(h, m.value, true); break;
		default: known = false;
		}
	if (!known)
		count(h, COUNT_records_bad);
}
