/* mbed.h - the only file that knows which mbed TLS it is compiled against. */
#ifndef MBED_H
#define MBED_H

#include <mbedtls/ssl.h>
#include <mbedtls/version.h>

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define MBED_FIELD(name)   name
#define mbed_badmac        badmac_seen
#define MBED_ERR_VERSION   MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION
#define MBED_ERR_NO_CIPHER MBEDTLS_ERR_SSL_NO_CIPHER_CHOSEN
#else
#define MBED_FIELD(name)   MBEDTLS_PRIVATE(name)
#define mbed_badmac        badmac_seen_or_in_hsfraglen
#define MBED_ERR_VERSION   MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION
#define MBED_ERR_NO_CIPHER MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE
#endif

/* RFC 9325, 3.1: nothing below (D)TLS 1.2; DTLS 1.3 does not exist in mbed TLS. */
static inline void mbed_conf_only_1_2(mbedtls_ssl_config *conf)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	mbedtls_ssl_conf_min_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
	mbedtls_ssl_conf_max_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#else
	mbedtls_ssl_conf_min_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_max_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
#endif
}

/* Records that did not authenticate; counted only while a limit is configured. */
static inline unsigned mbed_forgeries(const mbedtls_ssl_context *ssl)
{
	return ssl->MBED_FIELD(mbed_badmac);
}

/* Level and description of the alert that made a call return FATAL_ALERT_MESSAGE or PEER_CLOSE_NOTIFY. */
static inline unsigned char mbed_alert(const mbedtls_ssl_context *ssl)
{
	return ssl->MBED_FIELD(in_msg)[1];
}

static inline int mbed_encrypt_then_mac(const mbedtls_ssl_context *ssl)
{
	return ssl->MBED_FIELD(session) != NULL && ssl->MBED_FIELD(session)->MBED_FIELD(encrypt_then_mac);
}

#endif
