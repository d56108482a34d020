/* lab_pcap.h - a handshake as a capture file, as it would be taken at the client: of what the server sends it has only
 * what arrives. Times are virtual; addresses are 10.0.0.1, port 4444, for the client, and 10.0.0.2, port 5684. */
#ifndef LAB_PCAP_H
#define LAB_PCAP_H

#include "drops.h"
#include "lab_file.h"

#include <pcap/pcap.h>

struct lab_pcap { /* all zero: there is none */
	struct lab_file file;
	pcap_t *pcap;
	pcap_dumper_t *dumper;
	uint16_t packets;
};

/* Ends the program with a sentence about option. */
void lab_pcap_open(struct lab_pcap *, const char *option, const char *path);
void lab_pcap_begin(struct lab_pcap *); /* before the first datagram */
void lab_pcap_add(struct lab_pcap *, int64_t now_ms, enum direction, const void *datagram, size_t len);
/* False: not all could be written, which is said. */
bool lab_pcap_end(struct lab_pcap *);

#endif
