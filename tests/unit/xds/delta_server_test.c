#include "xds/delta_server.h"

#include "xds/peer.h"

TEST(delta_wildcard_gets_everything_then_only_what_changes)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    edit(&p, RESOURCE_CLUSTER, "a=1 b=1");
    publish(&p);
    delta_say(&p, RESOURCE_CLUSTER, "", NULL, NULL);
    HEARS(&p, "CDS a=1 b=1");
    HEARS(&p, "");
    ack(&p);
    HEARS(&p, "");
    edit(&p, RESOURCE_CLUSTER, "b=2 c=1 -a");
    publish(&p);
    HEARS(&p, "CDS b=2 c=1 -a");
    ack(&p);
    CHECK(ads_session_is_settled(p.session));
    peer_close(&p);
}

TEST(delta_first_wildcard_request_is_answered_even_with_nothing)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    edit(&p, RESOURCE_CLUSTER, "");
    publish(&p);
    delta_say(&p, RESOURCE_CLUSTER, "", NULL, NULL);
    HEARS(&p, "CDS");
    ack(&p);
    HEARS(&p, "");
    peer_close(&p);
}

TEST(delta_unknown_is_silence_and_never_an_empty_answer)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    delta_say(&p, RESOURCE_CLUSTER, "", NULL, NULL);
    delta_say(&p, RESOURCE_ENDPOINTS, "a", NULL, NULL);
    HEARS(&p, "");
    edit(&p, RESOURCE_CLUSTER, "a=1"); /* a view that knows clusters and nothing of endpoints */
    publish(&p);
    HEARS(&p, "CDS a=1");
    HEARS(&p, "");
    ack(&p);
    HEARS(&p, "");
    edit(&p, RESOURCE_ENDPOINTS, "");
    publish(&p);
    HEARS(&p, "EDS -a");
    peer_close(&p);
}

TEST(delta_names_that_do_not_exist_are_said_to_be_removed_and_come_later)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    edit(&p, RESOURCE_ENDPOINTS, "a=1");
    publish(&p);
    delta_say(&p, RESOURCE_ENDPOINTS, "a b b", NULL, NULL);
    HEARS(&p, "EDS a=1 -b");
    ack(&p);
    edit(&p, RESOURCE_ENDPOINTS, "b=1 c=1");
    publish(&p);
    HEARS(&p, "EDS b=1");
    ack(&p);
    HEARS(&p, "");
    peer_close(&p);
}

TEST(delta_name_asked_for_again_is_sent_again)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    edit(&p, RESOURCE_ROUTE, "r=1 s=1");
    publish(&p);
    delta_say(&p, RESOURCE_ROUTE, "r s", NULL, NULL);
    HEARS(&p, "RDS r=1 s=1");
    ack(&p);
    delta_say(&p, RESOURCE_ROUTE, "r", NULL, NULL);
    HEARS(&p, "RDS r=1");
    ack(&p);
    delta_say(&p, RESOURCE_ROUTE, "-r", NULL, NULL);
    HEARS(&p, "");
    edit(&p, RESOURCE_ROUTE, "r=2");
    publish(&p);
    HEARS(&p, "");
    delta_say(&p, RESOURCE_ROUTE, "-nonsense r", NULL, NULL);
    HEARS(&p, "RDS r=2");
    peer_close(&p);
}

TEST(delta_name_given_up_under_the_wildcard_is_told_once_more)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    edit(&p, RESOURCE_CLUSTER, "a=1 b=1");
    publish(&p);
    delta_say(&p, RESOURCE_CLUSTER, "* a x", NULL, NULL);
    HEARS(&p, "CDS a=1 b=1 -x");
    ack(&p);
    delta_say(&p, RESOURCE_CLUSTER, "-a -x", NULL, NULL);
    HEARS(&p, "CDS a=1 -x");
    ack(&p);
    delta_say(&p, RESOURCE_CLUSTER, "b -*", NULL, NULL);
    HEARS(&p, "CDS b=1");
    ack(&p);
    edit(&p, RESOURCE_CLUSTER, "a=2 b=2 c=1");
    publish(&p);
    HEARS(&p, "CDS b=2");
    peer_close(&p);
}

TEST(delta_reconnect_sends_what_differs_from_what_is_held)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    char words[256], same[33];
    edit(&p, RESOURCE_CLUSTER, "a=1 b=2 c=3");
    snprintf(same, sizeof(same), "%s", version_of(&p, RESOURCE_CLUSTER, "a"));
    snprintf(words, sizeof(words),
             "a@%s b@0123456789abcdef0123456789abcdef gone@2026-01-31T00:00:00Z/7", same);
    publish(&p);
    delta_say(&p, RESOURCE_CLUSTER, words, NULL, NULL);
    HEARS(&p, "CDS b=2 c=3");
    ack(&p);
    p.now_ms = ads_session_next_ms(p.session);
    HEARS(&p, "CDS -gone");
    ack(&p);
    CHECK(hash128_equals(ads_session_status(p.session, RESOURCE_CLUSTER)->version_acked,
                         blob_table_version(p.tables[RESOURCE_CLUSTER])));

    struct peer q = peer_open(ADS_DELTA, NULL);
    edit(&q, RESOURCE_ENDPOINTS, "a=1 b=1");
    snprintf(words, sizeof(words), "a b stranger@1 a@%s", version_of(&q, RESOURCE_ENDPOINTS, "a"));
    delta_say(&q, RESOURCE_ENDPOINTS, words, NULL, NULL);
    publish(&q);
    HEARS(&q, "EDS b=1");
    peer_close(&p);
    peer_close(&q);
}

TEST(delta_reconnect_with_everything_held_sends_no_resource)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    char words[128];
    edit(&p, RESOURCE_CLUSTER, "a=1");
    publish(&p);
    snprintf(words, sizeof(words), "a@%s", version_of(&p, RESOURCE_CLUSTER, "a"));
    delta_say(&p, RESOURCE_CLUSTER, words, NULL, NULL);
    HEARS(&p, "CDS");
    CHECK(!ads_session_is_current(p.session, RESOURCE_CLUSTER), "its answer is awaited");
    ack(&p);
    CHECK(ads_session_is_current(p.session, RESOURCE_CLUSTER));
    edit(&p, RESOURCE_ENDPOINTS, "a=1");
    snprintf(words, sizeof(words), "a a@%s", version_of(&p, RESOURCE_ENDPOINTS, "a"));
    CHECK(!ads_session_is_current(p.session, RESOURCE_ENDPOINTS), "it is not asked for");
    delta_say(&p, RESOURCE_ENDPOINTS, words, NULL, NULL);
    publish(&p);
    HEARS(&p, "");
    CHECK(ads_session_is_current(p.session, RESOURCE_ENDPOINTS), "although nothing was sent");
    edit(&p, RESOURCE_ENDPOINTS, "a=2");
    publish(&p);
    CHECK(!ads_session_is_current(p.session, RESOURCE_ENDPOINTS));
    peer_close(&p);
}

TEST(delta_changes_while_a_response_is_unanswered_wait_for_the_answer)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    edit(&p, RESOURCE_ENDPOINTS, "a=1");
    publish(&p);
    delta_say(&p, RESOURCE_ENDPOINTS, "a", NULL, NULL);
    HEARS(&p, "EDS a=1");
    for (unsigned i = 2; i < 6; i++) {
        char words[8];
        snprintf(words, sizeof(words), "a=%u", i);
        edit(&p, RESOURCE_ENDPOINTS, words);
        publish(&p);
        HEARS(&p, "");
    }
    ack(&p);
    HEARS(&p, "EDS a=5");
    edit(&p, RESOURCE_ENDPOINTS, "a=6");
    publish(&p);
    edit(&p, RESOURCE_ENDPOINTS, "a=5");
    publish(&p);
    ack(&p);
    HEARS(&p, "");
    peer_close(&p);
}

TEST(delta_stale_and_foreign_nonces_change_no_state_but_their_names_count)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    edit(&p, RESOURCE_ENDPOINTS, "a=1 b=1");
    publish(&p);
    delta_say(&p, RESOURCE_ENDPOINTS, "a", NULL, NULL);
    HEARS(&p, "EDS a=1");
    delta_say(&p, RESOURCE_ENDPOINTS, "b", "77", NULL);
    delta_say(&p, RESOURCE_ENDPOINTS, "", "nonsense", "refused");
    HEARS(&p, "");
    CHECK(ads_session_status(p.session, RESOURCE_ENDPOINTS)->rejections == 0);
    ack(&p);
    HEARS(&p, "EDS b=1");
    ack(&p);
    delta_say(&p, RESOURCE_ENDPOINTS, "", p.response.nonce,
              "twice"); /* the answer to an answered response */
    CHECK(ads_session_status(p.session, RESOURCE_ENDPOINTS)->rejections == 0);
    peer_close(&p);
}

TEST(delta_refused_resource_is_not_sent_again_until_it_changes)
{
    struct refusals *refusals = refusals_create();
    struct peer p = peer_open(ADS_DELTA, refusals);
    edit(&p, RESOURCE_ROUTE, "bad=1 good=1");
    publish(&p);
    delta_say(&p, RESOURCE_ROUTE, "bad good", NULL, NULL);
    HEARS(&p, "RDS bad=1 good=1");
    ack(&p);
    edit(&p, RESOURCE_ROUTE, "bad=2 good=2");
    publish(&p);
    HEARS(&p, "RDS bad=2 good=2");
    delta_say(&p, RESOURCE_ROUTE, "", p.response.nonce,
              "1 of 2 resources refused: bad: no such cluster");
    HEARS(&p, "");
    CHECK(strstr(ads_session_status(p.session, RESOURCE_ROUTE)->error, "no such cluster"));
    edit(&p, RESOURCE_ROUTE, "good=3");
    publish(&p);
    HEARS(&p, "RDS good=3");
    ack(&p);
    CHECK(!ads_session_status(p.session, RESOURCE_ROUTE)->error, "a later response was accepted");
    edit(&p, RESOURCE_ROUTE, "bad=1"); /* which the client still has */
    publish(&p);
    HEARS(&p, "");
    edit(&p, RESOURCE_ROUTE, "bad=2"); /* the refused one once more */
    publish(&p);
    HEARS(&p, "");
    edit(&p, RESOURCE_ROUTE, "bad=3");
    publish(&p);
    HEARS(&p, "RDS bad=3");
    peer_close(&p);
    refusals_destroy(refusals);
}

TEST(delta_refusal_survives_a_reconnect_of_the_client)
{
    struct refusals *refusals = refusals_create();
    struct peer p = peer_open(ADS_DELTA, refusals);
    char words[128];
    edit(&p, RESOURCE_ROUTE, "r=1");
    snprintf(words, sizeof(words), "r r@%s", version_of(&p, RESOURCE_ROUTE, "r"));
    publish(&p);
    delta_say(&p, RESOURCE_ROUTE, "r", NULL, NULL);
    HEARS(&p, "RDS r=1");
    ack(&p);
    edit(&p, RESOURCE_ROUTE, "r=2");
    publish(&p);
    HEARS(&p, "RDS r=2");
    delta_say(&p, RESOURCE_ROUTE, "", p.response.nonce, "bad");
    peer_close(&p);

    p = peer_open(ADS_DELTA, refusals);
    edit(&p, RESOURCE_ROUTE, "r=2");
    publish(&p);
    delta_say(&p, RESOURCE_ROUTE, words, NULL, NULL);
    HEARS(&p, "");
    edit(&p, RESOURCE_ROUTE, "r=3");
    publish(&p);
    HEARS(&p, "RDS r=3");
    peer_close(&p);

    p = peer_open(ADS_DELTA, refusals); /* who holds nothing is sent even that */
    edit(&p, RESOURCE_ROUTE, "r=2");
    publish(&p);
    delta_say(&p, RESOURCE_ROUTE, "r", NULL, NULL);
    HEARS(&p, "RDS r=2");
    peer_close(&p);
    refusals_destroy(refusals);
}

TEST(delta_what_was_taken_with_a_refused_response_is_refused_no_longer)
{
    struct refusals *refusals = refusals_create();
    struct peer p = peer_open(ADS_DELTA, refusals);
    edit(&p, RESOURCE_ROUTE, "q=1 r=2");
    publish(&p);
    delta_say(&p, RESOURCE_ROUTE, "q r", NULL, NULL);
    HEARS(&p, "RDS q=1 r=2");
    delta_say(&p, RESOURCE_ROUTE, "", p.response.nonce, "r: bad");
    peer_close(&p);

    p = peer_open(ADS_DELTA,
                  refusals); /* who holds nothing is sent it again, and takes it this time */
    edit(&p, RESOURCE_ROUTE, "q=1 r=2");
    publish(&p);
    delta_say(&p, RESOURCE_ROUTE, "q r", NULL, NULL);
    HEARS(&p, "RDS q=1 r=2");
    delta_say(&p, RESOURCE_ROUTE, "", p.response.nonce, "q: bad");
    edit(&p, RESOURCE_ROUTE, "r=3");
    publish(&p);
    HEARS(&p, "RDS r=3");
    ack(&p);
    edit(&p, RESOURCE_ROUTE, "r=2");
    publish(&p);
    HEARS(&p, "RDS r=2");
    peer_close(&p);
    refusals_destroy(refusals);
}

TEST(delta_short_name_is_not_blamed_for_being_part_of_another)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    edit(&p, RESOURCE_ROUTE, "80=1 outbound|80||a=1");
    publish(&p);
    delta_say(&p, RESOURCE_ROUTE, "80 outbound|80||a", NULL, NULL);
    HEARS(&p, "RDS 80=1 outbound|80||a=1");
    delta_say(&p, RESOURCE_ROUTE, "", p.response.nonce, "route outbound|80||a: bad");
    const struct subscription *sub = ads_session_subscription(p.session, RESOURCE_ROUTE);
    CHECK(sub->entries.items[0].flags == (ENTRY_NAMED | ENTRY_HELD));
    CHECK(sub->entries.items[1].flags == (ENTRY_NAMED | ENTRY_REFUSED));
    peer_close(&p);
}

TEST(delta_response_is_cut_at_its_budget_and_goes_on_after_the_answer)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    struct ads_session_limits limits = ads_session_default_limits;
    limits.max_response_resources = 2;
    ads_session_destroy(p.session);
    p.session = ads_session_create(ADS_DELTA, &limits, SLICE("c"), NULL);
    edit(&p, RESOURCE_CLUSTER, "a=1 b=1 c=1 d=1 e=1");
    publish(&p);
    delta_say(&p, RESOURCE_CLUSTER, "", NULL, NULL);
    HEARS(&p, "CDS a=1 b=1");
    ack(&p);
    edit(&p, RESOURCE_CLUSTER, "a=2 -b");
    publish(&p);
    HEARS(&p, "CDS a=2 c=1");
    ack(&p);
    HEARS(&p, "CDS d=1 e=1");
    ack(&p);
    HEARS(&p, "CDS -b");
    peer_close(&p);
}

TEST(delta_request_beyond_its_limits_is_refused)
{
    struct peer p = peer_open(ADS_DELTA, NULL);
    struct ads_session_limits limits = ads_session_default_limits;
    limits.max_names = 3;
    ads_session_destroy(p.session);
    p.session = ads_session_create(ADS_DELTA, &limits, SLICE("c"), NULL);
    CHECK(delta_say(&p, RESOURCE_ENDPOINTS, "a b c", NULL, NULL) == ADS_TAKEN);
    CHECK(delta_say(&p, RESOURCE_ENDPOINTS, "d", NULL, NULL) == ADS_TOO_MANY);
    CHECK(delta_say(&p, RESOURCE_ROUTE, "a b c d", NULL, NULL) == ADS_TOO_MANY);
    CHECK(delta_say(&p, RESOURCE_CLUSTER, "a@1 b@1 c@1 d@1", NULL, NULL) == ADS_TOO_MANY);

    static char name[BLOB_NAME_MAX + 2];
    memset(name, 'n', BLOB_NAME_MAX + 1);
    CHECK(delta_say(&p, RESOURCE_ROUTE, name, NULL, NULL) == ADS_BAD_NAME);
    name[BLOB_NAME_MAX] = '\0';
    CHECK(delta_say(&p, RESOURCE_ROUTE, name, NULL, NULL) == ADS_TAKEN);

    struct delta_request strange = {.type_url = SLICE("type.googleapis.com/what.is.This")};
    CHECK(delta_server_read(p.session, &strange, 0) == ADS_STRANGE_TYPE);
    struct slice empty = SLICE_NONE;
    struct delta_request unnamed = {.type_url = slice_str(resource_type_url(RESOURCE_ROUTE)),
                                    .subscribe = &empty,
                                    .subscribe_count = 1};
    CHECK(delta_server_read(p.session, &unnamed, 0) == ADS_BAD_NAME);
    peer_close(&p);
}
