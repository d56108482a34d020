/* gate.h - the stateless judgement of datagrams from addresses that have proven nothing (RFC 6347, 4.2.1). */
#ifndef GATE_H
#define GATE_H

#include "hello.h"
#include "settings.h"

enum gate_verdict {
	GATE_JUNK, /* no ClientHello */
	GATE_MALFORMED,
	GATE_FRAGMENTED,
	GATE_NO_SECRET, /* no randomness for a cookie */
	GATE_REPLY, /* no cookie yet: send the reply */
	GATE_REPLY_BAD, /* a stale or foreign cookie: send the reply */
	GATE_VERIFIED
};

/* Fills hello where there is one, and reply and *reply_len for the two GATE_REPLY verdicts. */
enum gate_verdict gate_judge(struct dtls_context *, int64_t now_ms, struct bytes client_id, const void *datagram,
    size_t len, struct hello *hello, uint8_t reply[HELLO_VERIFY_REQUEST_MAX], size_t *reply_len);

#endif
