/* wire/ad.h - advertising data and scan response data, Core 5.4 Vol 3 Part C 11: a row of AD structures.
 *
 *   | length 8 | type 8 | data, length - 1 octets | length | type | data | ... | 00 00 ...
 *
 * A length of 0 ends the significant part; the rest is padding. */
#pragma once
#include "base/bytes.h"

enum ad_type {					/* Assigned Numbers 2.3 */
	AD_FLAGS = 0x01,
	AD_INCOMPLETE_UUID16 = 0x02, AD_COMPLETE_UUID16 = 0x03,
	AD_INCOMPLETE_UUID32 = 0x04, AD_COMPLETE_UUID32 = 0x05,
	AD_INCOMPLETE_UUID128 = 0x06, AD_COMPLETE_UUID128 = 0x07,
	AD_SHORTENED_LOCAL_NAME = 0x08, AD_COMPLETE_LOCAL_NAME = 0x09,
	AD_TX_POWER_LEVEL = 0x0A,
	AD_CLASS_OF_DEVICE = 0x0D,
	AD_CONNECTION_INTERVAL_RANGE = 0x12,
	AD_SERVICE_DATA_UUID16 = 0x16,
	AD_APPEARANCE = 0x19,
	AD_SERVICE_DATA_UUID32 = 0x20, AD_SERVICE_DATA_UUID128 = 0x21,
	AD_MANUFACTURER_SPECIFIC_DATA = 0xFF,
};

enum ad_flag {					/* Supplement, Part A 1.3 */
	AD_FLAG_LE_LIMITED_DISCOVERABLE = 0x01,
	AD_FLAG_LE_GENERAL_DISCOVERABLE = 0x02,
	AD_FLAG_BR_EDR_NOT_SUPPORTED = 0x04,
};

enum { AD_LEGACY_MAX = 31 };			/* octets of advertising data and of scan response data */

struct ad { uint8_t type; struct bytes data; };

/* The next structure of what r reads; false at the end.  r->bad then tells that the last one was cut: what came before stands.
 * A structure that says more than is left is never handed out. */
bool ad_next(struct rd *r, struct ad *ret);

/* The data of the first structure of that type.  Returns false if there is none before the end or a cut structure. */
bool ad_find(struct bytes data, uint8_t type, struct bytes *ret);

/* Appends one structure whole, or nothing: returns false, and w stays good, if it does not fit or data is longer than 254. */
bool ad_add(struct wr *w, uint8_t type, struct bytes data);

/* Is this a row of whole AD structures, at most AD_LEGACY_MAX octets?  What follows a length of 0 must be 0. */
bool ad_valid_legacy(struct bytes data);
