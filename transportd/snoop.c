/* transportd/snoop.c */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/record.h"
#include "transportd/snoop.h"

enum { PACKET_MAX = 1 << 17 };			/* no HCI packet is longer; a record that says so is not one */
#define MAGIC "btsnoop"				/* with its final zero: 8 octets */
#define YEAR_0_TO_1970_US 0x00dcddb30f2f8000ull

static void put_be(uint8_t *at, uint64_t v, unsigned octets)
{
	while (octets--) {
		at[octets] = (uint8_t)v;
		v >>= 8;
	}
}

static uint32_t get_be32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void header_make(uint8_t h[SNOOP_HEADER])
{
	memcpy(h, MAGIC, 8);
	put_be(h + 8, 1, 4);
	put_be(h + 12, SNOOP_DATALINK_H4, 4);
}

/* Walk whole records from `at` on and cut the file behind the last one. */
static int mend(int fd, uint64_t at, uint64_t *ret_end)
{
	uint8_t h[SNOOP_HEADER], want[SNOOP_HEADER], r[SNOOP_RECORD_HEADER];
	off_t end = lseek(fd, 0, SEEK_END);	/* in the sandbox too, where there is no fstat */
	uint64_t size = (uint64_t)end;

	if (end < 0)
		return -errno;
	header_make(want);
	if (pread(fd, h, sizeof h, 0) != (ssize_t)sizeof h || memcmp(h, want, sizeof h))
		return SNOOP_E_ALIEN;
	if (at == SNOOP_WHOLE && size >= SNOOP_HEADER)
		at = size;
	if (at < SNOOP_HEADER || at > size)
		at = SNOOP_HEADER;
	while (size - at >= sizeof r) {
		if (pread(fd, r, sizeof r, (off_t)at) != (ssize_t)sizeof r)
			return -EIO;
		if (get_be32(r + 4) > PACKET_MAX)
			return SNOOP_E_ALIEN;
		if (size - at - sizeof r < get_be32(r + 4))
			break;
		at += sizeof r + get_be32(r + 4);
	}
	if (at < size && ftruncate(fd, (off_t)at) < 0)
		return -errno;
	*ret_end = at;
	return 0;
}

int snoop_open_file(const char *path, int *ret_fd)
{
	uint8_t h[SNOOP_HEADER];
	struct stat st;
	uint64_t end;
	int fd, r;

	fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
	if (fd < 0)
		return -errno;
	r = SNOOP_E_ALIEN;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		goto fail;
	if (!st.st_size) {
		header_make(h);
		r = -EIO;
		if (write(fd, h, sizeof h) != (ssize_t)sizeof h)
			goto fail;
	}
	r = mend(fd, 0, &end);
	if (r)
		goto fail;
	*ret_fd = fd;
	return 0;
fail:
	close(fd);
	return r;
}

int snoop_start(struct snoop *s, int fd, uint64_t from, size_t cap)
{
	struct snoop n = SNOOP_NONE;
	int r = mend(fd, from, &n.at);

	if (r)
		return r;
	n.buf = malloc(cap);
	if (!n.buf)
		return -ENOMEM;
	n.cap = cap;
	n.fd = fd;
	*s = n;
	return 0;
}

void snoop_stop(struct snoop *s)
{
	free(s->buf);
	*s = (struct snoop)SNOOP_NONE;
}

void snoop_add(struct snoop *s, enum snoop_direction d, uint8_t kind, struct bytes body, uint64_t time_us)
{
	uint32_t control = kind == RECORD_HCI_COMMAND || kind == RECORD_HCI_EVENT ? 2 : 0, len = (uint32_t)body.len + 1;
	uint8_t *at = s->buf + s->len;

	if (!snoop_on(s))
		return;
	if (s->cap - s->len < SNOOP_RECORD_HEADER + (size_t)len) {
		s->missed++;
		return;
	}
	put_be(at, len, 4);
	put_be(at + 4, len, 4);
	put_be(at + 8, (uint32_t)d | control, 4);
	put_be(at + 12, s->missed, 4);
	put_be(at + 16, time_us + YEAR_0_TO_1970_US, 8);
	at[24] = kind;
	if (body.len)
		memcpy(at + 25, body.at, body.len);
	s->len += SNOOP_RECORD_HEADER + (size_t)len;
	s->batched++;
}

int snoop_flush(struct snoop *s)
{
	ssize_t n;
	int r;

	if (!snoop_on(s) || !s->len)
		return 0;
	n = write(s->fd, s->buf, s->len);
	if (n == (ssize_t)s->len) {
		s->at += s->len;
		s->len = s->batched = 0;
		return 0;
	}
	r = n < 0 ? -errno : -ENOSPC;
	if (n > 0 && ftruncate(s->fd, (off_t)s->at) < 0)
		r = -errno;
	s->missed += s->batched;
	snoop_stop(s);
	return r;
}
