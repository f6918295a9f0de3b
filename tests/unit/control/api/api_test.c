#include "control/api/api_fixture.h"

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
