/* tests/lib/story_gattd.h - a tape of gattd's whole day, made by playing it to a rig once: configuration, two clients, MTU,
 * discovery, reads, writes with and without response, echo, notifications to both, indication and confirmation, prepared writes,
 * credit that runs out, an operator's changes, pairing refused, disconnection, records in quarantine. */
#pragma once
#include "tests/lib/tape.h"

struct tape *story_gattd(void);		/* owned by the caller: tape_free */
