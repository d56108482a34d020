/* lab_wire_ports.h - UDP ports of this machine. */
#ifndef LAB_WIRE_PORTS_H
#define LAB_WIRE_PORTS_H

#include <stdbool.h>

/* Looks which are bound now. */
void wire_ports_look(void);
/* When it was looked last. */
bool wire_port_is_bound(unsigned port);
/* One that is not bound, and that the kernel does not choose by itself; each call another one. Until the lock is closed no
 * other lab takes it, either. */
unsigned wire_port_take(int *lock_fd);

#endif
