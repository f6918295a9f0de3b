#include "xds/sotw_server.h"

#include "xds/peer.h"

TEST(sotw_complete_types_answer_with_the_whole_set)
{
    struct peer p = peer_open(ADS_SOTW, NULL);
    edit(&p, RESOURCE_CLUSTER, "a=1 b=1");
    publish(&p);
    sotw_say(&p, RESOURCE_CLUSTER, "", NULL, NULL);
    HEARS(&p, "CDS a=1 b=1");
    HEARS(&p, "");
    ack(&p);
    HEARS(&p, "");
    edit(&p, RESOURCE_CLUSTER, "b=2 -a");
    publish(&p);
    HEARS(&p, "CDS b=2");
    ack(&p);
    HEARS(&p, "");
    peer_close(&p);
}

TEST(sotw_cluster_stays_in_the_set_until_the_routes_that_named_it_were_taken)
{
    struct peer p = peer_open(ADS_SOTW, NULL);
    edit(&p, RESOURCE_CLUSTER, "a=1");
    edit(&p, RESOURCE_ROUTE, "r=a");
    publish(&p);
    sotw_say(&p, RESOURCE_CLUSTER, "", NULL, NULL);
    HEARS(&p, "CDS a=1");
    ack(&p);
    sotw_say(&p, RESOURCE_ROUTE, "r", NULL, NULL);
    HEARS(&p, "RDS r=a");
    ack(&p);
    edit(&p, RESOURCE_CLUSTER, "b=1 -a");
    edit(&p, RESOURCE_ROUTE, "r=b");
    publish(&p);
    HEARS(&p, "CDS a=1 b=1");
    ack(&p);
    HEARS(&p, "RDS r=b");
    HEARS(&p, "");
    ack(&p);
    HEARS(&p, "CDS b=1");
    peer_close(&p);
}

TEST(sotw_version_is_that_of_the_set_and_the_same_on_every_replica)
{
    struct peer p = peer_open(ADS_SOTW, NULL), q = peer_open(ADS_SOTW, NULL);
    edit(&p, RESOURCE_CLUSTER, "a=1 b=1");
    edit(&q, RESOURCE_CLUSTER, "b=0");
    publish(&p);
    publish(&q);
    sotw_say(&p, RESOURCE_CLUSTER, "", NULL, NULL);
    sotw_say(&q, RESOURCE_CLUSTER, "", NULL, NULL);
    HEARS(&p, "CDS a=1 b=1");
    HEARS(&q, "CDS b=0");
    CHECK(strcmp(p.response.version, q.response.version) != 0);
    ack(&q);
    edit(&q, RESOURCE_CLUSTER, "a=1 b=1");
    publish(&q);
    HEARS(&q, "CDS a=1 b=1");
    CHECK(strcmp(p.response.version, q.response.version) == 0);
    peer_close(&p);
    peer_close(&q);
}

TEST(sotw_additive_types_answer_with_what_is_new)
{
    struct peer p = peer_open(ADS_SOTW, NULL);
    edit(&p, RESOURCE_ENDPOINTS, "a=1 b=1 c=1");
    publish(&p);
    sotw_say(&p, RESOURCE_ENDPOINTS, "a", NULL, NULL);
    HEARS(&p, "EDS a=1");
    ack(&p);
    sotw_say(&p, RESOURCE_ENDPOINTS, "a b x", p.response.nonce, NULL);
    HEARS(&p, "EDS b=1");
    ack(&p);
    sotw_say(&p, RESOURCE_ENDPOINTS, "b x", p.response.nonce, NULL);
    HEARS(&p, "");
    edit(&p, RESOURCE_ENDPOINTS, "a=2 b=2 c=2 x=1");
    publish(&p);
    HEARS(&p, "EDS b=2 x=1");
    ack(&p);
    edit(&p, RESOURCE_ENDPOINTS, "-b");
    publish(&p);
    HEARS(&p, ""); /* there is no way to say so */
    peer_close(&p);
}

TEST(sotw_named_set_of_a_complete_type_tells_absence_by_leaving_out)
{
    struct peer p = peer_open(ADS_SOTW, NULL);
    edit(&p, RESOURCE_LISTENER, "l=1 m=1");
    publish(&p);
    sotw_say(&p, RESOURCE_LISTENER, "l", NULL, NULL);
    HEARS(&p, "LDS l=1");
    ack(&p);
    sotw_say(&p, RESOURCE_LISTENER, "l nowhere", p.response.nonce, NULL);
    HEARS(&p, "LDS l=1");
    ack(&p);
    edit(&p, RESOURCE_LISTENER, "-l");
    publish(&p);
    HEARS(&p, "LDS");
    ack(&p);
    edit(&p, RESOURCE_LISTENER, "nowhere=1 m=2");
    publish(&p);
    HEARS(&p, "LDS nowhere=1");
    peer_close(&p);
}

TEST(sotw_no_names_mean_all_only_until_a_name_was_given)
{
    struct peer p = peer_open(ADS_SOTW, NULL);
    edit(&p, RESOURCE_CLUSTER, "a=1 b=1");
    publish(&p);
    sotw_say(&p, RESOURCE_CLUSTER, "", NULL, NULL);
    HEARS(&p, "CDS a=1 b=1");
    sotw_say(&p, RESOURCE_CLUSTER, "", p.response.nonce, NULL);
    sotw_say(&p, RESOURCE_CLUSTER, "a", p.response.nonce, NULL);
    HEARS(&p, "CDS a=1");
    ack(&p);
    edit(&p, RESOURCE_CLUSTER, "b=2");
    publish(&p);
    HEARS(&p, "");
    sotw_say(&p, RESOURCE_CLUSTER, "", p.response.nonce, NULL);
    edit(&p, RESOURCE_CLUSTER, "a=2");
    publish(&p);
    HEARS(&p, ""); /* everything was given up */
    sotw_say(&p, RESOURCE_CLUSTER, "*", p.response.nonce, NULL);
    HEARS(&p, "CDS a=2 b=2");
    ack(&p);
    peer_close(&p);

    p = peer_open(ADS_SOTW, NULL);
    edit(&p, RESOURCE_ENDPOINTS, "a=1");
    publish(&p);
    sotw_say(&p, RESOURCE_ENDPOINTS, "", NULL, NULL);
    HEARS(&p, "");
    peer_close(&p);
}

TEST(sotw_request_with_an_old_nonce_is_ignored_whole)
{
    struct peer p = peer_open(ADS_SOTW, NULL);
    edit(&p, RESOURCE_ENDPOINTS, "a=1 b=1");
    publish(&p);
    sotw_say(&p, RESOURCE_ENDPOINTS, "a", NULL, NULL);
    HEARS(&p, "EDS a=1");
    ack(&p);
    char old[24];
    snprintf(old, sizeof(old), "%s", p.response.nonce);
    edit(&p, RESOURCE_ENDPOINTS, "a=2");
    publish(&p);
    HEARS(&p, "EDS a=2");
    sotw_say(&p, RESOURCE_ENDPOINTS, "a b", old, NULL);
    HEARS(&p, "");
    sotw_say(&p, RESOURCE_ENDPOINTS, "a b", p.response.nonce, NULL);
    HEARS(&p, "EDS b=1");
    peer_close(&p);
}

TEST(sotw_type_begun_anew_without_nonce_is_answered_whole)
{
    struct peer p = peer_open(ADS_SOTW, NULL);
    edit(&p, RESOURCE_ENDPOINTS, "a=1 b=1");
    publish(&p);
    sotw_say(&p, RESOURCE_ENDPOINTS, "a b", NULL, NULL);
    HEARS(&p, "EDS a=1 b=1");
    sotw_say(&p, RESOURCE_ENDPOINTS, "a", NULL, NULL);
    HEARS(&p, ""); /* it has not seen the response yet; the answer will say so again */
    ack(&p);
    sotw_say(&p, RESOURCE_ENDPOINTS, "a", NULL, NULL);
    HEARS(&p, "EDS a=1");
    peer_close(&p);

    p = peer_open(ADS_SOTW, NULL); /* a nonce of another stream */
    edit(&p, RESOURCE_CLUSTER, "a=1");
    publish(&p);
    sotw_say(&p, RESOURCE_CLUSTER, "", "99", NULL);
    HEARS(&p, "CDS a=1");
    peer_close(&p);
}

TEST(sotw_refused_cluster_stays_at_its_last_good_version_in_later_sets)
{
    struct peer p = peer_open(ADS_SOTW, NULL);
    edit(&p, RESOURCE_CLUSTER, "a=1 b=1");
    publish(&p);
    sotw_say(&p, RESOURCE_CLUSTER, "", NULL, NULL);
    HEARS(&p, "CDS a=1 b=1");
    ack(&p);
    edit(&p, RESOURCE_CLUSTER, "a=2 new=1");
    publish(&p);
    HEARS(&p, "CDS a=2 b=1 new=1");
    sotw_say(&p, RESOURCE_CLUSTER, "", p.response.nonce, "a: bad; new: worse");
    HEARS(&p, "");
    edit(&p, RESOURCE_CLUSTER, "b=2");
    publish(&p);
    HEARS(&p, "CDS a=1 b=2");
    ack(&p);
    edit(&p, RESOURCE_CLUSTER, "a=3 new=2");
    publish(&p);
    HEARS(&p, "CDS a=3 b=2 new=2");
    peer_close(&p);
}

TEST(sotw_request_beyond_its_limits_is_refused)
{
    struct ads_session_limits limits = ads_session_default_limits;
    limits.max_names = 2;
    struct peer p = peer_open(ADS_SOTW, NULL);
    ads_session_destroy(p.session);
    p.session = ads_session_create(ADS_SOTW, &limits, SLICE("c"), NULL);
    CHECK(sotw_say(&p, RESOURCE_ENDPOINTS, "a b c", NULL, NULL) == ADS_TOO_MANY);
    CHECK(sotw_say(&p, RESOURCE_ENDPOINTS, "a b", NULL, NULL) == ADS_TAKEN);
    struct sotw_request strange = {.type_url = SLICE("istio.io/debug/syncz")};
    CHECK(sotw_server_read(p.session, &strange, 0) == ADS_STRANGE_TYPE);
    peer_close(&p);
}
