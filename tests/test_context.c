#include "dtls/dtls.h"
#include "suites.h"

#include <limits.h>
#include <mbedtls/version.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct dtls_context *client, *server;

static void begin(void)
{
	client = dtls_context_new(PROTOCOL_DTLS_CLIENT);
	server = dtls_context_new(PROTOCOL_DTLS_SERVER);
	ck_assert(client != NULL && server != NULL);
}

static void end(void)
{
	dtls_context_free(client);
	dtls_context_free(server);
}

static void assert_says(const struct dtls_context *ctx, const char *word)
{
	const char *error = dtls_context_error(ctx);

	ck_assert_msg(strstr(error, word) != NULL, "\"%s\" does not say \"%s\"", error, word);
}

/* ---- life */

START_TEST(context_protocols)
{
	static const enum dtls_protocol others[] = {
	    (enum dtls_protocol)4, (enum dtls_protocol)99, (enum dtls_protocol) - 1};

	begin();
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		char number[32];

		ck_assert_ptr_null(dtls_context_new(others[i]));
		snprintf(number, sizeof(number), "protocol %d is none of", (int)others[i]);
		assert_says(NULL, number);
		assert_says(NULL, "PROTOCOL_DTLS_CLIENT");
		assert_says(NULL, "PROTOCOL_DTLS_SERVER");
	}
	ck_assert_str_eq(dtls_context_error(client), "");
	end();
}
END_TEST

START_TEST(context_versions)
{
	unsigned a, b, c;
	char linked[32];

	mbedtls_version_get_string(linked);
	ck_assert_str_eq(dtls_mbedtls_version(), linked);
	ck_assert_int_eq(sscanf(dtls_version(), "%u.%u.%u", &a, &b, &c), 3);
}
END_TEST

START_TEST(context_references)
{
	begin();
	dtls_context_free(NULL);
	ck_assert_ptr_eq(dtls_context_ref(client), client);
	dtls_context_free(client);
	ck_assert_int_eq(dtls_context_set_mtu(client, 1000), DTLS_OK);
	end();
}
END_TEST

/* ---- errors */

static void *fail_elsewhere(void *arg)
{
	char *seen = arg;

	strcpy(seen, dtls_context_error(client));
	ck_assert_int_eq(dtls_context_set_mtu(client, 2), DTLS_FAIL);
	return strstr(dtls_context_error(client), "MTU of 2") != NULL ? NULL : arg;
}

START_TEST(context_errors_belong_to_the_thread)
{
	pthread_t thread;
	char seen[512] = "unset";
	void *result;

	begin();
	ck_assert_str_eq(dtls_context_error(client), "");
	ck_assert_int_eq(dtls_context_set_mtu(client, 1), DTLS_FAIL);
	ck_assert_int_eq(pthread_create(&thread, NULL, fail_elsewhere, seen), 0);
	ck_assert_int_eq(pthread_join(thread, &result), 0);
	ck_assert_str_eq(seen, "");
	ck_assert_ptr_null(result);
	assert_says(client, "MTU of 1 ");
	end();
}
END_TEST

START_TEST(context_errors_belong_to_the_context)
{
	begin();
	ck_assert_int_eq(dtls_context_set_mtu(client, 1), DTLS_FAIL);
	ck_assert_str_eq(dtls_context_error(server), "");
	ck_assert_int_eq(dtls_context_set_mtu(server, 2), DTLS_FAIL);
	ck_assert_ptr_null(dtls_context_new((enum dtls_protocol)4));
	assert_says(client, "MTU of 1 ");
	assert_says(server, "MTU of 2 ");
	assert_says(NULL, "protocol 4");
	end();
}
END_TEST

START_TEST(context_errors_survive_success_and_questions)
{
	struct dtls_context *others[8];
	const char *sentence;

	begin();
	ck_assert_int_eq(dtls_context_set_mtu(client, 1), DTLS_FAIL);
	sentence = dtls_context_error(client);
	for (unsigned i = 0; i < 8; i++)
		others[i] = dtls_context_new(PROTOCOL_DTLS_CLIENT);
	for (unsigned i = 0; i < 8; i++) {
		ck_assert_int_eq(dtls_context_set_mtu(others[i], 1000), DTLS_OK);
		ck_assert_str_eq(dtls_context_error(others[i]), "");
	}
	ck_assert_int_eq(dtls_context_set_mtu(client, 1000), DTLS_OK);
	assert_says(client, "MTU of 1 ");
	ck_assert_ptr_eq(dtls_context_error(client), sentence);
	for (unsigned i = 0; i < 8; i++)
		dtls_context_free(others[i]);
	end();
}
END_TEST

/* ---- numbers */

START_TEST(context_mtu_bounds)
{
	begin();
	ck_assert_int_eq(dtls_context_set_mtu(client, 256), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_mtu(client, 16384), DTLS_OK);
	ck_assert_str_eq(dtls_context_error(client), "");
	ck_assert_int_eq(dtls_context_set_mtu(client, 255), DTLS_FAIL);
	ck_assert_str_eq(dtls_context_error(client), "an MTU of 255 is not within 256..16384 bytes");
	ck_assert_int_eq(dtls_context_set_mtu(client, 16385), DTLS_FAIL);
	assert_says(client, "16385");
	ck_assert_int_eq(dtls_context_set_mtu(client, 0), DTLS_FAIL);
	ck_assert_int_eq(dtls_context_set_mtu(client, SIZE_MAX), DTLS_FAIL);
	end();
}
END_TEST

START_TEST(context_handshake_timeout_bounds)
{
	begin();
	ck_assert_int_eq(dtls_context_set_handshake_timeout(client, 1, 1), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_handshake_timeout(client, 1, 3600000), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_handshake_timeout(client, 3600000, 3600000), DTLS_OK);
	ck_assert_str_eq(dtls_context_error(client), "");
	ck_assert_int_eq(dtls_context_set_handshake_timeout(client, 0, 1000), DTLS_FAIL);
	ck_assert_str_eq(
	    dtls_context_error(client), "a handshake timeout of 0 to 1000 ms is not within 1 <= min <= max <= 3600000");
	ck_assert_int_eq(dtls_context_set_handshake_timeout(client, -1, 1000), DTLS_FAIL);
	ck_assert_int_eq(dtls_context_set_handshake_timeout(client, 1000, 999), DTLS_FAIL);
	assert_says(client, "1000 to 999 ms");
	ck_assert_int_eq(dtls_context_set_handshake_timeout(client, 1000, 3600001), DTLS_FAIL);
	ck_assert_int_eq(dtls_context_set_handshake_timeout(client, INT_MAX, INT_MAX), DTLS_FAIL);
	end();
}
END_TEST

START_TEST(context_retransmit_bounds)
{
	begin();
	ck_assert_int_eq(dtls_context_set_retransmit(client, DTLS_RETRANSMIT_FIXED), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_retransmit(client, DTLS_RETRANSMIT_ADAPTIVE), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_retransmit_jitter(client, 0), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_retransmit_jitter(client, 50), DTLS_OK);
	ck_assert_str_eq(dtls_context_error(client), "");
	ck_assert_int_eq(dtls_context_set_retransmit(client, (enum dtls_retransmit)2), DTLS_FAIL);
	ck_assert_str_eq(dtls_context_error(client), "retransmission 2 is neither adaptive nor fixed");
	ck_assert_int_eq(dtls_context_set_retransmit_jitter(client, 51), DTLS_FAIL);
	ck_assert_str_eq(dtls_context_error(client), "a jitter of 51 percent is not within 0..50");
	ck_assert_int_eq(dtls_context_set_retransmit_jitter(client, -1), DTLS_FAIL);
	assert_says(client, "-1 percent");
	end();
}
END_TEST

START_TEST(context_clock_and_trace_can_be_removed)
{
	begin();
	ck_assert_int_eq(dtls_context_set_clock(client, NULL, NULL), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_trace(client, NULL, NULL), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_psk_lookup(server, NULL, NULL), DTLS_OK);
	end();
}
END_TEST

/* ---- ciphers */

static const char *const default_names[] = {"TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256", "TLS-PSK-WITH-AES-128-CCM-8",
    "TLS-PSK-WITH-AES-128-CCM", "TLS-PSK-WITH-AES-128-GCM-SHA256", "TLS-PSK-WITH-AES-256-GCM-SHA384",
    "TLS-PSK-WITH-CHACHA20-POLY1305-SHA256"};
enum { DEFAULTS = sizeof(default_names) / sizeof(*default_names) };

static void assert_ciphers(const struct dtls_context *ctx, const char *const *expected, size_t count)
{
	const char *names[64];

	ck_assert_uint_eq(dtls_context_get_ciphers(ctx, names, 64), count);
	for (size_t i = 0; i < count; i++)
		ck_assert_str_eq(names[i], expected[i]);
}

START_TEST(context_default_ciphers)
{
	const char *names[DEFAULTS + 1] = {NULL};

	begin();
	assert_ciphers(client, default_names, DEFAULTS);
	assert_ciphers(server, default_names, DEFAULTS);
	ck_assert_uint_eq(dtls_context_get_ciphers(client, NULL, 0), DEFAULTS);
	ck_assert_uint_eq(dtls_context_get_ciphers(client, names, 2), DEFAULTS);
	ck_assert_str_eq(names[1], default_names[1]);
	ck_assert_ptr_null(names[2]);
	/* What is got can be set. */
	ck_assert_int_eq(dtls_context_set_ciphers(client, default_names, DEFAULTS), DTLS_OK);
	assert_ciphers(client, default_names, DEFAULTS);
	end();
}
END_TEST

START_TEST(context_ciphers_in_both_spellings)
{
	static const char *const names[] = {"TLS_PSK_WITH_AES_128_GCM_SHA256", "TLS-PSK-WITH-AES-128-CCM-8",
	    "TLS_ECDHE-PSK_WITH-CHACHA20_POLY1305-SHA256"};
	static const char *const expected[] = {"TLS-PSK-WITH-AES-128-GCM-SHA256", "TLS-PSK-WITH-AES-128-CCM-8",
	    "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256"};

	begin();
	ck_assert_int_eq(dtls_context_set_ciphers(client, names, 3), DTLS_OK);
	assert_ciphers(client, expected, 3);
	end();
}
END_TEST

START_TEST(context_cbc_ciphers_by_name)
{
	static const char *const names[] = {"TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA256",
	    "TLS-ECDHE-PSK-WITH-AES-256-CBC-SHA384", "TLS-PSK-WITH-AES-128-CBC-SHA256",
	    "TLS-PSK-WITH-AES-256-CBC-SHA384"};

	begin();
	ck_assert_int_eq(dtls_context_set_ciphers(server, names, 4), DTLS_OK);
	assert_ciphers(server, names, 4);
	end();
}
END_TEST

START_TEST(context_weak_and_unknown_ciphers)
{
	static const char *const refused[] = {"TLS-PSK-WITH-NULL-SHA256", "TLS-PSK-WITH-NULL-SHA",
	    "TLS-PSK-WITH-AES-128-CBC-SHA", "TLS-PSK-WITH-3DES-EDE-CBC-SHA", "TLS-PSK-WITH-RC4-128-SHA",
	    "TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA", "TLS-RSA-WITH-AES-128-CBC-SHA", "TLS-RSA-PSK-WITH-AES-128-GCM-SHA256",
	    "TLS-RSA-WITH-AES-128-GCM-SHA256", "TLS_AES_128_GCM_SHA256", "PSK-AES128-CCM8", "ALL", "", " ",
	    "TLS-PSK-WITH-AES-128-CCM-8 ", "tls-psk-with-aes-128-ccm-8",
	    "TLS-PSK-WITH-AES-128-CCM-8TLS-PSK-WITH-AES-128-CCM-8TLS-PSK-WITH-AES-128-CCM-8TLS-PSK-WITH-AES-128-CCM-8"};

	begin();
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		const char *names[] = {"TLS-PSK-WITH-AES-128-CCM", refused[i]};
		char quoted[128];

		ck_assert_msg(dtls_context_set_ciphers(client, names, 2) == DTLS_FAIL, "%s", refused[i]);
		snprintf(quoted, sizeof(quoted), "cipher suite \"%.80s", refused[i]);
		assert_says(client, quoted);
		assert_says(client, "is unknown, or weaker than is accepted here");
	}
	/* Nothing was half applied. */
	assert_ciphers(client, default_names, DEFAULTS);
	end();
}
END_TEST

START_TEST(context_cipher_lists_that_make_no_sense)
{
	static const char *const twice[] = {
	    "TLS-PSK-WITH-AES-128-CCM-8", "TLS-PSK-WITH-AES-128-CCM", "TLS_PSK_WITH_AES_128_CCM_8"};
	const char *many[33];

	begin();
	ck_assert_int_eq(dtls_context_set_ciphers(client, twice, 3), DTLS_FAIL);
	ck_assert_str_eq(dtls_context_error(client), "cipher suite \"TLS_PSK_WITH_AES_128_CCM_8\" is named twice");
	ck_assert_int_eq(dtls_context_set_ciphers(client, twice, 0), DTLS_FAIL);
	assert_says(client, "1 to 32 cipher suites is needed, not 0");
	for (size_t i = 0; i < 33; i++)
		many[i] = twice[0];
	ck_assert_int_eq(dtls_context_set_ciphers(client, many, 33), DTLS_FAIL);
	assert_says(client, "not 33");
	assert_ciphers(client, default_names, DEFAULTS);
	ck_assert_int_eq(dtls_context_set_ciphers(client, twice, 2), DTLS_OK);
	assert_ciphers(client, twice, 2);
	end();
}
END_TEST

START_TEST(context_strange_bytes_in_a_cipher_name)
{
	const char *names[] = {"TLS\n\x1b[31m"};

	begin();
	ck_assert_int_eq(dtls_context_set_ciphers(client, names, 1), DTLS_FAIL);
	assert_says(client, "\"TLS\\x0a\\x1b[31m\"");
	end();
}
END_TEST

/* ---- pre-shared keys */

static const char zeros[200];

START_TEST(context_psk_lengths)
{
	size_t max = dtls_psk_max();
	char too_long[16];

	ck_assert_uint_eq(max, MBEDTLS_VERSION_NUMBER < 0x03000000 ? 32 : 48);
	snprintf(too_long, sizeof(too_long), "%zu", max + 1);
	begin();
	ck_assert_int_eq(dtls_context_set_psk(client, zeros, 1, zeros, 1), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_psk(client, zeros, 128, zeros, max), DTLS_OK);
	ck_assert_int_eq(dtls_context_add_psk(server, zeros, 128, zeros, max), DTLS_OK);
	ck_assert_str_eq(dtls_context_error(client), "");
	ck_assert_int_eq(dtls_context_set_psk(client, zeros, 0, zeros, 1), DTLS_FAIL);
	assert_says(client, "identity");
	ck_assert_int_eq(dtls_context_set_psk(client, zeros, 129, zeros, 1), DTLS_FAIL);
	assert_says(client, "identity");
	assert_says(client, "129");
	ck_assert_int_eq(dtls_context_set_psk(client, "a", 1, zeros, 0), DTLS_FAIL);
	assert_says(client, "key");
	ck_assert_int_eq(dtls_context_set_psk(client, "a", 1, zeros, max + 1), DTLS_FAIL);
	assert_says(client, "key");
	assert_says(client, too_long);
	ck_assert_int_eq(dtls_context_add_psk(server, "a", 1, zeros, 0), DTLS_FAIL);
	assert_says(server, "key");
	ck_assert_int_eq(dtls_context_add_psk(server, "", 0, "k", 1), DTLS_FAIL);
	assert_says(server, "identity");
	end();
}
END_TEST

START_TEST(context_psk_calls_of_a_server)
{
	begin();
	ck_assert_int_eq(dtls_context_add_psk(client, "a", 1, "k", 1), DTLS_FAIL);
	ck_assert_str_eq(dtls_context_error(client), "a client has one key: use dtls_context_set_psk()");
	ck_assert_int_eq(dtls_context_set_psk_lookup(client, NULL, NULL), DTLS_FAIL);
	ck_assert_str_eq(dtls_context_error(client), "a client looks up no keys: use dtls_context_set_psk()");
	end();
}
END_TEST

START_TEST(context_psk_lines)
{
	static const struct {
		const char *line, *word;
	} bad[] = {{"a", "no colon"}, {"a:", "key"}, {":0a", "identity"}, {"a:0", "odd"}, {"a:0g", "hex"}};

	begin();
	ck_assert_int_eq(dtls_context_add_psk_line(client, "sensor:17:0a0b"), DTLS_OK);
	ck_assert_int_eq(dtls_context_add_psk_line(server, "sensor:17:0A0B"), DTLS_OK);
	ck_assert_int_eq(dtls_context_add_psk_line(server, "sensor:17:0A0C"), DTLS_OK); /* replaces it */
	ck_assert_str_eq(dtls_context_error(client), "");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_int_eq(dtls_context_add_psk_line(client, bad[i].line), DTLS_FAIL);
		assert_says(client, bad[i].word);
		ck_assert_int_eq(dtls_context_add_psk_line(server, bad[i].line), DTLS_FAIL);
		assert_says(server, bad[i].word);
	}
	end();
}
END_TEST

Suite *context_suite(void)
{
	Suite *suite = suite_create("context");

	TEST(suite, context_protocols);
	TEST(suite, context_versions);
	TEST(suite, context_references);
	TEST(suite, context_errors_belong_to_the_thread);
	TEST(suite, context_errors_belong_to_the_context);
	TEST(suite, context_errors_survive_success_and_questions);
	TEST(suite, context_mtu_bounds);
	TEST(suite, context_handshake_timeout_bounds);
	TEST(suite, context_retransmit_bounds);
	TEST(suite, context_clock_and_trace_can_be_removed);
	TEST(suite, context_default_ciphers);
	TEST(suite, context_ciphers_in_both_spellings);
	TEST(suite, context_cbc_ciphers_by_name);
	TEST(suite, context_weak_and_unknown_ciphers);
	TEST(suite, context_cipher_lists_that_make_no_sense);
	TEST(suite, context_strange_bytes_in_a_cipher_name);
	TEST(suite, context_psk_lengths);
	TEST(suite, context_psk_calls_of_a_server);
	TEST(suite, context_psk_lines);
	return suite;
}
