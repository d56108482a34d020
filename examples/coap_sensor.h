/* coap_sensor.h - coap-sensor in parts: coap_sensor.c reads the command line, coap_send.c sends readings to a server,
 * coap_serve.c lets clients fetch and observe them, coap_source.c is where they come from. */
#ifndef COAP_SENSOR_H
#define COAP_SENSOR_H

#include "coap_credentials.h"
#include "coap_source.h"

struct sensor_options {
	struct coap_credentials credentials;
	const char *uri; /* of the server; NULL: serve */
	const char *serve, *resource; /* ADDR:PORT; a path */
	size_t queue_max;
	unsigned ack_timeout_s, max_retransmit;
	struct source source;
	bool quiet, verbose;
	int64_t started_at;
};

/* Both return the program's exit status. */
int sensor_send(struct sensor_options *o);
int sensor_serve(struct sensor_options *o);

#endif
