#include "examples/coap_journal.h"
#include "examples/coap_messages.h"
#include "examples/coap_numbers.h"
#include "examples/coap_queue.h"
#include "examples/coap_sensors.h"
#include "seeded.h"
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers */

START_TEST(numbers_count_once)
{
	struct numbers n = {0};

	for (uint64_t number = 1; number < 200; number++) {
		ck_assert_int_eq(numbers_judge(&n, number), NUMBERS_NEW);
		numbers_take(&n, number);
		ck_assert_int_eq(numbers_judge(&n, number), NUMBERS_KNOWN);
		ck_assert_int_eq(numbers_judge(&n, number + 1), NUMBERS_NEW);
	}
}
END_TEST

START_TEST(numbers_at_the_edges_of_the_window)
{
	struct numbers n = {0};

	numbers_take(&n, 1000);
	ck_assert_int_eq(numbers_judge(&n, 1000 - 63), NUMBERS_NEW);
	ck_assert_int_eq(numbers_judge(&n, 1000 - 64), NUMBERS_TOO_OLD);
	ck_assert_int_eq(numbers_judge(&n, 1), NUMBERS_TOO_OLD);
	numbers_take(&n, 1000 - 63);
	ck_assert_int_eq(numbers_judge(&n, 1000 - 63), NUMBERS_KNOWN);
	numbers_take(&n, 1063);
	ck_assert_int_eq(numbers_judge(&n, 1000), NUMBERS_KNOWN);
	ck_assert_int_eq(numbers_judge(&n, 1001), NUMBERS_NEW);
	ck_assert_int_eq(numbers_judge(&n, 999), NUMBERS_TOO_OLD);
	numbers_take(&n, 1063 + 64);
	ck_assert_int_eq(numbers_judge(&n, 1064), NUMBERS_NEW);
	ck_assert_int_eq(numbers_judge(&n, 1063), NUMBERS_TOO_OLD);
	numbers_take(&n, UINT64_MAX);
	ck_assert_int_eq(numbers_judge(&n, UINT64_MAX), NUMBERS_KNOWN);
	ck_assert_int_eq(numbers_judge(&n, UINT64_MAX - 63), NUMBERS_NEW);
	ck_assert_int_eq(numbers_judge(&n, UINT64_MAX - 64), NUMBERS_TOO_OLD);
}
END_TEST

/* Beside a list of all that was taken. */
START_TEST(numbers_as_a_list_would_have_it)
{
	uint64_t seed = 7;

	for (int round = 0; round < 200; round++) {
		struct numbers n = {0};
		bool taken[2000] = {false};
		uint64_t newest = 0;

		for (int i = 0; i < 500; i++) {
			uint64_t number = 1 + seeded_below(&seed, 80) + (uint64_t)i, back = newest - number;
			enum numbers_verdict expected = taken[number] ? NUMBERS_KNOWN : NUMBERS_NEW;

			if (number <= newest && back >= NUMBERS_BACK)
				expected = NUMBERS_TOO_OLD;
			ck_assert_int_eq(numbers_judge(&n, number), expected);
			if (expected != NUMBERS_NEW)
				continue;
			numbers_take(&n, number);
			taken[number] = true;
			newest = number > newest ? number : newest;
		}
	}
}
END_TEST

/* ---- messages */

static struct messages messages;

static uint8_t find(uint16_t mid, const char *token, int64_t now_ms)
{
	return messages_find(&messages, mid, token, strlen(token), now_ms);
}

static void add(uint16_t mid, const char *token, uint8_t code, int64_t now_ms)
{
	messages_add(&messages, mid, token, strlen(token), code, now_ms);
}

START_TEST(messages_are_known_by_id_and_token)
{
	memset(&messages, 0, sizeof(messages));
	ck_assert_uint_eq(find(0, "", 0), 0);
	ck_assert_uint_eq(find(17, "a", 0), 0);
	add(17, "a", 68, 0);
	add(0, "", 65, 0);
	ck_assert_uint_eq(find(17, "a", 1), 68);
	ck_assert_uint_eq(find(0, "", 1), 65);
	ck_assert_uint_eq(find(17, "b", 1), 0);
	ck_assert_uint_eq(find(17, "", 1), 0);
	ck_assert_uint_eq(find(17, "aa", 1), 0);
	ck_assert_uint_eq(find(18, "a", 1), 0);
	ck_assert_uint_eq(find(17 + MESSAGES_KEPT, "a", 1), 0);
	add(17, "b", 132, 1);
	ck_assert_uint_eq(find(17, "b", 1), 132);
}
END_TEST

START_TEST(messages_are_forgotten_in_time)
{
	memset(&messages, 0, sizeof(messages));
	add(17, "a", 68, 1000);
	ck_assert_uint_eq(find(17, "a", 1000 + 246999), 68);
	ck_assert_uint_eq(find(17, "a", 1000 + 247000), 0);
	for (unsigned mid = 18; mid < 17 + MESSAGES_KEPT; mid++)
		add((uint16_t)mid, "a", 68, 1000);
	ck_assert_uint_eq(find(17, "a", 1000), 68);
	add(17 + MESSAGES_KEPT, "a", 68, 1000);
	ck_assert_uint_eq(find(17, "a", 1000), 0);
	ck_assert_uint_eq(find(17 + MESSAGES_KEPT, "a", 1000), 68);
}
END_TEST

START_TEST(messages_with_tokens_of_any_length)
{
	memset(&messages, 0, sizeof(messages));
	add(1, "12345678", 68, 0);
	ck_assert_uint_eq(find(1, "12345678", 0), 68);
	ck_assert_uint_eq(find(1, "123456789", 0), 0);
	add(2, "123456789", 68, 0);
	ck_assert_uint_eq(find(2, "123456789", 0), 0);
	ck_assert_uint_eq(find(2, "12345678", 0), 0);
}
END_TEST

/* ---- sensors */

static struct sensor_reading reading(const char *name, const char *run, uint64_t number, const char *text)
{
	return (struct sensor_reading){.path = "sensors/a",
	    .name = (const uint8_t *)name,
	    .name_len = name != NULL ? strlen(name) : 0,
	    .address = "192.0.2.7:1",
	    .run = run,
	    .number = number,
	    .text = (const uint8_t *)text,
	    .len = strlen(text)};
}

/* Takes it if it is new. */
static bool take(struct sensors *s, struct sensor *sensor, const char *name, const char *run, uint64_t number)
{
	struct sensor_reading r = reading(name, run, number, "x");

	if (sensor_judge(sensor, &r) != NUMBERS_NEW)
		return false;
	ck_assert(sensor_take(s, sensor, &r));
	return true;
}

START_TEST(sensors_are_found_by_path)
{
	struct sensors s = {.max = 3};
	struct sensor *a = sensors_add(&s, "sensors/a"), *b = sensors_add(&s, "sensors/b");

	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_nonnull(b);
	ck_assert_ptr_ne(a, b);
	ck_assert_ptr_eq(sensors_find(&s, "sensors/a"), a);
	ck_assert_ptr_eq(sensors_add(&s, "sensors/b"), b);
	ck_assert_ptr_null(sensors_find(&s, "sensors/c"));
	ck_assert_ptr_nonnull(sensors_add(&s, "sensors/c"));
	ck_assert_ptr_null(sensors_add(&s, "sensors/d"));
	ck_assert_ptr_eq(sensors_add(&s, "sensors/a"), a);
	ck_assert_uint_eq(s.count, 3);
	sensors_free(&s);
}
END_TEST

START_TEST(sensors_know_each_number_of_each_run_of_each_name)
{
	struct sensors s = {.max = 2};
	struct sensor *a = sensors_add(&s, "sensors/a"), *b = sensors_add(&s, "sensors/b");

	for (int again = 0; again < 2; again++) {
		bool is_new = again == 0;

		ck_assert_int_eq(take(&s, a, "x", "r", 1), is_new);
		ck_assert_int_eq(take(&s, a, "x", "r", 2), is_new);
		ck_assert_int_eq(take(&s, a, "x", "", 1), is_new);
		ck_assert_int_eq(take(&s, a, "x", "rr", 1), is_new);
		ck_assert_int_eq(take(&s, a, "y", "r", 1), is_new);
		ck_assert_int_eq(take(&s, a, "xx", "r", 1), is_new);
		ck_assert_int_eq(take(&s, a, NULL, "r", 1), is_new);
		ck_assert_int_eq(take(&s, b, "x", "r", 1), is_new);
		ck_assert(take(&s, a, "x", "r", 0));
		ck_assert(take(&s, a, NULL, "", 0));
	}
	sensors_free(&s);
}
END_TEST

START_TEST(sensors_keep_the_runs_last_used)
{
	struct sensors s = {.max = 1};
	struct sensor *a = sensors_add(&s, "sensors/a");

	for (uint64_t i = 0; i < SENSORS_RUNS; i++)
		ck_assert(take(&s, a, "x", (char[]){(char)('a' + i), '\0'}, 1));
	ck_assert(take(&s, a, "x", "a", 2)); /* b is now the one that was not used for longest */
	ck_assert(take(&s, a, "x", "new", 1));
	ck_assert(!take(&s, a, "x", "a", 1));
	ck_assert(!take(&s, a, "x", "c", 1));
	ck_assert(!take(&s, a, "x", "new", 1));
	ck_assert(take(&s, a, "x", "b", 1));
	ck_assert_uint_eq(a->run_count, SENSORS_RUNS);
	sensors_free(&s);
}
END_TEST

START_TEST(sensors_keep_a_value_that_is_still_sent)
{
	struct sensors s = {.max = 1};
	struct sensor *a = sensors_add(&s, "sensors/a");
	struct sensor_reading one = reading("x", "", 1, "one"), two = reading("x", "", 2, "two");
	struct sensor_value *sent;

	one.format = 50;
	ck_assert_ptr_null(a->value);
	ck_assert(sensor_take(&s, a, &one));
	sent = a->value;
	sent->references++;
	ck_assert(sensor_take(&s, a, &two));
	ck_assert_mem_eq(sent->bytes, "one", 3);
	ck_assert_uint_eq(sent->format, 50);
	ck_assert_mem_eq(a->value->bytes, "two", 3);
	ck_assert_uint_eq(a->value->len, 3);
	sensor_value_release(sent);
	sensors_free(&s);
}
END_TEST

START_TEST(sensors_that_end_keep_their_numbers)
{
	struct sensors s = {.max = 1};
	struct sensor *a = sensors_add(&s, "sensors/a");
	struct sensor_reading end = {.path = "sensors/a", .run = "", .is_deletion = true};

	ck_assert(take(&s, a, "x", "r", 1));
	ck_assert(sensor_take(&s, a, &end));
	ck_assert_ptr_null(a->value);
	ck_assert(!take(&s, a, "x", "r", 1));
	ck_assert(take(&s, a, "x", "r", 2));
	ck_assert_ptr_nonnull(a->value);
	sensors_free(&s);
}
END_TEST

/* ---- the journal */

static char *line_of(const struct sensor_reading *r)
{
	char *line = NULL;
	size_t len;
	FILE *out = open_memstream(&line, &len);

	ck_assert_ptr_nonnull(out);
	ck_assert(journal_format(out, r, 1795283482));
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_ptr_null(strchr(line, '\n'));
	return line;
}

static void assert_same(const struct sensor_reading *a, const struct sensor_reading *b)
{
	ck_assert_str_eq(a->path, b->path);
	ck_assert_int_eq(a->name == NULL, b->name == NULL);
	ck_assert_uint_eq(a->name_len, b->name_len);
	if (a->name_len > 0)
		ck_assert_mem_eq(a->name, b->name, a->name_len);
	if (a->name == NULL)
		ck_assert_str_eq(a->address, b->address);
	ck_assert_str_eq(a->run, b->run);
	ck_assert_uint_eq(a->number, b->number);
	ck_assert_int_eq(a->is_deletion, b->is_deletion);
	if (a->is_deletion)
		return;
	ck_assert_uint_eq(a->format, b->format);
	ck_assert_uint_eq(a->len, b->len);
	if (a->len > 0)
		ck_assert_mem_eq(a->text, b->text, a->len);
}

static void assert_line(const struct sensor_reading *r, const char *expected)
{
	struct sensor_reading back;
	char *line = line_of(r);

	ck_assert_str_eq(line, expected);
	ck_assert(journal_parse(line, &back));
	assert_same(&back, r);
	free(line);
}

START_TEST(journal_lines)
{
	struct sensor_reading r = reading("sensor-17", "r5", 12, "21.4 at \\ noon");

	assert_line(&r, "2026-11-21T17:51:22Z sensor-17 sensors/a r5 12 0 21.4 at \\x5c noon");
	r = reading(NULL, "", 0, "\n");
	r.format = 60;
	assert_line(&r, "2026-11-21T17:51:22Z @192.0.2.7:1 sensors/a - 0 60 \\x0a");
	r = reading("@a b", "", 0, "@");
	r.path = "sensors/b c";
	assert_line(&r, "2026-11-21T17:51:22Z \\x40a\\x20b sensors/b\\x20c - 0 0 @");
	r = reading("x", "", 0, "");
	r.is_deletion = true;
	assert_line(&r, "2026-11-21T17:51:22Z x sensors/a - 0 - ");
}
END_TEST

START_TEST(journal_lines_of_any_bytes)
{
	uint64_t seed = 3;

	for (int i = 0; i < 3000; i++) {
		uint8_t name[SENSORS_NAME_MAX], text[40];
		struct sensor_reading back, r = reading("", "run", seeded_next(&seed), "");
		char *line;

		r.name = name;
		r.name_len = 1 + seeded_below(&seed, sizeof(name));
		r.text = text;
		r.len = 1 + seeded_below(&seed, sizeof(text));
		r.format = (uint16_t)seeded_next(&seed);
		seeded_bytes(&seed, name, sizeof(name));
		seeded_bytes(&seed, text, sizeof(text));
		line = line_of(&r);
		ck_assert(journal_parse(line, &back));
		assert_same(&back, &r);
		free(line);
	}
}
END_TEST

/* Nothing is read beyond the end of any line: the sanitizers see to it. */
START_TEST(journal_lines_that_are_none)
{
	uint64_t seed = 5;

	for (int i = 0; i < 20000; i++) {
		static const char alphabet[] = "a 0-@\\x7";
		struct sensor_reading r;
		size_t len = seeded_below(&seed, 40);
		char *line = malloc(len + 1);

		for (size_t at = 0; at < len; at++)
			line[at] = alphabet[seeded_below(&seed, sizeof(alphabet) - 1)];
		line[len] = '\0';
		if (journal_parse(line, &r))
			ck_assert(r.path[0] != '\0' && (r.name == NULL || r.name_len > 0));
		free(line);
	}
}
END_TEST

/* ---- the queue */

START_TEST(queue_is_in_order)
{
	struct queue q;

	queue_init(&q, 2);
	ck_assert_ptr_null(queue_first(&q));
	ck_assert(queue_add(&q, "one", 3, 5));
	ck_assert(!queue_is_full(&q));
	ck_assert(queue_add(&q, "two", 3, 6));
	ck_assert(queue_is_full(&q));
	ck_assert_str_eq(queue_first(&q)->text, "one");
	ck_assert_uint_eq(queue_first(&q)->number, 1);
	queue_drop_first(&q);
	ck_assert(!queue_is_full(&q));
	ck_assert(queue_add(&q, "three", 5, 7));
	ck_assert_str_eq(queue_first(&q)->text, "two");
	queue_drop_first(&q);
	ck_assert_uint_eq(queue_first(&q)->number, 3);
	ck_assert_uint_eq(queue_first(&q)->len, 5);
	queue_drop_first(&q);
	ck_assert_ptr_null(queue_first(&q));
	ck_assert_uint_eq(q.taken, 3);
	ck_assert(queue_add(&q, "four", 4, 8));
	queue_free(&q);
	ck_assert_ptr_null(queue_first(&q));
}
END_TEST

Suite *coap_readings_suite(void)
{
	Suite *suite = suite_create("coap_readings");

	TEST(suite, numbers_count_once);
	TEST(suite, numbers_at_the_edges_of_the_window);
	TEST(suite, numbers_as_a_list_would_have_it);
	TEST(suite, messages_are_known_by_id_and_token);
	TEST(suite, messages_are_forgotten_in_time);
	TEST(suite, messages_with_tokens_of_any_length);
	TEST(suite, sensors_are_found_by_path);
	TEST(suite, sensors_know_each_number_of_each_run_of_each_name);
	TEST(suite, sensors_keep_the_runs_last_used);
	TEST(suite, sensors_keep_a_value_that_is_still_sent);
	TEST(suite, sensors_that_end_keep_their_numbers);
	TEST(suite, journal_lines);
	TEST(suite, journal_lines_of_any_bytes);
	TEST(suite, journal_lines_that_are_none);
	TEST(suite, queue_is_in_order);
	return suite;
}
