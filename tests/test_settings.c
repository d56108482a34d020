#include "dtls/settings.h"
#include "pair.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct dtls_context *ctx;

static void begin(enum dtls_protocol protocol)
{
	ctx = dtls_context_new(protocol);
	ck_assert_ptr_nonnull(ctx);
}

static void add(const char *identity, const char *key)
{
	ck_assert_int_eq(dtls_context_add_psk(ctx, identity, strlen(identity), key, strlen(key)), DTLS_OK);
}

static void set(const char *identity, const char *key)
{
	ck_assert_int_eq(dtls_context_set_psk(ctx, identity, strlen(identity), key, strlen(key)), DTLS_OK);
}

/* NULL: the identity must be unknown. */
static void assert_key(const struct settings *s, const char *identity, const char *expected)
{
	uint8_t space[64];
	size_t len = 0;
	const uint8_t *key = settings_find_key(s, (const uint8_t *)identity, strlen(identity), space, &len);

	ck_assert_int_eq(key != NULL, expected != NULL);
	if (key == NULL || expected == NULL)
		return;
	ck_assert_uint_eq(len, strlen(expected));
	ck_assert_mem_eq(key, expected, len);
}

static struct settings *snapshot(void)
{
	struct settings *s = context_snapshot(ctx);

	ck_assert_msg(s != NULL, "%s", dtls_context_error(ctx));
	return s;
}

static ssize_t nowhere(void *arg, const void *buf, size_t len)
{
	(void)arg, (void)buf;
	return (ssize_t)len;
}

static ssize_t nothing(void *arg, void *buf, size_t len)
{
	(void)arg, (void)buf, (void)len;
	return DTLS_WANT_READ;
}

static const struct dtls_transport silent = {.send = nowhere, .recv = nothing};

static ssize_t send_nowhere(void *arg, const struct sockaddr *to, socklen_t to_len, const void *buf, size_t len)
{
	(void)arg, (void)to, (void)to_len, (void)buf;
	return (ssize_t)len;
}

static ssize_t recv_nothing(void *arg, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len)
{
	(void)arg, (void)from, (void)from_len, (void)buf, (void)len;
	return DTLS_WANT_READ;
}

static const struct dtls_datagrams silence = {.send = send_nowhere, .recv = recv_nothing};

/* Writes a file of keys and loads it: the call's status. */
static int load(const char *text)
{
	char path[] = "/tmp/dtls-test-psk-XXXXXX";
	int fd = mkstemp(path), status;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	status = dtls_context_load_psk_file(ctx, path);
	unlink(path);
	return status;
}

static void assert_says(const char *word)
{
	const char *error = dtls_context_error(ctx);

	ck_assert_msg(strstr(error, word) != NULL, "\"%s\" does not say \"%s\"", error, word);
}

/* ---- combinations are judged when something is made from them */

START_TEST(settings_client_without_a_key)
{
	begin(PROTOCOL_DTLS_CLIENT);
	ck_assert_ptr_null(dtls_wrap_transport(ctx, &silent));
	ck_assert_str_eq(dtls_context_error(ctx),
	    "a client needs a pre-shared key, or a CA to verify the server with: call dtls_context_set_psk() or "
	    "dtls_context_load_verify_locations() first");
	dtls_context_free(ctx);
}
END_TEST

START_TEST(settings_server_without_a_key)
{
	struct dtls_endpoint *ep;
	struct dtls_conn *c;

	begin(PROTOCOL_DTLS_SERVER);
	ck_assert_ptr_null(dtls_wrap_transport(ctx, &silent));
	assert_says("a server needs a pre-shared key");
	assert_says("dtls_context_add_psk()");
	ck_assert_ptr_null(dtls_endpoint_new_transport(ctx, &silence, NULL));
	assert_says("dtls_context_load_psk_file()");
	assert_says("dtls_context_set_psk_lookup()");
	add("a", "1");
	c = dtls_wrap_transport(ctx, &silent);
	ep = dtls_endpoint_new_transport(ctx, &silence, NULL);
	ck_assert(c != NULL && ep != NULL);
	dtls_conn_free(c);
	dtls_endpoint_free(ep);
	dtls_context_free(ctx);
}
END_TEST

START_TEST(settings_client_makes_no_endpoint)
{
	begin(PROTOCOL_DTLS_CLIENT);
	set("a", "1");
	ck_assert_ptr_null(dtls_endpoint_new_transport(ctx, &silence, NULL));
	assert_says("PROTOCOL_DTLS_SERVER");
	dtls_context_free(ctx);
}
END_TEST

/* ---- the order of the sources */

static ssize_t look_up(void *arg, const uint8_t *identity, size_t len, uint8_t *key, size_t key_max)
{
	++*(unsigned *)arg;
	ck_assert_uint_eq(key_max, dtls_psk_max());
	if (len == 3 && memcmp(identity, "big", 3) == 0)
		return (ssize_t)key_max + 1;
	if (len == 3 && memcmp(identity, "max", 3) == 0) {
		memset(key, 'm', key_max);
		return (ssize_t)key_max;
	}
	if (len != 1 || identity[0] > 'd')
		return identity[0] == 'z' ? -1 : 0;
	memcpy(key, "lookup", 6);
	return 6;
}

START_TEST(settings_key_sources_in_order)
{
	char longest[64] = {0};
	unsigned asked = 0;
	struct settings *s;

	begin(PROTOCOL_DTLS_SERVER);
	ck_assert_int_eq(dtls_context_set_psk_lookup(ctx, look_up, &asked), DTLS_OK);
	ck_assert_int_eq(load("a:66\nb:66\nc:66\n"), DTLS_OK);
	add("a", "added");
	add("b", "added");
	set("a", "fixed");
	s = snapshot();
	assert_key(s, "a", "fixed");
	assert_key(s, "b", "added");
	assert_key(s, "c", "f");
	ck_assert_uint_eq(asked, 0);
	assert_key(s, "d", "lookup");
	ck_assert_uint_eq(asked, 1);
	memset(longest, 'm', dtls_psk_max());
	assert_key(s, "max", longest);
	/* 0, negative, and more than was asked for. */
	assert_key(s, "e", NULL);
	assert_key(s, "z", NULL);
	assert_key(s, "big", NULL);
	ck_assert_uint_eq(asked, 5);
	assert_key(s, "", NULL);
	ck_assert_uint_eq(asked, 5);
	settings_free(s);
	ck_assert_int_eq(dtls_context_set_psk_lookup(ctx, NULL, NULL), DTLS_OK);
	s = snapshot();
	assert_key(s, "d", NULL);
	ck_assert_uint_eq(asked, 5);
	settings_free(s);
	dtls_context_free(ctx);
}
END_TEST

START_TEST(settings_second_keys_replace)
{
	struct settings *s;

	begin(PROTOCOL_DTLS_SERVER);
	set("a", "1");
	set("b", "2");
	add("c", "3");
	add("c", "4");
	ck_assert_int_eq(dtls_context_add_psk_line(ctx, "d:35"), DTLS_OK);
	s = snapshot();
	assert_key(s, "a", NULL);
	assert_key(s, "b", "2");
	assert_key(s, "c", "4");
	assert_key(s, "d", "5");
	settings_free(s);
	dtls_context_free(ctx);
}
END_TEST

/* ---- files */

START_TEST(settings_file_is_replaced_whole)
{
	struct settings *s;

	begin(PROTOCOL_DTLS_SERVER);
	ck_assert_int_eq(load("# keys\n\na:31\nb:32\n"), DTLS_OK);
	ck_assert_int_eq(load("b:33\nc:34\n"), DTLS_OK);
	s = snapshot();
	assert_key(s, "a", NULL);
	assert_key(s, "b", "3");
	assert_key(s, "c", "4");
	settings_free(s);
	dtls_context_free(ctx);
}
END_TEST

START_TEST(settings_bad_file_changes_nothing)
{
	static const struct {
		const char *text, *words;
	} bad[] = {{"c:33\nd:3\n", ":2: "}, {"c:33\nc:34\n", ":2: "}, {"c:33\n\n#\nno colon\n", ":4: "}};
	struct settings *s, *after;

	begin(PROTOCOL_DTLS_SERVER);
	ck_assert_int_eq(load("a:31\n"), DTLS_OK);
	s = snapshot();
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_int_eq(load(bad[i].text), DTLS_FAIL);
		assert_says("/tmp/dtls-test-psk-");
		assert_says(bad[i].words);
	}
	ck_assert_int_eq(dtls_context_load_psk_file(ctx, "/nonexistent/keys"), DTLS_FAIL);
	assert_says("cannot read /nonexistent/keys: No such file or directory");
	after = snapshot();
	ck_assert_ptr_eq(after, s);
	assert_key(after, "a", "1");
	assert_key(after, "c", NULL);
	settings_free(after);
	settings_free(s);
	dtls_context_free(ctx);
}
END_TEST

START_TEST(settings_file_of_a_client_has_one_key)
{
	struct settings *s;

	begin(PROTOCOL_DTLS_CLIENT);
	ck_assert_int_eq(load("a:31\nb:32\n"), DTLS_FAIL);
	assert_says("has 2 keys: a client's file has exactly one");
	ck_assert_int_eq(load("# none\n"), DTLS_FAIL);
	ck_assert_ptr_null(dtls_wrap_transport(ctx, &silent));
	ck_assert_int_eq(load("a:31\n"), DTLS_OK);
	ck_assert_int_eq(load("a:32\nb:33\n"), DTLS_FAIL);
	s = snapshot();
	assert_key(s, "a", "1");
	settings_free(s);
	dtls_context_free(ctx);
}
END_TEST

/* ---- snapshots */

START_TEST(settings_snapshots_are_shared_until_a_change)
{
	struct settings *first, *same, *changed;

	begin(PROTOCOL_DTLS_SERVER);
	add("a", "1");
	first = snapshot();
	same = snapshot();
	ck_assert_ptr_eq(first, same);
	ck_assert_int_eq(dtls_context_set_mtu(ctx, 1), DTLS_FAIL);
	settings_free(same);
	same = snapshot();
	ck_assert_ptr_eq(first, same);
	ck_assert_int_eq(dtls_context_set_mtu(ctx, 500), DTLS_OK);
	changed = snapshot();
	ck_assert_ptr_ne(changed, first);
	ck_assert_uint_eq(first->opt.mtu, 1200);
	ck_assert_uint_eq(changed->opt.mtu, 500);
	settings_free(first);
	settings_free(same);
	settings_free(changed);
	dtls_context_free(ctx);
}
END_TEST

START_TEST(settings_snapshots_keep_their_keys)
{
	struct settings *old, *newer;

	begin(PROTOCOL_DTLS_SERVER);
	add("a", "old");
	ck_assert_int_eq(load("f:6f6c64\n"), DTLS_OK);
	set("x", "old");
	old = snapshot();
	add("a", "new");
	add("b", "new");
	ck_assert_int_eq(load("f:6e6577\n"), DTLS_OK);
	set("x", "new");
	newer = snapshot();
	add("c", "newest");
	assert_key(old, "a", "old");
	assert_key(old, "b", NULL);
	assert_key(old, "f", "old");
	assert_key(old, "x", "old");
	assert_key(newer, "a", "new");
	assert_key(newer, "b", "new");
	assert_key(newer, "c", NULL);
	assert_key(newer, "f", "new");
	assert_key(newer, "x", "new");
	settings_free(old);
	assert_key(newer, "a", "new");
	/* A snapshot that is held outlives what the context has of it. */
	dtls_context_free(ctx);
	assert_key(newer, "f", "new");
	settings_free(newer);
}
END_TEST

START_TEST(settings_unknown_identities_get_a_key_of_their_own)
{
	struct settings *a, *b;

	begin(PROTOCOL_DTLS_SERVER);
	add("a", "1");
	a = snapshot();
	ck_assert_int_eq(dtls_context_set_mtu(ctx, 500), DTLS_OK);
	b = snapshot();
	ck_assert_mem_ne(a->decoy, b->decoy, sizeof(a->decoy));
	settings_free(a);
	settings_free(b);
	dtls_context_free(ctx);
}
END_TEST

START_TEST(settings_give_up_after_the_sum_of_the_schedule)
{
	struct settings *s;

	begin(PROTOCOL_DTLS_CLIENT);
	set("a", "1");
	s = snapshot();
	ck_assert_int_eq(s->give_up_ms, 123000);
	settings_free(s);
	ck_assert_int_eq(dtls_context_set_handshake_timeout(ctx, 9000, 9000), DTLS_OK);
	s = snapshot();
	ck_assert_int_eq(s->give_up_ms, 9000);
	settings_free(s);
	dtls_context_free(ctx);
}
END_TEST

START_TEST(settings_connections_keep_theirs)
{
	struct dtls_conn *old, *newer;
	const uint8_t *identity;
	size_t len;

	begin(PROTOCOL_DTLS_CLIENT);
	set("old", "1");
	old = dtls_wrap_transport(ctx, &silent);
	set("newer", "2");
	newer = dtls_wrap_transport(ctx, &silent);
	/* The context may go first. */
	dtls_context_free(ctx);
	identity = dtls_conn_psk_identity(old, &len);
	ck_assert_uint_eq(len, 3);
	ck_assert_mem_eq(identity, "old", 3);
	identity = dtls_conn_psk_identity(newer, &len);
	ck_assert_uint_eq(len, 5);
	ck_assert_mem_eq(identity, "newer", 5);
	ck_assert_int_eq(dtls_conn_handshake(old), DTLS_WANT_READ);
	dtls_conn_free(old);
	dtls_conn_free(newer);
}
END_TEST

/* Keys are rotated on both sides while a session lives; what is new needs the new one. */
START_TEST(settings_key_rotation_does_not_touch_live_sessions)
{
	struct pair live, next;

	pair_open(&live);
	pair_handshake(&live);
	pair_assert_connected(&live, 120, 100);
	ctx = live.server.ctx;
	set(PAIR_IDENTITY, "rotated");
	pair_assert_exchange(&live);
	/* A client that has the old key, at the server's new settings. */
	pair_open(&next);
	dtls_context_free(next.server.ctx);
	next.server.ctx = dtls_context_ref(ctx);
	ck_assert_int_eq(dtls_context_set_clock(ctx, sim_now_ms, next.sim), DTLS_OK);
	pair_handshake(&next);
	ck_assert_int_eq(next.server.status, DTLS_FAIL);
	assert_error(next.client.conn, "the pre-shared key for identity \"" PAIR_IDENTITY "\" probably differs");
	pair_close(&next);
	pair_assert_exchange(&live);
	pair_close(&live);
}
END_TEST

START_TEST(settings_contexts_may_be_freed_before_a_handshake)
{
	struct pair p;

	pair_open(&p);
	pair_wrap(&p);
	dtls_context_free(p.client.ctx);
	dtls_context_free(p.server.ctx);
	p.client.ctx = p.server.ctx = NULL;
	pair_handshake(&p);
	pair_assert_exchange(&p);
	pair_close(&p);
}
END_TEST

Suite *settings_suite(void)
{
	Suite *suite = suite_create("settings");

	TEST(suite, settings_client_without_a_key);
	TEST(suite, settings_server_without_a_key);
	TEST(suite, settings_client_makes_no_endpoint);
	TEST(suite, settings_key_sources_in_order);
	TEST(suite, settings_second_keys_replace);
	TEST(suite, settings_file_is_replaced_whole);
	TEST(suite, settings_bad_file_changes_nothing);
	TEST(suite, settings_file_of_a_client_has_one_key);
	TEST(suite, settings_snapshots_are_shared_until_a_change);
	TEST(suite, settings_snapshots_keep_their_keys);
	TEST(suite, settings_unknown_identities_get_a_key_of_their_own);
	TEST(suite, settings_give_up_after_the_sum_of_the_schedule);
	TEST(suite, settings_connections_keep_theirs);
	TEST(suite, settings_key_rotation_does_not_touch_live_sessions);
	TEST(suite, settings_contexts_may_be_freed_before_a_handshake);
	return suite;
}
