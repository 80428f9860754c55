/* tests/simulation/sim_report.c - see sim_report.h. */
#include "tests/simulation/sim_report.h"

static const char *const fault_names[] = {
#define ROW(n) #n,
	SIM_FAULTS(ROW) SIM_LIES(ROW)
#undef ROW
};
static const char *const place_names[] = {
#define ROW(n) #n,
	SIM_PLACES(ROW)
#undef ROW
};
static const char *const invariant_names[] = {
#define ROW(n) #n,
	SIM_INVARIANTS(ROW)
#undef ROW
};
static const char *const who_names[] = { "transportd", "hostd", "gattd" };

const char *sim_fault_name(unsigned f) { return fault_names[f]; }
const char *sim_place_name(unsigned p) { return place_names[p]; }
const char *sim_invariant_name(unsigned i) { return invariant_names[i]; }
const char *sim_who_name(unsigned w) { return who_names[w]; }

/* What a worker can have in its hands when it dies. */
#define T 1u << TRANSPORTD
#define H 1u << HOSTD
#define G 1u << GATTD
static const struct { uint8_t kind; const char *name; unsigned who; } kinds[] = {
	{ KIND_START, "(recovery)", T | H | G },
	{ KIND_BETWEEN, "(between records)", H | G },
	{ KIND_LINE, "(octets of the line)", T },
	{ KIND_ACT, "(on time)", H | G },
	{ RECORD_HCI_COMMAND, "HCI_COMMAND", T },
	{ RECORD_HCI_ACL, "HCI_ACL", T | H },
	{ RECORD_HCI_EVENT, "HCI_EVENT", H },
	{ RECORD_TRANSPORT_STATE, "TRANSPORT_STATE", H },
	{ RECORD_CONNECTED, "CONNECTED", G },
	{ RECORD_DISCONNECTED, "DISCONNECTED", G },
	{ RECORD_L2CAP_PDU, "L2CAP_PDU", H | G },
	{ RECORD_CREDIT, "CREDIT", H | G },
	{ RECORD_DISCONNECT, "DISCONNECT", H },
	{ RECORD_CONFIG, "CONFIG", T | H | G },
	{ RECORD_REQUEST, "REQUEST", T | H | G },
	{ RECORD_NEIGHBOUR_LOST, "NEIGHBOUR_LOST", H | G },
	{ RECORD_NEIGHBOUR_AWAY, "NEIGHBOUR_AWAY", H },
	{ RECORD_NEIGHBOUR_BACK, "NEIGHBOUR_BACK", H },
};
#undef T
#undef H
#undef G

static const char *const sup_places[SUP_PLACES] = { "(between)", "record taken", "records not shown", "not kicked" };

static void head(const char *what)
{
	printf("%-24s", what);
	for (unsigned w = 0; w < SIM_WORKERS; w++)
		printf("%12s", who_names[w]);
	putchar('\n');
}

void report_tables(const struct sim_totals *t)
{
	head("deaths, by store");
	for (unsigned p = 0; p < PLACES; p++) {
		printf("  %-22s", place_names[p]);
		for (unsigned w = 0; w < SIM_WORKERS; w++)
			printf("%12llu", (unsigned long long)t->place[w][p]);
		putchar('\n');
	}
	head("deaths, by record");
	for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
		printf("  %-22s", kinds[k].name);
		for (unsigned w = 0; w < SIM_WORKERS; w++)
			if (kinds[k].who >> w & 1)
				printf("%12llu", (unsigned long long)t->kind[w][kinds[k].kind]);
			else
				printf("%12s", "-");
		putchar('\n');
	}
	head("supervisors' deaths");
	for (unsigned p = 0; p < SUP_PLACES; p++) {
		printf("  %-22s", sup_places[p]);
		for (unsigned w = 0; w < SIM_WORKERS; w++)
			printf("%12llu", (unsigned long long)t->supervisor[w][p]);
		putchar('\n');
	}
	head("lies to a neighbour");
	for (unsigned n = 0; n < NEIGHBOUR_LIES; n++) {
		printf("  %-22s%12s", fault_names[FAULT_neighbour_length + n], "-");
		for (unsigned w = HOSTD; w <= GATTD; w++)
			printf("%12llu", (unsigned long long)t->neighbour[w][n]);
		putchar('\n');
	}
	printf("faults\n");
	for (unsigned f = 0; f < FAULTS; f++)
		printf("  %-22s%12llu%s", fault_names[f], (unsigned long long)t->fault[f], f % 2 && f + 1 < FAULTS ? "\n" : "");
	printf("\njudged\n");
	for (unsigned i = 0; i < INVARIANTS; i++)
		printf("  %-22s%12llu%s", invariant_names[i], (unsigned long long)t->checks[i], i % 2 && i + 1 < INVARIANTS ? "\n" : "");
	putchar('\n');
}

void report_pace(const struct sim_totals *t, double wall_s, double cpu_s)
{
	double seeds = t->seeds ? (double)t->seeds : 1;

	printf("told: %llu seeds, %.1f deaths each, %llu packets, %llu PDUs, %llu connections (%llu ended by a fault)\n",
	    (unsigned long long)t->seeds, (double)t->deaths / seeds, (unsigned long long)t->packets, (unsigned long long)t->pdus,
	    (unsigned long long)t->lives, (unsigned long long)t->ended_by_fault);
	printf("told: %.1f s of CPU, %.0f seeds/s of CPU, %.2f virtual hours in %.1f s: %.1f a wall minute\n", cpu_s, seeds / cpu_s,
	    (double)t->virtual_ns / 3.6e12, wall_s, (double)t->virtual_ns / 3.6e12 / (wall_s / 60));
}

static unsigned zero(const char *what, const char *who, uint64_t n)
{
	if (n)
		return 0;
	printf("never: %s%s%s\n", what, *who ? " in " : "", who);
	return 1;
}

unsigned report_zeros(const struct sim_totals *t)
{
	unsigned zeros = 0;

	for (unsigned p = 0; p < PLACES; p++)
		for (unsigned w = 0; w < SIM_WORKERS; w++)
			zeros += zero(place_names[p], who_names[w], t->place[w][p]);
	for (unsigned k = 0; k < ARRAY_LEN(kinds); k++)
		for (unsigned w = 0; w < SIM_WORKERS; w++)
			if (kinds[k].who >> w & 1)
				zeros += zero(kinds[k].name, who_names[w], t->kind[w][kinds[k].kind]);
	for (unsigned p = 0; p < SUP_PLACES; p++)
		for (unsigned w = 0; w < SIM_WORKERS; w++)
			zeros += zero(sup_places[p], who_names[w], t->supervisor[w][p]);
	for (unsigned n = 0; n < NEIGHBOUR_LIES; n++)
		for (unsigned w = HOSTD; w <= GATTD; w++)
			zeros += zero(fault_names[FAULT_neighbour_length + n], who_names[w], t->neighbour[w][n]);
	for (unsigned f = 0; f < FAULTS; f++)
		zeros += zero(fault_names[f], "", t->fault[f]);
	for (unsigned i = 0; i < INVARIANTS; i++)
		zeros += zero(invariant_names[i], "", t->checks[i]);
	return zeros;
}
