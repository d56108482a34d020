/* failing.h - an allocator that runs out when it is told to, in place of the C library's. */
#ifndef FAILING_H
#define FAILING_H

#include <stdbool.h>

/* Under a sanitizer the allocator is the sanitizer's, and nothing fails. */
#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) ||               \
    __has_feature(thread_sanitizer)
#define FAILING_POSSIBLE false
#else
#define FAILING_POSSIBLE true
#endif

/* The nth allocation from now on fails, once; 0: none does. */
void failing_arm(unsigned nth);
/* While paused nothing fails, and nothing is counted. */
void failing_pause(bool paused);
/* The numbers of mbed TLS's bignums neither fail nor count: a handshake with EC keys has tens of thousands of them. */
void failing_spare_numbers(bool spare);
bool failing_happened(void); /* since it was armed last */
long failing_live(void); /* blocks allocated and not freed */

#endif
