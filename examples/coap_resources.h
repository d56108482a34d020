/* coap_resources.h - what coap-server serves: /time, and /sensors/NAME, which the first reading makes.
 *
 * Each reading counts once. A confirmable request that is repeated because its answer was lost has the message ID that it
 * had (RFC 7252, 4.5): coap_messages.h knows it within one DTLS session. A sensor that had to make a new session, and
 * does not know whether its last reading arrived, sends it there again, under a new message ID. So a reading has a number,
 * ?n=NUMBER, counted from 1 in one run of the sensor, ?run=NAME: coap_sensors.h knows each number of each run of each
 * identity. What is known is answered like a new one, 2.04, but neither printed, nor kept, nor told to observers. With a
 * journal that stays true when the server starts anew. */
#ifndef COAP_RESOURCES_H
#define COAP_RESOURCES_H

#include "coap_journal.h"
#include "coap_peers.h"
#include "coap_sensors.h"

#include <coap3/coap.h>

struct coap_resources {
	coap_context_t *coap;
	coap_resource_t *time;
	struct sensors sensors;
	struct journal *journal; /* NULL: none */
	int output_error; /* errno: a reading could not be printed, and the server is to end; 0: none */
	bool time_is_observed;
	bool has_deleted; /* sensors whose resource is still there */
	struct { /* requests */
		uint64_t taken, repeated, known, refused, read, deleted;
	} counts;
};

/* coap, journal and sensors.max are given. Readings of the journal make their sensors. */
void coap_resources_start(struct coap_resources *r);
/* A reading of a journal that is being read. False: too many sensors. */
bool coap_resources_restore(void *resources, const struct sensor_reading *reading);
/* After each libcoap_work(): what could not be done while libcoap was in it. */
void coap_resources_settle(struct coap_resources *r);
/* A second has begun. */
void coap_resources_tick(struct coap_resources *r);
void coap_resources_free(struct coap_resources *r);

#endif
