#include "xds/ads_session.h"

#include "xds/peer.h"

static void settle_mesh(struct peer *p)
{
    edit(p, RESOURCE_CLUSTER, "a=1");
    edit(p, RESOURCE_ENDPOINTS, "a=1");
    edit(p, RESOURCE_LISTENER, "l=1");
    edit(p, RESOURCE_ROUTE, "r=a");
    publish(p);
    delta_say(p, RESOURCE_CLUSTER, "", NULL, NULL);
    HEARS(p, "CDS a=1");
    delta_say(p, RESOURCE_ENDPOINTS, "a", NULL, NULL);
    HEARS(p, "EDS a=1");
    delta_say(p, RESOURCE_CLUSTER, "", "1", NULL);
    delta_say(p, RESOURCE_ENDPOINTS, "", "2", NULL);
    delta_say(p, RESOURCE_LISTENER, "", NULL, NULL);
    HEARS(p, "LDS l=1");
    ack(p);
    delta_say(p, RESOURCE_ROUTE, "r", NULL, NULL);
    HEARS(p, "RDS r=a");
    ack(p);
    CHECK(ads_session_is_settled(p->session));
}

TEST(ads_new_service_reaches_routes_after_its_cluster_and_endpoints_were_taken)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    settle_mesh(&p);
    edit(&p, RESOURCE_CLUSTER, "b=1");
    edit(&p, RESOURCE_ENDPOINTS, "b=1");
    edit(&p, RESOURCE_ROUTE, "r=a,b");
    publish(&p);
    HEARS(&p, "CDS b=1");
    HEARS(&p, ""); /* the route waits for the cluster */
    ack(&p);
    HEARS(&p, ""); /* and for its endpoints, which the client is about to ask for */
    delta_say(&p, RESOURCE_ENDPOINTS, "b", NULL, NULL);
    HEARS(&p, "EDS b=1");
    HEARS(&p, "");
    ack(&p);
    HEARS(&p, "RDS r=a,b");
    peer_close(&p);
}

TEST(ads_routes_do_not_wait_for_ever_for_a_client_that_stands_still)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    settle_mesh(&p);
    edit(&p, RESOURCE_CLUSTER, "b=1");
    edit(&p, RESOURCE_ENDPOINTS, "b=1");
    edit(&p, RESOURCE_ROUTE, "r=a,b");
    publish(&p);
    HEARS(&p, "CDS b=1");
    HEARS(&p, "");
    CHECK(ads_session_next_ms(p.session) == p.now_ms + 5000);
    CHECK(ads_session_oldest_unanswered_ms(p.session) == p.now_ms);
    p.now_ms += 4999;
    HEARS(&p, "");
    p.now_ms += 1;
    HEARS(&p, "RDS r=a,b");
    peer_close(&p);
}

TEST(ads_routes_do_not_wait_for_a_cluster_that_was_refused)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    settle_mesh(&p);
    edit(&p, RESOURCE_CLUSTER, "b=1");
    edit(&p, RESOURCE_ENDPOINTS, "b=1");
    edit(&p, RESOURCE_ROUTE, "r=a,b");
    publish(&p);
    HEARS(&p, "CDS b=1");
    delta_say(&p, RESOURCE_CLUSTER, "", p.response.nonce, "b: bad");
    HEARS(&p, "RDS r=a,b");
    peer_close(&p);
}

TEST(ads_endpoint_changes_do_not_hold_routes_back)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    settle_mesh(&p);
    edit(&p, RESOURCE_ENDPOINTS, "a=2");
    edit(&p, RESOURCE_ROUTE, "r=a2");
    publish(&p);
    HEARS(&p, "EDS a=2");
    HEARS(&p, "RDS r=a2");
    peer_close(&p);
}

TEST(ads_cluster_goes_after_the_routes_that_named_it_were_taken)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    settle_mesh(&p);
    edit(&p, RESOURCE_CLUSTER, "b=1 -a");
    edit(&p, RESOURCE_ENDPOINTS, "b=1 -a");
    edit(&p, RESOURCE_ROUTE, "r=b");
    publish(&p);
    HEARS(&p, "CDS b=1");
    ack(&p);
    delta_say(&p, RESOURCE_ENDPOINTS, "b", NULL, NULL);
    HEARS(&p, "EDS b=1");
    ack(&p);
    HEARS(&p, "RDS r=b");
    HEARS(&p, "");
    ack(&p);
    HEARS(&p, "CDS -a");
    HEARS(&p, ""); /* endpoints go after their cluster */
    ack(&p);
    HEARS(&p, "EDS -a");
    ack(&p);
    CHECK(ads_session_is_settled(p.session));
    peer_close(&p);
}

TEST(ads_route_goes_when_the_client_lets_go_or_after_a_while)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    settle_mesh(&p);
    edit(&p, RESOURCE_LISTENER, "l=2");
    edit(&p, RESOURCE_ROUTE, "s=a -r");
    edit(&p, RESOURCE_CLUSTER, "-a");
    publish(&p);
    HEARS(&p, "LDS l=2");
    ack(&p);
    HEARS(&p, ""); /* l=1 may still be serving with r while l=2 waits for s */
    delta_say(&p, RESOURCE_ROUTE, "s", NULL, NULL);
    HEARS(&p, "RDS s=a");
    ack(&p);
    HEARS(&p, "");
    delta_say(&p, RESOURCE_ROUTE, "-r", NULL, NULL);
    HEARS(&p, "CDS -a");
    ack(&p);

    edit(&p, RESOURCE_ROUTE, "-s");
    publish(&p);
    HEARS(&p, "");
    p.now_ms = ads_session_next_ms(p.session);
    HEARS(&p, "RDS -s");
    peer_close(&p);
}

TEST(ads_changed_cluster_brings_its_endpoints_anew_only_to_clients_that_need_them)
{
    for (int fresh = 0; fresh < 2; fresh++) {
        struct peer p = peer_open(ADS_DELTA, NULL);
        ads_session_set_fresh_endpoints(p.session, fresh);
        settle_mesh(&p);
        edit(&p, RESOURCE_CLUSTER, "a=2");
        edit(&p, RESOURCE_ROUTE, "r=a2");
        publish(&p);
        HEARS(&p, "CDS a=2");
        HEARS(&p, fresh ? "EDS a=1" : "");
        if (fresh)
            ack(&p);
        delta_say(&p, RESOURCE_CLUSTER, "", "5", NULL);
        HEARS(&p, "RDS r=a2");
        peer_close(&p);
    }
}

TEST(ads_client_without_endpoint_subscription_is_not_waited_for)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    edit(&p, RESOURCE_CLUSTER, "a=1");
    edit(&p, RESOURCE_ENDPOINTS, "a=1");
    edit(&p, RESOURCE_LISTENER, "l=1");
    publish(&p);
    delta_say(&p, RESOURCE_CLUSTER, "", NULL, NULL);
    delta_say(&p, RESOURCE_LISTENER, "", NULL, NULL);
    HEARS(&p, "CDS a=1");
    HEARS(&p, "");
    ack(&p);
    HEARS(&p, "LDS l=1");
    peer_close(&p);
}

TEST(ads_session_stays_what_it_is_when_the_class_lifts_a_refusal)
{
    struct refusals *refusals = refusals_create();
    struct peer p = peer_open(ADS_DELTA, refusals);
    edit(&p, RESOURCE_ROUTE, "r=1");
    publish(&p);
    delta_say(&p, RESOURCE_ROUTE, "r", NULL, NULL);
    HEARS(&p, "RDS r=1");
    ack(&p);
    edit(&p, RESOURCE_ROUTE, "r=2");
    struct blob *second = blob_table_find(p.tables[RESOURCE_ROUTE], SLICE("r"));
    refusals_note(refusals, second, SLICE("x"));
    refusals_note(refusals, second, SLICE("y"));
    publish(&p);
    HEARS(&p, "");
    refusals_accept(refusals, second, SLICE("z"));
    HEARS(&p, "RDS r=2");
    peer_close(&p);
    refusals_destroy(refusals);
}

TEST(ads_cluster_stays_after_a_reconnect_until_the_client_has_spoken_of_its_routes)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    char held[256];
    edit(&p, RESOURCE_CLUSTER, "a=1 b=1");
    edit(&p, RESOURCE_LISTENER, "l=1");
    edit(&p, RESOURCE_ROUTE, "r=a");
    snprintf(held, sizeof(held), "a@%s", version_of(&p, RESOURCE_CLUSTER, "a"));
    edit(&p, RESOURCE_CLUSTER, "-a");
    edit(&p, RESOURCE_ROUTE, "r=b");
    publish(&p);
    delta_say(&p, RESOURCE_CLUSTER, held, NULL, NULL);
    HEARS(&p, "CDS b=1");
    ack(&p);
    HEARS(&p, "");
    snprintf(held, sizeof(held), "l@%s", version_of(&p, RESOURCE_LISTENER, "l"));
    delta_say(&p, RESOURCE_LISTENER, held, NULL, NULL);
    HEARS(&p, "LDS");
    ack(&p);
    HEARS(&p, "");
    delta_say(&p, RESOURCE_ROUTE, "r r@1", NULL, NULL);
    HEARS(&p, "RDS r=b");
    HEARS(&p, "");
    ack(&p);
    HEARS(&p, "CDS -a");
    peer_close(&p);
}
