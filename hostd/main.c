/* hostd/main.c - hostd: the HCI host and L2CAP, between transportd and gattd.  This is its shell; the protocol is core/. */
#include <errno.h>
#include "hostd/advertised.h"
#include "hostd/core/host.h"
#include "runtime/device.h"
#include "runtime/program.h"

static int emit(struct config_sink *sink, uint8_t key, const struct wr *w)
{
	return wr_ok(w) ? config_emit(sink, key, (struct bytes){ w->start, wr_len(w) }) : -EMSGSIZE;
}

static int configure(const struct device *d, struct config_sink *sink)
{
	struct config_own_address address = { .type = d->address_type };
	struct config_advertising advertising = { d->advertise && d->le_enabled && d->connectable, d->advertising_min,
		d->advertising_max };
	uint8_t buf[32], scan[AD_LEGACY_MAX];
	struct wr w = wr_into(buf, sizeof buf);
	int r = 0;

	if (d->address_given) {
		memcpy(address.address, d->address, sizeof address.address);
		config_own_address_encode(&address, &w);
		r = emit(sink, CONFIG_OWN_ADDRESS, &w);
	}
	w = wr_into(buf, sizeof buf);
	config_advertising_encode(&advertising, &w);
	if (!r)
		r = emit(sink, CONFIG_ADVERTISING, &w);
	if (!r)
		r = config_emit(sink, CONFIG_ADVERTISING_DATA, (struct bytes){ d->advertising, d->advertising_len });
	if (!r)
		r = config_emit(sink, CONFIG_SCAN_RESPONSE, (struct bytes){ scan, advertised_scan_response(d, scan) });
	return r;
}

int main(int argc, char **argv)
{
	static const struct program hostd = {
		.name = "hostd",
		.core = &hostd_core,
		.up = "transportd",
		.down = "gattd",
		.hears_of = 1u << LINK_UP,
		.configure = configure,
	};

	return program_main(&hostd, argc, argv);
}
