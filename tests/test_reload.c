/* Settings that change while sessions live: those go on, new handshakes use the new ones. */
#include "net.h"
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEW     "sensor-3"
#define NEW_KEY "3333333333333333"

static char path[] = "/tmp/test_reload_XXXXXX";

static void write_file(const char *text)
{
	static int fd = -1;

	if (fd < 0)
		fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* Tries a handshake from a new address. */
static bool connects(struct net *n, const char *identity, const char *key)
{
	static unsigned port = 1000;
	struct dtls_context *ctx = net_client_context(n, identity, key);
	struct client *c = client_new(n, 99, ++port, ctx);
	bool ok;

	net_run(n, net_now(n) + 500);
	ok = c->status == DTLS_OK;
	if (ok)
		client_echoes(c, "hello");
	else
		ck_assert_int_eq(c->status, DTLS_FAIL);
	dtls_context_free(ctx);
	return ok;
}

START_TEST(reload_added_key_serves_new_handshakes)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 1, NULL);

	ck_assert(!connects(n, NEW, NEW_KEY));
	ck_assert_int_eq(dtls_context_add_psk(n->server_ctx, NEW, 8, NEW_KEY, 16), DTLS_OK);
	ck_assert(connects(n, NEW, NEW_KEY));
	ck_assert(connects(n, NET_OTHER, net_key(NET_OTHER)));
	client_echoes(c, "undisturbed");
	net_free(n);
}
END_TEST

START_TEST(reload_changed_key_serves_new_handshakes)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 1, NULL);

	ck_assert_int_eq(dtls_context_add_psk(n->server_ctx, NET_IDENTITY, 8, NEW_KEY, 16), DTLS_OK);
	ck_assert(!connects(n, NET_IDENTITY, net_key(NET_IDENTITY)));
	ck_assert(connects(n, NET_IDENTITY, NEW_KEY));
	client_echoes(c, "undisturbed");
	net_free(n);
}
END_TEST

/* The snapshot of a handshake is taken when its hello is verified. */
START_TEST(reload_spares_handshakes_under_way)
{
	struct net *n = net_new(1, NULL);
	struct client *before = client_new(n, 2, 1, NULL), *after;

	net_run(n, 15);
	after = client_new(n, 3, 1, NULL);
	net_run(n, 70);
	ck_assert_int_eq(dtls_context_add_psk(n->server_ctx, NET_IDENTITY, 8, NEW_KEY, 16), DTLS_OK);
	net_run(n, 500);
	ck_assert_int_eq(before->status, DTLS_OK);
	ck_assert_int_eq(after->status, DTLS_FAIL);
	client_echoes(before, "undisturbed");
	net_free(n);
}
END_TEST

START_TEST(reload_file_is_replaced_whole)
{
	struct net *n = net_new(1, NULL);
	struct dtls_context *ctx = net_client_context(n, NEW, NEW_KEY);
	struct client *c;

	write_file(NEW ":33333333333333333333333333333333\nsensor-4:34343434343434343434343434343434\n");
	ck_assert_int_eq(dtls_context_load_psk_file(n->server_ctx, path), DTLS_OK);
	ck_assert(connects(n, NEW, NEW_KEY));
	ck_assert(connects(n, "sensor-4", "4444444444444444"));
	c = client_connected(n, 2, 1, ctx);
	write_file("# moved\n\nsensor-4:35353535353535353535353535353535\n");
	ck_assert_int_eq(dtls_context_load_psk_file(n->server_ctx, path), DTLS_OK);
	ck_assert(!connects(n, NEW, NEW_KEY));
	ck_assert(!connects(n, "sensor-4", "4444444444444444"));
	ck_assert(connects(n, "sensor-4", "5555555555555555"));
	ck_assert(connects(n, NET_IDENTITY, net_key(NET_IDENTITY)));
	client_echoes(c, "undisturbed");
	client_reboot(c, ctx);
	net_run(n, net_now(n) + 500);
	ck_assert_int_eq(c->status, DTLS_WANT_READ);
	unlink(path);
	dtls_context_free(ctx);
	net_free(n);
}
END_TEST

START_TEST(reload_of_a_bad_file_changes_nothing)
{
	static const char *const bad[] = {NEW ":333\n", "sensor-4:34343434\nno colon\n", NEW ":zz\n", NEW ":\n",
	    ":3333\n", NEW ":33333333\n" NEW ":33333333\n"};
	struct net *n = net_new(1, NULL);
	struct client *c;

	write_file(NEW ":33333333333333333333333333333333\n");
	ck_assert_int_eq(dtls_context_load_psk_file(n->server_ctx, path), DTLS_OK);
	c = client_connected(n, 2, 1, NULL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		write_file(bad[i]);
		ck_assert_msg(dtls_context_load_psk_file(n->server_ctx, path) == DTLS_FAIL, "%s", bad[i]);
		ck_assert_msg(
		    strstr(dtls_context_error(n->server_ctx), path) != NULL, "%s", dtls_context_error(n->server_ctx));
		ck_assert(connects(n, NEW, NEW_KEY));
	}
	unlink(path);
	ck_assert_int_eq(dtls_context_load_psk_file(n->server_ctx, path), DTLS_FAIL);
	ck_assert(connects(n, NEW, NEW_KEY));
	client_echoes(c, "undisturbed");
	net_free(n);
}
END_TEST

START_TEST(reload_ciphers)
{
	static const char *const gcm[] = {"TLS_PSK_WITH_AES_128_GCM_SHA256"};
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 1, NULL), *d;
	struct dtls_context *ctx = net_client_context(n, NET_OTHER, NULL);

	ck_assert_int_eq(dtls_context_set_ciphers(ctx, gcm, 1), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_ciphers(n->server_ctx, gcm, 1), DTLS_OK);
	ck_assert(!connects(n, NET_IDENTITY, net_key(NET_IDENTITY)));
	d = client_connected(n, 3, 1, ctx);
	ck_assert_str_eq(dtls_peer_cipher(client_peer(d)), "TLS-PSK-WITH-AES-128-GCM-SHA256");
	ck_assert_str_eq(dtls_peer_cipher(client_peer(c)), "TLS-PSK-WITH-AES-128-CCM-8");
	client_echoes(c, "undisturbed");
	dtls_context_free(ctx);
	net_free(n);
}
END_TEST

START_TEST(reload_handshake_timeout)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_new(n, 2, 1, NULL);

	net_run(n, 70);
	c->frozen = true;
	ck_assert_int_eq(dtls_context_set_handshake_timeout(n->server_ctx, 200, 200), DTLS_OK);
	c = client_new(n, 3, 1, NULL);
	net_run(n, 140);
	c->frozen = true;
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 130 + 200 - 140);
	net_run(n, 340);
	NET_EXPECT(n, 0, DTLS_TIMEDOUT);
	ck_assert_int_eq(net_event(n, 0)->at_ms, 330);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 1060 - 340);
	net_free(n);
}
END_TEST

/* A reboot is a new handshake: it uses the new key, and the session goes on under the old one until then. */
START_TEST(reload_applies_to_a_successor)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 1, NULL);
	struct dtls_context *ctx = net_client_context(n, NET_IDENTITY, NEW_KEY);

	ck_assert_int_eq(dtls_context_add_psk(n->server_ctx, NET_IDENTITY, 8, NEW_KEY, 16), DTLS_OK);
	client_echoes(c, "the old key");
	client_reboot(c, ctx);
	net_run(n, net_now(n) + 6 * NET_LATENCY_MS);
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_CLOSED, DTLS_CONNECTED);
	client_echoes(c, "the new key");
	dtls_context_free(ctx);
	net_free(n);
}
END_TEST

/* ---- the lookup callback */

static unsigned lookups;
static uint8_t asked[DTLS_PSK_IDENTITY_MAX];
static size_t asked_len;
static bool known;

static ssize_t look_up(void *arg, const uint8_t *identity, size_t identity_len, uint8_t *key, size_t key_max)
{
	ck_assert_ptr_eq(arg, &known);
	ck_assert_uint_eq(key_max, dtls_psk_max());
	ck_assert_uint_le(identity_len, sizeof(asked));
	lookups++;
	memcpy(asked, identity, identity_len);
	asked_len = identity_len;
	memcpy(key, NEW_KEY, 16);
	return known ? 16 : 0;
}

static void set_lookup(struct net *n)
{
	lookups = 0;
	known = true;
	ck_assert_int_eq(dtls_context_set_psk_lookup(n->server_ctx, look_up, &known), DTLS_OK);
}

START_TEST(reload_lookup_is_asked_once_a_handshake)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 1, NULL);

	set_lookup(n);
	ck_assert(connects(n, NET_IDENTITY, net_key(NET_IDENTITY)));
	ck_assert_uint_eq(lookups, 0);
	for (unsigned i = 1; i <= 5; i++) {
		ck_assert(connects(n, NEW, NEW_KEY));
		ck_assert_uint_eq(lookups, i);
		ck_assert_uint_eq(asked_len, strlen(NEW));
		ck_assert_mem_eq(asked, NEW, asked_len);
	}
	known = false;
	lookups = 0;
	ck_assert(!connects(n, NEW, NEW_KEY));
	ck_assert_uint_eq(lookups, 2); /* the client tries twice */
	known = true;
	ck_assert(!connects(n, NEW, net_key(NEW)));
	ck_assert_int_eq(dtls_context_set_psk_lookup(n->server_ctx, NULL, NULL), DTLS_OK);
	lookups = 0;
	ck_assert(!connects(n, NEW, NEW_KEY));
	ck_assert_uint_eq(lookups, 0);
	client_echoes(c, "undisturbed");
	net_free(n);
}
END_TEST

START_TEST(reload_lookup_gets_any_bytes)
{
	static const uint8_t identity[] = {0, 0xff, 0xc3, 0x28, '\n', ':', 0};
	struct net *n = net_new(1, NULL);
	struct dtls_context *ctx = net_client_context(n, NEW, NEW_KEY);

	set_lookup(n);
	ck_assert_int_eq(dtls_context_set_psk(ctx, identity, sizeof(identity), NEW_KEY, 16), DTLS_OK);
	client_connected(n, 2, 1, ctx);
	ck_assert_uint_eq(lookups, 1);
	ck_assert_uint_eq(asked_len, sizeof(identity));
	ck_assert_mem_eq(asked, identity, sizeof(identity));
	dtls_context_free(ctx);
	net_free(n);
}
END_TEST

/* Lost, doubled and repeated flights do not make it ask again. */
START_TEST(reload_lookup_is_asked_once_through_losses)
{
	struct net *n = net_new(1, NULL);
	struct dtls_context *ctx = net_client_context(n, NEW, NEW_KEY);
	struct client *c;

	set_lookup(n);
	c = client_new(n, 2, 1, ctx);
	sim_link_drop_mask(sim_host_link(n->host), 4); /* the last flight */
	sim_link_set_weather(
	    sim_host_link(c->host), &(struct sim_weather){.latency_ms = NET_LATENCY_MS, .duplicate = 1});
	net_run(n, 3000);
	ck_assert_int_eq(c->status, DTLS_OK);
	ck_assert_int_gt(c->done_at, 1000);
	ck_assert_uint_eq(lookups, 1);
	dtls_context_free(ctx);
	net_free(n);
}
END_TEST

/* The handshake began under the old key: it must not slip in behind the revocation. */
START_TEST(reload_revocation_reaches_unfinished_handshakes)
{
	for (int64_t ms = 70; ms < 100; ms += 10) {
		struct net *n = net_new(1, NULL);
		struct client *c = client_new(n, 2, 1, NULL);

		net_run(n, ms);
		ck_assert_uint_eq(net_stats(n).handshakes, 1);
		ck_assert_int_eq(
		    dtls_context_add_psk(n->server_ctx, NET_IDENTITY, strlen(NET_IDENTITY), NEW_KEY, 16), 0);
		ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, NET_IDENTITY, strlen(NET_IDENTITY)), 0);
		net_run(n, 20000);
		ck_assert_int_eq(c->status, DTLS_FAIL);
		ck_assert_uint_eq(net_count(n, DTLS_CONNECTED), 0);
		ck_assert_uint_eq(net_stats(n).peers + net_stats(n).handshakes, 0);
		net_free(n);
	}
}
END_TEST

START_TEST(reload_revocation_lets_others_begin_again)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_new(n, 2, 1, NULL);

	net_run(n, 70);
	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, NET_OTHER, strlen(NET_OTHER)), 0);
	net_run(n, 20000);
	ck_assert_int_eq(c->status, DTLS_OK);
	client_echoes(c, "hello");
	net_free(n);
}
END_TEST

static ssize_t knows_nobody(void *arg, const uint8_t *identity, size_t identity_len, uint8_t *key, size_t key_max)
{
	(void)arg, (void)identity, (void)identity_len, (void)key, (void)key_max;
	return 0;
}

/* Where every source of keys is gone, a client meets what an unknown identity meets. */
START_TEST(reload_without_any_key_left)
{
	struct net *n = net_new(1, NULL);
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_SERVER);
	struct dtls_datagrams datagrams = {sim_host_send, sim_host_recv, n->host};

	dtls_context_set_clock(ctx, sim_now_ms, n->sim);
	ck_assert_int_eq(dtls_context_set_psk_lookup(ctx, knows_nobody, NULL), DTLS_OK);
	dtls_endpoint_free(n->ep);
	n->ep = dtls_endpoint_new_transport(ctx, &datagrams, NULL);
	ck_assert_ptr_nonnull(n->ep);
	ck_assert_int_eq(dtls_context_set_psk_lookup(ctx, NULL, NULL), DTLS_OK);
	ck_assert(!connects(n, NEW, NEW_KEY));
	ck_assert_uint_eq(net_stats(n).drop_memory, 0);
	ck_assert_uint_eq(net_stats(n).handshakes_failed, 2);
	dtls_context_free(ctx);
	net_free(n);
}
END_TEST

Suite *reload_suite(void)
{
	Suite *s = suite_create("reload");

	TEST(s, reload_added_key_serves_new_handshakes);
	TEST(s, reload_changed_key_serves_new_handshakes);
	TEST(s, reload_spares_handshakes_under_way);
	TEST(s, reload_file_is_replaced_whole);
	TEST(s, reload_of_a_bad_file_changes_nothing);
	TEST(s, reload_ciphers);
	TEST(s, reload_handshake_timeout);
	TEST(s, reload_applies_to_a_successor);
	TEST(s, reload_lookup_is_asked_once_a_handshake);
	TEST(s, reload_lookup_gets_any_bytes);
	TEST(s, reload_lookup_is_asked_once_through_losses);
	TEST(s, reload_revocation_reaches_unfinished_handshakes);
	TEST(s, reload_revocation_lets_others_begin_again);
	TEST(s, reload_without_any_key_left);
	return s;
}
