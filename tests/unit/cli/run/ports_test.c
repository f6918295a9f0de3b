#include "cli/run/ports.h"

#include "base/memory.h"

#include "test.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

TEST(a_port_in_use_is_passed_over)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f4d0101)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(fd, (const struct sockaddr *)&address, size) == 0 && listen(fd, 1) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    uint16_t taken = ntohs(address.sin_port);
    CHECK(port_free("127.77.1.1", taken) != taken);
    close(fd);
    CHECK(port_free("127.77.1.1", taken) == taken);
    CHECK(port_free("no address", 80) == 0);
}

TEST(instances_have_addresses_of_their_own)
{
    owned_str first = port_address("/home/a/.tulle/shop", 0);
    owned_str again = port_address("/home/a/.tulle/shop", 0);
    owned_str second = port_address("/home/a/.tulle/shop", 1);
    owned_str later = port_address("/home/a/.tulle/shop", 250);
    owned_str other = port_address("/home/a/.tulle/demo", 0);
    struct in_addr ip;
    CHECK(strcmp(first, again) == 0 && strcmp(first, second) != 0 && strcmp(first, later) != 0);
    CHECK(strcmp(first, other) != 0);
    CHECK(inet_pton(AF_INET, first, &ip) == 1 && ntohl(ip.s_addr) >> 24 == 127);
    CHECK(inet_pton(AF_INET, later, &ip) == 1);
}
