#include "plain.h"

#include <mbedtls/version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char plain_identity[] = "Client_identity", plain_key[] = "secretPSKsecretP";

void plain_put(struct plain_queue *q, const void *bytes, size_t len)
{
	q->slots[q->tail % PLAIN_QUEUE].len = len;
	memcpy(q->slots[q->tail % PLAIN_QUEUE].bytes, bytes, len);
	q->tail++;
}

int plain_take(struct plain_queue *q, void *buf, size_t len)
{
	size_t n;

	if (q->head == q->tail)
		return -1;
	n = q->slots[q->head % PLAIN_QUEUE].len;
	n = n < len ? n : len;
	memcpy(buf, q->slots[q->head % PLAIN_QUEUE].bytes, n);
	q->head++;
	return (int)n;
}

static int send_datagram(void *side, const unsigned char *buf, size_t len)
{
	plain_put(((struct plain_side *)side)->out, buf, len);
	return (int)len;
}

static int recv_datagram(void *side, unsigned char *buf, size_t len)
{
	int n = plain_take(((struct plain_side *)side)->in, buf, len);

	return n < 0 ? MBEDTLS_ERR_SSL_WANT_READ : n;
}

/* Nothing is lost in memory: no timer ever fires. */
static void set_timer(void *arg, uint32_t intermediate_ms, uint32_t final_ms)
{
	(void)arg, (void)intermediate_ms, (void)final_ms;
}

static int get_timer(void *arg)
{
	(void)arg;
	return 0;
}

static void must(int code, const char *what)
{
	if (code == 0)
		return;
	fprintf(stderr, "%s: mbed TLS error -0x%04x\n", what, (unsigned)-code);
	exit(1);
}

static void configure(struct plain_side *s, bool server)
{
	must(mbedtls_ssl_config_defaults(&s->conf, server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
		 MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT),
	    "config");
	mbedtls_ssl_conf_rng(&s->conf, mbedtls_ctr_drbg_random, &s->drbg);
	mbedtls_ssl_conf_ciphersuites(&s->conf, s->suites);
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	mbedtls_ssl_conf_min_version(&s->conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#else
	mbedtls_ssl_conf_max_tls_version(&s->conf, MBEDTLS_SSL_VERSION_TLS1_2);
#endif
	must(mbedtls_ssl_conf_psk(&s->conf, (const unsigned char *)plain_key, strlen(plain_key),
		 (const unsigned char *)plain_identity, strlen(plain_identity)),
	    "psk");
	if (!server)
		return;
	must(mbedtls_ssl_cookie_setup(&s->cookies, mbedtls_ctr_drbg_random, &s->drbg), "cookies");
	mbedtls_ssl_conf_dtls_cookies(&s->conf, mbedtls_ssl_cookie_write, mbedtls_ssl_cookie_check, &s->cookies);
}

void plain_init(struct plain_side *s, bool server, int suite, struct plain_queue *in, struct plain_queue *out)
{
	memset(s, 0, sizeof(*s));
	s->server = server;
	s->suites[0] = suite;
	s->in = in;
	s->out = out;
	mbedtls_entropy_init(&s->entropy);
	mbedtls_ctr_drbg_init(&s->drbg);
	mbedtls_ssl_config_init(&s->conf);
	mbedtls_ssl_cookie_init(&s->cookies);
	mbedtls_ssl_init(&s->ssl);
	must(mbedtls_ctr_drbg_seed(&s->drbg, mbedtls_entropy_func, &s->entropy, NULL, 0), "seed");
	configure(s, server);
	must(mbedtls_ssl_setup(&s->ssl, &s->conf), "setup");
	mbedtls_ssl_set_bio(&s->ssl, s, send_datagram, recv_datagram, NULL);
	mbedtls_ssl_set_timer_cb(&s->ssl, s, set_timer, get_timer);
	plain_reset(s);
}

void plain_free(struct plain_side *s)
{
	mbedtls_ssl_free(&s->ssl);
	mbedtls_ssl_config_free(&s->conf);
	mbedtls_ssl_cookie_free(&s->cookies);
	mbedtls_ctr_drbg_free(&s->drbg);
	mbedtls_entropy_free(&s->entropy);
}

void plain_reset(struct plain_side *s)
{
	must(mbedtls_ssl_session_reset(&s->ssl), "reset");
	if (s->server)
		must(mbedtls_ssl_set_client_transport_id(&s->ssl, (const unsigned char *)"192.0.2.7:5684", 14),
		    "client id");
}

int plain_step(struct plain_side *s)
{
	int code = mbedtls_ssl_handshake(&s->ssl);

	if (code == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED)
		plain_reset(s);
	return code;
}
