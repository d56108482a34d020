#include "association.h"

#include <mbedtls/platform_util.h>
#include <stdlib.h>
#include <string.h>

int association_keep_identity(struct association *a, const uint8_t *identity, size_t len)
{
	free(a->identity);
	a->identity_len = len < DTLS_PSK_IDENTITY_MAX ? len : DTLS_PSK_IDENTITY_MAX;
	a->identity = malloc(a->identity_len + 1);
	if (a->identity == NULL)
		return MBEDTLS_ERR_SSL_ALLOC_FAILED;
	memcpy(a->identity, identity, a->identity_len);
	return 0;
}

int association_psk(void *settings, mbedtls_ssl_context *ssl, const unsigned char *identity, size_t len)
{
	struct association *a = (struct association *)ssl;
	const struct settings *s = settings;
	uint8_t space[MBEDTLS_PSK_MAX_LEN];
	size_t key_len = sizeof(s->decoy);
	const uint8_t *key = settings_find_key(s, identity, len, space, &key_len);
	int code = association_keep_identity(a, identity, len);

	/* RFC 4279, 2 and RFC 7925, 6: who asks cannot tell an unknown identity from a wrong key. */
	a->identity_unknown = key == NULL;
	if (code == 0)
		code = mbedtls_ssl_set_hs_psk(ssl, key != NULL ? key : s->decoy, key_len);
	mbedtls_platform_zeroize(space, sizeof(space));
	return code;
}
