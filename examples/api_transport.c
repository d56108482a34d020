/* api-transport - a client and a server that talk over a transport of the program's own: here simulated links that
 * lose one datagram in five, in virtual time: seconds pass in no time, and each seed tells the same story.
 * Usage: api-transport [SEED] */
#include <dtls/dtls.h>
#include <dtls/sim.h>

#include <stdio.h>
#include <stdlib.h>

struct pipe { /* one side's view of the two links */
	struct sim_link *out, *in;
};

static ssize_t pipe_send(void *arg, const void *buf, size_t len)
{
	return sim_link_send(((struct pipe *)arg)->out, buf, len);
}

static ssize_t pipe_recv(void *arg, void *buf, size_t len)
{
	return sim_link_recv(((struct pipe *)arg)->in, buf, len);
}

static void tell(void *arg, int64_t now_ms, const char *event)
{
	printf("%6lld ms  %s: %s\n", (long long)now_ms, (const char *)arg, event);
}

static struct dtls_conn *side(enum dtls_protocol protocol, const char *name, struct sim *sim, struct pipe *pipe)
{
	struct dtls_transport transport = {pipe_send, pipe_recv, pipe};
	struct dtls_context *ctx = dtls_context_new(protocol);
	struct dtls_conn *c;

	dtls_context_set_clock(ctx, sim_now_ms, sim);
	dtls_context_set_retransmit_jitter(ctx, 0);
	dtls_context_set_trace(ctx, tell, (void *)name);
	dtls_context_set_psk(ctx, "sensor-17", 9, "0123456789abcdef", 16);
	c = dtls_wrap_transport(ctx, &transport);
	if (protocol == PROTOCOL_DTLS_SERVER)
		dtls_conn_set_client_id(c, "the far end", 11); /* what cookies are bound to: an address, say */
	dtls_context_free(ctx); /* the connection has its own reference */
	return c;
}

static int64_t earlier(int64_t at_ms, const struct dtls_conn *c, int64_t now_ms)
{
	int ms = dtls_conn_timeout(c);

	return ms >= 0 && now_ms + ms < at_ms ? now_ms + ms : at_ms;
}

int main(int argc, char **argv)
{
	struct sim *sim = sim_new(argc > 1 ? strtoull(argv[1], NULL, 10) : 1);
	struct sim_weather weather = {.latency_ms = 50, .loss = 0.2};
	struct sim_link *up = sim_link_new(sim, &weather), *down = sim_link_new(sim, &weather);
	struct pipe client_end = {.out = up, .in = down}, server_end = {.out = down, .in = up};
	struct dtls_conn *client = side(PROTOCOL_DTLS_CLIENT, "client", sim, &client_end);
	struct dtls_conn *server = side(PROTOCOL_DTLS_SERVER, "server", sim, &server_end);
	char message[100];
	ssize_t n = DTLS_FAIL;

	/* Serve both ends, then let time pass until something arrives or a timer is due. Reading is what resends the
	 * server's last flight, should it get lost. */
	while (dtls_conn_handshake(client) == DTLS_WANT_READ && dtls_conn_read(server, message, 1) == DTLS_WANT_READ) {
		int64_t now_ms = sim_now_ms(sim);

		sim_advance_to(sim, earlier(earlier(sim_next_ms(sim), client, now_ms), server, now_ms));
	}
	sim_link_set_weather(up, NULL); /* the sun comes out: what is written now arrives */
	if (dtls_conn_write(client, "21.4 degrees", 12) == 12)
		n = dtls_conn_read(server, message, sizeof(message));
	printf("%6lld ms  server: read \"%.*s\"\n", (long long)sim_now_ms(sim), n > 0 ? (int)n : 0, message);
	dtls_conn_free(client);
	dtls_conn_free(server);
	sim_free(sim);
	return n == 12 ? EXIT_SUCCESS : EXIT_FAILURE;
}
