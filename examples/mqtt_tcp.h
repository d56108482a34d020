/* mqtt_tcp.h - a TCP connection to a broker, which may have several addresses. */
#ifndef MQTT_TCP_H
#define MQTT_TCP_H

#include "cli.h"

/* The descriptor of the first address of HOST:PORT that answers; its text in name. Ends the program when none does until
 * the deadline, on the clock of cli_now_ms(), or when a signal comes. */
int mqtt_tcp_connect(const char *broker, int signals, int64_t deadline_ms, char name[CLI_ADDRESS_TEXT]);

#endif
