#include "backend.h"

#include <mbedtls/platform_util.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *backends; /* of tsearch(3), by coap_context_t */

static int by_context(const void *a, const void *b)
{
	const struct backend *x = a, *y = b;

	return (x->coap > y->coap) - (x->coap < y->coap);
}

struct backend *backend_find(const coap_context_t *coap)
{
	struct backend key = {.coap = (coap_context_t *)(uintptr_t)coap}, **found;

	pthread_mutex_lock(&lock);
	found = tfind(&key, &backends, by_context);
	pthread_mutex_unlock(&lock);
	return found == NULL ? NULL : *found;
}

/* ---- libcoap's calls ---- */

void coap_dtls_startup(void)
{
}

void coap_dtls_shutdown(void)
{
}

void *coap_dtls_new_context(coap_context_t *coap)
{
	struct backend *b = calloc(1, sizeof(*b)), **found = NULL;

	if (b == NULL)
		return NULL;
	b->coap = coap;
	pthread_mutex_lock(&lock);
	found = tsearch(b, &backends, by_context);
	pthread_mutex_unlock(&lock);
	if (found != NULL && *found == b)
		return b;
	free(b);
	return NULL;
}

void coap_dtls_free_context(void *backend)
{
	struct backend *b = backend;

	if (b == NULL)
		return;
	pthread_mutex_lock(&lock);
	tdelete(b, &backends, by_context);
	pthread_mutex_unlock(&lock);
	session_forget_all(b);
	names_forget(b);
	keyring_free(b->server);
	keyring_free(b->client);
	if (b->spsk_key != NULL)
		mbedtls_platform_zeroize(b->spsk_key, b->spsk_key_len);
	free(b->spsk_key);
	free(b->root_file);
	free(b->root_dir);
	free(b->hello);
	free(b);
}

int coap_dtls_context_check_keys_enabled(coap_context_t *coap)
{
	const struct backend *b = backend_find(coap);

	return b != NULL && b->has_keys;
}

int coap_dtls_is_supported(void)
{
	return 1;
}
