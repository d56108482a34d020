#include "credentials.h"

#include "error.h"
#include "mbed.h"

#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* mbed TLS tells PEM from DER by a NUL at the end of what it is given; the caller's bytes need not have one. */
struct encoded {
	uint8_t *bytes;
	size_t len;
};

static bool encode(struct bytes data, struct encoded *e)
{
	bool pem = memmem(data.at, data.len, "-----BEGIN ", 11) != NULL;

	e->bytes = malloc(data.len + 1);
	if (e->bytes == NULL)
		return false;
	memcpy(e->bytes, data.at, data.len);
	e->bytes[data.len] = '\0';
	e->len = data.len + pem;
	return true;
}

static void encoded_free(struct encoded *e)
{
	if (e->bytes != NULL)
		mbedtls_platform_zeroize(e->bytes, e->len);
	free(e->bytes);
}

static void explain(char *why, size_t why_len, const char *what, int code)
{
	char name[ERROR_NAME_MAX];
	const char *clause = "it is neither PEM nor DER of that kind, or damaged";

	if (code > 0) {
		snprintf(why, why_len, "%s: %d of those in it cannot be parsed", what, code);
		return;
	}
	if (error_is_memory(code))
		clause = "out of memory";
	else if (code == MBEDTLS_ERR_PK_PASSWORD_REQUIRED)
		clause = "it is encrypted: a password is needed";
	else if (code == MBEDTLS_ERR_PK_PASSWORD_MISMATCH)
		clause = "the password does not open it";
	snprintf(why, why_len, "%s: %s (%s)", what, clause, error_name(code, name));
}

/* ---- what this side shows ---- */

static int parse_key(struct credentials *c, struct bytes key, const char *password, struct rng *rng)
{
	struct encoded e;
	int code = MBEDTLS_ERR_PK_ALLOC_FAILED;

	if (encode(key, &e))
		code = mbed_parse_key(&c->key, e.bytes, e.len, password, rng_bytes, rng);
	encoded_free(&e);
	return code;
}

static int parse_chain(mbedtls_x509_crt *chain, struct bytes cert)
{
	struct encoded e;
	int code = MBEDTLS_ERR_X509_ALLOC_FAILED;

	if (encode(cert, &e))
		code = mbedtls_x509_crt_parse(chain, e.bytes, e.len);
	encoded_free(&e);
	return code;
}

/* mbed TLS 2.28 fills a table inside an EC key when it is first used, without a lock; keys are shared by threads. */
static void warm_up(struct credentials *c, struct rng *rng)
{
	static const unsigned char hash[32] = {0};
	unsigned char signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
	size_t len;

	if (mbedtls_pk_can_do(&c->key, MBEDTLS_PK_ECDSA))
		mbed_sign(&c->key, hash, sizeof(hash), signature, sizeof(signature), &len, rng_bytes, rng);
}

struct credentials *credentials_parse(
    struct bytes cert, struct bytes key, const char *password, struct rng *rng, char *why, size_t why_len)
{
	struct credentials *c = calloc(1, sizeof(*c));
	int code;

	if (c == NULL) {
		snprintf(why, why_len, "out of memory");
		return NULL;
	}
	atomic_init(&c->refs, 1);
	mbedtls_x509_crt_init(&c->chain);
	mbedtls_pk_init(&c->key);
	code = parse_key(c, key, password, rng);
	if (code != 0) {
		explain(why, why_len, "key", code);
	} else if (cert.at != NULL && (code = parse_chain(&c->chain, cert)) != 0) {
		explain(why, why_len, "certificate", code);
	} else {
		warm_up(c, rng);
		return c;
	}
	credentials_free(c);
	return NULL;
}

struct credentials *credentials_ref(struct credentials *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

void credentials_free(struct credentials *c)
{
	if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	mbedtls_x509_crt_free(&c->chain);
	mbedtls_pk_free(&c->key);
	free(c);
}

int credentials_check(struct credentials *c, struct rng *rng)
{
	return mbed_check_pair(&c->chain, &c->key, rng_bytes, rng);
}

/* ---- what it trusts ---- */

static struct trust *trust_new(void)
{
	struct trust *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	atomic_init(&t->refs, 1);
	mbedtls_x509_crt_init(&t->cas);
	mbedtls_x509_crl_init(&t->crls);
	return t;
}

static int copy_all(struct trust *t, const struct trust *from)
{
	int code = 0;

	for (const mbedtls_x509_crt *ca = &from->cas; code == 0 && ca != NULL && ca->raw.p != NULL; ca = ca->next)
		code = mbedtls_x509_crt_parse_der(&t->cas, ca->raw.p, ca->raw.len);
	for (const mbedtls_x509_crl *crl = &from->crls; code == 0 && crl != NULL && crl->raw.p != NULL; crl = crl->next)
		code = mbedtls_x509_crl_parse_der(&t->crls, crl->raw.p, crl->raw.len);
	t->ca_count = from->ca_count;
	t->crl_count = from->crl_count;
	return code;
}

static struct trust *trust_copy(const struct trust *from, char *why, size_t why_len)
{
	struct trust *t = trust_new();

	if (t != NULL && (from == NULL || copy_all(t, from) == 0))
		return t;
	trust_free(t);
	snprintf(why, why_len, "out of memory");
	return NULL;
}

static struct trust *refuse(struct trust *t, const char *what, int code, char *why, size_t why_len)
{
	explain(why, why_len, what, code);
	trust_free(t);
	return NULL;
}

struct trust *trust_add_cas(const struct trust *from, struct bytes data, char *why, size_t why_len)
{
	struct trust *t = trust_copy(from, why, why_len);
	int code;

	if (t == NULL)
		return NULL;
	code = parse_chain(&t->cas, data);
	if (code != 0)
		return refuse(t, "CA certificate", code, why, why_len);
	t->ca_count = 0;
	for (const mbedtls_x509_crt *ca = &t->cas; ca != NULL && ca->raw.p != NULL; ca = ca->next)
		t->ca_count++;
	return t;
}

struct trust *trust_add_crls(const struct trust *from, struct bytes data, char *why, size_t why_len)
{
	struct trust *t = trust_copy(from, why, why_len);
	struct encoded e;
	int code = MBEDTLS_ERR_X509_ALLOC_FAILED;

	if (t == NULL)
		return NULL;
	if (encode(data, &e))
		code = mbedtls_x509_crl_parse(&t->crls, e.bytes, e.len);
	encoded_free(&e);
	if (code != 0)
		return refuse(t, "CRL", code, why, why_len);
	t->crl_count++;
	return t;
}

struct trust *trust_ref(struct trust *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

void trust_free(struct trust *t)
{
	if (t == NULL || atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	mbedtls_x509_crt_free(&t->cas);
	mbedtls_x509_crl_free(&t->crls);
	free(t);
}
