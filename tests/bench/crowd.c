#include "crowd.h"

#include "plain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAVED_MAX = 256, FIRST = 0x7f010000, PATIENCE_MS = 2000 };

static struct {
	size_t len;
	uint8_t bytes[SAVED_MAX];
} saved[CROWD_MAX];

static struct plain_queue in, out;
static struct plain_side client;
static int sock;
static struct sockaddr_in server;
static uint64_t random_state = 88172645463325252U;

static void fail(const char *what)
{
	fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
	_exit(1);
}

/* ---- datagrams ---- */

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

/* Any address of 127/8 is ours to send from. */
static void send_from(unsigned who, const uint8_t *datagram, size_t len)
{
	struct iovec iov = {(void *)(uintptr_t)datagram, len};
	struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(FIRST + who)};
	union control control = {
	    .align = {.cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO}};
	struct msghdr m = {.msg_name = &server,
	    .msg_namelen = sizeof(server),
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.align), &info, sizeof(info));
	if (sendmsg(sock, &m, 0) < 0)
		fail("sendmsg");
}

static void flush_from(unsigned who)
{
	uint8_t datagram[PLAIN_DATAGRAM];
	int len;

	while ((len = plain_take(&out, datagram, sizeof(datagram))) >= 0)
		send_from(who, datagram, (size_t)len);
}

/* Who got a datagram, which then is in the queue; -1: nobody in time. */
static int receive(void)
{
	uint8_t datagram[PLAIN_DATAGRAM];
	struct iovec iov = {datagram, sizeof(datagram)};
	union control control;
	struct msghdr m = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct pollfd p = {.fd = sock, .events = POLLIN};
	struct in_pktinfo info;
	struct cmsghdr *told;
	ssize_t n;

	n = recvmsg(sock, &m, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN) {
		if (poll(&p, 1, PATIENCE_MS) <= 0)
			return -1;
		n = recvmsg(sock, &m, MSG_DONTWAIT);
	}
	if (n < 0)
		fail("recvmsg");
	told = CMSG_FIRSTHDR(&m);
	if (told == NULL)
		fail("no IP_PKTINFO");
	memcpy(&info, CMSG_DATA(told), sizeof(info));
	plain_put(&in, datagram, (size_t)n);
	return (int)(ntohl(info.ipi_addr.s_addr) - FIRST);
}

/* ---- sessions ---- */

static void save(unsigned who)
{
	int code = mbedtls_ssl_context_save(&client.ssl, saved[who].bytes, SAVED_MAX, &saved[who].len);

	if (code == 0)
		return;
	fprintf(stderr, "crowd: a session cannot be saved: -0x%04x\n", (unsigned)-code);
	_exit(1);
}

static void load(unsigned who)
{
	int code = mbedtls_ssl_context_load(&client.ssl, saved[who].bytes, saved[who].len);

	if (code == 0)
		return;
	fprintf(stderr, "crowd: a session cannot be loaded: -0x%04x\n", (unsigned)-code);
	_exit(1);
}

static void compose(unsigned who, uint8_t text[CROWD_MESSAGE])
{
	memset(text, '.', CROWD_MESSAGE);
	memcpy(text, &who, sizeof(who));
}

static void say(unsigned who)
{
	uint8_t text[CROWD_MESSAGE];

	compose(who, text);
	load(who);
	mbedtls_ssl_write(&client.ssl, text, sizeof(text));
	save(who);
	flush_from(who);
}

/* Whose echo came; -1: none in time, -2: something else. */
static int listen_for_one(void)
{
	uint8_t got[CROWD_MESSAGE], expected[CROWD_MESSAGE];
	int who = receive(), n;

	if (who < 0 || who >= CROWD_MAX)
		return who < 0 ? -1 : -2;
	load((unsigned)who);
	n = mbedtls_ssl_read(&client.ssl, got, sizeof(got));
	save((unsigned)who);
	compose((unsigned)who, expected);
	return n == sizeof(got) && memcmp(got, expected, sizeof(got)) == 0 ? who : -2;
}

static bool connect_one(unsigned who)
{
	int code;

	in.head = in.tail;
	plain_reset(&client);
	do {
		code = plain_step(&client);
		flush_from(who);
		if (code == MBEDTLS_ERR_SSL_WANT_READ && receive() != (int)who)
			return false;
	} while (code == MBEDTLS_ERR_SSL_WANT_READ);
	if (code != 0)
		return false;
	save(who);
	say(who);
	return listen_for_one() == (int)who;
}

/* ---- commands ---- */

static unsigned below(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state % n);
}

static struct crowd_report connect_all(const struct crowd_command *c)
{
	struct crowd_report r = {0};

	for (unsigned who = c->first; who < c->first + c->count; who++)
		if (connect_one(who))
			r.done++;
		else
			r.errors++;
	return r;
}

/* So many messages at once, as those would come who do not wait for each other. */
static struct {
	size_t len;
	unsigned who;
	uint8_t datagram[PLAIN_DATAGRAM];
} window[CROWD_WINDOW];

static void prepare(unsigned i, unsigned who)
{
	uint8_t text[CROWD_MESSAGE];

	compose(who, text);
	mbedtls_ssl_write(&client.ssl, text, sizeof(text));
	window[i].who = who;
	window[i].len = (size_t)plain_take(&out, window[i].datagram, PLAIN_DATAGRAM);
}

static void send_window(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		send_from(window[i].who, window[i].datagram, window[i].len);
}

static struct crowd_report echo_all(const struct crowd_command *c)
{
	struct crowd_report r = {0};

	for (unsigned sent = 0; sent < c->messages;) {
		unsigned count = c->messages - sent < CROWD_WINDOW ? c->messages - sent : CROWD_WINDOW;

		for (unsigned i = 0; i < count; i++, sent++) {
			unsigned who = c->first + (c->shuffled ? below(c->count) : sent % c->count);

			load(who);
			prepare(i, who);
			save(who);
		}
		send_window(count);
		for (unsigned i = 0; i < count; i++)
			if (listen_for_one() >= 0)
				r.done++;
			else
				r.errors++;
	}
	return r;
}

/* One session, whose context stays in memory on both sides. */
static struct crowd_report echo_plain(const struct crowd_command *c)
{
	struct crowd_report r = {0};
	uint8_t text[CROWD_MESSAGE];

	load(c->first);
	for (unsigned sent = 0; sent < c->messages; sent += CROWD_WINDOW) {
		for (unsigned i = 0; i < CROWD_WINDOW; i++)
			prepare(i, c->first);
		send_window(CROWD_WINDOW);
		for (unsigned i = 0; i < CROWD_WINDOW; i++)
			if (receive() >= 0 && mbedtls_ssl_read(&client.ssl, text, sizeof(text)) == sizeof(text))
				r.done++;
			else
				r.errors++;
	}
	save(c->first);
	return r;
}

static void open_socket(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	int on = 1, size = 4 << 20;

	sock = socket(AF_INET, SOCK_DGRAM, 0);
	if (sock < 0 || bind(sock, (struct sockaddr *)&any, sizeof(any)) != 0 ||
	    setsockopt(sock, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) != 0)
		fail("socket");
	setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static void live(int commands, int reports)
{
	struct crowd_command c;

	open_socket();
	plain_init(&client, false, MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, &in, &out);
	while (read(commands, &c, sizeof(c)) == sizeof(c)) {
		struct crowd_report r;

		server = (struct sockaddr_in){
		    .sin_family = AF_INET, .sin_port = htons(c.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		r = c.what == CROWD_CONNECT ? connect_all(&c) : c.what == CROWD_ECHO ? echo_all(&c) : echo_plain(&c);
		if (write(reports, &r, sizeof(r)) != sizeof(r))
			fail("write");
	}
	_exit(0);
}

void crowd_start(struct crowd *crowd)
{
	int commands[2], reports[2];

	if (pipe(commands) != 0 || pipe(reports) != 0)
		fail("pipe");
	crowd->pid = fork();
	if (crowd->pid < 0)
		fail("fork");
	if (crowd->pid == 0) {
		close(commands[1]);
		close(reports[0]);
		live(commands[0], reports[1]);
	}
	close(commands[0]);
	close(reports[1]);
	crowd->commands = commands[1];
	crowd->reports = reports[0];
}

void crowd_tell(struct crowd *crowd, const struct crowd_command *c)
{
	if (write(crowd->commands, c, sizeof(*c)) != sizeof(*c))
		fail("write");
}

struct crowd_report crowd_hear(struct crowd *crowd)
{
	struct crowd_report r;

	if (read(crowd->reports, &r, sizeof(r)) == sizeof(r))
		return r;
	fprintf(stderr, "crowd: it is gone\n");
	exit(1);
}

void crowd_end(struct crowd *crowd)
{
	close(crowd->commands);
	close(crowd->reports);
	waitpid(crowd->pid, NULL, 0);
}
