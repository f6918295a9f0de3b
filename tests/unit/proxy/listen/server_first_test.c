#include "proxy/listen/server_first.h"

#include "base/memory.h"
#include "proxy/worker.h"
#include "test.h"

/* Other meshes treat them as opaque: nobody is to wait there for a client that waits itself. */
TEST(server_first_knows_the_usual_ports_and_no_others)
{
    static const uint16_t usual[] = {25,   587,  1433, 1521, 3306,  4444,
                                     5432, 5672, 6379, 9300, 11211, 27017};
    struct worker worker = {0};
    unsigned expected = 0;
    EACH (port, usual)
        CHECK(server_first_expects(&worker, *port), "%u", *port);
    for (unsigned port = 0; port <= UINT16_MAX; port++)
        expected += server_first_expects(&worker, (uint16_t)port);
    CHECK(expected == COUNT(usual), "%u ports", expected);
}

TEST(server_first_remembers_each_port_alone)
{
    static const uint16_t seen[] = {0, 63, 64, 8080, UINT16_MAX};
    struct worker worker = {0}, other = {0};
    EACH (port, seen) {
        CHECK(!server_first_expects(&worker, *port), "%u", *port);
        server_first_remember(&worker, *port);
        CHECK(server_first_expects(&worker, *port), "%u", *port);
        CHECK(!server_first_expects(&worker, (uint16_t)(*port ^ 1)), "beside %u", *port);
        CHECK(!server_first_expects(&other, *port), "another worker has not seen it");
    }
    mem_free(worker.server_first);
}
