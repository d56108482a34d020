#include "examples/lab_options.h"
#include "examples/lab_stats.h"
#include "examples/lab_sweep.h"
#include "examples/lab_workers.h"
#include "suites.h"

#include <math.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUNS = 400 };

/* ---- quantiles and seeds */

START_TEST(a_quantile_is_the_time_of_the_nearest_rank)
{
	int64_t times[] = {70, 10, 40, 20, 100, 50, 90, 30, 80, 60};

	lab_sort(times, 10);
	ck_assert_int_eq(times[0], 10);
	ck_assert_int_eq(times[9], 100);
	ck_assert_int_eq(lab_quantile(times, 10, 0), 10);
	ck_assert_int_eq(lab_quantile(times, 10, 100), 10);
	ck_assert_int_eq(lab_quantile(times, 10, 101), 20);
	ck_assert_int_eq(lab_quantile(times, 10, LAB_MEDIAN), 50);
	ck_assert_int_eq(lab_quantile(times, 9, LAB_MEDIAN), 50);
	ck_assert_int_eq(lab_quantile(times, 10, LAB_P90), 90);
	ck_assert_int_eq(lab_quantile(times, 10, LAB_P99), 100);
	ck_assert_int_eq(lab_quantile(times, 10, 1000), 100);
	ck_assert_int_eq(lab_quantile(times, 1, LAB_MEDIAN), 10);
	ck_assert_int_eq(lab_quantile(times, 0, LAB_MEDIAN), -1);
}
END_TEST

START_TEST(a_failed_run_counts_as_the_cap_or_not_at_all)
{
	int64_t times[] = {10, 20, 30, 40};
	struct lab_cell cell = {.runs = 8, .succeeded = 4, .times_ms = times};

	ck_assert_int_eq(lab_cell_quantile(&cell, LAB_MEDIAN), 20);
	ck_assert_int_eq(lab_cell_quantile(&cell, 1000), 40);
	ck_assert_int_eq(lab_cell_quantile_of_all(&cell, LAB_MEDIAN), 40);
	ck_assert_int_eq(lab_cell_quantile_of_all(&cell, 501), -1);
	cell.cap_ms = 60000;
	ck_assert_int_eq(lab_cell_quantile_of_all(&cell, 501), 60000);
	ck_assert_int_eq(lab_cell_quantile(&cell, 250), 20);
	ck_assert_int_eq(lab_cell_quantile(&cell, LAB_MEDIAN), 40);
	ck_assert_int_eq(lab_cell_quantile(&cell, 501), 60000);
	cell.succeeded = 0;
	ck_assert_int_eq(lab_cell_quantile(&cell, 0), 60000);
	cell.cap_ms = 0;
	ck_assert_int_eq(lab_cell_quantile(&cell, 0), -1);
}
END_TEST

START_TEST(neighbouring_seeds_share_no_run)
{
	uint64_t seeds[4 * RUNS];
	int equal = 0;

	for (uint64_t seed = 0; seed < 4; seed++)
		for (uint64_t run = 0; run < RUNS; run++)
			seeds[seed * RUNS + run] = lab_run_seed(seed, run);
	for (int i = 0; i < 4 * RUNS; i++) {
		ck_assert(seeds[i] < UINT64_C(1) << 53);
		for (int j = 0; j < i; j++)
			equal += seeds[i] == seeds[j];
	}
	ck_assert_int_eq(equal, 0);
}
END_TEST

/* ---- work in several processes */

static void square(void *arg, size_t item, void *result)
{
	ck_assert_ptr_eq(*(void **)arg, arg);
	*(uint64_t *)result = item * item;
}

START_TEST(results_are_in_the_order_of_the_items)
{
	void *arg = &arg;

	for (int processes = 0; processes < 5; processes++) {
		struct lab_workers workers = {.processes = processes,
		    .items = processes == 4 ? 2 : 1000,
		    .result_size = sizeof(uint64_t),
		    .work = square,
		    .arg = &arg,
		    .what = "squares"};
		struct lab_results results = lab_workers_run(&workers);

		ck_assert_int_eq(results.signal, 0);
		ck_assert_uint_eq(results.done, workers.items);
		for (size_t i = 0; i < workers.items; i++)
			ck_assert_uint_eq(((const uint64_t *)results.items)[i], i * i);
		lab_workers_free(&workers, &results);
	}
}
END_TEST

/* Who takes it asks for an end, and is itself the last that is begun. */
static void interrupt_at_100(void *arg, size_t item, void *result)
{
	(void)arg;
	*(uint64_t *)result = item + 1;
	if (item == 100)
		kill(getppid(), SIGINT);
	if (item > 100)
		usleep(1000); /* too many of these for any end but the signal's */
}

START_TEST(an_end_in_the_middle_keeps_what_is_done)
{
	struct lab_workers workers = {.items = 1000000,
	    .processes = 1,
	    .result_size = sizeof(uint64_t),
	    .work = interrupt_at_100,
	    .what = "numbers"};
	struct lab_results results = lab_workers_run(&workers);
	const uint64_t *items = results.items;

	ck_assert_int_eq(results.signal, SIGINT);
	ck_assert_uint_ge(results.done, 101);
	ck_assert_uint_lt(results.done, workers.items);
	for (size_t i = 0; i < results.done; i++)
		ck_assert_uint_eq(items[i], i + 1);
	ck_assert_uint_eq(items[results.done], 0);
	lab_workers_free(&workers, &results);
}
END_TEST

START_TEST(an_end_when_all_is_taken_comes_too_late)
{
	struct lab_workers workers = {
	    .items = 101, .processes = 1, .result_size = sizeof(uint64_t), .work = interrupt_at_100, .what = "numbers"};
	struct lab_results results = lab_workers_run(&workers);

	ck_assert_int_eq(results.signal, 0);
	ck_assert_uint_eq(results.done, workers.items);
	ck_assert_uint_eq(((const uint64_t *)results.items)[100], 101);
	lab_workers_free(&workers, &results);
}
END_TEST

static void interrupt_twice(void *arg, size_t item, void *result)
{
	(void)arg, (void)item, (void)result;
	for (;;) {
		kill(getppid(), SIGINT);
		usleep(50000);
	}
}

START_TEST(a_second_signal_ends_what_never_would)
{
	struct lab_workers workers = {
	    .items = 2, .processes = 2, .result_size = 1, .work = interrupt_twice, .what = "eternities"};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		lab_workers_run(&workers);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 128 + SIGINT);
}
END_TEST

/* ---- sweeps */

static void open_sweep(struct sweep *sweep, double loss, size_t runs)
{
	*sweep = (struct sweep){.options = lab_defaults, .losses = {.percent = {loss}, .count = 1}, .runs = runs};
	sweep->options.both = true;
	sweep_open(sweep);
	ck_assert_uint_eq(sweep->cell_count, 2);
}

static void assert_all(struct sweep *sweep, size_t succeeded, int64_t ms)
{
	sweep_run(sweep);
	ck_assert_uint_eq(sweep->complete, 2);
	for (size_t i = 0; i < 2; i++) {
		struct lab_cell cell = sweep_cell(sweep, i);

		ck_assert_str_eq(cell.series, i == 0 ? "fixed" : "adaptive");
		ck_assert_uint_eq(cell.runs, sweep->runs);
		ck_assert_uint_eq(cell.succeeded, succeeded);
		ck_assert_int_eq(lab_cell_quantile(&cell, 0), ms);
		ck_assert_int_eq(lab_cell_quantile(&cell, LAB_MEDIAN), ms);
		ck_assert_int_eq(lab_cell_quantile(&cell, 1000), ms);
		free(cell.times_ms);
	}
	sweep_close(sweep);
}

START_TEST(without_loss_a_handshake_takes_six_delays)
{
	struct sweep sweep;

	open_sweep(&sweep, 0, 20);
	sweep.options.weather.latency_ms = 137;
	assert_all(&sweep, 20, 6 * 137);
}
END_TEST

START_TEST(nothing_succeeds_when_all_is_lost)
{
	struct sweep sweep;

	open_sweep(&sweep, 100, 20);
	assert_all(&sweep, 0, -1);
}
END_TEST

/* The fates of the datagrams of one run on both links, as a simulation without any DTLS has them. */
enum { FATES = 8 };
struct fates {
	bool lost[DIRECTIONS][FATES];
};

static void note_fate(void *arg, int64_t now_ms, const void *datagram, size_t len, int delivered)
{
	bool **lost = arg;

	(void)now_ms, (void)datagram, (void)len;
	*(*lost)++ = delivered == 0;
}

static struct fates fates_of(uint64_t seed, double loss)
{
	const struct sim_weather weather = {.loss = loss};
	struct sim *sim = sim_new(seed);
	struct fates fates = {{{false}}};

	for (int d = 0; d < DIRECTIONS; d++) {
		struct sim_link *link = sim_link_new(sim, &weather);
		bool *next = fates.lost[d];

		sim_link_tap(link, note_fate, &next);
		for (int i = 0; i < FATES; i++)
			sim_link_send(link, "x", 1);
	}
	sim_free(sim);
	return fates;
}

static int lost_of_first(const bool *lost, int count)
{
	int sum = 0;

	while (count > 0)
		sum += lost[--count];
	return sum;
}

START_TEST(the_fastest_are_those_whose_first_three_datagrams_each_way_arrive)
{
	struct sweep sweep;
	const struct lab_result *results;

	open_sweep(&sweep, 20, RUNS);
	sweep_run(&sweep);
	results = sweep_results(&sweep, 0);
	for (size_t i = 0; i < 2 * RUNS; i++) {
		struct fates fates = fates_of(lab_run_seed(1, i % RUNS), 0.2);
		bool unharmed = lost_of_first(fates.lost[TO_SERVER], 3) + lost_of_first(fates.lost[TO_CLIENT], 3) == 0;

		ck_assert_int_eq(results[i].ms == 300, unharmed);
	}
	sweep_close(&sweep);
}
END_TEST

/* A seed with which the first run loses nothing, and the second its first ClientHello alone. */
static uint64_t seed_of_two(double loss)
{
	for (uint64_t seed = 1;; seed++) {
		struct fates a = fates_of(lab_run_seed(seed, 0), loss), b = fates_of(lab_run_seed(seed, 1), loss);

		if (lost_of_first(a.lost[TO_SERVER], 3) + lost_of_first(a.lost[TO_CLIENT], 3) == 0 &&
		    b.lost[TO_SERVER][0] && lost_of_first(b.lost[TO_SERVER], 4) == 1 &&
		    lost_of_first(b.lost[TO_CLIENT], 3) == 0)
			return seed;
	}
}

static char *csv_of(struct sweep *sweep)
{
	struct lab_cell cells[2];
	struct lab_report *report;
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	sweep_run(sweep);
	for (size_t i = 0; i < 2; i++)
		cells[i] = sweep_cell(sweep, i);
	report = sweep_report(sweep, cells);
	lab_report_csv(report, out);
	fclose(out);
	lab_report_free(report);
	free(cells[0].times_ms);
	free(cells[1].times_ms);
	return text;
}

static void count_bytes(
    void *arg, int64_t now_ms, enum direction direction, const void *datagram, size_t len, int delivered)
{
	size_t *bytes = arg;

	(void)now_ms, (void)datagram, (void)delivered;
	bytes[direction] += len;
}

/* mbed TLS's version decides how long messages are. */
static void count_bytes_of_two(const struct sweep *sweep, size_t bytes[DIRECTIONS])
{
	const struct lab_watch watch = {.sent = count_bytes, .arg = bytes};
	const struct sim_weather weather = sweep_weather(sweep, sweep->losses.percent[0]);

	bytes[TO_SERVER] = bytes[TO_CLIENT] = 0;
	for (uint64_t run = 0; run < 2; run++)
		lab_run(sweep->kinds[0].lab, &weather, lab_run_seed(sweep->options.seed, run), &watch);
}

START_TEST(two_runs_checked_by_hand)
{
	static const char header[] =
	    "loss_percent,retransmit,runs,succeeded,success_percent,min_ms,median_ms,p90_ms,p99_ms,max_ms,"
	    "client_datagrams,server_datagrams,client_bytes,server_bytes,client_lost,server_lost,"
	    "client_retransmissions,server_retransmissions,retransmissions,client_spurious,server_spurious,spurious,"
	    "worst_seed\n";
	struct sweep sweep;
	size_t bytes[DIRECTIONS];
	char *csv, numbers[256], expected[1024];

	open_sweep(&sweep, 25, 2);
	sweep.options.seed = seed_of_two(0.25);
	count_bytes_of_two(&sweep, bytes);
	csv = csv_of(&sweep);
	snprintf(numbers, sizeof(numbers),
	    "2,2,100.00,300,300,1300,1300,1300,3.50,3.00,%.1f,%.1f,0.500,0.000,0.500,0.000,0.500,0.000,0.000,0.000,%"
	    "llu",
	    (double)bytes[TO_SERVER] / 2, (double)bytes[TO_CLIENT] / 2,
	    (unsigned long long)lab_run_seed(sweep.options.seed, 1));
	snprintf(expected, sizeof(expected), "%s25,fixed,%s\n25,adaptive,%s\n", header, numbers, numbers);
	ck_assert_str_eq(csv, expected);
	free(csv);
	sweep_close(&sweep);
}
END_TEST

START_TEST(bursts_keep_the_average)
{
	static const double enter[] = {0.01, 0.1, 0.5, 1}, leave[] = {0.05, 0.3, 1};

	for (int e = 0; e < 4; e++) {
		for (int l = 0; l < 3; l++) {
			double bursts = enter[e] / (enter[e] + leave[l]);
			struct sweep sweep = {.burst_enter = enter[e], .burst_leave = leave[l]};

			for (int loss = 0; loss <= 100; loss += 5) {
				struct sim_weather w = sweep_weather(&sweep, loss);

				ck_assert_double_eq_tol(
				    bursts * w.burst_loss + (1 - bursts) * w.loss, loss / 100.0, 1e-12);
				ck_assert(w.loss == 0 || w.burst_loss == 1);
				ck_assert_double_eq(w.burst_enter, enter[e]);
				ck_assert_double_eq(w.burst_leave, leave[l]);
			}
		}
	}
}
END_TEST

struct firsts {
	int lost, asked; /* of the clients' first datagrams */
};

static void count_first(
    void *arg, int64_t now_ms, enum direction direction, const void *datagram, size_t len, int delivered)
{
	struct firsts *firsts = arg;

	(void)datagram, (void)len;
	firsts->lost += now_ms == 0 && direction == TO_SERVER && delivered == 0;
}

static enum sim_fate ask_first(void *arg, unsigned nth, const void *datagram, size_t len)
{
	struct firsts *firsts = arg;

	(void)datagram, (void)len;
	firsts->asked += nth == 1;
	return SIM_DELIVER;
}

START_TEST(a_handshake_may_begin_within_a_burst)
{
	enum { HANDSHAKES = 4000, EXPECTED = 400, DEVIATION = 19 };
	struct firsts firsts = {0, 0};
	struct lab_watch watch = {.sent = count_first, .decide = {[TO_SERVER] = ask_first}, .arg = &firsts};
	struct sweep sweep = {.options = lab_defaults, .burst_enter = 0.01, .burst_leave = 0.05};
	struct sim_weather weather = sweep_weather(&sweep, 10);
	struct lab *lab = lab_new(&sweep.options.setup);

	for (uint64_t run = 0; run < HANDSHAKES; run++)
		lab_run(lab, &weather, lab_run_seed(1, run), &watch);
	lab_free(lab);
	ck_assert_int_ge(firsts.lost, EXPECTED - 4 * DEVIATION);
	ck_assert_int_le(firsts.lost, EXPECTED + 4 * DEVIATION);
	ck_assert_int_eq(firsts.asked, HANDSHAKES - firsts.lost);
}
END_TEST

Suite *lab_sweep_suite(void)
{
	Suite *suite = suite_create("lab_sweep");

	TEST(suite, a_quantile_is_the_time_of_the_nearest_rank);
	TEST(suite, a_failed_run_counts_as_the_cap_or_not_at_all);
	TEST(suite, neighbouring_seeds_share_no_run);
	TEST(suite, results_are_in_the_order_of_the_items);
	TEST(suite, an_end_in_the_middle_keeps_what_is_done);
	TEST(suite, an_end_when_all_is_taken_comes_too_late);
	TEST(suite, a_second_signal_ends_what_never_would);
	TEST(suite, without_loss_a_handshake_takes_six_delays);
	TEST(suite, nothing_succeeds_when_all_is_lost);
	TEST(suite, the_fastest_are_those_whose_first_three_datagrams_each_way_arrive);
	TEST(suite, two_runs_checked_by_hand);
	TEST(suite, bursts_keep_the_average);
	TEST(suite, a_handshake_may_begin_within_a_burst);
	return suite;
}
