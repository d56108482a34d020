#include "dtls/psk.h"
#include "suites.h"

#include <mbedtls/version.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_A "\x01\x02\x03\x04"
#define KEY_B "\xff\xfe"

static char why[512];
static char path[256]; /* of the last file written */

static void add_text(struct psk_table *t, const char *identity, const void *key, size_t key_len)
{
	ck_assert_int_eq(psk_table_add(t, identity, strlen(identity), key, key_len), 0);
}

static void assert_key(const struct psk_table *t, const void *identity, size_t len, const void *key, size_t key_len)
{
	size_t found_len = 0;
	const uint8_t *found = psk_table_find(t, identity, len, &found_len);

	ck_assert_ptr_nonnull(found);
	ck_assert_uint_eq(found_len, key_len);
	ck_assert_mem_eq(found, key, key_len);
}

static void assert_unknown(const struct psk_table *t, const void *identity, size_t len)
{
	size_t key_len;

	ck_assert_ptr_null(psk_table_find(t, identity, len, &key_len));
}

/* ---- tables */

START_TEST(psk_prefixes_are_different_identities)
{
	static const char *const names[] = {"aa", "a", "aaa"};
	static const uint8_t keys[] = {2, 1, 3};

	for (size_t n = 0; n <= 3; n++) {
		struct psk_table *t = psk_table_new();

		for (size_t i = 0; i < n; i++)
			add_text(t, names[i], &keys[i], 1);
		ck_assert_int_eq(psk_table_seal(t), 0);
		ck_assert_uint_eq(psk_table_count(t), n);
		for (size_t i = 0; i < n; i++)
			assert_key(t, names[i], strlen(names[i]), &keys[i], 1);
		for (size_t i = 0; n == 3 && i < n; i++) {
			size_t len = 0;

			ck_assert_mem_eq(psk_table_identity(t, i, &len), "aaa", i + 1);
			ck_assert_uint_eq(len, i + 1);
		}
		for (size_t i = n; i < 3; i++)
			assert_unknown(t, names[i], strlen(names[i]));
		assert_unknown(t, "", 0);
		assert_unknown(t, "aaaa", 4);
		assert_unknown(t, "`", 1);
		assert_unknown(t, "b", 1);
		psk_table_free(t);
	}
}
END_TEST

START_TEST(psk_thousand_entries)
{
	struct psk_table *t = psk_table_new();
	char name[16];

	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t n = i * 619 % 1000;

		snprintf(name, sizeof(name), "s%u", (unsigned)n);
		add_text(t, name, &n, sizeof(n));
	}
	ck_assert_int_eq(psk_table_seal(t), 0);
	ck_assert_uint_eq(psk_table_count(t), 1000);
	for (uint32_t i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "s%u", (unsigned)i);
		assert_key(t, name, strlen(name), &i, sizeof(i));
		snprintf(name, sizeof(name), "s%ux", (unsigned)i);
		assert_unknown(t, name, strlen(name));
	}
	psk_table_free(t);
}
END_TEST

START_TEST(psk_identities_are_opaque_bytes)
{
	struct psk_table *t = psk_table_new();
	uint8_t longest[DTLS_PSK_IDENTITY_MAX];

	memset(longest, 0xff, sizeof(longest));
	ck_assert_int_eq(psk_table_add(t, "a\0b", 3, KEY_A, 4), 0);
	ck_assert_int_eq(psk_table_add(t, "\xc3\x28\x80", 3, KEY_B, 2), 0);
	ck_assert_int_eq(psk_table_add(t, longest, sizeof(longest), "\x05", 1), 0);
	ck_assert_int_eq(psk_table_seal(t), 0);
	assert_key(t, "a\0b", 3, KEY_A, 4);
	assert_key(t, "\xc3\x28\x80", 3, KEY_B, 2);
	assert_key(t, longest, sizeof(longest), "\x05", 1);
	assert_unknown(t, "a", 1);
	assert_unknown(t, "a\0c", 3);
	assert_unknown(t, longest, sizeof(longest) - 1);
	psk_table_free(t);
}
END_TEST

START_TEST(psk_last_added_wins)
{
	struct psk_table *t = psk_table_new();

	add_text(t, "b", "\x01", 1);
	for (uint8_t i = 0; i < 100; i++)
		add_text(t, "a", &i, 1);
	add_text(t, "b", "\x02\x03", 2);
	add_text(t, "c", "\x04", 1);
	ck_assert_int_eq(psk_table_seal(t), 0);
	ck_assert_int_eq(psk_table_seal(t), 0);
	ck_assert_uint_eq(psk_table_count(t), 3);
	assert_key(t, "a", 1, "\x63", 1);
	assert_key(t, "b", 1, "\x02\x03", 2);
	assert_key(t, "c", 1, "\x04", 1);
	psk_table_free(t);
}
END_TEST

START_TEST(psk_copies_are_independent)
{
	struct psk_table *t = psk_table_new(), *copy;

	add_text(t, "b", "\x01", 1);
	add_text(t, "a", "\x02", 1);
	ck_assert_int_eq(psk_table_seal(t), 0);
	copy = psk_table_copy(t);
	add_text(copy, "a", "\x03", 1);
	add_text(copy, "c", "\x04", 1);
	ck_assert_int_eq(psk_table_seal(copy), 0);
	assert_key(t, "a", 1, "\x02", 1);
	assert_unknown(t, "c", 1);
	ck_assert_uint_eq(psk_table_count(t), 2);
	psk_table_free(t);
	assert_key(copy, "a", 1, "\x03", 1);
	assert_key(copy, "b", 1, "\x01", 1);
	assert_key(copy, "c", 1, "\x04", 1);
	psk_table_free(copy);
}
END_TEST

START_TEST(psk_no_table_knows_nobody)
{
	assert_unknown(NULL, "a", 1);
	ck_assert_uint_eq(psk_table_count(NULL), 0);
	psk_table_free(NULL);
}
END_TEST

START_TEST(psk_table_lives_until_its_last_reference)
{
	struct psk_table *t = psk_table_new();

	add_text(t, "a", KEY_A, 4);
	ck_assert_int_eq(psk_table_seal(t), 0);
	ck_assert_ptr_eq(psk_table_ref(t), t);
	psk_table_free(t);
	assert_key(t, "a", 1, KEY_A, 4);
	psk_table_free(t);
}
END_TEST

/* ---- lengths */

START_TEST(psk_lengths_are_judged)
{
	char expected[128];

	ck_assert_uint_ge(dtls_psk_max(), 32);
	ck_assert_ptr_null(psk_check(1, 1, why, sizeof(why)));
	ck_assert_ptr_null(psk_check(128, dtls_psk_max(), why, sizeof(why)));
	ck_assert_str_eq(psk_check(0, 1, why, sizeof(why)), "the identity is empty");
	ck_assert_str_eq(psk_check(129, 1, why, sizeof(why)), "the identity has 129 bytes, but 128 are the most");
	ck_assert_str_eq(psk_check(1, 0, why, sizeof(why)), "the key is empty");
	snprintf(expected, sizeof(expected), "the key has %zu bytes, but mbed TLS %s takes at most %zu",
	    dtls_psk_max() + 1, MBEDTLS_VERSION_STRING, dtls_psk_max());
	ck_assert_str_eq(psk_check(1, dtls_psk_max() + 1, why, sizeof(why)), expected);
}
END_TEST

START_TEST(psk_add_refuses_lengths_and_changes_nothing)
{
	struct psk_table *t = psk_table_new();
	static const uint8_t bytes[512];

	ck_assert_int_eq(psk_table_add(t, bytes, 0, KEY_A, 4), DTLS_FAIL);
	ck_assert_int_eq(psk_table_add(t, bytes, 129, KEY_A, 4), DTLS_FAIL);
	ck_assert_int_eq(psk_table_add(t, bytes, 257, KEY_A, 4), DTLS_FAIL);
	ck_assert_int_eq(psk_table_add(t, "a", 1, KEY_A, 0), DTLS_FAIL);
	ck_assert_int_eq(psk_table_add(t, "a", 1, bytes, dtls_psk_max() + 1), DTLS_FAIL);
	ck_assert_int_eq(psk_table_add(t, "a", 1, bytes, 257), DTLS_FAIL);
	ck_assert_int_eq(psk_table_add(t, "a", 1, bytes, SIZE_MAX), DTLS_FAIL);
	ck_assert_int_eq(psk_table_add(t, "b", 1, bytes, dtls_psk_max()), 0);
	ck_assert_int_eq(psk_table_seal(t), 0);
	ck_assert_uint_eq(psk_table_count(t), 1);
	assert_key(t, "b", 1, bytes, dtls_psk_max());
	psk_table_free(t);
}
END_TEST

/* ---- identity:hexkey */

static const struct good_line {
	const char *line, *identity, *key;
} good_lines[] = {
    {"a:00ff", "a", "\x00\xff"},
    {"sensor-17:deadBEEF", "sensor-17", "\xde\xad\xbe\xef"},
    {"a:b::c:0123456789abcdefABCDEF", "a:b::c", "\x01\x23\x45\x67\x89\xab\xcd\xef\xab\xcd\xef"},
    {"::01", ":", "\x01"},
    {" a b\t:01", " a b\t", "\x01"},
    {"\xc3\x28\xff:01", "\xc3\x28\xff", "\x01"},
};

START_TEST(psk_good_lines)
{
	for (size_t i = 0; i < sizeof(good_lines) / sizeof(*good_lines); i++) {
		const struct good_line *g = &good_lines[i];
		struct psk_table *t = psk_table_new();
		size_t key_len = strlen(strrchr(g->line, ':') + 1) / 2;

		ck_assert_int_eq(psk_parse_line(g->line, strlen(g->line), t, why, sizeof(why)), 0);
		ck_assert_int_eq(psk_table_seal(t), 0);
		ck_assert_uint_eq(psk_table_count(t), 1);
		assert_key(t, g->identity, strlen(g->identity), g->key, key_len);
		psk_table_free(t);
	}
}
END_TEST

#define LINE(text) text, sizeof(text) - 1

static const struct bad_line {
	const char *line;
	size_t len;
	const char *why;
} bad_lines[] = {
    {LINE(""), "no colon between identity and key"},
    {LINE("sensor 00ff"), "no colon between identity and key"},
    {LINE(":00ff"), "the identity is empty"},
    {LINE("a:"), "the key is empty"},
    {LINE("a:00ff:"), "the key is empty"},
    {LINE("a:0"), "the key has an odd number of hex digits"},
    {LINE("sensor:00ffg"), "'g' at column 12 is not a hex digit"},
    {LINE("a:g0"), "'g' at column 3 is not a hex digit"},
    {LINE("a:0@"), "'@' at column 4 is not a hex digit"},
    {LINE("a:0G"), "'G' at column 4 is not a hex digit"},
    {LINE("a:0`"), "'`' at column 4 is not a hex digit"},
    {LINE("a:0/"), "'/' at column 4 is not a hex digit"},
    {LINE("a:00 "), "' ' at column 5 is not a hex digit"},
    {LINE("a:0x00"), "'x' at column 4 is not a hex digit"},
    {LINE("a:00\r"), "byte 0x0d at column 5 is not a hex digit"},
    {LINE("a:00\xff"), "byte 0xff at column 5 is not a hex digit"},
    {LINE("a\0b:00"), "a NUL byte at column 2"},
    {LINE("a:00\0"), "a NUL byte at column 5"},
};

START_TEST(psk_bad_lines)
{
	struct psk_table *t = psk_table_new();

	for (size_t i = 0; i < sizeof(bad_lines) / sizeof(*bad_lines); i++) {
		ck_assert_int_eq(psk_parse_line(bad_lines[i].line, bad_lines[i].len, t, why, sizeof(why)), DTLS_FAIL);
		ck_assert_str_eq(why, bad_lines[i].why);
	}
	ck_assert_uint_eq(psk_table_count(t), 0);
	psk_table_free(t);
}
END_TEST

/* A line with an identity of so many 'i' and a key of so many bytes 0x11. */
static size_t make_line(char *line, size_t identity_len, size_t key_len)
{
	memset(line, 'i', identity_len);
	line[identity_len] = ':';
	memset(line + identity_len + 1, '1', 2 * key_len);
	return identity_len + 1 + 2 * key_len;
}

/* ---- files */

static int new_file(void)
{
	const char *folder = getenv("TMPDIR");
	int fd;

	snprintf(path, sizeof(path), "%s/test_psk_XXXXXX", folder != NULL && *folder != '\0' ? folder : "/tmp");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static struct psk_table *read_bytes(const void *bytes, size_t len)
{
	int fd = new_file();
	struct psk_table *t;
	bool written = write(fd, bytes, len) == (ssize_t)len;

	close(fd);
	t = psk_file_read(path, why, sizeof(why));
	unlink(path);
	ck_assert(written);
	return t;
}

static struct psk_table *read_good(const void *bytes, size_t len, size_t keys)
{
	struct psk_table *t = read_bytes(bytes, len);

	ck_assert_msg(t != NULL, "%s", why);
	ck_assert_uint_eq(psk_table_count(t), keys);
	return t;
}

static void assert_file_fails(const void *bytes, size_t len, const char *after_path)
{
	ck_assert_ptr_null(read_bytes(bytes, len));
	ck_assert_msg(strncmp(why, path, strlen(path)) == 0, "\"%s\" does not begin with the path", why);
	ck_assert_str_eq(why + strlen(path), after_path);
}

START_TEST(psk_file_with_comments_and_blank_lines)
{
	struct psk_table *t =
	    read_good(LINE("# sensors\n\n \t \nb:c:01\n#x:y\n#z:05\n\f\v\na:0203\r\n\r\n #d:04\n"), 3);

	assert_key(t, "b:c", 3, "\x01", 1);
	assert_key(t, "a", 1, "\x02\x03", 2);
	assert_key(t, " #d", 3, "\x04", 1);
	psk_table_free(t);
}
END_TEST

START_TEST(psk_file_line_ends)
{
	static const char *const files[] = {
	    "a:01\nb:02\n", "a:01\nb:02", "a:01\r\nb:02\r\n", "a:01\r\nb:02", "a:01\r\nb:02\r"};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		struct psk_table *t = read_good(files[i], strlen(files[i]), 2);

		assert_key(t, "a", 1, "\x01", 1);
		assert_key(t, "b", 1, "\x02", 1);
		psk_table_free(t);
	}
}
END_TEST

static const struct bad_file {
	const char *text;
	size_t len;
	const char *after_path;
} bad_files[] = {
    {LINE(""), " has no keys"},
    {LINE("# a:01\n\n \r\n"), " has no keys"},
    {LINE("#a\n\na:01\r\nb:012\r\n"), ":4: the key has an odd number of hex digits"},
    {LINE("a:01\nsensor"), ":2: no colon between identity and key"},
    {LINE("a:01\n:02\n"), ":2: the identity is empty"},
    {LINE("a:\n"), ":1: the key is empty"},
    {LINE("a:01 \n"), ":1: ' ' at column 5 is not a hex digit"},
    {LINE("a:01\r\r\n"), ":1: byte 0x0d at column 5 is not a hex digit"},
    {LINE("a:01\nb\0:02\n"), ":2: a NUL byte at column 2"},
    {LINE("a:01\n\0"), ":2: a NUL byte at column 1"},
    {LINE("a:01\nb:02\n#\nc:03\nb:04\n"), ":5: the identity is already on line 2"},
    {LINE("z:01\nz:01\n"), ":2: the identity is already on line 1"},
    {LINE("z:01\na:02\nz:03\na:04\na:05\nz:06\n"), ":3: the identity is already on line 1"},
    {LINE("a:01\nz:02\na:03\nz:04\na:05\nz:06\n"), ":3: the identity is already on line 1"},
    {LINE("a:01\na:02\nb:xyz\n"), ":3: 'x' at column 3 is not a hex digit"},
};

START_TEST(psk_bad_files_are_named_by_line)
{
	for (size_t i = 0; i < sizeof(bad_files) / sizeof(*bad_files); i++)
		assert_file_fails(bad_files[i].text, bad_files[i].len, bad_files[i].after_path);
}
END_TEST

START_TEST(psk_file_limits_of_a_line)
{
	char text[1024], expected[128];
	size_t max = dtls_psk_max();

	psk_table_free(read_good(text, make_line(text, 128, max), 1));
	assert_file_fails(text, make_line(text, 129, 1), ":1: the identity has 129 bytes, but 128 are the most");
	snprintf(expected, sizeof(expected), ":1: the key has %zu bytes, but mbed TLS %s takes at most %zu", max + 1,
	    MBEDTLS_VERSION_STRING, max);
	assert_file_fails(text, make_line(text, 1, max + 1), expected);
}
END_TEST

START_TEST(psk_unreadable_files)
{
	ck_assert_ptr_null(psk_file_read("/no/such/psk.txt", why, sizeof(why)));
	ck_assert_str_eq(why, "cannot read /no/such/psk.txt: No such file or directory");
	ck_assert_ptr_null(psk_file_read("/", why, sizeof(why)));
	ck_assert_str_eq(why, "cannot read /: Is a directory");
	memset(why, 'x', sizeof(why));
	ck_assert_ptr_null(psk_file_read("/", why, 8));
	ck_assert_mem_eq(why, "cannot \0x", 9);
}
END_TEST

START_TEST(psk_file_of_more_than_64_mb)
{
	int fd = new_file();
	bool grown = ftruncate(fd, PSK_FILE_MAX + 1) == 0;
	struct psk_table *t;
	char expected[320];

	close(fd);
	t = psk_file_read(path, why, sizeof(why));
	unlink(path);
	ck_assert(grown);
	ck_assert_ptr_null(t);
	snprintf(expected, sizeof(expected), "cannot read %s: more than 64 MB", path);
	ck_assert_str_eq(why, expected);
}
END_TEST

START_TEST(psk_file_through_a_pipe)
{
	static const char text[] = "a:01\nb:02\n";
	int ends[2];
	char name[32];
	struct psk_table *t;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(ends[1], text, sizeof(text) - 1), sizeof(text) - 1);
	close(ends[1]);
	snprintf(name, sizeof(name), "/dev/fd/%d", ends[0]);
	t = psk_file_read(name, why, sizeof(why));
	close(ends[0]);
	ck_assert_msg(t != NULL, "%s", why);
	ck_assert_uint_eq(psk_table_count(t), 2);
	psk_table_free(t);
}
END_TEST

START_TEST(psk_file_of_100000_lines)
{
	enum { LINES = 100000, LINE_MAX_LEN = 32 };
	char *text = malloc((size_t)LINES * LINE_MAX_LEN);
	struct psk_table *t;
	size_t len = 0;
	char name[16];

	ck_assert_ptr_nonnull(text);
	for (uint32_t i = 0; i < LINES; i++)
		len += (size_t)sprintf(text + len, "sensor-%u:%08x\n", (unsigned)i, (unsigned)i);
	t = read_good(text, len, LINES);
	free(text);
	for (uint32_t i = 0; i < LINES; i += 7) {
		uint8_t key[4] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};

		snprintf(name, sizeof(name), "sensor-%u", (unsigned)i);
		assert_key(t, name, strlen(name), key, sizeof(key));
	}
	psk_table_free(t);
}
END_TEST

Suite *psk_suite(void)
{
	Suite *s = suite_create("psk");

	TEST(s, psk_prefixes_are_different_identities);
	TEST(s, psk_thousand_entries);
	TEST(s, psk_identities_are_opaque_bytes);
	TEST(s, psk_last_added_wins);
	TEST(s, psk_copies_are_independent);
	TEST(s, psk_no_table_knows_nobody);
	TEST(s, psk_table_lives_until_its_last_reference);
	TEST(s, psk_lengths_are_judged);
	TEST(s, psk_add_refuses_lengths_and_changes_nothing);
	TEST(s, psk_good_lines);
	TEST(s, psk_bad_lines);
	TEST(s, psk_file_with_comments_and_blank_lines);
	TEST(s, psk_file_line_ends);
	TEST(s, psk_bad_files_are_named_by_line);
	TEST(s, psk_file_limits_of_a_line);
	TEST(s, psk_unreadable_files);
	TEST(s, psk_file_of_more_than_64_mb);
	TEST(s, psk_file_through_a_pipe);
	TEST(s, psk_file_of_100000_lines);
	return s;
}
