#include "dtls/outbox.h"
#include "suites.h"

#include <string.h>

static struct outbox box;
static struct dtls_peer a, b;

static void begin(void)
{
	outbox_init(&box);
	a = (struct dtls_peer){.addr.in = {.sin_family = AF_INET, .sin_port = 1}, .local.in.sin_family = AF_INET};
	b = (struct dtls_peer){.addr.in = {.sin_family = AF_INET, .sin_port = 2}};
}

static bool put(struct dtls_peer *peer, const char *text)
{
	return outbox_put(&box, peer, (const uint8_t *)text, strlen(text));
}

static void assert_first(const char *text, const struct dtls_peer *peer, const struct dtls_peer *to)
{
	ck_assert_ptr_nonnull(box.first);
	ck_assert_uint_eq(box.first->len, strlen(text));
	ck_assert_mem_eq(box.first->datagram, text, strlen(text));
	ck_assert_ptr_eq(box.first->peer, peer);
	ck_assert(address_equal(&box.first->to, &to->addr));
	ck_assert(address_equal(&box.first->local, &to->local));
}

START_TEST(outbox_keeps_the_order)
{
	begin();
	ck_assert_ptr_null(box.first);
	ck_assert(put(&a, "one"));
	ck_assert(put(&b, "two"));
	ck_assert(put(&a, "three"));
	ck_assert_uint_eq(a.waiting, 2);
	ck_assert_uint_eq(b.waiting, 1);
	assert_first("one", &a, &a);
	outbox_drop_first(&box);
	ck_assert_uint_eq(a.waiting, 1);
	assert_first("two", &b, &b);
	ck_assert(put(&b, "four"));
	outbox_drop_first(&box);
	assert_first("three", &a, &a);
	outbox_drop_first(&box);
	assert_first("four", &b, &b);
	outbox_drop_first(&box);
	ck_assert_ptr_null(box.first);
	ck_assert_uint_eq(a.waiting + b.waiting, 0);
	/* And again, from empty. */
	ck_assert(put(&b, "five"));
	assert_first("five", &b, &b);
	outbox_drop_first(&box);
	outbox_free(&box);
}
END_TEST

START_TEST(outbox_copies_the_datagram)
{
	char text[] = "before";

	begin();
	ck_assert(put(&a, text));
	memcpy(text, "behind", sizeof(text));
	assert_first("before", &a, &a);
	outbox_free(&box);
	ck_assert_uint_eq(a.waiting, 0);
}
END_TEST

START_TEST(outbox_64_of_one_peer)
{
	begin();
	for (unsigned i = 0; i < OUTBOX_PER_PEER; i++)
		ck_assert(put(&a, "x"));
	ck_assert(!put(&a, "x"));
	ck_assert_uint_eq(a.waiting, 64);
	/* Others are not hindered. */
	ck_assert(put(&b, "y"));
	outbox_drop_first(&box);
	ck_assert(put(&a, "z"));
	ck_assert(!put(&a, "x"));
	outbox_free(&box);
	ck_assert_uint_eq(a.waiting + b.waiting, 0);
}
END_TEST

START_TEST(outbox_last_words_of_a_peer_that_is_gone)
{
	struct dtls_peer was = {0};

	begin();
	was.addr = a.addr;
	was.local = a.local;
	ck_assert(put(&a, "one"));
	ck_assert(put(&b, "two"));
	ck_assert(put(&a, "three"));
	outbox_forget(&box, &a);
	ck_assert_uint_eq(a.waiting, 0);
	ck_assert_uint_eq(b.waiting, 1);
	memset(&a, 0xdd, sizeof(a));
	assert_first("one", NULL, &was);
	outbox_drop_first(&box);
	assert_first("two", &b, &b);
	outbox_drop_first(&box);
	assert_first("three", NULL, &was);
	outbox_drop_first(&box);
	ck_assert_ptr_null(box.first);
	ck_assert_uint_eq(a.waiting, 0xdd);
}
END_TEST

START_TEST(outbox_forgets_who_has_nothing_there)
{
	begin();
	ck_assert(put(&a, "one"));
	outbox_forget(&box, &b);
	assert_first("one", &a, &a);
	outbox_free(&box);
	ck_assert_ptr_null(box.first);
}
END_TEST

Suite *outbox_suite(void)
{
	Suite *suite = suite_create("outbox");

	TEST(suite, outbox_keeps_the_order);
	TEST(suite, outbox_copies_the_datagram);
	TEST(suite, outbox_64_of_one_peer);
	TEST(suite, outbox_last_words_of_a_peer_that_is_gone);
	TEST(suite, outbox_forgets_who_has_nothing_there);
	return suite;
}
