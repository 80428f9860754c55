/* runtime/supervisor_files.c - files that were asked for: the recording of our worker, and what it dies of. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "runtime/recording_file.h"
#include "runtime/supervisor_private.h"

static int open_dir(const char *option, const char *path, int *ret_fd)
{
	char why[RECORDING_WHY];
	int fd;

	if (!path)
		return 0;
	fd = recording_dir_open(path, why);
	if (fd < 0) {
		log_error(option, LOG_WHY(why));
		return fd;
	}
	*ret_fd = fd;
	return 0;
}

int sup_files_open(struct supervisor *s)
{
	int r = open_dir("--record", s->opt.record, &s->record_dir);

	return r ? r : open_dir("--quarantine", s->opt.quarantine, &s->quarantine_dir);
}

void sup_files_close(struct supervisor *s)
{
	if (s->record_dir >= 0)
		close(s->record_dir);
	if (s->quarantine_dir >= 0)
		close(s->quarantine_dir);
	s->record_dir = s->quarantine_dir = -1;
}

/* A cold start: a new arena, so a new recording. */
int sup_files_cold(struct supervisor *s)
{
	int fd;

	if (s->record_dir < 0)
		return 0;
	fd = recording_create(s->record_dir, s->p->name, &s->plan, s->opt.record_mib ? s->opt.record_mib : RECORDING_MIB);
	if (fd < 0) {
		log_error("recording cannot be made", LOG_STR("dir", s->opt.record), LOG_ERRNO(fd));
		return fd;
	}
	return supervisor_keep_fd(s, RECORDING_FD, fd);
}

/* The link of our worker: the region that it reads records from, and where it says how far it has come. */
static bool input_of(const struct supervisor *s, unsigned l, struct ring *ret, struct recording_entry *ret_link)
{
	const struct link_end *e = l == LINK_SUPERVISOR ? &s->small.end : &s->link[l].end;
	struct ring_region *from = l == LINK_SUPERVISOR ? e->mine.at : e->theirs.at;

	if (!e->generation || !from || (l != LINK_SUPERVISOR && !s->link[l].given))
		return false;
	*ret = ring_consumer(from, from, e->size, 0);
	*ret_link = (struct recording_entry){ .kind = ENTRY_LINK, .link = (uint8_t)l, .position = e->generation, .past = e->size,
		.word = e->size };
	return true;
}

/* What it died at.  A record is copied out of its ring as its worker did; one that is not there any more is left out. */
static int add_input(struct supervisor *s, const struct flight *f, bool skipping, struct quarantine_entries *q)
{
	unsigned l = (unsigned)f->what - 1;
	struct recording_entry e, link;
	struct record rec;
	uint8_t *buf;
	struct ring in;
	int r;

	e = (struct recording_entry){ .kind = f->what == FLIGHT_ACT ? ENTRY_ACT : ENTRY_SETTLE, .now_ns = f->step_ns };
	if (f->what < 1 || f->what > STEP_LINKS)
		return quarantine_add(q, e, NULL);
	if (!input_of(s, l, &in, &link) || (f->position & 7))
		return -ENOENT;
	buf = malloc(ring_payload_max(in.size));
	if (!buf)
		return -ENOMEM;
	in.at = in.peer = f->position;
	r = ring_take(&in, &rec, buf, ring_payload_max(in.size)) ? -ENOENT : 0;
	if (!r)
		r = quarantine_add(q, (struct recording_entry){ .kind = skipping ? ENTRY_SKIP : ENTRY_TAKE, .link = (uint8_t)l, .len = rec.len,
		    .flags = skipping ? (uint16_t)s->ledger->strikes.skip_rung : 0, .now_ns = f->step_ns, .position = f->position,
		    .past = in.at, .word = record_word(rec), .time_ns = rec.time_ns }, buf);
	free(buf);
	return r;
}

void sup_files_quarantine(struct supervisor *s, const struct flight *f, bool skipping)
{
	struct quarantine_entries q = { 0 };
	struct recording_entry link;
	struct ring in;
	int r;

	if (s->quarantine_dir < 0)
		return;
	r = quarantine_add(&q, (struct recording_entry){ .kind = ENTRY_LIFE, .now_ns = f->step_ns }, NULL);
	for (unsigned l = 0; l < STEP_LINKS && !r; l++)
		if (input_of(s, l, &in, &link))
			r = quarantine_add(&q, link, NULL);
	if (!r)
		r = add_input(s, f, skipping, &q);
	if (!r)
		r = quarantine_create(s->quarantine_dir, s->p->name, &s->plan, s->arena.at, &q);
	if (r > 0)
		log_warn("quarantine file written", LOG_STR("dir", s->opt.quarantine), LOG_INT("number", r));
	else
		log_error("no quarantine file", LOG_STR("dir", s->opt.quarantine), LOG_ERRNO(r),
		    LOG_WHY(r == -ENOSPC ? "as many as are kept are there already, or the disk is full" : "see the error"));
	free(q.at);
}
