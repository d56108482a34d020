#include "dtls/mbed.h"
#include "dtls/resumable.h"
#include "hellos.h"
#include "pki.h"
#include "seeded.h"
#include "suites.h"

#include <stdlib.h>
#include <string.h>

enum { PACKED_MAX = 8192 };

static const uint8_t mark[RESUMABLE_MARK] = {1, 2, 3, 4, 5, 6, 7, 8};
static const struct bytes identity = {(const uint8_t *)"sensor-17", 9};

static void make(mbedtls_ssl_session *session, const char *chain)
{
	mbedtls_ssl_session_init(session);
	mbed_session_for_server(session);
	session->MBED_FIELD(ciphersuite) = MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8;
	session->MBED_FIELD(mfl_code) = MBEDTLS_SSL_MAX_FRAG_LEN_1024;
	session->MBED_FIELD(encrypt_then_mac) = 1;
	for (int i = 0; i < RESUMABLE_MASTER; i++)
		session->MBED_FIELD(master)[i] = (unsigned char)(i + 100);
	if (chain == NULL)
		return;
	session->MBED_FIELD(peer_cert) = calloc(1, sizeof(mbedtls_x509_crt));
	mbedtls_x509_crt_init(session->MBED_FIELD(peer_cert));
	ck_assert_int_eq(mbedtls_x509_crt_parse_file(session->MBED_FIELD(peer_cert), pki_path(chain)), 0);
}

static size_t pack(const char *chain, struct bytes id, uint8_t out[PACKED_MAX])
{
	struct resumable r = {.made_at = 0x123456789a, .serial = 0x80000007, .mark = mark, .identity = id};
	mbedtls_ssl_session session;
	size_t len, again;

	make(&session, chain);
	len = resumable_pack(&r, &session, out, PACKED_MAX);
	ck_assert_uint_eq(resumable_pack(&r, &session, NULL, 0), len);
	for (size_t size = 0; size < len; size += 7) {
		uint8_t *small = malloc(size + 1);

		again = resumable_pack(&r, &session, small, size);
		ck_assert_uint_eq(again, len);
		free(small);
	}
	mbedtls_ssl_session_free(&session);
	return len;
}

static int load(const struct resumable *r, mbedtls_ssl_session *session)
{
	mbedtls_ssl_session_init(session);
	return resumable_load(r, session);
}

START_TEST(resumable_there_and_back)
{
	uint8_t packed[PACKED_MAX];
	size_t len = pack(NULL, identity, packed);
	mbedtls_ssl_session session, original;
	struct resumable r;

	ck_assert_uint_eq(len, RESUMABLE_FIXED + identity.len);
	ck_assert(resumable_parse((struct bytes){packed, len}, &r));
	ck_assert_int_eq(r.made_at, 0x123456789a);
	ck_assert_uint_eq(r.serial, 0x80000007);
	ck_assert_mem_eq(r.mark, mark, sizeof(mark));
	ck_assert_uint_eq(r.identity.len, identity.len);
	ck_assert_mem_eq(r.identity.at, identity.at, identity.len);
	ck_assert_int_eq(load(&r, &session), 0);
	make(&original, NULL);
	ck_assert_mem_eq(&session, &original, sizeof(session));
	mbedtls_ssl_session_free(&session);
	mbedtls_ssl_session_free(&original);
}
END_TEST

START_TEST(resumable_chain)
{
	uint8_t packed[PACKED_MAX];
	size_t len = pack("chain.pem", (struct bytes){NULL, 0}, packed);
	mbedtls_ssl_session session, original;
	const mbedtls_x509_crt *was, *is;
	struct resumable r;

	ck_assert(resumable_parse((struct bytes){packed, len}, &r));
	ck_assert_uint_eq(r.identity.len, 0);
	ck_assert_int_eq(load(&r, &session), 0);
	make(&original, "chain.pem");
	was = original.MBED_FIELD(peer_cert);
	is = session.MBED_FIELD(peer_cert);
	for (int i = 0; i < 2; i++, was = was->next, is = is->next) {
		ck_assert(was != NULL && is != NULL);
		ck_assert_uint_eq(is->raw.len, was->raw.len);
		ck_assert_mem_eq(is->raw.p, was->raw.p, is->raw.len);
	}
	ck_assert(was == NULL && is == NULL);
	mbedtls_ssl_session_free(&session);
	mbedtls_ssl_session_free(&original);
}
END_TEST

/* Of any length, and of any content: an error or a session, and nothing is read behind the end. */
static void try_bytes(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = exact_copy(bytes, len);
	mbedtls_ssl_session session;
	struct resumable r;

	mbedtls_ssl_session_init(&session);
	if (resumable_parse((struct bytes){copy, len}, &r)) {
		ck_assert(r.chain.at + r.chain.len == copy + len);
		resumable_load(&r, &session);
	}
	mbedtls_ssl_session_free(&session);
	free(copy);
}

START_TEST(resumable_cut_and_damaged)
{
	uint8_t packed[PACKED_MAX];
	size_t len = pack("chain.pem", identity, packed);
	uint64_t seed = 1;

	ck_assert_uint_gt(len, 0);
	for (size_t cut = 0; cut < len; cut++)
		try_bytes(packed, cut);
	for (int i = 0; i < 2000; i++) {
		size_t at = seeded_below(&seed, len);
		uint8_t was = packed[at];

		packed[at] = (uint8_t)seeded_next(&seed);
		try_bytes(packed, len);
		packed[at] = was;
	}
}
END_TEST

START_TEST(resumable_short_is_refused)
{
	uint8_t packed[PACKED_MAX];
	size_t len = pack(NULL, identity, packed);
	struct resumable r;

	for (size_t cut = 0; cut < len; cut++)
		ck_assert(!resumable_parse((struct bytes){packed, cut}, &r));
	ck_assert(resumable_parse((struct bytes){packed, len}, &r));
}
END_TEST

START_TEST(resumable_ages)
{
	struct resumable r = {.made_at = 1000};

	ck_assert_int_eq(resumable_age(&r, 1000), 0);
	ck_assert_int_eq(resumable_age(&r, 604801000), 604800000);
	/* A clock that goes back makes everything too old. */
	ck_assert_int_gt(resumable_age(&r, 999), (int64_t)30 * 365 * 86400 * 1000);
	/* Of today's instant 40 bits are kept, so that an age may pass their end. */
	r.made_at = ((int64_t)1 << 40) - 1;
	ck_assert_int_eq(resumable_age(&r, ((int64_t)5 << 40) + 1), 2);
}
END_TEST

static void mark_of(const char *name, const char *key, uint8_t out[RESUMABLE_MARK])
{
	uint8_t fingerprint[RESUMABLE_DIGEST] = {42};

	ck_assert_int_eq(resumable_mark(fingerprint, (struct bytes){(const uint8_t *)name, strlen(name)},
			     (struct bytes){(const uint8_t *)key, strlen(key)}, out),
	    0);
}

START_TEST(resumable_marks_differ)
{
	static const char *const parts[][2] = {{"", ""}, {"a", ""}, {"", "a"}, {"ab", "c"}, {"a", "bc"}, {"", "abc"}};
	uint8_t marks[6][RESUMABLE_MARK], again[RESUMABLE_MARK], other[RESUMABLE_DIGEST] = {43};

	for (int i = 0; i < 6; i++) {
		mark_of(parts[i][0], parts[i][1], marks[i]);
		mark_of(parts[i][0], parts[i][1], again);
		ck_assert_mem_eq(marks[i], again, RESUMABLE_MARK);
		for (int k = 0; k < i; k++)
			ck_assert_mem_ne(marks[i], marks[k], RESUMABLE_MARK);
	}
	ck_assert_int_eq(resumable_mark(other, (struct bytes){NULL, 0}, (struct bytes){NULL, 0}, again), 0);
	ck_assert_mem_ne(marks[0], again, RESUMABLE_MARK);
}
END_TEST

Suite *resumable_suite(void)
{
	Suite *s = suite_create("resumable");

	pki_announce();
	TEST(s, resumable_there_and_back);
	TEST(s, resumable_chain);
	TEST(s, resumable_cut_and_damaged);
	TEST(s, resumable_short_is_refused);
	TEST(s, resumable_ages);
	TEST(s, resumable_marks_differ);
	return s;
}
