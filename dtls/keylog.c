#include "keylog.h"

#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <string.h>

enum { LABEL_MAX = 40, RANDOM = 32, SECRET_MAX = 64 };

static char *put_hex(char *at, const unsigned char *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*at++ = digits[bytes[i] >> 4];
		*at++ = digits[bytes[i] & 15];
	}
	return at;
}

void keylog_secret(void *settings, const char *label, const unsigned char client_random[RANDOM],
    const unsigned char *secret, size_t len)
{
	const struct settings *s = settings;
	char line[LABEL_MAX + 1 + 2 * RANDOM + 1 + 2 * SECRET_MAX + 1];
	char *at = line + snprintf(line, LABEL_MAX, "%s ", label);

	if (len > SECRET_MAX)
		return;
	at = put_hex(at, client_random, RANDOM);
	*at++ = ' ';
	*put_hex(at, secret, len) = '\0';
	s->opt.keylog(s->opt.keylog_arg, line);
	mbedtls_platform_zeroize(line, sizeof(line));
}
