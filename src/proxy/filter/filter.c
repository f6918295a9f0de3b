#include "proxy/filter/filter.h"

#include "proxy/downstream/exchange.h"

/* Kinds without an entry are read where they act: the router ends the chain, statistics belong to the observer, and
 * istio.alpn to the choice of a connection. */
static const struct filter *const filters[HTTP_FILTER_KINDS] = {
    [HTTP_FILTER_RBAC] = &filter_rbac,
};

bool filters_run_request(struct exchange *exchange, struct view *view)
{
    const struct hcm *hcm = exchange->hcm;
    for (uint32_t i = 0; i < hcm->filter_count; i++) {
        const struct http_filter *config = &hcm->filters[i];
        const struct filter *filter = filters[config->kind];
        if (filter && filter->on_request && !config->disabled &&
            filter->on_request(exchange, config, view) == FILTER_REPLIED)
            return false;
    }
    return true;
}

bool filters_run_response(struct exchange *exchange, struct http_response *response)
{
    const struct hcm *hcm = exchange->hcm;
    for (uint32_t i = hcm->filter_count; i-- > 0;) {
        const struct http_filter *config = &hcm->filters[i];
        const struct filter *filter = filters[config->kind];
        if (filter && filter->on_response && !config->disabled &&
            filter->on_response(exchange, config, response) == FILTER_REPLIED)
            return false;
    }
    return true;
}
