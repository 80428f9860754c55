/* gattd/core/config.c - the attributes, as the supervisor sends them: in order of their handles, DONE last.
 *
 * A supervisor that was restarted sends them again.  Until the first DONE what is there is written over; from then on they are as
 * they are, with what clients and operators have written since: the keys of the device file they come from are all cold. */
#include "gattd/core/gatt.h"

static void notice(struct gatt *g, enum core_notice what, const char *detail)
{
	struct local_notice m = { .what = (uint8_t)what, .detail = { (const uint8_t *)detail, strlen(detail) } };
	uint32_t cap = 5 + (uint32_t)m.detail.len;
	struct wr w = wr_into(step_reserve(g->step, LINK_SUPERVISOR, cap), cap);

	local_notice_encode(&m, &w);
	step_give(g->step, LINK_SUPERVISOR, (struct record){ .len = cap, .kind = RECORD_NOTICE });
}

static void refuse(struct gatt *g, const char *why)
{
	gatt_count(g, GATT_COUNT_config_refused);
	notice(g, NOTICE_FAILED, why);
}

void gatt_tell_ready(struct gatt *g)
{
	const struct server *s = the_server(g);

	if (s->configured && s->linked && step_linked(g->step, LINK_SUPERVISOR))
		notice(g, NOTICE_READY, "");
}

/* The slot for that handle: its own, or the next one for a handle above all others; NULL if it cannot be. */
static const struct attribute *slot_for(struct gatt *g, uint16_t handle)
{
	const struct server *s = the_server(g);
	const struct attribute *a = attribute_find(g, handle);
	struct attribute *e;

	if (a)
		return a;
	if (s->attributes && attribute_at(g, s->attributes - 1u)->handle >= handle)
		return NULL;
	e = attribute_new(g->arena);
	if (!e || !value_new(g->arena))
		return NULL;
	e->handle = handle;
	server_change(g)->attributes++;
	return e;
}

static void on_attribute(struct gatt *g, const struct config_attribute *m)
{
	const struct attribute *a;
	struct attribute *e;

	if ((m->type_len != 2 && m->type_len != 16) || m->value.len > m->value_max ||
	    m->cccd > GATT_CCCDS_MAX || (m->kind == ATTRIBUTE_CCCD && !m->cccd) || m->group_end < m->handle) {
		refuse(g, "configuration: an attribute that cannot be");
		return;
	}
	a = slot_for(g, m->handle);
	if (!a) {
		refuse(g, "configuration: too many attributes, or not in order of their handles");
		return;
	}
	e = attribute_edit(g->arena, a);
	e->group_end = m->group_end;
	e->cccd = m->cccd;
	e->echo = m->echo;
	e->value_max = m->value_max;
	e->kind = m->kind;
	e->properties = m->properties;
	e->permissions = m->permissions;
	e->type_len = m->type_len;
	memcpy(e->type, m->type, sizeof e->type);
	value_set(g, attribute_number(a), m->value);
}

void gatt_on_config(struct gatt *g, struct bytes payload)
{
	struct config_att_server server;
	struct config_attribute attribute;
	struct config_done done;
	struct local_config m;
	bool configured = the_server(g)->configured;

	if (!local_config_decode(payload, &m)) {
		gatt_count(g, GATT_COUNT_records_bad);
	} else if (m.key == CONFIG_DONE && config_done_decode(m.value, &done)) {
		if (!configured)
			server_change(g)->configured = 1;
		gatt_tell_ready(g);
	} else if (m.key == CONFIG_ATT_SERVER && config_att_server_decode(m.value, &server)) {
		if (!configured)
			server_change(g)->mtu = server.mtu;
	} else if (m.key == CONFIG_ATTRIBUTE && config_attribute_decode(m.value, &attribute)) {
		if (!configured)
			on_attribute(g, &attribute);
	} else {
		refuse(g, "configuration: a record that cannot be read");
	}
}
