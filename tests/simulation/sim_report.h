/* tests/simulation/sim_report.h - what struck where: tables, pace, and cells that nothing struck. */
#pragma once
#include "tests/simulation/sim.h"

void report_tables(const struct sim_totals *t);
/* Lines "told: ..." for tests/run.py. */
void report_pace(const struct sim_totals *t, double wall_s, double cpu_s);
/* Names each cell that is zero and should not be; returns how many. */
unsigned report_zeros(const struct sim_totals *t);
