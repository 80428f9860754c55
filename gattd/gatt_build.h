/* gattd/gatt_build.h - from the services of a device file to attributes with handles, as gattd's core takes them.
 *
 *   GAP (0x1800: Device Name, Appearance) and GATT (0x1801: Service Changed) come first, where the file does not define them.
 *   A handle in the file ("trefoil.handle") is that of the service's declaration, of the characteristic's value (its
 *   declaration has the one before) or of the descriptor.  What has none follows what is before it in the file; a service in
 *   which nothing has one takes the lowest free range behind the service before it.  Gaps, and services in any order, are legal.
 *   A characteristic that notifies or indicates gets a Client Characteristic Configuration descriptor, one with extended
 *   properties the descriptor for them, behind its other descriptors, where the file has none.
 *
 * Refuses, with the key of the file: two attributes on one handle, a handle that leaves no room for what must be before it, an
 * attribute that falls into another service or characteristic, more than GATT_CCCDS_MAX configuration descriptors. */
#pragma once
#include "runtime/device.h"
#include "wire/wire.h"

enum { GATT_BUILT_OWN = 19 };		/* octets of the longest declaration */
struct gatt_attribute {
	struct config_attribute is;	/* value: borrowed from the device, or from `own` */
	uint8_t own[GATT_BUILT_OWN];
	uint8_t what;			/* enum gatt_what in gatt_place.h */
	bool owns;			/* the value is in `own` */
	int service, characteristic, descriptor;	/* where in the file; service < 0: ours */
};
struct gatt_database { struct gatt_attribute *at; unsigned count; };	/* in order of handles */

/* Build the database of `d`, which is borrowed as long as the result lives.
 *
 * @why  on failure: one line that names the key and what is wrong with it
 *
 * Returns 0 with *ret (the caller's: gatt_build_free); -EINVAL; -ENOMEM. */
int gatt_build(const struct device *d, struct gatt_database *ret, char *why, size_t why_cap);
void gatt_build_free(struct gatt_database *db);
