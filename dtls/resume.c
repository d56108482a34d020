#include "resume.h"

#include "mbed.h"
#include "verify.h"

#include <mbedtls/md.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>
#include <string.h>

enum { EXTENSION_SERVER_NAME = 0, EXTENSION_EXTENDED_MASTER = 23 };
enum { PLAIN_MAX = 512, KEPT_MAX = 16384 }; /* bytes of a session in a ticket; in the cache */

struct resumption {
	uint8_t master[RESUMABLE_MASTER];
	bool given; /* to mbed TLS, which may still choose a full handshake */
	bool certified; /* the peer's certificate was verified again */
	struct bytes identity; /* in the bytes below */
	uint8_t ticket_digest[RESUMABLE_DIGEST]; /* of the one that a client offers */
	size_t len;
	uint8_t bytes[]; /* a server: the session, as it was kept */
};

static _Thread_local struct association *in_turn;

struct association *resume_turn(struct association *a)
{
	struct association *previous = in_turn;

	in_turn = a;
	return previous;
}

/* RFC 6347, 4.2.1: the hello that brings the cookie back has the session id of the one before. With a ticket mbed TLS
 * 2.28 would draw another one, into the same place. */
int resume_rng(void *rng, unsigned char *out, size_t len)
{
	const struct association *a = in_turn;

	if (a != NULL && a->hello_verify_requests > 0 && a->ssl.MBED_FIELD(session_negotiate) != NULL &&
	    out == a->ssl.MBED_FIELD(session_negotiate)->MBED_FIELD(id))
		return 0;
	return rng_bytes(rng, out, len);
}

static struct resumption *resumption_new(struct bytes kept)
{
	struct resumption *r = calloc(1, sizeof(*r) + kept.len);

	if (r != NULL && kept.len > 0)
		memcpy(r->bytes, kept.at, kept.len);
	if (r != NULL)
		r->len = kept.len;
	return r;
}

void resume_free(struct association *a)
{
	if (a->resumption != NULL)
		mbedtls_platform_zeroize(a->resumption, sizeof(*a->resumption) + a->resumption->len);
	free(a->resumption);
	a->resumption = NULL;
}

/* ---- what both sides note ---- */

/* RFC 6066, 3. A name that is no name is none that a session could be resumed for. */
static bool note_server_name(struct association *a, struct bytes names)
{
	enum { LIST = 2, TYPE = 1, LENGTH = 2, PREFIX = LIST + TYPE + LENGTH };
	size_t len = names.len < PREFIX ? 0 : get_16(names.at + LIST + TYPE);

	if (len == 0 || len > HOSTNAME_MAX || len > names.len - PREFIX || names.at[LIST] != 0 ||
	    memchr(names.at + PREFIX, '\0', len) != NULL)
		return false;
	memcpy(a->hostname, names.at + PREFIX, len);
	a->hostname[len] = '\0';
	return true;
}

static int first_common(const int *ours, struct bytes offered)
{
	for (; *ours != 0; ours++)
		for (size_t i = 0; i + 1 < offered.len; i += 2)
			if (get_16(offered.at + i) == *ours)
				return *ours;
	return 0;
}

void resume_note_hello(struct association *a, uint8_t type, struct bytes hello)
{
	bool server = settings_is_server(a->settings), stream = settings_is_stream(a->settings);
	enum hello_of of = !server ? HELLO_OF_SERVER : stream ? HELLO_OF_TLS_CLIENT : HELLO_OF_DTLS_CLIENT;
	struct bytes found;

	if (a->hello_noted || type != (server ? MESSAGE_CLIENT_HELLO : MESSAGE_SERVER_HELLO) ||
	    (server && a->settings->opt.lifetime_ms == 0))
		return;
	a->hello_noted = true;
	a->extended_master = hello_extension(of, hello, EXTENSION_EXTENDED_MASTER, &found);
	if (server && hello_suites(of, hello, &found))
		a->common_suite = first_common(options_ciphers(&a->settings->opt), found);
	if (server && hello_extension(of, hello, EXTENSION_SERVER_NAME, &found) && !note_server_name(a, found))
		a->extended_master = false;
}

/* ---- what a server asks ---- */

static struct bytes name_of(const struct association *a)
{
	return (struct bytes){(const uint8_t *)a->hostname, strlen(a->hostname)};
}

int resume_mark(const struct association *a, struct bytes key, uint8_t mark[RESUMABLE_MARK])
{
	return resumable_mark(a->settings->fingerprint, name_of(a), key, mark);
}

/* Snapshots never change: a key that was in this one is in it still. Of a lookup's answer, and of the name, the serial
 * knows nothing. */
static uint32_t serial_of(const struct association *a)
{
	const struct settings *s = a->settings;

	return s->opt.psk.lookup == NULL && a->hostname[0] == '\0' ? s->serial : 0;
}

/* Is everything that it rested on as it was? */
static bool rests_on_the_same(const struct association *a, const struct resumable *kept)
{
	uint8_t space[MBEDTLS_PSK_MAX_LEN], mark[RESUMABLE_MARK];
	struct bytes key = {NULL, 0};
	bool same;

	if (kept->serial != 0 && kept->serial == serial_of(a))
		return true;
	if (kept->identity.len > 0)
		key.at = settings_find_key(a->settings, kept->identity.at, kept->identity.len, space, &key.len);
	same = (kept->identity.len == 0 || key.at != NULL) && resume_mark(a, key, mark) == 0 &&
	       memcmp(mark, kept->mark, sizeof(mark)) == 0;
	mbedtls_platform_zeroize(space, sizeof(space));
	return same;
}

/* A certificate may have expired or been revoked since, and its CA may be trusted no more. */
static bool client_is_accepted(struct association *a, const struct resumable *kept, const mbedtls_ssl_session *session)
{
	mbedtls_x509_crt *chain = session->MBED_FIELD(peer_cert);
	char why[ERROR_MAX];

	if (chain != NULL)
		return verify_again(a, chain, why, sizeof(why));
	return kept->identity.len > 0 || a->settings->opt.verify_mode != CERT_REQUIRED;
}

/* False: the handshake becomes a full one. Fills session where it came so far. */
static bool resumes(struct association *a, struct resumption *r, mbedtls_ssl_session *session)
{
	const struct options *opt = &a->settings->opt;
	struct resumable kept;

	if (!a->extended_master || !resumable_parse((struct bytes){r->bytes, r->len}, &kept) ||
	    resumable_age(&kept, options_now(opt)) >= opt->lifetime_ms || !rests_on_the_same(a, &kept) ||
	    resumable_load(&kept, session) != 0 || !client_is_accepted(a, &kept, session))
		return false;
	memcpy(r->master, session->MBED_FIELD(master), sizeof(r->master));
	r->given = true;
	r->identity = kept.identity;
	r->certified = session->MBED_FIELD(peer_cert) != NULL;
	return true;
}

static struct resumption *recall(const struct association *a, const unsigned char *id, size_t id_len)
{
	struct resumption *r = NULL;
	size_t len;
	uint8_t *kept = id_len == SESSION_ID ? resumer_recall(&a->ctx->resumer, id, &len) : NULL;

	if (kept == NULL)
		return NULL;
	r = resumption_new((struct bytes){kept, len});
	mbedtls_platform_zeroize(kept, len);
	free(kept);
	return r;
}

/* ---- mbed TLS's callbacks ---- */

/* Will mbed TLS choose the suite of this session? It would resume a ticket's under any other. Of suites with curves and
 * signatures it is not said before mbed TLS has seen whose, in get_session(); nor before a name has chosen the context. */
static bool suite_is_sure(const struct association *a, struct resumption *r)
{
	struct resumable kept;
	const char *name;

	if (a->settings->opt.choose_name != NULL || !resumable_parse((struct bytes){r->bytes, r->len}, &kept) ||
	    kept.suite != a->common_suite)
		return false;
	name = mbedtls_ssl_get_ciphersuite_name(kept.suite);
	return strncmp(name, "TLS-PSK-", 8) == 0;
}

/* False leaves it to get_session(). */
static bool take_ticket(struct association *a, mbedtls_ssl_session *session)
{
	if (!suite_is_sure(a, a->resumption))
		return false;
	if (resumes(a, a->resumption, session))
		return true;
	resume_free(a);
	return false;
}

static int parse_ticket(void *arg, mbedtls_ssl_session *session, unsigned char *ticket, size_t len)
{
	struct association *a = in_turn;
	const struct options *opt = &a->settings->opt;
	uint8_t plain[PLAIN_MAX];

	(void)arg;
	if (len > TICKET_OVERHEAD && len - TICKET_OVERHEAD <= sizeof(plain) && a->resumption == NULL &&
	    resumer_open(&a->ctx->resumer, options_now(opt), opt->lifetime_ms, (struct bytes){ticket, len}, plain))
		a->resumption = resumption_new((struct bytes){plain, len - TICKET_OVERHEAD});
	mbedtls_platform_zeroize(plain, sizeof(plain));
	if (a->resumption != NULL && take_ticket(a, session))
		return 0;
	return MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
}

static int get_session(void *arg, const unsigned char *id, size_t id_len, mbedtls_ssl_session *session)
{
	struct association *a = in_turn;

	(void)arg;
	if (a->resumption == NULL)
		a->resumption = recall(a, id, id_len);
	if (a->resumption == NULL || !resumes(a, a->resumption, session))
		return -1;
	/* RFC 5077, 3.4: the client sees that its ticket is taken by the id that comes back. */
	session->MBED_FIELD(id_len) = id_len;
	memcpy(session->MBED_FIELD(id), id, id_len);
	return 0;
}

static bool is_resumed(const struct association *a, const mbedtls_ssl_session *session)
{
	const struct resumption *r = a->resumption;

	return r != NULL && r->given && memcmp(r->master, session->MBED_FIELD(master), sizeof(r->master)) == 0;
}

static bool is_psk(const mbedtls_ssl_session *session)
{
	return strstr(mbedtls_ssl_get_ciphersuite_name(session->MBED_FIELD(ciphersuite)), "PSK-") != NULL;
}

/* What is kept of a session that was just made, as resumable_pack() returns it; 0: nothing is. */
static size_t pack(const struct association *a, const mbedtls_ssl_session *session, uint8_t *out, size_t size)
{
	uint8_t mark[RESUMABLE_MARK];
	struct resumable r = {.made_at = options_now(&a->settings->opt), .serial = serial_of(a), .mark = a->key_mark};

	if (!a->extended_master)
		return 0;
	if (is_psk(session)) {
		r.identity = (struct bytes){a->identity, a->identity_len};
	} else {
		r.mark = mark;
		if (resume_mark(a, (struct bytes){NULL, 0}, mark) != 0)
			return 0;
	}
	return resumable_pack(&r, session, out, size);
}

/* RFC 5077, 3.3: an empty ticket means that there is none after all. */
static int write_ticket(void *arg, const mbedtls_ssl_session *session, unsigned char *start, const unsigned char *end,
    size_t *len, uint32_t *lifetime_s)
{
	const struct association *a = in_turn;
	const struct options *opt = &a->settings->opt;
	uint8_t plain[PLAIN_MAX];
	size_t size;

	(void)arg;
	*len = *lifetime_s = 0;
	/* The one that the client has already lives as long as its session may. */
	if (is_resumed(a, session))
		return 0;
	size = pack(a, session, plain, sizeof(plain));
	if (size > 0 && size <= sizeof(plain) && size + TICKET_OVERHEAD <= (size_t)(end - start) &&
	    resumer_seal(&a->ctx->resumer, &a->ctx->rng, options_now(opt), opt->lifetime_ms,
		(struct bytes){plain, size}, start) == 0) {
		*len = size + TICKET_OVERHEAD;
		*lifetime_s = (uint32_t)(opt->lifetime_ms / 1000);
	}
	mbedtls_platform_zeroize(plain, sizeof(plain));
	return 0;
}

static int set_session(void *arg, const unsigned char *id, size_t id_len, const mbedtls_ssl_session *session)
{
	const struct association *a = in_turn;
	const struct options *opt = &a->settings->opt;
	size_t len = id_len == SESSION_ID ? pack(a, session, NULL, 0) : 0;
	uint8_t *kept = len > 0 && len <= KEPT_MAX ? malloc(len) : NULL;

	(void)arg;
	if (kept != NULL && pack(a, session, kept, len) == len)
		resumer_remember(&a->ctx->resumer, options_now(opt), opt->lifetime_ms, id, kept, len);
	else
		free(kept);
	return 0;
}

/* ---- settings ---- */

/* Every setting that a session which was made under another one must not outlive. */
static int fingerprint(struct settings *s)
{
	const struct options *opt = &s->opt;
	const int *ciphers = options_ciphers(opt);
	const unsigned char mode = (unsigned char)opt->verify_mode;
	mbedtls_md_context_t md;
	int code;

	mbedtls_md_init(&md);
	code = mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 0);
	if (code == 0)
		code = mbedtls_md_starts(&md);
	if (code == 0)
		code = mbedtls_md_update(&md, &mode, sizeof(mode));
	for (; code == 0 && *ciphers != 0; ciphers++)
		code = mbedtls_md_update(&md, (const unsigned char *)ciphers, sizeof(*ciphers));
	for (size_t i = 0; code == 0 && i < opt->own_count; i++) {
		const mbedtls_x509_buf *own = &opt->own[i]->chain.raw;

		code = mbedtls_md_update(&md, own->p, own->len);
		if (code == 0)
			code = mbedtls_md_update(
			    &md, (const unsigned char *)opt->own[i]->hostname, sizeof(opt->own[i]->hostname));
	}
	if (code == 0)
		code = mbedtls_md_finish(&md, s->fingerprint);
	mbedtls_md_free(&md);
	return code;
}

/* A ticket with a client's certificate would not fit one datagram, and hellos in fragments are refused. */
static bool gives_tickets(const struct options *opt)
{
	return opt->verify_mode == CERT_NONE || options_only_psk(opt);
}

int resume_configure(struct settings *s)
{
	static struct mbed_cache cache = {get_session, set_session};

	if (!settings_is_server(s)) {
		mbedtls_ssl_conf_session_tickets(&s->conf,
		    s->opt.tickets ? MBEDTLS_SSL_SESSION_TICKETS_ENABLED : MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
		return 0;
	}
	mbed_conf_no_1_3_tickets(&s->conf);
	if (s->opt.lifetime_ms == 0)
		return 0;
	mbed_conf_cache(&s->conf, &cache);
	if (gives_tickets(&s->opt))
		mbedtls_ssl_conf_session_tickets_cb(&s->conf, write_ticket, parse_ticket, NULL);
	return fingerprint(s);
}

/* ---- the end of a handshake ---- */

/* After a failure mbed TLS would write a hello with the length of a ticket, and without the ticket. */
static bool take_back(struct association *a)
{
	resume_free(a);
	if (mbedtls_ssl_session_reset(&a->ssl) != 0)
		association_end(a, DTLS_FAIL, MBEDTLS_ERR_SSL_ALLOC_FAILED, "out of memory");
	return false;
}

/* Certificates and all: mbed TLS's copy has only the peer's own, and the others are needed when it is saved again. */
static int give(struct association *a, const mbedtls_ssl_session *session)
{
	const mbedtls_x509_crt *own = session->MBED_FIELD(peer_cert), *issuer = own == NULL ? NULL : own->next;
	int code = mbedtls_ssl_set_session(&a->ssl, session);

	for (; code == 0 && issuer != NULL; issuer = issuer->next)
		code = mbedtls_x509_crt_parse_der(
		    a->ssl.MBED_FIELD(session_negotiate)->MBED_FIELD(peer_cert), issuer->raw.p, issuer->raw.len);
	return code;
}

bool resume_offer(struct association *a, const mbedtls_ssl_session *session)
{
	struct bytes ticket = {session->MBED_FIELD(ticket), session->MBED_FIELD(ticket_len)};
	struct resumption *r = resumption_new((struct bytes){NULL, 0});

	if (r == NULL)
		return false;
	a->resumption = r;
	if (give(a, session) != 0 || resumable_digest(ticket, r->ticket_digest) != 0)
		return take_back(a);
	memcpy(r->master, session->MBED_FIELD(master), sizeof(r->master));
	r->given = true;
	r->certified = session->MBED_FIELD(peer_cert) != NULL && a->settings->opt.verify_mode != CERT_NONE;
	return true;
}

bool resume_is_sound(const struct association *a)
{
	return settings_is_server(a->settings) || a->extended_master || !is_resumed(a, a->ssl.MBED_FIELD(session));
}

int resume_done(struct association *a)
{
	struct resumption *r = a->resumption;
	int code = 0;

	a->resumed = is_resumed(a, a->ssl.MBED_FIELD(session));
	if (a->resumed && r->identity.len > 0)
		code = association_keep_identity(a, r->identity.at, r->identity.len);
	a->verify_ran |= a->resumed && r->certified;
	if (r != NULL && !settings_is_server(a->settings))
		mbedtls_platform_zeroize(r->master, sizeof(r->master));
	else
		resume_free(a);
	return code;
}

bool resume_is_stale(const struct association *a, struct bytes ticket)
{
	uint8_t digest[RESUMABLE_DIGEST];

	return a->resumption != NULL && !a->resumed && resumable_digest(ticket, digest) == 0 &&
	       memcmp(digest, a->resumption->ticket_digest, sizeof(digest)) == 0;
}
