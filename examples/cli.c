#include "cli.h"

#include "dtls/dtls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static void say(const char *format, va_list args)
{
	char sentence[1024];
	int len = vsnprintf(sentence, sizeof(sentence), format, args);

	fprintf(stderr, "%s: ", program_invocation_short_name);
	if (len > 0)
		cli_print_bytes(stderr, sentence, strlen(sentence));
	fputc('\n', stderr);
}

void cli_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	exit(CLI_FAILED);
}

void cli_usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	exit(CLI_USAGE);
}

void cli_guard_standard(void)
{
	/* Reading what is only for writing fails, and the other way round, as it does with a closed descriptor. */
	static const int flags[] = {O_WRONLY, O_RDONLY, O_RDONLY};

	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", flags[fd]) != fd)
			exit(CLI_FAILED);
}

int64_t cli_number(const char *option, const char *text, int64_t min, int64_t max)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(text, &end, 10);
	if (text[strspn(text, "0123456789")] != '\0' || end == text || errno != 0 || number < min || number > max)
		cli_usage(
		    "%s takes a whole number from %" PRId64 " to %" PRId64 ", not \"%s\"", option, min, max, text);
	return number;
}

int64_t cli_seconds(const char *option, const char *text, int64_t max_s)
{
	char *end;
	double seconds = strtod(text, &end);

	if (text[strspn(text, "0123456789.")] != '\0' || end == text || *end != '\0' || seconds > (double)max_s)
		cli_usage("%s takes a number of seconds from 0 to %" PRId64 ", not \"%s\"", option, max_s, text);
	return (int64_t)(seconds * 1000 + 0.5);
}

double cli_probability(const char *option, const char *text)
{
	size_t digits = strspn(text, "0123456789.");
	bool is_percent = strcmp(text + digits, "%") == 0;
	char *end;
	double value = strtod(text, &end) / (is_percent ? 100 : 1);

	if (digits == 0 || end != text + digits || (*end != '\0' && !is_percent) || value > 1)
		cli_usage("%s takes a probability from 0 to 1, or from 0%% to 100%%, not \"%s\"", option, text);
	return value;
}

/* Cuts text into host and port; false: it has another form. */
static bool split_address(char *text, char **host, char **port)
{
	char *colon = strrchr(text, ':');

	if (colon == NULL || colon == text || colon[1] == '\0')
		return false;
	*colon = '\0';
	*host = text;
	*port = colon + 1;
	if (text[0] != '[')
		return strchr(text, ':') == NULL;
	if (colon[-1] != ']')
		return false;
	colon[-1] = '\0';
	*host = text + 1;
	return true;
}

static bool is_port(const char *text, bool to_listen)
{
	return text[strspn(text, "0123456789")] == '\0' && strlen(text) <= 5 && atoi(text) <= 65535 &&
	       atoi(text) >= (to_listen ? 0 : 1);
}

struct addrinfo *cli_resolve_all(const char *option, const char *text, bool to_listen)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = to_listen ? AI_PASSIVE : 0}, *found;
	char *copy = strdup(text), *host, *port;
	int error;

	if (copy == NULL)
		cli_fail("out of memory");
	if (!split_address(copy, &host, &port))
		cli_usage("%s takes HOST:PORT, or [ADDRESS]:PORT for IPv6, not \"%s\"", option, text);
	if (!is_port(port, to_listen))
		cli_usage(
		    "%s takes a port from %d to 65535, not \"%s\"", option, to_listen ? 0 : 1, strrchr(text, ':') + 1);
	error = getaddrinfo(host, port, &hints, &found);
	if (error != 0)
		cli_usage("%s: cannot resolve \"%s\": %s", option, host,
		    error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
	free(copy);
	return found;
}

char *cli_host(const char *text)
{
	char *copy = strdup(text), *host, *port;

	if (copy == NULL)
		cli_fail("out of memory");
	if (split_address(copy, &host, &port))
		memmove(copy, host, strlen(host) + 1);
	return copy;
}

struct cli_address cli_resolve(const char *option, const char *text, bool to_listen)
{
	struct addrinfo *found = cli_resolve_all(option, text, to_listen);
	struct cli_address address;

	memset(&address, 0, sizeof(address));
	memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
	address.len = found->ai_addrlen;
	freeaddrinfo(found);
	return address;
}

char *cli_address_text(const struct cli_address *address, char text[CLI_ADDRESS_TEXT])
{
	char host[INET6_ADDRSTRLEN + 20], port[8];

	if (getnameinfo(&address->any, address->len, host, sizeof(host), port, sizeof(port),
		NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(text, CLI_ADDRESS_TEXT, "an unknown address");
	else
		snprintf(text, CLI_ADDRESS_TEXT, address->any.sa_family == AF_INET6 ? "[%.60s]:%.5s" : "%.60s:%.5s",
		    host, port);
	return text;
}

int cli_bind(const struct cli_address *address, int type)
{
	char text[CLI_ADDRESS_TEXT];
	bool stream = (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM;
	int fd = socket(address->any.sa_family, type | SOCK_CLOEXEC, 0), on = 1;

	if (fd >= 0 && stream) /* what an earlier server's connections left behind keeps no port */
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, &address->any, address->len) != 0 || (stream && listen(fd, SOMAXCONN) != 0))
		cli_usage("cannot listen on %s: %s", cli_address_text(address, text), strerror(errno));
	return fd;
}

void cli_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

void cli_widen(int fd)
{
	int size = 4 << 20;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

void cli_announce(int fd)
{
	struct cli_address address = {.len = sizeof(address.storage)};
	char text[CLI_ADDRESS_TEXT];

	if (getsockname(fd, &address.any, &address.len) != 0)
		cli_fail("getsockname: %s", strerror(errno));
	fprintf(stderr, "listening on %s\n", cli_address_text(&address, text));
}

int cli_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGHUP);
	fd = sigprocmask(SIG_BLOCK, &set, NULL) == 0 ? signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC) : -1;
	if (fd < 0)
		cli_fail("cannot wait for signals: %s", strerror(errno));
	return fd;
}

int cli_take_signal(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

bool cli_lines_find(struct cli_lines *lines)
{
	const char *start = lines->bytes + lines->start;
	size_t len = lines->end - lines->start;
	const char *newline = memchr(start, '\n', len);

	if (newline == NULL && !(lines->at_end && (len > 0 || lines->is_cut)))
		return false;
	lines->len = newline != NULL ? (size_t)(newline - start) : len;
	return true;
}

void cli_lines_drop(struct cli_lines *lines)
{
	lines->start += lines->len;
	if (lines->start < lines->end)
		lines->start++; /* its '\n' */
	lines->is_cut = false;
	lines->line++;
}

static void make_room(struct cli_lines *lines)
{
	lines->end -= lines->start;
	memmove(lines->bytes, lines->bytes + lines->start, lines->end);
	lines->start = 0;
	if (lines->end == sizeof(lines->bytes)) {
		lines->is_cut = true;
		lines->end = 0;
	}
}

bool cli_lines_read(struct cli_lines *lines, int fd)
{
	ssize_t n;

	make_room(lines);
	n = read(fd, lines->bytes + lines->end, sizeof(lines->bytes) - lines->end);
	if (n > 0)
		lines->end += (size_t)n;
	if (n == 0)
		lines->at_end = true;
	if (n >= 0 || errno == EINTR || errno == EAGAIN)
		return true;
	lines->at_end = true;
	return false;
}

int64_t cli_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void cli_print_bytes(FILE *out, const void *bytes, size_t len)
{
	const unsigned char *byte = bytes;

	for (size_t i = 0; i < len; i++) {
		if (byte[i] >= ' ' && byte[i] <= '~')
			putc(byte[i], out);
		else
			fprintf(out, "\\x%02x", byte[i]);
	}
}

void cli_print_version(void)
{
	printf("%s %s, mbed TLS %s\n", program_invocation_short_name, dtls_version(), dtls_mbedtls_version());
}

int cli_finish(int status)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return status;
	fprintf(stderr, "%s: cannot write to standard output: %s\n", program_invocation_short_name, strerror(errno));
	return CLI_FAILED;
}
