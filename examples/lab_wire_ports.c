#include "lab_wire_ports.h"

#include "cli.h"

#include <errno.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* Below net.ipv4.ip_local_port_range as Linux has it: clients are given ports from there. */
enum { FIRST = 10000, LAST = 32767, PORTS = 65536 };

static bool bound[PORTS];

/* "  42: 0100007F:1634 00000000:0000 07 ...": local address and port, in hex. */
static void look_into(const char *path)
{
	FILE *table = fopen(path, "re");
	char line[512];
	unsigned port;

	if (table == NULL)
		return; /* no IPv6 */
	while (fgets(line, sizeof(line), table) != NULL)
		if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x", &port) == 1 && port < PORTS)
			bound[port] = true;
	fclose(table);
}

void wire_ports_look(void)
{
	memset(bound, 0, sizeof(bound));
	look_into("/proc/net/udp");
	look_into("/proc/net/udp6");
}

bool wire_port_is_bound(unsigned port)
{
	return bound[port];
}

/* A name among sockets that only one can have at a time, and that ends with the process: -1 where another has it. */
static int lock(unsigned port)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int len = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "dtls-lab/port/%u", port);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		cli_fail("cannot make a socket: %s", strerror(errno));
	if (bind(fd, (struct sockaddr *)&name, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) ==
	    0)
		return fd;
	close(fd);
	return -1;
}

unsigned wire_port_take(int *lock_fd)
{
	static unsigned next;

	if (next == 0) /* another lab at the same time begins elsewhere */
		next = FIRST + (unsigned)getpid() * 7919u % (LAST - FIRST);
	wire_ports_look();
	for (int i = FIRST; i <= LAST; i++) {
		next = next < LAST ? next + 1 : FIRST;
		if (!bound[next] && (*lock_fd = lock(next)) >= 0)
			return next;
	}
	cli_fail("all UDP ports from %d to %d are taken", FIRST, LAST);
}
