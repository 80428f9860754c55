/* tests/mutants/play_line.c - as play.c, for transportd: packets both ways through its streams on a unix socket, in pieces.
 *
 *   play_line FILE	the arena's slots after each turn, and what hostd and the controller were given */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/lib/line_world.h"

enum { WORD = 64, TURNS = 60 };

static void hear(struct line_world *w, FILE *f)
{
	static uint8_t buf[1 << 16];
	struct record h;
	ssize_t n;

	while (line_host_take(w, &h, buf, sizeof buf)) {
		fprintf(f, "to hostd: kind %u index %u octets %u\n", h.kind, h.index, h.len);
		fwrite(buf, 1, h.len, f);
	}
	while ((n = recv(w->far, buf, sizeof buf, MSG_DONTWAIT)) > 0) {
		fprintf(f, "to the controller: octets %zd\n", n);
		fwrite(buf, 1, (size_t)n, f);
	}
}

/* An event; then a data packet, of which each other turn gives a half. */
static void talk(struct line_world *w, unsigned turn)
{
	static const uint8_t event[] = { 4, 0x0E, 4, 1, 0x03, 0x0C, 0 }, data[] = { 2, 0x40, 0x20, 5, 0, 1, 0, 4, 0, 0x0A };
	static const uint8_t command[] = { 0x03, 0x0C, 0 };

	if (turn % 2) {
		assert_int_equal(send(w->far, data + 6, 4, 0), 4);
		return;
	}
	assert_int_equal(send(w->far, event, sizeof event, 0), sizeof event);
	assert_int_equal(send(w->far, data, 6, 0), 6);
	assert_true(line_host_push(w, RECORD_HCI_COMMAND, (struct bytes){ command, sizeof command }));
}

int main(int argc, char **argv)
{
	static struct line_worker k;
	struct line_world w;
	FILE *f;

	if (argc != 2 || !(f = fopen(argv[1], "wb"))) {
		fprintf(stderr, "usage: play_line FILE\n");
		return 2;
	}
	line_world_open(&w, LINE_UNIX, 64 * 1024);
	k.batch = 8;
	assert_int_equal(line_worker_start(&k, &w), 0);
	for (unsigned turn = 0; turn < TURNS; turn++) {
		talk(&w, turn);
		line_worker_settle(&k);
		hear(&w, f);
		fprintf(f, "turn %u\n", turn);
		fwrite(w.memory + WORD, 1, k.arena.log_at - WORD, f);
	}
	line_worker_end(&k);
	line_world_close(&w);
	return fclose(f) ? 1 : 0;
}
