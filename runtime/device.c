/* runtime/device.c - loading the device file, its defaults, and what is counted from it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/types.h"
#include "runtime/device_own.h"

enum { FILE_MAX = 1024 * 1024 };

static int defaults(struct device *d)
{
	d->name = strdup("Trefoil");
	d->advertising_min = d->advertising_max = 0x00A0;	/* 100 ms */
	d->le_enabled = d->connectable = d->discoverable = d->gap_service = d->gatt_service = d->advertise = true;
	d->io_capability = 0x03;				/* NoInputNoOutput: Core 5.4, Vol 3, Part H, 2.3.2 */
	d->connections = DEVICE_CONNECTIONS_DEFAULT;
	d->mtu = DEVICE_MTU_DEFAULT;
	d->uid.transportd = DEVICE_UID_TRANSPORTD;
	d->uid.hostd = DEVICE_UID_HOSTD;
	d->uid.gattd = DEVICE_UID_GATTD;
	d->group = (gid_t)-1;
	d->log_level = LOG_INFO;
	return d->name ? 0 : -ENOMEM;
}

/* Flags and the name, shortened between characters where it does not fit.  Core Specification Supplement, Part A, 1.2, 1.3. */
static void advertise_name(struct device *d)
{
	enum { FLAGS = 0x01, SHORTENED_NAME = 0x08, COMPLETE_NAME = 0x09, NO_BR_EDR = 0x04, GENERAL_DISCOVERABLE = 0x02 };
	struct wr w = wr_into(d->advertising, sizeof d->advertising);
	size_t len = strlen(d->name), fits = MIN(len, sizeof d->advertising - 5);

	while (fits < len && fits && ((uint8_t)d->name[fits] & 0xC0) == 0x80)
		fits--;
	wr_le(&w, 2, 1);
	wr_le(&w, FLAGS, 1);
	wr_le(&w, NO_BR_EDR | (d->discoverable ? GENERAL_DISCOVERABLE : 0), 1);
	wr_le(&w, fits + 1, 1);
	wr_le(&w, fits < len ? SHORTENED_NAME : COMPLETE_NAME, 1);
	wr_bytes(&w, (struct bytes){ (const uint8_t *)d->name, fits });
	d->advertising_len = (uint8_t)wr_len(&w);
}

static int parse(struct device_reader *r, struct bytes text)
{
	json_error_t error;
	json_t *root = json_loadb((const char *)text.at, text.len, JSON_REJECT_DUPLICATES, &error);
	int e;

	if (root == NULL) {
		snprintf(r->why, r->why_cap, "%s: line %d, column %d: expected JSON: %s", r->file,
		    error.line, error.column, error.text);
		return -EINVAL;
	}
	e = device_read_top(r, root);
	json_decref(root);
	if (e == -ENOMEM)
		snprintf(r->why, r->why_cap, "%s: no memory", r->file);
	return e;
}

/* Keys and values come from the file: whatever is in them, it stays one line. */
static void one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7F)
			*text = '?';
}

int device_parse(const char *file, struct bytes text, struct device **ret, char *why, size_t why_cap)
{
	struct device_reader r = { .d = calloc(1, sizeof(struct device)), .file = file, .why = why, .why_cap = why_cap };
	int e = r.d ? defaults(r.d) : -ENOMEM;

	if (e == 0) {
		r.d->file = strdup(file);
		e = r.d->file ? 0 : -ENOMEM;
	}
	if (e == 0 && text.at)
		e = parse(&r, text);
	else if (e)
		snprintf(why, why_cap, "%s: no memory", file);
	if (e) {
		one_line(why);
		device_free(r.d);
		return e;
	}
	if (!r.advertising)
		advertise_name(r.d);
	if (!r.d->le_enabled)
		r.d->advertise = false;
	*ret = r.d;
	return 0;
}

static int read_file(const char *path, char *buf, size_t cap, size_t *ret_len)
{
	size_t len = 0;
	ssize_t n = 1;
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	while (n > 0 && len < cap) {
		n = read(fd, buf + len, cap - len);
		len += n > 0 ? (size_t)n : 0;
		if (n < 0 && errno == EINTR)
			n = 1;
	}
	r = n < 0 ? -errno : len == cap ? -EFBIG : 0;
	close(fd);
	*ret_len = len;
	return r;
}

int device_load(const char *path, struct device **ret, char *why, size_t why_cap)
{
	size_t len = 0;
	char *text;
	int e;

	if (path == NULL)
		return device_parse("(defaults)", (struct bytes){ NULL, 0 }, ret, why, why_cap);
	text = malloc(FILE_MAX + 1);
	e = text ? read_file(path, text, FILE_MAX + 1, &len) : -ENOMEM;
	if (e)
		snprintf(why, why_cap, "%s: expected a device file that can be read, of at most 1 MiB: %s", path, strerror(-e));
	else
		e = device_parse(path, (struct bytes){ (uint8_t *)text, len }, ret, why, why_cap);
	free(text);
	return e;
}

static void free_service(struct device_service *s)
{
	for (unsigned i = 0; i < s->characteristic_count; i++) {
		struct device_characteristic *c = &s->characteristics[i];

		for (unsigned k = 0; k < c->descriptor_count; k++)
			free(c->descriptors[k].value.at);
		free(c->descriptors);
		free(c->value.at);
	}
	free(s->characteristics);
}

void device_free(struct device *d)
{
	if (d == NULL)
		return;
	for (unsigned i = 0; i < d->service_count; i++)
		free_service(&d->services[i]);
	for (unsigned i = 0; i < d->warning_count; i++)
		free(d->warnings[i]);
	free(d->services);
	free(d->file);
	free(d->name);
	free(d->keystore);
	free(d);
}

void device_log_warnings(const struct device *d, const char *path)
{
	for (unsigned i = 0; i < d->warning_count; i++)
		log_warn("device file", LOG_STR("file", path), LOG_STR("key", d->warnings[i]));
}

uint32_t device_attributes(const struct device *d)
{
	uint32_t n = 24;	/* GAP and GATT with all that Core 5.4, Vol 3, Part C, 12 and Part G, 7 name */

	for (unsigned s = 0; s < d->service_count; s++) {
		const struct device_service *service = &d->services[s];

		n += 1;
		for (unsigned c = 0; c < service->characteristic_count; c++)
			/* its declaration and value; a CCCD and Extended Properties that may be added */
			n += 2 + 2 + service->characteristics[c].descriptor_count;
	}
	return n;
}

struct arena_limits device_limits(const struct device *d)
{
	struct arena_limits l = { .of = { [LIMIT_NONE] = 1, [LIMIT_CONTROLLERS] = 1 } };

	l.of[LIMIT_CONNECTIONS] = d->connections;
	l.of[LIMIT_ATTRIBUTES] = device_attributes(d);
	return l;
}

uid_t device_uid(const struct device *d, const char *daemon)
{
	if (strcmp(daemon, "transportd") == 0)
		return d->uid.transportd;
	if (strcmp(daemon, "hostd") == 0)
		return d->uid.hostd;
	return strcmp(daemon, "gattd") == 0 ? d->uid.gattd : 0;
}
