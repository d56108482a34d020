#include "lab_wire_run.h"

#include "lab_wire_ports.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

/* PATIENCE_MS: for programs to start. GRACE_MS: what a client sent as it ended may still be on its way through the relay. */
enum { PATIENCE_MS = 20000, GRACE_MS = 500, COMMAND_MAX = 8192, NUMBER_MAX = 32 };

static const char greeting[] = "hello\n";
static const char *const roles[WIRE_PROCESSES] = {"server", "relay", "client"};

void wire_run_init(struct wire_run *r)
{
	*r = (struct wire_run){.state = WIRE_IDLE};
	for (int i = 0; i < WIRE_PROCESSES; i++)
		r->processes[i].errors_fd = -1;
	r->client_in_fd = r->port_lock_fd = -1;
}

__attribute__((format(printf, 2, 3))) static void give_up(struct wire_run *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(r->why, sizeof(r->why), format, args);
	va_end(args);
	r->state = WIRE_OVER;
}

static const char *last_words(const struct wire_run *r, int which)
{
	return r->processes[which].last[0] != '\0' ? r->processes[which].last : "it said nothing";
}

static void finish(struct wire_run *r, bool connected, int64_t ms)
{
	r->result.done = true;
	r->result.connected = connected;
	r->result.ms = ms;
	r->state = WIRE_OVER;
}

/* ---- starting ---- */

static void start(struct wire_run *r, int which, const char *const *argv, int in_fd)
{
	if (r->state != WIRE_OVER && !wire_process_start(&r->processes[which], argv, in_fd))
		give_up(r, "cannot start the %s of %s: %s", roles[which], r->pair->name, strerror(errno));
}

/* The command with the port for {port}, run by sh. */
static void start_command(struct wire_run *r, int which, const char *command, unsigned port, int in_fd)
{
	const char *argv[] = {"/bin/sh", "-c", NULL, NULL}, *mark;
	char text[COMMAND_MAX] = "";
	size_t len = 0;

	while ((mark = strstr(command, "{port}")) != NULL && len < sizeof(text)) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%.*s%u", (int)(mark - command), command, port);
		command = mark + strlen("{port}");
	}
	if (len < sizeof(text))
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", command);
	argv[2] = text;
	if (len >= sizeof(text))
		give_up(r, "the command of the %s of %s has more than %d bytes", roles[which], r->pair->name,
		    COMMAND_MAX - 1);
	start(r, which, argv, in_fd);
}

/* The options of dtls-relay for the weather. */
static void start_relay(struct wire_run *r)
{
	const struct sim_weather *weather = &r->wire->weather;
	double loss = r->wire->losses.percent[r->cell / r->wire->pair_count];
	const struct {
		const char *option;
		double value;
		int decimals;
	} settings[] = {
	    {"--loss", loss / 100, 9}, {"--delay", (double)weather->latency_ms, 0},
	    {"--jitter", (double)weather->jitter_ms, 0}, {"--duplicate", weather->duplicate, 9},
	    {"--reorder", weather->reorder, 9}, {"--corrupt", weather->corrupt, 9}, {"--mtu", (double)weather->mtu, 0},
	    {"--rate", (double)weather->bytes_per_second, 0},
	    {"--seed", (double)lab_run_seed(r->wire->seed, r->nth), 0}, /* below 2^53: exact */
	};
	enum { SETTINGS = sizeof(settings) / sizeof(*settings), FIXED = 6 };
	char texts[SETTINGS][NUMBER_MAX], target[NUMBER_MAX];
	const char *argv[FIXED + 2 * SETTINGS + 1] = {r->wire->relay, "-v", "-l", "127.0.0.1:0", "-t", target};
	int count = FIXED;

	snprintf(target, sizeof(target), "127.0.0.1:%u", r->server_port);
	for (int i = 0; i < SETTINGS; i++) {
		if (settings[i].value == 0)
			continue; /* not asked for; --mtu and --rate take no 0 */
		snprintf(texts[i], NUMBER_MAX, "%.*f", settings[i].decimals, settings[i].value);
		argv[count++] = settings[i].option;
		argv[count++] = texts[i];
	}
	start(r, WIRE_RELAY, argv, STDIN_FILENO);
}

void wire_run_start(struct wire_run *r, struct wire *wire, size_t cell, size_t nth, int server_in_fd)
{
	wire_run_init(r);
	r->state = WIRE_OPENING;
	r->wire = wire;
	r->cell = cell;
	r->nth = nth;
	r->pair = &wire->pairs[cell % wire->pair_count];
	r->server_port = wire_port_take(&r->port_lock_fd);
	r->first_ms = -1;
	r->stop_at = cli_now_ms() + PATIENCE_MS;
	start_command(r, WIRE_SERVER, r->pair->server, r->server_port, server_in_fd);
	start_relay(r);
}

static void start_client(struct wire_run *r)
{
	int in[2];

	if (pipe2(in, O_CLOEXEC) != 0) {
		give_up(r, "cannot make a pipe: %s", strerror(errno));
		return;
	}
	r->client_in_fd = in[1];
	r->state = WIRE_CALLING;
	r->stop_at = cli_now_ms() + PATIENCE_MS;
	if (write(in[1], greeting, strlen(greeting)) < 0)
		give_up(r, "cannot write to a pipe: %s", strerror(errno));
	start_command(r, WIRE_CLIENT, r->pair->client, r->relay_port, in[0]);
	close(in[0]);
}

/* ---- what the relay tells ---- */

/* "     300 ms  client 1, client to server  34 bytes: application data  passed" */
static void take_datagram(struct wire_run *r, int64_t ms, const char *from, const char *what)
{
	enum direction direction = strcmp(from, "client") == 0 ? TO_SERVER : TO_CLIENT;

	if (r->first_ms < 0) {
		r->first_ms = ms;
		r->state = WIRE_SHAKING;
		r->stop_at = cli_now_ms() + r->wire->cap_ms;
	}
	if (direction == TO_SERVER && strstr(what, "application data") != NULL)
		finish(r, ms - r->first_ms < r->wire->cap_ms, ms - r->first_ms);
	else
		r->result.datagrams[direction]++;
}

static void take_line(struct wire_run *r, const char *line)
{
	char from[8];
	int64_t ms;
	int at = 0;

	if (r->relay_port == 0)
		(void)sscanf(line, "listening on 127.0.0.1:%u", &r->relay_port);
	else if (sscanf(line, " %" SCNd64 " ms client %*u, %7s to %*s %n", &ms, from, &at) == 2 && at > 0)
		take_datagram(r, ms, from, line + at);
}

static void read_all(struct wire_run *r)
{
	const char *line;

	for (int i = 0; i < WIRE_PROCESSES; i++)
		while ((line = wire_process_line(&r->processes[i])) != NULL)
			if (i == WIRE_RELAY && r->state != WIRE_OVER)
				take_line(r, line);
}

/* ---- the end ---- */

static bool has_ended(const struct wire_run *r, int which)
{
	return wire_process_has_ended(&r->processes[which]);
}

/* In this order: what has ended has said all that it had to say. */
static void look_and_read(struct wire_run *r, int64_t now_ms)
{
	bool relay = has_ended(r, WIRE_RELAY), server = has_ended(r, WIRE_SERVER), client = has_ended(r, WIRE_CLIENT);

	read_all(r);
	if (r->state == WIRE_OVER)
		return;
	if (relay)
		give_up(r, "%s ended: %s", r->wire->relay, last_words(r, WIRE_RELAY));
	else if (server && r->state != WIRE_SHAKING)
		give_up(
		    r, "the server of %s ended before a client came: %s", r->pair->name, last_words(r, WIRE_SERVER));
	else if (client && r->stop_at > now_ms + GRACE_MS)
		r->stop_at = now_ms + GRACE_MS;
}

/* Time is up. */
static void judge(struct wire_run *r)
{
	struct wire_pair *pair = r->pair;

	if (r->state == WIRE_OPENING && r->relay_port == 0) {
		give_up(r, "%s does not tell its port", r->wire->relay);
	} else if (r->state == WIRE_OPENING) {
		give_up(r, "the server of %s does not listen on UDP port %u after %d s: %s", pair->name, r->server_port,
		    PATIENCE_MS / 1000, last_words(r, WIRE_SERVER));
	} else if (r->state == WIRE_CALLING) {
		give_up(r, "the client of %s %s: %s", pair->name,
		    has_ended(r, WIRE_CLIENT) ? "ended and had sent nothing" : "sends nothing",
		    last_words(r, WIRE_CLIENT));
	} else {
		if (has_ended(r, WIRE_CLIENT) && pair->ended++ == 0)
			snprintf(pair->why, sizeof(pair->why), "%s", last_words(r, WIRE_CLIENT));
		finish(r, false, -1);
	}
}

void wire_run_look(struct wire_run *r, int64_t now_ms)
{
	if (r->state == WIRE_IDLE || r->state == WIRE_OVER)
		return;
	look_and_read(r, now_ms);
	if (r->state == WIRE_OPENING && r->relay_port != 0 && wire_port_is_bound(r->server_port))
		start_client(r);
	if (r->state != WIRE_OVER && now_ms >= r->stop_at)
		judge(r);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void wire_run_end(struct wire_run *r)
{
	for (int i = 0; i < WIRE_PROCESSES; i++)
		wire_process_end(&r->processes[i]);
	close_fd(&r->client_in_fd);
	close_fd(&r->port_lock_fd);
	r->state = WIRE_IDLE;
}
