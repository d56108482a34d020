#include "lab_pcap.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { IP_HEADER = 20, UDP_HEADER = 8, HEADERS = IP_HEADER + UDP_HEADER, SNAPLEN = 65535, UDP = 17, TTL = 64 };

static const struct {
	uint32_t address;
	uint16_t port;
} ends[DIRECTIONS] = {{0x0a000001, 4444}, {0x0a000002, 5684}}; /* the sender of each direction */

void lab_pcap_open(struct lab_pcap *p, const char *option, const char *path)
{
	lab_file_open(&p->file, option, path);
}

void lab_pcap_begin(struct lab_pcap *p)
{
	int fd = dup(fileno(p->file.stream)); /* the dumper closes its own, and does not tell whether that went well */
	FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");

	if (!lab_file_begin(&p->file))
		exit(CLI_FAILED);
	p->pcap = pcap_open_dead(DLT_RAW, SNAPLEN);
	p->dumper = p->pcap == NULL || stream == NULL ? NULL : pcap_dump_fopen(p->pcap, stream);
	if (p->dumper == NULL)
		cli_fail("cannot write to \"%s\": %s", p->file.path, strerror(errno));
}

/* ---- packets ---- */

static uint8_t *put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
	return at + 2;
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
	return put16(put16(at, value >> 16), value);
}

/* RFC 1071, begun with what sum has. */
static uint16_t checksum(const uint8_t *at, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)at[i] << 8 : at[i];
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_ip(uint8_t *ip, enum direction direction, size_t len, uint16_t id)
{
	uint8_t *at = ip, *sum_at;

	at = put16(at, 0x4500); /* version 4, five words of header */
	at = put16(at, (uint32_t)len);
	at = put16(at, id);
	at = put16(at, 0x4000); /* not to be fragmented */
	at = put16(at, TTL << 8 | UDP);
	sum_at = at;
	at = put16(at, 0);
	at = put32(at, ends[direction].address);
	put32(at, ends[1 - direction].address);
	put16(sum_at, checksum(ip, IP_HEADER, 0));
}

/* In front of a payload that is there already. */
static void put_udp(uint8_t *udp, enum direction direction, size_t len)
{
	uint32_t pseudo_header = UDP + (uint32_t)len;
	uint8_t *at = udp;
	uint16_t sum;

	for (int i = 0; i < DIRECTIONS; i++)
		pseudo_header += (ends[i].address >> 16) + (ends[i].address & 0xffff);
	at = put16(at, ends[direction].port);
	at = put16(at, ends[1 - direction].port);
	at = put16(at, (uint32_t)len);
	put16(at, 0);
	sum = checksum(udp, len, pseudo_header);
	put16(at, sum != 0 ? sum : 0xffff); /* 0 would mean that there is none */
}

void lab_pcap_add(struct lab_pcap *p, int64_t now_ms, enum direction direction, const void *datagram, size_t len)
{
	uint8_t packet[SNAPLEN];
	struct pcap_pkthdr header = {.ts = {.tv_sec = now_ms / 1000, .tv_usec = now_ms % 1000 * 1000}};

	if (len > sizeof(packet) - HEADERS)
		len = sizeof(packet) - HEADERS;
	memcpy(packet + HEADERS, datagram, len);
	put_udp(packet + IP_HEADER, direction, UDP_HEADER + len);
	put_ip(packet, direction, HEADERS + len, ++p->packets);
	header.caplen = header.len = (bpf_u_int32)(HEADERS + len);
	pcap_dump((u_char *)p->dumper, &header, packet);
}

bool lab_pcap_end(struct lab_pcap *p)
{
	bool failed = pcap_dump_flush(p->dumper) != 0 || ferror(pcap_dump_file(p->dumper)) != 0;
	int error = errno;

	pcap_dump_close(p->dumper);
	pcap_close(p->pcap);
	if (failed)
		fprintf(stderr, "%s: cannot write to \"%s\": %s\n", program_invocation_short_name, p->file.path,
		    strerror(error));
	return lab_file_end(&p->file) && !failed;
}
