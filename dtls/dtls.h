/* dtls.h - DTLS 1.2 (RFC 6347) and TLS (RFC 5246) clients and servers with pre-shared keys or certificates, on mbed
 * TLS.
 *
 * A context holds settings and credentials. A connection is one association made from it, over a socket or over a
 * transport of your own: datagrams for DTLS, a stream for TLS. An endpoint is a DTLS server for any number of peers on
 * one UDP socket. The gate is the stateless cookie exchange that both use, for programs that do their own
 * demultiplexing.
 *
 * Conventions, so that the declarations need not repeat them:
 *  - Times are int64_t milliseconds on the context's monotonic clock; lengths are bytes.
 *  - Pointers must not be NULL unless stated. Every *_free accepts NULL.
 *  - A function that can fail returns a negative enum dtls_status and leaves one sentence in the matching *_error().
 *    The first, most specific cause wins. Functions that return a pointer return NULL when they fail.
 *  - Nothing is silently ignored: a setting that this build or the protocol cannot honour fails when it is made, and a
 *    combination of settings is judged when a connection or an endpoint is made from them.
 *  - Messages have 1..max_payload bytes. An empty record is never delivered, and sending 0 bytes is refused. A stream
 *    has no messages: its reads and writes move any number of bytes, and may move fewer than were asked for.
 *  - Threads: a context may be shared (its setters lock; its callbacks may run concurrently). A connection or an
 *    endpoint belongs to one thread at a time.
 *  - fork(): the child gets fresh randomness from every context, and no session: a connection made before the fork
 *    fails in the child, an endpoint's peers end there. The parent keeps them.
 */
#ifndef DTLS_H
#define DTLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The side and the protocol of a context. */
enum dtls_protocol { PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER, PROTOCOL_DTLS_CLIENT, PROTOCOL_DTLS_SERVER };

/* Whose certificate must verify, in the handshakes that use certificates: those with a pre-shared key show none. CERT_OPTIONAL: a server asks for one and does without, but one that is offered must
 * verify; a client treats it as CERT_REQUIRED. */
enum dtls_verify_mode { CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED };

enum dtls_status {
	DTLS_OK = 0,
	DTLS_FAIL = -1, /* final for this object; the cause is in *_error() */
	DTLS_WANT_READ = -2, /* poll for input, or until the timeout */
	DTLS_WANT_WRITE = -3, /* poll for output, then repeat the call */
	DTLS_CLOSED = -4, /* the peer sent close_notify; as an endpoint's event: the peer has ended. A stream that ends
	                   * without it was cut off: DTLS_FAIL */
	DTLS_TIMEDOUT = -5, /* final: the handshake's deadline passed */
	DTLS_TOO_BIG = -6, /* does not fit one datagram, or the caller's buffer; nothing was sent or lost */
	DTLS_CONNECTED = -7, /* an endpoint's event: this peer has finished its handshake */
	DTLS_AGAIN = -8 /* not final: a blocking call's timeout passed; repeat the call when you like */
};

struct dtls_context; /* settings and credentials; counted */
struct dtls_conn; /* one secured association */
struct dtls_endpoint; /* many peers on one UDP socket */
struct dtls_peer; /* one of them; valid until its end is reported */

/* The library's version, "MAJOR.MINOR.PATCH", and that of the mbed TLS it runs with. */
const char *dtls_version(void);
const char *dtls_mbedtls_version(void);
/* The macro that mbed TLS's headers have for one of its codes, "MBEDTLS_ERR_SSL_CONN_EOF" for -0x7280; two joined with
 * " + " for a combined code. Returns text. */
char *dtls_error_name(int code, char text[128]);

/* ---- context: what every connection made from it shares ----------------------------------------------------------
 * A connection keeps the settings that it was made with. Later changes (new keys, a reloaded PSK file) apply to later
 * connections and handshakes: that is how credentials are rotated without dropping peers. */

/* NULL: out of memory, no randomness, or no such protocol; dtls_context_error(NULL) has the sentence. The caller owns
 * one reference. */
struct dtls_context *dtls_context_new(enum dtls_protocol protocol);
struct dtls_context *dtls_context_ref(struct dtls_context *ctx); /* one more reference; returns ctx */
void dtls_context_free(struct dtls_context *ctx); /* gives one reference back */
/* The last failure of a call on this context by the calling thread; "" when there was none. Valid until the thread's
 * next failing call. ctx may be NULL: the last failure of dtls_context_new(). */
const char *dtls_context_error(const struct dtls_context *ctx);

/* The newest version to offer or accept; 1.2, the default, is also the oldest. TLS 1.3 (RFC 8446) needs a stream and
 * mbed TLS 3.6.6 or later: it fails for DTLS, which mbed TLS has no 1.3 of, and with mbed TLS 2.28. Under 1.3 a session
 * rests on a pre-shared key with (EC)DHE where PSK suites are enabled, on certificates where others are; the two
 * together are refused when a connection is made. */
enum dtls_version { DTLS_VERSION_1_2, DTLS_VERSION_1_3 };
int dtls_context_set_max_version(struct dtls_context *, enum dtls_version version);
/* The suites to offer or accept, most wanted first. IANA names with '_' or '-'. AEAD suites, and by name only CBC
 * suites with SHA-2, which then insist on encrypt-then-MAC (RFC 7366). Fails for an unknown, unsafe or repeated
 * name and for a count of 0. Default: dtls_context_get_ciphers() of a new context. They are those of 1.2: under 1.3,
 * where it was allowed, mbed TLS's own are offered beside them. */
int dtls_context_set_ciphers(struct dtls_context *, const char *const names[], size_t count);
/* Stores up to max names (static strings, spelled with '-') in order and returns how many are enabled. names may be
 * NULL when max is 0. */
size_t dtls_context_get_ciphers(const struct dtls_context *, const char *names[], size_t max);

/* Certificates. Files and bytes are PEM or DER; keys are EC (SEC1) or RSA (PKCS#1), or either in PKCS#8. Everything is
 * parsed before it replaces anything; the error names file and reason. */
/* This side's chain, leaf first, and its key; a second call replaces both. Whether the two belong together is not
 * judged here: see dtls_context_check_key_pair(). */
int dtls_context_load_cert_chain(struct dtls_context *, const char *certfile, const char *keyfile);
int dtls_context_load_cert_chain_data(
    struct dtls_context *, const void *cert, size_t cert_len, const void *key, size_t key_len);
/* Servers: the same for clients that ask for this name (SNI, RFC 6066, 3); up to 15 names, a second call for a name
 * replaces. The chain without a name, which comes first, is for all others. */
int dtls_context_load_cert_chain_for(
    struct dtls_context *, const char *hostname, const char *certfile, const char *keyfile);
/* For encrypted keys that are loaded later; at most 127 bytes. NULL, the default: none. */
int dtls_context_set_key_password(struct dtls_context *, const char *password);
/* DTLS_FAIL when these bytes are no key that dtls_context_load_cert_chain_data() would take; nothing is loaded. */
int dtls_context_check_key(struct dtls_context *, const void *key, size_t len);
/* DTLS_FAIL when a loaded key does not belong to its certificate, or when none is loaded. */
int dtls_context_check_key_pair(struct dtls_context *);
/* CAs to verify the peer with; repeated calls add. */
int dtls_context_load_verify_locations(struct dtls_context *, const char *cafile);
int dtls_context_load_verify_data(struct dtls_context *, const void *cadata, size_t len);
/* The system's CAs, from Debian's ca-certificates. */
int dtls_context_load_default_certs(struct dtls_context *);
/* Revocation lists for CAs that are loaded; repeated calls add. */
int dtls_context_load_crl(struct dtls_context *, const char *crlfile);
int dtls_context_load_crl_data(struct dtls_context *, const void *crl, size_t len);
/* The CAs and CRLs of these files in place of all that were loaded; crlfile may be NULL. */
int dtls_context_replace_trust(struct dtls_context *, const char *cafile, const char *crlfile);
/* Default: CERT_REQUIRED for clients, CERT_NONE for servers. */
int dtls_context_set_verify_mode(struct dtls_context *, enum dtls_verify_mode mode);
enum dtls_verify_mode dtls_context_verify_mode(const struct dtls_context *);
/* Needs a verify mode other than CERT_NONE. Sees every certificate of the peer's chain once, from the CA at its end to the leaf at depth 0: its DER, and mbed
 * TLS's MBEDTLS_X509_BADCERT_* flags, 0 when it verified. 0 goes on with the flags as they are; anything else rejects
 * the certificate. It cannot accept what the library refuses. NULL removes it. */
typedef int dtls_verify(void *arg, const uint8_t *der, size_t der_len, int depth, uint32_t flags);
int dtls_context_set_verify_callback(struct dtls_context *, dtls_verify *verify, void *arg);
/* Has the last word on certificates, for rules under which one that mbed TLS refuses will do. It is called like the verify
 * callback, after it, and returns the flags that are to count: with 0 the certificate is accepted, and the verification
 * found nothing. With one set neither a CA nor a hostname is needed; what nobody vouches for comes here flagged. It
 * cannot accept a leaf of a kind that the handshake has no use for: RFC 5280's key usages, and curves that are not
 * offered. Needs a verify mode other than CERT_NONE. NULL removes it. */
typedef uint32_t dtls_overrule(void *arg, const uint8_t *der, size_t der_len, int depth, uint32_t flags);
int dtls_context_set_verify_overrule(struct dtls_context *, dtls_overrule *overrule, void *arg);
/* Servers: asked when a client names the server that it wants (SNI, RFC 6066, 3), before anything of the hello is judged.
 * Returns the context whose keys, certificates, suites, CAs and verification serve this handshake, of the same protocol,
 * borrowed; the one that the callback was set on is one of them. NULL, and one that a connection could not be made
 * from, refuses the client (unrecognized_name). Times, MTU, application protocols, trace and key log stay those of the
 * first. Not with TLS 1.3. NULL, the default: the same for all names. */
typedef struct dtls_context *dtls_choose_name(void *arg, const char *server_name);
int dtls_context_set_name_callback(struct dtls_context *, dtls_choose_name *choose, void *arg);
/* Application protocols, most wanted first (RFC 7301); names of 1..255 bytes, up to 16, with less than 512 in all. A server refuses a client that
 * offers only others. A count of 0 removes them. */
int dtls_context_set_alpn(struct dtls_context *, const char *const names[], size_t count);

/* Pre-shared keys (RFC 4279). With one configured, only PSK suites are enabled unless dtls_context_set_ciphers() names
 * others. Identities are opaque bytes, 1..128 of them; keys have 1..dtls_psk_max() bytes (32 with
 * mbed TLS 2.28, 48 with 3.6). A server looks for an identity in this order: the key of set_psk, those of add_psk,
 * the file, the lookup callback. An unknown identity is answered exactly like a wrong key (RFC 4279, 2). */
#define DTLS_PSK_IDENTITY_MAX 128
size_t dtls_psk_max(void);
/* The key of a client, or one key of a server; a second call replaces it, and one with identity NULL removes it. */
int dtls_context_set_psk(
    struct dtls_context *, const void *identity, size_t identity_len, const void *key, size_t key_len);
/* Servers: adds one key to the table, or replaces the one that this identity has there. */
int dtls_context_add_psk(
    struct dtls_context *, const void *identity, size_t identity_len, const void *key, size_t key_len);
/* Reads identity:hexkey lines as mosquitto's psk_file has them; the last colon separates. Blank lines and lines that
 * start with '#' are skipped; a duplicate identity is an error. The whole file is read and judged before it replaces
 * what an earlier call loaded; the error names file, line and reason. A client's file has exactly one key. */
int dtls_context_load_psk_file(struct dtls_context *, const char *path);
/* One such line, without '\n': a client's key, or an entry of a server's table. */
int dtls_context_add_psk_line(struct dtls_context *, const char *line);
/* Servers: asked last. Writes at most key_max bytes to key and returns their number, or 0 or less for an unknown
 * identity. It must not call back into the connection that it is asked for. NULL removes it. */
typedef ssize_t dtls_psk_lookup(void *arg, const uint8_t *identity, size_t identity_len, uint8_t *key, size_t key_max);
int dtls_context_set_psk_lookup(struct dtls_context *, dtls_psk_lookup *lookup, void *arg);

/* DTLS clients: asked once in a handshake for the key that fits the server's identity hint (RFC 4279, 5.2), of 0 bytes
 * where it sent none. Returns the context whose pre-shared key counts, borrowed; it may be the one that the callback
 * was set on. NULL ends the handshake. Needs a connection that offers PSK suites alone. NULL, the default: hints are
 * ignored. (mbed TLS servers send none.) */
typedef struct dtls_context *dtls_choose_key(void *arg, const uint8_t *hint, size_t hint_len);
int dtls_context_set_hint_callback(struct dtls_context *, dtls_choose_key *choose, void *arg);

/* Default: CLOCK_MONOTONIC, which NULL restores. An endpoint cannot live by two clocks: change it only while none is
 * made from this context. */
typedef int64_t dtls_clock(void *arg);
int dtls_context_set_clock(struct dtls_context *, dtls_clock *now_ms, void *arg);
/* First retransmission after min_ms, doubling up to max_ms (RFC 6347, 4.2.4.1), 1 <= min_ms <= max_ms <= 3,600,000.
 * Default 1000, 60000. A flight that stays unanswered for the sum of that schedule (123 s by default) ends the
 * handshake with DTLS_TIMEDOUT, under either kind of retransmission. Over a stream nothing is resent, and the whole
 * handshake ends by that sum. */
int dtls_context_set_handshake_timeout(struct dtls_context *, int min_ms, int max_ms);
/* Bytes of UDP payload that a record or a flight may fill; 256..16384, default 1200. */
int dtls_context_set_mtu(struct dtls_context *, size_t mtu);
/* FIXED is the schedule above, exactly. ADAPTIVE, the default: once this handshake has measured a round trip, the next
 * flight's first timer is 1.5 times that (RFC 9147, 5.8.2), not below 50 ms, not above min_ms, and doubling as ever. It
 * measures a flight that was not resent; a ClientHello that its answer names (RFC 6347, 4.2.1), resent or not; and, on the
 * server, from the HelloVerifyRequest to the hello that brings its cookie back. What the peer repeats within a round trip
 * of a flight was sent before that can have arrived, and does not make it leave again. */
enum dtls_retransmit { DTLS_RETRANSMIT_ADAPTIVE, DTLS_RETRANSMIT_FIXED };
int dtls_context_set_retransmit(struct dtls_context *, enum dtls_retransmit how);
/* Spreads each retransmission timer by up to plus or minus percent, 0..50, so that a fleet does not march in step.
 * Default: 10 for ADAPTIVE, 0 for FIXED. */
int dtls_context_set_retransmit_jitter(struct dtls_context *, int percent);
/* The handshake's story, one line (without '\n') an event: flights sent, received and resent, cookies, round trips,
 * the suite. NULL, the default: none. */
typedef void dtls_trace(void *arg, int64_t now_ms, const char *event);
int dtls_context_set_trace(struct dtls_context *, dtls_trace *trace, void *arg);

/* Resumption: a client that comes back skips the key exchange (RFC 5246, 7.3), by a session ticket (RFC 5077) that only
 * this context can read, or, without one, by a session id that the context keeps for the last cache_entries clients,
 * 0..1,000,000, each about 200 bytes and its client's certificates. A session can be resumed for lifetime_ms after its
 * full handshake: 1000..604,800,000 (RFC 9325, 3.4), or 0, the default: none can. Ticket keys change every lifetime_ms,
 * and none is used for more than twice that: whoever learns one can read the sessions of its time, of ECDHE suites, too.
 * A session is refused, and a full handshake follows, once its pre-shared key was removed or replaced (the sources are
 * asked, the lookup callback too), its client's certificate is not accepted any more (it is verified again), the server's
 * certificates, suites or verify mode are others, or another name is asked for (RFC 6066, 3). Where clients are asked for
 * certificates there are no tickets: they would not fit a datagram. Sessions without extended master secret (RFC 7627),
 * and those of TLS 1.3, cannot be resumed. Servers; a second call forgets all that was given out. Where a name callback
 * chooses the context, both need this; tickets and cache are those of the first. */
int dtls_context_set_resumption(struct dtls_context *, int64_t lifetime_ms, size_t cache_entries);
/* Clients: 1 asks servers for session tickets, for dtls_conn_session_save(). 0, the default: only for session ids,
 * which servers need not remember. */
int dtls_context_set_session_tickets(struct dtls_context *, int wanted);

/* Lines of an SSLKEYLOGFILE (without '\n'), which let Wireshark decrypt the session. NULL, the default: none. */
typedef void dtls_keylog(void *arg, const char *line);
int dtls_context_set_keylog(struct dtls_context *, dtls_keylog *log, void *arg);

/* ---- connection: one association ---------------------------------------------------------------------------------
 * What is said of datagrams, flights and cookies holds for DTLS; a TLS connection has none of them.
 *
 * Over a blocking fd, calls block, retransmit while they wait, and stop at the connection's timeout with DTLS_AGAIN.
 * Over a non-blocking fd, and over a transport, they return DTLS_WANT_READ or DTLS_WANT_WRITE. A handshake and a read
 * drain the input, then fire the timers that are due. A peer that has lost the last flight of a handshake gets it again
 * from a read: programs that only write should read now and then.
 *
 * A client's socket must be connect()ed before the handshake. A server's may be, or not: then the first address that
 * returns a valid cookie (RFC 6347, 4.2.1) becomes the peer, and datagrams from others go through the gate. */

/* Borrows fd, a UDP socket for DTLS, a stream socket (TCP, or AF_UNIX) for TLS; the caller closes it. A TLS client's
 * may still be connecting when it does not block. Set TCP_NODELAY: a handshake's flight leaves in several small
 * pieces, which otherwise wait for each other's acknowledgement. NULL: the cause is in dtls_context_error(). */
struct dtls_conn *dtls_wrap_socket(struct dtls_context *, int fd);
/* send takes one datagram and returns len, DTLS_WANT_WRITE or DTLS_FAIL. recv stores one datagram and returns its
 * length, DTLS_WANT_READ or DTLS_FAIL; what is longer than len is cut. Over a stream both move 1..len bytes and return
 * how many; recv returns 0 at the end of the stream. Neither may block. */
struct dtls_transport {
	ssize_t (*send)(void *arg, const void *buf, size_t len);
	ssize_t (*recv)(void *arg, void *buf, size_t len);
	void *arg;
};
/* Copies the struct. A DTLS server needs dtls_conn_set_client_id() before its first call. */
struct dtls_conn *dtls_wrap_transport(struct dtls_context *, const struct dtls_transport *);
/* Client, before the handshake: the name that the server is asked for (SNI, RFC 6066, 3), and that its certificate must
 * have; 1..255 bytes. NULL: none, the default, which CERT_REQUIRED does not accept. */
int dtls_conn_set_hostname(struct dtls_conn *, const char *server_hostname);
/* DTLS server, before the handshake: what the cookie is bound to, 1..64 bytes. Default: the peer's address. */
int dtls_conn_set_client_id(struct dtls_conn *, const void *id, size_t len);
/* DTLS, at any time: in place of the context's, for this connection and for what leaves from now on; 256..16384. */
int dtls_conn_set_mtu(struct dtls_conn *, size_t mtu);
/* Limits each blocking call, in ms; -1, the default: no limit. When it passes, or a signal was caught, the call
 * returns DTLS_AGAIN. */
int dtls_conn_set_timeout(struct dtls_conn *, int64_t ms);
/* From now on no call blocks, whatever the fd's O_NONBLOCK says: for callers who wait on their own. */
void dtls_conn_set_nonblocking(struct dtls_conn *);
/* DTLS_OK once the handshake is done; read and write imply it. A failed handshake has sent its fatal alert. */
int dtls_conn_handshake(struct dtls_conn *);
/* One message: its length, or a negative status. DTLS_TOO_BIG: buf is too small, dtls_conn_pending() tells the size and
 * the message is kept. DTLS_CLOSED: the peer has closed. Over a stream: 1..len bytes, as many as there are. */
ssize_t dtls_conn_read(struct dtls_conn *, void *buf, size_t len);
/* One message in one datagram: len, or a negative status. DTLS_TOO_BIG: more than dtls_conn_max_payload(), or more
 * than the path takes (EMSGSIZE). Over a stream: 1..len bytes were taken, a record's worth at most where nothing blocks, all
 * of them where the fd blocks, unless the timeout passed. After DTLS_WANT_WRITE, DTLS_AGAIN or fewer bytes than a
 * blocking call was given, the next write must begin with the very bytes that are left: some may be under way. */
ssize_t dtls_conn_write(struct dtls_conn *, const void *buf, size_t len);
/* Sends close_notify once; DTLS_OK also when there is no session, or the peer is gone. DTLS_WANT_WRITE over what does
 * not block: repeat it. */
int dtls_conn_close(struct dtls_conn *);
/* Over a stream: sends close_notify as dtls_conn_close() does, but reads go on, until the peer's own answers it with
 * DTLS_CLOSED: then the stream is the caller's again. Writes are refused. */
int dtls_conn_shutdown(struct dtls_conn *);
void dtls_conn_free(struct dtls_conn *); /* silent: nothing is sent */
/* Until the next timer, for poll(2): ms, 0 overdue, -1 none. */
int dtls_conn_timeout(const struct dtls_conn *);
/* For callers that make no other call when the timeout passes. DTLS_OK, or the final status. */
int dtls_conn_handle_timeout(struct dtls_conn *);
/* Bytes of the largest message, over a stream of the largest record; 0 before the handshake is done. */
size_t dtls_conn_max_payload(const struct dtls_conn *);
/* Bytes of a received message that read() returns without asking the transport. */
size_t dtls_conn_pending(const struct dtls_conn *);
/* 1: more came in one datagram than was read so far, and a read need not ask the transport; otherwise 0. */
int dtls_conn_has_input(const struct dtls_conn *);
const char *dtls_conn_error(const struct dtls_conn *); /* the first cause of failure, "" before; valid until freed */
int dtls_conn_error_code(const struct dtls_conn *); /* its mbed TLS code, or -errno; 0 when there is neither */
const char *dtls_conn_cipher(const struct dtls_conn *); /* NULL before the handshake is done */
const char *dtls_conn_version(
    const struct dtls_conn *); /* "DTLSv1.2", "TLSv1.2" or "TLSv1.3"; NULL before it is done */
const char *dtls_conn_alpn(const struct dtls_conn *); /* NULL: none was agreed on */
/* Over a datagram socket: the peer's address, also where only a valid cookie told it; NULL while nobody is known. */
const struct sockaddr *dtls_conn_peer_addr(const struct dtls_conn *, socklen_t *len);
/* The peer's certificate in DER, or NULL where it sent none. */
const uint8_t *dtls_conn_peer_cert(const struct dtls_conn *, size_t *len);
/* The common name in the peer's certificate, what is not printable ASCII as \xHH; NULL where it has none, or where no
 * certificate was verified. */
const char *dtls_conn_peer_name(const struct dtls_conn *);
/* What the verification found: MBEDTLS_X509_BADCERT_* flags, 0 when all was well; -1 when nothing was verified. */
int64_t dtls_conn_verify_result(const struct dtls_conn *);
/* The identity of this session (not NUL-terminated); NULL where there is none yet. */
const uint8_t *dtls_conn_psk_identity(const struct dtls_conn *, size_t *len);
/* Client, from the handshake to the end: writes the session to buf, for dtls_conn_session_load() of a later connection,
 * also in another process. Whoever reads these bytes can read the session, and pose as either side: keep them like a
 * private key. *len becomes their number. DTLS_TOO_BIG: buf, which may be NULL, has less. DTLS_FAIL, and the connection
 * goes on: the server gives nothing to resume by, or the session is one of TLS 1.3. */
int dtls_conn_session_save(struct dtls_conn *, void *buf, size_t size, size_t *len);
/* Client, before the handshake, after dtls_conn_set_hostname(): offers the session to the server, which may choose a
 * full handshake. DTLS_FAIL with the reason, and the connection goes on without: the bytes are damaged, or of another
 * mbed TLS, protocol or server name; the suite is not enabled; the pre-shared key is another one; the server's
 * certificate would not be accepted now, by the verify callback either; the ticket is too long for a datagram. */
int dtls_conn_session_load(struct dtls_conn *, const void *buf, size_t len);
int dtls_conn_resumed(const struct dtls_conn *); /* 1: the session was resumed; 0: it is new, or not there yet */

/* ---- the stateless gate: for programs that do their own demultiplexing -------------------------------------------
 * Judges the first datagram of an address without keeping anything (RFC 6347, 4.2.1). client_id is what the cookie is
 * bound to, 1..64 bytes, usually address and port. REPLY: send *reply_len bytes of reply, always fewer than came.
 * VERIFIED: give the datagram to a server connection with the same client id. DROP: neither; answer nothing. */
enum dtls_hello { DTLS_HELLO_DROP, DTLS_HELLO_REPLY, DTLS_HELLO_VERIFIED };
enum dtls_hello dtls_hello_check(struct dtls_context *, const void *client_id, size_t client_id_len,
    const void *datagram, size_t len, uint8_t reply[128], size_t *reply_len);

/* ---- endpoint: many peers on one UDP socket ---------------------------------------------------------------------- */
/* Parking. mbed TLS needs 37 KB for each session, most of it for record buffers. Beyond max_awake, the peers that were
 * used least recently, by a message from them or to them, are parked: what is kept is their keys and counters, in some
 * 400 bytes. A datagram that can be theirs, or a message to them, wakes them, which takes some 20 microseconds; the
 * program need not know. Memory is bounded by max_awake contexts, one more for the latest peer that a datagram woke and
 * that has not spoken yet (who sends forged datagrams in its name costs a wake each, but drives nobody out), and those of
 * peers that cannot be parked: until their first message came, and with CBC suites (stats: pinned). If waking fails, for
 * want of memory, that session ends with DTLS_REASON_ERROR. What is kept of a session exists once, in this process'
 * memory, and is wiped when it is woken or ends. */
struct dtls_limits { /* 0 means the default */
	unsigned max_peers; /* 100000 established; when full the longest silent is closed (evicted) */
	unsigned max_handshakes; /* 1000 unfinished; when full the oldest of the busiest address prefix gives way */
	int64_t handshake_ms; /* an unfinished handshake ends by then, whatever the peer sends; default: the sum of
	                          * the fixed retransmission schedule, 123 s */
	int64_t idle_ms; /* a peer silent this long is closed; 0: none is */
	/* What one source may have answered, sustained and at once: an IPv4 address, or the /64 of an IPv6 one, with
	 * everybody behind it. Beyond that a hello is dropped, counted, and nothing is kept; its client sends it again. The
	 * defaults let 2000 sensors behind one address come back within the same second; a proxy that hides more wants
	 * more, UINT_MAX is no limit. An address is easily spoofed in a hello without a cookie, in a handshake it is proven: the
	 * two are counted apart. */
	unsigned hellos_per_s, hellos_at_once; /* without a valid cookie: 2000; ten times as many */
	unsigned handshakes_per_s, handshakes_at_once; /* begun: 200; ten times as many */
	unsigned max_awake; /* 1000 established that keep mbed TLS's context; others are parked */
};
/* Borrows fd, a bound UDP socket, IPv4 or IPv6, which it reads without blocking. NULL: dtls_context_error(). On a
 * socket bound to a wildcard, replies leave from the address that the peer wrote to. limits may be NULL. Give the socket a
 * large SO_RCVBUF: where a burst or a flood overflows it, the kernel drops the datagrams of peers as well. */
struct dtls_endpoint *dtls_endpoint_new(struct dtls_context *, int fd, const struct dtls_limits *limits);
/* The same over the caller's own datagrams. recv stores one datagram and its sender (*from_len: room, then length) and
 * returns its length or DTLS_WANT_READ; send returns len, DTLS_WANT_WRITE, or DTLS_FAIL when this datagram is lost.
 * Addresses are sockaddr_in or sockaddr_in6. */
struct dtls_datagrams {
	ssize_t (*send)(void *arg, const struct sockaddr *to, socklen_t to_len, const void *buf, size_t len);
	ssize_t (*recv)(void *arg, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len);
	void *arg;
};
struct dtls_endpoint *dtls_endpoint_new_transport(
    struct dtls_context *, const struct dtls_datagrams *, const struct dtls_limits *limits);
/* Sends close_notify to every peer in bounded steps: repeat while it returns DTLS_WANT_READ (call again at once) or
 * DTLS_WANT_WRITE (poll for output first). No events are reported for these peers. */
int dtls_endpoint_close(struct dtls_endpoint *);
void dtls_endpoint_free(struct dtls_endpoint *); /* silent: nothing is sent; every peer pointer is invalid */
/* Ends every session of this identity (reason revoked); their ends are reported by recv. Returns how many. Change the key
 * first: handshakes that may yet turn out to be this identity's, under the old key, are turned away, and their clients
 * begin again. */
int dtls_endpoint_close_identity(struct dtls_endpoint *, const void *identity, size_t len);
const char *dtls_endpoint_error(const struct dtls_endpoint *);
int dtls_endpoint_error_code(const struct dtls_endpoint *); /* -errno, or 0 */
/* Within a callback of a handshake: the generation of the peer that it is called for. Otherwise 0. */
uint64_t dtls_endpoint_handshaking(const struct dtls_endpoint *);

/* recvfrom(2) with a peer for the address: takes datagrams, consumes handshakes, returns the next event.
 *   > 0              length of the message in buf; *peer sent it
 *   DTLS_CONNECTED   *peer is ready
 *   DTLS_CLOSED      *peer has ended; dtls_peer_reason() says how
 *   DTLS_FAIL, DTLS_TIMEDOUT  the handshake of *peer, or later the session, failed; dtls_peer_error() says why. A
 *                    peer that never connected has NULL data.
 *   DTLS_TOO_BIG     buf is too small for a message of *peer; it is kept. 16384 bytes are always enough
 *   DTLS_WANT_READ   nothing more to do now, or too much to do it all at once: poll for dtls_endpoint_events() until
 *                    dtls_endpoint_timeout()
 *   DTLS_FAIL with *peer NULL: the endpoint itself failed; dtls_endpoint_error()
 * An ended peer stays valid until the next call on the endpoint. */
ssize_t dtls_endpoint_recv(struct dtls_endpoint *, struct dtls_peer **peer, void *buf, size_t len);
/* Encrypts at once; the datagram leaves at the latest when recv next returns DTLS_WANT_READ. Returns len,
 * DTLS_TOO_BIG, DTLS_WANT_WRITE when 64 datagrams of this peer wait, or DTLS_FAIL. */
ssize_t dtls_peer_send(struct dtls_peer *, const void *buf, size_t len);
int dtls_endpoint_flush(struct dtls_endpoint *); /* DTLS_WANT_WRITE while some could not leave */
short dtls_endpoint_events(const struct dtls_endpoint *); /* for poll(2): POLLIN, and POLLOUT while output waits */
int dtls_endpoint_timeout(const struct dtls_endpoint *); /* over all peers, for poll(2): ms, 0 overdue, -1 none */
/* For callers that do not call recv when the timeout passes; what ended is reported by the next recv. */
int dtls_endpoint_handle_timeout(struct dtls_endpoint *);
void dtls_peer_close(struct dtls_peer *); /* close_notify; no event; the pointer is invalid on return */
enum dtls_reason {
	DTLS_REASON_CLOSE_NOTIFY, /* the peer closed */
	DTLS_REASON_REPLACED, /* the same address completed a new handshake (RFC 6347, 4.2.8) */
	DTLS_REASON_IDLE, /* silent for idle_ms */
	DTLS_REASON_EVICTED, /* max_peers was reached and it had been silent longest */
	DTLS_REASON_REVOKED, /* dtls_endpoint_close_identity() */
	DTLS_REASON_HANDSHAKE, /* its handshake failed, timed out or gave way */
	DTLS_REASON_ERROR /* the session failed */
};
/* A parked peer tells all of this without waking. */
enum dtls_reason dtls_peer_reason(const struct dtls_peer *);
void dtls_peer_set_data(struct dtls_peer *, void *data);
void *dtls_peer_data(const struct dtls_peer *);
const struct sockaddr *dtls_peer_addr(const struct dtls_peer *, socklen_t *len);
const uint8_t *dtls_peer_psk_identity(const struct dtls_peer *, size_t *len);
const char *dtls_peer_error(const struct dtls_peer *);
int dtls_peer_error_code(const struct dtls_peer *); /* as dtls_conn_error_code() */
size_t dtls_peer_max_payload(const struct dtls_peer *);
const char *dtls_peer_cipher(const struct dtls_peer *);
const char *dtls_peer_alpn(const struct dtls_peer *); /* NULL: none was agreed on */
/* DER, or NULL; valid until the next call on the endpoint. */
const uint8_t *dtls_peer_cert(const struct dtls_peer *, size_t *len);
const char *dtls_peer_name(const struct dtls_peer *); /* as dtls_conn_peer_name() */
int64_t dtls_peer_verify_result(const struct dtls_peer *); /* as dtls_conn_verify_result() */
int dtls_peer_resumed(const struct dtls_peer *); /* as dtls_conn_resumed() */
/* Unique in this endpoint, never 0: equal numbers mean the same session and epoch (RFC 7252, 9.1). */
uint64_t dtls_peer_generation(const struct dtls_peer *);

/* Counters since the endpoint was made, and gauges of now. Every datagram that came in is delivered, answered, part of
 * a handshake, or counted under one drop_ reason. */
struct dtls_stats {
	size_t size; /* set by the caller: sizeof(struct dtls_stats); fields are only ever added at the end */
	uint64_t datagrams_in, datagrams_out;
	uint64_t messages_in, messages_out;
	uint64_t hello_replies; /* HelloVerifyRequests sent */
	uint64_t cookies_accepted;
	uint64_t cookies_rejected; /* stale or foreign cookies; answered as if there were none */
	uint64_t drop_junk; /* no peer, and not a DTLS ClientHello */
	uint64_t drop_malformed_hello;
	uint64_t drop_fragmented_hello;
	uint64_t drop_replayed_hello; /* the hello that began the session of this address */
	uint64_t drop_forged; /* an established peer's address, but no valid record of its session */
	uint64_t drop_truncated; /* larger than any DTLS record */
	uint64_t drop_memory;
	uint64_t drop_send; /* could not be sent: ENOBUFS, EPERM, EMSGSIZE, no route... */
	uint64_t drop_address; /* neither IPv4 nor IPv6 */
	uint64_t handshakes_started, handshakes_completed;
	uint64_t handshakes_failed, handshakes_timedout;
	uint64_t handshakes_displaced; /* gave way at max_handshakes, or to a newer hello of the same address */
	uint64_t retransmissions; /* flights resent */
	uint64_t forgeries; /* records that did not authenticate */
	uint64_t closed_by_peer, closed_idle, closed_replaced, closed_evicted, closed_revoked, closed_error;
	uint64_t peers, handshakes; /* gauges: established now, unfinished now */
	uint64_t handshakes_resumed; /* of those completed */
	uint64_t drop_source_hellos; /* beyond hellos_per_s of their source */
	uint64_t drop_source_handshakes; /* with a valid cookie, beyond handshakes_per_s of their source */
	uint64_t drop_inbox; /* that dtls_endpoint_deliver() had no room for */
	uint64_t parks, wakes; /* peers put to rest, and woken */
	uint64_t wakes_unused; /* by a datagram that was not the peer's after all, or held nothing new */
	uint64_t park_refused; /* a peer was to be parked and stayed awake: a CBC suite, or no memory */
	uint64_t parked, pinned; /* gauges: parked now; awake now and not to be parked, beside max_awake */
};
int dtls_endpoint_stats(const struct dtls_endpoint *, struct dtls_stats *);
/* Adds the counters and gauges of more to those of sum, of which both know. */
void dtls_stats_add(struct dtls_stats *sum, const struct dtls_stats *more);

/* More than one core: an endpoint for each thread, all made from one context, which shares its cookie secrets, keys and
 * settings, each on a socket of its own. The sockets are bound to the same address with SO_REUSEPORT, all of them before the
 * first endpoint takes a datagram, and none is closed before the last one has taken its last: then Linux gives all
 * datagrams of one address and port to the same socket, and peers stay where they are. limits are each endpoint's own.
 * examples/server_threads.c does all of this.
 *
 * Where a datagram does reach another thread than the one that has its peer, as after the address of a peer changed, it can
 * be handed over: */
/* The owner: from now on this endpoint takes datagrams that other threads deliver; poll the descriptor that is returned for
 * POLLIN beside the socket, and call recv. DTLS_FAIL: dtls_endpoint_error(). The endpoint closes it. */
int dtls_endpoint_inbox(struct dtls_endpoint *);
/* Any thread, while the endpoint lives: a datagram for it, as recv would have taken it from the socket. local is the
 * address that it came to where the sockets are bound to a wildcard; otherwise it may be NULL. Copies all. DTLS_OK;
 * DTLS_WANT_WRITE when the inbox, of 64 KB, is full, and the datagram is lost as any can be; DTLS_TOO_BIG for what is no record;
 * DTLS_FAIL without an inbox, or for other addresses than IPv4 and IPv6; there is no sentence. */
int dtls_endpoint_deliver(struct dtls_endpoint *, const struct sockaddr *from, socklen_t from_len,
    const struct sockaddr *local, socklen_t local_len, const void *datagram, size_t len);

#ifdef __cplusplus
}
#endif
#endif
