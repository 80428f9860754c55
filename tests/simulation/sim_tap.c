/* tests/simulation/sim_tap.c - what the links carry: nobody speaks of a connection that is not there.
 *
 *   down   hostd tells gattd: CONNECTED, then whatever concerns that connection, then DISCONNECTED, then nothing more of it
 *   up     gattd speaks of a connection only if it was told of it, and not after it has taken its DISCONNECTED
 *   radio  hostd sends data only for a handle that was connected, and not after it has taken its Disconnection Complete
 *
 * What one turn gives may be older than what the same turn has taken last, so an end counts from the next event on. */
#include "tests/simulation/sim.h"

enum { NAMES = 64, ENDS = 4096, FORMERS = 128 };

struct end { uint64_t position; uint16_t name, generation; };
struct life { uint64_t gone_at; uint16_t generation; bool told, gone; };
struct name { struct life life[FORMERS]; };		/* the last first */
struct tapped {				/* one link */
	uint64_t produced[2];		/* by the upper, by the lower side: looked at so far */
	struct name name[NAMES];	/* by connection index, by the low bits of a handle */
	struct end end[ENDS];		/* told, not yet taken */
	unsigned first, count;
};
static struct tapped tapped[2];
static uint64_t look;			/* number of this look */

void sim_tap_open(void) { memset(tapped, 0, sizeof tapped); }
void sim_tap_renewed(unsigned link) { memset(&tapped[link], 0, sizeof tapped[link]); }

/* The connection of that name and generation; NULL: nobody was told of it. */
static struct life *known(struct tapped *t, uint16_t name, uint16_t generation)
{
	struct name *n = &t->name[name % NAMES];

	for (unsigned i = 0; i < FORMERS; i++)
		if (n->life[i].told && n->life[i].generation == generation)
			return &n->life[i];
	return NULL;
}

static void tell_connected(struct tapped *t, uint16_t name, uint16_t generation)
{
	struct name *n = &t->name[name % NAMES];

	memmove(n->life + 1, n->life, sizeof n->life - sizeof n->life[0]);
	n->life[0] = (struct life){ .generation = generation, .told = true, .gone_at = NEVER };
}

static void tell_gone(struct tapped *t, uint64_t position, uint16_t name, uint16_t generation)
{
	if (t->count == ENDS)
		sim_fail(INVARIANT_dead, "too many ends wait to be taken");
	t->end[(t->first + t->count++) % ENDS] = (struct end){ position, name, generation };
}

/* What the lower side has taken of what it was told. */
static void taken(struct tapped *t, uint64_t head)
{
	while (t->count && t->end[t->first].position < head) {
		struct end *e = &t->end[t->first];
		struct life *n = known(t, e->name, e->generation);

		if (n)
			n->gone_at = look;
		t->first = (t->first + 1) % ENDS;
		t->count--;
	}
}

static bool may_speak(struct tapped *t, uint16_t name, uint16_t generation)
{
	const struct life *n = known(t, name, generation);

	return n && n->gone_at >= look;
}

static void down(struct tapped *t, uint64_t at, const struct record *r)
{
	struct life *n = known(t, r->index, r->generation);

	sim_judge(INVARIANT_dead);
	if (r->kind == RECORD_CONNECTED) {
		if (n)
			sim_fail(INVARIANT_dead, "hostd tells gattd twice of connection %u.%u", r->index, r->generation);
		tell_connected(t, r->index, r->generation);
		return;
	}
	if (!n || n->gone)
		sim_fail(INVARIANT_dead, "hostd gives gattd a record of kind 0x%02X of connection %u.%u, which is not there", r->kind,
		    r->index, r->generation);
	if (r->kind == RECORD_DISCONNECTED) {
		n->gone = true;
		tell_gone(t, at, r->index, r->generation);
	}
}

static void up(struct tapped *t, const struct record *r)
{
	sim_judge(INVARIANT_dead);
	if (r->kind == RECORD_DISCONNECT)
		sim_arm_kind(&sim.worker[HOSTD], r->kind);
	if (!may_speak(t, r->index, r->generation))
		sim_fail(INVARIANT_dead, "gattd gives hostd a record of kind 0x%02X of connection %u.%u, which is not there", r->kind,
		    r->index, r->generation);
}

static uint16_t le16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static void from_controller(struct tapped *t, uint64_t at, const struct record *r, const uint8_t *p)
{
	struct life *n;

	if (r->kind == RECORD_TRANSPORT_STATE)
		sim_arm_kind(&sim.worker[HOSTD], r->kind);
	if (r->kind != RECORD_HCI_EVENT || r->len < 6)
		return;
	if (p[0] == 0x3E && p[2] == 0x01 && r->len >= 21 && !p[3])
		tell_connected(t, le16(p + 4), le16(p + 4));
	if (p[0] != 0x05 || p[2])
		return;
	n = known(t, le16(p + 3), le16(p + 3));
	if (n && !n->gone) {
		n->gone = true;
		tell_gone(t, at, le16(p + 3), le16(p + 3));
	}
}

static void to_controller(struct tapped *t, const struct record *r, const uint8_t *p)
{
	static const uint8_t reset[] = { 0x03, 0x0C };

	if (r->kind == RECORD_HCI_COMMAND && r->len >= 3 && !memcmp(p, reset, 2))
		memset(t->name, 0, sizeof t->name);	/* all connections end with it */
	if (r->kind != RECORD_HCI_ACL)
		return;
	sim_judge(INVARIANT_dead);
	if (!may_speak(t, le16(p) & 0x0FFF, le16(p) & 0x0FFF))
		sim_fail(INVARIANT_dead, "hostd sends data of connection 0x%04X, which is not there", le16(p) & 0x0FFF);
}

static void carried(unsigned link, unsigned side, uint64_t at, const struct record *r, const uint8_t *p)
{
	struct tapped *t = &tapped[link];

	sim_digest(p, r->len);
	if (r->index || r->generation)
		sim_tell("link %u, side %u: record 0x%02X of %u.%u, %u octets", link, side, r->kind, r->index, r->generation, r->len);
	if (link && !side)
		down(t, at, r);
	else if (link)
		up(t, r);
	else if (!side)
		from_controller(t, at, r, p);
	else
		to_controller(t, r, p);
}

static void walk(unsigned link, unsigned side)
{
	const struct sim_link *k = &sim.link[link];
	const struct ring_region *region = k->region[side];
	const uint8_t *words = (const uint8_t *)(uintptr_t)region->words;
	uint64_t *at = &tapped[link].produced[side], tail = region->tail.pos, size = k->size[side];

	while (*at < tail) {
		uint64_t off = *at & (size - 1), word;
		struct record r;

		memcpy(&word, words + off, 8);
		r = record_from(word, 0);
		if (r.kind == RECORD_PAD) {
			*at += size - off;
			continue;
		}
		if (!(r.flags & RECORD_LIE))
			carried(link, side, *at, &r, words + off + RECORD_HEADER);
		*at += record_octets(r.len);
	}
}

void sim_tap_run(void)
{
	look++;
	for (unsigned l = 0; l < 2; l++) {
		if (sim.link[l].lost || sim.link[l].lied)
			continue;
		walk(l, 0);
		taken(&tapped[l], sim.link[l].region[1]->head.pos);
		walk(l, 1);
	}
}
