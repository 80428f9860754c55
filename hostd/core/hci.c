/* hostd/core/hci.c - the command queue, Core 5.4 Vol 4 Part E 4.4. */
#include "hostd/core/host.h"
#include "wire/hci_error.h"
#include "wire/hci_packet.h"

static struct commands *commands_change(struct host *h) { return commands_edit(h->arena, the_commands(h)); }

void hci_reset_queue(struct host *h)
{
	struct commands *q = commands_change(h);

	memset(q->pending, 0, sizeof q->pending);
	q->pending_count = 0;
	q->credits = 1;		/* 4.4: the host may send one command before it is told how many */
	q->starved_ns = 0;
	fifo_pop(q, queue, NULL, fifo_len(q, queue));
}

bool hci_send(struct host *h, uint16_t opcode, const struct wr *parameters)
{
	struct commands *q = commands_change(h);
	uint8_t header[HCI_COMMAND_HEADER];
	struct wr w = wr_into(header, sizeof header);
	uint32_t len = (uint32_t)wr_len(parameters);

	if (fifo_room(q, queue) < sizeof header + len) {
		count(h, COUNT_commands_unqueued);
		return false;
	}
	hci_command_header(&w, opcode, (uint8_t)len);
	fifo_push(h->arena, q, queue, header, sizeof header);
	fifo_push(h->arena, q, queue, parameters->start, len);
	if (!q->credits && !q->pending_count && !q->starved_ns)
		q->starved_ns = h->now_ns + COMMAND_DEADLINE_NS;
	h->control = true;
	return true;
}

static bool can_send(const struct commands *q)
{
	return q->credits && q->pending_count < PENDING_COMMANDS && fifo_len(q, queue);
}

/* Put the oldest command into the ring, and remember whom its answer concerns: all that name a connection do so first. */
static void send_next(struct host *h, struct commands *q)
{
	uint8_t header[HCI_COMMAND_HEADER] = { 0 }, *at;
	struct pending p;
	uint32_t len;

	fifo_peek(q, queue, 0, header, sizeof header);
	len = header[2];
	at = step_reserve(h->step, LINK_UP, (uint32_t)sizeof header + len);
	fifo_pop(q, queue, at, (uint32_t)sizeof header + len);
	step_give(h->step, LINK_UP, (struct record){ .len = (uint32_t)sizeof header + len, .kind = RECORD_HCI_COMMAND });
	p = (struct pending){
		.deadline_ns = h->now_ns + COMMAND_DEADLINE_NS,
		.opcode = (uint16_t)(header[0] | header[1] << 8),
	};
	if (len >= 2)
		p.handle = (uint16_t)(at[3] | at[4] << 8);
	q->pending[q->pending_count++] = p;
	q->credits--;
	count(h, COUNT_commands);
}

void hci_pump(struct host *h)
{
	if (!can_send(the_commands(h)))
		return;
	do
		send_next(h, commands_change(h));
	while (can_send(the_commands(h)));
}

/* Num_HCI_Command_Packets: what the controller takes now, 7.7.14. */
static void set_credits(struct host *h, uint8_t n)
{
	struct commands *q;

	h->control = true;
	if (the_commands(h)->credits == n && !the_commands(h)->starved_ns)
		return;
	q = commands_change(h);
	q->credits = n;
	q->starved_ns = !n && !q->pending_count && fifo_len(q, queue) ? h->now_ns + COMMAND_DEADLINE_NS : 0;
}

/* Take the oldest pending command of that opcode out.  False: it was not asked for, or asked of a former life. */
static bool answered(struct host *h, uint16_t opcode, struct pending *ret)
{
	const struct commands *q = the_commands(h);
	struct commands *e;
	unsigned i = 0;

	while (i < q->pending_count && q->pending[i].opcode != opcode)
		i++;
	if (i == q->pending_count)
		return false;
	*ret = q->pending[i];
	e = commands_change(h);
	e->pending_count--;
	memmove(e->pending + i, e->pending + i + 1, (e->pending_count - i) * sizeof *e->pending);
	e->pending[e->pending_count] = (struct pending){ 0 };
	return true;
}

/* Whoever asked hears of it.  What nobody waits for (answers to a peer's requests) may fail: the connection then says so. */
static void deliver(struct host *h, const struct pending *p, struct bytes ret)
{
	uint8_t status = ret.len ? ret.at[0] : HCI_ERROR_UNSPECIFIED_ERROR;

	if (bringup_on_return(h, p->opcode, ret) || advertising_on_return(h, p->opcode, status))
		return;
	if (p->opcode == HCI_COMMAND_DISCONNECT)
		connection_on_disconnect_status(h, p->handle, status);
}

void hci_on_command_complete(struct host *h, const struct hci_event_command_complete *m)
{
	struct pending p;
	bool ours = m->opcode && answered(h, m->opcode, &p);

	set_credits(h, m->num_packets);
	if (ours)
		deliver(h, &p, m->parameters);
	else if (m->opcode)		/* 0x0000: it only says how many commands may come */
		count(h, COUNT_answers_unasked);
}

/* Commands whose Command Status is all the answer that there is: an event of their own tells the end. */
static bool answered_by_status(uint16_t opcode)
{
	return opcode == HCI_COMMAND_DISCONNECT || opcode == HCI_COMMAND_LE_CONNECTION_UPDATE;
}

void hci_on_command_status(struct host *h, const struct hci_event_command_status *m)
{
	bool ends = m->status || answered_by_status(m->opcode);
	struct pending p;
	bool ours = m->opcode && ends && answered(h, m->opcode, &p);

	set_credits(h, m->num_packets);
	if (ours)
		deliver(h, &p, (struct bytes){ &m->status, 1 });
	else if (m->opcode && ends)
		count(h, COUNT_answers_unasked);
}

void hci_on_time(struct host *h)
{
	const struct commands *q = the_commands(h);
	bool late = q->pending_count && q->pending[0].deadline_ns <= h->now_ns;
	bool starved = q->starved_ns && q->starved_ns <= h->now_ns;

	if (!late && !starved)
		return;
	if (the_radio(h)->state != HOST_UP && the_radio(h)->state != HOST_BRINGING_UP) {
		hci_reset_queue(h);	/* nobody waits for it: host_recover would leave it, and its deadline, as they are */
		return;
	}
	count(h, COUNT_command_timeouts);
	if (starved)
		commands_change(h)->starved_ns = 0;
	host_recover(h, late ? "no answer to a command" : "no command credits");
}

uint64_t hci_deadline(const struct host *h)
{
	const struct commands *q = the_commands(h);
	uint64_t at = DEADLINE_NONE;

	if (can_send(q) && host_has_up(h))
		return 0;
	if (q->pending_count)
		at = q->pending[0].deadline_ns;
	return q->starved_ns && q->starved_ns < at ? q->starved_ns : at;
}
