#include "raw_tls.h"

#include "dtls/mbed.h"

#include <mbedtls/net_sockets.h>
#include <string.h>
#include <sys/random.h>

enum { ROUNDS_MAX = 100 };

int raw_tls_random(void *arg, unsigned char *out, size_t len)
{
	(void)arg;
	return getrandom(out, len, 0) == (ssize_t)len ? 0 : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int raw_send(void *arg, const unsigned char *bytes, size_t len)
{
	ssize_t n = stream_side_send(arg, bytes, len);

	return n == DTLS_WANT_WRITE ? MBEDTLS_ERR_SSL_WANT_WRITE : n < 0 ? MBEDTLS_ERR_NET_SEND_FAILED : (int)n;
}

static int raw_recv(void *arg, unsigned char *buf, size_t len)
{
	ssize_t n = stream_side_recv(arg, buf, len);

	return n == DTLS_WANT_READ ? MBEDTLS_ERR_SSL_WANT_READ : n < 0 ? MBEDTLS_ERR_NET_RECV_FAILED : (int)n;
}

void raw_tls_open(struct raw_tls *r, int endpoint)
{
	mbedtls_ssl_init(&r->ssl);
	mbedtls_ssl_config_init(&r->conf);
	ck_assert_int_eq(
	    mbedtls_ssl_config_defaults(&r->conf, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT),
	    0);
	mbed_conf_versions(&r->conf, false);
	mbedtls_ssl_conf_rng(&r->conf, raw_tls_random, NULL);
	mbedtls_ssl_conf_renegotiation(&r->conf, MBEDTLS_SSL_RENEGOTIATION_ENABLED);
	ck_assert_int_eq(mbedtls_ssl_conf_psk(&r->conf, (const unsigned char *)STREAMS_KEY, strlen(STREAMS_KEY),
			     (const unsigned char *)STREAMS_IDENTITY, strlen(STREAMS_IDENTITY)),
	    0);
}

void raw_tls_start(struct raw_tls *r, struct stream_side *side)
{
	ck_assert_int_eq(mbedtls_ssl_setup(&r->ssl, &r->conf), 0);
	mbedtls_ssl_set_bio(&r->ssl, side, raw_send, raw_recv, NULL);
}

void raw_tls_close(struct raw_tls *r)
{
	mbedtls_ssl_free(&r->ssl);
	mbedtls_ssl_config_free(&r->conf);
}

int raw_tls_handshake(struct raw_tls *r, struct stream_side *ours)
{
	int code = MBEDTLS_ERR_SSL_WANT_READ;

	for (int i = 0; i < ROUNDS_MAX; i++) {
		if (code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE)
			code = mbedtls_ssl_handshake(&r->ssl);
		stream_side_step(ours);
	}
	return code;
}
