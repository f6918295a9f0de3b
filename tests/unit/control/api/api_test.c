#include "control/api/api_fixture.h"

#include "base/random.h"

#define VS "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"

static const char product[] = "{\"apiVersion\":\"networking.istio.io/"
                              "v1\",\"kind\":\"VirtualService\",\"metadata\":{\"name\":\"product\","
                              "\"labels\":{\"app\":\"shop\"}},\"spec\":{\"hosts\":[\"product\"],"
                              "\"http\":[{\"route\":[{\"destination\":{\"host\":"
                              "\"product\",\"subset\":\"v1\"},\"weight\":90},{\"destination\":{"
                              "\"host\":\"product\",\"subset\":\"v2\"},\"weight\":10}]}]}}";

TEST(objects_are_made_read_changed_and_deleted)
{
    struct fixture f = {0};
    begin(&f);
    CHECK(ask(&f, "GET", VS "/product", NULL) == 404, "%s", f.text.data);
    CHECK(strcmp(told(&f, "reason"), "NotFound") == 0);
    CHECK(ask(&f, "POST", VS, product) == 201, "%s", f.text.data);
    CHECK(strcmp(told(&f, "metadata.namespace"), "shop") == 0);
    CHECK(strcmp(told(&f, "metadata.generation"), "1") == 0);
    CHECK(strlen(told(&f, "metadata.uid")) == 36);
    CHECK(ask(&f, "POST", VS, product) == 409);
    CHECK(strcmp(told(&f, "reason"), "AlreadyExists") == 0);
    CHECK(ask(&f, "GET", VS "/product", NULL) == 200);
    const char *first = told(&f, "metadata.resourceVersion");
    CHECK(ask_with(&f, "PATCH", VS "/product", "application/merge-patch+json", NULL,
                   "{\"metadata\":{\"labels\":{\"app\":null,\"team\":\"a\"}}}") == 200,
          "%s", f.text.data);
    CHECK(strcmp(told(&f, "metadata.labels.team"), "a") == 0);
    CHECK(strcmp(told(&f, "metadata.labels.app"), "") == 0);
    CHECK(strcmp(told(&f, "metadata.generation"), "1") == 0, "labels are no generation");
    CHECK(strcmp(told(&f, "metadata.resourceVersion"), first) != 0);
    CHECK(ask(&f, "DELETE", VS "/product", NULL) == 200, "%s", f.text.data);
    CHECK(strcmp(told(&f, "status"), "Success") == 0);
    CHECK(ask(&f, "DELETE", VS "/product", NULL) == 404);
    finish(&f);
}

TEST(the_schema_names_every_kind_and_is_made_in_every_form)
{
    struct fixture f = {0};
    begin(&f);
    CHECK(ask(&f, "GET", "/openapi/v2", NULL) == 200);
    CHECK(tree_at(f.answer, "definitions") != NULL);
    CHECK(slice_find(buffer_slice(&f.text), SLICE("\"kind\":\"WorkloadEntry\"")) != SIZE_MAX);
    CHECK(ask(&f, "GET", "/openapi/v3", NULL) == 200);
    CHECK(slice_find(buffer_slice(&f.text),
                     SLICE("/openapi/v3/apis/networking.istio.io/v1beta1?hash=")) != SIZE_MAX,
          "%s", f.text.data);
    CHECK(ask(&f, "GET", "/openapi/v3/api/v1", NULL) == 200);
    CHECK(strcmp(told(&f, "openapi"), "3.0.0") == 0);
    CHECK(ask(&f, "GET", "/openapi/v3/api/v2", NULL) == 404);
    CHECK(ask(&f, "POST", "/openapi/v3", "{}") == 405);
    CHECK(ask_with(&f, "GET", "/openapi/v2", NULL,
                   "accept: application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
                   NULL) == 200);
    CHECK(f.text.size > 10000 && memcmp(f.text.data,
                                        "\n\x03"
                                        "2.0",
                                        5) == 0,
          "swagger is field 1");
    finish(&f);
}

TEST(every_version_reads_any_object_and_a_write_that_changes_nothing_is_none)
{
    struct fixture f = {0};
    begin(&f);
    CHECK(ask(&f, "POST", VS, product) == 201);
    const char *revision = told(&f, "metadata.resourceVersion");
    CHECK(ask(&f, "GET",
              "/apis/networking.istio.io/v1alpha3/namespaces/shop/virtualservices/product",
              NULL) == 200);
    CHECK(strcmp(told(&f, "apiVersion"), "networking.istio.io/v1alpha3") == 0);
    owned_str body = str_copy(f.text.data);
    CHECK(ask(&f, "PUT",
              "/apis/networking.istio.io/v1alpha3/namespaces/shop/virtualservices/product",
              body) == 200,
          "%s", f.text.data);
    CHECK(strcmp(told(&f, "metadata.resourceVersion"), revision) == 0, "nothing was changed");
    CHECK(ask(&f, "PUT", VS "/product", body) == 400, "a body of another version");
    CHECK(ask(&f, "PUT", VS "/other", product) == 400, "a body of another name");
    CHECK(ask(&f, "GET", "/apis/networking.istio.io/v2/namespaces/shop/virtualservices", NULL) ==
          404);
    finish(&f);
}

/* CFG-22 */
TEST(a_stale_write_is_a_conflict)
{
    struct fixture f = {0};
    begin(&f);
    CHECK(ask(&f, "POST", VS, product) == 201);
    owned_str old = str_copy(f.text.data);
    CHECK(ask_with(&f, "PATCH", VS "/product", "application/merge-patch+json", NULL,
                   "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}") == 200);
    CHECK(ask(&f, "PUT", VS "/product", old) == 409, "%s", f.text.data);
    CHECK(strcmp(told(&f, "reason"), "Conflict") == 0);
    CHECK(ask_with(&f, "PATCH", VS "/product", "application/merge-patch+json", NULL,
                   "{\"metadata\":{\"resourceVersion\":\"1\"}}") == 409);
    CHECK(ask(&f, "DELETE", VS "/product", "{\"preconditions\":{\"resourceVersion\":\"1\"}}") ==
          409);
    CHECK(ask(&f, "DELETE", VS "/product", "{\"preconditions\":{\"uid\":\"x\"}}") == 409);
    CHECK(ask(&f, "DELETE", VS "/product?dryRun=All", NULL) == 200);
    CHECK(ask(&f, "GET", VS "/product", NULL) == 200, "a dry delete deletes nothing");
    finish(&f);
}

TEST(bad_objects_are_refused_with_every_cause)
{
    struct fixture f = {0};
    begin(&f);
    static const char bad[] =
        "{\"apiVersion\":\"networking.istio.io/"
        "v1\",\"kind\":\"VirtualService\",\"metadata\":{\"name\":\"x\"},\"spec\":{"
        "\"hosts\":[\"x\"],\"http\":[{\"retires\":{},\"route\":[{\"destination\":{\"host\":\"x\"},"
        "\"weight\":\"y\"}]}]}}";
    CHECK(ask(&f, "POST", VS, bad) == 422, "%s", f.text.data);
    CHECK(strcmp(told(&f, "reason"), "Invalid") == 0);
    CHECK(tree_at(f.answer, "details.causes")->count == 2, "%s", f.text.data);
    CHECK(strstr(f.text.data, "spec.http[0].retires") != NULL);
    CHECK(ask(&f, "POST", VS "?fieldValidation=Ignore", bad) == 422, "a wrong type stays wrong");
    CHECK(tree_at(f.answer, "details.causes")->count == 1, "%s", f.text.data);
    CHECK(ask(&f, "POST", VS, "{") == 400);
    CHECK(ask(&f, "POST", VS, "[]") == 400);
    CHECK(ask(&f, "POST", VS, "") == 400);
    CHECK(ask_with(&f, "POST", VS, "application/vnd.kubernetes.protobuf", NULL, "x") == 415);
    CHECK(ask_with(&f, "PATCH", VS "/x", "application/apply-patch+yaml", NULL, "a: b") == 415);
    CHECK(ask_with(&f, "PATCH", VS "/x", "application/strategic-merge-patch+json", NULL, "{}") ==
          415);
    CHECK(ask(&f, "PATCH", VS, "{}") == 405);
    CHECK(ask(&f, "GET", VS "?labelSelector=%zz", NULL) == 400);
    CHECK(ask(&f, "GET", VS "?continue=1:core/services/x", NULL) == 400);
    CHECK(ask(&f, "POST", VS "?dryRun=Some", product) == 400);
    finish(&f);
}

TEST(unknown_fields_are_kept_when_the_client_wants_them_and_stay)
{
    struct fixture f = {0};
    begin(&f);
    static const char more[] =
        "{\"apiVersion\":\"networking.istio.io/"
        "v1\",\"kind\":\"DestinationRule\",\"metadata\":{\"name\":\"x\"},\"spec\":{"
        "\"zeta\":{\"b\":0.0,\"a\":null},\"host\":\"x\"}}";
    static const char path[] = "/apis/networking.istio.io/v1/namespaces/shop/destinationrules";
    owned_str one = str_format("%s/x", path);
    CHECK(ask(&f, "POST", path, more) == 422);
    owned_str ignore = str_format("%s?fieldValidation=Ignore", path);
    CHECK(ask(&f, "POST", ignore, more) == 201, "%s", f.text.data);
    CHECK(ask_with(&f, "PATCH", one, "application/merge-patch+json", NULL,
                   "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}") == 200,
          "what was stored refuses no update: %s", f.text.data);
    CHECK(ask(&f, "GET", one, NULL) == 200);
    CHECK(strstr(f.text.data, "\"spec\":{\"zeta\":{\"b\":0.0,\"a\":null},\"host\":\"x\"}") != NULL,
          "%s", f.text.data);
    CHECK(ask_with(&f, "PATCH", one, "application/merge-patch+json", NULL,
                   "{\"spec\":{\"eta\":1}}") == 422,
          "another unknown field is another matter");
    finish(&f);
}

TEST(status_is_written_by_itself)
{
    struct fixture f = {0};
    begin(&f);
    CHECK(ask(&f, "POST", VS, product) == 201);
    CHECK(ask_with(&f, "PATCH", VS "/product/status", "application/merge-patch+json", NULL,
                   "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]},"
                   "\"spec\":{\"hosts\":[\"z\"]}}") == 200,
          "%s", f.text.data);
    CHECK(strcmp(told(&f, "metadata.generation"), "1") == 0);
    CHECK(strstr(f.text.data, "\"hosts\":[\"product\"]") && strstr(f.text.data, "Ready"), "%s",
          f.text.data);
    CHECK(ask(&f, "PUT", VS "/product", product) == 200);
    CHECK(strstr(f.text.data, "Ready") != NULL, "a replacement keeps the status");
    finish(&f);
}

TEST(lists_go_by_pages_of_one_revision)
{
    struct fixture f = {0};
    begin(&f);
    static const char generated[] = "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{"
                                    "\"generateName\":\"s-\"},\"spec\":{\"ports\":[{\"port\":1}]}}";
    for (int i = 0; i < 7; i++)
        CHECK(ask(&f, "POST", "/api/v1/namespaces/shop/services", generated) == 201, "%s",
              f.text.data);
    const char *token = "";
    size_t seen = 0;
    for (int page = 0; page < 3; page++) {
        owned_str path = str_format("/api/v1/services?limit=3&continue=%s", token);
        CHECK(ask(&f, "GET", path, NULL) == 200, "%s", f.text.data);
        seen += tree_at(f.answer, "items")->count;
        token = told(&f, "metadata.continue");
        CHECK(ask(&f, "POST", "/api/v1/namespaces/zoo/services", generated) == 201);
    }
    CHECK(seen == 7 && token[0] == '\0', "%zu, \"%s\": what came later is in no page", seen, token);
    CHECK(ask(&f, "DELETE", "/api/v1/namespaces/zoo/services", NULL) == 200, "%s", f.text.data);
    CHECK(ask(&f, "GET", "/api/v1/services", NULL) == 200);
    CHECK(tree_at(f.answer, "items")->count == 7);
    finish(&f);
}

TEST(tables_show_columns)
{
    struct fixture f = {0};
    begin(&f);
    CHECK(ask(&f, "POST", VS, product) == 201);
    CHECK(ask_with(&f, "GET", VS, NULL,
                   "accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                   NULL) == 200);
    CHECK(strcmp(told(&f, "kind"), "Table") == 0);
    CHECK(strstr(f.text.data,
                 "\"cells\":[\"product\",\"\",\"[\\\"product\\\"]\",\"0s\",\"<none>\"]") ||
              strstr(f.text.data, "\"1s\",\"<none>\"]"),
          "%s", f.text.data);
    finish(&f);
}

static void give_token(void *owner, struct slice name_space, struct slice account,
                       api_on_token *on_token, void *to)
{
    struct fixture *f = owner;
    owned_str id =
        str_format("spiffe://td/ns/%.*s/sa/%.*s", SLICE_ARG(name_space), SLICE_ARG(account));
    (void)f;
    on_token(to, &(struct api_token){.token = "secret", .spiffe_id = id});
}

static void list_proxies(void *owner, struct value *items, struct arena *arena)
{
    (void)owner;
    struct value *row = value_new(arena, VALUE_OBJECT);
    tree_put_str(row, "name", "cart-1", arena);
    value_append(items, row);
}

TEST(tokens_leases_and_proxies_are_ours)
{
    struct fixture f = {.services = {.issue_token = give_token, .proxies = list_proxies}};
    begin(&f);
    CHECK(ask(&f, "POST", "/apis/tulle.dev/v1/namespaces/shop/tokens",
              "{\"serviceAccount\":\"cart\"}") == 201,
          "%s", f.text.data);
    CHECK(strcmp(told(&f, "spiffeId"), "spiffe://td/ns/shop/sa/cart") == 0);
    CHECK(ask(&f, "POST", "/apis/tulle.dev/v1/namespaces/shop/tokens",
              "{\"serviceAccount\":\"../x\"}") == 400);
    CHECK(ask(&f, "GET", "/apis/tulle.dev/v1/proxies", NULL) == 200);
    CHECK(strstr(f.text.data, "cart-1") != NULL);
    CHECK(ask(&f, "POST", "/apis/tulle.dev/v1/leases", "{\"ttlSeconds\":0}") == 400);
    CHECK(ask(&f, "POST", "/apis/tulle.dev/v1/leases", "{\"ttlSeconds\":3601}") == 400);
    CHECK(ask(&f, "POST", "/apis/tulle.dev/v1/leases", "{\"ttlSeconds\":60}") == 201, "%s",
          f.text.data);
    owned_str path = str_format("/apis/tulle.dev/v1/leases/%s", told(&f, "lease"));
    owned_str header = str_format("x-tulle-lease: %s", told(&f, "lease"));
    CHECK(ask_with(&f, "POST", VS, NULL, header, product) == 201, "%s", f.text.data);
    CHECK(ask(&f, "PUT", path, "") == 200, "%s", f.text.data);
    /* A runner that comes again takes its objects over, also when nothing else changes. */
    CHECK(ask(&f, "POST", "/apis/tulle.dev/v1/leases", "{\"ttlSeconds\":60}") == 201);
    owned_str next_path = str_format("/apis/tulle.dev/v1/leases/%s", told(&f, "lease"));
    owned_str next = str_format("x-tulle-lease: %s", told(&f, "lease"));
    CHECK(ask_with(&f, "PUT", VS "/product", NULL, next, product) == 200, "%s", f.text.data);
    CHECK(ask(&f, "DELETE", path, NULL) == 200);
    CHECK(ask(&f, "GET", VS "/product", NULL) == 200, "it lies under the newer lease");
    mem_free(path);
    path = give(next_path);
    CHECK(ask_with(&f, "PATCH", VS "/product", "application/merge-patch+json", NULL,
                   "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}") == 200);
    CHECK(ask(&f, "DELETE", path, NULL) == 200);
    CHECK(ask(&f, "GET", VS "/product", NULL) == 404, "it went with its lease");
    CHECK(ask(&f, "PUT", path, "") == 404);
    CHECK(ask_with(&f, "POST", VS, NULL, header, product) == 404, "%s", f.text.data);
    CHECK(ask_with(&f, "POST", VS, NULL, "x-tulle-lease: x", product) == 400);
    finish(&f);
}

/* What an importer put there, as it does. */
static void on_put(void *owner, const struct store_written *written)
{
    struct fixture *f = owner;
    f->ended = written->status == STORE_OK;
}

TEST(objects_of_a_file_refuse_other_writers)
{
    struct fixture f = {0};
    begin(&f);
    struct store_put put = {
        SLICE("networking.istio.io/virtualservices/shop/product"),
        SLICE("{\"apiVersion\":\"networking.istio.io/"
              "v1\",\"kind\":\"VirtualService\",\"metadata\":{\"name\":\"product\","
              "\"namespace\":\"shop\",\"uid\":\"u\",\"annotations\":{\"tulle.dev/source\":\"dir:/"
              "etc/mesh/a.yaml\"}},\"spec\":{"
              "\"hosts\":[\"p\"],\"http\":[{\"directResponse\":{\"status\":200}}]}}"),
        0};
    f.ended = false;
    store_txn(f.store, &(struct store_txn){.puts = &put, .put_count = 1}, on_put, &f);
    run_until(&f, &f.ended);
    CHECK(ask(&f, "PUT", VS "/product", product) == 409, "%s", f.text.data);
    CHECK(strstr(told(&f, "message"), "/etc/mesh/a.yaml") != NULL);
    CHECK(ask(&f, "DELETE", VS "/product", NULL) == 409);
    CHECK(ask(&f, "DELETE", VS, NULL) == 409);
    CHECK(ask_with(&f, "PATCH", VS "/product/status", "application/merge-patch+json", NULL,
                   "{\"status\":{\"conditions\":[]}}") == 200,
          "its status is not the file's: %s", f.text.data);
    finish(&f);
}

TEST(a_stranger_is_refused)
{
    struct fixture f = {0};
    begin(&f);
    if (getuid() == 0) { /* root may do everything: nobody else can be shown here */
        finish(&f);
        return;
    }
    close_api(&f);
    f.authorizer.own_uid = getuid() + 1;
    open_api(&f);
    CHECK(ask(&f, "GET", VS, NULL) == 403, "%s", f.text.data);
    CHECK(ask(&f, "GET", "/version", NULL) == 200, "what is served may be known");
    finish(&f);
}

TEST(a_body_may_not_be_too_long)
{
    struct fixture f = {0};
    begin(&f);
    owned_buffer body = {0};
    while (body.size < 3 << 20)
        buffer_append_byte(&body, ' ');
    CHECK(ask(&f, "POST", VS, body.data) == 400, "%u", f.status);
    buffer_append_byte(&body, ' ');
    CHECK(ask(&f, "POST", VS, body.data) == 413, "one byte more: %u", f.status);
    finish(&f);
}

/* Members that nobody knows, of any kind, in any order. */
static void random_members(struct random *random, unsigned depth, struct buffer *out)
{
    static const char *const scalars[] = {
        "null", "true",  "0",  "-0.0", "2.5", "9223372036854775807",
        "\"\"", "\"é\"", "[]", "{}",   "0.1", "\"a\\u0001b\""};
    uint64_t count = random_below(random, 4);
    for (uint64_t i = 0; i < count; i++) {
        buffer_format(out, ",\"x%c%u\":", (char)('a' + random_below(random, 26)), (unsigned)i);
        if (depth == 0 || random_below(random, 3))
            buffer_append_str(out, scalars[random_below(random, COUNT(scalars))]);
        else {
            buffer_append_str(out, "{\"k\":[1]");
            random_members(random, depth - 1, out);
            buffer_append_str(out, "}");
        }
    }
}

TEST(apply_get_patch_and_get_lose_nothing)
{
    static const char path[] = "/apis/networking.istio.io/v1/namespaces/shop/destinationrules";
    struct fixture f = {0};
    struct random random;
    random_seed(&random, 3);
    begin(&f);
    for (int i = 0; i < 60; i++) {
        owned_buffer spec = {0}, top = {0}, body = {0};
        buffer_append_str(&spec, "\"spec\":{\"host\":\"x\"");
        random_members(&random, 3, &spec);
        buffer_append_str(&spec, "}");
        random_members(&random, 3, &top);
        buffer_format(&body,
                      "{\"apiVersion\":\"networking.istio.io/"
                      "v1\",\"kind\":\"DestinationRule\",\"metadata\":{\"name\":"
                      "\"d%d\"},%s%s}",
                      i, spec.data, top.size ? top.data : "");
        owned_str create = str_format("%s?fieldValidation=Ignore", path);
        owned_str one = str_format("%s/d%d", path, i);
        CHECK(ask(&f, "POST", create, body.data) == 201, "%s\n%s", body.data, f.text.data);
        for (int turn = 0; turn < 2; turn++) {
            CHECK(ask(&f, "GET", one, NULL) == 200);
            CHECK(strstr(f.text.data, spec.data) != NULL, "%s\nis not in\n%s", spec.data,
                  f.text.data);
            CHECK(top.size == 0 || strstr(f.text.data, top.data) != NULL, "%s\nis not in\n%s",
                  top.data, f.text.data);
            CHECK(ask_with(
                      &f, "PATCH", one,
                      turn ? "application/json-patch+json" : "application/merge-patch+json", NULL,
                      turn ? "[{\"op\":\"add\",\"path\":\"/metadata/labels/b\",\"value\":\"c\"}]"
                           : "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}") == 200,
                  "%s", f.text.data);
        }
        CHECK(strstr(f.text.data, spec.data) != NULL, "%s\nis not in\n%s", spec.data, f.text.data);
        CHECK(strcmp(told(&f, "metadata.generation"), "1") == 0);
    }
    finish(&f);
}
