#include "cookie.h"

#include <mbedtls/platform_util.h>
#include <string.h>

/* The cookie: the secret's age in ms and the ClientHello's record sequence number, both cut, and the MAC. */
enum { AGE = 0, HELLO_SEQ = 3, MAC = 4, MAC_LEN = COOKIE_LEN - MAC };
enum { BLOCK = 16, STAGE = 16 * BLOCK };

/* AES-CBC-MAC over input that begins with its own length, which makes it prefix-free. */
struct mac {
	mbedtls_aes_context *key;
	size_t used;
	uint8_t chain[BLOCK], stage[STAGE];
};

static void mac_flush(struct mac *m)
{
	uint8_t out[STAGE];

	mbedtls_aes_crypt_cbc(m->key, MBEDTLS_AES_ENCRYPT, m->used, m->chain, m->stage, out);
	m->used = 0;
}

static void mac_add(struct mac *m, const uint8_t *p, size_t len)
{
	while (len > STAGE - m->used) {
		size_t n = STAGE - m->used;

		memcpy(m->stage + m->used, p, n);
		m->used = STAGE;
		mac_flush(m);
		p += n;
		len -= n;
	}
	memcpy(m->stage + m->used, p, len);
	m->used += len;
}

/* All lengths stand in front, the last one as a sum, which two bytes hold: a hello has at most RECORD_PLAIN_MAX. Then
 * what is always as long, which fits the stage. */
static void mac_begin(struct mac *m, struct bytes id, const struct hello *h, const uint8_t cookie[COOKIE_LEN])
{
	size_t total = id.len + h->session_id.len + h->suites.len + h->compression.len;
	uint8_t *p = put_16(m->stage, total);

	*p++ = (uint8_t)id.len;
	*p++ = (uint8_t)h->session_id.len;
	*p++ = (uint8_t)h->compression.len;
	memcpy(p, cookie, MAC);
	memcpy(p + MAC, h->version, 2);
	memcpy(p + MAC + 2, h->random, HELLO_RANDOM);
	m->used = (size_t)(p - m->stage) + MAC + 2 + HELLO_RANDOM;
	memset(m->chain, 0, sizeof(m->chain));
}

/* The cookie's MAC, for what stands before it. */
static void mac_hello(mbedtls_aes_context *key, struct bytes id, const struct hello *h, uint8_t cookie[COOKIE_LEN])
{
	static const uint8_t zeros[BLOCK];
	struct mac m;

	m.key = key;
	mac_begin(&m, id, h, cookie);
	mac_add(&m, id.at, id.len);
	mac_add(&m, h->session_id.at, h->session_id.len);
	mac_add(&m, h->suites.at, h->suites.len);
	mac_add(&m, h->compression.at, h->compression.len);
	if (m.used % BLOCK != 0)
		mac_add(&m, zeros, BLOCK - m.used % BLOCK);
	mac_flush(&m);
	memcpy(cookie + MAC, m.chain, MAC_LEN);
}

static bool new_secret(struct cookie_jar *jar, mbedtls_aes_context *key)
{
	uint8_t secret[16];
	bool ok = rng_bytes(jar->rng, secret, sizeof(secret)) == 0 &&
		  mbedtls_aes_setkey_enc(key, secret, 8 * sizeof(secret)) == 0;

	mbedtls_platform_zeroize(secret, sizeof(secret));
	return ok;
}

/* Called with the lock held. Without fresh randomness the present secret stays. */
static bool rotate(struct cookie_jar *jar, int64_t now)
{
	int64_t age = now - jar->rotated_at;

	if (jar->filled && age < COOKIE_ROTATION_MS)
		return true;
	if (!new_secret(jar, &jar->secret[!jar->current]))
		return jar->filled;
	jar->has_previous = jar->filled && age < 2 * COOKIE_ROTATION_MS;
	jar->current = !jar->current;
	jar->filled = true;
	/* When nobody asked in time the rotation was due earlier: the previous secret must not live longer for it. */
	jar->rotated_at = jar->has_previous ? jar->rotated_at + COOKIE_ROTATION_MS : now;
	return true;
}

static bool same_cookie(const uint8_t *a, const uint8_t *b)
{
	unsigned char differ = 0;

	for (size_t i = MAC; i < COOKIE_LEN; i++)
		differ |= a[i] ^ b[i];
	return differ == 0;
}

void cookie_jar_init(struct cookie_jar *jar, struct rng *rng)
{
	*jar = (struct cookie_jar){.rng = rng};
	pthread_mutex_init(&jar->lock, NULL);
	mbedtls_aes_init(&jar->secret[0]);
	mbedtls_aes_init(&jar->secret[1]);
}

void cookie_jar_free(struct cookie_jar *jar)
{
	mbedtls_aes_free(&jar->secret[0]);
	mbedtls_aes_free(&jar->secret[1]);
	pthread_mutex_destroy(&jar->lock);
}

bool cookie_make(
    struct cookie_jar *jar, int64_t now, struct bytes id, const struct hello *h, uint8_t cookie[COOKIE_LEN])
{
	bool ok;

	pthread_mutex_lock(&jar->lock);
	ok = rotate(jar, now);
	if (ok) {
		put_24(cookie + AGE, (size_t)(now - jar->rotated_at));
		cookie[HELLO_SEQ] = (uint8_t)h->record.seq;
		mac_hello(&jar->secret[jar->current], id, h, cookie);
	}
	pthread_mutex_unlock(&jar->lock);
	return ok;
}

/* Where a hello was lost or repeated in between, its client's timer would be measured with it. */
static void measure(struct hello *h, int64_t age)
{
	size_t rtt_ms = ((size_t)age - get_24(h->cookie.at + AGE)) & 0xffffff;

	if ((uint8_t)(h->record.seq - h->cookie.at[HELLO_SEQ]) == 1 && rtt_ms <= 2 * COOKIE_ROTATION_MS)
		h->rtt_ms = (int64_t)rtt_ms;
}

bool cookie_check(struct cookie_jar *jar, int64_t now, struct bytes id, struct hello *h)
{
	uint8_t expected[COOKIE_LEN];
	int64_t age = 0; /* of the secret it was made with */
	bool ok = false;

	if (h->cookie.len != COOKIE_LEN)
		return false;
	memcpy(expected, h->cookie.at, MAC);
	pthread_mutex_lock(&jar->lock);
	if (jar->filled && rotate(jar, now)) {
		mac_hello(&jar->secret[jar->current], id, h, expected);
		ok = same_cookie(expected, h->cookie.at);
		age = now - jar->rotated_at;
		if (!ok && jar->has_previous) {
			age += COOKIE_ROTATION_MS;
			mac_hello(&jar->secret[!jar->current], id, h, expected);
			ok = same_cookie(expected, h->cookie.at);
		}
	}
	pthread_mutex_unlock(&jar->lock);
	if (ok)
		measure(h, age);
	return ok;
}
