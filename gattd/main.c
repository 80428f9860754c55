/* gattd/main.c - gattd: ATT and GATT, between hostd and the services.  This is its shell; the protocol is core/. */
#include <errno.h>
#include "gattd/core/gatt.h"
#include "gattd/gatt_build.h"
#include "runtime/log.h"
#include "runtime/program.h"

enum { ATTRIBUTE_RECORD = 64 + DEVICE_VALUE_MAX };

static int emit_attribute(struct config_sink *sink, const struct config_attribute *a)
{
	uint8_t buf[ATTRIBUTE_RECORD];
	struct wr w = wr_into(buf, sizeof buf);

	config_attribute_encode(a, &w);
	return wr_ok(&w) ? config_emit(sink, CONFIG_ATTRIBUTE, (struct bytes){ buf, wr_len(&w) }) : -EMSGSIZE;
}

static int configure(const struct device *d, struct config_sink *sink)
{
	struct gatt_database db;
	uint8_t buf[2];
	struct wr w = wr_into(buf, sizeof buf);
	char why[512];
	int r = gatt_build(d, &db, why, sizeof why);

	if (r) {
		log_error("device file", LOG_STR("file", d->file), LOG_WHY(r == -EINVAL ? why : "out of memory"));
		return r;
	}
	config_att_server_encode(&(struct config_att_server){ d->mtu }, &w);
	r = config_emit(sink, CONFIG_ATT_SERVER, (struct bytes){ buf, wr_len(&w) });
	for (unsigned i = 0; !r && i < db.count; i++)
		r = emit_attribute(sink, &db.at[i].is);
	gatt_build_free(&db);
	return r;
}

int main(int argc, char **argv)
{
	static const struct program gattd = {
		.name = "gattd",
		.core = &gatt_core,
		.up = "hostd",
		.configure = configure,
	};

	return program_main(&gattd, argc, argv);
}
