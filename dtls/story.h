/* story.h - tells a handshake's story to the trace callback: which flight left or came, with which messages. */
#ifndef STORY_H
#define STORY_H

#include "settings.h"

struct story {
	const struct options *opt;
	bool server;
	int last_flight; /* the number of the latest flight sent */
	int top_sent; /* the highest message_seq sent; -1: none */
	int64_t sent_at; /* of the latest flight's latest transmission */
	struct story_lane { /* of a stream, one each way */
		size_t rest; /* bytes of a message that began in the latest record */
		bool encrypted;
	} out, in;
	size_t unsent; /* bytes of a stream's record that has begun to leave */
};

void story_init(struct story *, const struct options *);
void story_sent(struct story *, const uint8_t *datagram, size_t len);
void story_received(struct story *, const uint8_t *datagram, size_t len);
/* Over a stream: one whole record after the other, as it travels. */
void story_stream_sent(struct story *, const uint8_t *record, size_t len);
void story_stream_received(struct story *, const uint8_t *record, size_t len);
void story_tell(const struct story *, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *handshake_name(uint8_t type); /* "ServerHello"; "unknown message" */
const char *alert_name(unsigned char description); /* "bad_record_mac"; "unknown" for numbers without a name */

#endif
