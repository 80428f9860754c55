/* runtime/ledger.c */
#include "runtime/ledger.h"

static const uint32_t magic = 0x6c667254;	/* "Trfl" */

int ledger_create(struct segment *ret_segment, struct ledger **ret)
{
	struct ledger *l;
	int r;

	r = segment_create("trefoil-ledger", sizeof *l, ret_segment);
	if (r)
		return r;
	l = ret_segment->at;
	l->version = LEDGER_VERSION;
	l->magic = magic;
	*ret = l;
	return 0;
}

int ledger_open(int fd, struct segment *ret_segment, struct ledger **ret)
{
	struct segment s;
	struct ledger *l;
	int r;

	r = segment_attach(fd, sizeof *l, true, &s);
	if (r)
		return r < 0 ? r : LEDGER_E_FOREIGN;
	l = s.at;
	if (l->magic != magic || l->version != LEDGER_VERSION) {
		segment_close(&s);
		return LEDGER_E_FOREIGN;
	}
	*ret_segment = s;
	*ret = l;
	return 0;
}

void ledger_link_open(struct ledger *l, unsigned link, uint32_t generation, uint64_t size)
{
	struct ledger_link *at = &l->link[link];

	at->size = size;
	if (generation > at->highest)
		at->highest = generation;
	at->lost = 0;
	strikes_link_new(&l->strikes, link);
	at->generation = generation;	/* last: only now the descriptors count */
}

void ledger_link_drop(struct ledger *l, unsigned link)
{
	l->link[link].generation = 0;
}
