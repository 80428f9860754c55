/* gattd/gatt_place.h - which handle each attribute gets; inside of gatt_build. */
#pragma once
#include "gattd/core/gatt.h"
#include "gattd/gatt_build.h"

enum gatt_what { WHAT_SERVICE, WHAT_DECLARATION, WHAT_VALUE, WHAT_DESCRIPTOR };
enum { OUR_GAP = -2, OUR_GATT = -1 };		/* services that are not from the file */

/* Give every attribute a handle and the last handle of its group, and sort by handles.  Before: in file order, a service's
 * together, handles of the file in `is.handle`, others 0.  Returns 0, or -EINVAL with the reason. */
int gatt_place(struct gatt_database *db, char *why, size_t why_cap);

/* "gatt_services[1].characteristics[0].trefoil.handle: " and the rest into why; returns -EINVAL. */
__attribute__((format(printf, 4, 5)))
int gatt_complain(const struct gatt_attribute *a, char *why, size_t why_cap, const char *fmt, ...);
