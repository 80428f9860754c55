/* runtime/device_own.h - inside of the device file's reader: device*.c only.
 *
 * An object is read by a table of its keys.  Each key's function checks the value and stores it; what it refuses goes through
 * device_wrong, which names file and path once and for all. */
#pragma once
#include <jansson.h>
#include "runtime/device.h"

struct device_reader {
	struct device *d;
	const char *file;
	char *why;			/* the first refusal stays */
	size_t why_cap;
	char path[192];			/* "gatt_services[0].uuid" */
	size_t path_len;
	uint16_t interval;		/* advertising_interval; 0: not given */
	bool interval_min, interval_max, advertising;	/* which keys were there */
};
struct device_key {
	const char *name;		/* NULL ends a table */
	int (*read)(struct device_reader *r, const json_t *v, void *obj);
};

/* Reads `v`, which must be an object, by `keys`; unknown ones are warnings.  0, -EINVAL, -ENOMEM. */
int device_object(struct device_reader *r, const json_t *v, const struct device_key *keys, void *obj);
/* Reads an array of at most `max` objects; *ret of `size` octets each, zeroed, `prepare`d, then read by `keys`. */
struct device_list {
	const struct device_key *keys;
	size_t size;
	unsigned max;
	void (*prepare)(void *obj);
	int (*check)(struct device_reader *r, void *obj);
};
int device_array(struct device_reader *r, const json_t *v, const struct device_list *how, void **ret, unsigned *ret_count);

/* Path: enter a key or an index, and leave again to what device_enter returned. */
size_t device_enter(struct device_reader *r, const char *key);
size_t device_enter_index(struct device_reader *r, size_t index);
void device_leave(struct device_reader *r, size_t to);

/* "FILE: PATH: expected EXPECTED, got VALUE"; v NULL: the value is not shown.  Returns -EINVAL. */
int device_wrong(struct device_reader *r, const json_t *v, const char *expected);
/* The same for a key that has to be there.  Returns -EINVAL. */
int device_missing(struct device_reader *r, const char *key, const char *expected);
/* A warning about the current path.  Returns 0, -ENOMEM. */
int device_warn(struct device_reader *r, const char *text);

/* Values; each 0 or -EINVAL by device_wrong. */
int device_bool(struct device_reader *r, const json_t *v, bool *ret);
int device_uint(struct device_reader *r, const json_t *v, uint32_t lo, uint32_t hi, uint32_t *ret);
int device_uuid(struct device_reader *r, const json_t *v, struct uuid *ret);
/* 1 .. 0xFFFF as a number or as "0x0025". */
int device_handle(struct device_reader *r, const json_t *v, uint16_t *ret);
/* Hex digits, blanks between octets allowed, lo .. hi octets. */
int device_hex(struct device_reader *r, const json_t *v, const char *text, size_t lo, size_t hi, uint8_t *ret, size_t *ret_len);
int device_text(struct device_reader *r, const json_t *v, char **ret);

/* device_top.c: the whole file.  device_gatt.c, device_echo.c, device_trefoil.c: parts of it. */
int device_read_top(struct device_reader *r, const json_t *root);
int device_read_services(struct device_reader *r, const json_t *v, void *obj);
int device_resolve_echoes(struct device_reader *r, const json_t *root);
int device_read_trefoil(struct device_reader *r, const json_t *v, void *obj);
