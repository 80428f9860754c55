/* tests/lib/octet_memcpy.c - see octet_memcpy.h. */
#include <stddef.h>
#include <string.h>
#include "tests/lib/octet_memcpy.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
bool octet_memcpy_there(void) { return false; }
#else
bool octet_memcpy_there(void) { return true; }

/* On x86 a repeated string instruction traps after each octet: slow under single-step only. */
void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
#ifdef __x86_64__
	void *to = dst;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(src), "+c"(n) : : "memory");
#else
	for (size_t i = 0; i < n; i++)
		((volatile unsigned char *)dst)[i] = ((const unsigned char *)src)[i];
#endif
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
#ifdef __x86_64__
	void *to = dst;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
#else
	for (size_t i = 0; i < n; i++)
		((volatile unsigned char *)dst)[i] = (unsigned char)c;
#endif
	return dst;
}
#endif
