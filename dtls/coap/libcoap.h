/* libcoap.h - what libcoap calls of a (D)TLS backend, and what a backend calls of libcoap, that its public headers do
 * not declare. The only file that tests libcoap's version: from the outside nothing tells whether another one still
 * means the same by these names, so that none is guessed. */
#ifndef DTLS_COAP_LIBCOAP_H
#define DTLS_COAP_LIBCOAP_H

#include <coap3/coap.h>

#if LIBCOAP_VERSION != 4003001U && LIBCOAP_VERSION != 4003004U
#error "dtls/coap knows libcoap 4.3.1 and 4.3.4: compare what another one has before it is added"
#endif

/* ---- libcoap's own, for backends ---- */

/* Sends one datagram to the session's peer: its length, or less. */
#if LIBCOAP_VERSION < 4003004U
ssize_t coap_session_send(coap_session_t *, const uint8_t *datagram, size_t len);
#define coap_netif_dgrm_write coap_session_send
#else
ssize_t coap_netif_dgrm_write(coap_session_t *, const uint8_t *datagram, size_t len);
#endif
#if LIBCOAP_VERSION < 4003004U
/* Logging at the level of coap_dtls_set_log_level(). */
#define coap_dtls_log(level, ...) coap_log(level, __VA_ARGS__)
#endif
/* 4.3.1 frees a coap_session_t for which coap_dtls_new_server_session() made nothing, and tells nobody. */
enum { COAP_FREES_SILENTLY = LIBCOAP_VERSION < 4003004U };
/* Takes one CoAP message in. */
int coap_handle_dgram(coap_context_t *, coap_session_t *, uint8_t *message, size_t len);
/* The session can send now: what waited leaves. */
void coap_session_connected(coap_session_t *);
/* What the getters of coap_session.h return from now on; copied, NULL for none. 1, or 0 when out of memory. */
int coap_session_refresh_psk_identity(coap_session_t *, const coap_bin_const_t *);
int coap_session_refresh_psk_key(coap_session_t *, const coap_bin_const_t *);
int coap_session_refresh_psk_hint(coap_session_t *, const coap_bin_const_t *);

/* ---- the backend: contexts ---- */

void coap_dtls_startup(void);
void coap_dtls_shutdown(void);
void *coap_dtls_new_context(coap_context_t *);
void coap_dtls_free_context(void *backend);
int coap_dtls_context_set_spsk(coap_context_t *, coap_dtls_spsk_t *);
int coap_dtls_context_set_cpsk(coap_context_t *, coap_dtls_cpsk_t *);
int coap_dtls_context_set_pki(coap_context_t *, const coap_dtls_pki_t *, const coap_dtls_role_t);
int coap_dtls_context_set_pki_root_cas(coap_context_t *, const char *ca_file, const char *ca_dir);
int coap_dtls_context_check_keys_enabled(coap_context_t *);

/* ---- the backend: sessions over datagrams ---- */

void *coap_dtls_new_client_session(coap_session_t *);
void *coap_dtls_new_server_session(coap_session_t *);
void coap_dtls_free_session(coap_session_t *);
void *coap_dtls_get_tls(const coap_session_t *, coap_tls_library_t *);
void coap_dtls_session_update_mtu(coap_session_t *);
unsigned int coap_dtls_get_overhead(coap_session_t *);
int coap_dtls_hello(coap_session_t *, const uint8_t *datagram, size_t len);
int coap_dtls_receive(coap_session_t *, const uint8_t *datagram, size_t len);
int coap_dtls_is_context_timeout(void);
coap_tick_t coap_dtls_get_context_timeout(void *backend);
coap_tick_t coap_dtls_get_timeout(coap_session_t *, coap_tick_t now);
int coap_dtls_handle_timeout(coap_session_t *);

#if LIBCOAP_VERSION < 4003004U
typedef int coap_sent;
typedef int coap_level;
#else
typedef ssize_t coap_sent;
typedef coap_log_t coap_level;
#endif
coap_sent coap_dtls_send(coap_session_t *, const uint8_t *message, size_t len);

/* ---- the backend: sessions over streams ---- */

#if LIBCOAP_VERSION < 4003004U
void *coap_tls_new_client_session(coap_session_t *, int *connected);
void *coap_tls_new_server_session(coap_session_t *, int *connected);
#else
void *coap_tls_new_client_session(coap_session_t *);
void *coap_tls_new_server_session(coap_session_t *);
#endif
void coap_tls_free_session(coap_session_t *);
ssize_t coap_tls_write(coap_session_t *, const uint8_t *bytes, size_t len);
ssize_t coap_tls_read(coap_session_t *, uint8_t *bytes, size_t len);

/* ---- the backend: hashes and ciphers ---- */

typedef struct coap_digest_t {
	uint8_t key[32];
} coap_digest_t;
typedef void coap_digest_ctx_t;

coap_digest_ctx_t *coap_digest_setup(void);
void coap_digest_free(coap_digest_ctx_t *);
int coap_digest_update(coap_digest_ctx_t *, const uint8_t *bytes, size_t len);
int coap_digest_final(coap_digest_ctx_t *, coap_digest_t *digest);

#if LIBCOAP_VERSION >= 4003004U
/* The enumerations of COSE are plain numbers to us, who know none of them. */
typedef int coap_cose_alg;
struct coap_crypto_param_t;

int coap_crypto_check_cipher_alg(coap_cose_alg);
int coap_crypto_check_hkdf_alg(coap_cose_alg);
int coap_crypto_hash(coap_cose_alg, const coap_bin_const_t *data, coap_bin_const_t **hash);
int coap_crypto_hmac(coap_cose_alg, coap_bin_const_t *key, coap_bin_const_t *data, coap_bin_const_t **hmac);
int coap_crypto_aead_encrypt(const struct coap_crypto_param_t *, coap_bin_const_t *data, coap_bin_const_t *aad,
    uint8_t *result, size_t *max_result_len);
int coap_crypto_aead_decrypt(const struct coap_crypto_param_t *, coap_bin_const_t *data, coap_bin_const_t *aad,
    uint8_t *result, size_t *max_result_len);
#endif

#endif
