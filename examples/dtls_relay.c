/* dtls-relay - forwards UDP datagrams between any number of clients and one server through simulated weather.
 * Each client has a simulation of its own, with one link for each direction, that is advanced in real time. */
#include "cli.h"
#include "cli_weather.h"
#include "drops.h"
#include "dtls/sim.h"
#include "heap.h"
#include "relay_records.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <unistd.h>

enum { BUCKETS = 16384, BATCH = 256, MAX_DATAGRAM = 65535 };

static const char *const direction_names[DIRECTIONS] = {"client to server", "server to client"};

struct options {
	const char *listen, *target;
	struct sim_weather weather;
	struct drops drops;
	uint64_t seed;
	bool verbose;
};

struct lane { /* one direction of one client */
	struct client *client;
	enum direction direction;
	struct sim_link *link;
	bool dropped; /* the datagram just sent: by --drop */
};

struct client {
	struct heap_node due; /* first: when its next datagram arrives */
	struct relay *relay;
	unsigned number;
	struct cli_address address;
	int fd; /* connected to the server */
	struct sim *sim;
	struct lane lanes[DIRECTIONS];
	LIST_ENTRY(client) bucket;
	TAILQ_ENTRY(client) silence;
};

struct relay {
	struct options options;
	struct cli_address target;
	int listen_fd, signal_fd, epoll_fd;
	bool stopping;
	int64_t started_at, now_ms;
	LIST_HEAD(, client) buckets[BUCKETS];
	TAILQ_HEAD(, client) by_silence; /* the longest silent first */
	struct heap due;
	unsigned seen, gone, refused;
	struct sim_link_stats past[DIRECTIONS]; /* of clients that are gone */
	uint64_t arrived[DIRECTIONS];
	char datagram[MAX_DATAGRAM]; /* on its way in or out */
};

/* ---- clients ---- */

static enum sim_fate decide(void *arg, unsigned nth, const void *datagram, size_t len)
{
	struct lane *lane = arg;

	(void)datagram;
	(void)len;
	lane->dropped = drops_include(&lane->client->relay->options.drops, lane->direction, nth);
	return lane->dropped ? SIM_DROP : SIM_DELIVER;
}

static size_t bucket_of(const struct cli_address *address)
{
	const unsigned char *bytes = (const unsigned char *)&address->storage;
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (socklen_t i = 0; i < address->len; i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return hash % BUCKETS;
}

static struct client *client_find(struct relay *relay, const struct cli_address *address)
{
	struct client *client;

	for (client = LIST_FIRST(&relay->buckets[bucket_of(address)]); client; client = LIST_NEXT(client, bucket)) {
		if (client->address.len == address->len &&
		    memcmp(&client->address.storage, &address->storage, address->len) == 0)
			break;
	}
	return client;
}

static void add_stats(struct sim_link_stats *sum, const struct sim_link *link)
{
	struct sim_link_stats stats;

	sim_link_stats(link, &stats);
	sum->sent += stats.sent;
	sum->delivered += stats.delivered;
	sum->lost += stats.lost;
	sum->too_big += stats.too_big;
	sum->duplicated += stats.duplicated;
	sum->reordered += stats.reordered;
	sum->corrupted += stats.corrupted;
}

static void client_free(struct client *client)
{
	sim_free(client->sim);
	if (client->fd >= 0)
		close(client->fd);
	free(client);
}

static void client_drop(struct client *client)
{
	struct relay *relay = client->relay;

	for (int d = 0; d < DIRECTIONS; d++)
		add_stats(&relay->past[d], client->lanes[d].link);
	LIST_REMOVE(client, bucket);
	TAILQ_REMOVE(&relay->by_silence, client, silence);
	heap_remove(&relay->due, &client->due);
	client_free(client);
}

/* A socket to the server; where descriptors or buffers have run out, the longest silent clients give theirs up. */
static int connect_upstream(struct relay *relay)
{
	int fd;

	while ((fd = socket(relay->target.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) < 0) {
		if ((errno != EMFILE && errno != ENFILE && errno != ENOBUFS) || TAILQ_EMPTY(&relay->by_silence))
			return -1;
		client_drop(TAILQ_FIRST(&relay->by_silence));
		relay->gone++;
	}
	cli_widen(fd);
	if (connect(fd, &relay->target.any, relay->target.len) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool watch(const struct relay *relay, int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

	return epoll_ctl(relay->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool client_open(struct client *client)
{
	struct relay *relay = client->relay;

	client->sim = sim_new(relay->options.seed + client->number - 1);
	if (client->sim == NULL)
		return false;
	for (int d = 0; d < DIRECTIONS; d++) {
		struct lane *lane = &client->lanes[d];

		*lane = (struct lane){.client = client, .direction = (enum direction)d};
		lane->link = sim_link_new(client->sim, &relay->options.weather);
		if (lane->link == NULL)
			return false;
		sim_link_decide(lane->link, decide, lane);
	}
	client->fd = connect_upstream(relay);
	client->due.at_ms = INT64_MAX;
	return client->fd >= 0 && watch(relay, client->fd, client) && heap_add(&relay->due, &client->due);
}

static struct client *client_new(struct relay *relay, const struct cli_address *address)
{
	struct client *client = calloc(1, sizeof(*client));
	char text[CLI_ADDRESS_TEXT];

	if (client == NULL)
		return NULL;
	client->relay = relay;
	client->number = relay->seen + 1;
	client->address = *address;
	client->fd = -1;
	if (!client_open(client)) {
		client_free(client);
		return NULL;
	}
	relay->seen++;
	LIST_INSERT_HEAD(&relay->buckets[bucket_of(address)], client, bucket);
	TAILQ_INSERT_TAIL(&relay->by_silence, client, silence);
	if (relay->options.verbose)
		fprintf(stderr, "%8" PRId64 " ms  client %u is %s\n", relay->now_ms, client->number,
		    cli_address_text(address, text));
	return client;
}

/* ---- datagrams ---- */

static void update_due(struct client *client)
{
	client->due.at_ms = sim_next_ms(client->sim);
	heap_update(&client->relay->due, &client->due);
}

static void tell_fate(const struct lane *lane, size_t len, const struct sim_link_stats *was)
{
	struct sim_link_stats is;
	const char *fate = "passed";
	char records[RELAY_RECORDS_TEXT];

	sim_link_stats(lane->link, &is);
	if (lane->dropped)
		fate = "dropped";
	else if (is.lost > was->lost)
		fate = "lost";
	else if (is.too_big > was->too_big)
		fate = "too big";
	fprintf(stderr, "%8" PRId64 " ms  client %u, %s  %zu bytes%s  %s%s%s%s\n", lane->client->relay->now_ms,
	    lane->client->number, direction_names[lane->direction], len,
	    relay_records(lane->client->relay->datagram, len, records), fate,
	    is.duplicated > was->duplicated ? ", duplicated" : "", is.reordered > was->reordered ? ", held back" : "",
	    is.corrupted > was->corrupted ? ", corrupted" : "");
}

/* A datagram enters the weather. */
static void enter(struct lane *lane, size_t len)
{
	struct client *client = lane->client;
	struct relay *relay = client->relay;
	struct sim_link_stats was;

	TAILQ_REMOVE(&relay->by_silence, client, silence);
	TAILQ_INSERT_TAIL(&relay->by_silence, client, silence);
	sim_link_stats(lane->link, &was);
	lane->dropped = false;
	sim_advance_to(client->sim, relay->now_ms);
	sim_link_send(lane->link, relay->datagram, len);
	if (relay->options.verbose)
		tell_fate(lane, len, &was);
	update_due(client);
}

/* A datagram leaves the weather. */
static void leave(const struct lane *lane, size_t len)
{
	struct client *client = lane->client;
	struct relay *relay = client->relay;
	ssize_t sent;

	if (lane->direction == TO_SERVER) {
		sent = send(client->fd, relay->datagram, len, 0);
		if (sent < 0 && errno == ECONNREFUSED) /* about an earlier datagram; this one was not sent */
			sent = send(client->fd, relay->datagram, len, 0);
	} else {
		sent = sendto(relay->listen_fd, relay->datagram, len, 0, &client->address.any, client->address.len);
	}
	relay->arrived[lane->direction] += sent >= 0;
}

static void run_due(struct relay *relay)
{
	while (heap_first_ms(&relay->due) <= relay->now_ms) {
		struct client *client = (struct client *)relay->due.nodes[0];

		sim_advance_to(client->sim, relay->now_ms);
		for (int d = 0; d < DIRECTIONS; d++) {
			ssize_t len;

			while (
			    (len = sim_link_recv(client->lanes[d].link, relay->datagram, sizeof(relay->datagram))) >= 0)
				leave(&client->lanes[d], (size_t)len);
		}
		update_due(client);
	}
}

static void from_clients(struct relay *relay)
{
	for (int i = 0; i < BATCH; i++) {
		struct cli_address from = {.len = sizeof(from.storage)};
		ssize_t len =
		    recvfrom(relay->listen_fd, relay->datagram, sizeof(relay->datagram), 0, &from.any, &from.len);
		struct client *client;

		if (len < 0)
			return;
		if ((client = client_find(relay, &from)) != NULL || (client = client_new(relay, &from)) != NULL)
			enter(&client->lanes[TO_SERVER], (size_t)len);
		else
			relay->refused++;
		run_due(relay); /* before the next one's client may take the place of this one's */
	}
}

static void from_server(struct client *client)
{
	struct relay *relay = client->relay;

	for (int i = 0; i < BATCH; i++) {
		ssize_t len = recv(client->fd, relay->datagram, sizeof(relay->datagram), 0);

		if (len >= 0)
			enter(&client->lanes[TO_CLIENT], (size_t)len);
		else if (errno != ECONNREFUSED) /* which is about a datagram sent before: more may wait */
			return;
	}
}

/* ---- the relay ---- */

static void print_direction(const struct relay *relay, int direction)
{
	struct sim_link_stats sum = relay->past[direction];
	const struct client *client;

	for (client = TAILQ_FIRST(&relay->by_silence); client; client = TAILQ_NEXT(client, silence))
		add_stats(&sum, client->lanes[direction].link);
	fprintf(stderr,
	    "%s: %" PRIu64 " received, %" PRIu64 " delivered, %" PRIu64 " lost, %" PRIu64 " duplicated, %" PRIu64
	    " reordered, %" PRIu64 " corrupted, %" PRIu64 " too big",
	    direction_names[direction], sum.sent, relay->arrived[direction], sum.lost, sum.duplicated, sum.reordered,
	    sum.corrupted, sum.too_big);
	if (sum.delivered > relay->arrived[direction])
		fprintf(stderr, ", %" PRIu64 " under way or refused", sum.delivered - relay->arrived[direction]);
	fputc('\n', stderr);
}

static void print_summary(const struct relay *relay)
{
	fprintf(stderr, "%u client%s in %.1f s, seed %" PRIu64, relay->seen, relay->seen == 1 ? "" : "s",
	    (double)relay->now_ms / 1000, relay->options.seed);
	if (relay->gone + relay->refused > 0)
		fprintf(stderr, "; %u silent ones forgotten, %u datagrams of new ones refused for lack of descriptors",
		    relay->gone, relay->refused);
	fputc('\n', stderr);
	for (int d = 0; d < DIRECTIONS; d++)
		print_direction(relay, d);
}

static void take_signals(struct relay *relay)
{
	int signal;

	while ((signal = cli_take_signal(relay->signal_fd)) != 0) {
		if (signal == SIGUSR1)
			print_summary(relay);
		else if (signal != SIGHUP)
			relay->stopping = true;
	}
}

static int wait_ms(const struct relay *relay)
{
	int64_t ms = heap_first_ms(&relay->due) - relay->now_ms;

	return ms < 0 ? 0 : ms > INT_MAX ? INT_MAX : (int)ms;
}

/* New clients come last: for their sake old ones may be freed, to which an event of the same batch points. */
static void run_once(struct relay *relay)
{
	struct epoll_event events[64];
	int count = epoll_wait(relay->epoll_fd, events, 64, wait_ms(relay));
	bool listening = false;

	if (count < 0 && errno != EINTR)
		cli_fail("epoll_wait: %s", strerror(errno));
	relay->now_ms = cli_now_ms() - relay->started_at;
	for (int i = 0; i < count; i++) {
		if (events[i].data.ptr == &relay->listen_fd)
			listening = true;
		else if (events[i].data.ptr == &relay->signal_fd)
			take_signals(relay);
		else
			from_server(events[i].data.ptr);
	}
	if (listening)
		from_clients(relay);
	run_due(relay);
}

static void relay_open(struct relay *relay)
{
	const struct cli_address address = cli_resolve("--listen", relay->options.listen, true);

	relay->target = cli_resolve("--target", relay->options.target, false);
	relay->signal_fd = cli_signals();
	relay->listen_fd = cli_bind(&address, SOCK_DGRAM | SOCK_NONBLOCK);
	cli_widen(relay->listen_fd); /* a burst that the kernel drops would be loss that nobody asked for */
	cli_raise_descriptors();
	relay->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (relay->epoll_fd < 0 || !watch(relay, relay->listen_fd, &relay->listen_fd) ||
	    !watch(relay, relay->signal_fd, &relay->signal_fd))
		cli_fail("cannot wait for events: %s", strerror(errno));
	TAILQ_INIT(&relay->by_silence);
	relay->started_at = cli_now_ms();
	cli_announce(relay->listen_fd);
}

static void relay_close(struct relay *relay)
{
	for (struct client *client = TAILQ_FIRST(&relay->by_silence), *next; client != NULL; client = next) {
		next = TAILQ_NEXT(client, silence);
		client_drop(client);
	}
	free(relay->due.nodes);
}

/* ---- the command line ---- */

enum { OPTION_DROP = CLI_OWN, OPTION_SEED };

static const char help[] = "Usage: dtls-relay -l ADDR:PORT -t HOST:PORT [OPTION]...\n"
			   "Forwards UDP datagrams between any number of clients and the server HOST:PORT,\n"
			   "through simulated weather.\n\n"
			   "  -l, --listen=ADDR:PORT  where clients send to; port 0 chooses one\n"
			   "  -t, --target=HOST:PORT  the server\n";

static const char more_help[] = "      --drop=1,3-5,c7,s9  lose these, counted from 1 by client and direction;\n"
				"                          c: only those from clients, s: only the server's\n"
				"      --seed=N            of the weather (default 1); the same seed and\n"
				"                          datagrams have the same fates\n"
				"  -v, --verbose           tell each datagram's fate, and its DTLS records\n"
				"  -h, --help              show this help\n"
				"  -V, --version           show the version\n\n"
				"P is a probability such as 0.2 or 20%. All of the weather applies to each\n"
				"direction on its own.\n"
				"SIGUSR1 prints the counters; SIGINT and SIGTERM end the relay, which then prints\n"
				"them, too.\n\n"
				"Example: dtls-relay -l 127.0.0.1:5685 -t 127.0.0.1:5684 --loss 20% --delay 50\n";

static void set_option(struct options *options, int option, char *value)
{
	switch (option) {
	case 'l':
		options->listen = value;
		break;
	case 't':
		options->target = value;
		break;
	case 'v':
		options->verbose = true;
		break;
	case OPTION_DROP:
		drops_add(&options->drops, "--drop", value);
		break;
	case OPTION_SEED:
		options->seed = (uint64_t)cli_number("--seed", value, 0, INT64_MAX);
		break;
	case 'h':
		printf("%s%s%s", help, cli_weather_help, more_help);
		exit(cli_finish(EXIT_SUCCESS));
	case 'V':
		cli_print_version();
		exit(cli_finish(EXIT_SUCCESS));
	case '?':
		exit(CLI_USAGE); /* getopt_long() has said why */
	default:
		cli_weather_option(&options->weather, option, value);
	}
}

static void parse(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {CLI_WEATHER_OPTIONS, {"listen", required_argument, NULL, 'l'},
	    {"target", required_argument, NULL, 't'}, {"drop", required_argument, NULL, OPTION_DROP},
	    {"seed", required_argument, NULL, OPTION_SEED}, {"verbose", no_argument, NULL, 'v'},
	    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};

	for (int option; (option = getopt_long(argc, argv, "l:t:vhV", known, NULL)) != -1;)
		set_option(options, option, optarg);
	if (optind < argc)
		cli_usage("unexpected argument \"%s\"; see dtls-relay --help", argv[optind]);
	if (options->listen == NULL || options->target == NULL)
		cli_usage("%s is missing; see dtls-relay --help",
		    options->listen == NULL ? "-l ADDR:PORT, the address that clients send to,"
					    : "-t HOST:PORT, the address of the server,");
	cli_weather_check(&options->weather);
}

int main(int argc, char **argv)
{
	static struct relay relay = {.options.seed = 1};

	parse(&relay.options, argc, argv);
	relay_open(&relay);
	while (!relay.stopping)
		run_once(&relay);
	print_summary(&relay);
	relay_close(&relay);
	return EXIT_SUCCESS;
}
