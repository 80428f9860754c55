#include "wire/print.h"
#include "wire/hci_packet.h"
#include "wire/l2cap_names.h"
#include "wire/wire.h"

/* The name and fields of one body.  row: NULL if there is none. */
static void put_message(struct text *t, const struct wire_message *row, unsigned code, struct bytes body)
{
	size_t before;

	if (!row) {
		text_word(t, "unknown");
		text_hex(t, "code", code);
		text_bytes(t, "data", body);
		return;
	}
	text_word(t, row->name);
	before = t->len;
	if (row->print(body, t))
		return;
	t->len = before;
	text_word(t, "malformed");
	text_bytes(t, "data", body);
}

static void put_malformed(struct text *t, struct bytes packet)
{
	text_word(t, "malformed");
	text_bytes(t, "data", packet);
}

static void print_command(struct bytes packet, struct text *t)
{
	struct hci_command_packet p;

	text_word(t, "command");
	if (!hci_command_packet_decode(packet, &p)) {
		put_malformed(t, packet);
		return;
	}
	put_message(t, hci_command_find(p.opcode), p.opcode, p.parameters);
}

/* Return parameters: with an error they may be the status alone, so that their row does not decode. */
static void put_return(struct text *t, const struct hci_event_command_complete *e)
{
	const struct wire_message *row = hci_return_find(e->opcode);

	if (!e->opcode)			/* no command: only credits are told, Vol 4 Part E 7.7.14 */
		return;
	if (row && e->parameters.len == 1 && e->parameters.at[0]) {
		text_word(t, row->name);
		text_uint(t, "status", e->parameters.at[0]);
		return;
	}
	put_message(t, row, e->opcode, e->parameters);
}

static void print_event(struct bytes packet, struct text *t)
{
	struct hci_event_packet p;
	struct hci_event_command_complete complete;
	struct hci_event_command_status status;
	struct hci_event_le_meta meta;
	const struct wire_message *row;

	text_word(t, "event");
	if (!hci_event_packet_decode(packet, &p)) {
		put_malformed(t, packet);
		return;
	}
	if (p.code == HCI_EVENT_LE_META && hci_event_le_meta_decode(p.parameters, &meta)) {
		text_word(t, "le_meta");
		put_message(t, hci_le_event_find(meta.subevent), meta.subevent, meta.parameters);
	} else if (p.code == HCI_EVENT_COMMAND_COMPLETE && hci_event_command_complete_decode(p.parameters, &complete)) {
		text_word(t, "command_complete");
		text_uint(t, "num_packets", complete.num_packets);
		text_hex(t, "opcode", complete.opcode);
		put_return(t, &complete);
	} else {
		put_message(t, hci_event_find(p.code), p.code, p.parameters);
		if (p.code != HCI_EVENT_COMMAND_STATUS || !hci_event_command_status_decode(p.parameters, &status))
			return;
		row = hci_command_find(status.opcode);
		if (row)
			text_word(t, row->name);
	}
}

/* A signalling frame: on ACL-U it may hold several commands, Vol 3 Part A 4. */
static void put_signalling(struct text *t, struct bytes payload)
{
	while (payload.len) {
		struct l2cap_frame_signalling s;
		struct bytes data;

		if (!l2cap_frame_signalling_decode(payload, &s) || s.length > s.data.len) {
			put_malformed(t, payload);
			return;
		}
		data = (struct bytes){ s.data.at, s.length };
		put_message(t, l2cap_find(s.code), s.code, data);
		text_uint(t, "identifier", s.identifier);
		payload = (struct bytes){ s.data.at + s.length, s.data.len - s.length };
	}
}

static void put_channel(struct text *t, unsigned cid, struct bytes payload)
{
	struct rd r = rd_from(payload);
	unsigned code = 0;
	struct bytes body;

	if (cid == L2CAP_CID_ATT || cid == L2CAP_CID_SMP || cid == L2CAP_CID_SMP_BR_EDR)
		code = (unsigned)rd_le(&r, 1);
	body = rd_take(&r, rd_left(&r));
	if (!rd_ok(&r)) {
		put_malformed(t, payload);
	} else if (cid == L2CAP_CID_ATT) {
		text_word(t, "att");
		put_message(t, att_find(code), code, body);
	} else if (cid == L2CAP_CID_SMP || cid == L2CAP_CID_SMP_BR_EDR) {
		text_word(t, "smp");
		put_message(t, smp_find(code), code, body);
	} else if (cid == L2CAP_CID_LE_SIGNALLING || cid == L2CAP_CID_SIGNALLING) {
		put_signalling(t, body);
	} else {
		text_bytes(t, "data", body);
	}
}

void print_l2cap(struct bytes frame, struct text *t)
{
	struct l2cap_frame_basic f;

	text_word(t, "l2cap");
	if (!l2cap_frame_basic_decode(frame, &f)) {
		text_bytes(t, "part", frame);
		return;
	}
	text_hex(t, "cid", f.cid);
	if (f.length == f.payload.len) {
		put_channel(t, f.cid, f.payload);
		return;
	}
	text_uint(t, "length", f.length);
	text_bytes(t, "part", f.payload);
}

static void print_acl(struct bytes packet, struct text *t)
{
	struct hci_acl_packet p;

	text_word(t, "acl");
	if (!hci_acl_packet_decode(packet, &p)) {
		put_malformed(t, packet);
		return;
	}
	text_hex(t, "handle", p.handle);
	text_uint(t, "boundary", p.boundary);
	if (p.boundary == HCI_CONTINUING)
		text_bytes(t, "part", p.data);
	else
		print_l2cap(p.data, t);
}

static void print_sco(struct bytes packet, struct text *t)
{
	struct hci_sco_packet p;

	text_word(t, "sco");
	if (!hci_sco_packet_decode(packet, &p)) {
		put_malformed(t, packet);
		return;
	}
	text_hex(t, "handle", p.handle);
	text_uint(t, "status", p.status);
	text_bytes(t, "data", p.data);
}

static void print_iso(struct bytes packet, struct text *t)
{
	struct hci_iso_packet p;

	text_word(t, "iso");
	if (!hci_iso_packet_decode(packet, &p)) {
		put_malformed(t, packet);
		return;
	}
	text_hex(t, "handle", p.handle);
	text_uint(t, "boundary", p.boundary);
	text_uint(t, "timestamp", p.timestamp);
	text_bytes(t, "load", p.load);
}

void print_hci(uint8_t type, struct bytes packet, struct text *t)
{
	switch (type) {
	case RECORD_HCI_COMMAND: print_command(packet, t); break;
	case RECORD_HCI_ACL: print_acl(packet, t); break;
	case RECORD_HCI_SCO: print_sco(packet, t); break;
	case RECORD_HCI_EVENT: print_event(packet, t); break;
	case RECORD_HCI_ISO: print_iso(packet, t); break;
	default:
		text_word(t, "unknown");
		text_hex(t, "type", type);
		text_bytes(t, "data", packet);
	}
}

void print_h4(struct bytes packet, struct text *t)
{
	struct rd r = rd_from(packet);
	uint8_t type = (uint8_t)rd_le(&r, 1);

	if (rd_ok(&r))
		print_hci(type, rd_take(&r, rd_left(&r)), t);
	else
		text_word(t, "empty");
}
