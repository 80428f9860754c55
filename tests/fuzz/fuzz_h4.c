/* tests/fuzz/fuzz_h4.c - any octets as a stream from a controller: framing stays inside, and makes progress or stops. */
#include <stdlib.h>
#include "transportd/h4.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct h4_packet p;
	size_t pos = 0;

	while (!h4_next((struct bytes){ at + pos, len - pos }, 32752, &p)) {
		if (p.octets < 3 || p.octets > len - pos || p.body.len + 1 != p.octets)
			abort();
		h4_is_advertising(p.body);
		h4_from_host(p.kind, p.body);
		pos += p.octets;
	}
	return 0;
}
