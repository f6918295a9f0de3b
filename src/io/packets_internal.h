/* packets over the simulation: sim_packets.c. */
#pragma once

#include "io/loop_internal.h"
#include "io/packets.h"

MUST_USE int sim_packets_adopt(struct packet_socket *socket, int fd);
MUST_USE int sim_packets_open(struct packet_socket *socket, const struct packet_path *path);
void sim_packets_close(struct packet_socket *socket);
struct address sim_packets_address(const struct packet_socket *socket);
int sim_packets_receive(struct packet_socket *socket, struct packet_batch *batch, unsigned room);
void sim_packets_send(struct packet_socket *socket, struct packet *const *packets, unsigned count);
