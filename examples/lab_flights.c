#include "lab_flights.h"

static bool is_of(const struct lab_fragment *fragment, const struct lab_message *m)
{
	return fragment->kind == m->kind && fragment->seq == m->seq;
}

/* In an earlier flight, if in other fragments. */
static bool was_sent(const struct lab_flights *f, const struct lab_message *m)
{
	for (unsigned i = 0; i < f->count; i++)
		if (is_of(&f->fragments[i], m) && f->fragments[i].first < f->flight)
			return true;
	return false;
}

static bool is_in_flight(const struct lab_flights *f, const struct lab_message *m)
{
	for (unsigned i = 0; i < f->count; i++)
		if (is_of(&f->fragments[i], m) && f->fragments[i].from == m->offset &&
		    f->fragments[i].latest == f->flight)
			return true;
	return false;
}

/* All of these bytes, if in several fragments. */
static bool is_delivered(const struct lab_flights *f, const struct lab_fragment *wanted)
{
	uint32_t from = wanted->from;

	for (unsigned i = 0; i < f->count;) {
		const struct lab_fragment *known = &f->fragments[i++];

		if (!known->delivered || known->kind != wanted->kind || known->seq != wanted->seq || known->from > from)
			continue;
		if (known->to >= wanted->to)
			return true;
		if (known->to > from) {
			from = known->to;
			i = 0;
		}
	}
	return false;
}

static bool all_delivered(const struct lab_flights *f)
{
	for (unsigned i = 0; i < f->count; i++)
		if (!is_delivered(f, &f->fragments[i]))
			return false;
	return true;
}

static void note(struct lab_flights *f, const struct lab_message *m, bool delivered)
{
	const struct lab_fragment fragment = {
	    .kind = m->kind, .seq = m->seq, .from = m->offset, .to = m->offset + m->len, .first = f->flight};
	struct lab_fragment *known = f->fragments, *end = known + f->count;

	f->sent_before &= was_sent(f, m);
	f->needless &= is_delivered(f, &fragment);
	while (known < end && (!is_of(known, m) || known->from != fragment.from || known->to != fragment.to))
		known++;
	if (known == f->fragments + LAB_FRAGMENTS)
		return;
	if (known == end) {
		*known = fragment;
		f->count++;
	}
	known->latest = f->flight;
	known->delivered |= delivered;
}

void lab_flights_end(struct lab_flights *f)
{
	if (!f->open)
		return;
	f->open = false;
	f->retransmissions += f->sent_before;
	f->spurious += f->sent_before && f->needless;
}

void lab_flights_sent(struct lab_flights *f, const struct lab_flights *peer, int64_t now_ms, enum direction direction,
    const void *datagram, size_t len, bool delivered)
{
	struct lab_message messages[LAB_MESSAGES];
	size_t count = lab_messages_read(direction, datagram, len, messages);

	if (count == 0 || messages[0].kind == LAB_ALERT)
		return;
	if (f->open &&
	    (f->at_ms != now_ms || f->number != messages[0].flight || was_sent(f, &messages[0]) != f->sent_before ||
		is_in_flight(f, &messages[0]) || messages[0].kind == LAB_HELLO_VERIFY_REQUEST))
		lab_flights_end(f);
	if (!f->open) {
		f->open = f->sent_before = true;
		f->needless = all_delivered(peer);
		f->at_ms = now_ms;
		f->flight++;
		f->number = messages[0].flight;
		f->transmissions[f->number]++;
	}
	for (size_t i = 0; i < count; i++)
		if (messages[i].kind != LAB_ALERT)
			note(f, &messages[i], delivered);
	f->open = messages[0].kind != LAB_HELLO_VERIFY_REQUEST;
}
