#include "proxy/listen/server_first.h"

#include "base/memory.h"
#include "proxy/worker.h"

enum { PORTS = 65536, WORD = 64 };

/* SMTP, MS SQL, Oracle, MySQL, NATS and others, PostgreSQL, AMQP, Redis, Elasticsearch, memcached, MongoDB. */
static const uint16_t usual[] = {25,   587,  1433, 1521, 3306,  4444,
                                 5432, 5672, 6379, 9300, 11211, 27017};

bool server_first_expects(const struct worker *worker, uint16_t port)
{
    for (size_t i = 0; i < COUNT(usual); i++)
        if (usual[i] == port)
            return true;
    return worker->server_first && (worker->server_first[port / WORD] >> port % WORD & 1);
}

void server_first_remember(struct worker *worker, uint16_t port)
{
    if (!worker->server_first)
        worker->server_first = mem_calloc(PORTS / WORD, sizeof(*worker->server_first));
    worker->server_first[port / WORD] |= UINT64_C(1) << port % WORD;
}
