#include "psk.h"

#include "file.h"

#include <assert.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	uint32_t at; /* of the identity in bytes, the key follows; grows from entry to entry until they are sorted */
	uint32_t line; /* of the file; 0 where there is none */
	uint8_t identity_len, key_len;
};

struct psk_table {
	atomic_uint refs;
	bool sealed;
	struct entry *entries;
	size_t count, room;
	uint8_t *bytes;
	size_t used, size;
};

struct psk_table *psk_table_new(void)
{
	struct psk_table *t = calloc(1, sizeof(*t));

	if (t != NULL)
		atomic_init(&t->refs, 1);
	return t;
}

struct psk_table *psk_table_ref(struct psk_table *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

static void wipe_free(uint8_t *bytes, size_t used)
{
	if (bytes != NULL)
		mbedtls_platform_zeroize(bytes, used);
	free(bytes);
}

void psk_table_free(struct psk_table *t)
{
	if (t == NULL || atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	wipe_free(t->bytes, t->used);
	free(t->entries);
	free(t);
}

/* What realloc() does, except that it leaves no keys behind in memory that it gives back. */
static bool grow_bytes(uint8_t **bytes, size_t used, size_t *size, size_t wanted)
{
	uint8_t *p;

	if (wanted <= *size)
		return true;
	wanted = wanted > 2 * *size ? wanted : 2 * *size;
	p = malloc(wanted);
	if (p == NULL)
		return false;
	if (used > 0)
		memcpy(p, *bytes, used);
	wipe_free(*bytes, used);
	*bytes = p;
	*size = wanted;
	return true;
}

static bool grow_entries(struct psk_table *t, size_t wanted)
{
	struct entry *p;

	if (wanted <= t->room)
		return true;
	wanted = wanted > 2 * t->room ? wanted : 2 * t->room;
	p = reallocarray(t->entries, wanted, sizeof(*p));
	if (p == NULL)
		return false;
	t->entries = p;
	t->room = wanted;
	return true;
}

static bool lengths_allowed(size_t identity_len, size_t key_len)
{
	return identity_len >= 1 && identity_len <= DTLS_PSK_IDENTITY_MAX && key_len >= 1 &&
	       key_len <= MBEDTLS_PSK_MAX_LEN;
}

int psk_table_add(struct psk_table *t, const void *identity, size_t identity_len, const void *key, size_t key_len)
{
	size_t len = identity_len + key_len;

	assert(!t->sealed);
	if (!lengths_allowed(identity_len, key_len) || len > UINT32_MAX - t->used)
		return DTLS_FAIL;
	if (!grow_bytes(&t->bytes, t->used, &t->size, t->used + len) || !grow_entries(t, t->count + 1))
		return DTLS_FAIL;
	t->entries[t->count++] =
	    (struct entry){.at = (uint32_t)t->used, .identity_len = (uint8_t)identity_len, .key_len = (uint8_t)key_len};
	memcpy(t->bytes + t->used, identity, identity_len);
	memcpy(t->bytes + t->used + identity_len, key, key_len);
	t->used += len;
	return 0;
}

struct psk_table *psk_table_copy(const struct psk_table *from)
{
	struct psk_table *t = psk_table_new();

	if (t == NULL)
		return NULL;
	for (size_t i = 0; i < from->count; i++) {
		const struct entry *e = &from->entries[i];
		const uint8_t *identity = from->bytes + e->at;

		if (psk_table_add(t, identity, e->identity_len, identity + e->identity_len, e->key_len) != 0) {
			psk_table_free(t);
			return NULL;
		}
	}
	return t;
}

/* ---- sorting and finding */

static int compare_identities(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare_entries(const struct psk_table *t, const struct entry *a, const struct entry *b)
{
	return compare_identities(t->bytes + a->at, a->identity_len, t->bytes + b->at, b->identity_len);
}

static int by_identity_then_age(const void *a, const void *b, void *table)
{
	const struct entry *x = a, *y = b;
	int order = compare_entries(table, x, y);

	return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

static void sort(struct psk_table *t)
{
	if (t->count > 1)
		qsort_r(t->entries, t->count, sizeof(*t->entries), by_identity_then_age, t);
}

static void drop_replaced(struct psk_table *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->count; i++) {
		struct entry *e = &t->entries[i];

		if (i + 1 < t->count && compare_entries(t, e, e + 1) == 0)
			mbedtls_platform_zeroize(t->bytes + e->at + e->identity_len, e->key_len);
		else
			t->entries[kept++] = *e;
	}
	t->count = kept;
}

int psk_table_seal(struct psk_table *t)
{
	if (!t->sealed) {
		sort(t);
		drop_replaced(t);
		t->sealed = true;
	}
	return 0;
}

const uint8_t *psk_table_find(const struct psk_table *t, const void *identity, size_t identity_len, size_t *key_len)
{
	size_t low = 0, high = t != NULL ? t->count : 0;

	assert(t == NULL || t->sealed);
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct entry *e = &t->entries[middle];
		int order = compare_identities(identity, identity_len, t->bytes + e->at, e->identity_len);

		if (order == 0) {
			*key_len = e->key_len;
			return t->bytes + e->at + e->identity_len;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const uint8_t *psk_identity_of(const uint8_t *key, size_t identity_len)
{
	return key - identity_len;
}

size_t psk_table_count(const struct psk_table *t)
{
	return t != NULL ? t->count : 0;
}

const uint8_t *psk_table_identity(const struct psk_table *t, size_t index, size_t *len)
{
	const struct entry *e = &t->entries[index];

	*len = e->identity_len;
	return t->bytes + e->at;
}

/* ---- judging and parsing */

size_t dtls_psk_max(void)
{
	return MBEDTLS_PSK_MAX_LEN;
}

const char *psk_check(size_t identity_len, size_t key_len, char *why, size_t why_len)
{
	if (lengths_allowed(identity_len, key_len))
		return NULL;
	if (identity_len == 0)
		snprintf(why, why_len, "the identity is empty");
	else if (identity_len > DTLS_PSK_IDENTITY_MAX)
		snprintf(why, why_len, "the identity has %zu bytes, but %d are the most", identity_len,
		    DTLS_PSK_IDENTITY_MAX);
	else if (key_len == 0)
		snprintf(why, why_len, "the key is empty");
	else
		snprintf(why, why_len, "the key has %zu bytes, but mbed TLS %s takes at most %d", key_len,
		    MBEDTLS_VERSION_STRING, MBEDTLS_PSK_MAX_LEN);
	return why;
}

/* -1: not a hex digit. */
static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool check_hex(const char *hex, size_t len, size_t first_column, char *why, size_t why_len)
{
	for (size_t i = 0; i < len; i++) {
		if (hex_value(hex[i]) >= 0)
			continue;
		if (hex[i] >= ' ' && hex[i] <= '~')
			snprintf(why, why_len, "'%c' at column %zu is not a hex digit", hex[i], first_column + i);
		else
			snprintf(why, why_len, "byte 0x%02x at column %zu is not a hex digit", (unsigned char)hex[i],
			    first_column + i);
		return false;
	}
	if (len % 2 != 0)
		snprintf(why, why_len, "the key has an odd number of hex digits");
	return len % 2 == 0;
}

static int add_hex(struct psk_table *t, const char *identity, size_t identity_len, const char *hex, size_t key_len)
{
	uint8_t key[MBEDTLS_PSK_MAX_LEN];
	int status;

	for (size_t i = 0; i < key_len; i++)
		key[i] = (uint8_t)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
	status = psk_table_add(t, identity, identity_len, key, key_len);
	mbedtls_platform_zeroize(key, sizeof(key));
	return status;
}

int psk_parse_line(const char *line, size_t len, struct psk_table *t, char *why, size_t why_len)
{
	const char *nul = memchr(line, '\0', len), *colon = memrchr(line, ':', len);
	size_t identity_len, hex_len;

	if (nul != NULL) {
		snprintf(why, why_len, "a NUL byte at column %zu", (size_t)(nul - line) + 1);
		return DTLS_FAIL;
	}
	if (colon == NULL) {
		snprintf(why, why_len, "no colon between identity and key");
		return DTLS_FAIL;
	}
	identity_len = (size_t)(colon - line);
	hex_len = len - identity_len - 1;
	if (!check_hex(colon + 1, hex_len, identity_len + 2, why, why_len) ||
	    psk_check(identity_len, hex_len / 2, why, why_len) != NULL)
		return DTLS_FAIL;
	if (add_hex(t, line, identity_len, colon + 1, hex_len / 2) == 0)
		return 0;
	snprintf(why, why_len, "out of memory");
	return DTLS_FAIL;
}

/* ---- files */

static bool is_skipped(const char *line, size_t len)
{
	size_t i = 0;

	if (len > 0 && line[0] == '#')
		return true;
	while (i < len && (line[i] == ' ' || (line[i] >= '\t' && line[i] <= '\r')))
		i++;
	return i == len;
}

/* 0, or the number of the first bad line. */
static uint32_t parse_text(const struct file *text, struct psk_table *t, char *why, size_t why_len)
{
	const char *p = (const char *)text->bytes, *end = p + text->len;

	for (uint32_t line = 1; p < end; line++) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((newline != NULL ? newline : end) - p);
		size_t shown = len > 0 && p[len - 1] == '\r' ? len - 1 : len;

		if (!is_skipped(p, shown)) {
			if (psk_parse_line(p, shown, t, why, why_len) != 0)
				return line;
			t->entries[t->count - 1].line = line;
		}
		p = newline != NULL ? newline + 1 : end;
	}
	return 0;
}

/* 0, or the number of the first line whose identity an earlier line has. */
static uint32_t find_duplicate(struct psk_table *t, char *why, size_t why_len)
{
	uint32_t first = 0;

	sort(t);
	for (size_t i = 1; i < t->count; i++) {
		const struct entry *e = &t->entries[i];

		if (compare_entries(t, e - 1, e) != 0 || (first != 0 && e->line > first))
			continue;
		first = e->line;
		snprintf(why, why_len, "the identity is already on line %u", (unsigned)e[-1].line);
	}
	return first;
}

static bool fill_from_text(struct psk_table *t, const char *path, const struct file *text, char *why, size_t why_len)
{
	char clause[128];
	uint32_t line = parse_text(text, t, clause, sizeof(clause));

	if (line == 0)
		line = find_duplicate(t, clause, sizeof(clause));
	if (line != 0)
		snprintf(why, why_len, "%s:%u: %s", path, (unsigned)line, clause);
	else if (t->count == 0)
		snprintf(why, why_len, "%s has no keys", path);
	return line == 0 && t->count > 0 && psk_table_seal(t) == 0;
}

struct psk_table *psk_file_read(const char *path, char *why, size_t why_len)
{
	struct psk_table *t = psk_table_new();
	struct file file = {0};
	bool ok = false;

	if (t == NULL)
		snprintf(why, why_len, "cannot read %s: out of memory", path);
	else if (file_read(path, PSK_FILE_MAX, &file, why, why_len) == 0)
		ok = fill_from_text(t, path, &file, why, why_len);
	file_free(&file);
	if (ok)
		return t;
	psk_table_free(t);
	return NULL;
}
