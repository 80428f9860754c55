/* gattd/gatt_place.c - handles. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/types.h"
#include "gattd/gatt_place.h"

enum { HANDLE_MAX = 0xFFFF };
struct range { unsigned first, last; };			/* of handles; first 0: not placed yet */
struct group { unsigned from, to; struct range at; };	/* attributes [from, to) of one service */

static int name_of(const struct gatt_attribute *a, char *out, size_t cap)
{
	int n;

	if (a->service < 0)
		return snprintf(out, cap, "the %s service", a->service == OUR_GAP ? "GAP" : "GATT");
	n = snprintf(out, cap, "gatt_services[%d]", a->service);
	if (a->characteristic >= 0)
		n += snprintf(out + n, cap - (size_t)n, ".characteristics[%d]", a->characteristic);
	if (a->descriptor >= 0)
		n += snprintf(out + n, cap - (size_t)n, ".descriptors[%d]", a->descriptor);
	else if (a->what == WHAT_DESCRIPTOR)
		n += snprintf(out + n, cap - (size_t)n, " (the descriptor that is added to it)");
	return n;
}

int gatt_complain(const struct gatt_attribute *a, char *why, size_t why_cap, const char *fmt, ...)
{
	char name[128], what[256];
	va_list ap;

	name_of(a, name, sizeof name);
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	snprintf(why, why_cap, "%s%s: %s", name,
	    a->service >= 0 && (a->descriptor >= 0 || a->what != WHAT_DESCRIPTOR) ? ".trefoil.handle" : "", what);
	return -EINVAL;
}

/* From the first attribute of a group with a handle: where the group begins; 0: nothing in it has one. */
static int anchor(const struct gatt_database *db, const struct group *g, unsigned *ret, char *why, size_t cap)
{
	*ret = 0;
	for (unsigned i = g->from; i < g->to; i++) {
		const struct gatt_attribute *a = &db->at[i];

		if (!a->is.handle)
			continue;
		if (a->is.handle <= i - g->from)
			return gatt_complain(a, why, cap, "expected a higher one: 0x%04X leaves no room for the %u attributes before it",
			    a->is.handle, i - g->from);
		*ret = a->is.handle - (i - g->from);
		return 0;
	}
	return 0;
}

static int lay_out(struct gatt_database *db, struct group *g, unsigned begin, char *why, size_t cap)
{
	unsigned next = begin;

	g->at = (struct range){ HANDLE_MAX, 0 };
	for (unsigned i = g->from; i < g->to; i++, next++) {
		struct gatt_attribute *a = &db->at[i];

		/* A declaration is where its value says: right before it. */
		if (a->what == WHAT_DECLARATION && db->at[i + 1].is.handle)
			next = db->at[i + 1].is.handle - 1u;
		else if (a->is.handle)
			next = a->is.handle;
		if (!next || next > HANDLE_MAX)
			return gatt_complain(a, why, cap, "there is no handle 0x%04X for it; handles are 0x0001 to 0xFFFF", next);
		a->is.handle = (uint16_t)next;
		g->at.first = MIN(g->at.first, next);
		g->at.last = MAX(g->at.last, next);
	}
	return 0;
}

/* The lowest handle from `from` on with room for `n` attributes between the groups that have their place. */
static unsigned find_gap(const struct group *g, unsigned groups, unsigned from, unsigned n)
{
	for (unsigned i = 0; i < groups; i++)
		if (g[i].at.first && from <= g[i].at.last && from + n > g[i].at.first) {
			from = g[i].at.last + 1;
			i = (unsigned)-1;	/* from the beginning again */
		}
	return from;
}

static int place_groups(struct gatt_database *db, struct group *g, unsigned groups, char *why, size_t cap)
{
	unsigned begin, next = 1;
	int r;

	for (unsigned i = 0; i < groups; i++) {
		r = anchor(db, &g[i], &begin, why, cap);
		if (!r && begin)
			r = lay_out(db, &g[i], begin, why, cap);
		if (r)
			return r;
	}
	for (unsigned i = 0; i < groups; i++) {
		if (g[i].at.first)
			continue;
		begin = find_gap(g, groups, next, g[i].to - g[i].from);
		r = lay_out(db, &g[i], begin, why, cap);
		if (r)
			return r;
		next = g[i].at.last + 1;
	}
	return 0;
}

static int by_handle(const void *x, const void *y)
{
	const struct gatt_attribute *a = x, *b = y;

	return (int)a->is.handle - (int)b->is.handle;
}

/* In order of handles now: is each where it belongs? */
static int check(const struct gatt_database *db, char *why, size_t cap)
{
	const struct gatt_attribute *service = NULL, *declaration = NULL, *before = NULL;
	char other[128];

	for (unsigned i = 0; i < db->count; before = &db->at[i++]) {
		const struct gatt_attribute *a = &db->at[i];

		if (before && before->is.handle == a->is.handle) {
			name_of(before, other, sizeof other);
			return gatt_complain(a, why, cap, "expected one that is free: 0x%04X is also that of %s", a->is.handle, other);
		}
		if (a->what == WHAT_SERVICE) {
			service = a;
			declaration = NULL;
			continue;
		}
		if (!service || service->service != a->service) {
			if (service)
				name_of(service, other, sizeof other);
			return gatt_complain(a, why, cap, "expected one in its own service: 0x%04X lies %s%s", a->is.handle,
			    service ? "in " : "before its service", service ? other : "");
		}
		if (a->what == WHAT_DECLARATION) {
			declaration = a;
		} else if (!declaration || declaration->characteristic != a->characteristic) {
			if (declaration)
				name_of(declaration, other, sizeof other);
			return gatt_complain(a, why, cap, "expected one in its own characteristic: 0x%04X lies %s%s", a->is.handle,
			    declaration ? "in " : "before its characteristic", declaration ? other : "");
		}
	}
	return 0;
}

static void close_groups(struct gatt_database *db)
{
	uint16_t service_end = 0, declaration_end = 0;

	for (unsigned i = db->count; i-- > 0; ) {
		struct gatt_attribute *a = &db->at[i];

		service_end = service_end ? service_end : a->is.handle;
		declaration_end = declaration_end ? declaration_end : a->is.handle;
		a->is.group_end = a->is.handle;
		if (a->what == WHAT_SERVICE) {
			a->is.group_end = service_end;
			service_end = declaration_end = 0;
		} else if (a->what == WHAT_DECLARATION) {
			a->is.group_end = declaration_end;
			declaration_end = 0;
		}
	}
}

int gatt_place(struct gatt_database *db, char *why, size_t why_cap)
{
	struct group *g = calloc(db->count + 1u, sizeof *g);
	unsigned groups = 0;
	int r;

	if (!g)
		return -ENOMEM;
	for (unsigned i = 0; i < db->count; i++) {
		if (db->at[i].what == WHAT_SERVICE)
			g[groups++].from = i;
		g[groups - 1].to = i + 1;
	}
	r = place_groups(db, g, groups, why, why_cap);
	free(g);
	if (r)
		return r;
	qsort(db->at, db->count, sizeof *db->at, by_handle);
	for (unsigned i = 0; i < db->count; i++)	/* own octets moved with it */
		if (db->at[i].owns)
			db->at[i].is.value.at = db->at[i].own;
	r = check(db, why, why_cap);
	if (!r)
		close_groups(db);
	return r;
}
