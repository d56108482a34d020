#include "backend.h"

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <string.h>

enum { SAN_DNS = 2, NAME_MAX_LEN = 256 };

/* ---- a certificate's name ---- */

/* As text. What has a NUL within, or is too long, is no name that an application could judge. */
static const char *text(const mbedtls_asn1_buf *from, char name[NAME_MAX_LEN])
{
	if (from->len >= NAME_MAX_LEN || memchr(from->p, '\0', from->len) != NULL)
		return "";
	memcpy(name, from->p, from->len);
	name[from->len] = '\0';
	return name;
}

/* The first host name among the alternative names, or the common name; "" where there is neither. */
static const char *name_of(const mbedtls_x509_crt *crt, char name[NAME_MAX_LEN])
{
	for (const mbedtls_x509_sequence *n = &crt->subject_alt_names; n != NULL && n->buf.p != NULL; n = n->next)
		if ((n->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == SAN_DNS)
			return text(&n->buf, name);
	for (const mbedtls_x509_name *n = &crt->subject; n != NULL; n = n->next)
		if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &n->oid) == 0)
			return text(&n->val, name);
	return "";
}

/* ---- libcoap's rules ---- */

static bool is_self_signed(mbedtls_x509_crt *crt)
{
	uint32_t flags = 0;

	mbedtls_x509_crt_verify(crt, crt, NULL, NULL, &flags, NULL, NULL);
	return (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) == 0;
}

static bool has_crl(const struct keyring *k, const mbedtls_x509_crt *crt)
{
	for (const mbedtls_x509_crl *crl = &k->crls; crl != NULL && crl->version != 0; crl = crl->next)
		if (crl->issuer_raw.len == crt->issuer_raw.len &&
		    memcmp(crl->issuer_raw.p, crt->issuer_raw.p, crl->issuer_raw.len) == 0)
			return true;
	return false;
}

/* Of the flags that mbed TLS has set, those that the application does not mind. */
static uint32_t allowed(const struct keyring *k, mbedtls_x509_crt *crt, int depth, uint32_t flags)
{
	const coap_dtls_pki_t *rules = &k->rules;
	/* The name is the application's to judge, in its callback. */
	uint32_t off = MBEDTLS_X509_BADCERT_CN_MISMATCH;

	if (rules->allow_expired_certs)
		off |= MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE;
	if (rules->allow_expired_crl)
		off |= MBEDTLS_X509_BADCRL_EXPIRED | MBEDTLS_X509_BADCRL_FUTURE;
	if (rules->allow_bad_md_hash)
		off |= MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCRL_BAD_MD;
	if (rules->allow_short_rsa_length && mbedtls_pk_can_do(&crt->pk, MBEDTLS_PK_RSA))
		off |= MBEDTLS_X509_BADCERT_BAD_KEY;
	if (depth == 0 && rules->allow_self_signed && !rules->check_common_ca &&
	    (flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0 && is_self_signed(crt))
		off |= MBEDTLS_X509_BADCERT_NOT_TRUSTED;
	return flags & off;
}

/* What mbed TLS does not mind, and the application does. */
static uint32_t forbidden(const struct keyring *k, const mbedtls_x509_crt *crt, int depth)
{
	const coap_dtls_pki_t *rules = &k->rules;
	uint32_t flags = 0;

	if (rules->cert_chain_validation && depth > rules->cert_chain_verify_depth + 1)
		flags |= MBEDTLS_X509_BADCERT_OTHER;
	if (depth == 0 && rules->check_cert_revocation && !rules->allow_no_crl && !has_crl(k, crt))
		flags |= MBEDTLS_X509_BADCRL_NOT_TRUSTED;
	return flags;
}

static uint32_t judge(const struct keyring *k, mbedtls_x509_crt *crt, int depth, uint32_t flags)
{
	const coap_dtls_pki_t *rules = &k->rules;
	struct session *s = k->backend->current;
	uint32_t forgiven = allowed(k, crt, depth, flags);
	char space[NAME_MAX_LEN];
	const char *name = name_of(crt, space);

	if (s == NULL)
		return flags | MBEDTLS_X509_BADCERT_OTHER;
	if ((forgiven & ~(uint32_t)MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0)
		log_line(LOG_INFO, "   %s: DTLS: overridden: '%s' depth %d, flags 0x%x\n", coap_session_str(s->coap),
		    name, depth, (unsigned)forgiven);
	flags = (flags & ~forgiven) | forbidden(k, crt, depth);
	if (rules->validate_cn_call_back != NULL && !rules->validate_cn_call_back(name, crt->raw.p, crt->raw.len,
							s->coap, (unsigned)depth, flags == 0, rules->cn_call_back_arg))
		flags |= MBEDTLS_X509_BADCERT_OTHER;
	return flags;
}

static uint32_t judge_bytes(const struct keyring *k, const uint8_t *der, size_t len, int depth, uint32_t flags)
{
	mbedtls_x509_crt crt;

	mbedtls_x509_crt_init(&crt);
	if (mbedtls_x509_crt_parse_der(&crt, der, len) != 0)
		flags |= MBEDTLS_X509_BADCERT_OTHER;
	else
		flags = judge(k, &crt, depth, flags);
	mbedtls_x509_crt_free(&crt);
	return flags;
}

uint32_t verify_overrule(void *keyring, const uint8_t *der, size_t len, int depth, uint32_t flags)
{
	return judge_bytes(keyring, der, len, depth, flags);
}

/* Where nobody vouches for the peer, its certificate was not verified, and the application is still asked about it. */
bool verify_shown(const struct session *s)
{
	const struct keyring *k = s->keys;
	size_t len;
	const uint8_t *der = dtls_conn_peer_cert(s->conn, &len);

	if (!k->has_pki || k->rules.verify_peer_cert || k->rules.validate_cn_call_back == NULL || der == NULL)
		return true;
	return (judge_bytes(k, der, len, 0, MBEDTLS_X509_BADCERT_SKIP_VERIFY) & MBEDTLS_X509_BADCERT_OTHER) == 0;
}
