#include "cli/run/ports.h"

#include "base/hash.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_free(struct in_addr ip, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = ip};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    bool is_bound =
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0;
    close(fd);
    return is_bound;
}

uint16_t port_free(const char *ip, uint16_t wanted)
{
    struct in_addr address;
    if (inet_pton(AF_INET, ip, &address) != 1)
        return 0;
    for (unsigned port = wanted; port <= UINT16_MAX; port++)
        if (is_free(address, (uint16_t)port))
            return (uint16_t)port;
    return 0;
}

char *port_address(const char *mesh, unsigned index)
{
    enum { ROW = 250 };
    uint64_t hash = hash64(slice_str(mesh), 0);
    unsigned first = 16 + (unsigned)(hash % 200), second = (unsigned)(hash >> 16) % 240;
    return str_format("127.%u.%u.%u", first, second + index / ROW, 1 + index % ROW);
}
