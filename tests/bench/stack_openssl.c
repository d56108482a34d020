/* OpenSSL alone: memory BIOs, an SSL object for each client, cookies with its HMAC. */
#include "stack_certificate.h"
#include "stacks.h"

#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

enum { MTU = 1400 };

struct server {
	struct plain_queue *in, *out;
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *rbio, *wbio; /* of ssl */
};

static unsigned find_key(SSL *ssl, const char *identity, unsigned char *key, unsigned max)
{
	(void)ssl, (void)max;
	if (strcmp(identity, plain_identity) != 0)
		return 0;
	memcpy(key, plain_key, strlen(plain_key));
	return (unsigned)strlen(plain_key);
}

static int make_cookie(SSL *ssl, unsigned char *cookie, unsigned *len)
{
	static const char secret[] = "a secret of 32 bytes, as it seems", address[] = "192.0.2.7:5684";

	(void)ssl;
	return HMAC(EVP_sha256(), secret, 32, (const unsigned char *)address, sizeof(address), cookie, len) != NULL;
}

static int check_cookie(SSL *ssl, const unsigned char *cookie, unsigned len)
{
	unsigned char expected[EVP_MAX_MD_SIZE];
	unsigned expected_len;

	return make_cookie(ssl, expected, &expected_len) && len == expected_len &&
	       CRYPTO_memcmp(cookie, expected, len) == 0;
}

static void certify(SSL_CTX *ctx)
{
	BIO *certificate_bio = BIO_new_mem_buf(stack_certificate, -1), *key_bio = BIO_new_mem_buf(stack_key, -1);
	X509 *certificate = PEM_read_bio_X509(certificate_bio, NULL, NULL, NULL);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);

	stack_must(SSL_CTX_use_certificate(ctx, certificate) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1,
	    "OpenSSL's certificate");
	X509_free(certificate);
	EVP_PKEY_free(key);
	BIO_free(certificate_bio);
	BIO_free(key_bio);
}

static void *open_server(enum stack_suite suite, struct plain_queue *in, struct plain_queue *out)
{
	struct server *s = stack_memory(sizeof(*s));
	char ciphers[80];

	s->in = in;
	s->out = out;
	s->ctx = SSL_CTX_new(DTLS_server_method());
	snprintf(ciphers, sizeof(ciphers), "%s:@SECLEVEL=0", stack_suite_names[suite]);
	stack_must(s->ctx != NULL && SSL_CTX_set_min_proto_version(s->ctx, DTLS1_2_VERSION) == 1 &&
		       SSL_CTX_set_cipher_list(s->ctx, ciphers) == 1,
	    "OpenSSL's settings");
	SSL_CTX_set_options(s->ctx, SSL_OP_COOKIE_EXCHANGE | SSL_OP_NO_QUERY_MTU | SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(s->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_cookie_generate_cb(s->ctx, make_cookie);
	SSL_CTX_set_cookie_verify_cb(s->ctx, check_cookie);
	SSL_CTX_set_psk_server_callback(s->ctx, find_key);
	if (suite == STACK_ECDSA)
		certify(s->ctx);
	return s;
}

static void close_server(void *server)
{
	struct server *s = server;

	SSL_CTX_free(s->ctx);
	free(s);
}

static void begin(void *server)
{
	struct server *s = server;

	s->ssl = SSL_new(s->ctx);
	s->rbio = BIO_new(BIO_s_mem());
	s->wbio = BIO_new(BIO_s_mem());
	stack_must(s->ssl != NULL && s->rbio != NULL && s->wbio != NULL, "memory");
	BIO_set_mem_eof_return(s->rbio, -1);
	SSL_set_bio(s->ssl, s->rbio, s->wbio);
	SSL_set_mtu(s->ssl, MTU);
	SSL_set_accept_state(s->ssl);
}

static void flush(struct server *s)
{
	uint8_t datagram[PLAIN_DATAGRAM];
	int n;

	while ((n = BIO_read(s->wbio, datagram, sizeof(datagram))) > 0)
		plain_put(s->out, datagram, (size_t)n);
}

static bool take(struct server *s)
{
	uint8_t datagram[PLAIN_DATAGRAM];
	int n = plain_take(s->in, datagram, sizeof(datagram));

	return n >= 0 && BIO_write(s->rbio, datagram, n) == n;
}

static bool serve(void *server)
{
	struct server *s = server;

	while (take(s)) {
		SSL_do_handshake(s->ssl);
		flush(s);
	}
	return SSL_is_init_finished(s->ssl);
}

static void echo(void *server, int count)
{
	struct server *s = server;
	uint8_t buf[PLAIN_DATAGRAM];

	for (int i = 0; i < count; i++) {
		int n = take(s) ? SSL_read(s->ssl, buf, sizeof(buf)) : -1;

		stack_must(n > 0 && SSL_write(s->ssl, buf, n) == n, "OpenSSL's echo");
		flush(s);
	}
}

static void end(void *server)
{
	SSL_free(((struct server *)server)->ssl);
}

const struct stack stack_openssl = {
    .name = "OpenSSL",
    .open = open_server,
    .close = close_server,
    .begin = begin,
    .serve = serve,
    .echo = echo,
    .end = end,
};
