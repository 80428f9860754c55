/* cli/gatt_stream.h - requests under way to gattd, each with an id of its own.
 *
 * An answer that is lost (a daemon dies in between) is asked for again by the same id over a new link: what was done is not done
 * twice.  Up to GATT_WINDOW requests are under way; they are done in the order in which they were asked.  Answers may come in
 * another: an old copy of a request that its ring still held is answered before the one asked again. */
#pragma once
#include "base/bytes.h"
#include "cli/client.h"

enum { GATT_WINDOW = 16, GATT_BODY_MAX = 544, GATT_WHY_MAX = 96 };

struct gatt_request {
	uint8_t id[CONTROL_ID_LEN], body[GATT_BODY_MAX];
	size_t len;
	unsigned long line;
	bool answered;
	uint32_t result;
	char why[GATT_WHY_MAX];
};
struct gatt_stream {
	struct cli *cli;
	struct client client;
	struct gatt_request at[GATT_WINDOW];	/* first .. first + count - 1, oldest first */
	unsigned first, count;
	bool connected, progress;
	void (*on_answer)(void *ctx, const struct gatt_request *q);	/* in order */
	void *ctx;
};

/* Dial.  Returns 0, -errno as client_open. */
int gatt_stream_open(struct gatt_stream *s);
static inline bool gatt_stream_full(const struct gatt_stream *s) { return s->count == GATT_WINDOW; }
/* Ask for verb "gatt_set" with `body`.  The stream must not be full.  Returns 0, -errno. */
int gatt_stream_ask(struct gatt_stream *s, struct bytes body, unsigned long line);
/* Wait until on_answer was called at least once, or (other_fd >= 0) until that descriptor has something to read.
 * Returns 0, -errno. */
int gatt_stream_wait(struct gatt_stream *s, int other_fd);
