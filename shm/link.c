/* shm/link.c */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>
#include "shm/link.h"

bool link_size_ok(uint64_t size) { return size >= RING_SIZE_MIN && size <= 16u << 20 && !(size & (size - 1)); }

int link_end_create(const char *name, uint64_t size, struct link_end *ret)
{
	struct link_end l = LINK_END_NONE;
	int r;

	if (!link_size_ok(size))
		return -EINVAL;
	l.size = size;
	r = segment_create(name, ring_region_size(size), &l.mine);
	if (r)
		return r;
	l.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l.bell < 0) {
		r = -errno;
		link_end_close(&l);
		return r;
	}
	*ret = l;
	return 0;
}

static bool is_eventfd(int fd)
{
	char path[40], name[32];
	ssize_t n;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof name - 1);
	if (n < 0)
		return false;
	name[n] = 0;
	return !strcmp(name, "anon_inode:[eventfd]");
}

/* Map a region into *seg and check its bell; takes both. */
static int take_half(int region, int bell, uint64_t size, bool writable, struct segment *seg)
{
	int r;

	if (!link_size_ok(size) || !is_eventfd(bell)) {
		if (region >= 0)
			close(region);
		r = LINK_E_PEER;
	} else {
		r = segment_attach(region, ring_region_size(size), writable, seg);
		if (r == SEGMENT_E_MISSHAPEN || r == -EINVAL || r == -EBADF || r == -EACCES)
			r = LINK_E_PEER;	/* no memfd, or not the one that was agreed */
	}
	if (r && bell >= 0)
		close(bell);
	return r;
}

int link_end_restore(int region, int bell, uint64_t size, struct link_end *ret)
{
	struct link_end l = LINK_END_NONE;
	int r;

	r = take_half(region, bell, size, true, &l.mine);
	if (r)
		return r;
	l.bell = bell;
	l.size = size;
	*ret = l;
	return 0;
}

int link_end_adopt(struct link_end *l, int region, int bell)
{
	struct segment theirs = SEGMENT_NONE;
	int r;

	r = take_half(region, bell, l->size, false, &theirs);
	if (r)
		return r;
	segment_close(&l->theirs);
	if (l->peer_bell >= 0)
		close(l->peer_bell);
	l->theirs = theirs;
	l->peer_bell = bell;
	return 0;
}

void link_bell_restore(int bell)
{
	uint64_t count;
	struct iovec into = { &count, sizeof count };

	fcntl(bell, F_SETFL, O_NONBLOCK);
	/* RWF_NOWAIT: a neighbour's worker that lives may clear the flag again before this reads. */
	while (preadv2(bell, &into, 1, -1, RWF_NOWAIT) < 0 && errno == EINTR)
		;
}

void link_end_close(struct link_end *l)
{
	segment_close(&l->mine);
	segment_close(&l->theirs);
	if (l->bell >= 0)
		close(l->bell);
	if (l->peer_bell >= 0)
		close(l->peer_bell);
	*l = (struct link_end)LINK_END_NONE;
}
