/* Commands: from opcode to row, and back to exactly one Command Complete or Command Status. */
#include "airsim/core/state.h"

enum kind { COMPLETE, STATUS, HANDLE_COMPLETE };	/* see commands.def */
#define KIND_COMPLETE COMPLETE
#define KIND_STATUS STATUS
#define KIND_HANDLE HANDLE_COMPLETE

struct row {
	uint16_t opcode;
	uint8_t octet, bit, kind, returns;
	uint8_t (*run)(struct air *a, unsigned id, struct bytes parameters, struct wr *ret);
};

static const struct row rows[] = {
#define AIR_COMMAND(OPCODE, name, octet, bit, kind, returns) \
	{ HCI_COMMAND_##OPCODE, octet, bit, KIND_##kind, returns, air_cmd_##name },
#include "airsim/core/commands.def"
#undef AIR_COMMAND
};

void air_supported_commands(uint8_t ret_commands[64])
{
	memset(ret_commands, 0, 64);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ret_commands[rows[i].octet] |= (uint8_t)(1u << rows[i].bit);
}

static const struct row *row_find(uint16_t opcode)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].opcode == opcode)
			return &rows[i];
	return NULL;
}

static void answer_status(struct air *a, uint32_t answer, uint16_t opcode, uint8_t status)
{
	uint8_t buf[8];
	struct wr w = wr_into(buf, sizeof buf);

	hci_event_command_status_encode(&(struct hci_event_command_status){ status, 1, opcode }, &w);
	air_event_fill(a, answer, HCI_EVENT_COMMAND_STATUS, &w);
}

/* A refusal has all return parameters too, zero but for status and handle: hosts decode them by length. */
static void refuse(const struct row *row, uint8_t status, struct bytes parameters, struct wr *ret)
{
	ret->at = ret->start;
	wr_le(ret, status, 1);
	if (row->kind == HANDLE_COMPLETE && parameters.len >= 2)
		wr_bytes(ret, (struct bytes){ parameters.at, 2 });
	while (wr_len(ret) < row->returns)
		wr_le(ret, 0, 1);
}

void air_on_command(struct air *a, unsigned id, struct bytes packet)
{
	struct hci_command_packet p;
	uint8_t returns[AIR_EVENT_MAX], buf[AIR_EVENT_MAX], status;
	struct wr ret = wr_into(returns, sizeof returns), w = wr_into(buf, sizeof buf);
	const struct row *row;
	uint32_t answer;

	if (!hci_command_packet_decode(packet, &p)) {
		a->counters.malformed++;
		return;
	}
	a->counters.commands++;
	/* The answer takes its place before the events that the command causes. */
	answer = air_room(a, id, AIR_ROOM_COMMAND) ? air_event_reserve(a, id) : AIR_NO_INDEX;
	if (answer == AIR_NO_INDEX) {		/* only if the caller did not ask air_host_ready() */
		a->counters.commands_refused++;
		return;
	}
	row = row_find(p.opcode);
	status = row ? row->run(a, id, p.parameters, &ret) : HCI_ERROR_UNKNOWN_HCI_COMMAND;
	if (status)
		a->counters.commands_refused++;
	if (!row || row->kind == STATUS) {
		answer_status(a, answer, p.opcode, status);
		return;
	}
	if (status)
		refuse(row, status, p.parameters, &ret);
	else if (!wr_len(&ret))
		wr_le(&ret, HCI_SUCCESS, 1);
	hci_event_command_complete_encode(
	    &(struct hci_event_command_complete){ 1, p.opcode, { returns, wr_len(&ret) } }, &w);
	air_event_fill(a, answer, HCI_EVENT_COMMAND_COMPLETE, &w);
}
