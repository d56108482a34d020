/* The way to the server: one address after the other, and what to say when nobody answers. */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <mbedtls/x509.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* Tries the next address; TCP may still be connecting then. False: there is none, and errno says what became of the
 * last. */
static bool try_next(struct client *c)
{
	int type = (c->dtls.tls ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;

	for (; c->next != NULL; c->next = c->next->ai_next) {
		struct cli_address to = {.len = c->next->ai_addrlen};
		int fd = socket(c->next->ai_family, type, 0), error;

		memcpy(&to.storage, c->next->ai_addr, to.len);
		cli_address_text(&to, c->name);
		if (fd >= 0 && (connect(fd, &to.any, to.len) == 0 || errno == EINPROGRESS)) {
			c->fd = fd;
			c->next = c->next->ai_next;
			return true;
		}
		error = errno;
		if (fd >= 0)
			close(fd);
		errno = error;
	}
	return false;
}

static void wrap(struct client *c)
{
	int on = 1;

	if (c->dtls.tls) /* a line leaves when it is written */
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->conn = dtls_wrap_socket(c->dtls.ctx, c->fd);
	if (c->conn == NULL)
		cli_usage("%s", dtls_context_error(c->dtls.ctx));
	if (c->hostname != NULL && dtls_conn_set_hostname(c->conn, c->hostname) != DTLS_OK)
		cli_usage("--hostname: %s", dtls_conn_error(c->conn));
	client_load_session(c);
}

bool client_open(struct client *c)
{
	if (!try_next(c))
		return false;
	client_tell(c, "connecting to %s", c->name);
	if (!c->dtls.tls)
		wrap(c);
	return true;
}

static int take_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 ? errno : error;
}

bool client_finish_connecting(struct client *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLOUT};
	int error;

	if (poll(&p, 1, 0) <= 0)
		return true;
	error = take_error(c->fd);
	if (error == 0) {
		wrap(c);
		return true;
	}
	client_tell(c, "%s: %s", c->name, strerror(error));
	close(c->fd);
	c->fd = -1;
	errno = error;
	if (client_open(c))
		return true;
	client_complain(c, "cannot connect to %s: %s", c->name, strerror(errno));
	return false;
}

/* An ICMP error says that nobody listens: a name such as localhost may have another address, where somebody does. */
void client_notice_refusal(struct client *c)
{
	struct dtls_conn *old = c->conn;
	int error, fd = c->fd;

	if (c->connected || c->dtls.tls || (error = take_error(c->fd)) == 0)
		return;
	c->refused = error;
	client_tell(c, "%s: %s", c->name, strerror(error));
	if (c->heard || !client_open(c))
		return;
	dtls_conn_free(old);
	close(fd);
}

void client_complain_of_silence(struct client *c)
{
	const char *why = "nothing was received; is a DTLS server listening there?";
	bool by_certificate = cli_dtls_by_certificate(&c->dtls);

	if (c->dtls.tls && c->conn == NULL)
		why = "the server has not accepted the TCP connection";
	else if (c->finished_sent && by_certificate)
		why = "the server fell silent after this side's Finished; the path may be bad, but some servers also "
		      "stay silent when they ask for a certificate and get none";
	else if (c->finished_sent)
		why = "the server fell silent after this side's Finished; the path may be bad, but some servers also "
		      "stay silent when the pre-shared key differs or is unknown to them";
	else if (c->heard)
		why = "the server fell silent in the middle of it";
	else if (c->dtls.tls)
		why = "the server has not done its part; does it speak TLS?";
	else if (c->refused != 0)
		why = strerror(c->refused);
	client_complain(c, "handshake with %s timed out after %" PRId64 ".%03d s: %s", c->name, c->timeout_ms / 1000,
	    (int)(c->timeout_ms % 1000), why);
}

static bool is_address(const char *host)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

void client_complain_of_failure(struct client *c, int status)
{
	int64_t found = dtls_conn_verify_result(c->conn);
	const char *why = dtls_conn_error(c->conn);

	if (status == DTLS_FAIL)
		client_forget_session(c);
	if (status == DTLS_TIMEDOUT && c->refused != 0)
		client_complain(c, "%s (%s)", why, strerror(c->refused));
	else if (found > 0 && (found & MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0 && is_address(c->hostname))
		client_complain(c, "%s; give the name that is in the certificate with --hostname=NAME", why);
	else
		client_complain(c, "%s", why);
}
