/* bench/central.c */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "base/record.h"
#include "base/types.h"
#include "bench/central.h"
#include "wire/hci_list.h"
#include "wire/hci_packet.h"
#include "wire/wire.h"

enum { COMMAND_MS = 5000 };

__attribute__((format(printf, 2, 3)))
static void break_it(struct central *c, const char *fmt, ...)
{
	va_list ap;

	if (*c->broken)
		return;
	va_start(ap, fmt);
	vsnprintf(c->broken, sizeof c->broken, fmt, ap);
	va_end(ap);
}

static int dial(const char *where)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET };
	const char *colon = strrchr(where, ':');
	int fd, one = 1;

	if (*where == '/' || *where == '.' || !colon) {
		if (strlen(where) >= sizeof un.sun_path)
			return -ENAMETOOLONG;
		strcpy(un.sun_path, where);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		return fd < 0 || connect(fd, (struct sockaddr *)&un, sizeof un) < 0 ? -errno : fd;
	}
	in.sin_port = htons((uint16_t)atoi(colon + 1));
	inet_pton(AF_INET, "127.0.0.1", &in.sin_addr);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof in) < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static int flush_out(struct central *c)
{
	for (size_t done = 0; done < c->out_len;) {
		ssize_t n = write(c->fd, c->out + done, c->out_len - done);

		if (n < 0 && errno != EINTR)
			return -EPIPE;
		done += n > 0 ? (size_t)n : 0;
	}
	c->out_len = 0;
	return 0;
}

/* ---- what comes in ---- */
static void on_acl(struct central *c, struct bytes packet)
{
	struct hci_acl_packet acl;
	size_t need;

	if (!hci_acl_packet_decode(packet, &acl) || !c->connected || acl.handle != c->handle)
		return break_it(c, "ACL packet that is malformed or of another connection");
	if (acl.boundary == HCI_CONTINUING ? !c->pdu_len : c->pdu_len != 0)
		return break_it(c, "ACL fragment out of place");
	if (c->pdu_len + acl.data.len > sizeof c->pdu)
		return break_it(c, "PDU over %u octets", CENTRAL_PDU_MAX);
	memcpy(c->pdu + c->pdu_len, acl.data.at, acl.data.len);
	c->pdu_len += acl.data.len;
	if (c->pdu_len < 4)
		return;
	need = 4u + c->pdu[0] + 256u * c->pdu[1];
	if (c->pdu_len > need)
		return break_it(c, "more octets than the L2CAP length says");
	if (c->pdu_len < need)
		return;
	c->pdus_in++;
	c->octets_in += need;
	c->pdu_len = 0;
	if (c->pdu[2] == CID_ATT && !c->pdu[3] && c->on_att)
		c->on_att(c->ctx, (struct bytes){ c->pdu + 4, need - 4 });
}

static void on_completed(struct central *c, struct bytes parameters)
{
	struct hci_event_number_of_completed_packets e;
	struct hci_completed_list list;
	struct hci_completed item;

	if (!hci_event_number_of_completed_packets_decode(parameters, &e) || !hci_completed_open(e.count, e.items, &list))
		return break_it(c, "malformed Number Of Completed Packets");
	while (hci_completed_next(&list, &item)) {
		if (item.count > c->in_controller)
			return break_it(c, "%u packets completed, %u were outstanding", item.count, c->in_controller);
		c->in_controller = (uint16_t)(c->in_controller - item.count);
	}
}

static void on_connected(struct central *c, struct bytes parameters)
{
	struct hci_le_event_connection_complete e;

	if (!hci_le_event_connection_complete_decode(parameters, &e))
		return break_it(c, "malformed LE Connection Complete");
	if (e.status)
		return break_it(c, "connecting failed, status 0x%02X", e.status);
	c->connected = true;
	c->handle = e.handle;
}

static void answered(struct central *c, uint16_t opcode, struct bytes with)
{
	if (opcode != c->waiting)
		return;
	c->waiting = 0;
	c->answer_len = MIN(with.len, sizeof c->answer);
	memcpy(c->answer, with.at, c->answer_len);
}

static void on_event(struct central *c, struct bytes packet)
{
	struct hci_event_command_complete complete;
	struct hci_event_command_status status;
	struct hci_event_disconnection_complete gone;
	struct hci_event_packet e;

	if (!hci_event_packet_decode(packet, &e))
		return break_it(c, "malformed event");
	if (e.code == HCI_EVENT_NUMBER_OF_COMPLETED_PACKETS)
		return on_completed(c, e.parameters);
	if (e.code == HCI_EVENT_COMMAND_COMPLETE && hci_event_command_complete_decode(e.parameters, &complete))
		return answered(c, complete.opcode, complete.parameters);
	if (e.code == HCI_EVENT_COMMAND_STATUS && hci_event_command_status_decode(e.parameters, &status))
		return answered(c, status.opcode, (struct bytes){ &status.status, 1 });
	if (e.code == HCI_EVENT_LE_META && e.parameters.len && e.parameters.at[0] == HCI_LE_EVENT_CONNECTION_COMPLETE)
		return on_connected(c, (struct bytes){ e.parameters.at + 1, e.parameters.len - 1 });
	if (e.code == HCI_EVENT_DISCONNECTION_COMPLETE && hci_event_disconnection_complete_decode(e.parameters, &gone)) {
		c->connected = false;
		c->disconnect_reason = gone.reason;
		c->in_controller = 0;
		c->pdu_len = 0;
	}
}

/* One packet off the front of the buffer.  Returns its octets, 0 if it is not whole yet. */
static size_t take_packet(struct central *c, const uint8_t *at, size_t len)
{
	size_t whole;

	if (len < 5 && !(len >= 3 && at[0] == RECORD_HCI_EVENT))
		return 0;
	whole = at[0] == RECORD_HCI_EVENT ? 3u + at[2] : 5u + at[3] + 256u * at[4];
	if (at[0] != RECORD_HCI_EVENT && at[0] != RECORD_HCI_ACL) {
		break_it(c, "H4 type octet 0x%02X", at[0]);
		return 0;
	}
	if (len < whole)
		return 0;
	if (at[0] == RECORD_HCI_EVENT)
		on_event(c, (struct bytes){ at + 1, whole - 1 });
	else
		on_acl(c, (struct bytes){ at + 1, whole - 1 });
	return whole;
}

int central_turn(struct central *c, int timeout_ms)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	size_t done = 0, n;
	ssize_t got;

	if (flush_out(c))
		return -EPIPE;
	if (poll(&p, 1, timeout_ms) <= 0)
		return *c->broken ? -EPROTO : 0;
	got = read(c->fd, c->in + c->in_len, sizeof c->in - c->in_len);
	if (got <= 0)
		return -EPIPE;
	c->in_len += (size_t)got;
	while (!*c->broken && (n = take_packet(c, c->in + done, c->in_len - done)))
		done += n;
	memmove(c->in, c->in + done, c->in_len - done);
	c->in_len -= done;
	return *c->broken ? -EPROTO : 0;
}

/* ---- what goes out ---- */
static int command(struct central *c, uint16_t opcode, struct bytes parameters)
{
	struct wr w = wr_into(c->out + c->out_len, sizeof c->out - c->out_len);
	struct timespec start, now;
	int r = 0;

	wr_le(&w, RECORD_HCI_COMMAND, 1);
	hci_command_header(&w, opcode, (uint8_t)parameters.len);
	wr_bytes(&w, parameters);
	c->out_len += wr_len(&w);
	c->waiting = opcode;
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (c->waiting && !r) {
		r = central_turn(c, 100);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec > COMMAND_MS / 1000)
			return break_it(c, "no answer to command 0x%04X", opcode), -ETIMEDOUT;
	}
	if (!r && c->answer_len && c->answer[0])
		return break_it(c, "command 0x%04X: status 0x%02X", opcode, c->answer[0]), -EPROTO;
	return r;
}

int central_open(struct central *c, const char *where)
{
	struct hci_return_le_read_buffer_size size;
	static const uint8_t events[8] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x3D }, le_events[8] = { 0x0F };
	int r;

	c->fd = dial(where);
	if (c->fd < 0)
		return c->fd;
	r = command(c, HCI_COMMAND_RESET, (struct bytes){ 0 });
	if (!r)
		r = command(c, HCI_COMMAND_SET_EVENT_MASK, (struct bytes){ events, 8 });
	if (!r)
		r = command(c, HCI_COMMAND_LE_SET_EVENT_MASK, (struct bytes){ le_events, 8 });
	if (!r)
		r = command(c, HCI_COMMAND_LE_READ_BUFFER_SIZE, (struct bytes){ 0 });
	if (r)
		return r;
	if (!hci_return_le_read_buffer_size_decode((struct bytes){ c->answer, c->answer_len }, &size) || !size.acl_length || !size.acl_packets)
		return break_it(c, "no LE buffers"), -EPROTO;
	c->acl_len = size.acl_length;
	c->acl_count = size.acl_packets;
	return 0;
}

int central_connect(struct central *c, const uint8_t peer[6], uint8_t peer_type, int timeout_ms)
{
	struct hci_command_le_create_connection m = { .scan_interval = 0x0010, .scan_window = 0x0010, .peer_type = peer_type,
		.interval_min = 6, .interval_max = 6, .timeout = 500 };
	uint8_t body[32];
	struct wr w = wr_into(body, sizeof body);
	int r;

	memcpy(m.peer, peer, 6);
	hci_command_le_create_connection_encode(&m, &w);
	r = command(c, HCI_COMMAND_LE_CREATE_CONNECTION, (struct bytes){ body, wr_len(&w) });
	for (int waited = 0; !r && !c->connected; waited += 50) {
		if (waited > timeout_ms)
			return break_it(c, "not connected after %d ms", timeout_ms), -ETIMEDOUT;
		r = central_turn(c, 50);
	}
	return r;
}

static unsigned fragments(const struct central *c, size_t pdu_len) { return (unsigned)((pdu_len + 4 + c->acl_len - 1) / c->acl_len); }

bool central_may_send(const struct central *c, size_t len)
{
	return c->in_controller + fragments(c, len) <= c->acl_count && c->out_len + len + 64 < sizeof c->out;
}

void central_send_att(struct central *c, struct bytes pdu)
{
	uint8_t frame[CENTRAL_PDU_MAX + 4];
	struct wr f = wr_into(frame, sizeof frame), w = wr_into(c->out + c->out_len, sizeof c->out - c->out_len);
	size_t len;

	wr_le(&f, pdu.len, 2);
	wr_le(&f, CID_ATT, 2);
	wr_bytes(&f, pdu);
	len = wr_len(&f);
	for (size_t at = 0; at < len; at += c->acl_len) {
		size_t n = MIN(len - at, (size_t)c->acl_len);

		wr_le(&w, RECORD_HCI_ACL, 1);
		hci_acl_header(&w, c->handle, at ? HCI_CONTINUING : HCI_FIRST_NON_FLUSHABLE, (uint16_t)n);
		wr_bytes(&w, (struct bytes){ frame + at, n });
		c->in_controller++;
	}
	c->out_len += wr_len(&w);
	c->pdus_out++;
}

int central_disconnect(struct central *c)
{
	struct hci_command_disconnect m = { .handle = c->handle, .reason = 0x13 };
	uint8_t body[8];
	struct wr w = wr_into(body, sizeof body);
	int r;

	hci_command_disconnect_encode(&m, &w);
	r = command(c, HCI_COMMAND_DISCONNECT, (struct bytes){ body, wr_len(&w) });
	for (int waited = 0; !r && c->connected && waited < 5000; waited += 50)
		r = central_turn(c, 50);
	return r ? r : c->connected ? -ETIMEDOUT : 0;
}

void central_close(struct central *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}
