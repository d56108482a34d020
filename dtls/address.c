#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

bool address_set(struct address *a, const struct sockaddr *sa, socklen_t len)
{
	struct sockaddr_in6 in6;

	memset(a, 0, sizeof(*a));
	if (len >= (socklen_t)sizeof(struct sockaddr_in) && sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		a->in.sin_family = AF_INET;
		a->in.sin_port = in.sin_port;
		a->in.sin_addr = in.sin_addr;
		return true;
	}
	if (len < (socklen_t)sizeof(in6) || sa->sa_family != AF_INET6)
		return false;
	memcpy(&in6, sa, sizeof(in6));
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_port = in6.sin6_port;
	a->in6.sin6_addr = in6.sin6_addr;
	a->in6.sin6_scope_id = in6.sin6_scope_id;
	return true;
}

socklen_t address_len(const struct address *a)
{
	return a->any.sa_family == AF_INET6 ? sizeof(a->in6) : a->any.sa_family == AF_INET ? sizeof(a->in) : 0;
}

bool address_equal(const struct address *a, const struct address *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr && a->in.sin_port == b->in.sin_port;
	return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr)) == 0 &&
	       a->in6.sin6_port == b->in6.sin6_port && a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

size_t address_pair_key(const struct address *peer, const struct address *local, uint8_t key[ADDRESS_PAIR_KEY])
{
	memset(key, 0, ADDRESS_PAIR_KEY);
	key[0] = (uint8_t)peer->any.sa_family;
	if (peer->any.sa_family == AF_INET) {
		memcpy(key + 2, &peer->in.sin_port, 2);
		memcpy(key + 4, &peer->in.sin_addr, 4);
		memcpy(key + 8, &local->in.sin_addr, 4);
		return 16;
	}
	memcpy(key + 2, &peer->in6.sin6_port, 2);
	memcpy(key + 4, &peer->in6.sin6_scope_id, 4);
	memcpy(key + 8, &peer->in6.sin6_addr, 16);
	memcpy(key + 24, &local->in6.sin6_addr, 16);
	memcpy(key + 40, &local->in6.sin6_scope_id, 4);
	return ADDRESS_PAIR_KEY;
}

uint64_t address_prefix(const struct address *a)
{
	uint8_t prefix[8] = {0}; /* 0000::/8 is reserved: an IPv4 address is no IPv6 network */
	uint64_t value;

	if (a->any.sa_family == AF_INET)
		memcpy(prefix + 4, &a->in.sin_addr, 4);
	else if (IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		memcpy(prefix + 4, a->in6.sin6_addr.s6_addr + 12, 4);
	else
		memcpy(prefix, &a->in6.sin6_addr, 8);
	memcpy(&value, prefix, sizeof(value));
	return value;
}

char *address_text(const struct address *a, char text[ADDRESS_TEXT])
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (a->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host));
		snprintf(text, ADDRESS_TEXT, "%s:%u", host, ntohs(a->in.sin_port));
		return text;
	}
	inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
	if (a->in6.sin6_scope_id != 0)
		snprintf(text, ADDRESS_TEXT, "[%s%%%u]:%u", host, a->in6.sin6_scope_id, ntohs(a->in6.sin6_port));
	else
		snprintf(text, ADDRESS_TEXT, "[%s]:%u", host, ntohs(a->in6.sin6_port));
	return text;
}

bool address_is_wildcard(const struct address *a)
{
	if (a->any.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == htonl(INADDR_ANY);
	return a->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

void address_clear_port(struct address *a)
{
	if (a->any.sa_family == AF_INET)
		a->in.sin_port = 0;
	else
		a->in6.sin6_port = 0;
}
