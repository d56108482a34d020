#include "mqtt_options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const char help[] = "Usage: mqtt-psk pub HOST[:PORT] -t TOPIC [OPTION]...\n"
			   "       mqtt-psk sub HOST[:PORT] -t FILTER... [OPTION]...\n"
			   "An MQTT 3.1.1 client over TLS with a pre-shared key or with certificates: pub\n"
			   "publishes each line of standard input, sub prints each message as TOPIC TEXT.\n"
			   "PORT is 8883 where none is given; HOST may be an IPv6 address in brackets. Bytes\n"
			   "that are not printable are printed as \\xHH.\n\n"
			   "  -t, --topic=TOPIC          what to publish to; sub: what to subscribe to, may\n"
			   "                             be repeated, wildcards + and #\n"
			   "  -m, --message=TEXT         pub: publish TEXT, and nothing of standard input\n"
			   "      --qos=0|1              0 (default): at most once; 1: at least once, each\n"
			   "                             message is confirmed\n"
			   "      --retain               pub: the broker keeps the last message for later\n"
			   "                             subscribers\n"
			   "      --count=N              sub: end after N messages\n"
			   "      --client-id=ID         name of this client at the broker (default: a\n"
			   "                             random one)\n"
			   "      --user=NAME            user name\n"
			   "      --password-file=FILE   the password, on the first line of FILE\n"
			   "      --keepalive=S          seconds without traffic after which a ping asks\n"
			   "                             whether the broker is there; 0: none (default 60)\n"
			   "      --timeout=S            seconds that the connection, and then any answer,\n"
			   "                             may take (default 30)\n\n"
			   "      --psk=ID:HEX           identity and pre-shared key, the key in hex\n"
			   "      --psk-file=FILE        the same from a file\n"
			   "      --ca=FILE              CAs to verify the broker's certificate with; may be\n"
			   "                             repeated\n"
			   "      --crl=FILE             revocation lists of these CAs; may be repeated\n"
			   "      --hostname=NAME        the name in the broker's certificate (default:\n"
			   "                             HOST)\n"
			   "      --cert=FILE            certificate chain of this client, leaf first; PEM\n"
			   "                             or DER\n"
			   "      --key=FILE             its key (default: it is in the --cert file, too)\n"
			   "      --key-password-file=FILE\n"
			   "                             the password of an encrypted key, on the first line\n"
			   "                             of FILE\n"
			   "      --verify=HOW           none, or required (default): the broker's\n"
			   "                             certificate\n"
			   "      --ciphers=A,B          cipher suites by their IANA names, most wanted\n"
			   "                             first\n"
			   "      --alpn=A,B             application protocols, most wanted first (ALPN)\n"
			   "      --max-version=VERSION  1.2 (default) or 1.3, where mbed TLS has it\n"
			   "      --keylog=FILE          append the secrets of the session to FILE, for\n"
			   "                             Wireshark; the environment variable SSLKEYLOGFILE\n"
			   "                             does the same, and --keylog goes before it\n\n"
			   "  -v, --verbose              tell on standard error what happens\n"
			   "  -h, --help                 show this help\n"
			   "  -V, --version              show the version\n\n"
			   "Exits 0 when all was published (with --qos=1: and confirmed) or the subscription\n"
			   "was ended from here, 1 when something failed, 2 for a wrong command line. SIGINT\n"
			   "and SIGTERM disconnect; pub then still sends the lines that it has read. A\n"
			   "second signal ends it at once.\n\n"
			   "Example: echo 21.4 | mqtt-psk pub broker.example -t home/kitchen \\\n"
			   "             --psk-file sensor.txt --qos 1\n";

enum {
	OPTION_QOS = CLI_OWN,
	OPTION_RETAIN,
	OPTION_COUNT,
	OPTION_CLIENT_ID,
	OPTION_USER,
	OPTION_PASSWORD_FILE,
	OPTION_KEEPALIVE,
	OPTION_TIMEOUT,
	OPTION_HOSTNAME
};

static const struct option options[] = {{"topic", required_argument, NULL, 't'},
    {"message", required_argument, NULL, 'm'}, {"qos", required_argument, NULL, OPTION_QOS},
    {"retain", no_argument, NULL, OPTION_RETAIN}, {"count", required_argument, NULL, OPTION_COUNT},
    {"client-id", required_argument, NULL, OPTION_CLIENT_ID}, {"user", required_argument, NULL, OPTION_USER},
    {"password-file", required_argument, NULL, OPTION_PASSWORD_FILE},
    {"keepalive", required_argument, NULL, OPTION_KEEPALIVE}, {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"hostname", required_argument, NULL, OPTION_HOSTNAME}, {"psk", required_argument, NULL, CLI_PSK},
    {"psk-file", required_argument, NULL, CLI_PSK_FILE}, {"cert", required_argument, NULL, CLI_CERT},
    {"key", required_argument, NULL, CLI_KEY}, {"key-password-file", required_argument, NULL, CLI_KEY_PASSWORD_FILE},
    {"ca", required_argument, NULL, CLI_CA}, {"crl", required_argument, NULL, CLI_CRL},
    {"verify", required_argument, NULL, CLI_VERIFY}, {"ciphers", required_argument, NULL, CLI_CIPHERS},
    {"alpn", required_argument, NULL, CLI_ALPN}, {"max-version", required_argument, NULL, CLI_MAX_VERSION},
    {"keylog", required_argument, NULL, CLI_KEYLOG}, {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};

static struct mqtt_bytes bytes_of(const char *text)
{
	return (struct mqtt_bytes){(const uint8_t *)text, strlen(text)};
}

/* A string that the broker would not take ends the program. */
static struct mqtt_bytes string_of(const char *option, const char *text)
{
	const char *why = mqtt_bad_string(bytes_of(text));

	if (why != NULL)
		cli_usage("%s: the text %s", option, why);
	return bytes_of(text);
}

static void add_topic(struct mqtt_options *o, const char *text)
{
	if (o->topic_count == MQTT_FILTERS_MAX)
		cli_usage("--topic is given more than %d times", MQTT_FILTERS_MAX);
	o->topics[o->topic_count++] = bytes_of(text);
}

/* The first line; a password is any bytes (3.1.3.5). */
static void read_password(struct mqtt_options *o, const char *path)
{
	struct cli_file *file = &o->password_file;
	const char *newline;

	if (o->connect.has_password)
		cli_usage("--password-file is given twice");
	if (!cli_file_read(path, file))
		cli_usage("cannot read %s: %s", path, strerror(errno));
	newline = memchr(file->bytes, '\n', file->len);
	o->connect.password = (struct mqtt_bytes){
	    (const uint8_t *)file->bytes, newline != NULL ? (size_t)(newline - file->bytes) : file->len};
	if (o->connect.password.len > MQTT_STRING_MAX)
		cli_usage("%s: the password is longer than %d bytes", path, MQTT_STRING_MAX);
	o->connect.has_password = true;
}

static void read_option(struct mqtt_options *o, int option, char *value)
{
	switch (option) {
	case 't':
		add_topic(o, value);
		break;
	case 'm':
		o->message = value;
		break;
	case 'v':
		o->verbose = true;
		break;
	case OPTION_QOS:
		if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
			cli_usage("--qos takes 0 or 1, not \"%s\"; QoS 2 is not supported", value);
		o->qos = (uint8_t)(*value - '0');
		break;
	case OPTION_RETAIN:
		o->retain = true;
		break;
	case OPTION_COUNT:
		o->count = (uint64_t)cli_number("--count", value, 1, INT64_MAX);
		break;
	case OPTION_CLIENT_ID:
		o->connect.client_id = string_of("--client-id", value);
		break;
	case OPTION_USER:
		o->connect.user = string_of("--user", value);
		o->connect.has_user = true;
		break;
	case OPTION_PASSWORD_FILE:
		read_password(o, value);
		break;
	case OPTION_KEEPALIVE:
		o->connect.keepalive_s = (uint16_t)cli_number("--keepalive", value, 0, UINT16_MAX);
		break;
	case OPTION_TIMEOUT:
		o->timeout_ms = cli_seconds("--timeout", value, 86400);
		break;
	case OPTION_HOSTNAME:
		o->hostname = value;
		break;
	default:
		cli_dtls_option(&o->dtls, option, value);
	}
}

/* ---- all of them ---- */

/* Letters and digits, at most 23: every broker takes that (3.1.3.1). */
static void make_client_id(struct mqtt_options *o)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		cli_fail("no randomness for a client identifier: %s", strerror(errno));
	snprintf(o->client_id, sizeof(o->client_id), "mqttpsk%016" PRIx64, random);
	o->connect.client_id = bytes_of(o->client_id);
}

/* HOST and [ADDRESS] get the registered port of MQTT over TLS. */
static char *with_port(const char *text)
{
	bool has_port = text[0] == '[' ? strstr(text, "]:") != NULL : strchr(text, ':') != NULL;
	char *broker;

	if (asprintf(&broker, "%s%s", text, has_port ? "" : ":8883") < 0)
		cli_fail("out of memory");
	return broker;
}

static void judge_topics(const struct mqtt_options *o)
{
	if (o->topic_count == 0)
		cli_usage(
		    "no topic is given: say %s with -t", o->publishes ? "where to publish" : "what to subscribe to");
	if (o->publishes && o->topic_count > 1)
		cli_usage("pub takes one topic, and %zu are given", o->topic_count);
	for (size_t i = 0; i < o->topic_count; i++) {
		const char *why = o->publishes ? mqtt_bad_topic(o->topics[i]) : mqtt_bad_filter(o->topics[i]);

		if (why != NULL)
			cli_usage("the topic \"%.*s\" %s", (int)o->topics[i].len, o->topics[i].start, why);
	}
}

static void judge(const struct mqtt_options *o)
{
	judge_topics(o);
	if (!o->publishes && (o->message != NULL || o->retain))
		cli_usage("%s is for pub, not for sub", o->message != NULL ? "--message" : "--retain");
	if (o->publishes && o->count > 0)
		cli_usage("--count is for sub, not for pub");
	if (o->connect.has_password && !o->connect.has_user) /* 3.1.2.9 */
		cli_usage("--password-file needs --user: MQTT has no password without a user name");
	if (o->timeout_ms == 0)
		cli_usage("--timeout takes more than 0 seconds");
}

static void read_arguments(struct mqtt_options *o, int count, char **arguments)
{
	static const char usage[] = "say pub or sub, and the broker: mqtt-psk pub HOST[:PORT] -t TOPIC";

	if (count == 0)
		cli_usage("no command is given: %s", usage);
	o->publishes = strcmp(arguments[0], "pub") == 0;
	if (!o->publishes && strcmp(arguments[0], "sub") != 0)
		cli_usage("\"%s\" is no command: %s", arguments[0], usage);
	if (count == 1)
		cli_usage("no broker is given: say where it is with HOST or HOST:PORT");
	if (count > 2)
		cli_usage("\"%s\" is one argument too many", arguments[2]);
	o->broker = with_port(arguments[1]);
}

/* Certificates are verified for a name; with a pre-shared key only the name that was asked for is sent (SNI). */
static void choose_hostname(struct mqtt_options *o)
{
	if (o->hostname != NULL)
		o->hostname = strdup(o->hostname);
	else if (cli_dtls_by_certificate(&o->dtls))
		o->hostname = cli_host(o->broker);
}

bool mqtt_options_read(struct mqtt_options *o, int argc, char **argv)
{
	int option;

	o->timeout_ms = 30000;
	o->connect.keepalive_s = 60;
	o->dtls.tls = true;
	make_client_id(o);
	while ((option = getopt_long(argc, argv, "t:m:vhV", options, NULL)) != -1) {
		if (option == '?')
			exit(CLI_USAGE);
		if (option == 'h')
			printf("%s", help);
		else if (option == 'V')
			cli_print_version();
		else
			read_option(o, option, optarg);
		if (option == 'h' || option == 'V')
			return false;
	}
	read_arguments(o, argc - optind, argv + optind);
	judge(o);
	choose_hostname(o);
	cli_dtls_apply(&o->dtls, o->hostname);
	return true;
}

void mqtt_options_free(struct mqtt_options *o)
{
	cli_dtls_free(&o->dtls);
	cli_file_free(&o->password_file);
	free(o->broker);
	free(o->hostname);
}
