/* dtls-lab - handshakes on lossy links: many of them, one in detail, all ways to lose, or any two programs' on the wire. */
#include "cli.h"
#include "lab.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name, *what;
	int (*run)(int argc, char **argv);
} commands[] = {
    {"sweep", "thousands of handshakes in virtual time: what they take at which loss", lab_sweep},
    {"trace", "one handshake in virtual time, as a diagram", lab_trace},
    {"masks", "every way to lose some of the first datagrams", lab_masks},
    {"growth", "what is sent again when the delay grows in the middle", lab_growth},
    {"wire", "handshakes of any two programs in real time, through the relay", lab_wire},
};

enum { COMMANDS = sizeof(commands) / sizeof(*commands) };

static int help(void)
{
	puts("Usage: dtls-lab COMMAND [OPTION]...\nMeasures DTLS handshakes on lossy links.\n");
	for (int i = 0; i < COMMANDS; i++)
		printf("  %-7s %s\n", commands[i].name, commands[i].what);
	puts("\n  -h, --help     show this help; COMMAND --help shows the command's\n"
	     "  -V, --version  show the version\n\n"
	     "Example: dtls-lab sweep --loss 0,10,20,30 --delay 50 --retransmit both");
	return cli_finish(EXIT_SUCCESS);
}

static int run_command(int command, int argc, char **argv)
{
	argv[0] = program_invocation_short_name; /* for what getopt_long() says */
	return commands[command].run(argc, argv);
}

int main(int argc, char **argv)
{
	const char *name = argc < 2 ? "" : argv[1];

	cli_guard_standard();
	signal(SIGPIPE, SIG_IGN); /* cli_finish() tells it, and files are still written */
	if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0)
		return help();
	if (strcmp(name, "-V") == 0 || strcmp(name, "--version") == 0) {
		cli_print_version();
		return cli_finish(EXIT_SUCCESS);
	}
	for (int i = 0; i < COMMANDS; i++)
		if (strcmp(name, commands[i].name) == 0)
			return run_command(i, argc - 1, argv + 1);
	if (argc < 2)
		cli_usage("a command is missing: sweep, trace, masks, growth or wire; see dtls-lab --help");
	cli_usage(
	    "there is no command \"%s\": they are sweep, trace, masks, growth and wire; see dtls-lab --help", name);
}
