#include "failing.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_uint countdown;
static atomic_bool paused, happened, numbers_spared;
static atomic_long live;

void failing_arm(unsigned nth)
{
	happened = false;
	countdown = nth;
}

void failing_pause(bool yes)
{
	paused = yes;
}

void failing_spare_numbers(bool yes)
{
	numbers_spared = yes;
}

bool failing_happened(void)
{
	return happened;
}

long failing_live(void)
{
	return live;
}

#ifdef __GLIBC__
/* The C library's own allocator, under the names that stay when a program brings malloc() along. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);
#endif

#if FAILING_POSSIBLE && defined(__GLIBC__)
static bool fails(void)
{
	if (paused || countdown == 0 || --countdown != 0)
		return false;
	happened = true;
	errno = ENOMEM;
	return true;
}

static void *counted(void *p)
{
	if (p != NULL)
		live++;
	return p;
}

void *malloc(size_t size)
{
	return fails() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
	bool is_number = size == sizeof(long); /* an array of machine words */

	return !(is_number && numbers_spared) && fails() ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *p, size_t size)
{
	void *moved;

	if (fails())
		return NULL;
	moved = __libc_realloc(p, size);
	return p == NULL ? counted(moved) : moved;
}

void free(void *p)
{
	if (p != NULL)
		live--;
	__libc_free(p);
}
#endif
