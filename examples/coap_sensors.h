/* coap_sensors.h - what coap-server knows of its sensors, by path: the last reading of each, and which readings of which
 * runs it has taken. */
#ifndef COAP_SENSORS_H
#define COAP_SENSORS_H

#include "coap_numbers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SENSORS_NAME_MAX = 255, /* bytes of an identity */
	SENSORS_PATH_MAX = 255,
	SENSORS_RUN_MAX = 32,
	SENSORS_RUNS = 8, /* of one sensor, the last used */
};

struct sensor_reading { /* everything in it belongs to the caller */
	const char *path; /* without '/' at the start, "sensors/kitchen" */
	const uint8_t *name; /* of who sent it; NULL where he is anonymous, and known by address only */
	size_t name_len;
	const char *address;
	const char *run; /* "": none was told */
	uint64_t number; /* 0: it has none, and is always new */
	uint16_t format; /* RFC 7252, 12.3 */
	const uint8_t *text;
	size_t len;
	bool is_deletion; /* no reading, but the end of them; text and number mean nothing */
};

struct sensor_value { /* counted: an answer may still be under way when the next reading comes */
	unsigned references;
	uint16_t format;
	size_t len;
	uint8_t bytes[];
};
void sensor_value_release(struct sensor_value *value); /* NULL: nothing */

struct sensor {
	char *path;
	void *resource; /* the caller's */
	struct sensor_value *value; /* NULL: there is none, or no longer */
	struct sensor_run *runs;
	size_t run_count;
};

struct sensors { /* all zero at first but for max */
	void *tree; /* tsearch(3) */
	size_t count, max;
	uint64_t uses;
};

struct sensor *sensors_find(const struct sensors *s, const char *path); /* NULL: none */
/* The sensor of that path, a new one where there is none; NULL: there are max, or no memory. */
struct sensor *sensors_add(struct sensors *s, const char *path);
void sensors_each(const struct sensors *s, void (*visit)(struct sensor *, void *), void *arg);
void sensors_free(struct sensors *s);

/* sensor may be NULL: all its readings are new. */
enum numbers_verdict sensor_judge(const struct sensor *sensor, const struct sensor_reading *reading);
/* Keeps the value and the number, or ends the value. False: no memory, nothing has changed. */
bool sensor_take(struct sensors *s, struct sensor *sensor, const struct sensor_reading *reading);

#endif
