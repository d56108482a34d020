/* What dtls-server tells of its peers, whatever the protocol. */
#include "server.h"

#include <string.h>

void server_name_by_certificate(struct server_name *name, const char *subject)
{
	if (name->identity != NULL || subject == NULL || subject[0] == '\0')
		return;
	name->identity = (const uint8_t *)subject;
	name->identity_len = strlen(subject);
}

void server_print(const struct server_name *name, const void *text, size_t len)
{
	char address[CLI_ADDRESS_TEXT];

	flockfile(stdout); /* one line, also where there are other threads */
	if (name->identity != NULL)
		cli_print_bytes(stdout, name->identity, name->identity_len);
	else
		fputs(cli_address_text(&name->address, address), stdout);
	putchar(' ');
	cli_print_bytes(stdout, text, len);
	putchar('\n');
	funlockfile(stdout);
}

void server_begin_line(const struct server_name *name)
{
	char address[CLI_ADDRESS_TEXT];

	fprintf(stderr, "%s ", cli_address_text(&name->address, address));
	if (name->identity == NULL)
		return;
	cli_print_bytes(stderr, name->identity, name->identity_len);
	putc(' ', stderr);
}

void server_tell_connected(const struct server *s, const struct server_name *name, const struct server_session *what)
{
	if (s->quiet)
		return;
	server_begin_line(name);
	fprintf(stderr, "connected with %s", what->cipher);
	if (what->alpn != NULL)
		fprintf(stderr, ", protocol %s", what->alpn);
	if (s->verbose && what->has_certificate)
		fprintf(stderr, "; certificate %s", cli_verify_text(what->verify_result));
	putc('\n', stderr);
}
