/* mqtt_options.h - the command line of mqtt-psk. */
#ifndef MQTT_OPTIONS_H
#define MQTT_OPTIONS_H

#include "cli_dtls.h"
#include "cli_file.h"
#include "mqtt.h"

enum { MQTT_FILTERS_MAX = 64, MQTT_CLIENT_ID = 24 };

struct mqtt_options {
	struct cli_dtls dtls;
	bool publishes; /* or subscribes */
	struct mqtt_bytes topics[MQTT_FILTERS_MAX]; /* one, or filters */
	size_t topic_count;
	const char *message; /* NULL: lines of standard input */
	uint8_t qos;
	bool retain, verbose;
	uint64_t count; /* of messages to end after; 0: never */
	int64_t timeout_ms;
	char *broker; /* HOST:PORT */
	char *hostname; /* for SNI, and to verify the broker's certificate; NULL: none */
	struct mqtt_connect connect;
	char client_id[MQTT_CLIENT_ID]; /* the random one */
	struct cli_file password_file;
};

/* What is wrong ends the program. False: it has done what it was asked to, --help or --version. */
bool mqtt_options_read(struct mqtt_options *o, int argc, char **argv);
void mqtt_options_free(struct mqtt_options *o);

#endif
