/* What clients say on ADS streams, as bytes: requests are decoded, read into a session and answered. */
#include "xds/discovery.h"

#include "base/arena.h"
#include "base/chain.h"
#include "base/memory.h"
#include "xds/blob.h"
#include "xds/blob_table.h"
#include "xds/refusals.h"
#include "xds/view.h"

#include <stdlib.h>

static struct view *make_view(unsigned round)
{
    struct blob_table *tables[RESOURCE_TYPES] = {0};
    static const char *const names[] = {"a", "b", "c"};
    for (unsigned t = 0; t < RESOURCE_TYPES; t++) {
        struct blob_edit edits[COUNT(names)];
        struct blob_table *empty = blob_table_create();
        for (size_t i = 0; i < COUNT(names); i++) {
            char body = (char)(round + i);
            edits[i].name = slice_str(names[i]);
            edits[i].blob = (round + i + t) % 4 ? blob_create((enum resource_type)t, edits[i].name,
                                                              slice_of(&body, 1))
                                                : NULL;
        }
        tables[t] = blob_table_edit(empty, edits, COUNT(names));
        blob_table_unref(empty);
        for (size_t i = 0; i < COUNT(names); i++)
            blob_unref(edits[i].blob);
    }
    struct view *view = view_create(tables, round);
    for (unsigned t = 0; t < RESOURCE_TYPES; t++)
        blob_table_unref(tables[t]);
    return view;
}

static void say(struct ads_session *session, enum ads_variant variant, struct slice bytes)
{
    struct arena arena;
    struct discovery_node node;
    arena_init(&arena, NULL);
    if (variant == ADS_DELTA) {
        struct delta_request request;
        if (discovery_read_delta_request(bytes, &arena, &request, &node, NULL) &&
            delta_server_read(session, &request, 1) != ADS_TAKEN)
            arena_reset(&arena);
    } else {
        struct sotw_request request;
        if (discovery_read_sotw_request(bytes, &arena, &request, &node, NULL) &&
            sotw_server_read(session, &request, 1) != ADS_TAKEN)
            arena_reset(&arena);
    }
    arena_fini(&arena);
}

static void hear(struct ads_session *session, struct block_pool *pool)
{
    struct ads_response response = {0};
    for (unsigned i = 0; ads_session_next(session, 1, 1, &response); i++) {
        struct chain out = {0};
        if (i > RESOURCE_TYPES * 2 ||
            !discovery_write_response(&response, SLICE("id"), &out, pool) ||
            out.size != discovery_response_size(&response, SLICE("id")))
            abort();
        chain_fini(&out);
    }
    ads_response_fini(&response);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    enum ads_variant variant = data[0] & 1 ? ADS_DELTA : ADS_SOTW;
    struct slice rest = slice_of(data + 1, size - 1);
    struct refusals *refusals = refusals_create();
    struct block_pool *pool = block_pool_create(NULL);
    struct ads_session *session =
        ads_session_create(variant, &ads_session_default_limits, SLICE("c"), refusals);
    ads_session_set_fresh_endpoints(session, data[0] & 2);
    for (unsigned round = 1; rest.size > 0; round++) {
        size_t length = MIN((size_t)slice_take_byte(&rest), rest.size);
        say(session, variant, slice_take(&rest, length));
        if (round % 2) {
            struct view *view = make_view(round);
            ads_session_see(session, view);
            view_unref(view);
        }
        hear(session, pool);
    }
    ads_session_destroy(session);
    block_pool_destroy(pool);
    refusals_destroy(refusals);
    return 0;
}
