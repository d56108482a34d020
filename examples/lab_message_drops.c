#include "lab_message_drops.h"

static enum lab_kind kind_of(const char *option, const char *part, const char *name)
{
	enum lab_kind kind = lab_kind_named(name);
	char names[512] = "";

	if (kind < LAB_KINDS)
		return kind;
	for (int i = 0; i < LAB_KINDS; i++) {
		strcat(names, i == 0 ? "" : i < LAB_KINDS - 1 ? ", " : " and ");
		strcat(names, lab_kind_name(i));
	}
	cli_usage("%s: there is no message \"%s\": they are %s", option, part, names);
}

/* NAME, NAME#N or NAME#N-M, after c (from the client), s (from the server) or nothing (both). */
static void add_part(struct lab_message_drops *drops, const char *option, char *part)
{
	struct lab_message_drop *drop = &drops->list[drops->count];
	char *name = part + (*part == 'c' || *part == 's'), *hash = strchr(name, '#'), *dash = NULL;

	if (drops->count == MAX_DROPS)
		cli_usage("%s takes %d messages at most", option, MAX_DROPS);
	*drop = (struct lab_message_drop){.first = 1, .last = UINT_MAX};
	snprintf(drop->text, sizeof(drop->text), "%s", part);
	drop->to[TO_SERVER] = *part != 's';
	drop->to[TO_CLIENT] = *part != 'c';
	if (hash != NULL) {
		*hash = '\0';
		dash = strchr(hash + 1, '-');
	}
	if (dash != NULL)
		*dash = '\0';
	drop->kind = kind_of(option, part, name);
	if (hash != NULL) {
		drop->first = (unsigned)cli_number(option, hash + 1, 1, UINT_MAX);
		drop->last = (unsigned)cli_number(option, dash != NULL ? dash + 1 : hash + 1, drop->first, UINT_MAX);
	}
	drops->count++;
}

void lab_message_drops_add(struct lab_message_drops *drops, const char *option, char *text)
{
	char *part;

	while ((part = strsep(&text, ",")) != NULL)
		add_part(drops, option, part);
}

static bool includes(const struct lab_message_drops *drops, enum direction direction, const struct lab_message *message)
{
	unsigned nth = drops->sent[direction][message->kind] + (message->offset == 0);

	for (size_t i = 0; i < drops->count; i++) {
		const struct lab_message_drop *drop = &drops->list[i];

		if (drop->to[direction] && drop->kind == message->kind && nth >= drop->first && nth <= drop->last)
			return true;
	}
	return false;
}

bool lab_message_drops_include(
    const struct lab_message_drops *drops, enum direction direction, const void *datagram, size_t len)
{
	struct lab_message messages[LAB_MESSAGES];
	size_t count = lab_messages_read(direction, datagram, len, messages);

	for (size_t i = 0; i < count; i++)
		if (includes(drops, direction, &messages[i]))
			return true;
	return false;
}

void lab_message_drops_sent(struct lab_message_drops *drops, enum direction direction, const void *datagram, size_t len)
{
	struct lab_message messages[LAB_MESSAGES];
	size_t count = lab_messages_read(direction, datagram, len, messages);

	for (size_t i = 0; i < count; i++)
		drops->sent[direction][messages[i].kind] += messages[i].offset == 0;
}

const char *lab_message_drops_unused(const struct lab_message_drops *drops, size_t *next)
{
	while (*next < drops->count) {
		const struct lab_message_drop *drop = &drops->list[(*next)++];
		bool used = false;

		for (int d = 0; d < DIRECTIONS; d++)
			used |= drop->to[d] && drops->sent[d][drop->kind] >= drop->first;
		if (!used)
			return drop->text;
	}
	return NULL;
}
