/* settings.h - what a context collects, and the immutable, counted snapshot of it that connections keep. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "cookie.h"
#include "credentials.h"
#include "dtls.h"
#include "mbed.h"
#include "psk.h"
#include "resumable.h"
#include "resumer.h"
#include "rng.h"

#include <mbedtls/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

enum { CIPHERS_MAX = 32, CLIENT_ID_MAX = 64, KEY_PASSWORD_MAX = 128, OWN_MAX = 16, ALPN_MAX = 16, ALPN_BYTES = 512 };
enum { MTU_MIN = 256, MTU_MAX = 16384 };

struct psk_sources { /* asked in this order; any may be NULL */
	struct psk_table *fixed, *added, *file;
	dtls_psk_lookup *lookup;
	void *lookup_arg;
};

struct options {
	enum dtls_protocol protocol;
	enum dtls_version max_version;
	int ciphers[CIPHERS_MAX + 1]; /* ids, ended by 0; none: the defaults of the credentials */
	struct psk_sources psk;
	struct credentials *own[OWN_MAX]; /* the first is the one for everybody */
	size_t own_count;
	struct trust *trust; /* may be NULL */
	enum dtls_verify_mode verify_mode;
	dtls_verify *verify;
	void *verify_arg;
	dtls_overrule *overrule;
	void *overrule_arg;
	dtls_choose_name *choose_name;
	void *choose_name_arg;
	dtls_choose_key *choose_key;
	void *choose_key_arg;
	char alpn[ALPN_BYTES]; /* names, each with its NUL, most wanted first */
	size_t alpn_count;
	int64_t lifetime_ms; /* of sessions that a server lets clients resume; 0: none */
	bool tickets; /* a client asks for them */
	dtls_keylog *keylog;
	void *keylog_arg;
	dtls_clock *clock;
	void *clock_arg;
	int min_ms, max_ms; /* the fixed retransmission schedule */
	int jitter_percent; /* -1: the default of the kind of retransmission */
	enum dtls_retransmit retransmit;
	size_t mtu;
	dtls_trace *trace;
	void *trace_arg;
};

struct settings {
	atomic_uint refs;
	struct options opt;
	uint32_t serial; /* among the snapshots of its context */
	int64_t give_up_ms; /* a flight unanswered for so long ends the handshake */
	const char *alpn[ALPN_MAX + 1]; /* into opt.alpn */
	int ciphers[CIPHERS_MAX + MBED_1_3_CIPHERS + 1]; /* of all versions, ended by 0 */
	struct mbed_exporter exporter; /* of secrets, for the key log */
	uint8_t fingerprint[RESUMABLE_DIGEST]; /* of what a server's session rests on beside its client's credentials */
	mbedtls_ssl_config conf;
	mbedtls_x509_crt nobody; /* no CA at all, which mbed TLS needs one of */
	uint8_t decoy[32]; /* key of unknown identities: they fail like a wrong key (RFC 4279, 2) */
};

struct dtls_context {
	atomic_uint refs;
	uint64_t serial; /* names the context in its threads' error slots */
	pthread_mutex_t lock;
	struct options opt;
	bool added_sealed; /* opt.psk.added went into a snapshot */
	struct settings *snapshot; /* of opt; NULL after a change */
	uint32_t snapshots; /* that were made */
	char key_password[KEY_PASSWORD_MAX];
	bool has_key_password;
	struct rng rng;
	struct cookie_jar cookies;
	struct resumer resumer;
};

/* The suites that these options enable, ended by 0. */
const int *options_ciphers(const struct options *);
bool options_have_psk(const struct options *);
bool options_any_psk(const struct options *); /* some of the suites enabled are PSK suites; all are */
bool options_only_psk(const struct options *);
/* Takes, and gives back, a reference to everything counted that the options point to. */
void options_hold(struct options *);
void options_release(struct options *);

/* Setters change opt between these two; the next connection gets a snapshot of its own. */
void context_change(struct dtls_context *);
int context_changed(struct dtls_context *); /* DTLS_OK */

/* Can a connection or an endpoint be made of these settings? False with the reason in the context's error. */
bool context_judge(struct dtls_context *);
/* A reference to the settings as they are now; NULL with the reason in the context's error. Users keep a reference to
 * the context too: the snapshot draws its randomness there. */
struct settings *context_snapshot(struct dtls_context *);
struct settings *settings_ref(struct settings *);
void settings_free(struct settings *);
/* The key of an identity, or NULL. It may be in space, of dtls_psk_max() bytes, which is the caller's to wipe. */
const uint8_t *settings_find_key(
    const struct settings *, const uint8_t *identity, size_t len, uint8_t *space, size_t *key_len);

static inline bool options_is_server(const struct options *opt)
{
	return opt->protocol == PROTOCOL_DTLS_SERVER || opt->protocol == PROTOCOL_TLS_SERVER;
}

static inline bool options_is_stream(const struct options *opt)
{
	return opt->protocol == PROTOCOL_TLS_CLIENT || opt->protocol == PROTOCOL_TLS_SERVER;
}

static inline bool settings_is_server(const struct settings *s)
{
	return options_is_server(&s->opt);
}

static inline bool settings_is_stream(const struct settings *s)
{
	return options_is_stream(&s->opt);
}

static inline int64_t options_now(const struct options *opt)
{
	return opt->clock(opt->clock_arg);
}

/* Leaves the calling thread's sentence for this context and returns status. */
int context_fail(const struct dtls_context *, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
