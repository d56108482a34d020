#include "lab_run.h"

#include "lab_certificate.h"
#include "lab_flights.h"

#include <stdlib.h>

enum { MESSAGE_MAX = 16384 };

static const char identity[] = "sensor-17", key[] = "0123456789abcdef";

struct party {
	struct run *run;
	enum direction direction; /* of what it sends */
	struct sim_host *host;
	unsigned sent_before; /* datagrams, before the handshake */
	struct lab_flights flights;
	struct lab_lane lane;
	uint64_t corrupted; /* datagrams */
	int64_t due_at; /* as it was told; -1: never */
};

struct lab {
	struct dtls_context *client, *server;
};

struct run {
	struct lab *lab;
	const struct lab_watch *watch;
	struct sim *sim;
	struct party parties[DIRECTIONS]; /* TO_SERVER: the client */
	struct dtls_conn *conn;
	struct dtls_endpoint *endpoint;
};

static const struct sockaddr_in addresses[DIRECTIONS] = {
    {.sin_family = AF_INET, .sin_port = 0x5c11, .sin_addr.s_addr = 0x0100000a},
    {.sin_family = AF_INET, .sin_port = 0x3416, .sin_addr.s_addr = 0x0200000a}};

/* ---- contexts ---- */

static void must(int status, const struct dtls_context *ctx)
{
	if (status != DTLS_OK)
		cli_usage("%s", dtls_context_error(ctx));
}

static bool uses_psk(const struct lab_setup *setup)
{
	return strstr(setup->suite, "PSK") != NULL;
}

static struct dtls_context *context_new(const struct lab_setup *setup, enum dtls_protocol protocol)
{
	struct dtls_context *ctx = dtls_context_new(protocol);

	if (ctx == NULL)
		cli_fail("%s", dtls_context_error(NULL));
	must(dtls_context_set_retransmit(ctx, setup->retransmit), ctx);
	must(dtls_context_set_retransmit_jitter(ctx, 0), ctx);
	must(dtls_context_set_handshake_timeout(ctx, setup->min_ms, setup->max_ms), ctx);
	must(dtls_context_set_mtu(ctx, setup->mtu), ctx);
	if (strcmp(setup->suite, "cert") != 0)
		must(dtls_context_set_ciphers(ctx, &setup->suite, 1), ctx);
	if (uses_psk(setup))
		must(dtls_context_set_psk(ctx, identity, sizeof(identity) - 1, key, sizeof(key) - 1), ctx);
	else if (protocol == PROTOCOL_DTLS_CLIENT)
		must(dtls_context_load_verify_data(ctx, lab_certificate, sizeof(lab_certificate) - 1), ctx);
	else
		must(dtls_context_load_cert_chain_data(
			 ctx, lab_certificate, sizeof(lab_certificate) - 1, lab_key, sizeof(lab_key) - 1),
		    ctx);
	return ctx;
}

struct lab *lab_new(const struct lab_setup *setup)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	if (lab == NULL)
		cli_fail("out of memory");
	if (strstr(setup->suite, "ECDSA") != NULL)
		cli_usage("the lab's certificate has an RSA key: no %s", setup->suite);
	lab->client = context_new(setup, PROTOCOL_DTLS_CLIENT);
	lab->server = context_new(setup, PROTOCOL_DTLS_SERVER);
	return lab;
}

void lab_free(struct lab *lab)
{
	dtls_context_free(lab->client);
	dtls_context_free(lab->server);
	free(lab);
}

/* ---- what happens, for the watch ---- */

/* The datagram that was just sent. */
static bool is_corrupted(struct party *p)
{
	uint64_t before = p->corrupted;
	struct sim_link_stats stats;

	sim_link_stats(sim_host_link(p->host), &stats);
	p->corrupted = stats.corrupted;
	return stats.corrupted > before;
}

static void saw_sent(void *arg, int64_t now_ms, const void *datagram, size_t len, int delivered)
{
	struct party *p = arg;
	const struct lab_watch *watch = p->run->watch;

	p->lane.datagrams++;
	p->lane.bytes += len;
	p->lane.lost += delivered == 0;
	lab_flights_sent(&p->flights, &p->run->parties[1 - p->direction].flights, now_ms, p->direction, datagram, len,
	    delivered > 0 && !is_corrupted(p));
	if (watch != NULL && watch->sent != NULL)
		watch->sent(watch->arg, now_ms, p->direction, datagram, len, delivered);
}

static void saw_event(void *arg, int64_t now_ms, const char *event)
{
	struct party *p = arg;

	p->run->watch->told(p->run->watch->arg, now_ms, p->direction, event);
}

static void saw_arrival(const struct run *run, enum direction direction, const void *datagram, ssize_t len)
{
	if (len >= 0 && run->watch != NULL && run->watch->arrived != NULL)
		run->watch->arrived(run->watch->arg, sim_now_ms(run->sim), direction, datagram, (size_t)len);
}

static void saw_failure(const struct run *run, enum direction direction, const char *sentence)
{
	if (run->watch != NULL && run->watch->failed != NULL)
		run->watch->failed(run->watch->arg, sim_now_ms(run->sim), direction, sentence);
}

static void look_at_timer(struct party *p, int due_ms)
{
	int64_t now_ms = sim_now_ms(p->run->sim), was = p->due_at;

	p->due_at = due_ms < 0 ? -1 : now_ms + due_ms;
	if (p->due_at != was && p->run->watch != NULL && p->run->watch->timer != NULL)
		p->run->watch->timer(p->run->watch->arg, now_ms, p->direction, due_ms);
}

static void watch_contexts(struct run *run)
{
	const struct lab_watch *watch = run->watch;
	struct dtls_context *contexts[DIRECTIONS] = {run->lab->client, run->lab->server};

	for (int d = 0; d < DIRECTIONS; d++) {
		dtls_context_set_clock(contexts[d], sim_now_ms, run->sim);
		dtls_context_set_trace(
		    contexts[d], watch != NULL && watch->told != NULL ? saw_event : NULL, &run->parties[d]);
	}
	dtls_context_set_keylog(
	    run->lab->client, watch == NULL ? NULL : watch->keylog, watch == NULL ? NULL : watch->arg);
}

/* ---- the network ---- */

static void change_weather(struct party *p, const void *datagram, size_t len)
{
	const struct lab_watch *watch = p->run->watch;
	const struct sim_weather *weather = NULL;

	if (watch != NULL && watch->weather != NULL)
		weather = watch->weather(watch->arg, p->direction, datagram, len);
	if (weather != NULL)
		sim_link_set_weather(sim_host_link(p->host), weather);
}

static ssize_t client_send(void *arg, const void *buf, size_t len)
{
	struct party *p = arg;

	change_weather(p, buf, len);
	return sim_host_send(p->host, (const struct sockaddr *)&addresses[TO_CLIENT], sizeof(addresses[0]), buf, len);
}

static ssize_t client_recv(void *arg, void *buf, size_t len)
{
	struct party *p = arg;
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t n = sim_host_recv(p->host, (struct sockaddr *)&from, &from_len, buf, len);

	saw_arrival(p->run, TO_CLIENT, buf, n);
	return n;
}

static ssize_t server_send(void *arg, const struct sockaddr *to, socklen_t to_len, const void *buf, size_t len)
{
	struct party *p = arg;

	change_weather(p, buf, len);
	return sim_host_send(p->host, to, to_len, buf, len);
}

static ssize_t server_recv(void *arg, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len)
{
	struct party *p = arg;
	ssize_t n = sim_host_recv(p->host, from, from_len, buf, len);

	saw_arrival(p->run, TO_SERVER, buf, n);
	return n;
}

static enum sim_fate decide(void *arg, unsigned nth, const void *datagram, size_t len)
{
	struct party *p = arg;

	return p->run->watch->decide[p->direction](p->run->watch->arg, nth - p->sent_before, datagram, len);
}

/* A link's weather begins between bursts, but a handshake is to meet it at any time: a datagram that is lost before it
 * begins leaves the link in a burst as often as any other does. */
static void enter_weather(struct party *p, const struct sim_weather *weather)
{
	const struct sim_weather first = {.loss = 1,
	    .burst_loss = 1,
	    .burst_enter = weather->burst_enter / (weather->burst_enter + weather->burst_leave)};

	if (weather->burst_enter == 0)
		return;
	sim_link_set_weather(sim_host_link(p->host), &first);
	sim_link_send(sim_host_link(p->host), "", 0);
	sim_link_set_weather(sim_host_link(p->host), weather);
	p->sent_before = 1;
}

static void open_network(struct run *run, const struct sim_weather *weather, uint64_t seed)
{
	run->sim = sim_new(seed);
	for (int d = 0; d < DIRECTIONS && run->sim != NULL; d++) {
		struct party *p = &run->parties[d];

		*p = (struct party){.run = run, .direction = (enum direction)d, .due_at = -1};
		p->host = sim_host_new(run->sim, (const struct sockaddr *)&addresses[d], sizeof(addresses[d]), weather);
		if (p->host == NULL)
			cli_fail("out of memory");
		enter_weather(p, weather);
		sim_link_tap(sim_host_link(p->host), saw_sent, p);
		if (run->watch != NULL && run->watch->decide[d] != NULL)
			sim_link_decide(sim_host_link(p->host), decide, p);
	}
	if (run->sim == NULL)
		cli_fail("out of memory");
}

/* ---- a run ---- */

static void open_sides(struct run *run)
{
	struct dtls_transport transport = {client_send, client_recv, &run->parties[TO_SERVER]};
	struct dtls_datagrams datagrams = {server_send, server_recv, &run->parties[TO_CLIENT]};

	run->conn = dtls_wrap_transport(run->lab->client, &transport);
	if (run->conn == NULL)
		cli_fail("%s", dtls_context_error(run->lab->client));
	if (dtls_context_verify_mode(run->lab->client) != CERT_NONE)
		dtls_conn_set_hostname(run->conn, "lab");
	run->endpoint = dtls_endpoint_new_transport(run->lab->server, &datagrams, NULL);
	if (run->endpoint == NULL)
		cli_fail("%s", dtls_context_error(run->lab->server));
}

static void serve(const struct run *run)
{
	char message[MESSAGE_MAX];
	struct dtls_peer *peer;
	ssize_t event;

	while ((event = dtls_endpoint_recv(run->endpoint, &peer, message, sizeof(message))) != DTLS_WANT_READ)
		if ((event == DTLS_FAIL || event == DTLS_TIMEDOUT) && peer != NULL)
			saw_failure(run, TO_CLIENT, dtls_peer_error(peer));
}

/* To the next arrival or timer; false when nothing will ever happen. */
static bool advance(struct run *run)
{
	int due[DIRECTIONS] = {dtls_conn_timeout(run->conn), dtls_endpoint_timeout(run->endpoint)};
	int64_t now_ms = sim_now_ms(run->sim), next_ms = sim_next_ms(run->sim);

	for (int d = 0; d < DIRECTIONS; d++) {
		look_at_timer(&run->parties[d], due[d]);
		if (due[d] >= 0 && now_ms + due[d] < next_ms)
			next_ms = now_ms + due[d];
	}
	if (next_ms == INT64_MAX)
		return false;
	sim_advance_to(run->sim, next_ms);
	return true;
}

static int connect_client(struct run *run)
{
	int status;

	do {
		status = dtls_conn_handshake(run->conn);
		serve(run);
	} while (status == DTLS_WANT_READ && advance(run));
	if (status != DTLS_OK)
		saw_failure(run, TO_SERVER, dtls_conn_error(run->conn));
	return status;
}

/* A client that has failed takes no more: its datagrams go to nobody. */
static void outlive_client(struct run *run, bool connected)
{
	char message[MESSAGE_MAX];

	do {
		connected = connected && dtls_conn_read(run->conn, message, sizeof(message)) == DTLS_WANT_READ;
		while (!connected && client_recv(&run->parties[TO_SERVER], message, sizeof(message)) >= 0)
			continue;
		serve(run);
	} while (advance(run));
}

struct lab_result lab_run(
    struct lab *lab, const struct sim_weather *weather, uint64_t seed, const struct lab_watch *watch)
{
	struct run run = {.lab = lab, .watch = watch};
	struct lab_result result;

	open_network(&run, weather, seed);
	watch_contexts(&run);
	open_sides(&run);
	result.connected = connect_client(&run) == DTLS_OK;
	result.ms = sim_now_ms(run.sim);
	for (int d = 0; d < DIRECTIONS; d++) {
		struct party *p = &run.parties[d];

		lab_flights_end(&p->flights);
		result.lanes[d] = p->lane;
		result.lanes[d].retransmissions = p->flights.retransmissions;
		result.lanes[d].spurious = p->flights.spurious;
	}
	if (watch != NULL && watch->stays)
		outlive_client(&run, result.connected);
	dtls_conn_free(run.conn);
	dtls_endpoint_free(run.endpoint);
	sim_free(run.sim);
	return result;
}
