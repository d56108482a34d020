/* A client's session as bytes that outlive the process: taken from one connection, offered by a later one. */
#include "conn.h"
#include "mbed.h"
#include "resumable.h"
#include "resume.h"
#include "verify.h"

#include <mbedtls/platform_util.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The bytes: MAGIC; mbed TLS's version, the protocol, the verify mode, the server's name, the pre-shared key's identity
 * and a mark of the key, each behind its length in a byte; the certificates behind the server's own, behind their length
 * in 3 bytes; mbed TLS's session; a digest of all that, against damage. */
#define MAGIC "dtls-session-1\n"
enum { MAGIC_LEN = sizeof(MAGIC) - 1, PARTS = 6, CHAIN_LEN = 3 };
enum { HEADER_MAX = MAGIC_LEN + PARTS + 32 + 4 + 1 + HOSTNAME_MAX + DTLS_PSK_IDENTITY_MAX + RESUMABLE_DIGEST };
/* Bytes of a ClientHello with a cookie of 32 bytes, besides what judge_size() counts. */
enum { HELLO_FIXED = 200 };

/* Not final: the connection goes on without a session. */
static void refuse(struct dtls_conn *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void refuse(struct dtls_conn *c, const char *format, ...)
{
	va_list args;

	if (c->status == DTLS_OK) {
		va_start(args, format);
		vsnprintf(c->error, sizeof(c->error), format, args);
		va_end(args);
	}
}

static struct bytes text(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static bool same(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* Marks the client's key, so that nobody can tell it from the mark alone. 0 or an mbed TLS error. */
static int mark_key(const struct association *a, struct bytes identity, const mbedtls_ssl_session *session,
    uint8_t mark[RESUMABLE_DIGEST])
{
	uint8_t input[RESUMABLE_MASTER + MBEDTLS_PSK_MAX_LEN];
	const uint8_t *key;
	size_t len;
	int code;

	memset(mark, 0, RESUMABLE_DIGEST);
	if (identity.len == 0)
		return 0;
	key = psk_table_find(a->settings->opt.psk.fixed, identity.at, identity.len, &len);
	if (key == NULL)
		return MBEDTLS_ERR_SSL_PRIVATE_KEY_REQUIRED;
	memcpy(input, session->MBED_FIELD(master), RESUMABLE_MASTER);
	memcpy(input + RESUMABLE_MASTER, key, len);
	code = resumable_digest((struct bytes){input, RESUMABLE_MASTER + len}, mark);
	mbedtls_platform_zeroize(input, sizeof(input));
	return code;
}

/* ---- save ---- */

static const char *protocol_of(const struct association *a)
{
	return settings_is_stream(a->settings) ? "TLS" : "DTLS";
}

/* Its length; 0: it cannot be made. */
static size_t write_header(const struct association *a, const mbedtls_ssl_session *session, uint8_t out[HEADER_MAX])
{
	uint8_t mark[RESUMABLE_DIGEST], mode = (uint8_t)a->settings->opt.verify_mode, *p = out;
	const struct bytes parts[PARTS] = {text(dtls_mbedtls_version()), text(protocol_of(a)), {&mode, 1},
	    text(a->hostname), {a->identity, a->identity_len}, {mark, sizeof(mark)}};

	if (mark_key(a, parts[4], session, mark) != 0)
		return 0;
	memcpy(p, MAGIC, MAGIC_LEN);
	p += MAGIC_LEN;
	for (size_t i = 0; i < PARTS; i++) {
		*p++ = (uint8_t)parts[i].len;
		if (parts[i].len > 0)
			memcpy(p, parts[i].at, parts[i].len);
		p += parts[i].len;
	}
	return (size_t)(p - out);
}

/* The bytes without the digest. Their length, which may be more than size; 0: mbed TLS will not. */
static size_t pack(const struct association *a, const mbedtls_ssl_session *session, uint8_t *out, size_t size)
{
	const mbedtls_x509_crt *own = session->MBED_FIELD(peer_cert), *issuers = own == NULL ? NULL : own->next;
	uint8_t header[HEADER_MAX];
	size_t header_len = write_header(a, session, header), chain_len = resumable_pack_chain(issuers, NULL, 0);
	size_t at = header_len + CHAIN_LEN + chain_len, len;
	bool fits = at <= size;
	int code;

	if (fits && header_len > 0) {
		memcpy(out, header, header_len);
		resumable_pack_chain(issuers, put_24(out + header_len, chain_len), chain_len);
	}
	code = mbedtls_ssl_session_save(session, fits ? out + at : NULL, fits ? size - at : 0, &len);
	return header_len == 0 || (code != 0 && code != MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL) ? 0 : at + len;
}

/* NULL, or why there is nothing to save. */
static const char *judge(const struct association *a, const mbedtls_ssl_session *session)
{
	if (mbed_is_1_3(&a->ssl))
		return "a session of TLS 1.3 cannot be resumed here: only those of 1.2 can";
	if (!a->extended_master)
		return "the server does not know the extended master secret (RFC 7627), without which resuming is not "
		       "safe";
	if (session->MBED_FIELD(id_len) == 0 && session->MBED_FIELD(ticket_len) == 0)
		return "the server gave neither a session id nor a ticket: this session cannot be resumed";
	return NULL;
}

int dtls_conn_session_save(struct dtls_conn *c, void *buf, size_t size, size_t *len)
{
	const struct association *a = c->a;
	mbedtls_ssl_session session;
	uint8_t *out = buf;
	const char *why;
	size_t n;

	*len = 0;
	if (conn_is_server(c))
		return refuse(c, "a server's sessions are saved by its clients"), DTLS_FAIL;
	if (a == NULL || a->state != ASSOCIATION_OPEN || a->ssl.MBED_FIELD(session) == NULL)
		return refuse(c, "there is no session to save: it is there from the handshake to the end"), DTLS_FAIL;
	/* A copy for the moment, that owns nothing: a server may have refused the ticket and given no other, and that
	 * one belongs to another master secret. */
	session = *a->ssl.MBED_FIELD(session);
	if (resume_is_stale(a, (struct bytes){session.MBED_FIELD(ticket), session.MBED_FIELD(ticket_len)})) {
		session.MBED_FIELD(ticket) = NULL;
		session.MBED_FIELD(ticket_len) = 0;
	}
	why = judge(a, &session);
	n = why == NULL ? pack(a, &session, out, size) : 0;
	mbedtls_platform_zeroize(&session, sizeof(session));
	if (why != NULL || n == 0)
		return refuse(c, "%s", why != NULL ? why : "the session cannot be saved"), DTLS_FAIL;
	*len = n + RESUMABLE_DIGEST;
	if (*len > size)
		return DTLS_TOO_BIG;
	if (resumable_digest((struct bytes){out, n}, out + n) == 0)
		return DTLS_OK;
	return refuse(c, "out of memory"), DTLS_FAIL;
}

/* ---- load ---- */

static bool take_vector(struct bytes *from, struct bytes *out)
{
	if (from->len == 0 || from->at[0] >= from->len)
		return false;
	*out = (struct bytes){from->at + 1, from->at[0]};
	from->at += 1 + out->len;
	from->len -= 1 + out->len;
	return true;
}

struct parts { /* of the bytes */
	struct bytes version, protocol, mode, name, identity, mark, chain, session;
};

static bool take_parts(struct bytes from, struct parts *p)
{
	struct bytes *vectors[PARTS] = {&p->version, &p->protocol, &p->mode, &p->name, &p->identity, &p->mark};

	for (size_t i = 0; i < PARTS; i++)
		if (!take_vector(&from, vectors[i]))
			return false;
	if (p->mode.len != 1 || p->mark.len != RESUMABLE_DIGEST || from.len < CHAIN_LEN ||
	    get_24(from.at) > from.len - CHAIN_LEN)
		return false;
	p->chain = (struct bytes){from.at + CHAIN_LEN, get_24(from.at)};
	p->session = (struct bytes){p->chain.at + p->chain.len, from.len - CHAIN_LEN - p->chain.len};
	return true;
}

/* True, or refused. */
static bool read_parts(struct dtls_conn *c, struct bytes from, struct parts *p)
{
	uint8_t digest[RESUMABLE_DIGEST];
	char name[HOSTNAME_MAX + ERROR_BYTES_ROOM];

	if (from.len < MAGIC_LEN + RESUMABLE_DIGEST || memcmp(from.at, MAGIC, MAGIC_LEN) != 0)
		return refuse(c, "these bytes are no saved session"), false;
	from.len -= RESUMABLE_DIGEST;
	if (resumable_digest(from, digest) != 0 || memcmp(digest, from.at + from.len, sizeof(digest)) != 0)
		return refuse(c, "the saved session is damaged, or not all of it is there"), false;
	if (!take_parts((struct bytes){from.at + MAGIC_LEN, from.len - MAGIC_LEN}, p))
		return refuse(c, "the saved session is damaged"), false;
	if (!same(p->version, text(dtls_mbedtls_version())))
		return refuse(c, "the session was saved with mbed TLS %.*s, and this is %s", (int)p->version.len,
			   (const char *)p->version.at, dtls_mbedtls_version()),
		       false;
	if (!same(p->protocol, text(protocol_of(c->a))))
		return refuse(c, "the session was saved from a %.*s connection, and this is a %s one",
			   (int)p->protocol.len, (const char *)p->protocol.at, protocol_of(c->a)),
		       false;
	if (!same(p->name, text(c->a->hostname)))
		return refuse(c, "the session was made with the server \"%s\", and \"%s\" is the name asked for here",
			   error_bytes(p->name.at, p->name.len, name, sizeof(name)), c->a->hostname),
		       false;
	return true;
}

static bool is_enabled(const struct options *opt, int cipher)
{
	const int *id = options_ciphers(opt);

	while (*id != 0 && *id != cipher)
		id++;
	return *id != 0;
}

static bool judge_identity(struct dtls_conn *c, const struct parts *p, const mbedtls_ssl_session *session)
{
	const struct association *a = c->a;
	struct bytes ours = {a->identity, a->identity_len};
	uint8_t mark[RESUMABLE_DIGEST];

	if (p->identity.len > 0 && !same(p->identity, ours))
		return refuse(
			   c, "the session was made with another pre-shared key: its identity is not the one set here"),
		       false;
	if (mark_key(a, p->identity, session, mark) != 0 || !same((struct bytes){mark, sizeof(mark)}, p->mark))
		return refuse(c, "the session was made with another pre-shared key for the same identity"), false;
	return true;
}

/* A session that rests on no pre-shared key rests on the server's certificate, under CERT_NONE on nothing. */
static bool judge_certificate(struct dtls_conn *c, const struct parts *p, const mbedtls_ssl_session *session)
{
	mbedtls_x509_crt *chain = session->MBED_FIELD(peer_cert);
	char why[ERROR_MAX] = "";

	if (p->identity.len > 0 || c->settings->opt.verify_mode == CERT_NONE)
		return true;
	if (p->mode.at[0] == CERT_NONE || chain == NULL)
		return refuse(c,
			   "the session was made without verifying the server's certificate, which is asked for here"),
		       false;
	if (verify_again(c->a, chain, why, sizeof(why)))
		return true;
	return refuse(c, "the session was made with a certificate that is not accepted any more: %.300s",
		   why[0] != '\0' ? why : "it did not verify"),
	       false;
}

static bool judge_size(struct dtls_conn *c, const mbedtls_ssl_session *session)
{
	const struct options *opt = &c->settings->opt;
	size_t mtu = c->mtu > 0 ? c->mtu : opt->mtu;
	size_t hello = HELLO_FIXED + strlen(c->a->hostname) + session->MBED_FIELD(ticket_len);
	const char *alpn = opt->alpn;

	for (const int *id = options_ciphers(opt); *id != 0; id++)
		hello += 2;
	for (size_t i = 0; i < opt->alpn_count; i++, alpn += strlen(alpn) + 1)
		hello += 1 + strlen(alpn);
	if (conn_is_stream(c) || session->MBED_FIELD(ticket_len) == 0 || hello <= mtu)
		return true;
	refuse(c,
	    "the session's ticket has %zu bytes: with it the ClientHello may not fit one datagram of %zu, and servers "
	    "refuse "
	    "fragments",
	    session->MBED_FIELD(ticket_len), mtu);
	return false;
}

static bool judge_session(struct dtls_conn *c, const struct parts *p, const mbedtls_ssl_session *session)
{
	int cipher = session->MBED_FIELD(ciphersuite);

	if (!is_enabled(&c->settings->opt, cipher))
		return refuse(c, "the session was made with the cipher suite %s, which is not enabled here",
			   mbedtls_ssl_get_ciphersuite_name(cipher)),
		       false;
	return judge_identity(c, p, session) && judge_certificate(c, p, session) && judge_size(c, session);
}

static bool offer(struct dtls_conn *c, const struct parts *p)
{
	mbedtls_ssl_session session;
	char name[ERROR_NAME_MAX];
	bool offered = false;
	int code;

	mbedtls_ssl_session_init(&session);
	code = mbedtls_ssl_session_load(&session, p->session.at, p->session.len);
	if (code == 0 && session.MBED_FIELD(peer_cert) != NULL)
		code = resumable_load_chain(p->chain, session.MBED_FIELD(peer_cert));
	if (code != 0) {
		refuse(c, "the saved session cannot be read (%s)", error_name(code, name));
	} else if (judge_session(c, p, &session)) {
		offered = resume_offer(c->a, &session);
		if (!offered)
			refuse(c, "the session cannot be offered: out of memory");
	}
	mbedtls_ssl_session_free(&session);
	return offered;
}

int dtls_conn_session_load(struct dtls_conn *c, const void *buf, size_t len)
{
	struct parts parts = {.session.len = 0};

	if (conn_is_server(c))
		return refuse(c, "a server loads no sessions: its clients bring them"), DTLS_FAIL;
	if (c->a->began)
		return refuse(c, "a session must be loaded before the handshake begins"), DTLS_FAIL;
	if (c->a->resumption != NULL)
		return refuse(c, "a session was loaded already"), DTLS_FAIL;
	if (c->a->needs_hostname)
		return refuse(c, "CERT_REQUIRED needs the server's hostname: call dtls_conn_set_hostname() first"),
		       DTLS_FAIL;
	return read_parts(c, (struct bytes){buf, len}, &parts) && offer(c, &parts) ? DTLS_OK : DTLS_FAIL;
}

int dtls_conn_resumed(const struct dtls_conn *c)
{
	return c->a != NULL && c->a->state != ASSOCIATION_HANDSHAKE && c->a->resumed;
}
