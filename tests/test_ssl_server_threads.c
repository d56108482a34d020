/* The ssl module's server: threads, output that must wait, memory that runs out. */
#include "failing.h"
#include "loopback.h"
#include "ssl_servers.h"
#include "suites.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

enum { ROOM = 64 }; /* datagrams of one peer that may wait for the system */

/* ---- threads ---- */

struct receiver {
	struct served *f;
	pthread_t thread;
	ssize_t n;
	struct ssl_peer *peer;
	struct ssl_error error;
};

static void *receive_one(void *arg)
{
	struct receiver *r = arg;
	char buf[64];

	r->n = ssl_server_recv(r->f->server, &r->peer, buf, sizeof(buf), &r->error);
	return NULL;
}

static unsigned waiting(struct ssl_server *s)
{
	unsigned n;

	pthread_mutex_lock(&s->lock);
	n = s->waiters;
	pthread_mutex_unlock(&s->lock);
	return n;
}

static void until_they_wait(struct ssl_server *s, unsigned count)
{
	int64_t stop_at = loopback_now_ms() + LOOPBACK_PATIENCE_MS;

	while (waiting(s) < count) {
		ck_assert_msg(loopback_now_ms() < stop_at, "nobody waits");
		sched_yield();
	}
}

/* It has heard that there was news, and does not turn in circles. */
static void until_it_sleeps(struct ssl_server *s)
{
	int64_t stop_at = loopback_now_ms() + LOOPBACK_PATIENCE_MS;
	struct pollfd p = {s->wake_fd, POLLIN, 0};

	until_they_wait(s, 1);
	while (poll(&p, 1, 0) > 0) {
		ck_assert_msg(loopback_now_ms() < stop_at, "it is awake");
		sched_yield();
	}
}

static void start(struct receiver *r, struct served *f)
{
	*r = (struct receiver){.f = f};
	ck_assert_int_eq(pthread_create(&r->thread, NULL, receive_one, r), 0);
}

static struct receiver *finished(struct receiver *r)
{
	pthread_join(r->thread, NULL);
	ssl_peer_free(r->peer);
	return r;
}

START_TEST(server_wakes_those_that_receive_when_it_is_closed)
{
	struct served f = served_connected(NULL);
	struct receiver r[2];
	struct ssl_error e;

	ssl_server_set_timeout(f.server, -1);
	start(&r[0], &f);
	start(&r[1], &f);
	until_they_wait(f.server, 2);
	ck_assert_int_eq(ssl_server_close(f.server, &e), 0);
	ck_assert_uint_eq(waiting(f.server), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(finished(&r[i])->n, SSL_FAILED);
		ck_assert_int_eq(r[i].error.code, EBADF);
	}
	served_close(&f);
}
END_TEST

START_TEST(server_tells_at_once_what_another_thread_has_done)
{
	struct served f = served_connected(NULL);
	struct receiver r;
	struct ssl_error e;

	ssl_server_set_timeout(f.server, -1);
	start(&r, &f);
	until_they_wait(f.server, 1);
	ck_assert_int_eq(ssl_server_close_identity(f.server, "sensor-17", 9, &e), 1);
	ck_assert_int_eq(finished(&r)->n, SSL_PEER_CLOSED);
	ck_assert_ptr_eq(r.peer, f.peer);
	served_close(&f);
}
END_TEST

/* The first takes one event; the second must not sleep on. */
START_TEST(server_tells_two_receivers_of_two_events)
{
	struct served f = served_connected(NULL), other = {.ctx = f.ctx, .server = f.server, .fd = f.fd};
	struct receiver r[2];
	struct ssl_error e;

	other.client = served_client(&f, "secretPSK");
	served_shake(&other);
	ssl_server_set_timeout(f.server, -1);
	start(&r[0], &f);
	start(&r[1], &f);
	until_they_wait(f.server, 2);
	ck_assert_int_eq(ssl_server_close_identity(f.server, "sensor-17", 9, &e), 2);
	ck_assert_int_eq(finished(&r[0])->n, SSL_PEER_CLOSED);
	ck_assert_int_eq(finished(&r[1])->n, SSL_PEER_CLOSED);
	ssl_peer_free(other.peer);
	ssl_socket_close(other.client, &e);
	ssl_socket_free(other.client);
	served_close(&f);
}
END_TEST

START_TEST(server_sends_while_another_thread_receives)
{
	struct served f = served_connected(NULL);
	struct receiver r;
	struct ssl_error e;

	ssl_server_set_timeout(f.server, -1);
	start(&r, &f);
	until_they_wait(f.server, 1);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(ssl_peer_send(f.peer, "on", 2, &e), 2);
		served_client_receives(&f, "on");
	}
	ck_assert_uint_eq(waiting(f.server), 1);
	ck_assert_int_eq(ssl_socket_write(f.client, "21.4", 4, &e), 4);
	ck_assert_int_eq(finished(&r)->n, 4);
	ck_assert_ptr_eq(r.peer, f.peer);
	served_close(&f);
}
END_TEST

/* ---- output ---- */

static void fill(struct served *f)
{
	struct ssl_error e;

	served_stick(true);
	for (int i = 0; i < ROOM; i++)
		ck_assert_int_eq(ssl_peer_send(f->peer, "later", 5, &e), 5);
	ck_assert_int_eq(ssl_peer_send(f->peer, "later", 5, &e), SSL_WOULD_BLOCK);
}

static void receives_all(struct served *f)
{
	for (int i = 0; i < ROOM; i++)
		served_client_receives(f, "later");
}

START_TEST(server_has_room_for_some_datagrams_of_a_peer)
{
	struct served f = served_connected(NULL);
	struct ssl_peer *peer;
	struct ssl_error e;
	char buf[4];

	ck_assert(!ssl_server_unsent(f.server));
	fill(&f);
	ck_assert(ssl_server_unsent(f.server));
	served_stick(false);
	ck_assert_int_eq(ssl_server_recv(f.server, &peer, buf, sizeof(buf), &e), SSL_WOULD_BLOCK);
	ck_assert(!ssl_server_unsent(f.server));
	receives_all(&f);
	served_close(&f);
}
END_TEST

START_TEST(server_waits_for_room_until_its_timeout)
{
	struct served f = served_connected(NULL);
	struct ssl_error e;

	fill(&f);
	ssl_server_set_timeout(f.server, 1);
	ck_assert_int_eq(ssl_peer_send(f.peer, "later", 5, &e), SSL_FAILED);
	ck_assert_int_eq(e.kind, SSL_KIND_TIMEOUT);
	served_stick(false);
	ck_assert_int_eq(ssl_peer_send(f.peer, "last", 4, &e), 4);
	receives_all(&f);
	served_client_receives(&f, "last");
	served_close(&f);
}
END_TEST

/* It has been taken: to say otherwise would have it sent twice. */
START_TEST(server_whose_timeout_ends_before_a_datagram_could_leave)
{
	struct served f = served_connected(NULL);
	struct ssl_error e;

	served_stick(true);
	ssl_server_set_timeout(f.server, 1);
	ck_assert_int_eq(ssl_peer_send(f.peer, "later", 5, &e), 5);
	served_stick(false);
	ck_assert_int_eq(ssl_peer_send(f.peer, "last", 4, &e), 4);
	served_client_receives(&f, "later");
	served_client_receives(&f, "last");
	served_close(&f);
}
END_TEST

START_TEST(server_that_closes_a_peer_sends_what_was_left_over)
{
	struct served f = served_connected(NULL);
	struct ssl_error e;

	served_stick(true);
	ck_assert_int_eq(ssl_peer_send(f.peer, "later", 5, &e), 5);
	served_stick(false);
	ck_assert_int_eq(ssl_peer_close(f.peer, &e), 0);
	ck_assert(!ssl_server_unsent(f.server));
	served_client_receives(&f, "later");
	served_client_receives(&f, "");
	served_close(&f);
}
END_TEST

struct sender {
	struct served *f;
	pthread_t thread;
	ssize_t n;
	struct ssl_error error;
};

static void *send_one(void *arg)
{
	struct sender *s = arg;

	s->n = ssl_peer_send(s->f->peer, "last", 4, &s->error);
	return NULL;
}

static void start_sending(struct sender *s, struct served *f)
{
	*s = (struct sender){.f = f};
	ssl_server_set_timeout(f->server, -1);
	ck_assert_int_eq(pthread_create(&s->thread, NULL, send_one, s), 0);
	until_they_wait(f->server, 1);
}

START_TEST(server_waits_until_there_is_room)
{
	struct served f = served_connected(NULL);
	struct sender s;

	fill(&f);
	start_sending(&s, &f);
	served_stick(false);
	pthread_join(s.thread, NULL);
	ck_assert_int_eq(s.n, 4);
	receives_all(&f);
	served_client_receives(&f, "last");
	served_close(&f);
}
END_TEST

START_TEST(server_wakes_those_that_wait_for_room_when_it_ends)
{
	for (int freed = 0; freed < 2; freed++) {
		struct served f = served_connected(NULL);
		struct ssl_error e;
		struct sender s;

		fill(&f);
		start_sending(&s, &f);
		if (freed)
			ssl_server_free(f.server);
		else
			ck_assert_int_eq(ssl_server_close(f.server, &e), 0);
		pthread_join(s.thread, NULL);
		ck_assert_int_eq(s.n, SSL_FAILED);
		ck_assert_int_eq(s.error.code, EPIPE);
		if (freed) {
			ck_assert_int_eq(close(f.fd), 0);
			f.server = NULL;
		}
		served_close(&f);
	}
}
END_TEST

/* It waits for input alone, and learns that there is output. */
START_TEST(server_that_receives_sends_what_was_left_over)
{
	struct served f = served_connected(NULL);
	struct receiver r;
	struct ssl_error e;

	ssl_server_set_timeout(f.server, -1);
	start(&r, &f);
	until_they_wait(f.server, 1);
	ssl_server_set_timeout(f.server, 1);
	served_stick(true);
	ck_assert_int_eq(ssl_peer_send(f.peer, "later", 5, &e), 5);
	served_stick(false);
	served_client_receives(&f, "later");
	until_it_sleeps(f.server);
	ssl_server_close(f.server, &e);
	finished(&r);
	served_close(&f);
}
END_TEST

/* ---- memory ---- */

/* One handshake, whose nth allocation on the server's side fails. The last event, or SSL_WOULD_BLOCK where a datagram
 * was lost for want of memory. The tests' own memory never runs out. */
static ssize_t shake_without(struct served *f, unsigned nth, struct ssl_error *e)
{
	struct pollfd p = {f->fd, POLLIN, 0};
	ssize_t n = SSL_WOULD_BLOCK;
	char buf[4];

	failing_pause(true);
	failing_arm(nth);
	while (n == SSL_WOULD_BLOCK) {
		ssl_socket_do_handshake(f->client, e);
		if (poll(&p, 1, 0) == 0)
			break;
		failing_pause(false);
		n = ssl_server_recv(f->server, &f->peer, buf, sizeof(buf), e);
		failing_pause(true);
	}
	return n;
}

START_TEST(server_whose_memory_runs_out)
{
	static const char *const names[] = {"TLS-PSK-WITH-AES-128-CCM-8"};
	bool failed = true;

	for (unsigned nth = 1; failed; nth++) {
		long live = failing_live();
		struct served f = served_open(NULL, SOCK_NONBLOCK);
		struct ssl_error e = {.kind = SSL_KIND_NONE};
		ssize_t n;

		ssl_context_set_ciphers(f.ctx, names, 1, &e);
		f.client = served_client(&f, "secretPSK");
		n = shake_without(&f, nth, &e);
		failed = failing_happened();
		failing_arm(0);
		ck_assert(failed || n == SSL_PEER_CONNECTED);
		ck_assert(n != SSL_FAILED || e.kind == SSL_KIND_MEMORY);
		ck_assert_int_eq(f.peer != NULL, n == SSL_PEER_CONNECTED || n == SSL_PEER_FAILED);
		ck_assert(n != SSL_PEER_FAILED || (ssl_peer_error(f.peer, &e) && e.kind != SSL_KIND_NONE));
		ssl_peer_free(f.peer);
		f.peer = NULL;
		if (n == SSL_FAILED || n == SSL_WOULD_BLOCK) {
			ssl_socket_free(f.client);
			f.client = served_client(&f, "secretPSK");
			served_shake(&f);
		}
		served_close(&f);
		ck_assert_int_eq(failing_live(), live);
	}
}
END_TEST

Suite *ssl_server_threads_suite(void)
{
	Suite *s = suite_create("ssl_server_threads");

	TEST(s, server_wakes_those_that_receive_when_it_is_closed);
	TEST(s, server_tells_at_once_what_another_thread_has_done);
	TEST(s, server_tells_two_receivers_of_two_events);
	TEST(s, server_sends_while_another_thread_receives);
	TEST(s, server_has_room_for_some_datagrams_of_a_peer);
	TEST(s, server_waits_for_room_until_its_timeout);
	TEST(s, server_whose_timeout_ends_before_a_datagram_could_leave);
	TEST(s, server_that_closes_a_peer_sends_what_was_left_over);
	TEST(s, server_waits_until_there_is_room);
	TEST(s, server_wakes_those_that_wait_for_room_when_it_ends);
	TEST(s, server_that_receives_sends_what_was_left_over);
	TEST_WHERE(FAILING_POSSIBLE, "the allocator is the sanitizer's", s, server_whose_memory_runs_out);
	return s;
}
