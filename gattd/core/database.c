/* gattd/core/database.c - attributes by handle and type, and who may do what with them. */
#include "gattd/core/gatt.h"

unsigned attribute_from(const struct gatt *g, uint16_t handle)
{
	unsigned low = 0, high = the_server(g)->attributes;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (attribute_at(g, middle)->handle < handle)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct attribute *attribute_find(const struct gatt *g, uint16_t handle)
{
	unsigned n = the_server(g)->attributes, i = handle - 1u;
	const struct attribute *a = i < n ? attribute_at(g, i) : NULL;

	if (a && a->handle == handle)		/* mostly there is no gap */
		return a;
	i = attribute_from(g, handle);
	a = i < n ? attribute_at(g, i) : NULL;

	return a && a->handle == handle ? a : NULL;
}

/* Types are kept in their shortest form; a client may ask with the long one (Vol 3 Part F 3.2.1). */
bool attribute_is(const struct attribute *a, struct bytes type)
{
	static const uint8_t base[12] = { 0xFB, 0x34, 0x9B, 0x5F, 0x80, 0x00, 0x00, 0x80, 0x00, 0x10 };

	if (type.len == a->type_len)
		return !memcmp(type.at, a->type, type.len);
	return type.len == 16 && a->type_len == 2 && !memcmp(type.at, base, sizeof base) && !memcmp(type.at + 12, a->type, 2) &&
	    !type.at[14] && !type.at[15];
}

/* Until there is SMP, no link is encrypted and no key is held, so Part C, Table 10.2 has one row: Insufficient Authentication,
 * for encryption asked for and for authentication.  Each flag has to be met; authorization nobody can give. */
static int security_refusal(unsigned permissions, unsigned encrypted, unsigned authenticated, unsigned authorized)
{
	if (permissions & (encrypted | authenticated))
		return ATT_ERROR_INSUFFICIENT_AUTHENTICATION;
	return permissions & authorized ? ATT_ERROR_INSUFFICIENT_AUTHORIZATION : 0;
}

int attribute_may_read(const struct attribute *a)
{
	const unsigned any = GATT_READABLE | GATT_READ_ENCRYPTED | GATT_READ_AUTHENTICATED | GATT_READ_AUTHORIZED;

	if (!(a->permissions & any) || (a->kind == ATTRIBUTE_VALUE && !(a->properties & GATT_PROPERTY_READ)))
		return ATT_ERROR_READ_NOT_PERMITTED;
	return security_refusal(a->permissions, GATT_READ_ENCRYPTED, GATT_READ_AUTHENTICATED, GATT_READ_AUTHORIZED);
}

int attribute_may_write(const struct attribute *a)
{
	const unsigned any = GATT_WRITEABLE | GATT_WRITE_ENCRYPTED | GATT_WRITE_AUTHENTICATED | GATT_WRITE_AUTHORIZED;
	const unsigned ways = GATT_PROPERTY_WRITE | GATT_PROPERTY_WRITE_WITHOUT_RESPONSE;

	if (!(a->permissions & any) || (a->kind == ATTRIBUTE_VALUE && !(a->properties & ways)))
		return ATT_ERROR_WRITE_NOT_PERMITTED;
	return security_refusal(a->permissions, GATT_WRITE_ENCRYPTED, GATT_WRITE_AUTHENTICATED, GATT_WRITE_AUTHORIZED);
}

struct bytes attribute_value(const struct gatt *g, const struct bearer *b, const struct attribute *a, uint8_t cccd_octets[2])
{
	const struct value *v;

	if (a->kind == ATTRIBUTE_CCCD) {
		cccd_octets[0] = (uint8_t)bearer_cccd(b, a);
		cccd_octets[1] = 0;
		return (struct bytes){ cccd_octets, 2 };
	}
	v = value_at(g, attribute_number(a));
	return (struct bytes){ v->at, v->len };
}
