#include "resumable.h"

#include "mbed.h"

#include <mbedtls/md.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_LEN_MAX = 255, MADE_AT = 5, ENCRYPT_THEN_MAC = 0x80 };
/* 34 years: nothing is resumed after a week. */
static const int64_t made_at_mask = ((int64_t)1 << 8 * MADE_AT) - 1;

int resumable_digest(struct bytes bytes, uint8_t digest[RESUMABLE_DIGEST])
{
	return mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), bytes.at, bytes.len, digest);
}

/* One length is fixed and one stands before what it counts, so that nothing runs together. */
int resumable_mark(
    const uint8_t fingerprint[RESUMABLE_DIGEST], struct bytes name, struct bytes key, uint8_t mark[RESUMABLE_MARK])
{
	uint8_t input[RESUMABLE_DIGEST + 1 + NAME_LEN_MAX + MBEDTLS_PSK_MAX_LEN], digest[RESUMABLE_DIGEST];
	size_t len = RESUMABLE_DIGEST;
	int code;

	memcpy(input, fingerprint, len);
	input[len++] = (uint8_t)name.len;
	if (name.len > 0)
		memcpy(input + len, name.at, name.len);
	len += name.len;
	if (key.len > 0)
		memcpy(input + len, key.at, key.len);
	len += key.len;
	code = resumable_digest((struct bytes){input, len}, digest);
	memcpy(mark, digest, RESUMABLE_MARK);
	mbedtls_platform_zeroize(input, len);
	return code;
}

int64_t resumable_age(const struct resumable *r, int64_t now_ms)
{
	return (now_ms - r->made_at) & made_at_mask;
}

/* ---- certificates ---- */

size_t resumable_pack_chain(const mbedtls_x509_crt *first, uint8_t *out, size_t size)
{
	size_t len = 0;

	for (const mbedtls_x509_crt *c = first; c != NULL && c->raw.p != NULL; c = c->next) {
		if (len + 3 + c->raw.len <= size)
			memcpy(put_24(out + len, c->raw.len), c->raw.p, c->raw.len);
		len += 3 + c->raw.len;
	}
	return len;
}

int resumable_load_chain(struct bytes from, mbedtls_x509_crt *chain)
{
	int code = 0;

	while (code == 0 && from.len > 0) {
		size_t len = from.len < 3 ? 0 : get_24(from.at);

		if (from.len < 3 || len > from.len - 3)
			return MBEDTLS_ERR_SSL_BAD_INPUT_DATA;
		code = mbedtls_x509_crt_parse_der(chain, from.at + 3, len);
		from.at += 3 + len;
		from.len -= 3 + len;
	}
	return code;
}

/* ---- sessions ---- */

size_t resumable_pack(const struct resumable *r, const mbedtls_ssl_session *session, uint8_t *out, size_t size)
{
	size_t len = RESUMABLE_FIXED + r->identity.len;
	uint8_t *p = out;

	if (len <= size) {
		p = put_16(p, (size_t)(r->made_at >> 24));
		p = put_24(p, (size_t)r->made_at);
		p = put_16(put_16(p, r->serial >> 16), r->serial & 0xffff);
		memcpy(p, r->mark, RESUMABLE_MARK);
		p += RESUMABLE_MARK;
		p = put_16(p, (size_t)session->MBED_FIELD(ciphersuite));
		*p++ = session->MBED_FIELD(mfl_code) | (session->MBED_FIELD(encrypt_then_mac) ? ENCRYPT_THEN_MAC : 0);
		memcpy(p, session->MBED_FIELD(master), RESUMABLE_MASTER);
		p += RESUMABLE_MASTER;
		*p++ = (uint8_t)r->identity.len;
		if (r->identity.len > 0)
			memcpy(p, r->identity.at, r->identity.len);
	}
	return len + resumable_pack_chain(
			 session->MBED_FIELD(peer_cert), len <= size ? out + len : NULL, len <= size ? size - len : 0);
}

bool resumable_parse(struct bytes from, struct resumable *r)
{
	const uint8_t *p = from.at;
	size_t identity_len = from.len < RESUMABLE_FIXED ? 0 : p[RESUMABLE_FIXED - 1];

	if (from.len < RESUMABLE_FIXED + identity_len)
		return false;
	r->made_at = (int64_t)get_16(p) << 24 | (int64_t)get_24(p + 2);
	r->serial = (uint32_t)get_16(p + MADE_AT) << 16 | get_16(p + MADE_AT + 2);
	r->mark = p + MADE_AT + 4;
	p = r->mark + RESUMABLE_MARK;
	r->suite = get_16(p);
	r->max_fragment = p[2] & (uint8_t)~ENCRYPT_THEN_MAC;
	r->encrypt_then_mac = (p[2] & ENCRYPT_THEN_MAC) != 0;
	r->master = p + 3;
	r->identity = (struct bytes){from.at + RESUMABLE_FIXED, identity_len};
	r->chain = (struct bytes){r->identity.at + identity_len, from.len - RESUMABLE_FIXED - identity_len};
	return true;
}

int resumable_load(const struct resumable *r, mbedtls_ssl_session *session)
{
	mbedtls_x509_crt *chain;

	mbed_session_for_server(session);
	session->MBED_FIELD(ciphersuite) = r->suite;
	session->MBED_FIELD(mfl_code) = r->max_fragment;
	session->MBED_FIELD(encrypt_then_mac) = r->encrypt_then_mac;
	memcpy(session->MBED_FIELD(master), r->master, RESUMABLE_MASTER);
	if (r->chain.len == 0)
		return 0;
	chain = calloc(1, sizeof(*chain));
	if (chain == NULL)
		return MBEDTLS_ERR_SSL_ALLOC_FAILED;
	mbedtls_x509_crt_init(chain);
	session->MBED_FIELD(peer_cert) = chain;
	return resumable_load_chain(r->chain, chain);
}
