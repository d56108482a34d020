#include "coap_resources.h"

#include "coap_start.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SECOND = 1 };
static const char sensors_prefix[] = "sensors/";

/* ---- answers ---- */

/* An error says why (RFC 7252, 5.5.2). */
static void answer(coap_pdu_t *response, coap_pdu_code_t code, const char *why)
{
	coap_pdu_set_code(response, code);
	if (why != NULL)
		coap_add_data(response, strlen(why), (const uint8_t *)why);
}

static struct coap_resources *resources_of(const coap_session_t *session)
{
	return coap_get_app_data(coap_session_get_context(session));
}

/* ---- /time ---- */

static void get_time(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
    const coap_string_t *query, coap_pdu_t *response)
{
	struct coap_resources *r = resources_of(session);
	time_t now = time(NULL);
	char text[32];
	struct tm tm;

	r->counts.read++;
	r->time_is_observed = true; /* perhaps: coap_resources_tick() will know */
	coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
	coap_add_data_large_response(resource, session, request, response, query, COAP_MEDIATYPE_TEXT_PLAIN, SECOND, 0,
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm)), (uint8_t *)text, NULL, NULL);
}

void coap_resources_tick(struct coap_resources *r)
{
	if (r->time_is_observed)
		r->time_is_observed = coap_resource_notify_observers(r->time, NULL) != 0;
}

/* ---- /sensors/NAME: reading it ---- */

static void release(coap_session_t *session, void *value)
{
	(void)session;
	sensor_value_release(value);
}

static void get_sensor(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
    const coap_string_t *query, coap_pdu_t *response)
{
	const struct sensor *sensor = coap_resource_get_userdata(resource);
	struct sensor_value *value = sensor->value;

	resources_of(session)->counts.read++;
	if (value == NULL) { /* deleted a moment ago */
		answer(response, COAP_RESPONSE_CODE_NOT_FOUND, NULL);
		return;
	}
	value->references++;
	coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
	coap_add_data_large_response(resource, session, request, response, query, value->format, -1, 0, value->len,
	    value->bytes, release, value);
}

/* ---- /sensors/NAME: a reading ---- */

static bool parse_number(const uint8_t *text, size_t len, uint64_t *number)
{
	char digits[20] = "", *end;

	if (len == 0 || len >= sizeof(digits))
		return false;
	memcpy(digits, text, len);
	*number = strtoull(digits, &end, 10);
	return *end == '\0' && digits[0] >= '1' && digits[0] <= '9';
}

static bool parse_run(const uint8_t *text, size_t len, char run[SENSORS_RUN_MAX + 1])
{
	if (len == 0 || len > SENSORS_RUN_MAX)
		return false;
	memcpy(run, text, len);
	run[len] = '\0';
	return strspn(run, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == len;
}

/* NULL, or what is wrong with the query. */
static const char *parse_query(const coap_pdu_t *request, uint64_t *number, char run[SENSORS_RUN_MAX + 1])
{
	coap_opt_filter_t filter;
	coap_opt_iterator_t i;
	const coap_opt_t *option;

	coap_option_filter_clear(&filter);
	coap_option_filter_set(&filter, COAP_OPTION_URI_QUERY);
	coap_option_iterator_init(request, &i, &filter);
	while ((option = coap_option_next(&i)) != NULL) {
		const uint8_t *text = coap_opt_value(option);
		size_t len = coap_opt_length(option);

		if (len >= 2 && memcmp(text, "n=", 2) == 0) {
			if (!parse_number(text + 2, len - 2, number))
				return "n takes a whole number from 1 to 9999999999999999999";
		} else if (len >= 4 && memcmp(text, "run=", 4) == 0) {
			if (!parse_run(text + 4, len - 4, run))
				return "run takes 1 to 32 letters and digits";
		} else {
			return "the query has n=NUMBER and run=NAME, and nothing else";
		}
	}
	return NULL;
}

static uint16_t format_of(const coap_pdu_t *request)
{
	coap_opt_iterator_t i;
	const coap_opt_t *option = coap_check_option(request, COAP_OPTION_CONTENT_FORMAT, &i);

	if (option == NULL)
		return COAP_MEDIATYPE_TEXT_PLAIN;
	return (uint16_t)coap_decode_var_bytes(coap_opt_value(option), coap_opt_length(option));
}

static bool print_reading(const coap_session_t *session, const struct sensor_reading *reading)
{
	coap_peer_print(stdout, session);
	printf(" /%s ", reading->path);
	cli_print_bytes(stdout, reading->text, reading->len);
	putchar('\n');
	return fflush(stdout) == 0 && ferror(stdout) == 0;
}

static bool make_resource(struct coap_resources *r, struct sensor *sensor);

/* Gives a new reading to all that keep it, before it is acknowledged. NULL, or why it was not taken. */
static const char *take(struct coap_resources *r, const coap_session_t *session, struct sensor *sensor,
    const struct sensor_reading *reading)
{
	if (!make_resource(r, sensor))
		return "out of memory";
	if (r->journal != NULL && !journal_write(r->journal, reading, time(NULL))) {
		fprintf(stderr, "%s: cannot write %s: %s\n", program_invocation_short_name, r->journal->path,
		    strerror(errno));
		return "the reading cannot be kept";
	}
	if (!sensor_take(&r->sensors, sensor, reading)) /* and the journal has it: the next server will know it */
		cli_fail("out of memory");
	if (!reading->is_deletion && !print_reading(session, reading)) {
		r->output_error = errno;
		return "the reading cannot be printed";
	}
	return NULL;
}

static void judge_and_take(
    struct coap_resources *r, coap_session_t *session, const struct sensor_reading *reading, coap_pdu_t *response)
{
	struct sensor *sensor = sensors_find(&r->sensors, reading->path);
	bool is_made = sensor == NULL || sensor->value == NULL;
	enum numbers_verdict verdict = sensor_judge(sensor, reading);
	const char *why;

	if (verdict == NUMBERS_TOO_OLD) {
		answer(response, COAP_RESPONSE_CODE_CONFLICT, "this number was overtaken by 64 others or more");
		return;
	}
	if (verdict == NUMBERS_KNOWN) {
		r->counts.known++;
		answer(response, COAP_RESPONSE_CODE_CHANGED, NULL);
		return;
	}
	sensor = sensors_add(&r->sensors, reading->path);
	if (sensor == NULL) {
		answer(response, COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE, "there are too many sensors");
		return;
	}
	why = take(r, session, sensor, reading);
	if (why != NULL) {
		answer(response, COAP_RESPONSE_CODE_INTERNAL_ERROR, why);
		return;
	}
	r->counts.taken++;
	coap_resource_notify_observers(sensor->resource, NULL);
	answer(response, is_made ? COAP_RESPONSE_CODE_CREATED : COAP_RESPONSE_CODE_CHANGED, NULL);
}

/* NULL, or what is wrong with the request as such. */
static const char *check_body(size_t len, size_t offset, size_t total, coap_pdu_code_t *code)
{
	*code = COAP_RESPONSE_CODE_INCOMPLETE;
	if (offset != 0 || len != total)
		return "blocks are missing: begin again with the first";
	*code = COAP_RESPONSE_CODE_BAD_REQUEST;
	return len == 0 ? "a reading has at least one byte" : NULL;
}

/* "sensors/NAME", NAME of any number of segments. */
static bool is_sensor_path(const char *path)
{
	size_t len = strlen(path), prefix = sizeof(sensors_prefix) - 1;

	return strncmp(path, sensors_prefix, prefix) == 0 && len > prefix && len <= SENSORS_PATH_MAX;
}

static void fill_in_sender(const coap_session_t *session, struct sensor_reading *reading, char text[CLI_ADDRESS_TEXT])
{
	const struct coap_peer *peer = coap_session_get_app_data(session);

	reading->address = libcoap_address_text(coap_session_get_addr_remote(session), text);
	if (peer == NULL || peer->name_len == 0)
		return;
	reading->name = peer->name;
	reading->name_len = peer->name_len;
}

static void take_request(coap_session_t *session, const coap_pdu_t *request, const char *path, coap_pdu_t *response)
{
	struct sensor_reading reading = {.path = path, .format = format_of(request)};
	char run[SENSORS_RUN_MAX + 1] = "", address[CLI_ADDRESS_TEXT];
	const char *why = parse_query(request, &reading.number, run);
	coap_pdu_code_t code = COAP_RESPONSE_CODE_BAD_REQUEST;
	size_t offset, total;

	if (!is_sensor_path(path)) {
		answer(response, COAP_RESPONSE_CODE_NOT_FOUND, "readings go to /sensors/NAME");
		return;
	}
	if (coap_get_data_large(request, &reading.len, &reading.text, &offset, &total) == 0)
		reading.len = offset = total = 0;
	if (why == NULL)
		why = check_body(reading.len, offset, total, &code);
	if (why != NULL) {
		answer(response, code, why);
		return;
	}
	reading.run = run;
	fill_in_sender(session, &reading, address);
	judge_and_take(resources_of(session), session, &reading, response);
}

/* POST and PUT. */
static void put_sensor(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
    const coap_string_t *query, coap_pdu_t *response)
{
	struct coap_resources *r = resources_of(session);
	uint8_t code = coap_peer_answer(session, request);
	coap_string_t *path;

	(void)resource, (void)query;
	if (code != 0) {
		r->counts.repeated++;
		coap_pdu_set_code(response, code);
		return;
	}
	path = coap_get_uri_path(request);
	if (path == NULL) {
		answer(response, COAP_RESPONSE_CODE_INTERNAL_ERROR, "out of memory");
		return;
	}
	take_request(session, request, (const char *)path->s, response);
	coap_delete_string(path);
	code = (uint8_t)coap_pdu_get_code(response);
	r->counts.refused += code >= COAP_RESPONSE_CODE_BAD_REQUEST;
	coap_peer_answered(session, request, code);
}

/* ---- /sensors/NAME: its end ---- */

static void delete_sensor(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
    const coap_string_t *query, coap_pdu_t *response)
{
	struct coap_resources *r = resources_of(session);
	struct sensor *sensor = coap_resource_get_userdata(resource);
	struct sensor_reading end = {.path = sensor->path, .run = "", .is_deletion = true};
	char address[CLI_ADDRESS_TEXT];
	const char *why;

	(void)request, (void)query;
	fill_in_sender(session, &end, address);
	why = sensor->value != NULL ? take(r, session, sensor, &end) : NULL;
	if (why != NULL) {
		answer(response, COAP_RESPONSE_CODE_INTERNAL_ERROR, why);
		return;
	}
	r->counts.deleted++;
	r->has_deleted = true;
	coap_pdu_set_code(response, COAP_RESPONSE_CODE_DELETED);
}

static void drop_resource(struct sensor *sensor, void *arg)
{
	struct coap_resources *r = arg;

	if (sensor->value != NULL || sensor->resource == NULL)
		return;
	coap_delete_resource(r->coap, sensor->resource);
	sensor->resource = NULL;
}

void coap_resources_settle(struct coap_resources *r)
{
	if (!r->has_deleted)
		return;
	r->has_deleted = false;
	sensors_each(&r->sensors, drop_resource, r);
}

/* ---- resources ---- */

static coap_str_const_t *constant(const char *text)
{
	return coap_make_str_const(text);
}

static bool make_resource(struct coap_resources *r, struct sensor *sensor)
{
	coap_resource_t *resource = sensor->resource;

	if (resource != NULL)
		return true;
	resource = coap_resource_init(constant(sensor->path), COAP_RESOURCE_FLAGS_NOTIFY_CON);
	if (resource == NULL)
		return false;
	coap_register_request_handler(resource, COAP_REQUEST_GET, get_sensor);
	coap_register_request_handler(resource, COAP_REQUEST_PUT, put_sensor);
	coap_register_request_handler(resource, COAP_REQUEST_POST, put_sensor);
	coap_register_request_handler(resource, COAP_REQUEST_DELETE, delete_sensor);
	coap_resource_set_get_observable(resource, 1);
	coap_resource_set_userdata(resource, sensor);
	coap_add_attr(resource, constant("rt"), constant("\"reading\""), 0);
	coap_add_resource(r->coap, resource);
	sensor->resource = resource;
	return true;
}

bool coap_resources_restore(void *resources, const struct sensor_reading *reading)
{
	struct coap_resources *r = resources;
	struct sensor *sensor = sensors_add(&r->sensors, reading->path);

	if (sensor == NULL)
		return false;
	if (!sensor_take(&r->sensors, sensor, reading))
		cli_fail("out of memory");
	return true;
}

static void restore_resource(struct sensor *sensor, void *arg)
{
	if (sensor->value != NULL && !make_resource(arg, sensor))
		cli_fail("out of memory");
}

void coap_resources_start(struct coap_resources *r)
{
	coap_resource_t *unknown = coap_resource_unknown_init(put_sensor);

	r->time = coap_resource_init(constant("time"), COAP_RESOURCE_FLAGS_NOTIFY_NON);
	if (r->time == NULL || unknown == NULL)
		cli_fail("out of memory");
	coap_set_app_data(r->coap, r);
	coap_register_request_handler(r->time, COAP_REQUEST_GET, get_time);
	coap_resource_set_get_observable(r->time, 1);
	coap_add_attr(r->time, constant("rt"), constant("\"time\""), 0);
	coap_add_resource(r->coap, r->time);
	coap_register_request_handler(unknown, COAP_REQUEST_POST, put_sensor);
	coap_add_resource(r->coap, unknown);
	sensors_each(&r->sensors, restore_resource, r);
}

void coap_resources_free(struct coap_resources *r)
{
	sensors_free(&r->sensors);
}
