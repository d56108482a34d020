/* What does a client save the server that comes back, and by which way: session ticket or session id? Server's calls
 * only, through the endpoint and its gate, cookie included, without what the clock takes; beside a full handshake of a
 * context without resumption. */
#include "bench.h"
#include "plain.h"

#include <arpa/inet.h>
#include <dtls/dtls.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIFETIME_MS = 3600000, STEPS_MAX = 20, SAVED_MAX = 4096 };

/* Everybody has this key: it guards nothing. */
static const char certificate[] = ""
				  "-----BEGIN CERTIFICATE-----\n"
				  "MIIBdjCCAR2gAwIBAgIUG1MK9BUgUsCdMwSxn2RYi73rbmwwCgYIKoZIzj0EAwIw\n"
				  "EDEOMAwGA1UEAwwFYmVuY2gwIBcNMjYxMTIxMTg0NzE5WhgPMjEyNjEwMjgxODQ3\n"
				  "MTlaMBAxDjAMBgNVBAMMBWJlbmNoMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
				  "jyw40a0P8AQBZFaigY6p8bYx9/EXsHJ6GoYqjRnhso70UT/QHmSXIbzHhWMAxzH2\n"
				  "hpkjBbbJSPDOD5Lr1KRHOKNTMFEwHQYDVR0OBBYEFOSlvAjpQHlfE0V5jGeiMZVA\n"
				  "45uJMB8GA1UdIwQYMBaAFOSlvAjpQHlfE0V5jGeiMZVA45uJMA8GA1UdEwEB/wQF\n"
				  "MAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgLQ+r63JnRmgXNUOutcyeGxABmVHib8js\n"
				  "xBMqDkU2TecCICm4nvp59K2CAf5mQOg06nC4nelFEt63UtGSUhTQrIjM\n"
				  "-----END CERTIFICATE-----\n";
static const char key[] = ""
			  "-----BEGIN PRIVATE KEY-----\n"
			  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXLfAXI0pXX601DLG\n"
			  "HMkhkZga0VCrkC4g05hwtuPGaVmhRANCAASPLDjRrQ/wBAFkVqKBjqnxtjH38Rew\n"
			  "cnoahiqNGeGyjvRRP9AeZJchvMeFYwDHMfaGmSMFtslI8M4PkuvUpEc4\n"
			  "-----END PRIVATE KEY-----\n";

enum way { FULL, TICKET, ID, WAYS };

struct kind { /* of handshake */
	const char *name, *suite;
	bool by_certificate;
	int turns, handshakes; /* a run alternates between the ways in short turns: all meet the same disturbances */
};

struct lane {
	struct plain_queue to_server, to_client;
	struct sockaddr_in addr;
	struct dtls_context *client, *server;
	struct dtls_endpoint *ep;
	uint8_t saved[SAVED_MAX];
	size_t saved_len;
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_resume: %s\n", what);
	exit(1);
}

/* What two looks at the clock take: a few per cent of what is measured. */
static uint64_t clock_ns;

static void measure_the_clock(void)
{
	struct bench looks = {0};

	for (int run = 0; run < BENCH_RUNS; run++) {
		uint64_t start = bench_now_ns();

		for (int i = 0; i < 10000; i++)
			bench_now_ns();
		bench_add(&looks, (double)(bench_now_ns() - start) / 10001);
	}
	clock_ns = (uint64_t)bench_median(&looks);
}

/* ---- both sides' datagrams ---- */

static ssize_t client_send(void *lane, const void *buf, size_t len)
{
	plain_put(&((struct lane *)lane)->to_server, buf, len);
	return (ssize_t)len;
}

static ssize_t client_recv(void *lane, void *buf, size_t len)
{
	int n = plain_take(&((struct lane *)lane)->to_client, buf, len);

	return n < 0 ? DTLS_WANT_READ : n;
}

static ssize_t endpoint_send(void *lane, const struct sockaddr *to, socklen_t to_len, const void *buf, size_t len)
{
	(void)to, (void)to_len;
	plain_put(&((struct lane *)lane)->to_client, buf, len);
	return (ssize_t)len;
}

static ssize_t endpoint_recv(void *arg, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len)
{
	struct lane *lane = arg;
	int n = plain_take(&lane->to_server, buf, len);

	if (n < 0)
		return DTLS_WANT_READ;
	memcpy(from, &lane->addr, sizeof(lane->addr));
	*from_len = sizeof(lane->addr);
	return n;
}

/* ---- one handshake ---- */

/* Runs the endpoint dry; the peer that connected, if one did. */
static struct dtls_peer *serve(struct dtls_endpoint *ep, uint64_t *spent)
{
	struct dtls_peer *peer, *connected = NULL;
	uint64_t start = bench_now_ns();
	uint8_t buf[64];
	ssize_t event;

	while ((event = dtls_endpoint_recv(ep, &peer, buf, sizeof(buf))) != DTLS_WANT_READ) {
		must(event == DTLS_CONNECTED, "a handshake failed");
		connected = peer;
	}
	*spent += bench_now_ns() - start - clock_ns;
	return connected;
}

static struct dtls_conn *begin(struct lane *lane, enum way way, bool resume)
{
	struct dtls_transport transport = {client_send, client_recv, lane};
	struct dtls_conn *client = dtls_wrap_transport(lane->client, &transport);

	must(client != NULL, dtls_context_error(lane->client));
	if (way != FULL && resume)
		must(dtls_conn_session_load(client, lane->saved, lane->saved_len) == DTLS_OK, dtls_conn_error(client));
	return client;
}

/* CPU time of the server. */
static uint64_t handshake(struct lane *lane, enum way way, bool resume)
{
	struct dtls_conn *client = begin(lane, way, resume);
	struct dtls_peer *peer = NULL;
	uint64_t spent = 0;
	int status = DTLS_WANT_READ;

	for (int n = 0; n < STEPS_MAX && (status != DTLS_OK || peer == NULL); n++) {
		if (status != DTLS_OK)
			status = dtls_conn_handshake(client);
		if (peer == NULL)
			peer = serve(lane->ep, &spent);
	}
	must(status == DTLS_OK && peer != NULL, "a handshake was not done");
	must(dtls_peer_resumed(peer) == (way != FULL && resume), "a handshake was of the other kind");
	if (way != FULL && !resume)
		must(dtls_conn_session_save(client, lane->saved, sizeof(lane->saved), &lane->saved_len) == DTLS_OK,
		    dtls_conn_error(client));
	dtls_peer_close(peer);
	dtls_conn_free(client);
	lane->to_client.head = lane->to_client.tail;
	lane->addr.sin_port = htons((uint16_t)(1024 + ntohs(lane->addr.sin_port) % 60000));
	return spent;
}

/* ---- the sides ---- */

static struct dtls_context *context(const struct kind *kind, enum dtls_protocol protocol)
{
	struct dtls_context *ctx = dtls_context_new(protocol);

	must(ctx != NULL && dtls_context_set_ciphers(ctx, &kind->suite, 1) == DTLS_OK, "no context");
	if (!kind->by_certificate)
		must(dtls_context_set_psk(ctx, plain_identity, strlen(plain_identity), plain_key, strlen(plain_key)) ==
			 DTLS_OK,
		    "no key");
	else if (protocol == PROTOCOL_DTLS_SERVER)
		must(dtls_context_load_cert_chain_data(
			 ctx, certificate, sizeof(certificate) - 1, key, sizeof(key) - 1) == DTLS_OK,
		    dtls_context_error(ctx));
	else
		must(dtls_context_set_verify_mode(ctx, CERT_NONE) == DTLS_OK, "no mode");
	return ctx;
}

static void lane_open(struct lane *lane, const struct kind *kind, enum way way)
{
	struct dtls_datagrams datagrams = {endpoint_send, endpoint_recv, lane};

	memset(lane, 0, sizeof(*lane));
	lane->addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000207)};
	lane->client = context(kind, PROTOCOL_DTLS_CLIENT);
	lane->server = context(kind, PROTOCOL_DTLS_SERVER);
	if (way != FULL)
		must(dtls_context_set_resumption(lane->server, LIFETIME_MS, way == ID ? 1000 : 0) == DTLS_OK &&
			 dtls_context_set_session_tickets(lane->client, way == TICKET) == DTLS_OK,
		    "no resumption");
	lane->ep = dtls_endpoint_new_transport(lane->server, &datagrams, NULL);
	must(lane->ep != NULL, dtls_context_error(lane->server));
	handshake(lane, way, false);
}

static void lane_close(struct lane *lane)
{
	dtls_endpoint_free(lane->ep);
	dtls_context_free(lane->client);
	dtls_context_free(lane->server);
}

static int compare(const struct kind *kind)
{
	static struct lane lanes[WAYS];
	struct bench results[WAYS] = {0};
	double ns[WAYS];

	for (enum way way = FULL; way < WAYS; way++)
		lane_open(&lanes[way], kind, way);
	for (int run = 0; run < BENCH_RUNS; run++) {
		memset(ns, 0, sizeof(ns));
		for (int turn = 0; turn < kind->turns; turn++)
			for (enum way way = FULL; way < WAYS; way++)
				for (int i = 0; i < kind->handshakes; i++)
					ns[way] += (double)handshake(&lanes[way], way, true);
		for (enum way way = FULL; way < WAYS; way++)
			bench_add(&results[way], ns[way] / kind->turns / kind->handshakes);
	}
	for (enum way way = FULL; way < WAYS; way++)
		lane_close(&lanes[way]);
	printf(
	    "%s, cookie included, server side through the endpoint, mbed TLS %s\n", kind->name, dtls_mbedtls_version());
	bench_print("full", &results[FULL]);
	bench_print("resumed by ticket", &results[TICKET]);
	bench_print("resumed by session id", &results[ID]);
	return bench_ratio("by ticket / full", &results[TICKET], &results[FULL], 0.90) |
	       bench_ratio("by session id / full", &results[ID], &results[FULL], 0.90);
}

int main(void)
{
	static const struct kind kinds[] = {{"PSK-AES128-CCM-8", "TLS-PSK-WITH-AES-128-CCM-8", false, 20, 50},
	    {"ECDHE-ECDSA-AES128-CCM-8", "TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8", true, 5, 4}};
	int failed = 0;

	bench_pin();
	measure_the_clock();
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		failed |= compare(&kinds[i]);
	return failed;
}
