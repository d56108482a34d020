#include "lab_wire.h"

#include "cli.h"
#include "lab.h"
#include "lab_options.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { OPTION_PEER = CLI_OWN, OPTION_SERVER, OPTION_CLIENT, OPTION_NAME };
enum { OPTION_LOSS = CLI_OWN + 16, OPTION_RUNS, OPTION_JOBS, OPTION_CAP };

static const char help[] = "Usage: dtls-lab wire --peer=NAME[,NAME]... [OPTION]...\n"
			   "       dtls-lab wire --server=COMMAND --client=COMMAND [OPTION]...\n"
			   "Runs many handshakes of programs in real time through dtls-relay, and tells how\n"
			   "long they took. Each handshake has a server, a relay and a client of its own.\n\n"
			   "      --peer=NAME         self, openssl or gnutls: their own client and server,\n"
			   "                          with a pre-shared key and AES-128-CCM-8, without\n"
			   "                          session tickets; several with commas between, or\n"
			   "                          repeated\n"
			   "      --server=COMMAND    what to compare with them, or alone: commands for sh,\n"
			   "                          in which {port} stands for a port of 127.0.0.1,\n"
			   "      --client=COMMAND    for the server to listen on, or for the client to\n"
			   "                          connect to; the server's may be all addresses'\n"
			   "      --name=NAME         what these two are called (default custom)\n"
			   "      --loss=LIST         percent of the datagrams that are lost, each way\n"
			   "                          (default 0,10,20,30)\n"
			   "      --runs=N            handshakes of each pair at each loss rate\n"
			   "                          (default 300)\n"
			   "      --cap=SECONDS       a handshake that is not done by then has failed\n"
			   "                          (default 60)\n"
			   "      --jobs=N            as many at once, at most (default: 50 for each core);\n"
			   "                          they start only as fast as takes a quarter of the\n"
			   "                          processors, so that they do not wait for each other\n";

static const char more_help[] = "  -h, --help              show this help\n\n"
				"P is a probability such as 0.2 or 20%; in LIST, plain numbers are percent. The\n"
				"nth run has the same weather for each pair and at each loss rate: it depends on\n"
				"--seed and n alone, and is that of dtls-lab sweep. --csv and --json name for\n"
				"each row the worst run's seed, with which dtls-relay and dtls-lab trace make\n"
				"this weather again.\n\n"
				"A handshake lasts, by the relay's clock, from the client's first datagram to its\n"
				"first application data, which a DTLS 1.2 client sends when it has verified the\n"
				"server's Finished: this is the same for all programs, whatever they take to\n"
				"start. So that there is data to send, clients have one line, hello, on their\n"
				"standard input, and no end of it; those that do not read it must send something\n"
				"else. Both programs must stay in the foreground.\n\n"
				"Median and 90th percentile take a failure for one of --cap; they, and the\n"
				"success share in --csv and --json, come with a 95 % interval (percentile\n"
				"bootstrap over the runs). Then all pairs are compared, run by run. Datagrams are\n"
				"means, until the client is connected. SIGINT ends the sweep, with the results so\n"
				"far.\n\n"
				"Examples: dtls-lab wire --peer self,openssl,gnutls --runs 100 --plot stacks.svg\n"
				"          dtls-lab wire --loss 0,20 --server './my-server {port}' \\\n"
				"              --client './my-client 127.0.0.1 {port}'\n";

/* ---- pairs ---- */

#define IDENTITY "Client_identity" /* which s_server expects */
#define KEY      "73656372657450534b"
#define GNUTLS   "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+PSK:-CIPHER-ALL:+AES-128-CCM-8:%NO_TICKETS"

/* {key}: the file with the pre-shared key. {cap}: seconds. */
static const struct wire_pair presets[] = {
    {.name = "self",
	.server = "exec \"$DTLS_LAB_BIN/dtls-server\" -q -l 127.0.0.1:{port} --psk-file {key} --ciphers " LAB_PSK_SUITE,
	.client = "exec \"$DTLS_LAB_BIN/dtls-client\" 127.0.0.1:{port} --psk-file {key} --timeout {cap}"},
    {.name = "openssl",
	.server = "exec openssl s_server -dtls1_2 -quiet -no_ticket -accept 127.0.0.1:{port} -nocert -psk " KEY
		  " -cipher PSK-AES128-CCM8:@SECLEVEL=0",
	.client = "exec openssl s_client -dtls1_2 -quiet -no_ticket -connect 127.0.0.1:{port} -psk_identity " IDENTITY
		  " -psk " KEY " -cipher PSK-AES128-CCM8:@SECLEVEL=0"},
    {.name = "gnutls",
	.server = "exec gnutls-serv --udp --quiet --echo -p {port} --pskpasswd {key} --priority " GNUTLS,
	.client = "exec gnutls-cli --udp -p {port} --pskusername " IDENTITY " --pskkey " KEY " --priority " GNUTLS
		  " 127.0.0.1"},
};

enum { PRESETS = sizeof(presets) / sizeof(*presets) };

/* Where mark is not part of it, a copy. */
static char *replace(const char *text, const char *mark, const char *value)
{
	const char *at = strstr(text, mark);
	char *result = NULL;

	if (at == NULL)
		return lab_must(strdup(text));
	if (asprintf(&result, "%.*s%s%s", (int)(at - text), text, value, at + strlen(mark)) < 0)
		cli_fail("out of memory");
	return result;
}

static void add_pair(struct wire *wire, const char *name, const char *server, const char *client)
{
	for (size_t i = 0; i < wire->pair_count; i++)
		if (strcmp(wire->pairs[i].name, name) == 0)
			cli_usage("%s is to be measured twice", name);
	if (wire->pair_count == WIRE_PAIRS)
		cli_usage("%d are the most that can be compared", WIRE_PAIRS);
	wire->pairs[wire->pair_count++] = (struct wire_pair){.name = name, .server = server, .client = client};
}

static void add_peers(struct wire *wire, char *list)
{
	char *name;

	while ((name = strsep(&list, ",")) != NULL) {
		int i = 0;

		while (i < PRESETS && strcmp(presets[i].name, name) != 0)
			i++;
		if (i == PRESETS)
			cli_usage("--peer takes self, openssl and gnutls with commas between, not \"%s\"", name);
		add_pair(wire, presets[i].name, presets[i].server, presets[i].client);
	}
}

/* The one that was not there before. */
static void add_custom(struct wire *wire, const struct wire_pair *custom)
{
	if (custom->server == NULL && custom->client == NULL) {
		if (custom->name != NULL)
			cli_usage("--name is for --server and --client, which are missing");
		return;
	}
	if (custom->server == NULL || custom->client == NULL)
		cli_usage("--server and --client go together: the %s's command is missing",
		    custom->server == NULL ? "server" : "client");
	if (strstr(custom->server, "{port}") == NULL || strstr(custom->client, "{port}") == NULL)
		cli_usage("the command of the %s has no {port}, which stands for its port",
		    strstr(custom->server, "{port}") == NULL ? "server" : "client");
	add_pair(wire, custom->name != NULL ? custom->name : "custom", custom->server, custom->client);
}

/* A file for as long as the lab lives. */
static const char *key_file(void)
{
	static const char line[] = IDENTITY ":" KEY "\n";
	static char path[64];
	int fd = memfd_create("psk", MFD_CLOEXEC);

	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		cli_fail("cannot make the file of keys: %s", strerror(errno));
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), fd);
	return path;
}

/* The presets' own marks. Their programs give up after the lab does. */
static void fill_in(struct wire *wire)
{
	const char *key = NULL;
	char cap[24];

	snprintf(cap, sizeof(cap), "%d", (int)(wire->cap_ms / 1000) + 2);
	for (size_t i = 0; i < wire->pair_count; i++) {
		struct wire_pair *pair = &wire->pairs[i];
		char *client;

		if (strstr(pair->server, "{key}") == NULL)
			continue;
		key = key != NULL ? key : key_file();
		pair->server = replace(pair->server, "{key}", key);
		client = replace(pair->client, "{key}", key);
		pair->client = replace(client, "{cap}", cap);
		free(client);
	}
}

/* ---- the command line ---- */

/* The other programs are beside this one. */
static void find_programs(struct wire *wire)
{
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash, *relay;

	path[len > 0 ? len : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash == NULL)
		cli_fail("cannot tell where this program is: /proc is missing");
	*slash = '\0';
	if (setenv("DTLS_LAB_BIN", path, 1) != 0 || asprintf(&relay, "%s/dtls-relay", path) < 0)
		cli_fail("out of memory");
	if (access(relay, X_OK) != 0)
		cli_usage("cannot run %s: %s", relay, strerror(errno));
	wire->relay = relay;
}

struct request { /* the command line */
	struct wire *wire;
	struct lab_options options;
	struct wire_pair custom;
};

static void set_option(struct request *r, int option, char *value)
{
	switch (option) {
	case OPTION_PEER:
		add_peers(r->wire, value);
		break;
	case OPTION_SERVER:
		r->custom.server = value;
		break;
	case OPTION_CLIENT:
		r->custom.client = value;
		break;
	case OPTION_NAME:
		r->custom.name = value;
		break;
	case OPTION_LOSS:
		lab_losses_parse(&r->wire->losses, "--loss", value);
		break;
	case OPTION_RUNS:
		r->wire->runs = (size_t)cli_number("--runs", value, 1, WIRE_RUNS);
		break;
	case OPTION_JOBS:
		r->wire->jobs = (int)cli_number("--jobs", value, 1, WIRE_JOBS);
		break;
	case OPTION_CAP:
		r->wire->cap_ms = cli_seconds("--cap", value, 3600);
		break;
	case LAB_CSV:
	case LAB_JSON:
	case LAB_PLOT:
		lab_output_option(&r->wire->output, option, value);
		break;
	case 'h':
		printf("%s%s%s%s", help, lab_link_help, lab_output_help, more_help);
		exit(cli_finish(EXIT_SUCCESS));
	default:
		lab_option(&r->options, option, value);
	}
}

static void parse(struct wire *wire, int argc, char **argv)
{
	static const struct option known[] = {LAB_LINK_OPTIONS, LAB_OUTPUT_OPTIONS,
	    {"peer", required_argument, NULL, OPTION_PEER}, {"server", required_argument, NULL, OPTION_SERVER},
	    {"client", required_argument, NULL, OPTION_CLIENT}, {"name", required_argument, NULL, OPTION_NAME},
	    {"loss", required_argument, NULL, OPTION_LOSS}, {"runs", required_argument, NULL, OPTION_RUNS},
	    {"jobs", required_argument, NULL, OPTION_JOBS}, {"cap", required_argument, NULL, OPTION_CAP},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct request request = {.wire = wire, .options = lab_defaults};
	char losses[] = "0,10,20,30";

	lab_losses_parse(&wire->losses, "--loss", losses);
	for (int option; (option = getopt_long(argc, argv, "h", known, NULL)) != -1;)
		set_option(&request, option, optarg);
	if (optind < argc)
		cli_usage("unexpected argument \"%s\"; see dtls-lab wire --help", argv[optind]);
	fill_in(wire);
	add_custom(wire, &request.custom);
	if (wire->pair_count == 0)
		cli_usage(
		    "--peer, or --server and --client, are missing: what is to be measured; see dtls-lab wire --help");
	if (wire->cap_ms == 0)
		cli_usage("--cap takes more than 0 seconds");
	wire->weather = request.options.weather;
	wire->seed = request.options.seed;
}

int lab_wire(int argc, char **argv)
{
	static struct wire wire = {.runs = 300, .cap_ms = 60000};
	int status, told = EXIT_SUCCESS;

	parse(&wire, argc, argv);
	find_programs(&wire);
	lab_output_open(&wire.output);
	wire.results = lab_must(calloc(wire_cell_count(&wire) * wire.runs, sizeof(*wire.results)));
	status = wire_sweep(&wire);
	if (wire.done > 0)
		told = wire_tell(&wire);
	free(wire.results);
	return status != EXIT_SUCCESS ? status : told;
}
