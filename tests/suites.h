/* suites.h - the list of the test suites; a new suite needs its line here, and nothing else. */
#ifndef SUITES_H
#define SUITES_H

#include <check.h>

/* clang-format off */
#define SUITES(X) \
	X(alloc) \
	X(messages) \
	X(sim) \
	X(weather) \
	X(relay) \
	X(fates) \
	X(hosts) \
	X(psk) \
	X(address) \
	X(record) \
	X(hello) \
	X(cookie) \
	X(rng) \
	X(gate) \
	X(context) \
	X(timer) \
	X(schedule) \
	X(peertable) \
	X(sources) \
	X(park) \
	X(park_ends) \
	X(park_alloc) \
	X(slices) \
	X(error) \
	X(session) \
	X(handshake) \
	X(times) \
	X(adaptive) \
	X(growth) \
	X(handshakes) \
	X(loss) \
	X(resume) \
	X(ticket) \
	X(session_cache) \
	X(resumable) \
	X(conn_session) \
	X(resume_endpoint) \
	X(resume_threads) \
	X(resume_alloc) \
	X(resume_certificates) \
	X(drops) \
	X(order) \
	X(endpoint) \
	X(replace) \
	X(limits) \
	X(flood) \
	X(threads) \
	X(socket) \
	X(icmp) \
	X(socket_endpoint) \
	X(inbox) \
	X(endpoint_threads) \
	X(thousands) \
	X(inject) \
	X(masks) \
	X(outbox) \
	X(output) \
	X(overlap) \
	X(peer) \
	X(fork) \
	X(reload) \
	X(storm) \
	X(replay) \
	X(seeds) \
	X(settings) \
	X(certificates) \
	X(trust) \
	X(overrule) \
	X(choice) \
	X(identities) \
	X(stream_hostile) \
	X(stream_refusals) \
	X(refusals) \
	X(foreign_clients) \
	X(foreign_servers) \
	X(certificate_alloc) \
	X(certificate_loss) \
	X(certificate_threads) \
	X(mqtt_packets) \
	X(mqtt_session) \
	X(coap_readings) \
	X(coap_peers) \
	X(story) \
	X(stream) \
	X(stream_errors) \
	X(stream_peers) \
	X(stream_settings) \
	X(stream_memory) \
	X(stream_socket) \
	X(stream_certificates) \
	X(stream_1_3) \
	X(stream_threads) \
	X(lab_sweep) \
	X(lab_messages) \
	X(lab_flights) \
	X(lab_wire) \
	X(load_histogram) \
	X(ssl_shim) \
	X(ssl_server) \
	X(ssl_server_threads) \
	X(ssl_waits) \
	X(coap) \
	X(coap_life) \
	X(coap_keys) \
	X(coap_server) \
	X(coap_return) \
	X(coap_pki) \
	X(coap_setup)
/* clang-format on */

#define SUITE_DECLARATION(name) Suite *name##_suite(void);
SUITES(SUITE_DECLARATION)

/* Adds one START_TEST function under its own name, by which `run NAME` finds it. */
#define TEST(suite, function) suite_add(suite, #function, function)
void suite_add(Suite *suite, const char *name, const TTest *function);

/* The same, but counts the test as skipped where this machine lacks what it needs. */
#define TEST_WHERE(possible, why_not, suite, function)                                                                 \
	((possible) ? suite_add(suite, #function, function) : suite_skip(#function, why_not))
void suite_skip(const char *name, const char *why);

#endif
