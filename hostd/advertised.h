/* hostd/advertised.h - what scanners are told beyond the device file's advertising data. */
#pragma once
#include <stdint.h>
#include "wire/ad.h"

struct device;

/* The scan response: the file's; else, where the advertising data has the name only shortened, as much of it as fits.
 *
 * @ret  AD_LEGACY_MAX octets
 *
 * Returns how many are used. */
uint8_t advertised_scan_response(const struct device *d, uint8_t ret[AD_LEGACY_MAX]);
