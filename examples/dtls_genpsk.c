/* dtls-genpsk - random pre-shared keys as identity:hexkey lines, the form of a PSK file. */
#include "cli.h"

#include "dtls/dtls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Up to 256 random bytes come whole or not at all: getrandom(2). */
enum { DEFAULT_BYTES = 16, MIN_BYTES = 16, MAX_BYTES = 256 };

static void help(size_t max)
{
	printf("Usage: dtls-genpsk [-b BYTES] IDENTITY...\n"
	       "Prints an identity:hexkey line with a random key for each IDENTITY, as PSK files\n"
	       "have them.\n\n"
	       "  -b, --bytes=BYTES  length of the keys, %d to %zu (default %d)\n"
	       "  -h, --help         show this help\n"
	       "  -V, --version      show the version\n\n"
	       "Example: dtls-genpsk sensor-17 >>psk.txt\n",
	    MIN_BYTES, max, DEFAULT_BYTES);
}

static void check_identity(const char *identity)
{
	size_t len = strlen(identity);

	if (len == 0)
		cli_usage("an identity must not be empty");
	if (len > DTLS_PSK_IDENTITY_MAX)
		cli_usage("an identity has %zu bytes, but %d are the most", len, DTLS_PSK_IDENTITY_MAX);
	if (strpbrk(identity, "\r\n") != NULL)
		cli_usage("identity \"%s\" has a line break, which a PSK file cannot hold", identity);
	if (identity[0] == '#')
		cli_usage("identity \"%s\" begins with '#': its line would be a comment in a PSK file", identity);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A PSK file that has an identity twice is refused as a whole. */
static void check_distinct(char *const identities[], size_t count)
{
	char **sorted = calloc(count, sizeof(*sorted));

	if (sorted == NULL)
		cli_fail("out of memory");
	memcpy(sorted, identities, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_text);
	for (size_t i = 1; i < count; i++) {
		if (strcmp(sorted[i - 1], sorted[i]) == 0)
			cli_usage("identity \"%s\" is given twice", sorted[i]);
	}
	free(sorted);
}

static void random_bytes(unsigned char *bytes, size_t len)
{
	ssize_t n;

	do
		n = getrandom(bytes, len, 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)len)
		cli_fail("cannot get random bytes: %s", strerror(errno));
}

static void print_key(const char *identity, size_t key_len)
{
	unsigned char key[MAX_BYTES];

	random_bytes(key, key_len);
	printf("%s:", identity);
	for (size_t i = 0; i < key_len; i++)
		printf("%02x", key[i]);
	putchar('\n');
	explicit_bzero(key, sizeof(key));
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"bytes", required_argument, NULL, 'b'},
	    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
	size_t max = dtls_psk_max() < MAX_BYTES ? dtls_psk_max() : MAX_BYTES, key_len = DEFAULT_BYTES;
	int option;

	while ((option = getopt_long(argc, argv, "b:hV", options, NULL)) != -1) {
		switch (option) {
		case 'b':
			key_len = (size_t)cli_number("--bytes", optarg, MIN_BYTES, (int64_t)max);
			break;
		case 'h':
			help(max);
			return cli_finish(EXIT_SUCCESS);
		case 'V':
			cli_print_version();
			return cli_finish(EXIT_SUCCESS);
		default:
			return CLI_USAGE;
		}
	}
	if (optind == argc)
		cli_usage("no identity is given; see dtls-genpsk --help");
	for (int i = optind; i < argc; i++)
		check_identity(argv[i]);
	check_distinct(argv + optind, (size_t)(argc - optind));
	for (int i = optind; i < argc; i++)
		print_key(argv[i], key_len);
	return cli_finish(EXIT_SUCCESS);
}
