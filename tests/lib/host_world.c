/* tests/lib/host_world.c - see host_world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/lib/host_world.h"
#include "wire/hci_list.h"

static void support(struct world *w, unsigned octet, unsigned bits) { w->commands[octet] |= (uint8_t)bits; }

struct world *world_new(uint32_t connections)
{
	struct world *w = calloc(1, sizeof *w);

	assert_non_null(w);
	w->le_length = 27;
	w->le_packets = 4;
	w->shared_length = 1021;
	w->shared_packets = 6;
	w->features = 1ull << 37 | 1ull << 38;		/* LE, no BR/EDR */
	w->le_features = 1 << 1 | 1 << 5;
	memcpy(w->address, (const uint8_t[]){ 1, 2, 3, 4, 5, 6 }, 6);
	w->num_packets = 1;
	support(w, 0, 0x20);
	support(w, 5, 0xC0);
	support(w, 14, 0xA8);
	support(w, 15, 0x02);
	support(w, 25, 0xF7);
	support(w, 26, 0x03);
	support(w, 33, 0x30);
	rig_open(&w->rig, &hostd_core, (struct arena_limits){ .of = { [LIMIT_CONNECTIONS] = connections } });
	for (unsigned l = 0; l < STEP_LINKS; l++)
		rig_attach(&w->rig, l, 1);
	world_run(w);
	return w;
}

void world_configure(struct world *w, bool advertise)
{
	struct record h = { .kind = RECORD_CONFIG };

	world_supervisor(w, h, BYTES_OF(CONFIG_OWN_ADDRESS, 1, 0xF5, 0xF4, 0xF3, 0xF2, 0xF1, 0xF0));
	world_supervisor(w, h, BYTES_OF(CONFIG_ADVERTISING, advertise, 0xA0, 0, 0xF0, 0));
	world_supervisor(w, h, BYTES_OF(CONFIG_ADVERTISING_DATA, 2, 1, 6));
	world_supervisor(w, h, BYTES_OF(CONFIG_SCAN_RESPONSE, 2, 9, 'T'));
	world_supervisor(w, h, BYTES_OF(CONFIG_DONE, 0));
}

struct world *world_up(uint32_t connections)
{
	struct world *w = world_new(connections);

	world_configure(w, true);
	assert_int_equal(world_notices(w, NOTICE_READY), 1);
	world_forget(w);
	return w;
}

void world_free(struct world *w)
{
	struct arena *a = &w->rig.arena;
	const struct connection *c, *next;

	for (c = connection_next(a, NULL); c; c = next) {
		next = connection_next(a, c);
		if (c->state != CONNECTION_ENDED)
			world_disconnect(w, c->handle, 0x13);
	}
	rig_sleep(&w->rig, SECOND_NS);
	world_run(w);
	assert_int_equal(arena_live(a, POOL_connection), 0);
	assert_int_equal(arena_live(a, POOL_early), 0);
	assert_int_equal(world_flow(w)->credits, world_flow(w)->total);
	assert_int_equal(world_flow(w)->live, 0);
	for (unsigned l = 0; l < HOST_LISTS; l++)
		assert_int_equal(world_flow(w)->list[l].first.v | world_flow(w)->list[l].last.v, 0);
	assert_int_equal(arena_live(a, POOL_chunk), 0);
	assert_int_equal(world_flow(w)->spare, SPARE_BESIDES + SPARE_EACH * a->pool[POOL_connection].count);
	for (const struct where *h = where_next(a, NULL); h; h = where_next(a, h))
		for (unsigned i = 0; i < HANDLE_SLOTS; i++)
			assert_int_equal(h->at[i].v, 0);
	rig_close(&w->rig);
	free(w);
}

void world_forget(struct world *w)
{
	w->commands_seen = w->packets_seen = w->down_seen = w->supervisor_seen = 0;
}

/* ---- the controller ---- */
static void put_event(struct world *w, uint8_t code, struct bytes parameters)
{
	uint8_t buf[2 + 255];
	struct wr out = wr_into(buf, sizeof buf);

	hci_event_header(&out, code, (uint8_t)parameters.len);
	wr_bytes(&out, parameters);
	rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_HCI_EVENT }, (struct bytes){ buf, wr_len(&out) });
}

static void put_complete(struct world *w, uint16_t opcode, uint8_t num, struct bytes ret)
{
	uint8_t buf[255];
	struct wr out = wr_into(buf, sizeof buf);

	hci_event_command_complete_encode(&(struct hci_event_command_complete){ num, opcode, ret }, &out);
	put_event(w, HCI_EVENT_COMMAND_COMPLETE, (struct bytes){ buf, wr_len(&out) });
}
static void put_status(struct world *w, uint16_t opcode, uint8_t status)
{
	uint8_t buf[4];
	struct wr out = wr_into(buf, sizeof buf);

	hci_event_command_status_encode(&(struct hci_event_command_status){ status, w->num_packets, opcode }, &out);
	put_event(w, HCI_EVENT_COMMAND_STATUS, (struct bytes){ buf, wr_len(&out) });
}

static void encode_return(const struct world *w, uint16_t opcode, struct wr *out)
{
	struct hci_return_read_local_supported_commands commands = { 0 };
	struct hci_return_read_bd_addr address = { 0 };

	memcpy(commands.commands, w->commands, sizeof commands.commands);
	memcpy(address.address, w->address, 6);
	switch (opcode) {
	case HCI_COMMAND_READ_LOCAL_VERSION_INFORMATION:
		hci_return_read_local_version_information_encode(
		    &(struct hci_return_read_local_version_information){ 0, 13, 1, 13, 0x0059, 2 }, out);
		break;
	case HCI_COMMAND_READ_LOCAL_SUPPORTED_COMMANDS: hci_return_read_local_supported_commands_encode(&commands, out); break;
	case HCI_COMMAND_READ_LOCAL_SUPPORTED_FEATURES:
		hci_return_read_local_supported_features_encode(&(struct hci_return_read_local_supported_features){ 0,
		    w->features }, out);
		break;
	case HCI_COMMAND_READ_BD_ADDR: hci_return_read_bd_addr_encode(&address, out); break;
	case HCI_COMMAND_LE_READ_BUFFER_SIZE:
		hci_return_le_read_buffer_size_encode(
		    &(struct hci_return_le_read_buffer_size){ 0, w->le_length, (uint8_t)w->le_packets }, out);
		break;
	case HCI_COMMAND_READ_BUFFER_SIZE:
		hci_return_read_buffer_size_encode(
		    &(struct hci_return_read_buffer_size){ 0, w->shared_length, 0, w->shared_packets, 0 }, out);
		break;
	case HCI_COMMAND_LE_READ_LOCAL_SUPPORTED_FEATURES:
		hci_return_le_read_local_supported_features_encode(
		    &(struct hci_return_le_read_local_supported_features){ 0, w->le_features }, out);
		break;
	default:
		wr_le(out, 0, 1);
	}
}

static void on_command(struct world *w, struct bytes packet)
{
	struct seen_command *seen = &w->command[w->commands_seen++];
	struct hci_command_packet p;
	uint8_t buf[80];
	struct wr out = wr_into(buf, sizeof buf);

	assert_true(w->commands_seen < SEEN_COMMANDS);
	assert_true(hci_command_packet_decode(packet, &p));
	assert_true(p.parameters.len <= sizeof seen->parameters);
	assert_non_null(hci_command_find(p.opcode));
	*seen = (struct seen_command){ .opcode = p.opcode, .len = (uint8_t)p.parameters.len };
	if (p.parameters.len)
		memcpy(seen->parameters, p.parameters.at, p.parameters.len);
	if (w->all_mute || p.opcode == w->mute)
		return;
	if (p.opcode == w->refuse && w->refuse_by_status) {
		put_status(w, p.opcode, w->status);
	} else if (p.opcode == w->refuse) {
		put_complete(w, p.opcode, w->num_packets, (struct bytes){ &w->status, 1 });
	} else if (p.opcode == HCI_COMMAND_DISCONNECT || p.opcode == HCI_COMMAND_LE_CONNECTION_UPDATE) {
		put_status(w, p.opcode, 0);
	} else {
		encode_return(w, p.opcode, &out);
		put_complete(w, p.opcode, w->num_packets, (struct bytes){ buf, wr_len(&out) });
	}
}

static void on_packet(struct world *w, struct bytes packet)
{
	struct seen_packet *seen = &w->packet[w->packets_seen++];
	struct hci_acl_packet p;

	assert_true(w->packets_seen < SEEN_PACKETS);
	assert_true(hci_acl_packet_decode(packet, &p));
	assert_int_equal(p.broadcast, 0);
	assert_in_range(p.data.len, 1, world_flow(w)->acl_length);
	*seen = (struct seen_packet){ .handle = p.handle, .boundary = p.boundary, .len = (uint16_t)p.data.len };
	memcpy(seen->data, p.data.at, p.data.len);
}

static bool drain(struct world *w)
{
	struct bytes payload;
	struct record h;
	bool any = false;

	while (rig_get(&w->rig, LINK_UP, &h, &payload)) {
		any = true;
		if (h.kind == RECORD_HCI_COMMAND)
			on_command(w, payload);
		else
			on_packet(w, payload);
	}
	while (rig_get(&w->rig, LINK_DOWN, &h, &payload)) {
		assert_true(w->down_seen < SEEN_RECORDS && payload.len <= sizeof w->down->body);
		w->down[w->down_seen].h = h;
		memcpy(w->down[w->down_seen++].body, payload.at, payload.len);
	}
	while (rig_get(&w->rig, LINK_SUPERVISOR, &h, &payload)) {
		assert_true(w->supervisor_seen < SEEN_NOTICES && payload.len <= sizeof w->down->body);
		memset(w->up_to_supervisor[w->supervisor_seen].body, 0, sizeof w->down->body);
		w->up_to_supervisor[w->supervisor_seen].h = h;
		memcpy(w->up_to_supervisor[w->supervisor_seen++].body, payload.at, payload.len);
	}
	return any;
}

/* What always holds: no packet more than the controller has buffers for, and none is lost from the count. */
static void check_credits(const struct world *w)
{
	assert_int_equal(world_flow(w)->credits + world_outstanding(w), world_flow(w)->total);
}

void world_run(struct world *w)
{
	if (w->hold)
		return;
	do {
		rig_run(&w->rig);
		check_credits(w);
	} while (drain(w));
}

/* ---- what a test says ---- */
void world_event(struct world *w, uint8_t code, struct bytes parameters)
{
	put_event(w, code, parameters);
	world_run(w);
}
void world_le_event(struct world *w, uint8_t subevent, struct bytes parameters)
{
	uint8_t buf[255];
	struct wr out = wr_into(buf, sizeof buf);

	wr_le(&out, subevent, 1);
	wr_bytes(&out, parameters);
	world_event(w, HCI_EVENT_LE_META, (struct bytes){ buf, wr_len(&out) });
}
void world_complete(struct world *w, uint16_t opcode, uint8_t num, struct bytes ret)
{
	put_complete(w, opcode, num, ret);
	world_run(w);
}
void world_connect(struct world *w, uint16_t handle)
{
	struct hci_le_event_connection_complete m = { .handle = handle, .role = ROLE_PERIPHERAL, .peer_type = ADDRESS_RANDOM,
		.peer = { (uint8_t)handle, (uint8_t)(handle >> 8), 0, 0, 0, 0xF0 }, .interval = 24, .timeout = 72 };
	uint8_t buf[32];
	struct wr out = wr_into(buf, sizeof buf);

	hci_le_event_connection_complete_encode(&m, &out);
	world_le_event(w, HCI_LE_EVENT_CONNECTION_COMPLETE, (struct bytes){ buf, wr_len(&out) });
}
void world_disconnect(struct world *w, uint16_t handle, uint8_t reason)
{
	world_event(w, HCI_EVENT_DISCONNECTION_COMPLETE, BYTES_OF(0, (uint8_t)handle, (uint8_t)(handle >> 8), reason));
}
void world_completed(struct world *w, uint16_t handle, uint16_t n)
{
	world_event(w, HCI_EVENT_NUMBER_OF_COMPLETED_PACKETS,
	    BYTES_OF(1, (uint8_t)handle, (uint8_t)(handle >> 8), (uint8_t)n, (uint8_t)(n >> 8)));
}
void world_acl(struct world *w, uint16_t handle, uint8_t boundary, struct bytes data)
{
	uint8_t buf[HCI_ACL_HEADER + 1024];
	struct wr out = wr_into(buf, sizeof buf);

	hci_acl_header(&out, handle, boundary, (uint16_t)data.len);
	wr_bytes(&out, data);
	assert_true(wr_ok(&out));
	rig_put(&w->rig, LINK_UP, (struct record){ .kind = RECORD_HCI_ACL }, (struct bytes){ buf, wr_len(&out) });
	world_run(w);
}
void world_frame(struct world *w, uint16_t handle, uint16_t cid, struct bytes pdu)
{
	uint8_t buf[1024];
	struct wr out = wr_into(buf, sizeof buf);

	l2cap_frame_basic_encode(&(struct l2cap_frame_basic){ (uint16_t)pdu.len, cid, pdu }, &out);
	world_acl(w, handle, HCI_FIRST_FLUSHABLE, (struct bytes){ buf, wr_len(&out) });
}
void world_gattd(struct world *w, const struct record *told, uint8_t kind, struct bytes body)
{
	rig_put(&w->rig, LINK_DOWN, (struct record){ .kind = kind, .index = told->index, .generation = told->generation }, body);
	world_run(w);
}
void world_pdu(struct world *w, const struct record *told, uint16_t cid, struct bytes pdu)
{
	uint8_t buf[1024];
	struct wr out = wr_into(buf, sizeof buf);

	local_l2cap_pdu_encode(&(struct local_l2cap_pdu){ cid, pdu }, &out);
	world_gattd(w, told, RECORD_L2CAP_PDU, (struct bytes){ buf, wr_len(&out) });
}
void world_supervisor(struct world *w, struct record h, struct bytes body)
{
	rig_put(&w->rig, LINK_SUPERVISOR, h, body);
	world_run(w);
}

/* ---- what a test asks ---- */
unsigned world_count(const struct world *w, uint16_t opcode)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->commands_seen; i++)
		n += w->command[i].opcode == opcode;
	return n;
}
const struct seen_command *world_last(const struct world *w, uint16_t opcode)
{
	for (unsigned i = w->commands_seen; i-- > 0; )
		if (w->command[i].opcode == opcode)
			return &w->command[i];
	fail_msg("command 0x%04X was never sent", opcode);
	return NULL;
}
const struct seen_record *world_told(const struct world *w, uint8_t kind)
{
	for (unsigned i = w->down_seen; i-- > 0; )
		if (w->down[i].h.kind == kind)
			return &w->down[i];
	return NULL;
}
unsigned world_told_count(const struct world *w, uint8_t kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->down_seen; i++)
		n += w->down[i].h.kind == kind;
	return n;
}
static bool is_notice(const struct seen_record *r, enum core_notice what)
{
	return r->h.kind == RECORD_NOTICE && r->body[0] == what;
}
const char *world_notice(const struct world *w, enum core_notice what, uint32_t *ret_value)
{
	for (unsigned i = w->supervisor_seen; i-- > 0; ) {
		const struct seen_record *r = &w->up_to_supervisor[i];

		if (!is_notice(r, what))
			continue;
		if (ret_value)
			memcpy(ret_value, r->body + 1, 4);
		return (const char *)r->body + 5;
	}
	fail_msg("no notice %d", what);
	return NULL;
}
unsigned world_notices(const struct world *w, enum core_notice what)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->supervisor_seen; i++)
		n += is_notice(&w->up_to_supervisor[i], what);
	return n;
}
const struct flow *world_flow(const struct world *w) { return flow_next(&w->rig.arena, NULL); }
uint32_t world_outstanding(const struct world *w)
{
	uint32_t n = 0;

	for (const struct connection *c = connection_next(&w->rig.arena, NULL); c; c = connection_next(&w->rig.arena, c))
		n += c->outstanding;
	return n;
}
