/* tests/mutants/play.c - a catcher, and half of the two-build replay: plays the stories of hostd, gattd and the mill, with
 * shadow, and writes what each left.
 *
 *   play FILE ADDRESS BATCH	the arena is mapped at ADDRESS (hexadecimal); records a step
 *
 * FILE gets, for each scene: the arena's slots as they are, and all output so far.  Two builds that differ in what they leave on
 * the stack, at two addresses, with two batch sizes, have to write the same octets.  The word that decides (epoch) is left
 * out: it is no state.  The shadow check ends it with "arena: ...". */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "tests/lib/stage.h"
#include "tests/lib/story_gattd.h"
#include "tests/lib/story_hostd.h"
#include "tests/lib/story_mill.h"

enum { WORD = 64, STREAM = 1 << 20 };

static void dump(FILE *f, const char *name, uint32_t scene, const void *at, size_t n)
{
	fprintf(f, "%s scene %u octets %zu\n", name, scene, n);
	assert_int_equal(fwrite(at, 1, n, f), n);
}

static void play(struct tape *t, FILE *f, void *address, unsigned batch)
{
	static struct actor k;
	struct reference heard = { 0 };
	struct player p;
	struct stage s;
	uint8_t *at;

	for (unsigned l = 0; l < STEP_LINKS; l++)
		assert_non_null(heard.stream[l] = malloc(STREAM));
	stage_open(&s, t);
	at = stage_map(&s, false, address);
	assert_ptr_equal(at, address);		/* the point of it */
	actor_map(&k, &s, at, true);
	actor_begin(&k);
	player_open(&p, &s, at);
	while (player_feed(&p, &s, at)) {
		while (actor_step(&k, batch))
			;
		assert_null(player_hear(&p, NULL, &heard));
		dump(f, t->name, p.scene, k.arena.at + WORD, k.arena.log_at - WORD);
	}
	for (unsigned l = 0; l < STEP_LINKS; l++) {
		dump(f, "output", l, heard.stream[l], heard.len[l]);
		free(heard.stream[l]);
	}
	assert_true(heard.records > 10);
	actor_end(&k);
	stage_close(&s);
	tape_free(t);
}

int main(int argc, char **argv)
{
	FILE *f;
	char *address;
	unsigned batch;

	if (argc != 4 || !(f = fopen(argv[1], "wb"))) {
		fprintf(stderr, "usage: play FILE ADDRESS BATCH\n");
		return 2;
	}
	address = (char *)(uintptr_t)strtoul(argv[2], NULL, 16);
	batch = (unsigned)atoi(argv[3]);
	play(story_mill(5), f, address, batch);
	play(story_hostd(), f, address + (16 << 20), batch);
	play(story_gattd(), f, address + (32 << 20), batch);
	return fclose(f) ? 1 : 0;
}
