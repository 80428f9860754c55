/* The code of every row's _print, and the tables: a file of its own, so that a core that does not print links neither. */
#include "wire/wire.h"
#define WIRE_TABLES
#include "wire/families.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

struct bytes wire_example(const struct wire_message *m, uint8_t *buf, size_t cap)
{
	struct wr w = wr_into(buf, cap);

	for (const char *s = m->example; *s; ) {
		uint8_t octet;
		unsigned times = 1;

		if (*s == ' ') {
			s++;
			continue;
		}
		if (digit(s[0]) < 0 || digit(s[1]) < 0)
			return (struct bytes){ NULL, 0 };
		octet = (uint8_t)(digit(s[0]) << 4 | digit(s[1]));
		s += 2;
		if (*s == '*')
			for (times = 0, s++; digit(*s) >= 0 && digit(*s) <= 9; s++)
				times = times * 10 + (unsigned)digit(*s);
		while (times--)
			wr_le(&w, octet, 1);
	}
	return wr_ok(&w) ? (struct bytes){ buf, wr_len(&w) } : (struct bytes){ NULL, 0 };
}
