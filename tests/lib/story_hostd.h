/* tests/lib/story_hostd.h - a tape of hostd's whole day, made by playing it to a rig once: bring-up, connections, data in pieces
 * both ways, buffers and windows that run out, signalling, early data, requests, disconnection from both sides, work on time, records
 * in quarantine. */
#pragma once
#include "tests/lib/tape.h"

struct tape *story_hostd(void);		/* owned by the caller: tape_free */
