#include "coap_sensors.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

struct sensor_run { /* of one sender: nobody else's numbers are mistaken for his */
	uint8_t name[SENSORS_NAME_MAX];
	size_t name_len;
	char run[SENSORS_RUN_MAX + 1];
	struct numbers numbers;
	uint64_t used; /* the higher, the later */
};

void sensor_value_release(struct sensor_value *value)
{
	if (value != NULL && --value->references == 0)
		free(value);
}

/* ---- by path ---- */

static int compare(const void *a, const void *b)
{
	const struct sensor *left = a, *right = b;

	return strcmp(left->path, right->path);
}

struct sensor *sensors_find(const struct sensors *s, const char *path)
{
	const struct sensor key = {.path = (char *)(uintptr_t)path};
	void *node = tfind(&key, &s->tree, compare);

	return node != NULL ? *(struct sensor **)node : NULL;
}

static void free_sensor(void *arg)
{
	struct sensor *sensor = arg;

	sensor_value_release(sensor->value);
	free(sensor->runs);
	free(sensor->path);
	free(sensor);
}

struct sensor *sensors_add(struct sensors *s, const char *path)
{
	struct sensor *sensor = sensors_find(s, path);

	if (sensor != NULL || s->count >= s->max)
		return sensor;
	sensor = calloc(1, sizeof(*sensor));
	if (sensor == NULL)
		return NULL;
	sensor->path = strdup(path);
	if (sensor->path == NULL || tsearch(sensor, &s->tree, compare) == NULL) {
		free_sensor(sensor);
		return NULL;
	}
	s->count++;
	return sensor;
}

struct visit {
	void (*visit)(struct sensor *, void *);
	void *arg;
};

static void visit_node(const void *node, VISIT which, void *closure)
{
	const struct visit *v = closure;

	if (which == postorder || which == leaf)
		v->visit(*(struct sensor *const *)node, v->arg);
}

void sensors_each(const struct sensors *s, void (*visit)(struct sensor *, void *), void *arg)
{
	struct visit v = {visit, arg};

	twalk_r(s->tree, visit_node, &v);
}

void sensors_free(struct sensors *s)
{
	tdestroy(s->tree, free_sensor);
	s->tree = NULL;
	s->count = 0;
}

/* ---- runs ---- */

static bool is_run_of(const struct sensor_run *run, const struct sensor_reading *reading)
{
	size_t len = reading->name != NULL ? reading->name_len : 0;

	return run->name_len == len && (len == 0 || memcmp(run->name, reading->name, len) == 0) &&
	       strcmp(run->run, reading->run) == 0;
}

static struct sensor_run *find_run(const struct sensor *sensor, const struct sensor_reading *reading)
{
	for (size_t i = 0; i < sensor->run_count; i++)
		if (is_run_of(&sensor->runs[i], reading))
			return &sensor->runs[i];
	return NULL;
}

static struct sensor_run *longest_unused(const struct sensor *sensor)
{
	struct sensor_run *oldest = &sensor->runs[0];

	for (size_t i = 1; i < sensor->run_count; i++)
		if (sensor->runs[i].used < oldest->used)
			oldest = &sensor->runs[i];
	return oldest;
}

/* Room for one more; the run that was not used for longest gives way. NULL: no memory. */
static struct sensor_run *make_run(struct sensor *sensor)
{
	struct sensor_run *more;

	if (sensor->run_count == SENSORS_RUNS)
		return longest_unused(sensor);
	more = reallocarray(sensor->runs, sensor->run_count + 1, sizeof(*more));
	if (more == NULL)
		return NULL;
	sensor->runs = more;
	return &more[sensor->run_count++];
}

static struct sensor_run *add_run(struct sensor *sensor, const struct sensor_reading *reading)
{
	struct sensor_run *run = find_run(sensor, reading);

	if (run != NULL)
		return run;
	run = make_run(sensor);
	if (run == NULL)
		return NULL;
	memset(run, 0, sizeof(*run));
	run->name_len = reading->name != NULL ? reading->name_len : 0;
	if (run->name_len > 0)
		memcpy(run->name, reading->name, run->name_len);
	memcpy(run->run, reading->run, strlen(reading->run));
	return run;
}

enum numbers_verdict sensor_judge(const struct sensor *sensor, const struct sensor_reading *reading)
{
	const struct sensor_run *run;

	if (sensor == NULL || reading->number == 0)
		return NUMBERS_NEW;
	run = find_run(sensor, reading);
	return run != NULL ? numbers_judge(&run->numbers, reading->number) : NUMBERS_NEW;
}

/* ---- readings ---- */

static struct sensor_value *make_value(const struct sensor_reading *reading)
{
	struct sensor_value *value = malloc(sizeof(*value) + reading->len);

	if (value == NULL)
		return NULL;
	value->references = 1;
	value->format = reading->format;
	value->len = reading->len;
	memcpy(value->bytes, reading->text, reading->len);
	return value;
}

bool sensor_take(struct sensors *s, struct sensor *sensor, const struct sensor_reading *reading)
{
	struct sensor_value *value = NULL;
	struct sensor_run *run = NULL;

	if (!reading->is_deletion) {
		value = make_value(reading);
		run = value != NULL && reading->number > 0 ? add_run(sensor, reading) : NULL;
		if (value == NULL || (run == NULL && reading->number > 0)) {
			free(value);
			return false;
		}
	}
	sensor_value_release(sensor->value);
	sensor->value = value;
	if (run != NULL) {
		numbers_take(&run->numbers, reading->number);
		run->used = ++s->uses;
	}
	return true;
}
