/* tests/simulation/sim_line.c - the air, and H4 between our controller and the model socket, as airsim/host_port.c moves it. */
#include "tests/simulation/sim_story.h"

enum { WAIT_OCTETS = 8192, WAIT_ENOUGH = 2048, H4_MOST = 1 + 4 + 2048 };

struct air *sim_air;
const uint8_t sim_our_address[6] = { 0xF5, 0xF4, 0xF3, 0xF2, 0xF1, 0xF0 };
static uint8_t wait_octets[WAIT_OCTETS];
static struct { struct sim_queue wait; uint64_t next_ns; } line;

void sim_line_open(void)
{
	line.wait = (struct sim_queue){ .at = wait_octets, .cap = WAIT_OCTETS };
	line.next_ns = NEVER;
}

void sim_line_kick(uint64_t after_ns) { line.next_ns = min64(line.next_ns, sim.now_ns + after_ns); }
void sim_line_put(const uint8_t *packet, uint32_t n) { sim_queue_put(&line.wait, packet, n); }

/* Octets of the packet at the front of what transportd wrote; 0: not whole yet. */
static uint32_t whole(const uint8_t *at, uint32_t n)
{
	uint32_t need;

	if (n < 4)
		return 0;
	if (at[0] == RECORD_HCI_COMMAND)
		need = 4u + at[3];
	else
		need = n < 5 ? 5 : 5u + at[3] + 256u * at[4];
	return n >= need ? need : 0;
}

static void to_controller(void)
{
	static uint8_t packet[H4_MOST];
	uint32_t n;

	while (air_host_ready(sim_air, OUR_CONTROLLER)) {
		n = whole(packet, sim_socket_peek(packet, sizeof packet));
		if (!n)
			break;
		sim_socket_drop(n);
		sim_tell_bytes("to controller", 0, packet, n);
		sim_digest(packet, n);
		sim.totals->packets++;
		if (packet[0] != RECORD_HCI_COMMAND && packet[0] != RECORD_HCI_ACL)
			sim_fail(INVARIANT_order, "transportd sends type octet 0x%02X", packet[0]);
		air_host_packet(sim_air, OUR_CONTROLLER, packet[0], (struct bytes){ packet + 1, n - 1 });
	}
}

static void from_controller(void)
{
	static uint8_t packet[H4_MOST];
	struct bytes piece;
	uint32_t n;

	while (line.wait.len < WAIT_ENOUGH && air_output(sim_air, OUR_CONTROLLER, &piece, 1)) {
		n = (uint32_t)piece.len;
		memcpy(packet, piece.at, n);
		air_output_taken(sim_air, OUR_CONTROLLER, n);
		sim.totals->packets++;
		sim_lies_pass(packet, n);
	}
	while (line.wait.len && sim_socket_room()) {
		n = min32(min32(line.wait.len, sim_socket_room()), (uint32_t)sizeof packet);
		sim_queue_peek(&line.wait, 0, packet, n);
		sim_queue_drop(&line.wait, n);
		sim_socket_put(packet, n);
	}
}

void sim_line_run(void)
{
	int id;

	if (air_deadline(sim_air) <= sim.now_ns)
		air_advance(sim_air, sim.now_ns);
	if (line.next_ns <= sim.now_ns) {
		air_advance(sim_air, sim.now_ns);
		line.next_ns = NEVER;
		to_controller();
		from_controller();
	}
	while ((id = air_output_next(sim_air)) >= 0) {
		bool late = sim_chance(sim.storm ? 20 : 0);

		if (late)
			sim_hit(FAULT_packets_late);
		if (id == OUR_CONTROLLER)
			sim_line_kick(sim_spread(late ? 30 * MS : sim.packet_most_ns));
		else
			sim_central_readable((unsigned)sim_central_of_controller(id), sim_spread(late ? 30 * MS : sim.packet_most_ns));
	}
}

uint64_t sim_line_next(void)
{
	uint64_t air = air_deadline(sim_air);

	return min64(line.next_ns, max64(air, sim.now_ns));
}

bool sim_line_idle(void) { return !line.wait.len && sim_os_empty() && sim_lies_idle(); }
