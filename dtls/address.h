/* address.h - an IPv4 or IPv6 socket address: a fixed form, comparison, and text. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
};

enum {
	ADDRESS_PAIR_KEY = 48,
	ADDRESS_TEXT = 72, /* [address%scope]:port and its NUL */
};

/* False for other families and wrong lengths. Padding and flow labels are cleared: equal addresses are equal bytes. */
bool address_set(struct address *, const struct sockaddr *, socklen_t len);
socklen_t address_len(const struct address *);
bool address_equal(const struct address *, const struct address *);
/* Bytes that differ when the peer's address and port, or our own address, do: 16 for IPv4, 48 for IPv6, which is
 * returned. local may be unset: its bytes are zero. */
size_t address_pair_key(const struct address *peer, const struct address *local, uint8_t key[ADDRESS_PAIR_KEY]);
/* The /32 of an IPv4 address, mapped into IPv6 or not; the /64 of an IPv6 one. */
uint64_t address_prefix(const struct address *);
/* 192.0.2.7:5684 or [2001:db8::7]:5684; returns text. */
char *address_text(const struct address *, char text[ADDRESS_TEXT]);
void address_clear_port(struct address *);
bool address_is_wildcard(const struct address *);

#endif
