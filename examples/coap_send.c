/* coap-sensor, sending: one sensor, or a fleet of them. */
#include "coap_sensor.h"
#include "coap_start.h"
#include "coap_uplink.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sender {
	struct uplink uplink;
	char name[4 * DTLS_PSK_IDENTITY_MAX + 1]; /* printable */
	int64_t next_at; /* a reading is to be made up */
};

struct senders {
	struct sensor_options *options;
	struct uplinks common;
	struct coap_target target;
	struct sender *list;
	size_t count;
	uint64_t not_taken; /* made up while a queue was full */
	int signals;
};

/* ---- what is told ---- */

static void print_acknowledged(const struct uplink *u, const struct queue_reading *reading)
{
	if (u->name != NULL)
		printf("%s ", u->name);
	cli_print_bytes(stdout, reading->text, reading->len);
	putchar('\n');
}

static uint64_t sum_waiting(const struct senders *s)
{
	uint64_t waiting = 0;

	for (size_t i = 0; i < s->count; i++)
		waiting += s->list[i].uplink.queue.count;
	return waiting;
}

static void tell_counters(const struct senders *s, const char *when)
{
	uint64_t taken = 0;

	for (size_t i = 0; i < s->count; i++)
		taken += s->list[i].uplink.queue.taken;
	fprintf(stderr,
	    "counters %s:\n"
	    "  readings taken %" PRIu64 ", acknowledged %" PRIu64 ", refused %" PRIu64 ", waiting %" PRIu64 "\n"
	    "  readings not taken, for the queue was full %" PRIu64 "; sessions %" PRIu64 "\n",
	    when, taken, s->common.counts.acknowledged, s->common.counts.refused, sum_waiting(s), s->not_taken,
	    s->common.counts.sessions);
}

/* The last line, when something is left. */
static int judge(const struct senders *s)
{
	uint64_t waiting = sum_waiting(s);

	for (size_t i = 0; i < s->count && waiting > 0; i++) {
		const struct uplink *u = &s->list[i].uplink;

		if (u->queue.count == 0)
			continue;
		fprintf(stderr,
		    "coap-sensor: %" PRIu64 " readings are not acknowledged, the first%s%s is number %" PRIu64 "\n",
		    waiting, u->name != NULL ? " of " : "", u->name != NULL ? u->name : "",
		    queue_first(&u->queue)->number);
		break;
	}
	return waiting > 0 || s->common.counts.refused > 0 || s->options->source.has_skipped ? CLI_FAILED
											     : EXIT_SUCCESS;
}

/* ---- readings ---- */

static void take(struct sender *sender, const char *text, size_t len, int64_t now_ms)
{
	if (!queue_add(&sender->uplink.queue, text, len, now_ms))
		cli_fail("out of memory");
}

static void take_lines(struct senders *s, int64_t now_ms)
{
	struct source *source = &s->options->source;
	const char *line;
	size_t len;

	while (!queue_is_full(&s->list[0].uplink.queue) && (line = source_line(source, &len)) != NULL) {
		take(&s->list[0], line, len, now_ms);
		source_drop(source);
	}
}

/* Room for a line that has come. */
static bool has_line(struct senders *s)
{
	size_t len;

	return s->options->source.interval_ms == 0 && !queue_is_full(&s->list[0].uplink.queue) &&
	       source_line(&s->options->source, &len) != NULL;
}

static bool has_made_all(const struct senders *s, const struct sender *sender)
{
	return s->options->source.count > 0 && sender->uplink.queue.taken >= s->options->source.count;
}

static void not_taken(struct senders *s)
{
	if (s->not_taken++ == 0 && !s->options->quiet)
		fprintf(
		    stderr, "coap-sensor: a queue is full: new readings are not taken until some are acknowledged\n");
}

static void make_up(struct senders *s, struct sender *sender, int64_t now_ms)
{
	struct queue *queue = &sender->uplink.queue;
	char text[SOURCE_TEXT];

	while (!has_made_all(s, sender) && now_ms >= sender->next_at) {
		size_t len = source_make(queue->taken + 1, text);

		sender->next_at += s->options->source.interval_ms;
		if (queue_is_full(queue))
			not_taken(s);
		else
			take(sender, text, len, now_ms);
	}
}

static bool is_all_taken(struct senders *s)
{
	if (s->options->source.interval_ms == 0)
		return source_is_at_end(&s->options->source);
	for (size_t i = 0; i < s->count; i++)
		if (!has_made_all(s, &s->list[i]))
			return false;
	return true;
}

/* ---- the loop ---- */

/* True when the program is to end. */
static bool handle_signals(const struct senders *s)
{
	int number;

	while ((number = cli_take_signal(s->signals)) == SIGUSR1)
		tell_counters(s, "on SIGUSR1");
	return number != 0;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* All that can be done now. Returns when there is more to do than libcoap knows. */
static int64_t work(struct senders *s)
{
	bool is_due;
	int64_t next;

	do {
		int64_t now_ms = cli_now_ms();

		is_due = false;
		next = INT64_MAX;
		for (size_t i = 0; i < s->count; i++) {
			struct sender *sender = &s->list[i];

			if (s->options->source.interval_ms > 0)
				make_up(s, sender, now_ms);
			else
				take_lines(s, now_ms);
			next = earlier(next, uplink_step(&sender->uplink, now_ms));
			if (s->options->source.interval_ms > 0 && !has_made_all(s, sender))
				next = earlier(next, sender->next_at);
		}
		libcoap_work(s->common.coap);
		for (size_t i = 0; i < s->count; i++)
			is_due |= uplink_is_due(&s->list[i].uplink, now_ms);
		is_due |= has_line(s);
	} while (is_due);
	return next;
}

static int wait_ms(int64_t next)
{
	int64_t left = next - cli_now_ms();

	if (next == INT64_MAX)
		return -1;
	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

static bool wants_input(struct senders *s)
{
	return s->options->source.interval_ms == 0 && !s->options->source.lines.at_end &&
	       !queue_is_full(&s->list[0].uplink.queue);
}

/* False: standard output fails. */
static bool run(struct senders *s)
{
	struct pollfd fds[] = {{.fd = coap_context_get_coap_fd(s->common.coap), .events = POLLIN},
	    {.fd = s->signals, .events = POLLIN}, {.events = POLLIN}};

	while (!handle_signals(s)) {
		int64_t next;

		next = work(s);
		if (fflush(stdout) != 0 || ferror(stdout) != 0)
			return false; /* cli_finish() says why */
		if (is_all_taken(s) && sum_waiting(s) == 0)
			return true;
		fds[2].fd = wants_input(s) ? STDIN_FILENO : -1;
		if (poll(fds, 3, wait_ms(next)) < 0 && errno != EINTR)
			cli_fail("cannot wait for the socket: %s", strerror(errno));
		if (fds[2].fd >= 0 && fds[2].revents != 0)
			source_read(&s->options->source);
	}
	return true;
}

/* ---- its life ---- */

static void set_name(struct sender *sender, const struct coap_key *key)
{
	FILE *out = fmemopen(sender->name, sizeof(sender->name), "w");

	if (out == NULL)
		cli_fail("out of memory");
	cli_print_bytes(out, key->identity, key->identity_len);
	fclose(out);
	sender->uplink.name = sender->name;
}

static void check_path(const struct senders *s)
{
	const struct coap_credentials *c = &s->options->credentials;

	if (!coap_target_has_path(&s->target) && c->keys.count + c->file.count == 0)
		cli_usage("without an identity the path of the readings must be given: coaps://%s/sensors/NAME",
		    s->target.host_and_port);
	if (coap_target_has_path(&s->target) && c->fleet != NULL)
		cli_usage("--fleet sends to /sensors/IDENTITY: give no path");
}

/* A sensor for each key of a fleet, else one. */
static void make_senders(struct senders *s)
{
	const struct coap_credentials *c = &s->options->credentials;
	const struct coap_keys *keys = c->file.count > 0 ? &c->file : &c->keys;
	int64_t interval_ms = s->options->source.interval_ms, now_ms = cli_now_ms();
	char run[17];

	uplink_make_run(run);
	s->count = c->fleet != NULL ? keys->count : 1;
	s->list = calloc(s->count, sizeof(*s->list));
	if (s->list == NULL)
		cli_fail("out of memory");
	for (size_t i = 0; i < s->count; i++) {
		struct sender *sender = &s->list[i];

		sender->uplink.all = &s->common;
		sender->uplink.key = keys->count > 0 ? &keys->list[i] : NULL;
		if (c->fleet != NULL)
			set_name(sender, &keys->list[i]);
		sender->next_at = now_ms + interval_ms * (int64_t)i / (int64_t)s->count;
		uplink_start(&sender->uplink, run);
	}
}

/* An address is no name to ask for (RFC 6066, 3); but a certificate may be made out to one. */
static void name_server(struct coap_credentials *c, const struct coap_target *target)
{
	bool by_certificate = c->fleet == NULL && cli_dtls_by_certificate(&c->given);

	if (c->hostname == NULL && (by_certificate || !target->host_is_address))
		c->hostname = target->host;
}

static void start(struct senders *s)
{
	struct sensor_options *o = s->options;
	char why[256];

	coap_target_parse(&s->target, o->uri);
	name_server(&o->credentials, &s->target);
	coap_credentials_load(&o->credentials);
	check_path(s);
	if (!coap_target_resolve(&s->target, why, sizeof(why)))
		cli_usage("%s", why);
	cli_raise_descriptors();
	s->common = (struct uplinks){.coap = libcoap_start(o->verbose),
	    .target = &s->target,
	    .credentials = &o->credentials,
	    .queue_max = o->queue_max,
	    .ack_timeout_s = o->ack_timeout_s,
	    .max_retransmit = o->max_retransmit,
	    .quiet = o->quiet,
	    .verbose = o->verbose,
	    .started_at = o->started_at,
	    .acknowledged = print_acknowledged};
	uplinks_hear(s->common.coap);
	s->signals = cli_signals();
	signal(SIGPIPE, SIG_IGN);
	make_senders(s);
}

int sensor_send(struct sensor_options *o)
{
	struct senders s = {.options = o};
	int status;

	start(&s);
	status = run(&s) ? EXIT_SUCCESS : CLI_FAILED;
	tell_counters(&s, "at the end");
	if (status == EXIT_SUCCESS)
		status = judge(&s);
	for (size_t i = 0; i < s.count; i++)
		uplink_free(&s.list[i].uplink);
	libcoap_end(s.common.coap);
	coap_target_free(&s.target);
	free(s.list);
	close(s.signals);
	return status;
}
