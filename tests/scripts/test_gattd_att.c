/* The ATT server as a table: a PDU in, its answer out, or nothing.  Core 5.4, Vol 3, Part F, 3.4; MTU 23 unless a row changes it.
 * The attributes are in tests/lib/gatt_world.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/lib/gatt_world.h"

#define PDU(...) { sizeof((uint8_t[]){ __VA_ARGS__ }), { __VA_ARGS__ } }
#define SILENCE { 0 }
#define ERROR(request, handle, code) PDU(0x01, request, (handle) & 0xFF, (handle) >> 8, code)
struct pdu { uint8_t len, at[64]; };
struct exchange { const char *why; struct pdu in, out; };

static void play(const struct exchange *x, size_t n)
{
	struct gatt_world *w = gw_new(2);

	gw_connect(w, 0);
	for (; n--; x++)
		gw_ask(w, 0, (struct bytes){ x->in.at, x->in.len }, (struct bytes){ x->out.at, x->out.len }, x->why);
	gw_free(w);
}
#define SCRIPT(name, ...) \
static void name(void **state) \
{ \
	static const struct exchange script[] = { __VA_ARGS__ }; \
	(void)state; \
	play(script, ARRAY_LEN(script)); \
}

SCRIPT(test_mtu,
	{ "short request",               PDU(0x02, 23), ERROR(0x02, 0, 0x04) },
	{ "long request",                PDU(0x02, 23, 0, 0), ERROR(0x02, 0, 0x04) },
	{ "a small MTU counts as 23",    PDU(0x02, 5, 0), PDU(0x03, 0x05, 0x02) },
	{ "so the answer is cut at 22",  PDU(0x0A, 0x22, 0), PDU(0x0B, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21) },
	{ "once a connection",           PDU(0x02, 100, 0), ERROR(0x02, 0, 0x06) },
	{ "and it changed nothing",      PDU(0x0C, 0x22, 0, 10, 0), PDU(0x0D, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31) },
)

SCRIPT(test_find_information,
	{ "16-bit types until a longer one would not fit", PDU(0x04, 1, 0, 0xFF, 0xFF),
	  PDU(0x05, 1, 1, 0, 0x00, 0x28, 2, 0, 0x03, 0x28, 3, 0, 0x00, 0x2A, 4, 0, 0x03, 0x28, 5, 0, 0x01, 0x2A) },
	{ "ends where the format changes", PDU(0x04, 0x17, 0, 0x1A, 0), PDU(0x05, 1, 0x17, 0, 0x01, 0x29, 0x18, 0, 0x03, 0x28) },
	{ "a 128-bit type",              PDU(0x04, 0x19, 0, 0x1A, 0), PDU(0x05, 2, 0x19, 0, 0xBB, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) },
	{ "begins in a gap",             PDU(0x04, 0x25, 0, 0x30, 0), PDU(0x05, 1, 0x30, 0, 0x01, 0x28) },
	{ "nothing in a gap",            PDU(0x04, 0x25, 0, 0x2F, 0), ERROR(0x04, 0x25, 0x0A) },
	{ "nothing behind the last",     PDU(0x04, 0x34, 0, 0xFF, 0xFF), ERROR(0x04, 0x34, 0x0A) },
	{ "the last handle alone",       PDU(0x04, 0x33, 0, 0x33, 0), PDU(0x05, 1, 0x33, 0, 0x02, 0x29) },
	{ "handle 0",                    PDU(0x04, 0, 0, 0xFF, 0xFF), ERROR(0x04, 0, 0x01) },
	{ "start above end",             PDU(0x04, 5, 0, 4, 0), ERROR(0x04, 5, 0x01) },
	{ "short",                       PDU(0x04, 1, 0, 0xFF), ERROR(0x04, 0, 0x04) },
	{ "long",                        PDU(0x04, 1, 0, 0xFF, 0xFF, 0), ERROR(0x04, 0, 0x04) },
)

SCRIPT(test_find_by_type_value,
	{ "a primary service by UUID",   PDU(0x06, 1, 0, 0xFF, 0xFF, 0x00, 0x28, 0x01, 0x18), PDU(0x07, 6, 0, 9, 0) },
	{ "one of 128 bits",             PDU(0x06, 1, 0, 0xFF, 0xFF, 0x00, 0x28, 0xAA, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), PDU(0x07, 0x10, 0, 0x24, 0) },
	{ "a secondary service is none", PDU(0x06, 1, 0, 0xFF, 0xFF, 0x00, 0x28, 0x0F, 0x18), ERROR(0x06, 1, 0x0A) },
	{ "by its own type it is",       PDU(0x06, 1, 0, 0xFF, 0xFF, 0x01, 0x28, 0x0F, 0x18), PDU(0x07, 0x30, 0, 0x33, 0) },
	{ "what groups nothing ends at itself", PDU(0x06, 1, 0, 0xFF, 0xFF, 0xF1, 0xFF, 'h', 'i'), PDU(0x07, 0x12, 0, 0x12, 0) },
	{ "a characteristic groups its descriptors", PDU(0x06, 1, 0, 0xFF, 0xFF, 0x03, 0x28, 0x12, 0x32, 0, 0x19, 0x2A), PDU(0x07, 0x31, 0, 0x33, 0) },
	{ "a value is not told by comparing", PDU(0x06, 1, 0, 0xFF, 0xFF, 0xF3, 0xFF, 1), ERROR(0x06, 1, 0x0A) },
	{ "longer than the value",       PDU(0x06, 1, 0, 0xFF, 0xFF, 0xF1, 0xFF, 'h', 'i', 0), ERROR(0x06, 1, 0x0A) },
	{ "shorter than the value",      PDU(0x06, 1, 0, 0xFF, 0xFF, 0xF1, 0xFF, 'h'), ERROR(0x06, 1, 0x0A) },
	{ "an empty value",              PDU(0x06, 1, 0, 0xFF, 0xFF, 0xF2, 0xFF), PDU(0x07, 0x15, 0, 0x15, 0) },
	{ "handle 0",                    PDU(0x06, 0, 0, 0xFF, 0xFF, 0x00, 0x28, 0x01, 0x18), ERROR(0x06, 0, 0x01) },
	{ "start above end",             PDU(0x06, 9, 0, 8, 0, 0x00, 0x28, 0x01, 0x18), ERROR(0x06, 9, 0x01) },
	{ "short",                       PDU(0x06, 9, 0, 8, 0, 0x00), ERROR(0x06, 0, 0x04) },
)

SCRIPT(test_read_by_type,
	{ "declarations of one length",  PDU(0x08, 1, 0, 0xFF, 0xFF, 0x03, 0x28),
	  PDU(0x09, 7, 2, 0, 0x02, 3, 0, 0x00, 0x2A, 4, 0, 0x02, 5, 0, 0x01, 0x2A, 7, 0, 0x20, 8, 0, 0x05, 0x2A) },
	{ "a long one ends the list",    PDU(0x08, 0x14, 0, 0xFF, 0xFF, 0x03, 0x28), PDU(0x09, 7, 0x14, 0, 0x32, 0x15, 0, 0xF2, 0xFF) },
	{ "and comes alone",             PDU(0x08, 0x15, 0, 0xFF, 0xFF, 0x03, 0x28),
	  PDU(0x09, 21, 0x18, 0, 0x10, 0x19, 0, 0xBB, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) },
	{ "by a 128-bit type",           PDU(0x08, 0x1F, 0, 0xFF, 0xFF, 0xFB, 0x34, 0x9B, 0x5F, 0x80, 0, 0, 0x80, 0, 0x10, 0, 0, 0x03, 0x28, 0, 0),
	  PDU(0x09, 7, 0x1F, 0, 0x08, 0x20, 0, 0xF5, 0xFF, 0x21, 0, 0x02, 0x22, 0, 0xF6, 0xFF, 0x23, 0, 0x0A, 0x24, 0, 0xF7, 0xFF) },
	{ "a 128-bit UUID with other ends is another", PDU(0x08, 1, 0, 0xFF, 0xFF, 0xFB, 0x34, 0x9B, 0x5F, 0x80, 0, 0, 0x80, 0, 0x10, 0, 0, 0x03, 0x28, 1, 0), ERROR(0x08, 1, 0x0A) },
	{ "a value is cut at MTU - 4",   PDU(0x08, 1, 0, 0xFF, 0xFF, 0xF6, 0xFF), PDU(0x09, 21, 0x22, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18) },
	{ "unreadable names its handle", PDU(0x08, 1, 0, 0xFF, 0xFF, 0xF3, 0xFF), ERROR(0x08, 0x1C, 0x05) },
	{ "not permitted as well",       PDU(0x08, 1, 0, 0xFF, 0xFF, 0xF5, 0xFF), ERROR(0x08, 0x20, 0x02) },
	{ "CCCDs are the client's own",  PDU(0x08, 1, 0, 0xFF, 0xFF, 0x02, 0x29), PDU(0x09, 4, 9, 0, 0, 0, 0x16, 0, 0, 0, 0x1A, 0, 0, 0, 0x33, 0, 0, 0) },
	{ "an empty value",              PDU(0x08, 1, 0, 0xFF, 0xFF, 0xF2, 0xFF), PDU(0x09, 2, 0x15, 0) },
	{ "no such type",                PDU(0x08, 1, 0, 0xFF, 0xFF, 0x07, 0x2A), ERROR(0x08, 1, 0x0A) },
	{ "handle 0",                    PDU(0x08, 0, 0, 0xFF, 0xFF, 0x03, 0x28), ERROR(0x08, 0, 0x01) },
	{ "start above end",             PDU(0x08, 2, 0, 1, 0, 0x03, 0x28), ERROR(0x08, 2, 0x01) },
	{ "a UUID of 32 bits",           PDU(0x08, 1, 0, 0xFF, 0xFF, 0x03, 0x28, 0, 0), ERROR(0x08, 0, 0x04) },
	{ "a UUID of 15 octets",         PDU(0x08, 1, 0, 0xFF, 0xFF, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), ERROR(0x08, 0, 0x04) },
	{ "no UUID",                     PDU(0x08, 1, 0, 0xFF, 0xFF), ERROR(0x08, 0, 0x04) },
)

SCRIPT(test_read,
	{ "a value",                     PDU(0x0A, 0x12, 0), PDU(0x0B, 'h', 'i') },
	{ "a declaration",               PDU(0x0A, 1, 0), PDU(0x0B, 0x00, 0x18) },
	{ "a descriptor",                PDU(0x0A, 0x17, 0), PDU(0x0B, 'e', 'c', 'h', 'o') },
	{ "an empty value",              PDU(0x0A, 0x15, 0), PDU(0x0B) },
	{ "unknown handle names it",     PDU(0x0A, 0x13, 0), ERROR(0x0A, 0x13, 0x01) },
	{ "handle 0",                    PDU(0x0A, 0, 0), ERROR(0x0A, 0, 0x01) },
	{ "handle 0xFFFF",               PDU(0x0A, 0xFF, 0xFF), ERROR(0x0A, 0xFFFF, 0x01) },
	{ "needs encryption, no key: authentication", PDU(0x0A, 0x1C, 0), ERROR(0x0A, 0x1C, 0x05) },
	{ "needs authorization",         PDU(0x0A, 0x1E, 0), ERROR(0x0A, 0x1E, 0x08) },
	{ "neither property nor permission", PDU(0x0A, 0x20, 0), ERROR(0x0A, 0x20, 0x02) },
	{ "only notified",               PDU(0x0A, 0x19, 0), ERROR(0x0A, 0x19, 0x02) },
	{ "only indicated",              PDU(0x0A, 8, 0), ERROR(0x0A, 8, 0x02) },
	{ "short",                       PDU(0x0A, 3), ERROR(0x0A, 0, 0x04) },
	{ "no handle at all",            PDU(0x0A), ERROR(0x0A, 0, 0x04) },
	{ "long",                        PDU(0x0A, 3, 0, 0), ERROR(0x0A, 0, 0x04) },
)

SCRIPT(test_read_blob,
	{ "from an offset",              PDU(0x0C, 0x22, 0, 30, 0), PDU(0x0D, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39) },
	{ "from 0",                      PDU(0x0C, 0x12, 0, 0, 0), PDU(0x0D, 'h', 'i') },
	{ "at the end: nothing left",    PDU(0x0C, 0x22, 0, 40, 0), PDU(0x0D) },
	{ "beyond it",                   PDU(0x0C, 0x22, 0, 41, 0), ERROR(0x0C, 0x22, 0x07) },
	{ "far beyond it",               PDU(0x0C, 0x22, 0, 0xFF, 0xFF), ERROR(0x0C, 0x22, 0x07) },
	{ "a CCCD is never long",        PDU(0x0C, 0x16, 0, 1, 0), ERROR(0x0C, 0x16, 0x0B) },
	{ "unreadable",                  PDU(0x0C, 0x20, 0, 0, 0), ERROR(0x0C, 0x20, 0x02) },
	{ "unknown handle",              PDU(0x0C, 0x13, 0, 0, 0), ERROR(0x0C, 0x13, 0x01) },
	{ "short",                       PDU(0x0C, 0x22, 0, 1), ERROR(0x0C, 0, 0x04) },
	{ "long",                        PDU(0x0C, 0x22, 0, 1, 0, 0), ERROR(0x0C, 0, 0x04) },
)

SCRIPT(test_read_multiple,
	{ "two values",                  PDU(0x0E, 0x12, 0, 5, 0), PDU(0x0F, 'h', 'i', 0, 0) },
	{ "cut at MTU - 1",              PDU(0x0E, 0x12, 0, 0x22, 0), PDU(0x0F, 'h', 'i', 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19) },
	{ "the failing one is named",    PDU(0x0E, 0x12, 0, 0x13, 0), ERROR(0x0E, 0x13, 0x01) },
	{ "unreadable",                  PDU(0x0E, 0x12, 0, 0x1C, 0), ERROR(0x0E, 0x1C, 0x05) },
	{ "one handle is too few",       PDU(0x0E, 0x12, 0), ERROR(0x0E, 0, 0x04) },
	{ "an odd length",               PDU(0x0E, 0x12, 0, 5, 0, 1), ERROR(0x0E, 0, 0x04) },
	{ "variable: with lengths",      PDU(0x20, 0x12, 0, 0x15, 0, 5, 0), PDU(0x21, 2, 0, 'h', 'i', 0, 0, 2, 0, 0, 0) },
	{ "variable: cut, its length whole", PDU(0x20, 0x12, 0, 0x22, 0, 5, 0), PDU(0x21, 2, 0, 'h', 'i', 40, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) },
	{ "variable: one handle",        PDU(0x20, 0x12, 0), ERROR(0x20, 0, 0x04) },
	{ "variable: unknown handle",    PDU(0x20, 0x13, 0, 0x12, 0), ERROR(0x20, 0x13, 0x01) },
)

SCRIPT(test_read_by_group_type,
	{ "services of one length",      PDU(0x10, 1, 0, 0xFF, 0xFF, 0x00, 0x28), PDU(0x11, 6, 1, 0, 5, 0, 0x00, 0x18, 6, 0, 9, 0, 0x01, 0x18) },
	{ "a long one alone",            PDU(0x10, 0x0A, 0, 0xFF, 0xFF, 0x00, 0x28), PDU(0x11, 20, 0x10, 0, 0x24, 0, 0xAA, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) },
	{ "secondary",                   PDU(0x10, 1, 0, 0xFF, 0xFF, 0x01, 0x28), PDU(0x11, 6, 0x30, 0, 0x33, 0, 0x0F, 0x18) },
	{ "by the 128-bit form",         PDU(0x10, 1, 0, 5, 0, 0xFB, 0x34, 0x9B, 0x5F, 0x80, 0, 0, 0x80, 0, 0x10, 0, 0, 0x00, 0x28, 0, 0), PDU(0x11, 6, 1, 0, 5, 0, 0x00, 0x18) },
	{ "no more of them",             PDU(0x10, 0x11, 0, 0xFF, 0xFF, 0x00, 0x28), ERROR(0x10, 0x11, 0x0A) },
	{ "a characteristic is no group type here", PDU(0x10, 1, 0, 0xFF, 0xFF, 0x03, 0x28), ERROR(0x10, 1, 0x10) },
	{ "nor is anything else",        PDU(0x10, 1, 0, 0xFF, 0xFF, 0x00, 0x2A), ERROR(0x10, 1, 0x10) },
	{ "handle 0",                    PDU(0x10, 0, 0, 0xFF, 0xFF, 0x00, 0x28), ERROR(0x10, 0, 0x01) },
	{ "start above end",             PDU(0x10, 3, 0, 2, 0, 0x00, 0x28), ERROR(0x10, 3, 0x01) },
	{ "a UUID of 3 octets",          PDU(0x10, 1, 0, 0xFF, 0xFF, 0x00, 0x28, 0), ERROR(0x10, 0, 0x04) },
	{ "short",                       PDU(0x10, 1, 0, 0xFF), ERROR(0x10, 0, 0x04) },
)

SCRIPT(test_write,
	{ "a value",                     PDU(0x12, 0x12, 0, 'x', 'y'), PDU(0x13) },
	{ "is there",                    PDU(0x0A, 0x12, 0), PDU(0x0B, 'x', 'y') },
	{ "and on its echo",             PDU(0x0A, 0x15, 0), PDU(0x0B, 'x', 'y') },
	{ "an empty one",                PDU(0x12, 0x12, 0), PDU(0x13) },
	{ "is empty",                    PDU(0x0A, 0x12, 0), PDU(0x0B) },
	{ "longest that fits",           PDU(0x12, 0x20, 0, 1, 2, 3, 4), PDU(0x13) },
	{ "one octet too long",          PDU(0x12, 0x20, 0, 1, 2, 3, 4, 5), ERROR(0x12, 0x20, 0x0D) },
	{ "no property to write",        PDU(0x12, 0x22, 0, 1), ERROR(0x12, 0x22, 0x03) },
	{ "no permission to write",      PDU(0x12, 0x15, 0, 1), ERROR(0x12, 0x15, 0x03) },
	{ "a declaration",               PDU(0x12, 1, 0, 1), ERROR(0x12, 1, 0x03) },
	{ "a read-only descriptor",      PDU(0x12, 0x17, 0, 1), ERROR(0x12, 0x17, 0x03) },
	{ "needs authentication",        PDU(0x12, 0x1C, 0, 1), ERROR(0x12, 0x1C, 0x05) },
	{ "needs authorization",         PDU(0x12, 0x1E, 0, 1), ERROR(0x12, 0x1E, 0x08) },
	{ "unknown handle",              PDU(0x12, 0x13, 0, 1), ERROR(0x12, 0x13, 0x01) },
	{ "short",                       PDU(0x12, 0x12), ERROR(0x12, 0, 0x04) },
	{ "a command",                   PDU(0x52, 0x12, 0, 'z'), SILENCE },
	{ "did it",                      PDU(0x0A, 0x12, 0), PDU(0x0B, 'z') },
	{ "refused commands are silent: handle", PDU(0x52, 0x13, 0, 'z'), SILENCE },
	{ "permission",                  PDU(0x52, 0x22, 0, 'z'), SILENCE },
	{ "length",                      PDU(0x52, 0x20, 0, 1, 2, 3, 4, 5), SILENCE },
	{ "short command",               PDU(0x52, 0x12), SILENCE },
	{ "they changed nothing",        PDU(0x0C, 0x22, 0, 39, 0), PDU(0x0D, 39) },
	{ "a signed write is ignored",   PDU(0xD2, 0x12, 0, 'q', 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), SILENCE },
	{ "it changed nothing",          PDU(0x0A, 0x12, 0), PDU(0x0B, 'z') },
)

SCRIPT(test_cccd,
	{ "begins at 0",                 PDU(0x0A, 0x16, 0), PDU(0x0B, 0, 0) },
	{ "both bits",                   PDU(0x12, 0x16, 0, 3, 0), PDU(0x13) },
	{ "are kept",                    PDU(0x0A, 0x16, 0), PDU(0x0B, 3, 0) },
	{ "reserved bits are ignored",   PDU(0x12, 0x16, 0, 0xFD, 0xFF), PDU(0x13) },
	{ "so they read 0",              PDU(0x0A, 0x16, 0), PDU(0x0B, 1, 0) },
	{ "no other CCCD changed",       PDU(0x0A, 0x1A, 0), PDU(0x0B, 0, 0) },
	{ "one octet",                   PDU(0x12, 0x16, 0, 1), ERROR(0x12, 0x16, 0x0D) },
	{ "three octets",                PDU(0x12, 0x16, 0, 1, 0, 0), ERROR(0x12, 0x16, 0x0D) },
	{ "none",                        PDU(0x12, 0x16, 0), ERROR(0x12, 0x16, 0x0D) },
	{ "indications of what only notifies", PDU(0x12, 0x1A, 0, 2, 0), ERROR(0x12, 0x1A, 0xFD) },
	{ "notifications of what only indicates", PDU(0x12, 9, 0, 1, 0), ERROR(0x12, 9, 0xFD) },
	{ "by a command",                PDU(0x52, 0x1A, 0, 1, 0), SILENCE },
	{ "is there",                    PDU(0x0A, 0x1A, 0), PDU(0x0B, 1, 0) },
	{ "taken back",                  PDU(0x12, 0x16, 0, 0, 0), PDU(0x13) },
	{ "is gone",                     PDU(0x0A, 0x16, 0), PDU(0x0B, 0, 0) },
)

SCRIPT(test_prepare,
	{ "nothing prepared: executes",  PDU(0x18, 1), PDU(0x19) },
	{ "a first part",                PDU(0x16, 0x24, 0, 0, 0, 'w', 'x'), PDU(0x17, 0x24, 0, 0, 0, 'w', 'x') },
	{ "a second part",               PDU(0x16, 0x24, 0, 2, 0, 'y', 'z'), PDU(0x17, 0x24, 0, 2, 0, 'y', 'z') },
	{ "nothing is written yet",      PDU(0x0A, 0x24, 0), PDU(0x0B, 'a', 'b', 'c') },
	{ "executed",                    PDU(0x18, 1), PDU(0x19) },
	{ "written",                     PDU(0x0A, 0x24, 0), PDU(0x0B, 'w', 'x', 'y', 'z') },
	{ "into the middle",             PDU(0x16, 0x24, 0, 1, 0, 'm'), PDU(0x17, 0x24, 0, 1, 0, 'm') },
	{ "executed",                    PDU(0x18, 1), PDU(0x19) },
	{ "overwrites",                  PDU(0x0A, 0x24, 0), PDU(0x0B, 'w', 'm', 'y', 'z') },
	{ "prepared",                    PDU(0x16, 0x24, 0, 0, 0, '1'), PDU(0x17, 0x24, 0, 0, 0, '1') },
	{ "and cancelled",               PDU(0x18, 0), PDU(0x19) },
	{ "changes nothing",             PDU(0x18, 1), PDU(0x19) },
	{ "as before",                   PDU(0x0A, 0x24, 0), PDU(0x0B, 'w', 'm', 'y', 'z') },
	{ "a good part",                 PDU(0x16, 0x12, 0, 0, 0, 'g'), PDU(0x17, 0x12, 0, 0, 0, 'g') },
	{ "a hole is seen when executed", PDU(0x16, 0x24, 0, 5, 0, '2'), PDU(0x17, 0x24, 0, 5, 0, '2') },
	{ "all or nothing",              PDU(0x18, 1), ERROR(0x18, 0x24, 0x07) },
	{ "so not the good one either",  PDU(0x0A, 0x12, 0), PDU(0x0B, 'h', 'i') },
	{ "the queue is empty after a failure", PDU(0x18, 1), PDU(0x19) },
	{ "too long in all",             PDU(0x16, 0x20, 0, 0, 0, 1, 2, 3, 4, 5), PDU(0x17, 0x20, 0, 0, 0, 1, 2, 3, 4, 5) },
	{ "is seen when executed",       PDU(0x18, 1), ERROR(0x18, 0x20, 0x0D) },
	{ "unknown handle",              PDU(0x16, 0x13, 0, 0, 0, 1), ERROR(0x16, 0x13, 0x01) },
	{ "not writable",                PDU(0x16, 0x22, 0, 0, 0, 1), ERROR(0x16, 0x22, 0x03) },
	{ "needs authentication",        PDU(0x16, 0x1C, 0, 0, 0, 1), ERROR(0x16, 0x1C, 0x05) },
	{ "a CCCD",                      PDU(0x16, 0x16, 0, 0, 0, 1, 0), PDU(0x17, 0x16, 0, 0, 0, 1, 0) },
	{ "executed",                    PDU(0x18, 1), PDU(0x19) },
	{ "is set",                      PDU(0x0A, 0x16, 0), PDU(0x0B, 1, 0) },
	{ "a CCCD in halves",            PDU(0x16, 0x16, 0, 1, 0, 0), PDU(0x17, 0x16, 0, 1, 0, 0) },
	{ "is not possible",             PDU(0x18, 1), ERROR(0x18, 0x16, 0x07) },
	{ "flags that are none",         PDU(0x18, 2), ERROR(0x18, 0, 0x04) },
	{ "no flags",                    PDU(0x18), ERROR(0x18, 0, 0x04) },
	{ "short",                       PDU(0x16, 0x24, 0, 0), ERROR(0x16, 0, 0x04) },
)

SCRIPT(test_others,
	{ "an unknown request",          PDU(0x15, 1), ERROR(0x15, 0, 0x06) },
	{ "opcode 0",                    PDU(0x00), ERROR(0x00, 0, 0x06) },
	{ "opcode 0x3F",                 PDU(0x3F), ERROR(0x3F, 0, 0x06) },
	{ "an unknown command is silent", PDU(0x72, 1), SILENCE },
	{ "with the signature flag too", PDU(0xF2, 1), SILENCE },
	{ "a request with that flag",    PDU(0x8A, 3, 0), ERROR(0x8A, 0, 0x06) },
	{ "an empty PDU",                SILENCE, SILENCE },
	{ "responses nobody asked for",  PDU(0x01, 0x0A, 3, 0, 1), SILENCE },
	{ "MTU response",                PDU(0x03, 23, 0), SILENCE },
	{ "read response",               PDU(0x0B), SILENCE },
	{ "write response",              PDU(0x13), SILENCE },
	{ "an underlong one",            PDU(0x05), SILENCE },
	{ "confirmation of nothing",     PDU(0x1E), SILENCE },
	{ "confirmation with a body",    PDU(0x1E, 1), SILENCE },
	{ "a notification",              PDU(0x1B, 3, 0, 1), SILENCE },
	{ "a short notification",        PDU(0x1B, 3), SILENCE },
	{ "several in one",              PDU(0x23, 3, 0, 1, 0, 1), SILENCE },
	{ "an indication is owed its confirmation", PDU(0x1D, 3, 0, 1), PDU(0x1E) },
	{ "a malformed one is not",      PDU(0x1D, 3), SILENCE },
	{ "longer than the MTU",         PDU(0x12, 0x12, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21), ERROR(0x12, 0, 0x04) },
	{ "a command longer than the MTU", PDU(0x52, 0x12, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21), SILENCE },
	{ "the MTU itself",              PDU(0x12, 0x12, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20), PDU(0x13) },
)

/* A long value in one exchange, once the MTU is there: the largest answers. */
static void test_largest(void **state)
{
	struct gatt_world *w = gw_new(1);
	uint8_t in[517] = { 0x12, 0x12, 0x00 }, out[517] = { 0x0B };

	(void)state;
	gw_connect(w, 0);
	gw_mtu(w, 0, 517);
	for (unsigned i = 0; i < 512; i++)
		in[3 + i] = out[1 + i] = (uint8_t)(i * 5);
	gw_ask(w, 0, (struct bytes){ in, 515 }, OCTETS_OF(0x13), "write 512 octets");
	gw_ask(w, 0, OCTETS_OF(0x0A, 0x15, 0), (struct bytes){ out, 513 }, "read them from the echo");
	gw_ask(w, 0, (struct bytes){ in, 516 }, OCTETS_OF(0x01, 0x12, 0x12, 0, 0x0D), "513 octets are too many");
	gw_ask(w, 0, OCTETS_OF(0x0C, 0x15, 0, 0xFF, 0x01), OCTETS_OF(0x0D, (uint8_t)(511 * 5)), "the last octet");
	gw_ask(w, 0, OCTETS_OF(0x0C, 0x15, 0, 0x00, 0x02), OCTETS_OF(0x0D), "behind it");
	out[0] = 0x09;
	out[1] = 255;
	out[2] = 0x15;
	out[3] = 0x00;
	for (unsigned i = 0; i < 253; i++)
		out[4 + i] = (uint8_t)(i * 5);
	gw_ask(w, 0, OCTETS_OF(0x08, 1, 0, 0xFF, 0xFF, 0xF2, 0xFF), (struct bytes){ out, 257 }, "by type: 253 of them at most");
	gw_free(w);
}

/* The queue is bounded, and gives way: full, then cancelled, then empty again. */
static void test_prepare_flood(void **state)
{
	struct gatt_world *w = gw_new(1);
	uint8_t in[23] = { 0x16, 0x24, 0x00 }, out[23] = { 0x17, 0x24, 0x00 };
	unsigned n = 0;

	(void)state;
	gw_connect(w, 0);
	for (; n < GATT_PREPARED_OCTETS / (6 + 18); n++)
		gw_ask(w, 0, (struct bytes){ in, 23 }, (struct bytes){ out, 23 }, "a part");
	gw_ask(w, 0, (struct bytes){ in, 23 }, OCTETS_OF(0x01, 0x16, 0x24, 0, 0x09), "no room for one more");
	gw_ask(w, 0, OCTETS_OF(0x0A, 0x12, 0), OCTETS_OF(0x0B, 'h', 'i'), "the bearer lives");
	gw_ask(w, 0, OCTETS_OF(0x18, 0), OCTETS_OF(0x19), "cancelled");
	gw_ask(w, 0, (struct bytes){ in, 23 }, (struct bytes){ out, 23 }, "room again");
	gw_disconnect(w, 0);
	gw_connect(w, 0);
	gw_ask(w, 0, OCTETS_OF(0x18, 1), OCTETS_OF(0x19), "gone with the connection");
	gw_ask(w, 0, OCTETS_OF(0x0A, 0x24, 0), OCTETS_OF(0x0B, 'a', 'b', 'c'), "and never written");
	gw_free(w);
}

/* Every opcode with every length up to the MTU: each request gets one answer, nothing else gets an error, nothing stays behind. */
static void test_all_opcodes(void **state)
{
	struct gatt_world *w = gw_new(1);
	uint8_t pdu[24];

	(void)state;
	gw_connect(w, 0);
	for (unsigned opcode = 0; opcode < 256; opcode++)
		for (unsigned len = 1; len <= sizeof pdu; len++) {
			struct bytes got;
			bool silent = opcode & 0x40 || opcode == 0x1B || opcode == 0x1D || opcode == 0x1E || opcode == 0x23 ||
			    (opcode <= 0x21 && opcode & 1 && opcode != 0x15 && opcode != 0x1F);

			memset(pdu, (int)len, sizeof pdu);
			pdu[0] = (uint8_t)opcode;
			gw_forget(w);
			gw_send(w, 0, 4, (struct bytes){ pdu, len });
			got = gw_hear(w, NULL, NULL);
			if (silent && opcode != 0x1D)
				assert_null(got.at);
			if (!silent)
				assert_non_null(got.at);
			assert_int_equal(w->pdus, 0);
		}
	gw_ask(w, 0, OCTETS_OF(0x0A, 0x17, 0), OCTETS_OF(0x0B, 'e', 'c', 'h', 'o'), "still served");
	gw_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mtu), cmocka_unit_test(test_find_information), cmocka_unit_test(test_find_by_type_value),
		cmocka_unit_test(test_read_by_type), cmocka_unit_test(test_read), cmocka_unit_test(test_read_blob),
		cmocka_unit_test(test_read_multiple), cmocka_unit_test(test_read_by_group_type), cmocka_unit_test(test_write),
		cmocka_unit_test(test_cccd), cmocka_unit_test(test_prepare), cmocka_unit_test(test_others), cmocka_unit_test(test_largest),
		cmocka_unit_test(test_prepare_flood), cmocka_unit_test(test_all_opcodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
