/* transportd/program.h - the daemon as the runtime sees it. */
#pragma once
#include "runtime/program.h"

extern const struct program transportd_program;
extern const char *transportd_btsnoop;		/* --btsnoop FILE: both directions; NULL: no capture.  Set before program_main */
