/* What dtls-lab wire computes from its runs, and what dtls-relay -v makes of the datagrams that it follows. */
#include "suites.h"

#include "examples/lab_wire_bootstrap.h"
#include "examples/lab_wire_ports.h"
#include "examples/relay_records.h"
#include "loopback.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { CAP = 60000, MANY = 101 };

static void assert_interval(const struct wire_interval *interval, int64_t value, int64_t low, int64_t high)
{
	ck_assert_int_eq(interval->value, value);
	ck_assert_int_eq(interval->low, low);
	ck_assert_int_eq(interval->high, high);
}

START_TEST(bootstrap_of_one_run_is_the_run)
{
	const int64_t ms[] = {300};
	struct wire_interval intervals[WIRE_STATISTICS];

	wire_bootstrap(ms, NULL, 1, CAP, 1, intervals);
	assert_interval(&intervals[WIRE_MEDIAN], 300, 300, 300);
	assert_interval(&intervals[WIRE_P90], 300, 300, 300);
	assert_interval(&intervals[WIRE_SUCCESSES], 1, 1, 1);
}
END_TEST

/* Of seven times the median is at most the least with probability 0.010, at most the second with 0.108: that one ends the
 * interval. It is at most the sixth with 0.990, at most the fifth with 0.892. The 90th percentile, the most of seven, is at
 * most the fourth with 0.020, at most the fifth with 0.095. */
START_TEST(bootstrap_of_seven_runs_is_as_computed_by_hand)
{
	const int64_t ms[] = {700, 100, 300, 600, 200, 500, 400};
	struct wire_interval intervals[WIRE_STATISTICS];

	wire_bootstrap(ms, NULL, 7, CAP, 1, intervals);
	assert_interval(&intervals[WIRE_MEDIAN], 400, 200, 600);
	assert_interval(&intervals[WIRE_P90], 700, 500, 700);
}
END_TEST

/* Binomial probabilities, again: at most the 40th with 0.017 and the 41st with 0.028, the 60th with 0.972 and the 61st with
 * 0.983. */
START_TEST(bootstrap_of_many_runs_is_as_computed_by_hand)
{
	struct wire_interval intervals[WIRE_STATISTICS];
	int64_t ms[MANY];

	for (int i = 0; i < MANY; i++)
		ms[i] = 37 * i % MANY + 1; /* 1 to 101 */
	for (uint64_t seed = 1; seed < 4; seed++) {
		wire_bootstrap(ms, NULL, MANY, CAP, seed, intervals);
		ck_assert_int_eq(intervals[WIRE_MEDIAN].value, 51);
		ck_assert_int_ge(intervals[WIRE_MEDIAN].low, 40);
		ck_assert_int_le(intervals[WIRE_MEDIAN].low, 42);
		ck_assert_int_ge(intervals[WIRE_MEDIAN].high, 60);
		ck_assert_int_le(intervals[WIRE_MEDIAN].high, 62);
	}
}
END_TEST

/* With a quarter of failures, none of four succeeds with probability 0.004, at most one with 0.051. */
START_TEST(bootstrap_counts_failures_as_the_cap)
{
	const int64_t ms[] = {300, CAP, 500, 400};
	struct wire_interval intervals[WIRE_STATISTICS];

	wire_bootstrap(ms, NULL, 4, CAP, 1, intervals);
	assert_interval(&intervals[WIRE_SUCCESSES], 3, 1, 4);
	ck_assert_int_eq(intervals[WIRE_MEDIAN].value, 400);
	ck_assert_int_eq(intervals[WIRE_P90].value, CAP);
}
END_TEST

START_TEST(bootstrap_is_the_same_for_the_same_seed)
{
	struct wire_interval first[WIRE_STATISTICS], second[WIRE_STATISTICS];
	int64_t ms[MANY], other_ms[MANY];

	for (int i = 0; i < MANY; i++) {
		ms[i] = 300 + 37 * i % MANY;
		other_ms[i] = 300 + 41 * i % MANY;
	}
	wire_bootstrap(ms, other_ms, MANY, CAP, 7, first);
	wire_bootstrap(ms, other_ms, MANY, CAP, 7, second);
	ck_assert_mem_eq(first, second, sizeof(first));
}
END_TEST

START_TEST(differences_are_taken_run_by_run)
{
	const int64_t ms[] = {5300, 300, 20300, 1300, 400}, later_ms[] = {5310, 310, 20310, 1310, 410};
	struct wire_interval intervals[WIRE_STATISTICS];

	wire_bootstrap(ms, later_ms, 5, CAP, 1, intervals);
	assert_interval(&intervals[WIRE_MEDIAN], -10, -10, -10);
	assert_interval(&intervals[WIRE_P90], -10, -10, -10);
	assert_interval(&intervals[WIRE_SUCCESSES], 0, 0, 0);
}
END_TEST

/* Of two runs the median is the lower: either is drawn twice with probability 1/4. */
START_TEST(differences_may_go_either_way)
{
	const int64_t ms[] = {100, 200}, other_ms[] = {200, 100};
	struct wire_interval intervals[WIRE_STATISTICS];

	wire_bootstrap(ms, other_ms, 2, CAP, 1, intervals);
	assert_interval(&intervals[WIRE_MEDIAN], 0, -100, 100);
}
END_TEST

/* ---- ports */

START_TEST(ports_that_are_bound_are_seen)
{
	int lock;
	unsigned port = wire_port_take(&lock);
	int fd = loopback_bound("127.0.0.1", (uint16_t)port, 0);

	wire_ports_look();
	ck_assert(wire_port_is_bound(port));
	close(fd);
	wire_ports_look();
	ck_assert(!wire_port_is_bound(port));
	close(lock);
}
END_TEST

START_TEST(ports_that_are_bound_are_not_taken)
{
	int lock, next_lock;
	unsigned port = wire_port_take(&lock);
	int fd = loopback_bound("127.0.0.1", (uint16_t)(port + 1), 0);

	ck_assert_uint_ne(wire_port_take(&next_lock), port + 1);
	close(fd);
	close(lock);
	close(next_lock);
}
END_TEST

START_TEST(ports_that_another_lab_has_taken_are_not_taken)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int lock, next_lock, other = socket(AF_UNIX, SOCK_DGRAM, 0);
	unsigned port = wire_port_take(&lock);
	int len = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "dtls-lab/port/%u", port + 1);

	ck_assert_int_eq(bind(other, (struct sockaddr *)&name,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)),
	    0);
	ck_assert_uint_ne(wire_port_take(&next_lock), port + 1);
	close(other);
	close(lock);
	close(next_lock);
}
END_TEST

/* ---- records */

/* Of this type with len bytes, each of them 22. */
static size_t put_record(uint8_t *at, uint8_t type, uint8_t len)
{
	const uint8_t header[13] = {type, 0xfe, 0xfd, [12] = len};

	memcpy(at, header, sizeof(header));
	memset(at + sizeof(header), 22, len);
	return sizeof(header) + len;
}

static void assert_records(const uint8_t *datagram, size_t len, const char *expected)
{
	char text[RELAY_RECORDS_TEXT];

	ck_assert_str_eq(relay_records(datagram, len, text), expected);
}

START_TEST(records_are_named_once_each)
{
	uint8_t datagram[256];
	size_t len = put_record(datagram, 22, 12);

	assert_records(datagram, len, ": handshake");
	len += put_record(datagram + len, 22, 30);
	len += put_record(datagram + len, 20, 1);
	len += put_record(datagram + len, 22, 40);
	assert_records(datagram, len, ": handshake, ChangeCipherSpec");
	len += put_record(datagram + len, 23, 20);
	len += put_record(datagram + len, 21, 2);
	assert_records(datagram, len, ": handshake, ChangeCipherSpec, application data, alert");
}
END_TEST

START_TEST(records_are_not_guessed)
{
	uint8_t datagram[64];
	size_t len = put_record(datagram, 23, 20);

	assert_records(datagram, 0, "");
	assert_records(datagram, len - 1, "");
	datagram[len] = 23;
	assert_records(datagram, len + 1, "");
	datagram[1] = 3; /* TLS */
	assert_records(datagram, len, "");
	assert_records(datagram, put_record(datagram, 19, 20), "");
	assert_records(datagram, put_record(datagram, 24, 20), "");
	memset(datagram, 0xff, sizeof(datagram));
	assert_records(datagram, sizeof(datagram), "");
}
END_TEST

Suite *lab_wire_suite(void)
{
	Suite *suite = suite_create("lab_wire");

	TEST(suite, bootstrap_of_one_run_is_the_run);
	TEST(suite, bootstrap_of_seven_runs_is_as_computed_by_hand);
	TEST(suite, bootstrap_of_many_runs_is_as_computed_by_hand);
	TEST(suite, bootstrap_counts_failures_as_the_cap);
	TEST(suite, bootstrap_is_the_same_for_the_same_seed);
	TEST(suite, differences_are_taken_run_by_run);
	TEST(suite, differences_may_go_either_way);
	TEST(suite, ports_that_are_bound_are_seen);
	TEST(suite, ports_that_are_bound_are_not_taken);
	TEST(suite, ports_that_another_lab_has_taken_are_not_taken);
	TEST(suite, records_are_named_once_each);
	TEST(suite, records_are_not_guessed);
	return suite;
}
