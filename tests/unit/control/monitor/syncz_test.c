#include "control/monitor/syncz.h"

#include "base/buffer.h"
#include "control/push/push.h"

#include "test.h"

/* What the linker wants of push; the text is made from a status alone. */
void push_each(struct push *push, void (*visit)(void *to, const struct push_status *status),
               void *to)
{
    (void)push;
    const struct ads_peer peer = {.node_id = "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local",
                                  .cluster = "web",
                                  .user_agent_version = "0.1.0"};
    struct push_status status = {.peer = &peer};
    status.types[RESOURCE_CLUSTER] =
        (struct push_type_status){.watched = true, .sent = 4, .acked = 3};
    status.types[RESOURCE_ENDPOINTS] = (struct push_type_status){.watched = true, .current = true};
    status.types[RESOURCE_LISTENER] = (struct push_type_status){.watched = true};
    visit(to, &status);
}

TEST(syncz_has_the_members_that_istiod_gives)
{
    owned_buffer text = {0};
    syncz_write(NULL, &text);
    CHECK(buffer_equals(&text, "[{\"cluster_id\":\"web\",\"proxy\":\"web-1.shop\","
                               "\"istio_version\":\"0.1.0\",\"cluster_sent\":\"4\","
                               "\"cluster_acked\":\"3\",\"endpoint_sent\":\"resumed\","
                               "\"endpoint_acked\":\"resumed\"}]\n"),
          "%s", text.data);
}
