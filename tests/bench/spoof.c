#include "spoof.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct shot { /* one batch, ready to be aimed */
	struct mmsghdr messages[SPOOF_BATCH];
	struct iovec parts[SPOOF_BATCH];
	uint8_t datagrams[SPOOF_BATCH][SPOOF_DATAGRAM];
	_Alignas(struct cmsghdr) uint8_t control[SPOOF_BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
	struct sockaddr_in to;
};

void spoof_init(struct spoof *s)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	int least = 1;

	for (int i = 0; i < SPOOF_SOCKETS; i++) {
		s->fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
		if (s->fds[i] < 0 || bind(s->fds[i], (struct sockaddr *)&any, sizeof(any)) != 0 ||
		    setsockopt(s->fds[i], SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)) != 0) {
			perror("spoof");
			exit(1);
		}
	}
}

static void load(struct shot *shot, const struct spoof *s)
{
	memset(shot, 0, sizeof(*shot));
	shot->to = (struct sockaddr_in){
	    .sin_family = AF_INET, .sin_port = htons(s->to), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	for (int i = 0; i < SPOOF_BATCH; i++) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)shot->control[i];

		memcpy(shot->datagrams[i], s->templates[i % 2], s->lens[i % 2]);
		shot->parts[i] = (struct iovec){shot->datagrams[i], s->lens[i % 2]};
		*c = (struct cmsghdr){
		    .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
		shot->messages[i].msg_hdr = (struct msghdr){.msg_name = &shot->to,
		    .msg_namelen = sizeof(shot->to),
		    .msg_iov = &shot->parts[i],
		    .msg_iovlen = 1,
		    .msg_control = c,
		    .msg_controllen = sizeof(shot->control[i])};
	}
}

/* Another sender for each, and another random in each. */
static void aim(struct shot *shot, const struct spoof *s, uint32_t *state)
{
	for (int i = 0; i < SPOOF_BATCH; i++) {
		struct in_pktinfo info = {0};

		*state = *state * 1664525 + 1013904223;
		info.ipi_spec_dst.s_addr = htonl(0x7f010000 + (*state >> 8) % 0xfd0000);
		memcpy(shot->control[i] + CMSG_LEN(0), &info, sizeof(info));
		memcpy(shot->datagrams[i] + s->random_at, state, sizeof(*state));
	}
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

uint64_t spoof_run(struct spoof *s, unsigned per_s, const atomic_bool *stop)
{
	static struct shot shot;
	double began_at = now_s();
	uint32_t state = 1;
	uint64_t sent = 0;

	load(&shot, s);
	for (unsigned turn = 0; !atomic_load(stop); turn++) {
		int n;

		while ((double)sent > (now_s() - began_at) * per_s && !atomic_load(stop))
			nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
		aim(&shot, s, &state);
		n = sendmmsg(s->fds[turn % SPOOF_SOCKETS], shot.messages, SPOOF_BATCH, 0);
		sent += n > 0 ? (uint64_t)n : 0;
	}
	return sent;
}
