/* The ssl module's C face: what comes while a call waits: signals, other writers, fork(). */
#include "loopback.h"
#include "ssl_servers.h"
#include "suites.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BULK = 1 << 22, JUNK = 5000 };

struct both {
	struct ssl_socket *client, *server;
};

static struct ssl_socket *wrapped(int fd, bool server)
{
	struct ssl_wrap_args args = SSL_WRAP_ARGS;
	struct ssl_socket *s;
	struct ssl_error e;

	args.server_side = server;
	args.do_handshake = false;
	args.psk_ident = ssl_text("sensor-17");
	args.psk_key = ssl_text("secretPSK");
	s = ssl_wrap_socket(fd, &args, &e);
	ck_assert_msg(s != NULL, "%s: %s", e.text, e.note);
	ssl_socket_set_timeout(s, 0);
	return s;
}

/* Over a stream; they wait for ever once they are shaken. */
static struct both connected(void)
{
	struct ssl_error e;
	struct both b;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	b = (struct both){wrapped(fds[0], false), wrapped(fds[1], true)};
	while ((ssl_socket_do_handshake(b.client, &e) != 0) | (ssl_socket_do_handshake(b.server, &e) != 0))
		loopback_wait(fds[0], fds[1], -1);
	ssl_socket_set_timeout(b.client, -1);
	ssl_socket_set_timeout(b.server, -1);
	return b;
}

static void end(struct both *b)
{
	struct ssl_error e;

	ck_assert_int_eq(ssl_socket_close(b->client, &e), 0);
	ck_assert_int_eq(ssl_socket_close(b->server, &e), 0);
	ssl_socket_free(b->client);
	ssl_socket_free(b->server);
}

static void until_one_waits(pthread_mutex_t *lock, const unsigned *waiters)
{
	int64_t stop_at = loopback_now_ms() + LOOPBACK_PATIENCE_MS;
	bool waits = false;

	while (!waits) {
		ck_assert_msg(loopback_now_ms() < stop_at, "nobody waits");
		sched_yield();
		pthread_mutex_lock(lock);
		waits = *waiters == 1;
		pthread_mutex_unlock(lock);
	}
}

/* ---- signals ---- */

struct prodder { /* sends signals to a thread until it is heard */
	pthread_t thread, target;
	atomic_bool heard;
	struct ssl_socket *socket;
	struct ssl_server *server;
	int status, code;
};

static void ignore_signal(int number)
{
	(void)number;
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void *prod(void *arg)
{
	struct prodder *p = arg;

	for (; !p->heard; nap())
		pthread_kill(p->target, SIGUSR1);
	return NULL;
}

static void start_prodding(struct prodder *p)
{
	ck_assert_int_eq(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = ignore_signal}, NULL), 0);
	p->target = pthread_self();
	ck_assert_int_eq(pthread_create(&p->thread, NULL, prod, p), 0);
}

static bool closes(void *arg)
{
	struct prodder *p = arg;
	struct ssl_error e;

	p->heard = true;
	p->status = p->socket != NULL ? ssl_socket_close(p->socket, &e) : ssl_server_close(p->server, &e);
	return false;
}

START_TEST(waits_in_which_a_signals_handler_closes_the_socket)
{
	struct both b = connected();
	struct prodder p = {.socket = b.client};
	struct ssl_error e;
	char buf[4];

	ssl_socket_set_interrupted(b.client, closes, &p);
	start_prodding(&p);
	ck_assert_int_eq(ssl_socket_recv(b.client, buf, sizeof(buf), &e), SSL_FAILED);
	ck_assert_int_eq(e.code, EBADF);
	pthread_join(p.thread, NULL);
	ck_assert_int_eq(p.status, 0);
	end(&b);
}
END_TEST

START_TEST(waits_in_which_a_signals_handler_closes_the_server)
{
	struct served f = served_open(NULL, 0);
	struct prodder p = {.server = f.server};
	struct ssl_peer *peer;
	struct ssl_error e;
	char buf[4];

	ssl_server_set_interrupted(f.server, closes, &p);
	start_prodding(&p);
	ck_assert_int_eq(ssl_server_recv(f.server, &peer, buf, sizeof(buf), &e), SSL_FAILED);
	ck_assert_int_eq(e.code, EBADF);
	pthread_join(p.thread, NULL);
	ck_assert_int_eq(p.status, 0);
	served_close(&f);
}
END_TEST

static bool stops(void *arg)
{
	*(atomic_bool *)arg = true;
	return true;
}

struct feeder { /* sends junk, and in the end closes what does not hear */
	pthread_t thread;
	int fd;
	atomic_bool heard;
	struct ssl_socket *socket;
	struct ssl_server *server;
};

static void *feed(void *arg)
{
	struct feeder *feeder = arg;
	struct ssl_error e;

	for (int i = 0; i < JUNK && !feeder->heard; i++, nap())
		ck_assert_int_eq(send(feeder->fd, "junk", 4, 0), 4);
	if (!feeder->heard && feeder->socket != NULL)
		ssl_socket_close(feeder->socket, &e);
	if (!feeder->heard && feeder->server != NULL)
		ssl_server_close(feeder->server, &e);
	return NULL;
}

/* Another thread got the signal, so that no wait is cut short by it. */
START_TEST(waits_for_datagrams_ask_while_junk_comes)
{
	struct served f = served_connected(NULL);
	int junk = loopback_connected("127.0.0.1", loopback_port(f.fd), 0);
	struct feeder feeder = {.fd = junk, .server = f.server};
	struct ssl_peer *peer;
	struct ssl_error e;
	char buf[4];

	ssl_server_set_timeout(f.server, -1);
	ssl_server_set_interrupted(f.server, stops, &feeder.heard);
	ck_assert_int_eq(pthread_create(&feeder.thread, NULL, feed, &feeder), 0);
	ck_assert_int_eq(ssl_server_recv(f.server, &peer, buf, sizeof(buf), &e), SSL_FAILED);
	pthread_join(feeder.thread, NULL);
	ck_assert_int_eq(e.kind, SSL_KIND_CALLBACK);

	feeder = (struct feeder){.fd = f.fd, .socket = f.client};
	loopback_connect(f.fd, "127.0.0.1", loopback_port(ssl_socket_fileno(f.client)));
	ssl_socket_set_timeout(f.client, -1);
	ssl_socket_set_interrupted(f.client, stops, &feeder.heard);
	ck_assert_int_eq(pthread_create(&feeder.thread, NULL, feed, &feeder), 0);
	ck_assert_int_eq(ssl_socket_recv(f.client, buf, sizeof(buf), &e), SSL_FAILED);
	pthread_join(feeder.thread, NULL);
	ck_assert_int_eq(e.kind, SSL_KIND_CALLBACK);
	close(junk);
	served_close(&f);
}
END_TEST

/* ---- writes behind a write ---- */

static uint8_t bulk[BULK];

static void *write_bulk(void *arg)
{
	struct both *b = arg;
	struct ssl_error e;

	ck_assert_int_eq(ssl_socket_write(b->client, bulk, BULK, &e), BULK);
	return NULL;
}

static bool says(void *arg)
{
	return *(atomic_bool *)arg;
}

START_TEST(waits_for_another_write_are_bounded)
{
	struct both b = connected();
	atomic_bool enough = false;
	struct ssl_error e;
	pthread_t writer;
	char buf[4];

	ssl_socket_set_interrupted(b.client, says, &enough);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_bulk, &b), 0);
	until_one_waits(&b.client->lock, &b.client->waiters);
	ssl_socket_set_timeout(b.client, 0);
	ck_assert_int_eq(ssl_socket_send(b.client, "y", 1, &e), SSL_WOULD_BLOCK);
	ssl_socket_set_timeout(b.client, 1);
	ck_assert_int_eq(ssl_socket_send(b.client, "y", 1, &e), SSL_FAILED);
	ck_assert_int_eq(e.kind, SSL_KIND_TIMEOUT);
	ssl_socket_set_timeout(b.client, -1);
	enough = true;
	ck_assert_int_eq(ssl_socket_send(b.client, "y", 1, &e), SSL_FAILED);
	ck_assert_int_eq(e.kind, SSL_KIND_CALLBACK);
	enough = false;
	ck_assert_int_eq(ssl_socket_read(b.server, bulk, BULK, &e), BULK);
	ck_assert_int_eq(ssl_socket_send(b.client, "y", 1, &e), 1);
	ck_assert_int_eq(ssl_socket_recv(b.server, buf, sizeof(buf), &e), 1);
	pthread_join(writer, NULL);
	end(&b);
}
END_TEST

static bool writes(void *arg)
{
	struct prodder *p = arg;
	struct ssl_error e = {.kind = SSL_KIND_NONE};

	p->heard = true;
	p->status = (int)ssl_socket_send(p->socket, "y", 1, &e);
	p->code = e.code;
	return true;
}

START_TEST(waits_of_a_write_in_which_a_signals_handler_writes)
{
	struct both b = connected();
	struct prodder p = {.socket = b.client};
	struct ssl_error e;

	ssl_socket_set_interrupted(b.client, writes, &p);
	start_prodding(&p);
	ck_assert_int_eq(ssl_socket_write(b.client, bulk, BULK, &e), SSL_FAILED);
	ck_assert_int_eq(e.kind, SSL_KIND_CALLBACK);
	pthread_join(p.thread, NULL);
	ck_assert_int_eq(p.status, SSL_FAILED);
	ck_assert_int_eq(p.code, EDEADLK);
	ssl_socket_set_timeout(b.client, 0);
	end(&b);
}
END_TEST

/* ---- fork() ---- */

static void assert_child_ends(pid_t child)
{
	int status;

	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %#x", (unsigned)status);
}

static void *read_four(void *arg)
{
	struct both *b = arg;
	struct ssl_error e;
	char buf[4];

	ck_assert_int_eq(ssl_socket_recv(b->server, buf, sizeof(buf), &e), 4);
	return NULL;
}

START_TEST(waits_are_left_alone_by_a_child_that_closes_the_socket)
{
	struct both b = connected();
	struct ssl_error e;
	pthread_t reader;
	pid_t child;

	ck_assert_int_eq(pthread_create(&reader, NULL, read_four, &b), 0);
	until_one_waits(&b.server->lock, &b.server->waiters);
	child = fork();
	if (child == 0) {
		alarm(LOOPBACK_PATIENCE_MS / 1000);
		_exit((ssl_socket_close(b.server, &e) != 0 || ssl_socket_fileno(b.server) != -1) ? 1 : 0);
	}
	assert_child_ends(child);
	ck_assert_int_eq(ssl_socket_write(b.client, "21.4", 4, &e), 4);
	pthread_join(reader, NULL);
	end(&b);
}
END_TEST

static void *next_event(void *arg)
{
	struct served *f = arg;
	struct ssl_error e;
	char buf[64];

	return (void *)(intptr_t)ssl_server_recv(f->server, &f->peer, buf, sizeof(buf), &e);
}

static void child_closes(struct ssl_server *s)
{
	struct ssl_error e;
	pid_t child = fork();

	if (child == 0) {
		alarm(LOOPBACK_PATIENCE_MS / 1000);
		_exit((ssl_server_close(s, &e) != 0 || !ssl_server_is_closed(s)) ? 1 : 0);
	}
	assert_child_ends(child);
}

START_TEST(waits_are_left_alone_by_a_child_that_closes_the_server)
{
	struct served f = served_connected(NULL);
	struct ssl_error e;
	pthread_t receiver;
	void *event;

	child_closes(f.server);
	ck_assert_int_eq(poll(&(struct pollfd){f.server->wake_fd, POLLIN, 0}, 1, 0), 0);
	ssl_peer_free(f.peer);
	f.peer = NULL;
	ssl_server_set_timeout(f.server, -1);
	ck_assert_int_eq(pthread_create(&receiver, NULL, next_event, &f), 0);
	until_one_waits(&f.server->lock, &f.server->waiters);
	child_closes(f.server);
	ck_assert_int_eq(ssl_socket_write(f.client, "21.4", 4, &e), 4);
	pthread_join(receiver, &event);
	ck_assert_int_eq((intptr_t)event, 4);
	served_close(&f);
}
END_TEST

static int in_lookup[2], go_on[2]; /* pipes */

static void stay_in_lookup(void)
{
	char c;

	served_within_lookup = NULL;
	ck_assert_int_eq(write(in_lookup[1], "", 1), 1);
	ck_assert_int_eq(read(go_on[0], &c, 1), 1);
}

static void *shake(void *arg)
{
	served_shake(arg);
	return NULL;
}

START_TEST(waits_for_no_lock_that_a_parents_thread_had)
{
	struct served f = served_open(NULL, SOCK_NONBLOCK);
	struct ssl_error e;
	pthread_t shaker;
	pid_t child;
	char c;

	ck_assert_int_eq(pipe(in_lookup) | pipe(go_on), 0);
	f.client = served_client(&f, "secretPSK");
	served_within_lookup = stay_in_lookup;
	ck_assert_int_eq(pthread_create(&shaker, NULL, shake, &f), 0);
	ck_assert_int_eq(read(in_lookup[0], &c, 1), 1);
	child = fork();
	if (child == 0) {
		alarm(LOOPBACK_PATIENCE_MS / 1000);
		_exit((ssl_server_fileno(f.server) != f.fd || ssl_server_close(f.server, &e) != 0) ? 1 : 0);
	}
	assert_child_ends(child);
	ck_assert_int_eq(write(go_on[1], "", 1), 1);
	pthread_join(shaker, NULL);
	served_close(&f);
	for (int i = 0; i < 2; i++)
		close(in_lookup[i]), close(go_on[i]);
}
END_TEST

Suite *ssl_waits_suite(void)
{
	Suite *s = suite_create("ssl_waits");

	TEST(s, waits_in_which_a_signals_handler_closes_the_socket);
	TEST(s, waits_in_which_a_signals_handler_closes_the_server);
	TEST(s, waits_for_datagrams_ask_while_junk_comes);
	TEST(s, waits_for_another_write_are_bounded);
	TEST(s, waits_of_a_write_in_which_a_signals_handler_writes);
	TEST(s, waits_are_left_alone_by_a_child_that_closes_the_socket);
	TEST(s, waits_are_left_alone_by_a_child_that_closes_the_server);
	TEST(s, waits_for_no_lock_that_a_parents_thread_had);
	return s;
}
