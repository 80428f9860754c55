/* transportd/snoop.h - btsnoop capture: what passed the controller's line, as a file that Wireshark and btmon open.
 *
 *   header   "btsnoop\0" | version 1, 32 | datalink 1002 (H4), 32                           all big-endian
 *   record   original length 32 | included length 32 | flags 32 | drops 32 | time 64 | type octet and HCI packet
 *
 * flags: bit 0 set: controller to host; bit 1 set: command or event.  time: microseconds since 719540 days before 1970.
 * drops: packets that capture has missed so far.
 *
 * Guarantees: records reach the file whole.  A batch is one write; what a full disk or a kill cut off is taken away again.
 * Refuses: to go on after a write that failed: the capture ends, the pipeline does not.
 * Capture is best effort: a kill may leave a batch out. */
#pragma once
#include "base/bytes.h"

enum { SNOOP_HEADER = 16, SNOOP_RECORD_HEADER = 24, SNOOP_DATALINK_H4 = 1002 };
enum snoop_direction { SNOOP_SENT = 0, SNOOP_RECEIVED = 1 };	/* as the host sees it */
enum { SNOOP_E_ALIEN = 1 };
#define SNOOP_WHOLE UINT64_MAX

struct snoop {
	int fd;				/* borrowed; -1: no capture */
	uint8_t *buf;			/* owned: the batch under way */
	size_t len, cap;
	uint64_t at;			/* octets of the file, whole records */
	uint32_t batched, missed;	/* packets in the batch; packets lost to capture */
};
#define SNOOP_NONE { .fd = -1 }

/* Open or create a file to append to, mode 0600; a new one gets its header.
 *
 * @ret_fd  the caller's
 *
 * Returns 0; SNOOP_E_ALIEN if the file holds something else; -errno. */
int snoop_open_file(const char *path, int *ret_fd);

/* Begin to capture into `fd`, after taking away what a kill may have left cut behind octet `from`.
 *
 * @from  where whole records end for certain; 0: not known, all are walked; SNOOP_WHOLE: at its end
 * @cap   octets of the largest batch
 *
 * Returns 0; SNOOP_E_ALIEN; -errno. */
int snoop_start(struct snoop *s, int fd, uint64_t from, size_t cap);
void snoop_stop(struct snoop *s);	/* frees the batch; SNOOP_NONE is fine */

/* Add a packet to the batch.  @time_us: since 1970.  One that does not fit is counted as missed. */
void snoop_add(struct snoop *s, enum snoop_direction d, uint8_t kind, struct bytes body, uint64_t time_us);
/* Write the batch.  Returns 0 (also: nothing to write), -errno: capture has ended. */
int snoop_flush(struct snoop *s);
static inline bool snoop_on(const struct snoop *s) { return s->fd >= 0; }
