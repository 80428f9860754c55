/* gattd/core/att_write.c - Write Request, Write Command.  Core 5.4, Vol 3, Part F, 3.4.5. */
#include "gattd/core/gatt.h"

/* Part G, 3.3.3.3: two octets; bits that are reserved are ignored, those that the characteristic does not offer are refused. */
int att_cccd_check(const struct attribute *a, struct bytes value)
{
	unsigned wants;

	if (value.len != 2)
		return ATT_ERROR_INVALID_ATTRIBUTE_VALUE_LENGTH;
	wants = value.at[0];
	if ((wants & CCCD_NOTIFY && !(a->properties & GATT_PROPERTY_NOTIFY)) ||
	    (wants & CCCD_INDICATE && !(a->properties & GATT_PROPERTY_INDICATE)))
		return ATT_ERROR_CCCD_IMPROPERLY_CONFIGURED;
	return 0;
}

void att_cccd_set(struct gatt *g, const struct bearer *b, const struct attribute *a, struct bytes value)
{
	unsigned n = a->cccd - 1u, shift = n % 4 * 2, bits = value.at[0] & 3u;	/* CCCD_NOTIFY, CCCD_INDICATE */
	struct bearer *e = bearer_edit(g->arena, b);

	e->cccd[n / 4] = (uint8_t)((e->cccd[n / 4] & ~(3u << shift)) | bits << shift);
	subscriber_set(g, a, b->index, bits != 0);
}

int att_write(struct gatt *g, const struct bearer *b, const struct attribute *a, struct bytes value)
{
	const struct attribute *echo;
	struct change change;
	int r = attribute_may_write(a);

	if (r)
		return r;
	if (a->kind == ATTRIBUTE_CCCD) {
		r = att_cccd_check(a, value);
		if (r)
			return r;
		if (the_server(g)->spreads)	/* who is told of these was judged before */
			return GATT_HOLD;
		att_cccd_set(g, b, a, value);
		return 0;
	}
	echo = a->echo ? attribute_find(g, a->echo) : NULL;
	if (value.len > a->value_max || (echo && value.len > echo->value_max))
		return ATT_ERROR_INVALID_ATTRIBUTE_VALUE_LENGTH;
	change = (struct change){ echo ? attribute_number(echo) : 0, (uint16_t)value.len };
	if (!change_fits(g, &change, echo ? 1 : 0, b->held_ns, NULL))
		return GATT_HOLD;
	value_set(g, attribute_number(a), value);
	if (echo) {
		value_set(g, attribute_number(echo), value);
		change_note(g, attribute_number(echo));
	}
	return 0;
}

/* 3.4.5.1 */
int on_att_write_request(struct gatt *g, const struct bearer *b, const struct att_write_request *req)
{
	const struct attribute *a = attribute_find(g, req->handle);
	int r;

	g->failed_handle = req->handle;
	r = a ? att_write(g, b, a, req->value) : ATT_ERROR_INVALID_HANDLE;
	if (!r)
		att_write_response_encode(&(struct att_write_response){ }, bearer_open(g, b, ATT_WRITE_RESPONSE));
	return r;
}

/* 3.4.5.3: no answer, whatever happens. */
int on_att_write_command(struct gatt *g, const struct bearer *b, const struct att_write_command *cmd)
{
	const struct attribute *a = attribute_find(g, cmd->handle);

	return a ? att_write(g, b, a, cmd->value) : ATT_ERROR_INVALID_HANDLE;
}

/* 3.4.5.4: without keys no signature can be checked, so it counts as wrong, and the command is ignored. */
int on_att_signed_write_command(struct gatt *g, const struct bearer *b, const struct att_signed_write_command *cmd)
{
	(void)b;
	(void)cmd;
	gatt_count(g, GATT_COUNT_signed_ignored);
	return 0;
}
