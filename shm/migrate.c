/* shm/migrate.c */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "shm/migrate.h"
#include "shm/undo.h"

enum { OBJECT_MAX = 1 << 20, COUNT_MAX = 65536 };

/* What the old arena says of itself, checked. */
struct survey {
	struct arena_header is;
	struct pool_said pool[ARENA_POOLS];
};

static bool name_ok(const struct survey *v, unsigned n)
{
	if (!v->pool[n].name[0] || !memchr(v->pool[n].name, 0, POOL_NAME))
		return false;
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(v->pool[i].name, v->pool[n].name))
			return false;
	return true;
}

/* Each place follows from the sizes and counts alone, so it is worked out anew and compared. */
static bool survey(struct survey *v, struct bytes old)
{
	uint64_t at;

	if (old.len < ARENA_HEADS_AT)
		return false;
	memcpy(&v->is, old.at + ARENA_HEADER_AT, sizeof v->is);
	if (v->is.magic != ARENA_MAGIC || !v->is.pools || v->is.pools > ARENA_POOLS || v->is.end > old.len)
		return false;
	at = ARENA_HEADS_AT + v->is.pools * (uint64_t)ARENA_LINE;
	if (at > v->is.end || v->is.slots_at != at)
		return false;
	for (unsigned i = 0; i < v->is.pools; i++) {
		struct pool_said *p = &v->pool[i];

		memcpy(p, old.at + ARENA_HEADS_AT + i * ARENA_LINE + sizeof(struct pool_head), sizeof *p);
		if (!name_ok(v, i) || p->size > OBJECT_MAX || p->logged > p->size || p->count > COUNT_MAX || p->slots != at ||
		    p->stride != round_up((uint32_t)sizeof(struct arena_slot) + p->size, ARENA_LINE))
			return false;
		at += (uint64_t)p->stride * p->count;
		if (at > v->is.end)
			return false;
	}
	return at == v->is.end;
}

static const struct pool_said *said(const struct survey *v, const char *name)
{
	for (unsigned i = 0; i < v->is.pools; i++)
		if (!strcmp(v->pool[i].name, name))
			return &v->pool[i];
	return NULL;
}

static const struct arena_change *change_of(const struct arena_migration *m, const char *name)
{
	for (const struct arena_change *c = m->changes; c && c->pool; c++)
		if (!strcmp(c->pool, name))
			return c;
	return NULL;
}

/* The name may be the old arena's, and who wrote that may have been owned: it goes to logs and terminals. */
static bool refuse(char *why, const char *what, const char *pool)
{
	size_t n = (size_t)snprintf(why, ARENA_WHY, "%s%s", what, *pool ? ": pool " : "");

	for (unsigned i = 0; i < POOL_NAME && pool[i] && n < ARENA_WHY - 1; i++)
		why[n++] = pool[i];
	why[n] = 0;
	for (char *p = why; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return false;
}

static bool pool_fits(const struct arena_pool *p, uint32_t count, const struct pool_said *was, const struct arena_change *c,
    char *why)
{
	if (!was)
		return (c && !c->size) || refuse(why, "new, and no migration says so", p->name);
	if (count < was->count)
		return refuse(why, "fewer slots than before", p->name);
	if (was->size != (c ? c->size : p->size) || was->logged != (c ? c->logged : p->logged))
		return refuse(why, "sizes that no migration knows", p->name);
	if (c && !c->convert && p->size - p->logged != c->size - c->logged)
		return refuse(why, "queues of another size, and nothing converts them", p->name);
	return true;
}

static bool fits(const struct arena *now, const struct survey *v, const struct arena_migration *m, char *why)
{
	for (unsigned i = 0; i < ARENA_POOLS && now->pool[i].is.name; i++)
		if (!pool_fits(&now->pool[i].is, now->pool[i].count, said(v, now->pool[i].is.name),
		    change_of(m, now->pool[i].is.name), why))
			return false;
	for (unsigned i = 0; i < v->is.pools; i++) {
		const struct arena_change *c = change_of(m, v->pool[i].name);
		bool there = false;

		for (unsigned k = 0; k < ARENA_POOLS && now->pool[k].is.name; k++)
			there |= !strcmp(now->pool[k].is.name, v->pool[i].name);
		if (!there && !(c && c->size == v->pool[i].size))
			return refuse(why, "gone, and no migration says so", v->pool[i].name);
	}
	return true;
}

/* The row that describes the old layout; NULL, and why there is none. */
static const struct arena_migration *choose(const struct arena *now, const struct survey *v, const struct arena_migration *list,
    char *why)
{
	snprintf(why, ARENA_WHY, "no migration from version %u is registered", v->is.version);
	for (; list && list->from; list++)
		if (list->from == v->is.version && fits(now, v, list, why))
			return list;
	return NULL;
}

enum arena_verdict arena_judge(const struct arena_plan *plan, const struct arena_migration *list, struct bytes old, char *why)
{
	struct survey v;
	struct arena now;

	*why = 0;
	if (!survey(&v, old)) {
		refuse(why, "the arena is not whole, or not one of ours", "");
		return ARENA_GARBLED;
	}
	if (v.is.config_hash != plan->config_hash || memcmp(v.is.limit, plan->limits.of, sizeof v.is.limit)) {
		refuse(why, "made for another configuration", "");
		return ARENA_REFUSED;
	}
	if (v.is.layout_hash == arena_layout_hash(plan))
		return ARENA_EQUAL;
	arena_lay_out(&now, plan);
	if (!choose(&now, &v, list, why))
		return ARENA_REFUSED;
	*why = 0;
	return ARENA_MIGRATES;
}

/* Each entry of the log must lie in the log and name a place in the slots, before any of them is acted on. */
static bool log_ok(const uint8_t *log, uint32_t len, uint32_t end)
{
	struct undo_footer f;
	uint32_t kept;

	while (len) {
		if (len < sizeof f)
			return false;
		memcpy(&f, log + len - sizeof f, sizeof f);
		kept = f.kind == UNDO_OLD ? round_up(f.len, 8) : 0;
		if (f.kind > UNDO_ZERO || f.where < ARENA_HEADS_AT || f.where > end || f.len > end - f.where || kept > len - sizeof f)
			return false;
		len -= (uint32_t)sizeof f + kept;
	}
	return true;
}

/* A copy of the slots as of the last commit.  Freed by the caller. */
static int settle(const struct survey *v, struct bytes old, uint8_t **ret_image, uint32_t *ret_epoch)
{
	uint8_t *image;
	uint64_t word;

	memcpy(&word, old.at, sizeof word);
	if ((uint32_t)word > old.len - v->is.end || !log_ok(old.at + v->is.end, (uint32_t)word, v->is.end))
		return ARENA_GARBLED;
	image = malloc(v->is.end);
	if (!image)
		return -ENOMEM;
	memcpy(image, old.at, v->is.end);
	undo_take_back(image, old.at + v->is.end, (uint32_t)word);
	*ret_image = image;
	*ret_epoch = (uint32_t)(word >> 32);
	return 0;
}

/* A chain that ends after exactly as many slots as are free, all of them free, holds each of them once. */
static bool free_list_ok(const uint8_t *image, const struct pool_said *p, struct pool_head h)
{
	uint32_t free = 0, at = h.free, n = 0;
	struct arena_slot s;

	for (uint32_t i = 0; i < p->count; i++) {
		memcpy(&s, image + p->slots + i * p->stride, sizeof s);
		if (s.number != i)
			return false;
		free += !(s.generation & 1);
	}
	if (h.live > p->count || free != p->count - h.live)
		return false;
	for (; at && n <= free; n++) {
		if (at > p->count)
			return false;
		memcpy(&s, image + p->slots + (at - 1) * p->stride, sizeof s);
		if (s.generation & 1)
			return false;
		at = s.next;
	}
	return !at && n == free;
}

static void copy_object(const struct arena_pool *now, uint8_t *to, const struct pool_said *was, const uint8_t *from,
    void (*convert)(void *now, const void *was))
{
	const uint32_t head = sizeof(struct arena_slot);
	struct arena_slot s;

	memcpy(&s, from, sizeof s);
	memcpy(to, &s, sizeof s);
	if (convert) {
		if (s.generation & 1)
			convert(to + head, from + head);
		return;
	}
	memcpy(to + head, from + head, now->logged < was->logged ? now->logged : was->logged);
	memcpy(to + head + now->logged, from + head + was->logged, was->size - was->logged);
}

/* Slots beyond the old ones were chained to each other when the arena was made blank; the first of them is hung on. */
static bool copy_pool(struct arena *a, unsigned pool, const uint8_t *image, const struct survey *v, const struct arena_change *c)
{
	const struct pool_said *was = said(v, a->pool[pool].is.name);
	uint32_t more = a->pool[pool].count > was->count ? was->count + 1 : 0, stride = a->pool[pool].stride;
	uint8_t *slots = a->at + a->pool[pool].slots;
	struct pool_head h;
	struct arena_slot *last = NULL;

	memcpy(&h, image + ARENA_HEADS_AT + (size_t)(was - v->pool) * ARENA_LINE, sizeof h);
	if (!free_list_ok(image, was, h))
		return false;
	for (uint32_t i = 0; i < was->count; i++)
		copy_object(&a->pool[pool].is, slots + (size_t)i * stride, was, image + was->slots + (size_t)i * was->stride,
		    c ? c->convert : NULL);
	for (uint32_t at = h.free; at; at = last->next)
		last = (void *)(slots + (size_t)(at - 1) * stride);
	if (last)
		last->next = more;
	else
		h.free = more;
	*(struct pool_head *)(void *)(a->at + a->pool[pool].head) = h;
	return true;
}

static int copy_all(struct arena *a, const struct survey *v, const struct arena_migration *m, const uint8_t *image,
    void (*on_pool)(unsigned pool))
{
	for (unsigned i = 0; i < ARENA_POOLS && a->pool[i].is.name; i++) {
		if (on_pool)
			on_pool(i);
		if (said(v, a->pool[i].is.name) && !copy_pool(a, i, image, v, change_of(m, a->pool[i].is.name)))
			return ARENA_GARBLED;
	}
	return 0;
}

int arena_migrate(struct arena *a, const struct arena_plan *plan, const struct arena_migration *list, struct bytes old,
    void (*on_pool)(unsigned pool))
{
	enum arena_verdict verdict;
	const struct arena_migration *m;
	char why[ARENA_WHY];
	struct survey v;
	uint8_t *image;
	uint32_t epoch;
	int r;

	arena_blank(a);
	verdict = arena_judge(plan, list, old, why);
	if (verdict != ARENA_MIGRATES)
		return verdict == ARENA_GARBLED ? ARENA_GARBLED : ARENA_REFUSED;
	survey(&v, old);		/* it was whole a moment ago, and nobody works on it */
	m = choose(a, &v, list, why);
	if (!m)
		return ARENA_REFUSED;
	r = settle(&v, old, &image, &epoch);
	if (r)
		return r;
	r = copy_all(a, &v, m, image, on_pool);
	free(image);
	if (r)
		return r;
	a->epoch = epoch;
	undo_tell(a);
	if (a->shadow)
		memcpy(a->shadow, a->at, a->log_at);
	if (m->finish)
		m->finish(a);
	arena_seal(a, plan);
	return 0;
}
