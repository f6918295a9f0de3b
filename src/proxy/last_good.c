#include "proxy/last_good.h"

#include "base/log.h"
#include "base/memory.h"
#include "io/helper.h"
#include "io/loop.h"
#include "proxy/configure.h"
#include "proxy/snapshot/intake.h"
#include "proxy/snapshot/publisher.h"
#include "proxy/snapshot/snapshot_file.h"
#include "xds/ads_client.h"

#include <string.h>

enum { WRITE_DELAY_MS = 500 };

struct last_good {
    struct loop *loop;
    struct configure *configure;
    struct publisher *publisher;
    char *path;
    struct helper_pool *helpers;
    struct timer delay;
    bool was_loaded;
    bool is_writing, is_stale; /* stale: changed again while it was written */
    struct job job;
    const struct snapshot *written;
    struct error error;
};

static void start_writing(struct last_good *last_good);

static void write_file(struct job *job)
{
    struct last_good *last_good = CONTAINER_OF(job, struct last_good, job);
    (void)!snapshot_file_save(last_good->written, last_good->path, &last_good->error);
}

static void on_written(struct job *job)
{
    struct last_good *last_good = CONTAINER_OF(job, struct last_good, job);
    publisher_release(last_good->publisher, last_good->written);
    last_good->is_writing = false;
    if (error_is_set(&last_good->error))
        log_warning("config", "the last good configuration was not kept: %s",
                    last_good->error.what);
    error_fini(&last_good->error);
    if (last_good->is_stale)
        last_good_note(last_good);
}

static void on_delay(struct timer *timer)
{
    start_writing(CONTAINER_OF(timer, struct last_good, delay));
}

static void start_writing(struct last_good *last_good)
{
    last_good->is_writing = true;
    last_good->is_stale = false;
    last_good->written = publisher_hold(last_good->publisher);
    last_good->job = (struct job){.work = write_file, .done = on_written};
    helper_submit(last_good->helpers, last_good->loop, &last_good->job);
}

void last_good_note(struct last_good *last_good)
{
    if (!last_good)
        return;
    if (last_good->is_writing)
        last_good->is_stale = true;
    else if (!timer_is_running(&last_good->delay))
        loop_timer_start(last_good->loop, &last_good->delay, WRITE_DELAY_MS, on_delay);
}

void last_good_load(struct last_good *last_good)
{
    struct snapshot_file file;
    owned_error error = {0};
    bool missing = false;
    if (!last_good)
        return;
    if (!snapshot_file_load(last_good->path, &file, &missing, &error)) {
        if (!missing)
            log_warning("config", "the last good configuration cannot be used: %s", error.what);
        return;
    }
    size_t taken = 0;
    for (size_t i = 0; i < file.count; i++) {
        owned_error refused = {0};
        if (file.updates[i].is_static)
            continue;
        if (intake_put(configure_intake(last_good->configure), &file.updates[i], &refused))
            taken++;
        else
            log_warning("config", "kept %s %.*s refused: %s",
                        resource_kind_name(file.updates[i].kind), SLICE_ARG(file.updates[i].name),
                        refused.what);
    }
    last_good->was_loaded = taken > 0;
    log_info(
        "config",
        "%zu resources of the last good configuration are in force until the control plane answers",
        taken);
    snapshot_file_fini(&file);
}

bool last_good_was_loaded(const struct last_good *last_good)
{
    return last_good && last_good->was_loaded;
}

static void tell(void *to, const struct resource *resource)
{
    static const enum resource_type types[] = {[KIND_CLUSTER] = RESOURCE_CLUSTER,
                                               [KIND_ENDPOINTS] = RESOURCE_ENDPOINTS,
                                               [KIND_LISTENER] = RESOURCE_LISTENER,
                                               [KIND_ROUTE] = RESOURCE_ROUTE,
                                               [KIND_SECRET] = RESOURCE_SECRET};
    if (!resource->is_static && resource->version.size > 0)
        ads_client_hold(to, types[resource->kind], resource->name.text, resource->version);
}

void last_good_tell(const struct last_good *last_good, struct ads_client *ads)
{
    const struct snapshot *snapshot = last_good ? publisher_newest(last_good->publisher) : NULL;
    for (int kind = 0; snapshot && last_good->was_loaded && kind <= KIND_SECRET; kind++)
        name_tree_each(snapshot->trees[kind], tell, ads);
}

struct last_good *last_good_create(struct loop *loop, struct configure *configure,
                                   struct publisher *publisher, const char *directory)
{
    if (!directory)
        return NULL;
    struct last_good *last_good = mem_new(struct last_good);
    *last_good = (struct last_good){.loop = loop,
                                    .configure = configure,
                                    .publisher = publisher,
                                    .path = str_format("%s/snapshot", directory),
                                    .helpers = helper_pool_create(1)};
    return last_good;
}

void last_good_destroy(struct last_good *last_good)
{
    if (!last_good)
        return;
    loop_timer_stop(last_good->loop, &last_good->delay);
    helper_pool_destroy(last_good->helpers);
    while (last_good->is_writing)
        loop_turn(last_good->loop, 10);
    loop_timer_stop(last_good->loop, &last_good->delay);
    mem_free(last_good->path);
    mem_free(last_good);
}
