#include "libcoap.h"

#include <mbedtls/md.h>
#include <stdlib.h>

/* SHA-256, which libcoap keys its caches with. */

coap_digest_ctx_t *coap_digest_setup(void)
{
	mbedtls_md_context_t *md = malloc(sizeof(*md));

	if (md == NULL)
		return NULL;
	mbedtls_md_init(md);
	if (mbedtls_md_setup(md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 0) == 0 && mbedtls_md_starts(md) == 0)
		return md;
	coap_digest_free(md);
	return NULL;
}

void coap_digest_free(coap_digest_ctx_t *digest)
{
	if (digest != NULL)
		mbedtls_md_free(digest);
	free(digest);
}

int coap_digest_update(coap_digest_ctx_t *digest, const uint8_t *bytes, size_t len)
{
	return mbedtls_md_update(digest, bytes, len) == 0;
}

int coap_digest_final(coap_digest_ctx_t *digest, coap_digest_t *out)
{
	int made = mbedtls_md_finish(digest, out->key) == 0;

	coap_digest_free(digest);
	return made;
}
