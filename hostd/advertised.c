/* hostd/advertised.c - the scan response. */
#include <string.h>
#include "hostd/advertised.h"
#include "runtime/device.h"

uint8_t advertised_scan_response(const struct device *d, uint8_t ret[AD_LEGACY_MAX])
{
	struct bytes data = { d->advertising, d->advertising_len }, name;
	struct wr w = wr_into(ret, AD_LEGACY_MAX);
	size_t len = strlen(d->name), n = len < AD_LEGACY_MAX - 2 ? len : AD_LEGACY_MAX - 2;

	if (d->scan_response_len)
		wr_bytes(&w, (struct bytes){ d->scan_response, d->scan_response_len });
	if (d->scan_response_len || !ad_find(data, AD_SHORTENED_LOCAL_NAME, &name))
		return (uint8_t)wr_len(&w);
	while (n < len && n && ((uint8_t)d->name[n] & 0xC0) == 0x80)	/* not within a character */
		n--;
	ad_add(&w, n < len ? AD_SHORTENED_LOCAL_NAME : AD_COMPLETE_LOCAL_NAME, (struct bytes){ (const uint8_t *)d->name, n });
	return (uint8_t)wr_len(&w);
}
