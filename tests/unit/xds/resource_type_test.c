#include "xds/resource_type.h"

#include "test.h"

TEST(resource_type_urls_read_back)
{
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        enum resource_type type;
        CHECK(resource_type_of_url(slice_str(resource_type_url((enum resource_type)i)), &type) &&
              type == i);
        CHECK(
            resource_type_of_short(slice_str(resource_type_short((enum resource_type)i)), &type) &&
            type == i);
        CHECK(
            resource_type_of_short(slice_str(resource_type_metric((enum resource_type)i)), &type) &&
            type == i);
    }
}

TEST(resource_type_refuses_what_it_does_not_know)
{
    enum resource_type type;
    CHECK(!resource_type_of_url(SLICE(""), &type));
    CHECK(!resource_type_of_url(SLICE("envoy.config.cluster.v3.Cluster"), &type));
    CHECK(!resource_type_of_url(SLICE("type.googleapis.com/envoy.api.v2.Cluster"), &type));
    CHECK(!resource_type_of_short(SLICE("XDS"), &type));
}

TEST(resource_type_order_puts_what_is_referred_to_first)
{
    CHECK(RESOURCE_CLUSTER < RESOURCE_ENDPOINTS && RESOURCE_ENDPOINTS < RESOURCE_LISTENER &&
          RESOURCE_LISTENER < RESOURCE_ROUTE);
}
