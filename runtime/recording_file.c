/* runtime/recording_file.c - making the files, from the supervisor's side. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/hash.h"
#include "runtime/recording_file.h"

enum { NAME_MAX_HERE = 64 };

int recording_dir_open(const char *path, char why[RECORDING_WHY])
{
	struct stat st;
	int fd;

	if (mkdir(path, 0700) < 0 && errno != EEXIST) {
		snprintf(why, RECORDING_WHY, "%.80s cannot be made: %s", path, strerror(errno));
		return -errno;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		snprintf(why, RECORDING_WHY, "%.80s is no directory that can be used: %s", path, strerror(errno));
		return -ENOTDIR;
	}
	if (st.st_uid == geteuid() && !(st.st_mode & 077))
		return fd;
	close(fd);
	snprintf(why, RECORDING_WHY, st.st_uid == geteuid() ? "%.80s may be looked into by others: it must have mode 0700" :
	    "%.80s belongs to somebody else", path);
	return -EPERM;
}

/* Room that is set aside now: a disk that is full later must not end a worker. */
static int make(int dir, const char *name, uint64_t octets)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), r;

	if (fd < 0)
		return -errno;
	r = -posix_fallocate(fd, 0, (off_t)octets);
	if (!r && fchmod(fd, 0600) < 0)
		r = -errno;
	if (!r)
		return fd;
	close(fd);
	unlinkat(dir, name, 0);
	return r;
}

static int put_at(int fd, const void *from, uint64_t len, uint64_t at)
{
	const uint8_t *p = from;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		at += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

int recording_prepare(int dir, const char *core, const struct recording_layout *of, unsigned mib)
{
	uint64_t half = ((uint64_t)mib << 20) / 2;
	char name[NAME_MAX_HERE];
	struct recording_head h;
	int fd, r;

	if (half < recording_half_least(of))
		half = (recording_half_least(of) + 4095) & ~4095ull;
	h = recording_head_for(core, of, RECORDING_RUN, half);
	snprintf(name, sizeof name, "%s.recording.new", core);
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = make(dir, name, RECORDING_DATA_AT + 2 * half);
	if (fd < 0)
		return fd;
	r = put_at(fd, &h, sizeof h, 0);
	if (!r)
		return fd;
	close(fd);
	unlinkat(dir, name, 0);
	return r;
}

int recording_take_place(int dir, const char *core, int fd)
{
	char name[NAME_MAX_HERE], new[NAME_MAX_HERE], old[NAME_MAX_HERE];
	struct stat is, ours;

	snprintf(name, sizeof name, "%s.recording", core);
	snprintf(new, sizeof new, "%s.recording.new", core);
	snprintf(old, sizeof old, "%s.recording.old", core);
	if (fstatat(dir, new, &is, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fd < 0 || fstat(fd, &ours) < 0 || is.st_dev != ours.st_dev || is.st_ino != ours.st_ino)
		return unlinkat(dir, new, 0) < 0 ? -errno : 0;
	if (renameat(dir, name, dir, old) < 0 && errno != ENOENT)
		return -errno;
	return renameat(dir, new, dir, name) < 0 ? -errno : 0;
}

int recording_create(int dir, const char *core, const struct recording_layout *of, unsigned mib)
{
	char name[NAME_MAX_HERE], old[NAME_MAX_HERE];
	int fd, r;

	snprintf(name, sizeof name, "%s.recording", core);
	snprintf(old, sizeof old, "%s.recording.old", core);
	if (renameat(dir, name, dir, old) < 0 && errno != ENOENT)	/* first: there need not be room for three */
		return -errno;
	fd = recording_prepare(dir, core, of, mib);
	if (fd < 0)
		return fd;
	r = recording_take_place(dir, core, fd);
	if (!r)
		return fd;
	close(fd);
	return r;
}

int quarantine_add(struct quarantine_entries *q, struct recording_entry e, const void *payload)
{
	size_t need = recording_entry_octets(e.len);
	struct recording_entry *to;

	if (q->cap - q->len < need) {
		uint8_t *more = realloc(q->at, q->len + need);

		if (!more)
			return -ENOMEM;
		q->at = more;
		q->cap = q->len + need;
	}
	to = (void *)(q->at + q->len);
	memset(to, 0, need);
	*to = e;
	if (e.len)
		memcpy(to + 1, payload, e.len);
	to->check = recording_entry_check(to, (const uint8_t *)(to + 1), 0, q->len);
	q->len += need;
	return 0;
}

static int make_next(int dir, const char *core, uint64_t octets, int *ret_number)
{
	char name[NAME_MAX_HERE];
	int fd = -ENOSPC;

	for (int n = 1; n <= QUARANTINE_FILES; n++) {
		snprintf(name, sizeof name, "%s-%d.quarantine", core, n);
		fd = make(dir, name, octets);
		*ret_number = n;
		if (fd != -EEXIST)
			return fd;
	}
	return -ENOSPC;
}

int quarantine_create(int dir, const char *core, const struct recording_layout *of, struct bytes arena,
    const struct quarantine_entries *entries)
{
	uint64_t image = of->image_octets, log, half;
	struct recording_half h;
	struct recording_head head;
	int fd, n = 0, r;

	if (image < sizeof log || image % 64 || image > arena.len)
		return -EINVAL;
	memcpy(&log, arena.at, sizeof log);
	log = (uint32_t)log;
	if (log > arena.len - image)	/* a lie of its worker's: the reader will say so */
		log = 0;
	memset(&h, 0, sizeof h);
	h.image_octets = image;
	h.log_octets = log;
	h.image_hash = hash_octets(hash_octets(HASH_START, arena.at, image), arena.at + image, log);
	h.mapped_at = (uint64_t)(uintptr_t)arena.at;
	h.check = recording_half_check(&h);
	h.tail = recording_tail(entries->len, 0);
	half = recording_entries_at(&h) + entries->len;
	head = recording_head_for(core, of, RECORDING_QUARANTINE, half);
	fd = make_next(dir, core, RECORDING_DATA_AT + half, &n);
	if (fd < 0)
		return fd;
	r = put_at(fd, &head, sizeof head, 0);
	if (!r)
		r = put_at(fd, &h, sizeof h, RECORDING_HALVES_AT);
	if (!r)
		r = put_at(fd, arena.at, image + log, RECORDING_DATA_AT);
	if (!r)
		r = put_at(fd, entries->at, entries->len, RECORDING_DATA_AT + recording_entries_at(&h));
	close(fd);
	return r ? r : n;
}
