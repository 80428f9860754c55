/* runtime/supervisor_files.c - files that were asked for: the recording of our worker, and what it dies of. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "runtime/recording_file.h"
#include "runtime/supervisor_private.h"

static int open_dir(const struct supervisor *s, const char *option, const char *path, int *ret_fd)
{
	char why[RECORDING_WHY];
	int fd;

	if (!path)
		return 0;
	fd = recording_dir_open(path, why);
	if (fd < 0) {
		if (s->first)
			log_error(option, LOG_WHY(why));
		else
			log_warn(option, LOG_WHY(why), LOG_STR("then", "no new file is made there"));
		return fd;
	}
	*ret_fd = fd;
	return 0;
}

/* Somebody asked for these files, and is there to hear that they cannot be.  Later the pipeline is worth more than they are. */
int sup_files_open(struct supervisor *s)
{
	int r = open_dir(s, "--record", s->opt.record, &s->record_dir);
	int q = open_dir(s, "--quarantine", s->opt.quarantine, &s->quarantine_dir);

	return !s->first ? 0 : r ? r : q;
}

void sup_files_close(struct supervisor *s)
{
	if (s->record_dir >= 0)
		close(s->record_dir);
	if (s->quarantine_dir >= 0)
		close(s->quarantine_dir);
	if (s->recording >= 0)
		close(s->recording);
	s->record_dir = s->quarantine_dir = s->recording = -1;
}

/* The layout of the arena in one of the two places: its binary's, which need not be ours. */
static struct recording_layout layout(const struct supervisor *s, bool other)
{
	const struct arena_said *a = &s->ledger->arena[(s->ledger->place & 1) ^ other];

	return (struct recording_layout){ .version = a->version, .hash = a->layout_hash, .image_octets = a->image_octets,
		.limits = s->plan.limits, .config_hash = s->plan.config_hash };
}

static unsigned room(const struct supervisor *s) { return s->opt.record_mib ? s->opt.record_mib : RECORDING_MIB; }

static void cannot(struct supervisor *s, int r)
{
	if (s->first)
		log_error("recording cannot be made", LOG_STR("dir", s->opt.record), LOG_ERRNO(r));
	else if (!s->told_record)
		log_warn("nothing is recorded from here on", LOG_STR("dir", s->opt.record), LOG_ERRNO(r));
	s->told_record = true;
}

int sup_files_cold(struct supervisor *s)
{
	struct recording_layout of = layout(s, false);
	int fd;

	if (s->record_dir < 0)
		return 0;
	fd = recording_create(s->record_dir, s->p->name, &of, room(s));
	if (fd < 0) {
		cannot(s, fd);
		return s->first ? fd : 0;
	}
	s->told_record = false;
	s->recording = fd;
	return fdstore_put(&s->store, sup_recording_name(s, false), fd);
}

/* What is recorded is what this life was asked for, not the former one. */
int sup_files_warm(struct supervisor *s, int stored)
{
	int r = 0;

	s->recording = stored;
	if (stored >= 0 && !s->opt.record) {
		log_info("the recording ends: it is not asked for any more");
		close(stored);
		s->recording = -1;
		r = fdstore_remove(&s->store, sup_recording_name(s, false));
	} else if (stored < 0) {
		r = sup_files_cold(s);
	}
	sup_files_decided(s);		/* the former life may have ended between the decision and this */
	return r;
}

int sup_files_migrating(struct supervisor *s)
{
	struct recording_layout of = layout(s, true);
	int fd;

	if (!s->opt.record)
		return 0;
	fd = s->record_dir < 0 ? -ENOENT : recording_prepare(s->record_dir, s->p->name, &of, room(s));
	if (fd < 0) {
		cannot(s, fd);
		return 0;
	}
	s->takeover.recording = fd;
	return fdstore_put(&s->store, sup_recording_name(s, true), fd);
}

void sup_files_decided(struct supervisor *s)
{
	int r = s->record_dir < 0 ? 0 : recording_take_place(s->record_dir, s->p->name, s->recording);

	if (r)
		log_warn("the recording keeps another name", LOG_STR("dir", s->opt.record), LOG_ERRNO(r));
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
	struct recording_layout of = layout(s, false);
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
		r = quarantine_create(s->quarantine_dir, s->p->name, &of, (struct bytes){ s->arena.at, s->arena.len }, &q);
	if (r > 0)
		log_warn("quarantine file written", LOG_STR("dir", s->opt.quarantine), LOG_INT("number", r));
	else
		log_error("no quarantine file", LOG_STR("dir", s->opt.quarantine), LOG_ERRNO(r),
		    LOG_WHY(r == -ENOSPC ? "as many as are kept are there already, or the disk is full" : "see the error"));
	free(q.at);
}
