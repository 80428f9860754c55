/* tests/lib/kill_depth.h - $TREFOIL_DEPTH: 0 in `make check`, 1 in `make soak`, where the kill tests leave nothing out. */
#pragma once
#include <stdbool.h>
#include <stdlib.h>

static inline bool kill_deep(void) { return getenv("TREFOIL_DEPTH") && atoi(getenv("TREFOIL_DEPTH")) > 0; }
