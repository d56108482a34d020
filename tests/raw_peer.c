#include "raw_peer.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static int raw_send(void *arg, const unsigned char *buf, size_t len)
{
	struct raw_peer *r = arg;

	return (int)r->transport.send(r->transport.arg, buf, len);
}

static int raw_recv(void *arg, unsigned char *buf, size_t len)
{
	struct raw_peer *r = arg;
	ssize_t n = r->transport.recv(r->transport.arg, buf, len);

	return n == DTLS_WANT_READ ? MBEDTLS_ERR_SSL_WANT_READ : (int)n;
}

static void raw_set_timer(void *arg, uint32_t soft_ms, uint32_t hard_ms)
{
	struct raw_peer *r = arg;

	r->soft_at = sim_now_ms(r->sim) + soft_ms;
	r->hard_at = hard_ms == 0 ? -1 : sim_now_ms(r->sim) + hard_ms;
}

static int raw_get_timer(void *arg)
{
	const struct raw_peer *r = arg;
	int64_t now = sim_now_ms(r->sim);

	if (r->hard_at < 0)
		return -1;
	return (now >= r->soft_at) + (now >= r->hard_at);
}

void raw_init(
    struct raw_peer *r, int endpoint, struct sim *sim, struct rng *rng, const struct dtls_transport *transport)
{
	memset(r, 0, sizeof(*r));
	r->sim = sim;
	r->transport = *transport;
	r->hard_at = -1;
	r->code = MBEDTLS_ERR_SSL_WANT_READ;
	mbedtls_ssl_init(&r->ssl);
	mbedtls_ssl_config_init(&r->conf);
	mbedtls_x509_crt_init(&r->chain);
	mbedtls_pk_init(&r->key);
	ck_assert_int_eq(
	    mbedtls_ssl_config_defaults(&r->conf, endpoint, MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT),
	    0);
	mbed_conf_versions(&r->conf, false);
	mbed_conf_groups(&r->conf);
	mbedtls_ssl_conf_rng(&r->conf, rng_bytes, rng);
	mbedtls_ssl_conf_authmode(&r->conf, MBEDTLS_SSL_VERIFY_NONE);
	if (endpoint == MBEDTLS_SSL_IS_SERVER)
		mbedtls_ssl_conf_dtls_cookies(&r->conf, NULL, NULL, NULL);
}

void raw_load(struct raw_peer *r, const char *cert, const char *key, struct rng *rng)
{
	unsigned char pem[4096] = {0};
	FILE *f = fopen(key, "r");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_gt(fread(pem, 1, sizeof(pem) - 1, f), 0);
	fclose(f);
	ck_assert_int_eq(mbed_parse_key(&r->key, pem, strlen((const char *)pem) + 1, NULL, rng_bytes, rng), 0);
	ck_assert_int_eq(mbedtls_x509_crt_parse_file(&r->chain, cert), 0);
	ck_assert_int_eq(mbedtls_ssl_conf_own_cert(&r->conf, &r->chain, &r->key), 0);
}

void raw_start(struct raw_peer *r)
{
	ck_assert_int_eq(mbedtls_ssl_setup(&r->ssl, &r->conf), 0);
	mbedtls_ssl_set_bio(&r->ssl, r, raw_send, raw_recv, NULL);
	mbedtls_ssl_set_timer_cb(&r->ssl, r, raw_set_timer, raw_get_timer);
	ck_assert_int_eq(mbedtls_ssl_set_hostname(&r->ssl, NULL), 0);
}

void raw_free(struct raw_peer *r)
{
	mbedtls_ssl_free(&r->ssl);
	mbedtls_ssl_config_free(&r->conf);
	mbedtls_x509_crt_free(&r->chain);
	mbedtls_pk_free(&r->key);
}

static void raw_read(struct raw_peer *r)
{
	int n;

	while ((n = mbedtls_ssl_read(&r->ssl, (unsigned char *)r->last, sizeof(r->last) - 1)) > 0) {
		r->last[n] = '\0';
		r->messages++;
	}
	if (n != MBEDTLS_ERR_SSL_WANT_READ)
		r->code = n;
}

void raw_step(struct raw_peer *r)
{
	if (r->code == MBEDTLS_ERR_SSL_WANT_READ)
		r->code = mbedtls_ssl_handshake(&r->ssl);
	else if (r->code == 0)
		raw_read(r);
	if (r->code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE && r->alert == 0)
		r->alert = mbed_alert(&r->ssl);
}

void raw_write(struct raw_peer *r, const char *text)
{
	int len = (int)strlen(text);

	ck_assert_int_eq(mbedtls_ssl_write(&r->ssl, (const unsigned char *)text, (size_t)len), len);
}
