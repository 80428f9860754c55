/* tests/lib/story_mill.h - a tape of the mill (tests/lib/mill.h): a hundred notes by seed, with its queues running over.  Short
 * steps and few octets: every store of shm/ is met within some thousand instructions. */
#pragma once
#include "tests/lib/tape.h"

struct tape *story_mill(uint32_t seed);		/* owned by the caller: tape_free */
