/* transportd/replay.h - struct program: replay.  The stream once more, over what a recording says that its calls said. */
#pragma once

struct replay;

void transportd_replay(struct replay *r);
extern const char *const transportd_own_entries[];	/* stream_os.h */
