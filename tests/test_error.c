#include "dtls/association.h"
#include "dtls/error.h"
#include "dtls/mbed.h"
#include "mbed_errors.h"
#include "suites.h"

#include <arpa/inet.h>
#include <errno.h>
#include <mbedtls/asn1.h>
#include <mbedtls/x509.h>
#include <stdio.h>
#include <string.h>

/* ---- names of codes */

static void assert_name(int code, const char *expected)
{
	char text[ERROR_NAME_MAX];

	ck_assert_ptr_eq(error_name(code, text), text);
	ck_assert_str_eq(text, expected);
}

START_TEST(error_names_of_single_codes)
{
	assert_name(MBEDTLS_ERR_SSL_INVALID_MAC, "MBEDTLS_ERR_SSL_INVALID_MAC");
	assert_name(MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE, "MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE");
	assert_name(MBEDTLS_ERR_SSL_TIMEOUT, "MBEDTLS_ERR_SSL_TIMEOUT");
	assert_name(MBEDTLS_ERR_SSL_ALLOC_FAILED, "MBEDTLS_ERR_SSL_ALLOC_FAILED");
	assert_name(MBEDTLS_ERR_ASN1_OUT_OF_DATA, "MBEDTLS_ERR_ASN1_OUT_OF_DATA");
	assert_name(MBED_ERR_VERSION, MBEDTLS_VERSION_NUMBER < 0x03000000 ? "MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION"
									  : "MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION");
}
END_TEST

START_TEST(error_names_of_combined_codes)
{
	assert_name(MBEDTLS_ERR_X509_INVALID_FORMAT + MBEDTLS_ERR_ASN1_OUT_OF_DATA,
	    "MBEDTLS_ERR_X509_INVALID_FORMAT + MBEDTLS_ERR_ASN1_OUT_OF_DATA");
	assert_name(MBEDTLS_ERR_X509_INVALID_DATE + MBEDTLS_ERR_ASN1_UNEXPECTED_TAG,
	    "MBEDTLS_ERR_X509_INVALID_DATE + MBEDTLS_ERR_ASN1_UNEXPECTED_TAG");
}
END_TEST

START_TEST(error_names_of_unknown_codes)
{
	assert_name(0, "mbed TLS error -0x0000");
	assert_name(-0x0f80, "mbed TLS error -0x0f80");
	assert_name(-0x0f80 + MBEDTLS_ERR_ASN1_OUT_OF_DATA, "mbed TLS error -0x0fe0");
	/* Half of it has a name: that would mislead. */
	assert_name(MBEDTLS_ERR_X509_INVALID_FORMAT - 0x7f, "mbed TLS error -0x21ff");
	assert_name(-0x12345, "mbed TLS error -0x12345");
}
END_TEST

START_TEST(error_names_of_every_code)
{
	const size_t codes = sizeof(mbed_errors) / sizeof(*mbed_errors);

	ck_assert_uint_gt(codes, 150);
	for (size_t i = 0; i < codes; i++) {
		assert_name(-mbed_errors[i].code, mbed_errors[i].name);
		if (i > 0)
			ck_assert_int_lt(mbed_errors[i - 1].code, mbed_errors[i].code);
	}
}
END_TEST

/* ---- bytes as text */

static void assert_bytes(const char *bytes, size_t len, size_t size, const char *expected)
{
	char text[64];

	memset(text, '#', sizeof(text));
	ck_assert_ptr_eq(error_bytes(bytes, len, text, size), text);
	ck_assert_str_eq(text, expected);
	for (size_t i = size; i < sizeof(text); i++)
		ck_assert_int_eq(text[i], '#');
}

START_TEST(error_bytes_escapes)
{
	assert_bytes("", 0, 64, "");
	assert_bytes("sensor-17 ~", 11, 64, "sensor-17 ~");
	assert_bytes("a\0b", 3, 64, "a\\x00b");
	assert_bytes("\\", 1, 64, "\\x5c");
	assert_bytes("\x1f\x20\x7e\x7f\x80\xff\n\x1b", 8, 64, "\\x1f ~\\x7f\\x80\\xff\\x0a\\x1b");
	assert_bytes("\xc3\xa9", 2, 64, "\\xc3\\xa9");
}
END_TEST

START_TEST(error_bytes_cuts)
{
	assert_bytes("abcdef", 6, 16, "abcdef");
	assert_bytes("abcdefghijklmnopqrstuvwxyz", 26, 16, "abcdefghi...");
	assert_bytes("\xff\xff\xff\xff\xff\xff", 6, 16, "\\xff\\xff\\xff...");
	assert_bytes("abcdef", 6, 4, "...");
	assert_bytes("", 0, 1, "");
	for (size_t size = 1; size <= 64; size++) {
		char text[64], bytes[100];

		memset(bytes, size % 2 == 0 ? 'x' : '\1', sizeof(bytes));
		error_bytes(bytes, sizeof(bytes), text, size);
		ck_assert_uint_lt(strlen(text), size);
		if (size >= 4)
			ck_assert_str_eq(text + strlen(text) - 3, "...");
	}
}
END_TEST

/* ---- sentences */

static struct settings settings;
static struct address peer;
static struct association a;

static void begin(enum dtls_protocol protocol, const char *identity)
{
	const struct sockaddr_in in = {
	    .sin_family = AF_INET, .sin_port = htons(5684), .sin_addr.s_addr = htonl(0xc0000207)};

	settings = (struct settings){.opt.protocol = protocol, .opt.verify_mode = CERT_REQUIRED, .give_up_ms = 123000};
	ck_assert(address_set(&peer, (const struct sockaddr *)&in, sizeof(in)));
	a = (struct association){.settings = &settings, .peer = &peer};
	if (identity != NULL) {
		a.identity = (uint8_t *)(uintptr_t)identity;
		a.identity_len = strlen(identity);
	}
}

static void assert_explained(int code, uint8_t alert, const char *expected)
{
	a.code = code;
	a.alert = alert;
	error_explain(&a, "handshake");
	ck_assert_str_eq(a.error, expected);
}

START_TEST(error_sentences_of_alerts)
{
	const int code = MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE;

	begin(PROTOCOL_DTLS_CLIENT, "sensor-17");
	assert_explained(code, 20,
	    "handshake with 192.0.2.7:5684 failed: the peer sent the alert bad_record_mac: the pre-shared key for "
	    "identity "
	    "\"sensor-17\" probably differs, or the peer does not know this identity "
	    "(MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)");
	assert_explained(code, 115,
	    "handshake with 192.0.2.7:5684 failed: the peer sent the alert unknown_psk_identity: it does not know the "
	    "identity \"sensor-17\" (MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)");
	assert_explained(code, 40,
	    "handshake with 192.0.2.7:5684 failed: the peer sent the alert handshake_failure: probably none of the "
	    "cipher "
	    "suites offered here is enabled there, or it has no key for them, or does not speak DTLS 1.2 "
	    "(MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)");
	assert_explained(code, 70,
	    "handshake with 192.0.2.7:5684 failed: the peer sent the alert protocol_version: it does not speak DTLS "
	    "1.2 "
	    "(MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)");
	assert_explained(code, 80,
	    "handshake with 192.0.2.7:5684 failed: the peer sent the alert 80 internal_error "
	    "(MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)");
	assert_explained(code, 200,
	    "handshake with 192.0.2.7:5684 failed: the peer sent the alert 200 unknown "
	    "(MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)");
	begin(PROTOCOL_DTLS_SERVER, NULL);
	assert_explained(code, 20,
	    "handshake with 192.0.2.7:5684 failed: the peer sent the alert 20 bad_record_mac "
	    "(MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)");
}
END_TEST

START_TEST(error_sentences_of_keys)
{
	begin(PROTOCOL_DTLS_SERVER, "sensor\n17");
	assert_explained(MBEDTLS_ERR_SSL_INVALID_MAC, 0,
	    "handshake with 192.0.2.7:5684 failed: the peer's Finished did not decrypt: the pre-shared key for "
	    "identity "
	    "\"sensor\\x0a17\" probably differs (MBEDTLS_ERR_SSL_INVALID_MAC)");
	a.identity_unknown = true;
	assert_explained(MBEDTLS_ERR_SSL_INVALID_MAC, 0,
	    "handshake with 192.0.2.7:5684 failed: no pre-shared key is known for identity \"sensor\\x0a17\" "
	    "(MBEDTLS_ERR_SSL_INVALID_MAC)");
	begin(PROTOCOL_DTLS_SERVER, NULL);
	a.peer = NULL;
	assert_explained(MBEDTLS_ERR_SSL_INVALID_MAC, 0,
	    "handshake with the peer failed: the peer's Finished did not decrypt: the keys differ "
	    "(MBEDTLS_ERR_SSL_INVALID_MAC)");
}
END_TEST

START_TEST(error_sentences_of_other_causes)
{
	char expected[ERROR_MAX], name[ERROR_NAME_MAX];

	begin(PROTOCOL_DTLS_SERVER, NULL);
	assert_explained(MBEDTLS_ERR_SSL_ALLOC_FAILED, 0,
	    "handshake with 192.0.2.7:5684 failed: out of memory (MBEDTLS_ERR_SSL_ALLOC_FAILED)");
	assert_explained(MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY, 0,
	    "handshake with 192.0.2.7:5684 failed: the peer closed before the handshake was done "
	    "(MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)");
	assert_explained(MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE, 0,
	    "handshake with 192.0.2.7:5684 failed: the peer sent a message out of turn "
	    "(MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE)");
	snprintf(expected, sizeof(expected),
	    "handshake with 192.0.2.7:5684 failed: none of the peer's cipher suites is enabled here, or fits "
	    "this side's certificate and its key usage (%s)",
	    error_name(MBED_ERR_NO_CIPHER, name));
	assert_explained(MBED_ERR_NO_CIPHER, 0, expected);
	snprintf(expected, sizeof(expected),
	    "handshake with 192.0.2.7:5684 failed: the peer does not speak DTLS 1.2 (%s)",
	    error_name(MBED_ERR_VERSION, name));
	assert_explained(MBED_ERR_VERSION, 0, expected);
}
END_TEST

START_TEST(error_sentences_after_the_handshake)
{
	begin(PROTOCOL_DTLS_CLIENT, "sensor-17");
	a.state = ASSOCIATION_OPEN;
	a.code = MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE;
	error_explain(&a, "session");
	ck_assert_ptr_nonnull(strstr(a.error, "session with 192.0.2.7:5684 failed: "));
	ck_assert_ptr_null(strstr(a.error, "pre-shared"));
	ck_assert_ptr_nonnull(strstr(a.error, "(MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)"));
}
END_TEST

static void assert_timeout_says(const char *expected)
{
	char sentence[ERROR_MAX];

	snprintf(sentence, sizeof(sentence), "handshake with 192.0.2.7:5684 failed: %s", expected);
	error_explain_timeout(&a);
	ck_assert_str_eq(a.error, sentence);
}

START_TEST(error_sentences_of_timeouts)
{
	begin(PROTOCOL_DTLS_CLIENT, "sensor-17");
	assert_timeout_says("nothing was received within 123.000 s: is a DTLS server listening there?");
	a.lost_errno = ENETUNREACH;
	assert_timeout_says("no answer within 123.000 s; the last send said: Network is unreachable");
	a.lost_errno = 0;
	a.heard = true;
	settings.give_up_ms = 1007;
	assert_timeout_says("the peer fell silent for 1.007 s in the middle of it");
	a.finished_sent = true;
	assert_timeout_says("the peer fell silent after this side's Finished: the path may be bad, but some servers "
			    "also stay silent when "
			    "the pre-shared key for identity \"sensor-17\" differs or is unknown");
	settings.opt.protocol = PROTOCOL_DTLS_SERVER;
	assert_timeout_says("the peer fell silent for 1.007 s in the middle of it");
}
END_TEST

/* 128 bytes that all need escaping, and the longest address: the end of the sentence is still there. */
START_TEST(error_sentences_with_the_longest_parts)
{
	static const char end[] = "\\xff...\" differs or is unknown";
	char identity[DTLS_PSK_IDENTITY_MAX + 1];

	memset(identity, '\xff', sizeof(identity) - 1);
	identity[sizeof(identity) - 1] = '\0';
	begin(PROTOCOL_DTLS_CLIENT, identity);
	memset(&peer, 0xff, sizeof(peer));
	peer.any.sa_family = AF_INET6;
	a.code = MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE;
	a.alert = 20;
	error_explain(&a, "handshake");
	ck_assert_ptr_nonnull(strstr(a.error, "\\xff...\" probably differs, or the peer does not know this identity "
					      "(MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)"));
	a.heard = a.finished_sent = true;
	error_explain_timeout(&a);
	ck_assert_str_eq(a.error + strlen(a.error) - strlen(end), end);
}
END_TEST

Suite *error_suite(void)
{
	Suite *suite = suite_create("error");

	TEST(suite, error_names_of_single_codes);
	TEST(suite, error_names_of_combined_codes);
	TEST(suite, error_names_of_unknown_codes);
	TEST(suite, error_names_of_every_code);
	TEST(suite, error_bytes_escapes);
	TEST(suite, error_bytes_cuts);
	TEST(suite, error_sentences_of_alerts);
	TEST(suite, error_sentences_of_keys);
	TEST(suite, error_sentences_of_other_causes);
	TEST(suite, error_sentences_after_the_handshake);
	TEST(suite, error_sentences_of_timeouts);
	TEST(suite, error_sentences_with_the_longest_parts);
	return suite;
}
