/* shm/segment.c */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "shm/segment.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U		/* Linux 6.3; older kernels refuse the flag and are asked again without */
#endif

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

size_t segment_round(size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (len + page - 1) / page * page;
}

static size_t page_size(void) { return segment_round(1); }

/* Maps the whole of s->fd with a page on either side that nobody may touch: what runs over an end of it stops there, and does
 * not reach another mapping.  The guards are address space only, no memory.  Returns 0, -errno. */
static int map_guarded(struct segment *s, int protection)
{
	size_t page = page_size(), all = s->len + 2 * page;
	uint8_t *guards = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int r;

	if (guards == MAP_FAILED)
		return -errno;
	if (mmap(guards + page, s->len, protection, MAP_SHARED | MAP_FIXED, s->fd, 0) == MAP_FAILED) {
		r = -errno;
		munmap(guards, all);
		return r;
	}
	s->at = guards + page;
	return 0;
}

int segment_create(const char *name, size_t len, struct segment *ret)
{
	struct segment s = { -1, NULL, segment_round(len) };
	int r;

	s.fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (s.fd < 0 && errno == EINVAL)
		s.fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s.fd < 0 || fchmod(s.fd, 0600) < 0 || ftruncate(s.fd, (off_t)s.len) < 0) {
		r = -errno;
		goto fail;
	}
	r = -posix_fallocate(s.fd, 0, (off_t)s.len);
	if (r)
		goto fail;
	if (fcntl(s.fd, F_ADD_SEALS, SEALS) < 0) {
		r = -errno;
		goto fail;
	}
	r = map_guarded(&s, PROT_READ | PROT_WRITE);
	if (r)
		goto fail;
	*ret = s;
	return 0;
fail:
	segment_close(&s);
	return r;
}

int segment_attach(int fd, size_t len, bool writable, struct segment *ret)
{
	struct segment s = { fd, NULL, segment_round(len) };
	struct stat st;
	int seals, r;

	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || fstat(fd, &st) < 0) {
		r = -errno;
		goto fail;
	}
	r = SEGMENT_E_MISSHAPEN;
	if ((seals & SEALS) != SEALS || st.st_size != (off_t)s.len)
		goto fail;
	r = map_guarded(&s, writable ? PROT_READ | PROT_WRITE : PROT_READ);
	if (r)
		goto fail;
	*ret = s;
	return 0;
fail:
	segment_close(&s);
	return r;
}

int segment_reader_fd(const struct segment *s)
{
	char path[40];
	int fd;

	snprintf(path, sizeof path, "/proc/self/fd/%d", s->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

void segment_close(struct segment *s)
{
	if (s->at)
		munmap((uint8_t *)s->at - page_size(), s->len + 2 * page_size());
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct segment)SEGMENT_NONE;
}
