#include "verify.h"

#include <mbedtls/asn1.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SAN_DNS = 2 };

static void add(struct association *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct association *a, const char *format, ...)
{
	size_t used = strlen(a->verify_text);
	va_list args;

	va_start(args, format);
	vsnprintf(a->verify_text + used, sizeof(a->verify_text) - used, format, args);
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
		add(a, "no host name");
}

static void describe(struct association *a, const mbedtls_x509_crt *crt, int depth, uint32_t flags)
{
	char issuer[128] = "?";

	add_subject(a, crt, depth);
	if ((flags & MBEDTLS_X509_BADCERT_EXPIRED) != 0) {
		add(a, "expired on ");
		add_date(a, &crt->valid_to);
		add(a, "; today is ");
		add_today(a);
	} else if ((flags & MBEDTLS_X509_BADCERT_FUTURE) != 0) {
		add(a, "is not valid before ");
		add_date(a, &crt->valid_from);
		add(a, ", and the clock says ");
		add_today(a);
		add(a, ": is the clock set?");
	} else if ((flags & MBEDTLS_X509_BADCERT_REVOKED) != 0) {
		add(a, "was revoked by its CA");
	} else if ((flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0) {
		mbedtls_x509_dn_gets(issuer, sizeof(issuer), &crt->issuer);
		add(a, "was issued by \"%s\", which is none of the trusted CAs", issuer);
	} else if ((flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0) {
		add(a, "is for ");
		add_names(a, crt);
		add(a, ", and \"%s\" was asked for", a->hostname);
	} else if ((flags & (MBEDTLS_X509_BADCERT_BAD_KEY | MBEDTLS_X509_BADCERT_BAD_PK |
				MBEDTLS_X509_BADCERT_BAD_MD)) != 0) {
		add(a, "has a key or a signature that is too weak (RSA needs 2048 bits, hashes SHA-256)");
	} else if (flags == MBEDTLS_X509_BADCERT_OTHER) {
		add(a, "was rejected by the verify callback");
	} else {
		mbedtls_x509_crt_verify_info(issuer, sizeof(issuer), "", flags);
		issuer[strcspn(issuer, "\n")] = '\0';
		add(a, "did not verify: %s", issuer);
	}
}

int verify_certificate(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	struct association *a = arg;
	const struct options *opt = &a->settings->opt;

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
