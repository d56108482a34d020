#include "verify.h"

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SAN_DNS = 2 };

static void add(struct association *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct association *a, const char *format, ...)
{
	size_t used = strlen(a->error);
	va_list args;

	va_start(args, format);
	vsnprintf(a->error + used, sizeof(a->error) - used, format, args);
	va_end(args);
}

static void add_subject(struct association *a, const mbedtls_x509_crt *crt, int depth)
{
	char subject[128] = "?";

	mbedtls_x509_dn_gets(subject, sizeof(subject), &crt->subject);
	add(a, "%s certificate \"%s\" ", depth == 0 ? "the peer's" : "the issuing", subject);
}

static void add_date(struct association *a, const mbedtls_x509_time *t)
{
	add(a, "%04d-%02d-%02d", t->year, t->mon, t->day);
}

/* The wall clock is what mbed TLS holds dates against; people must see it. */
static void add_today(struct association *a)
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	add(a, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

/* The common name counts where there is no host name among the alternative ones. */
static void add_common_name(struct association *a, const mbedtls_x509_crt *crt)
{
	char name[80];

	for (const mbedtls_x509_name *n = &crt->subject; n != NULL; n = n->next)
		if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &n->oid) == 0) {
			add(a, "\"%s\"", error_bytes(n->val.p, n->val.len, name, sizeof(name)));
			return;
		}
	add(a, "no host name");
}

static void add_names(struct association *a, const mbedtls_x509_crt *crt)
{
	const char *separator = "";

	for (const mbedtls_x509_sequence *n = &crt->subject_alt_names; n != NULL && n->buf.p != NULL; n = n->next) {
		char name[80];

		if ((n->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) != SAN_DNS)
			continue;
		add(a, "%s\"%s\"", separator, error_bytes(n->buf.p, n->buf.len, name, sizeof(name)));
		separator = ", ";
	}
	if (separator[0] == '\0')
		add_common_name(a, crt);
}

static void describe_issuer(struct association *a, const mbedtls_x509_crt *crt)
{
	char issuer[128] = "?";

	if (crt->issuer_raw.len == crt->subject_raw.len &&
	    memcmp(crt->issuer_raw.p, crt->subject_raw.p, crt->issuer_raw.len) == 0) {
		add(a, "is self-signed, and none of the trusted CAs: load it as one if it is the peer's own");
		return;
	}
	mbedtls_x509_dn_gets(issuer, sizeof(issuer), &crt->issuer);
	add(a,
	    "was issued by \"%s\", which is none of the trusted CAs: load that CA, or have the peer send the "
	    "certificates between it and one that is trusted",
	    issuer);
}

static void describe(struct association *a, const mbedtls_x509_crt *crt, int depth, uint32_t flags)
{
	char info[128] = "?";

	add_subject(a, crt, depth);
	if ((flags & MBEDTLS_X509_BADCERT_EXPIRED) != 0) {
		add(a, "expired on ");
		add_date(a, &crt->valid_to);
		add(a, "; today is ");
		add_today(a);
		add(a, ": renew it, unless the clock is wrong");
	} else if ((flags & MBEDTLS_X509_BADCERT_FUTURE) != 0) {
		add(a, "is not valid before ");
		add_date(a, &crt->valid_from);
		add(a, ", and the clock says ");
		add_today(a);
		add(a, ": is the clock set?");
	} else if ((flags & MBEDTLS_X509_BADCERT_REVOKED) != 0) {
		add(a, "was revoked by its CA: its owner needs a new key and a new certificate");
	} else if ((flags & (MBEDTLS_X509_BADCRL_EXPIRED | MBEDTLS_X509_BADCRL_FUTURE)) != 0) {
		add(a, "cannot be checked for revocation: its CA's CRL is out of date, load a new one");
	} else if ((flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0) {
		describe_issuer(a, crt);
	} else if ((flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0) {
		add(a, "is for ");
		add_names(a, crt);
		add(a, ", and \"%s\" was asked for: use a name that it has, or have this one added", a->hostname);
	} else if ((flags & (MBEDTLS_X509_BADCERT_BAD_KEY | MBEDTLS_X509_BADCERT_BAD_PK |
				MBEDTLS_X509_BADCERT_BAD_MD)) != 0) {
		add(a,
		    "has a key or a signature that is too weak: it needs an RSA key of 2048 bits or an EC key, and a "
		    "signature with SHA-256 or better");
	} else if ((flags & (MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE)) != 0) {
		add(a, "is not meant for a %s: its key usage, or extended key usage, must allow it",
		    settings_is_server(a->settings) ? "TLS client" : "TLS server");
	} else if (flags == MBEDTLS_X509_BADCERT_OTHER) {
		add(a, "was rejected by the verify callback");
	} else {
		mbedtls_x509_crt_verify_info(info, sizeof(info), "", flags);
		info[strcspn(info, "\n")] = '\0';
		add(a, "did not verify: %s", info);
	}
}

/* RFC 5280, 4.2.1.3 and 4.2.1.12. mbed TLS asks later, and without a word of which certificate. */
static uint32_t wrong_use(const struct association *a, const mbedtls_x509_crt *leaf)
{
	bool of_client = settings_is_server(a->settings);
	uint32_t flags = 0;

	if (mbedtls_x509_crt_check_key_usage(leaf, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) != 0)
		flags |= MBEDTLS_X509_BADCERT_KEY_USAGE;
	if (mbedtls_x509_crt_check_extended_key_usage(leaf,
		of_client ? MBEDTLS_OID_CLIENT_AUTH : MBEDTLS_OID_SERVER_AUTH,
		of_client ? MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH) : MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)) != 0)
		flags |= MBEDTLS_X509_BADCERT_EXT_KEY_USAGE;
	return flags;
}

int verify_certificate(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	struct association *a = arg;
	const struct options *opt = &a->settings->opt;

	if (depth == 0)
		*flags |= wrong_use(a, crt);
	if (opt->verify != NULL && opt->verify(opt->verify_arg, crt->raw.p, crt->raw.len, depth, *flags) != 0)
		*flags |= MBEDTLS_X509_BADCERT_OTHER;
	a->verify_ran = true;
	if (*flags == 0)
		return 0;
	if (a->verify_flags == 0)
		describe(a, crt, depth, *flags);
	a->verify_flags |= *flags;
	/* mbed TLS's optional would take a bad certificate; ours takes none or a good one. */
	return opt->verify_mode == CERT_OPTIONAL ? MBEDTLS_ERR_X509_FATAL_ERROR : 0;
}
