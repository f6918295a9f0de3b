#include "control/monitor/figures.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "control/model/model.h"
#include "stats/export.h"
#include "stats/registry.h"

#include "test.h"

static void put(struct model *model, const char *key, const char *kind, const char *spec)
{
    struct object *object = NULL;
    owned_error error = {0};
    owned_str text = str_format("{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"metadata\":{\"name\":"
                                "\"x\",\"namespace\":\"shop\"},\"spec\":%s}",
                                kind[0] == 'S' ? "v1" : "networking.istio.io/v1", kind, spec);
    CHECK(object_load(slice_str(key), slice_str(text), 1, &object, &error), "%s", error.what);
    model_put(model, object);
    object_unref(object);
}

static void shows(struct stats_registry *registry, const char *line)
{
    owned_buffer text = {0};
    stats_export_prometheus(registry, NULL, &text);
    CHECK(strstr(text.data, line), "%s is not in\n%s", line, text.data);
}

TEST(changes_of_the_model_are_counted_by_kind_and_event)
{
    struct stats_registry *registry = stats_registry_create(0);
    struct model *model = model_create();
    struct figures *figures = figures_create(registry, model, "9.9");
    put(model, "core/services/shop/x", "Service", "{\"ports\":[{\"port\":80}]}");
    put(model, "networking.istio.io/virtualservices/shop/x", "VirtualService",
        "{\"hosts\":[\"x\"]}");
    put(model, "networking.istio.io/virtualservices/shop/x", "VirtualService",
        "{\"hosts\":[\"y\"]}");
    shows(registry, "\npilot_services 1\n");
    shows(registry, "\npilot_virt_services 1\n");
    shows(registry, "\npilot_k8s_cfg_events{type=\"VirtualService\",event=\"add\"} 1\n");
    shows(registry, "\npilot_k8s_cfg_events{type=\"VirtualService\",event=\"update\"} 1\n");
    shows(registry, "\npilot_k8s_reg_events{type=\"Service\",event=\"add\"} 1\n");
    shows(registry, "\npilot_inbound_updates{type=\"config\"} 2\n");
    CHECK(model_remove(model, SLICE("core/services/shop/x")));
    shows(registry, "\npilot_services 0\n");
    shows(registry, "\npilot_inbound_updates{type=\"svcdelete\"} 1\n");
    shows(registry, "\npilot_info{version=\"9.9\"} 1\n");
    shows(registry, "\nistio_build{component=\"pilot\",tag=\"9.9\"} 1\n");
    figures_destroy(figures);
    CHECK(stats_series_count(registry) > 0);
    model_destroy(model);
    stats_registry_destroy(registry);
}

TEST(verdicts_and_certificates_are_counted_and_nobody_need_count)
{
    struct stats_registry *registry = stats_registry_create(0);
    struct figures *figures = figures_create(registry, NULL, "1");
    figures_judged(figures, KIND_SERVICE_ENTRY, true);
    figures_judged(figures, KIND_SERVICE_ENTRY, false);
    figures_count(figures, FIGURE_CSR);
    figures_set(figures, FIGURE_CHAIN_EXPIRY, 1800000000);
    shows(registry, "\ngalley_validation_passed{group=\"networking.istio.io\",version=\"v1\","
                    "resource=\"serviceentries\"} 1\n");
    shows(registry, "\ngalley_validation_failed{group=\"networking.istio.io\",version=\"v1\","
                    "resource=\"serviceentries\",reason=\"invalid_resource\"} 1\n");
    shows(registry, "\ncitadel_server_csr_count 1\n");
    shows(registry, "\ncitadel_server_cert_chain_expiry_timestamp 1800000000\n");
    figures_judged(NULL, KIND_SERVICE, false);
    figures_count(NULL, FIGURE_CSR);
    figures_set(NULL, FIGURE_UPTIME_S, 1);
    figures_destroy(figures);
    figures_destroy(NULL);
    stats_registry_destroy(registry);
}
