#include "dtls/dtls.h"
#include "dtls/sim.h"
#include "links.h"
#include "suites.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

union any_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static socklen_t length_of(const union any_address *address)
{
	return address->any.sa_family == AF_INET ? sizeof(address->in) : sizeof(address->in6);
}

static union any_address address_of(const char *text, uint16_t port)
{
	union any_address address;

	memset(&address, 0, sizeof(address));
	if (inet_pton(AF_INET, text, &address.in.sin_addr) == 1) {
		address.in.sin_family = AF_INET;
		address.in.sin_port = htons(port);
	} else {
		ck_assert_int_eq(inet_pton(AF_INET6, text, &address.in6.sin6_addr), 1);
		address.in6.sin6_family = AF_INET6;
		address.in6.sin6_port = htons(port);
	}
	return address;
}

static struct sim_host *new_host(struct sim *sim, const union any_address *address, const struct sim_weather *weather)
{
	return sim_host_new(sim, &address->any, length_of(address), weather);
}

static void send_to(struct sim_host *host, const union any_address *to, unsigned number)
{
	ck_assert_int_eq(sim_host_send(host, &to->any, length_of(to), &number, sizeof(number)), sizeof(number));
}

static void assert_from(struct sim_host *host, const union any_address *from, unsigned expected)
{
	union any_address sender;
	socklen_t len = sizeof(sender);
	unsigned number;

	ck_assert_int_eq(sim_host_recv(host, &sender.any, &len, &number, sizeof(number)), sizeof(number));
	ck_assert_uint_eq(number, expected);
	ck_assert_uint_eq(len, length_of(from));
	ck_assert_mem_eq(&sender, from, len);
}

static void assert_host_idle(struct sim_host *host)
{
	union any_address sender;
	socklen_t len = sizeof(sender);
	char byte;

	ck_assert_int_eq(sim_host_recv(host, &sender.any, &len, &byte, 1), DTLS_WANT_READ);
}

START_TEST(hosts_exchange_datagrams)
{
	const union any_address addresses[] = {address_of("192.0.2.1", 5684), address_of("192.0.2.2", 5684),
	    address_of("192.0.2.1", 5685), address_of("2001:db8::1", 5684), address_of("2001:db8::2", 5684)};
	struct sim *sim = sim_new(1);
	struct sim_host *hosts[5];

	for (int i = 0; i < 5; i++)
		ck_assert_ptr_nonnull(hosts[i] = new_host(sim, &addresses[i], NULL));
	for (unsigned i = 0; i < 5; i++)
		for (unsigned k = 0; k < 5; k++)
			send_to(hosts[i], &addresses[k], 10 * i + k);
	for (unsigned k = 0; k < 5; k++) {
		for (unsigned i = 0; i < 5; i++)
			assert_from(hosts[k], &addresses[i], 10 * i + k);
		assert_host_idle(hosts[k]);
	}
	sim_free(sim);
}
END_TEST

START_TEST(the_senders_weather_counts)
{
	const union any_address near = address_of("192.0.2.1", 1), far = address_of("2001:db8::1", 1);
	struct sim *sim = sim_new(1);
	struct sim_host *a = new_host(sim, &near, &(struct sim_weather){.latency_ms = 10});
	struct sim_host *b = new_host(sim, &far, &(struct sim_weather){.latency_ms = 25});

	send_to(a, &far, 1);
	send_to(b, &near, 2);
	ck_assert_int_eq(sim_next_ms(sim), 10);
	sim_advance_to(sim, 10);
	assert_from(b, &near, 1);
	assert_host_idle(a);
	ck_assert_int_eq(sim_next_ms(sim), 25);
	sim_advance_to(sim, 25);
	assert_from(a, &far, 2);
	sim_free(sim);
}
END_TEST

START_TEST(datagrams_of_several_senders_arrive_in_the_order_of_time)
{
	const union any_address to = address_of("192.0.2.1", 1), one = address_of("192.0.2.2", 1);
	const union any_address two = address_of("192.0.2.3", 1);
	struct sim *sim = sim_new(1);
	struct sim_host *hub = new_host(sim, &to, NULL);
	struct sim_host *slow = new_host(sim, &one, &(struct sim_weather){.latency_ms = 30});
	struct sim_host *fast = new_host(sim, &two, &(struct sim_weather){.latency_ms = 10});

	send_to(slow, &to, 1);
	send_to(fast, &to, 2);
	sim_advance_to(sim, 20);
	send_to(fast, &to, 3);
	sim_advance_to(sim, 100);
	assert_from(hub, &two, 2);
	assert_from(hub, &one, 1);
	assert_from(hub, &two, 3);
	sim_free(sim);
}
END_TEST

static void count_delivered(void *arg, int64_t now_ms, const void *datagram, size_t len, int delivered)
{
	ck_assert_int_eq(now_ms, 0);
	ck_assert(datagram != NULL && len == 4);
	*(int *)arg += delivered;
}

START_TEST(a_datagram_to_no_host_vanishes)
{
	const union any_address here = address_of("192.0.2.1", 1), nowhere = address_of("192.0.2.9", 1);
	const union any_address nowhere6 = address_of("2001:db8::9", 1);
	struct sim *sim = sim_new(1);
	struct sim_host *host = new_host(sim, &here, NULL);
	struct sockaddr local = {.sa_family = AF_UNIX};
	int copies = 0;

	sim_link_tap(sim_host_link(host), count_delivered, &copies);
	send_to(host, &nowhere, 1);
	send_to(host, &nowhere6, 2);
	ck_assert_int_eq(sim_host_send(host, &local, sizeof(local), "none", 4), 4);
	ck_assert_int_eq(sim_next_ms(sim), INT64_MAX);
	assert_stats(sim_host_link(host), 3, 0, 3);
	ck_assert_int_eq(copies, 0);
	send_to(host, &here, 4);
	ck_assert_int_eq(copies, 1);
	sim_free(sim);
}
END_TEST

START_TEST(an_address_belongs_to_one_host)
{
	union any_address address = address_of("192.0.2.1", 1), address6 = address_of("fe80::1", 1);
	struct sockaddr local = {.sa_family = AF_UNIX};
	struct sim *sim = sim_new(1);

	ck_assert_ptr_nonnull(new_host(sim, &address, NULL));
	ck_assert_ptr_null(new_host(sim, &address, NULL));
	memset(address.in.sin_zero, 0xff, sizeof(address.in.sin_zero)); /* is no part of an address */
	ck_assert_ptr_null(new_host(sim, &address, NULL));
	ck_assert_ptr_nonnull(new_host(sim, &address6, NULL));
	address6.in6.sin6_flowinfo = 7; /* nor is this */
	ck_assert_ptr_null(new_host(sim, &address6, NULL));
	address6.in6.sin6_scope_id = 2; /* but this is */
	ck_assert_ptr_nonnull(new_host(sim, &address6, NULL));
	address6.in6.sin6_scope_id = 3;
	ck_assert_ptr_null(sim_host_new(sim, &local, sizeof(local), NULL));
	ck_assert_ptr_null(sim_host_new(sim, &address6.any, sizeof(address6.in6) - 1, NULL));
	sim_free(sim);
}
END_TEST

START_TEST(host_recv_cuts_datagram_and_address)
{
	const union any_address here = address_of("192.0.2.1", 1);
	struct sim *sim = sim_new(1);
	struct sim_host *host = new_host(sim, &here, NULL);
	union any_address sender;
	socklen_t len = 4;
	char buf[4] = "____";

	memset(&sender, 0xee, sizeof(sender));
	ck_assert_int_eq(sim_host_send(host, &here.any, sizeof(here.in), "abcdef", 6), 6);
	ck_assert_int_eq(sim_host_recv(host, &sender.any, &len, buf, 2), 2);
	ck_assert_mem_eq(buf, "ab__", 4);
	ck_assert_uint_eq(len, sizeof(here.in));
	ck_assert_mem_eq(&sender, &here, 4);
	ck_assert_uint_eq(((unsigned char *)&sender)[4], 0xee);
	sim_free(sim);
}
END_TEST

START_TEST(a_hosts_link_takes_masks_and_new_weather)
{
	const union any_address near = address_of("192.0.2.1", 1), far = address_of("192.0.2.2", 1);
	struct sim *sim = sim_new(1);
	struct sim_host *a = new_host(sim, &near, NULL), *b = new_host(sim, &far, NULL);

	sim_link_drop_mask(sim_host_link(a), 0x2);
	ck_assert_int_eq(sim_link_set_weather(sim_host_link(a), &(struct sim_weather){.latency_ms = 5}), DTLS_OK);
	for (unsigned i = 1; i <= 3; i++)
		send_to(a, &far, i);
	send_to(b, &near, 4);
	assert_from(a, &far, 4);
	sim_advance_to(sim, 5);
	assert_from(b, &near, 1);
	assert_from(b, &near, 3);
	assert_host_idle(b);
	sim_free(sim);
}
END_TEST

/* Quadratic work would exceed the time of a test. */
START_TEST(a_simulation_has_10000_hosts)
{
	enum { HOSTS = 10000 };
	static struct sim_host *hosts[HOSTS];
	static union any_address addresses[HOSTS];
	struct sim *sim = sim_new(1);
	struct sim_weather weather = {0};

	for (unsigned i = 0; i < HOSTS; i++) {
		addresses[i] = address_of(i % 2 ? "192.0.2.1" : "2001:db8::1", (uint16_t)(1 + i / 2));
		weather.latency_ms = 1 + i;
		hosts[i] = new_host(sim, &addresses[i], &weather);
		ck_assert_ptr_nonnull(hosts[i]);
	}
	for (unsigned i = 0; i < HOSTS; i++)
		for (unsigned k = 0; k < 5; k++)
			send_to(hosts[i], &addresses[(i + 1 + k) % HOSTS], 5 * i + k);
	for (unsigned i = 0; i < HOSTS; i++) {
		ck_assert_int_eq(sim_next_ms(sim), 1 + i);
		sim_advance_to(sim, 1 + i);
		for (unsigned k = 0; k < 5; k++)
			assert_from(hosts[(i + 1 + k) % HOSTS], &addresses[i], 5 * i + k);
	}
	ck_assert_int_eq(sim_next_ms(sim), INT64_MAX);
	sim_free(sim);
}
END_TEST

Suite *hosts_suite(void)
{
	Suite *suite = suite_create("hosts");

	TEST(suite, hosts_exchange_datagrams);
	TEST(suite, the_senders_weather_counts);
	TEST(suite, datagrams_of_several_senders_arrive_in_the_order_of_time);
	TEST(suite, a_datagram_to_no_host_vanishes);
	TEST(suite, an_address_belongs_to_one_host);
	TEST(suite, host_recv_cuts_datagram_and_address);
	TEST(suite, a_hosts_link_takes_masks_and_new_weather);
	TEST(suite, a_simulation_has_10000_hosts);
	return suite;
}
