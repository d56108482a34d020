/* GnuTLS alone: its stateless cookies, then a session for each client. */
#include "stack_certificate.h"
#include "stacks.h"

#include <errno.h>
#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

enum { MTU = 1400 };

struct server {
	struct plain_queue *in, *out;
	gnutls_priority_t priority;
	gnutls_psk_server_credentials_t psk;
	gnutls_certificate_credentials_t certificates;
	gnutls_datum_t cookie_key;
	gnutls_session_t session; /* NULL: before the cookie */
	bool by_certificate, done;
};

static int find_key(gnutls_session_t session, const char *identity, gnutls_datum_t *key)
{
	(void)session;
	if (strcmp(identity, plain_identity) != 0)
		return -1;
	key->size = (unsigned)strlen(plain_key);
	key->data = gnutls_malloc(key->size);
	if (key->data == NULL)
		return -1;
	memcpy(key->data, plain_key, key->size);
	return 0;
}

static ssize_t push(gnutls_transport_ptr_t server, const void *bytes, size_t len)
{
	plain_put(((struct server *)server)->out, bytes, len);
	return (ssize_t)len;
}

static ssize_t pull(gnutls_transport_ptr_t server, void *buf, size_t len)
{
	struct server *s = server;
	int n = plain_take(s->in, buf, len);

	if (n < 0)
		gnutls_transport_set_errno(s->session, EAGAIN);
	return n;
}

static int pull_timeout(gnutls_transport_ptr_t server, unsigned ms)
{
	const struct server *s = server;

	(void)ms;
	return s->in->head != s->in->tail;
}

static void load_credentials(struct server *s)
{
	const gnutls_datum_t certificate = {
	    (unsigned char *)(uintptr_t)stack_certificate, sizeof(stack_certificate) - 1};
	const gnutls_datum_t key = {(unsigned char *)(uintptr_t)stack_key, sizeof(stack_key) - 1};

	if (!s->by_certificate) {
		stack_must(gnutls_psk_allocate_server_credentials(&s->psk) == 0, "memory");
		gnutls_psk_set_server_credentials_function(s->psk, find_key);
		return;
	}
	stack_must(
	    gnutls_certificate_allocate_credentials(&s->certificates) == 0 &&
		gnutls_certificate_set_x509_key_mem(s->certificates, &certificate, &key, GNUTLS_X509_FMT_PEM) >= 0,
	    "GnuTLS's certificate");
}

static void *open_server(enum stack_suite suite, struct plain_queue *in, struct plain_queue *out)
{
	static const char *const suites[STACK_SUITES] = {
	    [STACK_PSK] = "+PSK:-CIPHER-ALL:+AES-128-CCM-8",
	    [STACK_ECDHE_PSK] = "+ECDHE-PSK:-CIPHER-ALL:+CHACHA20-POLY1305",
	    [STACK_ECDSA] = "+ECDHE-ECDSA:-CIPHER-ALL:+AES-128-GCM",
	    [STACK_PSK_GCM] = "+PSK:-CIPHER-ALL:+AES-128-GCM",
	};
	struct server *s = stack_memory(sizeof(*s));
	char priority[200];

	s->in = in;
	s->out = out;
	s->by_certificate = suite == STACK_ECDSA;
	snprintf(priority, sizeof(priority), "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-GROUP-ALL:+GROUP-SECP256R1:-KX-ALL:%s",
	    suites[suite]);
	stack_must(gnutls_priority_init(&s->priority, priority, NULL) == 0 &&
		       gnutls_key_generate(&s->cookie_key, GNUTLS_COOKIE_KEY_SIZE) == 0,
	    "GnuTLS's settings");
	load_credentials(s);
	return s;
}

static void close_server(void *server)
{
	struct server *s = server;

	gnutls_priority_deinit(s->priority);
	if (s->by_certificate)
		gnutls_certificate_free_credentials(s->certificates);
	else
		gnutls_psk_free_server_credentials(s->psk);
	gnutls_free(s->cookie_key.data);
	free(s);
}

static void begin(void *server)
{
	((struct server *)server)->done = false;
}

static void make_session(struct server *s, gnutls_dtls_prestate_st *prestate)
{
	stack_must(gnutls_init(&s->session, GNUTLS_SERVER | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK) == 0 &&
		       gnutls_priority_set(s->session, s->priority) == 0,
	    "GnuTLS's session");
	if (s->by_certificate)
		gnutls_credentials_set(s->session, GNUTLS_CRD_CERTIFICATE, s->certificates);
	else
		gnutls_credentials_set(s->session, GNUTLS_CRD_PSK, s->psk);
	gnutls_dtls_prestate_set(s->session, prestate);
	gnutls_dtls_set_mtu(s->session, MTU);
	gnutls_transport_set_ptr(s->session, s);
	gnutls_transport_set_push_function(s->session, push);
	gnutls_transport_set_pull_function(s->session, pull);
	gnutls_transport_set_pull_timeout_function(s->session, pull_timeout);
}

/* The hello that brings the cookie back is left for the session. */
static void judge_hellos(struct server *s)
{
	static const char address[] = "192.0.2.7:5684";
	gnutls_dtls_prestate_st prestate;
	uint8_t hello[PLAIN_DATAGRAM];
	unsigned head = s->in->head;
	int n;

	while (s->session == NULL && (n = plain_take(s->in, hello, sizeof(hello))) >= 0) {
		memset(&prestate, 0, sizeof(prestate));
		if (gnutls_dtls_cookie_verify(
			&s->cookie_key, (void *)(uintptr_t)address, sizeof(address), hello, (size_t)n, &prestate) < 0) {
			gnutls_dtls_cookie_send(
			    &s->cookie_key, (void *)(uintptr_t)address, sizeof(address), &prestate, s, push);
		} else {
			make_session(s, &prestate);
			s->in->head = head;
		}
		head = s->in->head;
	}
}

static bool serve(void *server)
{
	struct server *s = server;

	judge_hellos(s);
	if (s->session != NULL && !s->done)
		s->done = gnutls_handshake(s->session) == 0;
	return s->done;
}

static void echo(void *server, int count)
{
	struct server *s = server;
	uint8_t buf[PLAIN_DATAGRAM];

	for (int i = 0; i < count; i++) {
		ssize_t n = gnutls_record_recv(s->session, buf, sizeof(buf));

		stack_must(n > 0 && gnutls_record_send(s->session, buf, (size_t)n) == n, "GnuTLS's echo");
	}
}

static void end(void *server)
{
	struct server *s = server;

	gnutls_deinit(s->session);
	s->session = NULL;
}

const struct stack stack_gnutls = {
    .name = "GnuTLS",
    .open = open_server,
    .close = close_server,
    .begin = begin,
    .serve = serve,
    .echo = echo,
    .end = end,
};
