/* lab_messages.h - what a datagram of DTLS 1.2 carries, by name. */
#ifndef LAB_MESSAGES_H
#define LAB_MESSAGES_H

#include "drops.h"

#include <stddef.h>
#include <stdint.h>

enum lab_kind {
	LAB_CLIENT_HELLO,
	LAB_HELLO_VERIFY_REQUEST,
	LAB_SERVER_HELLO,
	LAB_CERTIFICATE,
	LAB_SERVER_KEY_EXCHANGE,
	LAB_CERTIFICATE_REQUEST,
	LAB_SERVER_HELLO_DONE,
	LAB_CLIENT_KEY_EXCHANGE,
	LAB_CERTIFICATE_VERIFY,
	LAB_NEW_SESSION_TICKET,
	LAB_CHANGE_CIPHER_SPEC,
	LAB_FINISHED, /* what is encrypted during a handshake can be nothing else */
	LAB_ALERT,
	LAB_KINDS
};

const char *lab_kind_name(int kind);
/* The kind of this name, LAB_KINDS where there is none. */
enum lab_kind lab_kind_named(const char *name);

enum { LAB_MESSAGES = 32 };

struct lab_message {
	enum lab_kind kind;
	bool encrypted;
	int flight; /* 1 to 6 (RFC 6347, 4.2.4); 0: none */
	int seq; /* message_seq; -1 where there is none, or it cannot be read */
	int alert; /* its description, or -1 */
	uint32_t offset, len, total; /* the fragment */
};

/* At most LAB_MESSAGES of them; what is neither of the kinds above nor whole is left out. Returns how many. */
size_t lab_messages_read(
    enum direction direction, const void *datagram, size_t len, struct lab_message messages[LAB_MESSAGES]);

#endif
