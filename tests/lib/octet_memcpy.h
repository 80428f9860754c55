/* tests/lib/octet_memcpy.h - a test that includes this has a memcpy and a memset that go octet by octet, and stop after each one
 * when they are single-stepped: a kill may fall between any two octets, as the C language and other processors allow. */
#pragma once
#include <stdbool.h>

/* Is it in force?  Not under a sanitizer, which brings its own. */
bool octet_memcpy_there(void);
