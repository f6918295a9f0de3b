#include "xds/delta_client.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "test.h"

static struct delta_client *open_client(void)
{
    struct delta_client *client = delta_client_create(&delta_client_default_limits);
    return client;
}

/* The next request as "CDS a b -c d@1 nonce=4 error=...", or "". Borrowed until the next call. */
static const char *next(struct delta_client *client)
{
    static struct buffer text;
    const struct delta_client_request *r;
    buffer_reset(&text);
    if (!delta_client_next(client, &r))
        return "";
    buffer_append_str(&text, r->type < RESOURCE_TYPES ? resource_type_short(r->type) : r->type_url);
    VECTOR_EACH(name, &r->subscribe)
    buffer_format(&text, " %.*s", SLICE_ARG(*name));
    VECTOR_EACH(name, &r->unsubscribe)
    buffer_format(&text, " -%.*s", SLICE_ARG(*name));
    VECTOR_EACH(held, &r->held)
    buffer_format(&text, " %.*s@%.*s", SLICE_ARG(held->name), SLICE_ARG(held->version));
    if (r->nonce.size > 0)
        buffer_format(&text, " nonce=%.*s", SLICE_ARG(r->nonce));
    if (r->error.data)
        buffer_format(&text, " error=%.*s", SLICE_ARG(r->error));
    return text.data;
}

#define SAYS(client, words)                                                                        \
    do {                                                                                           \
        const char *said = next(client);                                                           \
        CHECK(strcmp(said, (words)) == 0, "said \"%s\", not \"%s\"", said, (words));               \
    } while (0)

/* words: "a@1 b@2 -c". refuse: a name that the consumer refuses, or NULL. Returns what it saw as text. */
static const char *tell(struct delta_client *client, enum resource_type type, const char *words,
                        const char *nonce, const char *refuse)
{
    static struct buffer seen;
    struct delta_resource resources[32];
    struct slice removed[32], rest = slice_str(words), word;
    struct delta_response response = {.type_url = slice_str(resource_type_url(type)),
                                      .nonce = slice_str(nonce),
                                      .resources = resources,
                                      .removed = removed};
    buffer_reset(&seen);
    while (rest.size > 0) {
        struct slice name, version;
        slice_cut(rest, ' ', &word, &rest);
        if (word.data[0] == '-') {
            removed[response.removed_count++] = slice_from(word, 1);
        } else {
            slice_cut(word, '@', &name, &version);
            resources[response.resource_count++] =
                (struct delta_resource){name, version, response.type_url, SLICE("body")};
        }
    }
    struct delta_update update;
    if (!delta_client_read(client, &response, &update))
        return "refused whole";
    for (size_t i = 0; i < update.added_count; i++) {
        struct slice name = update.added[i]->name;
        buffer_format(&seen, "%s%.*s", i ? " " : "", SLICE_ARG(name));
        if (refuse && slice_equals_str(name, refuse))
            delta_update_refuse(&update, i, SLICE("it is bad"));
    }
    for (size_t i = 0; i < update.removed_count; i++)
        buffer_format(&seen, " -%.*s", SLICE_ARG(update.removed[i]));
    delta_client_answer(client, &update);
    return seen.size ? seen.data : "";
}

#define SEES(client, type, words, nonce, refuse, seen)                                             \
    do {                                                                                           \
        const char *saw = tell(client, type, words, nonce, refuse);                                \
        CHECK(strcmp(saw, (seen)) == 0, "saw \"%s\", not \"%s\"", saw, (seen));                    \
    } while (0)

TEST(delta_client_asks_acknowledges_and_asks_for_more)
{
    struct delta_client *client = open_client();
    delta_client_watch_all(client, RESOURCE_CLUSTER);
    SAYS(client, "");
    delta_client_begin(client);
    SAYS(client, "CDS");
    SAYS(client, "");
    SEES(client, RESOURCE_CLUSTER, "a@1 b@1", "n1", NULL, "a b");
    delta_client_subscribe(client, RESOURCE_ENDPOINTS, SLICE("b"));
    delta_client_subscribe(client, RESOURCE_ENDPOINTS, SLICE("a"));
    SAYS(client, "EDS a b"); /* before the ACK: the server knows by it what is awaited */
    SAYS(client, "CDS nonce=n1");
    SEES(client, RESOURCE_ENDPOINTS, "a@1 stranger@1 b@1", "n2", NULL, "a b");
    delta_client_subscribe(client, RESOURCE_ENDPOINTS, SLICE("c"));
    delta_client_unsubscribe(client, RESOURCE_ENDPOINTS, SLICE("a"));
    SAYS(client, "EDS -a");
    SAYS(client, "EDS c");
    SAYS(client, "EDS nonce=n2");
    SAYS(client, "");
    CHECK(delta_client_version(client, RESOURCE_ENDPOINTS, SLICE("a")).size == 0);
    CHECK(slice_equals_str(delta_client_version(client, RESOURCE_ENDPOINTS, SLICE("b")), "1"));
    delta_client_destroy(client);
}

TEST(delta_client_says_on_a_new_stream_what_it_wants_and_holds)
{
    struct delta_client *client = open_client();
    delta_client_watch_all(client, RESOURCE_CLUSTER);
    delta_client_subscribe(client, RESOURCE_ROUTE, SLICE("r"));
    delta_client_hold(client, RESOURCE_CLUSTER, SLICE("kept"), SLICE("7"));
    delta_client_begin(client);
    SAYS(client, "CDS kept@7");
    SAYS(client, "RDS r");
    SEES(client, RESOURCE_CLUSTER, "a@1 -kept", "n1", NULL, "a -kept");
    SEES(client, RESOURCE_ROUTE, "r@5", "n2", NULL, "r");
    delta_client_end(client);
    SAYS(client, "");
    delta_client_subscribe(client, RESOURCE_ROUTE, SLICE("s"));
    delta_client_begin(client);
    SAYS(client, "CDS a@1");
    SAYS(client, "RDS r s r@5");
    SAYS(client, ""); /* answers of the old stream were forgotten */
    delta_client_subscribe(client, RESOURCE_CLUSTER, SLICE("demanded"));
    SAYS(client, "CDS demanded");
    delta_client_begin(client);
    SAYS(client, "CDS * demanded a@1");
    delta_client_destroy(client);
}

TEST(delta_client_refuses_single_resources_and_keeps_their_old_version)
{
    struct delta_client *client = open_client();
    delta_client_watch_all(client, RESOURCE_LISTENER);
    delta_client_begin(client);
    SAYS(client, "LDS");
    SEES(client, RESOURCE_LISTENER, "a@1 b@1", "n1", NULL, "a b");
    SAYS(client, "LDS nonce=n1");
    SEES(client, RESOURCE_LISTENER, "a@2 b@2", "n2", "b", "a b");
    SAYS(client, "LDS nonce=n2 error=1 of 2 resources refused: b: it is bad");
    delta_client_begin(client);
    SAYS(client, "LDS a@2 b@1");
    delta_client_destroy(client);
}

TEST(delta_client_bears_with_odd_responses)
{
    struct delta_client *client = open_client();
    delta_client_watch_all(client, RESOURCE_CLUSTER);
    delta_client_subscribe(client, RESOURCE_ROUTE, SLICE("r"));
    delta_client_begin(client);
    SAYS(client, "CDS");
    SAYS(client, "RDS r");
    SEES(client, RESOURCE_LISTENER, "l@1", "n1", NULL, "refused whole");
    SAYS(client, "LDS nonce=n1 error=type type.googleapis.com/envoy.config.listener.v3.Listener "
                 "was not asked for");
    SEES(client, RESOURCE_CLUSTER, "a@1 b@1 a@2", "n2", NULL, "a b");
    SAYS(client, "CDS nonce=n2 error=1 of 2 resources refused: a: it is twice in one response");
    SEES(client, RESOURCE_CLUSTER, "-nobody", "n3", NULL, "");
    SAYS(client, "CDS nonce=n3");
    SEES(client, RESOURCE_CLUSTER, "a@3 -a", "n4", NULL, "a");
    SAYS(client, "CDS nonce=n4");
    SEES(client, RESOURCE_ROUTE, "-r", "n5", NULL, " -r"); /* it was asked for and does not exist */
    SAYS(client, "RDS nonce=n5");
    CHECK(delta_client_count(client, RESOURCE_CLUSTER) == 2);

    struct delta_resource strange = {SLICE("x"), SLICE("1"), SLICE("type.googleapis.com/other"),
                                     SLICE("b")};
    struct delta_resource heartbeat = {.name = SLICE("a"), .version = SLICE("3")};
    struct delta_resource resources[] = {
        strange, heartbeat, {.type_url = SLICE("x"), .body = SLICE("y")}};
    struct delta_response response = {.type_url = slice_str(resource_type_url(RESOURCE_CLUSTER)),
                                      .nonce = SLICE("n6"),
                                      .resources = resources,
                                      .resource_count = 3};
    struct delta_update update;
    CHECK(delta_client_read(client, &response, &update) && update.added_count == 0);
    CHECK(delta_client_answer(client, &update) == 2);
    SAYS(client, "CDS nonce=n6 error=2 of 2 resources refused: : it has no name; x: it is of "
                 "another type than the "
                 "response");
    delta_client_destroy(client);
}

TEST(delta_client_holds_no_more_than_its_limit)
{
    struct delta_client *client =
        delta_client_create(&(struct delta_client_limits){.max_resources = 2, .max_error = 40});
    delta_client_watch_all(client, RESOURCE_CLUSTER);
    delta_client_begin(client);
    SAYS(client, "CDS");
    SEES(client, RESOURCE_CLUSTER, "a@1 b@1 c@1", "n1", NULL, "a b");
    SAYS(client, "CDS nonce=n1 error=1 of 2 resources refused: c: there are m");
    delta_client_destroy(client);
}

TEST(delta_client_sends_both_wishes_when_a_name_was_given_up_and_wanted_again)
{
    struct delta_client *client = open_client();
    delta_client_subscribe(client, RESOURCE_ROUTE, SLICE("r"));
    delta_client_begin(client);
    SAYS(client, "RDS r");
    delta_client_unsubscribe(client, RESOURCE_ROUTE, SLICE("r"));
    delta_client_subscribe(client, RESOURCE_ROUTE, SLICE("r"));
    SAYS(client, "RDS -r");
    SAYS(client, "RDS r");
    delta_client_subscribe(client, RESOURCE_ROUTE, SLICE("s"));
    delta_client_unsubscribe(client, RESOURCE_ROUTE, SLICE("s"));
    SAYS(client, "");
    delta_client_watch_all(client, RESOURCE_ROUTE);
    SAYS(client, "RDS *");
    delta_client_destroy(client);
}
