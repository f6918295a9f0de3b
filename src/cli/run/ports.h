/*
 * ports: which ports and addresses of this host are free.
 */
#pragma once

#include "base/attributes.h"

/* The wanted port of this IP when nobody listens there, else the next free one; 0 when there is none. */
uint16_t port_free(const char *ip, uint16_t wanted);
/* The loopback address of an instance, 127.A.B.C: A and B by the mesh's name, so that two meshes do not meet. */
char *port_address(const char *mesh, unsigned index);
