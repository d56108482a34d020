/* fork(): the child gets fresh randomness and none of the sessions; the parent keeps them. */
#include "net.h"
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RANDOM = 28 }; /* without the time that some write into the first four bytes */

static uint8_t told[64]; /* what the child had to say */

/* Runs this in a child, where a failed assertion ends it with another status. */
static void in_child(struct net *n, void (*child)(struct net *))
{
	int fds[2], status;
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		child(n);
		_exit(write(fds[1], told, sizeof(told)) == sizeof(told) ? 0 : 2);
	}
	close(fds[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child failed: status %#x", (unsigned)status);
	ck_assert_int_eq(read(fds[0], told, sizeof(told)), sizeof(told));
	close(fds[0]);
}

/* Two sessions and an unfinished handshake. */
static struct net *three_peers(const struct dtls_limits *limits)
{
	struct net *n = net_new(1, limits);

	client_connected(n, 2, 1, NULL);
	client_connected(n, 3, 1, NULL);
	client_new(n, 4, 1, NULL);
	net_run(n, 310);
	n->clients->frozen = true;
	ck_assert_uint_eq(net_stats(n).peers, 2);
	ck_assert_uint_eq(net_stats(n).handshakes, 1);
	return n;
}

static void assert_parent_goes_on(struct net *n)
{
	n->clients->frozen = false;
	client_echoes(n->clients->next, "undisturbed");
	client_echoes(n->clients->next->next, "undisturbed");
	net_run(n, 2000);
	ck_assert_int_eq(n->clients->status, DTLS_OK);
	ck_assert_uint_eq(net_stats(n).closed_error, 0);
}

static void peers_end(struct net *n)
{
	uint64_t out = n->out_count;

	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 0);
	net_serve(n);
	ck_assert_uint_eq(n->out_count, out);
	NET_EXPECT(n, 2, DTLS_FAIL, DTLS_FAIL);
	for (unsigned i = 2; i < 4; i++) {
		ck_assert_int_eq(net_event(n, i)->reason, DTLS_REASON_ERROR);
		ck_assert_msg(strstr(net_event(n, i)->text, "fork") != NULL, "%s", net_event(n, i)->text);
	}
	ck_assert_uint_eq(net_stats(n).peers, 0);
	ck_assert_uint_eq(net_stats(n).handshakes, 0);
	ck_assert_uint_eq(net_stats(n).closed_error, 2);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), -1);
}

START_TEST(fork_ends_the_peers_in_the_child)
{
	struct net *n = three_peers(NULL);

	in_child(n, peers_end);
	assert_parent_goes_on(n);
	net_free(n);
}
END_TEST

/* A record from the child would use the parent's next nonce: not one may leave, whatever is called first. */
static void nothing_leaves(struct net *n)
{
	struct dtls_peer *peer = client_peer(n->clients->next);
	uint64_t out = n->out_count;

	ck_assert_int_eq(dtls_peer_send(peer, "x", 1), DTLS_FAIL);
	ck_assert_uint_eq(n->out_count, out);
	dtls_peer_close(peer);
	ck_assert_uint_eq(n->out_count, out);
	sim_advance_to(n->sim, 100000);
	dtls_endpoint_handle_timeout(n->ep);
	ck_assert_uint_eq(n->out_count, out);
	ck_assert_int_eq(dtls_endpoint_flush(n->ep), DTLS_OK);
	ck_assert_uint_eq(n->out_count, out);
}

static void revoking_is_silent(struct net *n)
{
	uint64_t out = n->out_count;

	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, NET_IDENTITY, strlen(NET_IDENTITY)), 0);
	ck_assert_uint_eq(n->out_count, out);
	net_serve(n);
	NET_EXPECT(n, 2, DTLS_FAIL, DTLS_FAIL);
	ck_assert_uint_eq(n->out_count, out);
}

static void closing_is_silent(struct net *n)
{
	uint64_t out = n->out_count;

	while (dtls_endpoint_close(n->ep) == DTLS_WANT_READ)
		;
	ck_assert_uint_eq(n->out_count, out);
	ck_assert_uint_eq(net_stats(n).peers, 0);
}

static ssize_t send_waits(struct net *n, const struct sockaddr_in *to, const struct datagram *d)
{
	(void)n, (void)to, (void)d;
	return DTLS_WANT_WRITE;
}

/* What waited at the fork is the parent's to send. */
static void waiting_output_stays(struct net *n)
{
	uint64_t out = n->out_count;

	n->on_send = NULL;
	ck_assert_int_eq(dtls_endpoint_flush(n->ep), DTLS_OK);
	ck_assert_uint_eq(n->out_count, out);
}

START_TEST(fork_child_sends_nothing_for_the_peers)
{
	struct net *n = three_peers(&(struct dtls_limits){.idle_ms = 50000});

	in_child(n, nothing_leaves);
	in_child(n, revoking_is_silent);
	in_child(n, closing_is_silent);
	n->on_send = send_waits;
	ck_assert_int_eq(dtls_peer_send(client_peer(n->clients->next), "once", 4), 4);
	in_child(n, waiting_output_stays);
	n->on_send = NULL;
	net_run(n, net_now(n) + NET_LATENCY_MS);
	ck_assert_uint_eq(n->clients->next->messages, 1);
	assert_parent_goes_on(n);
	net_free(n);
}
END_TEST

/* ---- connections */

static void conns_fail(struct net *n)
{
	struct dtls_conn *conn = n->clients->next->conn;
	struct sim_link_stats before, after;
	char buf[8];

	sim_link_stats(sim_host_link(n->clients->next->host), &before);
	ck_assert_int_eq(dtls_conn_write(conn, "x", 1), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_read(conn, buf, sizeof(buf)), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_handshake(conn), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_handle_timeout(conn), DTLS_FAIL);
	ck_assert_msg(strstr(dtls_conn_error(conn), "fork") != NULL, "%s", dtls_conn_error(conn));
	ck_assert_int_eq(dtls_conn_close(conn), DTLS_OK);
	ck_assert_int_eq(dtls_conn_handshake(n->clients->conn), DTLS_FAIL);
	sim_link_stats(sim_host_link(n->clients->next->host), &after);
	ck_assert_uint_eq(after.sent, before.sent);
	dtls_conn_free(conn);
	n->clients->next->conn = NULL;
}

START_TEST(fork_ends_connections_in_the_child)
{
	struct net *n = three_peers(NULL);

	in_child(n, conns_fail);
	assert_parent_goes_on(n);
	net_free(n);
}
END_TEST

/* ---- randomness */

static void handshake_here(struct net *n)
{
	struct client *c;

	n->clients->frozen = n->clients->next->frozen = n->clients->next->next->frozen = true;
	c = client_new(n, 5, 1, NULL);
	net_run(n, net_now(n) + 70);
	memcpy(told, client_hello(c, true)->bytes + NET_HELLO_RANDOM_AT + 4, RANDOM);
	memcpy(told + RANDOM, n->out.bytes + NET_HELLO_RANDOM_AT + 4, RANDOM); /* the ServerHello's */
	net_run(n, net_now(n) + 70);
	ck_assert_int_eq(c->status, DTLS_OK);
	client_echoes(c, "a session of this process");
}

START_TEST(fork_gives_each_process_its_own_randomness)
{
	struct net *n = three_peers(NULL);
	uint8_t randoms[3][2][RANDOM];

	in_child(n, handshake_here);
	memcpy(randoms[0], told, sizeof(randoms[0]));
	in_child(n, handshake_here);
	memcpy(randoms[1], told, sizeof(randoms[1]));
	handshake_here(n);
	memcpy(randoms[2], told, sizeof(randoms[2]));
	for (int a = 0; a < 3; a++)
		for (int b = 0; b < a; b++)
			for (int side = 0; side < 2; side++)
				ck_assert_mem_ne(randoms[a][side], randoms[b][side], RANDOM);
	net_free(n);
}
END_TEST

static void no_peers_here(struct net *n)
{
	uint64_t out = n->out_count;

	net_serve(n);
	ck_assert_uint_eq(n->out_count, out);
	ck_assert_uint_eq(net_stats(n).peers, 0);
}

static void peers_of_the_child_end(struct net *n)
{
	handshake_here(n);
	in_child(n, no_peers_here);
	client_echoes(n->clients, "still the child's");
}

START_TEST(fork_of_a_fork)
{
	struct net *n = three_peers(NULL);

	in_child(n, peers_of_the_child_end);
	assert_parent_goes_on(n);
	net_free(n);
}
END_TEST

Suite *fork_suite(void)
{
	Suite *s = suite_create("fork");

	TEST(s, fork_ends_the_peers_in_the_child);
	TEST(s, fork_child_sends_nothing_for_the_peers);
	TEST(s, fork_ends_connections_in_the_child);
	TEST(s, fork_gives_each_process_its_own_randomness);
	TEST(s, fork_of_a_fork);
	return s;
}
