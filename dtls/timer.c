#include "timer.h"

enum { ADAPTIVE_MIN_MS = 50, DEFAULT_JITTER_PERCENT = 10 };

static int64_t now(const struct timer *t)
{
	return options_now(&t->settings->opt);
}

void timer_init(struct timer *t, const struct settings *s, struct rng *rng, uint64_t *retransmissions)
{
	*t = (struct timer){.settings = s,
	    .rng = rng,
	    .retransmissions = retransmissions,
	    .intermediate_at = INT64_MAX,
	    .final_at = INT64_MAX,
	    .rtt_ms = -1};
	t->give_up_ms = s->give_up_ms;
	t->give_up_at = INT64_MAX; /* nothing was sent, nothing is waited for */
}

/* RFC 9147, 5.8.2: 1.5 times the measured round trip. */
static int64_t first_delay(const struct timer *t)
{
	const struct options *opt = &t->settings->opt;
	int64_t delay = t->rtt_ms + t->rtt_ms / 2;

	if (opt->retransmit == DTLS_RETRANSMIT_FIXED || t->rtt_ms < 0)
		return opt->min_ms;
	if (delay < ADAPTIVE_MIN_MS)
		delay = ADAPTIVE_MIN_MS;
	return delay < opt->min_ms ? delay : opt->min_ms;
}

static int64_t jittered(const struct timer *t, int64_t delay)
{
	const struct options *opt = &t->settings->opt;
	int64_t percent = opt->jitter_percent;
	uint32_t random;

	if (percent < 0)
		percent = opt->retransmit == DTLS_RETRANSMIT_ADAPTIVE ? DEFAULT_JITTER_PERCENT : 0;
	if (percent == 0 || rng_bytes(t->rng, (unsigned char *)&random, sizeof(random)) != 0)
		return delay;
	return delay + delay * percent * ((int64_t)(random % 2001) - 1000) / 100000;
}

static int64_t delay_after(const struct timer *t, uint32_t final_ms)
{
	int64_t delay = first_delay(t), max = t->settings->opt.max_ms;

	for (uint32_t n = final_ms / TIMER_UNIT_MS; n > 1 && delay < max; n /= 2)
		delay *= 2;
	delay = jittered(t, delay < max ? delay : max);
	return delay < 1 ? 1 : delay > max ? max : delay;
}

/* Without a retransmission the answer can only belong to what was sent once (Karn and Partridge). With one, the round trip
 * took at least the time from the last: what is known may have grown to that. */
static void flight_answered(struct timer *t)
{
	int64_t waited = now(t) - (t->resent ? t->left_at : t->flight_at);

	if (t->heard && (!t->resent || (t->rtt_ms >= 0 && t->rtt_ms < waited)))
		t->rtt_ms = waited;
	t->outstanding = t->early = false;
}

static void flight_sent(struct timer *t)
{
	/* mbed TLS arms once when a flight is written and again when it has left. */
	if (!t->sent)
		return;
	t->sent = false;
	if (t->outstanding) {
		t->resent = true;
		t->resends++;
		++*t->retransmissions;
		return;
	}
	t->outstanding = true;
	t->resent = t->heard = false;
	t->flight_at = t->left_at;
	t->give_up_at = t->flight_at + t->give_up_ms;
	t->give_up_ms = t->settings->give_up_ms;
}

void timer_set(void *arg, uint32_t intermediate_ms, uint32_t final_ms)
{
	struct timer *t = arg;
	int64_t delay;

	(void)intermediate_ms; /* a quarter of ours, as it is of mbed TLS's */
	if (final_ms != 0 && !t->sent && timer_holds(t))
		return; /* the flight did not leave again, and its timer runs on */
	t->intermediate_at = t->final_at = INT64_MAX;
	if (final_ms == 0) {
		/* mbed TLS cancels when a flight is complete, and also before it resends one. */
		if (t->outstanding && !t->fired)
			flight_answered(t);
		return;
	}
	t->fired = false;
	flight_sent(t);
	delay = delay_after(t, final_ms);
	t->intermediate_at = now(t) + delay / 4;
	t->final_at = now(t) + delay;
}

int timer_get(void *arg)
{
	struct timer *t = arg;
	int64_t at;

	if (t->final_at == INT64_MAX)
		return -1;
	at = now(t);
	if (at < t->intermediate_at || t->input_waits)
		return 0;
	if (at < t->final_at)
		return 1;
	t->fired = true;
	return 2;
}

/* For how long after ours left the peer's repetitions are early: the last measured round trip, or more once the timer
 * has doubled without an answer. */
static int64_t early_ms(const struct timer *t)
{
	int64_t delay = t->final_at == INT64_MAX ? 0 : t->final_at - t->left_at;

	if (t->settings->opt.retransmit == DTLS_RETRANSMIT_FIXED || t->rtt_ms < 0)
		return 0;
	return t->rtt_ms > delay / 3 ? t->rtt_ms : delay / 3;
}

void timer_input_waits(struct timer *t, bool waits)
{
	t->input_waits = waits;
	t->heard |= waits;
	/* Judged once for all datagrams of the flight. */
	t->early = waits && (t->outstanding || t->done) && now(t) < t->left_at + early_ms(t);
}

void timer_sent(struct timer *t)
{
	t->sent = true;
	t->left_at = now(t);
}

/* RFC 6347, 4.2.4 takes the peer's repeated flight for a sign that ours was lost. But one that comes within a round trip
 * was sent before ours can have arrived, and tells nothing of it. */
bool timer_holds(const struct timer *t)
{
	return t->early;
}

void timer_done(struct timer *t)
{
	t->done = true;
}

void timer_hello_sent(struct timer *t, uint64_t seq)
{
	t->hello_at[seq % HELLO_TIMES] = now(t);
	t->hello_seq[seq % HELLO_TIMES] = seq + 1;
}

void timer_measured(struct timer *t, int64_t rtt_ms)
{
	if (rtt_ms >= 0)
		t->rtt_ms = rtt_ms;
}

bool timer_hello_answered(struct timer *t, uint64_t seq)
{
	if (t->hello_seq[seq % HELLO_TIMES] != seq + 1)
		return false;
	t->rtt_ms = now(t) - t->hello_at[seq % HELLO_TIMES];
	return true;
}

void timer_hurry(struct timer *t, int64_t give_up_ms)
{
	if (give_up_ms < t->give_up_ms)
		t->give_up_ms = give_up_ms;
}

void timer_begin(struct timer *t)
{
	if (t->give_up_at == INT64_MAX)
		t->final_at = t->give_up_at = timer_later(now(t), t->give_up_ms);
}

bool timer_gave_up(const struct timer *t)
{
	return now(t) >= t->give_up_at;
}

int64_t timer_due_at(const struct timer *t)
{
	if (t->final_at == INT64_MAX)
		return INT64_MAX;
	return t->final_at < t->give_up_at ? t->final_at : t->give_up_at;
}

int64_t timer_schedule_sum(int min_ms, int max_ms)
{
	int64_t sum = 0, delay = min_ms;

	for (; delay < max_ms; delay *= 2)
		sum += delay;
	return sum + max_ms;
}

int64_t timer_later(int64_t at, int64_t ms)
{
	return at > INT64_MAX - ms ? INT64_MAX : at + ms;
}

int timer_poll_ms(int64_t due_at, int64_t now_ms)
{
	if (due_at == INT64_MAX)
		return -1;
	if (due_at <= now_ms)
		return 0;
	return due_at - now_ms < INT32_MAX ? (int)(due_at - now_ms) : INT32_MAX;
}
