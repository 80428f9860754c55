/* runtime/device.h - the device file (`--config`): JSON with the keys of Bumble's DeviceConfiguration, ours under "trefoil".
 *
 *   {
 *     "name": "Thermometer", "address": "F0:F1:F2:F3:F4:F5", "advertising_interval": 100,
 *     "gatt_services": [ { "uuid": "181A", "characteristics": [
 *         { "uuid": "2A6E", "properties": "READ,NOTIFY", "permissions": "READABLE", "trefoil": { "value": "hex:F609" } } ] } ],
 *     "trefoil": { "limits": { "connections": 8, "mtu": 517 }, "advertise": true }
 *   }
 *
 * Keys of Bumble that mean something for what does not exist yet are checked and kept or ignored, never warned about.
 * An unknown key is a warning that names it.  A wrong value is an error that names file, key and what was expected.
 *
 * Live keys take effect by a reload (SIGHUP, or a Configuration frame):
 *   advertising_data, scan_response_data, advertising_interval (_min, _max), trefoil.advertise
 *   trefoil.isolation.group, .operators   who is connected and no longer allowed loses its link
 *   trefoil.log_level                     the supervisors at once, a worker from its next start on
 * All others are cold: device_cold_hash() changes with them, a reload names them in a warning, and what was in force stays so
 * until a cold start: trefoil.isolation.uids, too.
 *
 * Guarantees: a struct device is whole and in range: text is UTF-8, UUIDs are 16 or 128 bits, an echo leads to a characteristic.
 * Not checked here: collisions and order of handles (the builder of the database in gattd). */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/bytes.h"
#include "runtime/log.h"
#include "shm/arena.h"
#include "wire/uuid.h"

enum {
	DEVICE_CONNECTIONS_DEFAULT = 8, DEVICE_CONNECTIONS_MAX = 256,
	DEVICE_MTU_DEFAULT = 517, DEVICE_MTU_MIN = 23, DEVICE_MTU_MAX = 517,
	DEVICE_VALUE_MAX = 512,			/* Core 5.4, Vol 3, Part F, 3.2.9 */
	DEVICE_NAME_MAX = 248,			/* Core 5.4, Vol 3, Part C, 12.1 */
	DEVICE_ADVERTISING_MAX = 31,		/* Core 5.4, Vol 4, Part E, 7.8.7 */
	DEVICE_SERVICES_MAX = 256, DEVICE_CHARACTERISTICS_MAX = 1024, DEVICE_DESCRIPTORS_MAX = 64,
	DEVICE_UID_TRANSPORTD = 61801, DEVICE_UID_HOSTD = 61802, DEVICE_UID_GATTD = 61803,
	DEVICE_OPERATORS = 14, DEVICE_WARNINGS = 32,
};

/* Core 5.4, Vol 3, Part G, 3.3.1.1: characteristic properties, as on the wire. */
enum {
	PROPERTY_BROADCAST = 0x01, PROPERTY_READ = 0x02, PROPERTY_WRITE_WITHOUT_RESPONSE = 0x04, PROPERTY_WRITE = 0x08,
	PROPERTY_NOTIFY = 0x10, PROPERTY_INDICATE = 0x20, PROPERTY_SIGNED_WRITE = 0x40, PROPERTY_EXTENDED = 0x80,
};
/* Permissions, with Bumble's numbers. */
enum {
	PERMISSION_READ = 0x01, PERMISSION_WRITE = 0x02, PERMISSION_READ_ENCRYPTED = 0x04, PERMISSION_WRITE_ENCRYPTED = 0x08,
	PERMISSION_READ_AUTHENTICATED = 0x10, PERMISSION_WRITE_AUTHENTICATED = 0x20,
	PERMISSION_READ_AUTHORIZED = 0x40, PERMISSION_WRITE_AUTHORIZED = 0x80,
};

struct device_value { uint8_t *at; uint16_t len, max; bool max_given; };	/* max >= len: a write's limit */
struct device_descriptor {
	struct uuid uuid;
	uint16_t handle;		/* 0: the builder's choice */
	uint8_t permissions;
	struct device_value value;
};
struct device_characteristic {
	struct uuid uuid;
	uint16_t handle;		/* of the value; its declaration has the one before.  0: the builder's choice */
	uint8_t properties, permissions;
	struct device_value value;
	struct device_descriptor *descriptors;
	unsigned descriptor_count;
	bool echoes;			/* what is written here is set on and notified by: */
	unsigned echo_service, echo_characteristic;	/* services[].characteristics[] */
};
struct device_service {
	struct uuid uuid;
	uint16_t handle;		/* 0: the builder's choice */
	bool secondary;
	struct device_characteristic *characteristics;
	unsigned characteristic_count;
};

struct device {
	char *file;			/* as it was named to device_load: for complaints */
	char *name;			/* UTF-8, 1 .. 248 octets */
	bool address_given;
	uint8_t address[6];		/* least significant octet first */
	uint8_t address_type;		/* ADDRESS_PUBLIC, ADDRESS_RANDOM */
	uint32_t class_of_device;	/* 24 bits */
	uint8_t advertising[DEVICE_ADVERTISING_MAX], scan_response[DEVICE_ADVERTISING_MAX];
	uint8_t advertising_len, scan_response_len;
	uint16_t advertising_min, advertising_max;	/* units of 0.625 ms, 0x0020 .. 0x4000 */
	bool le_enabled, classic_enabled, connectable, discoverable, gap_service, gatt_service;
	uint8_t io_capability;		/* Core 5.4, Vol 3, Part H, 2.3.2; SMP's numbers */
	bool irk_given;
	uint8_t irk[16];		/* as in the file, first octet first */
	char *keystore;			/* NULL: none; as in the file */
	struct device_service *services;
	unsigned service_count;

	/* trefoil */
	bool advertise;
	uint32_t connections;		/* 1 .. 256 */
	uint16_t mtu;			/* largest ATT_MTU that we offer */
	struct { uid_t transportd, hostd, gattd; } uid;	/* of the workers, where we are root; also their gids */
	bool group_given;
	gid_t group;			/* who may use the control sockets */
	uid_t operators[DEVICE_OPERATORS];
	unsigned operator_count;
	bool log_level_given;
	enum log_level log_level;

	char *warnings[DEVICE_WARNINGS];	/* "unknown key \"nmae\"" and the like, for device_log_warnings */
	unsigned warning_count;
};

/* Read and check a device file.
 *
 * @path  NULL: the defaults (name "Trefoil", advertising it, no services but GAP and GATT)
 * @why   on failure: one line with file, key (or line and column) and what was expected
 *
 * Returns 0 with *ret (the caller's: device_free); -EINVAL: wrong content; -ENOENT, -EACCES, ...: not readable; -ENOMEM. */
int device_load(const char *path, struct device **ret, char *why, size_t why_cap);
/* The same from text; `file` is only named. */
int device_parse(const char *file, struct bytes text, struct device **ret, char *why, size_t why_cap);
void device_free(struct device *d);		/* NULL is fine */

/* Log the warnings of a load; `up` does so, once. */
void device_log_warnings(const struct device *d, const char *path);

/* Hash of all cold keys, with the defaults in place: the same for two files that mean the same. */
uint64_t device_cold_hash(const struct device *d);
/* Do the live keys differ? */
bool device_live_differs(const struct device *a, const struct device *b);

/* The numbers that pools are multiplied by: connections; attributes (an upper bound of what these services need, GAP and GATT
 * included); controllers. */
struct arena_limits device_limits(const struct device *d);
uint32_t device_attributes(const struct device *d);
/* The uid (and gid) for a daemon's worker: "transportd", "hostd", "gattd"; 0 for others. */
uid_t device_uid(const struct device *d, const char *daemon);
