#include "xds/ads_client.h"

#include "xds/mesh.h"

TEST(ads_client_gets_what_it_watches_and_follows_changes)
{
    struct mesh *m = mesh_open(NULL, 1);
    struct proxy p;
    mesh_edit(m, RESOURCE_CLUSTER, "a=1 b=1");
    mesh_edit(m, RESOURCE_ENDPOINTS, "a=1 b=1 c=1");
    mesh_publish(m);
    proxy_open(&p, m, "p", 0);
    p.follow = true;
    ads_client_watch_all(p.client, RESOURCE_CLUSTER);
    ads_client_start(p.client);
    pair_run(m->pair, NULL, 200);
    CHECK(p.connects == 1 && proxy_has(&p, RESOURCE_CLUSTER, "a", "1") &&
          proxy_has(&p, RESOURCE_ENDPOINTS, "b", "1"));
    CHECK(proxy_has(&p, RESOURCE_ENDPOINTS, "c", NULL));
    mesh_edit(m, RESOURCE_CLUSTER, "-a b=2");
    mesh_edit(m, RESOURCE_ENDPOINTS, "-a");
    mesh_publish(m);
    pair_run(m->pair, NULL, 200);
    CHECK(proxy_has(&p, RESOURCE_CLUSTER, "a", NULL) && proxy_has(&p, RESOURCE_CLUSTER, "b", "2"));
    CHECK(m->settled == 2 && m->nacks == 0);
    struct ads_client_status status;
    ads_client_status(p.client, &status);
    CHECK(status.connected && strcmp(status.control_plane, "tulled test") == 0 &&
          status.error[0] == '\0');
    CHECK(status.updates[RESOURCE_CLUSTER] >= 2 && status.rejected[RESOURCE_CLUSTER] == 0);
    proxy_close(&p);
    mesh_close(m);
}

TEST(ads_client_refuses_one_and_keeps_the_rest)
{
    struct mesh *m = mesh_open(NULL, 1);
    struct proxy p;
    mesh_edit(m, RESOURCE_LISTENER, "a=1 b=1");
    mesh_publish(m);
    proxy_open(&p, m, "p", 0);
    p.refuse = "bad";
    ads_client_watch_all(p.client, RESOURCE_LISTENER);
    ads_client_start(p.client);
    pair_run(m->pair, NULL, 200);
    mesh_edit(m, RESOURCE_LISTENER, "a=bad b=2");
    mesh_publish(m);
    pair_run(m->pair, NULL, 200);
    CHECK(proxy_has(&p, RESOURCE_LISTENER, "a", "1") && proxy_has(&p, RESOURCE_LISTENER, "b", "2"));
    CHECK(m->nacks == 1 && strcmp(m->last_nack, "1 of 2 resources refused: a: it is bad") == 0,
          "%s", m->last_nack);
    unsigned updates = p.updates;
    pair_run(m->pair, NULL, 60000);
    CHECK(p.updates == updates, "it is not sent again");
    proxy_close(&p);
    mesh_close(m);
}

TEST(ads_client_comes_back_after_a_restart_and_receives_nothing_that_it_has)
{
    struct mesh *m = mesh_open(NULL, 1);
    struct proxy p;
    mesh_edit(m, RESOURCE_CLUSTER, "a=1 b=1 c=1");
    mesh_publish(m);
    proxy_open(&p, m, "p", 0);
    ads_client_watch_all(p.client, RESOURCE_CLUSTER);
    ads_client_start(p.client);
    pair_run(m->pair, NULL, 200);
    CHECK(p.taken == 3);
    for (unsigned round = 0; round < 10; round++) {
        ads_server_destroy(m->server);
        rpc_server_close(m->pair->server);
        m->stream_count = 0;
        m->pair->server = rpc_server_create(&m->pair->means, NULL);
        pair_run(m->pair, NULL, 300 * round);
        CHECK(rpc_server_listen(m->pair->server, &(struct rpc_listen){.fd = m->pair->fd}, NULL) ==
              0);
        m->server = ads_server_create(m->pair->loop, m->pair->server, NULL, SLICE("again"),
                                      &mesh_source, m);
        pair_run(m->pair, NULL, 60000);
        CHECK(p.connects == round + 2, "%u after round %u: %s", p.connects, round, p.reason);
        CHECK(p.taken == 3, "%zu resources after round %u", p.taken, round);
    }
    mesh_edit(m, RESOURCE_CLUSTER, "b=2");
    mesh_publish(m);
    pair_run(m->pair, NULL, 200);
    CHECK(p.taken == 4 && proxy_has(&p, RESOURCE_CLUSTER, "b", "2"));
    proxy_close(&p);
    mesh_close(m);
}

TEST(ads_client_resumes_from_what_it_kept_on_disk)
{
    struct mesh *m = mesh_open(NULL, 1);
    struct proxy p;
    char version[33];
    mesh_edit(m, RESOURCE_CLUSTER, "a=1 b=1");
    mesh_publish(m);
    hash128_hex(blob_table_find(m->tables[RESOURCE_CLUSTER], SLICE("a"))->version, version);
    proxy_open(&p, m, "p", 0);
    ads_client_watch_all(p.client, RESOURCE_CLUSTER);
    ads_client_hold(p.client, RESOURCE_CLUSTER, SLICE("a"), slice_str(version));
    ads_client_hold(p.client, RESOURCE_CLUSTER, SLICE("old"), SLICE("whatever"));
    ads_client_start(p.client);
    pair_run(m->pair, NULL, 8000);
    CHECK(p.taken == 1 && proxy_has(&p, RESOURCE_CLUSTER, "b", "1"));
    proxy_close(&p);
    mesh_close(m);
}

TEST(ads_client_says_why_it_is_not_connected)
{
    struct mesh *m = mesh_open(NULL, 1);
    struct proxy p;
    struct ads_client_status status;
    proxy_open(&p, m, "p", 7777);
    ads_client_watch_all(p.client, RESOURCE_CLUSTER);
    ads_client_start(p.client);
    pair_run(m->pair, NULL, 100000);
    ads_client_status(p.client, &status);
    CHECK(p.connects == 0 && p.disconnects > 3 && p.disconnects < 100, "%u", p.disconnects);
    CHECK(strstr(p.reason, "UNAVAILABLE: 10.0.0.1:7777: "), "%s", p.reason);
    CHECK(!status.connected && strcmp(status.error, p.reason) == 0);
    proxy_close(&p);

    m->refuse = true;
    proxy_open(&p, m, "p", 0);
    ads_client_watch_all(p.client, RESOURCE_CLUSTER);
    ads_client_start(p.client);
    pair_run(m->pair, NULL, 1000);
    CHECK(strcmp(p.reason, "PERMISSION_DENIED: not you") == 0, "%s", p.reason);
    proxy_close(&p);
    mesh_close(m);
}

/* Over a bad network, with streams lost at random, clients end with the server's view. */
TEST(ads_clients_converge_over_a_bad_network)
{
    for (unsigned s = 0; s < sim_seed_count(60); s++) {
        uint64_t seed = sim_seed(s);
        struct mesh *m = mesh_open(NULL, seed);
        struct sim_faults faults = sim_usual_faults();
        struct random random;
        struct proxy proxies[3];
        random_seed(&random, seed);
        faults.reset = seed % 2 ? 2 : 0;
        sim_set_faults(m->pair->loop, &faults);
        mesh_edit(m, RESOURCE_CLUSTER, "c0=0");
        mesh_edit(m, RESOURCE_ENDPOINTS, "c0=0");
        mesh_publish(m);
        for (unsigned i = 0; i < 3; i++) {
            proxy_open(&proxies[i], m, "p", 0);
            proxies[i].follow = true;
            ads_client_watch_all(proxies[i].client, RESOURCE_CLUSTER);
            ads_client_start(proxies[i].client);
        }
        for (unsigned step = 0; step < 30; step++) {
            char words[64];
            unsigned name = (unsigned)random_below(&random, 8),
                     body = (unsigned)random_below(&random, 9);
            snprintf(words, sizeof(words), body ? "c%u=%u" : "-c%u", name, body);
            mesh_edit(m, RESOURCE_CLUSTER, words);
            if (body == 0 || !blob_table_find(m->tables[RESOURCE_ENDPOINTS], slice_str(words)))
                mesh_edit(m, RESOURCE_ENDPOINTS, words);
            mesh_publish(m);
            pair_run(m->pair, NULL, random_below(&random, 300));
        }
        sim_set_faults(m->pair->loop, &(struct sim_faults){0});
        pair_run(m->pair, NULL, 120000);
        for (unsigned i = 0; i < 3; i++) {
            for (unsigned c = 0; c < 8; c++) {
                char name[8], body[2] = {0};
                snprintf(name, sizeof(name), "c%u", c);
                struct blob *blob = blob_table_find(m->tables[RESOURCE_CLUSTER], slice_str(name));
                if (blob)
                    body[0] = blob_body(blob).data[0];
                CHECK(proxy_has(&proxies[i], RESOURCE_CLUSTER, name, blob ? body : NULL),
                      "seed %llu %s", (unsigned long long)seed, name);
                blob = blob_table_find(m->tables[RESOURCE_ENDPOINTS], slice_str(name));
                CHECK(!blob || map_get(proxies[i].holds[RESOURCE_ENDPOINTS], slice_str(name)),
                      "seed %llu eds %s", (unsigned long long)seed, name);
            }
            proxy_close(&proxies[i]);
        }
        mesh_close(m);
    }
}
