#include "resume.h"

#include <mbedtls/oid.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>
#include <string.h>

enum { ESCAPED = sizeof("\\xHH") - 1 };

int association_keep_identity(struct association *a, const uint8_t *identity, size_t len)
{
	uint8_t *copy;

	if (len > DTLS_PSK_IDENTITY_MAX)
		len = DTLS_PSK_IDENTITY_MAX;
	copy = malloc(len + 1);
	association_borrow_identity(a, NULL, 0);
	if (copy == NULL)
		return MBEDTLS_ERR_SSL_ALLOC_FAILED;
	memcpy(copy, identity, len);
	a->identity = copy;
	a->identity_len = len;
	a->identity_owned = true;
	return 0;
}

void association_borrow_identity(struct association *a, const uint8_t *identity, size_t len)
{
	association_forget_identity(a);
	a->identity = identity;
	a->identity_len = len;
}

void association_forget_identity(struct association *a)
{
	if (a->identity_owned)
		free((void *)(uintptr_t)a->identity);
	a->identity = NULL;
	a->identity_len = 0;
	a->identity_owned = false;
}

static const mbedtls_x509_name *common_name(const mbedtls_x509_crt *cert)
{
	for (const mbedtls_x509_name *n = &cert->subject; n != NULL; n = n->next)
		if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &n->oid) == 0)
			return n;
	return NULL;
}

int association_name_peer(struct association *a)
{
	const mbedtls_x509_crt *cert = mbedtls_ssl_get_peer_cert(&a->ssl);
	const mbedtls_x509_name *cn = cert == NULL ? NULL : common_name(cert);
	size_t size;

	if (cn == NULL || a->settings->opt.verify_mode == CERT_NONE)
		return 0;
	size = ESCAPED * cn->val.len + ERROR_BYTES_ROOM;
	a->peer_name = malloc(size);
	if (a->peer_name == NULL)
		return MBEDTLS_ERR_SSL_ALLOC_FAILED;
	error_bytes(cn->val.p, cn->val.len, a->peer_name, size);
	return 0;
}

int association_psk(void *settings, mbedtls_ssl_context *ssl, const unsigned char *identity, size_t len)
{
	struct association *a = (struct association *)ssl;
	const struct settings *s = settings;
	uint8_t space[MBEDTLS_PSK_MAX_LEN];
	size_t key_len = sizeof(s->decoy);
	const uint8_t *key = settings_find_key(s, identity, len, space, &key_len);
	int code = 0;

	if (key != NULL && key != space)
		association_borrow_identity(a, psk_identity_of(key, len), len);
	else
		code = association_keep_identity(a, identity, len);
	/* RFC 4279, 2 and RFC 7925, 6: who asks cannot tell an unknown identity from a wrong key. */
	a->identity_unknown = key == NULL;
	if (code == 0)
		code = mbedtls_ssl_set_hs_psk(ssl, key != NULL ? key : s->decoy, key_len);
	if (code == 0 && key != NULL && s->opt.lifetime_ms > 0)
		code = resume_mark(a, (struct bytes){key, key_len}, a->key_mark);
	mbedtls_platform_zeroize(space, sizeof(space));
	return code;
}
