/* runtime/recording_read.c - a file of untrusted octets: nothing is used before it has been looked at. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/hash.h"
#include "runtime/recording_file.h"
#include "shm/arena_image.h"

enum { LOAD_TRIES = 5 };

static int bad(char why[RECORDING_WHY], const char *what)
{
	snprintf(why, RECORDING_WHY, "%s", what);
	return -EINVAL;
}

/* Octets from `at` on.  Returns 0, or why not. */
static int read_at(int fd, uint8_t *to, uint64_t len, uint64_t at, char why[RECORDING_WHY])
{
	while (len) {
		ssize_t got = pread(fd, to, len, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return bad(why, got < 0 ? strerror(errno) : "it became shorter while it was read");
		to += got;
		at += (uint64_t)got;
		len -= (uint64_t)got;
	}
	return 0;
}

static int open_file(const char *path, struct recording *r, char why[RECORDING_WHY])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		err = -errno;
		snprintf(why, RECORDING_WHY, "%s", strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		err = bad(why, "no regular file");
	} else if (st.st_size < RECORDING_DATA_AT || (uint64_t)st.st_size > RECORDING_FILE_MAX) {
		err = bad(why, "its size is not that of a recording");
	} else {
		r->size = (uint64_t)st.st_size;
		r->at = malloc(r->size);
		if (!r->at)
			err = bad(why, "out of memory");
	}
	if (err && fd >= 0)
		close(fd);
	return err ? err : fd;
}

static int check_head(struct recording *r, char why[RECORDING_WHY])
{
	struct recording_head *h = &r->head;

	memcpy(h, r->at, sizeof *h);
	if (h->magic != RECORDING_MAGIC)
		return bad(why, "no recording: it does not begin as one");
	if (h->version != RECORDING_VERSION)
		return bad(why, "a recording of another version");
	if (h->check != recording_head_check(h))
		return bad(why, "damaged: its head does not fit its hash");
	if ((h->kind != RECORDING_RUN && h->kind != RECORDING_QUARANTINE) || h->halves != (h->kind == RECORDING_RUN ? 2 : 1) ||
	    memchr(h->core, 0, sizeof h->core) == NULL || h->half_octets % 8 ||
	    h->half_octets > r->size || RECORDING_DATA_AT + h->halves * h->half_octets > r->size)
		return bad(why, "its head says what cannot be");
	return 0;
}

/* Each entry up to the tail. */
static int check_entries(const struct recording_part *p, char why[RECORDING_WHY])
{
	for (uint64_t at = 0; at < p->len;) {
		struct recording_entry e;

		if (p->len - at < sizeof e)
			return bad(why, "damaged: an entry is cut short");
		memcpy(&e, p->entries + at, sizeof e);
		if (e.len > RECORD_LEN_MAX || recording_entry_octets(e.len) > p->len - at ||
		    e.check != recording_entry_check(&e, p->entries + at + sizeof e, p->generation, at)) {
			snprintf(why, RECORDING_WHY, "damaged: the entry at octet %llu does not fit its hash", (unsigned long long)at);
			return -EINVAL;
		}
		at += recording_entry_octets(e.len);
	}
	return 0;
}

static int check_half(const struct recording *r, unsigned n, struct recording_part *ret, char why[RECORDING_WHY])
{
	const uint8_t *data = r->at + RECORDING_DATA_AT + n * r->head.half_octets;
	struct recording_part p;
	uint64_t hash;

	memset(&p, 0, sizeof p);
	memcpy(&p.is, r->at + RECORDING_HALVES_AT * (1 + n), sizeof p.is);
	if (p.is.check != recording_half_check(&p.is))
		return bad(why, "damaged: what it says of its image does not fit its hash");
	if (p.is.image_octets > r->head.half_octets || p.is.log_octets > r->head.half_octets || p.is.image_octets % 64 ||
	    recording_entries_at(&p.is) > r->head.half_octets)
		return bad(why, "its image is larger than its file");
	p.generation = p.is.generation;
	p.image = data;
	p.log = data + p.is.image_octets;
	p.entries = data + recording_entries_at(&p.is);
	hash = hash_octets(HASH_START, p.image, p.is.image_octets);
	if (r->head.kind == RECORDING_QUARANTINE)
		hash = hash_octets(hash, p.log, p.is.log_octets);
	if (hash != p.is.image_hash)
		return bad(why, "damaged: its image does not fit its hash");
	if (!recording_tail_read(p.is.tail, p.generation, &p.len) || p.len > r->head.half_octets - recording_entries_at(&p.is))
		return bad(why, "damaged: its tail does not fit its hash");
	if (p.is.end.check && p.is.end.check != recording_end_check(&p.is.end, p.generation))
		return bad(why, "damaged: its last state does not fit its hash");
	*ret = p;
	return check_entries(&p, why);
}

/* The newer half, and before it the older one where that has been left properly. */
static int find_parts(struct recording *r, char why[RECORDING_WHY])
{
	struct recording_half h[2];
	unsigned newer;
	int err;

	for (unsigned n = 0; n < r->head.halves; n++)
		memcpy(&h[n], r->at + RECORDING_HALVES_AT * (1 + n), sizeof h[n]);
	newer = r->head.halves == 2 && h[1].ready > h[0].ready;
	if (r->head.kind == RECORDING_RUN && !h[newer].ready)
		return bad(why, "nothing has been recorded");
	if (r->head.halves == 2 && h[!newer].ready && h[!newer].ready + 1 == h[newer].ready && h[!newer].end.check) {
		err = check_half(r, !newer, &r->part[r->parts], why);
		if (err)
			return err;
		r->parts++;
	}
	err = check_half(r, newer, &r->part[r->parts], why);
	if (err)
		return err;
	if (r->head.kind == RECORDING_RUN && r->part[r->parts].generation != h[newer].ready)
		return bad(why, "damaged: its newer half is another one");
	r->parts++;
	return 0;
}

/* Does a worker write, and has it begun or left a half since this was read?  What is read of it is then of two times. */
static bool turned_over(const struct recording *r, int fd)
{
	struct recording_half was, is;
	char why[RECORDING_WHY];

	if (r->head.kind != RECORDING_RUN)
		return false;
	for (unsigned n = 0; n < 2; n++) {
		uint64_t at = RECORDING_HALVES_AT * (1 + n);

		memcpy(&was, r->at + at, sizeof was);
		if (read_at(fd, (uint8_t *)&is, sizeof is, at, why))
			return false;
		if (was.generation != is.generation || was.check != is.check || was.ready != is.ready ||
		    memcmp(&was.end, &is.end, sizeof is.end))
			return true;
	}
	return false;
}

static int load_once(int fd, struct recording *r, char why[RECORDING_WHY])
{
	int err = read_at(fd, r->at, r->size, 0, why);

	r->parts = 0;
	if (!err)
		err = check_head(r, why);
	if (!err)
		err = find_parts(r, why);
	return err;
}

int recording_load(const char *path, struct recording *ret, char why[RECORDING_WHY])
{
	unsigned tries = 0;
	struct recording r;
	int err, fd;

	memset(&r, 0, sizeof r);
	fd = open_file(path, &r, why);
	if (fd < 0)
		return fd;
	do
		err = load_once(fd, &r, why);
	while (err && turned_over(&r, fd) && ++tries < LOAD_TRIES);
	if (err && tries == LOAD_TRIES)
		err = bad(why, "it is being written, and a half was begun anew each time it was read: try again");
	close(fd);
	if (err)
		recording_free(&r);
	else
		*ret = r;
	return err;
}

void recording_free(struct recording *r)
{
	free(r->at);
	r->at = NULL;
}

bool recording_next(const struct recording_part *p, uint64_t *at, struct recording_entry *ret, const uint8_t **payload)
{
	if (*at >= p->len)
		return false;
	memcpy(ret, p->entries + *at, sizeof *ret);
	*payload = p->entries + *at + sizeof *ret;
	*at += recording_entry_octets(ret->len);
	return true;
}
