#include "load_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct lab_column columns[] = {
    {.name = "from_s"},
    {.name = "to_s"},
    {.name = "clients_up"},
    {.name = "handshakes_begun"},
    {.name = "handshakes_done"},
    {.name = "handshakes_failed"},
    {.name = "handshake_p50_ms"},
    {.name = "handshake_p90_ms"},
    {.name = "handshake_p99_ms"},
    {.name = "handshake_max_ms"},
    {.name = "messages_sent"},
    {.name = "messages_back"},
    {.name = "messages_lost"},
    {.name = "messages_stray"},
    {.name = "message_p50_ms"},
    {.name = "message_p90_ms"},
    {.name = "message_p99_ms"},
    {.name = "message_max_ms"},
    {.name = "sessions_ended"},
};

static const unsigned quantiles[] = {500, 900, 990, 1000};
enum { QUANTILES = sizeof(quantiles) / sizeof(*quantiles) };

/* ---- sums ---- */

static void sum_up(const struct load_run *run, struct load_sum *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned i = 0; i < run->o->processes; i++) {
		const struct load_tally *t = &run->tallies[i];

		sum->begun += t->begun;
		sum->done += t->done;
		sum->failed += t->failed;
		sum->up += t->up;
		sum->sent += t->sent;
		sum->back += t->back;
		sum->lost += t->lost;
		sum->stray += t->stray;
		sum->ended += t->ended;
		load_histogram_merge(&sum->handshakes, &t->handshakes);
		load_histogram_merge(&sum->echoes, &t->echoes);
	}
}

static void subtract(struct load_sum *sum, const struct load_sum *before)
{
	sum->begun -= before->begun;
	sum->done -= before->done;
	sum->failed -= before->failed;
	sum->sent -= before->sent;
	sum->back -= before->back;
	sum->lost -= before->lost;
	sum->stray -= before->stray;
	sum->ended -= before->ended;
	load_histogram_subtract(&sum->handshakes, &before->handshakes);
	load_histogram_subtract(&sum->echoes, &before->echoes);
}

/* ---- rows ---- */

static void add_quantiles(struct lab_report *rows, const struct load_histogram *h)
{
	bool any = load_histogram_count(h) > 0;

	for (int i = 0; i < QUANTILES; i++) {
		if (any)
			lab_report_number(rows, (double)load_histogram_quantile(h, quantiles[i]) / 1e6, 3);
		else
			lab_report_none(rows);
	}
}

static void add_row(struct load_report *r, int64_t from_ns, const struct load_sum *part)
{
	const uint64_t before[] = {part->up, part->begun, part->done, part->failed};
	const uint64_t after[] = {part->sent, part->back, part->lost, part->stray};

	lab_report_number(r->rows, (double)from_ns / 1e9, 3);
	lab_report_number(r->rows, (double)part->at_ns / 1e9, 3);
	for (int i = 0; i < 4; i++)
		lab_report_number(r->rows, (double)before[i], 0);
	add_quantiles(r->rows, &part->handshakes);
	for (int i = 0; i < 4; i++)
		lab_report_number(r->rows, (double)after[i], 0);
	add_quantiles(r->rows, &part->echoes);
	lab_report_number(r->rows, (double)part->ended, 0);
}

static void add_interval(struct load_report *r, const struct load_sum *sum)
{
	static struct load_sum part;

	part = *sum;
	subtract(&part, &r->last);
	if (r->rows != NULL)
		add_row(r, r->last.at_ns, &part);
	if (r->watched)
		fprintf(stderr,
		    "\r\033[K%.0f s: %" PRIu64 " of %u clients connected; in the last second %" PRIu64
		    " handshakes, %" PRIu64 " failed, %" PRIu64 " answers, %" PRIu64 " lost ",
		    (double)sum->at_ns / 1e9, sum->up, r->run.o->clients, part.done, part.failed, part.back, part.lost);
	r->last = *sum;
}

void load_report_second(void *report)
{
	static struct load_sum sum;
	struct load_report *r = report;

	if (r->rows == NULL && !r->watched)
		return;
	sum_up(&r->run, &sum);
	sum.at_ns = load_now_ns() - r->run.started_ns;
	add_interval(r, &sum);
}

void load_report_start(struct load_report *r)
{
	if (r->csv.stream != NULL || r->json.stream != NULL)
		r->rows = lab_report_new(columns, sizeof(columns) / sizeof(*columns));
	r->watched = isatty(STDERR_FILENO);
}

/* ---- the summary ---- */

static void print_quantiles(const struct load_histogram *h)
{
	static const char *const names[QUANTILES] = {"p50", "p90", "p99", "max"};

	if (load_histogram_count(h) == 0)
		return;
	printf("           ");
	for (int i = 0; i < QUANTILES; i++)
		printf(" %s %.3f ms%s", names[i], (double)load_histogram_quantile(h, quantiles[i]) / 1e6,
		    i + 1 < QUANTILES ? "," : "\n");
}

static double per_second(uint64_t count, int64_t ns)
{
	return ns > 0 ? (double)count * 1e9 / (double)ns : 0;
}

static int64_t last_done_ns(const struct load_run *run)
{
	uint64_t last = 0;

	for (unsigned i = 0; i < run->o->processes; i++)
		if (run->tallies[i].last_done_ns > last)
			last = run->tallies[i].last_done_ns;
	return (int64_t)last;
}

/* INT64_MAX: nothing was sent. */
static int64_t first_sent_ns(const struct load_run *run)
{
	int64_t first = INT64_MAX;

	for (unsigned i = 0; i < run->o->processes; i++) {
		int64_t ns = (int64_t)run->tallies[i].first_sent_ns;

		if (ns > 0 && ns < first)
			first = ns;
	}
	return first;
}

static void print_summary(const struct load_run *run, const struct load_sum *sum)
{
	const struct load_options *o = run->o;
	double s = (double)sum->at_ns / 1e9;

	printf("%u client%s, %u process%s, %.1f s; the load itself took %.2f cores\n", o->clients,
	    o->clients == 1 ? "" : "s", o->processes, o->processes == 1 ? "" : "es", s, run->cpu_s / s);
	printf("handshakes  %" PRIu64 " done, %" PRIu64 " failed, %" PRIu64 " unfinished; %.1f a second\n", sum->done,
	    sum->failed, sum->begun - sum->done - sum->failed, per_second(sum->done, last_done_ns(run)));
	print_quantiles(&sum->handshakes);
	if (o->probe != LOAD_SILENT) {
		printf("messages    %" PRIu64 " sent, %" PRIu64 " came back, %" PRIu64 " lost; %.1f a second\n",
		    sum->sent, sum->back, sum->lost, per_second(sum->back, sum->at_ns - first_sent_ns(run)));
		print_quantiles(&sum->echoes);
	}
	if (sum->stray > 0)
		printf("            %" PRIu64 " others came: late answers, or what was not asked for\n", sum->stray);
	printf("sessions    %" PRIu64 " at the end; %" PRIu64 " ended by the server or by an error\n", sum->up,
	    sum->ended);
}

/* ---- failures ---- */

/* The same reason of several processes becomes one. */
static size_t collect_reasons(const struct load_run *run, struct load_reason *all)
{
	size_t count = 0;

	for (unsigned i = 0; i < run->o->processes * LOAD_REASONS; i++) {
		const struct load_reason *one = &run->tallies[i / LOAD_REASONS].reasons[i % LOAD_REASONS];
		size_t at = 0;

		if (one->count == 0)
			continue;
		while (at < count && strcmp(all[at].sentence, one->sentence) != 0)
			at++;
		if (at == count)
			all[count++] = (struct load_reason){0};
		memcpy(all[at].sentence, one->sentence, sizeof(one->sentence));
		all[at].count += one->count;
	}
	return count;
}

static int by_count(const void *a, const void *b)
{
	const struct load_reason *x = a, *y = b;

	return (x->count < y->count) - (x->count > y->count);
}

static void print_failures(const struct load_run *run, const struct load_sum *sum)
{
	static struct load_reason reasons[LOAD_PROCESSES_MAX * LOAD_REASONS];
	size_t count = collect_reasons(run, reasons);

	qsort(reasons, count, sizeof(*reasons), by_count);
	for (size_t i = 0; i < count; i++) {
		printf("%10" PRIu64 "  ", reasons[i].count);
		cli_print_bytes(stdout, reasons[i].sentence, strlen(reasons[i].sentence));
		putchar('\n');
	}
	fprintf(stderr, "%s: %" PRIu64 " of %" PRIu64 " handshakes failed, %" PRIu64 " sessions ended: ",
	    program_invocation_short_name, sum->failed, sum->begun, sum->ended);
	cli_print_bytes(stderr, reasons[0].sentence, strlen(reasons[0].sentence));
	fputs(count > 1 ? "; and other reasons\n" : "\n", stderr);
}

/* What the exit status says, too. */
static int judge(const struct load_run *run, const struct load_sum *sum)
{
	const char *self = program_invocation_short_name;

	if (sum->failed > 0 || sum->ended > 0) {
		print_failures(run, sum);
		return CLI_FAILED;
	}
	if (sum->done == 0) {
		fprintf(stderr, "%s: no handshake was done\n", self);
		return CLI_FAILED;
	}
	if (sum->lost > 0 && sum->back == 0) {
		fprintf(stderr, "%s: of %" PRIu64 " messages none came back: does the server %s?\n", self, sum->sent,
		    run->o->probe == LOAD_ECHO ? "echo what it gets" : "speak CoAP");
		return CLI_FAILED;
	}
	return EXIT_SUCCESS;
}

/* ---- files ---- */

static void add_settings(struct lab_report *rows, const struct load_options *o)
{
	static const char *const probes[] = {"none", "echo", "coap-ping"};

	lab_report_setting_text(rows, "server", o->name);
	lab_report_setting_number(rows, "clients", o->clients);
	lab_report_setting_number(rows, "processes", o->processes);
	lab_report_setting_number(rows, "sources", o->sources);
	lab_report_setting_number(rows, "pending", o->pending);
	lab_report_setting_number(rows, "rate", o->rate);
	lab_report_setting_text(rows, "messages", probes[o->probe]);
	lab_report_setting_number(rows, "message_bytes", (double)o->size);
	lab_report_setting_number(rows, "interval_ms", (double)o->interval_ms);
	lab_report_setting_number(rows, "churn_ms", (double)o->churn_ms);
	lab_report_setting_number(rows, "duration_ms", (double)o->duration_ms);
}

static bool write_file(
    struct lab_file *file, const struct lab_report *rows, void (*write)(const struct lab_report *, FILE *))
{
	if (file->stream == NULL)
		return true;
	lab_file_begin(file);
	write(rows, file->stream);
	return lab_file_end(file);
}

int load_report_end(struct load_report *r)
{
	static struct load_sum sum;
	bool well = true;

	if (r->watched)
		fputs("\r\033[K", stderr);
	r->watched = false;
	sum_up(&r->run, &sum);
	sum.at_ns = r->run.stopped_ns - r->run.started_ns;
	sum.up = r->run.up; /* by now all are closed */
	print_summary(&r->run, &sum);
	if (r->rows != NULL) {
		add_interval(r, &sum);
		add_row(r, 0, &sum);
		add_settings(r->rows, r->run.o);
		well = write_file(&r->csv, r->rows, lab_report_csv);
		well &= write_file(&r->json, r->rows, lab_report_json);
		lab_report_free(r->rows);
	}
	return judge(&r->run, &sum) == EXIT_SUCCESS && well ? EXIT_SUCCESS : CLI_FAILED;
}
