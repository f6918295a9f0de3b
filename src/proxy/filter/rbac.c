#include "match/rbac.h"

#include "proxy/downstream/downstream.h"
#include "proxy/downstream/exchange.h"
#include "proxy/filter/filter.h"
#include "proxy/route/view.h"

static enum filter_verdict judge(struct exchange *exchange, const struct http_filter *config,
                                 struct view *view)
{
    if (!config->rbac.rules)
        return FILTER_CONTINUE;
    view_connection(view, exchange->downstream);
    struct rbac_verdict verdict = rbac_judge(config->rbac.rules, &view->request);
    if (verdict.allowed)
        return FILTER_CONTINUE;
    struct slice policy = verdict.policy.size ? verdict.policy : SLICE("none matched");
    record_flag(&exchange->record, FLAG_UAEX);
    exchange_reply(exchange, 403, "rbac_access_denied_matched_policy",
                   "RBAC: access denied (policy: %.*s)", SLICE_ARG(policy));
    return FILTER_REPLIED;
}

const struct filter filter_rbac = {.on_request = judge};
