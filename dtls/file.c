#include "file.h"

#include "dtls.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/platform_util.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_SIZE = 4096 };

/* Not realloc: it would leave a copy of the keys behind. */
static bool grow(struct file *f)
{
	size_t size = f->size == 0 ? FIRST_SIZE : 2 * f->size;
	uint8_t *larger = malloc(size);

	if (larger == NULL)
		return false;
	if (f->len > 0)
		memcpy(larger, f->bytes, f->len);
	if (f->bytes != NULL)
		mbedtls_platform_zeroize(f->bytes, f->len);
	free(f->bytes);
	f->bytes = larger;
	f->size = size;
	return true;
}

/* Bytes read, 0 at the end, or -errno. Not stdio: its buffer would keep the keys. */
static ssize_t read_more(int fd, size_t max, struct file *f)
{
	ssize_t n;

	if (f->len + 1 >= f->size && !grow(f))
		return -ENOMEM;
	do
		n = read(fd, f->bytes + f->len, f->size - f->len - 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	f->len += (size_t)n;
	f->bytes[f->len] = '\0';
	return f->len > max ? -EFBIG : n;
}

static int explain(int error, const char *path, size_t max, char *why, size_t why_len)
{
	char text[64];

	if (error == EFBIG)
		snprintf(why, why_len, "cannot read %s: more than %zu MB", path, max >> 20);
	else
		snprintf(why, why_len, "cannot read %s: %s", path, strerror_r(error, text, sizeof(text)));
	return DTLS_FAIL;
}

int file_read(const char *path, size_t max, struct file *f, char *why, size_t why_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	*f = (struct file){0};
	if (fd < 0)
		return explain(errno, path, max, why, why_len);
	do
		n = read_more(fd, max, f);
	while (n > 0);
	close(fd);
	return n == 0 ? 0 : explain((int)-n, path, max, why, why_len);
}

void file_free(struct file *f)
{
	if (f->bytes != NULL)
		mbedtls_platform_zeroize(f->bytes, f->len);
	free(f->bytes);
}
