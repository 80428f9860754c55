/* bench/far.c - socket, packets, connections.  Commands are answered in far_commands.c. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/record.h"
#include "base/types.h"
#include "bench/far.h"
#include "bench/far_commands.h"
#include "wire/hci_list.h"
#include "wire/hci_packet.h"
#include "wire/wire.h"

enum { CONNECT_TURNS = 200, CONNECT_MS = 50, PAIRS_MAX = 60 };

void far_break(struct far *f, const char *fmt, ...)
{
	va_list ap;

	if (*f->broken)
		return;
	va_start(ap, fmt);
	vsnprintf(f->broken, sizeof f->broken, fmt, ap);
	va_end(ap);
}

int far_open(struct far *f, const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof un.sun_path)
		return -ENAMETOOLONG;
	strcpy(un.sun_path, path);
	f->fd = -1;
	f->in = malloc(FAR_IN);
	f->out = malloc(FAR_OUT);
	if (!f->in || !f->out)
		return -ENOMEM;
	for (unsigned i = 0; i < FAR_LINKS; i++)
		f->link[i].index = (uint16_t)i;
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->listener < 0 || bind(f->listener, (struct sockaddr *)&un, sizeof un) || listen(f->listener, 1))
		return -errno;
	return 0;
}

void far_close(struct far *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->listener >= 0)
		close(f->listener);
	free(f->in);
	free(f->out);
	f->fd = f->listener = -1;
	f->in = f->out = NULL;
}

/* ---- what goes out ---- */
uint8_t *far_att(struct far *f, struct far_link *l, size_t len)
{
	struct wr w = wr_into(f->out + f->out_len, FAR_OUT - f->out_len);

	wr_le(&w, RECORD_HCI_ACL, 1);
	hci_acl_header(&w, (uint16_t)(FAR_FIRST_HANDLE + l->index), HCI_FIRST_FLUSHABLE, (uint16_t)(len + 4));
	wr_le(&w, len, 2);
	wr_le(&w, FAR_CID_ATT, 2);
	f->out_len += wr_len(&w) + len;
	f->acl_out++;
	return w.at;
}

/* Appends an event whose parameters are `body`. */
static void send_event(struct far *f, uint8_t code, struct bytes body)
{
	struct wr w = wr_into(f->out + f->out_len, FAR_OUT - f->out_len);

	wr_le(&w, RECORD_HCI_EVENT, 1);
	hci_event_header(&w, code, (uint8_t)body.len);
	wr_bytes(&w, body);
	f->out_len += wr_len(&w);
}
static void send_le_event(struct far *f, uint8_t subevent, const struct wr *body)
{
	uint8_t buf[64] = { subevent };

	memcpy(buf + 1, body->start, wr_len(body));
	send_event(f, HCI_EVENT_LE_META, (struct bytes){ buf, 1 + wr_len(body) });
}

/* In pieces, if there are more pairs than one event holds. */
static void send_completed(struct far *f)
{
	uint8_t body[1 + 4 * PAIRS_MAX] = { 0 };
	struct wr w = wr_into(body + 1, sizeof body - 1);

	for (unsigned i = 0; i < FAR_LINKS; i++) {
		struct far_link *l = &f->link[i];

		if (l->to_complete && !l->stalled) {
			hci_completed_add(&w, (struct hci_completed){ (uint16_t)(FAR_FIRST_HANDLE + i), l->to_complete });
			f->outstanding -= l->to_complete;
			l->to_complete = 0;
			body[0]++;
		}
		if (body[0] == PAIRS_MAX || (body[0] && i == FAR_LINKS - 1)) {
			send_event(f, HCI_EVENT_NUMBER_OF_COMPLETED_PACKETS, (struct bytes){ body, 1 + wr_len(&w) });
			f->completions++;
			w = wr_into(body + 1, sizeof body - 1);
			body[0] = 0;
		}
	}
}

static void send_connected(struct far *f, uint16_t handle)
{
	uint8_t body[48], peer[6] = { (uint8_t)handle, (uint8_t)(handle >> 8), 0x33, 0x44, 0x55, 0xC6 };
	struct hci_le_event_enhanced_connection_complete e = { .handle = handle, .role = 1, .peer_type = ADDRESS_RANDOM,
		.interval = 6, .timeout = 500 };
	struct hci_le_event_connection_complete plain = { .handle = handle, .role = 1, .peer_type = ADDRESS_RANDOM,
		.interval = 6, .timeout = 500 };
	struct wr w = wr_into(body, sizeof body);

	memcpy(e.peer, peer, 6);
	memcpy(plain.peer, peer, 6);
	if (f->enhanced)
		hci_le_event_enhanced_connection_complete_encode(&e, &w);
	else
		hci_le_event_connection_complete_encode(&plain, &w);
	send_le_event(f, f->enhanced ? HCI_LE_EVENT_ENHANCED_CONNECTION_COMPLETE : HCI_LE_EVENT_CONNECTION_COMPLETE, &w);
}

int far_connect(struct far *f, unsigned i)
{
	int r = 0;

	for (unsigned n = 0; !r && !f->advertising && n < CONNECT_TURNS; n++)
		r = far_turn(f, CONNECT_MS);
	if (r || !f->advertising) {
		far_break(f, "hostd does not advertise for connection %u", i);
		return -EPROTO;
	}
	f->advertising = false;		/* 7.8.9: a connection ends it */
	f->link[i] = (struct far_link){ .index = (uint16_t)i, .open = true };
	send_connected(f, (uint16_t)(FAR_FIRST_HANDLE + i));
	return 0;
}

void far_disconnect(struct far *f, unsigned i)
{
	struct hci_event_disconnection_complete e = { .handle = (uint16_t)(FAR_FIRST_HANDLE + i), .reason = 0x13 };
	uint8_t body[8];
	struct wr w = wr_into(body, sizeof body);

	f->outstanding -= f->link[i].to_complete;
	f->link[i] = (struct far_link){ .index = (uint16_t)i };
	hci_event_disconnection_complete_encode(&e, &w);
	send_event(f, HCI_EVENT_DISCONNECTION_COMPLETE, (struct bytes){ body, wr_len(&w) });
}

/* ---- what comes in ---- */
static void on_acl(struct far *f, struct bytes packet)
{
	struct hci_acl_packet acl;
	unsigned i;

	if (!hci_acl_packet_decode(packet, &acl) || acl.handle < FAR_FIRST_HANDLE || acl.handle >= FAR_FIRST_HANDLE + FAR_LINKS)
		return far_break(f, "ACL packet that is malformed or of no connection");
	i = acl.handle - FAR_FIRST_HANDLE;
	if (!f->link[i].open)
		return;			/* it crossed the disconnection */
	if (++f->outstanding > f->buffers)
		return far_break(f, "%u packets outstanding, %u buffers", f->outstanding, f->buffers);
	if (acl.data.len > f->buffer_octets)
		return far_break(f, "a packet of %zu octets, buffers of %u", acl.data.len, f->buffer_octets);
	f->link[i].to_complete++;
	f->acl_in++;
	if (acl.boundary != HCI_FIRST_NON_FLUSHABLE || acl.data.len < 5 ||
	    acl.data.len != 4u + acl.data.at[0] + 256u * acl.data.at[1])
		return far_break(f, "a frame that is not whole in one packet");
	if (acl.data.at[2] == FAR_CID_ATT && !acl.data.at[3] && f->on_att)
		f->on_att(f->ctx, &f->link[i], (struct bytes){ acl.data.at + 4, acl.data.len - 4 });
}

static void on_command(struct far *f, struct bytes packet)
{
	struct far_answer a = { 0 };

	if (!far_answer_command(f, packet, &a))
		return far_break(f, "malformed command");
	send_event(f, a.event, (struct bytes){ a.body, a.len });
	if (a.disconnected && f->link[a.disconnected - 1].open)
		far_disconnect(f, a.disconnected - 1u);
}

/* One packet off the front.  Returns its octets, 0 if it is not whole yet. */
static size_t take_packet(struct far *f, const uint8_t *at, size_t len)
{
	size_t whole;

	if (len < 5 && !(len == 4 && at[0] == RECORD_HCI_COMMAND))
		return 0;
	if (at[0] != RECORD_HCI_COMMAND && at[0] != RECORD_HCI_ACL) {
		far_break(f, "H4 type octet 0x%02X", at[0]);
		return 0;
	}
	whole = at[0] == RECORD_HCI_COMMAND ? 4u + at[3] : 5u + at[3] + 256u * at[4];
	if (len < whole)
		return 0;
	if (at[0] == RECORD_HCI_COMMAND)
		on_command(f, (struct bytes){ at + 1, whole - 1 });
	else
		on_acl(f, (struct bytes){ at + 1, whole - 1 });
	return whole;
}

static void write_out(struct far *f)
{
	ssize_t n;

	if (!f->out_len)
		return;
	n = send(f->fd, f->out, f->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
	f->writes++;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return far_break(f, "the socket is gone: %s", strerror(errno));
	if (n <= 0)
		return;
	f->out_len -= (size_t)n;
	memmove(f->out, f->out + n, f->out_len);
}

static int wait_for(struct far *f, int timeout_ms)
{
	struct pollfd p = { f->fd, (short)(POLLIN | (f->out_len ? POLLOUT : 0)), 0 };

	if (f->fd < 0)
		p = (struct pollfd){ f->listener, POLLIN, 0 };
	if (poll(&p, 1, timeout_ms) > 0 && f->fd < 0)
		f->fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
	return f->fd < 0 ? -EAGAIN : 0;
}

/* Returns octets read, 0: nothing there. */
static size_t read_in(struct far *f)
{
	ssize_t got = recv(f->fd, f->in + f->in_len, FAR_IN - f->in_len, MSG_DONTWAIT);
	size_t done = 0, n;

	f->reads++;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0)
		far_break(f, "the socket is gone: %s", got ? strerror(errno) : "end of stream");
	if (*f->broken)
		return 0;
	f->in_len += (size_t)got;
	while (!*f->broken && (n = take_packet(f, f->in + done, f->in_len - done)))
		done += n;
	memmove(f->in, f->in + done, f->in_len - done);
	f->in_len -= done;
	send_completed(f);
	return (size_t)got;
}

int far_turn(struct far *f, int timeout_ms)
{
	if (f->fd >= 0) {
		write_out(f);
		if (*f->broken || read_in(f))
			return *f->broken ? -EPROTO : 0;
	}
	if (wait_for(f, timeout_ms))
		return 0;
	read_in(f);
	return *f->broken ? -EPROTO : 0;
}
