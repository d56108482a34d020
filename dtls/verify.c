#include "verify.h"

#include "mbed.h"

#include <arpa/inet.h>
#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SAN_DNS = 2, SAN_ADDRESS = 7 };

typedef mbedtls_x509_sequence names;

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

static int kind_of(const names *n)
{
	return n->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK;
}

/* False for a kind that no server goes by. */
static bool add_name(struct association *a, const char *separator, const names *n)
{
	char text[80];

	if (kind_of(n) == SAN_DNS)
		add(a, "%s\"%s\"", separator, error_bytes(n->buf.p, n->buf.len, text, sizeof(text)));
	else if (kind_of(n) == SAN_ADDRESS && (n->buf.len == 4 || n->buf.len == 16))
		add(a, "%s%s", separator,
		    inet_ntop(n->buf.len == 4 ? AF_INET : AF_INET6, n->buf.p, text, sizeof(text)));
	else
		return false;
	return true;
}

static void add_names(struct association *a, const mbedtls_x509_crt *crt)
{
	const char *separator = "";

	for (const names *n = &crt->subject_alt_names; n != NULL && n->buf.p != NULL; n = n->next)
		if (add_name(a, separator, n))
			separator = ", ";
	if (separator[0] == '\0')
		add_common_name(a, crt);
}

/* 4 or 16 bytes of an address in out; 0 where the hostname is a name. */
static size_t parse_address(const char *hostname, uint8_t out[16])
{
	if (inet_pton(AF_INET, hostname, out) == 1)
		return 4;
	return inet_pton(AF_INET6, hostname, out) == 1 ? 16 : 0;
}

bool verify_is_address(const char *hostname)
{
	uint8_t address[16];

	return parse_address(hostname, address) > 0;
}

/* mbed TLS is not told of addresses: 2.28 cannot compare them, and it would send them as a server's name. */
static bool is_for_another_address(const struct association *a, const mbedtls_x509_crt *crt)
{
	uint8_t address[16];
	size_t len = parse_address(a->hostname, address);

	for (const names *n = &crt->subject_alt_names; len > 0 && n != NULL && n->buf.p != NULL; n = n->next)
		if (kind_of(n) == SAN_ADDRESS && n->buf.len == len && memcmp(n->buf.p, address, len) == 0)
			return false;
	return len > 0;
}

static bool trusts(const struct association *a, const mbedtls_x509_buf *name)
{
	const struct trust *t = a->settings->opt.trust;

	for (const mbedtls_x509_crt *ca = t == NULL ? NULL : &t->cas; ca != NULL && ca->raw.p != NULL; ca = ca->next)
		if (ca->subject_raw.len == name->len && memcmp(ca->subject_raw.p, name->p, name->len) == 0)
			return true;
	return false;
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
	if (trusts(a, &crt->issuer_raw)) {
		add(a,
		    "names \"%s\" as its issuer, but that CA's key, as it is loaded here, did not sign it: is the "
		    "CA's certificate the current one?",
		    issuer);
		return;
	}
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
		add(a, "has a key or a signature that is too weak: it needs an RSA key of 2048 bits or an EC key on "
		       "P-256 or "
		       "a larger curve of its kind, and a signature with SHA-256 or better");
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

static unsigned char alert_for(uint32_t flags)
{
	if ((flags & MBEDTLS_X509_BADCERT_OTHER) != 0)
		return MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED;
	if ((flags & (MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE |
			 MBEDTLS_X509_BADCERT_BAD_PK | MBEDTLS_X509_BADCERT_BAD_KEY)) != 0)
		return MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT;
	if ((flags & MBEDTLS_X509_BADCERT_EXPIRED) != 0)
		return MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED;
	if ((flags & MBEDTLS_X509_BADCERT_REVOKED) != 0)
		return MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED;
	if ((flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0)
		return MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA;
	return MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN;
}

static void judge(struct association *a, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	const struct options *opt = &a->settings->opt;

	if (depth == 0)
		*flags |= wrong_use(a, crt);
	if (depth == 0 && !settings_is_server(a->settings) && is_for_another_address(a, crt))
		*flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
	if (opt->verify != NULL && opt->verify(opt->verify_arg, crt->raw.p, crt->raw.len, depth, *flags) != 0)
		*flags |= MBEDTLS_X509_BADCERT_OTHER;
	if (opt->overrule != NULL)
		*flags = opt->overrule(opt->overrule_arg, crt->raw.p, crt->raw.len, depth, *flags);
	a->verify_ran = true;
	if (*flags != 0 && a->verify_flags == 0)
		describe(a, crt, depth, *flags);
	a->verify_flags |= *flags;
}

int verify_certificate(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	struct association *a = arg;

	judge(a, crt, depth, flags);
	if (*flags == 0 || !settings_is_server(a->settings) || a->settings->opt.verify_mode != CERT_OPTIONAL)
		return 0;
	/* mbed TLS's optional would take a bad certificate, ours takes none or a good one; and mbed TLS tells the peer no
	 * reason when it is made to refuse one. */
	mbedtls_ssl_send_alert_message(&a->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert_for(*flags));
	a->alert_sent = true; /* encrypted under TLS 1.3, where nothing shows it */
	return MBEDTLS_ERR_X509_FATAL_ERROR;
}

static int judge_again(void *a, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	judge(a, crt, depth, flags);
	return 0;
}

bool verify_again(struct association *a, mbedtls_x509_crt *chain, char *why, size_t why_len)
{
	struct settings *s = a->settings;
	struct trust *t = s->opt.trust;
	mbedtls_x509_crl *crls = t != NULL && t->crl_count > 0 ? &t->crls : NULL;
	bool by_name = a->hostname[0] != '\0' && !settings_is_server(s) && !verify_is_address(a->hostname);
	uint32_t flags = 0;
	int code;

	/* As for mbed TLS, the overruling callback needs no CA. */
	code = mbedtls_x509_crt_verify_with_profile(chain, t != NULL ? &t->cas : &s->nobody, crls,
	    s->conf.MBED_FIELD(cert_profile), by_name ? a->hostname : NULL, &flags, judge_again, a);
	flags |= a->verify_flags;
	snprintf(why, why_len, "%s", a->error);
	/* What the handshake finds, if it is a full one, is another matter. */
	a->error[0] = '\0';
	a->verify_ran = false;
	a->verify_flags = 0;
	return code == 0 && flags == 0;
}
