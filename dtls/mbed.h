/* mbed.h - the only file that knows which mbed TLS it is compiled against. */
#ifndef MBED_H
#define MBED_H

#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <stdbool.h>
#include <string.h>

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define MBED_FIELD(name)   name
#define mbed_badmac        badmac_seen
#define MBED_ERR_VERSION   MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION
#define MBED_ERR_NO_CIPHER MBEDTLS_ERR_SSL_NO_CIPHER_CHOSEN
#define MBED_ERR_CERT      MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE
#define MBED_ERR_ALPN      MBEDTLS_ERR_SSL_BAD_HS_CLIENT_HELLO
#else
#define MBED_FIELD(name)   MBEDTLS_PRIVATE(name)
#define mbed_badmac        badmac_seen_or_in_hsfraglen
#define MBED_ERR_VERSION   MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION
#define MBED_ERR_NO_CIPHER MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE
#define MBED_ERR_CERT      MBEDTLS_ERR_SSL_BAD_CERTIFICATE
#define MBED_ERR_ALPN      MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL
#endif

/* TLS 1.3 draws from a generator of mbed TLS's own, which only 3.6.6 and later can reseed after fork(). */
#if MBEDTLS_VERSION_NUMBER >= 0x03060600 && defined(MBEDTLS_SSL_PROTO_TLS1_3)
#include <psa/crypto.h>
#define MBED_1_3 1
#else
#define MBED_1_3 0
#endif

enum { MBED_1_3_CIPHERS = 5 };
/* The suites of TLS 1.3, most wanted first; none where mbed TLS has no TLS 1.3. Returns how many. */
static inline size_t mbed_1_3_ciphers(int ids[MBED_1_3_CIPHERS])
{
#if MBED_1_3
	static const int all[MBED_1_3_CIPHERS] = {MBEDTLS_TLS1_3_AES_128_GCM_SHA256, MBEDTLS_TLS1_3_AES_128_CCM_SHA256,
	    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
	    MBEDTLS_TLS1_3_AES_128_CCM_8_SHA256};

	memcpy(ids, all, sizeof(all));
	return MBED_1_3_CIPHERS;
#else
	(void)ids;
	return 0;
#endif
}

/* In a child, before it draws anything. */
static inline void mbed_after_fork(void)
{
#if MBED_1_3
	psa_random_deplete(); /* fails where that generator was never used */
#endif
}

/* RFC 9325, 3.1: nothing below (D)TLS 1.2; DTLS 1.3 does not exist in mbed TLS. */
static inline void mbed_conf_versions(mbedtls_ssl_config *conf, bool with_1_3)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	(void)with_1_3;
	mbedtls_ssl_conf_min_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
	mbedtls_ssl_conf_max_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#else
	mbedtls_ssl_conf_min_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_max_tls_version(conf, with_1_3 ? MBEDTLS_SSL_VERSION_TLS1_3 : MBEDTLS_SSL_VERSION_TLS1_2);
#endif
}

/* That of alerts before the peer's hello was understood: 2.28 would send 0.0. */
static inline void mbed_set_first_version(mbedtls_ssl_context *ssl)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	ssl->major_ver = MBEDTLS_SSL_MAJOR_VERSION_3;
	ssl->minor_ver = MBEDTLS_SSL_MINOR_VERSION_3;
#else
	(void)ssl;
#endif
}

/* Another configuration, in the middle of the handshake: what is decided from now on follows it. */
static inline void mbed_set_conf(mbedtls_ssl_context *ssl, const mbedtls_ssl_config *conf)
{
	ssl->MBED_FIELD(conf) = conf;
}

/* How TLS 1.3 agrees on keys (RFC 8446, 2.2), always with forward secrecy. Of the two only one: a mbed TLS server that
 * takes both asks for the identity of a client that then need not prove it. */
static inline void mbed_conf_1_3_keys(mbedtls_ssl_config *conf, bool psk)
{
#if MBED_1_3
	mbedtls_ssl_conf_tls13_key_exchange_modes(conf,
	    psk ? MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL : MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL);
#else
	(void)conf, (void)psk;
#endif
}

static inline bool mbed_is_1_3(const mbedtls_ssl_context *ssl)
{
#if MBED_1_3
	return ssl->MBED_FIELD(tls_version) == MBEDTLS_SSL_VERSION_TLS1_3;
#else
	(void)ssl;
	return false;
#endif
}

/* A read that met a ticket, which we do not use, is to be repeated. */
static inline bool mbed_is_session_ticket(int code)
{
#if MBED_1_3
	return code == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
#else
	(void)code;
	return false;
#endif
}

/* Most wanted first. mbed TLS would begin with P-521, at five times the cost; RFC 7925, 4.4 asks for P-256. The peer's
 * certificate may have a key on any of them but X25519. */
static inline void mbed_conf_groups(mbedtls_ssl_config *conf)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	static const mbedtls_ecp_group_id groups[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_CURVE25519,
	    MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_SECP521R1, MBEDTLS_ECP_DP_BP256R1, MBEDTLS_ECP_DP_BP384R1,
	    MBEDTLS_ECP_DP_BP512R1, MBEDTLS_ECP_DP_NONE};

	mbedtls_ssl_conf_curves(conf, groups);
#else
	static const uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
	    MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1,
	    MBEDTLS_SSL_IANA_TLS_GROUP_BP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_BP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_BP512R1,
	    MBEDTLS_SSL_IANA_TLS_GROUP_NONE};

	mbedtls_ssl_conf_groups(conf, groups);
#endif
}

/* What 3.6 takes by default. 2.28 would take keys on any curve, find out after the verification that the peer's is on none
 * of the groups above, and forgive that where a certificate is optional. */
static inline void mbed_conf_profile(mbedtls_ssl_config *conf)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	static const mbedtls_x509_crt_profile profile = {.allowed_mds = MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA256) |
									MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA384) |
									MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA512),
	    .allowed_pks = 0xfffffff,
	    .allowed_curves =
		MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP256R1) | MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP384R1) |
		MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP521R1) | MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_BP256R1) |
		MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_BP384R1) | MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_BP512R1),
	    .rsa_min_bitlen = 2048};

	mbedtls_ssl_conf_cert_profile(conf, &profile);
#else
	(void)conf;
#endif
}

/* No suite in common, and none that this side's certificate fits: 3.6 has one code for both. */
static inline int mbed_same_meaning(int code)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	return code == MBEDTLS_ERR_SSL_NO_USABLE_CIPHERSUITE ? MBED_ERR_NO_CIPHER : code;
#else
	return code;
#endif
}

/* Records that did not authenticate; counted only while a limit is configured. */
static inline unsigned mbed_forgeries(const mbedtls_ssl_context *ssl)
{
	return ssl->MBED_FIELD(mbed_badmac);
}

/* Bytes of output that the transport has not taken yet. */
static inline size_t mbed_unsent(const mbedtls_ssl_context *ssl)
{
	return ssl->MBED_FIELD(out_left);
}

/* A server keeps its last flight, to send it again, until the first application record comes. */
static inline bool mbed_keeps_flight(const mbedtls_ssl_context *ssl)
{
	return ssl->MBED_FIELD(handshake) != NULL;
}

/* Once it was saved, a context is one that begins anew. */
static inline bool mbed_is_open(const mbedtls_ssl_context *ssl)
{
	return ssl->MBED_FIELD(state) == MBEDTLS_SSL_HANDSHAKE_OVER && ssl->MBED_FIELD(session) != NULL;
}

/* The id of an open session's suite. */
static inline int mbed_suite(const mbedtls_ssl_context *ssl)
{
	return ssl->MBED_FIELD(session)->MBED_FIELD(ciphersuite);
}

/* Epoch and sequence number of the next record to leave: eight bytes. */
static inline const unsigned char *mbed_out_counter(const mbedtls_ssl_context *ssl)
{
	return ssl->MBED_FIELD(cur_out_ctr);
}

/* The replay window: the newest sequence number, and a bit for each of the 64 up to it, the lowest for the newest. */
static inline void mbed_window(const mbedtls_ssl_context *ssl, uint64_t *top, uint64_t *seen)
{
	*top = ssl->MBED_FIELD(in_window_top);
	*seen = ssl->MBED_FIELD(in_window);
}

/* 2.28 saves the protocol that was agreed on, but compares it with the wrong bytes when it is loaded: it is taken out
 * before, and put back behind. */
static inline void mbed_set_alpn(mbedtls_ssl_context *ssl, const char *name)
{
	ssl->MBED_FIELD(alpn_chosen) = name;
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

typedef int mbed_rng(void *, unsigned char *, size_t);

static inline int mbed_parse_key(
    mbedtls_pk_context *key, const unsigned char *bytes, size_t len, const char *password, mbed_rng *rng, void *rng_arg)
{
	const unsigned char *pwd = (const unsigned char *)password;
	size_t pwd_len = password == NULL ? 0 : strlen(password);

#if MBEDTLS_VERSION_NUMBER < 0x03000000
	(void)rng, (void)rng_arg;
	return mbedtls_pk_parse_key(key, bytes, len, pwd, pwd_len);
#else
	return mbedtls_pk_parse_key(key, bytes, len, pwd, pwd_len, rng, rng_arg);
#endif
}

static inline int mbed_check_pair(
    const mbedtls_x509_crt *cert, const mbedtls_pk_context *key, mbed_rng *rng, void *rng_arg)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	(void)rng, (void)rng_arg;
	return mbedtls_pk_check_pair(&cert->pk, key);
#else
	return mbedtls_pk_check_pair(&cert->pk, key, rng, rng_arg);
#endif
}

static inline int mbed_sign(mbedtls_pk_context *key, const unsigned char *hash, size_t hash_len, unsigned char *out,
    size_t size, size_t *len, mbed_rng *rng, void *rng_arg)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	(void)size;
	return mbedtls_pk_sign(key, MBEDTLS_MD_SHA256, hash, hash_len, out, len, rng, rng_arg);
#else
	return mbedtls_pk_sign(key, MBEDTLS_MD_SHA256, hash, hash_len, out, size, len, rng, rng_arg);
#endif
}

/* What mbed TLS tells of a session's secret: its label in a key log, the client's random, and the secret itself. */
typedef void mbed_secret(
    void *arg, const char *label, const unsigned char client_random[32], const unsigned char *secret, size_t len);
struct mbed_exporter {
	mbed_secret *secret; /* NULL: nobody wants to know */
	void *arg;
};

#if MBEDTLS_VERSION_NUMBER < 0x03000000
static inline int mbed_export(void *exporter, const unsigned char *secret, const unsigned char *keys, size_t mac_len,
    size_t key_len, size_t iv_len, const unsigned char client_random[32], const unsigned char server_random[32],
    mbedtls_tls_prf_types prf)
{
	struct mbed_exporter *e = exporter;

	(void)keys, (void)mac_len, (void)key_len, (void)iv_len, (void)server_random, (void)prf;
	e->secret(e->arg, "CLIENT_RANDOM", client_random, secret, 48);
	return 0;
}
#else
static inline void mbed_export(void *exporter, mbedtls_ssl_key_export_type type, const unsigned char *secret,
    size_t len, const unsigned char client_random[32], const unsigned char server_random[32], mbedtls_tls_prf_types prf)
{
	static const struct {
		mbedtls_ssl_key_export_type type;
		const char *label;
	} labels[] = {
		{MBEDTLS_SSL_KEY_EXPORT_TLS12_MASTER_SECRET, "CLIENT_RANDOM"},
#if MBED_1_3
		{MBEDTLS_SSL_KEY_EXPORT_TLS1_3_CLIENT_HANDSHAKE_TRAFFIC_SECRET, "CLIENT_HANDSHAKE_TRAFFIC_SECRET"},
		{MBEDTLS_SSL_KEY_EXPORT_TLS1_3_SERVER_HANDSHAKE_TRAFFIC_SECRET, "SERVER_HANDSHAKE_TRAFFIC_SECRET"},
		{MBEDTLS_SSL_KEY_EXPORT_TLS1_3_CLIENT_APPLICATION_TRAFFIC_SECRET, "CLIENT_TRAFFIC_SECRET_0"},
		{MBEDTLS_SSL_KEY_EXPORT_TLS1_3_SERVER_APPLICATION_TRAFFIC_SECRET, "SERVER_TRAFFIC_SECRET_0"},
#endif
	};
	struct mbed_exporter *e = exporter;

	(void)server_random, (void)prf;
	for (size_t i = 0; i < sizeof(labels) / sizeof(*labels); i++)
		if (labels[i].type == type)
			e->secret(e->arg, labels[i].label, client_random, secret, len);
}
#endif

/* A server's memory of sessions: set is called with a new one that has an id, get for the id in a hello once the suite
 * is chosen. It fills the session and returns 0, or anything else. */
struct mbed_cache {
	int (*get)(void *arg, const unsigned char *id, size_t id_len, mbedtls_ssl_session *);
	int (*set)(void *arg, const unsigned char *id, size_t id_len, const mbedtls_ssl_session *);
};

/* What a server's session of 1.2 has from the beginning; 3.6 takes one that was never verified for a bad one. */
static inline void mbed_session_for_server(mbedtls_ssl_session *session)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	(void)session;
#else
	session->MBED_FIELD(tls_version) = MBEDTLS_SSL_VERSION_TLS1_2;
	session->MBED_FIELD(endpoint) = MBEDTLS_SSL_IS_SERVER;
	session->MBED_FIELD(verify_result) = 0;
#endif
}

#if MBEDTLS_VERSION_NUMBER < 0x03000000
static inline int mbed_cache_get(void *cache, mbedtls_ssl_session *session)
{
	unsigned char id[32];
	size_t len = session->id_len;

	memcpy(id, session->id, sizeof(id));
	return ((const struct mbed_cache *)cache)->get(NULL, id, len, session);
}

static inline int mbed_cache_set(void *cache, const mbedtls_ssl_session *session)
{
	return ((const struct mbed_cache *)cache)->set(NULL, session->id, session->id_len, session);
}
#endif

static inline void mbed_conf_cache(mbedtls_ssl_config *conf, struct mbed_cache *cache)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	mbedtls_ssl_conf_session_cache(conf, cache, mbed_cache_get, mbed_cache_set);
#else
	mbedtls_ssl_conf_session_cache(conf, NULL, cache->get, cache->set);
#endif
}

/* Tickets of TLS 1.3 would be resumed with a key exchange that we do not offer. */
static inline void mbed_conf_no_1_3_tickets(mbedtls_ssl_config *conf)
{
#if MBED_1_3
	mbedtls_ssl_conf_new_session_tickets(conf, 0);
#else
	(void)conf;
#endif
}

/* 2.28 has the callback in the configuration, 3.x in the connection: both are called, one does nothing. */
static inline void mbed_conf_export(mbedtls_ssl_config *conf, struct mbed_exporter *e)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	if (e->secret != NULL)
		mbedtls_ssl_conf_export_keys_ext_cb(conf, mbed_export, e);
#else
	(void)conf, (void)e;
#endif
}

static inline void mbed_set_export(mbedtls_ssl_context *ssl, struct mbed_exporter *e)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	(void)ssl, (void)e;
#else
	if (e->secret != NULL)
		mbedtls_ssl_set_export_keys_cb(ssl, mbed_export, e);
#endif
}

#endif
