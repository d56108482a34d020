/* unsupported.c - what libcoap must hear is not there: TLS over TCP, whose streams 4.3.1 has no functions for; and the
 * ciphers of OSCORE. */
#include "backend.h"

int coap_tls_is_supported(void)
{
	return 0;
}

static void *no_tls(void)
{
	log_line(LOG_ERR, "TLS over TCP is not supported: use coaps over UDP\n");
	return NULL;
}

#if LIBCOAP_VERSION < 4003004U
void *coap_tls_new_client_session(coap_session_t *coap, int *connected)
{
	(void)coap;
	*connected = 0;
	return no_tls();
}

void *coap_tls_new_server_session(coap_session_t *coap, int *connected)
{
	(void)coap;
	*connected = 0;
	return no_tls();
}
#else
void *coap_tls_new_client_session(coap_session_t *coap)
{
	(void)coap;
	return no_tls();
}

void *coap_tls_new_server_session(coap_session_t *coap)
{
	(void)coap;
	return no_tls();
}

int coap_dtls_psk_is_supported(void)
{
	return 1;
}

int coap_dtls_pki_is_supported(void)
{
	return 1;
}

int coap_dtls_pkcs11_is_supported(void)
{
	return 0;
}

int coap_dtls_rpk_is_supported(void)
{
	return 0;
}

int coap_oscore_is_supported(void)
{
	return 0;
}

int coap_crypto_check_cipher_alg(coap_cose_alg alg)
{
	(void)alg;
	return 0;
}

int coap_crypto_check_hkdf_alg(coap_cose_alg alg)
{
	(void)alg;
	return 0;
}

int coap_crypto_hash(coap_cose_alg alg, const coap_bin_const_t *data, coap_bin_const_t **hash)
{
	(void)alg, (void)data, (void)hash;
	return 0;
}

int coap_crypto_hmac(coap_cose_alg alg, coap_bin_const_t *key, coap_bin_const_t *data, coap_bin_const_t **hmac)
{
	(void)alg, (void)key, (void)data, (void)hmac;
	return 0;
}

int coap_crypto_aead_encrypt(const struct coap_crypto_param_t *params, coap_bin_const_t *data, coap_bin_const_t *aad,
    uint8_t *result, size_t *max_result_len)
{
	(void)params, (void)data, (void)aad, (void)result;
	*max_result_len = 0;
	return 0;
}

int coap_crypto_aead_decrypt(const struct coap_crypto_param_t *params, coap_bin_const_t *data, coap_bin_const_t *aad,
    uint8_t *result, size_t *max_result_len)
{
	(void)params, (void)data, (void)aad, (void)result;
	*max_result_len = 0;
	return 0;
}
#endif

void coap_tls_free_session(coap_session_t *coap)
{
	(void)coap;
}

ssize_t coap_tls_write(coap_session_t *coap, const uint8_t *bytes, size_t len)
{
	(void)coap, (void)bytes, (void)len;
	return -1;
}

ssize_t coap_tls_read(coap_session_t *coap, uint8_t *bytes, size_t len)
{
	(void)coap, (void)bytes, (void)len;
	return -1;
}
