#include "net.h"

#include "dtls/record.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS_MAX = 1000 }; /* at one instant */

static const struct sim_weather weather = {.latency_ms = NET_LATENCY_MS};

int64_t net_now(const struct net *n)
{
	return sim_now_ms(n->sim);
}

struct sockaddr_in net_address(unsigned host, unsigned port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	addr.sin_addr.s_addr = htonl(0x0a000000U + host);
	return addr;
}

static bool same_address(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
	return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}

const char *net_key(const char *identity)
{
	return strcmp(identity, NET_OTHER) == 0 ? "fedcba9876543210" : "0123456789abcdef";
}

/* ---- the endpoint's side ---- */

static void keep(struct datagram *d, const void *buf, size_t len)
{
	ck_assert_uint_le(len, sizeof(d->bytes));
	memcpy(d->bytes, buf, len);
	d->len = len;
}

static ssize_t endpoint_sends(void *arg, const struct sockaddr *to, socklen_t to_len, const void *buf, size_t len)
{
	struct net *n = arg;
	struct sockaddr_in in;
	struct datagram d;
	ssize_t verdict;

	ck_assert_uint_eq(to_len, sizeof(in));
	memcpy(&in, to, sizeof(in));
	keep(&d, buf, len);
	verdict = n->on_send == NULL ? 0 : n->on_send(n, &in, &d);
	if (verdict != 0)
		return verdict;
	n->out = d;
	n->out_to = in;
	n->out_count++;
	n->out_alerts += d.bytes[0] == RECORD_ALERT && get_16(d.bytes + 3) == 0;
	return sim_host_send(n->host, to, to_len, buf, len);
}

static ssize_t take_injected(struct net *n, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len)
{
	size_t fits = n->injected_len < len ? n->injected_len : len;

	ck_assert_uint_ge(*from_len, n->injected_from_len);
	memcpy(from, &n->injected_from, n->injected_from_len);
	*from_len = n->injected_from_len;
	if (fits > 0)
		memcpy(buf, n->injected, fits);
	n->injected = NULL;
	return (ssize_t)fits;
}

static ssize_t endpoint_receives(void *arg, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len)
{
	struct net *n = arg;
	ssize_t got = n->injected != NULL ? take_injected(n, from, from_len, buf, len)
					  : sim_host_recv(n->host, from, from_len, buf, len);
	struct sockaddr_in in;

	if (n->on_receive == NULL)
		return got;
	memcpy(&in, from, sizeof(in));
	n->on_receive(n, got == DTLS_WANT_READ ? NULL : &in);
	return got;
}

static struct client *client_at(const struct net *n, const struct sockaddr_in *addr)
{
	struct client *c = n->clients;

	while (c != NULL && !same_address(&c->addr, addr))
		c = c->next;
	return c;
}

static bool is_end(ssize_t what)
{
	return what == DTLS_CLOSED || what == DTLS_FAIL || what == DTLS_TIMEDOUT;
}

static const struct net_event *note_event(struct net *n, struct dtls_peer *peer, ssize_t what, const char *buf)
{
	struct net_event *e = &n->events[n->event_count++];
	socklen_t addr_len;
	struct sockaddr_in addr;

	ck_assert_uint_le(n->event_count, NET_EVENTS);
	ck_assert_msg(peer != NULL, "the endpoint failed: %s", dtls_endpoint_error(n->ep));
	memcpy(&addr, dtls_peer_addr(peer, &addr_len), sizeof(addr));
	*e = (struct net_event){.at_ms = net_now(n),
	    .what = what,
	    .peer = peer,
	    .client = client_at(n, &addr),
	    .generation = dtls_peer_generation(peer),
	    .reason = is_end(what) ? (int)dtls_peer_reason(peer) : -1};
	if (what > 0)
		snprintf(e->text, sizeof(e->text), "%.*s", (int)what, buf);
	else
		snprintf(e->text, sizeof(e->text), "%s", dtls_peer_error(peer));
	return e;
}

void net_serve(struct net *n)
{
	struct dtls_peer *peer;
	char buf[2048];
	ssize_t what;

	while ((what = dtls_endpoint_recv(n->ep, &peer, buf, sizeof(buf))) != DTLS_WANT_READ) {
		const struct net_event *e = note_event(n, peer, what, buf);

		if (n->on_event != NULL)
			n->on_event(n, e);
		else if (what > 0 && n->echo)
			ck_assert_int_eq(dtls_peer_send(peer, buf, (size_t)what), what);
	}
}

void net_inject_from(struct net *n, const struct sockaddr *from, socklen_t from_len, const void *bytes, size_t len)
{
	memcpy(&n->injected_from, from, from_len);
	n->injected_from_len = from_len;
	n->injected = bytes;
	n->injected_len = len;
	net_serve(n);
	ck_assert_ptr_null(n->injected);
}

void net_inject(struct net *n, const struct sockaddr_in *from, const void *bytes, size_t len)
{
	net_inject_from(n, (const struct sockaddr *)from, sizeof(*from), bytes, len);
}

/* ---- the clients ---- */

static ssize_t client_sends(void *arg, const void *buf, size_t len)
{
	struct client *c = arg;

	if (c->sent_count < NET_KEPT)
		keep(&c->sent[c->sent_count++], buf, len);
	return sim_host_send(c->host, (struct sockaddr *)&c->net->addr, sizeof(c->net->addr), buf, len);
}

static ssize_t take(struct client *c, void *buf, size_t len)
{
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);

	return sim_host_recv(c->host, (struct sockaddr *)&from, &from_len, buf, len);
}

static ssize_t client_receives(void *arg, void *buf, size_t len)
{
	struct client *c = arg;
	size_t n = c->input.len;

	if (n == 0)
		return take(c, buf, len);
	ck_assert_uint_ge(len, n);
	memcpy(buf, c->input.bytes, n);
	c->input.len = 0;
	return (ssize_t)n;
}

static void client_ended(struct client *c, int status)
{
	if (status == DTLS_WANT_READ || c->status == status)
		return;
	c->status = status;
	c->done_at = net_now(c->net);
}

static void client_serve(struct client *c)
{
	char buf[2048];
	ssize_t n = 0;
	int ms;

	if (c->status == DTLS_WANT_READ)
		client_ended(c, dtls_conn_handshake(c->conn));
	while (c->status == DTLS_OK && (n = dtls_conn_read(c->conn, buf, sizeof(buf))) > 0) {
		snprintf(c->last, sizeof(c->last), "%.*s", (int)n, buf);
		c->messages++;
	}
	if (n < 0)
		client_ended(c, (int)n);
	ms = dtls_conn_timeout(c->conn);
	c->due_at = is_end(c->status) || ms < 0 ? INT64_MAX : net_now(c->net) + ms;
}

/* A client that has nothing to do is not called: there may be hundreds. */
static bool client_has_work(struct client *c)
{
	ssize_t n = c->input.len > 0 ? 0 : take(c, c->input.bytes, sizeof(c->input.bytes));

	if (n > 0)
		c->input.len = (size_t)n;
	return c->input.len > 0 || c->due_at <= net_now(c->net);
}

static void start(struct client *c, struct dtls_context *ctx)
{
	struct dtls_transport transport = {client_sends, client_receives, c};

	if (ctx == NULL)
		ctx = c->net->client_ctx;
	c->conn = dtls_wrap_transport(ctx, &transport);
	ck_assert_msg(c->conn != NULL, "%s", dtls_context_error(ctx));
	c->status = DTLS_WANT_READ;
	c->due_at = net_now(c->net);
	c->sent_count = 0;
}

struct client *client_new(struct net *n, unsigned host, unsigned port, struct dtls_context *ctx)
{
	struct client *c = calloc(1, sizeof(*c));

	ck_assert_ptr_nonnull(c);
	c->net = n;
	c->addr = net_address(host, port);
	c->host = sim_host_new(n->sim, (struct sockaddr *)&c->addr, sizeof(c->addr), &weather);
	ck_assert_ptr_nonnull(c->host);
	c->next = n->clients;
	n->clients = c;
	start(c, ctx);
	return c;
}

struct client *client_connected(struct net *n, unsigned host, unsigned port, struct dtls_context *ctx)
{
	struct client *c = client_new(n, host, port, ctx);

	net_run(n, net_now(n) + 6 * NET_LATENCY_MS);
	ck_assert_msg(c->status == DTLS_OK, "status %d: %s", c->status, dtls_conn_error(c->conn));
	return c;
}

struct dtls_conn *client_swap(struct client *c, struct dtls_context *ctx)
{
	struct dtls_conn *old = c->conn;

	start(c, ctx);
	return old;
}

void client_reboot(struct client *c, struct dtls_context *ctx)
{
	dtls_conn_free(client_swap(c, ctx));
}

void client_send(struct client *c, const char *text)
{
	ck_assert_int_eq(dtls_conn_write(c->conn, text, strlen(text)), (ssize_t)strlen(text));
}

void client_echoes(struct client *c, const char *text)
{
	unsigned before = c->messages;

	client_send(c, text);
	net_run(c->net, net_now(c->net) + 2 * NET_LATENCY_MS);
	ck_assert_msg(c->messages == before + 1, "no echo of \"%s\"", text);
	ck_assert_str_eq(c->last, text);
}

struct dtls_peer *client_peer(const struct client *c)
{
	const struct net *n = c->net;

	for (unsigned i = n->event_count; i > 0; i--)
		if (n->events[i - 1].what == DTLS_CONNECTED && n->events[i - 1].client == c)
			return n->events[i - 1].peer;
	ck_abort_msg("the client never connected");
	return NULL;
}

const struct datagram *client_hello(const struct client *c, bool cookie)
{
	for (unsigned i = 0; i < c->sent_count; i++) {
		const uint8_t *bytes = c->sent[i].bytes, *session_id = bytes + NET_HELLO_RANDOM_AT + 32;

		if (bytes[13] == MESSAGE_CLIENT_HELLO && (session_id[1 + session_id[0]] != 0) == cookie)
			return &c->sent[i];
	}
	ck_abort_msg("the client sent no such hello");
	return NULL;
}

/* ---- the world ---- */

static int64_t next_at(const struct net *n)
{
	int ms = dtls_endpoint_timeout(n->ep);
	int64_t at = sim_next_ms(n->sim);

	if (ms >= 0 && net_now(n) + ms < at)
		at = net_now(n) + ms;
	for (const struct client *c = n->clients; c != NULL; c = c->next)
		if (!c->frozen && c->due_at < at)
			at = c->due_at;
	return at;
}

/* What comes to a host that is down, or to an ended connection, is lost. */
static void forget_arrivals(struct client *c)
{
	c->input.len = 0;
	while (take(c, c->input.bytes, sizeof(c->input.bytes)) != DTLS_WANT_READ)
		;
}

static void serve_all(struct net *n)
{
	net_serve(n);
	for (struct client *c = n->clients; c != NULL; c = c->next) {
		if (c->frozen || is_end(c->status))
			forget_arrivals(c);
		else if (client_has_work(c))
			client_serve(c);
	}
}

void net_settle(struct net *n, int64_t until_ms)
{
	int64_t at;

	for (int rounds = 0; rounds < ROUNDS_MAX; rounds++) {
		serve_all(n);
		at = next_at(n);
		if (at > until_ms)
			return;
		if (at > net_now(n))
			rounds = 0;
		sim_advance_to(n->sim, at);
	}
	ck_abort_msg(
	    "the clock stands still at %lld ms: somebody asks to be called, and does nothing", (long long)net_now(n));
}

void net_run(struct net *n, int64_t until_ms)
{
	net_settle(n, until_ms);
	sim_advance_to(n->sim, until_ms);
}

static struct dtls_context *context_new(const struct net *n, enum dtls_protocol protocol)
{
	struct dtls_context *ctx = dtls_context_new(protocol);

	ck_assert_ptr_nonnull(ctx);
	ck_assert_int_eq(dtls_context_set_clock(ctx, sim_now_ms, n->sim), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_retransmit(ctx, DTLS_RETRANSMIT_FIXED), DTLS_OK);
	return ctx;
}

struct dtls_context *net_client_context(struct net *n, const char *identity, const char *key)
{
	static const char *const quick[] = {"TLS_PSK_WITH_AES_128_CCM_8"}; /* there may be hundreds of clients */
	struct dtls_context *ctx = context_new(n, PROTOCOL_DTLS_CLIENT);

	ck_assert_int_eq(dtls_context_set_ciphers(ctx, quick, 1), DTLS_OK);
	if (key == NULL)
		key = net_key(identity);
	ck_assert_int_eq(dtls_context_set_psk(ctx, identity, strlen(identity), key, 16), DTLS_OK);
	return ctx;
}

struct net *net_new(uint64_t seed, const struct dtls_limits *limits)
{
	struct net *n = calloc(1, sizeof(*n));
	struct dtls_datagrams datagrams = {endpoint_sends, endpoint_receives, n};

	ck_assert_ptr_nonnull(n);
	n->echo = true;
	n->sim = sim_new(seed);
	ck_assert_ptr_nonnull(n->sim);
	n->addr = net_address(1, 5684);
	n->host = sim_host_new(n->sim, (struct sockaddr *)&n->addr, sizeof(n->addr), &weather);
	ck_assert_ptr_nonnull(n->host);
	n->server_ctx = context_new(n, PROTOCOL_DTLS_SERVER);
	dtls_context_add_psk(n->server_ctx, NET_IDENTITY, strlen(NET_IDENTITY), net_key(NET_IDENTITY), 16);
	dtls_context_add_psk(n->server_ctx, NET_OTHER, strlen(NET_OTHER), net_key(NET_OTHER), 16);
	n->client_ctx = net_client_context(n, NET_IDENTITY, NULL);
	n->ep = dtls_endpoint_new_transport(n->server_ctx, &datagrams, limits);
	ck_assert_msg(n->ep != NULL, "%s", dtls_context_error(n->server_ctx));
	return n;
}

void net_free(struct net *n)
{
	while (n->clients != NULL) {
		struct client *c = n->clients;

		n->clients = c->next;
		dtls_conn_free(c->conn);
		free(c);
	}
	dtls_endpoint_free(n->ep);
	dtls_context_free(n->server_ctx);
	dtls_context_free(n->client_ctx);
	sim_free(n->sim);
	free(n);
}

struct dtls_stats net_stats(const struct net *n)
{
	struct dtls_stats stats = {.size = sizeof(stats)};

	ck_assert_int_eq(dtls_endpoint_stats(n->ep, &stats), DTLS_OK);
	return stats;
}

/* ---- what happened ---- */

static const struct net_event *find_event(const struct net *n, unsigned nth)
{
	for (unsigned i = 0; i < n->event_count; i++)
		if (n->events[i].what < 0 && nth-- == 0)
			return &n->events[i];
	return NULL;
}

const struct net_event *net_event(const struct net *n, unsigned nth)
{
	const struct net_event *e = find_event(n, nth);

	ck_assert_msg(e != NULL, "there is no event %u", nth);
	return e;
}

unsigned net_count(const struct net *n, ssize_t what)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n->event_count; i++)
		count += n->events[i].what == what || (what > 0 && n->events[i].what > 0);
	return count;
}

void net_expect(const struct net *n, unsigned nth, const int *statuses)
{
	for (; *statuses != 0; statuses++, nth++) {
		const struct net_event *e = net_event(n, nth);

		ck_assert_msg(e->what == *statuses, "event %u is %zd (%s), not %d", nth, e->what, e->text, *statuses);
	}
	ck_assert_msg(find_event(n, nth) == NULL, "event %u is one too many", nth);
}
