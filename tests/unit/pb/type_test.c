#include "test.h"

#include "pb/type.h"

#include "envoy/config/cluster/v3/cluster.pb-c.h"

TEST(type_is_found_by_name_url_and_descriptor)
{
    const ProtobufCMessageDescriptor *cluster = &envoy__config__cluster__v3__cluster__descriptor;
    size_t count;
    const struct pb_type *types = pb_types(&count);
    for (size_t i = 0; i < count; i++) {
        struct slice name = slice_str(types[i].descriptor->name);
        CHECK(pb_type_by_name(name) == &types[i], "%s", name.data);
        CHECK(pb_type_of(types[i].descriptor) == &types[i], "%s", name.data);
        CHECK(i == 0 || strcmp(types[i - 1].descriptor->name, name.data) < 0, "in order");
    }
    CHECK(
        pb_type_by_url(SLICE("type.googleapis.com/envoy.config.cluster.v3.Cluster"))->descriptor ==
            cluster,
        "by url");
    CHECK(!pb_type_by_url(SLICE("envoy.config.cluster.v3.Cluster")), "a name is no url");
    CHECK(!pb_type_by_name(SLICE("envoy.config.cluster.v3.Clusters")) &&
              !pb_type_by_name(SLICE("")),
          "none");
}

TEST(type_knows_maps_names_oneofs_and_presence)
{
    const struct pb_type *type = pb_type_by_name(SLICE("envoy.config.cluster.v3.Cluster"));
    int discovery = pb_field_find(type, SLICE("type"));
    CHECK(strcmp(pb_text(type->fields[discovery].oneof), "cluster_discovery_type") == 0, "oneof");
    CHECK(!(type->fields[discovery].flags & FIELD_IMPLICIT), "a oneof's member has presence");
    int timeout = pb_field_find(type, SLICE("connectTimeout"));
    CHECK(timeout >= 0 && timeout == pb_field_find(type, SLICE("connect_timeout")), "both names");
    CHECK(strcmp(pb_field_json_name(type, (size_t)timeout), "connectTimeout") == 0, "JSON name");
    CHECK(type->fields[pb_field_find(type, SLICE("name"))].flags & FIELD_IMPLICIT,
          "implicit presence");
    int options = pb_field_find(type, SLICE("typed_extension_protocol_options"));
    CHECK(type->fields[options].flags & FIELD_MAP, "map");
    CHECK(pb_field_find(type, SLICE("nothing")) == -1, "none");
    CHECK(pb_type_by_name(SLICE("google.protobuf.Duration"))->json_form == JSON_DURATION, "form");
    CHECK(pb_type_by_name(SLICE("google.protobuf.UInt32Value"))->json_form == JSON_WRAPPER, "form");
}

TEST(type_knows_kinds_by_every_name_people_use)
{
    static const char *const names[] = {"VirtualService", "virtualservices", "virtualservice", "vs",
                                        "VS"};
    EACH (name, names) {
        const struct pb_kind *kind = pb_kind_by_name(slice_str(*name));
        CHECK(kind && strcmp(kind->kind, "VirtualService") == 0, "%s", *name);
        CHECK(strcmp(kind->type->descriptor->name, "tulle.kinds.VirtualService") == 0,
              "its object");
    }
    CHECK(!pb_kind_by_name(SLICE("pod")), "not served");
    static const struct {
        const char *version, *kind;
        bool served;
    } cases[] = {
        {"networking.istio.io/v1", "VirtualService", true},
        {"networking.istio.io/v1beta1", "DestinationRule", true},
        {"networking.istio.io/v1alpha3", "WorkloadEntry", true},
        {"networking.istio.io/v2", "VirtualService", false},
        {"v1", "Service", true},
        {"v1", "VirtualService", false},
        {"networking.istio.io/v1", "virtualservice", false},
        {"", "Service", false},
        {"/v1", "Service", true},
    };
    EACH (c, cases) {
        const struct pb_kind *kind = pb_kind_find(slice_str(c->version), slice_str(c->kind));
        CHECK(!kind == !c->served, "%s %s", c->version, c->kind);
    }
    CHECK(pb_kind_find(SLICE("v1"), SLICE("Namespace"))->cluster_scoped,
          "namespaces are in no namespace");
}
