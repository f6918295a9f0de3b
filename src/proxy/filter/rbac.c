#include "match/rbac.h"

#include "proxy/downstream/downstream.h"
#include "proxy/downstream/exchange.h"
#include "proxy/filter/filter.h"
#include "proxy/route/view.h"

static enum filter_verdict judge(struct filter_call *call, struct http_request *head, bool end)
{
    struct exchange *exchange = call->exchange;
    struct view spare;
    (void)head;
    (void)end;
    if (!call->config->rbac.rules)
        return FILTER_CONTINUE;
    struct view *view = filter_view(call, &spare);
    view_connection(view, exchange->downstream);
    struct rbac_verdict verdict = rbac_judge(call->config->rbac.rules, &view->request);
    if (verdict.allowed)
        return FILTER_CONTINUE;
    struct slice policy = verdict.policy.size ? verdict.policy : SLICE("none matched");
    record_flag(&exchange->record, FLAG_UAEX);
    exchange_reply(exchange, 403, "rbac_access_denied_matched_policy",
                   "RBAC: access denied (policy: %.*s)", SLICE_ARG(policy));
    return FILTER_REPLIED;
}

const struct filter filter_rbac = {.heads_only = true, .on_request = judge};
